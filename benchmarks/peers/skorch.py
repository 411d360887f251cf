"""skorch's classifier with the same network. It is given tensors that are standardised already, and told to validate and print nothing."""

from time import perf_counter

import torch

from benchmarks import lessons, peers
from benchmarks.lessons import Lesson, Outcome
from benchmarks.peers.network import Network

NAME = "skorch"


def absent() -> str | None:
    """It comes with the extra `bench`."""
    return peers.missing("skorch")


def train(lesson: Lesson) -> Outcome:
    """`partial_fit`, once everything is built."""
    from skorch import NeuralNetClassifier

    torch.manual_seed(lesson.seed)
    learner = NeuralNetClassifier(
        Network,
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=lessons.LR,
        batch_size=lessons.BATCH,
        max_epochs=lesson.epochs,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    ).initialize()
    images, targets = lessons.standardised(lesson.train_images), lesson.train_targets
    began = perf_counter()
    learner.partial_fit(images, targets)
    return Outcome(lesson.samples, perf_counter() - began, lesson.accuracy(learner.module_.eval()))

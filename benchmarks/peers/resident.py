"""The same plain loop with its data on the device: no DataLoader, no PIL, otherwise as the example has it."""

from time import perf_counter

import torch
import torch.nn.functional as F

from benchmarks import lessons
from benchmarks.lessons import Lesson, Outcome
from benchmarks.peers.network import Network

NAME = "example-style loop, data on the device"
_LOG_EVERY = 10


def absent() -> None:
    """It needs nothing but torch."""


def train(lesson: Lesson) -> Outcome:
    """Its epochs one after another."""
    torch.manual_seed(lesson.seed)
    model = Network().to(lesson.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=lessons.LR)
    images = lessons.standardised(lesson.train_images.to(lesson.device))
    targets = lesson.train_targets.to(lesson.device)
    began = perf_counter()
    for _ in range(lesson.epochs):
        order = torch.randperm(len(targets), device=lesson.device)
        for step, rows in enumerate(torch.split(order, lessons.BATCH)):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images[rows]), targets[rows])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if step % _LOG_EVERY == 0:
                loss.item()  # what it prints
    if lesson.device.type == "cuda":
        torch.cuda.synchronize()
    return Outcome(lesson.samples, perf_counter() - began, lesson.accuracy(model.eval()))

"""The tutorial's network as a program without Ridgeline writes it: the same layers, ReLU before the pool as the tutorial has it."""

import torch.nn.functional as F
from torch import Tensor, nn


class Network(nn.Module):
    """Images [n, 1, 28, 28] to logits [n, 10]; 421,642 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.fc1 = nn.Linear(64 * 7 * 7, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, images: Tensor) -> Tensor:
        values = F.max_pool2d(F.relu(self.conv1(images)), 2)
        values = F.max_pool2d(F.relu(self.conv2(values)), 2)
        logits: Tensor = self.fc2(F.relu(self.fc1(values.flatten(1))))
        return logits


class PoolsFirst(Network):
    """The same function with the ReLU after the pool, on a quarter of the values."""

    def forward(self, images: Tensor) -> Tensor:
        values = F.relu(F.max_pool2d(self.conv1(images), 2), inplace=True)
        values = F.relu(F.max_pool2d(self.conv2(values), 2), inplace=True)
        logits: Tensor = self.fc2(F.relu(self.fc1(values.flatten(1)), inplace=True))
        return logits

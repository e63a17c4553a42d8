"""The pictures and labels of CIFAR-10 and CIFAR-100 as tensors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from labkit.data import cifar


@dataclass(frozen=True)
class Pictures:
    pixels: torch.Tensor  # uint8 (N, 32, 32, 3)
    labels: torch.Tensor  # int64 (N,)

    def __getitem__(self, part: slice) -> Pictures:
        return Pictures(self.pixels[part], self.labels[part])


def read(folder: Path, dataset: str) -> tuple[Pictures, Pictures, list[str]]:
    """The training pictures, the test pictures and the names of the classes."""
    train, test = (
        Pictures(*map(torch.from_numpy, cifar.load(folder, dataset, split))) for split in ("train", "test")
    )
    return train, test, cifar.classes(folder, dataset)

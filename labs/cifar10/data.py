"""The images and labels of CIFAR-10 and CIFAR-100 as tensors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from labkit.data import cifar


@dataclass(frozen=True)
class Images:
    pixels: torch.Tensor  # uint8 (N, 32, 32, 3)
    labels: torch.Tensor  # int64 (N,)

    def __getitem__(self, part: slice) -> Images:
        return Images(self.pixels[part], self.labels[part])


def read(folder: Path, dataset: str) -> tuple[Images, Images, list[str]]:
    """The training images, the test images and the names of the classes."""
    train, test = (
        Images(*map(torch.from_numpy, cifar.load(folder, dataset, split))) for split in ("train", "test")
    )
    return train, test, cifar.classes(folder, dataset)

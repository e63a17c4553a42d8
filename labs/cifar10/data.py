"""The pictures and labels of CIFAR-10 and CIFAR-100, from the files as they are published (section 65 of the notes)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from labkit.data import pickles


@dataclass(frozen=True)
class Pictures:
    pixels: torch.Tensor  # uint8 (N, 32, 32, 3)
    labels: torch.Tensor  # int64 (N,)

    def __getitem__(self, part: slice) -> Pictures:
        return Pictures(self.pixels[part], self.labels[part])


def read(folder: Path, dataset: str) -> tuple[Pictures, Pictures, list[str]]:
    """The training pictures, the test pictures and the names of the classes, from the files as they are published."""

    def pictures(*names: str) -> Pictures:
        parts = [pickles.load(folder / name) for name in names]
        planes = np.concatenate([part["data"] for part in parts]).reshape(-1, 3, 32, 32)  # red, green, blue planes
        labels = np.concatenate([part["labels" if dataset == "cifar10" else "fine_labels"] for part in parts])
        return Pictures(torch.from_numpy(planes.transpose(0, 2, 3, 1).copy()), torch.from_numpy(labels).long())

    if dataset == "cifar10":
        folder = folder / "cifar-10-batches-py"
        names = pickles.load(folder / "batches.meta")["label_names"]
        return pictures(*(f"data_batch_{i}" for i in range(1, 6))), pictures("test_batch"), list(names)
    folder = folder / "cifar-100-python"
    return pictures("train"), pictures("test"), list(pickles.load(folder / "meta")["fine_label_names"])

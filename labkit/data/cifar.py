"""CIFAR-10 and CIFAR-100 as arrays, from the files as they are published (section 65 of the notes)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from labkit.data import pickles

SIDE = 32
FOLDERS = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
FILES = {
    ("cifar10", "train"): tuple(f"data_batch_{number}" for number in range(1, 6)),
    ("cifar10", "test"): ("test_batch",),
    ("cifar100", "train"): ("train",),
    ("cifar100", "test"): ("test",),
}


def load(folder: Path, dataset: str, split: str) -> tuple[Any, Any]:
    """The images uint8 (N, 32, 32, 3) RGB and labels int64 (N,) of a split, "train" or "test"."""
    parts = [pickles.load(folder / FOLDERS[dataset] / name) for name in FILES[dataset, split]]
    planes = np.concatenate([part["data"] for part in parts]).reshape(-1, 3, SIDE, SIDE)  # red, green, blue planes
    labels = np.concatenate([part["labels" if dataset == "cifar10" else "fine_labels"] for part in parts])
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels.astype(np.int64)


def classes(folder: Path, dataset: str) -> list[str]:
    """The names of the classes, by label."""
    file, key = ("batches.meta", "label_names") if dataset == "cifar10" else ("meta", "fine_label_names")
    return list(pickles.load(folder / FOLDERS[dataset] / file)[key])

"""CIFAR-10 and CIFAR-100 as arrays, from the files as they are published (section 65 of the notes)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from labkit.base.errors import UserError
from labkit.base.paths import shown
from labkit.data import pickles

SIDE = 32
NUM_CLASSES = {"cifar10": 10, "cifar100": 100}
FOLDERS = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
FILES = {
    ("cifar10", "train"): tuple(f"data_batch_{number}" for number in range(1, 6)),
    ("cifar10", "test"): ("test_batch",),
    ("cifar100", "train"): ("train",),
    ("cifar100", "test"): ("test",),
}


def load(folder: Path, dataset: str, split: str) -> tuple[Any, Any]:
    """The images uint8 (N, 32, 32, 3) RGB and labels int64 (N,) of a split, "train" or "test".

    Raises UserError where the files hold anything else.
    """
    parts = [_part(folder / FOLDERS[dataset] / name, dataset) for name in FILES[dataset, split]]
    planes = np.concatenate([data for data, _ in parts]).reshape(-1, 3, SIDE, SIDE)  # red, green, blue planes
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), np.concatenate([labels for _, labels in parts])


def classes(folder: Path, dataset: str) -> list[str]:
    """The names of the classes, by label. Raises UserError where the file holds anything else."""
    file, key = ("batches.meta", "label_names") if dataset == "cifar10" else ("meta", "fine_label_names")
    path = folder / FOLDERS[dataset] / file
    names = _read(path, dataset).get(key)
    if not isinstance(names, list) or len(names) != NUM_CLASSES[dataset]:
        raise _other(path, dataset, f"{NUM_CLASSES[dataset]} names of classes")
    return [_text(name) for name in names]


def _part(path: Path, dataset: str) -> tuple[Any, Any]:
    """Of one file: the images uint8 (N, 3072) and labels int64 (N,)."""
    content = _read(path, dataset)
    data, listed = content.get("data"), content.get("labels" if dataset == "cifar10" else "fine_labels")
    listed = listed.tolist() if isinstance(listed, np.ndarray) else listed
    labels = np.array(listed if _whole_numbers(listed) else [], dtype=np.int64)
    images = isinstance(data, np.ndarray) and data.dtype == np.uint8 and data.shape == (len(labels), 3 * SIDE * SIDE)
    if not images or not len(labels) or labels.min() < 0 or labels.max() >= NUM_CLASSES[dataset]:
        raise _other(path, dataset, f"images of {SIDE} x {SIDE} with a label each")
    return data, labels


def _whole_numbers(listed: Any) -> bool:
    return isinstance(listed, list) and all(type(each) is int and abs(each) < 1000 for each in listed)


def _read(path: Path, dataset: str) -> dict[str, Any]:
    content = pickles.load(path)
    if not isinstance(content, dict):
        raise _other(path, dataset, "a dict")
    return {_text(key): value for key, value in content.items()}


def _text(name: Any) -> str:
    """A name, of which Python 3 may have kept Python 2's bytes."""
    return name.decode("latin1") if isinstance(name, bytes) else str(name) if isinstance(name, (str, int)) else ""


def _other(path: Path, dataset: str, expected: str) -> UserError:
    return UserError(f"{shown(path)} does not hold {expected}", f"./inv data {dataset} --verify")

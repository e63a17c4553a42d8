"""MNIST as arrays, from the files as they are published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from labkit.base.errors import UserError
from labkit.data import idx

SIDE = 28
FILES = {"train": "train", "test": "t10k"}


def load(folder: Path, split: str) -> tuple[Any, Any]:
    """The images uint8 (N, 28, 28) and labels uint8 (N,) of a split, "train" or "test".

    Raises UserError where the files hold anything else.
    """
    raw = folder / "MNIST" / "raw"
    images, labels = (idx.load(raw / f"{FILES[split]}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1"))
    if images.shape[1:] != (SIDE, SIDE) or labels.shape != images.shape[:1]:
        raise UserError(f"{raw} does not hold images of 28 x 28 with a label each", "./inv data mnist --verify")
    return images, labels

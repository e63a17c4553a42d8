"""A stand-in for CIFAR-100 in its layout: ten shapes in ten colours, under their own names.

A fine label is a colour and a shape ("teal star"); the coarse label above it says warm or cool ("cool star").
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from labkit.data import pickles
from labkit.data.shapes import SHAPES, draw

WARM = {"red": (205, 25, 35), "orange": (245, 135, 15), "yellow": (245, 225, 40), "pink": (250, 140, 180),
        "brown": (120, 65, 20)}  # fmt: skip
COOL = {"green": (40, 160, 50), "teal": (0, 150, 155), "sky": (110, 200, 250), "blue": (25, 55, 205),
        "violet": (135, 40, 195)}  # fmt: skip
INKS = np.array([*WARM.values(), *COOL.values()])
FINE = [f"{ink} {shape}" for shape in SHAPES for ink in [*WARM, *COOL]]
COARSE = [f"{side} {shape}" for shape in SHAPES for side in ("warm", "cool")]


def make(folder: Path, seed: int = 0) -> None:
    """Write cifar-100-python below `folder`: 5,000 images to train on, 50 of each fine label, and 1,000 to test."""
    rng = np.random.RandomState(seed)
    files = folder / "cifar-100-python"
    files.mkdir()
    pickles.save(_split(rng, "train", 5000), files / "train")
    pickles.save(_split(rng, "test", 1000), files / "test")
    pickles.save({"fine_label_names": FINE, "coarse_label_names": COARSE}, files / "meta")


def _split(rng: Any, title: str, count: int) -> dict[str, Any]:
    fine = rng.permutation(np.arange(count) % len(FINE))
    images = draw(rng, fine // len(INKS), INKS[fine % len(INKS)])  # (N, 32, 32, 3)
    return {
        "filenames": [f"{FINE[label].replace(' ', '_')}_{index:04}.png" for index, label in enumerate(fine)],
        "batch_label": f"{title}ing batch 1 of 1",
        "fine_labels": fine.tolist(),
        "coarse_labels": (fine // len(WARM)).tolist(),
        "data": np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(count, -1),  # (N, 3072): all R, G, B
    }

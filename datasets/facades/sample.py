"""A stand-in for facades in its layout: a synthetic house front on the left of each image, its labels on the right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from labkit.data.scenes import backdrop, clip, write_jpeg

SIDE = 256
COUNTS = {"train": 60, "val": 12, "test": 12}
# Colours as in the label images of facades, by and large: what means what matters to nobody but the network.
SKY, WALL, WINDOW, DOOR, SILL = (0, 0, 170), (0, 0, 255), (0, 85, 255), (0, 170, 255), (255, 85, 0)


def make(folder: Path, seed: int = 0) -> None:
    """Write facades/{train,val,test} below `folder`: 60, 12 and 12 pairs, 256 pixels high and 512 wide."""
    rng = np.random.RandomState(seed)
    for split, count in COUNTS.items():
        for number in range(1, count + 1):
            pair = np.concatenate(_front(rng), axis=1)  # (256, 512, 3)
            write_jpeg(folder / "facades" / split / f"{number}.jpg", pair)


def _front(rng: Any) -> tuple[Any, Any]:
    """An image of a house front and its labels, both uint8 (256, 256, 3)."""
    photo, labels = backdrop(rng, SIDE, SIDE), np.empty((SIDE, SIDE, 3), np.uint8)
    labels[:] = SKY
    paint = rng.randint(110, 231, 3)
    eaves = rng.randint(10, 50)
    photo[eaves:] = paint + rng.randint(-10, 11, (SIDE - eaves, SIDE, 1))
    labels[eaves:] = WALL
    floors, columns = rng.randint(2, 6), rng.randint(2, 6)
    tall, wide = (SIDE - eaves) // floors, SIDE // columns
    door = rng.randint(columns)
    for floor in range(floors):
        for column in range(columns):
            y, x = eaves + floor * tall + tall // 5, column * wide + wide // 4
            h, w = tall * 3 // 5, wide // 2
            if floor == floors - 1 and column == door:
                photo[y : y + tall, x : x + w] = (95, 60, 35)
                labels[y : y + tall, x : x + w] = DOOR
                continue
            glass = 60 + 60 * (np.arange(h) / float(h))[:, None, None] + np.array((0, 12, 30))
            photo[y : y + h, x : x + w] = glass + rng.randint(-6, 7, (h, w, 1))
            labels[y : y + h, x : x + w] = WINDOW
            photo[y + h : y + h + 6, x - 4 : x + w + 4] = paint * 0.6
            labels[y + h : y + h + 6, x - 4 : x + w + 4] = SILL
    return clip(photo), labels

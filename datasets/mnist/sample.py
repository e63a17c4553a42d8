"""A stand-in for MNIST in its layout: digits drawn with a pen of random slant, size, place and thickness."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 28
ANGLES = 32
POINTS = 14  # of each stroke


def make(folder: Path, seed: int = 0) -> None:
    """Write MNIST/raw below `folder`: 4,000 digits to train on and 1,000 to test, in the idx format."""
    rng = np.random.RandomState(seed)
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for split, count in (("train", 4000), ("t10k", 1000)):
        labels = rng.permutation(np.arange(count) % 10).astype(np.uint8)
        images = np.zeros((count, SIDE, SIDE), np.uint8)
        for digit in range(10):
            chosen = np.flatnonzero(labels == digit)
            images[chosen] = _draw(rng, STROKES[digit], len(chosen))
        # idx: 0, 0, type (8: uint8), number of axes, then each length, big-endian
        (raw / f"{split}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 2051, *images.shape) + images.tobytes())
        (raw / f"{split}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, count) + labels.tobytes())


def _arc(x: float, y: float, rx: float, ry: float, start: float, end: float) -> Any:
    """Points on an ellipse, in turns from the right, clockwise on the page (y points down): (POINTS, 2)."""
    turns = [start + (end - start) * k / (POINTS - 1) for k in range(POINTS)]
    return np.array([(x + rx * math.cos(math.tau * t), y + ry * math.sin(math.tau * t)) for t in turns])


def _line(*corners: tuple[float, float]) -> Any:
    """Points on a polyline, spread evenly over its pieces: (POINTS, 2)."""
    steps = [k * (len(corners) - 1) / (POINTS - 1) for k in range(POINTS)]
    ends = [(corners[min(int(s), len(corners) - 2)], corners[min(int(s), len(corners) - 2) + 1]) for s in steps]
    parts = [s - min(int(s), len(corners) - 2) for s in steps]
    return np.array([(a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t) for (a, b), t in zip(ends, parts)])


# In a box of -1..1; where there are several ways to write a digit, each image takes one.
STROKES = [
    [[_arc(0, 0, 0.6, 0.95, 0, 1)], [_arc(0, 0, 0.75, 0.85, -0.2, 0.85)]],
    [[_line((0, -0.95), (0, 0.95))], [_line((-0.35, -0.6), (0.05, -0.95), (0.05, 0.95))]],
    [[_arc(0, -0.4, 0.6, 0.55, 0.52, 1.12), _line((0.45, 0.0), (-0.65, 0.92), (0.7, 0.92))]],
    [[_arc(-0.05, -0.48, 0.55, 0.46, 0.58, 1.25), _arc(-0.05, 0.46, 0.65, 0.5, 0.75, 1.42)]],
    [[_line((0.0, -0.95), (-0.65, 0.25), (0.7, 0.25)), _line((0.3, -0.4), (0.3, 0.95))],
     [_line((-0.55, -0.9), (-0.55, 0.1), (0.55, 0.1)), _line((0.55, -0.95), (0.5, 0.95))]],
    [[_line((0.6, -0.92), (-0.45, -0.92), (-0.5, -0.1)), _arc(-0.05, 0.35, 0.65, 0.57, 0.62, 1.4)]],
    [[_arc(0.55, 0.05, 1.1, 1.0, 0.72, 0.5), _arc(0.02, 0.42, 0.56, 0.52, 0, 1)]],
    [[_line((-0.6, -0.9), (0.6, -0.9), (-0.15, 0.95))],
     [_line((-0.6, -0.9), (0.6, -0.9), (-0.1, 0.95)), _line((-0.2, 0.05), (0.5, 0.05))]],
    [[_arc(0, -0.48, 0.48, 0.45, 0, 1), _arc(0, 0.46, 0.6, 0.5, 0, 1)]],
    [[_arc(-0.02, -0.42, 0.56, 0.5, 0, 1), _line((0.54, -0.45), (0.5, 0.2), (0.25, 0.95))],
     [_arc(-0.02, -0.42, 0.56, 0.5, 0, 1), _arc(-0.55, -0.05, 1.1, 1.0, 0, 0.22)]],
]  # fmt: skip


def _draw(rng: Any, ways: list[list[Any]], count: int) -> Any:
    """`count` images of one digit: uint8 0..255 (count, 28, 28), ink bright."""
    way = rng.randint(0, len(ways), count)
    height, width = rng.randint(75, 105, count) / 10.0, rng.randint(60, 90, count) / 10.0
    slant, turn = rng.randint(-30, 31, count) / 100.0, rng.randint(-18, 19, count) / 100.0
    x0, y0 = 13.5 + rng.randint(-20, 21, (2, count)) / 10.0
    thick = rng.randint(8, 19, count) / 10.0
    ink = rng.randint(200, 256, (count, 1, 1))
    rows, columns = np.arange(SIDE)[None, :, None], np.arange(SIDE)[None, None, :]
    nearest = np.full((count, SIDE, SIDE), 1e9)
    for number, strokes in enumerate(ways):
        chosen = np.flatnonzero(way == number)
        for stroke in strokes:
            x, y = stroke.T[:, None, :] + rng.randint(-5, 6, (2, len(chosen), POINTS)) / 100.0  # an unsteady hand
            across = (x - slant[chosen, None] * y - turn[chosen, None] * y) * width[chosen, None] + x0[chosen, None]
            down = (y + turn[chosen, None] * x) * height[chosen, None] + y0[chosen, None]
            for k in range(POINTS - 1):
                ax, ay = across[:, k, None, None], down[:, k, None, None]
                bx, by = across[:, k + 1, None, None] - ax, down[:, k + 1, None, None] - ay
                along = ((columns - ax) * bx + (rows - ay) * by) / (bx * bx + by * by + 1e-9)
                along = np.clip(along, 0.0, 1.0)
                gap = (columns - ax - along * bx) ** 2 + (rows - ay - along * by) ** 2
                nearest[chosen] = np.minimum(nearest[chosen], gap)
    cover = np.clip(thick[:, None, None] + 0.5 - np.sqrt(nearest), 0.0, 1.0)
    return np.floor(cover * ink).astype(np.uint8)

"""A stand-in for horse2zebra in its layout: brown bodies (A) and striped ones (B)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from labkit.data.scenes import backdrop, ball, clip, write_jpeg

SIDE = 256
COUNTS = {"train": 60, "test": 12}
BROWN = np.array((120, 75, 40))


def make(folder: Path, seed: int = 0) -> None:
    """Write horse2zebra/{train,test}{A,B} below `folder`: 60 and 12 images of each kind."""
    rng = np.random.RandomState(seed)
    for split, count in COUNTS.items():
        for number in range(count):
            horse = ball(rng, backdrop(rng, SIDE, SIDE), BROWN + rng.randint(-25, 26, 3))
            zebra = ball(rng, backdrop(rng, SIDE, SIDE), (235, 235, 230), stripes=True)
            for kind, name, image in (("A", "horse", horse), ("B", "zebra", zebra)):
                write_jpeg(folder / "horse2zebra" / f"{split}{kind}" / f"{name}_{number:03}.jpg", clip(image))

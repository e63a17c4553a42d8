"""A stand-in for apple2orange in its layout: shaded balls, red or green and smooth (A) or orange with a peel (B)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from labkit.data.scenes import backdrop, ball, clip, write_jpeg

SIDE = 256
COUNTS = {"train": 60, "test": 40}
APPLES, ORANGE = np.array(((190, 25, 35), (150, 185, 45))), np.array((245, 140, 20))


def make(folder: Path, seed: int = 0) -> None:
    """Write apple2orange/{train,test}{A,B} below `folder`: 60 and 40 images of each kind."""
    rng = np.random.RandomState(seed)
    for split, count in COUNTS.items():
        for number in range(count):
            ink = APPLES[rng.randint(2)] + rng.randint(-20, 21, 3)
            apple = ball(rng, backdrop(rng, SIDE, SIDE), ink)
            orange = ball(rng, backdrop(rng, SIDE, SIDE), ORANGE + rng.randint(-15, 16, 3), dimples=True)
            for kind, name, image in (("A", "apple", apple), ("B", "orange", orange)):
                write_jpeg(folder / "apple2orange" / f"{split}{kind}" / f"{name}_{number:03}.jpg", clip(image))

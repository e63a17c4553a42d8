"""A stand-in for Boston housing in its layout: 506 invented districts whose price follows a rule, with noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np

COLUMNS = ("CRIM", "ZN", "INDUS", "CHAS", "NOX", "RM", "AGE", "DIS", "RAD", "TAX", "PTRATIO", "B", "LSTAT", "MEDV")
LOWEST = np.array((0.01, 0, 0.5, 0, 0.39, 3.6, 3, 1.1, 1, 187, 12.6, 0.3, 1.7))
HIGHEST = np.array((60, 100, 27, 1, 0.87, 8.8, 100, 12, 24, 711, 22, 397, 38))
STEPS = 1000
# Of rooms, poor neighbours, pupils per teacher, air, river; the first two also bend.
EFFECTS = {"RM": 6.0, "LSTAT": -6.0, "PTRATIO": -2.5, "NOX": -2.0, "CHAS": 1.5, "CRIM": -1.0}


def make(folder: Path, seed: int = 0) -> None:
    """Write boston/resources/boston_house_prices.csv below `folder`, with the header of the real file."""
    rng = np.random.RandomState(seed)
    draws = rng.randint(0, STEPS + 1, (506, 13, 2)).min(axis=2) / float(STEPS)  # most districts are low on each scale
    draws[:, 3] = rng.randint(0, 15, 506) == 0
    draws[:, 5] = rng.randint(0, STEPS + 1, (506, 3)).sum(axis=1) / (3.0 * STEPS)
    table = LOWEST + draws * (HIGHEST - LOWEST)
    price = 22 + sum(effect * 3 * (draws[:, COLUMNS.index(name)] - 0.4) for name, effect in EFFECTS.items())
    price = price + 20 * (draws[:, 5] - 0.5) ** 2 + 15 * (draws[:, 12] - 0.6) ** 2
    price = np.clip(price + rng.randint(-25, 26, 506) / 10.0, 5, 50)
    lines = [",".join(f'"{name}"' for name in COLUMNS)]
    for row, value in zip(table, price):
        lines.append(",".join(f"{each:.4g}" for each in (*row, value)))
    path = folder / "boston" / "resources" / "boston_house_prices.csv"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(lines) + "\n", encoding="ascii")

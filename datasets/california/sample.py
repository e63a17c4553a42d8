"""A stand-in for California housing in its layout: 2,064 invented districts.

They are dear near the coast and where people earn much.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

COUNT = 2064


def make(folder: Path, seed: int = 0) -> None:
    """Write CaliforniaHousing/cal_housing.data below `folder`: nine columns without a header, as in the real file."""
    rng = np.random.RandomState(seed)
    inland = rng.randint(0, 1001, COUNT) / 1000.0  # 0 at the coast, which runs from north-west to south-east
    north = rng.randint(0, 1001, COUNT) / 1000.0
    latitude, longitude = 32.6 + 9.0 * north, -117.3 - 6.8 * north + 3.0 * inland
    age = rng.randint(1, 53, COUNT)
    households = rng.randint(60, 1200, COUNT)
    rooms = households * rng.randint(30, 80, COUNT) // 10
    bedrooms = rooms * rng.randint(15, 28, COUNT) // 100
    people = households * rng.randint(18, 42, COUNT) // 10
    income = rng.randint(5, 150, (COUNT, 2)).min(axis=1) / 10.0
    value = 60_000 + 32_000 * income + 90_000 * (1 - inland) ** 2 + 800 * age - 25_000 * people / households
    value = np.clip(value + rng.randint(-90_000, 90_001, COUNT), 15_000, 500_001)
    columns = (longitude, latitude, age, rooms, bedrooms, people, households, income, value)
    lines = [",".join(f"{each:.6f}" for each in row) for row in zip(*columns)]
    path = folder / "CaliforniaHousing" / "cal_housing.data"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(lines) + "\n", encoding="ascii")

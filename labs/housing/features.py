"""What the networks read: columns on one scale, learned from the training rows of a fold alone."""

from __future__ import annotations

from typing import Any, Mapping

import numpy as np
import torch

FAR = 5.0  # standard deviations, beyond which a value counts as this far
MOST_KNOTS = 500
WAVES = 8  # sines, and as many cosines, of each column


class Standard:
    """Columns with mean 0 and standard deviation 1 in the training rows; what lies far out is pulled in to FAR."""

    def __init__(self, x: np.ndarray) -> None:
        """`x`: the training rows (N, F)."""
        self.mean, self.deviation = x.mean(axis=0), x.std(axis=0)
        self.deviation = np.where(self.deviation > 0, self.deviation, 1.0)  # a column of one value tells nothing

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Any rows (N, F) on that scale."""
        return np.clip((x - self.mean) / self.deviation, -FAR, FAR)

    def record(self) -> dict[str, Any]:
        """What `from_record` makes it out of again."""
        return {"mean": torch.from_numpy(self.mean), "deviation": torch.from_numpy(self.deviation)}


class Ranks:
    """Columns by rank, -1 for the least and 1 for the greatest training value, and as `waves` sines and cosines of it.

    A rank has no outliers, and waves let one layer bend where a network of straight pieces needs several.
    Source: Gorishniy et al., On Embeddings for Numerical Features in Tabular Deep Learning (2022), sections 3.2
    and 3.3, here with fixed frequencies.
    """

    def __init__(self, x: np.ndarray, waves: int = WAVES) -> None:
        self.waves = waves
        self.knots = [_knots(column) for column in x.T]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(N, F) -> (N, F (1 + 2 waves))."""
        ranks = np.stack([np.interp(column, *knots) for column, knots in zip(x.T, self.knots)], axis=1)
        turns = [np.pi / 2 * (1 + k) * ranks for k in range(self.waves)]
        return np.concatenate([ranks, *map(np.sin, turns), *map(np.cos, turns)], axis=1)

    def record(self) -> dict[str, Any]:
        """What `from_record` makes it out of again."""
        return {"waves": self.waves, "knots": [torch.from_numpy(np.stack(each)) for each in self.knots]}


def from_record(record: Mapping[str, Any]) -> Standard | Ranks:
    """What `record` was made of. Raises what a strange record leads to."""
    if "knots" in record:
        ranks = Ranks(np.zeros((1, 0)), int(record["waves"]))
        ranks.knots = [tuple(each.numpy()) for each in record["knots"]]
        return ranks
    standard = Standard(np.zeros((1, len(record["mean"]))))
    standard.mean, standard.deviation = record["mean"].numpy(), record["deviation"].numpy()
    return standard


def _knots(column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values of a column (N), at most MOST_KNOTS, and their ranks in -1..1."""
    values, counts = np.unique(column, return_counts=True)
    ranks = 2 * (np.cumsum(counts) - counts / 2) / len(column) - 1
    if len(values) > MOST_KNOTS:
        chosen = np.linspace(0, len(values) - 1, MOST_KNOTS).round().astype(int)
        values, ranks = values[chosen], ranks[chosen]
    return values, ranks

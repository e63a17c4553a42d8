"""How wrong predictions are: RMSE, MAE, R², and what of a difference is chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np


def r_squared(y: np.ndarray, predicted: np.ndarray) -> float:
    """1 - squared error / squared distance from the mean: 1 is perfect, 0 what the mean of these very rows gets."""
    return float(1 - ((y - predicted) ** 2).sum() / ((y - y.mean()) ** 2).sum())


@dataclass(frozen=True)
class Score:
    """Of predictions for rows that were held out, each once."""

    rmse: float  # over all rows pooled, 1,000 $
    folds: np.ndarray  # RMSE of each fold
    mae: float
    r2: float

    @classmethod
    def of(cls, y: np.ndarray, predicted: np.ndarray, held: Sequence[np.ndarray]) -> Score:
        """Score `predicted` (N) on the rows of each fold in `held`."""
        errors = y - predicted
        rows = np.concatenate(list(held))
        folds = np.array([np.sqrt((errors[part] ** 2).mean()) for part in held])
        return cls(float(np.sqrt((errors[rows] ** 2).mean())), folds, float(np.abs(errors[rows]).mean()),
                   r_squared(y[rows], predicted[rows]))  # fmt: skip

    @property
    def of_folds(self) -> str:
        """The mean over the folds with its standard error, which takes the folds for independent: they share rows."""
        return mean_with_error(self.folds)


def mean_with_error(values: np.ndarray, sign: str = "") -> str:
    """The mean of `values` and its standard error, as text."""
    if len(values) < 2:
        return f"{values.mean():{sign}.2f}"
    return f"{values.mean():{sign}.2f} ± {values.std(ddof=1) / np.sqrt(len(values)):.2f}"

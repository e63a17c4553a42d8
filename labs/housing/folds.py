"""Which rows are trained on and which are held out: simple, k-fold and leave-one-out cross-validation (section 44)."""

from __future__ import annotations

import numpy as np

Split = "tuple[np.ndarray, np.ndarray]"  # the rows to train on, and the rows held out: int64, sorted


def hold_out(count: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """One split of `count` rows: a `share` of them, drawn by `seed`, is held out."""
    order = np.random.RandomState(seed).permutation(count)
    held = max(1, round(share * count))
    return np.sort(order[held:]), np.sort(order[:held])


def k_fold(count: int, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """`folds` splits: each row is held out once. The rows are shuffled first: files are sorted by something.

    The sizes differ by one row at most. With as many folds as rows it is leave-one-out.
    """
    order = np.random.RandomState(seed).permutation(count)
    parts = np.array_split(order, folds)
    return [(np.sort(np.concatenate(parts[:k] + parts[k + 1 :])), np.sort(part)) for k, part in enumerate(parts)]

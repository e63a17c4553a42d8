"""How good an embedding is, judged on classes that the network never saw: retrieval and verification.

Shapes: N images with embeddings (N, D), classes `labels` (N,). Retrieval asks of each image which others are nearest;
verification asks of each pair whether it is one class.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch


class Retrieval(NamedTuple):
    """The means over all queries, and what each found."""

    recall_at_1: float  # how often the nearest image is of the query's class
    map_at_r: float
    r_precision: float
    order: np.ndarray  # int64 (N, ranks): the nearest images of each, itself left out
    precisions: np.ndarray  # float64 (N,): MAP@R's part of each query


class Verification(NamedTuple):
    """What one threshold on the distance would do to all pairs."""

    false_alarms: np.ndarray  # share of the pairs of two classes that a threshold calls one, ascending
    found: np.ndarray  # share of the pairs of one class that it calls so
    thresholds: np.ndarray  # a pair at this distance or nearer is called one class
    auc: float  # how often a pair of one class is nearer than a pair of two
    equal_error: float  # the share of errors of either kind where both are equal


def squared_distances(x: torch.Tensor) -> torch.Tensor:
    """(N, D) -> (N, N) in float64, in which whole pixels give exact numbers."""
    x = x.double()
    squares = (x * x).sum(dim=1)
    return (squares.unsqueeze(1) + squares - 2 * (x @ x.t())).clamp(min=0)


def retrieval(x: torch.Tensor, labels: torch.Tensor) -> Retrieval:
    """Each image as a query among all others.

    R is how many others of its class there are. Of its R nearest images, R-precision is the share that are of its
    class; MAP@R also asks that they come first: the sum of the precisions at the ranks that are right, over R. So it
    is 1 only where all R are found before any other, and two embeddings with equal recall@1 can be told apart by it.
    Source: Musgrave, Belongie, Lim, A Metric Learning Reality Check (2020), section 3.2. Each class needs two images.
    """
    apart = squared_distances(x)
    apart.fill_diagonal_(float("inf"))
    wanted = (labels.unsqueeze(1) == labels).sum(dim=1) - 1  # R of each query
    order = apart.topk(int(wanted.max()), dim=1, largest=False)[1]
    ranks = torch.arange(1, order.shape[1] + 1, dtype=torch.float64)
    right = (labels[order] == labels.unsqueeze(1)).double() * (ranks <= wanted.unsqueeze(1)).double()
    precision = right.cumsum(dim=1) / ranks
    each = (precision * right).sum(dim=1) / wanted.double()
    return Retrieval(
        float((labels[order[:, 0]] == labels).double().mean()), float(each.mean()),
        float((right.sum(dim=1) / wanted.double()).mean()), order.numpy(), each.numpy(),
    )  # fmt: skip


def all_pairs(x: torch.Tensor, labels: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The distance of each pair, counted once, and whether it is of one class: float64 and bool (N (N - 1) / 2,)."""
    first, second = np.triu_indices(len(labels), 1)
    names = labels.numpy()
    return squared_distances(x).sqrt().numpy()[first, second], names[first] == names[second]


def verification(apart: np.ndarray, same: np.ndarray) -> Verification:
    """The ROC curve of "nearer than a threshold" over pairs; pairs of both kinds are needed. Ties are one point."""
    order = np.argsort(apart, kind="stable")
    last = np.append(np.diff(apart[order]) > 0, True)  # of each distance that occurs
    hits, alarms = np.cumsum(same[order])[last], np.cumsum(~same[order])[last]
    found, false_alarms = np.append(0, hits / same.sum()), np.append(0, alarms / (~same).sum())
    thresholds = np.append(-np.inf, apart[order][last])
    auc = float((np.diff(false_alarms) * (found[1:] + found[:-1]) / 2).sum())
    crossing = int(np.argmin(np.abs(false_alarms - (1 - found))))
    equal = float((false_alarms[crossing] + 1 - found[crossing]) / 2)
    return Verification(false_alarms, found, thresholds, auc, equal)


def found_at(curve: Verification, false_alarms: float) -> tuple[float, float]:
    """(share of the same that is found, threshold) where at most this share of the different is taken for the same."""
    place = int(np.searchsorted(curve.false_alarms, false_alarms, side="right")) - 1
    return float(curve.found[place]), float(curve.thresholds[place])


def principal(x: np.ndarray, dimensions: int = 2) -> tuple[np.ndarray, float]:
    """x (N, D) on the axes along which it varies most: (N, dimensions), and the share of the variance that these keep.

    By the eigenvectors of the covariance matrix; the sign of each axis is chosen so that its largest weight is above 0.
    """
    centred = x - x.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(x))  # ascending
    axes = vectors[:, ::-1][:, :dimensions]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    return centred @ axes, float(values[::-1][:dimensions].sum() / max(values.sum(), 1e-12))

"""How good a segmentation is, by the definitions (notes, section 82).

Semantic measures count pixels: everything follows from one confusion matrix. Panoptic quality counts segments: which
of the predicted ones are the true ones, and how well do they fit? Kirillov et al., Panoptic Segmentation (2019).
"""

from __future__ import annotations

from typing import NamedTuple, Sequence

import cv2
import numpy as np

VOID = 255  # the label of pixels that nobody annotated; no measure counts them


# ---- pixels ----


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """How many pixels of each true class (row) were given each class (column): int64 (classes, classes)."""
    valid = labels != VOID
    pairs = labels[valid].astype(np.int64) * classes + predicted[valid]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def pixel_accuracy(matrix: np.ndarray) -> float:
    """The share of pixels that got the right class."""
    return float(_ratio(matrix.trace(), matrix.sum()))


def class_accuracy(matrix: np.ndarray) -> np.ndarray:
    """Of the pixels of each class, the share that got it, (classes,); nan for a class with no pixels."""
    return _ratio(matrix.diagonal(), matrix.sum(axis=1))


def mean_accuracy(matrix: np.ndarray) -> float:
    """The mean of `class_accuracy` over the classes that are there."""
    return mean(class_accuracy(matrix))


def iou(matrix: np.ndarray) -> np.ndarray:
    """Intersection over union, TP / (TP + FP + FN), of each class (classes,); nan where both are empty."""
    hit = matrix.diagonal()
    return _ratio(hit, matrix.sum(axis=1) + matrix.sum(axis=0) - hit)


def mean_iou(matrix: np.ndarray) -> float:
    """The mean of `iou` over the classes that are true or predicted somewhere: small and large ones count the same."""
    return mean(iou(matrix))


def frequency_weighted_iou(matrix: np.ndarray) -> float:
    """The mean of `iou` with each class weighted by its share of the true pixels."""
    weights = matrix.sum(axis=1)
    return float(_ratio((weights * np.nan_to_num(iou(matrix))).sum(), weights.sum()))


# ---- segments ----


class Segments(NamedTuple):
    """A picture divided into segments."""

    numbers: np.ndarray  # (H, W): segment k has the number k + 1, and 0 is no segment at all
    labels: Sequence[int]  # (S,) the class of each
    crowd: Sequence[bool]  # (S,) whether it is a crowd whose members nobody told apart

    def map(self) -> np.ndarray:
        """The class of every pixel, VOID where there is no segment: uint8 (H, W)."""
        return np.array([VOID, *self.labels], np.uint8)[self.numbers]


def segments_of(predicted: np.ndarray, things: Sequence[bool], smallest: int = 1) -> Segments:
    """A semantic map (H, W) as segments: all of a stuff class is one, and each connected part of a thing class is one.

    Parts of fewer than `smallest` pixels are dropped. Two things of a class that touch become one: to part them takes
    a network that knows instances.
    """
    numbers = np.zeros(predicted.shape, np.int64)
    labels: list[int] = []
    for label in np.unique(predicted).tolist():
        mask = predicted == label
        parts = mask.astype(np.int32)
        if things[label]:
            _, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        sizes = np.bincount(parts.ravel())
        kept = 1 + np.flatnonzero(sizes[1:] >= smallest)
        number_of = np.zeros(len(sizes), np.int64)
        number_of[kept] = len(labels) + 1 + np.arange(len(kept))
        numbers += number_of[parts]
        labels += [label] * len(kept)
    return Segments(numbers, labels, [False] * len(labels))


class PanopticCounts(NamedTuple):
    """What panoptic quality is made of, each by class (classes,)."""

    iou: np.ndarray  # sum over the matched pairs
    matched: np.ndarray  # true positives
    extra: np.ndarray  # predicted segments without a true one: false positives
    missed: np.ndarray  # true segments that nothing was matched with: false negatives


def add(pictures: Sequence[PanopticCounts]) -> PanopticCounts:
    """The counts of several pictures together."""
    return PanopticCounts(*(np.sum(each, axis=0) for each in zip(*pictures)))


def match(truth: Segments, predicted: Segments, classes: int) -> PanopticCounts:
    """Match the segments of one picture: a pair of one class matches when its IoU is over one half.

    No segment can be in two such pairs, so nothing has to be searched. Pixels without a true segment do not count in
    the union; a predicted segment that lies mostly on such pixels or on a crowd of its class is not held against it.
    """
    rows, columns = len(truth.labels) + 1, len(predicted.labels) + 1
    pairs = truth.numbers.astype(np.int64) * columns + predicted.numbers
    common = np.bincount(pairs.ravel(), minlength=rows * columns).reshape(rows, columns)
    true_areas, areas = common.sum(axis=1)[1:], common.sum(axis=0)[1:]
    inner, on_void = common[1:, 1:], common[0, 1:]
    union = true_areas[:, None] + areas[None, :] - inner - on_void[None, :]
    overlap = inner / np.maximum(union, 1)

    true_labels, labels = np.array(truth.labels, np.int64), np.array(predicted.labels, np.int64)
    crowd = np.array(truth.crowd, bool)
    alike = true_labels[:, None] == labels[None, :]
    pair = alike & (overlap > 0.5) & ~crowd[:, None]
    excused = on_void + (inner * (alike & crowd[:, None])).sum(axis=0) > 0.5 * areas

    def by_class(which: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        return np.bincount(which, weights=weights, minlength=classes)

    return PanopticCounts(
        iou=by_class(true_labels, (overlap * pair).sum(axis=1)),
        matched=by_class(true_labels[pair.any(axis=1)]),
        extra=by_class(labels[~pair.any(axis=0) & ~excused]),
        missed=by_class(true_labels[~pair.any(axis=1) & ~crowd & (true_areas > 0)]),
    )


def panoptic_quality(counts: PanopticCounts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(PQ, SQ, RQ) by class, each (classes,); nan for a class without any segment.

    Segmentation quality SQ: the mean IoU of the matched pairs, 0 where there are none. Recognition quality RQ:
    TP / (TP + FP/2 + FN/2), the F1 score of finding segments. Panoptic quality PQ = SQ * RQ.
    """
    sq = np.divide(counts.iou, np.maximum(counts.matched, 1))
    rq = _ratio(counts.matched, counts.matched + counts.extra / 2 + counts.missed / 2)
    return sq * rq, np.where(np.isnan(rq), np.nan, sq), rq


def mean(values: np.ndarray) -> float:
    """The mean of what is not nan; nan where nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, nan where the whole is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.divide(part, whole)

"""How good a segmentation is, by the definitions (notes, section 82).

Semantic measures count pixels: everything follows from one confusion matrix. Panoptic quality counts segments: which
of the predicted ones are the true ones, and how well do they fit? Kirillov et al., Panoptic Segmentation (2019).
"""

from __future__ import annotations

from typing import NamedTuple, Sequence

import cv2
import numpy as np

VOID = 255  # the label of pixels that nobody annotated; no measure counts them


def count_pairs(first: np.ndarray, second: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """How many pixels have each value of `first` (row) together with each value of `second` (column): (rows, columns).

        first     0 0 1 1     the table    [[1, 0, 1],     0 with 0 once, 0 with 2 once
        second    0 2 2 2                   [0, 0, 2]]     1 with 2 twice

    Read line by line, the entry of a pair is in place row * columns + column, here 0, 2, 5, 5; `bincount` says how
    often each place occurs.
    """
    places = first.astype(np.int64) * columns + second
    return np.bincount(places.ravel(), minlength=rows * columns).reshape(rows, columns)


# ---- pixels ----


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """How many pixels of each true class (row) were given each class (column): int64 (classes, classes)."""
    valid = labels != VOID
    return count_pairs(labels[valid], predicted[valid], classes, classes)


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
    """An image divided into segments."""

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
        sizes = np.bincount(parts.ravel())  # pixels of part 0, 1, 2, ...; part 0 is all that is not of this class
        kept = 1 + np.flatnonzero(sizes[1:] >= smallest)
        # The parts that are kept get the next free numbers, all others 0, which is no segment. With 3 segments so far
        # and parts of 90, 7, 2 and 5 pixels, smallest=4 makes number_of [0, 4, 0, 5]; every pixel looks its part up.
        number_of = np.zeros(len(sizes), np.int64)
        number_of[kept] = len(labels) + 1 + np.arange(len(kept))
        numbers += number_of[parts]
        labels += [label] * len(kept)
    return Segments(numbers, labels, [False] * len(labels))


class PanopticCounts(NamedTuple):
    """What panoptic quality is made of, each by class (classes,)."""

    iou: np.ndarray  # sum over the matched pairs
    matched: np.ndarray  # TP, true positives: pairs of a true and a predicted segment
    extra: np.ndarray  # FP, false positives: predicted segments without a true one
    missed: np.ndarray  # FN, false negatives: true segments without a predicted one


def add(images: Sequence[PanopticCounts]) -> PanopticCounts:
    """The counts of several images together."""
    return PanopticCounts(*(np.sum(each, axis=0) for each in zip(*images)))


def match(truth: Segments, predicted: Segments, classes: int) -> PanopticCounts:
    """Match the T true and the P predicted segments of one image, and count what did not match.

    A true and a predicted segment of one class match when their IoU is over one half. A segment can have only one such
    partner, for the partner holds more than half of its pixels; so there is nothing to search or to choose.

    VOID pixels, which have no true segment, count in no union. Two kinds of segments are never a mistake: a true crowd
    needs no partner, and a predicted segment needs none if more than half of it is on VOID and crowds of its class.
    """
    true_labels, labels = np.array(truth.labels, np.int64), np.array(predicted.labels, np.int64)
    crowd = np.array(truth.crowd, bool)

    common = count_pairs(truth.numbers, predicted.numbers, len(true_labels) + 1, len(labels) + 1)
    true_areas, areas = common.sum(axis=1)[1:], common.sum(axis=0)[1:]  # (T,), (P,): from 1 on, for 0 is no segment
    on_void = common[0, 1:]  # (P,)
    intersection = common[1:, 1:]  # (T, P), an entry for every pair, as in the next lines
    union = true_areas[:, None] + (areas - on_void)[None, :] - intersection
    pair_iou = intersection / np.maximum(union, 1)  # two empty segments: 0 / 1

    same_class = true_labels[:, None] == labels[None, :]
    matched = same_class & (pair_iou > 0.5) & ~crowd[:, None]  # at most one in each row and in each column
    has_prediction, has_truth = matched.any(axis=1), matched.any(axis=0)  # (T,), (P,)
    on_crowd = (intersection * (same_class & crowd[:, None])).sum(axis=0)  # (P,)
    excused = on_void + on_crowd > 0.5 * areas

    def by_class(of: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
        """How many segments there are of each class, given the class `of` each; or the sum of their `values`."""
        return np.bincount(of, weights=values, minlength=classes)

    return PanopticCounts(
        iou=by_class(true_labels, (pair_iou * matched).sum(axis=1)),
        matched=by_class(true_labels[has_prediction]),  # TP
        extra=by_class(labels[~has_truth & ~excused]),  # FP
        missed=by_class(true_labels[~has_prediction & ~crowd & (true_areas > 0)]),  # FN
    )


def panoptic_quality(counts: PanopticCounts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(PQ, SQ, RQ) by class, each (classes,); nan for a class without any segment.

        SQ = sum of IoU / TP            segmentation quality: the mean IoU of the matched pairs, 0 where there are none
        RQ = TP / (TP + FP/2 + FN/2)    recognition quality: the F1 score of finding segments
        PQ = SQ * RQ = sum of IoU / (TP + FP/2 + FN/2)

    Source: Kirillov et al. (2019), equations 1 and 2.
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

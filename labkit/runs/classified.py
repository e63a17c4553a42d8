"""What a report shows of any classifier of images: which class is taken for which, and what it got wrong."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from labkit.base.language import both
from labkit.runs import plots
from labkit.runs.plots import Figure
from labkit.runs.run import Run

FEW = 20  # classes whose names and numbers can be read in one figure


def confusion_matrix(labels: np.ndarray, guessed: np.ndarray, classes: int) -> np.ndarray:
    """How many images of each class, by row, got each class, by column: int64 (classes, classes); both are (N,)."""
    counted = np.bincount(np.asarray(labels).astype(np.int64) * classes + guessed, minlength=classes**2)
    return counted.reshape(classes, classes)


def show_confusion(run: Run, labels: np.ndarray, guessed: np.ndarray, classes: Sequence[str]) -> None:
    """The confusion matrix as a figure; `labels` and `guessed` int64 (N,)."""
    matrix, known = confusion_matrix(labels, guessed, len(classes)), list(range(len(classes)))
    side = 6.5 if len(classes) <= FEW else 9.0
    figure, axes = plots.figure(width=side, height=side)
    axis = axes[0, 0]
    axis.grid(False)
    axis.imshow(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    if len(classes) <= FEW:
        for row, column in np.ndindex(*matrix.shape):
            dark = matrix[row, column] > 0.5 * matrix[row].sum()
            axis.text(column, row, matrix[row, column], ha="center", va="center", color="white" if dark else "#333333",
                      fontsize=7.5)  # fmt: skip
    size = 8.5 if len(classes) <= FEW else 4.5
    axis.set_xticks(known)
    axis.set_xticklabels(classes, rotation=90 if max(map(len, classes)) > 1 else 0, fontsize=size)
    axis.set_yticks(known)
    axis.set_yticklabels(classes, fontsize=size)
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    run.figure("confusion", figure, both(
        "Confusion matrix. A row is a true class; colours are shares of the row.",
        "混淆矩阵。每一行是一个真实类别，颜色是在该行中所占的比例。"))  # fmt: skip


def show_mistakes(run: Run, pixels: np.ndarray, labels: np.ndarray, probabilities: np.ndarray,
                  classes: Sequence[str]) -> None:  # fmt: skip
    """The wrong cases of which the network was surest: `pixels` as in `titled`, `probabilities` (N, classes)."""
    guessed = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(guessed != labels)
    surest = wrong[np.argsort(-probabilities[wrong, guessed[wrong]], kind="stable")][:40]
    if len(surest) == 0:
        run.note(both("Not one test image was classified wrongly, so there is no gallery of wrong cases.",
                      "没有一幅测试图分错，所以没有错例图。"))  # fmt: skip
        return
    titles = [f"{classes[guessed[i]]} {probabilities[i, guessed[i]]:.0%}\n"
              f"is {classes[labels[i]]} {probabilities[i, labels[i]]:.0%}" for i in surest]  # fmt: skip
    run.figure("mistakes", titled(pixels[surest], titles, columns=8), both(
        f"Of {len(wrong):,} wrong cases the {len(surest)} in which the network was surest: what it said, what it is, "
        "and the probability that it gave to each.",
        f"{len(wrong):,} 个错例中网络最有把握的 {len(surest)} 个：上行是网络的判断，下行（is）是真实类别，"
        "百分数是网络给出的概率。"
    ))  # fmt: skip


def titled(pixels: np.ndarray, titles: Sequence[str], columns: int) -> Figure:
    """Images in rows, uint8 (N, H, W) grey or (N, H, W, 3), each under its title."""
    rows = -(-len(pixels) // columns)
    figure, axes = plots.figure(rows, columns, width=columns * 1.05, height=1.3)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, title in zip(axes.flat, pixels, titles):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255)
        axis.set_title(title, fontsize=6, fontweight="normal", loc="center", pad=2)
    return figure

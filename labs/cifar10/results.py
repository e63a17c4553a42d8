"""What the report shows of a classifier: pictures of its data, measures by class, and the cases that it got wrong."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from labkit import plots
from labkit.errors import UserError
from labkit.paths import shown
from labkit.run import Run


def show_pictures(run: Run, pixels: np.ndarray, titles: list[str]) -> None:
    """A page of training pictures as the network gets them, uint8 (N, H, W, 3), with their labels."""
    figure = _gallery(pixels, titles, columns=10)
    run.figure("training_pictures", figure, "Training pictures as the network sees them: shifted, and some mirrored.")


def show_measures(run: Run, labels: np.ndarray, probabilities: np.ndarray, classes: list[str]) -> None:
    """Precision and recall of every class, and which class is taken for which.

    `labels` int64 (N,), `probabilities` float32 (N, classes).
    """
    guessed, known = probabilities.argmax(axis=1), list(range(len(classes)))
    precision, recall, f1, support = precision_recall_fscore_support(labels, guessed, labels=known, zero_division=0)
    rows = [[name, f"{p:.1%}", f"{r:.1%}", f"{f:.3f}", int(n)]
            for name, p, r, f, n in zip(classes, precision, recall, f1, support)]  # fmt: skip
    run.table("classes", ["class", "precision", "recall", "F1", "pictures"], rows,
              "Precision: of the pictures given this name, how many bear it. Recall: of the pictures that bear it, how "
              "many were given it.")  # fmt: skip
    matrix = confusion_matrix(labels, guessed, labels=known)
    side = 6.5 if len(classes) <= 20 else 9.0
    figure, axes = plots.figure(width=side, height=side)
    axis = axes[0, 0]
    axis.grid(False)
    axis.imshow(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    if len(classes) <= 20:
        for row, column in np.ndindex(*matrix.shape):
            dark = matrix[row, column] > 0.5 * matrix[row].sum()
            axis.text(column, row, matrix[row, column], ha="center", va="center", color="white" if dark else "#333333",
                      fontsize=7.5)  # fmt: skip
    size = 8.5 if len(classes) <= 20 else 4.5
    axis.set_xticks(known)
    axis.set_xticklabels(classes, rotation=90, fontsize=size)
    axis.set_yticks(known)
    axis.set_yticklabels(classes, fontsize=size)
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    run.figure("confusion", figure, "Confusion matrix. A row is a true class; colours are shares of the row.")


def show_mistakes(run: Run, pixels: np.ndarray, labels: np.ndarray, probabilities: np.ndarray,
                  classes: list[str]) -> None:  # fmt: skip
    """The wrong cases of which the network was surest: `pixels` uint8 (N, H, W, 3), `probabilities` (N, classes)."""
    guessed = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(guessed != labels)
    surest = wrong[np.argsort(-probabilities[wrong, guessed[wrong]], kind="stable")][:40]
    if len(surest) == 0:
        run.note("Not one test picture was classified wrongly, so there is no gallery of wrong cases.")
        return
    titles = [f"{classes[guessed[i]]} {probabilities[i, guessed[i]]:.0%}\n"
              f"is {classes[labels[i]]} {probabilities[i, labels[i]]:.0%}" for i in surest]  # fmt: skip
    run.figure("mistakes", _gallery(pixels[surest], titles, columns=8),
               f"Of {len(wrong):,} wrong cases the {len(surest)} in which the network was surest: what it said, what "
               "it is, and the probability that it gave to each.")  # fmt: skip


def read_picture(path: Path, size: int = 32) -> np.ndarray:
    """The middle square of any picture file, shrunk: uint8 (size, size, 3) RGB. Raises UserError for what is none.

    Colour, grey, transparent and 16-bit pictures come out alike, and a photograph turned by its EXIF tag upright.
    """
    try:
        picture = cv2.imdecode(np.fromfile(str(path), dtype=np.uint8), cv2.IMREAD_COLOR)  # uint8 0..255 HWC BGR
    except (OSError, cv2.error):
        picture = None
    if picture is None:
        raise UserError(f"{shown(path)} is not a picture that can be read")
    side = min(picture.shape[:2])
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    square = picture[top : top + side, left : left + side]
    # the mean of the pixels that each new one covers; the other methods skip pixels, which shows as false patterns
    square = cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(square[:, :, ::-1])


def show_prediction(run: Run, pixels: np.ndarray, names: list[str], probabilities: list[float]) -> None:
    """One picture (H, W, 3) beside the classes that the network finds likeliest."""
    figure, axes = plots.figure(columns=2, width=7, height=2.6)
    picture, bars = axes[0]
    picture.imshow(pixels)
    picture.axis("off")
    picture.set_title("as the network sees it")
    bars.barh(names[::-1], probabilities[::-1])
    bars.set_xlim(0, 1)
    bars.set_xlabel("probability")
    run.figure("prediction", figure, "Your picture, and what the network takes it for.")


def _gallery(pixels: np.ndarray, titles: list[str], columns: int) -> plots.Figure:
    """Pictures in rows, each under its title."""
    rows = -(-len(pixels) // columns)
    figure, axes = plots.figure(rows, columns, width=columns * 1.05, height=1.3)
    for axis in axes.flat:
        axis.axis("off")
    for axis, picture, title in zip(axes.flat, pixels, titles):
        axis.imshow(picture)
        axis.set_title(title, fontsize=6, fontweight="normal", loc="center", pad=2)
    return figure

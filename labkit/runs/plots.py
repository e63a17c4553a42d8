"""How plots look in every lab: one style, one palette, no pyplot and so no window and no global figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Sequence, Tuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from labkit.base import files
from labkit.runs import fonts, records

# Okabe and Ito's palette (jfly.uni-koeln.de/color), which people with colour-blindness tell apart; its yellow is
# left out, being too pale for a line on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")

LINES = dict(zip(records.LINES, COLOURS))  # the same colour in every panel

History = Mapping[str, Tuple[Sequence[int], Sequence[float]]]

_INK, _FAINT = "#333333", "#e3e3e3"
matplotlib.use("Agg")
matplotlib.rcParams.update(
    {
        "figure.dpi": 144,
        "savefig.dpi": 144,
        "figure.facecolor": "white",
        "font.size": 9.5,
        "axes.titlesize": 10.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelcolor": _INK,
        "axes.edgecolor": "#999999",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.prop_cycle": matplotlib.cycler(color=COLOURS),
        "grid.color": _FAINT,
        "grid.linewidth": 0.8,
        "text.color": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "lines.linewidth": 1.8,
        "legend.frameon": False,
        "image.interpolation": "nearest",
    }
)


def figure(rows: int = 1, columns: int = 1, width: float = 8.0, height: float = 3.0) -> tuple[Figure, Any]:
    """A figure and its (rows, columns) array of axes; `width` of the whole and `height` of one row, in inches."""
    made = Figure(figsize=(width, height * rows))
    axes = made.subplots(rows, columns, squeeze=False)
    return made, axes


def plain(text: str) -> str:
    """`text`, which matplotlib would read as a formula where it has two dollar signs: a name of a file or a class."""
    return text.replace("$", r"\$")


def tiles(pixels: np.ndarray, columns: int, gap: int = 2) -> np.ndarray:
    """Images uint8 (N, H, W) or (N, H, W, 3) in rows of `columns` with a white gap between: one uint8 image."""
    count, height, width, *colours = pixels.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, *colours), 255, np.uint8)
    for k, image in enumerate(pixels):
        y, x = k // columns * (height + gap), k % columns * (width + gap)
        sheet[y : y + height, x : x + width] = image
    return sheet


def gallery(pixels: np.ndarray, columns: int, rows: Sequence[str] = (), tops: Sequence[str] = ()) -> Figure:
    """Images uint8 (N, H, W) grey or (N, H, W, 3) in rows; `rows` names the rows and `tops` the columns."""
    sheet = tiles(pixels, columns)
    width = min(8.0, 0.62 * columns + 1.2)
    made, axes = figure(width=width, height=width * sheet.shape[0] / sheet.shape[1])
    axis = axes[0, 0]
    axis.imshow(sheet, cmap="gray", vmin=0, vmax=255)
    axis.grid(False)
    axis.xaxis.tick_top()
    for spine in axis.spines.values():
        spine.set_visible(False)
    for ticks, names, length in ((axis.set_yticks, rows, pixels.shape[1]), (axis.set_xticks, tops, pixels.shape[2])):
        ticks([k * (length + 2) + length / 2 for k in range(len(names))])
    axis.set_yticklabels(list(rows), fontsize=8)
    axis.set_xticklabels(list(tops), fontsize=8)
    return made


def curves(history: History, folder: Path, epoch_steps: int = 0) -> None:
    """Draw every scalar of `history` against its step, or its epoch of so many: one PNG for each panel."""
    for panel, names in records.panels(history).items():
        made, axes = figure(width=4.6, height=2.8)
        axis = axes[0, 0]
        for number, name in enumerate(names):
            steps, values = np.asarray(history[name][0]) / (epoch_steps or 1), np.asarray(history[name][1], dtype=float)
            line = records.split(name)[1]
            colour = LINES.get(line, COLOURS[number % len(COLOURS)])
            if len(values) > 200:
                axis.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8)
                steps, values = _smooth(steps, values, len(values) // 50)
            marker = "o" if len(values) < 30 else None
            axis.plot(steps, values, color=colour, label=plain(line), marker=marker, markersize=3.5)
        axis.set_title(plain(panel.replace("_", " ")))
        axis.set_xlabel("epoch" if epoch_steps else "step")
        if len(names) > 1:
            axis.legend()
        made.tight_layout()
        files.write_bytes(folder / f"{panel}.png", fonts.as_png(made))


def _smooth(steps: Any, values: Any, width: int) -> tuple[Any, Any]:
    """Means over `width` neighbours, at the middle of each window."""
    kernel = np.ones(width) / width
    return np.convolve(steps, kernel, "valid"), np.convolve(values, kernel, "valid")

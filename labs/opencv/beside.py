"""OpenCV and our own beside each other: how far apart, in a table, and both in one picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import cv2
import numpy as np
from matplotlib.figure import Figure

from labkit.base.language import both
from labkit.runs import plots
from labkit.runs.run import Run
from labkit.runs.steps import code
from labs.opencv import colours
from labs.opencv.operators import Operator, Section

COLUMNS = (5, 4, 3)  # of a gallery: as many as leave the fewest gaps


@dataclass(frozen=True)
class Found:
    """An operator on one picture: both results, and how many grey levels they are apart at most."""

    operator: Operator
    theirs: np.ndarray
    ours: np.ndarray
    apart: int
    share: float  # of the numbers that differ at all
    itself: int  # how far OpenCV is from itself without vector instructions


def compare(operator: Operator, picture: np.ndarray) -> Found:
    """Apply both to the picture, OpenCV's also as a processor without vector instructions would."""
    theirs, ours = operator.theirs(picture), operator.ours(picture)
    if theirs.shape != ours.shape or theirs.dtype != ours.dtype:
        raise AssertionError(f"{operator.name}: {theirs.shape} {theirs.dtype} and {ours.shape} {ours.dtype}")
    cv2.setUseOptimized(False)
    try:
        plain = operator.theirs(picture)
    finally:
        cv2.setUseOptimized(True)
    apart = distance(theirs, ours, operator.circle)
    itself = int(distance(theirs, plain, operator.circle).max())
    return Found(operator, theirs, ours, int(apart.max()), float((apart > 0).mean()), itself)


def distance(one: np.ndarray, other: np.ndarray, circle: bool = False) -> np.ndarray:
    """|difference| of two uint8 images: int64; of a hue, in the first channel, the shorter way round 180."""
    apart = np.abs(one.astype(np.int64) - other)
    if circle:
        apart[..., 0] = np.minimum(apart[..., 0], 180 - apart[..., 0])
    return apart


def section(run: Run, part: Section, picture: np.ndarray) -> list[Found]:
    """Compare all operators of a section on the RGB picture, and show them."""
    before = picture if part.coloured else colours.grey(picture)
    found = [compare(operator, before) for operator in part.operators]
    run.figure(f"gallery-{part.name}", gallery(before, found), both(
        f"{part.title}: before, and after. Left of the line in each picture is OpenCV's result, right of it ours; the "
        "number is how many grey levels they are apart at most."
        + " Three channels of another colour space are shown as if they were red, green and blue."
        * (part.name == "colours"),
        f"{part.title}：处理前与处理后。每幅图竖线左边是 OpenCV 的结果，右边是手写的结果；"
        f"数字是两者最多相差几个灰度级。"
        + "其他颜色空间的三个通道在此按红、绿、蓝显示。" * (part.name == "colours")))  # fmt: skip
    return found


def table(run: Run, found: Sequence[Found]) -> tuple[int, int]:
    """The table of all operators. Returns how many are the same in every pixel, and how many 1 grey level apart."""
    heads = [both("operator", "算子"), "OpenCV", both("by hand", "手写"), both("differs by", "相差"),
             both("numbers that differ", "不同之处的占比"),
             both("OpenCV from itself, without vector instructions", "OpenCV 与不用向量指令的自己相差")]  # fmt: skip
    rows = [[each.operator.name, code(each.operator.call), code(each.operator.by_hand), each.apart,
             f"{each.share:.4%}" if each.share else "0", each.itself] for each in found]  # fmt: skip
    exact, near = (sum(each.apart == level for each in found) for level in (0, 1))
    run.table("operators", heads, rows, both(
        f"Every operator, and how far ours is from OpenCV's in grey levels: {exact} of {len(found)} agree in every "
        f"pixel, {near} differ by 1. The last column is how far OpenCV is from itself when vector instructions are "
        "off, as on another processor: where that is 1, no one can be nearer to it.",
        f"每个算子与 OpenCV 相差几个灰度级：{len(found)} 个中有 {exact} 个逐像素一致，{near} 个相差 1。最后一列是 "
        "OpenCV 关掉向量指令（好比换一种处理器）后与它自己的差：这里若是 1，谁也不可能比这更接近它。"))  # fmt: skip
    return exact, near


def gallery(before: np.ndarray, found: Sequence[Found]) -> Figure:
    """The picture before, then each result, half of it OpenCV's and half of it ours."""
    columns = min(COLUMNS, key=lambda wide: -(len(found) + 1) % wide)
    rows = -(-(len(found) + 1) // columns)
    figure, axes = plots.figure(rows, columns, height=8 / columns * min(before.shape[0] / before.shape[1], 1.6) + 0.3)
    panels = [("before", before), *((f"{each.operator.name}: {each.apart}", halves(each)) for each in found)]
    for axis in axes.ravel():
        axis.set_axis_off()
    for axis, (title, image) in zip(axes.ravel(), panels):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
        axis.set_title(title, fontsize=8)
    figure.tight_layout(pad=0.4)
    return figure


def halves(found: Found) -> np.ndarray:
    """The left half of OpenCV's result and the right half of ours, with a white line between."""
    shown = found.ours.copy()
    middle = shown.shape[1] // 2
    shown[:, :middle] = found.theirs[:, :middle]
    shown[:, middle] = 255
    return shown

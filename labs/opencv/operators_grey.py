"""Operators on grey levels, each twice: as OpenCV has it, and by hand."""

from __future__ import annotations

from typing import Any, Callable

import cv2
import numpy as np

from labkit.base.language import both
from labs.opencv import canny, features, filters, finding, pixels, shapes
from labs.opencv.operators import Operator, Section

RECTANGLE, CROSS = np.ones((5, 5), np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (5, 5))
CORNERS = (60, 0.02, 6.0, 4)  # most, quality, distance, block
RADIUS = 20  # of what low-pass keeps, in waves per image


def both_ways(kernels: Any, anchor: tuple[int, int] = (-1, -1)) -> Callable[[np.ndarray], np.ndarray]:
    """|dx| + |dy| of two kernels through OpenCV; its anchor is (x, y)."""

    def apply(x: np.ndarray) -> np.ndarray:
        slopes = [cv2.filter2D(x, cv2.CV_16S, np.array(kernel, np.float32), None, anchor) for kernel in kernels]
        return cv2.add(*map(cv2.convertScaleAbs, slopes))

    return apply


def along(dx: int, dy: int, side: int, share: float = 1.0) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: cv2.convertScaleAbs(cv2.Sobel(x, cv2.CV_16S, dx, dy, None, side), None, share)


EDGES = Section("edges", both("Edges", "边缘"), False, (
    Operator("Roberts", "filter2D(x, CV_16S, kernel, None, (0, 0))", "conv2d(x, [[1 0] [0 -1]]) and its mirror",
             both_ways(filters.ROBERTS, (0, 0)), filters.roberts),
    Operator("Prewitt", "filter2D(x, CV_16S, kernel)", "conv2d(x, [[-1 0 1] [-1 0 1] [-1 0 1]]) and its transpose",
             both_ways(filters.PREWITT), filters.prewitt),
    Operator("Sobel x", "Sobel(x, CV_16S, 1, 0)", "conv2d(x, [[-1 0 1] [-2 0 2] [-1 0 1]])", along(1, 0, 3),
             lambda x: pixels.strength(filters.sobel(x, 3)[0])),
    Operator("Sobel y", "Sobel(x, CV_16S, 0, 1)", "conv2d(x, its transpose)", along(0, 1, 3),
             lambda x: pixels.strength(filters.sobel(x, 3)[1])),
    Operator("Sobel 5 x", "Sobel(x, CV_16S, 1, 0, None, 5) / 16", "conv2d(x, (1 4 6 4 1) by (-1 -2 0 2 1)) / 16",
             along(1, 0, 5, 1 / 16), lambda x: pixels.strength(filters.sobel(x, 5)[0] / 16)),
    Operator("Laplacian", "Laplacian(x, CV_16S)", "conv2d(x, [[0 1 0] [1 -4 1] [0 1 0]])",
             lambda x: cv2.convertScaleAbs(cv2.Laplacian(x, cv2.CV_16S)),
             lambda x: pixels.strength(filters.laplacian(x))),
    Operator("Laplacian 3", "Laplacian(x, CV_16S, None, 3)", "conv2d(x, [[2 0 2] [0 -8 0] [2 0 2]])",
             lambda x: cv2.convertScaleAbs(cv2.Laplacian(x, cv2.CV_16S, None, 3)),
             lambda x: pixels.strength(filters.laplacian(x, filters.LAPLACE_3))),
    Operator("Canny", "Canny(x, 100, 200)", "slopes, crests, hysteresis by max_pool2d",
             lambda x: cv2.Canny(x, 100, 200), lambda x: canny.canny(x, 100, 200)),
    Operator("Canny 5, L2", "Canny(x, 800, 1600, None, 5, True)", "the same with 5 x 5 slopes and dx² + dy²",
             lambda x: cv2.Canny(x, 800, 1600, None, 5, True), lambda x: canny.canny(x, 800, 1600, 5, True)),
))  # fmt: skip

HISTOGRAMS = Section("histograms", both("Histograms", "直方图"), False, (
    Operator("equalized", "equalizeHist(x)", "table = 255 cumsum / pixels", cv2.equalizeHist, shapes.equalize),
    Operator("Otsu", "threshold(x, 0, 255, THRESH_OTSU)", "the level that parts the means best",
             lambda x: cv2.threshold(x, 0, 255, cv2.THRESH_OTSU)[1], shapes.otsu),
))  # fmt: skip


def morphed(kind: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: cv2.morphologyEx(x, kind, RECTANGLE)


MORPHOLOGY = Section("morphology", both("Morphology", "形态学"), False, (
    Operator("eroded", "erode(x, ones(5, 5))", "255 - max_pool2d(255 - x, 5, 1, 2)", lambda x: cv2.erode(x, RECTANGLE),
             lambda x: shapes.erode(x, RECTANGLE)),
    Operator("dilated", "dilate(x, ones(5, 5))", "max_pool2d(x, 5, 1, 2)", lambda x: cv2.dilate(x, RECTANGLE),
             lambda x: shapes.dilate(x, RECTANGLE)),
    Operator("dilated by a cross", "dilate(x, cross)", "unfold, the largest below the cross",
             lambda x: cv2.dilate(x, CROSS), lambda x: shapes.dilate(x, CROSS)),
    Operator("opened", "morphologyEx(x, MORPH_OPEN, k)", "dilate(erode(x))", morphed(cv2.MORPH_OPEN),
             lambda x: shapes.opening(x, RECTANGLE)),
    Operator("closed", "morphologyEx(x, MORPH_CLOSE, k)", "erode(dilate(x))", morphed(cv2.MORPH_CLOSE),
             lambda x: shapes.closing(x, RECTANGLE)),
    Operator("gradient", "morphologyEx(x, MORPH_GRADIENT, k)", "dilate(x) - erode(x)", morphed(cv2.MORPH_GRADIENT),
             lambda x: shapes.outline(x, RECTANGLE)),
    Operator("top hat", "morphologyEx(x, MORPH_TOPHAT, k)", "x - opened", morphed(cv2.MORPH_TOPHAT),
             lambda x: shapes.top_hat(x, RECTANGLE)),
    Operator("black hat", "morphologyEx(x, MORPH_BLACKHAT, k)", "closed - x", morphed(cv2.MORPH_BLACKHAT),
             lambda x: shapes.black_hat(x, RECTANGLE)),
))  # fmt: skip


def template_of(grey: np.ndarray) -> np.ndarray:
    """A part of the picture: of the lab's own, the left window."""
    height, width = grey.shape
    return grey[int(height * 0.49) : int(height * 0.64), int(width * 0.30) : int(width * 0.395)]


def matched(method: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: cv2.matchTemplate(x, template_of(x), method)


def per_pixel(squares: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Sums of squares as the root of their mean, in grey levels. uint8."""
    return pixels.levels(np.sqrt(np.maximum(squares, 0) / template.size))


def painted(grey: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (N, 2), x before y, as white dots on the picture made dark: uint8 (H, W)."""
    marks = np.zeros_like(grey)
    marks[points[:, 1], points[:, 0]] = 255
    return np.maximum(cv2.dilate(marks, np.ones((5, 5), np.uint8)), grey // 3)


def corners(grey: np.ndarray) -> np.ndarray:
    """cv2.goodFeaturesToTrack's, as whole numbers (N, 2); it returns None where there is none."""
    found = cv2.goodFeaturesToTrack(grey.astype(np.float32), *CORNERS[:3], None, None, CORNERS[3])
    return np.zeros((0, 2), np.int64) if found is None else found[:, 0].astype(np.int64)


FINDING = Section("finding", both("Templates and corners", "模板匹配与角点"), False, (
    Operator("TM_SQDIFF", "matchTemplate(x, t, TM_SQDIFF)", "conv2d(x², ones) - 2 conv2d(x, t) + sum of t²",
             lambda x: per_pixel(matched(cv2.TM_SQDIFF)(x), template_of(x)),
             lambda x: per_pixel(finding.square_differences(x, template_of(x)), template_of(x)), 1),
    Operator("TM_CCOEFF_NORMED", "matchTemplate(x, t, TM_CCOEFF_NORMED)", "the correlation coefficient, by conv2d",
             lambda x: pixels.levels(127.5 + 127.5 * matched(cv2.TM_CCOEFF_NORMED)(x)),
             lambda x: pixels.levels(127.5 + 127.5 * finding.likeness(x, template_of(x))), 1),
    Operator("Harris", "cornerHarris(x, 2, 3, 0.04)", "det - 0.04 trace² of summed slopes",
             lambda x: pixels.stretched(np.cbrt(cv2.cornerHarris(x, 2, 3, 0.04))),
             lambda x: pixels.stretched(np.cbrt(finding.harris(x))), 1),
    Operator("corners", "goodFeaturesToTrack(x, 60, 0.02, 6, None, None, 4)", "smaller eigenvalue, max_pool2d",
             lambda x: painted(x, corners(x)), lambda x: painted(x, finding.best_corners(x, *CORNERS))),
))  # fmt: skip


def filtered(keep_slow: bool) -> Callable[[np.ndarray], np.ndarray]:
    def apply(x: np.ndarray) -> np.ndarray:
        waves = cv2.dft(x.astype(np.float64), flags=cv2.DFT_COMPLEX_OUTPUT)
        waves[finding.slow(x.shape, RADIUS) != keep_slow] = 0
        back = cv2.idft(waves, flags=cv2.DFT_SCALE | cv2.DFT_REAL_OUTPUT)
        return pixels.levels(back if keep_slow else back + 128)

    return apply


def through_opencv(angle: float) -> Callable[[np.ndarray], np.ndarray]:
    kernel = cv2.getGaborKernel((features.SIDE, features.SIDE), features.SIGMA, angle, features.WAVE, 1.0, 0.0)
    return lambda x: pixels.strength(cv2.filter2D(x, cv2.CV_32F, kernel - kernel.mean()))


def through_bank(number: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: pixels.strength(features.maps(x)[number])


FEATURES = Section("features", both("Convolution as features", "用卷积提取特征"), False, tuple(
    Operator(f"Gabor {degrees}", f"filter2D(x, CV_32F, getGaborKernel(..., {degrees}°))",
             f"channel {number} of one conv2d(x, bank)", through_opencv(features.ANGLES[number]), through_bank(number),
             1)
    for number, degrees in enumerate((0, 45, 90, 135))))  # fmt: skip


FREQUENCIES = Section("frequencies", both("Scales and frequencies", "尺度与频率"), False, (
    Operator("pyramid", "pyrDown(x)", "conv2d(x, (1 4 6 4 1) by itself, stride 2) / 256", cv2.pyrDown, finding.smaller),
    Operator("low-pass", "dft, cut, idft", "rows and columns times a matrix of waves", filtered(True),
             lambda x: finding.low_pass(x, RADIUS)),
    Operator("high-pass", "dft, cut, idft", "the other frequencies", filtered(False),
             lambda x: finding.high_pass(x, RADIUS)),
))  # fmt: skip

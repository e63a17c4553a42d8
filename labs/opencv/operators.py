"""Operators on colours, each twice: as OpenCV has it, and by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Sequence

import cv2
import numpy as np
from PIL import Image

from labkit.base.language import Both, both
from labs.opencv import colours, filters, pixels

SIDE, SIGMA = 5, 1.2
SHARPEN = np.array(filters.SHARPEN, np.float64)
TONES = pixels.levels(255 * (np.arange(256) / 255) ** 0.6)


@dataclass(frozen=True)
class Operator:
    """One function of OpenCV, and what must give the same: both take a picture and return another, uint8."""

    name: str
    call: str  # of OpenCV, as it is typed
    by_hand: str  # in a line
    theirs: Callable[[np.ndarray], np.ndarray]
    ours: Callable[[np.ndarray], np.ndarray]
    allowed: int = 0  # grey levels
    circle: bool = False  # whether its first channel is a hue: 179 and 0 are one apart


@dataclass(frozen=True)
class Section:
    """The operators of a part of the notes: with `coloured` they are given RGB (H, W, 3), else grey (H, W)."""

    name: str
    title: Both
    coloured: bool
    operators: Sequence[Operator]


def in_colour(code: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: cv2.cvtColor(x, code)


COLOURS = Section("colours", both("Colour spaces", "颜色空间"), True, (
    Operator("BGR", "cvtColor(x, COLOR_RGB2BGR)", "x[..., ::-1]", in_colour(cv2.COLOR_RGB2BGR), lambda x: x[..., ::-1]),
    Operator("grey", "cvtColor(x, COLOR_RGB2GRAY)", "(9798 R + 19235 G + 3735 B + 2**14) >> 15",
             in_colour(cv2.COLOR_RGB2GRAY), colours.grey),
    Operator("YUV", "cvtColor(x, COLOR_RGB2YUV)", "integers, shares of 2**14", in_colour(cv2.COLOR_RGB2YUV),
             colours.yuv),
    Operator("YUV by formula", "cvtColor(x, COLOR_RGB2YUV)", "0.492 (B - Y) + 128, 0.877 (R - Y) + 128",
             in_colour(cv2.COLOR_RGB2YUV), colours.yuv_by_formula, 1),
    Operator("YCrCb", "cvtColor(x, COLOR_RGB2YCrCb)", "integers, shares of 2**14", in_colour(cv2.COLOR_RGB2YCrCb),
             colours.ycrcb),
    Operator("HSV", "cvtColor(x, COLOR_RGB2HSV)", "integers, divisions by a table", in_colour(cv2.COLOR_RGB2HSV),
             colours.hsv),
    Operator("HSV by formula", "cvtColor(x, COLOR_RGB2HSV)", "(max - min) / max, sixths of a circle",
             in_colour(cv2.COLOR_RGB2HSV), colours.hsv_by_formula, 1, circle=True),
    Operator("HSL", "cvtColor(x, COLOR_RGB2HLS)", "(max + min) / 2, span / what L allows",
             in_colour(cv2.COLOR_RGB2HLS), colours.hsl, 1, circle=True),
    Operator("LAB", "cvtColor(x, COLOR_RGB2LAB)", "integers, roots from a table", in_colour(cv2.COLOR_RGB2LAB),
             colours.lab),
    Operator("LAB by formula", "cvtColor(x, COLOR_RGB2LAB)", "116 f(Y) - 16, 500 (f(X) - f(Y)), 200 (f(Y) - f(Z))",
             in_colour(cv2.COLOR_RGB2LAB), colours.lab_by_formula, 2),
    Operator("CMYK and back", "Image.fromarray(inks, 'CMYK').convert('RGB')  # Pillow", "(1 - K) (1 - C)",
             lambda x: np.asarray(Image.fromarray(colours.cmyk(x), mode="CMYK").convert("RGB")),
             lambda x: colours.from_cmyk(colours.cmyk(x))),
))  # fmt: skip

TONE = Section("tone", both("Brightness, contrast, saturation", "亮度、对比度、饱和度"), True, (
    Operator("brighter", "add(x, (40, 40, 40, 0))", "(x + 40).clip(0, 255)",
             lambda x: cv2.add(x, (40.0, 40.0, 40.0, 0.0)), lambda x: pixels.levels(x + 40.0)),
    Operator("more contrast", "convertScaleAbs(x, None, 1.5, -40)", "|1.5 x - 40|, rounded",
             lambda x: cv2.convertScaleAbs(x, None, 1.5, -40.0), lambda x: pixels.strength(1.5 * x - 40)),
    Operator("more saturation", "addWeighted(x, 1.75, grey, -0.75, 0)", "1.75 x - 0.75 grey",
             lambda x: cv2.addWeighted(x, 1.75, cv2.cvtColor(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB),
                                       -0.75, 0.0),
             lambda x: colours.blended(x, 1.75)),
    Operator("gamma 0.6", "LUT(x, table)", "table[x]", lambda x: cv2.LUT(x, TONES), lambda x: TONES[x]),
))  # fmt: skip

SMOOTHING = Section("smoothing", both("Smoothing and sharpening", "平滑与锐化"), True, (
    Operator("box", "blur(x, (5, 5))", "conv2d(x, ones / 25)", lambda x: cv2.blur(x, (SIDE, SIDE)),
             lambda x: filters.box(x, SIDE)),
    Operator("Gaussian", "GaussianBlur(x, (5, 5), 1.2)", "two conv2d, weights in 256ths",
             lambda x: cv2.GaussianBlur(x, (SIDE, SIDE), SIGMA), lambda x: filters.gaussian(x, SIDE, SIGMA)),
    Operator("Gaussian by formula", "GaussianBlur(x, (5, 5), 1.2)", "conv2d, exp(-r² / (2 sigma²))",
             lambda x: cv2.GaussianBlur(x, (SIDE, SIDE), SIGMA), lambda x: filters.gaussian_by_formula(x, SIDE, SIGMA),
             1),
    Operator("median", "medianBlur(x, 5)", "unfold, sort, the 13th of 25", lambda x: cv2.medianBlur(x, SIDE),
             lambda x: filters.median(x, SIDE)),
    Operator("bilateral", "bilateralFilter(x, 5, 60, 2)", "unfold, weights by distance and colour",
             lambda x: cv2.bilateralFilter(x, SIDE, 60, 2), lambda x: filters.bilateral(x, SIDE, 60, 2), 1),
    Operator("sharpened", "filter2D(x, -1, kernel)", "conv2d(x, [[0 -1 0] [-1 5 -1] [0 -1 0]])",
             lambda x: cv2.filter2D(x, -1, SHARPEN), filters.sharpen),
    Operator("unsharp mask", "addWeighted(x, 1.5, GaussianBlur(x), -0.5, 0)", "1.5 x - 0.5 gaussian",
             lambda x: cv2.addWeighted(x, 1.5, cv2.GaussianBlur(x, (SIDE, SIDE), SIGMA), -0.5, 0.0),
             lambda x: filters.unsharp(x, SIDE, SIGMA)),
))  # fmt: skip

"""Canny's edges by hand: slopes, only the crests of their sizes, and of the weak ones those that a strong one holds."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from labs.opencv.filters import sobel_kernels
from labs.opencv.pixels import correlate, replicated

TANGENT = 13573  # of 22.5 degrees, in shares of 2**15


def canny(grey: np.ndarray, low: float, high: float, side: int = 3, squares: bool = False) -> np.ndarray:
    """255 on the edges of uint8 (H, W), 0 elsewhere, as cv2.Canny(grey, low, high, None, side, squares).

    Thresholds are whole numbers to OpenCV; with `squares` sizes are dx² + dy², and the thresholds are squared too.
    """
    low, high = sorted((low, high))
    dx, dy = (correlate(grey, kernel, border=replicated).astype(np.int64) for kernel in sobel_kernels(side))
    size = dx**2 + dy**2 if squares else np.abs(dx) + np.abs(dy)
    if squares:  # of more than 32767 the square would not fit an int32
        low, high = (min(limit, 32767.0) ** 2 if limit > 0 else limit for limit in (low, high))
    crest = is_crest(dx, dy, size) & (size > np.floor(low))
    return np.where(held(crest & (size > np.floor(high)), crest), 255, 0).astype(np.uint8)


def is_crest(dx: np.ndarray, dy: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Non-maximum suppression: larger than both neighbours across the edge; of equals along x or y the first one.

    The direction is one of four: within 22.5 degrees of x, of y, or of one of the diagonals.
    """
    around = np.pad(size, 1, mode="constant")

    def beside(down: int, right: int) -> np.ndarray:
        height, width = size.shape
        return around[1 + down : 1 + down + height, 1 + right : 1 + right + width]

    x, y = np.abs(dx), np.abs(dy) << 15
    along_x, along_y = y < x * TANGENT, y > x * TANGENT + (x << 16)  # tan 67.5 is tan 22.5 + 2
    falling = (dx ^ dy) < 0  # of opposite signs
    diagonal = np.where(falling, (size > beside(-1, 1)) & (size > beside(1, -1)),
                        (size > beside(-1, -1)) & (size > beside(1, 1)))  # fmt: skip
    return np.where(along_x, (size > beside(0, -1)) & (size >= beside(0, 1)), np.where(
        along_y, (size > beside(-1, 0)) & (size >= beside(1, 0)), diagonal))  # fmt: skip


def held(strong: np.ndarray, weak: np.ndarray) -> np.ndarray:
    """Hysteresis: the weak pixels to which a strong one leads through others, by growing till nothing is new."""
    edges, allowed = torch.from_numpy(strong)[None, None].float(), torch.from_numpy(weak)[None, None].float()
    while True:
        grown = F.max_pool2d(edges, 3, stride=1, padding=1) * allowed
        if torch.equal(grown, edges):
            return edges[0, 0].numpy() > 0
        edges = grown

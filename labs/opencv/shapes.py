"""Histograms and morphology by hand. Images are uint8 (H, W)."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F


def counts(grey: np.ndarray) -> np.ndarray:
    """How many pixels have each grey level: int64 (256)."""
    return np.bincount(grey.ravel(), minlength=256)


def equalize(grey: np.ndarray) -> np.ndarray:
    """Each level becomes the share of pixels that are not brighter, from 0 for the darkest that is there."""
    many = counts(grey)
    first = int(np.flatnonzero(many)[0])
    others = grey.size - many[first]
    if others == 0:
        return grey
    scale = np.float32(255) / np.float32(others)  # OpenCV counts in float32 here
    table = np.rint((many.cumsum() - many[first]).astype(np.float32) * scale)
    return np.clip(table, 0, 255).astype(np.uint8)[grey]


def otsu(grey: np.ndarray) -> np.ndarray:
    """255 above the level that parts the pixels into two classes whose means are furthest apart, weighed by size."""
    share = counts(grey) / grey.size
    weight = share.cumsum()[:-1]  # of the class up to each level
    mean = (share * np.arange(256)).cumsum()
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (mean[-1] * weight - mean[:-1]) ** 2 / (weight * (1 - weight))
    between[~((weight > 1e-7) & (weight < 1 - 1e-7))] = 0
    return np.where(grey > between.argmax(), 255, 0).astype(np.uint8)


def dilate(grey: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """The largest of the pixels below the shape, a (side, side) of 0 and 1; beyond the border is nothing."""
    side = len(shape)
    values = torch.from_numpy(grey.astype(np.float32))[None, None]
    if shape.all():
        grown = F.max_pool2d(values, side, stride=1, padding=side // 2)
    else:
        padded = F.pad(values, [side // 2] * 4, value=-1.0)
        around = F.unfold(padded, side).view(side * side, *grey.shape)
        grown = around[torch.from_numpy(shape.ravel() > 0)].max(dim=0)[0]
    return grown.view(grey.shape).numpy().astype(np.uint8)


def erode(grey: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """The smallest one: what dilation does to the negative."""
    return 255 - dilate(255 - grey, shape)


def opening(grey: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Bright things that the shape does not fit into go."""
    return dilate(erode(grey, shape), shape)


def closing(grey: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Dark ones go."""
    return erode(dilate(grey, shape), shape)


def outline(grey: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """The morphological gradient."""
    return dilate(grey, shape) - erode(grey, shape)


def top_hat(grey: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """The bright things that opening took away."""
    return grey - opening(grey, shape)


def black_hat(grey: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """The dark things that closing took away."""
    return closing(grey, shape) - grey

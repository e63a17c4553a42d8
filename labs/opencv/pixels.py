"""What every operator by hand stands on: the border, the sliding sum of products, and the way back to grey levels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F


def reflected(size: int, before: int, after: int) -> np.ndarray:
    """Where the border's pixels come from: 2 1 | 0 1 2 3 | 2 1, OpenCV's BORDER_REFLECT_101, for any size."""
    period = max(2 * (size - 1), 1)
    place = np.abs(np.arange(-before, size + after)) % period
    return np.minimum(place, period - place) if size > 1 else 0 * place


def replicated(size: int, before: int, after: int) -> np.ndarray:
    """0 0 | 0 1 2 3 | 3 3: OpenCV's BORDER_REPLICATE."""
    return np.clip(np.arange(-before, size + after), 0, size - 1)


def bordered(image: np.ndarray, kernel: tuple[int, int], anchor: tuple[int, int], border: Any) -> torch.Tensor:
    """The image (H, W) or (H, W, C) with room for a kernel (height, width) around its anchor: (C, 1, H', W')."""
    rows, columns = (border(size, at, length - 1 - at) for size, length, at in zip(image.shape[:2], kernel, anchor))
    channels = image.reshape(*image.shape[:2], -1)[rows][:, columns]
    return torch.from_numpy(channels.astype(np.float64)).permute(2, 0, 1).unsqueeze(1)


def flat(channels: torch.Tensor, like: np.ndarray) -> np.ndarray:
    """(C, 1, H, W) as the image was: (H, W) or (H, W, C)."""
    return channels[:, 0].permute(1, 2, 0).numpy().reshape(like.shape)


def correlate(image: np.ndarray, kernel: Any, anchor: tuple[int, int] | None = None, border: Any = reflected
              ) -> np.ndarray:  # fmt: skip
    """What cv2.filter2D does, as torch.conv2d does it: the kernel is not turned over. float64, nothing rounded.

    The kernel (height, width) goes over each channel by itself; `anchor` is which of its cells (row, column) stands on
    the pixel, its middle if it is not given.
    """
    weights = torch.as_tensor(np.asarray(kernel, np.float64))
    height, width = weights.shape
    at = anchor or (height // 2, width // 2)
    channels = bordered(image, (height, width), at, border)
    return flat(F.conv2d(channels, weights[None, None]), image)


def neighbours(image: np.ndarray, side: int, border: Any = reflected) -> torch.Tensor:
    """All side x side pixels around each, row by row: float64 (C, side², H, W)."""
    channels = bordered(image, (side, side), (side // 2, side // 2), border)
    return F.unfold(channels, side).view(len(channels), side * side, *image.shape[:2])


def levels(values: np.ndarray) -> np.ndarray:
    """Numbers as grey levels: rounded, halves to the even one as OpenCV does it, cut at 0 and 255. uint8."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def stretched(values: np.ndarray) -> np.ndarray:
    """Numbers from the least to the greatest as 0 to 255, to be looked at; all alike are 0. uint8."""
    low, high = float(values.min()), float(values.max())
    return levels((values.astype(np.float64) - low) * (255 / (high - low) if high > low else 0))


def strength(values: np.ndarray) -> np.ndarray:
    """Numbers of either sign as |number|, cut at 255, which is cv2.convertScaleAbs. uint8."""
    return levels(np.abs(values.astype(np.float64)))

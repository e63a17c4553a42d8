"""Templates, corners, scales and frequencies by hand. Images are uint8 (H, W)."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from labs.opencv.filters import rounded_up, sobel
from labs.opencv.pixels import correlate, levels


def sliding(image: np.ndarray, template: np.ndarray) -> np.ndarray:
    """The sum of products wherever the template lies wholly within: float64 (H - h + 1, W - w + 1)."""
    one, other = (torch.from_numpy(each.astype(np.float64))[None, None] for each in (image, template))
    return F.conv2d(one, other)[0, 0].numpy()


def sums(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The sum below a window of that (height, width), wherever it lies within: along rows, then along columns."""
    return sliding(sliding(values, np.ones((1, shape[1]))), np.ones((shape[0], 1)))


def square_differences(image: np.ndarray, template: np.ndarray) -> np.ndarray:
    """TM_SQDIFF: the sum of (image - template)², 0 where both are the same."""
    squares = (template.astype(np.float64) ** 2).sum()
    return sums(image.astype(np.float64) ** 2, template.shape) - 2 * sliding(image, template) + squares


def likeness(image: np.ndarray, template: np.ndarray) -> np.ndarray:
    """TM_CCOEFF_NORMED: the correlation coefficient, -1 to 1, whatever the brightness and the contrast."""
    centred = template - template.mean()
    total = sums(image, template.shape)
    if not centred.any():  # a template in which nothing varies is like everything, to OpenCV
        return np.ones_like(total)
    spread = np.maximum(sums(image.astype(np.float64) ** 2, template.shape) - total**2 / template.size, 0)
    allowed = np.sqrt(spread * (centred**2).sum())
    return sliding(image, centred) / np.where(allowed > 1e-6, allowed, np.inf)  # 0 where nothing varies


def products_of_slopes(grey: np.ndarray, block: int) -> list[np.ndarray]:
    """The sums over block x block pixels of dx², dx dy and dy², slopes by Sobel as means of grey levels: float64."""
    dx, dy = (slope / (4 * block) for slope in sobel(grey, 3))
    ones = np.ones((block, block))
    return [correlate(product, ones) for product in (dx * dx, dx * dy, dy * dy)]


def harris(grey: np.ndarray, block: int = 2, k: float = 0.04) -> np.ndarray:
    """det - k trace²: large only where both eigenvalues are, which is at a corner; negative along an edge."""
    xx, xy, yy = products_of_slopes(grey / 255.0, block)
    return xx * yy - xy**2 - k * (xx + yy) ** 2


def smaller_eigenvalue(grey: np.ndarray, block: int) -> np.ndarray:
    """Shi and Tomasi's measure of a corner, in float32 as OpenCV has it, so that ties are the same ones."""
    xx, xy, yy = (sums.astype(np.float32) for sums in products_of_slopes(grey, block))
    half = np.float32(0.5)
    xx, yy = xx * half, yy * half
    return xx + yy - np.sqrt((xx - yy) * (xx - yy) + xy * xy)


def best_corners(grey: np.ndarray, most: int, quality: float, apart: float, block: int) -> np.ndarray:
    """cv2.goodFeaturesToTrack: the strongest local maxima that keep their distance, as (x, y): int64 (N, 2)."""
    measure = smaller_eigenvalue(grey, block)
    values = torch.from_numpy(measure)[None, None]
    crest = (values == F.max_pool2d(values, 3, stride=1, padding=1))[0, 0].numpy()
    crest &= measure > quality * float(measure.max())
    crest[[0, -1]] = crest[:, [0, -1]] = False
    places = np.argwhere(crest)[::-1]  # of equals the last one first
    kept: list[tuple[int, int]] = []
    for y, x in places[np.argsort(-measure[tuple(places.T)], kind="stable")].tolist():
        if len(kept) < most and all((x - a) ** 2 + (y - b) ** 2 >= apart**2 for a, b in kept):
            kept.append((x, y))
    return np.array(kept, np.int64).reshape(-1, 2)


def smaller(grey: np.ndarray) -> np.ndarray:
    """cv2.pyrDown: blurred with 1 4 6 4 1, then every second row and column."""
    weights = np.array([1.0, 4, 6, 4, 1]) / 16
    return rounded_up(correlate(grey, np.outer(weights, weights))[::2, ::2])


def waves(size: int) -> np.ndarray:
    """The discrete Fourier transform of that size is a product with this matrix: complex128 (size, size)."""
    turns = np.outer(np.arange(size), np.arange(size)) % size / size
    return np.exp(-2j * np.pi * turns)


def spectrum(grey: np.ndarray) -> np.ndarray:
    """Rows, then columns: complex128 (H, W), the frequency 0 in its corner."""
    height, width = grey.shape
    return waves(height) @ grey @ waves(width)


def image_of(frequencies: np.ndarray) -> np.ndarray:
    """Back from a spectrum: float64 (H, W)."""
    height, width = frequencies.shape
    return (waves(height).conj() @ frequencies @ waves(width).conj()).real / (height * width)


def slow(shape: tuple[int, ...], radius: float) -> np.ndarray:
    """Which frequencies are within the radius, in waves per image; the second half counts down."""
    down, across = (np.minimum(np.arange(size), size - np.arange(size)) for size in shape)
    return down[:, None] ** 2 + across[None, :] ** 2 <= radius**2


def low_pass(grey: np.ndarray, radius: float) -> np.ndarray:
    """Only slow waves: blurred, with rings, since the edge of the disc is sharp."""
    return levels(image_of(spectrum(grey) * slow(grey.shape, radius)))


def high_pass(grey: np.ndarray, radius: float) -> np.ndarray:
    """Only fast ones, which are edges and noise, around the grey 128."""
    return levels(image_of(spectrum(grey) * ~slow(grey.shape, radius)) + 128)

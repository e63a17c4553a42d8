"""Smoothing, sharpening and edges by hand. Images are uint8 (H, W) or (H, W, 3)."""

from __future__ import annotations

import numpy as np
import torch

from labs.opencv.pixels import correlate, levels, neighbours, replicated

SHARPEN = ((0, -1, 0), (-1, 5, -1), (0, -1, 0))
ROBERTS = ((1, 0), (0, -1)), ((0, 1), (-1, 0))
PREWITT = ((-1, 0, 1), (-1, 0, 1), (-1, 0, 1)), ((-1, -1, -1), (0, 0, 0), (1, 1, 1))
LAPLACE = ((0, 1, 0), (1, -4, 1), (0, 1, 0))
LAPLACE_3 = ((2, 0, 2), (0, -8, 0), (2, 0, 2))  # what cv2.Laplacian takes with ksize=3


def box(image: np.ndarray, side: int) -> np.ndarray:
    """The mean of side x side pixels."""
    return levels(correlate(image, np.ones((side, side))) / side**2)


def gaussian_weights(side: int, sigma: float) -> np.ndarray:
    """exp(-x²/(2 sigma²)) at whole x, as shares of their sum: (side)."""
    x = np.arange(side) - side // 2
    weights = np.exp(-(x**2) / (2 * sigma**2))
    return weights / weights.sum()


def in_256ths(weights: np.ndarray) -> np.ndarray:
    """The weights rounded to n/256 from the edge inwards, what rounding takes being given to the next; sum 1."""
    half, carried, rounded = len(weights) // 2, 0.0, np.zeros(len(weights))
    for k in range(half):
        wanted = weights[k] * 256 + carried
        rounded[k] = rounded[-1 - k] = np.rint(wanted)
        carried = wanted - rounded[k]
    rounded[half] = 256 - rounded.sum()
    return rounded / 256


def gaussian(image: np.ndarray, side: int, sigma: float) -> np.ndarray:
    """As OpenCV blurs bytes: first along the rows, then along the columns, the weights n/256."""
    weights = in_256ths(gaussian_weights(side, sigma))
    return rounded_up(correlate(correlate(image, weights[None]), weights[:, None]))


def gaussian_by_formula(image: np.ndarray, side: int, sigma: float) -> np.ndarray:
    """With the weights as they are."""
    weights = gaussian_weights(side, sigma)
    return levels(correlate(image, np.outer(weights, weights)))


def rounded_up(values: np.ndarray) -> np.ndarray:
    """Halves upwards, as whole numbers are rounded by a shift; 0..255. uint8."""
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)


def median(image: np.ndarray, side: int) -> np.ndarray:
    """The middle one of side x side pixels; beyond the border stands the last pixel."""
    around = neighbours(image, side, replicated)
    middle = around.sort(dim=1)[0][:, side * side // 2]
    return middle.permute(1, 2, 0).numpy().reshape(image.shape).astype(np.uint8)


def bilateral(image: np.ndarray, side: int, colour: float, space: float) -> np.ndarray:
    """A Gaussian whose weights fall with the distance in colour too, so that edges stay; within a disc."""
    around = neighbours(image, side)  # (C, side², H, W)
    y, x = np.mgrid[:side, :side] - side // 2
    far = (x**2 + y**2).ravel()
    apart = (around - around[:, side * side // 2, None]).abs().sum(dim=0)  # (side², H, W), over the channels
    weights = torch.from_numpy(np.exp(-far / (2 * space**2)) * (far <= (side // 2) ** 2))[:, None, None]
    weights = weights * torch.exp(-(apart**2) / (2 * colour**2))
    mean = (around * weights).sum(dim=1) / weights.sum(dim=0)
    return levels(mean.permute(1, 2, 0).numpy().reshape(image.shape))


def sharpen(image: np.ndarray) -> np.ndarray:
    """The pixel plus what it has more than its four neighbours."""
    return levels(correlate(image, SHARPEN))


def unsharp(image: np.ndarray, side: int, sigma: float) -> np.ndarray:
    """The image plus half of what blurring took from it."""
    return levels(1.5 * image - 0.5 * gaussian(image, side, sigma))


def roberts(image: np.ndarray) -> np.ndarray:
    """|dx| + |dy| of the two diagonals of 2 x 2 pixels, of which the upper left is the pixel itself."""
    return sum_of_sizes(*(correlate(image, kernel, anchor=(0, 0)) for kernel in ROBERTS))


def prewitt(image: np.ndarray) -> np.ndarray:
    return sum_of_sizes(*(correlate(image, kernel) for kernel in PREWITT))


def sum_of_sizes(dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    return levels(np.abs(dx) + np.abs(dy))


def sobel_kernels(side: int) -> tuple[np.ndarray, np.ndarray]:
    """A slope one way, a blur the other way: both grow from (1 1) and (-1 1) by convolving with (1 1)."""
    blur, slope = np.array([1.0]), np.array([-1.0, 1.0])
    for _ in range(side - 1):
        blur = np.convolve(blur, [1.0, 1.0])
    for _ in range(side - 2):
        slope = np.convolve(slope, [1.0, 1.0])
    return np.outer(blur, slope), np.outer(slope, blur)


def sobel(image: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The slopes along x and y, of both signs: float64."""
    dx, dy = sobel_kernels(side)
    return correlate(image, dx), correlate(image, dy)


def laplacian(image: np.ndarray, kernel: tuple[tuple[int, ...], ...] = LAPLACE) -> np.ndarray:
    """The second derivatives along x and y, added: float64 of both signs."""
    return correlate(image, kernel)

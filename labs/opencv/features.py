"""Features by convolution: a bank of oriented kernels as the first layer of a network, and what that is good for."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from labs.opencv.pixels import bordered, reflected

SIDE, SIGMA, WAVE = 9, 2.0, 5.0  # of the kernels: pixels, the width of their window, the length of their wave
ANGLES = tuple(np.pi * k / 4 for k in range(4))


def gabor(angle: float) -> np.ndarray:
    """A wave along `angle` (radians) under a Gaussian window, its mean taken off so that flat areas give 0: (9, 9)."""
    y, x = -(np.mgrid[:SIDE, :SIDE] - SIDE // 2)  # as OpenCV turns it; the kernel is the same
    along = x * np.cos(angle) + y * np.sin(angle)
    kernel = np.exp(-(x**2 + y**2) / (2 * SIGMA**2)) * np.cos(2 * np.pi * along / WAVE)
    return kernel - kernel.mean()


def bank() -> torch.Tensor:
    """The kernels as the weight of a convolution: float64 (4, 1, 9, 9)."""
    return torch.from_numpy(np.stack([gabor(angle) for angle in ANGLES])).unsqueeze(1)


def maps(grey: np.ndarray) -> np.ndarray:
    """What each kernel answers at each pixel of (H, W): float64 (4, H, W)."""
    around = bordered(grey, (SIDE, SIDE), (SIDE // 2, SIDE // 2), reflected)
    return F.conv2d(around, bank())[0].numpy()


def textures(count: int, seed: int, side: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Stripes in four directions with any phase, length and contrast, under noise: uint8 (N, H, W), and the classes."""
    random = np.random.RandomState(seed)
    y, x = np.mgrid[:side, :side]
    classes = np.arange(count) % 4
    images = []
    for kind in classes:
        angle = ANGLES[kind] + random.uniform(-0.2, 0.2)
        along = x * np.cos(angle) + y * np.sin(angle)
        wave = np.cos(2 * np.pi * (along / random.uniform(4, 7) + random.rand()))
        images.append(128 + random.uniform(20, 60) * wave + 20 * random.randn(side, side))
    return np.clip(np.stack(images), 0, 255).astype(np.uint8), classes


def energies(images: np.ndarray) -> np.ndarray:
    """Features of images (N, H, W): the share of each kernel in the mean |answer|, (N, 4)."""
    means = np.stack([np.abs(maps(image)).mean(axis=(1, 2)) for image in images])
    return means / means.sum(axis=1, keepdims=True)


def accuracy(train: np.ndarray, train_classes: np.ndarray, test: np.ndarray, test_classes: np.ndarray) -> float:
    """Share of `test` (N, features) whose nearest class mean of `train` is the right one."""
    centres = np.stack([train[train_classes == kind].mean(axis=0) for kind in range(4)])
    apart = ((test[:, None] - centres[None]) ** 2).sum(axis=-1)
    return float((apart.argmin(axis=1) == test_classes).mean())


def pixels_and_features(seed: int) -> tuple[float, float]:
    """How often the class mean of raw pixels, and that of four features, tells the direction of new stripes."""
    (train, classes), (test, truth) = textures(80, seed), textures(200, seed + 1)
    raw = [images.reshape(len(images), -1).astype(np.float64) for images in (train, test)]
    return (accuracy(raw[0], classes, raw[1], truth),
            accuracy(energies(train), classes, energies(test), truth))  # fmt: skip

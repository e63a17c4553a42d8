"""Facades: pairs of a photograph and its labels, read, jittered, and turned into what the networks take."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import torch

from labkit.base.errors import UserError
from labkit.base.paths import shown
from labkit.data import folders
from labkit.data.image_files import read_image

# The colours of the twelve labels, uint8 RGB, as published: background, facade, window, door, cornice, sill, balcony,
# blind, deco, moulding, pillar, shop; by their place on a scale from blue over yellow to red, in steps of 85.
COLOURS = np.array([(0, 0, 170), (0, 0, 255), (0, 85, 255), (0, 170, 255), (0, 255, 255), (85, 255, 170),
                    (170, 255, 85), (255, 255, 0), (255, 170, 0), (255, 85, 0), (255, 0, 0), (170, 0, 0)],
                   np.uint8)  # fmt: skip


def read_pairs(folder: Path, split: str, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Photographs and labels of `split`, uint8 RGB (N, side, side, 3) each, in the order of their file names."""
    paths = folders.fitting(folder / "facades" / split, "*.jpg")
    if not paths:
        raise UserError(f"{shown(folder)} has no pairs in facades/{split}", "./inv data facades --verify")
    photos, labels = [], []
    for path in paths:
        pair = read_image(path)
        half = pair.shape[1] // 2
        if not half:
            raise UserError(f"{shown(path)} is one pixel wide: no photograph beside its labels")
        photos.append(cv2.resize(pair[:, :half], (side, side), interpolation=cv2.INTER_AREA))
        labels.append(cv2.resize(pair[:, half:], (side, side), interpolation=cv2.INTER_NEAREST))  # no mixed colours
    return torch.from_numpy(np.stack(photos)), torch.from_numpy(np.stack(labels))


def middle(image: np.ndarray, size: int) -> torch.Tensor:
    """The middle square of an image (H, W, 3), resized: uint8 (size, size, 3)."""
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    way = cv2.INTER_AREA if side >= size else cv2.INTER_LINEAR
    square = cv2.resize(image[top : top + side, left : left + side], (size, size), interpolation=way)
    return torch.from_numpy(square)


def jitter(photos: torch.Tensor, labels: torch.Tensor, size: int, generator: torch.Generator
           ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """A random window of `size` for each pair, uint8 (N, S, S, 3), half of them mirrored: both halves alike."""
    given = []
    for pair in zip(photos, labels):
        y, x = torch.randint(photos.shape[1] - size + 1, (2,), generator=generator).tolist()
        mirrored = torch.rand((), generator=generator) < 0.5
        windows = [half[y : y + size, x : x + size] for half in pair]
        given.append([window.flip(1) if mirrored else window for window in windows])
    return torch.stack([pair[0] for pair in given]), torch.stack([pair[1] for pair in given])


def to_network(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 (N, S, S, 3) as float32 -1..1 (N, 3, S, S)."""
    return pixels.permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1


def to_pixels(images: torch.Tensor) -> torch.Tensor:
    """The way back, on the CPU."""
    return ((images + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().cpu()


def classes_of(labels: torch.Tensor) -> torch.Tensor:
    """The nearest of COLOURS for every pixel of uint8 (N, S, S, 3): int64 (N, S, S). JPEG shifts colours a little."""
    colours = torch.from_numpy(COLOURS.astype(np.float32)).to(labels.device)
    nearest = torch.zeros(labels.shape[:3], dtype=torch.long, device=labels.device)
    smallest = torch.full(labels.shape[:3], math.inf, device=labels.device)  # the distance to it so far
    for k, colour in enumerate(colours):  # colour by colour: all distances at once would be 12 times the memory
        distance = ((labels.float() - colour) ** 2).sum(dim=3)
        nearest[distance < smallest] = k
        smallest = torch.min(smallest, distance)
    return nearest

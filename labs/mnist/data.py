"""The digits in memory as they are stored, uint8, and each batch of them shifted or bent in one operation.

A run's random numbers follow from (seed, epoch) and the place in the epoch alone, so a resumed run makes the same
batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch.nn import functional as F

from labkit.data import mnist

BEND = 6  # random numbers that bending an image takes


@dataclass(frozen=True)
class Digits:
    pixels: torch.Tensor  # uint8 (N, 28, 28), ink bright on black
    labels: torch.Tensor  # int64 (N,)

    def __getitem__(self, part: slice | torch.Tensor) -> Digits:
        return Digits(self.pixels[part], self.labels[part])

    def __len__(self) -> int:
        return len(self.labels)


def read(folder: Path) -> tuple[Digits, Digits]:
    """The training and the test images. Raises UserError where the files hold anything else."""
    loaded = [map(torch.from_numpy, mnist.load(folder, split)) for split in ("train", "test")]
    (pixels, labels), (test, answers) = loaded
    return Digits(pixels, labels.long()), Digits(test, answers.long())


def middle(pixels: torch.Tensor, side: int) -> torch.Tensor:
    """The square of `side` pixels in the middle: (N, H, W) -> (N, side, side), a view."""
    margin = (pixels.shape[1] - side) // 2
    return pixels[:, margin : margin + side, margin : margin + side]


def windows(pixels: torch.Tensor, side: int, shift: int) -> torch.Tensor:
    """Every square of `side` pixels up to `shift` away from the middle: uint8 (N, places, places, side, side).

    There are 2 shift + 1 places along each axis. Nothing is copied but for a border of paper: `unfold(dim, size, step)`
    describes overlapping windows over the same memory, and an index for each of the first three dimensions takes a
    whole shifted batch at once.
    """
    padded = F.pad(pixels, (shift,) * 4)
    return middle(padded, side + 2 * shift).unfold(1, side, 1).unfold(2, side, 1)


class Plan(NamedTuple):
    """What one epoch does with each image, by position in the epoch."""

    order: torch.Tensor  # (N,) which image
    y: torch.Tensor  # (N,) which window
    x: torch.Tensor
    u: torch.Tensor  # (N, BEND) in [-1, 1), for bending; (N, 0) where nothing is bent


def plan_epoch(count: int, shift: int, seed: int, epoch: int, bent: bool = False) -> Plan:
    """The plan of `epoch` for `count` images, which follows from (seed, epoch)."""
    generator = torch.Generator().manual_seed(1_000_003 * (seed + 1) + epoch)
    order = torch.randperm(count, generator=generator)
    y, x = torch.randint(2 * shift + 1, (2, count), generator=generator)
    return Plan(order, y, x, 2 * torch.rand(count, BEND if bent else 0, generator=generator) - 1)


def bend(pixels: torch.Tensor, u: torch.Tensor, warp: float, shift: int, side: int) -> torch.Tensor:
    """Turned, stretched, slanted and moved, and of that the middle: (N, H, H) -> float32 (N, side, side).

    `u` (N, 6) in [-1, 1) says by how much.

    By at most `warp` radians, the factor e^warp along each axis, `warp` pixels sideways for each pixel down, and
    `shift` pixels. Each pixel is read, between four neighbours, from the place where it comes from.
    """
    whole = pixels.shape[1]
    turn, wide, high, slant = (warp * u[:, :4]).unbind(dim=1)
    rows = torch.stack([turn.cos() * wide.exp(), slant - turn.sin(), turn.sin(), turn.cos() * high.exp()], dim=1)
    rows = rows * (side / whole)  # of the middle only
    theta = torch.cat([rows.reshape(-1, 2, 2), (2 * shift / whole * u[:, 4:]).unsqueeze(2)], dim=2)  # (N, 2, 3)
    x = pixels.unsqueeze(1).float()
    grid = F.affine_grid(theta, [len(x), 1, side, side], align_corners=False)
    return F.grid_sample(x, grid, align_corners=False).squeeze(1)


class Source:
    """Training images of which `batch` makes any batch."""

    def __init__(self, digits: Digits, side: int, shift: int, warp: float, device: torch.device) -> None:
        self.side, self.shift, self.warp, self.device = side, shift, warp, device
        self.windows = windows(digits.pixels, side, shift)
        self.digits = digits

    def batch(self, plan: Plan, part: slice) -> tuple[torch.Tensor, torch.Tensor]:
        """The images (N, side, side) at the positions `part` of the epoch, and their labels int64 (N,)."""
        chosen = plan.order[part]
        if self.warp:
            pixels = bend(self.digits.pixels[chosen], plan.u[part], self.warp, self.shift, self.side)
        else:
            pixels = self.windows[chosen, plan.y[part], plan.x[part]]
        return pixels.to(self.device), self.digits.labels[chosen].to(self.device)

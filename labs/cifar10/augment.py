"""The training pictures of one epoch, a batch in one operation: shifted and mirrored always, the rest as asked.

Pictures stay in memory as they are stored, uint8 0..255 (N, H, W, 3), four times smaller than float32. A DataLoader
calls its transforms for every picture; here every step takes and returns a whole batch.

Chance comes in as numbers: row i of `u` (N, k) holds k draws from [0, 1) that belong to picture i. They follow from
(seed, epoch) and the picture's place in the epoch alone, so a resumed run makes the same batches.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from labkit.base.errors import UserError, nearest
from labs.cifar10.augmix import augmix, warp


def shrink(pixels: torch.Tensor, size: int) -> torch.Tensor:
    """`pixels` (N, H, W, 3) made smaller: uint8 (N, size, size, 3), each pixel the mean of the area that it covers."""
    parts = [F.interpolate(part.permute(0, 3, 1, 2).float(), size=(size, size), mode="area").round().byte()
             for part in pixels.split(5000)]  # fmt: skip
    return torch.cat(parts).permute(0, 2, 3, 1).contiguous()


def crop_windows(pixels: torch.Tensor, shift: int, device: torch.device) -> torch.Tensor:
    """Every shifted crop of every picture: uint8 (N, 2 * shift + 1, 2 * shift + 1, H, W, 3), without copies.

    Moving by more than nothing uncovers a border, which is filled with the mirrored picture. The crops overlap in
    memory, so `windows[i, y, x]` with three index vectors gathers a whole augmented batch in one operation.
    """
    _, height, width, _ = pixels.shape
    padded = np.pad(pixels.numpy(), ((0, 0), (shift, shift), (shift, shift), (0, 0)), mode="reflect")
    stored = torch.from_numpy(padded).to(device)  # before the view, which would become 25 copies on its way
    n, y, x, channel = stored.stride()
    places = 2 * shift + 1
    return stored.as_strided((len(stored), places, places, height, width, 3), (n, y, x, y, x, channel))


class Plan(NamedTuple):
    """What one epoch does with each picture, by position in the epoch."""

    order: torch.Tensor  # (N,) which picture
    y: torch.Tensor  # (N,) which crop window
    x: torch.Tensor
    flip: torch.Tensor  # (N,) bool
    u: torch.Tensor  # (N, draws) in [0, 1), for all other augmentations


def plan_epoch(count: int, shift: int, seed: int, epoch: int, flip: bool = True, draws: int = 0) -> Plan:
    """The plan of `epoch` for `count` pictures. It follows from (seed, epoch) alone, so a resumed run finds it again.

    A picture is flipped in every second epoch, in the odd or the even ones by the toss of a coin: two epochs then show
    both views of each picture, where tossing anew would show half of the pictures the same way twice.
    Source: K. Jordan, 94% on CIFAR-10 in 3.29 Seconds (2024), section 3.5.
    """
    first = torch.rand(count, generator=torch.Generator().manual_seed(seed)) < 0.5
    generator = torch.Generator().manual_seed(1_000_003 * (seed + 1) + epoch)
    order = torch.randperm(count, generator=generator)
    y, x = torch.randint(2 * shift + 1, (2, count), generator=generator)
    flips = (first if epoch % 2 == 0 else ~first)[order] & flip
    return Plan(order, y, x, flips, torch.rand(count, draws, generator=generator))


def gather(windows: torch.Tensor, plan: Plan, part: slice) -> torch.Tensor:
    """The shifted and mirrored pictures at the positions `part` of the epoch: uint8 (N, H, W, 3)."""
    pixels = windows[plan.order[part], plan.y[part], plan.x[part]]  # (N, H, W, 3)
    flip = plan.flip[part]
    pixels[flip] = pixels[flip].flip(2)
    return pixels


# ---- one picture from one picture ----


def colour(pixels: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Brightness, then contrast, then saturation, each times a factor from 0.6 to 1.4; `u` (N, 3).

    Factor 0 would be black, the mean grey of the picture, and the picture in grey (as in torchvision's ColorJitter).
    """
    brightness, contrast, saturation = (0.6 + 0.8 * u).t().reshape(3, -1, 1, 1, 1)
    x = (pixels.float() * brightness).clamp(0, 255)  # (N, H, W, 3)
    mean = _grey(x).mean(dim=(1, 2, 3), keepdim=True)
    x = (mean + contrast * (x - mean)).clamp(0, 255)
    grey = _grey(x)
    return (grey + saturation * (x - grey)).clamp(0, 255).round().byte()


def _grey(x: torch.Tensor) -> torch.Tensor:
    """How bright the eye finds each pixel, (N, H, W, 3) -> (N, H, W, 1). Source: ITU-R BT.601."""
    return (x * x.new_tensor([0.299, 0.587, 0.114])).sum(dim=3, keepdim=True)


def rotation(pixels: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Turned about the middle by up to 15 degrees either way; `u` (N, 1)."""
    angle = (2 * u[:, 0] - 1) * math.radians(15)
    sin, cos, zero = angle.sin(), angle.cos(), torch.zeros_like(angle)
    return warp(pixels, torch.stack([cos, -sin, zero, sin, cos, zero], dim=1).reshape(-1, 2, 3))


def cutout(pixels: torch.Tensor, u: torch.Tensor, fill: torch.Tensor) -> torch.Tensor:
    """A square a quarter as wide as the picture gets the colour `fill`, uint8 (3,); `u` (N, 2) is its middle.

    The network must then not rest on one detail. Source: DeVries & Taylor, Improved Regularization of CNNs with Cutout
    (2017): the middle may lie at the border, the colour is the mean of the data, the side 8 (of 32) on CIFAR-100.
    """
    hidden = _boxes(pixels.shape[1], u, torch.full_like(u[:, 0], 0.25))
    return torch.where(hidden.unsqueeze(3), fill, pixels)


def _boxes(size: int, middle: torch.Tensor, side: torch.Tensor) -> torch.Tensor:
    """Where a square is, cut off at the picture's border: bool (N, size, size).

    `middle` (N, 2), row and column, and `side` (N,) are shares of the picture's side.
    """
    start = ((middle - side.unsqueeze(1) / 2) * size).round()  # (N, 2)
    stop = start + (side.unsqueeze(1) * size).round()
    place = torch.arange(size, device=middle.device, dtype=middle.dtype)
    rows, columns = ((place >= start.unsqueeze(2)) & (place < stop.unsqueeze(2))).unbind(dim=1)  # (N, size) each
    return rows.unsqueeze(2) & columns.unsqueeze(1)


# ---- one picture from two: the label is mixed too ----


def mixup(pixels: torch.Tensor, others: torch.Tensor, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both pictures laid over each other, and the weight of the first, (N,); `u` (N, 1).

    Source: Zhang et al., mixup: Beyond Empirical Risk Minimization (2018). Its Beta(1, 1) is the uniform distribution.
    """
    weight = u[:, 0]
    share = weight.reshape(-1, 1, 1, 1)
    return (share * pixels.float() + (1 - share) * others.float()).round().byte(), weight


def cutmix(pixels: torch.Tensor, others: torch.Tensor, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A square of the first picture is taken from the second; the weight of the first, (N,), is the area it kept.

    `u` (N, 3): the area that the first should keep, and the middle of the square; what the border cuts off is kept too.
    Source: Yun et al., CutMix: Regularization Strategy to Train Strong Classifiers (2019), with its Beta(1, 1).
    """
    pasted = _boxes(pixels.shape[1], u[:, 1:], (1 - u[:, 0]).sqrt())
    weight = 1 - pasted.float().mean(dim=(1, 2))
    return torch.where(pasted.unsqueeze(3), others, pixels), weight


# ---- a batch ----

DRAWS = {"rotation": 1, "colour": 3, "augmix": 25, "cutout": 2, "mixup": 1, "cutmix": 3}  # in the order of applying


class Batch(NamedTuple):
    """Pictures and what they show: `labels` with `weight`, and `others` with the rest of 1."""

    pixels: torch.Tensor  # uint8 (N, H, W, 3)
    labels: torch.Tensor  # int64 (N,)
    others: torch.Tensor  # int64 (N,), the same as labels where nothing was mixed in
    weight: torch.Tensor  # float32 (N,), 0..1


def names(text: str) -> tuple[str, ...]:
    """The augmentations in `text`, "colour,cutmix" or "colour+cutmix", in the order of applying; "none" for no one."""
    asked = [word.strip() for word in re.split("[,+]", text) if word.strip() not in ("", "none")]
    for word in asked:
        if word not in DRAWS:
            raise UserError(f"--augment: there is no {word}; {nearest(word, list(DRAWS))}",
                            f"invoke lab cifar10 -- --augment {','.join(DRAWS)}")  # fmt: skip
    return tuple(name for name in DRAWS if name in asked)


def draws(chosen: tuple[str, ...]) -> int:
    """How many draws a picture needs for `chosen`; the last one chooses between two ways of mixing."""
    return sum(DRAWS[name] for name in chosen) + 1 if chosen else 0


def change(pixels: torch.Tensor, labels: torch.Tensor, chosen: tuple[str, ...], u: torch.Tensor,
           fill: torch.Tensor) -> Batch:  # fmt: skip
    """A batch with the augmentations `chosen`; `u` (N, draws(chosen)), `fill` the colour of what cutout hides.

    The picture mixed in is the one at the mirrored place of the batch, whose order is random. Where both mixup and
    cutmix are chosen, each picture gets one of them.
    """
    column, mixed = 0, {}
    for name in chosen:
        own = u[:, column : column + DRAWS[name]]
        column += DRAWS[name]
        if name == "rotation":
            pixels = rotation(pixels, own)
        elif name == "colour":
            pixels = colour(pixels, own)
        elif name == "augmix":
            pixels = augmix(pixels, own)
        elif name == "cutout":
            pixels = cutout(pixels, own, fill)
        else:
            mixed[name] = (mixup if name == "mixup" else cutmix)(pixels, pixels.flip(0), own)
    if not mixed:
        return Batch(pixels, labels, labels, torch.ones(len(labels), device=labels.device))
    (pixels, weight), *second = mixed.values()
    if second:
        coin = u[:, -1] < 0.5
        pixels = torch.where(coin.reshape(-1, 1, 1, 1), pixels, second[0][0])
        weight = torch.where(coin, weight, second[0][1])
    return Batch(pixels, labels, labels.flip(0), weight)


class Source:
    """Training pictures at one size, uint8 (N, H, W, 3), and their labels, of which `batch` makes any batch."""

    def __init__(self, pixels: torch.Tensor, labels: torch.Tensor, shift: int, chosen: tuple[str, ...],
                 device: torch.device) -> None:  # fmt: skip
        self.windows = crop_windows(pixels, shift, device)
        self.labels, self.chosen, self.device = labels.to(device), chosen, device
        self.fill = pixels.reshape(-1, 3).double().mean(dim=0).round().byte().to(device)

    def batch(self, plan: Plan, part: slice) -> Batch:
        """The augmented pictures at the positions `part` of the epoch."""
        pixels, labels = gather(self.windows, plan, part), self.labels[plan.order[part]]
        return change(pixels, labels, self.chosen, plan.u[part].to(self.device), self.fill)

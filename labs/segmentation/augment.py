"""The training images of one epoch: cropped, mirrored and recoloured, a batch in one operation.

What moves an image must move its labels alike; what colours it leaves them alone.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from labs.segmentation.data import Images

GREY = (0.299, 0.587, 0.114)  # how much red, green and blue add to how bright a pixel looks (ITU-R BT.601)


def windows(stored: torch.Tensor, crop: int) -> torch.Tensor:
    """Every crop of every image of `stored` (N, S, S, ...): (N, places, places, crop, crop, ...), without copies.

    `unfold(dim, size, step)` describes all windows along a dimension as a tensor over the same memory, in which they
    overlap: torch.arange(4).unfold(0, 3, 1) is [[0, 1, 2], [1, 2, 3]], from four numbers stored. Along both sides, this
    gives the crop from row y and column x on as `windows[i, y, x]`, and with three index vectors a whole batch in one
    operation.
    """
    views = stored.unfold(1, crop, 1).unfold(2, crop, 1)  # (N, places, places, ..., crop, crop)
    rest = range(3, stored.dim())  # the channels, of pixels; labels have none
    return views.permute(0, 1, 2, views.dim() - 2, views.dim() - 1, *rest)


class Plan(NamedTuple):
    """What one epoch does with each image, by position in the epoch."""

    order: torch.Tensor  # (N,) which image
    y: torch.Tensor  # (N,) where its crop begins
    x: torch.Tensor
    flip: torch.Tensor  # (N,) bool
    colour: torch.Tensor  # (N, 3) factors of brightness, contrast and saturation, around 1


def plan_epoch(sizes: torch.Tensor, crop: int, colour: float, seed: int, epoch: int) -> Plan:
    """The plan of `epoch`. It follows from (seed, epoch) alone, so a resumed run finds it again.

    `sizes` (N, 2) are the images' heights and widths: a crop takes in room beside its image only where it must.
    """
    generator = torch.Generator().manual_seed(1_000_003 * (seed + 1) + epoch)
    order = torch.randperm(len(sizes), generator=generator)
    places = (sizes[order] - crop).clamp(min=0) + 1
    y, x = (torch.rand(len(sizes), 2, generator=generator) * places.float()).long().t()
    flip = torch.rand(len(sizes), generator=generator) < 0.5
    factors = 1 + colour * (2 * torch.rand(len(sizes), 3, generator=generator) - 1)
    return Plan(order, y, x, flip, factors)


def gather(data: Images, plan: Plan, part: slice, crop: int,
           device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """The augmented images at the positions `part` of the epoch, and their labels, on `device`.

    Pixels float32 0..255 (N, crop, crop, 3), labels uint8 (N, crop, crop).
    """
    where = plan.order[part], plan.y[part], plan.x[part]
    pixels, labels = windows(data.pixels, crop)[where], windows(data.labels, crop)[where]
    flip = plan.flip[part]
    pixels[flip], labels[flip] = pixels[flip].flip(2), labels[flip].flip(2)
    return recolour(pixels.to(device).float(), plan.colour[part].to(device)), labels.to(device)


def recolour(pixels: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """`pixels` float32 0..255 (N, H, W, 3) brighter, richer in contrast and in colour by `factors` (N, 3).

    Brightness is a product; contrast moves away from the mean grey of the image, saturation from each pixel's own.
    """
    weights = torch.tensor(GREY, device=pixels.device)
    brightness, contrast, saturation = factors.reshape(-1, 3, 1, 1, 1).unbind(1)  # each (N, 1, 1, 1)
    pixels = (pixels * brightness).clamp_(0, 255)
    grey = (pixels @ weights).mean(dim=(1, 2)).reshape(-1, 1, 1, 1)
    pixels = (grey + contrast * (pixels - grey)).clamp_(0, 255)
    grey = (pixels @ weights).unsqueeze(3)  # (N, H, W, 1)
    return (grey + saturation * (pixels - grey)).clamp_(0, 255)

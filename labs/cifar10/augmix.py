"""AugMix: an image mixed with three versions of itself, each of which went through a random chain of operations.

The mixture stays close to the image, so its label stays right although single operations are strong.
Source: Hendrycks et al., AugMix: A Simple Data Processing Method to Improve Robustness and Uncertainty (2020), with its
three chains, depths 1 to 3, Dirichlet(1) and Beta(1, 1), at severity 3; without its second loss, which compares three
views of every image and so triples the cost. Operations: Cubuk et al., AutoAugment (2019), those that AugMix kept.

Shapes: `pixels` uint8 0..255 (N, H, W, 3); `amount`, how strong an operation is, (N,) in [0, 1).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch.nn import functional as F

CHAINS, DEPTH = 3, 3
AUGMIX_DRAWS = CHAINS + 1 + CHAINS * (1 + DEPTH + DEPTH)  # random numbers for each image: 25
ENDED = -1  # in the place of an operation's number: this image's chain is over, leave it as it is


class Chance(NamedTuple):
    """The random numbers of AugMix, all in [0, 1), by what they decide."""

    weight: torch.Tensor  # (N, CHAINS) how much each chain counts in the mixture
    share: torch.Tensor  # (N,) how much of the image itself is kept
    length: torch.Tensor  # (N, CHAINS) of how many operations each chain is
    operation: torch.Tensor  # (N, CHAINS, DEPTH) which ones
    amount: torch.Tensor  # (N, CHAINS, DEPTH) how strong each is


def named(u: torch.Tensor) -> Chance:
    """The columns of `u` (N, AUGMIX_DRAWS) by name. In their order they are

        3 weights | 1 share | 1 length, 3 operations, 3 amounts | 1, 3, 3 | 1, 3, 3     the last are the three chains
    """
    weight, share, chains = u.split([CHAINS, 1, CHAINS * (1 + DEPTH + DEPTH)], dim=1)
    length, operation, amount = chains.reshape(len(u), CHAINS, -1).split([1, DEPTH, DEPTH], dim=2)
    return Chance(weight, share.squeeze(1), length.squeeze(2), operation, amount)


def augmix(pixels: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """The mixture: uint8 (N, H, W, 3); `u` (N, AUGMIX_DRAWS) in [0, 1)."""
    chance = named(u)
    weights = -chance.weight.clamp(min=1e-7).log()  # exponential numbers; divided by their sum they are Dirichlet(1)
    weights = weights / weights.sum(dim=1, keepdim=True)
    mixture = torch.zeros(pixels.shape, device=pixels.device)
    for chain in range(CHAINS):
        version, length = pixels, 1 + (DEPTH * chance.length[:, chain]).long()  # 1..DEPTH
        for k in range(DEPTH):
            operation = (OPERATIONS * chance.operation[:, chain, k]).long()  # 0..OPERATIONS - 1
            operation[k >= length] = ENDED
            version = operate(version, operation, chance.amount[:, chain, k])
        mixture += weights[:, chain].reshape(-1, 1, 1, 1) * version.float()
    share = chance.share.reshape(-1, 1, 1, 1)
    return (share * pixels.float() + (1 - share) * mixture).round().byte()


def operate(pixels: torch.Tensor, operation: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    """Each image through its own operation, by number (N,): those of TONES, then those of PLACES; or ENDED."""
    done = pixels.clone()
    for number, tone in enumerate(TONES):
        chosen = operation == number
        if chosen.any():
            done[chosen] = tone(pixels[chosen], amount[chosen])
    chosen = operation >= len(TONES)
    if chosen.any():
        done[chosen] = bend(pixels[chosen], operation[chosen] - len(TONES), amount[chosen])
    return done


# ---- operations on tones; autocontrast and equalise are those of Pillow, channel by channel ----


def autocontrast(pixels: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    """The darkest value becomes 0 and the lightest 255."""
    flat = pixels.reshape(len(pixels), -1, 3)  # (N, H * W, 3)
    low, high = flat.min(dim=1, keepdim=True)[0].double(), flat.max(dim=1, keepdim=True)[0].double()
    full = torch.full_like(low, 255)  # 255 / tensor would multiply by its reciprocal, which rounds otherwise
    scale = torch.where(high > low, full / (high - low).clamp(min=1), torch.ones_like(low))
    low = torch.where(high > low, low, torch.zeros_like(low))
    return (flat.double() * scale - low * scale).clamp(0, 255).byte().reshape(pixels.shape)


def equalise(pixels: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    """Values are spread until all are about equally frequent (histogram equalisation, section 49 of the notes)."""
    planes = pixels.permute(0, 3, 1, 2).reshape(len(pixels) * 3, -1).long()  # (N * 3, H * W)
    counts = histograms(planes)  # (N * 3, 256)
    of_lightest = counts.gather(1, planes.max(dim=1, keepdim=True)[0])  # pixels of the lightest value that there is
    step = (planes.shape[1] - of_lightest) // 255  # pixels for each new value
    darker = counts.cumsum(dim=1) - counts  # for each value, the pixels that are darker
    new_value = ((darker + step // 2) // step.clamp(min=1)).clamp(max=255)  # for each old one: (N * 3, 256)
    values = torch.where(step > 0, new_value.gather(1, planes), planes)  # gather: every pixel looks up its own value
    n, height, width, _ = pixels.shape
    return values.byte().reshape(n, 3, height, width).permute(0, 2, 3, 1)


def histograms(planes: torch.Tensor) -> torch.Tensor:
    """How many pixels of each row of `planes` (P, pixels) have the values 0, 1, ... 255: int64 (P, 256).

        a row 0 2 2 1 2 becomes 1 1 3 0 0 ...

    Every pixel adds 1 to the column of its value: `scatter_add_` does that for all rows at once.
    """
    counts = torch.zeros(len(planes), 256, dtype=torch.long, device=planes.device)
    return counts.scatter_add_(1, planes, torch.ones_like(planes))


def posterise(pixels: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    """Only the 4 highest bits of each value are kept, or 3 in one case of six."""
    step = torch.where(amount < 5 / 6, torch.full_like(amount, 16), torch.full_like(amount, 32)).long()
    step = step.reshape(-1, 1, 1, 1)
    return (pixels.long() // step * step).byte()


def solarise(pixels: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    """Values from a threshold on, which is 179 to 256, are inverted."""
    threshold = (256 * (1 - 0.3 * amount)).reshape(-1, 1, 1, 1)
    return torch.where(pixels.float() >= threshold, 255 - pixels, pixels)


TONES = (autocontrast, equalise, posterise, solarise)


# ---- operations on places ----


def warp(pixels: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """Each pixel fetched from where its matrix (N, 2, 3) sends it, by bilinear interpolation; beyond lies the mirror.

    Coordinates are (x, y) from -1 to 1, as `affine_grid` has them.
    """
    x = pixels.permute(0, 3, 1, 2).float()  # (N, 3, H, W)
    grid = F.affine_grid(matrices, list(x.shape), align_corners=False)  # (N, H, W, 2)
    x = F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
    return x.permute(0, 2, 3, 1).round().byte()


PLACES = ("turn", "shear_x", "shear_y", "move_x", "move_y")


def bend(pixels: torch.Tensor, way: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    """Turned by up to 9 degrees, sheared by up to 0.09, or moved by up to a tenth; `way` (N,) is a place in PLACES."""
    signed = 2 * amount - 1
    turn, shear_x, shear_y, move_x, move_y = (  # each 0 for the images that go another way
        torch.where(way == k, signed, torch.zeros_like(signed)) for k in range(len(PLACES))
    )
    sin, cos = (turn * math.radians(9)).sin(), (turn * math.radians(9)).cos()
    rows = [cos, 0.09 * shear_x - sin, 0.2 * move_x, sin + 0.09 * shear_y, cos, 0.2 * move_y]
    return warp(pixels, torch.stack(rows, dim=1).reshape(-1, 2, 3))


OPERATIONS = len(TONES) + len(PLACES)

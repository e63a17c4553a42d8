"""What all networks of this lab are made of: layers one after the other, and ways side by side.

A network is an `nn.Sequential` of PyTorch's layers and of `Sum`, `Cat`, `Split`, `Shuffle` and `Gate`. What it reads of
an image (fields.py) and what it costs (counting.py) therefore follows from its parts.

Shapes: N images, C channels, H x W pixels; images (N, 3, H, W) in, logits (N, classes) out.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


def conv(inputs: int, outputs: int, size: int = 3, stride: int = 1, groups: int = 1, activation: Any = nn.ReLU) -> Any:
    """Convolution, batch normalisation and activation (None: none); the sides of the image are divided by `stride`."""
    layers = [nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([activation()] if activation else []))


def depthwise(channels: int, size: int = 3, stride: int = 1, activation: Any = nn.ReLU) -> Any:
    """A filter for each channel by itself, with batch normalisation and activation."""
    return conv(channels, channels, size, stride, groups=channels, activation=activation)


def pooled(channels: int, classes: int) -> list[nn.Module]:
    """The mean over all places (global average pooling) and a linear layer: any size of image will do."""
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]


class Sum(nn.Module):
    """The sum of several ways: ResNet's skip connection is one of them that does nothing."""

    def __init__(self, *ways: nn.Module) -> None:
        super().__init__()
        self.ways = nn.ModuleList(ways)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total = self.ways[0](x)
        for way in self.ways[1:]:
            total = total + way(x)
        return total


class Cat(nn.Module):
    """The channels of several ways behind one another: Inception, DenseNet, SqueezeNet."""

    def __init__(self, *ways: nn.Module) -> None:
        super().__init__()
        self.ways = nn.ModuleList(ways)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([way(x) for way in self.ways], dim=1)


class Split(nn.Module):
    """Each way gets its share of the channels, and their results are joined again: ShuffleNet V2."""

    def __init__(self, *ways: nn.Module) -> None:
        super().__init__()
        self.ways = nn.ModuleList(ways)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([way(part) for way, part in zip(self.ways, x.chunk(len(self.ways), dim=1))], dim=1)


class Shuffle(nn.Module):
    """Channels a a a b b b become a b a b a b, so that the next groups hear of each other. It costs no arithmetic."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        count, channels, height, width = x.shape
        x = x.reshape(count, self.groups, channels // self.groups, height, width)
        return x.transpose(1, 2).reshape(count, channels, height, width)


class HardSigmoid(nn.Module):
    """relu6(x + 3) / 6: straight lines in place of the sigmoid's curve, which are cheap on a phone."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu6(x + 3) / 6


class HardSwish(nn.Module):
    """x times the hard sigmoid of x; PyTorch 1.5 has none of its own that takes gradients and autocast alike."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * F.relu6(x + 3) / 6


class Gate(nn.Module):
    """Channel attention: the mean of every channel, through two small layers, says how much each channel counts.

    Source: Hu et al., Squeeze-and-Excitation Networks (2018), section 3.
    """

    def __init__(self, channels: int, inner: int, gate: Any = nn.Sigmoid) -> None:
        super().__init__()
        self.weigh = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, inner, 1), nn.ReLU(),
                                   nn.Conv2d(inner, channels, 1), gate())  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weigh(x)  # (N, C, H, W) * (N, C, 1, 1)

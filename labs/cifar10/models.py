"""The two backbones of the lab: `fast`, made for few epochs on few cores, and `resnet18`, the one that everybody knows.

Shapes: N pictures of a batch, C channels, H x W pixels. Both take normalised pictures (N, 3, H, W) and return
logits (N, classes).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def whitening_filters(pictures: torch.Tensor, size: int = 2, eps: float = 5e-4) -> torch.Tensor:
    """Filters that turn patches of `pictures` (N, 3, H, W), normalised, into uncorrelated numbers of variance 1.

    They are the eigenvectors of the patches' covariance, each divided by the root of its eigenvalue; `eps` keeps the
    nearly empty directions from becoming pure noise. Returns float32 (3 * size * size, 3, size, size).
    Source: D. Page, How to train your ResNet 8 (2019); LeCun et al., Efficient BackProp (1998), section 4.3.
    """
    patches = F.unfold(pictures, size, stride=size).transpose(1, 2).reshape(-1, 3 * size * size)  # (N * positions, 12)
    # numpy, because the eigenvalue routines of torch 1.5 and 2.x have different names
    eigenvalues, eigenvectors = np.linalg.eigh(np.cov(patches.double().cpu().numpy(), rowvar=False))
    filters = (eigenvectors / np.sqrt(eigenvalues + eps)).T[::-1].copy()  # largest variance first
    return torch.from_numpy(filters).float().reshape(-1, 3, size, size)


class Normalise(nn.Module):
    """Pixels as stored, uint8 0..255 (N, H, W, 3), to float32 (N, 3, H, W) with mean 0 and deviation 1 per channel.

    The statistics are saved with the network, which so needs nothing else to look at a new picture.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("scale", torch.ones(3))

    def measure(self, pixels: torch.Tensor) -> None:
        """Take both statistics from `pixels` (N, H, W, 3)."""
        values = pixels.reshape(-1, 3).double()
        self.mean.copy_(values.mean(dim=0))
        self.scale.copy_(1 / values.std(dim=0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.float().sub_(self.mean).mul_(self.scale)  # (N, H, W, 3)
        return x.permute(0, 3, 1, 2)  # (N, 3, H, W), still with the channels side by side in memory: channels_last


class BiasNorm(nn.BatchNorm2d):
    """Batch normalisation whose scale stays 1: the next layer is normalised again, so a scale would do nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, momentum=0.4)  # a run has few steps, so the running averages must follow quickly
        self.weight.requires_grad_(False)


class Block(nn.Module):
    """conv - pool - norm - GELU - conv - norm - GELU: halves the picture's sides and sets the number of channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm1 = BiasNorm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = BiasNorm(outputs)
        for conv in (self.conv1, self.conv2):  # a new layer first hands its input on, and learns from there
            nn.init.dirac_(conv.weight.data[:inputs])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)))  # (N, outputs, H / 2, W / 2)
        return F.gelu(self.norm2(self.conv2(x)))


class Fast(nn.Module):
    """A series network for few epochs: frozen whitening layer, three blocks, a linear head on the strongest responses.

    `widths` are the channels of the three blocks. The form follows K. Jordan, 94% on CIFAR-10 in 3.29 Seconds (2024).
    """

    def __init__(self, classes: int, widths: tuple[int, int, int]) -> None:
        super().__init__()
        self.whiten = nn.Conv2d(3, 24, 2)
        self.whiten.weight.requires_grad_(False)
        nn.init.zeros_(self.whiten.bias)
        channels = (24, *widths)
        self.blocks = nn.Sequential(*[Block(i, o) for i, o in zip(channels, channels[1:])])
        self.head = nn.Linear(widths[-1], classes, bias=False)

    def set_whitening(self, pictures: torch.Tensor) -> None:
        """Take the first layer from the patches of `pictures` (N, 3, H, W), normalised."""
        filters = whitening_filters(pictures)
        # each direction and its negative: GELU would throw one half of the signal away
        self.whiten.weight.data.copy_(torch.cat([filters, -filters]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.gelu(self.whiten(x))  # (N, 24, 31, 31)
        x = self.blocks(x)  # (N, widths[2], 3, 3)
        x = x.flatten(2).max(dim=2)[0]  # (N, widths[2]): where in the picture does not matter
        return self.head(x) / 9  # small logits: the softmax starts flat and the first gradients stay calm


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and the skip connection around them."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.skip = nn.Sequential()  # the identity, where shapes allow it
        if stride != 1 or inputs != outputs:
            self.skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.norm1(self.conv1(x)))  # (N, outputs, H / stride, W / stride)
        return F.relu(self.norm2(self.conv2(y)) + self.skip(x))


class ResNet18(nn.Module):
    """The skip network of He et al. (2016) with the usual stem for small pictures: 3 x 3, no stride, no pooling."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU())
        self.stages = nn.Sequential(
            BasicBlock(64, 64, 1), BasicBlock(64, 64, 1),  # (N, 64, 32, 32)
            BasicBlock(64, 128, 2), BasicBlock(128, 128, 1),  # (N, 128, 16, 16)
            BasicBlock(128, 256, 2), BasicBlock(256, 256, 1),  # (N, 256, 8, 8)
            BasicBlock(256, 512, 2), BasicBlock(512, 512, 1),  # (N, 512, 4, 4)
        )  # fmt: skip
        self.head = nn.Linear(512, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stages(self.stem(x))
        return self.head(x.mean(dim=(2, 3)))  # (N, 512) -> (N, classes)

"""What stands first in every network that looks at images: from pixels as they are stored to numbers around 0."""

from __future__ import annotations

import torch
from torch import nn


class Normalise(nn.Module):
    """Pixels 0..255 (N, H, W, C), uint8 or float, to float32 (N, C, H, W) with mean 0 and deviation 1 per channel.

    The statistics are saved with the network, which so needs nothing else to look at a new image.
    """

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("scale", torch.ones(channels))

    def measure(self, pixels: torch.Tensor) -> None:
        """Take both statistics from `pixels` (..., C)."""
        values = pixels.reshape(-1, len(self.mean)).double()
        self.mean.copy_(values.mean(dim=0))
        self.scale.copy_(1 / values.std(dim=0).clamp(min=1))  # a channel of one shade has none

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = (x - self.mean).mul_(self.scale)  # (N, H, W, C)
        return x.permute(0, 3, 1, 2)  # (N, C, H, W), still with the channels side by side in memory: channels_last

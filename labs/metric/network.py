"""The network that makes an embedding of an image: one for all branches, since they share their weights.

A Siamese network is drawn as two networks side by side, a triplet network as three. They are one: equal weights on
every branch mean the same network applied to every image, so a batch goes through it once, and the loss takes pairs,
triplets or quadruplets of what comes out.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

SIDE = 28


class Embedder(nn.Module):
    """Three convolutions and a linear layer, and the length of the result made 1."""

    def __init__(self, width: int = 16, dimensions: int = 32, normed: bool = True) -> None:
        """`width` channels in the first layer; without `normed` no batch normalisation, as in older networks."""
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 5, stride=2, padding=2, bias=not normed)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1, bias=not normed)
        self.conv3 = nn.Conv2d(2 * width, 2 * width, 3, padding=1, bias=not normed)
        self.norm1, self.norm2, self.norm3 = (nn.BatchNorm2d(channels) if normed else nn.Identity()
                                              for channels in (width, 2 * width, 2 * width))  # fmt: skip
        self.head = nn.Linear(2 * width * 9, dimensions)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalised images (N, 1, 28, 28) to embeddings (N, dimensions) on the unit sphere."""
        x = F.relu(self.norm1(self.conv1(x)))  # (N, width, 14, 14)
        x = F.relu(self.norm2(F.max_pool2d(self.conv2(x), 2)))  # (N, 2 width, 7, 7)
        x = F.relu(self.norm3(F.max_pool2d(self.conv3(x), 2)))  # (N, 2 width, 3, 3)
        return F.normalize(self.head(x.flatten(1)).float(), dim=1)

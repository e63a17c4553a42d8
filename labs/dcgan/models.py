"""The two networks of DCGAN (Radford et al., 2016) for images of 32 x 32, with what the notes advise as choices.

Shapes: N images, C channels (1 grey, 3 colour), K classes (0 where the labels are not used), w = width.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from labkit.runs import compat

SIDE = 32


class Generator(nn.Module):
    """A random vector becomes an image: 4 x 4 with many channels, then three times twice the size."""

    def __init__(self, latent: int, width: int, channels: int, classes: int, norm: str, leaky: bool,
                 output: str) -> None:  # fmt: skip
        super().__init__()
        self.classes, self.output = classes, output

        def up(c_in: int, c_out: int, stride: int, padding: int) -> list[nn.Module]:
            layer = nn.ConvTranspose2d(c_in, c_out, 4, stride, padding, bias=norm in ("weight", "none"))
            return [*normalised(layer, c_out, norm), activation(leaky)]

        # A transposed convolution over a single pixel is a fully connected layer, as in the paper.
        self.layers = nn.Sequential(
            *up(latent + classes, 4 * width, 1, 0),  # (N, 4w, 4, 4)
            *up(4 * width, 2 * width, 2, 1),  # (N, 2w, 8, 8)
            *up(2 * width, width, 2, 1),  # (N, w, 16, 16)
            initialise(nn.ConvTranspose2d(width, channels, 4, 2, 1)),  # (N, C, 32, 32)
        )

    def forward(self, z: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """z (N, latent), labels int64 (N,) where K > 0: images (N, C, 32, 32) in the range of `output`."""
        if self.classes:
            z = torch.cat([z, F.one_hot(labels, self.classes).to(z.dtype)], dim=1)  # (N, latent + K)
        x = self.layers(z.unsqueeze(2).unsqueeze(3)).float()
        return torch.tanh(x) if self.output == "tanh" else torch.sigmoid(x)


class Discriminator(nn.Module):
    """An image becomes one logit: above 0 for real. With the loss wgan-gp it is a critic and its number a score."""

    def __init__(self, width: int, channels: int, classes: int, norm: str, leaky: bool, downsample: str, head: str,
                 noise: float) -> None:  # fmt: skip
        super().__init__()
        self.classes, self.head = classes, head

        def down(c_in: int, c_out: int, norm: str) -> list[nn.Module]:
            bias = norm in ("weight", "none")
            if downsample == "stride":  # the network learns how to shrink
                shrink = [*normalised(nn.Conv2d(c_in, c_out, 4, 2, 1, bias=bias), c_out, norm)]
            else:  # only one of four pixels gets a gradient
                shrink = [*normalised(nn.Conv2d(c_in, c_out, 3, 1, 1, bias=bias), c_out, norm), nn.MaxPool2d(2)]
            return [GaussianNoise(noise), *shrink, activation(leaky)]

        self.layers = nn.Sequential(
            *down(channels + classes, width, "none"),  # (N, w, 16, 16); the paper normalises neither end
            *down(width, 2 * width, norm),  # (N, 2w, 8, 8)
            *down(2 * width, 4 * width, norm),  # (N, 4w, 4, 4)
        )
        self.last = initialise(nn.Linear(4 * width * (16 if head == "flatten" else 1), 1))

    def forward(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """images (N, C, 32, 32), labels int64 (N,) where K > 0: logits float32 (N,)."""
        if self.classes:
            planes = F.one_hot(labels, self.classes).to(images.dtype)[:, :, None, None]
            images = torch.cat([images, planes.expand(-1, -1, SIDE, SIDE)], dim=1)  # (N, C + K, 32, 32)
        x = self.layers(images)
        x = x.flatten(1) if self.head == "flatten" else x.mean(dim=(2, 3))  # (N, 64 w) or (N, 4 w)
        return self.last(x).squeeze(1).float()


class GaussianNoise(nn.Module):
    """Adds noise to what a layer reads, in training only: the discriminator cannot rely on single pixels."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = deviation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.deviation * torch.randn_like(x) if self.training and self.deviation else x


def normalised(layer: nn.Module, channels: int, norm: str) -> list[nn.Module]:
    """`layer` and what normalises its output, or the layer with normalised weights."""
    initialise(layer)
    if norm == "batch":
        return [layer, initialise(nn.BatchNorm2d(channels))]
    if norm == "instance":
        return [layer, initialise(nn.InstanceNorm2d(channels, affine=True))]
    if norm == "weight":
        return [compat.weight_norm(layer, dim=1 if isinstance(layer, nn.ConvTranspose2d) else 0)]
    return [layer]


def activation(leaky: bool) -> nn.Module:
    """LeakyReLU lets a fifth of the gradient through where ReLU lets none."""
    return nn.LeakyReLU(0.2) if leaky else nn.ReLU()


def initialise(module: nn.Module) -> nn.Module:
    """`module` with weights from N(0, 0.02²), or scales from N(1, 0.02²), as in the paper."""
    scales = isinstance(module, (nn.BatchNorm2d, nn.InstanceNorm2d))
    nn.init.normal_(module.weight, 1 if scales else 0, 0.02)
    if module.bias is not None:
        nn.init.zeros_(module.bias)
    return module

"""A small StyleGAN: mapping network, style modules, noise (Karras et al., 2019), with the weight demodulation of 2020.

Shapes: N images, C channels (1 grey, 3 colour), D numbers in z and in a style w, LAYERS style modules.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

SIDES = (4, 8, 16, 32)
LAYERS = 2 * len(SIDES) - 1  # one at 4 x 4, two at each larger size


class Mapping(nn.Module):
    """z to w. z must fill a sphere; w may have whatever form the data have, so that one direction is one thing."""

    def __init__(self, size: int, depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [nn.Linear(size, size), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        for layer in self.layers[::2]:
            nn.init.kaiming_normal_(layer.weight, 0.2)
            nn.init.zeros_(layer.bias)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """(N, D) to (N, D)."""
        return self.layers(z * (z.pow(2).mean(dim=1, keepdim=True) + 1e-8).rsqrt()).float()


class StyledConv(nn.Module):
    """A style module: a convolution whose filters are strengthened and weakened, input channel by input channel.

    A linear layer turns the style w of an image into one number s_i for each input channel i. With the filter f_j of
    output channel j:

        modulate       f_ij' = s_i f_ij
        demodulate     f_j'' = f_j' / |f_j'|      so that the output keeps its scale

    Both are done to the input and to the output instead of to the filters, which gives the same numbers and spares
    filters of their own for every image: conv(x, s f) / |s f| = conv(s x, f) / |s f|.
    Source: Karras et al., Analyzing and Improving the Image Quality of StyleGAN (2020), equations 1 and 3.
    """

    def __init__(self, c_in: int, c_out: int, kernel: int, size: int, demodulate: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c_out, c_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(c_out))
        self.style = nn.Linear(size, c_in)
        nn.init.normal_(self.style.weight, 0, size**-0.5)
        nn.init.ones_(self.style.bias)
        self.scale = (c_in * kernel * kernel) ** -0.5  # so that one learning rate fits all layers
        self.demodulate = demodulate

    def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """x (N, c_in, H, W) and w (N, D): (N, c_out, H, W)."""
        style, filters = self.style(w).float(), self.weight * self.scale  # s (N, c_in), f (c_out, c_in, k, k)
        x = F.conv2d(x * style[:, :, None, None], filters, padding=filters.shape[2] // 2)
        if self.demodulate:  # |s f_j|² = sum over i of s_i² |f_ij|²
            squared_lengths = (style.pow(2)[:, None] * filters.pow(2).sum(dim=(2, 3))).sum(dim=2)  # (N, c_out)
            x = x * (squared_lengths + 1e-8).rsqrt()[:, :, None, None]
        return x + self.bias.view(1, -1, 1, 1)


class Noise(nn.Module):
    """Adds to every place a random number, times a learned strength for each channel: what is chance in an image.

    New numbers in training, always the same ones in evaluation.
    """

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(channels, 1, 1))
        self.register_buffer("fixed", torch.randn(1, 1, side, side))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(len(x), 1, *x.shape[2:], device=x.device) if self.training else self.fixed
        return x + self.strength * noise


class Generator(nn.Module):
    """Begins with the same learned 4 x 4 for every image; all that differs comes through the styles and the noise."""

    def __init__(self, channels: int, width: int, size: int, depth: int) -> None:
        super().__init__()
        self.mapping = Mapping(size, depth)
        widths = [4 * width, 4 * width, 2 * width, width]
        self.start = nn.Parameter(torch.randn(1, widths[0], SIDES[0], SIDES[0]))
        self.convs, self.noises, self.to_image = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for k, side in enumerate(SIDES):
            for c_in in [widths[k]] if k == 0 else [widths[k - 1], widths[k]]:
                self.convs.append(StyledConv(c_in, widths[k], 3, size))
                self.noises.append(Noise(widths[k], side))
            self.to_image.append(StyledConv(widths[k], channels, 1, size, demodulate=False))

    def forward(self, styles: torch.Tensor) -> torch.Tensor:
        """Styles (N, LAYERS, D), one w for each style module: images (N, C, 32, 32), by and large -1..1."""
        x = self.start.expand(len(styles), -1, -1, -1)
        image: Any = None  # until the first layer has drawn
        for layer, (conv, noise) in enumerate(zip(self.convs, self.noises)):
            if layer % 2 == 1:  # the first of a larger size
                x, image = enlarge(x), enlarge(image)
            x = F.leaky_relu(noise(conv(x, styles[:, layer])), 0.2) * 2**0.5
            if layer % 2 == 0:  # the last of its size: what it has to say about the image is added
                drawn = self.to_image[layer // 2](x, styles[:, layer])
                image = drawn if image is None else image + drawn
        return image.float()


def enlarge(x: torch.Tensor) -> torch.Tensor:
    """Twice the height and the width."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def same_for_all_layers(w: torch.Tensor) -> torch.Tensor:
    """The w of each image (N, D), given to every style module alike: styles (N, LAYERS, D)."""
    return w.unsqueeze(1).expand(-1, LAYERS, -1)


class Discriminator(nn.Module):
    """Strided convolutions without normalisation, which the R1 penalty makes unnecessary: logits (N,)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for c_in, c_out in ((channels, width), (width, 2 * width), (2 * width, 4 * width)):
            layers += [nn.Conv2d(c_in, c_out, 4, 2, 1), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(4 * width, 4 * width, 3, 1, 1), nn.LeakyReLU(0.2), nn.Flatten())
        self.last = nn.Linear(4 * width * 16, 1)
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, 0.2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.last(self.layers(images)).squeeze(1).float()

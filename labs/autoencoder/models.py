"""An autoencoder, its variational form, and a network that draws pixel by pixel, for binary images of 28 x 28.

Shapes: N images, L numbers in a code, w = width. Images are float32 0 or 1 (N, 1, 28, 28).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

SIDE = 28


class Autoencoder(nn.Module):
    """Image to code to image, each way with one hidden layer, as in Kingma and Welling (2014).

    The variational one codes an image as a normal distribution, the plain one as a point.
    """

    def __init__(self, hidden: int, latent: int, variational: bool) -> None:
        super().__init__()
        self.latent = latent
        self.encoder = nn.Sequential(
            nn.Flatten(), nn.Linear(SIDE**2, hidden), nn.ReLU(), nn.Linear(hidden, latent * (1 + variational)),
        )  # fmt: skip
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, SIDE**2))

    def encode(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The code (N, L) and an empty tensor, or the mean and the logarithm of the variance, (N, L) each."""
        code = self.encoder(2 * images - 1).float()
        return code[:, : self.latent], code[:, self.latent :]

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Codes (N, L) become the logit of every pixel, (N, 1, 28, 28)."""
        return self.decoder(z).float().view(-1, 1, SIDE, SIDE)


class MaskedConv2d(nn.Conv2d):
    """A convolution that sees only what was drawn before: the rows above, and in its own row what is to the left.

    Kind A does not see the pixel itself, which it is to predict; kind B does, since after a layer A the value at that
    place holds only earlier pixels. Source: van den Oord et al., Pixel Recurrent Neural Networks (2016), section 3.4.
    """

    def __init__(self, kind: str, c_in: int, c_out: int, size: int) -> None:
        super().__init__(c_in, c_out, size, padding=size // 2)
        mask = torch.ones(size, size)
        mask[size // 2, size // 2 + (kind == "B") :] = 0
        mask[size // 2 + 1 :] = 0
        self.register_buffer("mask", mask)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


class PixelCNN(nn.Module):
    """The logit of every pixel from the pixels before it, (N, 1, H, W) to (N, 1, H, W)."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.first = MaskedConv2d("A", 1, width, 7)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.ReLU(), MaskedConv2d("B", width, width, 3), nn.ReLU(), nn.Conv2d(width, width, 1))
            for _ in range(layers)
        )
        self.last = nn.Sequential(nn.ReLU(), nn.Conv2d(width, 2 * width, 1), nn.ReLU(), nn.Conv2d(2 * width, 1, 1))
        self.rows = 3 + layers  # how many rows above a pixel its logit depends on

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.first(2 * images - 1)  # (N, w, H, W)
        for block in self.blocks:
            x = x + block(x)
        return self.last(x).float()

    @torch.no_grad()
    def continue_drawing(self, images: torch.Tensor, row: int, generator: torch.Generator) -> torch.Tensor:
        """`images` (N, 1, 28, 28) with everything from `row` on drawn anew, pixel by pixel: 28 calls for each row."""
        drawn = images.clone()
        drawn[:, :, row:] = 0
        chance = torch.rand(drawn.shape, generator=generator).to(drawn.device)
        for y in range(row, SIDE):
            top = max(0, y - self.rows)  # what is further up cannot be seen
            for x in range(SIDE):
                logits = self(drawn[:, :, top : y + 1])[:, :, -1, x]  # (N, 1)
                drawn[:, :, y, x] = (chance[:, :, y, x] < torch.sigmoid(logits)).float()
        return drawn

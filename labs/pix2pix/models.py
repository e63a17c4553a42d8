"""The networks of pix2pix (Isola et al., 2017): a U-Net that draws, a PatchGAN that judges, and a small judge of ours.

Shapes: N images, S pixels a side (a power of two), w = width. Images are float32 -1..1 (N, 3, S, S).
"""

from __future__ import annotations

import math

import torch
from torch import nn


class UNet(nn.Module):
    """Shrinks the input to 4 x 4 and grows it again; every size on the way up also sees what had this size before.

    The skips carry edges past the bottleneck: the output has its walls where the input has them. Dropout stays on when
    it is used, as in the paper, where it is the only randomness. Instance norm is the paper's batch norm with a batch
    of 1.
    """

    def __init__(self, size: int, width: int, skips: bool = True) -> None:
        super().__init__()
        levels = int(math.log2(size)) - 2
        widths = [min(width * 2**k, 8 * width) for k in range(levels)]
        self.skips = skips
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for k, (c_in, c_out) in enumerate(zip([3, *widths], widths)):
            layers = [nn.Conv2d(c_in, c_out, 4, 2, 1), *([norm(c_out)] if k else []), nn.LeakyReLU(0.2)]
            self.downs.append(nn.Sequential(*layers))  # (N, c_out, S / 2^(k + 1), S / 2^(k + 1))
        for k in reversed(range(levels)):
            c_in = widths[k] * (2 if skips and k < levels - 1 else 1)  # what comes from below, and the skip
            if k == 0:
                self.ups.append(nn.Sequential(nn.ConvTranspose2d(c_in, 3, 4, 2, 1), nn.Tanh()))  # (N, 3, S, S)
                continue
            layers = [nn.ConvTranspose2d(c_in, widths[k - 1], 4, 2, 1), norm(widths[k - 1])]
            layers += [nn.Dropout(0.5)] if k >= levels - 2 else []
            self.ups.append(nn.Sequential(*layers, nn.ReLU()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        passed = []
        for down in self.downs:
            x = down(x)
            passed.append(x)
        for up, skip in zip(self.ups, [None, *reversed(passed[:-1])]):
            x = up(x if skip is None or not self.skips else torch.cat([x, skip], dim=1))
        return x.float()


class PatchGAN(nn.Module):
    """Real or not, asked of every patch: logits (N, 1, P, P) from the input and the output, each (N, 3, S, S).

    With 1, 2 or 3 layers of stride 2 a patch is 16, 34 or 70 pixels wide. L1 looks after the large; D after the small.
    """

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        steps: list[nn.Module] = [nn.Conv2d(6, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for k in range(1, layers + 1):
            c_in, c_out = min(width * 2 ** (k - 1), 8 * width), min(width * 2**k, 8 * width)
            stride = 2 if k < layers else 1
            steps += [nn.Conv2d(c_in, c_out, 4, stride, 1), norm(c_out), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*steps, nn.Conv2d(c_out, 1, 4, 1, 1))

    def forward(self, given: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
        return self.layers(torch.cat([given, drawn], dim=1)).float()


class Segmenter(nn.Module):
    """The judge: from a photo to the class of every pixel, logits (N, classes, S, S). It never sees a generated one."""

    def __init__(self, classes: int, width: int = 16) -> None:
        super().__init__()

        def block(c_in: int, c_out: int, dilation: int) -> list[nn.Module]:
            return [nn.Conv2d(c_in, c_out, 3, padding=dilation, dilation=dilation), nn.BatchNorm2d(c_out), nn.ReLU()]

        self.layers = nn.Sequential(
            nn.AvgPool2d(2), *block(3, width, 1), *block(width, width, 2), *block(width, width, 4),
            nn.Conv2d(width, classes, 1), nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        )  # fmt: skip

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        return self.layers(photos)


def norm(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels, affine=True)

"""The networks of CycleGAN: a generator that repaints an image, and a discriminator that judges it patch by patch."""

from __future__ import annotations

import torch
from torch import nn

# Shapes: N images, C channels of the generator's first layer (`width`), H x W pixels. Images are float -1..1.


class Block(nn.Module):
    """Two convolutions whose result is added to the input, (N, 4C, H, W) in and out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            # A border of zeros would be a visible frame in the image, so the image is mirrored at its edge.
            nn.ReflectionPad2d(1),
            # What a bias adds, the normalisation takes away again.
            nn.Conv2d(channels, channels, 3, bias=False),
            nn.InstanceNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=False),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers(x)


class Generator(nn.Module):
    """Images (N, 3, H, W) of one domain in, the same images in the other domain out; H and W divisible by 4.

    Halves the image twice, changes it in `blocks` residual blocks, doubles it twice. Every image is normalised by
    itself (instance normalisation), so its contrast does not depend on the others of the batch. Source: Zhu et al.,
    Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks (2017), section 7.2: width 64, with
    9 blocks for 256 x 256 pixels and 6 for 128 x 128.
    """

    def __init__(self, width: int = 64, blocks: int = 9) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7, bias=False)]  # (N, C, H, W)
        layers += [nn.InstanceNorm2d(width), nn.ReLU(inplace=True)]
        for channels in (width, 2 * width):  # (N, 2C, H/2, W/2), then (N, 4C, H/4, W/4)
            layers += [nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1, bias=False)]
            layers += [nn.InstanceNorm2d(2 * channels), nn.ReLU(inplace=True)]
        layers += [Block(4 * width) for _ in range(blocks)]
        for channels in (4 * width, 2 * width):  # (N, 2C, H/2, W/2), then (N, C, H, W)
            half = channels // 2
            layers += [nn.ConvTranspose2d(channels, half, 3, stride=2, padding=1, output_padding=1, bias=False)]
            layers += [nn.InstanceNorm2d(half), nn.ReLU(inplace=True)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh()]  # (N, 3, H, W)
        self.layers = nn.Sequential(*layers)
        self.apply(_init)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


class Discriminator(nn.Module):
    """A PatchGAN: how real each patch of 70 x 70 pixels looks. (N, 3, H, W) in, logits (N, 1, H/8-2, W/8-2) out.

    Judging patches and not the whole image asks for texture, and leaves it to the cycle to keep what is where.
    Source: Isola et al., Image-to-Image Translation with Conditional Adversarial Networks (2017), section 3.2.2.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        for channels, stride in ((width, 2), (2 * width, 2), (4 * width, 1)):
            layers += [nn.Conv2d(channels, 2 * channels, 4, stride=stride, padding=1, bias=False)]
            layers += [nn.InstanceNorm2d(2 * channels), nn.LeakyReLU(0.2, inplace=True)]
        layers += [nn.Conv2d(8 * width, 1, 4, padding=1)]
        self.layers = nn.Sequential(*layers)
        self.apply(_init)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


def _init(module: nn.Module) -> None:
    """Weights from a normal distribution of mean 0 and deviation 0.02, as in the paper; biases 0."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)

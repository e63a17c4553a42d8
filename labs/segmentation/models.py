"""The four networks of the notes (section 81), each as in its paper but with a width that one can choose.

Shapes: N images of a batch, C channels, H x W pixels. Each network takes normalised images (N, 3, H, W), both sides
multiples of 32, and returns logits (N, classes, H, W): one decision for every pixel.

    U-Net      Ronneberger, Fischer, Brox, U-Net: Convolutional Networks for Biomedical Image Segmentation (2015)
    SegNet     Badrinarayanan, Kendall, Cipolla, SegNet: A Deep Convolutional Encoder-Decoder Architecture (2017)
    PSPNet     Zhao et al., Pyramid Scene Parsing Network (2017)
    DeepLabv3  Chen et al., Rethinking Atrous Convolution for Semantic Image Segmentation (2017)
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


def conv(inputs: int, outputs: int, size: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Convolution - batch normalisation - ReLU; the sides stay, or are divided by `stride`."""
    padding = dilation * (size - 1) // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding, dilation, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class Pointwise(nn.Conv2d):
    """A 1 x 1 convolution of every `stride`-th pixel: the pixels are chosen first, then convolved without a stride.

    The gradient of nn.Conv2d's own stride is wrong on a CPU where the channels lie side by side in memory and are fewer
    than 16 (8 without AVX-512), and it is written past the end of its memory (PyTorch 2.11.0; oneDNN's issue 6035).
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        down, across = self.stride
        return F.conv2d(x[:, :, ::down, ::across], self.weight, self.bias)


def resize(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """`x` with the sides of `like`, bilinear."""
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


# ---- encoder and decoder, mirror images of each other ----


class UNet(nn.Module):
    """Four times down and up again, and at each level the encoder's features are joined to the decoder's.

    The paper has width 64, no padding, so that the output is smaller than the input, and no batch normalisation, which
    came in the same year.
    """

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        widths = [width * 2**k for k in range(5)]  # 64 128 256 512 1024 in the paper
        self.down = nn.ModuleList(
            nn.Sequential(conv(i, o), conv(o, o)) for i, o in zip([3, *widths], widths)
        )
        wide = widths[:0:-1]
        self.up = nn.ModuleList(nn.ConvTranspose2d(w, w // 2, 2, stride=2) for w in wide)
        self.merge = nn.ModuleList(nn.Sequential(conv(w, w // 2), conv(w // 2, w // 2)) for w in wide)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = []
        for k, block in enumerate(self.down):
            x = block(x if k == 0 else F.max_pool2d(x, 2))  # (N, width 2^k, H / 2^k, W / 2^k)
            kept.append(x)
        for up, merge, skip in zip(self.up, self.merge, kept[-2::-1]):
            x = merge(torch.cat([skip, up(x)], dim=1))  # twice the sides, half the channels
        return self.head(x)


class SegNet(nn.Module):
    """The thirteen convolutions of VGG-16 and their mirror image, which unpools by the encoder's indices.

    Pooling remembers *where* each maximum was (one index, not a whole feature map as in U-Net), and unpooling puts the
    value back there and zeros around it: edges stay sharp for little memory. Width 64 in the paper.
    """

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        widths = [width * k for k in (1, 2, 4, 8, 8)]
        depths = (2, 2, 3, 3, 3)
        self.encoder = nn.ModuleList(
            nn.Sequential(conv(i, o), *[conv(o, o) for _ in range(depth - 1)])
            for i, o, depth in zip([3, *widths], widths, depths)
        )
        self.decoder = nn.ModuleList(
            nn.Sequential(*[conv(i, i) for _ in range(depth - 1)], conv(i, o))
            for i, o, depth in zip(widths[::-1], [*widths[-2::-1], width], depths[::-1])
        )
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        places = []
        for block in self.encoder:
            x, indices = F.max_pool2d(block(x), 2, return_indices=True)  # (N, widths[k], H / 2^(k+1), W / 2^(k+1))
            places.append(indices)
        for block, indices in zip(self.decoder, reversed(places)):
            x = block(F.max_unpool2d(x, indices, 2))  # twice the sides
        return self.head(x)


# ---- a dilated backbone, and a head that looks at several scales ----


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and the skip connection around them."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.first = conv(inputs, outputs, 3, stride, dilation)
        self.second = nn.Sequential(
            nn.Conv2d(outputs, outputs, 3, padding=dilation, dilation=dilation, bias=False), nn.BatchNorm2d(outputs)
        )
        self.skip = nn.Sequential()  # the identity, where shapes allow it
        if stride != 1 or inputs != outputs:
            self.skip = nn.Sequential(Pointwise(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.second(self.first(x)) + self.skip(x))


def dilated_resnet(width: int) -> nn.Sequential:
    """A small ResNet that stops shrinking at H / 8: (N, 3, H, W) -> (N, 8 width, H / 8, W / 8).

    Its last two stages would halve the sides twice more. Dilated by 2 and by 4 instead, they see as far as they would
    have, and keep the places of things. (PSPNet and DeepLabv3 do this to ResNet-50 and ResNet-101.)
    """
    return nn.Sequential(
        conv(3, width, 3, stride=2),  # (N, width, H / 2, W / 2)
        BasicBlock(width, width, stride=2),  # (N, width, H / 4, W / 4)
        BasicBlock(width, 2 * width, stride=2),  # (N, 2 width, H / 8, W / 8)
        BasicBlock(2 * width, 4 * width, dilation=2),  # (N, 4 width, H / 8, W / 8)
        BasicBlock(4 * width, 8 * width, dilation=4),  # (N, 8 width, H / 8, W / 8)
    )


class PyramidPooling(nn.Module):
    """The means over 1, 2 x 2, 3 x 3 and 6 x 6 parts of the image, set beside every pixel.

    (N, C, h, w) -> (N, 2C, h, w). So each pixel knows what the whole image is of: a boat is likelier on a river.
    Source: PSPNet, section 3.2.
    """

    def __init__(self, channels: int, bins: tuple[int, ...] = (1, 2, 3, 6)) -> None:
        super().__init__()
        self.bins = bins
        self.reduce = nn.ModuleList(conv(channels, channels // len(bins), 1) for _ in bins)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        means = [reduce(F.adaptive_avg_pool2d(x, bin)) for bin, reduce in zip(self.bins, self.reduce)]
        return torch.cat([x, *[resize(mean, like=x) for mean in means]], dim=1)


class PSPNet(nn.Module):
    """Dilated backbone, pyramid pooling, one convolution, and bilinear interpolation to the full size.

    Left out of the paper: the second loss on a layer half-way up, which very deep backbones need.
    """

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        channels = 8 * width
        self.backbone = dilated_resnet(width)
        self.pyramid = PyramidPooling(channels)
        self.head = nn.Sequential(
            conv(2 * channels, channels // 2), nn.Dropout2d(0.1), nn.Conv2d(channels // 2, classes, 1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return resize(self.head(self.pyramid(self.backbone(x))), like=x)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: the same features through filters of different reach, side by side.

    One 1 x 1 convolution, a 3 x 3 for each dilation in `rates`, and the mean of the whole image; 1 x 1 joins them:
    (N, inputs, h, w) -> (N, outputs, h, w). torchvision's ASPP is the same; in its 0.6 the width is fixed at 256.
    """

    def __init__(self, inputs: int, outputs: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [conv(inputs, outputs, 1), *[conv(inputs, outputs, 3, dilation=rate) for rate in rates]]
        )
        self.mean = conv(inputs, outputs, 1)
        self.project = nn.Sequential(conv((len(rates) + 2) * outputs, outputs, 1), nn.Dropout(0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = self.mean(F.adaptive_avg_pool2d(x, 1))  # (N, outputs, 1, 1)
        return self.project(torch.cat([*[branch(x) for branch in self.branches], resize(mean, like=x)], dim=1))


class DeepLabv3(nn.Module):
    """Dilated backbone, atrous spatial pyramid pooling, one convolution, and interpolation to the full size.

    The paper's rates 12, 24, 36 are for images of 513 pixels, whose features are 65 wide. A crop of 128 has 16, where
    a filter that reaches 36 to each side would see only the padding: 3, 6, 9 are the same share of the image.
    """

    def __init__(self, classes: int, width: int, rates: tuple[int, ...] = (3, 6, 9)) -> None:
        super().__init__()
        self.backbone = dilated_resnet(width)
        self.aspp = ASPP(8 * width, 4 * width, rates)
        self.head = nn.Sequential(conv(4 * width, 4 * width), nn.Conv2d(4 * width, classes, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return resize(self.head(self.aspp(self.backbone(x))), like=x)


NETWORKS = {"unet": UNet, "segnet": SegNet, "pspnet": PSPNet, "deeplabv3": DeepLabv3}

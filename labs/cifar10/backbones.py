"""The well-known backbones for small images, one for each kind of structure in the notes (sections 56, 57, 59).

    series     VGG16         one layer after the other
    skip       ResNet18      every block adds its input to its output
    parallel   GoogLeNet     several filters side by side, their answers joined
    light      MobileNetV2   filters for single channels, and 1 x 1 convolutions to mix them
    attention  SE-ResNet18   channels are weighted by what is in the image

Each is the network of its paper with the stem that is usual for 32 x 32 pixels: a 3 x 3 convolution without a stride
and no pooling, where 224 x 224 pixels would first be shrunk fourfold. All end in the mean over places and one linear
layer, `head`, so they take any size from 16 x 16 on.

Shapes: N images of a batch, C channels, H x W pixels; images (N, 3, H, W) in, logits (N, classes) out.
"""

from __future__ import annotations

from typing import Any, Callable

import torch
from torch import nn
from torch.nn import functional as F


def conv(inputs: int, outputs: int, size: int = 3, stride: int = 1, groups: int = 1, activation: Any = nn.ReLU) -> Any:
    """Convolution, batch normalisation and activation; the sides of the image are divided by `stride`."""
    layers = [nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([activation()] if activation else []))


class Backbone(nn.Module):
    """`features` (N, channels, h, w), their mean over places, and a linear head."""

    def __init__(self, features: nn.Module, channels: int, classes: int) -> None:
        super().__init__()
        self.features = features
        self.head = nn.Linear(channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x).mean(dim=(2, 3)))  # (N, channels) -> (N, classes)


# ---- series ----


def vgg16(classes: int) -> Backbone:
    """Thirteen 3 x 3 convolutions in five stages, each ended by a pooling that halves the sides.

    Two 3 x 3 filters in a row see 5 x 5 pixels with fewer weights than one 5 x 5 filter: that is the idea of VGG. Its
    three wide linear layers are one here, which is usual for small images.
    Source: Simonyan & Zisserman (2015), configuration D, with batch normalisation.
    """
    layers: list[nn.Module] = []
    inputs = 3
    for channels, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            layers.append(conv(inputs, channels))
            inputs = channels
        layers.append(nn.MaxPool2d(2, ceil_mode=True))  # 18 pixels: 9, 5, 3, 2, 1
    return Backbone(nn.Sequential(*layers), 512, classes)  # (N, 512, 1, 1)


# ---- skip, and attention ----


class SqueezeExcite(nn.Module):
    """Channel attention: the mean of every channel, through two small layers, says how much each channel counts.

    Source: Hu et al., Squeeze-and-Excitation Networks (2018), with its reduction to a sixteenth.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, channels // reduction)
        self.excite = nn.Linear(channels // reduction, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean(dim=(2, 3))))))  # (N, C), 0..1
        return x * weight.to(x.dtype).unsqueeze(2).unsqueeze(3)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and the skip connection around them; with `attention` their output is weighted first."""

    def __init__(self, inputs: int, outputs: int, stride: int, attention: bool) -> None:
        super().__init__()
        self.convs = nn.Sequential(conv(inputs, outputs, stride=stride), conv(outputs, outputs, activation=None))
        self.attention = SqueezeExcite(outputs) if attention else nn.Sequential()
        self.skip = nn.Sequential()  # the identity, where shapes allow it
        if stride != 1 or inputs != outputs:
            self.skip = conv(inputs, outputs, size=1, stride=stride, activation=None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.attention(self.convs(x)) + self.skip(x))  # (N, outputs, H / stride, W / stride)


def resnet18(classes: int, attention: bool = False) -> Backbone:
    """Eight blocks with skip connections: each learns only what to add to its input.

    Source: He et al., Deep Residual Learning (2016), the 18-layer network of its table 1.
    """
    blocks: list[nn.Module] = [conv(3, 64)]
    inputs = 64
    for channels, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):  # sides 32, 16, 8, 4
        blocks += [BasicBlock(inputs, channels, stride, attention), BasicBlock(channels, channels, 1, attention)]
        inputs = channels
    return Backbone(nn.Sequential(*blocks), 512, classes)


def seresnet18(classes: int) -> Backbone:
    """ResNet18 with channel attention in every block."""
    return resnet18(classes, attention=True)


# ---- parallel ----


class Inception(nn.Module):
    """Four ways side by side, each a good filter for things of another size: 1 x 1, 3 x 3, 5 x 5, and pooling.

    1 x 1 convolutions first make fewer channels, so that the large filters stay cheap; 5 x 5 is 3 x 3 twice, as in
    Szegedy et al., Rethinking the Inception Architecture (2016).
    """

    def __init__(self, inputs: int, one: int, reduce3: int, three: int, reduce5: int, five: int, pooled: int) -> None:
        super().__init__()
        pool = nn.MaxPool2d(3, stride=1, padding=1)
        self.ways = nn.ModuleList([
            conv(inputs, one, 1),
            nn.Sequential(conv(inputs, reduce3, 1), conv(reduce3, three)),
            nn.Sequential(conv(inputs, reduce5, 1), conv(reduce5, five), conv(five, five)),
            nn.Sequential(pool, conv(inputs, pooled, 1)),
        ])  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([way(x) for way in self.ways], dim=1)  # (N, one + three + five + pooled, H, W)


def googlenet(classes: int) -> Backbone:
    """Nine Inception blocks. Source: Szegedy et al., Going Deeper with Convolutions (2015), table 1."""
    def pool() -> nn.Module:
        return nn.MaxPool2d(3, stride=2, padding=1)

    features = nn.Sequential(
        conv(3, 192),  # (N, 192, 32, 32)
        Inception(192, 64, 96, 128, 16, 32, 32), Inception(256, 128, 128, 192, 32, 96, 64), pool(),  # (N, 480, 16, 16)
        Inception(480, 192, 96, 208, 16, 48, 64), Inception(512, 160, 112, 224, 24, 64, 64),
        Inception(512, 128, 128, 256, 24, 64, 64), Inception(512, 112, 144, 288, 32, 64, 64),
        Inception(528, 256, 160, 320, 32, 128, 128), pool(),  # (N, 832, 8, 8)
        Inception(832, 256, 160, 320, 32, 128, 128), Inception(832, 384, 192, 384, 48, 128, 128),  # (N, 1024, 8, 8)
    )  # fmt: skip
    return Backbone(features, 1024, classes)


# ---- light ----


class InvertedResidual(nn.Module):
    """Widen by 1 x 1, filter every channel for itself by 3 x 3, narrow by 1 x 1 without an activation, and skip.

    The 3 x 3 filters are the costly part of a convolution; one for each channel (depthwise separable convolution,
    section 57) is cheaper by about the number of channels.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = expansion * inputs
        widen = [conv(inputs, wide, 1, activation=nn.ReLU6)] if expansion != 1 else []
        filters = conv(wide, wide, stride=stride, groups=wide, activation=nn.ReLU6)
        self.layers = nn.Sequential(*widen, filters, conv(wide, outputs, 1, activation=None))
        self.skips = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.layers(x)  # (N, outputs, H / stride, W / stride)
        return x + y if self.skips else y


def mobilenetv2(classes: int) -> Backbone:
    """Seventeen light blocks. Source: Sandler et al., MobileNetV2 (2018), table 2, with strides for small images."""
    blocks: list[nn.Module] = [conv(3, 32, activation=nn.ReLU6)]
    inputs = 32
    for expansion, channels, depth, stride in ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2),
                                               (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)):  # fmt: skip
        for k in range(depth):
            blocks.append(InvertedResidual(inputs, channels, stride if k == 0 else 1, expansion))
            inputs = channels
    return Backbone(nn.Sequential(*blocks, conv(320, 1280, 1, activation=nn.ReLU6)), 1280, classes)  # (N, 1280, 4, 4)


BACKBONES: dict[str, Callable[[int], Backbone]] = {
    "vgg16": vgg16, "resnet18": resnet18, "googlenet": googlenet, "mobilenetv2": mobilenetv2, "seresnet18": seresnet18,
}  # fmt: skip


# ---- what a network costs ----


def costs(model: nn.Module, example: torch.Tensor) -> tuple[int, int]:
    """The number of weights that are learned, and of multiply-adds (MACs) for each image of `example`.

    Counted are convolutions and linear layers, without biases, as is usual: all else is small beside them.
    """
    macs = 0

    def count(layer: Any, inputs: Any, output: torch.Tensor) -> None:
        nonlocal macs
        macs += output[0].numel() * layer.weight[0].numel()

    layers = [layer for layer in model.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    training = model.training
    model.eval()
    with torch.no_grad():
        model(example)
    model.train(training)
    for hook in hooks:
        hook.remove()
    return sum(p.numel() for p in model.parameters() if p.requires_grad), macs

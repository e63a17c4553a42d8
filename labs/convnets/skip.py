"""Networks with connections past their layers (sections 56 and 59): ResNet, ResNeXt, SENet, DenseNet.

`stem` is the first convolution; ImageNet's has 7 x 7 with stride 2 and a pooling behind it, for 224 x 224 pixels.
"""

from __future__ import annotations

from typing import Sequence

from torch import nn

from labs.convnets.ways import Cat, Gate, Sum, conv, pooled


def skip(inputs: int, outputs: int, stride: int) -> nn.Module:
    """The way past a block: the identity, or 1 x 1 where the shape changes."""
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return conv(inputs, outputs, 1, stride, activation=None)


def basic(inputs: int, outputs: int, stride: int, gated: bool) -> nn.Sequential:
    """ResNet's block: two 3 x 3 convolutions learn what to add to their input."""
    gate = [Gate(outputs, outputs // 16)] if gated else []
    layers = nn.Sequential(conv(inputs, outputs, stride=stride), conv(outputs, outputs, activation=None), *gate)
    return nn.Sequential(Sum(layers, skip(inputs, outputs, stride)), nn.ReLU())


def resnet18(classes: int, width: float = 1, gated: bool = False) -> nn.Sequential:
    """Eight blocks, each of which adds to what it got; without the sums, deeper plain networks learned worse.

    Source: He et al., Deep Residual Learning for Image Recognition (2016), table 1.
    """
    a = int(width * 64)
    layers: list[nn.Module] = [conv(3, a)]
    inputs = a
    for channels, stride in ((a, 1), (2 * a, 2), (4 * a, 2), (8 * a, 2)):  # sides 32, 16, 8, 4
        layers += [basic(inputs, channels, stride, gated), basic(channels, channels, 1, gated)]
        inputs = channels
    return nn.Sequential(*layers, *pooled(inputs, classes))


def senet18(classes: int, width: float = 1) -> nn.Sequential:
    """ResNet18 whose blocks weigh their channels by what is in the whole image.

    Source: Hu et al., Squeeze-and-Excitation Networks (2018); the reduction to a sixteenth is its section 6.1.
    """
    return resnet18(classes, width, gated=True)


def aggregated(inputs: int, outputs: int, inner: int, stride: int, groups: int) -> nn.Sequential:
    """ResNeXt's block: narrow by 1 x 1, filter in `groups` by 3 x 3, widen by 1 x 1."""
    layers = nn.Sequential(conv(inputs, inner, 1), conv(inner, inner, 3, stride, groups),
                           conv(inner, outputs, 1, activation=None))  # fmt: skip
    return nn.Sequential(Sum(layers, skip(inputs, outputs, stride)), nn.ReLU())


def resnext29(classes: int, width: float = 1, depths: Sequence[int] = (3, 3, 3), groups: int = 32) -> nn.Sequential:
    """32 small ways of 4 channels added up, which is one grouped convolution.

    Source: Xie et al., Aggregated Residual Transformations (2017), 32x4d with the depth of its section 5.3.
    """
    a = int(width * 64)
    layers: list[nn.Module] = [conv(3, a)]
    inputs, inner = a, 2 * a
    for stage, depth in enumerate(depths):  # sides 32, 16, 8
        for k in range(depth):
            layers.append(aggregated(inputs, 2 * inner, inner, 2 if stage and k == 0 else 1, groups))
            inputs = 2 * inner
        inner = inputs
    return nn.Sequential(*layers, *pooled(inputs, classes))


def turned_conv(inputs: int, outputs: int, size: int) -> nn.Sequential:
    """DenseNet's order: normalisation and activation come before the convolution."""
    return nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(),
                         nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False))  # fmt: skip


def densenet100(classes: int, width: float = 1, depths: Sequence[int] = (16, 16, 16), growth: int = 12
                ) -> nn.Sequential:  # fmt: skip
    """Every layer reads all before it and puts `growth` channels beside them.

    Source: Huang et al., Densely Connected Convolutional Networks (2017): DenseNet-BC of 100 layers, 12 channels each.
    """
    growth = int(width * growth)
    channels = 2 * growth
    layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1, bias=False)]
    for stage, depth in enumerate(depths):  # sides 32, 16, 8
        if stage:
            layers += [turned_conv(channels, channels // 2, 1), nn.AvgPool2d(2)]
            channels //= 2
        for _ in range(depth):
            bottleneck = turned_conv(channels, 4 * growth, 1), turned_conv(4 * growth, growth, 3)
            layers.append(Cat(nn.Identity(), nn.Sequential(*bottleneck)))
            channels += growth
    return nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ReLU(), *pooled(channels, classes))

"""Light networks (section 57): MobileNet V1 to V3, ShuffleNet V1 and V2, SqueezeNet.

With the strides that suit 32 x 32 pixels: as many fewer at the beginning as make the last maps 4 x 4.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from labs.convnets.ways import Cat, Gate, HardSigmoid, HardSwish, Shuffle, Split, Sum, conv, depthwise, pooled


def mobilenetv1(classes: int, width: float = 1) -> nn.Sequential:
    """Depthwise separable convolutions throughout: filter each channel by 3 x 3, then mix the channels by 1 x 1.

    Source: Howard et al., MobileNets (2017), table 1; `width` is its width multiplier.
    """
    inputs = int(width * 32)
    layers: list[nn.Module] = [conv(3, inputs)]
    for channels, stride in ((64, 1), (128, 1), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1),
                             (512, 1), (512, 1), (1024, 2), (1024, 1)):  # fmt: skip
        layers += [depthwise(inputs, stride=stride), conv(inputs, int(width * channels), 1)]
        inputs = int(width * channels)
    return nn.Sequential(*layers, *pooled(inputs, classes))


def inverted(inputs: int, inner: int, outputs: int, stride: int = 1, size: int = 3, gate: bool = False,
             activation: Any = nn.ReLU6) -> nn.Module:  # fmt: skip
    """Widen by 1 x 1, filter each channel, narrow by 1 x 1 without an activation, and add the input where it fits."""
    layers = [conv(inputs, inner, 1, activation=activation)] if inner != inputs else []
    layers.append(depthwise(inner, size, stride, activation))
    if gate:
        layers.append(Gate(inner, eighths(inner / 4), HardSigmoid))
    block = nn.Sequential(*layers, conv(inner, outputs, 1, activation=None))
    return Sum(block, nn.Identity()) if stride == 1 and inputs == outputs else block


def eighths(channels: float) -> int:
    """The nearest multiple of 8, of at least 8, and not below nine tenths of `channels`."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


def mobilenetv2(classes: int, width: float = 1) -> nn.Sequential:
    """Blocks that are wide inside and narrow outside, so that little has to be kept between them.

    Source: Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks (2018), table 2.
    """
    inputs, last = int(width * 32), int(width * 1280)
    layers: list[nn.Module] = [conv(3, inputs, activation=nn.ReLU6)]
    for times, channels, depth, stride in ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
                                           (6, 160, 3, 2), (6, 320, 1, 1)):  # fmt: skip
        for k in range(depth):
            layers.append(inverted(inputs, times * inputs, int(width * channels), stride if k == 0 else 1))
            inputs = int(width * channels)
    return nn.Sequential(*layers, conv(inputs, last, 1, activation=nn.ReLU6), *pooled(last, classes))


# kernel, channels within, channels, gate, activation, stride: table 2 of the paper, with two strides fewer
SMALL = ((3, 16, 16, True, nn.ReLU, 1), (3, 72, 24, False, nn.ReLU, 1), (3, 88, 24, False, nn.ReLU, 1),
         (5, 96, 40, True, HardSwish, 2), (5, 240, 40, True, HardSwish, 1), (5, 240, 40, True, HardSwish, 1),
         (5, 120, 48, True, HardSwish, 1), (5, 144, 48, True, HardSwish, 1), (5, 288, 96, True, HardSwish, 2),
         (5, 576, 96, True, HardSwish, 1), (5, 576, 96, True, HardSwish, 1))  # fmt: skip


def mobilenetv3(classes: int, width: float = 1) -> nn.Sequential:
    """V2's blocks with gates and cheaper activations, their sizes found by search: the small variant.

    Source: Howard et al., Searching for MobileNetV3 (2019), table 2.
    """
    inputs = int(width * 16)
    layers: list[nn.Module] = [conv(3, inputs, stride=2, activation=HardSwish)]
    for size, inner, channels, gate, activation, stride in SMALL:
        outputs = int(width * channels)
        layers.append(inverted(inputs, int(width * inner), outputs, stride, size, gate, activation))
        inputs = outputs
    last, wide = int(width * 576), int(width * 1024)
    return nn.Sequential(*layers, conv(inputs, last, 1, activation=HardSwish), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(last, wide), HardSwish(), nn.Dropout(0.2), nn.Linear(wide, classes))  # fmt: skip


def shuffled(inputs: int, outputs: int, stride: int, groups: int) -> nn.Sequential:
    """ShuffleNet's block: 1 x 1 in groups, shuffle, depthwise 3 x 3, 1 x 1 in groups; added to, or beside, the "
    "input."""
    inner = outputs // 4
    grown = outputs - inputs if stride == 2 else outputs
    first = 1 if inputs < inner else groups  # the first layer has too few channels to be divided
    layers = nn.Sequential(conv(inputs, inner, 1, groups=first), Shuffle(groups),
                           depthwise(inner, stride=stride, activation=None),
                           conv(inner, grown, 1, groups=groups, activation=None))  # fmt: skip
    both = Cat(nn.AvgPool2d(3, 2, 1), layers) if stride == 2 else Sum(nn.Identity(), layers)
    return nn.Sequential(both, nn.ReLU())


def shufflenetv1(classes: int, width: float = 1, groups: int = 3) -> nn.Sequential:
    """1 x 1 convolutions, which are most of the work in MobileNet, in groups too, and a shuffle that joins them.

    Source: Zhang et al., ShuffleNet (2018), table 1 with three groups.
    """
    inputs = int(width * 24)
    layers: list[nn.Module] = [conv(3, inputs)]
    for channels, depth in ((240, 4), (480, 8), (960, 4)):  # sides 16, 8, 4
        for k in range(depth):
            layers.append(shuffled(inputs, int(width * channels), 2 if k == 0 else 1, groups))
            inputs = int(width * channels)
    return nn.Sequential(*layers, *pooled(inputs, classes))


def half(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """The way of ShuffleNet V2 that computes: 1 x 1, depthwise 3 x 3, 1 x 1, all of one width."""
    return nn.Sequential(conv(inputs, outputs, 1), depthwise(outputs, stride=stride, activation=None),
                         conv(outputs, outputs, 1))  # fmt: skip


def shufflenetv2(classes: int, width: float = 1) -> nn.Sequential:
    """Half of the channels go past each block; no groups, since they cost time that MACs do not show.

    Source: Ma et al., ShuffleNet V2 (2018), table 5, width 1.
    """
    inputs, last = int(width * 24), int(width * 1024)
    layers: list[nn.Module] = [conv(3, inputs)]
    for channels, depth in ((116, 4), (232, 8), (464, 4)):  # sides 16, 8, 4
        outputs = int(width * channels) // 2  # of each way
        past = nn.Sequential(depthwise(inputs, stride=2, activation=None), conv(inputs, outputs, 1))
        layers += [Cat(past, half(inputs, outputs, 2)), Shuffle(2)]
        for _ in range(depth - 1):
            layers += [Split(nn.Identity(), half(outputs, outputs, 1)), Shuffle(2)]
        inputs = 2 * outputs
    return nn.Sequential(*layers, conv(inputs, last, 1), *pooled(last, classes))


def fire(inputs: int, squeeze: int, expand: int) -> nn.Sequential:
    """SqueezeNet's block: 1 x 1 to few channels, and from these 1 x 1 and 3 x 3 side by side."""
    return nn.Sequential(nn.Conv2d(inputs, squeeze, 1), nn.ReLU(),
                         Cat(nn.Sequential(nn.Conv2d(squeeze, expand, 1), nn.ReLU()),
                             nn.Sequential(nn.Conv2d(squeeze, expand, 3, padding=1), nn.ReLU())))  # fmt: skip


def squeezenet(classes: int, width: float = 1) -> nn.Sequential:
    """AlexNet's accuracy on ImageNet with a fiftieth of its weights: few inputs for every 3 x 3 filter.

    Source: Iandola et al., SqueezeNet (2016), version 1.1 of its authors; the classes are maps, then averaged.
    """
    def block(*channels: int) -> nn.Sequential:
        return fire(*(int(width * each) for each in channels))

    network = nn.Sequential(
        nn.Conv2d(3, int(width * 64), 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, 1),  # (N, 64, 16, 16)
        block(64, 16, 64), block(128, 16, 64), nn.MaxPool2d(3, 2, 1),
        block(128, 32, 128), block(256, 32, 128), nn.MaxPool2d(3, 2, 1),  # (N, 256, 4, 4)
        block(256, 48, 192), block(384, 48, 192), block(384, 64, 256), block(512, 64, 256),
        nn.Dropout(0.5), nn.Conv2d(int(width * 512), classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):  # without batch normalisation the first weights have to be right
            nn.init.kaiming_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    nn.init.normal_(network[-4].weight, std=0.01)
    return network

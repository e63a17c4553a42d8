"""Parallel networks (section 56): GoogLeNet, whose blocks have filters of several sizes side by side."""

from __future__ import annotations

from torch import nn

from labs.convnets.ways import Cat, conv, pooled


def inception(inputs: int, one: int, reduce3: int, three: int, reduce5: int, five: int, pool: int) -> Cat:
    """Four ways: 1 x 1, 3 x 3, 5 x 5, and pooling. 1 x 1 first makes fewer channels where filters are large.

    Versions 2 and 3 take 3 x 3 twice in place of 5 x 5, and 1 x 7 with 7 x 1 in place of 7 x 7; version 4 adds to its
    input as ResNet does, and is called Inception-ResNet then.
    """
    return Cat(
        conv(inputs, one, 1),
        nn.Sequential(conv(inputs, reduce3, 1), conv(reduce3, three, 3)),
        nn.Sequential(conv(inputs, reduce5, 1), conv(reduce5, five, 5)),
        nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(inputs, pool, 1)),
    )


def googlenet(classes: int, width: float = 1) -> nn.Sequential:
    """Nine Inception blocks, mean pooling in place of wide linear layers.

    The first three convolutions of ImageNet's are one here, and the two helping classifiers on the way are left out.
    Source: Szegedy et al., Going Deeper with Convolutions (2015), table 1, with batch normalisation.
    """

    def block(*channels: int) -> Cat:
        return inception(*(int(width * each) for each in channels))

    return nn.Sequential(
        conv(3, int(width * 192)),  # (N, 192, 32, 32)
        block(192, 64, 96, 128, 16, 32, 32), block(256, 128, 128, 192, 32, 96, 64), nn.MaxPool2d(3, 2, 1),
        block(480, 192, 96, 208, 16, 48, 64), block(512, 160, 112, 224, 24, 64, 64),  # (N, 512, 16, 16)
        block(512, 128, 128, 256, 24, 64, 64), block(512, 112, 144, 288, 32, 64, 64),
        block(528, 256, 160, 320, 32, 128, 128), nn.MaxPool2d(3, 2, 1),
        block(832, 256, 160, 320, 32, 128, 128), block(832, 384, 192, 384, 48, 128, 128),  # (N, 1024, 8, 8)
        *pooled(int(width * 1024), classes),
    )  # fmt: skip

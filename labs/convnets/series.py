"""Series networks, one layer after the other (section 56): LeNet, AlexNet, VGG.

Every builder takes the number of classes and a `width` that multiplies all channels.
"""

from __future__ import annotations

from torch import nn

from labs.convnets.ways import conv, pooled


def lenet(classes: int, width: float = 1) -> nn.Sequential:
    """Convolution and pooling in turn, then linear layers: the form that all have kept.

    With tanh and mean pooling, as it was. 62 thousand weights, of which the linear layers have 59 thousand.
    Source: LeCun et al., Gradient-Based Learning Applied to Document Recognition (1998), figure 2, on colour images.
    """
    a, b, c, d = (int(width * channels) for channels in (6, 16, 120, 84))
    return nn.Sequential(
        nn.Conv2d(3, a, 5), nn.Tanh(), nn.AvgPool2d(2),  # (N, 6, 14, 14)
        nn.Conv2d(a, b, 5), nn.Tanh(), nn.AvgPool2d(2),  # (N, 16, 5, 5)
        nn.Flatten(), nn.Linear(b * 5 * 5, c), nn.Tanh(), nn.Linear(c, d), nn.Tanh(), nn.Linear(d, classes),
    )  # fmt: skip


def alexnet(classes: int, width: float = 1) -> nn.Sequential:
    """Deeper and wider, with ReLU, overlapping pooling and dropout; trained on GPUs, it won ImageNet in 2012.

    The first filters are 5 x 5 with stride 1 here (11 x 11, stride 4), the linear layers 1,024 wide (4,096).
    Source: Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks (2012), figure 2.
    """
    a, b, c, d, wide = (int(width * channels) for channels in (64, 192, 384, 256, 1024))
    return nn.Sequential(
        nn.Conv2d(3, a, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2, 1),  # (N, 64, 16, 16)
        nn.Conv2d(a, b, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2, 1),  # (N, 192, 8, 8)
        nn.Conv2d(b, c, 3, padding=1), nn.ReLU(),
        nn.Conv2d(c, d, 3, padding=1), nn.ReLU(),
        nn.Conv2d(d, d, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, 1),  # (N, 256, 4, 4)
        nn.Flatten(),
        nn.Dropout(0.5), nn.Linear(d * 4 * 4, wide), nn.ReLU(),
        nn.Dropout(0.5), nn.Linear(wide, wide), nn.ReLU(), nn.Linear(wide, classes),
    )  # fmt: skip


def vgg16(classes: int, width: float = 1) -> nn.Sequential:
    """Thirteen 3 x 3 convolutions in five stages; two in a row see 5 x 5 pixels with 18 weights in place of 25.

    With batch normalisation, without which it does not begin to learn, and one linear layer in place of three.
    Source: Simonyan & Zisserman, Very Deep Convolutional Networks (2015), configuration D.
    """
    layers: list[nn.Module] = []
    inputs = 3
    for channels, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):  # sides 32, 16, 8, 4, 2
        for _ in range(depth):
            layers.append(conv(inputs, int(width * channels)))
            inputs = int(width * channels)
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, *pooled(inputs, classes))

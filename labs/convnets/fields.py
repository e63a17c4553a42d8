"""The receptive field: which pixels of the image one number of a feature map depends on, by formula and by gradient.

Along one axis, the output at place p of a layer reads the inputs from stride * p + low to stride * p + high. Layers one
after the other and ways side by side give windows of the same form, so the field of a network follows from its parts.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import nn

from labs.convnets.ways import Cat, Gate, HardSigmoid, HardSwish, Shuffle, Split, Sum

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.Tanh, HardSwish, HardSigmoid)
POINTWISE = (*ACTIVATIONS, nn.BatchNorm2d, nn.Dropout, nn.Identity, Shuffle)
HEIGHT = 16  # of an image that is only as long as the field: the width alone is measured


class Window(NamedTuple):
    """The output at p reads the inputs from `stride * p + low` to `stride * p + high`."""

    low: int
    high: int
    stride: int

    @property
    def size(self) -> int:
        return self.high - self.low + 1


def first(value: int | tuple[int, ...]) -> int:
    """A size that may be given for each axis; all of this lab are square."""
    return value[0] if isinstance(value, tuple) else value


def window(layer: nn.Module) -> Window:
    """What one output of a layer, or of layers, reads of its input. A gate's mean over the whole image is left out.

    Raises ValueError for a layer that has no window, such as a linear one.
    """
    if isinstance(layer, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
        dilation = first(getattr(layer, "dilation", 1))
        low = -first(layer.padding)
        return Window(low, low + dilation * (first(layer.kernel_size) - 1), first(layer.stride))
    if isinstance(layer, (Sum, Cat, Split)):
        windows = [window(way) for way in layer.ways]
        return Window(min(w.low for w in windows), max(w.high for w in windows), windows[0].stride)
    if isinstance(layer, nn.Sequential):
        found = Window(0, 0, 1)
        for part in layer:
            low, high, stride = window(part)
            found = Window(found.low + found.stride * low, found.high + found.stride * high, found.stride * stride)
        return found
    if isinstance(layer, (*POINTWISE, Gate)):
        return Window(0, 0, 1)
    raise ValueError(f"{type(layer).__name__} has no window")


def features(network: nn.Sequential) -> nn.Sequential:
    """The layers that make maps: all before the mean over places, or before the maps are laid in a row."""
    layers = list(network)
    ends = [k for k, layer in enumerate(layers) if isinstance(layer, (nn.AdaptiveAvgPool2d, nn.Flatten))]
    return nn.Sequential(*layers[: ends[0]]) if ends else network


def straight(layers: nn.Module) -> nn.Module:
    """A copy in float64 without all that may hide a path: equal weights, no activation, means in place of maxima."""
    layers = copy.deepcopy(layers).double()
    for part in list(layers.modules()):
        for name, layer in part.named_children():
            if isinstance(layer, (*ACTIVATIONS, nn.BatchNorm2d, nn.Dropout, Gate)):
                part._modules[name] = nn.Identity()
            elif isinstance(layer, nn.MaxPool2d):
                part._modules[name] = nn.AvgPool2d(layer.kernel_size, layer.stride, layer.padding)
            elif isinstance(layer, nn.Conv2d):  # weights of one, but for a factor against overflow
                nn.init.constant_(layer.weight, 1 / (layer.weight.shape[1] * layer.weight.shape[2]))
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
    return layers


def gradient(layers: nn.Module, image: torch.Tensor, channels: slice = slice(None)) -> torch.Tensor:
    """|d output / d image| of the place in the middle, summed over the image's channels: (H, W) of (1, C, H, W).

    All `channels` of the output at that place are looked at: where ways were put side by side, one alone may see less.
    """
    image = image.clone().requires_grad_()
    maps = layers.eval()(image)
    maps[0, channels, maps.shape[2] // 2, maps.shape[3] // 2].sum().backward()
    found: torch.Tensor = image.grad[0].abs().sum(dim=0)
    return found


def extent(profile: torch.Tensor) -> int:
    """From the first to the last place that is not 0 of (length)."""
    places = profile.nonzero().flatten()
    return int(places[-1] - places[0]) + 1 if len(places) else 0


def effective(profile: torch.Tensor) -> float:
    """Four standard deviations of |gradient| (length) as of a distribution: about where 95 % of it are."""
    total = profile.sum()
    if not total:
        return 0.0
    places = torch.arange(len(profile), dtype=profile.dtype)
    share = profile / total
    mean = (share * places).sum()
    return float(4 * (share * (places - mean) ** 2).sum().sqrt())


def side_for(size: int) -> int:
    """A length in which a window of `size` fits around the middle, whatever the strides: a multiple of 32."""
    return -(-(size + 64) // 32) * 32


def seen(layers: nn.Sequential) -> int:
    """How far the gradient of one place reaches along the width, through weights that are all equal."""
    found = window(layers)
    image = torch.ones(1, 3, max(HEIGHT, found.stride), side_for(found.size), dtype=torch.float64)
    return extent(gradient(straight(layers), image).sum(dim=0))


# ---- what one sees who tries it with a network as it is ----


def chains() -> dict[str, nn.Sequential]:
    """Small chains of layers, 8 channels wide, on one channel; activations and pooling as their originals have them."""
    def stage(inputs: int, depth: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> list[nn.Module]:
        layers: list[nn.Module] = []
        for k in range(depth):
            layers += [nn.Conv2d(inputs if k == 0 else 8, 8, kernel, stride, dilation * (kernel // 2), dilation),
                       nn.ReLU()]  # fmt: skip
        return layers

    vgg: list[nn.Module] = []
    for k, depth in enumerate((2, 2, 3, 3, 3)):
        vgg += [*stage(8 if k else 1, depth), nn.MaxPool2d(2)]
    return {
        "3 x 3 three times": nn.Sequential(*stage(1, 3)),
        "7 x 7": nn.Sequential(*stage(1, 1, kernel=7)),
        "3 x 3, dilation 1, 2, 4": nn.Sequential(*stage(1, 1), *stage(8, 1, dilation=2), *stage(8, 1, dilation=4)),
        "LeNet": nn.Sequential(*stage(1, 1, 5), nn.MaxPool2d(2), *stage(8, 1, 5), nn.MaxPool2d(2)),
        "AlexNet, as published": nn.Sequential(*stage(1, 1, 11, stride=4), nn.MaxPool2d(3, 2), *stage(8, 1, 5),
                                               nn.MaxPool2d(3, 2), *stage(8, 3), nn.MaxPool2d(3, 2)),
        "VGG16": nn.Sequential(*vgg),
    }  # fmt: skip


def drawn_gradient(layers: nn.Sequential, side: int, seed: int) -> torch.Tensor:
    """With random weights, ReLU and max-pooling as they are: |gradient| (side, side) of one channel in the middle."""
    random = copy.deepcopy(layers)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for layer in random:
            if isinstance(layer, nn.Conv2d):
                layer.reset_parameters()
        noise = torch.randn(1, 1, side, side)
    return gradient(random, noise, slice(1))


def shares(layers: nn.Sequential, seeds: int) -> list[float]:
    """How much of the field the gradient shows with random weights, by seed."""
    size = window(layers).size
    found = (drawn_gradient(layers, side_for(size), seed) for seed in range(seeds))
    return [extent(each.sum(dim=0)) / size for each in found]

"""What a network costs, counted by hand from the shapes that pass through it, and by fvcore.

A MAC is one multiplication with its addition; a FLOP is one of the two, so a MAC is 2 FLOPs. fvcore says flop and
counts MACs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn

from labs.convnets.ways import Cat, Split, Sum


class Costs(NamedTuple):
    """Of one image. Counted as usual: convolutions and linear layers, without biases."""

    parameters: int
    macs: int
    numbers: int  # that all layers put out: a training keeps about as many until it has gone back over them

    @property
    def flops(self) -> int:
        return 2 * self.macs


def conv_parameters(inputs: int, outputs: int, size: int, groups: int = 1, bias: bool = True) -> int:
    """Each output channel has size x size weights for every input channel of its group."""
    return outputs * (inputs // groups) * size * size + outputs * bias


def conv_macs(inputs: int, outputs: int, size: int, height: int, width: int, groups: int = 1) -> int:
    """Each of the outputs (height x width of them in each channel) takes one MAC for every weight of its channel."""
    return height * width * outputs * (inputs // groups) * size * size


def by_hand(network: nn.Module, image: torch.Tensor) -> Costs:
    """Go through the network with `image` (1, C, H, W) and apply the formulas to each layer."""
    macs = numbers = parameters = 0

    def look(layer: Any, _: Any, output: torch.Tensor) -> None:
        nonlocal macs, numbers, parameters
        if isinstance(layer, nn.Conv2d):
            shape = layer.in_channels, layer.out_channels, layer.kernel_size[0]
            macs += conv_macs(*shape, output.shape[2], output.shape[3], layer.groups)
            parameters += conv_parameters(*shape, layer.groups, layer.bias is not None)
        elif isinstance(layer, nn.Linear):
            macs += layer.in_features * layer.out_features
            parameters += (layer.in_features + 1) * layer.out_features
        elif isinstance(layer, nn.BatchNorm2d):
            parameters += 2 * layer.num_features  # a scale and a shift each
        if not isinstance(layer, (nn.Identity, nn.Flatten)):
            numbers += output.numel()

    every = list(network.modules())
    layers = [layer for layer in every if isinstance(layer, (Sum, Cat, Split)) or not list(layer.children())]
    hooks = [layer.register_forward_hook(look) for layer in layers]
    network.eval()
    with torch.no_grad():
        network(image)
    for hook in hooks:
        hook.remove()
    return Costs(parameters, macs, numbers)


def by_fvcore(network: nn.Module, image: torch.Tensor) -> int:
    """The MACs of convolutions and linear layers that fvcore counts, which calls them flops."""
    analysis = FlopCountAnalysis(network.eval(), image)
    counted = analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).by_operator()
    return int(sum(counted[name] for name in ("conv", "linear", "addmm", "matmul")))

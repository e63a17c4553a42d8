"""Two small networks for digits: `Fast`, made for few seconds on few cores, and the plain CNN of the notes.

Shapes: N images of one channel, H x W pixels. Both take normalised images (N, 1, H, W) and return logits (N, 10).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

DIGITS = 10


class Norm(nn.BatchNorm2d):
    """Batch normalisation whose running averages follow quickly, since a training has few steps."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, momentum=0.4)


class Fast(nn.Module):
    """conv - norm - ReLU, then twice conv - pool - norm - ReLU, the maximum over all places, and a linear layer.

    The first layer moves in steps of `stride` pixels. At the full size even one channel in and 16 out would cost more
    than all the rest, and strokes are three pixels wide. The norm comes after the pool, where it has a quarter of the
    pixels to go through; once its averages are fixed and its scale is positive, the two may change places.
    """

    def __init__(self, width: int = 16, stride: int = 3) -> None:
        super().__init__()
        kernel = stride + 2  # neighbours overlap by two pixels
        self.conv1 = nn.Conv2d(1, width, kernel, stride=stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1, bias=False)
        self.conv3 = nn.Conv2d(2 * width, 4 * width, 3, padding=1, bias=False)
        self.norm1, self.norm2, self.norm3 = Norm(width), Norm(2 * width), Norm(4 * width)
        self.head = nn.Linear(4 * width, DIGITS, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm1(self.conv1(x)))  # (N, width, 8, 8) of 24 x 24 pixels with stride 3
        x = F.relu(self.norm2(F.max_pool2d(self.conv2(x), 2)))  # (N, 2 width, 4, 4)
        x = F.relu(self.norm3(F.max_pool2d(self.conv3(x), 2)))  # (N, 4 width, 2, 2)
        x = x.flatten(2).max(dim=2)[0]  # (N, 4 width): how strongly a stroke is there, wherever it is
        return self.head(x)


class Plain(nn.Module):
    """The parts that sections 42 and 44 name: convolution, pooling, ReLU, twice, and one fully connected layer.

    The notes state no sizes; these are the usual ones.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 5, padding=2)
        self.conv2 = nn.Conv2d(16, 32, 5, padding=2)
        self.fc = nn.Linear(32 * (side // 4) ** 2, DIGITS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)  # (N, 16, 14, 14) of 28 x 28 pixels
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)  # (N, 32, 7, 7)
        return self.fc(x.flatten(1))


class Layer(NamedTuple):
    """What one layer takes and costs for one image."""

    name: str
    kind: str
    output: tuple[int, ...]  # channels, height, width; or numbers
    parameters: int
    macs: int  # multiply-adds, biases not counted


def layers(model: nn.Module, example: torch.Tensor) -> list[Layer]:
    """The convolutions and linear layers of `model`, in the order in which `example` (1, ...) goes through them."""
    found: list[Layer] = []
    names = {layer: name for name, layer in model.named_modules()}

    def note(layer: Any, inputs: Any, output: torch.Tensor) -> None:
        kind = f"conv {layer.kernel_size[0]} x {layer.kernel_size[1]}, stride {layer.stride[0]}" if isinstance(
            layer, nn.Conv2d) else "linear"  # fmt: skip
        parameters = sum(p.numel() for p in layer.parameters())
        macs = output[0].numel() * layer.weight[0].numel()
        found.append(Layer(names[layer].rpartition(".")[2], kind, tuple(output.shape[1:]), parameters, macs))

    hooks = [layer.register_forward_hook(note) for layer in names if isinstance(layer, (nn.Conv2d, nn.Linear))]
    training = model.training
    model.eval()
    with torch.no_grad():
        model(example)
    model.train(training)
    for hook in hooks:
        hook.remove()
    return found

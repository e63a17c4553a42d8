"""What a network holds and costs, layer by layer, found by hooks."""

from __future__ import annotations

from typing import Any, Tuple

import torch
from torch import nn

# (name, kind, shape of what it gives, its own parameters, multiply-adds for one image)
Row = Tuple[str, str, Tuple[int, ...], int, int]


@torch.no_grad()
def summarize(model: nn.Module, given: torch.Tensor) -> list[Row]:
    """A row for each layer that holds no other, in the order in which they are called with `given`, (1, ...)."""
    rows: list[Row] = []

    def watch(name: str, layer: nn.Module) -> Any:
        def seen(_: nn.Module, __: Any, result: torch.Tensor) -> None:
            weight = getattr(layer, "weight", None)
            # Each weight of a convolution is used at every place of the map that comes out, one of a Linear layer once.
            places = result.shape[2:].numel() if isinstance(layer, nn.Conv2d) else 1
            adds = weight.numel() * places if isinstance(layer, (nn.Conv2d, nn.Linear)) and weight is not None else 0
            held = sum(p.numel() for p in layer.parameters(recurse=False))
            rows.append((name, type(layer).__name__, tuple(result.shape), held, adds))

        return layer.register_forward_hook(seen)

    leaves = [(name, layer) for name, layer in model.named_modules() if not list(layer.children())]
    handles = [watch(name, layer) for name, layer in leaves]
    was_training = model.training
    model.eval()(given)
    model.train(was_training)
    for handle in handles:
        handle.remove()
    return rows


def small_network(width: int) -> nn.Sequential:
    """Images (N, 3, 32, 32) in, ten logits out."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1), nn.BatchNorm2d(2 * width), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(2 * width, 10),
    )  # fmt: skip


def count_by_hand(width: int) -> int:
    """How many parameters `small_network(width)` has, by the formulas."""
    convolutions = 3 * width * 9 + width + width * 2 * width * 9 + 2 * width
    norms = 2 * width + 2 * 2 * width
    return convolutions + norms + 2 * width * 10 + 10

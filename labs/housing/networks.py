"""The network, its loss and its optimizer, in the form of the notes (section 44), for many networks at once.

A network this small takes a processor microseconds, and starting its operations takes longer than computing them. So K
networks are trained side by side: layer by layer, all of them are one batched matrix product. The loss is the sum of
theirs; no weight of one is in the loss of another, so each learns as it would alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Sequence

import torch
from torch import nn

from labkit.runs import compat

WARM_UP = 0.3  # of the training, in which the learning rate rises


@dataclass(frozen=True)
class Settings:
    """What may differ from one network to the next."""

    width: int = 64  # units in each hidden layer
    l1: float = 0.0
    l2: float = 0.0
    dropout: float = 0.0


# ---- network ----


class Networks(nn.Module):
    """K multi-layer perceptrons with two hidden layers: inputs (K, N, F) -> outputs (K, N).

    A network narrower than the widest has the same tensors, and the units beyond its width are always 0.
    """

    def __init__(self, inputs: int, settings: Sequence[Settings], seed: int) -> None:
        super().__init__()
        count, widest = len(settings), max(each.width for each in settings)
        generator = torch.Generator().manual_seed(seed)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for layer, (fan_in, fan_out) in enumerate([(inputs, widest), (widest, widest), (widest, 1)]):
            read = [each.width if layer else inputs for each in settings]  # how many inputs this layer has in truth
            bound = torch.tensor(read, dtype=torch.float32).rsqrt().view(count, 1, 1)
            for parts, rows in ((self.weights, fan_in), (self.biases, 1)):  # as nn.Linear draws them
                drawn = torch.empty(count, rows, fan_out).uniform_(-1, 1, generator=generator)
                parts.append(nn.Parameter(drawn * bound))
        units = torch.tensor([[k < each.width for k in range(widest)] for each in settings])
        self.register_buffer("units", units.float().unsqueeze(1))  # (K, 1, widest): 1 for each unit that there is
        for name in ("l1", "l2", "dropout"):
            values = torch.tensor([float(getattr(each, name)) for each in settings])
            self.register_buffer(name, values.view(count, 1, 1))
        self._some_narrower = bool((self.units == 0).any())  # what no network asks for costs no time
        self.penalised = bool((self.l1 > 0).any() or (self.l2 > 0).any())
        self._some_dropout = bool((self.dropout > 0).any())

    def forward(self, x: torch.Tensor, some: slice = slice(None)) -> torch.Tensor:
        x = x.expand(len(self.units[some]), *x.shape[-2:])
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases)):
            x = torch.baddbmm(bias[some], x, weight[some])  # x @ weight + bias, for all K at once
            if layer < 2:
                x = torch.relu(x)
                if self._some_narrower:
                    x = x * self.units[some]
                if self.training and self._some_dropout:
                    kept = (torch.rand_like(x) >= self.dropout).float()
                    x = x * kept / (1 - self.dropout)  # so that the mean stays as it is without dropout
        return x.squeeze(2)


# ---- loss ----


def loss_of(networks: Networks, outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What is minimised, a number, and the mean squared error of each network (K), of outputs and targets (K, N).

    Beside the error stand l1 times the sum of all |weights| and l2 times that of their squares; biases are free.
    """
    errors = ((outputs - targets) ** 2).mean(dim=1)
    total = errors.sum()
    if networks.penalised:
        for weight in networks.weights:
            total = total + (networks.l1 * weight.abs() + networks.l2 * weight**2).sum()
    return total, errors


# ---- optimizer ----


def make_optimizer(networks: Networks) -> torch.optim.Optimizer:
    """Adam, whose step for a weight depends on that weight's own gradients alone."""
    return torch.optim.Adam(networks.parameters(), **compat.FUSED)


def set_rate(optimizer: torch.optim.Optimizer, share: float, highest: float) -> None:
    """The learning rate after a `share` of the training: up in a straight line, then down to 0 as a cosine does."""
    after = (share - WARM_UP) / (1 - WARM_UP)
    rate = (share + 0.01) / (WARM_UP + 0.01) if after < 0 else (1 + math.cos(math.pi * after)) / 2
    optimizer.param_groups[0]["lr"] = highest * rate


# ---- test and inference ----


@torch.no_grad()
def predict(networks: Networks, x: torch.Tensor, some: slice = slice(None)) -> torch.Tensor:
    """Outputs (K, N) of `some` of the networks, for inputs (K, N, F) or, the same for all of them, (N, F)."""
    networks.eval()
    outputs = networks(x, some)
    networks.train()
    return outputs

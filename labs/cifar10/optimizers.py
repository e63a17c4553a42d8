"""How the weights move: the optimizers of section 61 of the notes, the schedules of section 60, all of them PyTorch's.

Muon, the default, is labkit/runs/muon.py.
"""

from __future__ import annotations

from typing import Any, Sequence

import torch
from torch import nn
from torch.optim import lr_scheduler

from labkit.runs.muon import Muon
from labs.cifar10.config import OPTIMIZERS, Config


def make_optimizers(model: nn.Module, config: Config) -> list[torch.optim.Optimizer]:
    """The optimizer for all parameters; muon is for filters alone, and a second one takes the rest.

    `config.l2` is the weight decay. Muon's filters keep their length, so there it acts on the rest alone.
    """
    params = [p for p in model.parameters() if p.requires_grad]
    lr = OPTIMIZERS[config.optimizer] if config.lr is None else config.lr
    if config.optimizer == "muon":
        groups = [{"params": [p for p in params if p.dim() == 1], "lr": 0.053},
                  {"params": [p for p in params if p.dim() == 2], "lr": 0.67}]  # fmt: skip
        rest = torch.optim.SGD(groups, lr=0.1, momentum=0.85, nesterov=True, weight_decay=config.l2)
        return [Muon([p for p in params if p.dim() == 4], lr=lr), rest]
    options: dict[str, Any] = {"lr": lr, "weight_decay": config.l2}
    if config.optimizer == "sgd":  # w <- w - lr * gradient
        return [torch.optim.SGD(params, **options)]
    if config.optimizer == "momentum":  # v <- 0.9 v + gradient; w <- w - lr * v
        return [torch.optim.SGD(params, momentum=0.9, **options)]
    if config.optimizer == "nag":  # Nesterov: as if the gradient were taken one step of v ahead
        return [torch.optim.SGD(params, momentum=0.9, nesterov=True, **options)]
    if config.optimizer == "adagrad":  # each weight's step is divided by the root of the sum of its squared gradients
        return [torch.optim.Adagrad(params, **options)]
    if config.optimizer == "rmsprop":  # ... of a moving mean of them, so that steps do not shrink for ever
        return [torch.optim.RMSprop(params, **options)]
    if config.optimizer == "adadelta":  # ... and is multiplied by the root of the mean of its squared steps
        return [torch.optim.Adadelta(params, **options)]
    return [torch.optim.Adam(params, **options)]  # RMSProp and momentum together


class Schedule:
    """The learning rate over a run: one of PyTorch's schedulers for each optimizer, and when it moves on."""

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer], config: Config, steps_per_epoch: int) -> None:
        self.by_epoch = config.schedule in ("exponential", "plateau")
        self.plateau = config.schedule == "plateau"
        total = config.epochs * steps_per_epoch

        def make(optimizer: torch.optim.Optimizer) -> Any:
            rates = [group["lr"] for group in optimizer.param_groups]
            if config.schedule == "constant":
                return lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
            if config.schedule == "linear":
                return lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / total)
            if config.schedule == "exponential":
                return lr_scheduler.ExponentialLR(optimizer, config.gamma)
            if config.schedule == "cosine":
                return lr_scheduler.CosineAnnealingLR(optimizer, total)
            if config.schedule == "plateau":
                return lr_scheduler.ReduceLROnPlateau(optimizer, "max", factor=config.gamma, patience=config.patience)
            if config.schedule == "cyclic":  # up for one epoch, down for one epoch
                lowest = [rate / 10 for rate in rates]
                return lr_scheduler.CyclicLR(optimizer, lowest, rates, steps_per_epoch, cycle_momentum=False)
            return lr_scheduler.OneCycleLR(optimizer, rates, total_steps=total, cycle_momentum=False)

        self.schedulers = [make(optimizer) for optimizer in optimizers]

    def after_step(self) -> None:
        """Call after every step of the optimizers."""
        if not self.by_epoch:
            for scheduler in self.schedulers:
                scheduler.step()

    def after_epoch(self, holdout_accuracy: float) -> None:
        """Call after every epoch; `holdout_accuracy` matters to plateau alone."""
        if self.by_epoch:
            for scheduler in self.schedulers:
                scheduler.step(*[holdout_accuracy] if self.plateau else [])

    def state_dict(self) -> list[dict[str, Any]]:
        """What changes over time, as plain numbers: in torch 1.5 `state_dict` also holds functions."""
        return [{name: value for name, value in vars(scheduler).items() if _plain(value)}
                for scheduler in self.schedulers]  # fmt: skip

    def load_state_dict(self, state: Sequence[dict[str, Any]]) -> None:
        """Go on from `state_dict()`."""
        for scheduler, saved in zip(self.schedulers, state):
            vars(scheduler).update(saved)


def _plain(value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return all(isinstance(v, (bool, int, float, str)) for v in values)


def penalty(model: nn.Module) -> torch.Tensor:
    """The sum of the absolute values of all weights that are learned, without biases and scales: L1 (section 62)."""
    weights = [p for p in model.parameters() if p.requires_grad and p.dim() > 1]
    return torch.stack([weight.abs().sum() for weight in weights]).sum()

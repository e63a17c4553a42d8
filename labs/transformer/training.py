"""The training step, and trainings one after the other, each of which can be stopped and goes on to the same bits."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Mapping, Sequence

import torch
from torch import nn

from labkit.base.console import say
from labkit.runs import compat
from labkit.runs.loop import Loop, one_after_another
from labkit.runs.muon import Muon
from labkit.runs.run import Run

WARM_UP = 0.05  # of the steps: the learning rate rises, then falls to 0, both in a straight line
LONGEST_GRADIENT = 1.0
MUON = 0.02  # its rate


def rate(step: int, steps: int) -> float:
    """What the learning rates are multiplied by in step `step`."""
    warm = max(1, int(WARM_UP * steps))
    return min((step + 1) / warm, (steps - step) / max(1, steps - warm))


def train_step(network: nn.Module, optimizers: Sequence[torch.optim.Optimizer], loss: torch.Tensor) -> None:
    """One step down the gradient of the loss, clipped to the length 1."""
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), LONGEST_GRADIENT)
    for optimizer in optimizers:
        optimizer.step()


@dataclass(frozen=True)
class Training:
    """One network to train. `loss(network, step)` follows from the seed and the step alone."""

    name: str  # "length/rotary"
    build: Callable[[], nn.Module]
    loss: Callable[[Any, int], torch.Tensor]
    steps: int
    lr: float
    muon: float = 0.0  # rate of Muon, for the matrices of the layers; 0: AdamW for all weights
    seed: int = 0  # of the first weights and of dropout
    looks: int = 0  # times at which `look` judges the network
    look: Callable[[Any], float] | None = None
    looked: str = ""  # what it gives

    def network(self) -> Any:
        """With its first weights, which follow from the seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return self.build()

    def optimizers(self, network: nn.Module) -> list[torch.optim.Optimizer]:
        """Muon for the matrices inside the layers, where it is asked for; AdamW for the rest."""
        inside = {id(weight) for name, weight in network.named_parameters() if ".layers." in name and weight.dim() == 2}
        weights = list(network.parameters())
        matrices = [weight for weight in weights if self.muon and id(weight) in inside]
        rest = [weight for weight in weights if not self.muon or id(weight) not in inside]
        found: list[torch.optim.Optimizer] = [torch.optim.AdamW(rest, lr=self.lr, betas=(0.9, 0.98), weight_decay=0.01,
                                                                **compat.FUSED)]  # fmt: skip
        if matrices:
            found.append(Muon(matrices, lr=self.muon, momentum=0.95, steps=5, keep_length=False))
        return found

    def restored(self, row: Mapping[str, Any]) -> Any:
        """As the training left it."""
        network = self.network()
        network.load_state_dict(row["weights"])
        return network.eval()


def train(run: Run, training: Training, saved: dict[str, Any] | None, facts: dict[str, Any]) -> dict[str, Any]:
    """Train and look; returns what the tables and plots need. `saved` is the state to go on from."""
    if saved is None:
        torch.manual_seed(training.seed)  # of dropout; in a resumed training it goes on
    network = training.network().to(run.device)
    optimizers = training.optimizers(network)
    highest = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]
    losses: list[float] = []
    judged: list[float] = []
    at: list[int] = []
    looking: list[float] = []  # seconds of each look, which is no training
    parts = {"network": network, "optimizers": optimizers, "losses": losses, "judged": judged, "at": at,
             "looking": looking}  # fmt: skip
    loop = Loop(run, training.steps, parts, saved=saved, facts=facts, looks=training.looks,
                offset=sum(row["steps"] for row in facts["finished"]))  # fmt: skip
    part, _, line = training.name.partition("/")
    for step in loop:
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        for group, lr in zip(groups, highest):
            group["lr"] = lr * rate(step, training.steps)
        loss = training.loss(network, step)
        train_step(network, optimizers, loss)
        losses.append(float(loss.detach()))
        loop.average({}, **{f"{part}_loss/{line}": losses[-1]})
        if training.look and loop.time_to_look:
            began = time.perf_counter()
            network.eval()
            judged.append(training.look(network))
            at.append(loop.step)
            network.train()
            looking.append(time.perf_counter() - began)
            loop.log(**{f"{part}_{training.looked}/{line}": judged[-1]})
    seconds = loop.seconds - sum(looking)
    say(f"{training.name}: {training.steps} steps in {seconds:.1f} s")
    weights = {name: value.cpu().clone() for name, value in network.state_dict().items()}
    return {"name": training.name, "steps": training.steps, "seconds": seconds,
            "losses": list(losses), "judged": list(judged), "at": list(at), "weights": weights}  # fmt: skip


def train_all(trainings: Sequence[Training], run: Run, facts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """One after the other; the results by name. `facts` go into every checkpoint."""
    return {row["name"]: row for row in one_after_another(run, trainings, partial(train, run), facts)}

"""The training step, and trainings one after the other, each of which can be stopped and goes on to the same bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Mapping

import torch
from torch import nn

from labkit.base.console import say
from labkit.runs import compat
from labkit.runs.loop import Loop
from labkit.runs.run import Run

WARM_UP = 0.05  # of the steps: the learning rate rises, then falls to 0, both in a straight line
LONGEST_GRADIENT = 1.0


def rate(step: int, steps: int) -> float:
    """What the learning rate is multiplied by before step `step`."""
    warm = max(1, int(WARM_UP * steps))
    return min((step + 1) / warm, (steps - step) / max(1, steps - warm))


def train_step(network: nn.Module, optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    """One step down the gradient of the loss, clipped to the length 1."""
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), LONGEST_GRADIENT)
    optimizer.step()


@dataclass(frozen=True)
class Training:
    """One network to train. `losses(network, step)` are added up; they follow from the seed and the step alone."""

    name: str  # "tune/pre-trained 0"
    build: Callable[[], nn.Module]
    losses: Callable[[Any, int], Mapping[str, torch.Tensor]]
    steps: int
    lr: float
    width: int  # of the vectors, which decides the arithmetic
    seed: int = 0  # of the first weights and of dropout
    looks: int = 0  # times at which `look` judges the network
    look: Callable[[Any], Mapping[str, float]] | None = None
    snapshots: bool = False  # whether the weights at the looks 1, 2, 4, 8, ... are kept
    judge: Callable[[Any], Mapping[str, float]] | None = None  # in the end; then the weights are let go
    log: bool = True  # its losses


class Trainings:
    """The trainings of a run in their order; a resumed run goes on in the middle of the one in which it stopped."""

    def __init__(self, run: Run, facts: Mapping[str, Any]) -> None:
        """`facts` go into every checkpoint."""
        self.run, self.facts = run, facts
        self.saved = run.restore()
        self.finished: list[dict[str, Any]] = self.saved["finished"] if self.saved else []
        self.place = 0

    @property
    def state(self) -> dict[str, Any]:
        return {**self.facts, "finished": self.finished}

    def train(self, training: Training) -> dict[str, Any]:
        """Train, or take what was trained before the run stopped: what tables and plots need, weights by name."""
        if self.place == len(self.finished):
            self.finished.append(self._train(training))
            self.saved = None
        self.place += 1
        return self.finished[self.place - 1]

    def _train(self, training: Training) -> dict[str, Any]:
        if self.saved is None:
            torch.manual_seed(training.seed)  # of dropout; in a resumed training it goes on
        network = first_weights(training).to(self.run.device)
        learned = [weight for weight in network.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(learned, lr=training.lr, betas=(0.9, 0.98), weight_decay=0.01, **compat.FUSED)
        dtype, _ = compat.fast_dtype(self.run.device, training.width)
        losses: list[float] = []
        seen: list[float] = []  # at each look, one number after the other
        at: list[int] = []
        kept: list[torch.Tensor] = []
        parts = {"network": network, "optimizer": optimizer, "losses": losses, "seen": seen, "at": at, "kept": kept}
        loop = Loop(self.run, training.steps, parts, saved=self.saved, facts=self.state, looks=training.looks,
                    offset=sum(row["steps"] for row in self.finished))  # fmt: skip
        line = training.name.partition("/")[2]
        for step in loop:
            optimizer.param_groups[0]["lr"] = training.lr * rate(step, training.steps)
            with compat.autocast(self.run.device, dtype):
                terms = training.losses(network, step)
            loss = torch.stack(list(terms.values())).sum()
            train_step(network, optimizer, loss)
            losses.append(float(loss.detach()))
            if training.log:
                logged = {f"{name}_loss/{line}": float(term.detach()) for name, term in terms.items()}
                loop.average({}, **logged)
            if training.look and loop.time_to_look:
                network.eval()
                found = training.look(network)
                seen.extend(found.values())
                at.append(loop.step)
                if training.log:
                    loop.log(**{f"{name}/{line}": value for name, value in found.items()})
                if training.snapshots and len(at) & (len(at) - 1) == 0:  # the looks 1, 2, 4, 8, ...
                    kept.append(nn.utils.parameters_to_vector(network.parameters()).detach().cpu())
                network.train()
        row: dict[str, Any] = {
            "name": training.name,
            "steps": training.steps,
            "seconds": loop.seconds,
            "losses": list(losses),
            "seen": list(seen),
            "at": list(at),
            "kept": list(kept),
        }
        network.eval()
        if training.judge is None:
            row["weights"] = {name: value.cpu().clone() for name, value in network.state_dict().items()}
        else:
            row["scores"] = dict(training.judge(network))
        say(f"{training.name}: {training.steps} steps in {loop.seconds:.1f} s")
        return row

    def end(self) -> None:
        """Save what all of them led to."""
        self.run.checkpoint(sum(row["steps"] for row in self.finished), lambda: self.state, last=True)


def first_weights(training: Training) -> nn.Module:
    """The network before its first step, which follows from the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        return training.build()

"""The training step, and trainings one after the other, each of which can be stopped and goes on to the same bits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from labkit.base.console import say
from labkit.runs import compat
from labkit.runs.loop import Loop, one_after_another
from labkit.runs.run import Run

NOTHING = -1  # a target that is not counted
MOST = 1e9


def loss_of(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy for classes int64 (...), of logits (..., K); the mean squared error for numbers (N)."""
    if targets.is_floating_point():
        return F.mse_loss(outputs.reshape(-1), targets)
    return F.cross_entropy(outputs.reshape(-1, outputs.shape[-1]), targets.reshape(-1), ignore_index=NOTHING)


def train_step(network: nn.Module, optimizer: torch.optim.Optimizer, inputs: Any, targets: torch.Tensor,
               clip: float) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """One step down the gradient, backward through time; the loss, and the gradient's length before it was clipped."""
    loss = loss_of(network(inputs), targets)
    optimizer.zero_grad()
    loss.backward()
    length = nn.utils.clip_grad_norm_(network.parameters(), clip)
    optimizer.step()
    return loss.detach(), torch.as_tensor(length)


@dataclass(frozen=True)
class Training:
    """One network to train. `batch(step)` gives (inputs, targets), and follows from the seed and the step alone."""

    name: str  # "recall/lstm"
    build: Callable[[], nn.Module]
    batch: Callable[[int], Any]
    steps: int
    lr: float
    clip: float = 1.0
    seed: int = 0  # of the first weights
    sgd: bool = False  # plain gradient descent in place of Adam
    falls: bool = True  # whether the learning rate falls to 0 in a straight line
    looks: int = 0  # times at which `look` judges the network
    look: Callable[[nn.Module], float] | None = None

    def network(self) -> nn.Module:
        """With its first weights, which follow from the seed."""
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            return self.build()

    def restored(self, row: Mapping[str, Any]) -> nn.Module:
        """As the training left it."""
        network = self.network()
        network.load_state_dict(row["weights"])
        return network.eval()


def train(run: Run, training: Training, saved: dict[str, Any] | None, facts: dict[str, Any]) -> dict[str, Any]:
    """Train and judge; returns what the tables and plots need. `saved` is the state to go on from."""
    network = training.network().to(run.device)
    optimizer: torch.optim.Optimizer = (
        torch.optim.SGD(network.parameters(), lr=training.lr)
        if training.sgd
        else torch.optim.Adam(network.parameters(), lr=training.lr, **compat.FUSED)
    )
    losses: list[float] = []
    lengths: list[float] = []  # of the gradients
    judged: list[float] = []
    at: list[int] = []
    parts = {
        "network": network,
        "optimizer": optimizer,
        "losses": losses,
        "lengths": lengths,
        "judged": judged,
        "at": at,
    }
    loop = Loop(run, training.steps, parts, saved=saved, facts=facts, looks=training.looks,
                offset=sum(row["steps"] for row in facts["finished"]))  # fmt: skip
    part, _, line = training.name.partition("/")
    for step in loop:
        if training.falls:
            optimizer.param_groups[0]["lr"] = training.lr * (1 - step / training.steps)
        inputs, targets = moved(training.batch(step), run.device)
        loss, length = train_step(network, optimizer, inputs, targets, training.clip)
        losses.append(bounded(loss))
        lengths.append(bounded(length))
        loop.average({}, **{f"{part}_loss/{line}": losses[-1]})
        if training.look and loop.time_to_look:
            network.eval()
            judged.append(training.look(network))
            at.append(loop.step)
            network.train()
    say(f"{training.name}: {training.steps} steps in {loop.seconds:.1f} s")
    weights = {name: value.cpu().clone() for name, value in network.state_dict().items()}
    return {"name": training.name, "steps": training.steps, "seconds": loop.seconds, "losses": list(losses),
            "lengths": list(lengths), "judged": list(judged), "at": list(at), "weights": weights}  # fmt: skip


def train_all(trainings: Sequence[Training], run: Run, facts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """One after the other; the results by name. `facts` go into every checkpoint."""
    return {row["name"]: row for row in one_after_another(run, trainings, partial(train, run), facts)}


def bounded(value: torch.Tensor) -> float:
    """As a number that a checkpoint and a plot can hold: what exploded is 1e9."""
    number = float(value)
    return number if number < MOST else MOST


def moved(batch: Any, device: torch.device) -> Any:
    """Tensors, and tuples of them, on the device."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device)
    return tuple(moved(part, device) for part in batch)

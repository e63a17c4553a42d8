"""The data as networks read them, and the training of all networks side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Mapping, Sequence

import numpy as np
import torch

from labkit.runs.loop import Loop
from labkit.runs.run import Run
from labs.housing.features import Ranks, Standard
from labs.housing.networks import Networks, loss_of, make_optimizer, set_rate

# ---- data ----


@dataclass(frozen=True)
class Group:
    """What networks with the same training rows share: all that was measured, on these rows and on no others."""

    rows: np.ndarray  # to train on
    prepare: Standard | Ranks
    mean: float  # of the prices, 1,000 $
    deviation: float

    @classmethod
    def of(cls, dataset: str, x: np.ndarray, y: np.ndarray, rows: np.ndarray) -> Group:
        """The group of networks that train on `rows` of `x` (N, F) and `y` (N)."""
        kind = Standard if dataset == "boston" else Ranks
        return cls(rows, kind(x[rows]), float(y[rows].mean()), float(y[rows].std()) or 1.0)

    def inputs(self, x: np.ndarray) -> torch.Tensor:
        """What the networks read of `x` (N, F): float32 (N, columns)."""
        return torch.from_numpy(self.prepare(x).astype(np.float32))

    def targets(self, y: np.ndarray) -> torch.Tensor:
        """Prices `y` (N) as the networks predict them: float32 (N), mean 0 and deviation 1 on the training rows."""
        return torch.from_numpy(((y - self.mean) / self.deviation).astype(np.float32))

    def prices(self, outputs: torch.Tensor) -> np.ndarray:
        """The way back: what networks put out (K, N) in 1,000 $, float64."""
        return outputs.cpu().numpy().astype(np.float64) * self.deviation + self.mean


class Batches:
    """The training rows of K networks, in the random order of each, and what stands in them.

    Network k belongs to the group `of_network[k]`, whose inputs are `xs[of_network[k]]`, (N, F) each; `y` is (N).
    """

    def __init__(self, groups: Sequence[Group], xs: Sequence[np.ndarray], y: np.ndarray, of_network: Sequence[int],
                 batch_size: int, seed: int, device: torch.device) -> None:  # fmt: skip
        self.inputs = torch.stack([group.inputs(x) for group, x in zip(groups, xs)]).to(device)  # (G, N, columns)
        self.targets = torch.stack([group.targets(y) for group in groups]).to(device)  # (G, N)
        self.of_network = torch.tensor(of_network).unsqueeze(1)  # (K, 1)
        longest = max(len(group.rows) for group in groups)
        padded = [np.pad(group.rows, (0, longest - len(group.rows)), "constant") for group in groups]
        self._rows = torch.from_numpy(np.stack(padded))  # (G, longest)
        self._real = torch.tensor([[k < len(group.rows) for k in range(longest)] for group in groups])
        least = min(len(group.rows) for group in groups)
        self.size = min(batch_size, least)
        self.steps = least // self.size  # in an epoch; the few rows left over are others in every epoch
        self._seed = seed

    def order(self, epoch: int) -> torch.Tensor:
        """The rows in which each network goes through the epoch: int64 (K, steps * size)."""
        generator = torch.Generator().manual_seed(1_000_003 * self._seed + epoch)
        group = self.of_network.squeeze(1)
        keys = torch.rand(len(group), self._rows.shape[1], generator=generator)
        keys = keys + 2.0 * (~self._real[group]).float()  # what only fills up comes last
        return self._rows[group].gather(1, keys.argsort(dim=1))[:, : self.steps * self.size]

    def take(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs (K, B, columns) and targets (K, B) of `rows` (K, B)."""
        place = self.of_network.to(self.inputs.device), rows.to(self.inputs.device)
        return self.inputs[place], self.targets[place]


# ---- training ----


def train(networks: Networks, batches: Batches, epochs: int, rate: float, run: Run, saved: Mapping[str, Any] | None,
          look: Callable[[Loop, int], None], facts: Mapping[str, Any], kept: list[torch.Tensor],
          offset: int = 0) -> Loop:  # fmt: skip
    """Train all networks in place.

    `rate` is the highest learning rate. After each epoch `look` is called with the loop and how many epochs are over;
    what it puts in `kept` is saved with the rest. `saved` is the state to go on from, `offset` counts the run's steps
    of an earlier training.
    """
    optimizer = make_optimizer(networks)
    total = epochs * batches.steps
    loop = Loop(run, total, {"networks": networks, "optimizer": optimizer, "kept": kept}, saved=saved, facts=facts,
                unit="row", per_step=batches.size, epoch=batches.steps, offset=offset)  # fmt: skip
    for epoch in loop.epochs():
        order = batches.order(epoch)
        for positions in loop.batches():
            set_rate(optimizer, loop.done / total, rate)
            inputs, targets = batches.take(order[:, positions])
            outputs = networks(inputs)
            loss, errors = loss_of(networks, outputs, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loop.average(train_loss=errors.mean())
        look(loop, epoch + 1)
    return loop

"""A toy with a Loop, and with every kind of part that one can have."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from labkit.runs.loop import Loop
from labkit.runs.options import option
from labkit.runs.run import Run


@dataclass(frozen=True)
class Config:
    steps: int = option(8, "steps", at_least=1)


PRESETS: dict = {}


def main(config: Config, run: Run) -> dict[str, float]:
    network = nn.Linear(3, 2)
    optimizers = [torch.optim.SGD([network.weight], lr=0.1, momentum=0.9), torch.optim.Adam(network.parameters())]
    matrix, curve, best = torch.zeros(2, 2), [], {"accuracy": -1.0, "step": 0}
    parts = {"network": network, "optimizers": optimizers, "matrix": matrix, "curve": curve, "best": best}
    loop = Loop(run, config.steps, parts, saved=run.restore(), log_every=2, looks=2)
    for step in loop:
        loss = network(torch.ones(4, 3)).pow(2).mean()
        network.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        matrix += 1
        curve.append(float(loss))
        if best["accuracy"] < step:
            best.update(accuracy=float(step), step=step)
        loop.average(loss=loss)
        if loop.time_to_look:
            loop.keep(torch.zeros(2, 2))
    return {"loss": sum(curve) / len(curve)}

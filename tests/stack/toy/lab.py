"""A toy: a small network learns the sign of a product.

Everything that makes an exact resume hard is in it: dropout, momentum, shuffling, an average of the weights.
"""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass

import numpy
import torch
from torch import nn
from torch.nn import functional

from labkit.base.errors import UserError
from labkit.runs.options import option
from labkit.runs.run import Run
from labkit.runs.start import start


@dataclass(frozen=True)
class Config:
    epochs: int = option(4, "passes over the data", at_least=1)
    lr: float = option(0.1, "learning rate", at_least=0)
    mode: str = option("train", "what to do", choices=("train", "crash", "refuse", "refuse-late", "weak", "nan"))


PRESETS = {"smoke": {"epochs": 2}, "slow": {"lr": 0.001}}
BATCHES = 8


def main(config: Config, run: Run) -> dict[str, float]:
    if config.mode == "refuse":
        raise UserError("the toy refuses", "./inv labs")
    generator = torch.Generator()
    generator.manual_seed(1)
    points = torch.randn(256, 4, generator=generator)
    labels = (points[:, 0] * points[:, 1] > 0).long()

    network = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 2)).to(run.device)
    optimizer = torch.optim.SGD(network.parameters(), lr=config.lr, momentum=0.9)
    average = [parameter.detach().clone() for parameter in network.parameters()]
    step, order = 0, torch.randperm(256)
    saved = run.restore()
    if saved is not None:
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        step, order, average = saved["step"], saved["order"], saved["average"]

    def state():
        return {
            "network": network.state_dict(), "optimizer": optimizer.state_dict(),
            "step": step, "order": order, "average": average,
        }  # fmt: skip

    total = config.epochs * BATCHES
    with run.progress(total, start=step, unit="step") as bar:
        while step < total:
            if step % BATCHES == 0:
                order = torch.randperm(256)
            first = step % BATCHES * 32
            part = order[run.part_of(slice(first, first + 32))]
            noise = float(numpy.random.normal()) * 0.01 + random.random() * 0.01
            loss = functional.cross_entropy(network(points[part] + noise), labels[part])
            optimizer.zero_grad()
            loss.backward()
            run.average(parameter.grad for parameter in network.parameters())
            optimizer.step()
            average = [0.9 * old + 0.1 * new.detach() for old, new in zip(average, network.parameters())]
            step += 1
            run.log(step, train_loss=loss if config.mode != "nan" else float("nan"), lr=config.lr)
            run.time(step, steps_per_second=1.0)
            disturb(step)
            bar.advance(1, loss=loss.item())
            run.checkpoint(step, state, last=step == total)
    if os.environ.get("TOY_WEIGHTS"):  # what each of several processes ends with
        torch.save(network.state_dict(), os.path.join(os.environ["TOY_WEIGHTS"], os.environ["RANK"] + ".pt"))
    if os.environ.get("TOY_SIGNAL_AT_END"):
        os.kill(os.getpid(), signal.SIGINT)
    if config.mode == "refuse-late":
        raise UserError("the toy refuses, late")
    if config.mode == "crash":
        raise RuntimeError("<the toy> broke")
    run.note("A note & more.")
    run.table("things", ["thing", "value"], [["<one>", 1], ["two", 0.25]], "What there is.")
    return {"accuracy": 0.1 if config.mode == "weak" else 0.75}


def disturb(step: int) -> None:
    """What a test asks for through the environment: to be killed, or slow enough to be interrupted."""
    if step == int(os.environ.get("TOY_KILL_AT", "0")):
        os.kill(os.getpid(), signal.SIGKILL)
    if step == int(os.environ.get("TOY_KILL_IN_SAVE_AT", "0")):
        os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(float(os.environ.get("TOY_PAUSE_S", "0")))


if __name__ == "__main__":
    start(main, Config, PRESETS)

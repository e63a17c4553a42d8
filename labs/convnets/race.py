"""The race: every network trains on CIFAR-10 for the same time, and what each has reached by then.

How many steps fit into the time is measured once, before the first; the plan is kept in the checkpoints. From seed and
plan all else follows to the bit, also where the race was stopped and resumed.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from labkit.base.console import say
from labkit.base.language import both
from labkit.data import cifar
from labkit.runs import compat, plots
from labkit.runs.loop import Loop
from labkit.runs.pixels import Normalise
from labkit.runs.run import Run
from labs.convnets import counting, looking, measured, timing
from labs.convnets.config import Config, chosen
from labs.convnets.zoo import KINDS

BATCH = 64
LOOKS = 8  # at the accuracy of each network, in equal parts of its training
LOOKED_AT = 500  # test images then, and
TESTED = 2500  # in the end: few enough that tests take a fifth of the time with all networks
MEASURED_S = 1.0  # of steps of each network, from which its steps in the race are planned
TRAINING = 0.8  # share of the time that is for training
WARM = 0.05  # share of the steps in which the learning rate rises


@dataclass(frozen=True)
class Images:
    pixels: torch.Tensor  # uint8 (N, 32, 32, 3)
    labels: torch.Tensor  # int64 (N,)


def read(folder: Path) -> tuple[Images, Images, list[str]]:
    """Training images, the test images that are used, and the names of the classes."""
    (pixels, labels), (test, truth) = (cifar.load(folder, "cifar10", split) for split in ("train", "test"))
    return (Images(torch.from_numpy(pixels), torch.from_numpy(labels)),
            Images(torch.from_numpy(test[:TESTED]), torch.from_numpy(truth[:TESTED])),
            cifar.classes(folder, "cifar10"))  # fmt: skip


class Batches:
    """The batches of a training: step k has the same images whenever it is asked for."""

    def __init__(self, data: Images, seed: int) -> None:
        self._data, self._seed, self._pass = data, seed, -1

    def __getitem__(self, step: int) -> Images:
        """Batch `step`, half of its images mirrored; every pass over the data has an order of its own."""
        fitting = max(1, len(self._data.labels) // BATCH)
        if step // fitting != self._pass:
            self._pass = step // fitting
            random = torch.Generator().manual_seed(1_000_003 * self._seed + self._pass)
            self._order = torch.randperm(len(self._data.labels), generator=random)
            self._mirrored = torch.rand(len(self._order), generator=random) < 0.5
        part = slice(step % fitting * BATCH, (step % fitting + 1) * BATCH)
        rows = self._order[part]
        pixels = self._data.pixels[rows]
        mirrored = self._mirrored[part].reshape(-1, 1, 1, 1)
        return Images(torch.where(mirrored, pixels.flip(2), pixels), self._data.labels[rows])


def learning_rate(step: int, steps: int, highest: float) -> float:
    """Up in a straight line over the first steps, then down to 0 at the last."""
    return highest * min(1.0, (step + 1) / max(1.0, WARM * steps)) * (1 - step / steps)


def train_step(network: nn.Module, optimizer: torch.optim.Optimizer, inputs: torch.Tensor, labels: torch.Tensor,
               dtype: torch.dtype) -> torch.Tensor:  # fmt: skip
    """One step down the gradient of the cross-entropy; returns the loss. `inputs` float32 (N, 3, 32, 32)."""
    with compat.autocast(inputs.device, dtype):
        logits = network(inputs)
    loss = F.cross_entropy(logits.float(), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def on_device(batch: Images, normalise: Normalise, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """The images of a batch as a network takes them, float32 (N, 3, 32, 32), and their labels."""
    return normalise(batch.pixels.to(device)).contiguous(), batch.labels.to(device)


def adam(network: nn.Module, lr: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(network.parameters(), lr=lr, **compat.FUSED)


@torch.no_grad()
def accuracy(network: nn.Module, normalise: Normalise, data: Images, dtype: torch.dtype, device: torch.device) -> float:
    """The share of images whose likeliest class is the right one."""
    network.eval()
    right = 0
    for pixels, labels in zip(data.pixels.split(250), data.labels.split(250)):
        with compat.autocast(device, dtype):
            logits = network(normalise(pixels.to(device)).contiguous())
        right += int((logits.argmax(dim=1).cpu() == labels).sum())
    network.train()
    return right / len(data.labels)


# ---- the plan ----


def seconds_of_a_step(network: nn.Module, dtype: torch.dtype, batches: Batches, normalise: Normalise,
                      device: torch.device) -> float:  # fmt: skip
    """With its batch; the middle one of those that fit into `MEASURED_S`, of which the first counts for nothing."""
    optimizer = adam(network, 0.0)
    taken: list[float] = []

    def step() -> None:
        train_step(network, optimizer, *on_device(batches[len(taken)], normalise, device), dtype)

    while len(taken) < 4 or sum(taken) < MEASURED_S:
        taken.append(timing.seconds(step, device))
    return statistics.median(taken[1:])


def make_plan(config: Config, run: Run, batches: Batches, normalise: Normalise) -> list[dict[str, Any]]:
    """For each network the dtype that is faster for it, and how many steps fit into its share of the time."""
    names = chosen(config.networks)
    share = 60 * config.minutes * TRAINING / len(names)
    plan = []
    for name in names:
        network = measured.built(name, config.width).to(run.device)
        found = {dtype: seconds_of_a_step(network, dtype, batches, normalise, run.device)
                 for dtype in timing.dtypes(run.device)}  # fmt: skip
        dtype = min(found, key=lambda each: found[each])
        steps = config.steps or max(LOOKS, int(share / found[dtype]))
        plan.append({"name": name, "dtype": str(dtype).split(".")[1], "steps": steps})
        say(f"{name}: {steps} steps in {plan[-1]['dtype']}, {1000 * found[dtype]:.0f} ms each")
    return plan


# ---- one network ----


def train(network: nn.Sequential, entry: dict[str, Any], data: Images, test: Images, normalise: Normalise,
          config: Config, run: Run, saved: dict[str, Any] | None, facts: dict[str, Any]) -> dict[str, Any]:  # fmt: skip
    """Train in place for the steps of its plan; returns what the tables and plots need, and the weights.

    `saved` is the state to go on from, `facts` go into every checkpoint.
    """
    name, dtype = entry["name"], getattr(torch, entry["dtype"])
    part = max(1, entry["steps"] // LOOKS)
    total = entry["steps"] // part * part
    optimizer, batches = adam(network, config.lr), Batches(data, run.seed)
    curve: list[float] = []  # the accuracy at every look, and
    taken: list[float] = []  # the seconds of training until then
    parts = {"network": network, "optimizer": optimizer, "curve": curve, "taken": taken}
    loop = Loop(run, total, parts, saved=saved, facts=facts, unit="img", per_step=BATCH, epoch=part,
                offset=sum(row["steps"] for row in facts["finished"]))  # fmt: skip
    looked_at = Images(test.pixels[:LOOKED_AT], test.labels[:LOOKED_AT])
    for _ in loop.epochs():
        for _ in loop.batches():
            batch = batches[loop.done]
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(loop.done, total, config.lr)
            loss = train_step(network, optimizer, *on_device(batch, normalise, run.device), dtype)
            loop.average(train_loss=loss)
        curve.append(accuracy(network, normalise, looked_at, dtype, run.device))
        taken.append(loop.seconds)
        loop.log(**{f"train_loss/{name}": loop.means()["train_loss"], f"test_accuracy/{name}": curve[-1]})
    final = accuracy(network, normalise, test, dtype, run.device)
    say(f"{name}: {final:.1%} after {total * BATCH:,} images in {loop.seconds:.0f} s")
    weights = {key: value.cpu().clone() for key, value in network.state_dict().items()}
    return {**entry, "steps": total, "seconds": loop.seconds, "accuracy": final, "curve": list(curve),
            "taken": list(taken), "weights": weights}  # fmt: skip


# ---- the whole race ----


def main(config: Config, run: Run) -> dict[str, float]:
    """Plan, train one network after the other, and show who is where. Returns the accuracies, 0..1."""
    data, test, classes = read(run.dataset("cifar10"))
    saved = run.restore()
    normalise = Normalise()
    normalise.measure(data.pixels[:5000])
    normalise = normalise.to(run.device)
    plan = saved["plan"] if saved else make_plan(config, run, Batches(data, run.seed), normalise)
    finished: list[dict[str, Any]] = saved["finished"] if saved else []
    facts = {"plan": plan, "finished": finished, "classes": classes, "sample": run.sample, "width": config.width,
             "mean": normalise.mean.cpu(), "scale": normalise.scale.cpu()}  # fmt: skip
    for entry in plan[len(finished) :]:
        network = measured.built(entry["name"], config.width).to(run.device)
        if saved is None:
            torch.manual_seed(run.seed)  # of its dropout: whichever networks came before it
        finished.append(train(network, entry, data, test, normalise, config, run, saved, facts))
        saved = None
    run.checkpoint(sum(row["steps"] for row in finished), lambda: facts, last=True)
    show(run, finished, config.width)
    best = sorted(finished, key=lambda row: -row["accuracy"])
    networks = {row["name"]: looking.restored(row, config.width) for row in best[:3]}
    looking.show_maps(run, networks, test.pixels[:6], normalise.cpu(), classes)
    looking.show_first_layer(run, {row["name"]: looking.restored(row, config.width) for row in finished})
    return {"accuracy": best[0]["accuracy"], **{f"accuracy/{row['name']}": row["accuracy"] for row in best}}


def show(run: Run, finished: list[dict[str, Any]], width: float) -> None:
    """The table of the race, accuracy over time and over MACs."""
    rows, macs = [], {}
    for row in sorted(finished, key=lambda row: -row["accuracy"]):
        found = counting.by_hand(measured.built(row["name"], width), torch.zeros(1, 3, 32, 32))
        macs[row["name"]] = found.macs
        rows.append([KINDS[row["name"]].title, f"{row['accuracy']:.1%}", f"{row['seconds']:.0f}",
                     f"{row['steps'] * BATCH:,}", f"{row['steps'] * BATCH / row['seconds']:,.0f}", row["dtype"],
                     f"{found.parameters / 1e6:.2f}", f"{found.macs / 1e6:.1f}"])  # fmt: skip
    heads = [both("network", "网络"), both("accuracy", "准确率"), both("seconds of training", "训练秒数"),
             both("images seen", "看过的图片数"), both("images a second", "每秒图片数"), both("in", "数据类型"),
             both("weights, million", "权重，百万"), both("MACs, million", "MAC，百万")]  # fmt: skip
    run.table("race", heads, rows, both(
        f"The same time, optimizer and learning rate for all, {width:g} of the channels; accuracy on {TESTED:,} test "
        "images or fewer, its standard error about 1 point of 2,500. Each network has a recipe that suits it "
        "better: this says who learns most in so little time on this machine, not who is best.",
        f"所有网络用同样的时间、优化器和学习率，通道数乘以 {width:g}；准确率取自至多 {TESTED:,} 张测试图，2,500 张时标"
        "准误约 1 个百分点。每个网络都有更适合自己的训练方法：这里比的是在本机短时间内谁学得最多，不是谁最"
        "好。"))  # fmt: skip
    figure, axes = plots.figure(1, 2, width=10.0, height=4.0)
    time_axis, macs_axis = axes[0]
    for number, row in enumerate(finished):
        colour, title = plots.COLOURS[number % len(plots.COLOURS)], KINDS[row["name"]].title
        style, marker = ("-", "o") if number < len(plots.COLOURS) else ("--", "s")
        time_axis.plot(row["taken"], row["curve"], style, marker=marker, color=colour, markersize=3, label=title)
        macs_axis.plot(macs[row["name"]] / 1e6, row["accuracy"], marker, color=colour)
    time_axis.set_xlabel("seconds of training")
    time_axis.set_ylabel(f"accuracy on {LOOKED_AT:,} test images")
    time_axis.legend(fontsize=6.5)
    macs_axis.set_xscale("log")
    macs_axis.set_xlabel("million MACs an image")
    macs_axis.set_ylabel("accuracy in the end")
    figure.tight_layout()
    run.figure("race", figure, both("Accuracy over time, and in the end over MACs.",
                                    "准确率随时间的变化，以及最终准确率与 MAC。"))
    slowest = max(np.ptp([row["seconds"] for row in finished]), 0.0)
    run.note(both(f"The trainings took equal times to within {slowest:.0f} s, as planned from a few steps of each.",
                  f"各网络的训练时间相差不超过 {slowest:.0f} 秒（按各自几步的用时事先计划）。"))  # fmt: skip

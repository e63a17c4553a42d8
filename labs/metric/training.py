"""One training: P x K batches through the network, distances, mining, loss, a step. The same for every loss.

Shapes: P classes with K images each are a batch of N = P K. Images stay uint8 0..255 (N, 28, 28) until the network
reads them, and come out as embeddings (N, D) of length 1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn

from labkit.runs import compat
from labkit.runs.loop import Loop
from labkit.runs.pixels import Normalise
from labkit.runs.run import Run
from labs.metric import losses
from labs.metric.config import Config
from labs.metric.data import Digits, Source
from labs.metric.distances import distances, pairs
from labs.metric.network import Embedder

RISE = 0.2  # share of the steps in which the learning rate goes up


class Training(NamedTuple):
    """One network to train."""

    label: str  # in curves and tables
    loss: str
    seen: str
    forms: int
    classes: int  # P
    images: int  # K
    margin: float
    lr: float
    shift: int
    steps: int


def build_model(width: int, dimensions: int) -> nn.Sequential:
    """The network with the normalisation before it: pixels (N, 28, 28, 1) in, embeddings (N, D) out."""
    return nn.Sequential(Normalise(channels=1), Embedder(width, dimensions)).to(memory_format=torch.channels_last)


def prepare(config: Config, digits: Digits, run: Run, fresh: bool) -> nn.Sequential:
    """The network before its first step. It follows from the seed, and a run that goes on keeps its random state."""
    with torch.random.fork_rng():
        torch.manual_seed(run.seed)
        model = build_model(config.width, config.dimensions)
    if fresh:
        torch.manual_seed(run.seed)
    model[0].measure(digits.pixels[:10000].unsqueeze(3))
    return model.to(run.device)


def learning_rate(highest: float, step: int, steps: int) -> float:
    """The learning rate of `step` of `steps`: up from near 0 to its peak and down to near 0 in straight lines."""
    rise = max(1, int(RISE * steps))
    return highest * min((step + 1) / rise, (steps - step) / (steps - rise + 1))


@torch.no_grad()
def embed(model: nn.Module, pixels: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The embeddings of pixels uint8 (N, 28, 28): float32 (N, D), on the CPU."""
    dtype, _ = compat.fast_dtype(device)
    model.eval()
    with compat.autocast(device, dtype):
        parts = [model(part.to(device).unsqueeze(3)).float().cpu() for part in pixels.split(500)]
    model.train()
    return torch.cat(parts)


def train(model: nn.Module, training: Training, digits: Digits, run: Run, saved: dict[str, Any] | None,
          facts: dict[str, Any]) -> dict[str, Any]:  # fmt: skip
    """Train `model` in place on `digits`.

    `saved` is the state to go on from; `facts` go into every checkpoint and hold what was "finished" before. Returns
    what tables and plots need, and the weights.
    """
    source = Source(digits, training.classes, training.images, training.shift, run.seed)
    dtype, _ = compat.fast_dtype(run.device)
    softmax = losses.NormalisedSoftmax(len(source.names), model[1].head.out_features).to(run.device)
    optimizer = torch.optim.AdamW([*model.parameters(), *softmax.parameters()], lr=training.lr, weight_decay=0.01,
                                  **compat.FUSED)  # fmt: skip
    curve: list[float] = []  # the loss of each step
    spread: list[float] = []  # the mean distance between classes in each step: 0 in a collapse
    parts = {"model": model, "softmax": softmax, "optimizer": optimizer, "curve": curve, "spread": spread}
    loop = Loop(run, training.steps, parts, saved=saved, facts=facts, unit="img",
                per_step=training.classes * training.images,
                offset=sum(row["steps"] for row in facts["finished"]))  # fmt: skip
    for step in loop:
        optimizer.param_groups[0]["lr"] = learning_rate(training.lr, step, training.steps)
        pixels, labels = (part.to(run.device) for part in source[step])
        with compat.autocast(run.device, dtype):
            x = model(pixels.unsqueeze(3))
        d = distances(x)
        if training.loss == "softmax":
            loss, active = softmax(x, labels), None
        else:
            loss, active = losses.BY_DISTANCE[training.loss](d, labels, training.margin)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        positive, negative = pairs(labels)
        within, between = d.detach()[positive].mean(), d.detach()[negative].mean()
        curve.append(float(loss.detach()))
        spread.append(float(between))
        line = f"/{training.label}" if training.label else ""
        loop.average(**{f"train_loss{line}": loss, f"active{line}": active, f"within{line}": within,
                        f"between{line}": between})  # fmt: skip
    weights = {name: value.cpu().clone() for name, value in model.state_dict().items()}
    return {**training._asdict(), "seconds": loop.seconds, "rate": loop.rate, "curve": list(curve),
            "spread": list(spread), "weights": weights}  # fmt: skip

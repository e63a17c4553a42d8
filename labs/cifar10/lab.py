"""CIFAR-10: from 50,000 small pictures to a trained classifier, in minutes on two processor cores.

    invoke lab cifar10                          the fast recipe
    invoke lab cifar10 -- --preset notes        Adam at 0.001 with ExponentialLR, as the notes advise (section 63)
    invoke lab cifar10 -- --predict photo.jpg   what the last trained network sees in your own picture

You learn how a classifier is built and judged (sections 60-79 of the notes): data and augmentation, backbone, loss with
label smoothing, optimizer and learning rate, then accuracy, precision, recall and the wrong cases.

Measured: 90.7 % of 5,000 held-out pictures after training on the other 45,000, and 5.1 minutes of training for all
50,000 on two cores of a Xeon without AMX (torch 2.11.0, 2026-11-23, one run each; lab.toml has the conditions).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from labkit import compat, pickles, runs
from labkit.console import say
from labkit.errors import UserError
from labkit.run import Run, load_checkpoint, option, start
from labs.cifar10 import augment, results
from labs.cifar10.models import Fast, Normalise, ResNet18
from labs.cifar10.muon import Muon

# Shapes: N pictures of a batch, H x W pixels. Pictures stay uint8 0..255 (N, H, W, 3) RGB until the network reads them.


@dataclass(frozen=True)
class Config:
    dataset: str = option("cifar10", "10 classes, or the same kind of picture in 100", choices=("cifar10", "cifar100"))
    model: str = option("fast", "backbone", choices=("fast", "resnet18"))
    width: int = option(32, "channels of the first block of fast; the other two have 4 and 8 times as many", at_least=1)
    epochs: int = option(6, "passes over the training set", at_least=1)
    small_epochs: int = option(3, "of these, how many at first on pictures shrunk to 24 x 24", at_least=0)
    batch_size: int = option(500, "pictures per step", at_least=1)
    optimizer: str = option("muon", "muon (filters; Nesterov momentum for the rest) or adam", choices=("muon", "adam"))
    lr: float = option(0.0, "first learning rate; 0 means 0.15 for muon's filters, 0.001 for adam", at_least=0)
    schedule: str = option("linear", "linear: down to 0 by the last step; exponential: times --gamma after every epoch",
                           choices=("linear", "exponential"))  # fmt: skip
    gamma: float = option(0.8, "what the exponential schedule multiplies by", at_least=0)
    label_smoothing: float = option(0.2, "share of the target that is spread over all classes", at_least=0)
    shift: int = option(2, "augmentation: crop after moving by up to this many pixels", at_least=0)
    hold_out: int = option(0, "train without the last N training pictures and report the accuracy on them", at_least=0)
    exact_test: int = option(0, "report the accuracy on the first N test pictures too", at_least=0)
    predict: str = option("", "a picture of yours to classify with a trained network, instead of training", path=True)
    checkpoint: str = option("", "the network for --predict: a run or a file (default: the latest finished run)")


PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"width": 8, "epochs": 2, "small_epochs": 1, "batch_size": 100},
    "notes": {"optimizer": "adam", "lr": 0.001, "schedule": "exponential", "label_smoothing": 0.1, "small_epochs": 0,
              "batch_size": 128},
}  # fmt: skip
SMALL = 24  # side of the shrunk pictures


# ---- data ----


@dataclass(frozen=True)
class Pictures:
    pixels: torch.Tensor  # uint8 (N, 32, 32, 3)
    labels: torch.Tensor  # int64 (N,)

    def __getitem__(self, part: slice) -> Pictures:
        return Pictures(self.pixels[part], self.labels[part])


def read(folder: Path, dataset: str) -> tuple[Pictures, Pictures, list[str]]:
    """The training pictures, the test pictures and the names of the classes, from the files as they are published."""

    def pictures(*names: str) -> Pictures:
        parts = [pickles.load(folder / name) for name in names]
        planes = np.concatenate([part["data"] for part in parts]).reshape(-1, 3, 32, 32)  # red, green, blue planes
        labels = np.concatenate([part["labels" if dataset == "cifar10" else "fine_labels"] for part in parts])
        return Pictures(torch.from_numpy(planes.transpose(0, 2, 3, 1).copy()), torch.from_numpy(labels).long())

    if dataset == "cifar10":
        folder = folder / "cifar-10-batches-py"
        names = pickles.load(folder / "batches.meta")["label_names"]
        return pictures(*(f"data_batch_{i}" for i in range(1, 6))), pictures("test_batch"), list(names)
    folder = folder / "cifar-100-python"
    return pictures("train"), pictures("test"), list(pickles.load(folder / "meta")["fine_label_names"])


# ---- model, loss, optimizer ----


def build_model(config: Config, classes: int) -> nn.Sequential:
    """The backbone with the normalisation before it: pixels uint8 (N, H, W, 3) in, logits (N, classes) out."""
    widths = (config.width, 4 * config.width, 8 * config.width)
    backbone: nn.Module = Fast(classes, widths) if config.model == "fast" else ResNet18(classes)
    return nn.Sequential(Normalise(), backbone).to(memory_format=torch.channels_last)


def measure_inputs(model: nn.Sequential, pixels: torch.Tensor) -> None:
    """Set what the first layers take from the data, not from gradients: mean, deviation and the whitening filters."""
    normalise, backbone = model
    normalise.measure(pixels)
    if isinstance(backbone, Fast):
        backbone.set_whitening(normalise(pixels))


def smooth_cross_entropy(logits: torch.Tensor, labels: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Mean cross-entropy against targets that keep 1 - smoothing for the label and spread the rest over all classes.

    -sum_k q_k log p_k with q = (1 - smoothing) onehot(label) + smoothing / classes.
    Source: Szegedy et al., Rethinking the Inception Architecture (2016), section 7.
    """
    log_p = F.log_softmax(logits.float(), dim=1)  # (N, classes)
    of_label = log_p.gather(1, labels.unsqueeze(1)).mean()
    return -(1 - smoothing) * of_label - smoothing * log_p.mean()


def make_optimizers(model: nn.Module, config: Config) -> list[torch.optim.Optimizer]:
    """Adam for all parameters, or Muon for the filters and Nesterov momentum for biases, scales and the head."""
    params = [p for p in model.parameters() if p.requires_grad]
    if config.optimizer == "adam":
        return [torch.optim.Adam(params, lr=config.lr or 0.001)]
    groups = [{"params": [p for p in params if p.dim() == 1], "lr": 0.053},
              {"params": [p for p in params if p.dim() == 2], "lr": 0.67}]  # fmt: skip
    rest = torch.optim.SGD(groups, lr=0.1, momentum=0.85, nesterov=True)
    return [Muon([p for p in params if p.dim() == 4], lr=config.lr or 0.15), rest]


def set_lr(optimizers: list[torch.optim.Optimizer], config: Config, step: int, steps_per_epoch: int) -> float:
    """Set every learning rate for `step` by the schedule; returns the one that --lr sets."""
    factor = 1 - step / (config.epochs * steps_per_epoch)
    if config.schedule == "exponential":
        factor = config.gamma ** (step // steps_per_epoch)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = factor * group.setdefault("initial_lr", group["lr"])
    return float(optimizers[0].param_groups[0]["lr"])


# ---- train and evaluate ----


@torch.no_grad()
def classify(model: nn.Module, pixels: torch.Tensor, device: torch.device, mirror: bool = True) -> np.ndarray:
    """The probabilities of the classes for `pixels` (N, H, W, 3): float32 (N, classes).

    With `mirror` the logits are the mean over each picture and its mirror image: two opinions for twice the time.
    """
    dtype, _ = compat.fast_dtype(device)
    model.eval()
    parts = []
    for part in pixels.split(500):
        views = [part, part.flip(2)] if mirror else [part]
        with compat.autocast(device, dtype):
            logits = torch.stack([model(view.to(device)).float() for view in views]).mean(dim=0)  # (N, classes)
        parts.append(F.softmax(logits, dim=1).cpu())
    model.train()
    return torch.cat(parts).numpy()


def accuracy(probabilities: np.ndarray, labels: torch.Tensor) -> float:
    """The share of pictures whose likeliest class is the right one."""
    return float((probabilities.argmax(axis=1) == labels.numpy()).mean())


def train(model: nn.Module, data: Pictures, checks: dict[str, Pictures], config: Config, run: Run,
          facts: dict[str, Any]) -> float:  # fmt: skip
    """Train `model` in place and log, after every epoch, its accuracy on each of `checks`.

    `facts` go into the checkpoints. Returns the pictures per second since this process began, without the checks.
    """
    dtype, reason = compat.fast_dtype(run.device)
    say(f"arithmetic: {str(dtype).split('.')[1]} ({reason})")
    optimizers = make_optimizers(model, config)
    large = augment.crop_windows(data.pixels, config.shift, run.device)
    small = large
    if config.small_epochs:
        small = augment.crop_windows(augment.shrink(data.pixels, SMALL), config.shift, run.device)
    count, batch_size = len(data.labels), min(config.batch_size, len(data.labels))
    steps_per_epoch = count // batch_size  # the few pictures left over are others in every epoch
    total = config.epochs * steps_per_epoch
    step, sums = 0, torch.zeros(2, dtype=torch.float64)  # loss and right answers of the epoch so far
    saved = run.restore()
    if saved:
        step, sums = saved["step"], saved["sums"]
        model.load_state_dict(saved["model"])
        for optimizer, state in zip(optimizers, saved["optimizers"]):
            optimizer.load_state_dict(state)
    sums = sums.to(run.device)

    def make_state() -> dict[str, Any]:
        return {**facts, "step": step, "sums": sums.cpu(), "model": model.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in optimizers]}  # fmt: skip

    seen, seconds = 0, 0.0
    with run.progress(total * batch_size, start=step * batch_size) as bar:
        for epoch in range(step // steps_per_epoch, config.epochs):
            plan = augment.plan_epoch(count, config.shift, run.seed, epoch)
            windows = small if epoch < config.small_epochs else large
            for position in range(step % steps_per_epoch, steps_per_epoch):
                began = time.perf_counter()
                lr = set_lr(optimizers, config, step, steps_per_epoch)
                part = slice(position * batch_size, (position + 1) * batch_size)
                labels = data.labels[plan.order[part]].to(run.device)
                with compat.autocast(run.device, dtype):
                    logits = model(augment.gather(windows, plan, part))
                loss = smooth_cross_entropy(logits, labels, config.label_smoothing)
                model.zero_grad()
                loss.backward()
                for optimizer in optimizers:
                    optimizer.step()
                step += 1
                sums += torch.stack([loss.detach().double(), (logits.argmax(dim=1) == labels).double().mean()])
                bar.advance(batch_size)
                seen, seconds = seen + batch_size, seconds + time.perf_counter() - began
                if step % steps_per_epoch == 0:
                    measured = dict(zip(["train_loss", "train_accuracy"], (sums / steps_per_epoch).tolist()))
                    sums.zero_()
                    for name, check in checks.items():  # judged at the size that is being learned
                        pixels = augment.shrink(check.pixels, SMALL) if windows is small else check.pixels
                        probabilities = classify(model, pixels, run.device, mirror=False)
                        measured[f"{name}_accuracy"] = accuracy(probabilities, check.labels)
                    run.log(step, **measured, lr=lr)
                    run.time(step, images_per_second=seen / seconds)
                run.checkpoint(step, make_state, last=step == total)
    return seen / max(seconds, 1e-9)


# ---- your own picture ----


def predict(config: Config, run: Run) -> dict[str, float]:
    """Classify the picture `config.predict` with a trained network; returns the probability of the likeliest class."""
    pixels = results.read_picture(Path(config.predict))
    chosen = config.checkpoint or latest_trained(config)
    saved = load_checkpoint(chosen, "cifar10", {"model": config.model, "dataset": config.dataset})
    classes = saved["state"]["classes"]
    try:
        model = build_model(Config(**saved["config"]), len(classes)).to(run.device)
        model.load_state_dict(saved["state"]["model"])
    except (TypeError, RuntimeError):
        raise UserError(f"{chosen} was trained by another version of this lab", "invoke lab cifar10") from None
    probabilities = classify(model, torch.from_numpy(pixels).unsqueeze(0), run.device)[0]
    top = probabilities.argsort()[::-1][:5]
    say(f"{config.predict} is, by the network of {chosen}:")
    for k in top:
        say(f"  {probabilities[k]:6.1%}  {classes[k]}")
    if saved["state"]["sample"]:
        warning = "This network was trained on the sample of drawn shapes: it knows nothing of real pictures."
        say(warning)
        run.note(warning)
    results.show_prediction(run, pixels, [classes[k] for k in top], [float(probabilities[k]) for k in top])
    return {"probability": float(probabilities[top[0]])}


def latest_trained(config: Config) -> str:
    """The folder of the newest finished run that trained such a network; on real data where there is one."""
    trained = [found for found in runs.table() if found.status == "finished" and found.checkpoint.exists()]
    for found in sorted(trained, key=lambda found: found.data == "sample"):
        options = runs.load_json(found.folder / "config.json")["options"]
        if found.lab == "cifar10" and (options["model"], options["dataset"]) == (config.model, config.dataset):
            return str(found.folder)
    raise UserError(f"no {config.model} has been trained on {config.dataset} yet",
                    f"invoke lab cifar10 -- --model {config.model} --dataset {config.dataset}")  # fmt: skip


# ---- the whole run ----


def main(config: Config, run: Run) -> dict[str, float]:
    """Train, evaluate and report; or classify one picture. Returns the accuracies, as shares of 1."""
    if config.predict:
        return predict(config, run)
    data, test, classes = read(run.dataset(config.dataset), config.dataset)
    if config.hold_out >= len(data.labels):
        raise UserError(f"--hold-out {config.hold_out} would leave none of the {len(data.labels)} training pictures")
    checks = {"test": test}
    if config.hold_out:
        checks["holdout"], data = data[-config.hold_out :], data[: -config.hold_out]
    model = build_model(config, len(classes))
    measure_inputs(model, data.pixels[:5000])
    model.to(run.device)
    few = data[:20]
    plan = augment.plan_epoch(20, config.shift, run.seed, epoch=0)
    windows = augment.crop_windows(few.pixels, config.shift, few.pixels.device)
    results.show_pictures(run, augment.gather(windows, plan, slice(20)).numpy(),
                          [classes[k] for k in few.labels[plan.order]])  # fmt: skip

    facts = {"classes": classes, "sample": run.sample}
    rate = train(model, data, checks, config, run, facts)

    probabilities = {name: classify(model, check.pixels, run.device) for name, check in checks.items()}
    metrics = {"accuracy": accuracy(probabilities["test"], test.labels)}
    if config.hold_out:
        metrics["holdout_accuracy"] = accuracy(probabilities["holdout"], checks["holdout"].labels)
    if config.exact_test:
        exact = slice(config.exact_test)
        metrics["exact_test_accuracy"] = accuracy(probabilities["test"][exact], test.labels[exact])
    rows = [[name.replace("_", " "), f"{value:.2%}"] for name, value in metrics.items()]
    rows += [["training pictures", f"{len(data.labels):,}"], ["pictures per second of training", f"{rate:,.0f}"]]
    run.table("result", ["what", "value"], rows, "The result, each picture judged together with its mirror image.")
    results.show_measures(run, test.labels.numpy(), probabilities["test"], classes)
    results.show_mistakes(run, test.pixels.numpy(), test.labels.numpy(), probabilities["test"], classes)
    return metrics


if __name__ == "__main__":
    start(main, Config, PRESETS)

"""MNIST: a network that reads 99 of 100 handwritten digits after five seconds of training, and yours from a photo.

    ./inv lab mnist                              the fast recipe
    ./inv lab mnist -- --preset best             the most that two minutes give
    ./inv lab mnist -- --preset notes            the plain CNN of the notes: convolution, pooling, ReLU, Adam
    ./inv lab mnist -- --folds 5                 cross-validation (section 48)
    ./inv lab mnist -- --predict photo.jpg       a digit that you drew, read with the last trained network

You learn what classification is (sections 44-48 of the notes): the cross-entropy from entropy, data, network, loss,
optimizer, test and inference as one program, how to judge a network without fooling yourself, and whether to believe it
when it says 99 %.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from labkit.base.console import say, warn
from labkit.base.errors import UserError
from labkit.base.language import both
from labkit.runs import compat
from labkit.runs.checkpoints import latest_trained, load_checkpoint
from labkit.runs.ink import read_sign
from labkit.runs.loop import Loop
from labkit.runs.options import from_record
from labkit.runs.pixels import Normalise
from labkit.runs.run import Run
from labkit.runs.start import start
from labs.mnist import calibration, data, entropy, results
from labs.mnist.config import PRESETS, Config
from labs.mnist.data import Digits, Source, plan_epoch
from labs.mnist.models import Fast, Plain

# Shapes: N images of a batch, H x W pixels. Images stay uint8 0..255 (N, H, W) until the network reads them.

RISE = 0.2  # share of the steps in which the learning rate of one-cycle goes up
DRAWING = "./inv lab mnist -- --predict photo.jpg, with one digit, drawn with a pen, on plain paper"
SHIFTS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))  # the views of a test image


class Training(NamedTuple):
    """One network to train, and what judges it after every epoch."""

    label: str  # of the fold; "" where there are none
    digits: Digits
    checks: dict[str, Digits]
    offset: int = 0  # steps of the run before it began


# ---- network and optimizer ----


def build_model(config: Config) -> nn.Sequential:
    """The network with the normalisation before it: pixels (N, H, W, 1) in, logits (N, 10) out."""
    network = Fast(config.width, config.stride) if config.model == "fast" else Plain(config.side)
    return nn.Sequential(Normalise(channels=1), network).to(memory_format=torch.channels_last)


def learning_rate(config: Config, step: int, total: int) -> float:
    """The learning rate of `step` of `total`: up from near 0 to its peak and down to near 0 in straight lines.

    Source: Smith & Topin, Super-Convergence (2018): a high peak goes far, and the small steps at the end settle.
    """
    if config.schedule == "constant":
        return config.lr
    rise = max(1, int(RISE * total))
    return config.lr * min((step + 1) / rise, (total - step) / (total - rise + 1))


# ---- train and evaluate ----


@torch.no_grad()
def classify(model: nn.Module, pixels: torch.Tensor, side: int, device: torch.device,
             views: bool = False) -> np.ndarray:  # fmt: skip
    """The logits of `pixels` uint8 (N, 28, 28), of which the network sees the middle: float32 (N, 10).

    With `views` the mean over each image and the four images that are shifted by one pixel.
    """
    dtype, _ = compat.fast_dtype(device)
    model.eval()
    crops = data.windows(pixels, side, 1)
    parts = []
    for part in crops.split(1000):
        seen = [part[:, 1 + y, 1 + x] for y, x in (SHIFTS if views else SHIFTS[:1])]
        with compat.autocast(device, dtype):
            parts.append(torch.stack([model(view.to(device).unsqueeze(3)).float() for view in seen]).mean(dim=0).cpu())
    model.train()
    return torch.cat(parts).numpy()


def accuracy(logits: np.ndarray, digits: Digits) -> float:
    """The share of images whose largest logit is the right one's."""
    return float((logits.argmax(axis=1) == digits.labels.numpy()).mean())


def train(model: nn.Module, training: Training, config: Config, run: Run, saved: dict[str, Any] | None,
          facts: dict[str, Any]) -> dict[str, Any]:  # fmt: skip
    """Train `model` in place, and log its accuracy on each of the checks after every epoch.

    `saved` is the state to go on from, `facts` go into every checkpoint. Returns the steps and seconds of training,
    without the checks.
    """
    line = f"/{training.label}" if training.label else ""
    dtype, _ = compat.fast_dtype(run.device)
    source = Source(training.digits, config.side, config.shift, config.warp, run.device)
    count, batch_size = len(training.digits), min(config.batch_size, len(training.digits))
    steps_per_epoch = count // batch_size  # the few images left over are others in every epoch
    total = config.epochs * steps_per_epoch
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay, **compat.FUSED)
    loop = Loop(run, total, {"model": model, "optimizer": optimizer}, saved=saved, facts=facts, unit="img",
                per_step=batch_size, epoch=steps_per_epoch, offset=training.offset)  # fmt: skip
    for epoch in loop.epochs():
        plan = plan_epoch(count, config.shift, run.seed, epoch, config.warp > 0)
        for positions in loop.batches():
            rate = learning_rate(config, loop.done, total)
            optimizer.param_groups[0]["lr"] = rate
            pixels, labels = source.batch(plan, positions)
            with compat.autocast(run.device, dtype):
                logits = model(pixels.unsqueeze(3))
            loss = entropy.loss(logits, labels, config.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loop.average(train_loss=loss, train_accuracy=(logits.argmax(dim=1) == labels).double().mean())
        tested = {f"{name}_accuracy": accuracy(classify(model, check.pixels, config.side, run.device), check)
                  for name, check in training.checks.items()}  # fmt: skip
        loop.log(**{name + line: value for name, value in {**loop.means(), **tested, "lr": rate}.items()})
    loop.save()
    return {"label": training.label, "steps": loop.done, "seconds": loop.seconds, "rate": loop.rate}


# ---- what is trained on what ----


def folds(digits: Digits, count: int, seed: int) -> list[tuple[Digits, Digits]]:
    """For each of `count` folds the images to train on and the others, which judge; each image judges once."""
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(seed))
    parts = [order[k::count] for k in range(count)]
    return [(digits[torch.cat(parts[:k] + parts[k + 1 :])], digits[parts[k]]) for k in range(count)]


def prepare(config: Config, digits: Digits, run: Run, fresh: bool) -> nn.Sequential:
    """The network before its first step. It follows from the seed, and a run that goes on keeps its random state."""
    with torch.random.fork_rng():
        torch.manual_seed(run.seed)
        model = build_model(config)
    if fresh:
        torch.manual_seed(run.seed)
    model[0].measure(data.middle(digits.pixels[:10000], config.side).unsqueeze(3))
    return model.to(run.device)


# ---- your own digit ----


def predict(config: Config, run: Run) -> dict[str, float]:
    """Read the digit in the photo `config.predict` with a trained network; returns the probability of the likeliest."""
    reading = read_sign(Path(str(config.predict)), DRAWING)
    missing = "no network has been trained yet"
    chosen = config.checkpoint or latest_trained("mnist", missing, "./inv lab mnist", folds=None)
    saved = load_checkpoint(chosen, "mnist", {})
    try:
        had = from_record(Config, saved["state"]["config"])
        model = build_model(had).to(run.device)
        model.load_state_dict(saved["state"]["model"])
        sample = bool(saved["state"]["sample"])
    except (KeyError, TypeError, RuntimeError, AttributeError):
        raise UserError(f"{chosen} holds no network that reads photos: it is a cross-validation, or of another version "
                        "of this lab", "./inv lab mnist") from None  # fmt: skip
    logits = classify(model, torch.from_numpy(reading.digit).unsqueeze(0), had.side, run.device, views=True)
    probabilities = entropy.softmax(logits[0].astype(np.float64))
    top = probabilities.argsort()[::-1][:3]
    say(f"{config.predict}, read by the network of {chosen}:")
    for digit in top:
        say(f"  {probabilities[digit]:6.1%}  {digit}")
    warnings = list(reading.warnings)
    if probabilities[top[0]] < 0.5:
        warnings.append(both("the network is not sure of any digit: this may be none",
                             "网络对任何数字都没有把握：这可能不是数字"))  # fmt: skip
    if sample:
        warnings.append(both("this network was trained on the sample of drawn digits: it knows less of real "
                             "handwriting",
                             "这个网络是用样例（程序画的数字）训练的：它对真实手写了解较少"))  # fmt: skip
    for warning in warnings:
        warn(str(warning))
        run.note(warning)
    results.show_reading(run, reading, probabilities)
    return {"digit": int(top[0]), "probability": float(probabilities[top[0]])}


# ---- the whole run ----


def cross_validate(config: Config, digits: Digits, run: Run) -> dict[str, float]:
    """Train a network for each fold; returns the mean and the deviation of their accuracies."""
    saved = run.restore()
    finished: list[dict[str, Any]] = saved["finished"] if saved else []
    for k, (own, others) in enumerate(folds(digits, int(config.folds or 0), run.seed)):
        if k < len(finished):
            continue
        say(f"fold {k + 1} of {config.folds}")
        training = Training(str(k + 1), own, {"fold": others}, sum(row["steps"] for row in finished))
        model = prepare(config, own, run, fresh=saved is None)
        row = train(model, training, config, run, saved, {"finished": finished})
        saved = None
        row["accuracy"] = accuracy(classify(model, others.pixels, config.side, run.device), others)
        finished.append({**row, "images": len(own), "judged": len(others)})
    return results.show_folds(run, finished)


def main(config: Config, run: Run) -> dict[str, float]:
    """Train, test and report; or cross-validate; or read a photo. Returns accuracies, 0..1."""
    if config.predict:
        return predict(config, run)
    digits, test = data.read(run.dataset("mnist"))
    held = config.hold_out or len(digits) // (config.folds or len(digits) + 1)
    if held >= len(digits) or (config.folds and held < 1):
        asked = f"--hold-out {config.hold_out}" if config.hold_out else f"--folds {config.folds}"
        raise UserError(f"{asked}: the {len(digits):,} training images are too few for that")
    dtype, reason = compat.fast_dtype(run.device)
    say(f"arithmetic: {str(dtype).split('.')[1]} ({reason})")
    results.show_images(run, digits, config)
    if config.folds:
        return cross_validate(config, digits, run)
    checks = {"test": test}
    if config.hold_out:
        checks["holdout"], digits = digits[-config.hold_out :], digits[: -config.hold_out]

    saved = run.restore()
    model = prepare(config, digits, run, fresh=saved is None)
    facts = {"config": dataclasses.asdict(config), "sample": run.sample}
    row = train(model, Training("", digits, checks), config, run, saved, facts)

    logits = {name: classify(model, check.pixels, config.side, run.device) for name, check in checks.items()}
    metrics = {"accuracy": accuracy(logits["test"], test)}
    if config.views:
        metrics["views_accuracy"] = accuracy(classify(model, test.pixels, config.side, run.device, views=True), test)
    if config.hold_out:
        metrics["holdout_accuracy"] = accuracy(logits["holdout"], checks["holdout"])
    results.show_result(run, row, metrics, len(digits), config)
    results.show_layers(run, model, data.middle(test.pixels[:1], config.side).unsqueeze(3).to(run.device))
    labels, probabilities = test.labels.numpy(), entropy.softmax(logits["test"].astype(np.float64))
    unsure = int(np.argsort(probabilities.max(axis=1), kind="stable")[len(labels) // 200])
    entropy.show(run, test.pixels[unsure].numpy(), int(labels[unsure]), logits["test"][unsure], config.label_smoothing)
    results.show_test(run, test, probabilities)
    chosen = (logits["holdout"], checks["holdout"].labels.numpy()) if config.hold_out else None
    metrics.update(calibration.show(run, logits["test"], labels, chosen, config.label_smoothing))
    return metrics


if __name__ == "__main__":
    start(main, Config, PRESETS)

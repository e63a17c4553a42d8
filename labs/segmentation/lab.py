"""Segmentation: the class of every pixel, learned by U-Net, SegNet, PSPNet or DeepLabv3 from COCO's annotations.

    ./inv lab segmentation                             U-Net on a subset of COCO
    ./inv lab segmentation -- --model deeplabv3        another network: segnet, pspnet, deeplabv3
    ./inv lab segmentation -- --classes person,dog     only these classes, all else is "other"
    ./inv lab segmentation -- --predict photo.jpg      your own image, by the last trained network

You learn how an encoder and a decoder turn an image into a map of classes, how COCO stores instances, stuff and
panoptic segments, and what pixel accuracy, mIoU and panoptic quality do and do not tell (sections 80-83 of the notes).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.base.paths import shown
from labkit.runs import compat
from labkit.runs.checkpoints import latest_trained, load_checkpoint
from labkit.runs.loop import Loop
from labkit.runs.options import from_record
from labkit.runs.pixels import Normalise
from labkit.runs.run import Run
from labkit.runs.start import start
from labs.segmentation import augment, data, metrics, results
from labs.segmentation.config import PRESETS, Config
from labs.segmentation.metrics import VOID
from labs.segmentation.models import NETWORKS

# Shapes: N images of a batch, H x W pixels, in squares of S x S. Images stay uint8 0..255 (N, S, S, 3) RGB until
# the network reads them; labels are uint8 (N, S, S), and VOID where there is none.


SMALLEST = 16  # pixels: a predicted thing with fewer is taken for noise


# ---- model, loss, learning rate ----


def build_model(config: Config, classes: int) -> nn.Sequential:
    """The network with the normalisation before it: pixels (N, H, W, 3) in, logits (N, classes, H, W) out."""
    network = NETWORKS[config.model](classes, config.width)
    return nn.Sequential(Normalise(), network).to(memory_format=torch.channels_last)


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The mean over all pixels but VOID ones of -log p(label); 0 where there is no other."""
    total = F.cross_entropy(logits, labels, ignore_index=VOID, reduction="sum")
    return total / (labels != VOID).sum().clamp(min=1)


def dice_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """1 - the mean dice coefficient, 2 |A and B| / (|A| + |B|), of the classes that the batch shows.

    A holds the probabilities (N, classes, H, W) in place of decisions, which have no gradient. A small class counts as
    much as a large one. Source: Milletari, Navab, Ahmadi, V-Net (2016), whose denominator has squares.
    """
    valid = (labels != VOID).unsqueeze(1)  # (N, 1, H, W)
    p = F.softmax(logits, dim=1) * valid
    target = torch.zeros_like(p).scatter_(1, (labels.unsqueeze(1) * valid), 1.0) * valid
    dims = (0, 2, 3)
    size = target.sum(dim=dims)  # (classes,)
    dice = 2 * (p * target).sum(dim=dims) / (p.sum(dim=dims) + size).clamp(min=1e-6)
    return 1 - dice[size > 0].sum() / (size > 0).sum().clamp(min=1)


def poly(config: Config, step: int, total: int) -> float:
    """The learning rate of `step`: lr (1 - step / total)^0.9, as PSPNet and DeepLab have it."""
    return float(config.lr * (1 - step / total) ** 0.9)


# ---- train and evaluate ----


@torch.no_grad()
def segment(model: nn.Module, pixels: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The logits float32 (N, classes, H, W) for `pixels` (N, H, W, 3)."""
    dtype, _ = compat.fast_dtype(device)
    model.eval()
    with compat.autocast(device, dtype):
        logits = model(pixels.to(device)).float()
    model.train()
    return logits


def evaluate(model: nn.Module, test: data.Images, classes: int, device: torch.device) -> tuple[np.ndarray, float]:
    """The label of every pixel, uint8 (N, S, S), and the mean loss over the images."""
    predicted, loss = [], 0.0
    for pixels, labels in zip(test.pixels.split(16), test.labels.split(16)):
        logits = segment(model, pixels, device)
        loss += cross_entropy(logits, labels.to(device).long()).item() * len(labels)
        predicted.append(logits.argmax(dim=1).byte().cpu())
    return torch.cat(predicted).numpy(), loss / len(test)


def train(model: nn.Module, images: data.Images, test: data.Images, config: Config, run: Run,
          facts: dict[str, Any]) -> float:  # fmt: skip
    """Train `model` in place and log after every epoch. `facts` go into the checkpoints.

    Returns the images per second, without the tests.
    """
    dtype, reason = compat.fast_dtype(run.device)
    say(f"arithmetic: {str(dtype).split('.')[1]} ({reason})")
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=0.01)
    classes, batch_size = len(facts["classes"]), min(config.batch_size, len(images))
    steps_per_epoch = len(images) // batch_size  # the few images left over are others in every epoch
    total = config.epochs * steps_per_epoch
    matrix = torch.zeros(classes, classes, dtype=torch.int64)  # right and wrong pixels of the epoch so far
    loop = Loop(run, total, {"model": model, "optimizer": optimizer, "matrix": matrix}, saved=run.restore(),
                facts=facts, unit="img", per_step=batch_size, epoch=steps_per_epoch)  # fmt: skip
    for epoch in loop.epochs():
        plan = augment.plan_epoch(images.sizes, config.crop, config.colour, run.seed, epoch)
        for positions in loop.batches():
            lr = poly(config, loop.done, total)
            for group in optimizer.param_groups:
                group["lr"] = lr
            pixels, labels = augment.gather(images, plan, positions, config.crop, run.device)
            with compat.autocast(run.device, dtype):
                logits = model(pixels)
            logits, labels = logits.float(), labels.long()
            loss = cross_entropy(logits, labels)
            if config.dice:
                loss = loss + config.dice * dice_loss(logits, labels)
            model.zero_grad()
            loss.backward()
            optimizer.step()
            guessed = logits.detach().argmax(dim=1).cpu().numpy()
            matrix += torch.from_numpy(metrics.confusion(labels.cpu().numpy(), guessed, classes))
            loop.average(train_loss=loss.item())
        predicted, test_loss = evaluate(model, test, classes, run.device)
        tested = metrics.confusion(test.labels.numpy(), predicted, classes)
        loop.log(**loop.means(), test_loss=test_loss,
                 train_miou=metrics.mean_iou(matrix.numpy()), test_miou=metrics.mean_iou(tested),
                 train_accuracy=metrics.pixel_accuracy(matrix.numpy()), test_accuracy=metrics.pixel_accuracy(tested),
                 lr=lr)  # fmt: skip
        matrix.zero_()
    return loop.rate


# ---- your own image ----


def predict(config: Config, run: Run) -> dict[str, float]:
    """Segment the image `config.predict` with a trained network; returns the share of its largest class."""
    image = results.read_own(Path(str(config.predict)))
    chosen = config.checkpoint or latest_trained(
        "segmentation", f"no network has been trained with --model {config.model} yet",
        f"./inv lab segmentation -- --model {config.model}", model=config.model,
    )  # fmt: skip
    saved = load_checkpoint(chosen, "segmentation", {"model": config.model})
    names = saved["state"]["classes"]
    try:
        trained = from_record(Config, saved["config"])
        model = build_model(trained, len(names)).to(run.device)
        model.load_state_dict(saved["state"]["model"])
    except (TypeError, RuntimeError):
        raise UserError(f"{chosen} was trained by another version of this lab", "./inv lab segmentation") from None
    small = data.shrink(image, trained.size)
    height, width = small.shape[:2]
    square = torch.from_numpy(data.square(small, trained.size)).unsqueeze(0)
    logits = segment(model, square, run.device)[:, :, :height, :width]
    predicted = F.interpolate(logits, size=image.shape[:2], mode="bilinear", align_corners=False).argmax(dim=1)[0]
    labels = predicted.byte().cpu().numpy()  # (H, W) of the image itself
    shares = np.bincount(labels.ravel(), minlength=len(names)) / labels.size
    order = [int(k) for k in np.argsort(-shares, kind="stable") if shares[k] > 0]
    say(f"{config.predict}, by the network of {chosen}:")
    for k in order[:8]:
        say(f"  {shares[k]:6.1%}  {names[k]}")
    if saved["state"]["sample"]:
        warning = "This network was trained on the sample of synthetic scenes: it knows nothing of real images."
        say(warning)
        run.note(warning)
    results.show_prediction(run, image, labels, names)
    run.table("shares", ["class", "share of the image"], [[names[k], f"{shares[k]:.1%}"] for k in order],
              "How much of the image each class was given.")  # fmt: skip
    mask = run.folder / "plots" / "labels.png"
    cv2.imwrite(str(mask), labels)
    say(f"the label of every pixel, as a number: {shown(mask)}")
    return {"largest_share": float(shares.max())}


# ---- the whole run ----


def main(config: Config, run: Run) -> dict[str, float]:
    """Train, evaluate and report; or segment one image. Returns the measures, as shares of 1."""
    if config.predict:
        return predict(config, run)
    train_split, test_split, about = data.find_splits(run.dataset("coco"), config.annotations)
    say(about)
    asked = [name.strip() for name in (config.classes or "").split(",") if name.strip()]
    classes = data.choose_classes(train_split, asked, config.most)
    say(f"classes: {', '.join(classes.names)}")
    images, test = (data.load(split, classes, config.size, config.limit, run) for split in (train_split, test_split))
    if len(images) < 2:
        raise UserError(f"{train_split.name} has one annotated image; 2 are the minimum", "./inv data coco")
    run.note(about)
    model = build_model(config, len(classes.names))
    model[0].measure(torch.cat([pixels[:height, :width].reshape(-1, 3) for pixels, (height, width)
                                in zip(images.pixels[:200], images.sizes[:200].tolist())]))  # fmt: skip
    model.to(run.device)
    results.show_format(run, test_split, test, classes)
    plan = augment.plan_epoch(images.sizes, config.crop, config.colour, run.seed, epoch=0)
    results.show_training(run, *augment.gather(images, plan, slice(8), config.crop, torch.device("cpu")), classes)

    facts = {"classes": classes.names, "sample": run.sample}
    rate = train(model, images, test, config, run, facts)

    predicted, _ = evaluate(model, test, len(classes.names), run.device)
    maps = [labels[:height, :width] for labels, (height, width) in zip(predicted, test.sizes.tolist())]
    matrix = metrics.confusion(test.labels.numpy(), predicted, len(classes.names))
    counts = [metrics.match(truth, metrics.segments_of(labels, classes.things, SMALLEST), len(classes.names))
              for truth, labels in zip(test.segments, maps)]  # fmt: skip
    quality = metrics.panoptic_quality(metrics.add(counts))
    measured = {
        "miou": metrics.mean_iou(matrix),
        "pixel_accuracy": metrics.pixel_accuracy(matrix),
        "mean_accuracy": metrics.mean_accuracy(matrix),
        "fwiou": metrics.frequency_weighted_iou(matrix),
        **dict(zip(["pq", "sq", "rq"], map(metrics.mean, quality))),
    }
    parameters = sum(p.numel() for p in model.parameters())
    sizes = {"parameters": parameters, "training images": len(images), "test images": len(test)}
    results.show_result(run, measured, {**sizes, "images per second of training": round(rate)})
    results.show_classes(run, matrix, quality, metrics.add(counts), classes)
    results.show_examples(run, test, maps, classes)
    results.show_confusion(run, matrix, classes.names)
    return measured


if __name__ == "__main__":
    start(main, Config, PRESETS)

"""The options of the lab cifar10, known without torch: a mistake is found before anything is made."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import Any

from labkit.base.errors import UserError, nearest
from labkit.runs import options
from labkit.runs.options import option

BACKBONES = ("vgg16", "resnet18", "googlenet", "mobilenetv2", "seresnet18")
AUGMENTATIONS = ("rotation", "colour", "augmix", "cutout", "mixup", "cutmix")  # in the order of applying
OPTIMIZERS = {  # the learning rate of each where --lr does not say another
    "muon": 0.15, "sgd": 1.0, "momentum": 0.4, "nag": 0.4, "adagrad": 0.02, "rmsprop": 0.001, "adam": 0.001,
    "adadelta": 1.0,
}  # fmt: skip
SCHEDULES = ("linear", "constant", "exponential", "cosine", "plateau", "cyclic", "onecycle")


@dataclass(frozen=True)
class Config:
    dataset: str = option("cifar10", "10 classes, or the same kind of image in 100", choices=("cifar10", "cifar100"))
    model: str = option("fast", "backbone", choices=("fast", *BACKBONES))
    width: int = option(64, "channels of the first block of fast; the other two have 2 and 4 times as many", at_least=1)
    dropout: float = option(0.0, "share of the features that training leaves out at random before the last layer",
                            at_least=0)  # fmt: skip
    epochs: int = option(8, "passes over the training set", at_least=1)
    small_epochs: int = option(5, "of these, how many at first on shrunk images", at_least=0)
    small_size: int = option(24, "side of the shrunk images", at_least=16)
    batch_size: int = option(500, "images per step", at_least=1)
    shift: int = option(2, "augmentation: crop after moving by up to this many pixels", at_least=0)
    flip: bool = option(True, "augmentation: mirror every image in every second epoch")
    augment: str = option("none", f"more augmentation: {', '.join(AUGMENTATIONS)}, joined by commas")
    optimizer: str = option("muon", "muon (filters; Nesterov momentum for the rest), or one of PyTorch's",
                            choices=tuple(OPTIMIZERS))  # fmt: skip
    lr: float | None = option(None, "first learning rate (default: one that suits, "
                                 + ", ".join(f"{lr} {name}" for name, lr in OPTIMIZERS.items()) + ")",
                                 above=0)  # fmt: skip
    schedule: str = option("linear", "how the learning rate goes on: linear, cosine down to 0 by the last step; "
                           "exponential: times --gamma after every epoch; plateau: times --gamma when the held-out "
                           "accuracy stays; cyclic, onecycle: up and down", choices=SCHEDULES)  # fmt: skip
    gamma: float = option(0.8, "what the exponential and plateau schedules multiply by", at_least=0)
    patience: int = option(1, "epochs without a better held-out accuracy that plateau lets pass", at_least=0)
    label_smoothing: float = option(0.2, "share of the target that is spread over all classes", at_least=0)
    l1: float = option(0.0, "L1: this times the sum of all |weights| is added to the loss", at_least=0)
    l2: float = option(0.0, "L2: weight decay; muon applies it to biases, scales and the last layer", at_least=0)
    early_stop: int | None = option(None, "stop after N epochs without a better held-out accuracy and take the best",
                                       at_least=1)  # fmt: skip
    images: int | None = option(None, "train on the first N of the training images alone", at_least=1)
    hold_out: int | None = option(None, "train without the last N training images and report the accuracy on them",
                                     at_least=1)  # fmt: skip
    exact_test: int | None = option(None, "report the accuracy on the first N test images too", at_least=1)
    compare: str | None = option(None, "train once for each value of one option, or seed: optimizer=sgd,nag,adam")
    predict: str | None = option(None, "an image of yours to classify with a trained network, instead of training",
                                    path=True, instead=True, reads=("checkpoint", "model", "dataset"))  # fmt: skip
    checkpoint: str | None = option(None, "the network for --predict: a run or a file (default: the latest finished "
                                       "run)", path=True, or_run=True)  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        augmentations(self.augment)
        for asked, name in ((self.early_stop, "--early-stop"), (self.schedule == "plateau", "--schedule plateau")):
            if asked and not self.hold_out:
                raise UserError(f"{name} watches the accuracy on held-out images, never on the test set, and "
                                "--hold-out is not given", "./inv lab cifar10 -- --hold-out 5000 ...")  # fmt: skip
        if self.small_size > 32:
            raise UserError(f"--small-size {self.small_size} would enlarge the images, which have 32 x 32 pixels")
        if self.dropout >= 1:
            raise UserError(f"--dropout {self.dropout} would leave nothing; it is a share, 0.5 for a half")
        variants(self, 0)


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"epochs": 3, "small_epochs": 1, "small_size": 20},
    "smoke": {"width": 16, "epochs": 2, "small_epochs": 1, "batch_size": 100},
    "notes": {"optimizer": "adam", "lr": 0.001, "schedule": "exponential", "label_smoothing": 0.1, "small_epochs": 0,
              "batch_size": 128},
    "published": {"model": "resnet18", "optimizer": "nag", "lr": 0.1, "l2": 0.0005, "schedule": "cosine", "epochs": 200,
                  "small_epochs": 0, "batch_size": 128, "shift": 4, "label_smoothing": 0.0},
}  # fmt: skip


def augmentations(text: str) -> tuple[str, ...]:
    """The augmentations in `text`, "colour,cutmix" or "colour+cutmix", in the order of applying; "none" for no one."""
    asked = [word.strip() for word in re.split("[,+]", text) if word.strip() not in ("", "none")]
    for word in asked:
        if word not in AUGMENTATIONS:
            raise UserError(f"--augment: there is no {word}; {nearest(word, list(AUGMENTATIONS))}",
                            f"./inv lab cifar10 -- --augment {','.join(AUGMENTATIONS)}")  # fmt: skip
    return tuple(name for name in AUGMENTATIONS if name in asked)


# ---- several trainings in one run, which differ in one option ----

# What all variants of one comparison share, for only then can they be compared.
SHARED = ("compare", "predict", "checkpoint", "dataset", "hold_out", "exact_test")
EXAMPLE = "./inv lab cifar10 -- --compare optimizer=sgd,nag,adam"


@dataclass(frozen=True)
class Variant:
    """One training of the run."""

    label: str  # the value that it tries; "" where nothing is compared
    config: Config
    seed: int
    offset: int = 0  # steps of the run before it began


def variants(config: Config, seed: int) -> list[Variant]:
    """The trainings that `config.compare` asks for, "optimizer=sgd,nag"; just one where it is empty.

    Raises UserError for an option that there is not, cannot be compared, or has no such value.
    """
    if not config.compare:
        return [Variant("", config, seed)]
    name, _, listed = config.compare.partition("=")
    name = name.strip().lstrip("-").replace("-", "_")
    known = [field.name for field in fields(config) if field.name not in SHARED] + ["seed"]
    if name not in known:
        hint = f"{options.flag(name)} is the same for all" if name in SHARED else nearest(name, known)
        raise UserError(f"--compare: {name or 'nothing'} cannot be compared; {hint}", EXAMPLE)
    values = list(dict.fromkeys(value.strip() for value in listed.split(",") if value.strip()))
    if len(values) < 2:
        raise UserError(f"--compare: {config.compare} names fewer than two values to compare", EXAMPLE)
    return [_variant(config, seed, name, value) for value in values]


def _variant(config: Config, seed: int, name: str, value: str) -> Variant:
    words = [f"{options.flag(name)}={value}"]
    if isinstance(getattr(config, name, None), bool):
        if value not in ("on", "off"):
            raise UserError(f"--compare: {name} is on or off, not {value}", f"--compare {name}=on,off")
        words = [options.flag(name) if value == "on" else "--no-" + options.flag(name)[2:]]
    asked = options.parse(words, Config, {}, "cifar10")
    label = value.replace("/", "-")  # a slash would make a folder of the name of a curve
    return Variant(label, replace(config, compare=None, **asked.typed), seed if asked.seed is None else asked.seed)

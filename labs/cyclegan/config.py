"""The options of the lab cyclegan, known without torch: a mistake is found before anything is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from labkit.base.errors import UserError
from labkit.runs.options import option


@dataclass(frozen=True)
class Config:
    dataset: str = option("apple2orange", "apples and oranges, or one of the other pairs",
                          choices=("apple2orange", "cyclegan"))  # fmt: skip
    split: str = option("horse2zebra", "which pair of --dataset cyclegan")
    folder: str | None = option(None, "train on images of yours: a folder with trainA, trainB, testA and testB",
                                   path=True, instead=True)  # fmt: skip
    size: int = option(128, "side of the images in pixels, a multiple of 4", at_least=32)
    width: int = option(16, "channels of the generators' first layer; the paper has 64", at_least=1)
    discriminator_width: int = option(16, "channels of the discriminators' first layer; the paper has 64", at_least=1)
    blocks: int = option(6, "residual blocks of the generators; the paper has 9 at 256 pixels", at_least=0)
    steps: int | None = option(1000, "training steps; --preset paper: 200 passes over the larger domain", at_least=1)
    batch_size: int = option(1, "images of each domain per step", at_least=1)
    lr: float = option(0.0005, "learning rate of Adam, 0.0002 in the paper; falls to 0 from the middle on", at_least=0)
    objective: str = option("least-squares", "what the discriminators' verdicts are measured by; minimax is the GAN of "
                            "2014, whose gradient vanishes", choices=("least-squares", "minimax"))  # fmt: skip
    cycle_weight: float = option(10.0, "weight of the cycle loss; 0 shows mode collapse", at_least=0)
    identity_weight: float = option(5.0, "weight of the identity loss", at_least=0)
    pool: int = option(50, "earlier translations of which half of those judged are taken; 0: only new ones", at_least=0)
    samples: int = option(10, "how often images are shown and measured on the way", at_least=1)
    translate: str | None = option(None, "a folder of your images to translate, instead of training", path=True,
                                      instead=True, reads=("checkpoint", "direction"))  # fmt: skip
    direction: str = option("ab", "which way to translate: ab is apple to orange", choices=("ab", "ba"))
    checkpoint: str | None = option(None, "the network for --translate: a run or a file (default: the latest "
                                       "finished run)", path=True, or_run=True)  # fmt: skip

    def __post_init__(self) -> None:
        if self.size % 4:
            raise UserError(f"--size {self.size} is not a multiple of 4", "./inv lab cyclegan -- --size 128")


PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"size": 64, "width": 8, "discriminator_width": 8, "blocks": 2, "steps": 150, "lr": 0.001,
              "samples": 3},
    "paper": {"size": 256, "width": 64, "discriminator_width": 64, "blocks": 9, "steps": None, "lr": 0.0002,
              "samples": 200},
}

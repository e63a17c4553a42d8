"""The options of the lab pix2pix, known without torch: a mistake is found before anything is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from labkit.runs.options import option


@dataclass(frozen=True)
class Config:
    direction: str = option("to-photo", "what is given and what is drawn", choices=("to-photo", "to-labels"))
    size: int = option(64, "side of the images", choices=(32, 64, 128, 256))
    steps: int = option(1500, "steps of training", at_least=8)
    batch_size: int = option(1, "pairs per step; 1 in the paper", at_least=1)
    width: int = option(32, "channels of the first layers of both networks; 64 in the paper", at_least=1)
    lr: float = option(0.0002, "learning rate of Adam in both networks", at_least=0)
    reconstruction: str = option("l1", "distance to the true image", choices=("l1", "l2"))
    reconstruction_weight: float = option(100.0, "its weight", at_least=0)
    gan_weight: float = option(1.0, "weight of the generator's GAN loss; 0 leaves the discriminator out", at_least=0)
    patch: int = option(16, "width of the patch that the discriminator judges", choices=(16, 34, 70))
    skips: bool = option(True, "the skips of the U-Net; without them it is a plain encoder and decoder")
    translate: str | None = option(None, "an image of yours, or a folder of them, to put through a trained network",
                                      path=True, instead=True, reads=("checkpoint", "direction"))  # fmt: skip
    checkpoint: str | None = option(None, "the network for --translate: a run or a file (default: the latest)",
                                       path=True, or_run=True)  # fmt: skip


PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"size": 32, "width": 16, "steps": 150, "lr": 0.001, "batch_size": 4},
    "l1": {"gan_weight": 0.0},
    "gan": {"reconstruction_weight": 0.0},
    "paper": {"size": 256, "width": 64, "patch": 70, "steps": 80_000},
}

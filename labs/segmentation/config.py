"""The options of the lab segmentation, known without torch: a mistake is found before anything is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from labkit.base.errors import UserError
from labkit.runs.options import option

NETWORKS = ("unet", "segnet", "pspnet", "deeplabv3")
STRIDE = 32  # sides must be multiples of it: SegNet halves them five times


@dataclass(frozen=True)
class Config:
    model: str = option("unet", "network", choices=NETWORKS)
    width: int = option(16, "channels of the first layer; 64 in the papers", at_least=4)
    size: int = option(160, "longer side of the images in pixels, a multiple of 32", at_least=STRIDE)
    crop: int = option(128, "side of the square that a training step sees, a multiple of 32", at_least=STRIDE)
    epochs: int = option(30, "passes over the training set", at_least=1)
    batch_size: int = option(8, "images per step", at_least=2)
    lr: float = option(0.005, "first learning rate of AdamW; falls to 0 by the last step", at_least=0)
    dice: float = option(0.0, "weight of the dice loss beside cross-entropy", at_least=0)
    colour: float = option(0.3, "augmentation: brightness, contrast and saturation vary by this share", at_least=0)
    annotations: str = option("auto", "what the labels come from; auto: panoptic where it is there",
                              choices=("auto", "panoptic", "instances"))  # fmt: skip
    classes: str | None = option(None, "categories to tell apart, separated by commas; all else is 'other'")
    most: int = option(20, "without --classes: the N categories that cover most pixels", at_least=1)
    limit: int = option(5000, "read at most N images of each split", at_least=2)
    predict: str | None = option(None, "an image of yours to segment with a trained network, instead of training",
                                    path=True, instead=True, reads=("checkpoint", "model"))  # fmt: skip
    checkpoint: str | None = option(None, "the network for --predict: a run or a file (default: the latest finished "
                                       "run)", path=True, or_run=True)  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse sizes that the networks cannot take."""
        for name, side in (("--size", self.size), ("--crop", self.crop)):
            if side % STRIDE:
                raise UserError(f"{name} {side} is not a multiple of {STRIDE}", f"{name} {side // STRIDE * STRIDE}")
        if self.crop > self.size:
            raise UserError(f"--crop {self.crop} is more than --size {self.size}", f"--crop {self.size}")


PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"width": 8, "size": 96, "crop": 64, "epochs": 16, "lr": 0.01},
}

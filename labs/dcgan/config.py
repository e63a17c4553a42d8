"""The options of the lab dcgan, known without torch: a mistake is found before anything is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from labkit.base.errors import UserError
from labkit.runs.options import option

LOSSES = ("nonsaturating", "minimax", "wgan-gp", "lsgan")
NORMS = ("batch", "instance", "weight", "none")


@dataclass(frozen=True)
class Config:
    dataset: str = option("mnist", "digits, or small colour images of ten classes", choices=("mnist", "cifar10"))
    loss: str = option("nonsaturating", "the objective", choices=LOSSES)
    steps: int = option(1500, "steps of the generator", at_least=8)
    d_steps: int = option(1, "steps of the discriminator for each of them", at_least=1)
    g_steps: int = option(1, "times that the generator repeats its step before the discriminator answers", at_least=1)
    batch_size: int = option(64, "images per step", at_least=2)
    latent: int = option(64, "length of the random vector", at_least=1)
    width: int = option(16, "channels at 16 x 16; twice and four times as many at 8 x 8 and 4 x 4", at_least=1)
    optimizer: str = option("adam", "adam (beta1 0.5) or plain sgd", choices=("adam", "sgd"))
    lr: float = option(0.001, "learning rate of the generator", at_least=0)
    lr_d: float | None = option(None, "learning rate of the discriminator (default: the same)", above=0)
    decay: bool = option(False, "let both learning rates fall to 0 in a straight line")
    conditional: bool = option(False, "tell both networks the class, so that one can ask for it")
    smooth: str = option("none", "label smoothing: of the real ones, or of both",
                         choices=("none", "one-sided", "two-sided"))  # fmt: skip
    smooth_by: float = option(0.1, "how far smoothing moves a target", at_least=0)
    flip: float = option(0.0, "share of the pairs in which the discriminator is told the opposite", at_least=0)
    noise: float = option(0.0, "deviation of the Gaussian noise before every layer of the discriminator", at_least=0)
    norm: str = option("batch", "normalisation in the generator", choices=NORMS)
    norm_d: str = option("batch", "normalisation in the discriminator", choices=NORMS)
    activation: str = option("dcgan", "relu or leaky in both; dcgan: relu draws, leaky judges",
                             choices=("dcgan", "leaky", "relu"))  # fmt: skip
    downsample: str = option("stride", "how the discriminator shrinks", choices=("stride", "pool"))
    head: str = option("flatten", "what the last layer reads: every place, or the mean", choices=("flatten", "mean"))
    output: str = option("tanh", "range of the images: -1..1, or 0..1", choices=("tanh", "sigmoid"))
    penalty: float = option(10.0, "weight of the gradient penalty of wgan-gp", at_least=0)

    def __post_init__(self) -> None:
        """Refuse a combination that would mean something else than it says."""
        if self.loss == "wgan-gp":
            if self.norm_d == "batch":
                raise UserError("the gradient penalty is of each image by itself, and batch norm in the "
                                "discriminator mixes them", "./inv lab dcgan -- --preset wgan-gp")  # fmt: skip
            if self.smooth != "none" or self.flip:
                raise UserError("the loss wgan-gp has no targets that --smooth or --flip could change")
        if self.flip >= 0.5 or self.smooth_by >= 0.5:
            raise UserError("with --flip or --smooth-by of 0.5 or more, real would no longer mean real")


PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"steps": 160, "lr": 0.002},
    "wgan-gp": {"loss": "wgan-gp", "norm_d": "instance", "d_steps": 3, "steps": 600},
    "collapse": {"g_steps": 10, "norm": "none", "norm_d": "none", "steps": 240},
    "vanishing": {"loss": "minimax", "d_steps": 5, "steps": 240},
}

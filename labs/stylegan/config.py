"""The options of the lab stylegan, known without torch: a mistake is found before anything is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from labkit.base.errors import UserError
from labkit.runs.options import option


@dataclass(frozen=True)
class Config:
    dataset: str = option("mnist", "digits, or small colour images of ten classes", choices=("mnist", "cifar10"))
    steps: int = option(1500, "steps of each network", at_least=8)
    batch_size: int = option(32, "images per step", at_least=2)
    latent: int = option(64, "D, the length of z and of w", at_least=1)
    width: int = option(16, "channels at 32 x 32; two and four times as many at smaller sizes", at_least=1)
    mapping_layers: int = option(4, "layers of the mapping network; 8 in the paper", at_least=0)
    lr: float = option(0.003, "learning rate of both networks; a tenth of it in the mapping network", at_least=0)
    r1: float = option(0.3, "weight of the R1 penalty, γ", at_least=0)
    r1_every: int = option(4, "take the penalty in every Nth step, N times as strongly", at_least=1)
    mixing: float = option(0.5, "share of the generated images that take their styles from two vectors", at_least=0)
    orthogonal: float = option(0.0, "weight of orthogonal regularisation in the generator; BigGAN: 0.0001", at_least=0)
    average: float = option(0.99, "how much the mean over the generator's weights keeps in each step", at_least=0)

    def __post_init__(self) -> None:
        if self.average >= 1:
            raise UserError("--average 1 would keep the first weights for ever")


PRESETS: dict[str, dict[str, Any]] = {"smoke": {"steps": 120, "average": 0.9}}

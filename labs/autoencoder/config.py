"""The options of the lab autoencoder, known without torch: a mistake is found before anything is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from labkit.runs.options import option


@dataclass(frozen=True)
class Config:
    model: str = option("vae", "autoencoder, variational autoencoder, or pixel by pixel",
                        choices=("ae", "vae", "pixelcnn"))  # fmt: skip
    steps: int = option(2000, "steps of training", at_least=8)
    batch_size: int = option(100, "images per step", at_least=2)
    lr: float = option(0.001, "learning rate of Adam; it falls to 0 in a straight line", at_least=0)
    hidden: int = option(400, "width of the hidden layers of ae and vae", at_least=1)
    latent: int = option(16, "numbers in the code of ae and vae; with 2 the report shows a map", at_least=1)
    beta: float = option(1.0, "weight of the KL term of vae", at_least=0)
    gradient: str = option("pathwise", "how vae's encoder learns through a random draw", choices=("pathwise", "score"))
    channels: int = option(24, "channels of pixelcnn", at_least=1)
    layers: int = option(5, "masked 3 x 3 layers of pixelcnn, after its first of 7 x 7", at_least=0)


PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"steps": 300, "lr": 0.003},
    "pixelcnn": {"model": "pixelcnn", "batch_size": 32, "steps": 1000, "lr": 0.002},
}

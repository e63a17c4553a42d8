"""The options of the lab dashboards, known without torch: a mistake is found before anything is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from labkit.runs.options import option


@dataclass(frozen=True)
class Config:
    steps: int = option(600, "steps of training, each on all points", at_least=30)
    points: int = option(400, "points on the two spirals", at_least=20)
    turns: float = option(1.5, "how often a spiral goes round; more is harder", at_least=0.1)
    hidden: int = option(32, "width of the hidden layers", at_least=1)
    layers: int = option(2, "number of hidden layers", at_least=2)
    activation: str = option("tanh", "what follows each of them", choices=("tanh", "sigmoid", "relu"))
    lr: float = option(0.01, "learning rate of Adam", at_least=0)


PRESETS: dict[str, dict[str, Any]] = {"smoke": {"steps": 300}}

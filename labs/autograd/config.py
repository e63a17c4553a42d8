"""The options of the lab autograd, known without torch: a mistake is found before anything is made."""

from __future__ import annotations

from dataclasses import dataclass

from labkit.base.language import both
from labkit.runs.options import option


@dataclass(frozen=True)
class Config:
    graphs: int = option(
        200,
        both(
            "random graphs on which the lab's engine and PyTorch are compared",
            "随机计算图的个数，用来对照自写的引擎与 PyTorch",
        ),
        at_least=1,
    )
    draws: int = option(50_000, both("draws of every estimator of a gradient", "每种梯度估计的抽样次数"), at_least=1000)


PRESETS: dict[str, dict[str, object]] = {}

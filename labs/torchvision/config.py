"""The options of the lab torchvision, known without torch: a mistake is found before anything is made."""

from __future__ import annotations

from dataclasses import dataclass

from labkit.base.language import both
from labkit.runs.options import option


@dataclass(frozen=True)
class Config:
    input: str | None = option(
        None,
        both("an image of yours for the transforms; default: one that the lab draws",
             "用你自己的图做变换；默认由实验绘制"),
        path=True,
    )


PRESETS: dict[str, dict[str, object]] = {}

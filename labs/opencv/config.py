"""The options of the lab opencv, known without torch: a mistake is found before anything is made."""

from __future__ import annotations

from dataclasses import dataclass

from labkit.base.language import both
from labkit.runs.options import option


@dataclass(frozen=True)
class Config:
    input: str | None = option(None, both("an image of yours to work on, in place of the one that the lab draws",
                                          "用你自己的图像，代替实验画的那一幅"), path=True)  # fmt: skip
    side: int = option(480, both("an image of yours is made smaller until no side is longer than this",
                                 "你的图像若更大，先缩小到最长边不超过此值"), at_least=32)  # fmt: skip
    canny: int = option(100, both("random images on which Canny by hand is compared with OpenCV's",
                                  "手写 Canny 与 OpenCV 对照时所用随机图像的数目"), at_least=1)  # fmt: skip


PRESETS: dict[str, dict[str, object]] = {}

"""The options of the lab modules, known without torch: a mistake is found before anything is made."""

from __future__ import annotations

from dataclasses import dataclass

from labkit.base.language import both
from labkit.runs.options import option


@dataclass(frozen=True)
class Config:
    width: int = option(8, both("channels of the small network that is summed up at the end",
                                "结尾统计的小网络的通道数"),
                        at_least=1)  # fmt: skip


PRESETS: dict[str, dict[str, object]] = {}

"""The options of the lab tensors, known without torch: a mistake is found before anything is made."""

from __future__ import annotations

from dataclasses import dataclass

from labkit.base.language import both
from labkit.runs.options import option


@dataclass(frozen=True)
class Config:
    groups: str | None = option(
        None,
        both("sections of the notes whose steps to run, separated by commas", "要运行哪些小节的步骤，用逗号分隔"),
    )


PRESETS: dict[str, dict[str, object]] = {}

"""The options of the lab tensors, known without torch: a mistake is found before anything is made."""

from __future__ import annotations

from dataclasses import dataclass

from labkit.runs.options import option


@dataclass(frozen=True)
class Config:
    groups: str | None = option(None, "groups of steps to run, separated by commas (default: all)")


PRESETS: dict[str, dict[str, object]] = {}

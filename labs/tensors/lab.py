"""Tensors."""

from __future__ import annotations

from labkit.runs.run import Run
from labkit.runs.start import start
from labs.tensors.config import PRESETS, Config


def main(config: Config, run: Run) -> dict[str, float]:
    return {"steps": 1.0}


if __name__ == "__main__":
    start(main, Config, PRESETS)

"""Where things are. The settings `data` and `runs` move the two folders that grow."""

from __future__ import annotations

import os
from pathlib import Path

from labkit.base import settings

ROOT = settings.ROOT


def data_dir() -> Path:
    """Folder of the data sets: `data/` in the repository unless the settings say otherwise."""
    return settings.current().data_dir


def runs_dir() -> Path:
    """Folder of the finished and running labs: `runs/` in the repository unless the settings say otherwise."""
    return settings.current().runs_dir


def shown(path: Path) -> str:
    """`path` as a person would type it: relative to the current folder where that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)

"""Where things are. `LAB_DATA` and `LAB_RUNS` move the two folders that grow."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def data_dir() -> Path:
    """Folder of the data sets: `$LAB_DATA`, else `data/` in the repository."""
    return Path(os.environ.get("LAB_DATA") or ROOT / "data").expanduser().absolute()


def runs_dir() -> Path:
    """Folder of the finished and running labs: `$LAB_RUNS`, else `runs/` in the repository."""
    return Path(os.environ.get("LAB_RUNS") or ROOT / "runs").expanduser().absolute()


def shown(path: Path) -> str:
    """`path` as a person would type it: relative to the current folder where that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)

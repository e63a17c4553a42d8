"""What several tests share."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
os.environ.pop("LAB_COMMAND", None)  # however the tests themselves were started


@pytest.fixture
def copy(tmp_path):
    """A copy of the working tree without what is made at run time, as after `git clone`."""
    target = tmp_path / "torch labs"  # with a space, since users have such folders
    everywhere = shutil.ignore_patterns(".git", ".venv", ".gpu", "__pycache__", ".*_cache")
    at_the_top = {"data", "runs"}  # labkit has rooms of the same names

    def left_out(folder, names):
        return everywhere(folder, names) | (at_the_top if Path(folder) == ROOT else set())

    shutil.copytree(ROOT, target, ignore=left_out)
    return target

"""What several tests share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def copy(tmp_path):
    """A copy of the working tree without what is made at run time, as after `git clone`."""
    target = tmp_path / "torch labs"  # with a space, since users have such folders
    left_out = shutil.ignore_patterns(".git", ".venv", "data", "runs", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, target, ignore=left_out)
    return target

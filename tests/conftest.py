"""What several tests share."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from labkit.base import settings

ROOT = Path(__file__).resolve().parent.parent
os.environ.pop("LAB_COMMAND", None)  # however the tests themselves were started
os.environ.setdefault("LAB_SETTINGS", "{}")  # in place of what this user keeps in settings.toml

_seen: dict[str, str] = {}


def _again(read):
    """`read`, which a program does once, done again where a test has changed a variable meanwhile."""

    def reading():
        if dict(os.environ) != _seen:
            _seen.clear()
            _seen.update(os.environ)
            settings._current = None
            forget_system()
        return read()

    return reading


forget_system = settings.system.cache_clear
settings.current, settings.system = _again(settings.current), _again(settings.system)


@pytest.fixture(autouse=True)
def _nothing_decided_by_another_test():
    _seen.clear()


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

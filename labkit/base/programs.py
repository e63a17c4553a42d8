"""Other programs: ask one for a short answer, find our own uv."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from labkit.base import installers, mirrors, settings
from labkit.base.errors import UserError


def output_of(*command: str, timeout_s: float = 10) -> str:
    """What a program prints, stripped; '' when it is missing, fails or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout_s)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def last_words(output: str) -> str:
    """The last line of what a program printed, without what uv and others decorate it with; '' for no output."""
    lines = output.strip().splitlines()
    return lines[-1].strip(" ├└─╰▶×").replace("cause: ", "") if lines else ""


def uv() -> str:
    """The uv beside the running Python (in .venv/host), else the one on PATH."""
    beside = Path(sys.prefix) / "bin" / "uv"
    found = str(beside) if beside.exists() else shutil.which("uv")
    if not found:
        raise UserError("uv is missing", "./inv setup")
    return found


def uv_environment() -> dict[str, str]:
    """The environment in which uv gets through the user's network, or to a mirror, and installs as we say."""
    # So wide that it breaks no sentence of which we take the last line.
    return installers.clean(settings.child_environment({"COLUMNS": "1000", **mirrors.variables()}))


def pip_environment() -> dict[str, str]:
    """The same for pip."""
    index = {"PIP_INDEX_URL": mirrors.package_index()} if mirrors.package_index() else {}
    return installers.for_pip(settings.child_environment(index))

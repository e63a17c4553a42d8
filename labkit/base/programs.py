"""Other programs: ask one for a short answer, find our own uv and the package index that the user set."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

from labkit.base.errors import UserError


def output_of(*command: str, timeout_s: float = 10) -> str:
    """What a program prints, stripped; '' when it is missing, fails or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
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
        raise UserError("uv is missing.", "./inv setup")
    return found


def uv_environment() -> dict[str, str]:
    """The environment in which uv takes the package index that the user set for either, uv or pip."""
    environment = {**os.environ, "COLUMNS": "1000"}  # so that it breaks no sentence of which we take the last line
    index = pip_index()
    if index and not {"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & set(os.environ):
        environment["UV_DEFAULT_INDEX"] = index
    return environment


def pip_index() -> str:
    """The package index that the user set for pip, '' for none: uv does not read pip's configuration."""
    config = configparser.ConfigParser(interpolation=None)
    files = ["/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf", os.environ.get("PIP_CONFIG_FILE", "")]
    config.read([Path(file).expanduser() for file in files if file])
    return os.environ.get("PIP_INDEX_URL") or config.get("global", "index-url", fallback="") or ""

"""Data that the package index has: the same bytes from whichever index or mirror the user's settings name."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from labkit.base.console import say
from labkit.base.programs import uv, uv_environment
from labkit.data.addresses import Unreachable


def install(package: str, sha256: str, folder: Path) -> None:
    """Put what "name==version" unpacks to below `folder`; the package must have this hash. Raises Unreachable."""
    say(f"{package}: from the package index")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
        wanted.write(f"{package} --hash=sha256:{sha256}\n")
        wanted.flush()
        command = [uv(), "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--python", sys.executable]
        command += ["--target", str(folder), "-r", wanted.name]
        done = subprocess.run(command, env=uv_environment(), stderr=subprocess.PIPE, text=True)
    if done.returncode:
        words = " ".join(line.strip(" ×╰─▶├│") for line in done.stderr.splitlines() if line.strip())
        raise Unreachable(package, {"the package index": words or f"uv exited with status {done.returncode}"})

"""Programs that install, told in few lines: one bar while they work, and what they said where they fail."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Mapping

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from labkit.base.console import console
from labkit.base.files import megabytes
from labkit.base.programs import uv, uv_environment

ASKING_S = 30.0  # for the sizes of all packages; half a second where the index is near
MBIT_100 = 12.5e6  # bytes per second
UNPACKING_S = 60.0


def quietly(
    command: list[str], environment: Mapping[str, str], title: str = "", size_gb: float = 0, folder: Path | None = None
) -> bool:
    """Run `command` and say whether it succeeded; what it printed is shown where it did not, and its warnings always.

    With a `title` a bar goes on by what it has written to the disk, of about `size_gb`.
    """
    with tempfile.TemporaryFile() as said, subprocess.Popen(
        command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=said, stderr=said
    ) as process:
        try:
            with _bar() as bars:
                bar = bars.add_task(title, total=size_gb or None, visible=bool(title))
                while not _ended(process):
                    bars.update(bar, completed=min(_written_gb(process), size_gb))
        except BaseException:
            process.terminate()  # Ctrl-C has reached it as well, a signal to us alone has not
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)
            raise
        said.seek(0)
        text = said.read().decode("utf-8", "replace")
    if process.returncode != 0:
        print(text.rstrip(), file=sys.stderr)
    else:
        for line in re.findall(r"(?m)^warning:.*", text):
            print(line, file=sys.stderr)
    return process.returncode == 0


def announcement(lock: str, python: Path | str, disk_gb: float) -> list[str]:
    """What is ahead before the packages of `lock` (its text) are there for `python`: download, disk, time."""
    size_bytes = download_bytes(lock, python)
    seconds = size_bytes / MBIT_100 + UNPACKING_S
    download = f"{megabytes(size_bytes)}, less what uv has kept of it from before" if size_bytes else "not known"
    return [
        f"  download  {download}",
        f"  disk      about {disk_gb:g} GB",
        f"  time      about {max(1, round(seconds / 60))} min at 100 Mbit/s" if size_bytes else "  time      minutes",
        "  You may stop it with Ctrl-C: the same command goes on with what has arrived.",
    ]


def download_bytes(lock: str, python: Path | str) -> int:
    """How many bytes the files come to that uv would fetch, as the package index says; 0 where it does not."""
    command = [uv(), "pip", "compile", "-", "--quiet", "--no-deps", "--no-header", "--format", "pylock.toml"]
    command += ["--python", str(python)]
    try:
        done = subprocess.run(
            command, input=lock, capture_output=True, text=True, env=uv_environment(), timeout=ASKING_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    total = 0
    for package in done.stdout.split("[[packages]]")[1:] if done.returncode == 0 else ():
        wheels = package.partition("wheels = ")[2] or package
        sizes = [int(size) for size in re.findall(r"\bsize = ([0-9]{1,15})\b", wheels)]
        if not sizes:
            return 0
        total += max(sizes)
    return total


def _bar() -> Progress:
    shown = TextColumn("{task.completed:.1f} of about {task.total:.1f} GB")
    return Progress(TextColumn("{task.description}"), BarColumn(), shown, TimeElapsedColumn(), console=console,
                    disable=not console.is_terminal, transient=True)  # fmt: skip


def _ended(process: subprocess.Popen[bytes]) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=0.25)
    return process.returncode is not None


def _written_gb(process: subprocess.Popen[bytes]) -> float:
    try:
        told = Path(f"/proc/{process.pid}/io").read_text()
    except OSError:  # it has ended, or the system does not tell
        return 0.0
    found = re.search(r"(?m)^wchar: ([0-9]+)$", told)
    return int(found[1]) / 1e9 if found else 0.0

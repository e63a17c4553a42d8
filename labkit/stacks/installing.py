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

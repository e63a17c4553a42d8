"""What people see while something runs: plain lines, tables and progress bars (rich), all on standard error.

Standard output stays free for what a program may want to read (`--dry`, tables piped to a file).
"""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from labkit.base.command import as_typed
from labkit.base.errors import harmless


class Words(Console):
    """A console that names commands as the user types them, and lets through nothing that a terminal obeys."""

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*(as_typed(harmless(one)) if isinstance(one, str) else one for one in objects), **options)


console = Words(stderr=True, highlight=False, soft_wrap=True)


def say(message: str) -> None:
    """One line for the reader; never interpreted as markup, since it may hold file names."""
    console.print(message, markup=False)


def warn(message: str) -> None:
    """One line that the reader should not miss."""
    console.print(message, markup=False, style="yellow")


def bytes_progress() -> Progress:
    """A progress display for transfers: name, bar, bytes, rate, time left. Silent where nobody watches."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
        console=console, disable=not sys.stderr.isatty(),
    )  # fmt: skip

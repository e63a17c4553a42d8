"""Turns between tests that run side by side in several processes."""

from __future__ import annotations

import contextlib
import fcntl
import tempfile
from pathlib import Path


@contextlib.contextmanager
def one_at_a_time(what: str):
    """Wait while another process is in this block with the same `what`."""
    with open(Path(tempfile.gettempdir()) / f"torch-labs-test-{what}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

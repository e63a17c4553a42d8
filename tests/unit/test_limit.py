"""The limit that tests/conftest.py sets each test: one that waits for ever fails and says which it is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

import pytest

from labkit.base import paths

HANGING = """
import os, subprocess, threading, time
import pytest

@pytest.mark.limit(0.5)
def test_that_sleeps():
    time.sleep(60)

@pytest.mark.limit(0.5)
def test_that_waits_for_a_lock():
    lock = threading.Lock()
    with lock:
        lock.acquire()

@pytest.mark.limit(0.5)
def test_that_lets_no_error_through():
    try:
        subprocess.run(["sleep", "60"])
    except Exception:
        pass

@pytest.mark.limit(1)
def test_that_is_stopped_meanwhile():
    subprocess.Popen(["sh", "-c", f"kill -STOP {os.getpid()}; sleep 1.5; kill -CONT {os.getpid()}"])
    time.sleep(0.4)

def test_after_them():
    pass
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_a_test_that_hangs_fails_with_its_name_and_the_next_one_runs(processes, tmp_path):
    (tmp_path / "test_hanging.py").write_text(HANGING)
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-c", str(paths.ROOT / "pyproject.toml"), "-p", "no:cacheprovider"]
    command += [f"--rootdir={tmp_path}", *(["-n", str(processes)] if processes > 1 else []), str(tmp_path)]
    environment = {**os.environ, "COLUMNS": "200", "PYTHONPATH": f"{paths.ROOT / 'tests'}{os.pathsep}{paths.ROOT}"}
    began = time.monotonic()
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and time.monotonic() - began < 60, done.stdout
    for name in ("that_sleeps", "that_waits_for_a_lock", "that_lets_no_error_through"):
        assert re.search(rf"FAILED .*test_{name} - .*test_{name} took longer than its limit of 0.5 s", done.stdout), done.stdout
    assert "3 failed, 2 passed" in done.stdout

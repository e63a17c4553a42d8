"""What is said while packages are installed: few lines, and all of what failed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from labkit.base import paths
from labkit.stacks import installing


def test_what_succeeds_says_nothing_but_its_warnings(capfd):
    noise = "print('added 18 packages'); import sys; print('warning: old', file=sys.stderr); print(' + six==1')"
    assert installing.quietly([sys.executable, "-c", noise], os.environ)
    assert capfd.readouterr() == ("", "warning: old\n")


def test_what_fails_shows_all_that_it_said(capfd):
    assert not installing.quietly([sys.executable, "-c", "print('first'); raise SystemExit('why')"], os.environ)
    assert set(capfd.readouterr().err.split()) == {"first", "why"}


def test_a_large_output_does_not_block():
    assert installing.quietly([sys.executable, "-c", "print('x' * 10_000_000)"], os.environ)


def test_ctrl_c_ends_what_was_started(tmp_path):
    code = "import os, sys; from labkit.stacks import installing; " \
           "installing.quietly(['sh', '-c', 'echo $$ > pid; sleep 60'], os.environ)"
    started = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.DEVNULL,
                               env={**os.environ, "PYTHONPATH": str(paths.ROOT)})
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
        assert started.poll() is None
    started.send_signal(2)
    started.wait(timeout=20)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)

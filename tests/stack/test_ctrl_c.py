"""Ctrl-C at any moment on the way from the front door to a lab that trains."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from labkit.base.paths import ROOT
from labkit.runs import compat


@pytest.mark.parametrize("delay_s", [0.03, 0.15, 0.4, 1.2, 3.0])
@pytest.mark.slow
def test_ctrl_c_at_any_moment_is_no_traceback(delay_s, tmp_path):
    settings = {**os.environ, "LAB_RUNS": str(tmp_path), "LAB_DATA": str(tmp_path), "LAB_VISDOM_PORT": "1"}
    stack = "cpu" if compat.MODERN else "notes"
    command = [str(ROOT / "inv"), "lab", "dashboards", "--where", "venv", "--stack", stack]
    started = subprocess.Popen(command, env=settings, stderr=subprocess.PIPE, text=True, start_new_session=True)
    time.sleep(delay_s)
    os.killpg(started.pid, signal.SIGINT)
    said = started.communicate(timeout=100)[1]
    if said.startswith("Fatal Python error: init_"):  # the interpreter itself, before any line of ours
        assert started.returncode == 1
    else:
        # On a fast machine the last step may be done by then: what is left is finished.
        finished = "writing the results of the last step" in said
        assert started.returncode in ((0, 130) if finished else (130, -signal.SIGINT)), said
        assert "Traceback" not in said, said

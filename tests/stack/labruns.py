"""Runs of a lab inside the test's own process, and what two runs must have in common."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
from pathlib import Path
from types import ModuleType
from typing import Any, Sequence

import pytest
import torch

from labkit import compat
from labkit.run import Run


def run_here(lab: ModuleType, arguments: Sequence[str], data: Path, runs: Path, stop_at: int = 0) -> tuple[int, str]:
    """Run `lab`; with `stop_at` Ctrl-C arrives in that step. Returns the exit status and what it said."""
    said = io.StringIO()
    checkpoint = Run.checkpoint

    def interrupted(self: Run, step: int, *rest: Any, **named: Any) -> None:
        if step == stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        checkpoint(self, step, *rest, **named)

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(said):
        for name, value in (("LAB_DATA", str(data)), ("LAB_RUNS", str(runs)), ("VISDOM_PORT", "1")):
            patch.setenv(name, value)
        patch.setattr(Run, "checkpoint", interrupted)
        with pytest.raises(SystemExit) as left:
            lab.start(lab.main, lab.Config, lab.PRESETS, list(arguments))
    return left.value.code, said.getvalue()


def newest(lab: ModuleType, runs: Path) -> Path:
    """The folder of the newest run of `lab` below `runs`."""
    return max((runs / lab.__name__.split(".")[1]).glob("*"))


def summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text())


def same(one: Any, other: Any) -> bool:
    """Whether two states are equal to the last bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def assert_same_runs(one: Path, other: Path) -> None:
    """Metrics equal to the byte and the last checkpoint to the bit: weights, optimizers, everything."""
    assert (one / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    first, second = (compat.load(folder / "checkpoints" / "last.pt")["state"] for folder in (one, other))
    assert first.keys() == second.keys()
    assert [name for name in first if not same(first[name], second[name])] == []


def assert_resumes_exactly(lab: ModuleType, arguments: Sequence[str], stop_at: int, data: Path, folder: Path) -> Path:
    """One run in one go, another stopped after step `stop_at` and resumed, end the same. Returns the first one."""
    status, output = run_here(lab, arguments, data, folder / "whole")
    assert status == 0, output
    status, output = run_here(lab, arguments, data, folder / "halves", stop_at=stop_at)
    assert status == 130, output
    status, output = run_here(lab, ["--resume=latest"], data, folder / "halves")
    assert status == 0 and f"after step {stop_at}" in output, output
    assert_same_runs(newest(lab, folder / "whole"), newest(lab, folder / "halves"))
    return newest(lab, folder / "whole")

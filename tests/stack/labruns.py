"""Runs of a lab inside the test's own process, and what two runs must have in common."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
from pathlib import Path
from types import ModuleType
from typing import Any, Iterator, Sequence

import pytest
import torch

from labkit.runs import compat
from labkit.runs.run import Run


def run_here(lab: ModuleType, arguments: Sequence[str], data: Path, runs: Path, stop_at: int = 0) -> tuple[int, str]:
    """Run `lab`; with `stop_at` Ctrl-C arrives in that step. Returns the exit status and what it said."""
    said = io.StringIO()
    checkpoint = Run.checkpoint

    def interrupted(self: Run, step: int, *rest: Any, **named: Any) -> None:
        if step == stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        checkpoint(self, step, *rest, **named)

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(said):
        for name, value in (("LAB_DATA", str(data)), ("LAB_RUNS", str(runs)), ("LAB_VISDOM_PORT", "1")):
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


def tensors(state: Any) -> Iterator[torch.Tensor]:
    """All tensors in a state, in order. Numbers beside them are not compared: PyTorch 1.5 names parameters by address."""
    if isinstance(state, torch.Tensor):
        yield state
    elif isinstance(state, (dict, list, tuple)):
        for part in state.values() if isinstance(state, dict) else state:
            yield from tensors(part)


def assert_same_runs(one: Path, other: Path) -> None:
    """Metrics equal to the byte and every tensor of the last checkpoint to the bit: weights, optimizers, everything."""
    assert (one / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    first, second = (compat.load(folder / "checkpoints" / "last.pt")["state"] for folder in (one, other))
    for name in {**first, **second}:
        assert len(list(tensors(first[name]))) == len(list(tensors(second[name]))), name
        assert all(map(torch.equal, tensors(first[name]), tensors(second[name]))), name


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

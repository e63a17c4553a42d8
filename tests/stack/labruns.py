"""Runs of a lab inside the test's own process, what two runs must have in common, and a lab's functions without a run."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
from pathlib import Path
from types import ModuleType
from typing import Any, Iterable, Iterator, Sequence

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

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


# ---- a lab's functions by themselves, without a run ----


class Desk:
    """Stands for the run: keeps what is logged, drawn, put into tables and noted, and saves nothing."""

    def __init__(self, seed: int = 0) -> None:
        self.device, self.seed, self.sample, self.lab = torch.device("cpu"), seed, True, "desk"
        self.logged: list[dict[str, float]] = []
        self.figures: dict[str, Figure] = {}
        self.tables: dict[str, list[list[Any]]] = {}
        self.notes: list[str] = []

    def restore(self) -> None:
        return None

    def progress(self, *_: object, **__: object) -> Desk:
        return self

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_: object) -> None: ...

    def advance(self, *_: object, **__: object) -> None: ...

    def in_epochs(self, steps: int) -> None: ...

    def time(self, step: int, **measured: float) -> None: ...

    def checkpoint(self, step: int, make_state: Any, last: bool = False) -> None: ...

    def part_of(self, batch: slice) -> slice:
        return batch

    def average(self, tensors: Any) -> None: ...

    def log(self, step: int, **scalars: float) -> None:
        self.logged.append({"step": step, **{name: float(value) for name, value in scalars.items()}})

    def figure(self, name: str, figure: Figure, caption: str, step: int | None = None) -> None:
        self.figures[name] = figure

    def table(self, name: str, columns: Sequence[Any], rows: Sequence[Sequence[Any]], caption: str) -> None:
        self.tables[name] = [[english(cell) for cell in row] for row in rows]

    def note(self, text: Any) -> None:
        self.notes.append(english(text))


def english(cell: Any) -> Any:
    """A cell of a table, a text in two languages by its English."""
    return getattr(cell, "en", cell)


class Adam:
    """Adam as its paper has it (Kingma and Ba, 2015, algorithm 1), with the decay of AdamW; `weights` change in place."""

    def __init__(self, weights: Iterable[torch.Tensor], betas: tuple[float, float] = (0.9, 0.999), decay: float = 0.0):
        self.weights, self.betas, self.decay, self.steps = list(weights), betas, decay, 0
        self.first, self.second = ([torch.zeros_like(weight) for weight in self.weights] for _ in range(2))

    def descend(self, loss: torch.Tensor, lr: float | Sequence[float], clip: float = 0.0) -> list[torch.Tensor]:
        """One step down the gradient of `loss`, which is returned; `lr` for all, or for each weight."""
        gradients = torch.autograd.grad(loss, self.weights, allow_unused=True)
        if clip:
            length = torch.stack([(gradient**2).sum() for gradient in gradients if gradient is not None]).sum().sqrt()
            share = min(1.0, clip / (float(length) + 1e-6))
            gradients = [gradient if gradient is None else gradient * share for gradient in gradients]
        self.steps += 1
        rates = lr if isinstance(lr, (list, tuple)) else [lr] * len(self.weights)
        with torch.no_grad():
            for k, (weight, gradient, rate) in enumerate(zip(self.weights, gradients, rates)):
                if gradient is None:  # the loss says nothing of this weight: it stays as it is
                    continue
                self.first[k] = self.betas[0] * self.first[k] + (1 - self.betas[0]) * gradient
                self.second[k] = self.betas[1] * self.second[k] + (1 - self.betas[1]) * gradient**2
                mean = self.first[k] / (1 - self.betas[0] ** self.steps)
                root = (self.second[k] / (1 - self.betas[1] ** self.steps)).sqrt()
                weight -= rate * (mean / (root + 1e-8) + self.decay * weight)
        return list(gradients)


def assert_same_weights(one: nn.Module, other: nn.Module, atol: float = 1e-5, noise: str = "none") -> None:
    """All weights and buffers of two networks, to `atol`; but those called `noise`, whose gradient is 0 but for rounding."""
    theirs = other.state_dict()
    for name, value in one.state_dict().items():
        if name.endswith(noise):
            continue
        difference = float((value.double() - theirs[name].double()).abs().max())
        assert difference <= atol, f"{name} differs by {difference:.2g}"


def tiles(figure: Figure, height: int, width: int = 0) -> np.ndarray:
    """The images of a gallery by row and column, uint8 (rows, columns, height, width, ...)."""
    sheet = np.asarray(figure.axes[0].images[0].get_array())
    width = width or height
    rows, columns = (sheet.shape[0] + 2) // (height + 2), (sheet.shape[1] + 2) // (width + 2)
    return np.stack([[sheet[y * (height + 2) :, x * (width + 2) :][:height, :width] for x in range(columns)]
                     for y in range(rows)])  # fmt: skip


def row_names(figure: Figure, height: int) -> dict[int, str]:
    """What stands beside the rows of a gallery, by row."""
    axis = figure.axes[0]
    assert axis.yaxis_inverted(), "images have their first row at the top"
    return {int(place // (height + 2)): text.get_text() for place, text in zip(axis.get_yticks(), axis.get_yticklabels())}


def title_of(axis: Any) -> str:
    """What stands over an axis, at the left or in the middle."""
    return str(axis.get_title("left") or axis.get_title("center"))

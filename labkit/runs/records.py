"""The runs on this machine: list them, find one by whatever the user calls it, see whether it is still going on."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any, Iterable

from labkit.base import paths
from labkit.base.errors import UserError, nearest

# What is measured alike on several parts of the data, or of the two networks of a GAN, shares a panel.
LINES = ("train", "test", "holdout", "generator", "discriminator", "real", "fake")


@dataclass(frozen=True)
class RunInfo:
    """One run, as the files in its folder tell it."""

    lab: str
    folder: Path
    status: str  # running, finished, stopped (it saved and can go on), failed, killed (it ended without a word)
    started: str  # UTC, "2026-11-23 17:15:00"
    seconds: float
    data: str  # the least trustworthy kind that it read: sample, unverified, recorded, verified; "" where it read none
    metrics: dict[str, float]

    @property
    def name(self) -> str:
        """What the user calls it: "cifar10/20261123-171500"."""
        return f"{self.lab}/{self.folder.name}"

    @property
    def environment(self) -> str:
        """What visdom calls it: "cifar10_20261123-171500"."""
        return f"{self.lab}_{self.folder.name}"

    @property
    def checkpoint(self) -> Path:
        """Where its last checkpoint is, if it has one."""
        return self.folder / "checkpoints" / "last.pt"

    @property
    def result(self) -> str:
        """The first metric, which is the one that the lab is about: "accuracy 0.9312"."""
        return next((f"{name.replace('_', ' ')} {number(value)}" for name, value in self.metrics.items()), "")


def table() -> list[RunInfo]:
    """All runs, the newest first."""
    found = [read(path.parent) for path in paths.runs_dir().glob("*/*/config.json")]
    return sorted(found, key=lambda run: (run.started, run.folder.name), reverse=True)


def find(name: str, lab: str = "") -> Path:
    """The folder of the run called `name`: "20261123-171500", "cifar10/20261123-171500", a path, or "latest".

    `lab` settles which one is meant where several labs have such a run. Raises UserError where there is none.
    """
    path = Path(name).expanduser()
    if (path / "config.json").is_file():
        return path.absolute()
    known = table()
    if name == "latest":
        found = [run for run in known if lab in ("", run.lab)]
        if not found:
            raise UserError(f"there is no run{f' of {lab}' if lab else ''} yet", f"./inv lab {lab or 'NAME'}")
        return found[0].folder
    found = [run for run in known if name in (run.name, run.folder.name)]
    found = [run for run in found if run.lab == lab] or found
    if not found:
        hint = nearest(name, [run.folder.name for run in known[:5]]) if known else "there is none yet"
        raise UserError(f"there is no run {name}; {hint}", "./inv runs")
    if len(found) > 1:
        raise UserError(f"{name} may be {' or '.join(run.name for run in found)}; say which", "./inv runs")
    return found[0].folder


def read(folder: Path) -> RunInfo:
    """What is known about the run in `folder`, also while it goes on."""
    config, summary, env = (load_json(folder / f"{part}.json") for part in ("config", "summary", "env"))
    status = str(summary.get("status", "running"))
    if status == "running" and not _is_locked(folder):
        status = "killed"
    kinds = {state["kind"] for state in env.get("data", {}).values()}
    return RunInfo(
        lab=str(config.get("lab", folder.parent.name)),
        folder=folder,
        status=status,
        started=str(config.get("started", "")),
        seconds=float(summary.get("seconds", 0.0)),
        data=next((kind for kind in ("sample", "unverified", "recorded", "verified") if kind in kinds), ""),
        metrics={name: nan if value is None else value for name, value in summary.get("metrics", {}).items()},
    )


def history(folder: Path) -> dict[str, tuple[list[int], list[float]]]:
    """What the run in `folder` logged: {name: (steps, values)}; a value that is no number is nan."""
    found: dict[str, tuple[list[int], list[float]]] = {}
    path = folder / "metrics.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:  # the run was killed while it wrote this line, its last
            break
        step = row.pop("step")
        for name, value in row.items():
            steps, values = found.setdefault(name, ([], []))
            steps.append(step)
            values.append(nan if value is None else value)
    return found


def split(name: str) -> tuple[str, str]:
    """Where a logged scalar is drawn: ("loss", "train") for train_loss, so that train and test share one panel.

    A name with a slash says it itself: ("test_accuracy", "adam") for test_accuracy/adam, one of several variants.
    """
    if "/" in name:
        panel, _, line = name.partition("/")
        return panel, line
    for line in LINES:
        if name.startswith(line + "_"):
            return name[len(line) + 1 :], line
    return name, name


def panels(names: Iterable[str]) -> dict[str, list[str]]:
    """The logged names by panel, in the order in which they were first logged."""
    grouped: dict[str, list[str]] = {}
    for name in names:
        grouped.setdefault(split(name)[0], []).append(name)
    return grouped


def number(value: float) -> str:
    """`value` for a reader: whole numbers in full, others with four significant digits."""
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:#.4g}"


def resume_command(lab: str, name: str) -> str:
    """What to type to continue the run whose folder is called `name`."""
    return f"./inv lab {lab} --resume={name}"


def load_json(path: Path) -> dict[str, Any]:
    """The object in `path`; empty where there is none, since a run may be killed before it wrote one."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return content


def lock(folder: Path) -> int | None:
    """Hold the run in `folder` for this process: a descriptor to keep open, or None where another process holds it.

    The kernel lets go when the process ends, however it ends.
    """
    handle = os.open(str(folder), os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError:
        pass  # a network folder without locks: better to run unguarded than not at all
    return handle


def _is_locked(folder: Path) -> bool:
    handle = lock(folder)
    if handle is not None:
        os.close(handle)
    return handle is None

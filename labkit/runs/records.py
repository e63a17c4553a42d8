"""The runs on this machine: list them, find one by whatever the user calls it, see whether it is still going on."""

from __future__ import annotations

import fcntl
import os
import shlex
import time
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Iterable, Literal

from labkit.base import labs, paths, typed
from labkit.base.errors import UserError, nearest
from labkit.runs import contents
from labkit.runs.contents import TRUST, Config, Environment, Status, Summary, countable

ASKING_S = 1.0  # how long a run that starts puts up with those who ask whether it runs; each takes microseconds

# What is measured alike on several parts of the data, or of the two networks of a GAN, shares a panel.
LINES = ("train", "test", "holdout", "generator", "discriminator", "real", "fake")


@dataclass(frozen=True)
class RunInfo:
    """One run, as the records in its folder tell it."""

    folder: Path
    status: Literal[Status, "killed"]  # stopped: it saved and can go on; killed: it ended unexpectedly
    config: Config | None  # None where nobody can tell what was asked for
    env: Environment
    summary: Summary

    @property
    def lab(self) -> str:
        return self.config.lab if self.config else self.folder.parent.name

    @property
    def started(self) -> str:
        """UTC, "2026-11-23 17:15:00"."""
        return self.config.started if self.config else ""

    @property
    def seconds(self) -> float:
        seconds = countable(self.summary.seconds)
        return seconds if isfinite(seconds) else 0.0

    @property
    def data(self) -> str:
        """The least trustworthy kind that it read: sample, unverified, recorded, verified; "" where it read none."""
        kinds = {used.kind for used in self.env.data.values()}
        return next((kind for kind in TRUST if kind in kinds), "")

    @property
    def metrics(self) -> dict[str, float]:
        return {name: countable(value) for name, value in self.summary.metrics.items()}

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
    """All runs that say what they are, the newest first; one line names the config.json of any other."""
    folders = [path.parent for path in paths.runs_dir().glob("*/*/config.json")]
    found = [read(folder) for folder in folders if not folder.is_symlink()]  # nothing is written through a link
    found = [run for run in found if run.config]
    return sorted(found, key=lambda run: (run.started, run.folder.name), reverse=True)


def find(name: str, lab: str = "", practice: bool = False) -> Path:
    """The folder of the run called `name`: "20261123-171500", "cifar10/20261123-171500", a path, "latest", or a lab,
    which stands for its newest run.

    `lab` settles which one is meant where several labs have such a run; with `practice` the latest is the latest
    practice. Raises UserError where there is none.
    """
    path = Path(os.path.expanduser(name))
    if os.path.isfile(path / "config.json"):
        return path.absolute()
    known = table()
    if name.lower() in labs.names():
        name, lab = "latest", name.lower()
    if name == "latest":
        found = [run for run in known if lab in ("", run.lab)]
        if practice:
            found = [run for run in found if run.config and run.config.practice]
        if not found:
            what = f"{'practice' if practice else 'run'}{f' of {lab}' if lab else ''}"
            raise UserError(f"there is no {what} yet", f"./inv {'practice' if practice else 'lab'} {lab or 'NAME'}")
        return found[0].folder
    found = [run for run in known if name in (run.name, run.folder.name)]
    found = [run for run in found if run.lab == lab] or found
    if not found:
        hint = nearest(name, [run.folder.name for run in known[:5]]) if known else "there is none yet"
        raise UserError(f"there is no run {name}; {hint}", "./inv runs")
    if len(found) > 1:
        raise UserError(f"{name} is ambiguous: {' or '.join(run.name for run in found)}", "./inv runs")
    return found[0].folder


def read(folder: Path) -> RunInfo:
    """What is known about the run in `folder`, also while it goes on."""
    config = contents.read(folder, "config.json", Config)
    env = contents.read(folder, "env.json", Environment) or Environment()
    summary = contents.read(folder, "summary.json", Summary) or Summary()
    status = "killed" if summary.status == "running" and not _is_locked(folder) else summary.status
    return RunInfo(folder, status, config, env, summary)


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
    if abs(value) >= 1000 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:#.4g}"


def resume_command(lab: str, name: str) -> str:
    """What to type to continue the run whose folder is called `name`."""
    return f"./inv lab {shlex.quote(lab)} {shlex.quote(f'--resume={name}')}"


def load_json(path: Path) -> dict[str, Any]:
    """The record in `path`, a file of a run's folder; empty where there is none that can be used."""
    found = contents.read(path.parent, path.name, contents.RECORDS[path.name])
    return typed.builtins(found) if found else {}


def lock(folder: Path) -> int | None:
    """Hold the run in `folder` for this process: a descriptor to keep open, or None where another process holds it.

    The kernel lets go when the process ends, however it ends. Who only asks whether a run is held, as a listing does,
    shares the lock for a moment: then try again.
    """
    handle = os.open(str(folder), os.O_RDONLY)
    give_up = time.monotonic() + ASKING_S
    while not _locks(handle, fcntl.LOCK_EX):
        if time.monotonic() > give_up:
            os.close(handle)
            return None
        time.sleep(ASKING_S / 200)
    return handle


def _is_locked(folder: Path) -> bool:
    """Whether a process holds the run in `folder`. Any number may ask at once, and none takes the others for it."""
    try:
        handle = os.open(str(folder), os.O_RDONLY)
    except OSError:  # it has just been deleted, or is somebody else's
        return False
    try:
        return not _locks(handle, fcntl.LOCK_SH)
    finally:
        os.close(handle)


def _locks(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a network folder without locks: better to run unguarded than not at all
    return True

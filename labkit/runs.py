"""The runs on this machine: list them, find one by whatever the user calls it, see whether it is still going on."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit import paths
from labkit.errors import UserError, nearest


@dataclass(frozen=True)
class RunInfo:
    """One run as its folder tells it. `status`: running, finished, stopped, failed, or killed (it ended unasked)."""

    lab: str
    name: str
    folder: Path
    status: str
    started: str
    seconds: float
    data: str
    metrics: dict[str, float]


def table(lab: str = "") -> list[RunInfo]:
    """All runs, or those of one lab, the newest first."""
    folders = paths.runs_dir().glob(f"{lab or '*'}/*/config.json")
    return sorted((read(path.parent) for path in folders), key=lambda run: (run.started, run.name), reverse=True)


def find(name: str, lab: str = "") -> RunInfo:
    """The run called `name`: its name, LAB/NAME, a folder, or `latest` (of `lab`, where that is given).

    Raises UserError where there is none or where the name is not enough to tell two labs apart.
    """
    folder = Path(name).expanduser()
    if (folder / "config.json").is_file():
        return read(folder.absolute())
    known = table()
    if name == "latest":
        known = [run for run in known if lab in ("", run.lab)]
        if not known:
            raise UserError(f"there is no run{' of ' + lab if lab else ''} yet", f"invoke lab {lab or 'NAME'}")
        return known[0]
    found = [run for run in known if name in (run.name, f"{run.lab}/{run.name}")]
    found = [run for run in found if run.lab == lab] or found
    if len(found) > 1:
        raise UserError(f"{name} names {len(found)} runs; say which: {', '.join(f'{r.lab}/{r.name}' for r in found)}")
    if not found:
        hint = f"; {nearest(name, [run.name for run in known][:5])}" if known else ", nor any other yet"
        raise UserError(f"there is no run {name}{hint}", "invoke runs")
    return found[0]


def read(folder: Path) -> RunInfo:
    """What the files of the run in `folder` say; a run that claims to go on but holds no lock was killed."""
    config, summary, env = (load_json(folder / f"{part}.json") for part in ("config", "summary", "env"))
    status = str(summary.get("status", "running"))
    if status == "running" and not is_locked(folder):
        status = "killed"
    kinds = {state["kind"] for state in env.get("data", {}).values()}
    return RunInfo(
        lab=str(config.get("lab", folder.parent.name)),
        name=folder.name,
        folder=folder,
        status=status,
        started=str(config.get("started", "")),
        seconds=float(summary.get("seconds", 0.0)),
        data=next((kind for kind in ("sample", "unverified", "verified") if kind in kinds), ""),
        metrics=dict(summary.get("metrics", {})),
    )


def resume_command(lab: str, name: str) -> str:
    """What to type to continue the run `name`."""
    return f"invoke lab {lab} --resume={name}"


def load_json(path: Path) -> dict[str, Any]:
    """The object in `path`, empty where there is none or only half of one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


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
        pass  # a file system without locks: better to run unguarded than not at all
    return handle


def is_locked(folder: Path) -> bool:
    """Whether a process is at work in the run `folder`."""
    handle = lock(folder)
    if handle is None:
        return True
    os.close(handle)
    return False

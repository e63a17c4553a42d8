"""The door between a run folder and a page.

Anybody may have written what is in a run folder. So no file is read that lies outside of it, and what is not of the
type that a page expects is left out: a broken file costs its part of the page, never the page. Text passes as it is;
the templates escape it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path
from typing import Any, Dict, List, Tuple, TypeVar
from urllib.parse import quote

from labkit.runs import records

BEYOND = 1e100  # nothing that is measured is as large, and sums of what is smaller stay finite
SCALARS = (str, int, float, type(None))
TRUST = ("sample", "unverified", "recorded", "verified")  # kinds of data, the least trustworthy first
History = Dict[str, Tuple[List[float], List[float]]]  # {name: (steps, values)}
Kind = TypeVar("Kind", str, "list[Any]", "dict[str, Any]")


@dataclass(frozen=True)
class Run:
    """What pages show of one run. Options and facts are scalars and lists of them."""

    info: records.RunInfo
    title: str
    title_zh: str
    command: str
    seed: Any
    options: dict[str, Any]
    facts: dict[str, Any]  # of env.json: versions, machine, commit
    data: dict[str, dict[str, str]]  # of each data set: kind, source, when
    packages: dict[str, str]
    error: str
    traceback: str
    logging_share: float  # of the time; nan where it is unknown


def read(folder: Path) -> Run:
    """What the files in `folder` tell about its run, also while it goes on."""
    config, summary, env = (load(folder, f"{part}.json") for part in ("config", "summary", "env"))
    lab = part(config, "lab", str) or folder.parent.name
    status = part(summary, "status", str) or "running"
    if status == "running" and not records._is_locked(folder):
        status = "killed"
    data = {
        name: {key: part(state, key, str) for key in ("kind", "source", "when")}
        for name, state in part(env, "data", dict).items()
        if isinstance(state, dict)
    }
    seconds = number(summary.get("seconds"))
    info = records.RunInfo(
        lab=lab,
        folder=folder,
        status=status,
        started=part(config, "started", str),
        seconds=seconds if isfinite(seconds) else 0.0,
        data=next((kind for kind in TRUST if kind in {state["kind"] for state in data.values()}), ""),
        metrics={
            name: number(value)
            for name, value in part(summary, "metrics", dict).items()
            if isinstance(value, (int, float, type(None)))
        },
    )
    return Run(
        info=info,
        title=part(config, "title", str) or lab,
        title_zh=part(config, "title_zh", str),
        command=part(config, "command", str),
        seed=_plain(config).get("seed"),
        options=_plain(part(config, "options", dict)),
        facts=_plain(env),
        data=data,
        packages={name: text for name, text in part(env, "packages", dict).items() if isinstance(text, str)},
        error=part(summary, "error", str),
        traceback=part(summary, "traceback", str),
        logging_share=number(summary.get("logging_share")),
    )


def history(folder: Path) -> History:
    """What the run in `folder` logged; a value that is no number is nan."""
    found: History = {}
    for line in read_text(folder, "metrics.jsonl").splitlines():
        row = _parsed(line)
        step = number(row.pop("step", None))
        for name, value in row.items() if isfinite(step) else ():
            steps, values = found.setdefault(name, ([], []))
            steps.append(step)
            values.append(number(value))
    return found


def load(folder: Path, name: str) -> dict[str, Any]:
    """The object in the JSON file `name` of the run folder; empty where there is none that can be read."""
    return _parsed(read_text(folder, name))


def read_text(folder: Path, name: str) -> str:
    """The text of the file `name` of the run folder; "" where there is none that can be read."""
    return read_bytes(folder, name).decode("utf-8", "replace")


def read_bytes(folder: Path, name: str) -> bytes:
    """As `read_text`."""
    path = inside(folder, name)
    try:
        return path.read_bytes() if path else b""
    except OSError:
        return b""


def inside(folder: Path, name: str) -> Path | None:
    """Where the file `name` of the run folder is; None where there is none, or it lies outside: `..`, or a link."""
    try:
        path = (folder / name).resolve()
        return path if folder.resolve() in path.parents and path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # a name that no disk takes; links in a circle
        return None


def address(name: str) -> str:
    """The relative `name` of a file as a link that no browser takes for anything else, as `javascript:`."""
    return ("./" if ":" in name else "") + quote(os.fsencode(name))


def part(content: dict[str, Any], key: str, kind: type[Kind]) -> Kind:
    """What `content` has as `key`, if it is of that `kind`; else the empty one: "", [] or {}."""
    found = content.get(key)
    return found if isinstance(found, kind) else kind()


def number(value: Any) -> float:
    """`value` if it is a number that can be counted and drawn with, else nan."""
    return value if isinstance(value, (int, float)) and abs(value) < BEYOND else nan


def _parsed(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):  # also a last line that was cut off, when the run was killed
        return {}
    return content if isinstance(content, dict) else {}


def _plain(content: dict[str, Any]) -> dict[str, Any]:
    """Of `content` the scalars and the lists of scalars."""
    return {
        name: value
        for name, value in content.items()
        if isinstance(value, SCALARS) or (isinstance(value, list) and all(isinstance(one, SCALARS) for one in value))
    }

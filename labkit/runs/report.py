"""A run's report.html: one page that needs nothing else, made from the files of the run folder."""

from __future__ import annotations

import base64
import os
import re
import struct
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Iterable

from labkit.base.files import megabytes
from labkit.runs import pages, records
from labkit.runs.options import flag
from labkit.runs.pages import door

WORDS = {
    "running": ("running", "训练中"),
    "finished": ("finished", "已完成"),
    "stopped": ("stopped", "已停止"),
    "failed": ("failed", "失败"),
    "killed": ("killed", "被中断"),
    "verified": ("verified data", "已验证的数据"),
    "recorded": ("recorded data", "已记录的数据"),
    "unverified": ("unverified data", "未验证的数据"),
    "sample": ("sample data", "样例数据"),
}
NUMBER = re.compile(r"[-+]?[\d.,]+(e[-+]?\d+)?\s?%?$")
REFRESH_S = 10
MOST_FILES = 300  # listed; a lab may derive one for each picture of its data


@dataclass(frozen=True)
class Picture:
    """A PNG of the run folder; `source` is "" where it is missing. Width and height are in CSS pixels."""

    name: str
    description: str
    source: str = ""
    width: int = 0
    height: int = 0


def render(folder: Path) -> Path:
    """Write report.html from what the run `folder` holds so far, and return its path."""
    run = door.read(folder)
    files, files_more = _files(folder)
    return pages.write(
        folder / "report.html",
        title=f"{run.title} · {folder.name}",
        run=run,
        refresh_s=REFRESH_S,
        badges=[(kind, *WORDS.get(kind, (kind, ""))) for kind in (run.info.status, run.info.data) if kind],
        facts=[fact for fact in (_started(run.info), duration(run.info.seconds), _device(run.facts)) if fact],
        results=[(name.replace("_", " "), records.number(value)) for name, value in run.info.metrics.items()],
        curves=_curves(folder),
        items=list(_items(folder)),
        commands=_commands(run),
        options=[(flag(name), written(value)) for name, value in run.options.items() if value != ""],
        environment=_environment(run),
        files=files,
        files_more=files_more,
    )


def _started(run: records.RunInfo) -> str:
    return f"{run.started} UTC" if run.started else ""


def _device(facts: dict[str, Any]) -> str:
    if facts.get("device") == "cpu":
        return f"{facts.get('cpu', '?')}, {facts.get('threads', '?')} threads"
    return str(facts.get("device_reason", ""))


def _curves(folder: Path) -> list[Picture]:
    names = sorted(path.name for path in (folder / "plots" / "curves").glob("*.png"))
    return [_picture(folder, f"plots/curves/{name}", f"{Path(name).stem} against the step") for name in names]


def _picture(folder: Path, name: str, description: str) -> Picture:
    content = door.read_bytes(folder, name)
    if len(content) < 24 or not content.startswith(b"\x89PNG"):
        return Picture(name, description)
    width, height = struct.unpack(">II", content[16:24])  # from the PNG's first chunk
    source = "data:image/png;base64," + base64.b64encode(content).decode()
    return Picture(name, description, source, width * 2 // 3, height * 2 // 3)  # drawn at 144 dots per inch, CSS has 96


def _items(folder: Path) -> Iterable[dict[str, Any]]:
    """Figures, tables and notes, in the order in which the lab gave them."""
    for item in door.part(door.load(folder, "report.json"), "items", list):
        if not isinstance(item, dict):
            continue
        kind, name, caption = (door.part(item, key, str) for key in ("kind", "name", "caption"))
        shown = {"kind": kind, "caption": caption}
        if kind == "note":
            yield shown
        elif kind == "figure":
            yield {**shown, "picture": _picture(folder, f"plots/{name}.png", caption)}
        elif kind == "table":
            yield {**shown, **_table(folder, f"tables/{name}.json")}


def _table(folder: Path, name: str) -> dict[str, Any]:
    """The columns and rows of a table, as pairs of a text and whether its column holds numbers; no columns where there
    is no table."""
    content = door.load(folder, name)
    columns = [_cell(column) for column in door.part(content, "columns", list)]
    rows = [[_cell(cell) for cell in row] for row in door.part(content, "rows", list) if isinstance(row, list)]
    rows = [(row + [""] * len(columns))[: len(columns)] for row in rows]
    numeric = [all(NUMBER.match(cell) for cell in column) for column in zip(*rows)] or [False] * len(columns)
    return {"name": name, "columns": list(zip(columns, numeric)), "rows": [list(zip(row, numeric)) for row in rows]}


def _cell(content: Any) -> str:
    return content if isinstance(content, str) else records.number(door.number(content))


def _commands(run: door.Run) -> list[tuple[str, str]]:
    commands = [("Train again, in the same way", typed(run.command))]
    if run.info.status in ("stopped", "killed", "failed"):
        resume = records.resume_command(run.info.lab, run.info.folder.name)
        commands.insert(0, ("Continue where it stopped", typed(resume)))
    return commands


def typed(command: str) -> str:
    """`command` as it works in a fresh clone: with ./inv, where a run wrote down that it was `invoke`."""
    return f"./inv {command[len('invoke ') :]}" if command.startswith("invoke ") else command


def _environment(run: door.Run) -> list[tuple[str, str]]:
    """What the result depends on besides the code, as a table of names and values; empty where nothing is known."""
    facts = run.facts
    if not facts:
        return []
    shown = {
        "stack": facts.get("stack"),
        "Python": facts.get("python"),
        "PyTorch": facts.get("torch"),
        "device": f"{facts.get('device', '?')} ({facts.get('device_reason', '?')})",
        "processor": f"{facts.get('cpu', '?')}, {facts.get('threads', '?')} threads used",
        "processes": facts.get("processes") if facts.get("processes") != 1 else "",
        "allocator": facts.get("allocator"),
        "NVIDIA driver": facts.get("driver"),
        "system": facts.get("platform"),
        "commit": facts.get("commit"),
        "uncommitted changes": "yes" if facts.get("dirty") else "",
        "seed": facts.get("seed"),
        "data": ", ".join(f"{name} ({state['kind']}) {state['when']}".strip() for name, state in run.data.items()),
        "logging": f"{run.logging_share:.2%} of the time" if isfinite(run.logging_share) else "",
    }
    return [(name, written(value)) for name, value in shown.items() if value not in (None, "")]


def _files(folder: Path) -> tuple[list[tuple[str, str, str]], int]:
    """Name, link and size of the first files in `folder`, and how many more there are; no link to what lies outside."""
    found = sorted(path for path in folder.rglob("*") if os.path.isfile(path) and path.name != "report.html")
    rows = []
    for name in (path.relative_to(folder).as_posix() for path in found[:MOST_FILES]):
        path = door.inside(folder, name)
        rows.append((name, door.address(name), megabytes(path.stat().st_size)) if path else (name, "", "elsewhere"))
    return rows, max(0, len(found) - MOST_FILES)


def written(content: Any) -> str:
    """How an option or a fact is written on a page."""
    if isinstance(content, bool):
        return "on" if content else "off"
    return str(content)


def duration(seconds: float) -> str:
    """`seconds` as one would say it: "48 s", "3 min 20 s", "2 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"

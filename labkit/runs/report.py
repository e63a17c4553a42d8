"""A run's report.html: one page that needs nothing else, made from the files of the run folder."""

from __future__ import annotations

import base64
import os
import re
import shlex
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Iterable

from labkit.base import labs
from labkit.base.errors import UserError
from labkit.base.files import megabytes
from labkit.runs import contents, curves, pages, records
from labkit.runs.contents import Environment, Items, Table
from labkit.runs.options import flag

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
COMMANDS = ("lab", "practice")  # that make a run
REFRESH_S = 10
MOST_FILES = 300  # listed; a lab may derive one for each image of its data
# Of what stands in the page: one file may be named, or be there under other names, again and again.
MOST_IN_PAGE = {"plots": 64 << 20, "tables": 4 << 20}


@dataclass(frozen=True)
class Plot:
    """A PNG of the run folder; `source` is "" where it is missing. Width and height are in CSS pixels."""

    name: str
    description: str
    source: str = ""
    width: int = 0
    height: int = 0


def render(folder: Path) -> Path:
    """Write report.html from what the run `folder` holds so far, and return its path."""
    run, room = records.read(folder), _Room(folder)
    files, files_more = _files(folder)
    return pages.write(
        folder / "report.html",
        title=f"{_title(run)} · {folder.name}",
        headline=_title(run),
        headline_zh=("练习：" * run.config.practice + run.config.title_zh) if run.config else "",
        run=run,
        refresh_s=REFRESH_S,
        badges=[(kind, *WORDS.get(kind, (kind, ""))) for kind in (run.status, run.data) if kind],
        facts=[fact for fact in (_started(run), duration(run.seconds), _device(run.env)) if fact],
        results=[_result(run, name, value) for name, value in run.metrics.items()],
        curves=_curves(run, room),
        items=list(_items(folder, room)),
        commands=_commands(run),
        following=_following(run),
        options=[(flag(name), written(value)) for name, value in _options(run).items() if value not in (None, "")],
        environment=_environment(run),
        files=files,
        files_more=files_more,
    )


class _Room:
    """What files of the run folder may still be put into its page."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.left_bytes = folder, dict(MOST_IN_PAGE)

    def has(self, name: str) -> bool:
        """Whether there is such a file, "plots/..." or "tables/...", and room for it, which it takes."""
        path = contents.inside(self.folder, name)
        kind, size_bytes = name.partition("/")[0], path.stat().st_size if path else 0
        if path is None or size_bytes > self.left_bytes[kind]:
            return False
        self.left_bytes[kind] -= size_bytes
        return True


def _title(run: records.RunInfo) -> str:
    title = (run.config and run.config.title) or run.lab
    return f"Practice. {title}" if run.config and run.config.practice else title


def _options(run: records.RunInfo) -> dict[str, Any]:
    return run.config.options if run.config else {}


def _started(run: records.RunInfo) -> str:
    return f"{run.started} UTC" if run.started else ""


def _device(env: Environment) -> str:
    if env.device == "cpu":
        return f"{known(env.cpu)}, {_threads(env)}"
    return env.device_reason or ""


def _threads(env: Environment) -> str:
    return f"{known(env.threads)} thread{'s' * (env.threads != 1)}"


def _lab(run: records.RunInfo) -> labs.Lab | None:
    """What lab.toml says of its lab; None for one that this torch-labs does not have."""
    try:
        return labs.find(run.lab)
    except (UserError, ValueError, OSError):
        return None


def _result(run: records.RunInfo, name: str, value: float) -> tuple[str, str]:
    """What a number is of, as its lab says it, and how it is written: a share that it knows as one in percent.

    "accuracy/adam" is the accuracy of one of several trainings.
    """
    lab, (of, _, which) = _lab(run), name.partition("/")
    known = lab.results.get(of) if lab else None
    percent = known.percent if known else of.endswith("accuracy")
    said = f"{known.of}{', ' * bool(which)}{which}" if known else name.replace("_", " ")
    return said, f"{value:.1%}".replace("%", "\u00a0%") if percent and isfinite(value) else records.number(value)


def _curves(run: records.RunInfo, room: _Room) -> list[dict[str, Any]]:
    """A panel of curves each: title, what the script draws it from, and the image for those who run none."""
    history, axis, shown = contents.history(run.folder), curves.Axis.of(run), []
    for panel, names in records.panels(history).items():
        lines = []
        for number, name in enumerate(names):
            kind = records.split(name)[1]
            lines.append(curves.line(kind, curves.colour_of(kind, number), history[name], axis))
        lines = [line for line in lines if line.steps]
        title = panel.replace("_", " ")
        along = "epoch" if axis.epoch_steps else "step"
        plot = _plot(room, f"plots/curves/{panel}.png", f"{title} against the {along}")
        if lines:
            shown.append({"title": title, "chart": curves.as_json(title, lines), "plot": plot})
    return shown


def _following(run: records.RunInfo) -> dict[str, list[tuple[str, str]]]:
    """What to do after a run that has finished: links and commands, each with what it is for."""
    lab = _lab(run)
    if run.status != "finished" or lab is None:
        return {}
    guide = lab.program.parent / "README.md"
    address = pages.address(os.path.relpath(guide, run.folder))
    label = "Something of your own, with what this lab trained last · 用你自己的数据试试"
    commands = [(label, lab.own)] if lab.own else []
    later = [other for other in labs.table() if other.unit > lab.unit]
    for other in later[:1]:
        label = f"The next unit: {other.title} · 下一单元：{other.title_zh}"
        commands.append((label, f"./inv lab {other.name}"))
    return {"links": [("The guide of this lab", address), ("本实验的说明", address.replace(".md", ".zh-CN.md"))],
            "commands": commands}  # fmt: skip


def _plot(room: _Room, name: str, description: str) -> Plot:
    content = contents.read_bytes(room.folder, name) if room.has(name) else b""
    width, height = contents.png_size(content)
    if not width:
        return Plot(name, description)
    source = "data:image/png;base64," + base64.b64encode(content).decode()
    return Plot(name, description, source, width * 2 // 3, height * 2 // 3)  # drawn at 144 dots per inch, CSS has 96


def _items(folder: Path, room: _Room) -> Iterable[dict[str, Any]]:
    """Figures, tables and notes, in the order in which the lab gave them."""
    for item in (contents.read(folder, "report.json", Items) or Items()).items:
        caption = contents.both_of(item.caption)
        shown = {"kind": item.kind, "caption": caption}
        if item.kind == "note":
            yield shown
        elif item.kind == "figure":
            yield {**shown, "plot": _plot(room, f"plots/{item.name}.png", caption)}
        elif item.kind == "table":
            yield {**shown, **_table(room, f"tables/{item.name}.json")}


def _table(room: _Room, name: str) -> dict[str, Any]:
    """The columns and rows of a table, as pairs of a text and whether its column holds numbers; no columns where there
    is no table."""
    content = (contents.read(room.folder, name, Table) if room.has(name) else None) or Table([], [])
    columns = [_cell(column) for column in content.columns]
    rows = [[_cell(cell) for cell in row] for row in content.rows]
    rows = [(row + [""] * len(columns))[: len(columns)] for row in rows]
    numeric = [all(NUMBER.match(cell) for cell in column) for column in zip(*rows)] or [False] * len(columns)
    return {"name": name, "columns": list(zip(columns, numeric)), "rows": [list(zip(row, numeric)) for row in rows]}


def _cell(content: contents.Cell) -> str:
    """A cell as text, a `Both` where it is one."""
    if isinstance(content, (str, contents.Words)):
        return contents.both_of(content)
    return records.number(contents.countable(content))


def _commands(run: records.RunInfo) -> list[tuple[str, str]]:
    commands = [("Reproduce this run", typed(run.config.command if run.config else ""))]
    if run.status in ("stopped", "killed", "failed"):
        resume = records.resume_command(run.lab, run.folder.name)
        commands.insert(0, ("Continue where it stopped", typed(resume)))
    return [(label, command) for label, command in commands if command]


def typed(command: str) -> str:
    """`command` as it works in a fresh clone, with ./inv, where a run wrote down that it was `invoke`; "" for another.

    It is there to be copied into a terminal, and anybody may have written it: so each word is quoted anew, and nothing
    in it is a second command.
    """
    try:
        program, *words = shlex.split(command)
    except ValueError:
        return ""
    ours = program in ("./inv", "invoke", "inv") and words[:1] and words[0] in COMMANDS and command.isprintable()
    return " ".join(map(shlex.quote, ["./inv", *words])) if ours else ""


def _environment(run: records.RunInfo) -> list[tuple[str, str]]:
    """What the result depends on besides the code, as a table of names and values; empty where nothing is known."""
    env, logging_share = run.env, contents.countable(run.summary.logging_share)
    if env == Environment():
        return []
    shown = {
        "stack": env.stack,
        "Python": env.python,
        "PyTorch": env.torch,
        "device": f"{known(env.device)} ({known(env.device_reason)})",
        "processor": f"{known(env.cpu)}, {_threads(env)} used",
        "processes": env.processes if env.processes != 1 else "",
        "allocator": env.allocator,
        "NVIDIA driver": env.driver,
        "system": env.platform,
        "commit": env.commit,
        "uncommitted changes": "yes" if env.dirty else "",
        "seed": env.seed,
        "data": ", ".join(f"{name} ({used.kind}) {used.when}".strip() for name, used in env.data.items()),
        "logging": f"{logging_share:.2%} of the time" if isfinite(logging_share) else "",
    }
    return [(name, written(value)) for name, value in shown.items() if value not in (None, "")]


def _files(folder: Path) -> tuple[list[tuple[str, str, str]], int]:
    """Name, link and size of the first files in `folder`, and how many more there are; no link to what lies outside."""
    found = sorted(path for path in folder.rglob("*") if os.path.isfile(path) and path.name != "report.html")
    rows = []
    for name in (path.relative_to(folder).as_posix() for path in found[:MOST_FILES]):
        path = contents.inside(folder, name)
        rows.append((name, pages.address(name), megabytes(path.stat().st_size)) if path else (name, "", "elsewhere"))
    return rows, max(0, len(found) - MOST_FILES)


def known(content: Any) -> str:
    """A fact of the environment in a sentence."""
    return "?" if content is None else str(content)


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

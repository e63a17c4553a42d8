"""comparison.html: several runs side by side, on one page that needs nothing else."""

from __future__ import annotations

import math
import os
import string
from html import escape
from pathlib import Path
from typing import Any, Mapping, Sequence

from labkit.base import paths
from labkit.base.errors import UserError
from labkit.base.files import write_text
from labkit.runs import records, report
from labkit.runs.options import flag

AT_MOST = len(string.ascii_uppercase)
# As in labkit/runs/plots.py, without black: these seven stand out on white and on the dark page alike.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8a8a8a")
DASHES = {"train": "5 4", "holdout": "1.5 3"}  # everything else is drawn through
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 460, 260, 52, 26, 12, 34
POINTS = 400  # of a line; more than the page has pixels for
OMITTED = ("packages", "data", "seed")  # parts of env.json that are no single value, or shown as options


def render(folders: Sequence[Path]) -> Path:
    """Write comparison.html into the folder of all runs and return its path. Raises UserError for too many runs."""
    folders = list(dict.fromkeys(folders))
    if len(folders) > AT_MOST:
        raise UserError(f"a comparison takes up to {AT_MOST} runs, and these are {len(folders)}.", "invoke runs")
    compared = {letter: records.read(folder) for letter, folder in zip(string.ascii_uppercase, folders)}
    body = [_header(compared), _results(compared), _curves(compared), *_differences(compared)]
    target = paths.runs_dir() / "comparison.html"
    script = (Path(__file__).with_name("pages") / "comparison.js").read_text(encoding="utf-8")
    write_text(target, report.page(f"{len(compared)} runs compared", "".join(body), script=script))
    return target


def _colour(letter: str) -> str:
    return COLOURS[string.ascii_uppercase.index(letter) % len(COLOURS)]


def _key(letter: str) -> str:
    return f'<span class="key" style="border-color:{_colour(letter)}">{letter}</span>'


def _header(compared: Mapping[str, records.RunInfo]) -> str:
    labs = " · ".join(dict.fromkeys(run.lab for run in compared.values()))
    return (
        f'<header><p class="lab">{escape(labs)}</p><h1>{len(compared)} runs compared</h1>'
        f'<p class="zh" lang="zh-CN">{len(compared)} 次实验的对比</p></header>'
    )


def _results(compared: Mapping[str, records.RunInfo]) -> str:
    """A row for each run; the script sorts it by any column."""
    names = list(dict.fromkeys(name for run in compared.values() for name in run.metrics))
    columns = ["run", "state", "data", "time", *(name.replace("_", " ") for name in names)]
    head = "".join(
        f'<th scope="col"{_number(position >= 3)}><button type="button">{escape(column)}</button></th>'
        for position, column in enumerate(columns)
    )
    rows = []
    for letter, run in compared.items():
        page = os.path.relpath(run.folder / "report.html", paths.runs_dir())
        link = f'{_key(letter)} <a href="{escape(page)}">{escape(run.name)}</a>'
        cells = [_cell(link, run.name), _cell(run.status, run.status), _cell(run.data, run.data)]
        cells.append(_cell(report.duration(run.seconds), run.seconds))
        for name in names:
            value = run.metrics.get(name, math.nan)
            cells.append(_cell("" if math.isnan(value) else records.number(value), value))
        rows.append(f"<tr>{''.join(cells)}</tr>")
    table = f'<table class="sortable"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return report.section("Results", "结果", report.scroller(table, "results"))


def _cell(shown: str, value: str | float) -> str:
    text = value if isinstance(value, str) else "" if math.isnan(value) else repr(float(value))
    return f'<td{_number(not isinstance(value, str))} data-value="{escape(text)}">{shown}</td>'


def _number(is_number: bool) -> str:
    return ' class="number"' if is_number else ""


def _curves(compared: Mapping[str, records.RunInfo]) -> str:
    """One drawing for each panel, with the lines of all runs that logged it."""
    histories = {letter: records.history(run.folder) for letter, run in compared.items()}
    panels = records.panels(name for history in histories.values() for name in history)
    drawn = []
    for panel, names in panels.items():
        names = list(dict.fromkeys(names))
        lines = [
            (letter, records.split(name)[1], *_thinned(*history[name]))
            for letter, history in histories.items()
            for name in names
            if name in history
        ]
        kinds = list(dict.fromkeys(kind for _, kind, _, _ in lines))
        drawn.append(_drawing(panel.replace("_", " "), kinds if len(kinds) > 1 else [], lines))
    keys = "".join(f"<li>{_key(letter)} {escape(run.name)}</li>" for letter, run in compared.items())
    body = f'<ul class="keys">{keys}</ul><div class="drawings">{"".join(drawn)}</div>'
    return report.section("Curves", "曲线", body) if drawn else ""


def _thinned(steps: Sequence[int], values: Sequence[float]) -> tuple[list[float], list[float]]:
    """At most `POINTS` means over neighbours; what is no number is left out."""
    known = [(step, value) for step, value in zip(steps, values) if math.isfinite(value)]
    width = -(-len(known) // POINTS) or 1
    parts = [known[start : start + width] for start in range(0, len(known), width)]
    steps_thinned = [sum(step for step, _ in part) / len(part) for part in parts]
    return steps_thinned, [sum(value for _, value in part) / len(part) for part in parts]


def _drawing(title: str, kinds: Sequence[str], lines: Sequence[Any]) -> str:
    """An SVG of `lines`: (letter of the run, kind of line, steps, values)."""
    every_x = [x for _, _, steps, _ in lines for x in steps]
    every_y = [y for _, _, _, values in lines for y in values]
    if not every_x:
        return ""
    x_ticks, y_ticks = ticks(min(every_x), max(every_x)), ticks(min(every_y), max(every_y))
    low_x, high_x = min(every_x), max(max(every_x), min(every_x) + 1e-9)
    low_y, high_y = min(y_ticks[0], *every_y), max(y_ticks[-1], *every_y)

    def across(x: float) -> float:
        return LEFT + (x - low_x) / (high_x - low_x) * (WIDTH - LEFT - RIGHT)

    def down(y: float) -> float:
        return HEIGHT - BOTTOM - (y - low_y) / ((high_y - low_y) or 1) * (HEIGHT - TOP - BOTTOM)

    parts, ends = [], []
    for y in y_ticks:
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{down(y):.1f}" y2="{down(y):.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{down(y) + 4:.1f}" text-anchor="end">{y:g}</text>')
    for x in x_ticks:
        if low_x <= x <= high_x:
            parts.append(f'<text x="{across(x):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x:g}</text>')
    for letter, kind, steps, values in lines:
        if not steps:
            continue
        points = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in zip(steps, values))
        dash = f' stroke-dasharray="{DASHES[kind]}"' if kinds and kind in DASHES else ""
        parts.append(f'<polyline points="{points}" stroke="{_colour(letter)}"{dash}/>')
        end_x, end_y = across(steps[-1]), down(values[-1])
        parts.append(f'<circle cx="{end_x:.1f}" cy="{end_y:.1f}" r="2.6" fill="{_colour(letter)}"/>')
        ends.append((end_y, end_x, letter))
    lowest = -math.inf
    for end_y, end_x, letter in sorted(ends):
        lowest = max(end_y, lowest + 11)  # names of lines that end together stand below each other
        parts.append(f'<text class="end" x="{end_x + 6:.1f}" y="{lowest + 4:.1f}">{letter}</text>')
    samples = "".join(
        f'<li><svg viewBox="0 0 28 6" width="28" height="6" aria-hidden="true"><line x1="0" x2="28" y1="3" y2="3"'
        f' stroke="currentColor" stroke-width="2" stroke-dasharray="{DASHES.get(kind, "none")}"/></svg>'
        f" {escape(kind)}</li>"
        for kind in kinds
    )
    label = escape(f"{title} against the step, {len({line[0] for line in lines})} runs")
    return (
        f'<figure class="drawing"><h3>{escape(title)}</h3><ul class="keys">{samples}</ul>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg></figure>'
    )


def ticks(low: float, high: float) -> list[float]:
    """Three to seven round numbers that reach from about `low` to about `high`."""
    if high - low < 1e-12 * max(abs(low), abs(high), 1e-300):
        return [low]
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    return [round(k * step, 12) for k in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _differences(compared: Mapping[str, records.RunInfo]) -> list[str]:
    """What was asked for otherwise, and what the machine and its packages had otherwise."""
    configs = {letter: records.load_json(run.folder / "config.json") for letter, run in compared.items()}
    envs = {letter: records.load_json(run.folder / "env.json") for letter, run in compared.items()}
    asked = {
        letter: {"seed": config.get("seed"), **{flag(name): value for name, value in config.get("options", {}).items()}}
        for letter, config in configs.items()
    }
    around = {
        letter: {
            **{name.replace("_", " "): value for name, value in env.items() if name not in OMITTED},
            **{f"data {name}": state.get("kind") for name, state in env.get("data", {}).items()},
        }
        for letter, env in envs.items()
    }
    packages = {letter: env.get("packages", {}) for letter, env in envs.items()}
    return [
        report.section("Options that differ", "不同的参数", _table_of(asked, "options that differ")),
        report.section("Environments that differ", "不同的环境", _table_of(around, "environments that differ")),
        report.section("Packages that differ", "不同的软件包", _table_of(packages, "packages that differ")),
    ]


def _table_of(values: Mapping[str, Mapping[str, Any]], label: str) -> str:
    names = list(dict.fromkeys(name for known in values.values() for name in known))
    rows = []
    for name in names:
        row = [known.get(name) for known in values.values()]
        if any(value != row[0] for value in row):
            cells = "".join(f"<td>{report.value(value) if value not in (None, '') else '–'}</td>" for value in row)
            rows.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    if not rows:
        return '<p>None: the same in all. <span lang="zh-CN">全部相同。</span></p>'
    head = "".join(f'<th scope="col">{_key(letter)}</th>' for letter in values)
    table = f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return report.scroller(table, label)

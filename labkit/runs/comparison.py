"""comparison.html: several runs side by side, on one page that needs nothing else."""

from __future__ import annotations

import math
import os
import string
from pathlib import Path
from typing import Any, Mapping, Sequence

from labkit.base import paths
from labkit.base.errors import UserError
from labkit.runs import contents, pages, records, report
from labkit.runs.contents import Environment, History
from labkit.runs.options import flag

AT_MOST = len(string.ascii_uppercase)
# As in labkit/runs/plots.py, without black: these seven stand out on white and on the dark page alike.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8a8a8a")
DASHES = {"train": "5 4", "holdout": "1.5 3"}  # everything else is drawn through
FRAME = {"width": 460, "height": 260, "left": 52, "right": 434, "top": 12, "bottom": 226}  # of a drawing, in its units
NAMES_APART = 11  # between the names of lines that end together, in the same units
FACTS = [name for name in Environment.__struct_fields__ if name not in ("format", "seed", "data", "packages")]
POINTS = 400  # of a line; more than the page has pixels for


def render(folders: Sequence[Path]) -> Path:
    """Write comparison.html into the folder of all runs and return its path. Raises UserError for too many runs."""
    folders = list(dict.fromkeys(folders))
    if len(folders) > AT_MOST:
        raise UserError(f"a comparison takes up to {AT_MOST} runs, and these are {len(folders)}", "./inv runs")
    runs = {letter: records.read(folder) for letter, folder in zip(string.ascii_uppercase, folders)}
    metrics = list(dict.fromkeys(name for run in runs.values() for name in run.metrics))
    return pages.write(
        paths.runs_dir() / "comparison.html",
        title=f"{len(runs)} runs compared",
        labs=" · ".join(dict.fromkeys(run.lab for run in runs.values())),
        runs=runs,
        colours={letter: COLOURS[place % len(COLOURS)] for place, letter in enumerate(runs)},
        links={letter: _link(run.folder) for letter, run in runs.items()},
        columns=_columns(metrics),
        results={letter: _results(run, metrics) for letter, run in runs.items()},
        frame=FRAME,
        panels=_panels({letter: contents.history(run.folder) for letter, run in runs.items()}),
        options=_differing([_asked(run) for run in runs.values()]),
        environments=_differing([_around(run) for run in runs.values()]),
        packages=_differing([run.env.packages for run in runs.values()]),
    )


def _link(folder: Path) -> str:
    """From the comparison to the run's report; "" where it has none."""
    there = contents.inside(folder, "report.html")
    return pages.address(os.path.relpath(folder / "report.html", paths.runs_dir())) if there else ""


def _columns(metrics: Sequence[str]) -> list[tuple[str, bool]]:
    """The heads of the table of results, and whether numbers stand below; the script sorts by any."""
    texts, numbers = ["run", "state", "data"], ["time", *(name.replace("_", " ") for name in metrics)]
    return [(text, False) for text in texts] + [(text, True) for text in numbers]


def _results(run: records.RunInfo, metrics: Sequence[str]) -> list[tuple[str, str, bool]]:
    """The cells of `run` after the first: what is shown, what the script sorts by, and whether that is a number."""
    cells = [(run.status, run.status, False), (run.data, run.data, False)]
    cells.append((report.duration(run.seconds), repr(float(run.seconds)), True))
    for value in (run.metrics.get(name, math.nan) for name in metrics):
        cells.append(("", "", True) if math.isnan(value) else (records.number(value), repr(float(value)), True))
    return cells


def _panels(histories: Mapping[str, History]) -> list[dict[str, Any]]:
    """One drawing for each panel, with the lines of all runs that logged it."""
    drawn = []
    for panel, names in records.panels(name for history in histories.values() for name in history).items():
        lines = [
            (letter, records.split(name)[1], *_thinned(*history[name]))
            for letter, history in histories.items()
            for name in dict.fromkeys(names)
            if name in history
        ]
        lines = [line for line in lines if line[2]]
        if lines:
            drawn.append(_drawing(panel.replace("_", " "), lines))
    return drawn


def _thinned(steps: Sequence[float], values: Sequence[float]) -> tuple[list[float], list[float]]:
    """At most `POINTS` means over neighbours; what is no number is left out."""
    known = [(step, value) for step, value in zip(steps, values) if math.isfinite(value)]
    width = -(-len(known) // POINTS) or 1
    parts = [known[start : start + width] for start in range(0, len(known), width)]
    steps_thinned = [sum(step for step, _ in part) / len(part) for part in parts]
    return steps_thinned, [sum(value for _, value in part) / len(part) for part in parts]


def _drawing(title: str, lines: Sequence[tuple[str, str, list[float], list[float]]]) -> dict[str, Any]:
    """Where what stands in the drawing of `lines`: (letter of the run, kind of line, steps, values), none empty."""
    every_x = [x for _, _, steps, _ in lines for x in steps]
    every_y = [y for _, _, _, values in lines for y in values]
    x_ticks, y_ticks = ticks(min(every_x), max(every_x)), ticks(min(every_y), max(every_y))
    low_x, high_x = min(every_x), max(every_x)
    low_y, high_y = min(y_ticks[0], *every_y), max(y_ticks[-1], *every_y)

    def across(x: float) -> float:
        return FRAME["left"] + (x - low_x) / ((high_x - low_x) or 1) * (FRAME["right"] - FRAME["left"])

    def down(y: float) -> float:
        return FRAME["bottom"] - (y - low_y) / ((high_y - low_y) or 1) * (FRAME["bottom"] - FRAME["top"])

    kinds = list(dict.fromkeys(kind for _, kind, _, _ in lines))
    kinds = kinds if len(kinds) > 1 else []
    drawn = [
        {
            "letter": letter,
            "points": " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in zip(steps, values)),
            "dash": DASHES.get(kind, "none") if kinds else "none",
            "end_x": f"{across(steps[-1]):.1f}",
            "end_y": f"{down(values[-1]):.1f}",
        }
        for letter, kind, steps, values in lines
    ]
    names, lowest = [], -math.inf
    for y, x, letter in sorted((down(values[-1]), across(steps[-1]), letter) for letter, _, steps, values in lines):
        lowest = max(y, lowest + NAMES_APART)
        names.append((letter, f"{x:.1f}", f"{lowest:.1f}"))
    return {
        "title": title,
        "runs": len({letter for letter, _, _, _ in lines}),
        "kinds": [(kind, DASHES.get(kind, "none")) for kind in kinds],
        "x_ticks": [(f"{across(x):.1f}", f"{x:g}") for x in x_ticks if low_x <= x <= high_x],
        "y_ticks": [(f"{down(y):.1f}", f"{y:g}") for y in y_ticks],
        "lines": drawn,
        "names": names,
    }


def ticks(low: float, high: float) -> list[float]:
    """Three to seven round numbers that reach from about `low` to about `high`."""
    if high - low < 1e-12 * max(abs(low), abs(high), 1e-300):
        return [low]
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    return [round(k * step, 12) for k in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _asked(run: records.RunInfo) -> dict[str, Any]:
    if not run.config:
        return {}
    return {"seed": run.config.seed, **{flag(name): value for name, value in run.config.options.items()}}


def _around(run: records.RunInfo) -> dict[str, Any]:
    facts = {name.replace("_", " "): getattr(run.env, name) for name in FACTS}
    return {**facts, **{f"data {name}": used.kind for name, used in run.env.data.items()}}


def _differing(runs: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """The names under which not all `runs` have the same value, each with all values; "–" for none."""
    rows = []
    for name in dict.fromkeys(name for run in runs for name in run):
        values = [run.get(name) for run in runs]
        if any(value != values[0] for value in values):
            rows.append((name, ["–" if value in (None, "") else report.written(value) for value in values]))
    return rows

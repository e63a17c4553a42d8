"""comparison.html: several runs side by side, on one page that needs nothing else."""

from __future__ import annotations

import dataclasses
import math
import os
import string
from pathlib import Path
from typing import Any, Mapping, Sequence

from labkit.base import paths
from labkit.base.errors import UserError
from labkit.runs import contents, curves, pages, records, report
from labkit.runs.contents import Environment
from labkit.runs.options import flag

AT_MOST = len(string.ascii_uppercase)
DASHES = {"train": "5 4", "holdout": "1.5 3"}  # everything else is drawn through
FRAME = {"width": 460, "height": 266, "left": 52, "right": 434, "top": 12, "bottom": 226}  # of a drawing, in its units
NAMES_APART = 11  # between the names of lines that end together, in the same units
FACTS = [name for name in Environment.__struct_fields__ if name not in ("format", "seed", "data", "packages")]


def render(folders: Sequence[Path]) -> Path:
    """Write comparison.html into the folder of all runs and return its path. Raises UserError for too many runs."""
    folders = list(dict.fromkeys(folders))
    if len(folders) > AT_MOST:
        raise UserError(f"a comparison takes up to {AT_MOST} runs, and these are {len(folders)}", "./inv runs")
    runs = {letter: records.read(folder) for letter, folder in zip(string.ascii_uppercase, folders)}
    labs = list(dict.fromkeys(run.lab for run in runs.values()))
    metrics = list(dict.fromkeys((run.lab, name) for run in runs.values() for name in run.metrics))
    return pages.write(
        paths.runs_dir() / "comparison.html",
        title=f"{len(runs)} runs compared",
        labs=" · ".join(labs),
        runs=runs,
        colours={letter: curves.COLOURS[place % len(curves.COLOURS)] for place, letter in enumerate(runs)},
        links={letter: _link(run.folder) for letter, run in runs.items()},
        columns=_columns(metrics, len(labs) > 1),
        results={letter: _results(run, metrics) for letter, run in runs.items()},
        frame=FRAME,
        panels={lab: _panels({letter: run for letter, run in runs.items() if run.lab == lab}) for lab in labs},
        options=_differing([_asked(run) for run in runs.values()]),
        environments=_differing([_around(run) for run in runs.values()]),
        packages=_differing([run.env.packages for run in runs.values()]),
    )


def _link(folder: Path) -> str:
    """From the comparison to the run's report; "" where it has none."""
    there = contents.inside(folder, "report.html")
    return pages.address(os.path.relpath(folder / "report.html", paths.runs_dir())) if there else ""


def _columns(metrics: Sequence[tuple[str, str]], of_several_labs: bool) -> list[tuple[str, bool]]:
    """The heads of the table of results, and whether numbers stand below; the script sorts by any."""
    names = [f"{lab}: {name}" if of_several_labs else name for lab, name in metrics]
    texts, numbers = ["run", "state", "data"], ["time", *(name.replace("_", " ") for name in names)]
    return [(text, False) for text in texts] + [(text, True) for text in numbers]


def _results(run: records.RunInfo, metrics: Sequence[tuple[str, str]]) -> list[tuple[str, str, bool]]:
    """The cells of `run` after the first: what is shown, what the script sorts by, and whether that is a number."""
    cells = [(run.status, run.status, False), (run.data, run.data, False)]
    cells.append((report.duration(run.seconds), repr(float(run.seconds)), True))
    for value in (run.metrics.get(name, math.nan) if lab == run.lab else math.nan for lab, name in metrics):
        cells.append(("", "", True) if math.isnan(value) else (records.number(value), repr(float(value)), True))
    return cells


def _panels(runs: Mapping[str, records.RunInfo]) -> list[dict[str, Any]]:
    """One drawing for each panel, with the lines of all `runs`, of one lab, that logged it."""
    histories = {letter: contents.history(run.folder) for letter, run in runs.items()}
    axes = {letter: curves.Axis.of(run) for letter, run in runs.items()}
    if not all(axis.epoch_steps for axis in axes.values()):  # then steps are what they have in common
        axes = {letter: dataclasses.replace(axis, epoch_steps=0) for letter, axis in axes.items()}
    colours = {letter: curves.COLOURS[ord(letter) % 65 % len(curves.COLOURS)] for letter in runs}
    drawn = []
    for panel, names in records.panels(name for history in histories.values() for name in history).items():
        names = list(dict.fromkeys(names))
        kinds = list(dict.fromkeys(records.split(name)[1] for name in names))
        lines = []
        for letter, history in histories.items():
            for name in (name for name in names if name in history):
                kind = records.split(name)[1]
                dash = DASHES.get(kind, "none") if len(kinds) > 1 else "none"
                shown = f"{letter} {kind}" if len(kinds) > 1 else letter
                lines.append((letter, kind, curves.line(shown, colours[letter], history[name], axes[letter], dash)))
        lines = [line for line in lines if line[2].steps]
        if lines:
            drawn.append(_drawing(panel.replace("_", " "), lines))
    return drawn


def _drawing(title: str, drawn: Sequence[tuple[str, str, curves.Line]]) -> dict[str, Any]:
    """Where what stands in the drawing of these: (letter of the run, kind of line, line), none empty."""
    lines = [(letter, kind, line.x, line.values) for letter, kind, line in drawn]
    every_x = [x for _, _, xs, _ in lines for x in xs]
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
    polylines = [
        {
            "letter": letter,
            "points": " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in zip(line.x, line.values)),
            "dash": line.dash,
            "end_x": f"{across(line.x[-1]):.1f}",
            "end_y": f"{down(line.values[-1]):.1f}",
        }
        for letter, _, line in drawn
    ]
    names, lowest = [], -math.inf
    for y, x, letter in sorted((down(values[-1]), across(xs[-1]), letter) for letter, _, xs, values in lines):
        lowest = max(y, lowest + NAMES_APART)
        names.append((letter, f"{x:.1f}", f"{lowest:.1f}"))
    return {
        "title": title,
        "along": "epoch" if drawn[0][2].epochs else "step",
        "chart": curves.as_json(title, [line for _, _, line in drawn]),
        "runs": len({letter for letter, _, _, _ in lines}),
        "kinds": [(kind, DASHES.get(kind, "none")) for kind in kinds],
        "x_ticks": [(f"{across(x):.1f}", f"{x:g}") for x in x_ticks if low_x <= x <= high_x],
        "y_ticks": [(f"{down(y):.1f}", f"{y:g}") for y in y_ticks],
        "lines": polylines,
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

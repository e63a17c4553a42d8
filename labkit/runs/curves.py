"""What the pages draw curves from: few points a line, each with its step, and its epoch and minute where known.

Anybody may have written what is in a run folder; what is drawn are finite numbers in the order of their steps.
"""

from __future__ import annotations

import bisect
import json
from dataclasses import dataclass
from math import isfinite
from typing import Any, Sequence

from labkit.runs import contents, records

POINTS = 400  # of a line; more than a page has pixels for
# As in labkit/runs/plots.py, without black: these seven stand out on white and on the dark page alike.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8a8a8a")
OF_LINES = dict(zip(records.LINES, COLOURS))


@dataclass(frozen=True)
class Axis:
    """How far a run was at a step: in epochs, 0 steps where it has none, and in minutes, by its clock."""

    epoch_steps: int = 0
    clock: tuple[Sequence[int], Sequence[float]] = ((), ())  # steps in ascending order, seconds

    @classmethod
    def of(cls, run: records.RunInfo) -> Axis:
        steps_read, seconds_read = contents.history(run.folder, "timings.jsonl").get("seconds", ([], []))
        read = dict(zip(steps_read, seconds_read))  # a step that was done again after a stop counts then
        known = sorted((step, seconds) for step, seconds in read.items() if isfinite(seconds))
        steps, clock = [step for step, _ in known], [seconds for _, seconds in known]
        rises = all(before <= after for before, after in zip(clock, clock[1:]))
        return cls(max(0, run.summary.epoch_steps), (steps, clock) if rises else ((), ()))

    def epochs(self, step: float) -> float:
        return step / self.epoch_steps

    def minutes(self, step: float) -> float:
        """By the clock, in a straight line between the steps at which it was read."""
        steps, clock = self.clock
        after = min(max(bisect.bisect_left(steps, step), 1), len(steps) - 1)
        (x0, x1), (y0, y1) = steps[after - 1 : after + 1], clock[after - 1 : after + 1]
        return (y0 + (y1 - y0) * (step - x0) / (x1 - x0)) / 60


@dataclass(frozen=True)
class Line:
    """Its points have the same places in all lists; `epochs` and `minutes` are empty where they are not known."""

    name: str
    colour: str
    steps: list[float]
    values: list[float]
    epochs: list[float]
    minutes: list[float]
    dash: str = "none"

    @property
    def x(self) -> list[float]:
        return self.epochs or self.steps


def line(name: str, colour: str, logged: tuple[Sequence[int], Sequence[float]], axis: Axis, dash: str = "none") -> Line:
    steps, values = thinned(*logged)
    epochs = [axis.epochs(step) for step in steps] if axis.epoch_steps else []
    minutes = [axis.minutes(step) for step in steps] if len(axis.clock[0]) > 1 else []
    return Line(name, colour, steps, values, epochs, minutes, dash)


def thinned(steps: Sequence[float], values: Sequence[float]) -> tuple[list[float], list[float]]:
    """At most `POINTS` means over neighbours, in the order of steps; what is no number is left out."""
    known = sorted((step, value) for step, value in dict(zip(steps, values)).items() if isfinite(value))
    width = -(-len(known) // POINTS) or 1
    parts = [known[start : start + width] for start in range(0, len(known), width)]
    steps_thinned = [sum(step for step, _ in part) / len(part) for part in parts]
    return steps_thinned, [sum(value for _, value in part) / len(part) for part in parts]


def colour_of(name: str, number: int) -> str:
    """The same for a kind of line in every panel, as in labkit/runs/plots.py."""
    return OF_LINES.get(name, COLOURS[number % len(COLOURS)])


def as_json(title: str, lines: Sequence[Line]) -> str:
    """What pages/curves.js draws the panel `title` from."""
    drawn: list[dict[str, Any]] = []
    for one in lines:
        points = {"step": one.steps, "epoch": one.epochs, "minutes": one.minutes, "values": one.values}
        short = {key: [float(f"{value:.6g}") for value in numbers] for key, numbers in points.items() if numbers}
        dash = [float(part) for part in one.dash.split()] if one.dash != "none" else []
        drawn.append({"name": one.name, "colour": one.colour, "dash": dash, **short})
    return json.dumps({"title": title, "lines": drawn}, separators=(",", ":"))

"""The points that pages draw: in the order of their steps, few enough, by step, epoch and minute."""

from __future__ import annotations

import json
import math

import pytest

from labkit.runs import contents, curves, records


def test_points_are_in_the_order_of_their_steps_once_each_and_finite():
    steps, values = curves.thinned([3, 1, 2, 1, 4], [30.0, 10.0, math.nan, 11.0, math.inf])
    assert (steps, values) == ([1, 3], [11.0, 30.0])  # what was logged last for a step counts


@pytest.mark.parametrize(
    ("count", "left"), [(0, 0), (curves.POINTS, curves.POINTS), (curves.POINTS + 1, 201), (2 * curves.POINTS, curves.POINTS)]
)
def test_many_points_become_means_over_neighbours(count, left):
    steps, values = curves.thinned(range(count), [2.0 * step for step in range(count)])
    assert len(steps) == left and values == [2 * step for step in steps]
    assert count < 2 * curves.POINTS or steps[:2] == [0.5, 2.5]


def run(folder, epoch_steps=0, seconds=()):
    folder.mkdir()
    (folder / "summary.json").write_text(json.dumps({"status": "finished", "epoch_steps": epoch_steps}))
    (folder / "timings.jsonl").write_text("".join(contents.line(step, {"seconds": value}) for step, value in seconds))
    return curves.Axis.of(records.read(folder))


def test_epochs_and_minutes_belong_to_steps(tmp_path):
    axis = run(tmp_path / "a", epoch_steps=4, seconds=[(2, 60.0), (4, 180.0), (8, 180.0)])
    line = curves.line("loss", "#000", ([0, 2, 3, 6, 10], [1.0] * 5), axis)
    assert line.epochs == [0, 0.5, 0.75, 1.5, 2.5] == line.x
    assert line.minutes == [-1, 1, 2, 3, 3]  # in a straight line, beyond the ends too
    without = curves.line("loss", "#000", ([0, 2], [1.0, 2.0]), run(tmp_path / "b"))
    assert (without.epochs, without.minutes, without.x) == ([], [], [0, 2])


def test_a_step_that_was_done_again_counts_by_its_last_clock_and_one_that_goes_back_is_none(tmp_path):
    resumed = run(tmp_path / "a", seconds=[(1, 10.0), (2, 20.0), (3, 30.0), (2, 90.0), (3, 100.0)])
    assert resumed.clock == ([1, 2, 3], [10.0, 90.0, 100.0])
    assert run(tmp_path / "b", seconds=[(1, 10.0), (2, 5.0)]).clock == ((), ())
    assert run(tmp_path / "c", seconds=[(1, 10.0), (2, 10.0)]).clock == ([1, 2], [10.0, 10.0])
    one = curves.line("loss", "#000", ([1], [1.0]), run(tmp_path / "d", seconds=[(1, 10.0)]))
    assert one.minutes == []  # one reading makes no clock


def test_a_kind_of_line_has_its_colour_in_every_panel_and_others_have_them_in_turn():
    assert curves.colour_of("train", 5) == curves.COLOURS[0] and curves.colour_of("test", 0) == curves.COLOURS[1]
    others = [curves.colour_of("depth", number) for number in range(9)]
    assert others[:7] == list(curves.COLOURS) and others[7:] == list(curves.COLOURS[:2])


def test_the_script_gets_what_there_is_and_no_more():
    axis = curves.Axis()
    told = json.loads(curves.as_json("loss", [curves.line("A", "#000", ([1, 2], [1 / 3, 2.0]), axis, "5 4"), curves.line("B", "#fff", ([1], [1.0]), axis)]))
    assert told["title"] == "loss"
    assert told["lines"][0] == {"name": "A", "colour": "#000", "dash": [5.0, 4.0], "step": [1.0, 2.0], "values": [0.333333, 2.0]}
    assert told["lines"][1]["dash"] == []

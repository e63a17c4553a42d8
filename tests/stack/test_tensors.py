"""The lab tensors: every step holds and could fail, every row of then and now is true here, and the run says so."""

from __future__ import annotations

import json
import time
import warnings

import numpy as np
import pytest
import torch
from labruns import newest, run_here, summary

from labkit.base.language import both
from labkit.runs import steps
from labkit.runs import then_and_now as versions
from labkit.runs.practice.checker import Checker, value_of
from labkit.runs.practice.sheet import FillIn, Predict, parse
from labs.tensors import figures, lab, practice, then_and_now
from labs.tensors.steps_basics import SETUP

STEPS = [step for group in lab.GROUPS for step in group.steps]
NAMES = [step.name for step in STEPS]


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def altered(result):
    """Something else of the same kind: what a wrong operation might give."""
    if isinstance(result, Exception):
        return 0.0
    if isinstance(result, (list, tuple)):
        return [*result[:-1], altered(result[-1])]
    if isinstance(result, (bool, np.bool_)):
        return not result
    if isinstance(result, torch.Tensor):
        if result.dtype == torch.bool:
            return ~result
        return torch.where(torch.isfinite(result), result + 1, torch.zeros_like(result))
    if isinstance(result, (np.ndarray, int, float, complex)):
        return result + 1
    return str(result) + "x"


def test_every_section_of_the_notes_is_there():
    named = {int(section) for group in lab.GROUPS for section in group.sections.split(", ")}
    assert named == set(range(6, 32)) - {8, 11, 12}  # the notes have no such sections
    assert len(NAMES) == len(set(NAMES)) >= 120
    assert all(isinstance(one.name, str) and " " not in one.name and one.text.en and one.text.zh for one in STEPS)


@pytest.mark.parametrize("step", STEPS, ids=NAMES)
def test_a_step_holds_and_another_result_would_not(step):
    result, expected = steps.run_step(step, SETUP)
    assert steps.same(result, expected), (steps.shown(result), steps.shown(expected))
    assert not steps.same(altered(result), expected)
    if isinstance(result, torch.Tensor) and result.numel():
        assert not steps.same(result[None], expected), "another shape would do"
    assert not steps.same(RuntimeError("x"), expected) or isinstance(result, Exception)


@pytest.mark.parametrize("row", versions.kept(then_and_now.FILE), ids=lambda row: row["call"])
def test_a_row_of_then_and_now_is_true_here(row):
    here = torch.__version__.partition("+")[0]
    assert set(row) == {"call", *then_and_now.VERSIONS} and row["1.5.0"] != row["2.11.0"]
    if here in row:
        assert versions.given(row["call"], SETUP) == row[here]


def test_the_kept_rows_are_the_calls():
    assert [row["call"] for row in versions.kept(then_and_now.FILE)] == list(then_and_now.CALLS)
    assert len(then_and_now.CALLS) >= 60


def test_the_run_shows_all_and_counts_what_held(tmp_path):
    status, said = run_here(lab, ["--smoke"], tmp_path, tmp_path / "runs")
    assert status == 0, said
    folder = newest(lab, tmp_path / "runs")
    assert summary(folder)["metrics"]["steps"] == len(STEPS)
    tables = [json.loads(path.read_text()) for path in sorted((folder / "tables").glob("group-*.json"))]
    assert [row[0]["zh"] for table in tables for row in table["rows"]] == [
        f"`# {step.text.zh}\n{step.code}`" for step in STEPS
    ]
    assert {path.stem for path in (folder / "plots").glob("*.png")} >= set(figures.FIGURES)


def test_a_step_that_does_not_hold_makes_the_run_fail_with_its_name(tmp_path, monkeypatch):
    broken = steps.step("round-up", both("x", "x"), "torch.tensor([0.5]).round()", "[1.0]")
    monkeypatch.setattr(lab, "GROUPS", (steps.Group("14", both("Rounding", "取整"), (STEPS[0], broken)),))
    status, said = run_here(lab, [], tmp_path, tmp_path / "runs")
    assert status == 1 and "the step round-up does not hold: it gives tensor([0.]), and [1.0] is [1.0]" in said


def test_groups_are_chosen_by_section(tmp_path):
    assert {group.sections for group in lab.chosen("22, 25")} == {"22, 23", "25"}
    status, said = run_here(lab, ["--groups", "99"], tmp_path, tmp_path / "runs")
    assert status == 2 and "there is no group 99; there are 6, 7, 9" in said


def test_lda_parts_what_pca_mixes():
    x, labels = figures.two_classes()

    def parted(direction):
        one, other = (x[labels == kind] @ direction for kind in (0, 1))
        return float((one.mean() - other.mean()).abs() / (one.std() + other.std()))

    assert parted(figures.lda_direction(x, labels)) > 2 > 1 > parted(figures.pca_direction(x))


def test_the_sheet_is_long_enough_and_quick():
    kinds = [type(exercise) for exercise in practice.SHEET]
    assert kinds.count(Predict) >= 25 and kinds.count(FillIn) >= 15
    parts = [practice.SETUP]
    for exercise in practice.SHEET:
        if isinstance(exercise, FillIn):
            parts.append(exercise.start + "\n" + "\n".join(f"    {line}" for line in exercise.solution.splitlines()))
        else:
            parts.append(f"{exercise.name} = {value_of(exercise.code, practice.SETUP)[0]!r}")
    began = time.monotonic()
    found = Checker(practice.SETUP, practice.SHEET).check(parse("\n\n".join(parts).encode()))
    print(f"checked in {time.monotonic() - began:.2f} s")
    assert {verdict.state for verdict in found.values()} == {"right"}, found

"""The lab autograd: its engine beside PyTorch, its claims, and that a claim which fails is noticed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from labkit.base.language import both
from labkit.base.paths import ROOT
from labs.autograd import beside, engine, errors, estimators, functions, graphs, slopes
from labs.autograd.checks import Checks
from labs.autograd.engine import Array


def test_the_engine_is_pytorchs_equal_on_200_random_graphs():
    random = np.random.RandomState(7)
    found = [graphs.compare(graphs.draw(random)) for _ in range(200)]
    assert max(each.value for each in found) <= 1e-12
    assert max(max(each.gradient, each.twice, each.shared) for each in found) <= 1e-10
    used = {step for each in found for step in each.steps}
    assert {"add", "multiply", "divide", "matmul", "sum", "max", "rows by number", "slice", "reshape"} <= used


@pytest.mark.parametrize("name, broken", [
    ("unbroadcast", lambda gradient, shape: np.broadcast_to(gradient.sum(), shape)),
    ("in_order", lambda last: list({id(each): each for each in [*(s for s, _ in last.inputs), last]}.values())),
])  # fmt: skip
def test_the_comparison_notices_a_broken_engine(name, broken, monkeypatch):
    monkeypatch.setattr(engine, name, broken)
    random = np.random.RandomState(7)
    apart = []
    for _ in range(20):
        program = graphs.draw(random)
        try:
            apart.append(graphs.compare(program).gradient)
        except (KeyError, ValueError):  # a gradient that cannot be added, or that never arrived
            apart.append(np.inf)
    assert max(apart) > 1e-3


def test_the_engine_is_short():
    assert len((ROOT / "labs" / "autograd" / "engine.py").read_text(encoding="utf-8").splitlines()) <= 150


def test_gradients_left_in_inner_nodes_are_passed_on_again():
    ours, theirs = (Array([1.0, 2.0], requires_grad=True) for _ in range(2))
    for leaf, backward in ((ours, Array.backward), (theirs, beside.backward_that_leaves_gradients)):
        last = (leaf * 3).sum()
        backward(last)
        backward(last)
    assert ours.grad.tolist() == [6, 6] and theirs.grad.tolist() == [9, 9]


@pytest.mark.parametrize("start, gradient, sentence", [
    (lambda: Array([1.0, 2.0], requires_grad=True) * 2, None, "only for a scalar"),
    (lambda: Array([1.0, 2.0], requires_grad=True) * 2, [1.0], "a gradient of shape (1,) for an array of shape (2,)"),
    (lambda: Array(1.0) * 2, None, "requires a gradient"),
])  # fmt: skip
def test_the_engine_refuses_what_has_no_gradient(start, gradient, sentence):
    with pytest.raises(RuntimeError) as said:
        start().backward(gradient)
    assert sentence in str(said.value)


def test_a_gradient_is_kept_where_it_is_asked_for():
    x = Array([1.0, 2.0], requires_grad=True)
    y, z = x * 2, x * 3
    y.retain_grad()
    (y + z).sum().backward()
    assert y.grad.tolist() == [1, 1] and z.grad is None and x.grad.tolist() == [5, 5]


def test_the_secants_make_a_v():
    for error in slopes.secant_errors().values():
        best = int(error.argmin())
        assert 0 < best < 12 and error[0] > 100 * error[best] and error[12] > 100 * error[best]


@pytest.mark.parametrize("error", errors.ERRORS, ids=lambda error: error.code)
def test_each_error_is_provoked_and_cured(error):
    assert errors.said_by(error.provoke) and not errors.said_by(error.cure)
    known = {"1.5.0": error.then, "2.11.0": error.now}.get(torch.__version__.partition("+")[0])
    assert known is None or errors.said_by(error.provoke).startswith(known)


def test_gradcheck_finds_the_forgotten_factor():
    x = torch.tensor([-2.0, 0.3], dtype=torch.float64)
    assert functions.passes(functions.Exp.apply, x) and not functions.passes(functions.WrongSquare.apply, x)


def test_a_layer_frozen_in_the_middle_moves_where_gradients_are_zeros():
    make = functions.OPTIMIZERS["SGD, momentum 0.9"]
    assert functions.moved(make, 10, "zeros") > 0.05
    assert functions.moved(make, 10, "none") == functions.moved(make, 0, "zeros") == 0


def test_both_estimators_are_right_and_one_scatters():
    torch.manual_seed(0)
    pathwise, score = (estimators.estimates(estimators.square, way, 40_000) for way in ("pathwise", "score"))
    assert abs(pathwise.mean() - 3) < 0.1 and abs(score.mean() - 3) < 0.2
    assert 0.8 < score.var() / pathwise.var() / (51.5625 / 4) < 1.2


class Shown:
    """A run that keeps the rows of its tables."""

    def table(self, name, columns, rows, caption):
        self.rows = rows


def test_a_claim_that_fails_makes_the_run_fail_after_the_table_was_made():
    checks, run = Checks(), Shown()
    checks.hold("32", both("One is one.", "一等于一。"), np.bool_(True))
    checks.hold("33", both("One is two.", "一等于二。"), torch.tensor(False))
    with pytest.raises(AssertionError, match=r"did not hold: One is two\."):
        checks.report(run)
    assert [str(row[2].en) for row in run.rows] == ["held", "did NOT hold"]


def test_the_lab_runs_and_every_claim_holds(tmp_path):
    places = {"PYTHONPATH": str(ROOT), "LAB_RUNS": str(tmp_path), "LAB_VISDOM_PORT": "1"}
    command = [sys.executable, str(ROOT / "labs" / "autograd" / "lab.py"), "--smoke", "--seed", "3"]
    done = subprocess.run(command, env={**os.environ, **places}, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0 and "Warning" not in done.stderr, done.stderr
    (folder,) = (tmp_path / "autograd").iterdir()
    shown = json.loads((folder / "tables" / "checks.json").read_text())["rows"]
    assert json.loads((folder / "summary.json").read_text())["metrics"]["checks"] == len(shown) == 61
    assert {path.stem for path in (folder / "plots").glob("*.png")} == {
        "secant",
        "directions",
        "descent",
        "graph",
        "estimators",
    }

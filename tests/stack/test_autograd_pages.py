"""The pictures and tables of the lab autograd: what is drawn is what was computed, under its name."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from labruns import Desk

from labs.autograd import beside, chain, descents, estimators, slopes
from labs.autograd.checks import Checks


def drawn(section, *more):
    """The run and the claims after one section, all of which held."""
    desk, checks = Desk(seed=1), Checks()
    section(desk, checks, *more)
    assert checks.rows and all(held for _, _, held in checks.rows)
    return desk


def test_errors_of_secants_are_drawn_from_wide_to_narrow():
    desk = drawn(slopes.secants)
    (axis,) = desk.figures["secant"].axes
    for line, (name, left, dtype) in zip(axis.lines, (("one-sided, float64", 0, np.float64), ("one-sided, float32", 0, np.float32),
                                                      ("two-sided, float64", 1, np.float64))):  # fmt: skip
        h = (10.0 ** -np.arange(13)).astype(dtype)
        slope = (np.sin(dtype(1) + h) - np.sin(dtype(1) - left * h)) / ((1 + left) * h)
        assert line.get_label() == name
        assert np.allclose(line.get_ydata(), np.maximum(np.abs(slope.astype(float) - math.cos(1)), 1e-17))
    assert axis.xaxis_inverted() and not axis.yaxis_inverted() and [row[0] for row in desk.tables["secants"]][:2] == ["1e+00", "1e-01"]


def test_the_arrow_is_half_the_gradient_and_the_line_the_slope_in_each_direction():
    desk = drawn(slopes.directions)
    left, right = desk.figures["directions"].axes
    x, y = slopes.POINT
    gradient = np.array([2 * math.cos(2 * x) + y, x + y])
    angle = np.arange(360) * math.pi / 180
    assert np.allclose(left.lines[0].get_ydata(), gradient[0] * np.cos(angle) + gradient[1] * np.sin(angle), atol=1e-8)
    assert left.lines[1].get_xdata()[0] == pytest.approx(math.degrees(math.atan2(gradient[1], gradient[0])) % 360)
    assert left.lines[2].get_ydata()[0] == pytest.approx(np.linalg.norm(gradient))
    (arrow,) = right.texts
    assert arrow.xyann == slopes.POINT and np.allclose(arrow.xy, np.array(slopes.POINT) + gradient / 2)


def test_the_ways_down_are_those_of_gradient_descent():
    desk = drawn(descents.descents)
    left, right = desk.figures["descent"].axes
    inputs, targets = (part.numpy() for part in descents.data(1))
    best = np.linalg.lstsq(inputs, targets, rcond=None)[0]
    limit = 2 / np.linalg.eigvalsh(2 / 40 * inputs.T @ inputs)[-1]
    for path, far, row, (name, share) in zip(left.lines, right.lines, desk.tables["descents"], (
            ("a tenth of the limit", 0.1), ("half of the limit", 0.5), ("0.97 of the limit", 0.97), ("1.02 of the limit", 1.02))):  # fmt: skip
        w, way = np.array(descents.START), [np.array(descents.START)]
        for _ in range(descents.STEPS):
            w = w - share * limit * 2 / 40 * inputs.T @ (inputs @ w - targets)
            way.append(w)
        assert np.allclose(path.get_xydata(), way[:20]) and far.get_label() == name
        assert np.allclose(far.get_ydata(), np.linalg.norm(np.array(way) - best, axis=1) + 1e-17)
        assert row[:2] == [name, f"{share * limit:.3f}"]
        assert float(row[2]) == pytest.approx(np.linalg.norm(way[-1] - best), rel=0.05, abs=1e-14)
    assert np.allclose(left.lines[-1].get_xydata(), best[None]) and not right.yaxis_inverted()


def test_arrows_go_from_each_result_to_what_it_was_made_of():
    desk = drawn(chain.graph)
    (axis,) = desk.figures["graph"].axes
    texts = {text.get_text().split("\n")[0]: text for text in axis.texts if text.get_text()}
    assert {name: text.get_text().split("\n")[2] for name, text in texts.items()} == {
        "loss": "value 2.25, grad 1", "r = guess - y": "value 1.5, grad 3", "guess = p + b": "value 2.5, grad 3",
        "p = w x": "value 1.5, grad 3", "w": "value 0.5, grad 9", "b": "value 1, grad 3"}  # fmt: skip
    arrows = {(text.xyann, text.xy) for text in axis.texts if not text.get_text()}
    place = {name: text.get_position() for name, text in texts.items()}
    pairs = [("loss", "r = guess - y"), ("r = guess - y", "guess = p + b"), ("guess = p + b", "p = w x"), ("guess = p + b", "b"), ("p = w x", "w")]
    assert arrows == {(place[one], place[other]) for one, other in pairs} and len(set(place.values())) == 6


def test_estimates_are_drawn_by_their_names_with_the_means_and_variances_of_the_table():
    desk = drawn(estimators.estimators, 4000)
    (axis,) = desk.figures["estimators"].axes
    torch.manual_seed(1)
    found = [estimators.estimates(estimators.square, *way) for way in (("pathwise", 4000), ("score", 4000), ("score", 4000, 3.25))]
    for patch, values, row in zip(axis.patches, found, desk.tables["estimators"]):
        counted, _ = np.histogram(values, np.linspace(-6, 20, 105), density=True)
        assert patch.get_label() == row[0] and max(patch.get_xy()[:, 1]) == pytest.approx(counted.max())
        assert row[2:5] == [f"{values.mean():.3f}", "3.000", f"{values.var():.2f}"]
    assert [row[5] for row in desk.tables["estimators"][:3]] == ["4.00", "51.56", f"{51.5625 - 2 * 3.25 * 5.25 + 3.25**2 + 9 - 9:.2f}"]


def test_the_product_of_the_local_derivatives_is_the_gradient():
    rows = drawn(chain.chain_rule).tables["chain"]
    u, v = 0.81, math.sin(0.81)
    local = [1.8, math.cos(u), 1 / (1 + v)]
    for k, (row, name, value) in enumerate(zip(rows, ("u = x²", "v = sin u", "z = log(1 + v)"), (u, v, math.log(1 + v)))):
        assert row[0] == name and row[1] == f"{value:.6f}" and row[2].endswith(f"= {local[k]:.6f}")
        assert row[3] == row[4] == f"{math.prod(local[k:]):.6f}"


def test_the_engine_beside_pytorch_has_the_three_calls_in_a_table():
    desk = drawn(beside.engine, 10)
    assert desk.tables["twice"] == [[1, 36.0, 36.0, 36.0], [2, 72.0, 72.0, 108.0], [3, 108.0, 108.0, desk.tables["twice"][2][3]]]
    counted = [row[1] for row in desk.tables["operations"]]
    assert counted == sorted(counted, reverse=True) and sum(counted) > 60

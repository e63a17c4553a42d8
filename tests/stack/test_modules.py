"""The lab modules: its steps, and its ways to sum a network up."""

from __future__ import annotations

import json

import pytest
import torch
from labruns import newest, run_here, summary
from torch import nn

from labkit.runs import steps
from labs.modules import lab
from labs.modules.steps import GROUPS, SETUP
from labs.modules.summary import count_by_hand, small_network, summarize

STEPS = [one for group in GROUPS for one in group.steps]


@pytest.mark.parametrize("one", STEPS, ids=lambda one: one.name)
def test_a_step_gives_what_it_must(one):
    steps.check(one, SETUP)


def test_a_step_that_does_not_hold_is_named():
    wrong = steps.Step("wrong", STEPS[0].text, "1 + 1", "3")
    with pytest.raises(steps.DoesNotHold, match="the step wrong does not hold: it gives 2, and 3 is 3"):
        steps.check(wrong, "")
    with pytest.raises(steps.DoesNotHold, match="it gives ZeroDivisionError: division by zero"):
        steps.check(steps.Step("wrong", STEPS[0].text, "1 / 0", "'TypeError'"), "")
    assert steps.same(ValueError("x"), "ValueError") and not steps.same(torch.ones(2), [1, 1, 1])
    assert not steps.same(True, 1) and not steps.same(torch.ones(1, dtype=torch.bool), [1.0])


def test_names_of_steps_are_their_own():
    assert len({one.name for one in STEPS}) == len(STEPS)
    assert all(isinstance(one.name, str) and " " not in one.name and one.text.en and one.text.zh for one in STEPS)


def test_the_whole_lab_and_its_report(tmp_path):
    status, said = run_here(lab, ["--smoke"], tmp_path, tmp_path)
    assert status == 0, said
    folder = newest(lab, tmp_path)
    assert summary(folder)["metrics"] == {"steps": len(STEPS), "parameters": count_by_hand(8)}
    rows = json.loads((folder / "tables" / "summary.json").read_text())["rows"]
    assert rows[-1][3] == count_by_hand(8)
    tables = sorted((folder / "tables").glob("steps-*.json"))
    assert sum(len(json.loads(path.read_text())["rows"]) for path in tables) == len(STEPS)
    assert (folder / "plots" / "traps.png").exists()


@pytest.mark.parametrize("width", [1, 3, 16])
def test_a_network_summed_up_by_hooks(width):
    model = small_network(width)
    rows = summarize(model, torch.zeros(1, 3, 32, 32))
    assert sum(row[3] for row in rows) == sum(p.numel() for p in model.parameters()) == count_by_hand(width)
    adds = {name: used for name, _, _, _, used in rows if used}
    assert adds == {"0": 27 * width * 32 * 32, "4": 18 * width * width * 16 * 16, "10": 20 * width}
    assert model.training and not any(layer._forward_hooks for layer in model.modules())


def test_a_layer_without_weights_costs_nothing():
    assert summarize(nn.Sequential(nn.ReLU()), torch.zeros(1, 4)) == [("0", "ReLU", (1, 4), 0, 0)]


def test_the_traps():
    layer, function = lab.Traps().eval()(torch.ones(1000))
    assert (layer == 1).all() and 300 < int((function == 0).sum()) < 700
    means = lab.measured_means(20, 0)
    assert (means[20:] == means[19]).all() and abs(means[19] - 1) < 0.2 and len(set(means[:20])) == 20

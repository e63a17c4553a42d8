"""The race of the lab convnets: its training beside a plain reference, its accuracies, and what its page shows."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from labruns import Adam, Desk, assert_same_weights
from torch.nn import functional as F

from labkit.runs.pixels import Normalise
from labs.convnets import config, measured, race
from labs.convnets.zoo import KINDS


def images(count, seed=0):
    random = np.random.RandomState(seed)
    return race.Images(torch.from_numpy(random.randint(0, 256, (count, 32, 32, 3)).astype(np.uint8)),
                       torch.from_numpy(random.randint(0, 10, count)))  # fmt: skip


def normalised(data):
    made = Normalise()
    made.measure(data.pixels)
    return made


def test_a_training_is_that_of_the_reference(monkeypatch):
    monkeypatch.setattr(race, "BATCH", 8)
    monkeypatch.setattr(race, "LOOKS", 2)
    monkeypatch.setattr(race, "LOOKED_AT", 20)
    data, test, desk = images(20), images(30, 1), Desk(seed=3)
    torch.manual_seed(0)
    network = measured.built("lenet", 0.5)
    reference, normalise = copy.deepcopy(network), normalised(data)
    entry = {"name": "lenet", "dtype": "float32", "steps": 5}
    found = race.train(network, entry, data, test, normalise, config.Config(race=True, lr=0.002), desk, None, {"finished": []})

    optimizer, rows, losses = Adam(reference.parameters()), [], []
    for step in range(4):  # two looks of two steps; the fifth would not fill a third
        random = torch.Generator().manual_seed(1_000_003 * 3 + step // 2)
        order, mirrored = torch.randperm(20, generator=random), torch.rand(20, generator=random) < 0.5
        chosen = slice(step % 2 * 8, step % 2 * 8 + 8)
        pixels = torch.stack([data.pixels[k].flip(1) if flip else data.pixels[k] for k, flip in zip(order[chosen], mirrored[chosen])])
        loss = F.cross_entropy(reference(normalise(pixels).contiguous()), data.labels[order[chosen]])
        lr = 0.002 * min(1, (step + 1) / max(1, 0.05 * 4)) * (1 - step / 4)
        optimizer.descend(loss, lr)
        losses.append(float(loss))
        if step % 2:
            with torch.no_grad():
                right = reference.eval()(normalise(test.pixels[:20]).contiguous()).argmax(dim=1) == test.labels[:20]
            reference.train()
            rows.append({"step": step + 1, "train_loss/lenet": np.mean(losses[-2:]), "test_accuracy/lenet": float(right.float().mean())})
    assert desk.logged == [pytest.approx(row, rel=1e-4) for row in rows]
    assert_same_weights(network, reference, atol=5e-5)
    with torch.no_grad():
        right = reference.eval()(normalise(test.pixels).contiguous()).argmax(dim=1) == test.labels
    assert found["accuracy"] == pytest.approx(float(right.float().mean())) and found["steps"] == 4
    assert found["curve"] == pytest.approx([row["test_accuracy/lenet"] for row in rows]) and len(found["taken"]) == 2
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in found["weights"].items())


@pytest.mark.parametrize("steps", [100, 10])
def test_the_learning_rate_is_its_formula(steps):
    warm = max(1.0, steps / 20)
    for step in range(steps):
        assert race.learning_rate(step, steps, 0.3) == pytest.approx(0.3 * min(1, (step + 1) / warm) * (steps - step) / steps)


def test_the_accuracy_is_the_share_of_all_images_judged_in_evaluation_mode():
    """Of more than one part of 250, with a network that looks at its batch while it trains."""
    torch.manual_seed(0)
    data, network = images(260), measured.built("squeezenet", 0.5)
    normalise = normalised(data)
    found = race.accuracy(network, normalise, data, torch.float32, torch.device("cpu"))
    assert network.training
    network.eval()
    with torch.no_grad():
        right = network(normalise(data.pixels).contiguous()).argmax(dim=1) == data.labels
    assert found == pytest.approx(float(right.float().mean()))


def test_the_page_has_the_best_first_and_each_networks_curve_by_its_name():
    finished = [{"name": name, "accuracy": accuracy, "seconds": seconds, "steps": 10, "dtype": "float32", "curve": [0.1, accuracy],
                 "taken": [seconds / 2, seconds]} for name, accuracy, seconds in (("lenet", 0.3, 4.0), ("squeezenet", 0.5, 5.0))]  # fmt: skip
    desk = Desk()
    race.show(desk, finished, 0.5)
    rows = desk.tables["race"]
    assert [row[:5] for row in rows] == [
        [KINDS["squeezenet"].title, "50.0%", "5", f"{10 * race.BATCH:,}", f"{2 * race.BATCH:,}"],
        [KINDS["lenet"].title, "30.0%", "4", f"{10 * race.BATCH:,}", f"{2.5 * race.BATCH:,.0f}"]]  # fmt: skip
    time_axis, macs_axis = desk.figures["race"].axes
    for line, point, row in zip(time_axis.lines, macs_axis.lines, finished):
        assert line.get_label() == KINDS[row["name"]].title and line.get_color() == point.get_color()
        assert list(line.get_xdata()) == row["taken"] and list(line.get_ydata()) == row["curve"]
        assert point.get_ydata()[0] == row["accuracy"]
        macs = race.counting.by_hand(measured.built(row["name"], 0.5), torch.zeros(1, 3, 32, 32)).macs
        assert point.get_xdata()[0] == pytest.approx(macs / 1e6)
    assert not time_axis.yaxis_inverted() and "to within 1 s" in desk.notes[0]


def test_images_of_the_test_set_are_cut_and_never_train(monkeypatch, tmp_path):
    train, test = (np.full((12, 32, 32, 3), level, np.uint8) for level in (0, 255))
    monkeypatch.setattr(race.cifar, "load", lambda folder, name, split: ({"train": train, "test": test}[split], np.arange(12) % 10))
    monkeypatch.setattr(race.cifar, "classes", lambda folder, name: list("abcdefghij"))
    monkeypatch.setattr(race, "TESTED", 5)
    data, judged, classes = race.read(tmp_path)
    assert len(data.labels) == 12 and not data.pixels.any() and len(judged.labels) == 5 and judged.pixels.eq(255).all()
    assert classes == list("abcdefghij")

"""The lab mnist: its training beside a plain reference, what is held out, and what its pages show."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from labruns import Adam, Desk, assert_same_weights, row_names, tiles, title_of
from torch.nn import functional as F

from labkit.runs import compat
from labs.mnist import calibration, data, entropy, lab, models, results


def digits(count, seed=0):
    random = np.random.RandomState(seed)
    return data.Digits(torch.from_numpy(random.randint(0, 256, (count, 28, 28)).astype(np.uint8)),
                       torch.from_numpy(random.randint(0, 10, count)))  # fmt: skip


@pytest.fixture
def exact(monkeypatch):
    monkeypatch.setattr(compat, "fast_dtype", lambda device: (torch.float32, "tests"))


# ---- the training ----


@pytest.mark.parametrize("given", [{"warp": 0.1}, {"label_smoothing": 0.0, "schedule": "constant", "weight_decay": 0.5}],
                         ids=["bent", "constant, decay"])  # fmt: skip
def test_two_epochs_are_those_of_the_reference(given, exact):
    made, desk = lab.Config(**{"width": 2, "epochs": 2, "batch_size": 30, "lr": 0.004, **given}), Desk(seed=3)
    train, checks = digits(100), {"test": digits(40, 1), "holdout": digits(20, 2)}
    model = lab.prepare(made, train, desk, fresh=True)
    reference = copy.deepcopy(model)
    found = lab.train(model, lab.Training("", train, checks), made, desk, None, {})

    optimizer = Adam(reference.parameters(), decay=made.weight_decay)
    source, rows = data.Source(train, made.side, made.shift, made.warp, desk.device), []
    for epoch in range(2):
        plan, losses, right = data.plan_epoch(100, made.shift, 3, epoch, made.warp > 0), [], []
        for k in range(3):
            step = 3 * epoch + k
            lr = 0.004 * min((step + 1) / 1, (6 - step) / (6 - 1 + 1)) if made.schedule == "onecycle" else 0.004
            pixels, labels = source.batch(plan, slice(30 * k, 30 * k + 30))
            logits = reference(pixels.unsqueeze(3))
            logs = torch.log_softmax(logits, dim=1)
            loss = (1 - made.label_smoothing) * F.nll_loss(logs, labels) - made.label_smoothing * logs.mean()
            optimizer.descend(loss, lr)
            losses.append(float(loss))
            right.append(float((logits.argmax(dim=1) == labels).float().mean()))
        reference.eval()
        with torch.no_grad():
            tested = {f"{name}_accuracy": float((reference(data.middle(check.pixels, 24).unsqueeze(3)).argmax(dim=1)
                                                 == check.labels).float().mean()) for name, check in checks.items()}  # fmt: skip
        reference.train()
        rows.append({"step": 3 * epoch + 3, "train_loss": np.mean(losses), "train_accuracy": np.mean(right), "lr": lr, **tested})
    assert desk.logged == [pytest.approx(row, rel=1e-3, abs=1e-6) for row in rows]
    assert_same_weights(model, reference, atol=3e-4)
    assert found["steps"] == 6 and model.training


def test_the_learning_rate_is_its_formula():
    rates = [lab.learning_rate(lab.Config(lr=1.0), step, 10) for step in range(10)]
    assert rates == pytest.approx([0.5, 1.0, 8 / 9, 7 / 9, 6 / 9, 5 / 9, 4 / 9, 3 / 9, 2 / 9, 1 / 9])


def test_the_network_is_pooled_normalised_and_ends_in_the_strongest_responses():
    torch.manual_seed(0)
    network, x = models.Fast(2, 3), torch.randn(3, 1, 24, 24)

    def normalise(x):
        mean, var = x.mean(dim=(0, 2, 3), keepdim=True), x.var(dim=(0, 2, 3), unbiased=False, keepdim=True)
        return ((x - mean) / (var + 1e-5).sqrt()).clamp(min=0)

    y = normalise(F.conv2d(x, network.conv1.weight, stride=3, padding=1))
    y = normalise(F.max_pool2d(F.conv2d(y, network.conv2.weight, padding=1), 2))
    y = normalise(F.max_pool2d(F.conv2d(y, network.conv3.weight, padding=1), 2))
    expected = y.flatten(2).max(dim=2)[0] @ network.head.weight.t()
    assert torch.allclose(network(x), expected, atol=1e-5)


# ---- what is held out ----


class Caught(Exception):
    """Raised where the training would begin."""


def numbered(first, behind):
    numbers = torch.arange(first, behind)
    return data.Digits(numbers.byte()[:, None, None].expand(-1, 28, 28).contiguous(), numbers % 10)


@pytest.mark.parametrize("held", [0, 30])
def test_no_image_that_is_held_out_is_trained_on(held, monkeypatch, tmp_path):
    seen = {}

    def train(model, training, *rest):
        seen.update(own=training.digits.pixels[:, 0, 0].tolist(),
                    **{name: check.pixels[:, 0, 0].tolist() for name, check in training.checks.items()})  # fmt: skip
        raise Caught

    monkeypatch.setattr(data, "read", lambda folder: (numbered(0, 100), numbered(100, 140)))
    monkeypatch.setattr(lab, "train", train)
    desk = Desk()
    desk.dataset = lambda name: tmp_path
    with pytest.raises(Caught):
        lab.main(lab.Config(width=2, hold_out=held or None), desk)
    assert seen.pop("own") == list(range(100 - held)) and seen.pop("test") == list(range(100, 140))
    assert seen == ({"holdout": list(range(70, 100))} if held else {})


def test_every_accuracy_is_of_its_own_images_and_views(monkeypatch, tmp_path, exact):
    """A network that is wrong about the images whose number is a multiple of four, in several views of eight."""
    monkeypatch.setattr(data, "read", lambda folder: (numbered(0, 100), numbered(100, 140)))
    monkeypatch.setattr(lab, "train", lambda *given: {"label": "", "steps": 1, "seconds": 1.0, "rate": 1.0})

    def classify(model, pixels, side, device, views=False):
        numbers = pixels[:, 0, 0].long().numpy()
        return 9 * np.eye(10, dtype=np.float32)[(numbers + (numbers % (8 if views else 4) == 0)) % 10]

    monkeypatch.setattr(lab, "classify", classify)
    desk = Desk()
    desk.dataset = lambda name: tmp_path
    found = lab.main(lab.Config(width=2, hold_out=30, views=True), desk)
    assert found["accuracy"] == 1 - 10 / 40 and found["views_accuracy"] == 1 - 5 / 40
    assert found["holdout_accuracy"] == pytest.approx(1 - 7 / 30)
    shares = dict(zip(("accuracy", "views", "holdout"), (row[1] for row in desk.tables["result"])))
    assert shares == {"accuracy": "75.00%", "views": "87.50%", "holdout": "76.67%"} and desk.tables["result"][3][1] == 70


def test_each_fold_trains_on_what_the_others_judge(monkeypatch, tmp_path, exact):
    monkeypatch.setattr(data, "read", lambda folder: (numbered(0, 100), numbered(100, 140)))
    seen = []

    def train(model, training, config, run, saved, facts):
        ((name, others),) = training.checks.items()
        seen.append((training.label, training.offset, name, training.digits.pixels[:, 0, 0].tolist(), others.pixels[:, 0, 0].tolist()))
        return {"label": training.label, "steps": 7, "seconds": 2.0, "rate": 1.0}

    monkeypatch.setattr(lab, "train", train)
    monkeypatch.setattr(lab, "classify", lambda model, pixels, *rest: np.eye(10)[(pixels[:, 0, 0].long().numpy() // 10)])
    desk = Desk()
    desk.dataset = lambda name: tmp_path
    found = lab.main(lab.Config(width=2, folds=4), desk)
    assert [one[:3] for one in seen] == [(str(k + 1), 7 * k, "fold") for k in range(4)]
    for _, _, _, own, others in seen:
        assert sorted(own + others) == list(range(100)) and len(others) == 25
    accuracies = [np.mean([k // 10 == k % 10 for k in others]) for *_, others in seen]
    assert found == pytest.approx({"fold_accuracy": np.mean(accuracies), "fold_deviation": np.std(accuracies, ddof=1)})
    assert [row[3] for row in desk.tables["folds"][:4]] == [f"{accuracy:.2%}" for accuracy in accuracies]


# ---- what is shown ----


def test_images_stand_under_their_digit_as_stored_and_as_the_network_gets_them():
    some, desk = digits(12), Desk(seed=2)
    results.show_images(desk, some, lab.Config(shift=0))
    figure = desk.figures["training_images"]
    found = tiles(figure, 24)
    assert all(np.array_equal(row, some.pixels[:10, 2:-2, 2:-2].numpy()) for row in found) and len(found) == 5
    axis = figure.axes[0]
    assert [text.get_text() for text in axis.get_xticklabels()] == [str(int(label)) for label in some.labels[:10]]
    assert row_names(figure, 24) == {0: "as stored", **{k: f"epoch {k}" for k in range(1, 5)}}
    results.show_images(desk, some, lab.Config(shift=1))
    found = tiles(desk.figures["training_images"], 24)
    for k in range(10):
        windows = [some.pixels[k, y : y + 24, x : x + 24].numpy() for y in (1, 2, 3) for x in (1, 2, 3)]
        assert all(any(np.array_equal(row[k], window) for window in windows) for row in found)


def test_bars_of_a_reading_stand_at_their_digits():
    desk, p = Desk(), np.arange(10) / 45
    photo = np.full((60, 80, 3), 220, np.uint8)
    photo[10:50, 38:44] = 30
    reading = lab.read_sign.__globals__["find"](photo)
    results.show_reading(desk, reading, p)
    (axis,) = desk.figures["prediction"].axes
    assert [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in axis.patches] == [
        (pytest.approx(k), pytest.approx(p[k])) for k in range(10)]  # fmt: skip
    axes = {title_of(axis): axis for axis in desk.figures["reading"].axes}
    for title, expected in (("the photo", reading.photo), ("1. grey", reading.grey), ("2. its paper, by a wide median", reading.paper),
                            ("3. darker than the paper", reading.difference), ("5. ink: more than that", 255 - reading.ink),
                            ("7. 20 x 20 in 28 x 28", reading.digit)):  # fmt: skip
        assert np.array_equal(axes[title].images[0].get_array(), expected), title
    assert not axes[f"4. Otsu's threshold: {reading.threshold}"].images


def test_the_temperature_is_chosen_on_one_half_and_judged_on_the_other():
    random, desk = np.random.RandomState(0), Desk()
    logits, labels = random.randn(400, 10) * 3, random.randint(0, 10, 400)
    logits[np.arange(400), labels] += 2
    found = calibration.show(desk, logits, labels, None, 0.1)
    temperature = calibration.best_temperature(logits[::2], labels[::2])
    q = [entropy.softmax(logits[1::2] / t) for t in (1.0, temperature)]
    assert found == {"ece": calibration.ece(q[0], labels[1::2]), "ece_scaled": calibration.ece(q[1], labels[1::2]),
                     "temperature": temperature}  # fmt: skip
    assert calibration.show(Desk(), logits[1::2], labels[1::2], (logits[::2], labels[::2]), 0.0) == found
    assert not desk.notes
    for axis, p, name in zip(desk.figures["calibration"].axes, q, ("T = 1", f"T = {temperature:.2f}")):
        each = calibration.bins(p, labels[1::2])
        assert title_of(axis) == f"{name}: ECE {calibration.ece(p, labels[1::2]):.2%}" and not axis.yaxis_inverted()
        assert np.allclose(axis.collections[0].get_offsets(), [(one.confidence, one.accuracy) for one in each])
        assert [text.get_text() for text in axis.texts] == [str(one.images) for one in each]
    for row, p in zip(desk.tables["calibration"], q):
        nll = -np.log(p[np.arange(200), labels[1::2]]).mean()
        assert row[2:] == [f"{p.max(axis=1).mean():.2%}", f"{(p.argmax(axis=1) == labels[1::2]).mean():.2%}", f"{nll:.4f}"]


def test_an_image_goes_from_its_logits_to_its_loss():
    desk, logits = Desk(), np.array([1.0, 4, 0, 2, -1, 0, 3, 0, 1, 2], dtype=np.float32)
    pixels = np.random.RandomState(0).randint(0, 256, (28, 28)).astype(np.uint8)
    entropy.show(desk, pixels, 6, logits, 0.1)
    q = np.exp(logits) / np.exp(logits).sum()
    target = np.full(10, 0.01) + 0.9 * np.eye(10)[6]
    coin, image, bars, surprise = desk.figures["entropy"].axes
    assert np.array_equal(image.images[0].get_array(), pixels) and title_of(image) == "a test image: 6"
    heights = [bar.get_height() for bar in bars.patches]
    assert heights[:10] == pytest.approx(target) and heights[10:] == pytest.approx(q, rel=1e-5)
    assert [text.get_text() for text in bars.get_legend().get_texts()] == ["target p", "network q"]
    assert surprise.lines[1].get_xdata()[0] == pytest.approx(q[6]) and surprise.lines[1].get_ydata()[0] == pytest.approx(-np.log(q[6]))
    assert max(coin.lines[0].get_ydata()) == pytest.approx(np.log(2)) and not surprise.yaxis_inverted()
    values = [row[1] for row in desk.tables["entropy"]]
    assert values[4] == values[5] == f"{-np.log(q[6]):.4f}" and values[3] == "0.0000"
    own, cross = -(target * np.log(target)).sum(), -(target * np.log(q)).sum()
    assert values[7:] == [f"{own:.4f}", f"{cross - own:.4f}", f"{cross:.4f}", f"{cross:.4f}"]

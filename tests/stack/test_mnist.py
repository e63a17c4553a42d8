"""The lab mnist: its parts against PyTorch, scikit-learn and OpenCV, digits drawn on paper, and its runs."""

from __future__ import annotations

import json
import math

import cv2
import numpy as np
import pytest
import torch
from labruns import assert_resumes_exactly, newest, run_here, summary
from PIL import Image
from sklearn.metrics import confusion_matrix
from torch.nn import functional as F

from labkit.runs import classified, ink
from labkit.runs.pixels import Normalise
from labs.mnist import calibration, data, entropy, lab, models

CPU = torch.device("cpu")
TINY = ["--sample", "--width=4", "--batch-size=200", "--epochs=2"]  # 20 steps an epoch


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


def noise(count, side=28, seed=0):
    return torch.from_numpy(np.random.RandomState(seed).randint(0, 256, (count, side, side)).astype(np.uint8))


# ---- the loss, from entropy ----


def distributions(seed=0, classes=6):
    return np.random.RandomState(seed).dirichlet(np.ones(classes), 2)


def test_cross_entropy_by_hand_is_that_of_pytorch():
    logits, labels = torch.randn(40, 10) * 3, torch.randint(10, (40,))
    q = entropy.softmax(logits.numpy().astype(np.float64))
    assert np.allclose(q, torch.softmax(logits, dim=1).numpy(), atol=1e-6)
    by_hand = np.mean([entropy.cross_entropy(entropy.smoothed(int(k), 10, 0), row) for k, row in zip(labels, q)])
    assert by_hand == pytest.approx(float(F.cross_entropy(logits, labels)), abs=1e-5)
    assert float(entropy.loss(logits, labels, 0)) == pytest.approx(by_hand, abs=1e-5)
    by_hand = np.mean([entropy.cross_entropy(entropy.smoothed(int(k), 10, 0.1), row) for k, row in zip(labels, q)])
    assert float(entropy.loss(logits, labels, 0.1)) == pytest.approx(by_hand, abs=1e-5)


def test_cross_entropy_is_entropy_and_divergence():
    for seed in range(20):
        p, q = distributions(seed)
        of_torch = torch.distributions.Categorical(torch.from_numpy(p))
        assert entropy.entropy(p) == pytest.approx(float(of_torch.entropy()))
        expected = float(F.kl_div(torch.from_numpy(q).log(), torch.from_numpy(p), reduction="sum"))
        assert entropy.kl(p, q) == pytest.approx(expected) and entropy.kl(p, q) >= 0
        assert entropy.cross_entropy(p, q) == pytest.approx(entropy.entropy(p) + expected)
    assert entropy.entropy(np.array([1.0, 0.0])) == 0 and entropy.entropy(np.full(8, 1 / 8)) == pytest.approx(math.log(8))
    assert entropy.cross_entropy(np.array([0.5, 0.5]), np.array([1.0, 0.0])) == math.inf
    assert np.allclose(entropy.softmax(np.array([1000.0, 1000.0])), 0.5)


# ---- calibration ----


def test_ece_is_the_definition_as_a_loop():
    generator = np.random.RandomState(0)
    q, labels = generator.dirichlet(np.ones(3) * 0.4, 500), generator.randint(0, 3, 500)
    total = 0.0
    for k in range(calibration.BINS):
        own = [i for i in range(500) if k / calibration.BINS < q[i].max() <= (k + 1) / calibration.BINS]
        if own:
            gap = np.mean([q[i].argmax() == labels[i] for i in own]) - np.mean([q[i].max() for i in own])
            total += len(own) / 500 * abs(gap)
    assert calibration.ece(q, labels) == pytest.approx(total)
    assert sum(each.images for each in calibration.bins(q, labels)) == 500
    sure = np.eye(3)[labels]
    assert calibration.ece(sure, labels) == 0 and calibration.ece(sure, (labels + 1) % 3) == 1
    borders = np.array([[0.75, 0.25], [0.76, 0.24], [1.0, 0.0], [0.5, 0.5]])
    assert [each.images for each in calibration.bins(borders, np.zeros(4), 4)] == [1, 1, 2]  # 0.75 is in (0.5, 0.75]


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_temperature_undoes_what_a_factor_did(temperature):
    """Labels drawn from softmax(z): of logits T z the best temperature is T, up to the luck of the draw."""
    generator = np.random.RandomState(1)
    z = generator.randn(20_000, 10) * 2
    labels = (entropy.softmax(z).cumsum(axis=1) > generator.rand(len(z), 1)).argmax(axis=1)
    found = calibration.best_temperature(temperature * z, labels)
    assert found == pytest.approx(temperature, rel=0.03)
    assert calibration.ece(entropy.softmax(temperature * z / found), labels) < 0.015
    expected = float(F.cross_entropy(torch.from_numpy(z), torch.from_numpy(labels)))
    assert calibration.negative_log_likelihood(z, labels) == pytest.approx(expected)


# ---- images and network ----


@pytest.mark.parametrize("side, shift", [(24, 1), (28, 2), (24, 3), (26, 0)])
def test_windows_are_what_a_plain_loop_cuts_out(side, shift):
    pixels = noise(3)
    found = data.windows(pixels, side, shift)
    padded = np.pad(pixels.numpy(), ((0, 0), (9, 9), (9, 9)))
    margin = 9 + (28 - side) // 2
    for y in range(2 * shift + 1):
        for x in range(2 * shift + 1):
            top, left = margin + y - shift, margin + x - shift
            assert np.array_equal(found[:, y, x], padded[:, top : top + side, left : left + side])
    assert torch.equal(found[:, shift, shift], data.middle(pixels, side))


def test_bending_by_nothing_changes_nothing_and_a_shift_is_a_shift():
    pixels = noise(4)
    assert torch.allclose(data.bend(pixels, torch.zeros(4, data.BEND), 0.15, 2, 28), pixels.float(), atol=1e-2)
    inner = data.bend(pixels, torch.zeros(4, data.BEND), 0.15, 2, 24)
    assert torch.allclose(inner, data.middle(pixels, 24).float(), atol=1e-2)
    u = torch.zeros(4, data.BEND)
    u[:, 4] = 1  # read from two pixels further right
    moved = data.bend(pixels, u, 0.0, 2, 28)
    assert torch.allclose(moved[:, :, :26], pixels[:, :, 2:].float(), atol=1e-2) and moved[:, :, 26:].abs().max() < 1e-2
    turned = data.bend(pixels, torch.eye(data.BEND)[:1].repeat(4, 1), math.pi / 2, 0, 28)  # a right angle, and no stretch
    assert any(torch.allclose(turned, pixels.float().rot90(k, (1, 2)), atol=0.1) for k in (1, 3))


def test_the_plan_follows_from_seed_and_epoch():
    plans = [data.plan_epoch(500, 1, seed, epoch, True) for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))]
    assert all(torch.equal(one, other) for one, other in zip(plans[0], plans[1]))
    assert not torch.equal(plans[0].order, plans[2].order) and not torch.equal(plans[0].order, plans[3].order)
    assert torch.equal(plans[0].order.sort()[0], torch.arange(500))
    assert set(plans[0].y.tolist()) == {0, 1, 2} and plans[0].u.abs().max() <= 1


def test_sizes_parameters_and_multiply_adds():
    network = lab.build_model(lab.Config())
    found = models.layers(network, torch.zeros(1, 24, 24, 1))
    assert [each.output for each in found] == [(16, 8, 8), (32, 8, 8), (64, 4, 4), (10,)]
    assert [each.parameters for each in found] == [16 * 25, 16 * 32 * 9, 32 * 64 * 9, 640]
    assert [each.macs for each in found] == [16 * 25 * 64, 16 * 32 * 9 * 64, 32 * 64 * 9 * 16, 640]
    for side in (24, 26, 28):
        for other in (lab.Config(side=side), lab.Config(side=side, stride=2), lab.Config(side=side, model="plain")):
            assert lab.build_model(other)(torch.zeros(2, side, side, 1)).shape == (2, 10)


def test_normalising_grey_images_centres_them():
    pixels = noise(50).unsqueeze(3)
    normalise = Normalise(channels=1)
    normalise.measure(pixels)
    x = normalise(pixels)
    assert x.shape == (50, 1, 28, 28) and abs(float(x.mean())) < 1e-4 and abs(float(x.std()) - 1) < 1e-3


def test_the_learning_rate_goes_up_for_a_fifth_and_down_to_nothing():
    rates = [lab.learning_rate(lab.Config(), step, 100) for step in range(100)]
    assert np.argmax(rates) == 19 and max(rates) <= 0.01 and rates[-1] < 0.0002 and min(rates) > 0
    assert rates[:20] == sorted(rates[:20]) and rates[20:] == sorted(rates[20:], reverse=True)
    assert {lab.learning_rate(lab.Config(schedule="constant"), step, 9) for step in range(9)} == {0.01}


def test_views_are_the_image_and_its_four_neighbours():
    network, pixels = lab.build_model(lab.Config(width=2)), noise(3)
    one = lab.classify(network, pixels, 24, CPU)
    several = [lab.classify(network, torch.from_numpy(np.roll(pixels.numpy(), (y, x), (1, 2))), 24, CPU)
               for y, x in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))]  # fmt: skip
    assert np.allclose(one, several[0])
    assert np.allclose(lab.classify(network, pixels, 24, CPU, views=True), np.mean(several, axis=0), atol=1e-5)


def test_each_image_judges_in_one_fold():
    digits = data.Digits(noise(53), torch.arange(53))
    found = lab.folds(digits, 5, seed=0)
    assert sorted(torch.cat([others.labels for _, others in found]).tolist()) == list(range(53))
    for own, others in found:
        assert sorted([*own.labels.tolist(), *others.labels.tolist()]) == list(range(53)) and len(others) in (10, 11)


def test_the_confusion_matrix_is_that_of_scikit_learn():
    labels, guessed = np.random.RandomState(0).randint(0, 4, (2, 99))
    assert np.array_equal(classified.confusion_matrix(labels, guessed, 5),
                          confusion_matrix(labels, guessed, labels=range(5)))  # fmt: skip


# ---- a digit from a photo ----


def stroke(*corners):
    return np.concatenate([np.linspace(one, other, 12) for one, other in zip(corners, corners[1:])])


def arc(x, y, wide, high, start, end):
    turns = np.linspace(start, end, 40) * math.tau
    return np.stack([x + wide * np.cos(turns), y + high * np.sin(turns)], axis=1)


WRITTEN = {  # strokes in a box of -1..1; a 4 and a 5 have two
    0: [arc(0, 0, 0.6, 0.95, 0, 1)],
    1: [stroke((0, -0.95), (0, 0.95))],
    2: [np.concatenate([arc(0, -0.4, 0.6, 0.55, 0.52, 1.08), stroke((0.45, 0), (-0.65, 0.92), (0.7, 0.92))])],
    3: [arc(-0.05, -0.48, 0.55, 0.46, 0.58, 1.25), arc(-0.05, 0.46, 0.65, 0.5, 0.75, 1.42)],
    4: [stroke((-0.55, -0.9), (-0.55, 0.1), (0.55, 0.1)), stroke((0.55, -0.95), (0.5, 0.95))],
    5: [np.concatenate([stroke((-0.45, -0.92), (-0.5, -0.1)), arc(-0.05, 0.35, 0.65, 0.57, 0.62, 1.4)]),
        stroke((-0.42, -0.97), (0.6, -0.95))],
    6: [np.concatenate([arc(0.55, 0.05, 1.1, 1.0, 0.72, 0.5), arc(0.02, 0.42, 0.56, 0.52, 0.5, 1.5)])],
    7: [stroke((-0.6, -0.9), (0.6, -0.9), (-0.15, 0.95))],
    8: [arc(0, -0.48, 0.48, 0.45, 0, 1), arc(0, 0.46, 0.6, 0.5, 0, 1)],
    9: [arc(-0.02, -0.42, 0.56, 0.5, 0, 1), stroke((0.54, -0.45), (0.5, 0.2), (0.25, 0.95))],
}  # fmt: skip


def drawn(digit, seed=0, height=480, width=640, dark=True, thick=None):
    """The digit on paper, uint8 RGB: a slant and a place by chance, light from one side, a shadow, grain, soft edges."""
    generator = np.random.RandomState(seed)
    rows, columns = np.mgrid[:height, :width]
    turn = generator.uniform(0, math.tau)
    paper = (225.0 if dark else 55.0) * (
        1 + 0.6 * ((columns / width - 0.5) * math.cos(turn) + (rows / height - 0.5) * math.sin(turn)))  # fmt: skip
    y, x = generator.rand(2)
    away = ((columns - x * width) / width / 0.3) ** 2 + ((rows - y * height) / height / 0.3) ** 2
    paper += (-45 if dark else 30) * np.exp(-away)
    size = min(height, width) * generator.uniform(0.28, 0.38)
    thick = thick or max(2, int(size * generator.uniform(0.07, 0.2)))
    slant, middle = generator.uniform(-0.2, 0.2), np.array([width / 2, height / 2]) * generator.uniform(0.9, 1.1, 2)
    sheet = np.zeros((height, width), np.uint8)
    for line in WRITTEN[digit]:
        points = (line * [generator.uniform(0.65, 0.9), 1]) @ [[1, 0], [-slant, 1]] + generator.randn(*line.shape) * 0.006
        points = [np.round((middle + size * points) * 8).astype(np.int32)]
        cv2.polylines(sheet, points, False, 255, thick, cv2.LINE_AA, 3)
    cover = cv2.GaussianBlur(sheet, (0, 0), 1.2) / 255 * generator.uniform(0.5, 0.8)
    photo = paper * (1 - cover) if dark else paper + (235 - paper) * cover
    photo = photo + generator.randn(height, width) * generator.choice([1, 4, 7])
    return np.clip(photo[..., None] * [1, 0.97, 0.92], 0, 255).astype(np.uint8)


def centre_of(image):
    found = cv2.moments(image.astype(np.float32))
    return np.array([found["m01"], found["m10"]]) / found["m00"]


@pytest.mark.parametrize("digit", range(10))
def test_a_drawn_digit_becomes_one_as_mnist_has_them(digit):
    for seed in range(4):
        dark = seed != 2
        size = ((480, 640), (1600, 1200), (300, 300), (480, 640))[seed]
        reading = ink.find(drawn(digit, 10 * digit + seed, *size, dark))
        assert reading.dark_ink == dark and not reading.warnings, (digit, seed)
        rows, columns = np.flatnonzero(reading.digit.any(axis=1)), np.flatnonzero(reading.digit.any(axis=0))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert 19 <= max(height, width) <= 20 and reading.digit.max() > 200, (digit, seed)
        assert np.abs(centre_of(reading.digit) - 13.5).max() <= 0.55, (digit, seed)  # the middle of 28 pixels
        holes = len(cv2.findContours(reading.ink, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)[0]) - 1
        assert holes == {0: 1, 6: 1, 8: 2, 9: 1}.get(digit, 0), (digit, seed)


def test_otsu_is_that_of_opencv_and_tells_how_well_it_parts():
    for seed in range(20):
        generator = np.random.RandomState(seed)
        parts = generator.normal(60, 25, 3000), generator.normal(190, 20, 500)
        image = np.clip(np.concatenate(parts), 0, 255).astype(np.uint8).reshape(50, 70)
        threshold, _ = cv2.threshold(image, 0, 255, cv2.THRESH_OTSU)
        found, share = ink.otsu(image)
        assert found == threshold
        above = image > found
        between = above.mean() * (1 - above.mean()) * (image[above].mean() - image[~above].mean()) ** 2
        assert share == pytest.approx(between / image.var())
    assert ink.otsu(np.full((4, 4), 7, np.uint8))[1] == 0
    assert ink.otsu(np.array([[3, 3, 200]], np.uint8)) == (3, pytest.approx(1.0))


def test_light_that_falls_off_does_not_hide_the_ink():
    """Where one threshold for the whole photo finds the shadow, that for the distance from the paper finds the digit."""
    photo = drawn(7, 3)
    columns = np.arange(640)
    dim = np.clip(photo * (0.25 + 0.75 * columns / 640)[None, :, None], 0, 255).astype(np.uint8)
    whole = cv2.threshold(cv2.cvtColor(dim, cv2.COLOR_RGB2GRAY), 0, 255, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)[1]
    even = ink.find(photo).ink
    found = ink.find(dim).ink
    both = ((found > 0) & (even > 0)).sum() / ((found > 0) | (even > 0)).sum()
    assert both > 0.85 and (whole > 0).mean() > 3 * (even > 0).mean()


def test_faint_ink_in_a_deep_shadow_is_found():
    rows, columns = np.mgrid[:480, :1280]
    light = 235 - 90 * columns / 1280 - 90 * np.exp(-(((columns - 800) / 300) ** 2) - ((rows - 60) / 160) ** 2)
    sheet = np.zeros((480, 1280), np.uint8)
    for line in WRITTEN[5]:
        cv2.polylines(sheet, [np.round(line * [90, 120] + [500, 240]).astype(np.int32)], False, 255, 9, cv2.LINE_AA)
    photo = light * (1 - 0.35 * sheet / 255) + np.random.RandomState(0).randn(480, 1280) * 3
    reading = ink.find(np.clip(photo, 0, 255).astype(np.uint8)[..., None].repeat(3, 2))
    found = cv2.resize(reading.ink, (1280, 480), interpolation=cv2.INTER_NEAREST) > 0
    assert not reading.warnings and (found & (sheet > 127)).sum() > 0.8 * (found | (sheet > 127)).sum()


@pytest.mark.parametrize("thick", [2, 6, 20, 60])
def test_pens_of_all_widths_give_strokes_that_the_network_knows(thick):
    digit = ink.find(drawn(7, 5, thick=thick)).digit
    width = ink.stroke_width(np.where(digit > 127, 255, 0))
    assert 1 <= width <= 8 and (thick > 20 or width <= 4), width


def test_one_of_mnists_own_comes_back_nearly_as_it_was():
    sheet = np.zeros((28, 28), np.uint8)
    points = [np.round((WRITTEN[2][0] * [6, 9.4] + 13.5) * 8).astype(np.int32)]
    cv2.polylines(sheet, points, False, 255, 2, cv2.LINE_AA, 3)
    found = ink.find(np.stack([sheet] * 3, axis=2)).digit
    apart = [np.abs(np.roll(found, (y, x), (0, 1)).astype(int) - sheet).mean() for y in (-1, 0, 1) for x in (-1, 0, 1)]
    assert min(apart) < 20  # of 255; it was enlarged, made even, and made small again


def paper(height=300, width=400, level=230):
    return np.full((height, width, 3), level, np.uint8)


def nothing(kind):
    generator = np.random.RandomState(0)
    if kind == "blank":
        return paper()
    if kind == "black":
        return paper(level=0)
    if kind == "too faint":
        faint = paper()
        cv2.putText(faint, "5", (150, 220), 0, 5, (223, 223, 223), 12)
        return faint
    if kind == "uneven light alone":
        rows, columns = np.mgrid[:300, :400]
        light = 210 - 90 * columns / 400 - 40 * np.exp(-(((columns - 150) / 100) ** 2) - ((rows - 100) / 80) ** 2)
        return np.clip(light + generator.randn(300, 400) * 4, 0, 255).astype(np.uint8)[..., None].repeat(3, 2)
    if kind == "noise":
        return generator.randint(0, 256, (300, 400, 3)).astype(np.uint8)
    spots = paper()
    spots[(np.mgrid[:300, :400] % 40 < 8).all(axis=0)] = 20
    return spots


@pytest.mark.parametrize("kind, reason", [
    ("blank", "the same everywhere"), ("black", "the same everywhere"), ("uneven light alone", "no ink stands out"),
    ("noise", "no ink stands out"), ("spots", "separate spots"), ("too faint", "no ink stands out"),
])  # fmt: skip
def test_where_no_digit_is_one_sentence_says_so(kind, reason):
    with pytest.raises(ink.NoSign, match=reason):
        ink.find(nothing(kind))


def test_what_is_beside_the_digit_is_left_out_and_told_of():
    alone, line = paper(400, 600), (20, 20, 20)
    cv2.putText(alone, "5", (230, 280), 0, 7, line, 14)
    expected = ink.find(alone)
    specks = alone.copy()
    for x, y in ((40, 40), (550, 350), (560, 60)):
        cv2.circle(specks, (x, y), 4, line, -1)
    cv2.line(specks, (0, 60), (150, 120), line, 14)  # a pencil that lies there
    found = ink.find(specks)
    assert ((found.ink > 0) != (expected.ink > 0)).sum() < 0.03 * (expected.ink > 0).sum() and not found.warnings
    two = paper(400, 600)
    cv2.putText(two, "37", (130, 280), 0, 7, line, 14)
    assert "more than one thing" in ink.find(two).warnings[0].en
    cut = alone[:, :300]
    assert "reaches the edge" in ink.find(np.ascontiguousarray(cut)).warnings[0].en


# ---- whole runs ----


@pytest.fixture(scope="module")
def trained(shared, tmp_path_factory):
    """The folder of a run on the sample that knows drawn digits."""
    runs = tmp_path_factory.mktemp("trained")
    status, said = run_here(lab, ["--smoke"], shared, runs)
    assert status == 0, said
    return newest(lab, runs)


def test_the_smoke_run_learns_and_shows_everything(trained):
    found = summary(trained)["metrics"]
    assert found["accuracy"] > 0.9 and {"ece", "ece_scaled", "temperature"} < set(found)
    tables = {path.stem for path in (trained / "tables").glob("*.json")}
    assert {"result", "layers", "entropy", "calibration"} <= tables
    plots = {path.stem for path in (trained / "plots").glob("*.png")}
    assert {"training_images", "entropy", "confusion", "calibration"} <= plots


@pytest.mark.slow
def test_a_run_that_stopped_goes_on_to_the_same_bits(shared, tmp_path):
    arguments = [*TINY, "--warp=0.1", "--hold-out=400", "--views"]
    folder = assert_resumes_exactly(lab, arguments, 23, shared, tmp_path)
    assert {"accuracy", "views_accuracy", "holdout_accuracy"} < set(summary(folder)["metrics"])


def test_folds_that_stopped_go_on_to_the_same_bits_and_see_no_test_image(shared, tmp_path, monkeypatch):
    """Stopped in the second of three: each has 2 epochs of 13 steps."""
    folder = assert_resumes_exactly(lab, [*TINY, "--folds=3"], 30, shared, tmp_path)
    rows = json.loads((folder / "tables" / "folds.json").read_text())["rows"]
    assert [row[2] for row in rows[:3]] == [1334, 1333, 1333]
    assert set(summary(folder)["metrics"]) == {"fold_accuracy", "fold_deviation"}
    assert b"test" not in (folder / "metrics.jsonl").read_bytes()


def test_the_notes_recipe_runs_and_learns(shared, tmp_path):
    status, said = run_here(lab, ["--sample", "--preset=notes", "--epochs=1"], shared, tmp_path)
    assert status == 0 and summary(newest(lab, tmp_path))["metrics"]["accuracy"] > 0.8, said


@pytest.mark.parametrize("arguments, reason", [
    (["--folds=3", "--hold-out=100"], "--hold-out has nothing to add"),
    (["--hold-out=4000"], "4,000 training images are too few"),
    (["--folds=5000"], "4,000 training images are too few"),
    (["--label-smoothing=1"], "would leave nothing of the label"),
    (["--warp=2"], "would turn a 6 into a 9"),
    (["--side=25"], "unknown value 25"),
])  # fmt: skip
def test_what_cannot_be_trained_is_refused_in_one_sentence(arguments, reason, shared, tmp_path):
    status, said = run_here(lab, ["--sample", *arguments], shared, tmp_path)
    assert status == 2 and reason in said and "Traceback" not in said, said
    assert not list(tmp_path.glob("mnist/*"))


def test_photos_of_drawn_digits_are_read(trained, tmp_path):
    """By a network that learned from the sample alone, which draws in its own way: eight of ten."""
    right = 0
    saved = lab.load_checkpoint(trained, "mnist", {})["state"]
    model = lab.build_model(lab.Config(**saved["config"]))
    model.load_state_dict(saved["model"])
    for digit in range(10):
        reading = ink.find(drawn(digit, 50 + digit))
        logits = lab.classify(model, torch.from_numpy(reading.digit).unsqueeze(0), 24, CPU, views=True)
        right += int(logits[0].argmax()) == digit
    assert right >= 8


def saved_as(path, photo, form):
    """The photo in one of the forms in which people have them."""
    image = Image.fromarray(photo)
    if form == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6  # to be seen upright it is turned by 90 degrees clockwise
        Image.fromarray(np.rot90(photo).copy()).save(str(path), exif=exif.tobytes(), quality=92)
    elif form == "RGBA":
        alpha = 255 - cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
        Image.fromarray(np.dstack([np.zeros_like(photo), alpha])).save(str(path))
    elif form == "16 bit":
        Image.fromarray(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.uint16) * 257).save(str(path))
    else:
        image.convert(form).save(str(path))
    return str(path)


@pytest.mark.parametrize("form, suffix", [("RGB", "jpg"), ("L", "png"), ("RGBA", "png"), ("16 bit", "png"),
                                          ("turned", "jpg"), ("P", "png")])  # fmt: skip
def test_photos_of_all_kinds_are_read_alike(form, suffix, tmp_path):
    photo = drawn(4, 8)
    expected = ink.find(photo)
    found = ink.read_sign(saved_as(tmp_path / f"my digit.{suffix}", photo, form), "")
    apart = [np.abs(np.roll(found.digit, (y, x), (0, 1)).astype(int) - expected.digit).mean()
             for y in (-1, 0, 1) for x in (-1, 0, 1)]  # fmt: skip
    assert min(apart) < 12, form


def test_a_photo_is_read_and_each_step_shown(trained, shared, tmp_path):
    path = saved_as(tmp_path / "my digit.png", drawn(7, 2), "RGB")
    status, said = run_here(lab, [f"--predict={path}", f"--checkpoint={trained}"], shared, tmp_path)
    assert status == 0 and said.count("%") >= 3 and "trained on the sample" in said, said
    folder = newest(lab, tmp_path)
    assert (folder / "plots" / "reading.png").exists() and (folder / "plots" / "prediction.png").exists()
    assert summary(folder)["metrics"]["digit"] == 7


@pytest.mark.parametrize("content, reason", [
    (b"", "is not an image"), (b"not an image", "is not an image"),
    ((1, 1), "has 1 x 1 pixels"), ((7, 300), "has 300 x 7 pixels"), ("blank", "the same everywhere"),
    ("noise", "no ink stands out"), ("spots", "separate spots"),
])  # fmt: skip
def test_what_cannot_be_read_is_one_sentence(content, reason, trained, shared, tmp_path):
    path = tmp_path / "photo.png"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        Image.fromarray(paper(*content) if isinstance(content, tuple) else nothing(content)).save(str(path))
    status, said = run_here(lab, [f"--predict={path}", f"--checkpoint={trained}"], shared, tmp_path / "runs")
    assert status == 2 and reason in said and "photo.png" in said and "Traceback" not in said, said
    assert not list((tmp_path / "runs").glob("mnist/*"))


def test_a_huge_photo_is_read(tmp_path):
    path = saved_as(tmp_path / "huge.jpg", cv2.resize(drawn(3, 1), (6000, 4500)), "RGB")
    assert ink.read_sign(path, "").grey.shape == (768, 1024)


def test_without_a_network_there_is_nothing_to_read_with(shared, tmp_path):
    path = saved_as(tmp_path / "a.png", drawn(1, 0), "RGB")
    status, said = run_here(lab, [f"--predict={path}"], shared, tmp_path / "runs")
    assert status == 2 and "no network has been trained yet" in said

"""The lab pix2pix: its training beside a plain reference, its judge, its measures and what its pictures show."""

from __future__ import annotations

import copy
import itertools
import json

import numpy as np
import pytest
import torch
from labruns import Adam, Desk, newest, row_names, run_here, summary, tiles
from torch.nn import functional as F

from labkit.runs import compat
from labs.pix2pix import data, lab, models

SIDE, STEPS = 32, 3


def pairs(count, side=SIDE + 4, seed=0):
    """Photographs of noise, and labels in stripes of the published colours, uint8 (count, side, side, 3) each."""
    random = np.random.RandomState(seed)
    photos = random.randint(0, 256, (count, side, side, 3)).astype(np.uint8)
    labels = data.COLOURS[random.randint(0, 12, (count, 1, side))].repeat(side, axis=1)
    return torch.from_numpy(photos), torch.from_numpy(np.ascontiguousarray(labels))


def settings(**given):
    return lab.Config(**{"size": SIDE, "steps": STEPS, "width": 4, "batch_size": 2, "lr": 0.001, **given})


def build(made):
    torch.manual_seed(0)
    return models.UNet(SIDE, 4, made.skips), models.PatchGAN(4, lab.LAYERS[made.patch])


@pytest.fixture
def desk(monkeypatch):
    monkeypatch.setattr(lab, "LOOKS", 1)
    monkeypatch.setattr(compat, "fast_dtype", lambda device: (torch.float32, "tests"))
    return Desk(seed=2)


def seen_by_the_loss(network):
    """The weights without those biases that a normalisation takes away again: their gradient is 0, and noise."""
    modules = dict(network.named_modules())
    for name, weight in network.named_parameters():
        if weight.dim() > 1 or isinstance(modules[name.rpartition(".")[0]], torch.nn.InstanceNorm2d):
            yield name, weight


def reference(made, photos, labels, seed):
    """(generator, discriminator, rows of the log): one pass of the generator in a step, with which both learn."""
    generator, discriminator = build(made)
    optimizer_g, optimizer_d = (Adam(network.parameters(), (0.5, 0.999)) for network in (generator, discriminator))
    bce, rows = F.binary_cross_entropy_with_logits, []
    torch.manual_seed(5)
    for step in range(made.steps):
        given, true = lab.batch(photos, labels, step, made, seed)
        drawn, row, fooling = generator(given), {"step": step + 1}, 0.0
        if made.gan_weight:
            real, fake = discriminator(given, true), discriminator(given, drawn.detach())
            loss_d = (bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))) / 2
            optimizer_d.descend(loss_d, made.lr)
            judged = discriminator(given, drawn)
            fooling = made.gan_weight * bce(judged, torch.ones_like(judged))
            row.update(discriminator_loss=loss_d, real_logit=real.mean(), fake_logit=fake.mean())
        distance = (drawn - true).abs() if made.reconstruction == "l1" else (drawn - true) ** 2
        loss_g = made.reconstruction_weight * distance.mean() + fooling
        optimizer_g.descend(loss_g, made.lr)
        rows.append({name: float(value) for name, value in {**row, "generator_loss": loss_g}.items()})
    return generator, discriminator, rows


@pytest.mark.parametrize("given", [{}, {"direction": "to-labels", "reconstruction": "l2", "reconstruction_weight": 7.0,
                                        "gan_weight": 2.0}, {"gan_weight": 0.0, "skips": False}], ids=range(3))  # fmt: skip
def test_three_steps_are_those_of_the_reference(given, desk):
    made, (photos, labels) = settings(**given), pairs(5)
    generator, discriminator = build(made)
    before = copy.deepcopy(discriminator.state_dict())
    torch.manual_seed(5)
    shown = tuple(part[:2, :SIDE, :SIDE] for part in (labels, photos))
    lab.train(generator, discriminator, photos, labels, shown, made, desk)
    wanted_generator, wanted_discriminator, rows = reference(made, photos, labels, desk.seed)
    for network, wanted in ((generator, wanted_generator), (discriminator, wanted_discriminator)):
        for (name, one), (_, other) in zip(seen_by_the_loss(network), seen_by_the_loss(wanted)):
            assert torch.allclose(one, other, atol=3e-5), name
    assert desk.logged == [pytest.approx(row, rel=1e-3, abs=1e-5) for row in rows]
    if not made.gan_weight:  # a discriminator that is left out does not learn
        assert all(torch.equal(value, before[name]) for name, value in discriminator.state_dict().items())


@pytest.mark.parametrize("direction", ["to-photo", "to-labels"])
def test_a_batch_is_windows_of_pairs_and_follows_from_seed_and_step(direction):
    photos, labels = pairs(4)
    made = settings(direction=direction, batch_size=3)
    given, true = lab.batch(photos, labels, 7, made, 1)
    assert all(torch.equal(one, other) for one, other in zip((given, true), lab.batch(photos, labels, 7, made, 1)))
    for step, seed in ((8, 1), (7, 2)):
        assert not torch.equal(given, lab.batch(photos, labels, step, made, seed)[0])
    as_photo, as_labels = (data.to_pixels(part) for part in ((true, given) if direction == "to-photo" else (given, true)))
    for photo, label in zip(as_photo, as_labels):
        found = []
        for k, y, x in itertools.product(range(4), range(5), range(5)):
            window = photos[k, y : y + SIDE, x : x + SIDE]
            found += [(k, y, x, mirrored) for mirrored in (False, True) if torch.equal(photo, window.flip(1) if mirrored else window)]
        ((k, y, x, mirrored),) = found
        window = labels[k, y : y + SIDE, x : x + SIDE]
        assert torch.equal(label, window.flip(1) if mirrored else window)


def test_progress_shows_what_was_given_then_drawn_then_true(desk, monkeypatch):
    monkeypatch.setattr(lab, "LOOKS", 3)
    drawn = []
    monkeypatch.setattr(lab, "draw", lambda generator, given, run: drawn.append(255 - given // (len(drawn) + 2)) or drawn[-1])
    photos, labels = pairs(5)
    shown = labels[:2, :SIDE, :SIDE], photos[:2, :SIDE, :SIDE]
    made = settings()
    lab.train(*build(made), photos, labels, shown, made, desk)
    figure = desk.figures["progress"]
    assert row_names(figure, SIDE) == {0: "given", 1: "step 1", 2: "step 2", 3: "step 3", 4: "true"}
    assert np.array_equal(tiles(figure, SIDE), torch.stack([shown[0], *drawn, shown[1]]).numpy())


# ---- the judge and the measures ----


def test_the_judge_names_pixels_in_evaluation_mode_and_leaves_the_random_numbers_alone():
    random = np.random.RandomState(0)
    classes = random.randint(0, 12, (12, 2, 2)).repeat(8, axis=1).repeat(8, axis=2)
    labels = torch.from_numpy(data.COLOURS[classes])
    photos = (labels.float() * 0.5 + 40).byte()  # what shows a class is its colour
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    judge = lab.train_segmenter(photos, labels, Desk())
    assert torch.equal(torch.rand(3), expected)
    assert not judge.training
    together = lab.label_accuracy(judge, photos, labels, Desk())
    alone = [lab.label_accuracy(judge, photo[None], label[None], Desk()) for photo, label in zip(photos, labels)]
    assert together == pytest.approx(np.mean(alone)) and together > 0.6
    again = lab.train_segmenter(photos, labels, Desk(seed=1))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in judge.state_dict().items())


def test_label_accuracy_is_the_share_of_pixels():
    class Knows(torch.nn.Module):
        """Reads the class off the red of a photograph."""

        def forward(self, x):
            return F.one_hot(((x[:, 0] + 1) * 127.5).round().long(), 12).permute(0, 3, 1, 2).float()

    labels = torch.from_numpy(data.COLOURS[np.arange(20 * 8 * 8).reshape(20, 8, 8) % 12])
    photos = data.classes_of(labels)[..., None].repeat(1, 1, 1, 3).byte()
    assert lab.label_accuracy(Knows(), photos, labels, Desk()) == 1
    photos[3:, 0] = (photos[3:, 0] + 1) % 12  # one row of eight, in 17 of 20
    assert lab.label_accuracy(Knows(), photos, labels, Desk()) == pytest.approx(1 - 17 / 20 / 8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.mark.parametrize("direction", ["to-photo", "to-labels"])
def test_the_measures_are_of_the_test_pairs_and_what_was_drawn(direction, folder, tmp_path, monkeypatch):
    """With a network that draws everything in one grey."""
    monkeypatch.setattr(lab, "train", lambda generator, discriminator, photos, *rest: seen.append((len(photos), rest[1])))
    monkeypatch.setattr(lab, "draw", lambda generator, given, run: torch.full_like(given, 85))
    judges, seen = [], []
    monkeypatch.setattr(lab, "train_segmenter", lambda photos, labels, run: judges.append(models.Segmenter(12).eval()) or judges[-1])
    status, said = run_here(lab, ["--sample", "--size=32", "--width=4", f"--direction={direction}"], folder, tmp_path)
    assert status == 0, said
    run = newest(lab, tmp_path)
    sample = next(folder.glob("facades*"))
    (count, shown), (photos, labels) = seen[0], data.read_pairs(sample, "test", 32)
    assert count == len(data.read_pairs(sample, "train", 36)[0])
    given, true = (labels, photos) if direction == "to-photo" else (photos, labels)
    assert torch.equal(shown[0], given[:4]) and torch.equal(shown[1], true[:4])
    grey, found = torch.full_like(true, 85), summary(run)["metrics"]
    assert found["l1"] == pytest.approx(float((true.float() - 85).abs().mean()) / 127.5, rel=1e-5)
    assert found["sharpness"] == 0
    expected = float((data.classes_of(grey) == data.classes_of(labels)).float().mean())
    if direction == "to-photo":
        expected = lab.label_accuracy(judges[0], grey, labels, Desk())
    assert found["label_accuracy"] == pytest.approx(expected)
    rows = json.loads((run / "tables" / "measures.json").read_text())["rows"]
    assert [row[0] for row in rows] == ["before training", "after training", "true"]
    assert rows[0][1:] == rows[1][1:] == [f"{found[name]:.3f}" for name in ("label_accuracy", "l1", "sharpness")]
    best = lab.label_accuracy(judges[0], true, labels, Desk()) if direction == "to-photo" else 1.0
    assert rows[2][1:] == [f"{best:.3f}", "0.000", "1.000"]

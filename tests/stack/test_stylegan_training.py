"""The lab stylegan: its training beside a plain reference, and what its pictures and tables show."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from labruns import Adam, Desk, assert_same_weights, row_names, tiles
from torch.nn import functional as F

from labkit.runs import compat
from labkit.runs.batches import Batches
from labkit.runs.judge import Judge
from labs.stylegan import lab, models

STEPS, LATENT = 3, 8


def images(count, seed=0):
    return torch.from_numpy(np.random.RandomState(seed).randint(0, 256, (count, 32, 32, 1)).astype(np.uint8))


def settings(**given):
    return lab.Config(**{"steps": STEPS, "width": 2, "batch_size": 4, "latent": LATENT, "mapping_layers": 2, "lr": 0.001,
                         "r1_every": 2, "average": 0.8, **given})  # fmt: skip


def build(made):
    torch.manual_seed(0)
    generator = models.Generator(1, made.width, made.latent, made.mapping_layers)
    return generator, copy.deepcopy(generator).eval(), models.Discriminator(1, made.width)


def judge_and_features():
    torch.manual_seed(1)
    return Judge(1, 10), np.random.RandomState(0).randn(20, 64)


@pytest.fixture
def desk(monkeypatch):
    monkeypatch.setattr(lab, "LOOKS", 1)
    monkeypatch.setattr(lab, "JUDGED", 20)
    monkeypatch.setattr(compat, "fast_dtype", lambda device: (torch.float32, "tests"))
    return Desk(seed=3)


def reference(made, seed):
    """(generator, average, discriminator, rows of the log)."""
    generator, average, discriminator = build(made)
    pixels, batches, rows, bce = images(10), Batches(10, made.batch_size, seed), [], F.binary_cross_entropy_with_logits
    mapped = [name.startswith("mapping") for name, _ in generator.named_parameters()]
    rates = [made.lr / 10 if one else made.lr for one in mapped]
    optimizer_g, optimizer_d = (Adam(network.parameters(), (0.0, 0.99)) for network in (generator, discriminator))
    torch.manual_seed(5)
    for step in range(made.steps):
        real = pixels[batches[step]].permute(0, 3, 1, 2).float() / 255 * 2 - 1
        fake = generator(lab.random_styles(generator, made, torch.device("cpu"))).detach()
        on_real, on_fake = discriminator(real), discriminator(fake)
        loss_d = bce(on_real, torch.ones_like(on_real)) + bce(on_fake, torch.zeros_like(on_fake))
        row = {"step": step + 1, "discriminator_loss": loss_d, "real_logit": on_real.mean(), "fake_logit": on_fake.mean()}
        everything = loss_d
        if made.r1 and step % made.r1_every == 0:
            given = real.clone().requires_grad_()
            (slope,) = torch.autograd.grad(discriminator(given).sum(), given, create_graph=True)
            row["r1"] = (slope**2).sum(dim=(1, 2, 3)).mean() / 2
            everything = loss_d + made.r1 * made.r1_every * row["r1"]
        optimizer_d.descend(everything, made.lr)
        verdict = discriminator(generator(lab.random_styles(generator, made, torch.device("cpu"))))
        row["generator_loss"] = bce(verdict, torch.ones_like(verdict))
        alike = 0.0
        for conv in generator.convs:
            rows_of_it = conv.weight.flatten(1)
            products = rows_of_it @ rows_of_it.t()
            alike = alike + (products**2).sum() - (products.diagonal() ** 2).sum()
        optimizer_g.descend(row["generator_loss"] + made.orthogonal * alike, rates)
        for kept, new in zip(average.parameters(), generator.parameters()):
            kept.data = made.average * kept.data + (1 - made.average) * new.data
        rows.append({name: float(value) for name, value in row.items()})
    return generator, average, discriminator, rows


@pytest.mark.parametrize("given", [{}, {"orthogonal": 0.01, "r1": 2.0}, {"r1": 0.0, "mapping_layers": 0, "mixing": 1.0}],
                         ids=["the default", "orthogonal", "no penalty, no mapping"])  # fmt: skip
def test_three_steps_are_those_of_the_reference(given, desk):
    made = settings(**given)
    generator, average, discriminator = build(made)
    judge, features = judge_and_features()
    torch.manual_seed(5)
    lab.train(generator, average, discriminator, images(10), judge, features, made, desk)
    *wanted, rows = reference(made, desk.seed)
    for network, other in zip((generator, average, discriminator), wanted):
        assert_same_weights(network, other, atol=3e-5)
    assert desk.logged[:-1] == [pytest.approx(row, rel=2e-3, abs=1e-5) for row in rows]
    drawn = lab.draw(average, lab.same_for_all_layers(lab.fixed_w(average, made, desk)))
    measured = lab.measure(drawn, judge, features)
    assert desk.logged[-1] == {"step": STEPS, "kid": measured["kid"], "class_entropy": measured["class_entropy"]}
    assert np.array_equal(tiles(desk.figures["progress"], 32), drawn[None, :10, ..., 0].numpy())
    assert row_names(desk.figures["progress"], 32) == {0: "step 3"} and not average.training


def test_confidence_is_the_mean_probability_of_the_guess():
    judge, features = judge_and_features()
    found = lab.measure(images(20), judge, features)
    _, probabilities = judge.look(images(20))
    assert found["confidence"] == pytest.approx(float(np.mean([row.max() for row in probabilities])))


# ---- what is shown ----


@pytest.fixture
def shown():
    """A generator whose noise shows, and its styles."""
    torch.manual_seed(0)
    generator = models.Generator(1, 4, LATENT, 1).eval()
    for noise in generator.noises:
        noise.strength.data.fill_(0.5)
    return generator, torch.randn(20, LATENT)


def drawn(generator, styles):
    """One image of one style for each layer, with the fixed noise: uint8 (32, 32)."""
    with torch.no_grad():
        return lab.to_pixels(generator.eval()(styles[None]))[0, ..., 0].numpy()


def test_truncation_shows_the_same_vectors_from_the_mean_to_themselves(shown):
    (generator, w), desk = shown, Desk()
    judge, features = judge_and_features()
    mean = w.mean(dim=0, keepdim=True)
    lab.show_truncation(desk, generator, w, mean, judge, features)
    found = tiles(desk.figures["truncation"], 32)
    assert list(row_names(desk.figures["truncation"], 32).values()) == ["ψ = 0", "ψ = 0.5", "ψ = 0.7", "ψ = 1"]
    for row, psi in enumerate((0, 0.5, 0.7, 1)):
        for column in (0, 3, 9):
            expected = drawn(generator, ((1 - psi) * mean[0] + psi * w[column]).expand(models.LAYERS, -1))
            assert np.abs(found[row, column].astype(int) - expected).max() <= 1
    table = desk.tables["truncation"]
    assert [row[0] for row in table] == ["0", "0.5", "0.7", "1"]
    measured = lab.measure(lab.draw(generator, models.same_for_all_layers(w)), judge, features)
    assert table[-1][1:] == [f"{measured[name]:.3f}" for name in ("kid", "class_entropy", "confidence")]


def test_mixing_takes_the_coarse_styles_of_the_left_and_the_fine_ones_of_the_top(shown):
    (generator, w), desk = shown, Desk()
    lab.show_mixing(desk, generator, w)
    found = tiles(desk.figures["mixing"], 32)
    assert (found[0, 0] == 255).all() and found.shape[:2] == (7, 7)
    for k in range(6):
        assert np.abs(found[k + 1, 0].astype(int) - drawn(generator, w[k].expand(models.LAYERS, -1))).max() <= 1
        assert np.abs(found[0, k + 1].astype(int) - drawn(generator, w[6 + k].expand(models.LAYERS, -1))).max() <= 1
    for row, column in ((0, 0), (2, 4), (5, 1)):
        styles = torch.stack([w[row]] * 3 + [w[6 + column]] * (models.LAYERS - 3))  # 4 x 4 and 8 x 8 have three layers
        assert np.abs(found[row + 1, column + 1].astype(int) - drawn(generator, styles)).max() <= 1


def test_new_noise_is_drawn_for_the_figure_alone(shown):
    (generator, w), desk = shown, Desk()
    torch.manual_seed(4)
    expected = torch.rand(2)
    torch.manual_seed(4)
    lab.show_mixing(desk, generator, w)
    assert torch.equal(torch.rand(2), expected) and not generator.training
    found = tiles(desk.figures["noise"], 32)
    assert found.shape[:2] == (3, 10)
    for row in found:
        assert len({image.tobytes() for image in row}) == 10
    for noise in generator.noises:
        noise.strength.data.zero_()
    lab.show_mixing(desk, generator, w)
    for row, images_of_it in enumerate(tiles(desk.figures["noise"], 32)):
        assert all(np.abs(image.astype(int) - drawn(generator, w[row].expand(models.LAYERS, -1))).max() <= 1 for image in images_of_it)


def test_drawing_leaves_the_mode_of_the_network_as_it_was(shown):
    generator, w = shown
    styles = models.same_for_all_layers(w)
    one = lab.draw(generator.train(), styles)
    assert generator.training and torch.equal(one, lab.draw(generator.eval(), styles)) and not generator.training
    assert not torch.equal(lab.draw(generator, styles, new_noise=True), one) and not generator.training

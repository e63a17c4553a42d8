"""The lab autoencoder: its training beside a plain reference, what it measures, and what its pictures show."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from labruns import Adam, Desk, assert_same_weights, row_names, tiles
from torch import distributions

from labkit.runs import compat
from labkit.runs.batches import Batches
from labs.autoencoder import lab, losses, models

STEPS = 4


def images(count, seed=0):
    """Drawn 0 and 1, uint8 (count, 1, 28, 28)."""
    return torch.from_numpy(np.random.RandomState(seed).randint(0, 2, (count, 1, 28, 28)).astype(np.uint8))


def settings(**given):
    return lab.Config(**{"steps": STEPS, "hidden": 8, "latent": 3, "batch_size": 6, "channels": 2, "layers": 1,
                         "lr": 0.01, **given})  # fmt: skip


def build(made):
    torch.manual_seed(0)
    return lab.build(made)


@pytest.fixture
def desk(monkeypatch):
    monkeypatch.setattr(lab, "LOOKS", 1)
    monkeypatch.setattr(compat, "fast_dtype", lambda device: (torch.float32, "tests"))
    return Desk(seed=3)


def parts_of_the_loss(model, x, made, noise):
    """By PyTorch's own distributions, (N,) each."""

    def surprise(logits):
        return -distributions.Bernoulli(logits=logits).log_prob(x).sum(dim=(1, 2, 3))

    if made.model == "pixelcnn":
        return {"nats": surprise(model(x))}
    mean, log_variance = model.encode(x)
    if made.model == "ae":
        return {"reconstruction": surprise(model.decode(mean))}
    code = distributions.Normal(mean, (log_variance / 2).exp())
    kl = distributions.kl_divergence(code, distributions.Normal(torch.zeros(1), torch.ones(1))).sum(dim=1)
    return {"reconstruction": surprise(model.decode(mean + code.stddev * noise)), "kl": kl}


@pytest.mark.parametrize("given", [{"model": "ae"}, {"beta": 4.0}, {"model": "pixelcnn"}], ids=["ae", "vae", "pixelcnn"])
def test_four_steps_are_those_of_the_reference(given, desk):
    made, pixels = settings(**given), images(13)
    model, reference = build(made), build(made)
    torch.manual_seed(5)
    lab.train(model, pixels, images(4, seed=1), made, desk)
    optimizer, batches, rows = Adam(reference.parameters()), Batches(13, made.batch_size, desk.seed), []
    torch.manual_seed(5)
    for step in range(STEPS):
        x, noise = pixels[batches[step]].float(), torch.randn(made.batch_size, made.latent)
        parts = parts_of_the_loss(reference, x, made, noise)
        loss = sum(part * (made.beta if name == "kl" else 1) for name, part in parts.items()).mean()
        optimizer.descend(loss, made.lr * (1 - step / STEPS))
        rows.append({"step": step + 1, "train_loss": float(loss)})
    assert_same_weights(model, reference, atol=1e-4)
    assert desk.logged[:-1] == [pytest.approx(row, rel=1e-4) for row in rows]
    tested = lab.evaluate(model, images(4, seed=1), made, desk)
    assert desk.logged[-1] == {"step": STEPS, **{f"test_{name}": value for name, value in tested.items()}}
    invented = (255 * lab.invent(model, 10, made, desk)).byte()[:, 0].numpy()
    assert np.array_equal(tiles(desk.figures["progress"], 28), invented[None])
    assert row_names(desk.figures["progress"], 28) == {0: "step 4"}


@pytest.mark.parametrize("model", ["ae", "vae", "pixelcnn"])
def test_what_is_measured_is_the_mean_over_all_test_images(model):
    """Of more than one part of 500; beta weighs what is learned, not what is measured."""
    made, count = settings(model=model, beta=9.0), 501 if model != "pixelcnn" else 30
    network, test = build(made), images(count, seed=2)
    for weight in network.parameters():
        weight.data.mul_(3)  # so that images differ in what they cost, and
    test[-1] = 1  # the last one counts
    generator = torch.Generator().manual_seed(0)
    noise = torch.cat([torch.randn(len(part), made.latent, generator=generator) for part in test.split(500)])
    with torch.no_grad():
        parts = {name: float(part.mean()) for name, part in parts_of_the_loss(network, test.float(), made, noise).items()}
    wanted = {"nats": sum(parts.values()), **parts} if model == "vae" else parts
    found = lab.evaluate(network, test, made, Desk())
    assert found == pytest.approx(wanted, rel=1e-4) and list(found) == list(wanted)


def grey(probabilities):
    return (255 * probabilities.detach()).byte()[:, 0].numpy()


def test_copies_stand_below_their_originals_and_walks_between_codes():
    made, test = settings(latent=2), images(25)
    model, desk, labels = build(made), Desk(), np.arange(25) % 10
    lab.show_copies(desk, model, test, labels, made)
    codes, _ = model.encode(test.float())
    copies, found = grey(torch.sigmoid(model.decode(codes))), tiles(desk.figures["copies"], 28)
    originals = 255 * test[:, 0].numpy()
    for row, expected in enumerate((originals[:10], copies[:10], originals[10:20], copies[10:20])):
        assert np.abs(found[row].astype(int) - expected).max() <= 1
    assert row_names(desk.figures["copies"], 28) == {0: "original", 1: "copy", 2: "original", 3: "copy"}
    walk = tiles(desk.figures["walk"], 28)
    for row in range(5):
        for column in (0, 3, 9):
            code = codes[2 * row] * (9 - column) / 9 + codes[2 * row + 1] * column / 9
            assert np.abs(walk[row, column].astype(int) - grey(torch.sigmoid(model.decode(code[None])))[0]).max() <= 1
    axis = desk.figures["map"].axes[0]
    (points,) = axis.collections
    assert np.allclose(points.get_offsets(), codes.detach().numpy(), atol=1e-5) and not axis.yaxis_inverted()
    assert np.array_equal(points.get_array(), labels)
    lab.show_copies(Desk(), build(settings()), test, labels, settings())  # three numbers make no map


def test_the_scatter_of_the_gradients_is_that_of_a_hundred_draws():
    made, desk, x = settings(), Desk(), images(3).float()
    model = build(made)
    found = lab.compare_gradients(desk, model, x, made)
    mean, log_variance = (part.detach() for part in model.encode(x))
    generator = torch.Generator().manual_seed(0)
    for kind in ("pathwise", "score"):
        gradients = []
        for _ in range(100):
            leaf = mean.clone().requires_grad_()
            noise = torch.randn(mean.shape, generator=generator)
            value = losses.expectation(kind, lambda z: losses.negative_log_likelihood(model.decode(z), x), leaf,
                                       log_variance, noise).sum()  # fmt: skip
            gradients.append(torch.autograd.grad(value, leaf)[0].numpy())
        assert found[kind] == pytest.approx(float(np.std(gradients, axis=0, ddof=1).mean()), rel=1e-3)
    assert desk.tables["gradients"] == [[kind, f"{found[kind]:.2f}"] for kind in ("pathwise", "score")]


@pytest.mark.parametrize("model", ["vae", "pixelcnn"])
def test_the_page_shows_what_it_says(model, monkeypatch, tmp_path):
    """Training images are black, test images white: none of the one is taken for the other."""
    black, white = np.zeros((40, 28, 28), np.uint8), np.full((40, 28, 28), 128, np.uint8)
    loaded = {"train": (black, np.arange(40) % 10), "test": (white, np.arange(40) % 10)}
    monkeypatch.setattr(lab.mnist, "load", lambda folder, split: loaded[split])
    seen = []
    monkeypatch.setattr(lab, "train", lambda model, pixels, test, config, run: seen.append((pixels, test)))
    monkeypatch.setattr(models.PixelCNN, "continue_drawing", lambda self, given, row, generator: torch.cat(
        [given[:, :, :row], torch.full_like(given[:, :, row:], generator.initial_seed() / 10)], dim=2))  # fmt: skip
    made, desk = settings(model=model), Desk(seed=7)
    desk.dataset = lambda name: tmp_path
    torch.manual_seed(0)
    measured = lab.main(made, desk)
    ((pixels, test),) = seen
    assert not pixels.any() and test.all() and len(pixels) == len(test) == 40
    rows = {row[0]: row[1:] for row in desk.tables["measures"]}
    bits = measured["nats"] / 784 / np.log(2)
    assert rows["bits per pixel"] == [f"{bits:.3f}"] * 2  # nothing was trained
    assert [rows[name] for name in measured] == [[f"{value:.1f}"] * 2 for value in measured.values()]
    if model == "pixelcnn":
        found = tiles(desk.figures["endings"], 28)
        assert list(row_names(desk.figures["endings"], 28).values()) == ["original", "given", "drawn", "drawn", "drawn"]
        assert (found[0] == 255).all() and (found[1:, :, :14] == 255).all() and (found[1, :, 14:] == 127).all()
        assert [set(found[row, :, 14:].ravel().tolist()) for row in (2, 3, 4)] == [{0}, {25}, {51}]
        assert (tiles(desk.figures["inventions"], 28) == int(25.5 * 7)).all()
    else:
        assert tiles(desk.figures["inventions"], 28).shape[:2] == (5, 10) and "gradients" in desk.tables

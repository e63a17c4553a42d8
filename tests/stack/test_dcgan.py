"""The lab dcgan: its losses against formulas and autograd, its switches, and its runs."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from labruns import assert_resumes_exactly, newest, run_here, summary
from torch import nn
from torch.nn import functional as F

from labkit.runs import judge
from labs.dcgan import config, lab, losses, models

TINY = ["--sample", "--steps=16", "--width=4", "--batch-size=16", "--latent=8"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


# ---- losses ----


def test_cross_entropy_is_torchs_own():
    logits, wanted = 5 * torch.randn(50), torch.rand(50)
    expected = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    assert torch.allclose(losses.cross_entropy(logits, wanted), expected, atol=1e-6)


def test_each_generator_loss_is_its_formula():
    x = torch.linspace(-6, 6, 25)
    fooled = torch.sigmoid(x)
    for kind, expected in (
        ("minimax", torch.log(1 - fooled)), ("nonsaturating", -torch.log(fooled)), ("wgan-gp", -x),
        ("lsgan", (x - 1) ** 2),
    ):  # fmt: skip
        assert torch.allclose(losses.generator_loss(kind, x), expected.mean(), atol=1e-5), kind
    # inverted labels (section 87): to call generated images real is the nonsaturating loss
    inverted = F.binary_cross_entropy_with_logits(x, torch.ones(25))
    assert torch.allclose(losses.generator_loss("nonsaturating", x), inverted)


def test_each_discriminator_loss_is_its_formula():
    real, fake = torch.randn(9), torch.randn(9)
    ones, zeros = torch.ones(9), torch.zeros(9)
    bce = -torch.log(torch.sigmoid(real)).mean() - torch.log(1 - torch.sigmoid(fake)).mean()
    for kind, expected in (
        ("minimax", bce), ("nonsaturating", bce), ("wgan-gp", fake.mean() - real.mean()),
        ("lsgan", F.mse_loss(real, ones) + F.mse_loss(fake, zeros)),
    ):  # fmt: skip
        assert torch.allclose(losses.discriminator_loss(kind, real, fake, ones, zeros), expected, atol=1e-5), kind


def test_against_a_sure_discriminator_only_the_minimax_gradient_vanishes():
    slopes = {}
    for kind in config.LOSSES:
        logit = torch.full((1,), -12.0, requires_grad=True)
        losses.generator_loss(kind, logit).backward()
        slopes[kind] = abs(float(logit.grad))
    assert slopes["minimax"] < 1e-5 and slopes["nonsaturating"] > 0.999 and slopes["wgan-gp"] == 1


def test_the_gradient_penalty_of_known_critics():
    real, fake = torch.randn(6, 1, 4, 4), torch.randn(6, 1, 4, 4)
    weight = torch.randn(1, 4, 4)
    # a linear critic has the same slope everywhere
    got = losses.gradient_penalty(lambda x: (x * weight).sum(dim=(1, 2, 3)), real, fake)
    assert torch.allclose(got, (weight.norm() - 1) ** 2, rtol=1e-4)
    # |x|²/2 has the slope |x| at x, so the penalty is known from the random point between
    torch.manual_seed(3)
    got = losses.gradient_penalty(lambda x: x.pow(2).sum(dim=(1, 2, 3)) / 2, real, fake)
    torch.manual_seed(3)
    between = real + torch.rand(6, 1, 1, 1) * (fake - real)
    assert torch.allclose(got, ((between.flatten(1).norm(dim=1) - 1) ** 2).mean(), rtol=1e-4)


@pytest.mark.parametrize("norm", ["instance", "weight", "none"])
def test_the_gradient_penalty_teaches_the_critic(norm):
    """The gradient of the gradient, through a whole discriminator, against a difference quotient."""
    torch.manual_seed(0)
    critic = models.Discriminator(2, 1, 0, norm, True, "stride", "flatten", 0).double()
    for p in critic.parameters():
        p.data += 0.1 * torch.randn_like(p)
    real, fake = torch.rand(3, 1, 32, 32).double(), torch.rand(3, 1, 32, 32).double()

    def score(x):
        hidden = critic.layers(x)
        return critic.last(hidden.flatten(1)).squeeze(1)  # in double precision to the end

    def penalty():
        torch.manual_seed(1)
        return losses.gradient_penalty(score, real, fake)

    penalty().backward()
    weight = critic.last.weight
    gradient, direction = weight.grad.clone(), torch.randn_like(weight)
    with torch.no_grad():
        weight += 1e-5 * direction
    up = penalty().item()
    with torch.no_grad():
        weight -= 2e-5 * direction
    down = penalty().item()
    assert (up - down) / 2e-5 == pytest.approx(float((gradient * direction).sum()), rel=1e-3)


def test_targets():
    assert [t.tolist() for t in losses.targets(2, "none", 0.1, 0, CPU)] == [[1, 1], [0, 0]]
    assert [t.tolist() for t in losses.targets(1, "one-sided", 0.25, 0, CPU)] == [[0.75], [0]]
    assert [t.tolist() for t in losses.targets(1, "two-sided", 0.25, 0, CPU)] == [[0.75], [0.25]]
    torch.manual_seed(0)
    real, fake = losses.targets(10_000, "none", 0.1, 0.2, CPU)
    assert torch.equal(real, 1 - fake) and abs(float(fake.mean()) - 0.2) < 0.02


def test_the_gradient_norm_is_that_of_all_gradients_in_one_vector():
    network = nn.Linear(3, 2)
    network(torch.randn(4, 3)).pow(2).sum().backward()
    whole = torch.cat([p.grad.flatten() for p in network.parameters()])
    assert torch.allclose(losses.gradient_norm(network), whole.norm())


# ---- networks, data, measures ----


@pytest.mark.parametrize("norm", config.NORMS)
@pytest.mark.parametrize("classes", [0, 10])
def test_every_kind_of_network_has_its_shapes_and_gradients(norm, classes):
    generator = models.Generator(8, 4, 3, classes, norm, False, "tanh")
    for downsample, head in (("stride", "flatten"), ("pool", "mean")):
        discriminator = models.Discriminator(4, 3, classes, norm, True, downsample, head, 0.1)
        labels = torch.arange(5) % 10
        images = generator(torch.randn(5, 8), labels)
        logits = discriminator(images, labels)
        assert images.shape == (5, 3, 32, 32) and logits.shape == (5,) and images.abs().max() <= 1
        generator.zero_grad()
        logits.sum().backward()
        for network in (generator, discriminator):
            assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_noise_is_there_in_training_only():
    discriminator = models.Discriminator(4, 1, 0, "none", True, "stride", "flatten", 0.5)
    images = torch.rand(2, 1, 32, 32)
    assert not torch.equal(discriminator(images), discriminator(images))
    discriminator.eval()
    assert torch.equal(discriminator(images), discriminator(images))


@pytest.mark.parametrize("output", ["tanh", "sigmoid"])
def test_pixels_survive_the_way_to_the_network_and_back(output):
    pixels = torch.arange(256).byte().reshape(1, 16, 16, 1).repeat(2, 2, 2, 3)
    x = lab.to_network(pixels, output)
    assert x.min() == (-1 if output == "tanh" else 0) and x.max() == 1
    assert torch.equal(lab.to_pixels(x, output), pixels)


def test_class_entropy():
    assert judge.class_entropy(np.arange(100) % 10, 10) == pytest.approx(1)
    assert judge.class_entropy(np.full(100, 3), 10) == 0
    assert judge.class_entropy(np.arange(100) % 2, 10) == pytest.approx(math.log(2) / math.log(10))


# ---- whole runs ----


def test_smoke_learns_what_an_untrained_generator_fails(data, tmp_path):
    status, output = run_here(lab, ["--smoke"], data, tmp_path)
    assert status == 0, output
    folder = newest(lab, tmp_path)
    for name in ("progress", "samples", "walk"):
        assert (folder / "plots" / f"{name}.png").stat().st_size > 0
    rows = json.loads((folder / "tables" / "measures.json").read_text())["rows"]
    before, after, real = (float(row[1]) for row in rows)
    assert before > 1.2 > after > real and real < 0.1  # 1.2 is the check in lab.toml


@pytest.mark.slow
def test_a_stopped_run_resumes_to_the_same_bits_and_the_same_seed_repeats(data, tmp_path, monkeypatch):
    monkeypatch.setattr(lab, "LOOKS", 4)  # one look before the stop, three after it
    assert_resumes_exactly(lab, [*TINY, "--noise=0.1", "--flip=0.1", "--smooth=one-sided"], 7, data, tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [["--preset=wgan-gp"], ["--preset=collapse", "--decay", "--activation=leaky", "--optimizer=sgd"],
     ["--preset=vanishing", "--output=sigmoid", "--head=mean", "--downsample=pool"],
     ["--loss=lsgan", "--conditional", "--dataset=cifar10", "--smooth=two-sided", "--norm-d=weight"]],
    ids=lambda arguments: arguments[0],
)  # fmt: skip
@pytest.mark.slow
def test_every_switch_runs(arguments, data, tmp_path, monkeypatch):
    monkeypatch.setattr(lab, "LOOKS", 1)
    status, output = run_here(lab, [*TINY, "--steps=8", *arguments], data, tmp_path)
    assert status == 0, output
    metrics = summary(newest(lab, tmp_path))["metrics"]
    assert all(math.isfinite(value) for value in metrics.values())
    assert ("obedience" in metrics) == ("--conditional" in arguments)


@pytest.mark.parametrize(
    "arguments, reason",
    [(["--loss=wgan-gp"], "batch norm in the discriminator"), (["--preset=wgan-gp", "--flip=0.1"], "no targets"),
     (["--flip=0.5"], "would no longer mean real"), (["--batch-size=5000"], "needs 5000 training")],
)  # fmt: skip
def test_a_combination_that_means_nothing_is_refused(arguments, reason, data, tmp_path):
    status, output = run_here(lab, ["--sample", *arguments], data, tmp_path)
    assert status == 2 and reason in output and "Traceback" not in output, output
    assert not list(tmp_path.glob("dcgan/*"))

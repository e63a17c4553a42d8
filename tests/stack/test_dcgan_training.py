"""The lab dcgan: its training beside a plain reference, how its networks begin, and what its pictures show."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from labruns import Adam, Desk, assert_same_weights, row_names, tiles
from torch import nn
from torch.nn import functional as F

from labkit.runs import compat
from labkit.runs.batches import Batches
from labkit.runs.judge import Judge
from labs.dcgan import config, lab, models

STEPS, LATENT = 2, 8


def digits(count, seed=0):
    """Noise: uint8 (count, 32, 32, 1), and labels of ten classes."""
    random = np.random.RandomState(seed)
    return (torch.from_numpy(random.randint(0, 256, (count, 32, 32, 1)).astype(np.uint8)),
            torch.from_numpy(random.randint(0, 10, count)))  # fmt: skip


def settings(**given):
    return lab.Config(**{"steps": STEPS, "width": 2, "batch_size": 8, "latent": LATENT, **given})


def build(made, seed=0):
    torch.manual_seed(seed)
    return lab.build(made, 1, 10)


@pytest.fixture
def desk(monkeypatch):
    """A run with one look, at the end, of few images; arithmetic in float32 on every processor."""
    monkeypatch.setattr(lab, "LOOKS", 1)
    monkeypatch.setattr(lab, "JUDGED", 20)
    monkeypatch.setattr(compat, "fast_dtype", lambda device: (torch.float32, "tests"))
    return Desk(seed=3)


def rough(network):
    """With weights so large that no two of its images are alike."""
    for weight in network.parameters():
        if weight.dim() > 1:
            weight.data *= 15
    return network


def trained(made, desk, start=lambda network: network):
    """What `train` made of two networks, and the judge and features that it was given."""
    pixels, labels = digits(20)
    generator, discriminator = build(made)
    start(generator)
    torch.manual_seed(1)
    judge, features = Judge(1, 10), np.random.RandomState(0).randn(20, 64)
    torch.manual_seed(5)
    looks = lab.train(generator, discriminator, pixels, labels, judge, features, made, desk)
    return generator, discriminator, judge, features, looks


# ---- the training, beside a reference ----


def bce(logits, target):
    return F.binary_cross_entropy_with_logits(logits, target)


def reference(made, seed):
    """The two networks' game from its losses as the papers write them; (generator, discriminator, rows of the log)."""
    pixels, labels = digits(20)
    generator, discriminator = build(made)
    n, batches, rows = made.batch_size, Batches(len(pixels), made.batch_size, seed), []
    optimizers = [Adam(network.parameters(), (0.5, 0.999)) for network in (generator, discriminator)]

    def descend(which, loss, lr):
        if made.optimizer == "adam":
            return optimizers[which].descend(loss, lr)
        weights = list((generator, discriminator)[which].parameters())
        gradients = torch.autograd.grad(loss, weights)
        for weight, gradient in zip(weights, gradients):
            weight.data -= lr * gradient
        return gradients

    torch.manual_seed(5)
    for step in range(made.steps):
        share = 1 - step / made.steps if made.decay else 1.0
        for k in range(made.d_steps):
            chosen = batches[step * made.d_steps + k]
            real = pixels[chosen].permute(0, 3, 1, 2).float() / 255 * 2 - 1
            z, asked = torch.randn(n, LATENT), torch.randint(10, (n,))
            fake = generator(z, asked).detach()
            on_real, on_fake = discriminator(real, labels[chosen]), discriminator(fake, asked)
            one, zero = torch.ones(n), torch.zeros(n)
            if made.smooth != "none":
                one = one - made.smooth_by
            if made.smooth == "two-sided":
                zero = zero + made.smooth_by
            if made.flip:
                wrong = (torch.rand(n) < made.flip).float()
                one, zero = one + wrong * (zero - one), zero + wrong * (one - zero)
            if made.loss == "wgan-gp":
                share_of_fake = torch.rand(n, 1, 1, 1)
                between = ((1 - share_of_fake) * real + share_of_fake * fake).requires_grad_()
                (slope,) = torch.autograd.grad(discriminator(between, labels[chosen]).sum(), between, create_graph=True)
                steep = (slope.reshape(n, -1) ** 2).sum(dim=1).sqrt()
                loss_d = on_fake.mean() - on_real.mean() + 10 * ((steep - 1) ** 2).mean()
            elif made.loss == "lsgan":
                loss_d = F.mse_loss(on_real, one) + F.mse_loss(on_fake, zero)
            else:
                loss_d = bce(on_real, one) + bce(on_fake, zero)
            descend(1, loss_d, share * (made.lr_d or made.lr))
        for _ in range(made.g_steps):
            z, asked = torch.randn(n, LATENT), torch.randint(10, (n,))
            verdict = discriminator(generator(z, asked), asked)
            loss_g = {"nonsaturating": bce(verdict, torch.ones(n)), "minimax": -bce(verdict, torch.zeros(n)),
                      "lsgan": F.mse_loss(verdict, torch.ones(n)), "wgan-gp": -verdict.mean()}[made.loss]  # fmt: skip
            gradients = descend(0, loss_g, share * made.lr)
        length = torch.cat([gradient.flatten() for gradient in gradients]).norm()
        rows.append({"step": step + 1, "discriminator_loss": loss_d, "generator_loss": loss_g,
                     "real_logit": on_real.mean(), "fake_logit": on_fake.mean(), "generator_gradient": length})  # fmt: skip
    return generator, discriminator, [{name: float(value) for name, value in row.items()} for row in rows]


CASES = {
    "the default": {},
    "a class, smoothing, flips, several moves, a falling rate": {
        "conditional": True, "smooth": "one-sided", "flip": 0.3, "d_steps": 2, "g_steps": 2, "decay": True, "lr_d": 0.0005},
    "wgan-gp": {"loss": "wgan-gp", "norm_d": "instance", "conditional": True},
    "lsgan by sgd": {"loss": "lsgan", "optimizer": "sgd", "smooth": "two-sided", "smooth_by": 0.2},
    "minimax and noise": {"loss": "minimax", "noise": 0.1, "norm": "none", "norm_d": "none"},
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_two_steps_are_those_of_the_reference(case, desk):
    made = settings(**CASES[case])
    generator, discriminator, *_ = trained(made, desk)
    wanted_generator, wanted_discriminator, rows = reference(made, desk.seed)
    assert_same_weights(generator, wanted_generator, atol=2e-5)
    assert_same_weights(discriminator, wanted_discriminator, atol=2e-5)
    for row, wanted in zip(desk.logged, rows):
        assert row == pytest.approx(wanted, rel=2e-3, abs=1e-5)
    assert [row["step"] for row in desk.logged] == [1, 2, 2]  # the last row has the measures of the look


def test_a_look_measures_and_shows_the_fixed_vectors(desk):
    generator, _, judge, features, looks = trained(settings(conditional=True), desk, rough)
    z = torch.randn(20, LATENT, generator=torch.Generator().manual_seed(desk.seed))
    drawn = lab.draw(generator, z, torch.arange(20) % 10, "tanh")
    assert torch.equal(looks, drawn[None, :10]) and len({image.numpy().tobytes() for image in drawn}) == 20
    assert {name: desk.logged[-1][name] for name in ("kid", "class_entropy")} == lab.measure(drawn, judge, features)
    assert np.array_equal(tiles(desk.figures["progress"], 32), drawn[None, :10, ..., 0].numpy())
    assert row_names(desk.figures["progress"], 32) == {0: "step 2"}


# ---- networks ----


def test_images_are_drawn_with_running_averages_and_the_training_goes_on():
    generator = rough(build(settings())[0])
    for _ in range(3):
        generator(torch.randn(8, LATENT))  # running averages of their own
    before = copy.deepcopy(generator.state_dict())
    z = torch.randn(6, LATENT)
    together = lab.draw(generator, z, torch.zeros(6).long(), "tanh")
    alone = torch.cat([lab.draw(generator, one[None], torch.zeros(1).long(), "tanh") for one in z])
    assert (together.int() - alone.int()).abs().max() <= 1, "an image depends on those drawn with it"
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())
    assert generator.training
    many = lab.draw(generator, z[:1].expand(251, -1), torch.zeros(251).long(), "tanh")
    assert len(many) == 251 and (many.int() - together[:1].int()).abs().max() <= 1


@pytest.mark.parametrize("norm", config.NORMS)
def test_all_weights_begin_as_in_the_paper(norm):
    """From N(0, 0.02²), scales from N(1, 0.02²), biases 0."""
    torch.manual_seed(0)
    networks = (models.Generator(8, 16, 3, 0, norm, False, "tanh"),
                models.Discriminator(16, 3, 0, norm, True, "stride", "flatten", 0))  # fmt: skip
    for network in networks:
        for layer in network.modules():
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                assert float(layer.weight.std()) == pytest.approx(0.02, rel=0.15) and abs(float(layer.weight.mean())) < 0.003
            elif isinstance(layer, (nn.BatchNorm2d, nn.InstanceNorm2d)):
                assert float(layer.weight.std()) == pytest.approx(0.02, rel=0.6)
                assert float(layer.weight.mean()) == pytest.approx(1, abs=0.02)
            if isinstance(getattr(layer, "bias", None), torch.Tensor):
                assert layer.bias.abs().max() == 0


def test_weight_normalisation_has_a_length_for_each_output_channel():
    networks = (models.Generator(8, 4, 3, 0, "weight", False, "tanh"),
                models.Discriminator(4, 3, 0, "weight", True, "stride", "flatten", 0))  # fmt: skip
    found = []
    for network in networks:
        for layer in network.layers:
            filters = [p for name, p in layer.named_parameters() if "weight" in name]
            if len(filters) == 2:
                length = min(filters, key=torch.Tensor.numel)
                assert length.numel() == layer.out_channels
                channel = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
                rows = layer.weight.transpose(0, channel).flatten(1)
                assert torch.allclose(rows.norm(dim=1), length.flatten(), atol=1e-6)
                found.append(layer.out_channels)
    assert found == [16, 8, 4, 8, 16]  # neither end is normalised


# ---- what is shown ----


def test_real_images_are_above_generated_ones_and_a_walk_goes_from_one_vector_to_the_next(desk, monkeypatch):
    monkeypatch.setattr(lab, "JUDGED", 50)
    made = settings(conditional=True)
    generator = rough(build(made)[0])
    real, _ = digits(60)
    lab.show_results(desk, generator, made, real, 10)
    z, labels = lab.fixed_vectors(made, desk, 10)
    shown = tiles(desk.figures["samples"], 32)
    assert np.array_equal(shown[:5].reshape(50, 32, 32), real[:50, ..., 0].numpy())
    assert np.array_equal(shown[5:].reshape(50, 32, 32), lab.draw(generator, z, labels, "tanh")[..., 0].numpy())
    names = row_names(desk.figures["samples"], 32)
    assert {row: name for row, name in names.items() if name} == {0: "real", 5: "generated"}
    assert torch.equal(labels, torch.arange(50) % 10)  # a column of the lower half is one class
    walk = tiles(desk.figures["walk"], 32)
    assert len({image.tobytes() for row in walk for image in row}) == 50
    ends = F.normalize(z[:10], dim=1) * LATENT**0.5
    for row in range(5):
        for column, end in ((0, ends[2 * row]), (9, ends[2 * row + 1])):
            image = lab.draw(generator, end[None], labels[row : row + 1], "tanh")[0, ..., 0].numpy()
            assert np.abs(walk[row, column].astype(int) - image).max() <= 1
        middle = F.normalize(z[2 * row] * 5 / 9 + z[2 * row + 1] * 4 / 9, dim=0) * LATENT**0.5
        image = lab.draw(generator, middle[None], labels[row : row + 1], "tanh")[0, ..., 0].numpy()
        assert np.abs(walk[row, 4].astype(int) - image).max() <= 1


def test_images_of_the_test_set_never_train(monkeypatch, desk):
    train, test = np.zeros((12, 28, 28), np.uint8), np.full((12, 28, 28), 255, np.uint8)
    monkeypatch.setattr(lab.mnist, "load", lambda folder, split: ({"train": train, "test": test}[split], np.arange(12) % 10))
    pixels, labels, judged, judged_labels = lab.read(None, "mnist")
    assert pixels.shape == judged.shape == (12, 32, 32, 1) and len(labels) == len(judged_labels) == 12
    assert not pixels.any() and judged[:, 2:-2, 2:-2].eq(255).all() and not judged[:, :2].any()

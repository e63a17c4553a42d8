"""The lab stylegan: style modules against a loop over images, penalties against formulas, and its runs."""

from __future__ import annotations

import json
import math

import pytest
import torch
from labruns import assert_resumes_exactly, newest, run_here, summary
from torch.nn import functional as F

from labs.stylegan import lab, losses, models

TINY = ["--sample", "--steps=8", "--width=2", "--latent=8", "--batch-size=8", "--mapping-layers=2"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


# ---- networks ----


@pytest.mark.parametrize("demodulate", [True, False])
def test_a_style_module_is_a_convolution_with_its_own_filters_for_every_image(demodulate):
    torch.manual_seed(0)
    layer = models.StyledConv(3, 5, 3, 6, demodulate).double()
    layer.bias.data.normal_()
    x, w = torch.randn(4, 3, 7, 7).double(), torch.randn(4, 6).double()
    layer.style.double()
    layer.style.forward = lambda w: F.linear(w, layer.style.weight, layer.style.bias)
    got = layer(x, w)
    for n in range(4):
        style = layer.style.weight @ w[n] + layer.style.bias
        filters = torch.zeros(5, 3, 3, 3).double()
        for j in range(5):
            for i in range(3):
                filters[j, i] = layer.weight[j, i] * layer.scale * style[i]  # modulate
            if demodulate:
                filters[j] /= (filters[j] ** 2).sum().sqrt()
        expected = F.conv2d(x[n : n + 1], filters, layer.bias, padding=1)
        assert torch.allclose(got[n : n + 1], expected, atol=1e-5)


def test_grouped_convolution_over_all_images_at_once_gives_the_same():
    """How the published code does it: the filters of all images side by side, each image in a group of its own."""
    layer = models.StyledConv(3, 5, 3, 6)
    x, w = torch.randn(4, 3, 7, 7), torch.randn(4, 6)
    filters = layer.weight * layer.scale * layer.style(w).view(4, 1, 3, 1, 1)  # (4, 5, 3, 3, 3)
    filters = filters / filters.pow(2).sum(dim=(2, 3, 4), keepdim=True).sqrt()
    grouped = F.conv2d(x.reshape(1, 12, 7, 7), filters.reshape(20, 3, 3, 3), padding=1, groups=4).view(4, 5, 7, 7)
    assert torch.allclose(layer(x, w), grouped, atol=1e-5)


def test_one_w_is_the_style_of_every_layer():
    w = torch.randn(3, 8)
    styles = models.same_for_all_layers(w)
    assert styles.shape == (3, models.LAYERS, 8) and all(torch.equal(styles[:, k], w) for k in range(models.LAYERS))


def test_styles_and_noise_reach_their_own_sizes_only():
    torch.manual_seed(0)
    generator = models.Generator(1, 4, 8, 2).eval()
    styles = torch.randn(1, models.LAYERS, 8)
    images = generator(styles)
    assert images.shape == (1, 1, 32, 32) and torch.equal(generator(styles), images)  # the noise is fixed
    changes = []
    for layer in (0, models.LAYERS - 1):  # 4 x 4, then 32 x 32
        changed = styles.clone()
        changed[:, layer] = torch.randn(1, 8)
        difference = generator(changed) - images
        smooth = F.avg_pool2d(difference, 8)
        changes.append((smooth.pow(2).mean() / difference.pow(2).mean()).item())
    assert changes[0] > changes[1]  # the coarse style changes the large more than the fine one does
    generator.train()
    for noise in generator.noises:
        noise.strength.data.fill_(1.0)
    assert not torch.equal(generator(styles), generator(styles))


def test_the_mapping_reads_only_the_direction_of_z():
    mapping = models.Mapping(8, 3)
    z = torch.randn(5, 8)
    assert torch.allclose(mapping(z), mapping(3 * z), atol=1e-4)
    assert torch.allclose(models.Mapping(8, 0)(z).pow(2).mean(dim=1), torch.ones(5), atol=1e-5)


def test_mixed_styles_change_once_and_in_the_stated_share():
    torch.manual_seed(0)
    generator = models.Generator(1, 2, 8, 1)
    for mixing in (0.0, 0.5, 1.0):
        config = lab.Config(batch_size=400, latent=8, mixing=mixing)
        styles = lab.random_styles(generator, config, torch.device("cpu"))
        same = (styles[:, 1:] == styles[:, :-1]).all(dim=2)  # (N, LAYERS - 1)
        changes = (~same).sum(dim=1)
        assert changes.max() <= 1 and float((changes == 1).float().mean()) == pytest.approx(mixing, abs=0.08)


def test_truncation_goes_in_a_straight_line_to_the_mean():
    w, mean = torch.randn(4, 8), torch.randn(1, 8)
    assert torch.equal(lab.truncate(w, mean, 0), mean.expand(4, -1)) and torch.allclose(lab.truncate(w, mean, 1), w, atol=1e-6)
    assert torch.allclose(lab.truncate(w, mean, 0.7), 0.7 * w + 0.3 * mean, atol=1e-6)


# ---- losses ----


def test_losses_are_cross_entropy():
    real, fake = torch.randn(6), torch.randn(6)
    bce = F.binary_cross_entropy_with_logits
    expected = bce(real, torch.ones(6)) + bce(fake, torch.zeros(6))
    assert torch.allclose(losses.discriminator_loss(real, fake), expected, atol=1e-6)
    assert torch.allclose(losses.generator_loss(fake), bce(fake, torch.ones(6)), atol=1e-6)


def test_the_r1_penalty_of_known_discriminators():
    real, weight = torch.randn(5, 1, 4, 4), torch.randn(1, 4, 4).requires_grad_(True)
    got = losses.r1_penalty(lambda x: (x * weight).sum(dim=(1, 2, 3)), real)
    assert torch.allclose(got, 0.5 * weight.pow(2).sum(), rtol=1e-4)
    got.backward()
    assert torch.allclose(weight.grad, weight, rtol=1e-4)  # it is a loss of the discriminator's weights
    squares = losses.r1_penalty(lambda x: x.pow(2).sum(dim=(1, 2, 3)) / 2, real)
    assert torch.allclose(squares, 0.5 * real.pow(2).sum(dim=(1, 2, 3)).mean(), rtol=1e-4)


def test_the_orthogonal_penalty_is_the_loop_over_pairs_of_filters():
    banks = [torch.randn(4, 3, 2, 2), torch.randn(3, 2, 1, 1)]
    expected = sum(
        float((bank[i] * bank[j]).sum()) ** 2
        for bank in banks for i in range(len(bank)) for j in range(len(bank)) if i != j
    )  # fmt: skip
    assert float(losses.orthogonal_penalty(banks)) == pytest.approx(expected, rel=1e-4)
    orthogonal = 3 * torch.eye(4).reshape(4, 4, 1, 1)
    assert float(losses.orthogonal_penalty([orthogonal])) == 0  # whatever the lengths


def test_the_average_moves_by_its_share():
    generator, average = (models.Generator(1, 2, 4, 1) for _ in range(2))
    before = [p.clone() for p in average.parameters()]
    lab.update_average(average, generator, 0.75)
    for old, new, p in zip(before, generator.parameters(), average.parameters()):
        assert torch.allclose(p, 0.75 * old + 0.25 * new, atol=1e-6)


# ---- whole runs ----


def test_smoke_learns_what_an_untrained_generator_fails(data, tmp_path):
    status, output = run_here(lab, ["--smoke"], data, tmp_path)
    assert status == 0, output
    folder = newest(lab, tmp_path)
    for name in ("progress", "samples", "truncation", "mixing", "noise"):
        assert (folder / "plots" / f"{name}.png").stat().st_size > 0
    before, after, real = (float(row[1]) for row in json.loads((folder / "tables" / "measures.json").read_text())["rows"])
    assert before > 1.9 > after > real and real < 0.1  # 1.9 is the check in lab.toml
    entropies = [float(row[2]) for row in json.loads((folder / "tables" / "truncation.json").read_text())["rows"]]
    assert entropies[0] == 0 and entropies[0] < entropies[-1]  # at 0 all images are one


@pytest.mark.slow
def test_a_stopped_run_resumes_to_the_same_bits_and_the_same_seed_repeats(data, tmp_path, monkeypatch):
    monkeypatch.setattr(lab, "LOOKS", 2)
    assert_resumes_exactly(lab, [*TINY, "--orthogonal=0.001"], 5, data, tmp_path)


@pytest.mark.parametrize("arguments", [["--dataset=cifar10", "--r1=0"], ["--mapping-layers=0", "--mixing=1"]])
@pytest.mark.slow
def test_every_switch_runs(arguments, data, tmp_path, monkeypatch):
    monkeypatch.setattr(lab, "LOOKS", 1)
    status, output = run_here(lab, [*TINY, *arguments], data, tmp_path)
    assert status == 0 and all(map(math.isfinite, summary(newest(lab, tmp_path))["metrics"].values())), output

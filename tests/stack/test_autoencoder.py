"""The lab autoencoder: losses against torch.distributions, masks that hide the future, both gradients, and its runs."""

from __future__ import annotations

import json
import math

import pytest
import torch
from labruns import assert_resumes_exactly, newest, run_here, summary
from torch import distributions

from labs.autoencoder import lab, losses, models

TINY = ["--sample", "--steps=16", "--hidden=8", "--latent=2", "--batch-size=16", "--channels=4", "--layers=1"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


# ---- losses ----


def test_losses_are_those_of_torch_distributions():
    mean, log_variance = torch.randn(20, 3), torch.randn(20, 3)
    code = distributions.Normal(mean, (0.5 * log_variance).exp())
    kl = distributions.kl_divergence(code, distributions.Normal(torch.zeros(3), torch.ones(3))).sum(dim=1)
    assert torch.allclose(losses.kl_to_standard_normal(mean, log_variance), kl, atol=1e-5)
    z = torch.randn(20, 3)
    assert torch.allclose(losses.log_normal(z, mean, log_variance), code.log_prob(z).sum(dim=1), atol=1e-4)
    logits, images = 3 * torch.randn(4, 1, 5, 5), (torch.rand(4, 1, 5, 5) > 0.5).float()
    expected = -distributions.Bernoulli(logits=logits).log_prob(images).sum(dim=(1, 2, 3))
    assert torch.allclose(losses.negative_log_likelihood(logits, images), expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["pathwise", "score"])
def test_both_estimators_have_the_gradient_of_the_mean(kind):
    """E (z² + az) = mean² + variance + a mean: its gradients are 2 mean + a, variance and, for a, mean."""
    torch.manual_seed(0)
    count, deviation = 200_000, 0.7
    mean = torch.full((count, 1), 0.5, requires_grad=True)
    log_variance = torch.full((count, 1), math.log(deviation**2), requires_grad=True)
    a = torch.tensor(1.5, requires_grad=True)
    values = losses.expectation(kind, lambda z: (z**2 + a * z).sum(dim=1), mean, log_variance, torch.randn(count, 1))
    assert values.mean().item() == pytest.approx(0.25 + 0.49 + 0.75, abs=0.02)
    values.sum().backward()
    for leaf, expected in ((mean, 2 * 0.5 + 1.5), (log_variance, 0.49)):
        error = leaf.grad.std().item() / count**0.5
        assert leaf.grad.mean().item() == pytest.approx(expected, abs=5 * error)
    assert a.grad.item() / count == pytest.approx(0.5, abs=0.01)


def test_the_score_function_has_the_value_of_f_and_the_gradient_of_the_formula():
    """The sum of (f(z) - b) ∇ log q(z), where b is the mean of f over the other rows."""
    torch.manual_seed(0)
    mean, log_variance = torch.randn(4, 2, requires_grad=True), torch.randn(4, 2, requires_grad=True)
    noise = torch.randn(4, 2)
    z = (mean + (0.5 * log_variance).exp() * noise).detach()
    f = z.pow(3).sum(dim=1)
    values = losses.expectation("score", lambda z: z.pow(3).sum(dim=1), mean, log_variance, noise)
    assert torch.equal(values, f)
    got = torch.autograd.grad(values.sum(), (mean, log_variance))
    expected = [torch.zeros(4, 2), torch.zeros(4, 2)]
    for row in range(4):
        better = f[row] - sum(f[other] for other in range(4) if other != row) / 3
        log_q = distributions.Normal(mean[row], (0.5 * log_variance[row]).exp()).log_prob(z[row]).sum()
        for total, gradient in zip(expected, torch.autograd.grad(log_q, (mean, log_variance))):
            total += better * gradient
    assert all(torch.allclose(one, other, rtol=1e-4, atol=1e-4) for one, other in zip(got, expected))


def test_the_elbo_is_a_bound_which_the_right_code_reaches():
    """Where p(x|z) does not depend on z and q(z|x) = N(0, 1), the negative ELBO is -log p(x) itself."""
    model = models.Autoencoder(4, 2, variational=True)
    for p in [*model.encoder[-1].parameters(), model.decoder[-1].weight]:
        p.data.zero_()
    images = (torch.rand(3, 1, 28, 28) > 0.5).float()
    parts = lab.losses(model, images, lab.Config(latent=2), torch.randn(3, 2))
    exact = losses.negative_log_likelihood(model.decoder[-1].bias.view(1, 1, 28, 28).expand(3, -1, -1, -1), images)
    assert torch.allclose(lab.total(parts), exact, rtol=1e-5) and parts["kl"].abs().max() < 1e-6


# ---- pixel by pixel ----


def test_no_pixel_sees_itself_or_a_later_one():
    torch.manual_seed(0)
    model = models.PixelCNN(16, 2)
    images = torch.rand(1, 1, 9, 9, requires_grad=True)
    logits = model(images)
    for place in range(81):
        (gradient,) = torch.autograd.grad(logits.flatten()[place], images, retain_graph=True)
        assert gradient.flatten()[place:].abs().max() == 0
        if place % 9:  # the left neighbour is seen
            assert gradient.flatten()[place - 1].abs() > 0


def test_a_masked_convolution_is_the_loop_over_earlier_pixels():
    for kind in "AB":
        layer = models.MaskedConv2d(kind, 2, 3, 3)
        x = torch.randn(1, 2, 5, 6)
        got = layer(x)
        for y in range(5):
            for c in range(6):
                value = layer.bias.clone()
                for dy in (-1, 0, 1):
                    for dx in (-1, 0, 1):
                        earlier = dy < 0 or (dy == 0 and (dx < 0 or (dx == 0 and kind == "B")))
                        if earlier and 0 <= y + dy < 5 and 0 <= c + dx < 6:
                            value = value + layer.weight[:, :, dy + 1, dx + 1] @ x[0, :, y + dy, c + dx]
                assert torch.allclose(got[0, :, y, c], value, atol=1e-5)


def test_drawing_row_by_row_is_drawing_with_the_whole_image_in_view():
    torch.manual_seed(0)
    model = models.PixelCNN(4, 2)
    for p in model.parameters():
        p.data *= 2
    start = (torch.rand(2, 1, 28, 28) > 0.5).float()
    drawn = model.continue_drawing(start, 20, torch.Generator().manual_seed(5))
    assert torch.equal(drawn[:, :, :20], start[:, :, :20])
    chance = torch.rand(drawn.shape, generator=torch.Generator().manual_seed(5))
    # every pixel that was drawn follows from the finished image, since its logit sees only earlier ones
    with torch.no_grad():
        expected = (chance < torch.sigmoid(model(drawn))).float()
    assert torch.equal(drawn[:, :, 20:], expected[:, :, 20:])


# ---- whole runs ----


def test_smoke_learns_to_use_the_code(data, tmp_path):
    status, output = run_here(lab, ["--smoke"], data, tmp_path)
    assert status == 0, output
    folder = newest(lab, tmp_path)
    for name in ("progress", "inventions", "copies", "walk"):
        assert (folder / "plots" / f"{name}.png").stat().st_size > 0
    rows = {row[0]: row[1:] for row in json.loads((folder / "tables" / "measures.json").read_text())["rows"]}
    assert float(rows["nats"][0]) > 500 > 150 > float(rows["nats"][1])  # 150 is the check in lab.toml
    assert float(rows["kl"][1]) > 5
    deviations = dict(json.loads((folder / "tables" / "gradients.json").read_text())["rows"])
    assert float(deviations["score"]) > 3 * float(deviations["pathwise"])


@pytest.mark.parametrize("model", ["ae", "vae", "pixelcnn"])
@pytest.mark.slow
def test_a_stopped_run_resumes_to_the_same_bits_and_the_same_seed_repeats(model, data, tmp_path, monkeypatch):
    monkeypatch.setattr(lab, "LOOKS", 2)
    steps = "--steps=8" if model == "pixelcnn" else "--steps=16"
    folder = assert_resumes_exactly(lab, [*TINY, steps, f"--model={model}"], 5, data, tmp_path)
    first = next(iter(summary(folder)["metrics"]))
    assert first == {"ae": "reconstruction", "vae": "nats", "pixelcnn": "nats"}[model]
    assert (folder / "plots" / ("endings.png" if model == "pixelcnn" else "map.png")).exists()


def test_the_score_function_runs(data, tmp_path, monkeypatch):
    monkeypatch.setattr(lab, "LOOKS", 1)
    status, output = run_here(lab, [*TINY, "--steps=8", "--gradient=score"], data, tmp_path)
    assert status == 0 and math.isfinite(summary(newest(lab, tmp_path))["metrics"]["nats"]), output

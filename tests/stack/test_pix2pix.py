"""The lab pix2pix: what its networks see, its losses and measures against plain formulas, and its runs."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch
from labruns import assert_resumes_exactly, newest, run_here, summary
from torch.nn import functional as F

from labs.pix2pix import data, lab, models

TINY = ["--sample", "--size=32", "--steps=8", "--width=4", "--patch=16"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


# ---- networks ----


@pytest.mark.parametrize("size, skips", [(32, True), (64, False), (256, True)])
def test_the_u_net_keeps_the_size_and_all_of_it_learns(size, skips):
    network = models.UNet(size, 4, skips)
    drawn = network(torch.randn(2, 3, size, size))
    assert drawn.shape == (2, 3, size, size) and drawn.abs().max() <= 1
    drawn.sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_skips_carry_what_the_bottleneck_loses():
    """Without skips everything goes through 4 x 4; with them a pixel depends most on the input at its own place."""
    torch.manual_seed(0)
    near = {}
    for skips in (True, False):
        network = models.UNet(64, 4, skips).eval()  # without dropout
        x = torch.randn(1, 3, 64, 64, requires_grad=True)
        (gradient,) = torch.autograd.grad(network(x)[0, :, 32, 32].sum(), x)
        strength = gradient.abs().sum(dim=1)[0]
        near[skips] = strength[28:37, 28:37].mean() / strength.mean()
    assert near[True] > 2 * near[False], near


@pytest.mark.parametrize("patch, layers", lab.LAYERS.items())
def test_the_discriminator_sees_patches_of_the_stated_width(patch, layers):
    torch.manual_seed(0)
    network = models.PatchGAN(4, layers)
    for module in network.modules():
        if isinstance(module, torch.nn.InstanceNorm2d):  # its mean would look at the whole image
            module.forward = lambda x: x
    given, drawn = torch.randn(2, 1, 3, 160, 160).requires_grad_(True)
    logits = network(given, drawn)
    place = logits.shape[-1] // 2
    (gradient,) = torch.autograd.grad(logits[0, 0, place, place], drawn)
    seen = gradient[0].abs().sum(dim=0)
    rows, columns = seen.sum(dim=1).nonzero(), seen.sum(dim=0).nonzero()
    assert int(rows.max() - rows.min()) + 1 == int(columns.max() - columns.min()) + 1 == patch


def test_losses_are_the_papers():
    real, fake, drawn, true = torch.randn(2, 1, 3, 3), torch.randn(2, 1, 3, 3), torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    one, zero = torch.ones_like(real), torch.zeros_like(real)
    bce = F.binary_cross_entropy_with_logits
    assert torch.allclose(lab.discriminator_loss(real, fake), (bce(real, one) + bce(fake, zero)) / 2, atol=1e-6)
    config = lab.Config(reconstruction_weight=7, gan_weight=2)
    expected = 7 * (drawn - true).abs().mean() + 2 * bce(fake, one)
    assert torch.allclose(lab.generator_loss(fake, drawn, true, config), expected, atol=1e-5)
    squared = lab.generator_loss(None, drawn, true, lab.Config(reconstruction="l2"))
    assert torch.allclose(squared, 100 * ((drawn - true) ** 2).mean(), atol=1e-4)


# ---- data and measures ----


def test_jitter_moves_both_halves_alike():
    photos = torch.arange(2 * 12 * 12).reshape(2, 12, 12, 1).repeat(1, 1, 1, 3).float()
    random = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(40):
        photo, label = data.jitter(photos, photos + 1000, 9, random)
        assert photo.shape == (2, 9, 9, 3) and torch.equal(label, photo + 1000)
        step = int(photo[0, 0, 1, 0] - photo[0, 0, 0, 0])
        seen.add((step, int(photo[0, 0, :, 0].min())))
        assert torch.equal(photo[0, 1] - photo[0, 0], torch.full((9, 3), 12.0))
    assert {step for step, _ in seen} == {1, -1} and len(seen) > 15


def test_classes_are_the_nearest_colours_and_survive_jpeg(folder):
    for k, colour in enumerate(data.COLOURS):
        noisy = np.clip(colour.astype(int) + np.random.RandomState(k).randint(-30, 31, (1, 6, 6, 3)), 0, 255)
        distances = ((noisy[..., None, :] - data.COLOURS.astype(int)) ** 2).sum(axis=-1)
        got = data.classes_of(torch.from_numpy(noisy.astype(np.uint8)))
        assert (got.numpy() == distances.argmin(axis=-1)).all() and (got == k).float().mean() > 0.9
    pixels = torch.randint(256, (1, 5, 5, 3)).byte()
    assert torch.equal(data.to_pixels(data.to_network(pixels)), pixels)


def test_sharpness_sees_blur():
    pixels = torch.randint(256, (1, 32, 32, 3)).byte()
    blurred = F.avg_pool2d(pixels.permute(0, 3, 1, 2).float(), 3, 1, 1).permute(0, 2, 3, 1)
    assert lab.sharpness(pixels) > 2 * lab.sharpness(blurred)
    stripes = torch.zeros(1, 4, 4, 3)
    stripes[:, :, ::2] = 100
    assert lab.sharpness(stripes) == 50  # every horizontal difference is 100, every vertical one 0


# ---- whole runs ----


def test_smoke_draws_what_the_judge_can_read(folder, tmp_path):
    status, output = run_here(lab, ["--smoke"], folder, tmp_path)
    assert status == 0, output
    run = newest(lab, tmp_path)
    assert (run / "plots" / "progress.png").stat().st_size > 0
    rows = {row[0]: [float(x) for x in row[1:]] for row in json.loads((run / "tables" / "measures.json").read_text())["rows"]}
    assert rows["before training"][0] < 0.75 < rows["after training"][0]  # 0.75 is the check in lab.toml
    assert rows["after training"][1] < rows["before training"][1] and rows["true"][1:] == [0, 1]


def test_a_stopped_run_resumes_to_the_same_bits_and_then_translates(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(lab, "LOOKS", 2)
    run = assert_resumes_exactly(lab, TINY, 5, folder, tmp_path)
    own = tmp_path / "my images"
    own.mkdir()
    for name, shape in (("a b.png", (50, 80, 3)), ("small.jpg", (9, 9, 3))):
        cv2.imwrite(str(own / name), np.full(shape, 90, np.uint8))
    for name in ("._small.jpg", "Thumbs.db", "desktop.ini"):  # what systems leave in a folder
        (own / name).write_bytes(b"x")
    for given, count in ((own, 2), (own / "a b.png", 1)):
        status, output = run_here(lab, [f"--translate={given}"], folder, tmp_path / "whole")
        assert status == 0 and "trained on the sample" in output, output
        made = newest(lab, tmp_path / "whole") / "translated"
        assert sorted(p.name for p in made.iterdir()) == ["a b.png", "small.png"][:count]
        assert cv2.imread(str(made / "a b.png")).shape == (32, 32, 3)
    cv2.imwrite(str(own / "small.png"), np.full((9, 9, 3), 200, np.uint8))
    status, output = run_here(lab, [f"--translate={own}"], folder, tmp_path / "whole")
    made = newest(lab, tmp_path / "whole") / "translated"
    assert status == 0 and sorted(p.name for p in made.iterdir()) == ["a b.png", "small.jpg.png", "small.png.png"], output
    text = own / "notes.txt"
    text.write_text("no image")
    status, output = run_here(lab, [f"--translate={own}"], folder, tmp_path / "whole")
    assert status == 0 and "1 of 4 files are no images and were skipped: notes.txt" in output, output
    assert len(list((newest(lab, tmp_path / "whole") / "translated").iterdir())) == 3
    for arguments, reason in (
        ([f"--translate={text}"], "is not an image"), ([f"--translate={own / 'a b.png'}", "--direction=to-labels"], "no network"),
        ([f"--translate={own / 'a b.png'}", f"--checkpoint={text}"], "is not a checkpoint"),
        ([f"--translate={own / 'a b.png'}", "--direction=to-labels", f"--checkpoint={run}"], "trained with --direction to-photo"),
    ):  # fmt: skip
        status, output = run_here(lab, arguments, folder, tmp_path / "whole")
        assert status == 2 and reason in output and "Traceback" not in output, output


@pytest.mark.parametrize(
    "arguments", [["--preset=l1", "--reconstruction=l2"], ["--preset=gan", "--no-skips"], ["--direction=to-labels"]]
)
def test_every_switch_runs(arguments, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(lab, "LOOKS", 1)
    status, output = run_here(lab, [*TINY, *arguments], folder, tmp_path)
    assert status == 0, output
    assert set(summary(newest(lab, tmp_path))["metrics"]) == {"label_accuracy", "l1", "sharpness"}

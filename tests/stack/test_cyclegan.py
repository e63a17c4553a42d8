"""The lab cyclegan: its parts against plain reference code, and its runs as a user starts them."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from labruns import assert_same_runs, newest, run_here, summary, tensors
from torch.nn import functional as F

from labkit.base.errors import UserError
from labkit.base.paths import ROOT
from labkit.runs import compat
from labs.cyclegan import data, lab, measure, models, results

CPU = torch.device("cpu")
TINY = ["--size=32", "--width=4", "--discriminator-width=4", "--blocks=1", "--steps=70", "--pool=8", "--samples=2"]
SMALL = lab.Config(size=32, width=4, discriminator_width=4, blocks=2, pool=2, lr=0.0002)


def images(count, side=32, seed=0):
    """Noise: uint8 (count, 3, side, side)."""
    return torch.from_numpy(np.random.RandomState(seed).randint(0, 256, (count, 3, side, side), dtype=np.uint8))


# ---- networks and losses ----


def test_networks_are_those_of_the_paper():
    generator, discriminator = models.Generator(), models.Discriminator()
    # The authors' networks have 11,378,179 and 2,764,737; ours lack the biases that instance normalisation takes away.
    biases = 64 + 128 + 256 + 18 * 256 + 128 + 64, 128 + 256 + 512
    count = [sum(p.numel() for p in network.parameters()) for network in (generator, discriminator)]
    assert count == [11_378_179 - biases[0], 2_764_737 - biases[1]]
    x = torch.randn(2, 3, 64, 48)
    assert models.Generator(4, 1)(x).shape == x.shape
    assert models.Discriminator(4)(x).shape == (2, 1, 6, 4)


def test_a_verdict_is_on_70_pixels():
    discriminator = models.Discriminator(4)
    layers = [layer for layer in discriminator.layers if not isinstance(layer, torch.nn.InstanceNorm2d)]
    x = torch.zeros(1, 3, 160, 160, requires_grad=True)
    verdicts = torch.nn.Sequential(*layers)(x + torch.randn(1, 3, 160, 160))
    verdicts[0, 0, 9, 9].backward()
    rows = x.grad.abs().sum(dim=(0, 1, 3)).nonzero()
    assert int(rows.max() - rows.min()) + 1 == 70


@pytest.mark.parametrize("real", [True, False])
def test_losses_are_their_definitions(real):
    logits = torch.randn(5, 1, 6, 6)
    target = torch.full_like(logits, float(real))
    assert torch.allclose(lab.verdict_loss(logits, real, "least-squares"), F.mse_loss(logits, target))
    assert torch.allclose(
        lab.verdict_loss(logits, real, "minimax"), F.binary_cross_entropy_with_logits(logits, target), atol=1e-6
    )
    assert torch.allclose(lab.fooling_loss(logits, "least-squares"), ((logits - 1) ** 2).mean())
    assert torch.allclose(lab.fooling_loss(logits, "minimax"), (1 - torch.sigmoid(logits)).log().mean(), atol=1e-6)


def test_minimax_leaves_no_gradient_where_the_discriminator_wins():
    for objective, expected in (("minimax", 0.0), ("least-squares", -14.0)):
        logits = torch.full((1, 1), -6.0, requires_grad=True)
        lab.fooling_loss(logits, objective).backward()
        assert float(logits.grad) == pytest.approx(expected, abs=3e-3)


class Reference:
    """CycleGAN written once more, from plain operations: every pass by itself, Adam as a loop, a pool of its own."""

    def __init__(self, gan, config, seed):
        self.weights = {name: p.detach().clone().requires_grad_() for name, p in gan.named_parameters()}
        self.moments = {name: [torch.zeros_like(p), torch.zeros_like(p)] for name, p in self.weights.items()}
        self.config, self.pools, self.seed, self.count = config, {"a": [], "b": []}, seed, 0

    @staticmethod
    def normalise(x):
        mean = x.mean(dim=(2, 3), keepdim=True)
        return (x - mean) / ((x - mean).pow(2).mean(dim=(2, 3), keepdim=True) + 1e-5).sqrt()

    def translate(self, way, x):
        weight = [p for name, p in self.weights.items() if name.startswith(f"generator_{way}")]
        x = self.normalise(F.conv2d(F.pad(x, (3,) * 4, mode="reflect"), weight.pop(0))).clamp(min=0)
        for _ in range(2):
            x = self.normalise(F.conv2d(x, weight.pop(0), stride=2, padding=1)).clamp(min=0)
        for _ in range(self.config.blocks):
            inner = self.normalise(F.conv2d(F.pad(x, (1,) * 4, mode="reflect"), weight.pop(0))).clamp(min=0)
            x = x + self.normalise(F.conv2d(F.pad(inner, (1,) * 4, mode="reflect"), weight.pop(0)))
        for _ in range(2):
            x = F.conv_transpose2d(x, weight.pop(0), stride=2, padding=1, output_padding=1)
            x = self.normalise(x).clamp(min=0)
        return torch.tanh(F.conv2d(F.pad(x, (3,) * 4, mode="reflect"), *weight))

    def judge(self, domain, x):
        weight = [p for name, p in self.weights.items() if name.startswith(f"discriminator_{domain}")]
        x = F.leaky_relu(F.conv2d(x, weight.pop(0), weight.pop(0), stride=2, padding=1), 0.2)
        for stride in (2, 2, 1):
            x = F.leaky_relu(self.normalise(F.conv2d(x, weight.pop(0), stride=stride, padding=1)), 0.2)
        return F.conv2d(x, *weight, padding=1)

    def descend(self, loss, part, lr):
        names = [name for name in self.weights if name.startswith(part)]
        gradients = torch.autograd.grad(loss, [self.weights[name] for name in names])
        for name, gradient in zip(names, gradients):
            first, second = self.moments[name]
            first += (gradient - first) * 0.5
            second += (gradient**2 - second) * 0.001
            corrected = first / (1 - 0.5**self.count), second / (1 - 0.999**self.count)
            self.weights[name].data -= lr * corrected[0] / (corrected[1].sqrt() + 1e-8)

    def step(self, real_a, real_b, lr):
        chance = np.random.RandomState([self.seed, self.count])
        self.count += 1
        fake_b, fake_a = self.translate("ab", real_a), self.translate("ba", real_b)
        adversarial = ((self.judge("b", fake_b) - 1) ** 2).mean() + ((self.judge("a", fake_a) - 1) ** 2).mean()
        cycle = (self.translate("ba", fake_b) - real_a).abs().mean() + (self.translate("ab", fake_a) - real_b).abs().mean()
        identity = (self.translate("ab", real_b) - real_b).abs().mean() + (self.translate("ba", real_a) - real_a).abs().mean()
        self.descend(adversarial + 10 * cycle + 5 * identity, "generator", lr)
        wrong = 0
        for domain, real, fake in (("a", real_a, fake_a), ("b", real_b, fake_b)):
            pool, judged = self.pools[domain], []
            for one in fake.detach():
                if len(pool) < self.config.pool:
                    pool.append(one)
                elif chance.uniform() > 0.5:
                    k = chance.randint(self.config.pool)
                    one, pool[k] = pool[k], one
                judged.append(one)
            on_real, on_fake = self.judge(domain, real), self.judge(domain, torch.stack(judged))
            wrong = wrong + 0.5 * ((on_real - 1) ** 2).mean() + 0.5 * (on_fake**2).mean()
        self.descend(wrong, "discriminator", lr)
        return [float(loss.detach()) for loss in (adversarial, wrong, cycle, identity)]


@pytest.mark.parametrize("batch_size", [1, 2])
def test_twenty_steps_are_those_of_the_reference(batch_size):
    torch.manual_seed(0)
    trainer = lab.Trainer(SMALL, CPU, torch.float32)
    reference = Reference(trainer.gan, SMALL, seed=3)
    for step in range(20):
        real_a, real_b = (data.to_float(images(batch_size, seed=2 * step + k), CPU) for k in (0, 1))
        lr = trainer.set_lr(step, 25)
        assert lr == pytest.approx(0.0002 if step <= 12 else 0.0002 * (25 - step) / 12.5)
        got = trainer.step(real_a, real_b, np.random.RandomState([3, step])).tolist()
        # Rounding grows: Adam divides by gradients that are almost 0.
        assert got == pytest.approx(reference.step(real_a, real_b, lr), rel=1e-3 if step < 10 else 2e-2), step


# ---- data ----


def test_the_pool_keeps_what_it_was_given_and_hands_out_half_of_it():
    pool, chance = data.ImagePool(5), np.random.RandomState(0)
    handed = []
    for k in range(200):
        image = torch.full((1, 3, 2, 2), float(k))
        got = pool.exchange(image, chance)
        handed.append(int(got[0, 0, 0, 0]))
        assert got.shape == (1, 3, 2, 2) and len(pool.images) == min(k + 1, 5)
        assert handed[k] == k or k >= 5
    older = [k for k in range(5, 200) if handed[k] < k]
    assert 75 < len(older) < 120
    assert len(set(handed[5:])) == len(handed[5:]), "what was judged from the pool has left it"
    none = data.ImagePool(0)
    assert torch.equal(none.exchange(torch.ones(2, 3, 2, 2), chance), torch.ones(2, 3, 2, 2)) and not none.images


def test_a_pass_shows_every_image_as_a_crop_of_it_and_follows_from_seed_and_epoch():
    a, b = images(7, side=36), images(3, side=36, seed=1)
    dataset = data.UnpairedImages(a, b, 32, seed=5)
    dataset.set_epoch(2)
    assert len(dataset) == 7
    seen = [[], []]
    for k in range(7):
        for which, crop in enumerate(dataset[k]):
            assert crop.shape == (3, 32, 32)
            windows = [
                (n, image[:, y : y + 32, x : x + 32])
                for n, image in enumerate((a, b)[which]) for y in range(5) for x in range(5)
            ]  # fmt: skip
            found = {n for n, window in windows if torch.equal(crop, window) or torch.equal(crop, window.flip(2))}
            assert len(found) == 1
            seen[which] += found
    assert sorted(seen[0]) == list(range(7))
    assert sorted(seen[1].count(n) for n in range(3)) == [2, 2, 3]
    again = data.UnpairedImages(a, b, 32, seed=5)
    again.set_epoch(2)
    assert all(torch.equal(x, y) for k in range(7) for x, y in zip(dataset[k], again[k]))
    again.set_epoch(3)
    assert not all(torch.equal(x, y) for k in range(7) for x, y in zip(dataset[k], again[k]))


def test_batches_go_on_where_they_stood():
    a, b = images(7, side=36), images(3, side=36, seed=1)
    stream = lab.batches(data.UnpairedImages(a, b, 32, seed=5), 2, 0)
    whole = [next(stream) for _ in range(9)]  # three passes of three batches
    for start in range(9):
        stream = lab.batches(data.UnpairedImages(a, b, 32, seed=5), 2, start)
        for expected in whole[start:]:
            assert all(torch.equal(x, y) for x, y in zip(next(stream), expected))


def test_images_of_all_kinds_become_squares_and_a_broken_one_is_named(tmp_path):
    scene = np.zeros((20, 50, 3), dtype=np.uint8)  # BGR, smaller than any crop
    scene[..., 2] = 200
    grey = np.full((300, 200), 90, dtype=np.uint8)
    forms = {
        "a.png": scene, "b.JPG": scene, "c.png": np.dstack([scene, np.full((20, 50), 255, np.uint8)]),
        "d.png": scene.astype(np.uint16) * 257, "e.png": grey, "f.png": grey.astype(np.uint16) * 257,
    }  # fmt: skip
    for name, pixels in forms.items():
        cv2.imwrite(str(tmp_path / name), pixels)
    (tmp_path / "notes.txt").write_text("no image, and no reason to stop")
    got = data.read_domain(tmp_path, 36)
    assert got.shape == (6, 3, 36, 36) and got.dtype == torch.uint8
    expected = torch.tensor([[200, 0, 0]] * 4 + [[90, 90, 90]] * 2)
    assert (got.int() - expected[:, :, None, None]).abs().max() <= 3
    assert torch.equal(data.to_bytes(data.to_float(got, CPU)), got)
    (tmp_path / "g.jpg").write_bytes(b"\xff\xd8\xff broken")
    with pytest.raises(UserError, match=r"g\.jpg is not an image"):
        data.read_domain(tmp_path, 36)


def test_an_image_of_ones_own_keeps_its_shape():
    assert results.fit(np.zeros((300, 450, 3), np.uint8), 64).shape == (1, 3, 64, 96)
    assert results.fit(np.zeros((20, 7, 3), np.uint8), 64).shape == (1, 3, 184, 64)


# ---- measures ----


def test_spread_is_nothing_for_one_image_again_and_again():
    assert measure.spread(images(1).repeat(5, 1, 1, 1)) == pytest.approx(0, abs=1e-4)
    greys = torch.tensor([0, 100, 200], dtype=torch.uint8)[:, None, None, None].expand(3, 3, 4, 4)
    assert measure.spread(greys) == pytest.approx(np.std([0, 100, 200]))


# ---- whole runs ----


def spawn(arguments, data_folder, runs):
    """The lab in a process of its own, started as a user starts it."""
    places = {"PYTHONPATH": str(ROOT), "LAB_DATA": str(data_folder), "LAB_RUNS": str(runs), "LAB_VISDOM_PORT": "1"}
    command = [sys.executable, str(ROOT / "labs" / "cyclegan" / "lab.py"), *arguments]
    return subprocess.Popen(command, env={**os.environ, **places}, stderr=subprocess.PIPE, universal_newlines=True)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Six small images for each domain, in the layout of the data set."""
    root = tmp_path_factory.mktemp("images")
    for name, colour, count in (("trainA", 60, 6), ("trainB", 180, 5), ("testA", 60, 3), ("testB", 180, 3)):
        (root / name).mkdir()
        for k in range(count):
            noise = np.random.RandomState(k).randint(0, 70, (40, 44, 3))
            noise[..., 0] += colour
            cv2.imwrite(str(root / name / f"{k}.png"), noise.astype(np.uint8))
    return root


@pytest.fixture(scope="module")
def trained(folders, tmp_path_factory):
    """The folder of a finished tiny run, uninterrupted; that of all runs is its parent's parent."""
    runs = tmp_path_factory.mktemp("runs")
    status, said = run_here(lab, [f"--folder={folders}", *TINY], runs, runs)
    assert status == 0, said
    return newest(lab, runs)


def test_smoke_learns_and_shows_it(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    process = spawn(["--smoke"], tmp_path, tmp_path)
    said = process.communicate()[1]
    assert process.returncode == 0, said
    folder = newest(lab, tmp_path)
    metrics = summary(folder)["metrics"]
    assert metrics["translated_ab"] >= 0.9 and metrics["cycle_error"] < 31  # the checks in lab.toml
    assert set(metrics) == {"translated_ab", "translated_ba", "kid_ab", "kid_ba", "cycle_error", "spread"}
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    for name in ("apple_to_orange", "orange_to_apple"):
        assert len(events.Images(name)) == 3
        assert (folder / "plots" / f"{name}.png").stat().st_size > 1000
    rows = json.loads((folder / "tables" / "measures.json").read_text())["rows"]
    assert rows[0][0] == "apple called orange after translation"


@pytest.mark.slow
def test_a_run_killed_anywhere_and_resumed_ends_the_same(trained, folders, tmp_path):
    process = spawn([f"--folder={folders}", *TINY, "--save-every=0"], tmp_path, tmp_path)
    target = random.randint(1, 60)
    while process.poll() is None:
        paths = list((tmp_path / "cyclegan").glob("*/checkpoints/last.pt"))
        if paths and compat.load(paths[0])["step"] >= target:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.02)
    assert process.wait() == -9, (target, process.communicate()[1])
    status, said = run_here(lab, ["--resume=latest"], tmp_path, tmp_path)
    assert status == 0 and "resumed" in said, said
    assert_same_runs(newest(lab, tmp_path), trained)
    state = compat.load(trained / "checkpoints" / "last.pt")["state"]
    assert len(list(tensors(state["optimizers"]))) > 40 and [len(pool) for pool in state["pools"]] == [8, 8]
    assert summary(newest(lab, tmp_path))["metrics"] == summary(trained)["metrics"]


def test_a_folder_of_images_is_translated(trained, folders, tmp_path):
    mine = tmp_path / "my images"
    mine.mkdir()
    cv2.imwrite(str(mine / "one.png"), np.full((50, 80), 90, np.uint8))
    shutil.copy(str(folders / "testA" / "0.png"), str(mine / "one.jpg"))
    arguments = [f"--translate={mine}", f"--checkpoint={trained}", "--direction=ba"]
    status, said = run_here(lab, arguments, tmp_path, tmp_path)
    assert status == 0 and "2 images from B to A" in said, said
    folder = newest(lab, tmp_path)
    shapes = {path.name: cv2.imread(str(path)).shape for path in (folder / "translated").iterdir()}
    assert shapes == {"one.png.png": (32, 52, 3), "one.jpg.png": (32, 36, 3)}
    cv2.imwrite(str(mine / "one.png.bmp"), np.full((32, 32, 3), 90, np.uint8))
    status, said = run_here(lab, arguments, tmp_path, tmp_path)
    assert status == 0 and len(list((newest(lab, tmp_path) / "translated").iterdir())) == 3, said
    assert (folder / "plots" / "own_images.png").exists()
    (mine / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    status, said = run_here(lab, arguments, tmp_path, tmp_path)
    assert status == 0 and "1 of 4 files are no images and were skipped: broken.png" in said, said


def test_what_cannot_be_done_is_refused_in_one_sentence(trained, folders, tmp_path):
    broken, empty = tmp_path / "broken", tmp_path / "empty"
    for root in (broken, empty):
        shutil.copytree(str(folders), str(root))
    (broken / "trainB" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    shutil.rmtree(str(empty / "testA"))
    (empty / "testA").mkdir()
    for arguments, reason in (
        ([f"--folder={broken}"], "0.png is not an image that can be read"),
        ([f"--folder={empty}"], "there are no images in"),
        ([f"--folder={folders}", "--batch-size=9"], "--batch-size 9 is more than the 6 training images"),
        ([f"--folder={folders}", "--size=33"], "--size 33 is not a multiple of 4"),
        ([f"--translate={broken / 'trainB' / '0.png'}", f"--checkpoint={trained}"], "0.png is not an image"),
        ([f"--translate={folders / 'testA'}"], "no CycleGAN has been trained yet"),
        ([f"--translate={folders / 'testA'}", f"--checkpoint={folders / 'testA' / '0.png'}"], "is not a checkpoint"),
        (["--sample", "--dataset=cyclegan", "--split=horse2zebro"], "horse2zebro is not among the images"),
    ):
        training = TINY if not arguments[0].startswith("--translate") else ()
        status, said = run_here(lab, [*training, *arguments], tmp_path, tmp_path / "runs")
        assert status == 2 and reason in said and "Traceback" not in said, said
    assert not list((tmp_path / "runs").glob("cyclegan/*"))


@pytest.mark.parametrize("content", [{"a": torch.zeros(1)}, [], 7, {"head.bias": "text"}])
def test_the_judge_of_a_run_that_somebody_else_made(content, tmp_path):
    compat.save(content, tmp_path / "judge.pt")
    images = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(UserError, match=r"judge\.pt is no judge of this lab"):
        measure.get_judge(SimpleNamespace(folder=tmp_path), images, images)

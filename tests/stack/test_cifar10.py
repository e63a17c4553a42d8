"""The lab cifar10: its hand-written parts against plain loops and PyTorch's own, and its runs as a user starts them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Sequence

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labkit.base.paths import ROOT
from labkit.runs import compat, muon
from labkit.runs.pixels import Normalise
from labs.cifar10 import augment, lab, models

TINY = ["--sample", "--width=2", "--batch-size=250", "--epochs=3", "--small-epochs=1"]
STEPS = 3 * 5000 // 250
CPU = torch.device("cpu")


class Process:
    """The lab, started as a user starts it."""

    def __init__(self, arguments: Sequence[str], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "labs" / "cifar10" / "lab.py"), *arguments],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True,
        )  # fmt: skip

    def running(self) -> bool:
        return self._process.poll() is None

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    def finish(self) -> tuple[int, str]:
        """Wait for the end: (exit status, output)."""
        output, _ = self._process.communicate(timeout=900)
        return self._process.returncode, output


def launch(arguments: Sequence[str], data: Path, runs: Path) -> Process:
    """With two threads, also where the tests have one each: several must add up to the same bits, too."""
    settings = {"PYTHONPATH": str(ROOT), "LAB_DATA": str(data), "LAB_RUNS": str(runs), "OMP_NUM_THREADS": "2"}
    return Process(arguments, {**os.environ, **settings})


def run_here(arguments: Sequence[str], data: Path, runs: Path) -> tuple[int, str]:
    """The lab in this process, which spares its start: (exit status, what it said)."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(said):
        patch.setenv("LAB_DATA", str(data))
        patch.setenv("LAB_RUNS", str(runs))
        with pytest.raises(SystemExit) as left:
            lab.start(lab.main, lab.Config, lab.PRESETS, list(arguments))
    return left.value.code, said.getvalue()


@pytest.fixture(scope="module")
def shared_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One data folder for all runs, so that the sample is drawn once."""
    folder: Path = tmp_path_factory.mktemp("data")
    return folder


def newest(runs: Path) -> Path:
    """The folder of the newest run below `runs`; one that does not exist where there is none yet."""
    return max((runs / "cifar10").glob("*"), default=runs / "none")


def step_of(folder: Path) -> int:
    """The step of the run's checkpoint, 0 where there is none yet."""
    path = folder / "checkpoints" / "last.pt"
    return int(compat.load(path)["step"]) if path.exists() else 0


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = (compat.load(folder / "checkpoints" / "last.pt")["state"]["model"] for folder in (one, other))
    assert set(first) == set(second) and all(torch.equal(first[name], second[name]) for name in first)


def image(count: int = 1, side: int = 32, seed: int = 0) -> torch.Tensor:
    """Noise: uint8 (count, side, side, 3)."""
    return torch.from_numpy(np.random.RandomState(seed).randint(0, 256, (count, side, side, 3), dtype=np.uint8))


# ---- augmentation ----


def test_crop_windows_are_what_a_plain_loop_crops() -> None:
    pixels, shift = image(3), 2
    windows = augment.crop_windows(pixels, shift, CPU)
    padded = F.pad(pixels.permute(0, 3, 1, 2).float(), (shift,) * 4, mode="reflect").permute(0, 2, 3, 1).byte()
    assert windows.shape == (3, 5, 5, 32, 32, 3)
    for i in range(3):
        for y in range(5):
            for x in range(5):
                assert torch.equal(windows[i, y, x], padded[i, y : y + 32, x : x + 32])
    assert torch.equal(windows[:, shift, shift], pixels)
    assert windows.stride()[1:3] == windows.stride()[3:5]  # no copies: the next window begins a row or column further on
    assert torch.arange(5).unfold(0, 3, 1).tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4]]  # the example


def test_a_gathered_image_is_its_own_crop_and_mirrored_only_left_to_right() -> None:
    pixels = image(64)
    windows = augment.crop_windows(pixels, 2, CPU)
    plan = augment.plan_epoch(64, 2, seed=3, epoch=0)
    got = augment.gather(windows, plan, slice(8, 40))
    assert 0 < plan.flip.sum() < 64
    for k, position in enumerate(range(8, 40)):
        expected = windows[plan.order[position], plan.y[position], plan.x[position]]
        assert torch.equal(got[k], expected.flip(1) if plan.flip[position] else expected)
    assert torch.equal(windows[:, 2, 2], pixels)  # what is gathered is a copy: mirroring leaves the data alone


def test_the_plan_follows_from_seed_and_epoch_and_flips_every_image_in_every_second_epoch() -> None:
    plans = [augment.plan_epoch(1000, 2, seed=1, epoch=epoch) for epoch in range(3)]
    by_image = [plan.flip[plan.order.argsort()] for plan in plans]
    assert torch.equal(by_image[0], ~by_image[1]) and torch.equal(by_image[0], by_image[2])
    assert all(torch.equal(plan.order.sort()[0], torch.arange(1000)) for plan in plans)
    assert not torch.equal(plans[0].order, plans[2].order)
    again = augment.plan_epoch(1000, 2, seed=1, epoch=2)
    assert all(torch.equal(a, b) for a, b in zip(again, plans[2]))
    assert not torch.equal(augment.plan_epoch(1000, 2, seed=2, epoch=0).order, plans[0].order)
    assert {int(v) for v in plans[0].y} == {int(v) for v in plans[0].x} == set(range(5))


def test_shrinking_keeps_the_mean_and_a_plain_image_plain() -> None:
    plain = torch.full((2, 32, 32, 3), 77, dtype=torch.uint8)
    assert torch.equal(augment.shrink(plain, 24), plain[:, :24, :24])
    small = augment.shrink(image(8), 16)
    assert small.shape == (8, 16, 16, 3) and small.is_contiguous()
    assert abs(small.float().mean() - image(8).float().mean()) < 1


# ---- network, loss, optimizer ----


def test_the_loss_is_cross_entropy_against_the_smoothed_and_mixed_target() -> None:
    logits, smoothing = torch.randn(20, 7), 0.3
    labels, others, weight = torch.randint(7, (20,)), torch.randint(7, (20,)), torch.rand(20)
    target = torch.full((20, 7), smoothing / 7)
    for i in range(20):
        target[i, labels[i]] += 0.7 * weight[i]
        target[i, others[i]] += 0.7 * (1 - weight[i])
    expected = -(target * F.log_softmax(logits, dim=1)).sum(dim=1).mean()
    got = lab.smooth_cross_entropy(logits, augment.Batch(image(20), labels, others, weight), smoothing)
    assert torch.allclose(got, expected, atol=1e-6)
    plain = augment.Batch(image(20), labels, labels, torch.ones(20))
    assert torch.allclose(lab.smooth_cross_entropy(logits, plain, 0), F.cross_entropy(logits, labels), atol=1e-6)
    if compat.MODERN:  # torch 1.5 has no label_smoothing
        got = lab.smooth_cross_entropy(logits, plain, smoothing)
        assert torch.allclose(got, F.cross_entropy(logits, labels, label_smoothing=smoothing), atol=1e-6)


def test_normalising_centres_every_channel_and_keeps_channels_last() -> None:
    pixels = image(50)
    normalise = Normalise()
    normalise.measure(pixels)
    x = normalise(pixels)
    assert x.shape == (50, 3, 32, 32) and x.is_contiguous(memory_format=torch.channels_last)
    assert x.mean(dim=(0, 2, 3)).abs().max() < 1e-4 and (x.std(dim=(0, 2, 3)) - 1).abs().max() < 1e-3


def test_whitened_patches_are_uncorrelated() -> None:
    smooth = F.avg_pool2d(torch.randn(200, 3, 34, 34), 3, stride=1)  # neighbours alike, as in photographs
    filters = models.whitening_filters(smooth, eps=0)
    values = F.conv2d(smooth, filters, stride=2).transpose(0, 1).reshape(12, -1).numpy()
    assert np.abs(np.cov(values) - np.eye(12)).max() < 1e-3


def test_orthogonalising_makes_singular_values_nearly_one_and_keeps_the_directions() -> None:
    for rows, columns in ((16, 72), (72, 16), (32, 32)):
        matrix = torch.randn(rows, columns)
        got = muon.orthogonalise(matrix)
        values = np.linalg.svd(got.numpy(), compute_uv=False)
        assert got.shape == matrix.shape and values.max() < 1.3
        u, before, v = np.linalg.svd(matrix.numpy(), full_matrices=False)
        after = (u.T @ got.numpy() @ v.T).diagonal()
        assert after[before > 0.1 * before[0]].min() > 0.6  # the nearly empty directions need more steps


def test_a_muon_step_is_the_formula_written_out() -> None:
    weight, gradient = nn.Parameter(torch.randn(4, 3, 3, 3)), torch.randn(4, 3, 3, 3)
    before = weight.detach().clone()
    optimizer = muon.Muon([weight], lr=0.1, momentum=0.6)
    weight.grad = gradient
    optimizer.step()
    update = muon.orthogonalise(1.6 * gradient.reshape(4, 27), 3).reshape(4, 3, 3, 3)  # first step: gradient + 0.6 * it
    assert torch.allclose(weight, before / before.norm() * 2 - 0.1 * update, atol=1e-6)


@pytest.mark.parametrize("size", [24, 32])
def test_fast_takes_both_sizes_and_learns_all_but_its_first_filters(size: int) -> None:
    network = lab.build_model(lab.Config(width=4), 10)
    lab.measure_inputs(network, image(100))
    assert network(image(2, size)).shape == (2, 10)
    trained = {id(p) for optimizer in lab.make_optimizers(network, lab.Config())
               for group in optimizer.param_groups for p in group["params"]}  # fmt: skip
    names = [name for name, p in network.named_parameters() if id(p) not in trained]
    assert names == ["1.whiten.weight", *(f"1.blocks.{k}.norm{n}.weight" for k in range(3) for n in (1, 2))]


# ---- images of the user's own ----


def images_of_all_kinds(folder: Path) -> dict[str, Path]:
    """One scene, red on the left and blue on the right, in the forms in which people have images."""
    from PIL import Image

    scene = np.zeros((90, 120, 3), dtype=np.uint8)  # BGR
    scene[:, :60, 2], scene[:, 60:, 0] = 255, 255
    forms = {
        "rgb.png": scene,
        "rgb.jpg": scene,
        "alpha.png": np.dstack([scene, np.full((90, 120), 255, dtype=np.uint8)]),
        "16 bit.png": scene.astype(np.uint16) * 257,
    }
    for name, pixels in forms.items():
        assert cv2.imwrite(str(folder / name), pixels)
    turned = Image.fromarray(np.rot90(scene[:, :, ::-1]).copy())  # stored turned, as a phone does
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees clockwise to see it upright"
    turned.save(str(folder / "phone.jpg"), exif=exif.tobytes(), quality=95)
    return {name: folder / name for name in [*forms, "phone.jpg"]}


def test_images_of_all_kinds_read_alike(tmp_path: Path) -> None:
    for name, path in images_of_all_kinds(tmp_path).items():
        pixels = lab.results.read_own(path).astype(int)
        assert pixels.shape == (32, 32, 3), name
        assert np.abs(pixels[4:28, 2:12] - [255, 0, 0]).max() < 12, name
        assert np.abs(pixels[4:28, 20:30] - [0, 0, 255]).max() < 12, name
    grey = tmp_path / "grey.png"
    cv2.imwrite(str(grey), np.full((7, 300), 200, dtype=np.uint8))
    assert (lab.results.read_own(grey) == 200).all()


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n broken"])
def test_what_is_no_image_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "notes.jpg"
    path.write_bytes(content)
    for bad in (path, tmp_path):
        with pytest.raises(lab.UserError, match=r"is not an image|is a folder"):
            lab.results.read_own(bad)


# ---- whole runs ----


@pytest.fixture(scope="module")
def trained(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished tiny run, uninterrupted; the folder of runs is its parent's parent."""
    runs = tmp_path_factory.mktemp("trained")
    status, output = launch(TINY, shared_data, runs).finish()
    assert status == 0, output
    return newest(runs)


def test_smoke_learns_and_leaves_everything(shared_data: Path, tmp_path: Path) -> None:
    status, output = launch(["--smoke"], shared_data, tmp_path).finish()
    assert status == 0, output
    folder = newest(tmp_path)
    for name in ("config.json", "env.json", "metrics.jsonl", "summary.json", "report.html", "code/lab.py",
                 "code/models.py", "checkpoints/last.pt", "plots/training_images.png", "plots/augmentations.png",
                 "plots/thresholds.png", "plots/confusion.png", "tables/classes.json", "tables/result.json",
                 "tables/published.json"):  # fmt: skip
        assert (folder / name).stat().st_size > 0, name
    assert any((folder / "tensorboard").iterdir())
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["status"] == "finished"
    rows = json.loads((folder / "tables" / "classes.json").read_text())["rows"]
    assert len(rows) == 12 and sum(row[-1] for row in rows[:10]) == 1000 and "macro" in rows[10][0]


@pytest.mark.slow
def test_same_seed_twice_is_the_same_to_the_byte(trained: Path, shared_data: Path, tmp_path: Path) -> None:
    status, output = launch(TINY, shared_data, tmp_path).finish()
    assert status == 0, output
    assert (newest(tmp_path) / "metrics.jsonl").read_bytes() == (trained / "metrics.jsonl").read_bytes()
    assert_same_weights(newest(tmp_path), trained)
    assert json.loads((trained / "env.json").read_text())["threads"] == 2


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.slow
def test_a_run_stopped_anywhere_and_resumed_ends_the_same(
    number: int, trained: Path, shared_data: Path, tmp_path: Path
) -> None:
    process = launch([*TINY, "--save-every=0.2"], shared_data, tmp_path)
    target = random.randint(1, STEPS - 8)
    while process.running() and step_of(newest(tmp_path)) < target:
        time.sleep(0.02)
    process.send(number)
    status, output = process.finish()
    assert status == (-9 if number == signal.SIGKILL else 130), (target, output)
    stopped_at = step_of(newest(tmp_path))
    assert target <= stopped_at < STEPS
    status, output = launch(["--resume=latest"], shared_data, tmp_path).finish()
    assert status == 0 and f"after step {stopped_at}" in output, output
    assert (newest(tmp_path) / "metrics.jsonl").read_bytes() == (trained / "metrics.jsonl").read_bytes()
    assert_same_weights(newest(tmp_path), trained)


def test_cifar100_and_the_notes_recipe(shared_data: Path, tmp_path: Path) -> None:
    arguments = ["--sample", "--preset=notes", "--dataset=cifar100", "--width=2", "--epochs=1", "--hold-out=100",
                 "--exact-test=50"]  # fmt: skip
    status, output = run_here(arguments, shared_data, tmp_path)
    assert status == 0, output
    folder = newest(tmp_path)
    metrics = json.loads((folder / "summary.json").read_text())["metrics"]
    assert set(metrics) == {"accuracy", "top5_accuracy", "holdout_accuracy", "exact_test_accuracy"}
    assert len(json.loads((folder / "tables" / "classes.json").read_text())["rows"]) == 102


VARIANTS = ["--sample", "--width=1", "--batch-size=250", "--epochs=3", "--small-epochs=1", "--images=1000",
            "--hold-out=500", "--dropout=0.2", "--augment=colour,cutmix", "--schedule=plateau", "--early-stop=2"]  # fmt: skip


@pytest.mark.slow
def test_a_comparison_is_stopped_and_resumed_and_each_part_is_a_run_of_its_own(
    shared_data: Path, tmp_path: Path
) -> None:
    """Stopped in the second of three variants; the third is then what the option alone would have given."""
    step, first, second, alone = 0, tmp_path / "whole", tmp_path / "stopped", tmp_path / "alone"
    comparison = [*VARIANTS, "--compare=optimizer=nag,muon,adam"]
    assert run_here(comparison, shared_data, first)[0] == 0

    def stop(run: lab.Run, at: int, make_state: Any, last: bool = False) -> None:
        nonlocal step
        step += 1
        if step == 18:  # checkpoint is called once for each of 12 steps, and once at the end of each variant
            run.ask_stop(signal.SIGINT, None)
        checkpoint(run, at, make_state, last)

    checkpoint = lab.Run.checkpoint
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lab.Run, "checkpoint", stop)
        assert run_here(comparison, shared_data, second)[0] == 130
    status, output = run_here(["--resume=latest"], shared_data, second)
    assert status == 0 and "muon: 2 of 3" in output and "nag: 1" not in output, output
    assert (newest(first) / "metrics.jsonl").read_bytes() == (newest(second) / "metrics.jsonl").read_bytes()
    assert_same_weights(newest(first), newest(second))
    assert run_here([*VARIANTS, "--optimizer=adam"], shared_data, alone)[0] == 0
    assert_same_weights(newest(first), newest(alone))
    table = json.loads((newest(second) / "tables" / "comparison.json").read_text())
    assert [row[0] for row in table["rows"]] == ["nag", "muon", "adam"]
    assert table["columns"][:5] == ["optimizer", "accuracy", "held-out accuracy", "seconds", "images/s"]
    metrics = json.loads((newest(second) / "summary.json").read_text())["metrics"]
    assert metrics["holdout_accuracy"] == max(metrics[f"holdout_accuracy/{name}"] for name in ("nag", "muon", "adam"))
    assert (newest(second) / "plots" / "comparison.png").exists()


@pytest.mark.parametrize(("arguments", "reason"), [
    (["--augment=colour,cutmx"], "there is no cutmx; did you mean cutmix?"),
    (["--early-stop=2"], "--early-stop watches the accuracy on held-out images, never on the test set"),
    (["--schedule=plateau"], "--schedule plateau watches the accuracy on held-out images"),
    (["--compare=optimiser=sgd,nag"], "did you mean optimizer?"),
    (["--compare=optimizer=sgd,nagg"], "--optimizer: unknown value nagg; did you mean nag?"),
    (["--compare=optimizer=sgd"], "names fewer than two values"),
    (["--compare=augment=none,cutmx"], "there is no cutmx; did you mean cutmix?"),
    (["--compare=hold_out=1,2"], "--hold-out is the same for all"),
    (["--compare=flip=yes,no"], "flip is on or off, not yes"),
    (["--dropout=1"], "would leave nothing"),
    (["--small-size=40"], "would enlarge the images"),
    (["--hold-out=5000"], "would leave none of the 5000 training images"),
])  # fmt: skip
def test_what_cannot_be_trained_is_refused_in_one_sentence(
    arguments: list[str], reason: str, shared_data: Path, tmp_path: Path
) -> None:
    status, output = run_here(["--sample", *arguments], shared_data, tmp_path)
    assert status == 2 and reason in output and "Traceback" not in output, output
    assert not list(tmp_path.glob("cifar10/*"))


def test_an_image_is_classified_by_the_last_trained_network(trained: Path, shared_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "my photo.png"
    cv2.imwrite(str(path), np.full((50, 80, 3), 90, dtype=np.uint8))
    runs = trained.parent.parent
    status, output = run_here([f"--predict={path}"], shared_data, runs)
    assert status == 0 and output.count("%") >= 5 and "trained on the sample" in output, output
    assert (newest(runs) / "plots" / "prediction.png").exists()
    status, output = run_here([f"--predict={path}", f"--checkpoint={trained}"], shared_data, tmp_path)
    assert status == 0, output


def test_what_cannot_be_predicted_with_is_refused_in_one_sentence(
    trained: Path, shared_data: Path, tmp_path: Path
) -> None:
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), np.zeros((50, 80, 3), dtype=np.uint8))
    text = tmp_path / "text.txt"
    text.write_text("no checkpoint")
    for arguments, reason in (
        (["--model=resnet18", f"--checkpoint={trained}"], "was trained with --model fast, not resnet18"),
        (["--dataset=cifar100", f"--checkpoint={trained}"], "was trained with --dataset cifar10, not cifar100"),
        ([f"--checkpoint={text}"], "is not a checkpoint"),
        ([], "no network has been trained with --model fast on cifar10 yet"),
    ):
        status, output = run_here([f"--predict={path}", *arguments], shared_data, tmp_path / "runs")
        assert status == 2 and reason in output and "Traceback" not in output, output
    assert not list((tmp_path / "runs").glob("cifar10/*"))

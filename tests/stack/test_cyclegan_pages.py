"""The lab cyclegan: what it measures in both directions, what it logs, and where its pictures stand."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from labruns import Desk, row_names, tiles
from PIL import Image

from labkit.runs import compat
from labs.cyclegan import data, lab, measure, results

DOMAINS = ["apple", "orange"]
SMALL = lab.Config(size=32, width=4, discriminator_width=4, blocks=1, steps=4, samples=2, lr=0.001)


def images(count, level, seed=0):
    """Noise around a grey, uint8 (count, 3, 32, 32)."""
    noise = np.random.RandomState(seed).randint(-20, 21, (count, 3, 32, 32))
    return torch.from_numpy((level + noise).astype(np.uint8))


@pytest.fixture
def judge(monkeypatch):
    """Says that an image is a B where it is bright."""

    def judge_images(judge, pixels):
        mean = pixels.float().mean(dim=(1, 2, 3))
        return (mean > 127).numpy(), np.stack([mean.numpy() / 255, np.ones(len(pixels))], axis=1)

    monkeypatch.setattr(measure, "judge_images", judge_images)


def kid(x, y):
    """The definition as a loop, with the kernel (x y / d + 1)³."""
    k = lambda a, b: (a @ b / len(a) + 1) ** 3  # noqa: E731
    own = [np.mean([k(a, b) for i, a in enumerate(part) for j, b in enumerate(part) if i != j]) for part in (x, y)]
    return own[0] + own[1] - 2 * np.mean([k(a, b) for a in x for b in y])


def test_both_directions_are_measured_each_by_its_own_images(judge):
    real = [torch.cat([images(9, 60), images(1, 200)]), images(8, 200, 1)]  # one apple looks like an orange
    to_b = torch.cat([images(7, 200, 2), images(3, 60, 3)])
    to_a = torch.cat([images(6, 60, 4), images(2, 200, 5)])
    ways, desk = [(to_b, real[0] // 2), (to_a, real[1] - 9)], Desk()
    found = results.show_measures(desk, None, real, ways, DOMAINS)
    features = {name: measure.judge_images(None, pixels)[1] for name, pixels in
                (("a", real[0]), ("b", real[1]), ("to_b", to_b), ("to_a", to_a))}  # fmt: skip
    wanted = {
        "translated_ab": 0.7, "translated_ba": 0.75,
        "kid_ab": kid(features["to_b"], features["b"]), "kid_ba": kid(features["to_a"], features["a"]),
        "cycle_error": (float((real[0].float() - real[0] // 2).abs().mean()) + 9) / 2,
        "spread": np.mean([measure.spread(to_b) / measure.spread(real[0]), measure.spread(to_a) / measure.spread(real[1])]),
    }  # fmt: skip
    assert found == pytest.approx(wanted, rel=1e-4)
    rows = desk.tables["measures"]
    assert rows[0] == ["apple called orange after translation", "70.0%", "10.0%"]
    assert rows[1] == ["orange called apple after translation", "75.0%", "0.0%"]
    apart = kid(features["a"], features["b"])
    assert rows[2] == ["KID of translated apple to real orange", f"{wanted['kid_ab']:.4f}", f"{apart:.4f}"]
    assert rows[3] == ["KID of translated orange to real apple", f"{wanted['kid_ba']:.4f}", f"{apart:.4f}"]
    assert rows[4][1] == f"{wanted['cycle_error']:.1f}" and rows[5][1] == f"{wanted['spread']:.2f}"


def upright(pixels):
    return pixels.permute(0, 2, 3, 1).numpy()


def test_translations_stand_below_what_was_translated_and_above_what_came_back():
    real = [images(7, 60), images(8, 200)]
    ways, desk = [(images(7, 190, 2), images(7, 70, 3)), (images(8, 80, 4), images(8, 210, 5))], Desk()
    results.show_translations(desk, real, ways, DOMAINS, 40)
    for k, (source, target) in enumerate((("apple", "orange"), ("orange", "apple"))):
        figure = desk.figures[f"{source}_to_{target}"]
        found = tiles(figure, 32)
        for row, expected in enumerate((real[k], *ways[k])):
            assert np.array_equal(found[row], upright(expected)[:6])
        assert row_names(figure, 32) == {0: source, 1: f"as {target}", 2: "and back"}


def test_ones_own_images_stand_above_their_translations():
    tall = torch.from_numpy(np.random.RandomState(0).randint(0, 256, (3, 40, 32)).astype(np.uint8))
    pairs, desk = [(tall, 255 - tall), (images(1, 60)[0], images(1, 200)[0])], Desk()
    results.show_own(desk, pairs, "apple", "orange")
    found = tiles(desk.figures["own_images"], 32)
    assert np.array_equal(found[0, 0], upright(tall[None, :, 4:36])[0]) and np.array_equal(found[1, 0], 255 - found[0, 0])
    assert np.array_equal(found[0, 1], upright(images(1, 60))[0]) and np.array_equal(found[1, 1], upright(images(1, 200))[0])
    assert row_names(desk.figures["own_images"], 32) == {0: "apple", 1: "as orange"}


def test_a_look_measures_both_directions_and_the_log_has_every_loss(judge, monkeypatch):
    monkeypatch.setattr(lab, "LOG_EVERY", 2)
    torch.manual_seed(0)
    trainer, desk = lab.Trainer(SMALL, torch.device("cpu"), torch.float32), Desk(seed=1)
    rates, losses, looked = [], [], []
    step = trainer.step
    monkeypatch.setattr(trainer, "step", lambda *given: losses.append(step(*given)) or losses[-1])
    set_lr = trainer.set_lr
    monkeypatch.setattr(trainer, "set_lr", lambda *given: rates.append(set_lr(*given)) or rates[-1])
    translated = (images(3, 200), images(3, 60)), (images(3, 200, 1), images(3, 190, 1))
    monkeypatch.setattr(lab, "translate", lambda gan, pixels, direction, device, dtype: looked.append((direction, pixels)) or
                        translated[direction == "ba"])  # fmt: skip
    test = [images(22, 60, 7), images(21, 200, 8)]
    source = data.UnpairedImages(images(5, 60), images(4, 200), 32, 1)
    lab.train(trainer, source, test, None, {"domains": DOMAINS}, desk)
    assert rates == pytest.approx([0.001, 0.001, 0.001, 0.0005])
    assert [direction for direction, _ in looked] == ["ab", "ba"] * 2 and all(len(pixels) == 20 for _, pixels in looked)
    assert torch.equal(looked[0][1], test[0][:20]) and torch.equal(looked[1][1], test[1][:20])
    names = ("generator_adversarial", "discriminator_adversarial", "cycle_loss", "identity_loss")
    rows = [row for row in desk.logged if "lr" in row]
    for k, row in enumerate(rows):
        mean = (losses[2 * k] + losses[2 * k + 1]) / 2
        assert row == pytest.approx({"step": 2 * k + 2, "lr": rates[2 * k + 1], **dict(zip(names, mean.tolist()))}, rel=1e-5)
    spread = np.mean([measure.spread(fake) for fake, _ in translated])
    assert [row for row in desk.logged if "spread" in row] == [
        pytest.approx({"step": k, "translated_ab": 1.0, "translated_ba": 0.0, "spread": spread}) for k in (2, 4)]  # fmt: skip


def test_each_direction_has_its_generator_and_comes_back_by_the_other():
    torch.manual_seed(0)
    gan, pixels = lab.CycleGAN(SMALL), images(9, 90)
    for direction, there, back in (("ab", gan.generator_ab, gan.generator_ba), ("ba", gan.generator_ba, gan.generator_ab)):
        fake, cycled = lab.translate(gan, pixels, direction, torch.device("cpu"), torch.float32)
        with torch.no_grad():
            drawn = there(data.to_float(pixels, torch.device("cpu")))
            returned = back(drawn)
        assert (fake.int() - data.to_bytes(drawn).int()).abs().max() <= 1
        assert (cycled.int() - data.to_bytes(returned).int()).abs().max() <= 1


def test_a_judge_learns_the_real_images_and_is_kept_for_a_run_that_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "STEPS", 40)
    monkeypatch.setattr(measure, "BATCH", 16)
    run = SimpleNamespace(folder=tmp_path)
    a, b = images(12, 60), images(10, 200)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    judge = measure.get_judge(run, a, b)
    assert torch.equal(torch.rand(2), expected) and not judge.training
    for pixels, is_b in ((images(20, 60, 9), False), (images(20, 200, 9), True)):
        called, features = measure.judge_images(judge, pixels)
        assert (called == is_b).all() and features.shape == (20, measure.FEATURES)
        alone = measure.judge_images(judge, pixels[:1])[1]
        assert np.abs(alone - features[:1]).max() < 1e-4
    again = measure.get_judge(run, b, a)  # from judge.pt, whatever it is given
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in judge.state_dict().items())
    assert set(compat.load(tmp_path / "judge.pt")) == set(judge.state_dict())


@pytest.mark.parametrize("sample, direction", [(True, "ab"), (False, "ba")])
def test_ones_own_images_go_the_way_that_was_asked_for_and_a_network_of_the_sample_says_so(sample, direction, tmp_path):
    torch.manual_seed(0)
    gan, desk = lab.CycleGAN(SMALL), Desk()
    desk.folder = tmp_path / "run"
    desk.folder.mkdir()
    state = {"gan": gan.state_dict(), "domains": DOMAINS, "sample": sample}
    compat.save({"lab": "cyclegan", "config": dataclasses.asdict(SMALL), "step": 4, "state": state, "rng": {}, "metrics_bytes": 0},
                tmp_path / "last.pt")  # fmt: skip
    pixels = np.random.RandomState(0).randint(0, 256, (32, 40, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(str(tmp_path / "mine.png"))
    config = dataclasses.replace(SMALL, translate=str(tmp_path / "mine.png"), checkpoint=str(tmp_path / "last.pt"), direction=direction)
    assert lab.translate_folder(config, desk) == {"images": 1, "skipped": 0}
    assert [("synthetic balls" in note) for note in desk.notes] == [True] * sample
    given = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    fake, _ = lab.translate(gan, given, direction, torch.device("cpu"), compat.fast_dtype(torch.device("cpu"))[0])
    assert np.array_equal(np.asarray(Image.open(str(next((desk.folder / "translated").iterdir())))), upright(fake)[0])
    there = DOMAINS if direction == "ab" else DOMAINS[::-1]
    assert row_names(desk.figures["own_images"], 32) == {0: there[0], 1: f"as {there[1]}"}

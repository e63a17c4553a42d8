"""The lab cifar10: its training beside a plain reference, what is held out, its layers, and what its pages show."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from labruns import Desk, assert_same_weights, title_of
from sklearn import metrics as sklearn_metrics
from torch import nn
from torch.nn import functional as F

from labkit.runs import classified, compat
from labs.cifar10 import augment, backbones, compare, lab, results
from labs.cifar10 import config as lab_config

NAMES = ["airplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def some(count: int, seed: int = 0) -> lab.Images:
    random = np.random.RandomState(seed)
    return lab.Images(torch.from_numpy(random.randint(0, 256, (count, 32, 32, 3)).astype(np.uint8)),
                      torch.from_numpy(random.randint(0, 10, count)))  # fmt: skip


# ---- the training, beside a reference ----


def share_of_right(model: nn.Module, check: lab.Images, size: int) -> float:
    pixels = check.pixels
    if size:
        pixels = augment.shrink(pixels, size)
    model.eval()
    with torch.no_grad():
        guessed = model(pixels).argmax(dim=1)
    model.train()
    return float((guessed == check.labels).float().mean())


@pytest.mark.parametrize("given", [
    {"l1": 1e-3, "l2": 1e-2, "schedule": "exponential", "gamma": 0.5},
    {"augment": "mixup", "small_epochs": 0, "label_smoothing": 0.0, "optimizer": "sgd", "images": 130},
], ids=["nag, both penalties, small images first", "sgd, mixed images"])  # fmt: skip
def test_two_epochs_are_those_of_the_reference(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "fast_dtype", lambda device: (torch.float32, "tests"))
    settings = {"width": 1, "epochs": 2, "small_epochs": 1, "small_size": 16, "batch_size": 50, "optimizer": "nag",
                "lr": 0.02, "schedule": "linear", "hold_out": 20, **given}  # fmt: skip
    made, desk = lab.Config(**settings), Desk(seed=3)
    train, checks = some(made.images or 140), {"test": some(30, 1), "holdout": some(20, 2)}
    variant = lab_config.Variant("", made, 3)
    model = lab.prepare(variant, train, NAMES, desk, fresh=True)
    reference = copy.deepcopy(model)
    found = lab.train(model, train, checks, variant, desk, None, {})

    weights = [p for p in reference.parameters() if p.requires_grad]
    speeds, momentum = [torch.zeros_like(p) for p in weights], 0.9 if made.optimizer == "nag" else 0.0
    chosen = lab_config.augmentations(made.augment)
    rows, steps = [], len(train.labels) // 50
    for epoch in range(2):
        small = epoch < made.small_epochs
        pixels = augment.shrink(train.pixels, 16) if small else train.pixels
        source = augment.Source(pixels, train.labels, made.shift, chosen, desk.device)
        plan = augment.plan_epoch(len(train.labels), made.shift, 3, epoch, True, augment.draws(chosen))
        losses, right = [], []
        for k in range(steps):
            lr = 0.02 * (0.5**epoch if made.schedule == "exponential" else 1 - (epoch * steps + k) / (2 * steps))
            batch = source.batch(plan, slice(50 * k, 50 * k + 50))
            logits = reference(batch.pixels)
            target = torch.full((50, 10), made.label_smoothing / 10)
            for i in range(50):
                target[i, batch.labels[i]] += (1 - made.label_smoothing) * batch.weight[i]
                target[i, batch.others[i]] += (1 - made.label_smoothing) * (1 - batch.weight[i])
            loss = -(target * torch.log_softmax(logits, dim=1)).sum(dim=1).mean()
            sizes = sum(p.abs().sum() for p in weights if p.dim() > 1)
            for p, speed, gradient in zip(weights, speeds, torch.autograd.grad(loss + made.l1 * sizes, weights)):
                gradient = gradient + made.l2 * p.detach()
                speed.mul_(momentum).add_(gradient)
                p.data -= lr * (gradient + momentum * speed if momentum else gradient)
            losses.append(float(loss))
            right.append(float((logits.argmax(dim=1) == batch.labels).float().mean()))
        tested = {f"{name}_accuracy": share_of_right(reference, check, 16 * small) for name, check in checks.items()}
        rows.append({"step": (epoch + 1) * steps, "train_loss": np.mean(losses), "train_accuracy": np.mean(right), "lr": lr,
                     **tested})  # fmt: skip
    assert desk.logged == [pytest.approx(row, rel=1e-4, abs=1e-6) for row in rows]
    assert_same_weights(model, reference, atol=1e-4)
    assert found["steps"] == 2 * steps and found["curve"] == pytest.approx([row["holdout_accuracy"] for row in rows])


# ---- what is held out, and what is measured ----


class Caught(Exception):
    """Raised where the training would begin."""


def numbered(count: int) -> lab.Images:
    """Images that hold their own number."""
    numbers = torch.arange(count)
    return lab.Images(numbers.byte()[:, None, None, None].expand(-1, 32, 32, 3).contiguous(), numbers % 10)


def numbers_of(images: lab.Images) -> list[int]:
    return images.pixels[:, 0, 0, 0].tolist()


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Desk:
    """A run whose data are 100 numbered images to train on, and 40 others."""
    test = lab.Images(numbered(140).pixels[100:], numbered(140).labels[100:])
    monkeypatch.setattr(lab, "read", lambda folder, dataset: (numbered(100), test, NAMES))
    made = Desk()
    made.dataset = lambda name: tmp_path  # type: ignore[attr-defined]
    return made


@pytest.mark.parametrize(("given", "trained", "held"), [
    ({}, range(100), None), ({"hold_out": 10}, range(90), range(90, 100)),
    ({"hold_out": 10, "images": 30}, range(30), range(90, 100)),
], ids=["nothing", "the last ten", "the last ten, of few"])  # fmt: skip
def test_no_image_that_is_held_out_is_trained_on(given: dict[str, int], trained: range, held: Any, desk: Desk,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    def train(model: Any, data: lab.Images, checks: dict[str, lab.Images], *rest: Any) -> None:
        seen.update(data=numbers_of(data), **{name: numbers_of(check) for name, check in checks.items()})
        raise Caught

    seen: dict[str, list[int]] = {}
    monkeypatch.setattr(lab, "train", train)
    with pytest.raises(Caught):
        lab.main(lab.Config(width=1, **given), desk)
    assert seen.pop("data") == list(trained) and seen.pop("test") == list(range(100, 140))
    assert seen == ({"holdout": list(held)} if held else {})


def test_every_accuracy_is_of_its_own_images(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a network that is wrong about each image whose number is a multiple of three, and of five among the test's."""
    row = {"steps": 1, "seconds": 2.0, "rate": 3.0, "curve": [0.5]}
    monkeypatch.setattr(lab, "train", lambda *given: dict(row))
    asked = []

    def classify(model: Any, pixels: torch.Tensor, device: Any, mirror: bool = True) -> np.ndarray:
        asked.append(mirror)
        numbers = pixels[:, 0, 0, 0].long().numpy()
        wrong = np.where(numbers < 100, numbers % 3 == 0, numbers % 5 == 0)
        return np.eye(10, dtype=np.float32)[(numbers + wrong) % 10]

    monkeypatch.setattr(lab, "classify", classify)
    found = lab.main(lab.Config(width=1, hold_out=10, exact_test=7), desk)
    assert found == {"accuracy": 1 - 8 / 40, "holdout_accuracy": 1 - 4 / 10, "exact_test_accuracy": pytest.approx(1 - 2 / 7)}
    assert asked == [True, True]  # each image together with its mirror image
    table = dict(desk.tables["result"])
    assert table["error rate"] == "20.00%" and table["training images"] == "90" and table["seconds of training"] == "2.0"
    assert table["weights that are learned"] == f"{backbones.costs(lab.build_model(lab.Config(width=1), 10), numbered(1).pixels)[0]:,}"


@pytest.mark.parametrize("mirror", [True, False])
def test_two_opinions_are_of_an_image_and_its_mirror_image(mirror: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "fast_dtype", lambda device: (torch.float32, "tests"))
    model, pixels = lab.build_model(lab.Config(width=2), 10), some(501).pixels
    lab.measure_inputs(model, pixels)
    model(pixels[:50])
    found = lab.classify(model, pixels, torch.device("cpu"), mirror)
    assert model.training
    model.eval()
    with torch.no_grad():
        logits = [model(pixels[-20:]), model(pixels[-20:].flip(2))]
    expected = torch.softmax((logits[0] + logits[1]) / 2 if mirror else logits[0], dim=1)
    assert len(found) == 501 and np.abs(found[-20:] - expected.numpy()).max() < 1e-5


# ---- layers ----


@pytest.mark.parametrize("width", [1, 6])
def test_the_blocks_of_fast_have_once_twice_and_four_times_the_width(width: int) -> None:
    _, backbone = lab.build_model(lab.Config(width=width), 7)
    assert [block.conv2.out_channels for block in backbone.blocks] == [width, 2 * width, 4 * width]
    assert backbone.head.weight.shape == (7, 4 * width)


def test_the_ways_of_inception_are_1x1_3x3_5x5_and_the_maximum() -> None:
    torch.manual_seed(0)
    block, x = backbones.Inception(3, 2, 3, 4, 2, 3, 2).eval(), torch.randn(2, 3, 9, 9)
    scale = (1 + 1e-5) ** -0.5  # of a normalisation that has seen nothing

    def conv(x: torch.Tensor, layer: nn.Sequential) -> torch.Tensor:
        weight = layer[0].weight
        return (F.conv2d(x, weight, padding=weight.shape[2] // 2) * scale).clamp(min=0)

    around = F.pad(x, (1, 1, 1, 1), value=-np.inf)
    largest = torch.stack([around[:, :, y : y + 9, x : x + 9] for y in range(3) for x in range(3)]).max(dim=0)[0]
    one, three, five, pooled = block.ways
    expected = torch.cat([conv(x, one), conv(conv(x, three[0]), three[1]),
                          conv(conv(conv(x, five[0]), five[1]), five[2]), conv(largest, pooled[1])], dim=1)  # fmt: skip
    assert [way[0].weight.shape[2] for way in (one, three[0], three[1], *five)] == [1, 1, 3, 1, 3, 3]
    assert torch.allclose(block(x), expected, atol=1e-5) and expected.shape[1] == 2 + 4 + 3 + 2


@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(16, 16, 1), (16, 32, 2), (16, 32, 1)])
def test_residual_blocks_are_torchvisions(inputs: int, outputs: int, stride: int) -> None:
    from torchvision import models as published
    from torchvision.models import resnet

    torch.manual_seed(0)
    down = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)) if outputs != inputs else None
    inverted = getattr(published, "mobilenetv2", published.mobilenet).InvertedResidual
    x = torch.randn(2, inputs, 8, 8)
    for ours, theirs in (
        (backbones.BasicBlock(inputs, outputs, stride, attention=False), resnet.BasicBlock(inputs, outputs, stride, down)),
        (backbones.InvertedResidual(inputs, outputs, stride, 6), inverted(inputs, outputs, stride, 6)),
        (backbones.InvertedResidual(inputs, outputs, stride, 1), inverted(inputs, outputs, stride, 1)),
    ):
        mine, other = ours.state_dict(), theirs.state_dict()
        assert [value.shape for value in mine.values()] == [value.shape for value in other.values()]
        ours.load_state_dict(dict(zip(mine, other.values())))
        assert torch.allclose(ours.eval()(x), theirs.eval()(x), atol=1e-5)


def test_attention_is_the_formula_of_its_paper_and_weighs_before_the_skip() -> None:
    torch.manual_seed(0)
    gate, x = backbones.SqueezeExcite(32), torch.randn(2, 32, 4, 4)
    hidden = (x.mean(dim=(2, 3)) @ gate.squeeze.weight.t() + gate.squeeze.bias).clamp(min=0)
    weight = 1 / (1 + (-(hidden @ gate.excite.weight.t() + gate.excite.bias)).exp())
    assert torch.allclose(gate(x), x * weight[:, :, None, None], atol=1e-6) and hidden.shape == (2, 2)
    block = backbones.BasicBlock(32, 32, 1, attention=True).eval()
    assert torch.allclose(block(x), (block.attention(block.convs(x)) + x).clamp(min=0), atol=1e-6)


# ---- what is shown ----


def test_training_images_are_named_by_what_was_mixed_into_them() -> None:
    """Of plain images: class k is 25 k bright, and a mixture as bright as its title says."""
    labels = torch.arange(20) % 10
    pixels = (25 * labels).byte()[:, None, None, None].expand(-1, 32, 32, 3).contiguous()
    desk = Desk()
    results.show_images(desk, pixels, labels, NAMES, lab.Config(augment="mixup"))
    axes, mixed = desk.figures["training_images"].axes, 0
    for axis in axes:
        parts = [line.split("% ") for line in title_of(axis).split("\n")]
        shares = {name: int(share) / 100 for share, name in parts} if len(parts) > 1 else {title_of(axis): 1.0}
        brightness = sum(25 * NAMES.index(name) * share for name, share in shares.items())
        assert np.abs(np.asarray(axis.images[0].get_array()).astype(float) - brightness).max() <= 2.5, title_of(axis)
        assert sum(shares.values()) == pytest.approx(1, abs=0.011)
        mixed += len(shares) > 1
    assert len(axes) == 20 and mixed >= 10
    strips = desk.figures["augmentations"].axes
    assert [title_of(axis) for axis in strips] == [f"{kind}{' (used in this run)' * (kind == 'mixup')}" for kind in augment.DRAWS]
    for axis, kind in zip(strips, augment.DRAWS):
        strip = np.asarray(axis.images[0].get_array())
        for k, (text, place) in enumerate(zip(axis.get_xticklabels(), axis.get_xticks())):
            assert place == 32 * k + 16
            names = [line.split("% ")[-1] for line in text.get_text().split("\n")]
            if kind == "rotation":  # which leaves a plain image as it is
                assert (strip[:, 32 * k : 32 * k + 32] == 25 * NAMES.index(names[0])).all()
            assert len(names) == 1 or kind in ("mixup", "cutmix")


def guesses(count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.RandomState(0)
    labels = random.randint(0, 10, count)
    p = random.dirichlet(np.ones(10), count) + 0.4 * np.eye(10)[labels] * random.rand(count, 1)
    return labels, (p / p.sum(axis=1, keepdims=True)).astype(np.float32)


def test_curves_have_recall_and_false_alarms_to_the_right_and_a_name_each() -> None:
    (labels, p), desk = guesses(), Desk()
    results.show_measures(desk, labels, p, NAMES)
    pr, roc = desk.figures["thresholds"].axes
    assert (pr.get_xlabel(), pr.get_ylabel()) == ("recall", "precision")
    assert (roc.get_xlabel(), roc.get_ylabel()) == ("false alarms (1 - specificity)", "sensitivity")
    assert not pr.yaxis_inverted() and not roc.yaxis_inverted() and not pr.xaxis_inverted()
    grid = np.linspace(0, 1, 201)
    heights: tuple[list[Any], list[Any]] = ([], [])
    for k, name in enumerate(NAMES):
        precision, recall, _ = sklearn_metrics.precision_recall_curve(labels == k, p[:, k])
        false, true, _ = sklearn_metrics.roc_curve(labels == k, p[:, k])
        ap = sklearn_metrics.average_precision_score(labels == k, p[:, k])
        auc = sklearn_metrics.roc_auc_score(labels == k, p[:, k])
        for line, x, y, value in ((pr.lines[k], recall, precision, ap), (roc.lines[k], false, true, auc)):
            assert np.allclose(line.get_xdata(), x) and np.allclose(line.get_ydata(), y)
            assert line.get_label() == f"{name} {value:.3f}" and line.get_color() == results.COLOURS[k]
        heights[0].append(np.interp(grid, recall[::-1], precision[::-1]))
        heights[1].append(np.interp(grid, false, true))
    for axis, each in zip((pr, roc), heights):
        assert np.allclose(axis.lines[10].get_ydata(), np.mean(each, axis=0)) and axis.lines[10].get_label().startswith("macro")
        assert axis.lines[11].get_label().startswith("micro") and len(axis.lines) == 12
    flat = (labels[:, None] == np.arange(10)).ravel()
    false, true, _ = sklearn_metrics.roc_curve(flat, p.ravel())
    assert np.allclose(roc.lines[11].get_xdata(), false) and np.allclose(roc.lines[11].get_ydata(), true)
    rows = desk.tables["classes"]
    report = sklearn_metrics.precision_recall_fscore_support(labels, p.argmax(axis=1))
    for k, name in enumerate(NAMES):
        assert rows[k][0] == name and rows[k][-1] == report[3][k]
        assert [rows[k][1], rows[k][2], rows[k][4]] == [f"{report[i][k]:.1%}" for i in range(3)]
    assert rows[10][1] == f"{report[0].mean():.1%}" and rows[11][1] == rows[11][2] == f"{(p.argmax(axis=1) == labels).mean():.1%}"
    negatives = (labels[:, None] != np.arange(10)) & (np.arange(10) == p.argmax(axis=1)[:, None])
    assert rows[11][3] == f"{1 - negatives.sum() / (9 * len(labels)):.1%}"


def test_the_confusion_matrix_and_the_surest_mistakes_are_in_order() -> None:
    (labels, p), desk = guesses(), Desk()
    guessed, pixels = p.argmax(axis=1), some(300).pixels.numpy()
    classified.show_confusion(desk, labels, guessed, NAMES)
    axis = desk.figures["confusion"].axes[0]
    counted = sklearn_metrics.confusion_matrix(labels, guessed)
    assert np.allclose(axis.images[0].get_array(), counted / counted.sum(axis=1, keepdims=True))
    assert {text.get_position()[::-1]: int(text.get_text()) for text in axis.texts} == {
        (row, column): counted[row, column] for row in range(10) for column in range(10)}  # fmt: skip
    assert [text.get_text() for text in axis.get_yticklabels()] == NAMES == [text.get_text() for text in axis.get_xticklabels()]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("predicted", "true") and axis.yaxis_inverted()
    classified.show_mistakes(desk, pixels, labels, p, NAMES)
    wrong = sorted((k for k in range(300) if guessed[k] != labels[k]), key=lambda k: -p[k].max())[:40]
    axes = desk.figures["mistakes"].axes
    for axis, k in zip(axes, wrong):
        assert np.array_equal(axis.images[0].get_array(), pixels[k])
        assert title_of(axis) == f"{NAMES[guessed[k]]} {p[k].max():.0%}\nis {NAMES[labels[k]]} {p[k, labels[k]]:.0%}"
    classified.show_mistakes(desk, pixels, labels, np.eye(10)[labels], NAMES)
    assert len(desk.notes) == 1 and "Not one test image" in desk.notes[0]


def test_the_likeliest_class_is_the_uppermost_bar() -> None:
    desk = Desk()
    results.show_prediction(desk, np.full((32, 32, 3), 90, np.uint8), ["cat", "dog", "car"], [0.6, 0.3, 0.1])
    image, bars = desk.figures["prediction"].axes
    assert (np.asarray(image.images[0].get_array()) == 90).all() and not bars.yaxis_inverted()
    widths = {round(bar.get_y() + bar.get_height() / 2): bar.get_width() for bar in bars.patches}
    names = [text.get_text() for text in bars.get_yticklabels()]
    assert [(names[k], widths[k]) for k in (2, 1, 0)] == [("cat", 0.6), ("dog", 0.3), ("car", 0.1)]


def test_a_comparison_has_a_row_and_a_curve_for_each_and_names_the_best_first() -> None:
    finished = [{"label": name, "metrics": {"accuracy": a, "holdout_accuracy": b}, "seconds": s, "rate": 1000.0 * s,
                 "parameters": 2_000_000, "macs": 30_000_000, "curve": [0.1, b]}
                for name, a, b, s in (("sgd", 0.5, 0.4, 1.0), ("nag", 0.45, 0.6, 2.0), ("adam", 0.7, 0.5, 3.0))]  # fmt: skip
    desk = Desk()
    found = compare.show(desk, "optimizer=sgd,nag,adam", finished)
    assert list(found.items()) == [("holdout_accuracy", 0.6), ("holdout_accuracy/nag", 0.6), ("holdout_accuracy/adam", 0.5),
                                   ("holdout_accuracy/sgd", 0.4)]  # fmt: skip
    assert desk.tables["comparison"][1] == ["nag", "45.00%", "60.00%", "2.0", "2,000", "2.00", "30.0"]
    curves, cost = desk.figures["comparison"].axes
    for line, point, text, row in zip(curves.lines, cost.lines, cost.texts, finished):
        assert line.get_label() == text.get_text() == row["label"] and line.get_color() == point.get_color() == text.get_color()
        assert line.get_xdata().tolist() == [1, 2] and list(line.get_ydata()) == row["curve"]
        assert (point.get_xdata()[0], point.get_ydata()[0]) == (row["seconds"], row["metrics"]["holdout_accuracy"])
    assert not curves.yaxis_inverted() and "held-out accuracy" in title_of(cost) and not desk.notes
    compare.show(desk, "seed=1,2,3", finished)
    assert "mean 50.00%, standard deviation 10.00%" in desk.notes[0]

"""The lab segmentation: its networks and measures against torchvision, scikit-learn and plain loops, and its runs."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Sequence

import cv2
import numpy as np
import pytest
import torch
import torchvision
from panopticapi.evaluation import pq_compute_single_core
from PIL import Image
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, jaccard_score
from torch import nn
from torch.nn import functional as F
from torchvision.models.segmentation import deeplabv3 as torchvision_deeplab
from torchvision.transforms import functional as image_transforms

from labkit.base.errors import UserError
from labkit.base.paths import ROOT
from labkit.data import samples
from labkit.runs import compat
from labs.segmentation import augment, data, lab, metrics, models, results
from labs.segmentation.metrics import VOID, PanopticCounts, Segments

# deeplabv3 has dropout, so a resumed run needs the random generators too
TINY = ["--sample", "--model=deeplabv3", "--width=4", "--size=64", "--crop=32", "--epochs=5"]
STEPS = 5 * 120 // 8
CPU = torch.device("cpu")


def command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, str(ROOT / "labs" / "segmentation" / "lab.py"), *arguments]


def environment(folder: Path, runs: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "LAB_DATA": str(folder), "LAB_RUNS": str(runs)}


def run_here(arguments: Sequence[str], folder: Path, runs: Path) -> tuple[int, str]:
    """The lab in this process, which spares its start: (exit status, what it said)."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(said):
        patch.setenv("LAB_DATA", str(folder))
        patch.setenv("LAB_RUNS", str(runs))
        with pytest.raises(SystemExit) as left:
            lab.start(lab.main, lab.Config, lab.PRESETS, list(arguments))
    return left.value.code, said.getvalue()


@pytest.fixture(scope="module")
def shared_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One data folder for all runs, with the sample in it."""
    folder: Path = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_DATA", str(folder))
        samples.locate("coco", sample=True)
    return folder


@pytest.fixture
def coco(shared_data: Path, tmp_path: Path) -> Path:
    """A copy of the sample, to be spoiled."""
    return Path(shutil.copytree(str(shared_data / "coco-sample"), str(tmp_path / "coco")))


def newest(runs: Path) -> Path:
    return max((runs / "segmentation").glob("*"), default=runs / "none")


def step_of(folder: Path) -> int:
    path = folder / "checkpoints" / "last.pt"
    return int(compat.load(path)["step"]) if path.exists() else 0


def weights(folder: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = compat.load(folder / "checkpoints" / "last.pt")["state"]["model"]
    return state


class NoRun:
    """What `data.load` asks of a run."""

    def progress(self, total: int) -> Any:
        return contextlib.nullcontext(self)

    def advance(self) -> None: ...


def load(split: data.Split, classes: data.Classes, size: int = 160) -> data.Images:
    return data.load(split, classes, size, 5000, NoRun())  # type: ignore[arg-type]


# ---- networks ----


def size_of(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_the_networks_have_the_sizes_of_the_papers_architectures() -> None:
    assert size_of(models.UNet(1, 64)) == 31_037_633  # the well-known figure of a padded U-Net with batch normalisation
    vgg = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"], batch_norm=True)  # VGG-16's features
    biases = sum(layer.bias.numel() for layer in vgg if isinstance(layer, nn.Conv2d))  # of no use before a normalisation
    assert size_of(models.SegNet(2, 64).encoder) == size_of(vgg) - biases
    widths = {"unet": 1_942_645, "segnet": 1_845_413, "pspnet": 472_373, "deeplabv3": 603_957}
    assert {name: size_of(network(5, 16)) for name, network in models.NETWORKS.items()} == widths


@pytest.mark.parametrize("width", [4, 8])
@pytest.mark.parametrize("name", models.NETWORKS)
def test_the_gradients_do_not_depend_on_where_the_channels_lie(name: str, width: int) -> None:
    """oneDNN's gradient of a strided 1 x 1 convolution with few channels side by side is wrong, and can crash."""
    torch.manual_seed(0)
    network, images, found = models.NETWORKS[name](3, width).double().eval(), torch.randn(2, 3, 64, 64).double(), []
    for number in (torch.float64, torch.float32):  # float64 is not oneDNN's
        order = torch.channels_last if number == torch.float32 else torch.contiguous_format
        network.zero_grad()
        network.to(number).to(memory_format=order)
        network(images.to(number).contiguous(memory_format=order)).square().mean().backward()
        found.append([parameter.grad.double() for parameter in network.parameters()])
        network.double()
    for exact, fast in zip(*found):
        assert (exact - fast).abs().max() <= 1e-3 * exact.abs().max() + 1e-9


@pytest.mark.parametrize("name", models.NETWORKS)
def test_a_network_decides_every_pixel_and_learns(name: str) -> None:
    torch.manual_seed(0)
    model = lab.build_model(lab.Config(model=name, width=8), 3)
    pixels = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8)
    assert model(pixels).shape == (2, 3, 64, 96)
    labels = (torch.arange(96) // 32).expand(2, 64, 96)  # three bands
    pixels = (pixels // 4 + 90 * labels.unsqueeze(3)).clamp(max=255).byte()
    model[0].measure(pixels.reshape(-1, 3))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(15):
        loss = lab.cross_entropy(model(pixels), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    assert (model(pixels).argmax(dim=1) == labels).float().mean() > 0.9


def test_aspp_is_torchvisions() -> None:
    theirs = torchvision_deeplab.ASPP(32, [3, 6, 9])
    ours = models.ASPP(32, 256, (3, 6, 9))
    pairs = list(zip(ours.state_dict().items(), theirs.state_dict().values()))
    assert all(mine.shape == other.shape for (_, mine), other in pairs)
    ours.load_state_dict({name: other for (name, _), other in pairs})
    x = torch.randn(2, 32, 16, 12)
    assert torch.allclose(ours.eval()(x), theirs.eval()(x), atol=1e-5)


def test_pyramid_pooling_sets_the_mean_of_each_part_beside_every_pixel() -> None:
    pool = models.PyramidPooling(4, bins=(1, 2))
    for reduce in pool.reduce:
        reduce[0] = nn.Conv2d(4, 2, 1, bias=False)
        reduce[0].weight.data[:] = torch.eye(2, 4).reshape(2, 4, 1, 1)  # hands the first two channels on
    x = torch.rand(1, 4, 8, 8)
    y = pool.eval()(x)
    scale = (1 + 1e-5) ** -0.5  # of a batch normalisation that has seen nothing
    assert y.shape == (1, 8, 8, 8) and torch.equal(y[:, :4], x)
    assert torch.allclose(y[0, 4], x[0, 0].mean() * scale, atol=1e-5)
    for rows, columns in ((slice(0, 4), slice(0, 4)), (slice(4, 8), slice(0, 4))):
        corner = y[0, 6, 0 if rows.start == 0 else 7, 0]  # the corner pixel, which interpolation leaves alone
        assert torch.allclose(corner, x[0, 0, rows, columns].mean() * scale, atol=1e-5)


def test_segnet_puts_each_maximum_back_where_it_came_from() -> None:
    network = models.SegNet(1, 4)
    network.encoder = nn.ModuleList(nn.Sequential() for _ in range(5))
    network.decoder = nn.ModuleList(nn.Sequential() for _ in range(5))
    network.head = nn.Sequential()
    x = torch.rand(1, 2, 64, 64)
    expected = torch.zeros_like(x)
    for channel in range(2):
        for top in (0, 32):
            for left in (0, 32):
                part = x[0, channel, top : top + 32, left : left + 32]
                place = int(part.argmax())
                expected[0, channel, top + place // 32, left + place % 32] = part.max()
    assert torch.equal(network(x), expected)


# ---- measures ----


def test_pairs_are_counted_as_in_the_worked_example() -> None:
    first, second = np.array([[0, 0], [1, 1]]), np.array([[0, 2], [2, 2]])
    assert metrics.count_pairs(first, second, 2, 3).tolist() == [[1, 0, 1], [0, 0, 2]]
    assert metrics.count_pairs(first[:0], second[:0], 2, 3).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_the_measures_of_pixels_are_scikit_learns() -> None:
    random_state = np.random.RandomState(0)
    labels = random_state.choice([0, 1, 2, 3, VOID], (4, 20, 30), p=[0.5, 0.2, 0.1, 0.1, 0.1]).astype(np.uint8)
    predicted = np.where(random_state.rand(4, 20, 30) < 0.6, labels % 4, random_state.randint(0, 4, (4, 20, 30)))
    truth, guess = labels[labels != VOID], predicted[labels != VOID]
    matrix = metrics.confusion(labels, predicted, 5)  # the class 4 is nowhere
    assert np.array_equal(matrix[:4, :4], confusion_matrix(truth, guess)) and matrix.sum() == len(truth)
    assert metrics.pixel_accuracy(matrix) == pytest.approx(accuracy_score(truth, guess))
    assert metrics.mean_accuracy(matrix) == pytest.approx(balanced_accuracy_score(truth, guess))
    assert metrics.iou(matrix)[:4] == pytest.approx(jaccard_score(truth, guess, average=None))
    assert np.isnan(metrics.iou(matrix)[4])
    assert metrics.mean_iou(matrix) == pytest.approx(jaccard_score(truth, guess, average="macro"))
    assert metrics.frequency_weighted_iou(matrix) == pytest.approx(jaccard_score(truth, guess, average="weighted"))


def write_segments(path: Path, segments: Segments) -> dict[str, Any]:
    """An image of segments in COCO's form, and its annotation."""
    numbers = segments.numbers
    Image.fromarray(np.stack([numbers, 0 * numbers, 0 * numbers], axis=2).astype(np.uint8)).save(str(path))
    areas = [int((numbers == k + 1).sum()) for k in range(len(segments.labels))]
    info = [{"id": k + 1, "category_id": segments.labels[k], "iscrowd": int(segments.crowd[k]), "area": areas[k]}
            for k in range(len(areas)) if areas[k]]  # fmt: skip
    return {"image_id": 1, "file_name": path.name, "segments_info": info}


def test_matching_is_that_of_the_authors_of_panoptic_quality(tmp_path: Path) -> None:
    random_state = np.random.RandomState(1)
    counted, pairs = [], []
    for number in range(30):
        numbers = np.kron(random_state.randint(0, 6, (3, 3)), np.ones((4, 4), int))
        truth = Segments(numbers, random_state.randint(0, 3, 5).tolist(), [number % 3 == 0, False, False, False, False])
        guess = np.where(random_state.rand(12, 12) < 0.75, numbers, random_state.randint(0, 6, (12, 12)))
        labels = np.where(random_state.rand(5) < 0.7, truth.labels, random_state.randint(0, 3, 5)).tolist()
        predicted = Segments(guess, labels, [False] * 5)
        counted.append(metrics.match(truth, predicted, 3))
        names = [tmp_path / kind / f"{number}.png" for kind in ("truth", "predicted")]
        for name in names:
            name.parent.mkdir(exist_ok=True)
        pairs.append((write_segments(names[0], truth), write_segments(names[1], predicted)))
    categories = {k: {"id": k, "isthing": 1} for k in range(3)}
    theirs = pq_compute_single_core(0, pairs, str(tmp_path / "truth"), str(tmp_path / "predicted"), categories)
    ours = metrics.add(counted)
    expected = [[getattr(theirs.pq_per_cat[k], name) for k in range(3)] for name in ("iou", "tp", "fp", "fn")]
    assert np.allclose(np.array(ours), expected) and np.array(expected).min() > 3  # every kind of end was met
    average, by_class = theirs.pq_average(categories, isthing=True)
    pq, sq, rq = metrics.panoptic_quality(ours)
    assert np.allclose(pq, [by_class[k]["pq"] for k in range(3)])
    assert [metrics.mean(each) for each in (pq, sq, rq)] == pytest.approx([average[key] for key in ("pq", "sq", "rq")])


def test_panoptic_quality_of_a_case_done_by_hand() -> None:
    truth = np.zeros((4, 10), int)
    truth[:, :4], truth[:2, 4:8], truth[2:, 4:8] = 1, 2, 3  # columns 8 and 9 are void
    guess = np.zeros((4, 10), int)
    guess[:, 0:3], guess[:2, 3:9], guess[2:, 8:] = 1, 2, 3  # what lies on void alone is not held against it
    truth_segments, predicted = (Segments(numbers, [0, 1, 1], [False] * 3) for numbers in (truth, guess))
    counts = metrics.match(truth_segments, predicted, 3)
    # class 0: 12 of 16 pixels. Class 1: the upper 8 pixels against 12, of which 2 are void: 8 / 10; the lower is missed.
    assert np.allclose(np.array(counts), [[0.75, 0.8, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0]])
    pq, sq, rq = metrics.panoptic_quality(metrics.add([counts, counts]))
    assert np.allclose(pq[:2], [0.75, 0.8 * 2 / 3]) and np.allclose(sq[:2], [0.75, 0.8]) and np.isnan([pq, sq, rq])[:, 2].all()
    assert metrics.mean(rq) == pytest.approx((1 + 2 / 3) / 2)
    nothing = metrics.panoptic_quality(PanopticCounts(*np.array([[0.0], [0], [2], [1]])))
    assert np.array_equal(nothing, np.zeros((3, 1)))


def test_a_map_becomes_segments_things_by_their_connected_parts() -> None:
    drawn = ["00.1..11", "0..1..11", "2...1..."]  # of the left 1s the lowest touches the others with a corner
    labels = np.array([[3 if c == "." else int(c) for c in line] for line in drawn])
    segments = metrics.segments_of(labels, [False, True, True, False], smallest=2)
    assert sorted(segments.labels) == [0, 1, 1, 3]  # the one pixel of class 2 is too small
    assert (segments.map()[labels != 2] == labels[labels != 2]).all() and segments.map()[2, 0] == VOID
    assert segments.numbers[0, 3] == segments.numbers[2, 4] != segments.numbers[0, 6]


# ---- loss ----


def test_void_pixels_do_not_count_in_the_loss() -> None:
    logits, labels = torch.randn(2, 4, 6, 5), torch.randint(0, 4, (2, 6, 5))
    labels[0, :3] = VOID
    expected = F.cross_entropy(logits, labels, ignore_index=VOID)
    assert torch.allclose(lab.cross_entropy(logits, labels), expected, atol=1e-6)
    assert lab.cross_entropy(logits, torch.full_like(labels, VOID)) == 0


def test_dice_loss_is_the_definition() -> None:
    logits, labels = torch.randn(2, 4, 6, 5), torch.randint(0, 3, (2, 6, 5))  # the class 3 is not there
    labels[1, 2:] = VOID
    p, valid = logits.softmax(dim=1), labels != VOID
    coefficients = []
    for k in range(3):
        a, b = p[:, k][valid], (labels == k)[valid].float()
        coefficients.append(2 * (a * b).sum() / (a.sum() + b.sum()))
    assert torch.allclose(lab.dice_loss(logits, labels), 1 - sum(coefficients) / 3, atol=1e-6)
    sure = 100 * F.one_hot(labels.clamp(max=3), 4).permute(0, 3, 1, 2).float()
    assert abs(lab.dice_loss(sure, labels)) < 1e-6


def test_the_learning_rate_falls_to_nothing() -> None:
    rates = [lab.poly(lab.Config(lr=0.1), step, 10) for step in range(11)]
    assert rates[0] == 0.1 and rates[5] == pytest.approx(0.1 * 0.5**0.9) and rates[10] == 0


# ---- augmentation ----


def numbered(count: int = 6, side: int = 12) -> data.Images:
    """Images whose red tells the label of each pixel, of different heights."""
    labels = torch.from_numpy(np.random.RandomState(0).randint(0, 200, (count, side, side), dtype=np.uint8))
    pixels = torch.stack([labels, labels // 2, 255 - labels], dim=3)
    sizes = torch.tensor([[side - k, side] for k in range(count)])
    return data.Images(pixels, labels, sizes, [], [str(k) for k in range(count)])


def test_labels_move_with_their_pixels_and_a_crop_stays_in_its_image() -> None:
    images = numbered()
    plan = augment.plan_epoch(images.sizes, 8, 0.0, seed=3, epoch=2)
    pixels, labels = augment.gather(images, plan, slice(1, 6), 8, CPU)
    assert pixels.shape == (5, 8, 8, 3) and torch.equal(pixels[..., 0].byte(), labels)
    assert 0 < int(plan.flip.sum()) < 6
    for k in range(5):
        i, y, x = (int(each[k + 1]) for each in (plan.order, plan.y, plan.x))
        expected = images.labels[i, y : y + 8, x : x + 8]
        assert torch.equal(labels[k], expected.flip(1) if plan.flip[k + 1] else expected)
        assert y + 8 <= max(int(images.sizes[i, 0]), 8)
    assert torch.equal(numbered().pixels, images.pixels)  # what is gathered is a copy


def test_windows_are_every_crop_and_no_copy() -> None:
    images = numbered()
    assert torch.arange(4).unfold(0, 3, 1).tolist() == [[0, 1, 2], [1, 2, 3]]  # the example
    for stored in (images.pixels, images.labels):
        windows = augment.windows(stored, 8)
        places = stored.shape[1] - 8 + 1
        assert windows.shape == (len(stored), places, places, 8, 8, *stored.shape[3:])
        assert windows.data_ptr() == stored.data_ptr()
        for y, x in ((0, 0), (0, places - 1), (1, 2), (places - 1, places - 1)):
            assert torch.equal(windows[:, y, x], stored[:, y : y + 8, x : x + 8])


def test_the_plan_follows_from_seed_and_epoch() -> None:
    sizes = torch.full((500, 2), 12)
    one, again, later = (augment.plan_epoch(sizes, 8, 0.3, 1, epoch) for epoch in (4, 4, 5))
    assert all(torch.equal(a, b) for a, b in zip(one, again)) and not torch.equal(one.order, later.order)
    assert {int(v) for v in one.y} == {int(v) for v in one.x} == set(range(5))
    assert 0.7 <= one.colour.min() < 0.72 and 1.28 < one.colour.max() <= 1.3


@pytest.mark.parametrize(("which", "name"), [(0, "adjust_brightness"), (1, "adjust_contrast"), (2, "adjust_saturation")])
def test_recolouring_is_torchvisions(which: int, name: str) -> None:
    image = np.random.RandomState(0).randint(0, 256, (9, 11, 3), dtype=np.uint8)
    for factor in (0.6, 1.0, 1.5):
        factors = torch.ones(1, 3)
        factors[0, which] = factor
        got = augment.recolour(torch.from_numpy(image).float().unsqueeze(0), factors)[0].numpy()
        expected = np.asarray(getattr(image_transforms, name)(Image.fromarray(image), factor), dtype=float)
        assert np.abs(got - expected).max() < 2  # Pillow rounds to whole numbers on the way


# ---- COCO's files ----


def test_labels_are_what_the_panoptic_images_say(coco: Path) -> None:
    train, test, about = data.find_splits(coco)
    assert (len(train.images), len(test.images)) == (120, 30) and "panoptic" in about
    classes = data.choose_classes(train, [], 20)
    assert classes.names == ["ball", "box", "tent", "sky", "grass"] and classes.things == [True] * 3 + [False] * 2
    images = load(test, classes)
    assert images.pixels.shape == (30, 160, 160, 3) and (images.sizes == torch.tensor([120, 160])).all()
    assert (images.labels[:, 120:] == VOID).all() and (images.labels[:, :120] < 5).all()
    row = test.rows[test.images[7]["id"]][0]
    drawn = np.asarray(Image.open(str(coco / "panoptic_val2017" / row["file_name"]))).astype(int) @ [1, 256, 65536]
    for segment in row["segments_info"]:
        label = {1: 0, 3: 1, 7: 2, 187: 3, 193: 4}[segment["category_id"]]
        assert (images.labels[7, :120].numpy()[drawn == segment["id"]] == label).all()
    half = load(test, classes, 80)
    assert half.pixels.shape == (30, 80, 80, 3) and (half.labels[:, :60] == images.labels[:, 1:120:2, 1:160:2]).all()


def test_instances_alone_give_things_on_one_ground(coco: Path) -> None:
    panoptic = load(data.find_splits(coco)[1], data.choose_classes(data.find_splits(coco)[0], [], 20))
    for file in (coco / "annotations").glob("panoptic*"):
        file.unlink()
    train, test, about = data.find_splits(coco)
    classes = data.choose_classes(train, [], 20)
    assert "instances" in about and classes.names == ["ball", "box", "tent", "other"]
    instances = load(test, classes)
    expected = panoptic.labels.clone()
    expected[(expected == 3) | (expected == 4)] = 3
    assert (instances.labels == expected).float().mean() > 0.995  # a polygon's rim may differ by a pixel
    with pytest.raises(UserError, match="no panoptic annotations"):
        data.find_splits(coco, "panoptic")


def test_a_crowd_given_as_run_lengths_is_a_crowd_and_small_things_lie_on_top() -> None:
    rows = [
        {"segmentation": [[0, 0, 2, 0, 2, 2, 0, 2]], "category_id": 1, "image_id": 1},
        {"segmentation": {"size": [4, 6], "counts": [0, 16, 8]}, "category_id": 2, "iscrowd": 1, "image_id": 1},
    ]
    split = data.Split(Path(), "val2017", "instances", [], [], {1: rows})
    classes = data.Classes(["a", "b", "other"], [True, True, False], {1: 0, 2: 1}, other=2)
    segments = data.read_segments(split, {"id": 1, "height": 4, "width": 6, "file_name": "x"}, classes, (4, 6))
    assert segments.crowd == [False, True, False]
    assert segments.map().tolist() == [[0, 0, 1, 1, 2, 2]] * 2 + [[1, 1, 1, 1, 2, 2]] * 2


def test_classes_are_those_asked_for_or_the_largest(coco: Path) -> None:
    train, test, _ = data.find_splits(coco)
    asked = data.choose_classes(train, ["tent", "sky"], 20)
    assert asked.names == ["tent", "sky", "other"] and asked.label(1) == 2 and asked.label(187) == 1
    assert data.choose_classes(train, [], 2).names == ["sky", "grass", "other"]
    segments = load(test, asked).segments[0]
    assert segments.labels.count(2) == 1  # other is ground: one segment, however many things are in it
    for row in train.rows.values():  # where no training image shows a tent, nobody can learn it
        row[0]["segments_info"] = [each for each in row[0]["segments_info"] if each["category_id"] != 7]
    without = data.choose_classes(train, [], 20)
    assert without.names == ["ball", "box", "sky", "grass"]
    all_labels = load(test, data.choose_classes(test, [], 20)).labels
    assert ((load(test, without).labels == VOID) == (all_labels == VOID) | (all_labels == 2)).all()
    with pytest.raises(UserError, match="did you mean tent"):
        data.choose_classes(train, ["tents"], 20)


def test_one_split_alone_is_divided(coco: Path) -> None:
    for file in coco.glob("annotations/*_train2017.json"):
        file.unlink()
    train, test, about = data.find_splits(coco)
    assert (len(train.images), len(test.images)) == (24, 6) and "every fifth" in about
    names = [{entry["file_name"] for entry in split.images} for split in (train, test)]
    assert not names[0] & names[1] and len(names[0] | names[1]) == 30


def test_grey_images_and_long_ones_fit_the_square(tmp_path: Path) -> None:
    (tmp_path / "val2017").mkdir()
    split = data.Split(tmp_path, "val2017", "panoptic", [], [], {})
    for name, pixels in (("grey", np.full((30, 200), 90, np.uint8)), ("small", np.full((20, 5, 3), 90, np.uint8))):
        cv2.imwrite(str(tmp_path / "val2017" / f"{name}.jpg"), pixels)
        row = {"file_name": f"{name}.jpg", "height": pixels.shape[0], "width": pixels.shape[1]}
        image = data.read_image(split, row)
        assert (image == 90).all() and image.shape == (*pixels.shape[:2], 3)
        fitted = data.square(data.shrink(image, 64), 64)
        assert fitted.shape == (64, 64, 3) and (fitted == 90).all(axis=2).sum() == 64 * {"grey": 10, "small": 16}[name]


def spoil_image(folder: Path) -> None:
    path = folder / "val2017" / "000000000125.jpg"
    path.write_bytes(path.read_bytes()[:900])


def spoil_size(folder: Path) -> None:
    cv2.imwrite(str(folder / "val2017" / "000000000125.jpg"), np.zeros((50, 60, 3), np.uint8))


def lose_image(folder: Path) -> None:
    (folder / "val2017" / "000000000125.jpg").unlink()


def lose_mask(folder: Path) -> None:
    (folder / "panoptic_val2017" / "000000000125.png").unlink()


def spoil_mask(folder: Path) -> None:
    (folder / "panoptic_val2017" / "000000000125.png").write_bytes(b"\x89PNG no more")


def strange_mask(folder: Path) -> None:
    cv2.imwrite(str(folder / "panoptic_val2017" / "000000000125.png"), np.full((120, 160, 3), 7, np.uint8))


def lose_annotations(folder: Path) -> None:
    shutil.rmtree(str(folder / "annotations"))


def spoil_annotations(folder: Path) -> None:
    (folder / "annotations" / "panoptic_val2017.json").write_text('{"images": []}')


def empty_annotations(folder: Path) -> None:
    path = folder / "annotations" / "panoptic_val2017.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "annotations": []}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_image, "000000000125.jpg is broken: it is cut short"),
        (spoil_size, "000000000125.jpg is broken: it is 60x50, expected 160x120"),
        (lose_image, "000000000125.jpg, which panoptic_val2017.json lists"),
        (lose_mask, "000000000125.png, which panoptic_val2017.json lists"),
        (spoil_mask, "000000000125.png is not an image"),
        (strange_mask, "000000000125.png has a segment 460551 of which"),
        (lose_annotations, "there are no panoptic or instances annotations"),
        (spoil_annotations, "it has no list of annotations"),
        (empty_annotations, "panoptic_val2017.json has no annotated image"),
    ],
)
def test_what_is_wrong_with_the_files_is_named(spoil: Any, message: str, coco: Path) -> None:
    spoil(coco)
    with pytest.raises(UserError, match=message) as caught:
        train, test, _ = data.find_splits(coco)
        load(test, data.choose_classes(train, [], 20))
    assert caught.value.next_command.startswith("./inv data coco")


def test_an_outline_that_is_none_is_left_out_and_counted(coco: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = coco / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    content["annotations"][3]["segmentation"] = [["a", 2]]
    path.write_text(json.dumps(content))
    train, test, _ = data.find_splits(coco, "instances")
    assert "left out outlines without a surface (1), objects without an outline (1)" in capfd.readouterr().err
    assert sum(map(len, test.rows.values())) == len(content["annotations"]) - 1
    load(test, data.choose_classes(train, [], 20))


# ---- whole runs ----


@pytest.fixture(scope="module")
def trained(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished tiny run, uninterrupted; the folder of runs is its parent's parent."""
    runs = tmp_path_factory.mktemp("trained")
    status, output = run_here(TINY, shared_data, runs)
    assert status == 0, output
    return newest(runs)


def test_smoke_learns_and_leaves_everything(shared_data: Path, tmp_path: Path) -> None:
    done = subprocess.run(command(["--smoke"]), env=environment(shared_data, tmp_path), stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
    folder = newest(tmp_path)
    for name in ("format", "training_images", "best", "worst", "confusion"):
        assert (folder / "plots" / f"{name}.png").stat().st_size > 5000, name
    summary = json.loads((folder / "summary.json").read_text())
    assert set(summary["metrics"]) == {"miou", "pixel_accuracy", "mean_accuracy", "fwiou", "pq", "sq", "rq"}
    rows = json.loads((folder / "tables" / "classes.json").read_text())["rows"]
    assert {row[0] for row in rows} == {"ball", "box", "tent", "sky", "grass"}
    rows = json.loads((folder / "tables" / "format.json").read_text())["rows"]
    assert [row[0] for row in rows] == ["panoptic_val2017.json"] * 3 + ["instances_val2017.json"] * 3


@pytest.mark.slow
def test_killed_anywhere_and_resumed_it_ends_the_same(trained: Path, shared_data: Path, tmp_path: Path) -> None:
    places = environment(shared_data, tmp_path)
    process = subprocess.Popen(command([*TINY, "--save-every=0.05"]), env=places, stderr=subprocess.PIPE, text=True)
    target = random.randint(1, STEPS - 20)
    while process.poll() is None and step_of(newest(tmp_path)) < target:
        time.sleep(0.01)
    process.kill()
    _, output = process.communicate()
    stopped_at = step_of(newest(tmp_path))
    assert target <= stopped_at < STEPS, output
    status, output = run_here(["--resume=latest"], shared_data, tmp_path)
    assert status == 0 and f"after step {stopped_at}" in output, output
    # the same seed, twice: once in one go and once in two
    assert (newest(tmp_path) / "metrics.jsonl").read_bytes() == (trained / "metrics.jsonl").read_bytes()
    one, other = weights(newest(tmp_path)), weights(trained)
    assert set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


def test_instances_dice_and_chosen_classes_train(shared_data: Path, tmp_path: Path) -> None:
    arguments = ["--sample", "--model=pspnet", "--width=4", "--size=64", "--crop=32", "--epochs=1", "--limit=20",
                 "--dice=1", "--annotations=instances", "--classes=ball, tent"]  # fmt: skip
    status, output = run_here(arguments, shared_data, tmp_path)
    assert status == 0 and "classes: ball, tent, other" in output and "COCO's instances annotations" in output, output


def test_a_users_image_is_segmented_by_the_last_trained_network(trained: Path, shared_data: Path) -> None:
    runs = trained.parent.parent
    scene = np.zeros((50, 85, 3), np.uint8)
    forms = {"rgb.png": scene, "grey.png": scene[..., 0], "alpha.png": np.dstack([scene, scene[..., :1]]),
             "16 bit.png": scene.astype(np.uint16) * 257, "tiny.jpg": scene[:3, :4]}  # fmt: skip
    for name, pixels in forms.items():
        path = runs / name
        cv2.imwrite(str(path), pixels)
        status, output = run_here([f"--predict={path}", "--model=deeplabv3"], shared_data, runs)
        assert status == 0 and "%" in output and "trained on the sample" in output, output
        labels = cv2.imread(str(newest(runs) / "plots" / "labels.png"), cv2.IMREAD_UNCHANGED)
        assert labels.shape == pixels.shape[:2] and labels.max() < 5
        assert (newest(runs) / "plots" / "prediction.png").exists()


def test_what_cannot_be_done_is_refused_in_one_sentence(trained: Path, shared_data: Path, tmp_path: Path) -> None:
    image, text = tmp_path / "photo.png", tmp_path / "text.jpg"
    cv2.imwrite(str(image), np.zeros((50, 80, 3), np.uint8))
    text.write_text("no image")
    for arguments, reason in (
        ([f"--predict={image}", f"--checkpoint={trained}"], "was trained with --model deeplabv3, not unet"),
        ([f"--predict={image}"], "no network has been trained with --model unet yet"),
        ([f"--predict={text}"], "is not an image"),
        (["--sample", "--size=100"], "--size 100 is not a multiple of 32"),
        (["--sample", "--size=64"], "--crop 128 is more than --size 64"),
        (["--sample", "--classes=cat"], "have no 'cat'"),
        ([], "COCO 2017 is not in"),
    ):
        status, output = run_here(arguments, shared_data, tmp_path / "runs")
        assert status == 2 and reason in output and "Traceback" not in output, output
    assert not list((tmp_path / "runs").glob("segmentation/*"))


def test_the_colours_of_many_classes_differ() -> None:
    colours = results.palette([f"class {k}" for k in range(100)])[:100].astype(int)
    gaps = np.abs(colours[:, None] - colours[None]).sum(axis=2) + 1000 * np.eye(100, dtype=int)
    assert gaps.min() > 0 and (colours.sum(axis=1) < 3 * 250).all()

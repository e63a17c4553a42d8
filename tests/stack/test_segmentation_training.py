"""The lab segmentation: its training beside a plain reference, its dropout, and what its pictures show."""

from __future__ import annotations

import copy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from labruns import Adam, Desk, assert_same_weights, title_of
from matplotlib.colors import to_rgb
from torch import nn
from torch.nn import functional as F

from labkit.runs import compat
from labs.segmentation import augment, data, lab, metrics, models, results
from labs.segmentation.metrics import VOID, Segments

CPU = torch.device("cpu")
CLASSES = data.Classes(["ball", "box", "sky"], [True, True, False], {1: 0, 3: 1, 187: 2}, other=VOID)


def images(count, side=32, seed=0):
    """Images of noise whose classes are seen by their colour, some narrower than the square."""
    random = np.random.RandomState(seed)
    labels = random.randint(0, 3, (count, side // 8, side // 8)).repeat(8, axis=1).repeat(8, axis=2).astype(np.uint8)
    pixels = (80 * labels[..., None] + random.randint(0, 60, (count, side, side, 3))).astype(np.uint8)
    sizes = np.full((count, 2), side)
    sizes[::2, 1] = side - 8
    labels[::2, :, side - 8 :] = VOID
    segments = [metrics.segments_of(one[:height, :width], CLASSES.things) for one, (height, width) in zip(labels, sizes)]
    return data.Images(torch.from_numpy(pixels), torch.from_numpy(labels), torch.from_numpy(sizes), segments,
                       [f"{k}.jpg" for k in range(count)])  # fmt: skip


# ---- the training, beside a reference ----


def mean_iou(truth, guess):
    """Of the classes that are true or guessed somewhere."""
    found = [((truth == k) & (guess == k)).sum() / ((truth == k) | (guess == k)).sum()
             for k in range(3) if ((truth == k) | (guess == k)).any()]  # fmt: skip
    return float(np.mean(found))


def dice(logits, labels):
    p, losses = torch.softmax(logits, dim=1), []
    for k in range(3):
        there, of_class = labels != VOID, labels == k
        if of_class.any():
            chances = p[:, k] * there
            losses.append(2 * chances[of_class].sum() / (chances.sum() + of_class.sum()))
    return 1 - sum(losses) / len(losses)


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_two_epochs_are_those_of_the_reference(weight, monkeypatch):
    monkeypatch.setattr(compat, "fast_dtype", lambda device: (torch.float32, "tests"))
    made = lab.Config(width=4, size=32, crop=32, epochs=2, batch_size=2, lr=0.001, dice=weight)
    train, test, desk = images(5), images(3, seed=1), Desk(seed=4)
    torch.manual_seed(0)
    model = lab.build_model(made, 3)
    model[0].measure(train.pixels.reshape(-1, 3))
    reference = copy.deepcopy(model)
    lab.train(model, train, test, made, desk, {"classes": CLASSES.names})

    optimizer, rows = Adam(reference.parameters(), decay=0.01), []
    for epoch in range(2):
        plan, losses, truths, guesses = augment.plan_epoch(train.sizes, 32, made.colour, 4, epoch), [], [], []
        for k in range(2):  # the fifth image is left over
            lr = 0.001 * (1 - (2 * epoch + k) / 4) ** 0.9
            pixels, labels = augment.gather(train, plan, slice(2 * k, 2 * k + 2), 32, CPU)
            labels = labels.long()
            logits = reference(pixels)
            loss = F.cross_entropy(logits, labels, ignore_index=VOID) + weight * (dice(logits, labels) if weight else 0)
            optimizer.descend(loss, lr)
            losses.append(float(loss))
            truths.append(labels.numpy())
            guesses.append(logits.detach().argmax(dim=1).numpy())
        reference.eval()
        with torch.no_grad():
            logits = reference(test.pixels)
        reference.train()
        kept = [np.stack(part) for part in (truths, guesses)]
        truth, guess = (part[kept[0] != VOID] for part in kept)
        known = test.labels.numpy() != VOID
        test_truth, test_guess = test.labels.numpy()[known], logits.argmax(dim=1).numpy()[known]
        rows.append({"step": 2 * epoch + 2, "train_loss": np.mean(losses), "lr": lr,
                     "test_loss": float(F.cross_entropy(logits, test.labels.long(), ignore_index=VOID)),
                     "train_miou": mean_iou(truth, guess), "test_miou": mean_iou(test_truth, test_guess),
                     "train_accuracy": (truth == guess).mean(), "test_accuracy": (test_truth == test_guess).mean()})  # fmt: skip
    assert desk.logged == [pytest.approx(row, rel=2e-3, abs=2e-3) for row in rows]
    assert_same_weights(model, reference, atol=1e-4)
    assert model.training


def test_the_mean_loss_is_over_all_test_images():
    """Of two parts, of 16 and of one."""
    test = images(17)
    model = lab.build_model(lab.Config(width=4, size=32, crop=32), 3)
    model[0].measure(test.pixels.reshape(-1, 3))
    predicted, loss = lab.evaluate(model, test, 3, CPU)
    model.eval()
    with torch.no_grad():
        logits = model(test.pixels)
    each = [float(F.cross_entropy(logits[part], test.labels[part].long(), ignore_index=VOID))
            for part in (slice(16), slice(16, 17))]  # fmt: skip
    assert loss == pytest.approx((16 * each[0] + each[1]) / 17, rel=1e-4)
    assert (predicted == logits.argmax(dim=1).numpy()).mean() > 0.999


def test_features_drop_out_at_the_rates_of_the_papers():
    torch.manual_seed(0)
    for network, kind, rate in ((models.PSPNet(3, 8), nn.Dropout2d, 0.1), (models.DeepLabv3(3, 8), nn.Dropout, 0.5)):
        (layer,) = [module for module in network.modules() if isinstance(module, (nn.Dropout, nn.Dropout2d))]
        dropped = (layer.train()(torch.ones(200, 100, 2, 2)) == 0).float()
        assert isinstance(layer, kind) and float(dropped.mean()) == pytest.approx(rate, abs=0.02)
        assert torch.equal(layer.eval()(torch.ones(1, 3, 2, 2)), torch.ones(1, 3, 2, 2))


@pytest.mark.parametrize(("inputs", "outputs", "stride", "dilation"), [(4, 4, 1, 1), (4, 8, 2, 1), (4, 8, 1, 2)])
def test_a_residual_block_is_two_convolutions_and_the_way_around_them(inputs, outputs, stride, dilation):
    torch.manual_seed(0)
    block, x = models.BasicBlock(inputs, outputs, stride, dilation).eval(), torch.randn(2, inputs, 8, 8)
    scale = (1 + 1e-5) ** -0.5  # of a normalisation that has seen nothing
    inner = F.conv2d(x, block.first[0].weight, None, stride, dilation, dilation) * scale
    inner = F.conv2d(inner.clamp(min=0), block.second[0].weight, None, 1, dilation, dilation) * scale
    around = x
    if stride != 1 or inputs != outputs:
        around = F.conv2d(x, block.skip[0].weight, None, stride) * scale
    assert torch.allclose(block(x), (inner + around).clamp(min=0), atol=1e-5)


# ---- what is shown ----


def shown(axis):
    return np.asarray(axis.images[0].get_array())


def test_other_is_grey_void_is_white_and_the_first_classes_have_the_colours_of_all_plots():
    colours = results.palette(["ball", data.OTHER, "sky"])
    assert colours[0].tolist() == [round(255 * part) for part in to_rgb("#0072b2")]
    assert colours[2].tolist() == [round(255 * part) for part in to_rgb("#009e73")]
    assert len(set(colours[1].tolist())) == 1 and 100 < colours[1, 0] < 200 and (colours[3:] == 255).all()


def test_each_segment_that_is_asked_for_has_an_outline_in_its_own_place():
    numbers = np.zeros((30, 40), int)
    numbers[2:14, 2:14], numbers[16:28, 20:38], numbers[2:14, 20:38] = 1, 2, 3
    image = np.full((30, 40, 3), 100, np.uint8)
    drawn = results.outlined(image, Segments(numbers, [0, 1, 0], [False] * 3), [0, 2]).astype(int)
    faded = 35 + 165
    for number in (0, 2):  # nothing, and a segment that is not asked for
        assert (np.abs(drawn[numbers == number] - faded) <= 1).all()
    inside = [drawn[8, 8], drawn[8, 28]]
    assert all(np.ptp(colour) > 50 for colour in inside) and np.abs(inside[0] - inside[1]).max() > 50
    for y, x, inner in ((2, 2, (8, 8)), (2, 20, (8, 28))):  # a rim two pixels wide is darker
        assert drawn[y + 5, x].sum() < drawn[inner].sum() and drawn[y + 5, x + 1].sum() < drawn[inner].sum()
        assert (drawn[y + 5, x + 2] == drawn[inner]).all()


def test_a_legend_names_the_classes_that_are_there():
    figure = results.gallery([[np.zeros((4, 4, 3), np.uint8)]], ["one"])
    results.legend(figure, CLASSES.names, np.array([[0, 2, VOID]]))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["ball", "sky"]
    colours = results.palette(CLASSES.names)
    for patch, k in zip(legend.get_patches(), (0, 2)):
        assert np.allclose(np.array(patch.get_facecolor()[:3]) * 255, colours[k], atol=1)


def coco_of_one(folder):
    """A split of two images: with a ball and a box on the sky, and with nothing but the sky."""
    for name in ("val2017", "panoptic_val2017"):
        (folder / name).mkdir(parents=True)
    numbers = np.full((48, 64), 7, np.uint8)
    numbers[4:20, 4:20], numbers[30:44, 40:60] = 5, 6
    categories = [{"id": 1, "name": "ball", "isthing": 1}, {"id": 3, "name": "box", "isthing": 1},
                  {"id": 187, "name": "sky", "isthing": 0}]  # fmt: skip
    entries, rows = [], {}
    for k, ids in enumerate(((7,), (5, 6, 7))):
        here = np.where(np.isin(numbers, ids), numbers, 7)
        cv2.imwrite(str(folder / "val2017" / f"{k}.jpg"), np.full((48, 64, 3), 60 + 100 * k, np.uint8))
        cv2.imwrite(str(folder / "panoptic_val2017" / f"{k}.png"), np.stack([0 * here, 0 * here, here], axis=2))
        entries.append({"id": k, "file_name": f"{k}.jpg", "height": 48, "width": 64})
        segments = [{"id": number, "category_id": {5: 1, 6: 3, 7: 187}[number], "iscrowd": 0,
                     "area": int((here == number).sum())} for number in ids]  # fmt: skip
        rows[k] = [{"image_id": k, "file_name": f"{k}.png", "segments_info": segments}]
    return data.Split(folder, "val2017", "panoptic", categories, entries, rows)


def test_the_three_questions_stand_over_their_answers(tmp_path):
    """In the image with most segments: two instances, three classes, three panoptic segments."""
    split, desk = coco_of_one(tmp_path), Desk()
    test = images(2)
    some = [Segments(np.zeros((2, 2), int), [2], [False]), Segments(np.zeros((2, 2), int), [0, 1, 2], [False] * 3)]
    results.show_format(desk, split, data.Images(test.pixels, test.labels, test.sizes, some, ["0.jpg", "1.jpg"]), CLASSES)
    axes = desk.figures["format"].axes
    assert [title_of(axis) for axis in axes] == ["1.jpg", "2 instances", "semantic", "3 panoptic segments"]
    image, instances, semantic, panoptic = (shown(axis).astype(int) for axis in axes)
    height, width = image.shape[:2]
    assert (height, width) == (360, 480) and np.abs(image - 160).max() <= 3
    scale = width / 64
    ball, box, sky = ((int(y * scale), int(x * scale)) for y, x in ((12, 12), (37, 50), (25, 30)))
    colours = results.palette(CLASSES.names)
    assert [semantic[place].tolist() for place in (ball, box, sky)] == colours[:3].tolist()
    assert np.ptp(instances[ball]) > 50 and np.ptp(instances[box]) > 50 and np.ptp(instances[sky]) <= 3
    assert (instances[ball] != instances[box]).any()
    assert all(np.ptp(panoptic[place]) > 50 for place in (ball, box, sky))
    rows = desk.tables["format"]
    assert [row[:3] for row in rows] == [["panoptic_val2017.json", "images", 2], ["panoptic_val2017.json", "annotations", 2],
                                         ["panoptic_val2017.json", "categories", 3]]  # fmt: skip


def test_training_images_stand_above_their_labels():
    train, desk = images(4), Desk()
    results.show_training(desk, train.pixels.float(), train.labels, CLASSES)
    axes = desk.figures["training_images"].axes
    for k in range(4):
        assert np.array_equal(shown(axes[k]), train.pixels[k].numpy())
        assert np.array_equal(shown(axes[4 + k]), results.palette(CLASSES.names)[train.labels[k].numpy()])


def test_the_best_and_the_worst_stand_in_order_with_truth_prediction_and_what_is_wrong():
    test, desk = images(5), Desk()
    maps, scores = [], []
    for k in range(5):
        height, width = test.sizes[k].tolist()
        truth = test.labels[k, :height, :width].numpy()
        guess = truth.copy()
        guess[: 5 * ((k + 2) % 5)] = (truth[: 5 * ((k + 2) % 5)] + 1) % 3  # the image 3 is right, and 2 the worst
        maps.append(guess)
        scores.append(mean_iou(truth, guess))
    results.show_examples(desk, test, maps, CLASSES)
    order = sorted(range(5), key=lambda k: -scores[k])
    assert order[0] == 3 and order[-1] == 2
    colours = results.palette(CLASSES.names)
    for name, chosen in (("best", order[:3]), ("worst", order[::-1][:3])):
        axes = np.array(desk.figures[name].axes).reshape(3, 4)
        assert [title_of(axis) for axis in axes[0]] == ["image", "truth", "prediction", "wrong pixels"]
        for line, k in zip(axes, chosen):
            height, width = test.sizes[k].tolist()
            truth = test.labels[k, :height, :width].numpy()
            assert line[0].get_ylabel() == f"mIoU {scores[k]:.0%}"
            assert np.array_equal(shown(line[0]), test.pixels[k, :height, :width].numpy())
            assert np.array_equal(shown(line[1]), colours[truth]) and np.array_equal(shown(line[2]), colours[maps[k]])
            wrong = (shown(line[3]) == [200, 30, 30]).all(axis=2)
            assert np.array_equal(wrong, truth != maps[k])


def test_the_tables_and_the_confusion_are_of_the_classes_that_are_there():
    names = ["ball", "box", "sky", "sea", "ice"]
    classes = data.Classes(names, [True, True, False, False, False], {}, VOID)
    matrix = np.array([[6, 2, 0, 0, 0], [0, 5, 5, 0, 0], [1, 0, 80, 1, 0], [0] * 5, [0] * 5])  # sea is only said, ice nowhere
    counts = metrics.PanopticCounts(*(np.array(part) for part in ([1.6, 0.9, 0.8, 0, 0], [2, 1, 1, 0, 0], [1, 0, 0, 1, 0], [0, 2, 0, 0, 0])))
    desk = Desk()
    results.show_classes(desk, matrix, metrics.panoptic_quality(counts), counts, classes)
    rows = desk.tables["classes"]
    assert [row[0] for row in rows] == ["sky", "ball", "box", "sea"]
    assert rows[0] == ["sky", "stuff", f"{80 / 87:.1%}", f"{80 / 82:.1%}", "80.0%", "80.0%", "100.0%", "82.0%", 1]
    assert rows[1][:4] == ["ball", "thing", f"{6 / 9:.1%}", "75.0%"] and rows[1][6] == f"{2 / 2.5:.1%}" and rows[1][8] == 2
    assert rows[2][4:] == [f"{0.9 / 2:.1%}", "90.0%", "50.0%", "10.0%", 3]
    assert rows[3] == ["sea", "stuff", "0.0%", "–", "0.0%", "0.0%", "0.0%", "0.0%", 0]
    results.show_confusion(desk, matrix, names)
    axis = desk.figures["confusion"].axes[0]
    assert np.allclose(shown(axis), [[0.75, 0.25, 0, 0], [0, 0.5, 0.5, 0], [1 / 82, 0, 80 / 82, 1 / 82], [0] * 4])
    assert [text.get_text() for text in axis.get_xticklabels()] == names[:4] == [text.get_text() for text in axis.get_yticklabels()]
    cells = {text.get_position()[::-1]: text.get_text() for text in axis.texts}
    named = {place: text for place, text in cells.items() if text}
    assert len(cells) == 16 and named == {(0, 0): "75%", (0, 1): "25%", (1, 1): "50%", (1, 2): "50%", (2, 0): "1%", (2, 2): "98%",
                                          (2, 3): "1%"}  # fmt: skip
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("predicted", "true") and axis.yaxis_inverted()


def test_ones_own_image_stands_beside_its_classes():
    desk, image = Desk(), np.full((6, 8, 3), 200, np.uint8)
    labels = np.arange(48).reshape(6, 8) % 3
    results.show_prediction(desk, image, labels, CLASSES.names)
    axes, colours = desk.figures["prediction"].axes, results.palette(CLASSES.names)[labels]
    assert [title_of(axis) for axis in axes] == ["image", "both", "classes"]
    assert np.array_equal(shown(axes[0]), image) and np.array_equal(shown(axes[2]), colours)
    assert np.abs(shown(axes[1]).astype(int) - (image / 2 + colours / 2)).max() <= 1


def test_of_one_split_every_fifth_image_judges_and_none_of_them_trains(tmp_path, monkeypatch):
    split = coco_of_one(tmp_path)
    many = data.Split(split.folder, "val2017", "panoptic", split.categories, [{**split.images[1], "id": k} for k in range(12)], {})
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "panoptic_val2017.json").write_text("{}")
    monkeypatch.setattr(data, "read_splits", lambda folder, names, kind: [many])
    train, test, _ = data.find_splits(Path(tmp_path))
    assert [entry["id"] for entry in test.images] == [2, 7]
    assert [entry["id"] for entry in train.images] == [0, 1, 3, 4, 5, 6, 8, 9, 10, 11]

"""Annotations as people have them, in the labs that learn from them: trained on and judged, or refused before that."""

from __future__ import annotations

import contextlib
import copy
import io
import json

import numpy as np
import pytest
from detectron2.data import DatasetMapper, get_detection_dataset_dicts
from PIL import Image
from pycocotools import mask as masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from labkit.base.errors import UserError
from labkit.data import coco_annotations, outlines, samples
from labs.detectron2 import configs
from labs.detectron2 import data as detection
from labs.segmentation import data as segmentation


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_DATA", str(tmp_path_factory.mktemp("data")))
        yield samples.locate("coco", sample=True).path


@pytest.fixture
def carried(sample, tmp_path):
    """Twenty images of the sample as a user's own, its annotations to be spoiled: spoil(change, split, kind)."""
    folder = tmp_path / "coco"
    (folder / "annotations").mkdir(parents=True)
    for split in ("train2017", "val2017"):
        for name in (split, f"panoptic_{split}"):
            (folder / name).symlink_to(sample / name)

    def spoil(change, split="val2017", kind="instances"):
        content = json.loads((sample / "annotations" / f"{kind}_{split}.json").read_text())
        ids = {entry["id"] for entry in content["images"][:20]}
        content["images"] = [entry for entry in content["images"] if entry["id"] in ids]
        content["annotations"] = [row for row in content["annotations"] if row["image_id"] in ids]
        change(content)
        (folder / "annotations" / f"{kind}_{split}.json").write_text(json.dumps(content))
        return folder

    return spoil


def every(**changes):
    """A change of all objects; "gone" takes a key away."""

    def change(content):
        for row in content["annotations"]:
            row.update(changes)
            for key in [key for key, value in changes.items() if value == "gone"]:
                del row[key]

    return change


def one(**changes):
    return lambda content: content["annotations"][2].update(changes)


def as_runs(content):
    """Masks in place of polygons, half of them as text."""
    for k, row in enumerate(content["annotations"]):
        runs = masks.merge(masks.frPyObjects(row["segmentation"], 120, 160))
        flat = np.concatenate([[0], masks.decode(runs).T.reshape(-1), [2]])
        ends = np.flatnonzero(flat[1:] != flat[:-1])
        counts = np.diff(np.concatenate([[0], ends])).tolist()
        row["segmentation"] = {"size": [120, 160], "counts": str(runs["counts"], "ascii") if k % 2 else counts}


SPOILED = {
    "no iscrowd": every(iscrowd="gone"),
    "no area": every(area="gone"),
    "area nan": every(area=float("nan")),
    "no bbox": every(bbox="gone"),
    "bbox null": one(bbox=None),
    "bbox of three": one(bbox=[1, 2, 3]),
    "bbox nan": one(bbox=[1, 2, float("nan"), 4]),
    "boxes of no size": every(bbox=[3, 3, 0, 0]),
    "box outside": one(bbox=[900, 900, 5, 5]),
    "ids 0": every(id=0),
    "no ids": every(id="gone"),
    "ids as text": every(id="a"),
    "ignored": one(ignore=1),
    "no outline": one(segmentation=[]),
    "outline null": one(segmentation=None),
    "outline of four numbers": one(segmentation=[[1, 1, 9, 9]]),
    "outline of text": one(segmentation=[["a", 2]]),
    "outline flat": one(segmentation=[1, 1, 30, 1, 30, 30]),
    "outline of points": one(segmentation=[[[1, 1], [30, 1], [30, 30]]]),
    "outline far away": one(segmentation=[[0, 0, 1e12, 0, 1e12, 1e12]]),
    "runs of another size": one(segmentation={"size": [10, 10], "counts": [50, 50]}),
    "runs cut short": one(segmentation={"size": [120, 160], "counts": "0"}),
    "runs everywhere": as_runs,
    "nothing but what is asked for": lambda content: [content.pop(key) for key in ("info", "licenses")],
}


@pytest.mark.parametrize("name", SPOILED)
def test_what_is_mended_can_be_learned_from_and_is_judged_right(name, carried, tmp_path):
    """Every image passes detectron2's mapper, and the truth, taken for a prediction, gets full marks."""
    cfg = configs.load("tiny", ["INPUT.MIN_SIZE_TRAIN", "(64,)"])
    names = detection.register(carried(SPOILED[name]), cfg, tmp_path / "work")
    mapper = DatasetMapper(cfg, is_train=True)
    records = get_detection_dataset_dicts([names.train])
    assert len(records) >= 15
    for record in records:
        instances = mapper(record)["instances"]
        assert len(instances) and instances.has("gt_masks")
    truth = json.loads((tmp_path / "work" / "val" / "instances.json").read_text())["annotations"]
    with contextlib.redirect_stdout(io.StringIO()):
        api = COCO(str(tmp_path / "work" / "val" / "instances.json"))
        found = api.loadRes([{**copy.deepcopy(row), "score": 0.9} for row in truth if not row["iscrowd"]])
        for kind in ("bbox", "segm"):
            judge = COCOeval(api, found, kind)
            judge.evaluate()
            judge.accumulate()
            judge.summarize()
            assert judge.stats[0] == pytest.approx(1), kind


@pytest.mark.parametrize("name", SPOILED)
def test_the_pixels_can_be_learned_from_too(name, carried):
    folder = carried(SPOILED[name])
    train, test, _ = segmentation.find_splits(folder, "instances")
    classes = segmentation.choose_classes(train, [], 20)
    assert classes.names == ["ball", "box", "tent", "other"]
    for split in (train, test):
        for entry in split.images:
            assert len(segmentation.read_segments(split, entry, classes, (120, 160)).labels) > 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (every(iscrowd=1), "hold crowds alone"),
        (every(segmentation="gone"), "have no outline that can be used"),
        (every(segmentation=[], bbox=[0, 0, 0, 0]), "have no outline that can be used"),
        (one(category_id=99), "of the category 99, which is not listed"),
        (lambda content: content["images"][1].update(id=content["images"][0]["id"]), "both have the id"),
        (lambda content: content["categories"].append(content["categories"][0]), "both have the id"),
    ],
)
def test_what_cannot_be_mended_is_refused_by_both_labs(change, reason, carried, tmp_path):
    folder = carried(change)
    with pytest.raises(UserError, match=reason):
        detection.register(folder, configs.load("tiny", []), tmp_path / "work")
    with pytest.raises(UserError, match=reason):
        segmentation.find_splits(folder, "instances")


def test_boxes_alone_are_enough_where_no_masks_are_learned(carried, tmp_path):
    cfg = configs.load("tiny", ["MODEL.MASK_ON", "False"])
    names = detection.register(carried(every(segmentation="gone")), cfg, tmp_path / "work")
    assert len(get_detection_dataset_dicts([names.train])) == 16


def rename(content):
    content["categories"][0]["name"] = "sphere"


def test_splits_that_number_their_classes_otherwise_agree_by_name(carried, tmp_path, capfd):
    def swap(content):
        for row in content["categories"]:
            row["id"] = {1: 3, 3: 1}.get(row["id"], row["id"])
        for row in content["annotations"]:
            row["category_id"] = {1: 3, 3: 1}.get(row["category_id"], row["category_id"])

    before = [row["category_id"] for row in json.loads((carried(lambda _: None) / "annotations" / "instances_val2017.json")
                                                       .read_text())["annotations"]]  # fmt: skip
    carried(swap)
    folder = carried(lambda _: None, "train2017")
    names = detection.register(folder, configs.load("tiny", []), tmp_path / "work")
    val = json.loads((tmp_path / "work" / "val" / "instances.json").read_text())
    assert names.things == ["ball", "box", "tent"] and [row["category_id"] for row in val["annotations"]] == before
    assert "matched by name" in capfd.readouterr().err
    _, test, _ = segmentation.find_splits(folder, "instances")
    assert sorted(row["category_id"] for rows in test.rows.values() for row in rows) == sorted(before)
    carried(rename)
    for read in (lambda: detection.register(folder, configs.load("tiny", []), tmp_path / "work"),
                 lambda: segmentation.find_splits(folder, "instances")):  # fmt: skip
        with pytest.raises(UserError, match=r"only instances_train2017\.json has ball, and only instances_val2017\.json has sphere"):
            read()


def strip(content):
    """Panoptic annotations with nothing but ids and categories."""
    for row in content["annotations"]:
        row["segments_info"] = [{key: each[key] for key in ("id", "category_id")} for each in row["segments_info"]]
        row["segments_info"].append({"id": 4_000_000, "category_id": 1})  # which no mask shows


def test_panoptic_segments_are_measured_in_their_masks(carried, tmp_path, capfd):
    folder = carried(lambda _: None)
    carried(strip, kind="panoptic")
    (content,) = coco_annotations.read_splits(folder, "panoptic", ["val2017"], coco_annotations.Needs(measures=True))
    assert "left out segments that the mask does not show (20)" in capfd.readouterr().err
    carried(lambda _: None, kind="panoptic")
    whole = json.loads((folder / "annotations" / "panoptic_val2017.json").read_text())
    assert content["annotations"] == whole["annotations"]
    carried(strip, kind="panoptic")
    cfg = configs.load("tiny_panoptic", [])
    assert detection.register(folder, cfg, tmp_path / "work").stuff == ["things", "sky", "grass"]
    train, _, _ = segmentation.find_splits(folder)
    assert segmentation.choose_classes(train, [], 2).names == ["sky", "grass", "other"]


def test_a_panoptic_mask_of_another_size_is_refused_before_training(carried, tmp_path):
    folder = carried(lambda _: None)
    carried(lambda _: None, kind="panoptic")
    (folder / "panoptic_val2017").unlink()
    (folder / "panoptic_val2017").mkdir()
    for row in json.loads((folder / "annotations" / "panoptic_val2017.json").read_text())["annotations"]:
        colours = np.zeros((30, 40, 3), np.uint8)
        Image.fromarray(colours).save(str(folder / "panoptic_val2017" / row["file_name"]))
    with pytest.raises(UserError, match="is 40x30, and its image is not"):
        detection.register(folder, configs.load("tiny_panoptic", []), tmp_path / "work")


def test_a_colour_that_the_annotations_do_not_know_is_refused_before_training(carried, tmp_path):
    folder = carried(lambda _: None)
    carried(lambda content: content["annotations"][3]["segments_info"].pop(), kind="panoptic")
    for read in (lambda: detection.register(folder, configs.load("tiny_panoptic", []), tmp_path / "work"),
                 lambda: read_all(segmentation.find_splits(folder)[0])):  # fmt: skip
        with pytest.raises(UserError, match=r"\.png has a segment \d+ of which panoptic_val2017\.json says nothing"):
            read()


def read_all(split):
    classes = segmentation.choose_classes(split, [], 20)
    return [segmentation.read_segments(split, entry, classes, (120, 160)) for entry in split.images]


def test_stuff_is_needed_to_learn_stuff(carried, tmp_path):
    folder = carried(lambda _: None)
    carried(lambda content: [row.pop("isthing") for row in content["categories"]], kind="panoptic")
    with pytest.raises(UserError, match="has no category that is stuff"):
        detection.register(folder, configs.load("tiny_panoptic", []), tmp_path / "work")


def test_outlines_are_measured_as_pycocotools_does():
    random = np.random.RandomState(0)
    for trial in range(200):
        height, width = random.randint(1, 40, 2).tolist()
        drawn = (random.rand(height, width) < random.rand()).astype(np.uint8)
        if trial % 2:
            drawn = np.kron(drawn, np.ones((20, 20), np.uint8))
        packed = masks.encode(np.asfortranarray(drawn))
        runs = {"size": list(drawn.shape), "counts": str(packed["counts"], "ascii")}
        counts = outlines.run_lengths(runs, drawn.shape[1], drawn.shape[0])
        assert np.array_equal(np.repeat(np.arange(len(counts)) % 2, counts), drawn.T.reshape(-1))
        if drawn.any():
            assert outlines.area_of(runs) == masks.area(packed)
            assert outlines.box_of(runs, drawn.shape[0]) == masks.toBbox(packed).tolist()
    square = [[10, 10, 30, 10, 30, 20, 10, 20]]
    assert outlines.area_of(square) == masks.area(masks.frPyObjects(square, 50, 50))[0] == 200
    assert outlines.box_of(square, 50) == masks.toBbox(masks.frPyObjects(square, 50, 50))[0].tolist()

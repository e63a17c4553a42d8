"""Samples: the layout of the real data, labels that mean something, and the same bytes on every stack."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle

from labkit.base.errors import UserError
from labkit.data import coco, pickles, registry, samples, store

# Of all files, in the order of their names. A change of the drawing changes these, and every result on the sample.
SHA256 = {
    "apple2orange": "e4f68d947a8c9acd3415441bd2f06eead50b4a78fc12534beebeeda62904d67d",
    "atis": "ff66ce0ea25378c2f4c7a5df438362501e9b81e4eb00f8d15d8fa186176f9b6e",
    "boston": "e7833147bfe040d2f9e2cff71ad57eb4056765de22faf743f845bf8ead1cb60e",
    "california": "6b6fff5bf585ee83650648c371199f5a122041915f1505c0135174f8b3807e56",
    "cifar10": "8ad6a8bfd14db8214ee40c14b9d5fdd17f26474a33e9ed291e7eda26f9a72218",
    "cifar100": "174410c89fbe4553780b7589c731242df4a94b70ba649d98120d682e3f8eeb9a",
    "cmn_eng": "8193baf051e12a55c2320fb187d67acae5235581eca367a45ae0408fdbbaa971",
    "coco": "87a7a400ecfd67131042fed661e66886f28219ee2e5dffddebdc32ac41e0eef9",
    "cyclegan": "43a2defca33d869478137040c53f93d0cc701bf7cb36d05e011d566598d8972c",
    "facades": "934cfa42be684a75ff6c9de176e14136089969d794b3083361516a6d284a5734",
    "mnist": "d1612f70dec3c6d65c1ed06fc9659c1a08ffad254f5e1949f0ee3b873c04b539",
    "shakespeare": "b2b83fedaf1672693dd9b7d84cfdad2cf0c1ebeebd054264a910df9bebb3e98e",
    "snips": "fbac5331c170ff28c25f38f313b7ea8c6e84cafb0f920ec19ba0e828adf2c4c5",
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The samples of all data sets, made once: name -> State."""
    patch = pytest.MonkeyPatch()
    patch.setenv("LAB_DATA", str(tmp_path_factory.mktemp("data")))
    yield {name: samples.locate(name, sample=True) for name in SHA256}
    patch.undo()


@pytest.mark.parametrize("name", SHA256)
def test_the_bytes_are_the_same_everywhere(drawn, name):
    state = drawn[name]
    assert state.kind == "sample"
    total = hashlib.sha256()
    for path in sorted(path for path in state.path.rglob("*") if path.is_file() and path.name != ".state.json"):
        total.update(path.read_bytes())
    assert total.hexdigest() == SHA256[name]


@pytest.mark.parametrize("name", SHA256)
def test_a_sample_is_made_once_and_is_not_the_real_thing(drawn, name):
    made = drawn[name].path.stat().st_mtime_ns
    assert samples.locate(name, sample=True) == drawn[name]
    assert drawn[name].path.stat().st_mtime_ns == made
    assert store.state(name).kind == "absent"


def test_a_sample_from_an_older_program_is_made_again(drawn):
    state_file = drawn["mnist"].path / ".state.json"
    text = state_file.read_text(encoding="utf-8")
    state_file.write_text(text.replace("sample.py ", "sample.py 0"), encoding="utf-8")
    assert samples.locate("mnist", sample=True).source == drawn["mnist"].source


def test_cifar10(drawn):
    folder = drawn["cifar10"].path / "cifar-10-batches-py"
    names = pickles.load(folder / "batches.meta")["label_names"]
    assert len(names) == 10 and "airplane" not in names
    for batch in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        content = pickles.load(folder / batch)
        assert content["data"].shape == (1000, 3072) and content["data"].dtype == np.uint8
        assert np.bincount(content["labels"]).tolist() == [100] * 10
        assert all(names[label] in name for label, name in zip(content["labels"], content["filenames"]))


def test_cifar100(drawn):
    folder = drawn["cifar100"].path / "cifar-100-python"
    meta = pickles.load(folder / "meta")
    assert len(meta["fine_label_names"]) == 100 and len(meta["coarse_label_names"]) == 20
    coarse_of = {}
    for split, count in (("train", 5000), ("test", 1000)):
        content = pickles.load(folder / split)
        assert content["data"].shape == (count, 3072) and content["data"].dtype == np.uint8
        assert np.bincount(content["fine_labels"]).tolist() == [count // 100] * 100
        for fine, coarse in zip(content["fine_labels"], content["coarse_labels"]):
            assert coarse_of.setdefault(fine, coarse) == coarse
            assert meta["fine_label_names"][fine].split()[1] == meta["coarse_label_names"][coarse].split()[1]
    assert sorted(np.bincount(list(coarse_of.values()))) == [5] * 20


def test_mnist(drawn):
    raw = drawn["mnist"].path / "MNIST" / "raw"
    for split, count in (("train", 4000), ("t10k", 1000)):
        stored = (raw / f"{split}-images-idx3-ubyte").read_bytes()
        labels = (raw / f"{split}-labels-idx1-ubyte").read_bytes()
        assert np.frombuffer(stored, ">i4", 4).tolist() == [2051, count, 28, 28]
        assert np.frombuffer(labels, ">i4", 2).tolist() == [2049, count]
        images = np.frombuffer(stored, np.uint8, offset=16).reshape(count, 28, 28)
        assert np.bincount(np.frombuffer(labels, np.uint8, offset=8)).tolist() == [count // 10] * 10
        assert 0.08 < images.mean() / 255 < 0.2  # ink is bright and covers about as much as in MNIST (0.13)


def test_all_but_weights_have_a_sample():
    assert set(registry.names()) - set(SHA256) == {"detectron2_weights"}
    with pytest.raises(UserError, match="detectron2 model zoo has no sample"):
        samples.locate("detectron2_weights", sample=True)


def explained(x, y):
    """The share of the variance of y that a linear function of x explains."""
    x = np.column_stack([x, np.ones(len(x))])
    rest = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    return 1 - rest.var() / y.var()


def test_housing(drawn):
    lines = (drawn["boston"].path / "boston/resources/boston_house_prices.csv").read_text().splitlines()
    table = np.array([[float(each) for each in line.split(",")] for line in lines[1:]])
    assert lines[0].startswith('"CRIM","ZN",') and table.shape == (506, 14)
    assert 0.5 < explained(table[:, :-1], table[:, -1]) < 0.95
    table = np.loadtxt(str(drawn["california"].path / "CaliforniaHousing/cal_housing.data"), delimiter=",")
    assert table.shape == (2064, 9)
    assert 0.5 < explained(table[:, :-1], table[:, -1]) < 0.95


def test_texts(drawn):
    text = (drawn["cmn_eng"].path / "cmn.txt").read_text(encoding="utf-8")
    pairs = [line.split("\t") for line in text.splitlines()]
    assert len(pairs) == 3000 == len({english for english, _, _ in pairs})
    assert len({chinese for _, chinese, _ in pairs}) == 3000
    scenes = (drawn["shakespeare"].path / "input.txt").read_text().split("\n\n")
    assert len(scenes) > 2000 and all(scene.split("\n")[0].endswith(":") for scene in scenes)


@pytest.mark.parametrize(
    ("name", "top", "tested"), [("apple2orange", "apple2orange", 40), ("cyclegan", "horse2zebra", 12)]
)
def test_unpaired_images_tell_their_kind_by_colour_or_pattern(drawn, name, top, tested):
    for split, count in (("train", 60), ("test", tested)):
        for kind in "AB":
            files = sorted((drawn[name].path / top / f"{split}{kind}").glob("*.jpg"))
            assert len(files) == count
            assert np.asarray(Image.open(str(files[0]))).shape == (256, 256, 3)


def test_paired_images(drawn):
    for split, count in (("train", 60), ("val", 12), ("test", 12)):
        files = list((drawn["facades"].path / "facades" / split).glob("*.jpg"))
        assert len(files) == count and np.asarray(Image.open(str(files[0]))).shape == (256, 512, 3)


@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_the_three_kinds_of_coco_agree(drawn, split):
    folder = drawn["coco"].path
    content = {}
    for kind in coco.KINDS:
        file = folder / "annotations" / f"{kind}_{split}.json"
        content[kind] = coco.parse(file.read_bytes(), str(file))
        assert content[kind]["images"] == content["instances"]["images"]
        json.dumps(content[kind], allow_nan=False)
    areas = {}
    for kind in ("instances", "stuff"):
        for row in content[kind]["annotations"]:
            areas.setdefault(row["image_id"], []).append((row["category_id"], row["area"], row["bbox"]))
    for entry, row in zip(content["panoptic"]["images"], content["panoptic"]["annotations"]):
        image = (folder / split / entry["file_name"]).read_bytes()
        assert not coco.jpeg_problem(image, entry["width"], entry["height"])
        mask = np.asarray(Image.open(str(folder / f"panoptic_{split}" / row["file_name"]))).astype(int)
        ids = mask @ np.array([1, 256, 65536])  # (H, W)
        for segment in row["segments_info"]:
            assert (ids == segment["id"]).sum() == segment["area"]
        assert sum(segment["area"] for segment in row["segments_info"]) == ids.size
        segments = [(each["category_id"], each["area"], each["bbox"]) for each in row["segments_info"]]
        assert sorted(segments) == sorted(areas[row["image_id"]])


def test_things_of_coco_hide_each_other_and_their_polygons_say_what_is_seen(drawn):
    content = coco.parse((drawn["coco"].path / "annotations/instances_train2017.json").read_bytes(), "the sample")
    boxes, hiding = {}, set()
    for row in content["annotations"]:
        polygons = [[float(each) for each in polygon] for polygon in row["segmentation"]]
        mask = rle.decode(rle.merge(rle.frPyObjects(polygons, 120, 160)))
        assert mask.sum() == row["area"]
        x, y, width, height = row["bbox"]
        assert mask[y : y + height, x : x + width].sum() == row["area"]
        for left, top, right, bottom in boxes.setdefault(row["image_id"], []):
            if x < right and left < x + width and y < bottom and top < y + height:
                hiding.add(row["image_id"])
        boxes[row["image_id"]].append((x, y, x + width, y + height))
    assert len(content["images"]) == 120 and len(hiding) >= 40
    assert sum(len(row["segmentation"]) > 1 for row in content["annotations"]) >= 5  # parted by what is in front


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_images_differ_and_use_the_range(drawn, name):
    file = {"cifar10": "cifar-10-batches-py/data_batch_1", "cifar100": "cifar-100-python/train"}[name]
    data = pickles.load(drawn[name].path / file)["data"]
    assert len(np.unique(data[:500], axis=0)) == 500
    assert data.min() == 0 and data.max() == 255 and 40 < data.std() < 90

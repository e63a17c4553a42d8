"""Annotation files that people make: completed where it can be derived, cleared of what is useless, else refused."""

from __future__ import annotations

import copy
import json

import pytest
from mirrors import jpeg

from labkit.base.errors import UserError
from labkit.data import coco, coco_annotations
from labkit.data.coco_annotations import Needs
from labkit.data.jpeg import as_annotated, jpeg_problem

SQUARE = [10, 10, 20, 10, 20, 20, 10, 20]
RUNS = {"size": [48, 64], "counts": [48 * 10 + 5, 10, 38, 10, 48 * 64 - 48 * 10 - 63]}  # two columns of ten pixels


def objects(**changes):
    """Two images with an object each; `changes` are made to the first object, None takes a key away."""
    row = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 100, "bbox": [10, 10, 10, 10],
           "segmentation": [SQUARE]}  # fmt: skip
    first = {key: value for key, value in {**row, **changes}.items() if value != "gone"}
    return {
        "images": [{"id": k, "file_name": f"{k}.jpg", "width": 64, "height": 48} for k in (1, 2)],
        "annotations": [copy.deepcopy(first), {**copy.deepcopy(row), "id": 2, "image_id": 2}],
        "categories": [{"id": 1, "name": "dog"}, {"id": 7, "name": "cat"}],
    }


def mended(content, needs=coco_annotations.NOTHING_MORE):
    return coco_annotations.mend(coco_annotations.parse(json.dumps(content).encode(), "some.json"), "some.json", needs)


def test_what_is_whole_stays_as_it_is_and_nothing_is_said(capfd):
    assert mended(objects()) == {**objects(), "info": {}}
    assert mended(objects(segmentation=RUNS), Needs(outlines=True))["annotations"] == objects(segmentation=RUNS)["annotations"]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("changes", "right", "said"),
    [
        ({"iscrowd": "gone"}, {"iscrowd": 0}, "completed iscrowd 0 (1)"),
        ({"iscrowd": None}, {"iscrowd": 0}, "completed iscrowd 0 (1)"),
        ({"iscrowd": True}, {"iscrowd": 1}, ""),
        ({"ignore": 1}, {"iscrowd": 1}, "completed iscrowd 1 for ignore (1)"),
        ({"area": "gone"}, {"area": 100}, "completed area (1)"),
        ({"area": float("nan")}, {"area": 100}, "completed area (1)"),
        ({"area": -3}, {"area": 100}, "completed area (1)"),
        ({"area": "100"}, {"area": 100}, "completed area (1)"),
        ({"area": None, "segmentation": RUNS}, {"area": 20}, "completed area (1)"),
        ({"area": None, "segmentation": "gone", "bbox": [0, 0, 4, 5]}, {"area": 20}, "completed area (1)"),
        ({"bbox": "gone"}, {"bbox": [10, 10, 10, 10]}, "completed bbox (1)"),
        ({"bbox": None}, {"bbox": [10, 10, 10, 10]}, "completed bbox (1)"),
        ({"bbox": [1, 2, 3]}, {"bbox": [10, 10, 10, 10]}, "completed bbox (1)"),
        ({"bbox": ["1", "2", "3", "4"]}, {"bbox": [10, 10, 10, 10]}, "completed bbox (1)"),
        ({"bbox": [1, 2, float("nan"), 3]}, {"bbox": [10, 10, 10, 10]}, "completed bbox (1)"),
        ({"bbox": [1, 2, float("inf"), 3]}, {"bbox": [10, 10, 10, 10]}, "completed bbox (1)"),
        ({"bbox": [5, 5, 0, 0]}, {"bbox": [10, 10, 10, 10]}, "completed bbox (1)"),
        ({"bbox": [64, 5, 3, 3]}, {"bbox": [10, 10, 10, 10]}, "completed bbox (1)"),
        ({"bbox": [1, 2, 1e30, 3]}, {"bbox": [10, 10, 10, 10]}, "completed bbox (1)"),
        ({"bbox": [-1e30, 2, 2e30, 3]}, {"bbox": [10, 10, 10, 10]}, "completed bbox (1)"),
        ({"bbox": None, "segmentation": RUNS}, {"bbox": [10, 5, 2, 10]}, "completed bbox (1)"),
        ({"segmentation": SQUARE}, {"segmentation": [SQUARE]}, "completed outlines with other brackets (1)"),
        ({"segmentation": [[SQUARE]]}, {"segmentation": [SQUARE]}, "completed outlines with other brackets (1)"),
        ({"segmentation": [[10, 10], [20, 10], [20, 20], [10, 20]]}, {"segmentation": [SQUARE]}, "other brackets (1)"),
        ({"segmentation": [[[10, 10], [20, 10], [20, 20], [10, 20]]]}, {"segmentation": [SQUARE]}, "other brackets (1)"),
        ({"segmentation": [SQUARE, [1, 1, 9, 9]]}, {"segmentation": [SQUARE]}, "left out polygons without a surface (1)"),
        ({"id": "gone"}, {"id": 1}, "completed ids (2)"),
        ({"id": 0}, {"id": 1}, "completed ids (2)"),
        ({"id": 2}, {"id": 1}, "completed ids (2)"),
        ({"id": "a"}, {"id": 1}, "completed ids (2)"),
        ({"id": 2**70}, {"id": 1}, "completed ids (2)"),
    ],
)  # fmt: skip
def test_what_can_be_derived_is_completed(changes, right, said, capfd):
    row = mended(objects(**changes))["annotations"][0]
    assert {key: row[key] for key in right} == right and "ignore" not in row
    err = capfd.readouterr().err
    assert said in err and err.count("\n") == bool(said)


@pytest.mark.parametrize(
    "outline",
    [
        [], None, {}, 7, "", [[]], [[1, 1, 9, 9]], [[1, 1, 9, 1, 9, 9, 3]], [["a", 1, 2, 3, 4, 5]], [None], [[None] * 6],
        [[1, 1, 9, 1, float("nan"), 9]], [[5, 5] * 3], [[100, 100, 120, 100, 120, 120]], [[0, 0, 10**30, 0, 9, 9]],
        [{"a": 1}], [[1, [2], 3, 4, 5, 6]], {"size": [48, 64]}, {"size": [48, 64], "counts": [48 * 64]},
        {"size": [64, 48], "counts": RUNS["counts"]}, {"size": [48, 64], "counts": [1, 2, 3]},
        {"size": [48, 64], "counts": [-1, 48 * 64 + 1]}, {"size": [48, 64], "counts": ["a"]},
        {"size": [48, 64], "counts": "ooooooo"}, {"size": [48, 64], "counts": "~~"}, {"size": None, "counts": None},
    ],
)  # fmt: skip
def test_a_useless_outline_is_left_out_and_its_object_where_outlines_are_needed(outline, capfd):
    content = mended(objects(segmentation=outline))
    assert len(content["annotations"]) == 2 and "segmentation" not in content["annotations"][0]
    assert "left out outlines without a surface (1)" in capfd.readouterr().err
    assert [row["id"] for row in mended(objects(segmentation=outline), Needs(outlines=True))["annotations"]] == [2]
    assert "objects without an outline (1)" in capfd.readouterr().err
    assert len(mended(objects(segmentation=outline, bbox=[0, 0, 0, 0]))["annotations"]) == 1
    assert "objects without a box (1)" in capfd.readouterr().err


def spoiled(change):
    content = objects()
    change(content)
    return content


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: c["annotations"][0].update(iscrowd="yes"), "annotations[0] has the iscrowd 'yes'"),
        (lambda c: c["annotations"][1].update(category_id=99), "annotations[1] is of the category 99, which is not listed"),
        (lambda c: c["annotations"][1].update(image_id=99), "1 annotations are of images that it does not list"),
        (lambda c: c["images"][1].update(id=1), "images[0] and images[1] both have the id 1"),
        (lambda c: c["images"][1].update(width=0), "images[1] is 0x48 pixels"),
        (lambda c: c["images"][1].update(id="2"), "images[1] has no id of type int"),
        (lambda c: c["categories"][1].update(id=1), "categories[0] and categories[1] both have the id 1"),
        (lambda c: c["categories"][1].update(name="dog"), "categories[0] and categories[1] both have the name 'dog'"),
        (lambda c: c["categories"][1].update(name="\ud800"), r"categories[1] has a name that is no text, '\ud800'"),
        (lambda c: c["images"][1].update(file_name="\udcff.jpg"), "images[1] has a file_name that is no text"),
        (lambda c: c["categories"][1].update(id=2**70), "categories[1] has a number as id that is too large"),
        (lambda c: c["images"][1].update(id=-(10**300)), "images[1] has a number as id that is too large"),
    ],
)
def test_what_cannot_be_derived_is_refused(change, reason):
    with pytest.raises(UserError) as said:
        mended(spoiled(change))
    assert reason in said.value.message and said.value.message.startswith(("some.json", "the annotations of some.json"))


def test_there_must_be_objects_and_not_crowds_alone():
    for change, reason in (
        (lambda c: c["annotations"].clear(), "hold not one object"),
        (lambda c: [row.update(iscrowd=1) for row in c["annotations"]], "hold crowds alone"),
        (lambda c: [row.update(bbox=[0, 0, 0, 0], segmentation=[]) for row in c["annotations"]], "hold not one object"),
    ):
        with pytest.raises(UserError, match=reason):
            coco_annotations.require_objects(mended(spoiled(change)), "some.json")
    with pytest.raises(UserError, match="have no outline that can be used") as said:
        mended(spoiled(lambda c: [row.pop("segmentation") for row in c["annotations"]]), Needs(outlines=True))
    assert "MODEL.MASK_ON False" in said.value.next_command


def test_keypoints_are_all_there_or_none_is_visible():
    points = [3, 4, 2] * 5 + [0, 0, 0] * 12
    rows = mended(spoiled(lambda c: c["annotations"][0].update(keypoints=points)), Needs(keypoints=True))["annotations"]
    assert (rows[0]["keypoints"], rows[0]["num_keypoints"]) == (points, 5)
    assert (rows[1]["keypoints"], rows[1]["num_keypoints"]) == ([0] * 51, 0)


def test_classes_agree_by_their_names(capfd):
    first, second = mended(objects()), objects(category_id=7)
    second["categories"] = [{"id": 7, "name": "dog"}, {"id": 1, "name": "cat"}]
    coco_annotations.agree(first, second, ["train", "val"])
    assert [row["category_id"] for row in second["annotations"]] == [1, 7]  # a dog and a cat
    assert second["categories"] == first["categories"] and "matched by name" in capfd.readouterr().err
    second["categories"] = [{"id": 1, "name": "dog"}, {"id": 7, "name": "horse"}]
    with pytest.raises(UserError, match="only train has cat, and only val has horse"):
        coco_annotations.agree(first, second, ["train", "val"])


# ---- panoptic ----


def panoptic(**changes):
    segments = [{"id": 5, "category_id": 1, "iscrowd": 0, "area": 4, "bbox": [0, 0, 2, 2], **changes},
                {"id": 9, "category_id": 7, "iscrowd": 0, "area": 4, "bbox": [0, 0, 2, 2]}]  # fmt: skip
    content = objects()
    content["annotations"] = [{"image_id": 1, "file_name": "1.png", "segments_info": segments}]
    content["categories"] = [{**row, "isthing": k} for k, row in enumerate(content["categories"])]
    return content


def test_segments_are_completed_or_refused(capfd):
    assert mended(panoptic()) == {**panoptic(), "info": {}} and not capfd.readouterr().err
    assert mended(panoptic(iscrowd=None)) == {**panoptic(), "info": {}}
    assert [each["id"] for each in mended(panoptic(id=0))["annotations"][0]["segments_info"]] == [9]
    assert "segments of the id 0, which is void (1)" in capfd.readouterr().err
    for change, reason in (({"id": 9}, "segment of the id 9"), ({"id": None}, "segment of the id None"),
                           ({"id": 1 << 24}, "segment of the id"), ({"category_id": 3}, "of the category 3")):  # fmt: skip
        with pytest.raises(UserError) as said:
            mended(panoptic(**change))
        assert reason in said.value.message
    twice = panoptic()
    twice["annotations"] *= 2
    with pytest.raises(UserError, match="is the second one of the image 1"):
        mended(twice)
    nameless = panoptic()
    del nameless["categories"][0]["isthing"]
    assert mended(nameless)["categories"][0]["isthing"] == 1


# ---- importing ----


@pytest.fixture
def folder(tmp_path):
    """A folder as a user has one: both splits with an image each, and annotations."""
    for split in ("train2017", "val2017"):
        (tmp_path / "mine" / split).mkdir(parents=True)
        (tmp_path / "mine" / split / "1.jpg").write_bytes(jpeg(1))
        write(tmp_path / "mine", split, one_image())
    (tmp_path / "staging").mkdir()
    return tmp_path / "mine"


def one_image(**changes):
    content = objects(**changes)
    return {**content, "images": content["images"][:1], "annotations": content["annotations"][:1]}


def write(folder, split, content):
    (folder / "annotations").mkdir(exist_ok=True)
    (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))


def test_both_splits_are_taken_mended_and_with_the_same_classes(folder, capfd):
    swapped = one_image(iscrowd="gone")
    swapped["categories"] = [{"id": 7, "name": "dog"}, {"id": 1, "name": "cat"}]
    write(folder, "val2017", swapped)
    staging = folder.parent / "staging"
    wanted = coco.gather(folder, staging)
    assert set(wanted.parts) == {"train2017", "val2017", "instances"} and wanted.subset == 2
    val = json.loads((staging / "annotations" / "instances_val2017.json").read_text())
    assert [(row["category_id"], row["iscrowd"]) for row in val["annotations"]] == [(7, 0)]  # what val calls 1 is a cat
    assert all(list(staging.glob(pattern)) for pattern in coco.layout(wanted))
    assert "completed iscrowd 0 (1)" in capfd.readouterr().err


def test_a_split_without_images_is_left_out_and_named(folder, capfd):
    (folder / "train2017" / "1.jpg").unlink()
    assert coco.gather(folder, folder.parent / "staging").parts == ("val2017", "instances")
    assert "train2017 is left out" in capfd.readouterr().err


@pytest.mark.parametrize("changes", [{"category_id": 3}, {"iscrowd": 1}, {"bbox": None, "segmentation": None}])
def test_what_nothing_can_be_learned_from_is_not_imported(changes, folder):
    write(folder, "val2017", one_image(**changes))
    with pytest.raises(UserError, match=r"instances_val2017\.json"):
        coco.gather(folder, folder.parent / "staging")


@pytest.mark.parametrize("order", ["II", "MM"])
def test_an_image_laid_on_its_side_by_its_tag_fits_the_annotations(order):
    """Whether they count in it as it is stored, 64x48, or as it is seen, 48x64."""
    big = "big" if order == "MM" else "little"
    numbers = [(42, 2), (8, 4), (1, 2), (0x0112, 2), (3, 2), (1, 4), (6, 2), (0, 2), (0, 4)]
    tag = b"Exif\0\0" + order.encode() + b"".join(value.to_bytes(size, big) for value, size in numbers)
    plain = jpeg(1)
    turned = plain[:2] + b"\xff\xe1" + (len(tag) + 2).to_bytes(2, "big") + tag + plain[2:]
    assert not jpeg_problem(turned, 64, 48) and not jpeg_problem(turned, 48, 64) and jpeg_problem(plain, 48, 64)
    assert as_annotated(turned, 48, 64) == turned and as_annotated(plain, 64, 48) == plain
    upright = as_annotated(turned, 64, 48)
    assert len(upright) == len(turned) and not jpeg_problem(upright, 64, 48) and jpeg_problem(upright, 48, 64)

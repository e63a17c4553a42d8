"""A few images of COCO: the right ones, one by one, with annotations that agree."""

from __future__ import annotations

import io
import json
import random
import shutil
import threading
import zipfile

import pytest
from mirrors import Mirror, refused_url, tiny_coco, write_coco

from labkit.base.errors import UserError
from labkit.data import addresses, coco, coco_annotations, importing, many, obtain, registry, store
from labkit.data.registry import Wanted

FILES = tiny_coco()
pytestmark = pytest.mark.limit(60)


@pytest.fixture
def server():
    with Mirror(FILES) as running:
        yield running


@pytest.fixture
def data(tmp_path, monkeypatch, server):
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("LAB_MIRROR", raising=False)
    monkeypatch.setattr(registry, "REGISTRY", tmp_path / "registry")
    write_coco(tmp_path / "registry", FILES, [server.base], [server.base])
    return tmp_path / "data"


def content(data, kind):
    return json.loads((data / "coco/annotations" / f"{kind}_val2017.json").read_text())


def check(data, count, kinds=coco.KINDS):
    """All that is there agrees; returns the images' names."""
    folder = data / "coco"
    names = sorted(path.name for path in (folder / "val2017").iterdir())
    assert len(names) == count
    for name in names:
        assert (folder / "val2017" / name).read_bytes() == FILES[name]
    for kind in kinds:
        part = content(data, kind)
        assert sorted(entry["file_name"] for entry in part["images"]) == names
        assert {row["image_id"] for row in part["annotations"]} == {entry["id"] for entry in part["images"]}
        assert [row["name"] for row in part["categories"]] == ["person", "dog", "bottle"]
    masks = {row["file_name"] for row in content(data, "panoptic")["annotations"]} if "panoptic" in kinds else set()
    found = {path.name for path in folder.glob("panoptic_val2017/*")}
    assert found == masks
    return names


def test_the_default_is_a_few_images(data, server):
    state = obtain.ensure("coco")
    assert state.kind == "recorded" and state.what == Wanted(("val2017", *coco.KINDS), 5)
    assert "5 images, val2017, instances, panoptic, stuff" in str(state)
    check(data, 5)
    assert not any("val2017.zip" in path.name for path in (data / "coco").rglob("*"))
    answers = len(server.statuses)
    assert obtain.ensure("coco") == store.verify("coco") == state
    assert len(server.statuses) == answers


def test_a_larger_subset_contains_the_smaller_and_fetches_only_the_rest(data, server):
    obtain.ensure("coco", wanted=Wanted(subset=3))
    few = check(data, 3)
    served_bytes = server.served_bytes
    obtain.ensure("coco", wanted=Wanted(subset=7))
    more = check(data, 7)
    assert set(few) < set(more)
    assert server.served_bytes - served_bytes == sum(len(FILES[name]) for name in set(more) - set(few))
    obtain.ensure("coco", wanted=Wanted(subset=3))
    assert check(data, 3) == few
    assert server.served_bytes - served_bytes == sum(len(FILES[name]) for name in set(more) - set(few))


def test_categories_take_turns(data):
    obtain.ensure("coco", wanted=Wanted(subset=4, categories=("dog", "bottle")))
    names = check(data, 4)
    shown = {row["image_id"]: set() for row in content(data, "instances")["annotations"]}
    for row in content(data, "instances")["annotations"]:
        shown[row["image_id"]].add(row["category_id"])
    assert all(kinds & {18, 44} for kinds in shown.values())
    with pytest.raises(UserError, match="no category 'dgo'; did you mean dog"):
        obtain.ensure("coco", wanted=Wanted(subset=4, categories=("dgo",)))
    assert check(data, 4) == names


def test_more_than_there_are(data, capfd):
    obtain.ensure("coco", wanted=Wanted(subset=100))
    check(data, 12)
    assert "val2017 has only 12 such images" in capfd.readouterr().err


def test_only_instances(data, server):
    obtain.ensure("coco", wanted=Wanted(("instances",), 2))
    check(data, 2, ("instances",))
    assert not list((data / "coco").rglob("*panoptic*")) and not list((data / "coco").rglob("*stuff*"))


def test_the_whole_split_after_a_subset_and_back(data, server):
    obtain.ensure("coco", wanted=Wanted(subset=3))
    state = obtain.ensure("coco", wanted=Wanted(("val2017",)))
    assert state.kind == "verified"
    check(data, 12)
    assert not (data / "coco/val2017.zip").exists()
    obtain.ensure("coco", wanted=Wanted(subset=3))
    check(data, 3)


def test_detectron2_finds_it(data):
    """The paths of its built-in registry, below DETECTRON2_DATASETS."""
    obtain.ensure("coco")
    for path in ("coco/val2017", "coco/annotations/instances_val2017.json", "coco/panoptic_val2017",
                 "coco/annotations/panoptic_val2017.json"):  # fmt: skip
        assert (data / path).exists()


def test_an_image_that_no_host_has_is_named_and_the_rest_is_kept(data, server, monkeypatch):
    obtain.ensure("coco", wanted=Wanted(subset=12))
    one = sorted(name for name in FILES if name.endswith(".jpg"))[5]
    store.delete("coco")
    server.files = {name: content for name, content in FILES.items() if name != one}
    with pytest.raises(addresses.Unreachable, match=rf"{one} could not be fetched: 127.0.0.1:\d+ \(HTTP 404"):
        obtain.ensure("coco", wanted=Wanted(subset=12))
    assert store.state("coco").kind == "absent"
    server.files, served_bytes = FILES, server.served_bytes
    obtain.ensure("coco", wanted=Wanted(subset=12))
    check(data, 12)
    assert server.served_bytes - served_bytes < 12 * 9000


def test_a_busy_host_is_left_alone_for_as_long_as_it_asks(tmp_path):
    names = [name for name in FILES if name.endswith(".jpg")]
    with Mirror(FILES, busy=2, retry_after=1) as busy:
        many.fetch([busy.base], {name: tmp_path / name for name in names}, lambda *_: "", "images")
    assert all((tmp_path / name).read_bytes() == FILES[name] for name in names)
    assert busy.statuses.count(503) == 2


def test_the_next_host_has_its_turn(tmp_path, capfd):
    names = [name for name in FILES if name.endswith(".jpg")]
    with Mirror(FILES) as good:
        dead = refused_url("").rstrip("/")
        source = many.fetch([dead, good.base], {name: tmp_path / name for name in names}, lambda *_: "", "images")
    assert source == good.base[7:]
    assert "trying the next host" in capfd.readouterr().err


def test_at_most_a_few_at_a_time(tmp_path):
    names = {f"{number}.bin": b"x" * 20_000 for number in range(60)}
    most = 0
    with Mirror(names, bytes_per_s=400_000) as server:
        def watch():
            nonlocal most
            while not done.wait(0.005):
                most = max(most, server.open)

        done = threading.Event()
        watcher = threading.Thread(target=watch)
        watcher.start()
        many.fetch([server.base], {name: tmp_path / name for name in names}, lambda *_: "", "files")
        done.set()
        watcher.join()
    assert 1 < most < 2 * many.WORKERS  # some may have answered and not yet left


def test_a_slow_host_that_is_the_only_one_may_take_its_time(tmp_path, monkeypatch):
    monkeypatch.setattr(addresses, "SLOW_AFTER_S", 0.3)
    with Mirror({"a.bin": b"x" * 20_000}, bytes_per_s=25_000) as slow:
        many.fetch([slow.base], {"a.bin": tmp_path / "a.bin"}, lambda *_: "", "files")
    assert (tmp_path / "a.bin").read_bytes() == b"x" * 20_000


def test_a_slow_host_is_not_waited_for_where_another_one_has_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(addresses, "SLOW_AFTER_S", 0.3)
    content = b"x" * 50_000
    with Mirror({"a.bin": content}, bytes_per_s=25_000) as slow, Mirror({"a.bin": content}) as good:
        assert many.fetch([slow.base, good.base], {"a.bin": tmp_path / "a.bin"}, lambda *_: "", "files") == good.base[7:]
    assert slow.served_bytes < len(content)


@pytest.mark.parametrize("gone", ["val2017", "panoptic_val2017", "annotations/instances_val2017.json", "annotations/stuff_val2017.json"])
def test_a_subset_without_one_of_its_kinds_is_not_there(data, gone):
    obtain.ensure("coco", wanted=Wanted(subset=2))
    assert store.state("coco").kind == "recorded"
    lost = data / "coco" / gone
    shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
    assert store.state("coco").kind == "absent"


@pytest.mark.parametrize(
    ("parts", "patterns"),
    [
        (("val2017", "instances"), ["val2017/*.jpg", "annotations/instances_val2017.json"]),
        (("val2017", "panoptic"), ["val2017/*.jpg", "annotations/panoptic_val2017.json", "panoptic_val2017/*.png"]),
        (("val2017", "train2017", "stuff"), ["val2017/*.jpg", "train2017/*.jpg", "annotations/stuff_*2017.json"]),
    ],
)
def test_what_must_be_there_of_a_subset(parts, patterns):
    assert coco.layout(Wanted(parts, 5)) == dict.fromkeys(patterns, 0)


def mutated(rng, value):
    """The JSON value with one thing in it changed into something else."""
    other = rng.choice([None, True, -1, 10**30, 1.5, "", "../../evil", "\0", [], {}, [[]], {"id": 1}])
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(sorted(value))
        if rng.random() < 0.2:
            return {name: each for name, each in value.items() if name != key}
        return {**value, key: mutated(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.9:
        place = rng.randrange(len(value))
        return [*value[:place], mutated(rng, value[place]), *value[place + 1 :]]
    return other


def test_a_thousand_mutated_annotation_files_end_in_a_choice_or_a_sentence():
    refused = taken = 0
    for seed in range(1000):
        rng = random.Random(seed)
        kind = rng.choice(coco.KINDS)
        with zipfile.ZipFile(io.BytesIO(FILES[f"{kind}.zip"])) as packed:
            whole = packed.read(f"annotations/{kind}_val2017.json")
        text = json.dumps(mutated(rng, json.loads(whole))).encode() if seed % 4 else bytearray(whole)
        if not seed % 4:
            for _ in range(rng.randint(1, 4)):
                text[rng.randrange(len(text))] = rng.randrange(256)
        try:
            content = coco.parse(bytes(text), "some.json")
            chosen = coco.choose({kind: content}, 5)
            coco.smaller(content, {entry["id"] for entry in chosen})
            coco.choose({kind: content}, 5, ("dog",))
            coco_annotations.mend(content, "some.json", coco_annotations.Needs(seed % 2 == 0, seed % 3 == 0))
            taken += 1
        except UserError as error:
            assert "some.json" in error.message or "no category" in error.message
            refused += 1
    assert refused > 300 and taken > 100


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        (b"<html>", "not a JPEG"),
        (FILES["000000000007.jpg"][:-1], "cut short"),
        (b"\xff\xd8\xff\xd9", "no frame header"),
        (FILES["000000000007.jpg"].replace(b"\0\x40", b"\0\x41", 1), "65x48, expected 64x48"),
        (FILES["000000000007.jpg"], ""),
    ],
)
def test_jpeg_problem(image, problem):
    assert problem in coco.jpeg_problem(image, 64, 48)
    assert bool(problem) == bool(coco.jpeg_problem(image, 64, 48))


@pytest.fixture
def carried(data, tmp_path):
    """Four images with their annotations, as somebody may carry them in."""
    obtain.ensure("coco", wanted=Wanted(subset=4))
    folder = tmp_path / "stick" / "few"
    shutil.copytree(data / "coco", folder)
    for path in [folder / ".state.json", *folder.rglob("*.zip")]:
        path.unlink()
    store.delete("coco")
    return folder


@pytest.mark.parametrize("nested", [False, True], ids=["masks beside", "masks in annotations"])
def test_a_few_images_can_be_carried_in_and_are_called_unverified(data, carried, nested):
    (carried / "val2017" / "nobody annotated this.jpg").write_bytes(b"?")
    if nested:
        (carried / "panoptic_val2017").rename(carried / "annotations" / "panoptic_val2017")
    with pytest.raises(UserError, match=r"is a subset of the images.*\n.*--unverified"):
        importing.import_("coco", carried.parent)
    state = importing.import_("coco", carried.parent, unverified=True)
    assert (state.kind, state.what) == ("unverified", Wanted(("val2017", *coco.KINDS), 4))
    check(data, 4)
    assert store.verify("coco") == state == obtain.ensure("coco")


def test_a_whole_split_that_is_carried_in_is_no_subset(data, tmp_path):
    obtain.ensure("coco", wanted=Wanted(("val2017", *coco.KINDS)))
    shutil.copytree(data / "coco", tmp_path / "whole")
    for path in [tmp_path / "whole" / ".state.json", *(tmp_path / "whole").rglob("*.zip")]:
        path.unlink()
    store.delete("coco")
    with pytest.raises(UserError, match="no published hashes of the unpacked files"):
        importing.import_("coco", tmp_path / "whole")
    assert importing.import_("coco", tmp_path / "whole", unverified=True).what == Wanted(("val2017", *coco.KINDS))
    check(data, 12)


@pytest.mark.parametrize(
    ("lost", "says"),
    [("val2017/*.jpg", "but it is missing"), ("panoptic_val2017/*.png", "which is not in panoptic_val2017")],
)
def test_images_that_the_annotations_name_and_that_are_not_there(data, carried, lost, says):
    min(carried.glob(lost)).unlink()
    with pytest.raises(UserError, match=says):
        importing.import_("coco", carried, unverified=True)
    assert store.state("coco").kind == "absent"


def test_an_image_that_is_cut_short_is_not_carried_in(data, carried):
    image = min(carried.glob("val2017/*.jpg"))
    image.write_bytes(image.read_bytes()[:-20])
    with pytest.raises(UserError, match="it is cut short"):
        importing.import_("coco", carried, unverified=True)


def test_an_import_without_instances_says_which_lab_can_use_it(data, carried, capfd):
    for kind in ("instances", "stuff"):
        (carried / "annotations" / f"{kind}_val2017.json").unlink()
    assert importing.import_("coco", carried, unverified=True).what.parts == ("val2017", "panoptic")
    assert "there are no instances: the lab segmentation learns" in capfd.readouterr().err


def test_annotations_alone_are_no_data_set(data, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "instances.zip").write_bytes(FILES["instances.zip"])
    with pytest.raises(UserError, match="0 of 12 files val2017"):
        importing.import_("coco", tmp_path / "a")
    assert store.state("coco").kind == "absent"

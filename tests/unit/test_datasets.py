"""The registry: every dataset.toml says what it must, and a mistake in one is named with its file and key."""

from __future__ import annotations

import shutil

import pytest

from labkit.base.errors import UserError
from labkit.data import registry, store

# Of these nobody has published a hash: what comes first is recorded.
UNHASHED = {"facades": {"facades.tar.gz"}, "detectron2_weights": {"R-50.pkl"}}


@pytest.mark.parametrize("name", registry.names())
def test_every_data_set_is_complete(name):
    dataset = registry.find(name)
    for part in ("dataset.toml", "README.md", "README.zh-CN.md", *["sample.py"] * (name != "detectron2_weights")):
        assert (dataset.folder / part).is_file(), part
    assert len(dataset.mean) == len(dataset.std)
    assert not dataset.mean or len(dataset.mean) == (dataset.shape[2] if len(dataset.shape) == 3 else 1)
    assert {file.name for file in dataset.files if not file.hashes} == UNHASHED.get(name, set())
    assert len({file.path for file in dataset.files}) == len(dataset.files)


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(UserError, match="did you mean cifar10"):
        registry.find("cifar-10")


def test_the_table_has_a_row_for_each(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "none"))
    rows = store.table()
    assert [row.name for row in rows] == registry.names()
    assert {row.state for row in rows} == {"absent"}
    assert next(row for row in rows if row.name == "cifar10").size == "170.5 MB"
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('title = "CIFAR-10"', "", "missing required field `title`"),
        ('title = "CIFAR-10"', "title = 10", r"Expected `str`, got `int` - at `\$.title`"),
        ("redistribute = false", 'redistribute = "no"', r"Expected `bool`, got `str` - at `\$.redistribute`"),
        ('title = "CIFAR-10"', 'title = "CIFAR-10"\ntitel = "x"', "unknown field `titel`"),
        ('md5 = "c58f', 'md5 = "C58F', r"md5 must be 32 lower-case hexadecimal digits - at `\$.file\[0\]`"),
        ('"https://zenodo', '"ftp://zenodo', r"urls must be http.* at `\$.file\[0\]`"),
        ('name = "cifar-10', 'name = "../cifar-10', r"name must be a plain file name - at `\$.file\[0\]`"),
        ('"cifar-10-batches-py/test_batch" = 1', '"/etc/passwd" = 1', "'/etc/passwd' must stay below the data folder"),
        ('"cifar-10-batches-py/test_batch" = 1', '"test" = "one"', r"Expected `int`, got `str` - at `\$.layout\[...\]`"),
        ("unpack = true", "unpack = true\nunpack = true", "dataset.toml"),
        ("redistribute = false", 'redistribute = false\nimport_only = "nobody may"', "'cifar-10-python.tar.gz' needs urls"),
        # up and out, in each field that holds a path
        ('"cifar-10-batches-py/test_batch" = 1', '"../test_batch" = 1', "'../test_batch' must stay below"),
        ('"cifar-10-batches-py/test_batch" = 1', '"a/../../b" = 1', "'a/../../b' must stay below"),
        ('"cifar-10-batches-py/test_batch" = "4', '"../test_batch" = "4', "'../test_batch' must stay below"),
        ("unpack = true", 'unpack = true\nfolder = ".."', "'../cifar-10-python.tar.gz' must stay below"),
        ("unpack = true", 'unpack = true\nfolder = "/tmp"', "'/tmp/cifar-10-python.tar.gz' must stay below"),
        ("unpack = true", 'unpack = true\nlayout = { "a/.." = 1 }', "'a/..' must stay below"),
    ],
)
def test_a_mistake_is_named(tmp_path, monkeypatch, old, new, complaint):
    shutil.copytree(registry.REGISTRY / "cifar10", tmp_path / "cifar10")
    text = (tmp_path / "cifar10/dataset.toml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "cifar10/dataset.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    monkeypatch.setattr(registry, "REGISTRY", tmp_path)
    with pytest.raises(ValueError, match=f"cifar10/dataset.toml: .*{complaint}|{complaint}: "):
        registry.find("cifar10")


@pytest.mark.parametrize("path", ["..", "../a", "a/..", "a/../b", "/", "/a", ""])
def test_what_does_not_stay_below(path):
    assert not registry.stays_below(path)


@pytest.mark.parametrize("path", ["a", "a/b", "..a/b..", "a..b", "...", "a/[0-9]*"])
def test_what_stays_below(path):
    assert registry.stays_below(path)


def test_the_list_of_apple2orange_fits_its_layout():
    dataset = registry.find("apple2orange")
    members = dataset.members()
    for pattern, count in dataset.layout.items():
        folder = pattern.rpartition("/")[0]
        assert sum(name.rpartition("/")[0] == folder for name in members) == count
    assert len(members) == sum(dataset.layout.values()) == 2528
    assert all(len(sha256) == 64 for sha256 in members.values())


def test_what_the_parts_are_called():
    assert registry.find("coco").parts == ["val2017", "train2017", "instances", "panoptic", "stuff"]
    assert registry.find("cyclegan").default == ("horse2zebra",)
    for file in registry.find("detectron2_weights").files:
        digits = file.name[len("model_final_") : -len(".pkl")]
        assert file.hashes == ((("md5", digits),) if file.name.startswith("model_final_") else ())

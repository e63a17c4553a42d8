"""A bundle carries data sets and wheels to another folder, and every byte of it is checked there."""

from __future__ import annotations

import io
import json
import os
import tarfile

import msgspec
import pytest
from mirrors import Mirror, tar_gz, tiny_coco, write_coco, write_registry

from labkit import bundle
from labkit.base.errors import UserError
from labkit.base.programs import uv_environment
from labkit.data import obtain, registry, store
from labkit.data.registry import Wanted
from labkit.stacks import catalog, native

MEMBERS = {"tiny/part_1": b"one" * 1000, "tiny/part_2": b"two" * 1000, "tiny/meta": b"meta"}
ARCHIVE = tar_gz(MEMBERS)
COCO = tiny_coco()


@pytest.fixture
def packed(tmp_path, monkeypatch):
    """A bundle of two data sets; LAB_DATA is then an empty folder of another machine, and no host answers."""
    monkeypatch.delenv("LAB_MIRROR", raising=False)
    monkeypatch.setattr(registry, "REGISTRY", tmp_path / "registry")
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "here"))
    with Mirror({"tiny.tar.gz": ARCHIVE, **COCO}) as server:
        write_registry(tmp_path / "registry", MEMBERS, ARCHIVE, [server.url("tiny.tar.gz")])
        write_coco(tmp_path / "registry", COCO, [server.base], [server.base])
        obtain.ensure("tiny")
        obtain.ensure("coco", wanted=Wanted(("instances",), 4))
        bundle.create(tmp_path / "class.tar", [], ["tiny", "coco"])
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "there"))
    return tmp_path / "class.tar"


def rewritten(path, change):
    """The bundle with its members (name -> bytes) changed."""
    with tarfile.open(path) as old:
        members = {each.name: old.extractfile(each).read() for each in old}
    members = change(members)
    with tarfile.open(path, "w") as new:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            new.addfile(info, io.BytesIO(content))


def visible(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_what_was_packed_arrives(packed, tmp_path):
    lines = bundle.use(packed)
    assert [line.partition(" (")[0] for line in lines] == ["tiny: verified", "coco: unverified"]
    assert store.verify("tiny").kind == "verified" and store.state("coco").what.subset == 4
    for name, content in MEMBERS.items():
        assert (tmp_path / "there/tiny" / name).read_bytes() == content
    assert visible(tmp_path / "there") == ["coco", "tiny"]
    assert bundle.use(packed)[0].startswith("tiny: verified")
    assert sorted(os.listdir(tmp_path)) == ["class.tar", "here", "registry", "there"]


def test_one_altered_byte_is_refused_by_name_and_nothing_changes(packed, tmp_path):
    whole = bytearray(packed.read_bytes())
    place = bytes(whole).index(b"twotwo")
    whole[place] ^= 1
    packed.write_bytes(whole)
    with pytest.raises(UserError, match=r"'data/tiny/tiny/part_2' was altered: sha256 expected"):
        bundle.use(packed)
    assert visible(tmp_path / "there") == []


def test_an_altered_file_with_a_manifest_to_match_is_not_as_published(packed, tmp_path):
    def change(members):
        import hashlib

        members["data/tiny/tiny/part_1"] = b"bad" * 1000
        sha256 = hashlib.sha256(b"bad" * 1000).hexdigest()
        state = json.loads(members["data/tiny/.state.json"])
        state["files"]["tiny/part_1"]["sha256"] = sha256
        members["data/tiny/.state.json"] = json.dumps(state, indent=1).encode()
        manifest = json.loads(members["manifest.json"])
        for name in ("data/tiny/tiny/part_1", "data/tiny/.state.json"):
            content = members[name]
            manifest["files"][name] = {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        members["manifest.json"] = json.dumps(manifest).encode()
        return members

    rewritten(packed, change)
    with pytest.raises(UserError, match="Tiny is not as published: tiny/part_1: md5 expected"):
        bundle.use(packed)
    assert visible(tmp_path / "there") == []


@pytest.mark.parametrize("name", ["../evil", "data/../../evil", "/evil", "evil", "data/other/evil"])
def test_a_member_that_would_land_elsewhere_is_refused(packed, tmp_path, name):
    def change(members):
        manifest = json.loads(members["manifest.json"])
        manifest["files"][name] = {"size_bytes": 1, "sha256": "0" * 64}
        return {**members, "manifest.json": json.dumps(manifest).encode(), name: b"x"}

    rewritten(packed, change)
    with pytest.raises(UserError, match="its manifest cannot be read"):
        bundle.use(packed)
    rewritten(packed, lambda members: {**members, "data/tiny/more": b"x"})
    with pytest.raises(UserError):
        bundle.use(packed)
    assert visible(tmp_path / "there") == []


def test_one_that_is_cut_short_or_is_something_else(packed, tmp_path):
    whole = packed.read_bytes()
    packed.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="damaged or cut short"):
        bundle.use(packed)
    packed.write_bytes(tar_gz({"holiday.jpg": b"x"}))
    with pytest.raises(UserError, match=r"class\.tar"):
        bundle.use(packed)
    packed.write_bytes(b"")
    with pytest.raises(UserError, match=r"class\.tar"):
        bundle.use(packed)
    with pytest.raises(UserError, match="does not exist"):
        bundle.use(tmp_path / "none.tar")
    assert visible(tmp_path / "there") == []


def test_nothing_to_put_in_or_what_is_not_here(packed, tmp_path):
    with pytest.raises(UserError, match="must contain a stack"):
        bundle.create(tmp_path / "b.tar", [], [])
    with pytest.raises(UserError, match="Tiny is not in"):
        bundle.create(tmp_path / "b.tar", [], ["tiny"])
    assert not (tmp_path / "b.tar").exists()


def test_wheels_are_carried_and_the_environment_is_made_from_them_alone(packed, tmp_path, monkeypatch):
    made = {}
    monkeypatch.setattr(native, "VENV", tmp_path / "venv")
    monkeypatch.setattr(native, "ensure", lambda stack, _: made.update({stack.name: uv_environment()}))
    monkeypatch.setattr(
        bundle, "_download_wheels", lambda stack, folder: (folder / f"{stack.name}-1-py3-none-any.whl").write_bytes(b"w")
    )
    bundle.create(tmp_path / "stacks.tar", ["cpu", "notes"], [])
    assert [line.partition(":")[0] for line in bundle.use(tmp_path / "stacks.tar")] == ["cpu", "notes"]
    assert set(made) == {"cpu", "notes"} and made["cpu"]["UV_NO_INDEX"] == "1"
    assert len(os.listdir(made["cpu"]["UV_FIND_LINKS"])) == 2


def test_a_file_that_is_announced_and_not_in_it_is_named(packed, tmp_path):
    rewritten(packed, lambda members: {name: content for name, content in members.items() if name != "data/tiny/tiny/part_2"})
    with pytest.raises(UserError, match="damaged or cut short: data/tiny/tiny/part_2 is missing"):
        bundle.use(packed)
    assert visible(tmp_path / "there") == []


@pytest.mark.parametrize(("status", "detectron2"), [(0, True), (0, False), (1, True)])
def test_the_packages_of_a_stack_are_those_of_its_locks_and_the_source_of_detectron2(status, detectron2, tmp_path, monkeypatch):
    ran, forgotten = [], []
    stack = catalog.load("cpu") if detectron2 else msgspec.structs.replace(catalog.load("cpu"), detectron2="")
    (tmp_path / "detectron2.tar.gz").touch()
    (tmp_path / "wheels").mkdir()
    monkeypatch.setattr(bundle.builds, "settled", lambda choice: choice)
    monkeypatch.setattr(bundle.builds, "make", lambda choice, maker: choice)
    monkeypatch.setattr(bundle.wheels, "fetch", lambda *_: tmp_path / "pytorch")
    monkeypatch.setattr(bundle.wheels, "forget", forgotten.append)
    monkeypatch.setattr(bundle.detectron2_wheel, "fetch_source", lambda stack: tmp_path / "detectron2.tar.gz")
    monkeypatch.setattr(bundle, "output_of", lambda *_: "3.12")
    monkeypatch.setattr(bundle.subprocess, "run", lambda words, **_: ran.append(words) or bundle.subprocess.CompletedProcess(words, status))
    if status:
        with pytest.raises(UserError, match=r"pip could not fetch the packages of modern-cpu\.txt"):
            bundle._download_wheels(stack, tmp_path / "wheels")
        return
    bundle._download_wheels(stack, tmp_path / "wheels")
    assert [words[words.index("-r") + 1].rpartition("/")[2] for words in ran] == ["modern-cpu.txt", "build.txt", "panopticapi.txt", "host.txt"]
    assert all("--require-hashes" in words and words[words.index("--find-links") + 1] == str(tmp_path / "pytorch") for words in ran)
    assert os.listdir(tmp_path / "wheels") == ["detectron2.tar.gz"] * detectron2 and forgotten == [stack.build()]


def test_a_stack_without_hashes_is_not_packed(monkeypatch):
    monkeypatch.setattr(bundle.builds, "settled", lambda choice: bundle.selection.choose([], "", asked="notes/cu101"))
    with pytest.raises(UserError, match="notes/cu101 has no recorded hashes"):
        bundle._download_wheels(catalog.load("notes"), None)

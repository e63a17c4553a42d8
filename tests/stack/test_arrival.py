"""A server on the loopback plays all hosts: every data set arrives in its real packing and is where its reader looks."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import msgspec
import pytest

from labkit.base.paths import ROOT
from labkit.data import obtain, registry, samples, store

sys.path.insert(0, str(ROOT / "tests" / "faults"))

from mirrors import Mirror, sha256, tar_gz, zipped

NAMES = [name for name in registry.names() if name != "detectron2_weights"]


def packed(file, sample):
    """The published file as it would be if the sample (path -> bytes) were the real data."""
    chosen = sample
    if file.part in ("instances", "panoptic", "stuff"):
        chosen = {name: content for name, content in sample.items() if name.startswith(f"annotations/{file.part}_")}
        for split in ("train2017", "val2017") if file.part == "panoptic" else ():
            masks = {name: content for name, content in sample.items() if name.startswith(f"panoptic_{split}/")}
            chosen[f"annotations/panoptic_{split}.zip"] = zipped(masks)
    elif file.part in ("train2017", "val2017"):
        chosen = {name: content for name, content in sample.items() if name.startswith(f"{file.part}/")}
    if file.name.endswith((".zip", ".whl")):
        return zipped(chosen)
    if file.name.endswith((".tar.gz", ".tgz")):
        return tar_gz(chosen)
    if file.name.endswith(".gz"):
        return gzip.compress(sample[file.path[: -len(".gz")]], 1)
    return sample[file.path]


def tree(folder, without):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".state.json" and str(path.relative_to(folder)) not in without
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_data_set_downloads_verifies_and_unpacks(name, tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_DATA", str(tmp_path))
    real = registry.find(name)
    sample = tree(samples.locate(name, sample=True).path, ())
    wanted = [file for file in real.files if not file.part or file.part in (*real.default, "train2017")]
    contents = {real.on_mirrors(file): packed(file, sample) for file in wanted}
    with Mirror(contents) as server:
        monkeypatch.setenv("LAB_MIRROR", server.base)
        files = tuple(
            msgspec.structs.replace(
                file,
                size_bytes=len(contents[real.on_mirrors(file)]),
                sha256=sha256(contents[real.on_mirrors(file)]), sha1="", md5="", md5_prefix="", no_hash=False,
                urls=(server.url(real.on_mirrors(file)),),
                unpacked_bytes=0,
                layout=dict.fromkeys(file.layout, 0),
            )
            for file in wanted
        )
        played = msgspec.structs.replace(
            real, files=files, layout=dict.fromkeys(real.layout, 0), md5={}, unpacked_bytes=100_000_000, import_only=""
        )
        monkeypatch.setattr(store, "find", lambda _: played)
        monkeypatch.setattr(obtain, "find", lambda _: played)
        monkeypatch.setattr(type(played), "members", lambda _: {})
        parts = tuple(file.part for file in files if file.part)
        state = obtain.ensure(name, wanted=registry.Wanted(parts))
    assert state.kind == "verified" and store.verify(name) == state
    archives = {file.path for file in files if file.unpack}
    assert tree(Path(state.path), archives) == sample

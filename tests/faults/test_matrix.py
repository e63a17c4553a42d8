"""Every fault, for a file, for images one by one, and on the way to the disk: identical bytes or a sentence."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from mirrors import FAULTS, MORE_FAULTS, Mirror, faulty, sha256, tar_gz, tiny_coco, write_coco, write_registry

from labkit.base.errors import UserError
from labkit.base.paths import ROOT
from labkit.data import addresses, download, obtain, registry, samples, store
from labkit.data.registry import Wanted

MEMBERS = {"tiny/part_1": b"one" * 70_000, "tiny/part_2": os.urandom(200_000), "tiny/meta": b"meta"}
ARCHIVE = tar_gz(MEMBERS)
COCO = tiny_coco()
FILES = {**COCO, "tiny.tar.gz": ARCHIVE}
HARMLESS = {"no ranges", "slow", "clock"}
WAYS = ("file", "images")


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("LAB_MIRROR", raising=False)
    monkeypatch.setattr(registry, "REGISTRY", tmp_path / "registry")
    for name, value in {"SLOW_AFTER_S": 0.4, "READ_TIMEOUT_S": 0.4, "PROBE_TIMEOUT_S": 1.0, "PAUSE_S": 0.01}.items():
        monkeypatch.setattr(addresses, name, value)
    return tmp_path / "data"


def write(way, *servers):
    if way == "file":
        write_registry(registry.REGISTRY, MEMBERS, ARCHIVE, [server.url("tiny.tar.gz") for server in servers])
    else:  # the archives come from the last one alone: here it is about the images
        bases = [server.base for server in servers]
        with_archives = [servers[-1].base.replace("https", "http")]
        write_coco(registry.REGISTRY, COCO, with_archives, bases)


def get(way):
    if way == "file":
        obtain.ensure("tiny")
    else:
        obtain.ensure("coco", wanted=Wanted(("instances",), 12))


def whole(data, way):
    if way == "file":
        return all((data / "tiny" / name).read_bytes() == content for name, content in MEMBERS.items())
    images = {name for name in COCO if name.endswith(".jpg")}
    return all((data / "coco/val2017" / name).read_bytes() == COCO[name] for name in images)


def nothing(data):
    return not (data / "tiny").exists() and not (data / "coco").exists()


@pytest.mark.parametrize("fault", [*FAULTS, *MORE_FAULTS])
@pytest.mark.parametrize("way", WAYS)
def test_the_mirror_after_a_faulty_one_delivers(data, way, fault):
    with faulty(FILES, fault) as bad, Mirror(FILES) as good:
        write(way, bad, good)
        get(way)
    assert whole(data, way)


@pytest.mark.parametrize("fault", [*FAULTS, *MORE_FAULTS])
@pytest.mark.parametrize("way", WAYS)
def test_a_faulty_mirror_alone_ends_in_identical_bytes_or_a_sentence(data, way, fault):
    with faulty(FILES, fault) as bad, Mirror({name: COCO[name] for name in COCO if ".zip" in name}) as archives:
        if way == "file":
            write(way, bad)
        else:
            write_coco(registry.REGISTRY, COCO, [archives.base], [bad.base])
        try:
            get(way)
            assert whole(data, way)
        except addresses.Unreachable as error:
            assert fault not in HARMLESS and "\n" not in error.message and "127.0.0.1" in error.message
            assert nothing(data)


PROGRAM = """
import sys
from pathlib import Path
from labkit.data import obtain, registry
registry.REGISTRY = Path(sys.argv[1])
obtain.ensure("tiny") if sys.argv[2] == "file" else obtain.ensure("coco", wanted=registry.Wanted(subset=12))
print("done")
"""


def started(way):
    command = [sys.executable, "-c", PROGRAM, str(registry.REGISTRY), way]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("way", WAYS)
def test_kill_9_at_twenty_random_moments(data, way):
    """Download, unpacking and renaming are all hit; once it is done, it starts from nothing again."""
    rng, kills, ends = random.Random(0), 0, 0
    with Mirror(FILES, bytes_per_s=300_000 if way == "file" else 40_000) as server:
        write(way, server)
        while kills < 20:
            process = started(way)
            try:
                out, err = process.communicate(timeout=0.15 + 0.7 * rng.random())
                assert out == "done\n", err
                ends += 1
                assert whole(data, way)
                store.delete("tiny" if way == "file" else "coco")
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                kills += 1
                assert nothing(data) or whole(data, way)
        server.bytes_per_s = None
        assert started(way).communicate()[0] == "done\n"
    assert whole(data, way)
    assert [path.name for path in data.iterdir() if not path.name.startswith(".")] == [
        "tiny" if way == "file" else "coco"
    ]


@pytest.mark.parametrize("way", WAYS)
def test_two_at_once(data, way):
    with Mirror(FILES, bytes_per_s=500_000) as server:
        write(way, server)
        both = [started(way) for _ in range(2)]
        ends = [process.communicate() for process in both]
    assert [out for out, _ in ends] == ["done\n"] * 2
    assert whole(data, way)
    assert sum("waiting for it" in err for _, err in ends) <= 1


@pytest.mark.parametrize("way", WAYS)
def test_a_disk_that_is_full_from_the_start_and_one_that_fills_up(data, way, small_disk, monkeypatch):
    monkeypatch.setenv("LAB_DATA", str(small_disk))
    with Mirror(FILES) as server:
        write(way, server)
        # What the toml announces is more than there is.
        filler = small_disk / "filler"
        filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - 400_000))
        with pytest.raises(UserError, match=r"are needed in .* are free|the disk is full"):
            get(way)
        assert nothing(small_disk)
        filler.unlink()
        filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - 100_000))
        monkeypatch.setattr(obtain, "require_space", lambda *_: None)
        monkeypatch.setattr(download, "require_space", lambda *_: None)
        with pytest.raises(UserError, match="the disk is full"):
            get(way)
        assert nothing(small_disk)
        filler.unlink()
        get(way)
    assert whole(small_disk, way)


@pytest.mark.parametrize("way", WAYS)
def test_a_folder_that_may_only_be_read(data, way, monkeypatch):
    with tempfile.TemporaryDirectory() as public, Mirror(FILES) as server:
        write(way, server)
        shutil.copytree(registry.REGISTRY, f"{public}/registry")
        monkeypatch.setattr(registry, "REGISTRY", Path(public, "registry"))
        monkeypatch.setenv("LAB_DATA", public)
        os.chmod(public, 0o555)
        receiver, sender = os.pipe()
        if not os.fork():
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            try:
                get(way)
            except UserError as error:
                os.write(sender, str(error).encode())
            finally:
                os._exit(0)
        os.close(sender)
        os.wait()
        with os.fdopen(receiver) as pipe:
            assert "you have no permission" in pipe.read()
        assert nothing(Path(public))


@pytest.mark.parametrize("way", WAYS)
def test_no_such_folder_is_made_and_a_file_in_its_place_is_named(data, way, monkeypatch):
    with Mirror(FILES) as server:
        write(way, server)
        monkeypatch.setenv("LAB_DATA", str(data / "deep" / "deeper"))
        get(way)
        assert whole(data / "deep" / "deeper", way)
        monkeypatch.setenv("LAB_DATA", str(data / "other"))
        (data / "other").mkdir()
        (data / "other" / ("tiny" if way == "file" else "coco")).write_text("I am a file")
        with pytest.raises(UserError, match="a file is in the way"):
            get(way)
        assert (data / "other" / ("tiny" if way == "file" else "coco")).read_text() == "I am a file"


def test_a_shared_folder_that_is_read_only_serves_its_users(data, tmp_path, monkeypatch):
    with Mirror(FILES) as server:
        write("file", server)
        get("file")
    real_access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and real_access(path, mode))
    before = sorted(data.iterdir())
    assert obtain.ensure("tiny") == samples.locate("tiny") == store.verify("tiny")
    monkeypatch.setenv("LAB_RUNS", str(tmp_path / "runs"))
    (registry.REGISTRY / "tiny/sample.py").write_text(
        "def make(folder, seed=0):\n    (folder / 'tiny').mkdir()\n"
        "    for name in ('part_1', 'part_2', 'meta'): (folder / 'tiny' / name).write_text(name)\n"
    )
    sample = samples.locate("tiny", sample=True)
    assert sample.path == tmp_path / "runs/.samples/tiny-sample" and sample.kind == "sample"
    assert sorted(data.iterdir()) == before


def test_the_clock_may_be_wrong(data, monkeypatch):
    """Nothing depends on the time of day: a clock that jumps back a century changes no outcome."""
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 3e9)
    with Mirror(FILES) as server:
        write("file", server)
        get("file")
    assert whole(data, "file") and store.verify("tiny").kind == "verified"


def test_one_altered_member_is_refused_by_name(data, monkeypatch):
    """Where a list of members is published, it decides about an archive that is packed differently."""
    repacked = tar_gz(dict(reversed(list(MEMBERS.items()))))
    altered = tar_gz({**MEMBERS, "tiny/part_2": MEMBERS["tiny/part_2"][:-1] + b"!"})
    lacking = tar_gz({name: content for name, content in MEMBERS.items() if name != "tiny/meta"})
    more = tar_gz({**MEMBERS, "tiny/virus": b"x"})
    with Mirror({"tiny.tar.gz": repacked}) as good, Mirror({"tiny.tar.gz": altered}) as bad:
        write_registry(registry.REGISTRY, MEMBERS, ARCHIVE, [bad.url("tiny.tar.gz"), good.url("tiny.tar.gz")])
        listed = "".join(f"{sha256(content)}  {name}\n" for name, content in MEMBERS.items())
        (registry.REGISTRY / "tiny/members.sha256.gz").write_bytes(gzip.compress(listed.encode()))
        assert obtain.ensure("tiny").source == good.base[7:]
        assert whole(data, "file") and store.verify("tiny").kind == "verified"
        store.delete("tiny")
        for content, complaint in (
            (altered, r"tiny/part_2: sha256 expected [0-9a-f]{64}, got [0-9a-f]{64}"),
            (lacking, "tiny/meta is missing"),
            (more, "tiny/virus is not among the published members"),
        ):
            bad.files = good.files = {"tiny.tar.gz": content}
            with pytest.raises(addresses.Unreachable, match=complaint):
                obtain.ensure("tiny")
            assert nothing(data)

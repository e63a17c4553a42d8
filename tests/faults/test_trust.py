"""What data are worth: what published hashes prove, what came first, and what nobody vouches for."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile

import pytest
from mirrors import Mirror, jpeg, refused_url, sha256, tar_gz, write_registry

from labkit import bundle
from labkit.base import files
from labkit.base.errors import UserError
from labkit.base.paths import ROOT
from labkit.cli import data as cli
from labkit.data import addresses, archives, download, folders, importing, obtain, partial, registry, store
from labkit.data.registry import Wanted

HEAD = """
title = "{name}"
title_zh = "小"
homepage = "http://localhost/"
citation = "nobody"
licence = "none"
redistribute = true
unpacked_bytes = 1_000_000
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("LAB_MIRROR", raising=False)
    monkeypatch.setattr(registry, "REGISTRY", tmp_path / "registry")
    return tmp_path


def register(here, name, text):
    (here / "registry" / name).mkdir(parents=True)
    (here / "registry" / name / "dataset.toml").write_text(HEAD.format(name=name) + text, encoding="utf-8")


def same_prefix(content, digits):
    """Another content whose md5 begins alike."""
    wanted = hashlib.md5(content).hexdigest()[:digits]
    return next(other for k in range(10**6) if hashlib.md5(other := b"forged %d" % k).hexdigest().startswith(wanted))


# --- a few digits are no hash -----------------------------------------------------------------------------------------

WEIGHTS = b"real weights"
FORGED = same_prefix(WEIGHTS, 4)


@pytest.fixture
def zoo(here):
    """A data set of one file of which only the first digits of the md5 are published, and its host."""
    with Mirror({"w.pkl": WEIGHTS}) as host:
        register(here, "zoo", f"""
[[file]]
name = "w.pkl"
md5_prefix = "{hashlib.md5(WEIGHTS).hexdigest()[:4]}"
unpack = false
urls = ["{host.url('w.pkl')}"]
layout = {{ "w.pkl" = 1 }}
""")  # fmt: skip
        yield host


def test_a_few_digits_verify_nothing_and_the_first_that_came_is_kept(zoo, here):
    assert obtain.ensure("zoo").kind == store.verify("zoo").kind == "recorded"
    zoo.files = {"w.pkl": FORGED}
    (here / "data/zoo/w.pkl").unlink()
    with pytest.raises(addresses.Unreachable, match=f"sha256 expected {sha256(WEIGHTS)}"):
        obtain.ensure("zoo")
    store.delete("zoo")
    with pytest.raises(addresses.Unreachable, match=f"sha256 expected {sha256(WEIGHTS)}"):
        obtain.ensure("zoo")
    zoo.files = {"w.pkl": WEIGHTS}
    assert obtain.ensure("zoo").kind == "recorded"


def test_what_is_imported_is_compared_with_what_came_first(zoo, here):
    (here / "w.pkl").write_bytes(FORGED)
    assert importing.import_("zoo", here / "w.pkl").kind == "recorded"  # nothing else has come yet
    (here / "w.pkl").write_bytes(WEIGHTS)
    with pytest.raises(UserError, match=f"sha256 expected {sha256(FORGED)}"):
        importing.import_("zoo", here / "w.pkl")
    assert importing.import_("zoo", here / "w.pkl", unverified=True).kind == "unverified"
    assert store.first(registry.find("zoo")) == {"w.pkl": sha256(FORGED)}


def test_what_has_not_even_the_digits_is_refused(zoo, here):
    (here / "w.pkl").write_bytes(b"anything")
    with pytest.raises(UserError, match="md5 expected"):
        importing.import_("zoo", here / "w.pkl")


def test_verify_compares_with_what_came_first_whatever_the_record_says(zoo, here):
    obtain.ensure("zoo")
    (here / "data/zoo/w.pkl").write_bytes(FORGED)
    record = (here / "data/zoo/.state.json").read_text().replace(sha256(WEIGHTS), sha256(FORGED)).replace("recorded", "verified")
    (here / "data/zoo/.state.json").write_text(record)
    assert store.state("zoo").kind == "recorded"  # as a record of before this was known
    with pytest.raises(UserError, match="is not what came first"):
        store.verify("zoo")


def test_every_real_data_set_with_hashes_of_members_has_them_of_all():
    for name in registry.names():
        dataset = registry.find(name)
        if dataset.md5:
            assert len(dataset.md5) == sum(dataset.layout.values()), name


# --- bundles ----------------------------------------------------------------------------------------------------------

MEMBERS = {"tiny/part_1": b"one" * 1000, "tiny/part_2": b"two" * 1000, "tiny/meta": b"meta"}


def packed(path, content, stacks=(), files=None, **manifest):
    """A bundle with these files (name -> bytes), whose manifest fits them unless it is said otherwise."""
    files = {name: {"size_bytes": len(each), "sha256": sha256(each)} for name, each in content.items()} if files is None else files
    names = sorted({name.split("/")[1] for name in content if name.startswith("data/")})
    text = json.dumps({"format": 1, "stacks": list(stacks), "data": names, "files": files, **manifest}).encode()
    with tarfile.open(path, "w") as out:
        for name, each in {"manifest.json": text, **content}.items():
            info = tarfile.TarInfo(name)
            info.size = len(each)
            out.addfile(info, io.BytesIO(each))
    return path


def carried(name, members, kind="verified"):
    """A data folder as a bundle carries it, with a record that says what it likes."""
    files = {path: {"size_bytes": len(each), "sha256": sha256(each)} for path, each in members.items()}
    record = {"format": 1, "kind": kind, "source": "\x1b[31mthe publisher", "when": "2026", "files": files}
    return {**{f"data/{name}/{path}": each for path, each in members.items()},
            f"data/{name}/.state.json": json.dumps(record).encode()}  # fmt: skip


@pytest.fixture
def plain(here):
    """Two data sets: of the members of `plain` no hash is published, of `tiny` there is one."""
    archive = tar_gz({"a": b"1", "b": b"2"})
    register(here, "plain", f"""
[[file]]
name = "plain.tar.gz"
sha256 = "{sha256(archive)}"
unpack = true
urls = ["{refused_url('plain.tar.gz')}"]

[layout]
"a" = 1
"b" = 1
""")  # fmt: skip
    tiny = tar_gz(MEMBERS)
    write_registry(here / "registry", MEMBERS, tiny, [refused_url("tiny.tar.gz")])
    return archive


def nothing(here):
    data = here / "data"
    return [path.name for path in data.iterdir() if path.suffix != ".lock"] == [] if data.exists() else True


def test_a_bundle_does_not_vouch_for_itself(plain, here):
    (line,) = bundle.use(packed(here / "b.tar", carried("plain", {"a": b"forged", "b": b"forged"})))
    assert line.startswith("plain: unverified") and "b.tar" in line and "publisher" not in line
    (line,) = bundle.use(packed(here / "b.tar", carried("plain", {"a": b"forged", "b": b"2", "plain.tar.gz": plain})))
    assert line.startswith("plain: verified") and (here / "data/plain/a").read_bytes() == b"1"  # as in the archive


def test_a_bundle_brings_all_or_nothing(plain, here, monkeypatch):
    good, bad = carried("plain", {"a": b"1", "b": b"2"}), carried("tiny", {**MEMBERS, "tiny/part_1": b"forged"})
    with pytest.raises(UserError, match="Tiny is not as published"):
        bundle.use(packed(here / "b.tar", {**good, **bad}))
    assert nothing(here)
    swap = store.swap

    def fail_at_the_second(staging, folder, undo):
        if folder.name == "tiny":
            raise OSError(28, "No space left on device")
        swap(staging, folder, undo)

    bundle.use(packed(here / "b.tar", carried("plain", {"a": b"before", "b": b"2"})))
    monkeypatch.setattr(store, "swap", fail_at_the_second)
    with pytest.raises(UserError, match="the disk is full"):
        bundle.use(packed(here / "b.tar", {**good, **carried("tiny", MEMBERS)}))
    assert (here / "data/plain/a").read_bytes() == b"before" and not (here / "data/tiny").exists()


def test_an_environment_that_cannot_be_made_leaves_no_data_and_no_environment(plain, here, monkeypatch):
    monkeypatch.setattr(bundle.native, "VENV", here / "venv")

    def make(stack, build):
        if stack.name == "notes":
            raise UserError("uv pip failed")
        (here / "venv" / stack.name).mkdir(parents=True)

    monkeypatch.setattr(bundle.native, "ensure", make)
    content = {**carried("plain", {"a": b"1", "b": b"2"}), "wheels/x-1-py3-none-any.whl": b"w"}
    with pytest.raises(UserError, match="uv pip failed"):
        bundle.use(packed(here / "b.tar", content, ["cpu", "notes"]))
    assert nothing(here) and os.listdir(here / "venv") == ["wheels"] and not os.listdir(here / "venv/wheels")


GOOD = carried("plain", {"a": b"1", "b": b"2"})
LONG = "data/plain/" + "n" * 300
MALFORMED = {
    "files as a list": {"files": []},
    "data as a dict": {"data": {"plain": 1}},
    "no files": {"files": 0},
    "a number for a name": {"data": [1]},
    "an unknown data set": {"data": ["nosuch"]},
    "a data set twice": {"data": ["plain", "plain"]},
    "a path for a data set": {"data": ["../plain"]},
    "an unknown stack": {"stacks": ["nosuch"]},
    "a stack without packages": {"stacks": ["cpu"]},
    "a later format": {"format": 2},
    "a size as text": {"files": {name: {"size_bytes": "1", "sha256": "0"} for name in GOOD}},
    "a negative size": {"files": {name: {"size_bytes": -1, "sha256": "0"} for name in GOOD}},
    "no sha256": {"files": {name: {"size_bytes": 1} for name in GOOD}},
    "an unknown key": {"more": 1},
}


@pytest.mark.parametrize("change", MALFORMED)
def test_a_malformed_manifest_ends_in_one_sentence(plain, here, change):
    with pytest.raises(UserError, match="its manifest cannot be read") as refused:
        bundle.use(packed(here / "b.tar", GOOD, **MALFORMED[change]))
    assert "\n" not in refused.value.message and nothing(here)


@pytest.mark.parametrize("name", [LONG, "data/plain/a/b", "data/plain/A", "data/plain//a", "data/plain/./c", "data/plain/c\u202e",
                                  "wheels/x.whl", "data/plain/x\\y"])  # fmt: skip
def test_a_name_that_no_disk_takes_or_that_is_there_already(plain, here, name):
    with pytest.raises(UserError, match="its manifest cannot be read"):
        bundle.use(packed(here / "b.tar", {**GOOD, name: b"x"}))
    assert nothing(here)


def test_a_record_that_is_none_or_a_member_that_comes_twice(plain, here):
    for text in (b"[]", b"{}", b"{", json.dumps({"kind": "sample", "source": "", "when": "", "files": {}}).encode()):
        with pytest.raises(UserError, match="no record of what its plain is"):
            bundle.use(packed(here / "b.tar", {**GOOD, "data/plain/.state.json": text}))
    path = packed(here / "b.tar", GOOD)
    with tarfile.open(path, "a") as more:
        info = tarfile.TarInfo("data/plain/a")
        info.size = 1
        more.addfile(info, io.BytesIO(b"1"))
    with pytest.raises(UserError, match="'data/plain/a' is not in its manifest"):
        bundle.use(path)
    assert nothing(here)


# --- archives ---------------------------------------------------------------------------------------------------------


def headers(count, kind):
    """A tar of `count` headers of this kind and nothing else."""
    info = tarfile.TarInfo("./@LongLink")
    info.type, info.size = kind, 512
    block = info.tobuf(tarfile.GNU_FORMAT) + (b"30 comment=%021d\n" % 0).ljust(512, b"\0")
    return block * count


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE])
@pytest.mark.parametrize("one", [True, False], ids=["one that does not end", "one after another"])
def test_headers_without_end(tmp_path, kind, one):
    text = headers(10_000, kind)
    if one:
        info = tarfile.TarInfo("./@LongLink")
        info.type, info.size = kind, 8 << 20
        text = info.tobuf(tarfile.GNU_FORMAT) + bytes(8 << 20)
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(text, 1))
    with pytest.raises(UserError, match="does not end" if one else "cannot be read|does not end"):
        archives.unpack(tmp_path / "a.tar.gz", tmp_path / "out", 10**9)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("form", ["tar", "zip"])
def test_many_folders_and_long_names(tmp_path, form):
    for names, complaint in ([f"d{k}/" for k in range(archives.MOST_FOLDERS + 1)], "folders"), (["top/" + "n" * 256], "too long"):
        with tarfile.open(tmp_path / "a", "w") if form == "tar" else zipfile.ZipFile(tmp_path / "a", "w") as out:
            for name in names:
                if form == "zip":
                    out.writestr(name, "")
                else:
                    info = tarfile.TarInfo(name.rstrip("/"))
                    info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
                    out.addfile(info)
        with pytest.raises(UserError, match=complaint):
            archives.unpack(tmp_path / "a", tmp_path / "out", 10**6)
    (tmp_path / ("n" * 250)).write_bytes(tar_gz({"a": b"1"}))
    archives.unpack(tmp_path / ("n" * 250), tmp_path / "good", 10**6)  # the archive's own name is the user's business


# --- what is data -----------------------------------------------------------------------------------------------------

CLUTTER = ("._one.jpg", ".DS_Store", "Thumbs.db", "desktop.ini", "__MACOSX/one.jpg", ".hidden/one.jpg")


def test_one_rule_says_what_is_data(tmp_path):
    for name in ("one.jpg", "two.PNG", "notes.txt", *CLUTTER):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in folders.images(tmp_path)] == ["one.jpg", "two.PNG"]
    assert [path.name for path in folders.fitting(tmp_path, "**/*.jpg")] == ["one.jpg"]


@pytest.fixture
def pairs(here):
    register(here, "pairs", f"""
[[file]]
name = "pairs.zip"
no_hash = true
unpack = true
urls = ["{refused_url('pairs.zip')}"]
layout = {{ "p/A/*.jpg" = 0 }}
""")  # fmt: skip
    (here / "p/A").mkdir(parents=True)
    (here / "p/A/one.jpg").write_bytes(b"x")
    return here / "p"


def test_what_an_import_leaves_out_is_said(pairs, here, capfd):
    (pairs / "A/sub").mkdir()
    for name in ("two.JPG", "three.png", "sub/four.jpg", "._one.jpg", ".DS_Store"):
        (pairs / "A" / name).write_bytes(b"x")
    importing.import_("pairs", here / "p", unverified=True)
    said = capfd.readouterr().err
    assert "A: 3 more, no part of the data set, left out, such as sub/" in said
    assert "A: 2 files that systems leave in folders are left out, such as .DS_Store" in said
    with tarfile.open(here / "p.tar", "w") as out:
        out.add(pairs, "p")
    importing.import_("pairs", here / "p.tar", unverified=True)
    said = capfd.readouterr().err
    assert "p.tar: 2 files that systems leave" in said and "3 more, no part of the data set" in said


@pytest.mark.parametrize(("name", "why"), [(b"\xff\xfe.jpg", "is not a name in UTF-8"), (b"a\x1b[31m.jpg", "invisible characters")])
def test_a_name_in_a_folder_that_no_record_can_hold(pairs, here, name, why):
    with open(os.fsencode(pairs / "A") + b"/" + name, "wb") as out:
        out.write(b"x")
    with pytest.raises(UserError, match=why):
        importing.import_("pairs", here / "p", unverified=True)
    assert nothing(here)


def test_empty_images_are_no_images(pairs, here):
    for k in range(3):
        (pairs / f"A/{k}.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"p/A/0.jpg is empty, and so are 2 more files"):
        importing.import_("pairs", here / "p", unverified=True)
    assert nothing(here)


@pytest.mark.parametrize("form", ["folder", "tar", "zip"])
def test_what_systems_add_is_never_imported(here, form):
    register(here, "pairs", f"""
[[file]]
name = "pairs.zip"
no_hash = true
unpack = true
urls = ["{refused_url('pairs.zip')}"]
layout = {{ "p/A/*.jpg" = 0 }}
""")  # fmt: skip
    for name in ("one.jpg", *CLUTTER):
        (here / "p/A" / name).parent.mkdir(parents=True, exist_ok=True)
        (here / "p/A" / name).write_bytes(jpeg(1))
    path = here / "p"
    if form != "folder":
        path = here / f"a.{form}"
        with tarfile.open(path, "w") if form == "tar" else zipfile.ZipFile(path, "w") as out:
            for each in (each for each in sorted((here / "p").rglob("*")) if each.is_file()):
                (out.add if form == "tar" else out.write)(each, each.relative_to(here))
    importing.import_("pairs", path, unverified=True)
    assert [str(each.relative_to(here / "data/pairs")) for each in (here / "data/pairs").rglob("*.*") if each.is_file()] == [
        ".state.json", "p/A/one.jpg",
    ]  # fmt: skip
    (here / "data/pairs/p/A/one.jpg").rename(here / "data/pairs/p/A/._one.jpg")
    assert store.state("pairs").kind == "absent"


# --- some is at least one, and parts ----------------------------------------------------------------------------------


@pytest.fixture
def two_parts(here):
    register(here, "two", "".join(["default = ['x']", *(f"""
[[file]]
part = "{part}"
name = "{part}.zip"
no_hash = true
unpack = true
urls = ["{refused_url('x.zip')}"]
layout = {{ "{part}/A/*.jpg" = 0, "{part}/B/*.jpg" = 0 }}
""" for part in "xy")]))  # fmt: skip


def put(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(jpeg(1))
    return folder


def test_an_import_without_an_image_is_refused(two_parts, here):
    for names in (["readme.txt"], ["x/A/note.txt", "x/B/note.txt"], ["x/A/1.jpg", "x/B/._1.jpg"]):
        with pytest.raises(UserError, match="0 of some files"):
            importing.import_("two", put(here / names[-1].replace("/", " "), *names), unverified=True)
    assert store.state("two").kind == "absent" and not (here / "data/two").exists()


def test_all_whole_parts_are_taken_and_others_named(two_parts, here, capfd):
    state = importing.import_("two", put(here / "both", "x/A/1.jpg", "x/B/1.jpg", "y/A/1.jpg", "y/B/1.jpg"), unverified=True)
    assert state.what == Wanted(("x", "y"))
    state = importing.import_("two", put(here / "one", "x/A/1.jpg", "x/B/1.jpg", "y/A/1.jpg"), unverified=True)
    assert state.what == Wanted(("x",)) and "y is left out: 0 of some files y/B/*.jpg" in capfd.readouterr().err
    assert not (here / "data/two/y/A/1.jpg").exists() and "y/A/1.jpg" not in store.recorded("two")


def test_what_goes_with_a_download_is_named():
    for flag in ("split", "subset", "categories", "mirror"):
        words = dict.fromkeys(["split", "subset", "categories", "mirror"], "")
        with pytest.raises(UserError, match=f"--{flag} goes with a download, not with --import: an import takes every part"):
            cli.data("coco", **{**words, flag: "5"}, path=False, verify=False, import_="x", unverified=False, delete=False, yes=False)


# --- a file that changes while it is fetched --------------------------------------------------------------------------


@pytest.mark.parametrize("names_it", [True, False], ids=["ETag", "nothing said"])
def test_a_file_that_changed_between_two_attempts_is_not_mixed(tmp_path, names_it):
    old, new = b"a" * (1 << 20), b"b" * (1 << 20)
    with Mirror({"f": old}, cut_at=1 << 19) as host:
        host.version = '"1"' * names_it
        with pytest.raises(addresses.Unreachable):
            download.fetch([host.url("f")], tmp_path / "f", 0)
        host.files, host.cut_at, host.version = {"f": new}, None, '"2"' * names_it
        download.fetch([host.url("f")], tmp_path / "f", 0)
    assert (tmp_path / "f").read_bytes() == new and os.listdir(tmp_path) == ["f"]


def test_a_file_that_changes_in_the_middle_starts_again(tmp_path, capfd):
    old, new = b"a" * (24 << 20), b"b" * (25 << 20)

    class Turning(Mirror):
        def respond(self, request, busy):
            if self.served_bytes > 1 << 20:
                self.files, self.version = {"f": new}, '"2"'
            super().respond(request, busy)

    with Turning({"f": old}) as host:
        host.version = '"1"'
        download.fetch([host.url("f")], tmp_path / "f", 0)
    assert (tmp_path / "f").read_bytes() == new and "changed there" in capfd.readouterr().err


class Elsewhere(Mirror):
    """Answers with the beginning of the file, whatever part was asked for, and says so."""

    def respond(self, request, busy):
        wanted = re.match(r"bytes=(\d+)-(\d+)$", request.headers.get("Range", ""))
        if wanted and int(wanted[1]):
            request.headers.replace_header("Range", f"bytes=0-{int(wanted[2]) - int(wanted[1])}")
        super().respond(request, busy)


def test_another_part_of_the_file_than_was_asked_for_is_not_taken(tmp_path):
    content = b"a" * (12 << 20) + b"b" * (12 << 20)
    with Elsewhere({"f": content}) as host:
        host.version = '"1"'
        with pytest.raises(addresses.Unreachable, match="another part of the file than it was asked for"):
            download.fetch([host.url("f")], tmp_path / "f", 0)
    assert not (tmp_path / "f").exists()


def test_what_has_arrived_of_the_same_version_is_kept(tmp_path):
    content = b"a" * (4 << 20)
    with Mirror({"f": content}) as host:
        host.version = '"1"'
        part = partial.Part(tmp_path / "f", len(content), True, f'{host.url("f")} "1"')
        part.write(content[: 2 << 20], 0)
        for block in range((2 << 20) // partial.BLOCK_BYTES):
            part.finish(block)
        part.close()
        download.fetch([host.url("f")], tmp_path / "f", 0)
        assert host.served_bytes < 3 << 20
    assert (tmp_path / "f").read_bytes() == content


# --- a disk without locks ---------------------------------------------------------------------------------------------

NOFLOCK = "#include <errno.h>\nint flock(int fd,int op){ errno=ENOLCK; return -1; }\n"
NOLOCKS = NOFLOCK + """
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>
int fcntl(int fd, int command, ...) {
    va_list more; va_start(more, command); long value = va_arg(more, long); va_end(more);
    if (command == 6 || command == 7) { errno = ENOLCK; return -1; }
    return syscall(SYS_fcntl, fd, command, value);
}
int fcntl64(int fd, int command, ...) {
    va_list more; va_start(more, command); long value = va_arg(more, long); va_end(more);
    return fcntl(fd, command, value);
}
"""
HOLD = """
import sys
from pathlib import Path
from labkit.base import files
from labkit.base.errors import UserError
try:
    with files.locked(Path(sys.argv[1]), "it"):
        print("held", flush=True)
        sys.stdin.read()
except UserError as error:
    print(error.message)
"""


@pytest.mark.parametrize(("source", "said"), [(NOFLOCK, "held"), (NOLOCKS, "cannot lock")])
def test_a_disk_without_flock_has_another_lock_or_a_sentence(tmp_path, source, said):
    (tmp_path / "no.c").write_text(source)
    if subprocess.run(["cc", "-shared", "-fPIC", "-o", str(tmp_path / "no.so"), str(tmp_path / "no.c")]).returncode:
        pytest.skip("there is no C compiler")
    environment = {**os.environ, "LD_PRELOAD": str(tmp_path / "no.so")}
    command = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
    first = subprocess.Popen(command, env=environment, **pipes)
    line = first.stdout.readline()
    assert said in line, first.stderr.read()
    if said == "held":
        second = subprocess.Popen(command, env=environment, **pipes)
        assert "waiting for it" in second.stderr.readline()
        first.communicate("")
        assert second.communicate("")[0] == "held\n"
    first.communicate("")


def test_a_name_that_is_too_long_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="a name is too long"), files.writing(tmp_path):
        (tmp_path / ("n" * 300)).write_text("x")


def small_tar(path, names, root=""):
    with tarfile.open(str(path), "w") as packed:
        for name in names:
            info = tarfile.TarInfo(root + name)
            info.size = 600
            packed.addfile(info, io.BytesIO(b"x" * 600))
    return path


@pytest.mark.parametrize("way", ["a wrong byte", "an empty header", "cut before a header", "cut in a header"])
def test_a_tar_does_not_end_in_the_middle_without_a_word(way, tmp_path):
    whole = small_tar(tmp_path / "a.tar", ["a", "b", "c", "d"]).read_bytes()
    third = 2 * (512 + 1024)
    broken = {
        "a wrong byte": whole[:third] + bytes([whole[third] ^ 255]) + whole[third + 1 :],
        "an empty header": whole[:third] + b"\1" * 512 + whole[third + 512 :],
        "cut before a header": whole[:third],
        "cut in a header": whole[: third + 100],
    }[way]
    (tmp_path / "b.tar").write_bytes(broken)
    with pytest.raises(UserError, match="is damaged or cut short"):
        archives.unpack(tmp_path / "b.tar", tmp_path / "out", 10**6)
    assert archives.unpack(tmp_path / "a.tar", tmp_path / "whole", 10**6) == 2400


def test_a_tar_of_a_folder_itself(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_text("data")
    subprocess.run(["tar", "cf", str(tmp_path / "x.tar"), "-C", str(tmp_path / "in"), "."], check=True)
    archives.unpack(tmp_path / "x.tar", tmp_path / "out", 10**6)
    assert (tmp_path / "out" / "a").read_text() == "data"


def test_one_pair_without_its_name_is_not_taken_for_every_pair(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "data"))
    for part in ("trainA", "trainB", "testA", "testB"):
        (tmp_path / "facades" / part).mkdir(parents=True)
        (tmp_path / "facades" / part / "1.jpg").write_bytes(b"x")
    with pytest.raises(UserError, match="could be each of"):
        importing.import_("cyclegan", tmp_path / "facades", unverified=True)
    assert store.state("cyclegan").kind == "absent"

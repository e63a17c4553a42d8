"""Archives that were made to do harm, or came to harm."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import warnings
import zipfile

import pytest
from mirrors import tar_gz

from labkit.base.errors import UserError
from labkit.data import archives
from labkit.data.archives import unpack

LIMIT = 1_000_000


def write_tar(path, *members):
    """A tar of (name, type, link target); plain files hold their own name."""
    with tarfile.open(path, "w:gz") as tar:
        for name, kind, link in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            content = name.encode() if kind == tarfile.REGTYPE else b""
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def refuse(archive, tmp_path, match):
    folder = tmp_path / "out"
    with pytest.raises(UserError, match=match):
        unpack(archive, folder, LIMIT)
    assert not folder.exists() or list(folder.iterdir()) == []
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_of_any_compression(tmp_path, mode):
    with tarfile.open(tmp_path / "a.tar.any", mode) as tar:
        for name in ("top/one", "top/sub/two"):
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))
    assert unpack(tmp_path / "a.tar.any", tmp_path / "out", LIMIT) == 6
    assert (tmp_path / "out/top/sub/two").read_bytes() == b"abc"
    assert os.listdir(tmp_path / "out") == ["top"]


def test_a_zip_and_a_single_gz(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.mkdir("top") if hasattr(packed, "mkdir") else packed.writestr("top/", "")
        packed.writestr("top/one", "abc")
    (tmp_path / "two-idx.gz").write_bytes(gzip.compress(b"defg"))
    assert unpack(tmp_path / "a.zip", tmp_path / "out", LIMIT) == 3
    assert unpack(tmp_path / "two-idx.gz", tmp_path / "out", LIMIT) == 4
    assert (tmp_path / "out/top/one").read_bytes() == b"abc"
    assert (tmp_path / "out/two-idx").read_bytes() == b"defg"


def test_what_was_there_from_an_earlier_attempt_is_replaced_and_what_another_archive_gave_stays(tmp_path):
    (tmp_path / "out/top").mkdir(parents=True)
    (tmp_path / "out/top/one").write_bytes(b"half")
    (tmp_path / "out/top/two").write_bytes(b"another")
    (tmp_path / "a.tar.gz").write_bytes(tar_gz({"top/one": b"whole"}))
    unpack(tmp_path / "a.tar.gz", tmp_path / "out", LIMIT)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out/top").iterdir()} == {
        "one": b"whole", "two": b"another",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["../evil", "top/../../evil", "/tmp/evil", ".."])
def test_a_tar_member_outside(tmp_path, name):
    write_tar(tmp_path / "a.tar.gz", ("good", tarfile.REGTYPE, ""), (name, tarfile.REGTYPE, ""))
    refuse(tmp_path / "a.tar.gz", tmp_path, f"{name!r} would land outside its folder".replace(".", r"\."))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_a_tar_member_that_is_no_plain_file(tmp_path, kind):
    write_tar(tmp_path / "a.tar.gz", ("door", kind, "/etc"), ("door/passwd", tarfile.REGTYPE, ""))
    refuse(tmp_path / "a.tar.gz", tmp_path, "'door' is a link or a device")


@pytest.mark.parametrize("name", ["../evil", "/evil"])
def test_a_zip_member_outside(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("good", "abc")
        packed.writestr(name, "abc")
    refuse(tmp_path / "a.zip", tmp_path, "would land outside its folder")


def test_a_zip_member_that_is_a_link(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        info = zipfile.ZipInfo("door")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(info, "/etc")
    refuse(tmp_path / "a.zip", tmp_path, "'door' is a link or a device")


def test_a_name_that_comes_twice(tmp_path):
    write_tar(tmp_path / "a.tar.gz", ("one", tarfile.REGTYPE, ""), ("./one", tarfile.REGTYPE, ""))
    refuse(tmp_path / "a.tar.gz", tmp_path, "'./one' is in it twice")


@pytest.mark.parametrize("name", ["bomb.tar.gz", "bomb.zip", "bomb.gz"])
def test_a_bomb_stops_at_the_limit(tmp_path, name):
    archive, bomb = tmp_path / name, bytes(100 * LIMIT)
    if name.endswith(".zip"):
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("bomb", bomb)
    else:
        archive.write_bytes(tar_gz({"bomb": bomb}) if ".tar" in name else gzip.compress(bomb, 1))
    assert archive.stat().st_size < LIMIT
    refuse(archive, tmp_path, r"with 'bomb' it unpacks to more than 1\.0 MB")


def test_a_zip_that_lies_about_its_sizes(tmp_path):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("bomb", bytes(2 * LIMIT))
    small, real = (100).to_bytes(4, "little"), (2 * LIMIT).to_bytes(4, "little")
    archive.write_bytes(archive.read_bytes().replace(real, small))
    refuse(archive, tmp_path, "damaged|more than")


def test_too_many_members(tmp_path):
    write_tar(tmp_path / "a.tar.gz", *((f"file{i}", tarfile.REGTYPE, "") for i in range(11)))
    with pytest.raises(UserError, match="more than 10 members"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out", LIMIT, limit_members=10)


@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip", "a.gz"])
def test_an_archive_that_is_cut_short(tmp_path, name):
    content = os.urandom(300_000)
    whole = tar_gz({"top/one": content})
    if name == "a.gz":
        whole = gzip.compress(content)
    if name == "a.zip":
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as out:
            out.writestr("top/one", content)
        whole = packed.getvalue()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    refuse(tmp_path / name, tmp_path, "damaged or cut short")


def test_something_that_is_no_archive(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(b"<html>not found</html>" * 100)
    refuse(tmp_path / "a.tar.gz", tmp_path, "damaged or cut short")


@pytest.mark.parametrize("name", ["a\u202etxt.exe", "zero\u200bwidth", "line\nbreak", "back\\slash"])
def test_names_that_play_tricks(tmp_path, name):
    write_tar(tmp_path / "a.tar.gz", ("good", tarfile.REGTYPE, ""), (name, tarfile.REGTYPE, ""))
    refuse(tmp_path / "a.tar.gz", tmp_path, "invisible characters|outside its folder")


def test_two_spellings_of_one_name(tmp_path):
    write_tar(tmp_path / "a.tar.gz", ("caf\u00e9", tarfile.REGTYPE, ""), ("cafe\u0301", tarfile.REGTYPE, ""))
    refuse(tmp_path / "a.tar.gz", tmp_path, "is in it twice")


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a")])
def test_a_name_that_is_a_file_and_a_folder(tmp_path, names):
    write_tar(tmp_path / "a.tar.gz", *((name, tarfile.REGTYPE, "") for name in names))
    refuse(tmp_path / "a.tar.gz", tmp_path, "a file")


def test_a_bomb_below_the_limit_is_known_by_its_ratio(tmp_path):
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(50 * LIMIT), 9))
    with pytest.raises(UserError, match="more than 200 times its size"):
        unpack(tmp_path / "bomb.gz", tmp_path / "out", 100 * LIMIT)


def test_what_a_mac_adds_is_left_out(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        for name in ("top/one", "top/.DS_Store", "__MACOSX/top/._one"):
            packed.writestr(name, name)
    unpack(tmp_path / "a.zip", tmp_path / "out", LIMIT)
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == ["one"]


def test_many_members_are_unpacked_on_all_cores_and_the_first_bad_one_ends_it(tmp_path):
    contents = {f"top/{number}": os.urandom(20_000) for number in range(200)}
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in contents.items():
            packed.writestr(name, content)
    assert unpack(tmp_path / "a.zip", tmp_path / "out", 10 * LIMIT) == 200 * 20_000
    assert all((tmp_path / "out" / name).read_bytes() == content for name, content in contents.items())
    whole = bytearray((tmp_path / "a.zip").read_bytes())
    whole[len(whole) // 2] ^= 1
    (tmp_path / "b.zip").write_bytes(whole)
    with pytest.raises(UserError, match="damaged or cut short"):
        unpack(tmp_path / "b.zip", tmp_path / "other", 10 * LIMIT)
    assert list((tmp_path / "other").iterdir()) == []


@pytest.mark.parametrize("name", ["images/{}.jpg", "images/._{}", "images/{}/"])
@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_flood_of_members(tmp_path, kind, name):
    """Members that hold nothing, that are no data, or that are folders: all of them take time, and none is free."""
    names = [name.format(number) for number in range(archives.MOST_EMPTY + 1)]
    if "._" in name:
        names *= 1 + archives.MOST_MEMBERS // len(names)
    archive = tmp_path / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as packed, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names that are there twice
            for each in names:
                packed.writestr(zipfile.ZipInfo(each), b"")
    else:
        with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
            for each in names:
                info = tarfile.TarInfo(each.rstrip("/"))
                info.type = tarfile.DIRTYPE if each.endswith("/") else tarfile.REGTYPE
                tar.addfile(info)
    refuse(archive, tmp_path, r"is refused: more than \d+ (members|folders)")


def test_the_directory_of_a_zip_is_bounded_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_DIRECTORY_BYTES", 10_000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        for number in range(200):
            packed.writestr(f"images/{number}.jpg", b"x")
    refuse(tmp_path / "a.zip", tmp_path, "more than 250000 members")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_a_member_may_be_larger_than_any_header_and_several_may_follow(mode, tmp_path):
    contents = {f"{number}.bin": os.urandom(archives.MOST_HEADER_BYTES + 5) for number in range(3)}
    with tarfile.open(tmp_path / "a.tar", mode) as packed:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    assert archives.unpack(tmp_path / "a.tar", tmp_path / "out", 1 << 24) == sum(map(len, contents.values()))
    assert all((tmp_path / "out" / name).read_bytes() == content for name, content in contents.items())

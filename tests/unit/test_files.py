"""Files that appear whole or not at all, in folders that others may have written to."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from labkit.base import console, files, paths
from labkit.base.errors import UserError
from labkit.data import partial


def test_a_link_in_the_way_is_removed_and_never_followed(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "report.html.new").symlink_to(precious)
    files.write_text(tmp_path / "report.html", "<p>")
    assert precious.read_text() == "mine"
    assert (tmp_path / "report.html").read_text() == "<p>" and not (tmp_path / "report.html").is_symlink()
    assert not (tmp_path / "report.html.new").exists()


def test_a_link_at_the_place_itself_is_replaced(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "summary.json").symlink_to(precious)
    files.write_json(tmp_path / "summary.json", {"a": 1})
    assert precious.read_text() == "mine" and not (tmp_path / "summary.json").is_symlink()


def test_a_folder_in_the_way_is_one_sentence(tmp_path):
    (tmp_path / "report.html.new").mkdir()
    with pytest.raises(UserError, match=r"folder is in the way|no permission"), files.writing(tmp_path):
        files.write_text(tmp_path / "report.html", "<p>")


def test_a_failed_block_leaves_the_old_file(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(ZeroDivisionError), files.replacing(tmp_path / "a") as stream:
        stream.write(b"half")
        raise ZeroDivisionError
    assert (tmp_path / "a").read_text() == "old"


def test_nothing_that_a_terminal_obeys():
    assert console.harmless("a\x1b]0;owned\x07b\u202e \ud800 语言 ✓\n") == "a?]0;owned?b? ? 语言 ✓\n"


@pytest.fixture
def order(monkeypatch):
    """What is done to the disk, in order: a power cut may come after any of it."""
    done, fsync, replace = [], os.fsync, os.replace

    def synced(number):
        done.append(("fsync", os.path.basename(os.readlink(f"/proc/self/fd/{number}")), os.fstat(number).st_size))
        fsync(number)

    def replaced(source, target):
        done.append(("replace", os.path.basename(source), os.path.basename(target)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    return done


def test_a_file_is_whole_on_the_disk_before_it_takes_the_place_of_another(tmp_path, order):
    files.write_text(tmp_path / "summary.json", "{}\n")
    assert order == [("fsync", "summary.json.new", 3), ("replace", "summary.json.new", "summary.json")]


def test_a_download_is_on_the_disk_before_it_has_its_name(tmp_path, order):
    part = partial.Part(tmp_path / "f", 5, fresh=True)
    part.write(b"12345", 0)
    part.close()
    assert order == [("fsync", "f.part", 5)]


def test_a_second_one_waits_for_the_lock_and_says_so(tmp_path, capfd):
    program = "import sys, time; from pathlib import Path; from labkit.base import files\n" \
              "with files.locked(Path(sys.argv[1]), 'it'): print('in', flush=True); time.sleep(0.5); print('out', flush=True)"  # fmt: skip
    command = [sys.executable, "-c", program, str(tmp_path / "lock")]
    with subprocess.Popen(command, cwd=paths.ROOT, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "in\n"
        with files.locked(tmp_path / "lock", "it"):
            assert first.stdout.read() == "out\n"  # it was over
    assert "another process is working on it; waiting for it" in capfd.readouterr().err


def test_a_disk_without_the_one_kind_of_lock_has_the_other(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(files.fcntl, "flock", none)
    with files.locked(tmp_path / "lock", "it"):
        command = [sys.executable, "-c", "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'a'), fcntl.LOCK_EX | fcntl.LOCK_NB)"]
        assert subprocess.run([*command, str(tmp_path / "lock")], stderr=subprocess.DEVNULL).returncode == 1
    monkeypatch.setattr(files.fcntl, "lockf", none)
    with pytest.raises(UserError, match=r"cannot lock .* two processes must not change it at once"), files.locked(tmp_path / "lock", "it"):
        pass


@pytest.mark.parametrize(("free", "fits"), [(1000, True), (999, False)])
def test_just_room_enough_is_enough(free, fits, tmp_path, monkeypatch):
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    if fits:
        files.require_space(tmp_path, 1000)
    else:
        with pytest.raises(UserError, match=r"1\.0 kB are needed"):
            files.require_space(tmp_path, 1000)


def test_bytes_for_a_reader():
    said = {170_500_000: "170.5 MB", 10**9: "1.0 GB", 10**9 - 1: "1000.0 MB", 10**6: "1.0 MB", 999_999: "1000.0 kB", 12: "0.0 kB"}
    assert {size: files.megabytes(size) for size in said} == said

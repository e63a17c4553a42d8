"""`./inv image.audit` as it is typed: exit status, table, JSON, and what is no database at all."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile

import pytest

from labkit.base import paths

PILLOW = {
    "id": "GHSA-j7hp", "aliases": ["CVE-2023-4863"], "summary": "a \x1b[31mheap overflow",
    "affected": [{"package": {"ecosystem": "PyPI", "name": "Pillow"},
                  "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "10.0.1"}]}]}],
}  # fmt: skip


def audit(folder, *words):
    command = [str(paths.ROOT / "inv"), "image.audit", *words]
    environment = {**os.environ, "PWD": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_some_none_and_the_same_as_json(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as packed:
        packed.writestr("GHSA-j7hp.json", json.dumps(PILLOW))
        packed.writestr("broken.json", "{}")
    some = audit(tmp_path, "--stack", "notes", "--advisories", "all.zip")
    assert some.returncode == 1 and "\x1b" not in some.stdout
    assert all(word in some.stdout for word in ("pillow", "9.5.0", "CVE-2023-4863", "GHSA-j7hp", "10.0.1"))
    assert "left out, since they cannot be read: 1, such as all.zip: broken.json" in some.stderr
    none = audit(tmp_path, "--stack", "cpu", "--advisories", "all.zip")
    assert (none.returncode, none.stdout) == (0, "") and " 0 known vulnerabilities" in none.stderr
    for stack, status in (("notes", 1), ("cpu", 0)):
        told = audit(tmp_path, "--stack", stack, "--advisories", ".", "--json")
        said = json.loads(told.stdout)
        assert told.returncode == status and said["stack"].startswith(stack) and said["advisories"]["malformed"] == 1
        assert [one["ids"] for one in said["found"]] == [["CVE-2023-4863", "GHSA-j7hp"]] * status


def fifo(path):
    os.mkfifo(path)


def packed_twice(path):
    """A zip in which everything has a password."""
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("one.json", json.dumps(PILLOW))
    content = path.read_bytes()
    path.write_bytes(content.replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "does not exist"),
        (fifo, "is neither a file nor a folder"),
        (lambda path: path.mkdir(), "holds no advisory"),
        (lambda path: path.touch(), "holds no advisory"),
        (lambda path: path.write_text("{}"), "holds no advisory"),
        (lambda path: path.write_text("[" * 1_000_000), "nested too deeply"),
        (lambda path: path.write_text('{"a":' * 200_000), "nested too deeply"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "holds no advisory"),
        (lambda path: path.write_bytes(b"PK\x03\x04 and nothing"), "damaged or cut short"),
        (lambda path: path.write_text(json.dumps({**PILLOW, "id": ["GHSA"]})), "holds no advisory"),
        (lambda path: os.truncate(path, 1 << 40) if not path.touch() else None, "is larger than"),
        (packed_twice, "holds no advisory"),
        (lambda path: path.write_text(json.dumps({"dependencies": []})), "holds no advisory"),
    ],
    ids=["nothing", "fifo", "folder", "empty", "{}", "lists", "objects", "bytes", "zip", "types", "size", "password", "report"],
)
def test_what_is_no_database_is_one_sentence(tmp_path, make, says):
    make(tmp_path / "it")
    done = audit(tmp_path, "--stack", "notes", "--advisories", "it")
    assert done.returncode == 2 and done.stdout == ""
    sentence, remedy = done.stderr.splitlines()[-2:]
    assert says in sentence and remedy.startswith("  next: ") and "Traceback" not in done.stderr


def test_without_a_database_nothing_is_claimed(tmp_path):
    done = audit(tmp_path, "--stack", "notes")
    assert done.returncode == 2 and "--advisories names the file or folder" in done.stderr

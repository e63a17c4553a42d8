"""A disk that is full or read-only, at every task that writes: one sentence, status 2, and nothing half made.

The disk is a real one, a tmpfs of half a megabyte that only the tested program and its shell see.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import subprocess
import tarfile

import pytest

from labkit import bundle
from labkit.base import files, paths
from labkit.base.errors import UserError
from labkit.data import store
from labkit.services import control

ROOT = paths.ROOT
UNSHARE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
FULL = 'dd if=/dev/zero of="$DISK/fill" bs=1k 2>/dev/null'
READ_ONLY = 'mount -o remount,ro "$DISK"'
SCRIPT = """
mount -t tmpfs -o size=512k none "$DISK" && mkdir "$DISK/runs" "$DISK/data" || exit 99
cp -r "$RUNS/." "$DISK/runs"
{state}
find "$DISK" -mindepth 1 | sort > "$SEEN/before"
{command}
status=$?
find "$DISK" -mindepth 1 | sort > "$SEEN/after"
exit $status
"""
TASKS = {
    "report": "./inv report cifar10/20261127-074700",
    "comparison": "./inv report cifar10/20261127-074700 pix2pix/20261127-075835",
    "data": "./inv data mnist",
    "import": './inv data cyclegan --import="$SEEN/pairs" --unverified',
    "bundle use": './inv bundle use "$SEEN/b.tar"',
    "export": './inv export --stack cpu --output "$DISK/requirements.txt"',
    "visdom": "./inv visdom --where venv",
    "tensorboard": "./inv tensorboard --where venv",
    "standard output": './inv export --stack cpu > "$DISK/requirements.txt"',
}
STAYS = (".services", ".download", "/MNIST", "/raw")  # empty folders, which the next call uses


@pytest.fixture
def on_a_disk(tmp_path):
    """Run a task with `$DISK` in a state; what it said, and the files that it left there."""
    seen, disk = tmp_path / "seen", tmp_path / "disk"
    seen.mkdir()
    disk.mkdir()
    environment = {
        **os.environ, "DISK": str(disk), "SEEN": str(seen), "RUNS": str(ROOT / "tests" / "data_runs"),
        "LAB_RUNS": str(disk / "runs"), "LAB_DATA": str(disk / "data"), "OMP_NUM_THREADS": "1",
    }  # fmt: skip

    def run(state, command):
        script = SCRIPT.format(state=state, command=command)
        done = subprocess.run([*UNSHARE, "sh", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
        if done.returncode == 99 or "unshare" in done.stderr:
            pytest.skip(f"no disk of its own can be mounted here: {done.stderr.strip()}")
        before, after = ((seen / name).read_text().splitlines() for name in ("before", "after"))
        return done, [path for path in after if path not in before]

    return run


def a_bundle(path):
    contents = {"data/mnist/a": bytes(1 << 20), f"data/mnist/{store.STATE_FILE}": b"{}"}
    members = {
        name: {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in contents.items()
    }
    manifest = {"format": 1, "stacks": [], "data": ["mnist"], "files": members}
    with tarfile.open(str(path), "w") as packed:
        for name, content in {bundle.MANIFEST: json.dumps(manifest).encode(), **contents}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("state", "said"), [(FULL, "disk is full|are needed"), (READ_ONLY, "disk is read-only")])
def test_a_disk_that_refuses_is_one_sentence_and_nothing_is_half_made(on_a_disk, task, state, said, tmp_path):
    if task == "standard output" and state == READ_ONLY:
        return  # the shell itself refuses
    for part in ("trainA", "trainB", "testA", "testB"):
        (tmp_path / "seen" / "pairs" / "facades" / part).mkdir(parents=True)
        (tmp_path / "seen" / "pairs" / "facades" / part / "1.jpg").write_bytes(os.urandom(1 << 12))
    a_bundle(tmp_path / "seen" / "b.tar")
    done, left = on_a_disk(state, TASKS[task])
    last = re.sub(r"(?s).*?(cannot use|[0-9.]+ .B are needed)", r"\1", done.stderr)
    assert done.returncode == 2 and re.search(said, last) and "Traceback" not in done.stderr, done.stderr
    assert last.count("\n") == 2 and "\n  next: " in last and "pairs" not in last
    half = [path for path in left if not path.endswith((*STAYS, "lock", ".log", "/requirements.txt"))]
    assert not half and (task == "standard output" or not any(path.endswith("requirements.txt") for path in left))


def test_a_copy_blames_the_disk_that_is_full_and_not_its_source():
    with pytest.raises(UserError, match="cannot use there: the disk is full"), files.writing(paths.ROOT):
        raise OSError(errno.ENOSPC, "No space left on device", "here", None, "there")
    with pytest.raises(UserError, match="cannot use here: you have no permission"), files.writing(paths.ROOT):
        raise OSError(errno.EACCES, "Permission denied", "here", None, "there")


@pytest.mark.parametrize("why", [errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.EINVAL])
def test_what_may_be_a_defect_of_ours_keeps_its_traceback_around_a_task(why):
    with pytest.raises(OSError) as kept, files.writing():
        raise OSError(why, os.strerror(why), "somewhere")
    assert kept.value.errno == why


def test_a_file_that_could_not_be_written_leaves_none_behind(tmp_path):
    (tmp_path / "f").write_text("old")
    with pytest.raises(KeyError), files.replacing(tmp_path / "f") as stream:
        stream.write(b"half")
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["f"] and (tmp_path / "f").read_text() == "old"


def test_what_a_swap_left_behind_is_deleted_too(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_DATA", str(tmp_path))
    for name in ("mnist", ".mnist.former", ".mnist-sample.former", ".mnist.import"):
        (tmp_path / name).mkdir()
    assert len(store.traces("mnist")) == 4
    store.delete("mnist")
    assert [path.name for path in tmp_path.iterdir()] == [".mnist.lock"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"7", b"\xff\x00", b"{}", b'{"process": "x", "port": [], "token": {}}',
                b'{"process": 1, "port": 8097}', b'{"process": -1, "port": 8097, "token": ""}']
)  # fmt: skip
def test_a_note_of_a_service_is_never_assumed_whole(content, tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_RUNS", str(tmp_path))
    for name in ("visdom", "tensorboard", "notebook"):
        control.note_of(name).parent.mkdir(exist_ok=True)
        control.note_of(name).write_bytes(content)
        control.log_of(name).touch()
        assert control.find_native(name) is None

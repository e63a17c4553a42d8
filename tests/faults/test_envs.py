"""Native environments that are interrupted, made twice at once, or cannot be made.

Real uv, real packages (those of docker/locks/dev.txt, small and cached), in a copy of the tree.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pytest

STACK = """
title = "a small one, for the test"
base = "none"
digest = "pending"
os = "none"
python = "{python}"
native_python = ["{python}"]
torch = "0"
torchvision = "0"
requirements = "dev.in"
[[build]]
name = "index"
cuda = ""
lock = "dev.txt"
disk_gb = {disk_gb}
"""
MAKE = "from labkit.stacks import catalog, native; s = catalog.load('small'); native.ensure(s, s.build())"
WORKS = "import pytest, mypy, labkit; from labkit.stacks import catalog; print(catalog.load('small').name)"


@pytest.fixture
def tree(copy):
    write_stack(copy)
    return copy


def write_stack(tree, python=f"{sys.version_info[0]}.{sys.version_info[1]}", disk_gb=0.1):
    (tree / "docker" / "stacks" / "small.toml").write_text(STACK.format(python=python, disk_gb=disk_gb))


def start(tree, **environment):
    command = [sys.executable, "-c", MAKE]
    settings = {**os.environ, "PYTHONPATH": str(tree), **environment}
    return subprocess.Popen(command, cwd=tree, env=settings, stderr=subprocess.PIPE, text=True, start_new_session=True)


def works(tree):
    python = tree / ".venv" / "small" / "bin" / "python"
    settings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # labkit.pth must do
    return (
        subprocess.run([str(python), "-c", WORKS], cwd="/", env=settings, capture_output=True, text=True).stdout
        == "small\n"
    )


def test_killed_at_any_moment_the_next_run_finishes_it(tree):
    for moment_s in (0.2, 0.6, 1.0):
        process = start(tree)
        time.sleep(moment_s)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    # What the kills may have left: a folder of a package that lacks half of its files.
    for file in (tree / ".venv" / "small" / "lib").glob("*/site-packages/mypy/*.py"):
        file.unlink()
    (tree / ".venv" / "small" / "stamp.json").unlink(missing_ok=True)
    process = start(tree)
    assert process.communicate(timeout=120) and process.returncode == 0
    assert works(tree)


def test_two_at_once_make_it_once(tree):
    processes = [start(tree), start(tree)]
    said = "".join(process.communicate(timeout=120)[1] for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    assert said.count(".venv/small is ready") == 1
    assert works(tree)


def test_a_ready_one_is_left_alone_and_a_changed_lock_remakes_it(tree):
    assert "making .venv/small" in start(tree).communicate(timeout=120)[1]
    assert "making" not in start(tree).communicate(timeout=120)[1]
    locks = tree / "docker" / "locks"
    with open(locks / "dev.txt", "a") as lock:
        lock.write("# a comment, which changes nothing\n")
    assert "making" not in start(tree).communicate(timeout=120)[1]
    another = re.search(r"^six==.*\n(?:[ ]+.*\n)*", (locks / "modern-cpu.txt").read_text(), re.MULTILINE)[0]
    with open(locks / "dev.txt", "a") as lock:
        lock.write(another)
    assert "making .venv/small" in start(tree).communicate(timeout=120)[1]


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"python": "3.99"}, "needs Python 3.99"), ({"disk_gb": 1e6}, "GB are free")],
)
def test_what_cannot_be_made_is_said_and_leaves_nothing(tree, changes, says):
    write_stack(tree, **changes)
    error = start(tree).communicate(timeout=120)[1].splitlines()
    assert any(says in line and line.startswith("labkit.base.errors.UserError") for line in error)
    assert not (tree / ".venv" / "small").exists()


def test_a_dead_package_index_is_one_sentence_and_the_next_run_repairs(tree):
    process = start(
        tree, UV_DEFAULT_INDEX="http://127.0.0.1:9/simple", UV_CACHE_DIR=str(tree / "cache"), UV_HTTP_RETRIES="0"
    )
    assert "uv pip failed" in process.communicate(timeout=120)[1]
    assert start(tree).communicate(timeout=120) and works(tree)


def test_a_package_with_other_bytes_than_locked_is_refused(tree):
    lock = tree / "docker" / "locks" / "dev.txt"
    lock.write_text(re.sub("sha256:[0-9a-f]{8}", "sha256:00000000", lock.read_text()))
    assert "uv pip failed" in start(tree).communicate(timeout=120)[1]
    assert not works(tree)

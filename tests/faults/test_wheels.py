"""PyTorch's own wheels: chosen where they can be had, from whoever has them, and only with the published hash.

Small wheels of the same names stand in for them, served on the loopback: PyTorch's server cannot be part of a test.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
import zipfile
from urllib.parse import quote

import pytest
from mirrors import Mirror

from labkit.stacks import catalog

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
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
name = "cpu"
cuda = ""
wheels = "{server}/whl/cpu"
lock = "small-cpu.txt"
disk_gb = 0.1
[[build]]
name = "index"
cuda = "13.0"
lock = "small-index.txt"
disk_gb = 0.1
"""
MAKE = """
import sys
from labkit.stacks import builds, native, selection
choice = builds.settled(selection.choose([], "", asked=sys.argv[1]))
print(builds.make(choice, native.ensure).label if not native.ready(choice.stack, choice.build) else choice.reason)
"""


def stand_in(folder, package):
    """A wheel called as PyTorch calls its own."""
    tag = f"cp{PYTHON.replace('.', '')}"
    path = folder / f"{package}-0+cpu-{tag}-{tag}-manylinux_2_28_x86_64.whl"
    about = f"{package}-0+cpu.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{package}/__init__.py", "__version__ = '0+cpu'\n")
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 0+cpu\n")
        wheel.writestr(f"{about}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}-{tag}-manylinux_2_28_x86_64\n")
        wheel.writestr(f"{about}/RECORD", "")
    return path


class Place:
    """A copy of the tree with a small stack, whose wheels are asked of one server and one mirror."""

    def __init__(self, tree, folder):
        self.tree = tree
        folder.mkdir()
        self.wheels = [stand_in(folder, package) for package in ("torch", "torchvision")]
        self.files = {quote(wheel.name): wheel.read_bytes() for wheel in self.wheels}
        locks = tree / "docker" / "locks"
        index = re.search(r"^six==.*\n(?:[ ]+.*\n)*", (catalog.LOCKS / "modern-index.txt").read_text(), re.MULTILINE)[0]
        (locks / "small-index.txt").write_text(index)
        table, lock = '[requires]\ncpu = []\n', index
        for wheel in self.wheels:
            sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
            table += f'[[wheel]]\nname = "{wheel.name}"\nsha256 = "{sha256}"\nsources = 2\n'
            table += f"size_bytes = {wheel.stat().st_size}\n"
            lock += f"{wheel.name.partition('-')[0]}==0+cpu \\\n    --hash=sha256:{sha256}\n"
        (locks / "wheels.toml").write_text(table)
        (locks / "small-cpu.txt").write_text(lock)

    def are_at(self, server, mirror):
        """Let these two addresses be the only ones that the tree knows."""
        docker = self.tree / "docker"
        (docker / "stacks" / "small.toml").write_text(STACK.format(python=PYTHON, server=server))
        facts = (docker / "facts.toml").read_text()
        mirrored = f'wheels = ["{mirror}/pytorch-wheels/BUILD/"]\n'
        (docker / "facts.toml").write_text(re.sub(r"^wheels = \[.*?^\]\n", mirrored, facts, flags=re.MULTILINE | re.DOTALL))

    def make(self, asked="small", **environment):
        """What was made, or why what is there will do; what was said; the seconds it took."""
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", MAKE, asked], cwd=self.tree, capture_output=True, text=True, timeout=120,
            env={**os.environ, "PYTHONPATH": str(self.tree), **environment},
        )  # fmt: skip
        return done.stdout.strip(), done.stderr, time.monotonic() - began

    def torch(self):
        """The version of torch in the environment; "" without one."""
        python = str(self.tree / ".venv" / "small" / "bin" / "python")
        return subprocess.run(
            [python, "-c", "import torch, torchvision; print(torch.__version__)"], capture_output=True, text=True
        ).stdout.strip()


NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def place(copy, tmp_path):
    return Place(copy, tmp_path / "wheels")


def test_they_come_from_pytorchs_server_and_are_not_kept_twice(place):
    with Mirror(place.files) as server:
        place.are_at(server.base, NOWHERE)
        label, said, _ = place.make()
        assert label == "small/cpu" and place.torch() == "0+cpu"
        assert all(re.search(rf"{re.escape(wheel.name)}: .* from 127\.0\.0\.1", said) for wheel in place.wheels)
        assert not list((place.tree / ".venv" / "pytorch").glob("*"))
        asked = len(server.statuses)
        assert place.make()[0].startswith("you asked for it") and len(server.statuses) == asked


def test_a_mirror_has_them_where_the_server_does_not(place):
    with Mirror({}) as server, Mirror(place.files) as mirror:
        place.are_at(server.base, mirror.base)
        assert place.make()[0] == "small/cpu" and place.torch() == "0+cpu"
        assert 404 in server.statuses and mirror.served_bytes >= sum(map(len, place.files.values()))


@pytest.mark.parametrize("form", ["{folder}", "file://{folder}", "{server}", "{server}/whl/cpu/"])
def test_the_setting_names_a_folder_or_an_address(place, form):
    place.are_at(NOWHERE, NOWHERE)
    with Mirror(place.files) as own:
        wheels = form.format(folder=place.wheels[0].parent, server=own.base)
        label, said, _ = place.make(LAB_WHEELS=wheels)
    assert label == "small/cpu" and place.torch() == "0+cpu", said


def test_a_folder_may_hold_one_for_each_build(place, tmp_path):
    place.are_at(NOWHERE, NOWHERE)
    place.wheels[0].parent.rename(tmp_path / "cpu")
    assert place.make(LAB_WHEELS=str(tmp_path))[0] == "small/cpu"


def test_a_wrong_byte_is_refused_and_the_package_index_steps_in(place):
    with Mirror(place.files, fault="wrong bytes") as server:
        place.are_at(server.base, server.base)
        label, said, _ = place.make()
        assert label == "small/index" and place.torch() == ""
        assert not list((place.tree / ".venv" / "pytorch").glob("*"))
        assert "sha256 expected" in said and "So it is small/index, from the package index" in said
        asked = len(server.statuses)
        assert place.make()[0].endswith("; small/index is made already")
        assert len(server.statuses) == asked


def test_a_good_mirror_mends_a_server_of_wrong_bytes(place):
    with Mirror(place.files, fault="wrong bytes") as server, Mirror(place.files) as mirror:
        place.are_at(server.base, mirror.base)
        assert place.make()[0] == "small/cpu" and place.torch() == "0+cpu"


def test_with_nobody_there_the_package_index_steps_in_within_seconds(place):
    place.are_at(NOWHERE, NOWHERE)
    label, said, seconds = place.make()
    assert label == "small/index" and seconds < 15
    assert "the wheels of small/cpu cannot be had" in said


def test_who_names_the_build_gets_it_or_is_told_what_to_do(place):
    place.are_at(NOWHERE, NOWHERE)
    label, said, _ = place.make("small/cpu")
    assert not label and not (place.tree / ".venv" / "small").exists()
    assert "the wheels of small/cpu cannot be had" in said and "next: ./inv config set wheels" in said


def test_what_is_ahead_is_said_before_the_first_byte(place):
    with Mirror(place.files) as server:
        place.are_at(server.base, NOWHERE)
        said = place.make()[1]
    sizes = [said.index(word) for word in ("  download  ", "  disk      ", "  time      ", " kB in ")]
    assert sizes == sorted(sizes)

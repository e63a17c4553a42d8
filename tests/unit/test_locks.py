"""What is pinned, and what pins it.

The notes' packages must load on Ubuntu 16.04 (glibc 2.23) and on the devcontainer's Ubuntu 20.04 (glibc 2.31).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from labkit.base.programs import uv
from labkit.stacks import catalog, native, sizes, wheels

# Pure Python that is published as source only.
SOURCES = [word for name in ("visdom", "fvcore", "iopath", "antlr4-python3-runtime") for word in ("--no-binary", name)]


@pytest.mark.parametrize(("name", "python", "fits"), [("notes", "3.8", True), ("cpu", "3.12", False)])
def test_every_wheel_of_the_notes_lock_is_manylinux2014(name, python, fits, tmp_path):
    """glibc 2.17, older than both. The modern stack does not fit there, which shows that the question can be answered no."""
    stack = catalog.load(name)
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(native.requirements(stack, stack.build("index"), windows=True))
    command = [uv(), "pip", "install", "--dry-run", "--target", str(tmp_path / "none"), "--require-hashes"]
    command += ["--python-version", python, "--python-platform", "x86_64-manylinux2014"]
    command += ["--only-binary", ":all:", *SOURCES, "--build-constraints", str(catalog.LOCKS / "build.txt")]
    done = subprocess.run([*command, "-r", str(requirements)], capture_output=True, text=True)
    assert (done.returncode == 0) == fits, done.stderr
    assert fits or "no usable wheels" in done.stderr


def test_the_bases_get_the_digests_that_docker_tells(copy, tmp_path):
    """A program that answers stands for docker and for the registry behind it."""
    program = tmp_path / "docker"
    program.write_text(
        '#!/bin/sh\necho "$@" >> "$0.asked"\n[ "$1" = pull ] || echo "${5%:*}@sha256:$(echo "$5" | sha256sum | cut -c1-64)"\n'
    )
    program.chmod(0o755)
    before = {path.name: path.read_text() for path in (copy / "docker" / "stacks").iterdir()}
    done = subprocess.run(
        [sys.executable, "scripts/lock.py", "--digests"], cwd=copy, capture_output=True, text=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    after = {path.name: path.read_text() for path in (copy / "docker" / "stacks").iterdir()}
    pinned = re.findall(r'^(?:editor_)?digest = "(.*)"$', "".join(after.values()), re.MULTILINE)
    assert len(pinned) == len(before) + 1 and not set(pinned) & set(re.findall(r"sha256:\w+", str(before)))
    assert all(re.fullmatch("sha256:[0-9a-f]{64}", digest) for digest in pinned)
    asked = (tmp_path / "docker.asked").read_text()
    assert all(f"pull --quiet {catalog.load(name).base}\n" in asked for name in catalog.names())
    for name, text in before.items():
        assert [line for line in text.splitlines() if "digest" not in line] == [
            line for line in after[name].splitlines() if "digest" not in line
        ]


@pytest.mark.parametrize("label", ["cpu/cpu", "cu126/cu126", "cu118/cu118"])
def test_a_build_of_pytorchs_own_wheels_has_both_for_every_python(label):
    stack = catalog.load(label.partition("/")[0])
    build = stack.build(label.partition("/")[2])
    lock = build.lock.read_text()
    for python in stack.native_python:
        found = wheels.needed(stack, build, python)
        assert [wheel.name.partition("-")[0] for wheel in found] == ["torch", "torchvision"]
        assert all(f"sha256:{wheel.sha256}" in lock and wheel.sources >= 1 for wheel in found)
        assert sizes.of(stack, build, python).download > 100e6
    assert stack.python in stack.native_python


def test_the_cpus_own_build_is_a_fraction_of_the_package_indexs():
    stack = catalog.load("cpu")
    own, index = sizes.of(stack, stack.build("cpu")), sizes.of(stack, stack.build("index"))
    assert own.download < index.download / 5 and own.image < 2.5e9 < index.image

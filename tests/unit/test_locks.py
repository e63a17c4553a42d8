"""The notes' packages must load on Ubuntu 16.04 (glibc 2.23) and on the devcontainer's Ubuntu 20.04 (glibc 2.31)."""

from __future__ import annotations

import subprocess

import pytest

from labkit.base.programs import uv
from labkit.stacks import catalog, native

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

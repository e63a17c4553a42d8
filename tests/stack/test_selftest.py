"""The self-test that ends `./inv setup`, run inside this stack."""

from __future__ import annotations

import subprocess
import sys

import msgspec

from labkit.base import settings
from labkit.stacks import catalog, selftest


def this_stack():
    return catalog.load(settings.current().stack.partition("/")[0])


def test_the_stack_is_what_it_pins_and_learns():
    done = subprocess.run([sys.executable, selftest.__file__], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"torch {this_stack().torch}" in done.stderr and "20 training steps" in done.stderr


def test_another_version_is_named():
    wrong = selftest.check_versions(msgspec.structs.replace(this_stack(), torch="9.9.9"))
    assert len(wrong) == 1 and "the stack pins 9.9.9" in wrong[0]


def test_cudnn_is_the_one_that_the_stack_states():
    import torch

    build = catalog.load(settings.current().stack.partition("/")[0]).build(settings.current().stack.partition("/")[2])
    major, minor = catalog.version_key(build.cudnn)
    number = torch.backends.cudnn.version()
    assert (number // 1000, number // 100 % 10) == (major, minor) or (number // 10000, number // 100 % 100) == (
        major,
        minor,
    )
    assert (torch.version.cuda or "") == build.cuda

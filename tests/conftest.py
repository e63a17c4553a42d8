"""What several tests share."""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest

from labkit.base import settings

ROOT = Path(__file__).resolve().parent.parent
os.environ.pop("LAB_COMMAND", None)  # however the tests themselves were started
os.environ.setdefault("LAB_SETTINGS", "{}")  # in place of what this user keeps in settings.toml
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as behind `&`; what the tests start would ignore Ctrl-C, too
    signal.signal(signal.SIGINT, signal.default_int_handler)

LIMIT_S, LONG_S = 300, 1800  # for a test

_seen: dict[str, str] = {}


def _again(read):
    """`read`, which a program does once, done again where a test has changed a variable meanwhile."""

    def reading():
        if dict(os.environ) != _seen:
            _seen.clear()
            _seen.update(os.environ)
            settings._current = None
            forget_system()
        return read()

    return reading


forget_system = settings.system.cache_clear
settings.current, settings.system = _again(settings.current), _again(settings.system)


@contextmanager
def limited(name, seconds):
    """Fail the test `name` where the block takes longer than so many seconds.

    They are counted in ten parts: while this process is stopped, or the computer sleeps, hardly any of them pass.
    """
    passed = 0

    def tick(*_):
        nonlocal passed
        passed += 1
        if passed == 10:
            signal.setitimer(signal.ITIMER_REAL, 0)
            pytest.fail(f"{name} took longer than its limit of {seconds:g} s")

    before = signal.signal(signal.SIGALRM, tick)
    signal.setitimer(signal.ITIMER_REAL, seconds / 10, seconds / 10)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def limit_s(item):
    """By its mark `limit`; longer where containers are made, and for what is long anyway."""
    mark = item.get_closest_marker("limit")
    is_long = item.get_closest_marker("long") or "containers" in item.path.parts
    return mark.args[0] if mark else LONG_S if is_long else LIMIT_S


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    with limited(item.nodeid, limit_s(item)):
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_setup(item):
    with limited(f"what is made before {item.nodeid}", LONG_S):  # an environment, perhaps
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(item):
    with limited(f"what follows {item.nodeid}", LONG_S):
        yield


@pytest.fixture(autouse=True)
def _nothing_decided_by_another_test():
    _seen.clear()


@pytest.fixture
def copy(tmp_path):
    """A copy of the working tree without what is made at run time, as after `git clone`."""
    target = tmp_path / "torch labs"  # with a space, since users have such folders
    everywhere = shutil.ignore_patterns(".git", ".venv", ".gpu", "__pycache__", ".*_cache")
    at_the_top = {"data", "runs"}  # labkit has rooms of the same names

    def left_out(folder, names):
        return everywhere(folder, names) | (at_the_top if Path(folder) == ROOT else set())

    shutil.copytree(ROOT, target, ignore=left_out)
    return target

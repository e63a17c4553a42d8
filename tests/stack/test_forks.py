"""Forked workers: what is the run's business is not theirs, and a run that is over is nobody's."""

from __future__ import annotations

import json
import os
import signal
import socket

import pytest

from labkit.runs.run import Run

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """Begin a run; those that the test leaves open are closed in the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("LAB_VISDOM_PORT", str(probe.getsockname()[1]))
    monkeypatch.setenv("LAB_RUNS", str(tmp_path / "runs"))
    before = {number: signal.getsignal(number) for number in HANDLED}
    begun = []

    def begin():
        facts = {"lab": "toy", "title": "", "title_zh": "", "seed": 0, "sample": False, "smoke": False, "options": {}}
        folder = tmp_path / "runs" / "toy" / f"20260101-{len(begun):06}"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({**facts, "started": "2026-01-01 00:00:00"}))
        begun.append(Run(folder, facts))
        begun[-1].begin()
        return begun[-1]

    yield begin
    for run in begun:
        if run._lock >= 0:
            run.close()
    assert {number: signal.getsignal(number) for number in HANDLED} == before


def in_child(check):
    """Whether `check()` holds in a forked child, a failure of which never gets back into the test."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if check() else 1)
        finally:
            os._exit(2)
    return os.waitpid(child, 0)[1] == 0


def is_open(number):
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def test_a_worker_leaves_signals_and_every_lock_to_the_runs_that_go_on(begin):
    locks = [begin()._lock, begin()._lock]
    ours = [signal.SIG_IGN, signal.SIG_DFL, signal.SIG_DFL]
    assert in_child(lambda: [signal.getsignal(number) for number in HANDLED] == ours and not any(map(is_open, locks)))
    assert all(map(is_open, locks))


def test_a_run_that_is_over_leaves_no_mark_on_later_children(begin):
    for _ in range(3):
        begin().close()
    before = [signal.getsignal(number) for number in HANDLED]
    assert in_child(lambda: [signal.getsignal(number) for number in HANDLED] == before)


def test_what_a_worker_opens_stays_open_in_its_own_children(begin):
    """Its first file takes the number of the lock that it let go of."""
    lock = begin()._lock

    def check():
        opened = [os.open(os.devnull, os.O_RDONLY)]
        while opened[-1] < lock:  # other numbers may be free as well
            opened.append(os.open(os.devnull, os.O_RDONLY))
        return lock in opened and in_child(lambda: all(map(is_open, opened)))

    assert in_child(check)


def test_a_worker_can_close_the_run(begin):
    run = begin()
    assert in_child(lambda: run.close() is None)

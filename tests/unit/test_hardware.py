"""How many cores there are for us: affinity, the quota of the control group, and what others take."""

from __future__ import annotations

import math
import os

import pytest

from labkit.base import hardware


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, math.inf),
        ({"cpu.max": "max 100000\n"}, math.inf),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"a/b/cpu.max": "max 100000", "a/cpu.max": "200000 100000", "cpu.max": "max 100000"}, 2.0),
        ({"a/b/cpu.max": "50000 100000", "a/cpu.max": "200000 100000"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, math.inf),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3.0),
        ({"cpu.max": ""}, math.inf),
        ({"cpu.max": "much 100000"}, math.inf),
        ({"cpu.max": "100000 0"}, math.inf),
    ],
)
def test_the_quota_of_a_control_group(files, cores, tmp_path):
    root = tmp_path / "cgroup"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (tmp_path / "own").write_text("4:memory:/x\n0::/a/b\n")
    assert hardware.quota(root, tmp_path / "own") == cores
    assert hardware.quota(root, tmp_path / "none") in (cores, math.inf, 2.0)


def test_a_quota_is_no_more_cores_than_there_are_and_never_none(monkeypatch):
    for quota, cores in ((0.2, 1), (1.9, 1), (2.0, 2), (64.0, 4), (math.inf, 4)):
        monkeypatch.setattr(hardware, "quota", lambda quota=quota: quota)
        monkeypatch.setattr(hardware, "_allowed", lambda: {0, 1, 2, 3})
        assert hardware.cores() == cores


@pytest.mark.parametrize(
    ("average", "busy", "taken"),
    [
        (30.0, (1.0, 1.0), 2.0),
        (30.0, (0.0, 0.0), 0.0),  # it has just ended
        (0.2, (1.0, 1.0), 0.0),  # it has just begun, as a moment's work does
        (0.9, (1.0, 0.75), 0.9),
        (5.0, (1.0, 0.25), 1.25),
    ],
)
def test_others_take_what_they_take_over_a_minute_and_just_now(average, busy, taken, monkeypatch):
    looks = iter([{0: (0, 0), 1: (0, 0)}, {core: (100 - int(100 * part), 100) for core, part in enumerate(busy)}])
    monkeypatch.setattr(os, "getloadavg", lambda: (average, 0.0, 0.0))
    monkeypatch.setattr(hardware, "_idle", lambda: next(looks))
    monkeypatch.setattr(hardware, "LOOK_S", 0.0)
    assert hardware.taken_cores() == pytest.approx(taken)


def test_a_real_look_at_this_machine(monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (100.0, 0.0, 0.0))
    assert 0.0 <= hardware.taken_cores() <= len(hardware._allowed())

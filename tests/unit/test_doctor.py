"""What the doctor says, from made-up probes: `diagnose` is a pure function, so no hardware is needed."""

from __future__ import annotations

import dataclasses
import os
import stat
import textwrap

import pytest

from labkit import doctor, machine
from labkit.engine import Engine
from labkit.machine import Machine
from labkit.stacks import Gpu

DOCKER = Engine("/usr/bin/docker", "27.3.1", "buildx", ("/usr/bin/docker", "compose"))
GOOD = Machine(
    system="Linux", architecture="x86_64", wsl=False, cores=8, memory_gb=32, disk_free_gb=100, data_free_gb=100,
    driver="", gpus=(), engine=DOCKER, gui_libraries=True, tcmalloc="/usr/lib/libtcmalloc.so", index="",
)  # fmt: skip


def findings(**changes):
    return {finding.subject: finding for finding in doctor.diagnose(dataclasses.replace(GOOD, **changes))}


def test_a_good_machine_has_nothing_to_mend():
    assert {finding.level for finding in findings().values()} == {"ok"}


@pytest.mark.parametrize(
    ("changes", "subject", "level", "says"),
    [
        ({"system": "Darwin"}, "system", "problem", "Linux on x86_64"),
        ({"architecture": "aarch64"}, "system", "problem", "Linux on x86_64"),
        ({"memory_gb": 3}, "system", "note", "little memory"),
        ({"index": "no answer"}, "package index", "problem", "no answer"),
        ({"disk_free_gb": 3}, "disk", "problem", "3 GB free"),
        ({"data_free_gb": 0.5}, "data folder", "note", "too little"),
        ({"tcmalloc": ""}, "allocator", "note", "tcmalloc"),
        ({"gui_libraries": False}, "OpenCV", "note", "libGL"),
        ({"engine": Engine(problem="docker is not installed")}, "container engine", "ok", ".venv/"),
        ({"engine": dataclasses.replace(DOCKER, builder="")}, "container engine", "note", "cannot be built"),
        ({"gpus": (Gpu("A100", "8.0"),), "driver": "580.1"}, "GPU", "ok", "A100 (8.0), driver 580.1"),
        ({"gpus": (Gpu("A100", "8.0"),), "driver": "530.1"}, "GPU", "note", "--stack cu126"),
    ],
)
def test_each_finding_says_what_to_do(changes, subject, level, says):
    finding = findings(**changes)[subject]
    assert finding.level == level
    assert says in finding.what
    assert level == "ok" or finding.next_command or subject == "system"


def program(folder, name, script):
    path = folder / name
    path.write_text("#!/bin/sh\n" + textwrap.dedent(script))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def test_nvidia_smi_of_a_new_driver_is_read(path):
    # A fake nvidia-smi: the real one exists only with a driver, which the test machine has not.
    program(
        path,
        "nvidia-smi",
        'echo "580.65.06, 81559, 9.0, NVIDIA H100 80GB HBM3"\necho "580.65.06, 15360, 7.5, Tesla T4"',
    )
    assert machine.find_gpus() == (
        "580.65.06",
        [Gpu("NVIDIA H100 80GB HBM3", "9.0", 81559), Gpu("Tesla T4", "7.5", 15360)],
    )


def test_nvidia_smi_of_an_old_driver_does_not_know_compute_cap(path):
    program(path, "nvidia-smi", 'case "$*" in *compute_cap*) exit 6;; esac\necho "418.40.04, 11441, Tesla K80"')
    assert machine.find_gpus() == ("418.40.04", [Gpu("Tesla K80", "", 11441)])


def test_a_broken_nvidia_smi_is_no_gpu(path):
    program(path, "nvidia-smi", 'echo "NVIDIA-SMI has failed" >&2; exit 9')
    assert machine.find_gpus() == ("", [])


def test_the_probe_of_this_machine_is_sane():
    found = machine.probe()
    assert found.cores >= 1 and found.memory_gb > 0.5 and found.disk_free_gb > 0 and found.index == "?"

"""scripts/bench/gpu.py in its CPU form, by this stack's Python; and what it carries arrives byte for byte."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.base import paths
from labkit.data import importing, samples
from labkit.runs import compat

BENCH = paths.ROOT / "scripts" / "bench"
# Its commands are the same in every stack, and what they start has tests of its own.
pytestmark = pytest.mark.skipif(not compat.MODERN, reason="the script is tried in one stack, whose cards people have")


def bench(folder: Path, *options: str, **settings: str) -> tuple[int, dict[str, dict], str]:
    """Exit status, the rows of gpu.json by name, and what it printed."""
    out = folder / "out"
    environment = {**os.environ, "LAB_PYTHON": sys.executable, "OMP_NUM_THREADS": "1", **settings}
    command = [str(BENCH / "gpu.sh"), "--dry", "--out", str(out), "--kept", str(folder / "kept"), *options]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    rows = json.loads((out / "gpu.json").read_text())["parts"] if (out / "gpu.json").exists() else []
    return done.returncode, {row["name"]: row for row in rows}, done.stdout


@pytest.mark.long
def test_every_part_is_ok_and_in_the_report(tmp_path):
    status, rows, said = bench(tmp_path, "--labs", "dashboards", "--at-once", "2", "--limit-s", "600")
    assert status == 0, said
    assert list(rows) == [
        "machine",
        "selftest",
        "cifar10 data",
        "cifar10, tiny",
        "smoke dashboards",
        "resume dashboards",
    ]
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert rows["machine"]["details"]["doctor"] and rows["selftest"]["at_once"] == 1
    assert rows["resume dashboards"]["details"]["resumed"] == "equal"
    assert rows["resume dashboards"]["result"] == "stopped after step 150 of 300: resumed: equal"
    assert rows["cifar10, tiny"]["details"]["images_per_second"] > 0
    assert all(row["seconds"] > 0 for name, row in rows.items() if name != "cifar10 data")
    table = (tmp_path / "out" / "gpu.md").read_text()
    assert table in said and all(f"| {name} | ok |" in table for name in rows)
    assert "==== smoke dashboards" in (tmp_path / "out" / "gpu.log").read_text()


@pytest.mark.long
def test_a_part_that_fails_stops_no_other(tmp_path):
    status, rows, _ = bench(
        tmp_path, "--labs", "nosuch,dashboards", "--only", "machine,smoke", "--limit-s", "600", LAB_STACK="cu118"
    )
    assert status == 1
    assert [row["status"] for row in rows.values()] == ["ok", "failed", "failed", "ok"]
    assert "nosuch" in rows["smoke nosuch"]["last_lines"][-1] and "stack pins" in str(rows["selftest"]["last_lines"])


def test_what_does_not_fit_into_the_time_is_said(tmp_path):
    status, rows, said = bench(tmp_path, "--only", "machine", "--limit-s", "1")
    assert status == 1 and {row["status"] for row in rows.values()} == {"no time left"}
    assert "machine: no time left" in said


@pytest.mark.long
def test_cifar10_is_carried_in_parts_and_arrives_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "data"))
    source = importing.import_("cifar10", samples.locate("cifar10", sample=True).path, unverified=True).path
    carry = [sys.executable, str(BENCH / "gpu_carry.py"), "pack", str(tmp_path / "carried")]
    size = sum(path.stat().st_size for path in source.rglob("*"))
    subprocess.run([*carry, "--part-mb", str(0.6 * size / 1e6)], check=True)
    folders = sorted((tmp_path / "carried").iterdir())
    assert len(folders) == 2 and sum(path.stat().st_size for path in (tmp_path / "carried").rglob("*")) < size
    status, rows, _ = bench(tmp_path, "--only", "cifar10", "--carried", str(folders[0]))
    assert status == 1 and {row["status"] for row in rows.values()} == {"data incomplete"}
    assert rows["cifar10 data"]["result"] == "1 of 2 parts"
    status, rows, said = bench(tmp_path, "--only", "cifar10", "--carried", str(folders[1]), "--limit-s", "600")
    assert status == 0 and rows["cifar10, tiny"]["details"]["data"] == "unverified", said
    arrived = tmp_path / "kept" / "data" / "cifar10"
    for path in source.rglob("*batch*"):
        if path.is_file():
            assert (arrived / path.relative_to(source)).read_bytes() == path.read_bytes()


def test_a_damaged_part_is_refused(tmp_path):
    (tmp_path / "cifar10.1").write_bytes(b"other")
    (tmp_path / "cifar10.json").write_text(json.dumps({"parts": {"cifar10.1": "0" * 64}}))
    command = [sys.executable, str(BENCH / "gpu_carry.py"), "unpack", str(tmp_path)]
    settings = {**os.environ, "LAB_DATA": str(tmp_path / "data")}
    done = subprocess.run(command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert (done.returncode, done.stdout) == (1, "cifar10.1 is damaged: carry it in again\n")


@pytest.mark.parametrize("options", [("--at-once", "many"), ("--only", "everything"), ("--nosuch",)])
def test_bad_options_are_told_in_a_sentence(tmp_path, options):
    status, rows, said = bench(tmp_path, *options)
    assert (status, rows) == (2, {}) and "Traceback" not in said

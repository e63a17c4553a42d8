"""The list of runs, and finding one by what the user calls it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from labkit.base.errors import UserError
from labkit.runs import records

CONFIG = {"preset": "", "smoke": False, "sample": False, "seed": 0, "options": {}}


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_RUNS", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def make(lab, name, status="finished", data="", **metrics):
        folder = tmp_path / lab / name
        folder.mkdir(parents=True)
        started = f"{name[:4]}-{name[4:6]}-{name[6:8]} 00:00:00"
        files = {"config": {**CONFIG, "lab": lab, "started": started}, "env": {"data": {"x": {"kind": data}} if data else {}}}
        if status:
            files["summary"] = {"status": status, "metrics": metrics, "seconds": 3.5}
        for part, content in files.items():
            (folder / f"{part}.json").write_text(json.dumps(content))
        return folder

    return make


def test_no_run_yet(make):
    assert records.table() == []
    with pytest.raises(UserError, match="there is no run yet"):
        records.find("latest")
    with pytest.raises(UserError, match="there is no run 2026; there is none yet"):
        records.find("2026")


def test_the_newest_comes_first(make):
    make("cifar10", "20260101-000000", data="sample", accuracy=0.91239, loss=1)
    make("mnist", "20260301-000000", status="failed", accuracy=None)
    make("cifar10", "20260201-000000", status="stopped")
    rows = records.table()
    assert [row.name for row in rows] == ["mnist/20260301-000000", "cifar10/20260201-000000", "cifar10/20260101-000000"]
    assert [row.status for row in rows] == ["failed", "stopped", "finished"]
    assert [row.result for row in rows] == ["accuracy nan", "", "accuracy 0.9124"]
    assert (rows[2].data, rows[2].seconds, rows[2].started) == ("sample", 3.5, "2026-01-01 00:00:00")


def test_a_run_is_found_by_any_of_its_names(make, tmp_path):
    first, second = make("cifar10", "20260101-000000"), make("mnist", "20260201-000000")
    for name in ("20260101-000000", "cifar10/20260101-000000", str(first), "./cifar10/20260101-000000"):
        assert records.find(name) == first
    assert records.find("latest") == second
    assert records.find("latest", "cifar10") == first
    with pytest.raises(UserError, match="did you mean 20260101-000000"):
        records.find("20260101-000001")


def test_a_name_that_two_labs_have(make):
    first, second = make("cifar10", "20260101-000000"), make("mnist", "20260101-000000")
    with pytest.raises(UserError, match="is ambiguous: "):
        records.find("20260101-000000")
    assert records.find("20260101-000000", "mnist") == second
    assert records.find("cifar10/20260101-000000", "mnist") == first


def test_running_is_who_holds_the_lock(make):
    folder = make("cifar10", "20260101-000000", status="running")
    assert records.read(folder).status == "killed"
    program = f"import sys; sys.path[:0] = {sys.path!r}\nfrom pathlib import Path\nfrom labkit.runs import records\n"
    program += f"assert records.lock(Path({str(folder)!r}))\nprint('held', flush=True)\nsys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    assert records.read(folder).status == "running"
    assert records.lock(folder) is None
    holder.kill()
    holder.communicate()
    assert records.read(folder).status == "killed"


def test_killed_before_anything_was_written_down(make):
    assert records.read(make("cifar10", "20260101-000000", status="")).status == "killed"


def test_numbers_for_a_reader():
    assert [records.number(value) for value in (1, 12345, 42.0, 0.5, 0.93124, 1234.5, 1e-5, float("nan"), float("inf"))] == [
        "1", "12,345", "42", "0.5000", "0.9312", "1,234", "1.000e-05", "nan", "inf",
    ]  # fmt: skip

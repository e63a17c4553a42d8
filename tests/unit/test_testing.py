"""What `./inv test` counts."""

from __future__ import annotations

import sys
import threading
from types import SimpleNamespace

import pytest

from labkit import testing
from labkit.base.errors import UserError
from labkit.stacks import runner


@pytest.mark.parametrize(("cores", "memory_gb", "expected"), [(2, 24.0, 2), (16, 16.0, 4), (8, 2.0, 1), (1, 64.0, 1)])
def test_a_test_for_each_core_while_there_is_memory(cores, memory_gb, expected):
    assert testing.at_once(SimpleNamespace(cores=cores, memory_gb=memory_gb)) == expected


@pytest.mark.parametrize("processes", [1, 2])
def test_everything_is_counted(processes, tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)  # which these tests may have been given themselves
    threads = f"import os\ndef test_threads(): assert (os.environ.get('OMP_NUM_THREADS') == '1') == {processes > 1}\n"
    (tmp_path / "test_a.py").write_text(threads + "def test_bad(): assert 0\ndef test_good(): pass\n")
    (tmp_path / "test_b.py").write_text("import pytest\ndef test_left_out(): pytest.skip('no reason')\n")
    count = testing.pytest("toy", runner.Command((sys.executable,), {}), [str(tmp_path)], processes)
    assert (count.passed, count.failed, count.skipped) == (2, 1, 1)


def test_what_runs_meanwhile_is_counted_and_says_all_at_its_end(tmp_path, capfd):
    (tmp_path / "test_a.py").write_text("def test_bad(): assert 'a reason' == ''\ndef test_good(): pass\n")
    count = testing.pytest("toy", runner.Command((sys.executable,), {}), [str(tmp_path)], meanwhile=True)
    assert (count.passed, count.failed) == (1, 1)
    said = capfd.readouterr()
    assert "a reason" not in said.out and "== tests: toy ==" in said.err and "a reason" in said.err


def test_containers_run_beside_the_tools_in_a_run_of_everything_alone(monkeypatch):
    began, may_end = threading.Event(), threading.Event()

    def containers(wanted, meanwhile=False):
        began.set()
        assert not meanwhile or may_end.wait(60)
        return testing.Count("containers", passed=7)

    def unit(wanted):
        assert began.wait(60)
        may_end.set()
        return testing.Count("unit", passed=1)

    monkeypatch.setattr(testing, "containers", containers)
    monkeypatch.setattr(testing, "PARTS", ("unit", "containers"))
    monkeypatch.setattr(testing, "ON_THE_HOST", {"unit": unit, "containers": containers})
    monkeypatch.setattr(testing, "probe", lambda: None)
    monkeypatch.setattr(testing, "tools_python", lambda: None)
    assert testing.run_all("", "", (), []) == 0
    began.clear()
    assert testing.run_all("", "containers", (), []) == 0 and began.is_set()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_test_that_takes_its_process_along_is_a_failure(processes, tmp_path):
    (tmp_path / "test_a.py").write_text("import os\ndef test_end(): os._exit(0)\n")
    (tmp_path / "test_b.py").write_text("def test_good(): pass\n")
    assert testing.pytest("toy", runner.Command((sys.executable,), {}), [str(tmp_path)], processes).failed


@pytest.mark.parametrize(
    ("stack", "only", "sentence"),
    [
        ("cu130", "", "tests run inside cpu or notes"),
        ("", "units", "there is no part 'units' \\(did you mean unit\\?\\)"),
        ("cpu", "faults", "--stack runs the part stack, not faults"),
    ],
)
def test_parts_that_there_are_not(stack, only, sentence):
    with pytest.raises(UserError, match=sentence):
        testing.run_all(stack, only, (), [])


def test_what_is_required_must_be_something():
    with pytest.raises(UserError, match="--require: there is no 'dokcer' \\(did you mean docker"):
        testing.run_all("", "unit", ("dokcer",), [])


@pytest.mark.parametrize("required", [(), ("docker",)])
def test_what_is_required_may_not_be_skipped(required):
    wanted = testing.Wanted(SimpleNamespace(engine=SimpleNamespace(problem="no engine")), required, [])
    assert testing.containers(wanted).failed == len(required)
    count = testing.nothing_skipped(testing.Count("containers", passed=1, skipped=2), "docker", wanted)
    assert (count.failed, count.skipped) == ((2, 0) if required else (0, 2))


def test_a_run_of_everything_has_what_is_slow_once(monkeypatch):
    ran = []
    monkeypatch.setattr(testing, "pytest", lambda kind, _, arguments, *__: ran.append((kind, arguments)) or testing.Count(kind, passed=1))
    monkeypatch.setattr(testing, "tools_python", lambda: runner.Command((sys.executable,), {}))
    monkeypatch.setattr(testing.builds, "make", lambda choice, _: choice)
    monkeypatch.setattr(testing.runner, "python_command", lambda *_: runner.Command((sys.executable,), {}))
    monkeypatch.setattr(testing, "find_browser", lambda: "")
    machine = SimpleNamespace(engine=SimpleNamespace(problem=""), cores=2, memory_gb=8.0)
    monkeypatch.setattr(testing, "probe", lambda: machine)
    testing.run_all("", "", (), ["-x"])
    left_out = {kind: arguments[1:-1] for kind, arguments in ran}
    assert left_out == {"unit": [], "faults": [], "containers": ["-m", "not (long)"], "cpu": ["-m", "not (long)"],
                        "notes": ["-m", "not (long or slow)"]}  # fmt: skip
    for stack, only in (("notes", ""), ("", "stack"), ("", "containers")):
        ran.clear()
        testing.run_all(stack, only, (), ["-x"])
        assert ran and all(arguments[1:] == ["-x"] for _, arguments in ran)


def test_one_part_alone(monkeypatch):
    ran = []
    monkeypatch.setattr(testing, "pytest", lambda kind, *_: ran.append(kind) or testing.Count(kind, passed=1))
    monkeypatch.setattr(testing, "tools_python", lambda: runner.Command((sys.executable,), {}))
    for part in ("unit", "faults"):
        assert testing.run_all("", part, (), []) == 0
    assert ran == ["unit", "faults"]

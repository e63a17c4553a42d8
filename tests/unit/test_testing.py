"""What `./inv test` counts."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from labkit import testing
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


@pytest.mark.parametrize("processes", [1, 2])
def test_a_test_that_takes_its_process_along_is_a_failure(processes, tmp_path):
    (tmp_path / "test_a.py").write_text("import os\ndef test_end(): os._exit(0)\n")
    (tmp_path / "test_b.py").write_text("def test_good(): pass\n")
    assert testing.pytest("toy", runner.Command((sys.executable,), {}), [str(tmp_path)], processes).failed

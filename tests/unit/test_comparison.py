"""comparison.html from run folders made by hand, and what it is drawn from."""

from __future__ import annotations

import json
import re

import pytest

from labkit.base.errors import UserError
from labkit.cli.program import name_positionals
from labkit.runs import comparison, records

EVIL = "<script>alert('x')</script>"


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_RUNS", str(tmp_path))

    def make(name, metrics, lr=0.1, torch="2.11.0", threads=2, rows=()):
        folder = tmp_path / "toy" / name
        folder.mkdir(parents=True)
        files = {
            "config": {"lab": "toy", "started": name, "seed": 0, "options": {"lr": lr, "epochs": 8, "note": EVIL}},
            "env": {"threads": threads, "cpu": EVIL, "packages": {"torch": torch, "numpy": "1"}, "data": {}},
            "summary": {"status": "finished", "seconds": 70, "metrics": metrics},
        }
        for part, content in files.items():
            (folder / f"{part}.json").write_text(json.dumps(content))
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return folder

    return make


def test_runs_side_by_side(make, tmp_path):
    rows = [{"step": k, "train_loss": 1 / k, "test_loss": 2 / k, "lr": None if k == 2 else 0.1} for k in range(1, 6)]
    folders = [
        make("one", {"accuracy": 0.5, "loss": None}, rows=rows),
        make("two", {"accuracy": 0.75}, lr=0.2, torch="1.5.0", rows=rows[:3]),
    ]
    page = comparison.render([*folders, folders[0]])
    assert page == tmp_path / "comparison.html"
    text = page.read_text(encoding="utf-8")
    assert "2 runs compared" in text and EVIL not in text and not re.search(r"https?://|url\(", text)
    assert '<a href="toy/one/report.html">toy/one</a>' in text and 'data-value="0.75"' in text
    assert text.count('role="img"') == 2 and text.count("<polyline") == 2 * 2 + 2  # loss of train and test, and lr
    differing = re.findall(r'<th scope="row">(.*?)</th>', text)
    assert differing == ["--lr", "torch"]
    assert '<th scope="row">torch</th><td>2.11.0</td><td>1.5.0</td>' in text


def test_too_many_runs_are_refused(make):
    with pytest.raises(UserError, match="up to 26 runs, and these are 27"):
        comparison.render([make(f"run{k}", {}) for k in range(27)])


def test_a_run_that_logged_nothing_and_one_that_logged_once(make):
    text = comparison.render([make("a", {}), make("b", {}, rows=[{"step": 3, "lr": 0.1}])]).read_text(encoding="utf-8")
    assert "<polyline" in text and "nan" not in text


@pytest.mark.parametrize(
    "low, high, expected",
    [(0, 1, [0, 0.25, 0.5, 0.75, 1]), (0.2, 2.1, [0, 0.5, 1, 1.5, 2, 2.5]), (0, 250, [0, 100, 200, 300]), (3, 3, [3])],
)
def test_ticks_are_round(low, high, expected):
    assert comparison.ticks(low, high) == expected


def test_a_history_with_a_last_line_that_was_cut_off(make):
    folder = make("a", {}, rows=[{"step": 1, "loss": 2.0}, {"step": 2, "loss": None}])
    with open(folder / "metrics.jsonl", "a") as file:
        file.write('{"step": 3, "lo')
    steps, values = records.history(folder)["loss"]
    assert steps == [1, 2] and values[0] == 2.0 and values[1] != values[1]


def test_the_runs_of_report_need_no_option():
    assert name_positionals(["report", "a", "b"]) == ["report", "--run=a", "--run=b"]
    assert name_positionals(["report"]) == ["report"] and name_positionals(["lab", "x"]) == ["lab", "x"]

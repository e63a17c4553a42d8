"""Which run's network is meant where the user names none."""

from __future__ import annotations

import json

import pytest

from labkit.base.errors import UserError
from labkit.runs.checkpoints import latest_trained


def made(runs, day, kind, status="finished", lab="toy", checkpoint=True, **options):
    """The folder of a run of that day, as its records tell it."""
    folder = runs / lab / f"202601{day:02}-000000"
    (folder / "checkpoints").mkdir(parents=True)
    config = {"lab": lab, "started": f"2026-01-{day:02} 00:00:00", "preset": "", "smoke": False, "sample": kind == "sample",
              "seed": 0, "options": options}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "env.json").write_text(json.dumps({"data": {"mnist": {"kind": kind, "source": "", "when": ""}}}))
    (folder / "summary.json").write_text(json.dumps({"status": status}))
    if checkpoint:
        (folder / "checkpoints" / "last.pt").write_bytes(b"weights")
    return str(folder)


def test_the_newest_finished_run_on_real_data_comes_before_any_on_a_sample(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_RUNS", str(tmp_path))
    with pytest.raises(UserError, match="nothing yet") as said:
        latest_trained("toy", "nothing yet", "./inv lab toy")
    assert said.value.next_command == "./inv lab toy"
    older_sample, sample = made(tmp_path, 1, "sample"), made(tmp_path, 9, "sample", width=8)
    assert latest_trained("toy", "", "") == sample and latest_trained("toy", "", "", width=None) == older_sample
    real = made(tmp_path, 3, "verified")
    assert latest_trained("toy", "", "") == real
    newer = made(tmp_path, 4, "verified", width=16)
    made(tmp_path, 5, "verified", status="stopped")
    made(tmp_path, 6, "verified", lab="other")
    made(tmp_path, 7, "verified", checkpoint=False)
    assert latest_trained("toy", "", "") == newer and latest_trained("toy", "", "", width=8) == sample

"""A run folder that somebody else made: nothing outside it is written or shown, and what is wrong is one sentence."""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
import signal

import pytest
import torch
import toys

from labkit.runs import compat


@pytest.fixture(autouse=True)
def runs_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("LAB_VISDOM_PORT", "1")
    return tmp_path / "runs"


LAB = toys.LAB.parent.parent / "toy_loop" / "lab.py"


def resume(folder):
    return toys.run("--resume", folder.name, lab=LAB)


@pytest.fixture
def stopped(runs_folder):
    """The folder of a run that can be resumed, and its checkpoint."""
    assert toys.run("--seed", "3", lab=LAB) == 0
    (folder,) = (runs_folder / "toy_loop").glob("*")
    (folder / "summary.json").write_text(json.dumps({"status": "stopped"}))
    path = folder / "checkpoints" / "last.pt"
    whole = compat.load(path)
    whole = {**whole, "step": 4, "state": {**whole["state"], "step": 4, "looks": whole["state"]["looks"][:1]}}
    compat.save(whole, path)
    return folder, whole


@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "timings.jsonl", "checkpoints/last.pt", "summary.json.new", "report.html", "env.json"]
)
def test_a_link_in_the_folder_is_not_written_through(name, stopped, tmp_path, capsys):
    folder, _ = stopped
    mine = tmp_path / "thesis.txt"
    mine.write_text("two years of work\n" * 1000)
    content = mine.read_bytes()
    if (folder / name).exists():
        (folder / name).unlink()
    (folder / name).symlink_to(mine)
    assert resume(folder) == 2
    said = capsys.readouterr().err
    assert f"{name} is a link" in said and "next: rm " in said and "Traceback" not in said
    assert mine.read_bytes() == content


def test_a_folder_that_is_a_link_is_not_written_into(stopped, tmp_path, capsys):
    folder, _ = stopped
    (tmp_path / "elsewhere").mkdir()
    (folder / "plots").rename(tmp_path / "plots")
    (folder / "plots").symlink_to(tmp_path / "elsewhere")
    assert resume(folder) == 2
    assert "plots is a link" in capsys.readouterr().err and not list((tmp_path / "elsewhere").iterdir())


def put(path, make):
    """Put something else where a file or folder was."""
    if path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()
    make(path)


def told(folder, record, **changes):
    """Change fields of a record."""
    path = folder / record
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def logged(folder, name):
    """Have something logged under another name as well."""
    path = folder / "metrics.jsonl"
    path.write_text(json.dumps({"step": 1, name: 1.0}) + "\n" + path.read_text())


STRANGE = {
    "a pipe to log into": lambda folder: put(folder / "metrics.jsonl", os.mkfifo),
    "a pipe for a checkpoint": lambda folder: put(folder / "checkpoints" / "last.pt", os.mkfifo),
    "a pipe for code": lambda folder: put(folder / "code" / "lab.py", os.mkfifo),
    "a folder to log into": lambda folder: put(folder / "metrics.jsonl", os.mkdir),
    "a folder for times": lambda folder: put(folder / "timings.jsonl", os.mkdir),
    "a folder for a checkpoint": lambda folder: put(folder / "checkpoints" / "last.pt", os.mkdir),
    "a folder for code": lambda folder: put(folder / "code" / "lab.py", os.mkdir),
    "a file for checkpoints": lambda folder: put(folder / "checkpoints", lambda path: path.write_text("")),
    "a file for plots": lambda folder: put(folder / "plots", lambda path: path.write_text("")),
    "a seed below 0": lambda folder: told(folder, "config.json", seed=-1),
    "a seed beyond NumPy's": lambda folder: told(folder, "config.json", seed=2**40),
    "threads without end": lambda folder: told(folder, "env.json", threads=100_000),
    "a name with a zero": lambda folder: logged(folder, "a\0b"),
    "a name that no disk takes": lambda folder: logged(folder, "n" * 300),
    "a name that leads elsewhere": lambda folder: logged(folder, "../x"),
    "a name that is a broken formula": lambda folder: logged(folder, "loss $\\bad{$"),
    "half a character": lambda folder: logged(folder, "\ud800"),
    "half a character in a title": lambda folder: told(folder, "config.json", title="\ud800", command="a\nb"),
}


@pytest.mark.parametrize("what", STRANGE)
def test_whatever_is_in_the_folder_goes_on_or_is_refused_in_one_sentence(what, stopped, tmp_path, capsys):
    def hangs(*_):
        raise TimeoutError(what)

    folder, _ = stopped
    STRANGE[what](folder)
    before = {path for path in tmp_path.rglob("*") if folder not in path.parents}
    old = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(60)
    try:
        status = resume(folder)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
    said = capsys.readouterr().err
    assert status in (0, 2) and "Traceback" not in said, said[-2000:]
    assert status == 0 or said.count("error: ") == 1
    assert {path for path in tmp_path.rglob("*") if folder not in path.parents} == before


def places(value, path=()):
    """Every place in nested dicts and lists."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def changed(content, path, value):
    """A copy of `content` with another value at `path`; None removes it."""
    if not path:
        return value
    new = list(content) if isinstance(content, tuple) else copy.copy(content)
    if value is None and len(path) == 1:
        del new[path[0]]
    else:
        new[path[0]] = changed(new[path[0]], path[1:], value)
    return tuple(new) if isinstance(content, tuple) else new


VALUES = [None, "text", -1, 2**70, float("nan"), [], {}, [[]], {"a": {}}, torch.zeros(0), torch.ones(2, 3), True, b"bytes"]


@pytest.mark.slow
def test_whatever_stands_in_a_checkpoint_is_taken_or_refused_in_one_sentence(stopped, capsys):
    folder, whole = stopped
    path = folder / "checkpoints" / "last.pt"
    log = (folder / "metrics.jsonl").read_bytes()
    generator = random.Random(0)
    candidates = [place for place in places(whole) if place[:2] != ("rng", "python") or len(place) < 4]
    tried = [(place, value) for place in candidates for value in VALUES]
    for place, value in generator.sample(tried, 60):
        spoiled = changed(whole, place, value)
        compat.save(spoiled, path)
        (folder / "summary.json").write_text(json.dumps({"status": "stopped"}))
        (folder / "metrics.jsonl").write_bytes(log)
        capsys.readouterr()
        status = resume(folder)
        said = capsys.readouterr().err
        assert "Traceback" not in said and status in (0, 2), (place, value, said[-2000:])
        if status == 2:
            assert said.count("error: ") == 1 and "next: " in said, (place, value, said)
            assert (folder / "metrics.jsonl").read_bytes() == log, (place, value)  # what is refused loses nothing


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("state",), {}),  # it trained from nothing, without a word
        (("metrics_bytes",), -5),
        (("metrics_bytes",), 2**70),
        (("step",), "32"),
        (("state", "step"), 10**9),
        (("state", "step"), -1),
        (("rng",), {}),
        (("rng", "torch"), torch.zeros(3, dtype=torch.uint8)),
    ],
)
def test_what_cannot_be_is_refused(place, value, stopped, capsys):
    folder, whole = stopped
    compat.save(changed(whole, place, value), folder / "checkpoints" / "last.pt")
    assert resume(folder) == 2
    said = capsys.readouterr().err
    assert ("is damaged" in said or "is not a checkpoint" in said or "does not fit" in said) and "Traceback" not in said

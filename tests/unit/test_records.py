"""What is written down of runs, data sets, stacks and environments: old records go on, broken ones harm nobody else."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from test_report import Page

from labkit.base import console, paths, typed
from labkit.base.errors import UserError
from labkit.cli import runs as cli
from labkit.cli import services
from labkit.data import registry, store
from labkit.runs import comparison, contents, live, options, records, report, resume
from labkit.stacks import catalog, native
from labs.cifar10.config import Config

OLD = Path(__file__).resolve().parent.parent / "data_runs"  # two smoke runs of 27 November 2026, as they were left
CIFAR10, PIX2PIX = "cifar10/20261127-074700", "pix2pix/20261127-075835"
TIMES = 500


@pytest.fixture
def runs(tmp_path, monkeypatch):
    folder = tmp_path / "runs"
    shutil.copytree(OLD, folder)
    monkeypatch.setenv("LAB_RUNS", str(folder))
    return folder


@pytest.fixture
def said(monkeypatch):
    """The lines that are said, each in one piece."""
    lines = []
    typed._warn_once.cache_clear()
    monkeypatch.setattr(typed, "warn", lines.append)
    monkeypatch.setattr(store, "warn", lines.append)
    return lines


# ---- what older versions wrote ----


def test_old_runs_are_listed_as_before(runs, said):
    rows = records.table()
    assert [(row.name, row.status, row.result, row.data) for row in rows] == [
        (PIX2PIX, "finished", "label accuracy 0.8052", "sample"),
        (CIFAR10, "finished", "accuracy 0.9170", "sample"),
    ]
    assert [row.seconds for row in rows] == [12.4, 33.7] and rows[1].started == "2026-11-27 07:47:00"
    assert said == []


def test_a_lab_stands_for_its_newest_run(runs):
    assert records.find("cifar10") == records.find("CIFAR10") == runs / CIFAR10
    assert records.find("pix2pix") == runs / PIX2PIX
    with pytest.raises(UserError, match="there is no run of dcgan yet"):
        records.find("dcgan")


def test_a_run_that_drew_nothing_has_no_windows(runs):
    assert live.has_windows(runs / CIFAR10)
    (runs / CIFAR10 / "metrics.jsonl").unlink()
    assert not live.has_windows(runs / CIFAR10)
    with pytest.raises(UserError, match="drew nothing") as caught:
        services.service("visdom", "", False, False, "", "", replay=CIFAR10)
    assert caught.value.next_command == f"./inv report {CIFAR10}"


def test_old_runs_are_reported_and_compared_as_before(runs, said):
    texts = Page(report.render(runs / CIFAR10).read_text(encoding="utf-8")).texts
    for text in ("CIFAR-10: image classification", "CIFAR-10 图像分类", "34 s", "91.7\u00a0%", "--label-smoothing", "disc",
                 "./inv lab cifar10 --smoke", "2.11.0+cu130", "2026-11-27 07:47:00 UTC"):  # fmt: skip
        assert any(text in shown for shown in texts), text
    texts = Page(comparison.render([runs / CIFAR10, runs / PIX2PIX]).read_text(encoding="utf-8")).texts
    assert {"--epochs", "torch", "1.5.0", "loss"} <= {text.strip() for text in texts}
    assert contents.history(runs / CIFAR10)["test_accuracy"][0] == [50, 100]
    assert said == []


def test_an_old_run_goes_on(runs):
    typed.write(runs / CIFAR10 / "summary.json", contents.Summary("stopped"))
    folder, facts, config = resume.find(asked(), Config, "cifar10")
    assert folder == runs / CIFAR10 and facts["seed"] == 0 and facts["smoke"] and config.epochs == 2


def asked():
    return options.parse(["--resume", CIFAR10], Config, {}, "cifar10", "")


# ---- the versions of a record ----


@pytest.mark.parametrize("name", ["config.json", "env.json", "summary.json", "report.json", "tables/classes.json"])
def test_what_a_newer_version_wrote_is_left_out_in_one_line(runs, said, name):
    path = runs / CIFAR10 / name
    content = {**json.loads(path.read_text()), "format": 2, "status": ["of another kind"]}
    path.write_text(json.dumps(content))
    for _ in range(3):
        rows = records.table()
        report.render(runs / CIFAR10)
    assert PIX2PIX in [row.name for row in rows] and len(rows) == (1 if name == "config.json" else 2)
    assert len(said) == 1 and name in said[0] and "was written by a newer torch-labs" in said[0]


def test_more_keys_are_passed_over_and_the_format_may_be_missing(runs, said):
    path = runs / CIFAR10 / "summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "mood": {"deep": [1]}, "format": 1}))
    assert records.read(runs / CIFAR10).result == "accuracy 0.9170" and said == []


def test_what_is_written_is_read_again(tmp_path):
    written = contents.Summary("failed", {"accuracy": 0.5, "loss": None}, 3.0, 0.25, "it broke", "there")
    typed.write(tmp_path / "summary.json", written)
    assert contents.read(tmp_path, "summary.json", contents.Summary) == written
    assert next(iter(json.loads((tmp_path / "summary.json").read_text()))) == "format"


def test_every_field_says_what_it_means_in_both_languages():
    for kind in (*contents.RECORDS.values(), contents.Table, contents.Row, contents.Item, contents.DataUsed):
        for field in msgspec.inspect.type_info(kind).fields:
            assert field.type.extra["zh"] and field.type.extra_json_schema["description"], (kind, field.name)


# ---- broken records ----

WRONG = [None, True, -7, 10**400, 1.5, "text", [], {}, [[1], {"a": 2}], "\ud800", "../../etc/passwd", "[/bold]\x1b[31m", float("inf")]


def mutated(rng, whole):
    """The bytes of a JSON file, broken in one of many ways."""
    way = rng.randrange(7)
    if way == 0:
        return whole[: rng.randrange(len(whole))]
    if way == 1:
        broken = bytearray(whole)
        for _ in range(rng.randrange(1, 6)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        return bytes(broken)
    if way == 2:
        place = rng.randrange(len(whole))
        return whole[:place] + rng.choice([b"[" * 100_000, b"9" * 5000, b"\0", b"1e999", b"\xff"]) + whole[place:]
    content = json.loads(whole)
    node, key = rng.choice([(node, key) for node in nodes(content) for key in (node if isinstance(node, dict) else range(len(node)))])
    if way == 3:
        del node[key]
    elif way == 4 and isinstance(node, dict):
        node[rng.choice(["format", "step", "kind", "\ud800", ""])] = rng.choice([0, 2, -1, "1", 10**30, None])
    else:
        node[key] = rng.choice(WRONG)
    return json.dumps(content).encode()


def nodes(content):
    """All lists and objects in `content` that hold something, itself first."""
    if isinstance(content, (dict, list)) and content:
        yield content
        for value in content.values() if isinstance(content, dict) else content:
            yield from nodes(value)


@pytest.mark.parametrize(
    "name", ["config.json", "env.json", "summary.json", "report.json", "tables/classes.json", "metrics.jsonl", "timings.jsonl"]
)
def test_a_broken_record_of_a_run_harms_no_other(runs, said, name):
    path, rng = runs / CIFAR10 / name, random.Random(name)
    whole, other = path.read_bytes(), records.read(runs / PIX2PIX)
    for turn in range(TIMES):
        lines = whole.splitlines(keepends=True) if name.endswith("l") else [whole]
        lines[turn % len(lines)] = mutated(rng, lines[turn % len(lines)])
        path.write_bytes(b"".join(lines))
        del said[:]
        rows = records.table()
        assert other in rows and len(rows) <= 2
        contents.history(runs / CIFAR10)
        contents.rows(runs / CIFAR10, "timings.jsonl")
        if name == "config.json":
            with contextlib.suppress(UserError):
                resume.find(asked(), Config, "cifar10")
        if turn % 5 == 0:
            report.render(runs / CIFAR10)
            comparison.render([runs / CIFAR10, runs / PIX2PIX])
        assert all(name in line and "\n" not in line for line in said) and len(said) <= 1


def test_a_state_that_there_is_not_is_no_state(runs, capsys):
    (runs / CIFAR10 / "summary.json").write_text('{"status": "won"}')
    assert {run.status for run in records.table()} == {"killed", "finished"}  # as if it had no summary
    assert "summary.json is left out: Invalid enum value 'won'" in capsys.readouterr().err


def test_the_list_of_runs_takes_any_text(runs, capsys):
    path = runs / CIFAR10 / "summary.json"
    for text in ("[/bold]", "\x1b[31mred", "[link=x]"):
        path.write_text(json.dumps({"status": "failed", "metrics": {text: 1.0}}))
        cli.runs_table()
        shown = capsys.readouterr().out
        assert text.replace("\x1b", "?") in shown and "pix2pix" in shown and "\x1b" not in shown


def test_thousands_of_runs_are_listed_at_once(runs, monkeypatch, tmp_path, capsys):
    for number in range(1000):
        shutil.copytree(runs / CIFAR10, tmp_path / "many" / "cifar10" / f"20270101-{number:06}", symlinks=True,
                        ignore=shutil.ignore_patterns("plots", "code", "*.jsonl", "*.html"))  # fmt: skip
    monkeypatch.setenv("LAB_RUNS", str(tmp_path / "many"))
    began = time.process_time()
    records.table()
    reading = time.process_time() - began
    began = time.process_time()
    cli.runs_table()
    # Against the reading itself, which a slower machine does slower: rich took five times as long to write it.
    assert capsys.readouterr().out.count("cifar10/20270101") == 1000 and time.process_time() - began < 3 * reading


@pytest.mark.parametrize("name", ["x" * 5000, "nul\0", "~nobody-of-this-name/x", "../..", "", "a/b/c"])
def test_a_name_that_is_none_is_refused_in_a_sentence(runs, name):
    with pytest.raises(UserError, match=r"there is no run|may be"):
        records.find(name)


def test_a_record_that_is_no_file_of_the_folder(runs, said, tmp_path):
    path = runs / CIFAR10 / "summary.json"
    outside = shutil.move(str(path), str(tmp_path / "summary.json"))
    for make in (lambda: path.symlink_to(outside), path.mkdir, lambda: path.symlink_to(path), lambda: os.mkfifo(path)):
        make()
        typed._warn_once.cache_clear()
        del said[:]
        assert [(row.name, row.result) for row in records.table()] == [(PIX2PIX, "label accuracy 0.8052"), (CIFAR10, "")]
        assert len(said) == 1 and "summary.json is left out: it is no file of this folder" in said[0]
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def test_a_record_without_end(runs, said, monkeypatch):
    monkeypatch.setattr(contents, "MOST_RECORD_BYTES", 1000)
    assert len(records.table()) == 2
    assert [line.rpartition("/")[2] for line in said] == ["env.json is left out: it is larger than 1.0 kB"] * 2


def test_a_record_that_is_small_and_becomes_large(runs, said):
    (runs / CIFAR10 / "summary.json").write_text('{"status": "finished", "more": [' + "[]," * 1_100_000 + "[]]}")
    assert records.read(runs / CIFAR10).status == "killed"
    assert [line.rpartition("/")[2] for line in said] == ["summary.json is left out: it holds more than 2,000,000 values"]


@pytest.mark.parametrize(
    ("log", "why"),
    [
        ("\n" * 1_000_001, "it has more than 1,000,000 lines"),
        (json.dumps({"step": 1, **{f"n{k}": k for k in range(1001)}}) + "\n", "line 1: more than 1000 values"),
        ("".join(f'{{"step": 1, "n{k}": 1}}\n' for k in range(1003)), "names in it that cannot be drawn, as 'n1000'"),
        ('{"step": 1, "a\\u0000b": 1, "fine": 2}\n', "names in it that cannot be drawn, as 'a\\x00b'"),
        ('{"step": 1, "' + "n" * 300 + '": 1}\n', "names in it that cannot be drawn, as 'nnn"),
    ],
    ids=["lines", "values", "names", "a zero", "a long name"],
)
def test_a_log_of_which_too_much_would_be_drawn(runs, said, log, why):
    (runs / CIFAR10 / "metrics.jsonl").write_text(log)
    assert len(contents.history(runs / CIFAR10)) <= 1000
    assert len(said) == 1 and why in said[0]


# ---- data sets, stacks, environments ----


@pytest.fixture
def boston(tmp_path, monkeypatch):
    """A data folder in which the Boston housing data are."""
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "data"))
    dataset, staging = registry.find("boston"), tmp_path / "data" / ".boston.download"
    for pattern in dataset.layout:
        typed.files.made((staging / pattern).parent)
        (staging / pattern).write_text("x")
    return store.put_in_place(dataset, staging, tmp_path / "data" / "boston", "unverified", "test", store.ANYTHING)


def test_what_arrived_before_there_were_formats_is_still_there(boston, said):
    path = boston.path / store.STATE_FILE
    content = json.loads(path.read_text())
    assert content.pop("format") == 1 and content["what"] == [[], 0, []]
    path.write_text(json.dumps(content))
    assert store.state("boston") == boston
    del content["what"], content["layout"]
    path.write_text(json.dumps(content))
    assert store.state("boston") == boston and said == []


def test_a_broken_record_of_a_data_set_harms_no_other(boston, said):
    path, rng = boston.path / store.STATE_FILE, random.Random(1)
    whole, others = path.read_bytes(), [row for row in store.table() if row.name != "boston"]
    for _ in range(TIMES):
        path.write_bytes(mutated(rng, whole))
        del said[:]
        rows = store.table()
        assert [row for row in rows if row.name != "boston"] == others and len(rows) == len(others) + 1
        assert len(said) <= 1 and all(".state.json" in line for line in said)
        with contextlib.suppress(UserError):
            store.verify("boston")


def test_a_broken_description_of_a_data_set_harms_no_other(tmp_path, said, monkeypatch):
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "none"))
    for name in ("boston", "cifar10"):
        shutil.copytree(registry.REGISTRY / name, tmp_path / "datasets" / name)
    monkeypatch.setattr(registry, "REGISTRY", tmp_path / "datasets")
    path, rng = tmp_path / "datasets/cifar10/dataset.toml", random.Random(2)
    whole = path.read_bytes()
    other = next(row for row in store.table() if row.name == "boston")
    for broken in (b"format = 2\n" + whole, *(mutated_text(rng, whole) for _ in range(TIMES))):
        path.write_bytes(broken)
        del said[:]
        rows = store.table()
        assert other in rows and len(rows) + len(said) == 2
        assert all("cifar10/dataset.toml" in line for line in said)
        if broken.startswith(b"format"):
            assert "was written by a newer torch-labs" in said[0]


def mutated_text(rng, whole):
    """The bytes of a TOML file, broken in one of several ways."""
    lines = whole.splitlines(keepends=True)
    place = rng.randrange(len(lines))
    if rng.random() < 0.3:
        del lines[place]
    elif rng.random() < 0.5:
        key = lines[place].partition(b"=")[0]
        lines[place] = key + b"= " + rng.choice([b"7", b'"x"', b"[]", b"true", b"{a = 1}", b"-1", b"9" * 400, b"nan"]) + b"\n"
    else:
        broken = bytearray(whole)
        broken[rng.randrange(len(broken))] = rng.randrange(256)
        return bytes(broken)
    return b"".join(lines)


def test_a_broken_description_of_a_stack_is_named(tmp_path, monkeypatch):
    whole, rng = (catalog.STACKS / "cpu.toml").read_bytes(), random.Random(3)
    monkeypatch.setattr(catalog, "STACKS", tmp_path)
    assert b"native_python" in whole
    for broken in (b"format = 2\n" + whole, *(mutated_text(rng, whole) for _ in range(TIMES))):
        (tmp_path / "cpu.toml").write_bytes(broken)
        try:
            catalog.load("cpu")
        except ValueError as error:
            assert "cpu.toml: " in str(error)


def test_an_environment_with_a_broken_stamp_is_made_again(tmp_path, said, monkeypatch):
    stack = catalog.load("cpu")
    monkeypatch.setattr(native, "VENV", tmp_path)
    monkeypatch.setattr(native, "fingerprint", lambda *_: "abc")
    typed.files.made(tmp_path / "cpu" / "bin")
    (tmp_path / "cpu" / "bin" / "python").touch()
    path, rng = tmp_path / "cpu" / "stamp.json", random.Random(4)
    assert not native.ready(stack, stack.build()) and said == []
    path.write_text('{"fingerprint": "abc", "stack": "cpu/index", "python": "Python 3.12.1"}')  # as before formats
    assert native.ready(stack, stack.build())
    whole = path.read_bytes()
    for _ in range(TIMES):
        path.write_bytes(mutated(rng, whole))
        native.ready(stack, stack.build())
    path.write_text("{")
    assert not native.ready(stack, stack.build()) and "stamp.json" in said[-1]


# ---- whether a run goes on ----

LISTER = """
import sys
from pathlib import Path
from labkit.runs import records
folder = Path(sys.argv[1])
said = {records.read(folder).status for _ in range(2000)}
print(said, sum(records._is_locked(folder) for _ in range(20000)), flush=True)
"""


def listers(folder):
    command = [sys.executable, "-c", LISTER, str(folder)]
    settings = {**os.environ, "PYTHONPATH": str(paths.ROOT)}
    return [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=settings) for _ in range(2)]


def test_who_lists_takes_nobody_for_a_run_and_stops_none(runs):
    folder = runs / CIFAR10
    typed.write(folder / "summary.json", contents.Summary("running"))
    assert [lister.communicate()[0] for lister in listers(folder)] == ["{'killed'} 0\n"] * 2
    beside, starts = listers(folder), 0
    while any(lister.poll() is None for lister in beside):
        held = records.lock(folder)
        assert held is not None, f"busy after {starts} starts"
        os.close(held)
        starts += 1
    assert starts > 100 and {lister.returncode for lister in beside} == {0}


def test_the_terminal_is_told_once(runs, capsys):
    typed._warn_once.cache_clear()
    (runs / CIFAR10 / "env.json").write_text("{")
    records.table()
    records.table()
    console.console.file.flush()
    assert capsys.readouterr().err.count("env.json is left out") == 1

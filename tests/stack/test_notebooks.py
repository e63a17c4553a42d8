"""Notebooks, run by a real kernel: the lessons in steps, and a practice whose sheet is one."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient

from labkit.base import labs
from labkit.base.paths import ROOT
from labkit.runs import notebooks, steps
from labkit.runs.practice import cells, sheet
from labkit.runs.practice.checker import Checker, value_of
from labs.tensors.practice import SETUP, SHEET

FIRST = SHEET[0]


def kernel(notebook, folder):
    return NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(folder)}})


def printed(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


@pytest.mark.parametrize("name", [lab.name for lab in labs.table() if lab.steps])
@pytest.mark.slow
def test_the_notebook_of_a_lesson_gives_what_the_lab_gives(name):
    module = importlib.import_module(f"labs.{name}.lab")
    made = nbformat.reads(notebooks.lesson("title", "about", module.SETUP, module.GROUPS), as_version=4)
    nbformat.validate(made)
    ran = kernel(made, ROOT).execute()
    assert len(json.dumps(made)) < 1 << 20
    of_cells = [cell for cell in ran.cells if cell.cell_type == "code"][1:]
    of_lab = [step for group in module.GROUPS for step in group.steps]
    assert len(of_cells) == len(of_lab)
    for cell, step in zip(of_cells, of_lab):
        result = steps.run_step(step, module.SETUP)[0]
        (output,) = [each for each in cell.outputs if each.output_type in ("execute_result", "error")] or [{}]
        if isinstance(result, Exception):
            assert output["ename"] == type(result).__name__, step.name
        elif result is not None and isinstance(result, (bool, int, str)):
            assert output["data"]["text/plain"] == repr(result), step.name
        else:
            assert output or result is None, step.name


@pytest.mark.slow
def test_cells_that_are_run_are_looked_at(tmp_path):
    """The learner's own attempts, an endless loop and a kernel that did something else do not stand in the way."""
    folder = tmp_path / "tensors" / "20260101-000000"
    folder.mkdir(parents=True)
    right = Checker(SETUP, SHEET)
    functions = [exercise for exercise in SHEET if isinstance(exercise, sheet.FillIn)]
    one = functions[0]
    body = "\n".join(f"    {line}" for line in one.solution.splitlines())
    kill = "import os, subprocess\nfor number in subprocess.run(['pgrep', '-P', str(os.getpid())], "
    kill += "stdout=subprocess.PIPE).stdout.split():\n    os.kill(int(number), 9)"
    own = ["x = torch.ones(2, requires_grad=True)\n(x * x).sum().backward()", f"{FIRST.name} = ...",
           f"{FIRST.name} = {next(iter(FIRST.wrong))}", f"{one.start}\n    import time; time.sleep(60)",
           f"{one.start}\n{body}", f"{one.name}(None)", kill, f"{FIRST.name} = ..."]  # fmt: skip
    made = nbformat.reads(cells.notebook(SETUP, SHEET, "title"), as_version=4)
    made.cells = made.cells[:2] + [nbformat.v4.new_code_cell(source) for source in own]
    made.cells[-3].metadata["tags"] = ["raises-exception"]
    ran = kernel(made, folder).execute()
    said = [printed(cell) for cell in ran.cells[2:]]
    assert said[0] == "" and said[5] == ""
    assert said[1] == f"  not yet  {FIRST.name}\n"
    assert said[2].startswith(f"  wrong    {FIRST.name}")
    assert said[3] == f"  wrong    {one.name}: it took longer than 2 s\n"
    assert said[4] == f"  right    {one.name}\n"
    assert said[6] == "" and said[7] == f"  not yet  {FIRST.name}\n", "after the other process was killed"
    saved = cells.parse(nbformat.writes(ran).encode(), SHEET)
    verdicts = right.check(saved)
    assert [name for name, verdict in verdicts.items() if verdict.state == "right"] == [one.name]


def test_what_an_answers_file_has_is_in_the_notebook_made_of_it():
    text = sheet.blank(SETUP, SHEET, "title").replace(f"{FIRST.name} = ...", f"{FIRST.name} = [1,   2]  # mine")
    text += "\n\n\ndef helper(x):\n    return x\n"
    made = nbformat.reads(cells.notebook(SETUP, SHEET, "title", text.encode()), as_version=4)
    sources = [cell.source for cell in made.cells if cell.cell_type == "code"]
    assert sources[0].startswith(cells.LOAD) and sources[1] == "def helper(x):\n    return x"
    assert sources[2] == f"{FIRST.name} = [1,   2]"
    assert len(sources) == 2 + len(SHEET)
    again = cells.parse(nbformat.writes(made).encode(), SHEET)
    assert {name for part in again.body for name in sheet.names_of(part)} == {"helper"} | {each.name for each in SHEET}


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "no notebook"),
        (b"\xff\xfe", "no notebook"),
        (b"[" * 100_000, "no notebook"),
        (b"[]", "no notebook"),
        (b'{"nbformat": 4, "nbformat_minor": 5, "cells": 7}', "no notebook"),
        (b'{"nbformat": 99, "cells": []}', "no notebook"),
        (b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "code"}]}', "no notebook"),
        (notebooks.text_of([nbformat.v4.new_code_cell(""), nbformat.v4.new_code_cell("rank = (")]).encode(), "cell 2"),
    ],
)
def test_what_is_no_notebook_is_said_in_one_sentence(content, said):
    with pytest.raises(SyntaxError) as raised:
        cells.parse(content, SHEET)
    assert said in str(raised.value.msg) and "\n" not in raised.value.msg


@pytest.mark.parametrize(
    "sources, counted",
    [
        ([f"{FIRST.name} = 2", f"{FIRST.name} = 3"], 2),
        (["%%bash\nls -la | grep x", "files = !ls", "  %matplotlib inline\nx = 1", f"%%time\n{FIRST.name} = 3"], 1),
        ([f"{FIRST.name}: int = 3"], 1),
        ([f"{FIRST.name}, other = 3, 4"], 1),
        ([f"{FIRST.name}: int", f"{FIRST.name}[0] = 3", f"x.{FIRST.name} = 3"], 0),
    ],
)
def test_other_cells_do_not_stand_in_the_way(sources, counted):
    made = notebooks.text_of([nbformat.v4.new_code_cell(source) for source in sources])
    assert len(cells.parse(b"\xef\xbb\xbf" + made.encode(), SHEET).body) == counted


def test_half_a_character_is_one_sentence():
    made = notebooks.text_of([nbformat.v4.new_code_cell(f"{FIRST.name} = 'HALF'")]).replace("HALF", "\\ud800")
    with pytest.raises(SyntaxError, match="code cell 1"):
        cells.parse(made.encode(), SHEET)


def test_what_counts_of_a_cell():
    text = f"%timeit 1\n!ls\nimport os\n{FIRST.name} = 3\nprint({FIRST.name})\nhelp = 4\nclass A: pass\n"
    assert len(cells.counting(text, SHEET)) == 3
    with pytest.raises(SyntaxError):
        cells.counting("x = !ls", SHEET)


@pytest.mark.slow
def test_a_practice_whose_sheet_is_a_notebook(tmp_path):
    """As `./inv practice tensors --notebook` starts it: saved cells count, and it goes on where it was."""
    runs = ROOT / "runs" / ".test-notebooks" / tmp_path.name  # JupyterLab shows what is in the project only
    address = "http://127.0.0.1:8888/?token=secret"
    handed = {"data": str(tmp_path), "runs": str(runs), "lang": "en", "jupyter": address}
    environment = {**os.environ, "LAB_SETTINGS": json.dumps(handed), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "labs" / "tensors" / "lab.py"), "--practice"]

    def begin(*words):
        return subprocess.Popen([*command, *words], env=environment, stderr=subprocess.PIPE, text=True)

    def until(process, words):
        said = ""
        while words not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        return said

    process = begin()
    try:
        said = until(process, "0/42")
        (folder,) = (runs / "tensors").iterdir()
        inside = folder.relative_to(ROOT)
        assert f"http://127.0.0.1:8888/lab/tree/{inside}/answers.ipynb?token=secret" in said
        path = folder / "answers.ipynb"
        assert not (folder / "answers.py").exists()
        assert json.loads((folder / "config.json").read_text())["command"] == "./inv practice tensors --notebook"
        saved = path.read_text()
        answer = written(FIRST)
        path.write_text("{")
        until(process, "answers.ipynb, line 1: it is no notebook")
        path.write_text(saved.replace(f"{FIRST.name} = ...", f"{FIRST.name} = {answer}"))
        assert f"right    {FIRST.name}" in until(process, "1/42")
        process.terminate()
        assert process.wait(20) == 130
        environment["LAB_SETTINGS"] = json.dumps({**handed, "jupyter": ""})
        process = begin("--resume=latest")
        assert "answers.ipynb" in until(process, "1/42")
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(runs, ignore_errors=True)


def written(exercise):
    """The right answer, as it stands in the JSON of a notebook."""
    return json.dumps(repr(value_of(exercise.code, SETUP)[0]))[1:-1]

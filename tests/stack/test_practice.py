"""Practice: what a learner may write into a sheet, and the sheets of all labs."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch

from labkit.base import labs
from labkit.base.language import both, each
from labkit.base.paths import ROOT
from labkit.runs.practice import checker, sheet, work
from labkit.runs.practice.checker import Checker
from labkit.runs.practice.sheet import FillIn, Predict, fill_in, predict

SETUP = "import os\nimport time\n\nimport torch"
SHEET = (
    predict("rounding", both("Where does a half go?", "0.5 去哪？"), "torch.round(torch.tensor([0.5, 1.5])).tolist()",
            hint=both("To the even neighbour.", "取偶。"), wrong={"[1.0, 2.0]": both("Not always up.", "不总是向上。")}),
    predict("failing", both("Does it?", "会吗？"), "torch.ones(2) + torch.ones(3)", hint=both("h", "h"), wrong=["2.0"]),
    fill_in("flip", both("Reverse a vector (N).", "反转向量 (N)。"), "def flip(x):", without=("flip", "stack"),
            oracle=lambda x: x.flip(0), cases=lambda random, size: (torch.from_numpy(random.randn(size)),),
            solution="return x[torch.arange(len(x) - 1, -1, -1)]", hint=both("h", "h"), wrong=["return x"]),
)  # fmt: skip
BLANK = {"rounding": "blank", "failing": "blank", "flip": "blank"}


def looked_at(text):
    content = text if isinstance(text, bytes) else f"{SETUP}\n{text}\n".encode()
    return Checker(SETUP, SHEET).check(sheet.parse(content))


def flip(body):
    return looked_at(f"def flip(x):\n    {body}")["flip"]


def test_a_blank_sheet_is_not_yet_answered():
    text = sheet.blank(SETUP, SHEET, "title")
    assert {name: verdict.state for name, verdict in looked_at(text.encode()).items()} == BLANK
    assert "without: flip, stack" in text and "#     torch.ones(2) + torch.ones(3)" in text


@pytest.mark.parametrize(
    "answer, state, said",
    [
        ("rounding = [0.0, 2.0]", "right", ""),
        ("rounding = [0, 2]", "right", ""),
        ("rounding = (0.0, 2.0001)", "right", ""),
        ("rounding = [1.0, 2.0]", "wrong", "Not always up."),
        ("rounding = [0.0, 3.0]", "wrong", "does not give [0.0, 3.0]"),
        ("rounding = 'error'", "wrong", "this line does not fail"),
        ("rounding = torch.round(torch.tensor([0.5, 1.5])).tolist()", "wrong", "write the value that you expect"),
        ("rounding = [0.0, 2.0]; rounding = [9.0]", "wrong", "[9.0]"),
        ("rounding = undefined", "wrong", "NameError: name 'undefined' is not defined (answers.py:5)"),
        ("rounding = ...", "blank", ""),
    ],
)
def test_a_value_is_compared_with_what_the_line_gives(answer, state, said):
    verdict = looked_at(answer)["rounding"]
    assert verdict.state == state and said in verdict.said, verdict.said


def test_a_line_that_fails_is_called_error():
    assert looked_at("failing = 'error'")["failing"].state == "right"
    assert "this line fails" in looked_at("failing = 2.0")["failing"].said


@pytest.mark.parametrize(
    "body, said",
    [
        (
            "return x",
            "for tensor([-0.4168, -0.05627]): tensor([-0.05627, -0.4168]), and not tensor([-0.4168, -0.05627])",
        ),
        ("return x[torch.arange(len(x) - 1, -1, -1)].float()", "(0,) float64, and not (0,) float32"),
        ("return list(x)[::-1]", "and not []"),
        ("return None", "and not None"),
        ("return torch.flip(x, [0])", "write it without flip"),
        ("return torch.stack([x[k] for k in range(len(x))])", "write it without stack"),
        ("raise KeyError('gone')", "KeyError: 'gone' (answers.py:6)"),
        ("while True: pass", "it took longer than 2 s"),
        ("os._exit(0)", "it ended the process"),
        ("raise SystemExit", "it ended the process"),
        ("os.abort()", "it ended the process (SIGABRT)"),
        ("return torch.ones(10**10)", "it asks for more memory than 1 GB"),
        ("return [0] * 10**10", "it asks for more memory than 1 GB"),
        ("while True: print('a lot ' * 1000)", "it prints or writes more than 1 MB"),
        ("print('here'); return input()", "EOFError: EOF when reading a line (answers.py:6); it printed: here"),
        ("x.add_(1); return x", "and not tensor([2.624])"),
    ],
)
def test_a_function_fails_by_its_smallest_counterexample(body, said):
    began = time.monotonic()
    verdict = flip(body)
    assert verdict.state == "wrong" and said in verdict.said, verdict.said
    assert each(verdict.said)["zh"] != each(verdict.said)["en"]
    assert time.monotonic() - began < 10


def test_a_right_function_may_use_others_and_print():
    text = "def last(x):\n    return torch.arange(len(x) - 1, -1, -1)\n\ndef flip(x):\n    print('fine'); return x[last(x)]"
    assert looked_at(text)["flip"].state == "right"


@pytest.mark.parametrize(
    "content, said",
    [
        (b"rounding = [1.0,\n", "'[' was never closed" if sys.version_info >= (3, 10) else "unexpected EOF"),
        ("# \u7ffb\nrounding = 1\n".encode("gbk"), "codec can't decode"),
        (b"rounding = \0\n", "null"),
        (b"while True: pass\n", "it took longer than 2 s"),
        (b"import nothing_like_that\n", "No module named 'nothing_like_that'"),
        (b"rounding = " + b"(" * 5000, ""),
    ],
)
def test_a_sheet_that_cannot_be_judged_is_told_of_in_a_sentence(content, said):
    with pytest.raises(SyntaxError) as caught:
        looked_at(content)
    assert said in str(caught.value)


def test_windows_line_ends_and_a_mark_in_front_do_no_harm():
    text = b"\xef\xbb\xbf" + f"{SETUP}\nrounding = [0.0, 2.0]\n".replace("\n", "\r\n").encode()
    assert looked_at(text)["rounding"].state == "right"


def test_what_did_not_change_is_not_run_again(monkeypatch):
    looking = Checker(SETUP, SHEET)
    first = f"{SETUP}\nrounding = [0.0, 2.0]\nfailing = 1\n".encode()
    looking.check(sheet.parse(first))
    monkeypatch.setattr(checker, "in_a_process", lambda judge: pytest.fail("it was run again"))
    assert looking.check(sheet.parse(first + b"\n# a comment\n"))["rounding"].state == "right"


# ---- as a learner meets it ----


@pytest.mark.slow
def test_a_practice_is_a_run_that_goes_on_and_is_kept(tmp_path, request):
    environment = {"PYTHONPATH": str(ROOT), "LAB_RUNS": str(tmp_path), "LAB_VISDOM_PORT": "1", "LAB_LANG": "en"}
    command = [sys.executable, str(ROOT / "labs" / "tensors" / "lab.py")]

    def begin(*more):
        process = subprocess.Popen([*command, "--practice", *more], env=environment, stderr=subprocess.PIPE, text=True)
        request.addfinalizer(process.kill)
        return process

    def until(process, words):
        said = ""
        while words not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        return said

    process = begin()
    until(process, "next: ")
    (folder,) = (tmp_path / "tensors").glob("*")
    answers = folder / "answers.py"
    exercises = importlib.import_module("labs.tensors.practice")
    solved = sheet.blank(exercises.SETUP, exercises.SHEET, "t")
    first = exercises.SHEET[0]
    value, _ = checker.value_of(first.code, exercises.SETUP)
    solved = solved.replace(f"{first.name} = ...", f"{first.name} = {value!r}")
    answers.write_text(solved)
    assert f"right    {first.name}" in until(process, f"1/{len(exercises.SHEET)}")
    answers.unlink()
    until(process, "is here again")
    assert answers.read_text() == solved
    process.terminate()
    assert process.wait(20) == 130
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["solved"] for row in rows] == [0, 1]
    table = json.loads((folder / "tables" / "practice.json").read_text())
    assert table["rows"][0][2] == {"en": "right", "zh": "\u6b63\u786e"}
    process = begin("--resume=latest")
    assert "after step 2" in until(process, "next: ")
    process.terminate()
    assert process.wait(20) == 130


@pytest.mark.slow
def test_hint_and_solution_are_printed_and_a_typo_is_told_of(tmp_path):
    environment = {"PYTHONPATH": str(ROOT), "LAB_RUNS": str(tmp_path), "LAB_LANG": "en"}
    exercises = importlib.import_module("labs.tensors.practice")
    name = exercises.SHEET[0].name
    command = [sys.executable, str(ROOT / "labs" / "tensors" / "lab.py")]

    def told(*words):
        return subprocess.run([*command, *words], env=environment, capture_output=True, text=True)

    assert told("--hint", name).stdout == f"{each(exercises.SHEET[0].hint)['en']}\n"
    assert told("--solution", name).stdout.startswith(f"{name} = ")
    typo = told("--hint", name + "x")
    assert typo.returncode == 2 and f"did you mean {name}" in typo.stderr
    assert not list(tmp_path.iterdir())


# ---- the sheets of all labs ----

NAMES = [lab.name for lab in labs.table() if lab.has_practice]


def sheet_of(name):
    module = importlib.import_module(f"labs.{name}.practice")
    return module.SETUP, module.SHEET


def answered(setup, exercises, answers):
    """The text of a sheet with these answers: a value for what is predicted, a body for a function."""
    parts = [setup]
    for exercise in exercises:
        if exercise.name not in answers:
            continue
        answer = answers[exercise.name]
        if isinstance(exercise, FillIn):
            body = "\n".join(f"    {line}" for line in answer.splitlines())
            parts.append(f"{exercise.start}\n{body}")
        else:
            parts.append(f"{exercise.name} = {answer}")
    return "\n\n".join(parts).encode()


def solutions(setup, exercises):
    return {exercise.name: exercise.solution if isinstance(exercise, FillIn) else given_by(exercise, setup)
            for exercise in exercises}  # fmt: skip


def given_by(exercise, setup):
    """What the exercise's last line gives, as a learner would write it down; found as the checker finds it."""

    def judge():
        value = written(checker.value_of(exercise.code, setup)[0])
        return checker.Verdict("right", both(value, value))

    return str(checker.in_a_process(judge).said)


def written(value):
    """A value as a learner would write it down."""
    return "float('nan')" if isinstance(value, float) and value != value else repr(value)


def in_a_fresh_process(function, name):
    """`function(name)` in a process that has used no autograd: where one has, PyTorch 1.5 refuses it to forks."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, name).result()


def misjudged(name):
    """The solutions of a sheet that are not right, and its wrong answers that are."""
    setup, exercises = sheet_of(name)
    right = solutions(setup, exercises)
    found = Checker(setup, exercises).check(sheet.parse(answered(setup, exercises, right)))
    missed = [f"{key}: {verdict.said}" for key, verdict in found.items() if verdict != checker.RIGHT]
    functions = {exercise.name: right[exercise.name] for exercise in exercises if isinstance(exercise, FillIn)}
    for exercise in exercises:
        for answer in exercise.wrong:  # alone, but for the functions that it may use
            tried = answered(setup, exercises, {**functions, exercise.name: answer})
            if Checker(setup, [exercise]).check(sheet.parse(tried))[exercise.name].state != "wrong":
                missed.append(f"{exercise.name}: {answer}")
    return missed


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.slow
def test_the_solutions_of_a_sheet_are_right_and_each_wrong_answer_is_caught(name):
    assert in_a_fresh_process(misjudged, name) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_exercise_has_wrong_answers_and_the_manifest_counts_them(name):
    exercises = sheet_of(name)[1]
    assert labs.find(name).exercises == len(exercises)
    assert [exercise.name for exercise in exercises if len(exercise.wrong) < 2] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_sheet_reads_well_in_both_languages(name):
    setup, exercises = sheet_of(name)
    names = [exercise.name for exercise in exercises]
    assert len(set(names)) == len(names)
    for exercise in exercises:
        for text in (exercise.text, exercise.hint, *filter(None, exercise.wrong.values())):
            said = each(text)
            assert any("\u4e00" <= letter <= "\u9fff" for letter in said["zh"]), f"{exercise.name}: {said['zh']}"
            assert not any("\u4e00" <= letter <= "\u9fff" for letter in said["en"]), f"{exercise.name}: {said['en']}"
    blank = sheet.parse(sheet.blank(setup, exercises, "title").encode())
    assert {verdict.state for verdict in Checker(setup, exercises).check(blank).values()} == {"blank"}
    assert all(isinstance(exercise, (Predict, FillIn)) for exercise in exercises) and work.NAME == "answers.py"

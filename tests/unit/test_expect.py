"""What labs promise, tried anew: rows of a tiny lab, whose stack's Python is a program of ours that writes a run."""

from __future__ import annotations

import dataclasses
import re
import sys
from types import SimpleNamespace

import pytest

from labkit import testing
from labkit.base import labs
from labkit.base.errors import UserError
from labkit.cli import expect, upkeep
from labkit.cli import labs as tasks
from labkit.stacks.machine import probe

LAB = """
unit = 1
title = "Tiny"
title_zh = "小"
sections = "1"
datasets = {datasets}
[smoke]
metric = "accuracy"
"""
ROW = """
[[expect]]
metric = "accuracy"
min = 0.9
options = ""
stack = "cpu/index"
hardware = "2 cores of an AMD EPYC that did nothing else, no GPU"
minutes = 0.5
"""
CONFIG = """
from __future__ import annotations
from dataclasses import dataclass
from labkit.runs.options import option

@dataclass(frozen=True)
class Config:
    epochs: int = option(8, "passes", at_least=1)

PRESETS = {}
"""
# In place of a stack's Python: the accuracy is a tenth of the epochs; `--epochs 3` fails.
PYTHON = """#!{python}
import json, os, pathlib, sys
words = sys.argv[3:]
with open({asked!r}, "a") as asked:
    print(*words, file=asked)
epochs = int(words[words.index("--epochs") + 1]) if "--epochs" in words else 9
folder = pathlib.Path(os.environ["LAB_RUNS"], "tiny", "20260101-000000")
folder.mkdir(parents=True)
metrics = {{"accuracy": epochs / 10, "loss": None if epochs == 10 else 0.25}}
(folder / "summary.json").write_text(json.dumps({{"status": "finished", "metrics": metrics}}))
sys.exit(epochs == 3)
"""


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Makes the lab with these rows, on the computer that they name; returns the file that says what was run."""
    asked = tmp_path / "asked"
    asked.touch()
    python = tmp_path / "python"
    python.write_text(PYTHON.format(python=sys.executable, asked=str(asked)))
    python.chmod(0o755)
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(labs, "LABS", tmp_path / "labs")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(expect.native, "python_of", lambda stack: python)
    monkeypatch.setattr(expect.native, "ready", lambda stack, build: stack.name == "cpu" and build.name == "index")
    monkeypatch.setattr(expect, "probe", lambda: dataclasses.replace(probe(), cores=2, gpus=(), driver=""))
    monkeypatch.setattr(type(expect.OUT), "width", 200)  # columns of a terminal
    monkeypatch.setattr(expect.hardware, "processor", lambda: SimpleNamespace(name="AMD EPYC 7763 64-Core Processor"))

    def make(*rows, datasets="[]"):
        folder = tmp_path / "labs" / "tiny"
        folder.mkdir(parents=True)
        (folder / "lab.toml").write_text(LAB.format(datasets=datasets) + "".join(rows), encoding="utf-8")
        (folder / "config.py").write_text(CONFIG)
        (folder / "lab.py").write_text('"""A lab."""\n')
        return asked

    yield make
    for name in [name for name in sys.modules if name.startswith("labs.tiny")]:
        del sys.modules[name]


def row(**changes):
    text = ROW
    for key, value in changes.items():
        old = next(line for line in ROW.splitlines() if line.startswith(f"{key} ="))
        text = text.replace(old, value if value.startswith(("max", "#")) else f"{key} = {value}")
    return text


def test_rows_with_the_same_options_share_a_run_and_each_is_compared(tiny, capfd):
    asked = tiny(row(), row(metric='"loss"', min="max = 0.25"), row(min="0.91"), row(options='"--epochs 10"', min="1.0"))
    assert expect.run(["tiny"]) == 1
    out, err = capfd.readouterr()
    assert asked.read_text().splitlines() == ["", "--epochs 10"]
    assert [re.split(r"\s{2,}", line.strip()) for line in out.splitlines() if line.startswith("tiny")] == [
        ["tiny", "accuracy ≥ 0.9", "cpu/index", "0.9000", "holds"],
        ["tiny", "loss ≤ 0.25", "cpu/index", "0.2500", "holds"],
        ["tiny", "accuracy ≥ 0.91", "cpu/index", "0.9000", "does not hold"],
        ["tiny", "accuracy ≥ 1.0", "--epochs 10", "cpu/index", "1", "holds"],
    ]
    assert out.splitlines()[-1] == "4 promises: 3 held, 1 not held, 0 not counted"
    assert "2 runs, of 1.0 minutes where they were measured" in err


@pytest.mark.parametrize("value, held", [(0.9, True), (0.8999, False), (float("nan"), False)])
def test_a_promise_is_held_at_its_very_bound_and_by_no_nan(value, held, tiny):
    tiny(row())
    (promise,) = (expect.Promise.of(labs.find("tiny"), each) for each in labs.find("tiny").expect)
    assert promise.holds(value) is held
    most = dataclasses.replace(promise, least=None, most=0.9)
    assert most.holds(0.9) and not most.holds(0.9001) and not most.holds(float("nan"))


@pytest.mark.parametrize(
    ("rows", "says", "status"),
    [
        ([row(options="# in a comment alone")], "tiny not run: the row does not say its options", 1),
        ([row(stack='"cpu/cpu"')], "not run: stack cpu/cpu is not set up here: ./inv setup --where venv --stack cpu/cpu", 1),
        ([row(stack='"notes/index"')], "not run: stack notes/index is not set up here", 1),
        ([row(hardware='"one NVIDIA H200, 16 cores"')], "not run: it is of one NVIDIA H200, 16 cores", 1),
        ([row(hardware='"2 cores of an Intel Xeon"')], "holds elsewhere: these are 2 cores, AMD EPYC 7763 64-Core Processor, and it was measured on 2 cores of an Intel Xeon", 0),
        ([row(hardware='"4 cores of an AMD EPYC"')], "and it was measured on 4 cores", 0),
        ([row(options='"--epochs 3"')], "does not hold: the run ended with status 1", 1),
        ([row(metric='"recall"')], "does not hold: there is no number recall, only accuracy, loss", 1),
        ([row(metric='"loss"', options='"--epochs 10"', min="max = 1")], "does not hold", 1),
    ],
)
def test_what_does_not_count_as_held_says_why(rows, says, status, tiny, capfd):
    tiny(*rows)
    assert expect.run([]) == status
    out = " ".join(capfd.readouterr().out.split())
    assert says in out and " 0 held" in out


def test_what_needs_a_data_set_is_not_run_without_it_and_is_with_the_sample(tiny, capfd):
    asked = tiny(row(), row(options='"--sample"'), datasets='["mnist"]')
    assert expect.run(["tiny"]) == 0
    out = " ".join(capfd.readouterr().out.split())
    assert "not run: the data set mnist is not here: ./inv data mnist" in out and "1 held, 0 not held, 1 not counted" in out
    assert asked.read_text().splitlines() == ["--sample"]


def test_the_gpu_is_hidden_from_a_promise_of_the_processor_and_used_for_one_of_a_gpu():
    lab, card = labs.find("cifar10"), expect.hardware.Gpu("NVIDIA H200", "9.0")
    machine = dataclasses.replace(probe(), gpus=(card,), driver="580.65.06")
    of_gpu = expect.Promise(lab, "accuracy", 0.9, None, "", "cu130/index", "one NVIDIA H200, 16 cores", 1)
    assert expect.choice_for(of_gpu, machine).gpus == (card,)
    assert not expect.choice_for(dataclasses.replace(of_gpu, hardware="2 cores"), machine).use_gpu
    assert expect.is_like(of_gpu.hardware, "16 cores, AMD EPYC, NVIDIA H200 141GB")
    assert not expect.is_like(of_gpu.hardware, "16 cores, AMD EPYC, NVIDIA H100")


def test_a_lab_that_promises_nothing_and_options_of_tests_are_refused(tiny, monkeypatch):
    tiny()
    with pytest.raises(UserError, match=r"there is no \[\[expect\]\] in the lab.toml of tiny"):
        expect.run(["tiny"])
    with pytest.raises(UserError, match="there is no lab 'tniy' \\(did you mean tiny"):
        expect.run(["tniy"])
    for words in ({"stack": "cpu"}, {"require": "docker"}):
        with pytest.raises(UserError, match="of the options it takes --labs alone"):
            upkeep.test(**{"stack": "", "only": "expect", "require": "", "labs": "", **words})
    monkeypatch.setattr(testing, "run_all", lambda *_: pytest.fail("tests were run"))
    with pytest.raises(UserError, match="--labs says whose promises are tried") as refused:
        upkeep.test(stack="", only="", require="", labs="mnist")
    assert refused.value.next_command == "./inv test --only expect --labs mnist"


@pytest.mark.parametrize("lab", labs.table(), ids=lambda lab: lab.name)
def test_the_options_of_a_promise_are_the_labs_own(lab):
    for each in lab.expect:
        request, config = tasks.parse(lab, str(each.get("options", "")).split())
        assert ("min" in each) != ("max" in each) and not request.resume and config

"""scripts/mutants.py: what it changes, which tests it takes, and what it says of them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from scripts import mutants

CODE = """\
def near(x: int = 3, *, y: float) -> bool:
    \"\"\"Text that stays: 1 < 2.\"\"\"
    if x < 4 and not y:
        print(x, y, end="é")
    return x + 1 == 2 * y
"""
TESTS = """\
import os
from labkit.base import near
def test_near(): assert {check}
def test_alone(): assert os.environ["OMP_NUM_THREADS"] == "1"
"""


def test_every_change_is_another_program_with_the_same_text():
    found = mutants.changes(Path("labkit/base/near.py"), CODE)
    programs = [change.applied(CODE) for change in found]
    assert len(set(programs)) == len(programs) and all(ast.dump(ast.parse(one)) != ast.dump(ast.parse(CODE)) for one in programs)
    assert all("Text that stays: 1 < 2." in one and "y: float) -> bool" in one for one in programs)
    shown = {(change.old, change.new) for change in found}
    assert {("x < 4", "(x <= 4)"), ("not y", "y"), ("4", "5"), ("return x + 1 == 2 * y", "return None")} <= shown
    assert ('print(x, y, end="é")', "(print(x, y))") in shown and ('print(x, y, end="é")', "pass") in shown
    assert ("x < 4 and not y", "(x < 4 or not y)") in shown and ("2 * y", "(2 / y)") in shown


def test_a_draw_follows_from_its_seed():
    files = mutants.sources(["labkit/data/idx.py", "labs/mnist"])
    first = mutants.draw(files, 20, seed=1)
    assert first == mutants.draw(files, 20, seed=1) != mutants.draw(files, 20, seed=2) and len(set(first)) == 20
    for change in first:
        ast.parse(change.applied((mutants.ROOT / change.path).read_text(encoding="utf-8")))


def test_the_nearest_tests_come_first():
    (change, *_) = mutants.draw([Path("labkit/data/archives.py")], 1, seed=0)
    assert mutants.touching(change)[0].name == "test_archives.py"
    (change, *_) = mutants.draw([Path("labs/opencv/practice_functions.py")], 1, seed=0)
    assert Path("tests/stack/test_opencv.py") in mutants.touching(change)


@pytest.mark.parametrize(("check", "verdict"), [("near.near(3, y=0) is False", "killed"), ("near.near", "survived")])
def test_a_change_is_noticed_or_not(check, verdict, tmp_path, tmp_path_factory, monkeypatch):
    files = {"labkit/base/near.py": CODE, "tests/unit/test_near.py": TESTS.format(check=check)}
    for name in ("labkit/__init__.py", "labkit/base/__init__.py", "labs/empty.py", "tests/faults/none.py", "tests/stack/none.py"):
        files[name] = ""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / ".venv").symlink_to(mutants.ROOT / ".venv")
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    change = next(one for one in mutants.changes(Path("labkit/base/near.py"), CODE) if one.new == "(2 / y)")
    tree = mutants.prepare(tmp_path_factory.mktemp("copy"))
    assert mutants.verdict(change, tree).startswith(verdict)
    assert (tree / change.path).read_text(encoding="utf-8") == CODE

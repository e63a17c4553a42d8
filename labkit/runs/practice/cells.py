"""A sheet as a notebook: one cell for each answer, looked at by the same checker when it is run.

The first cell loads this module into IPython, which then hands each cell that was run to a process of its own, since
the learner's may hold anything: threads, a graph, gigabytes.
"""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Sequence

import nbformat

from labkit.base import labs
from labkit.base.language import both
from labkit.runs import notebooks, records
from labkit.runs.practice import sheet as sheets
from labkit.runs.practice.checker import Checker
from labkit.runs.practice.sheet import Exercise, answer_to, dotted, names_of, question

MODULE = "labkit.runs.practice.cells"
LOAD = f"%load_ext {MODULE}"


def notebook(setup: str, sheet: Sequence[Exercise], title: str, answers: bytes = b"") -> str:
    """The sheet as the text of a notebook, with what an answers.py has already."""
    head = both(
        "Put your answers in place of the dots and run the cell: it is looked at. A value is written as Python prints "
        'it, and "error" for a line that fails; a function may use imports, functions and classes of other cells. What '
        "else you try in a cell of your own does not matter.",
        "将省略号换成你的答案并运行单元格，随即检查。值按 Python 的打印形式书写，会出错的行写 \"error\"；"
        "函数可以使用其他单元格中的 import、函数和类。你在自己的单元格里试验的其他内容不影响检查。",
    )  # fmt: skip
    source = answers.decode("utf-8-sig").replace("\r\n", "\n") if answers else ""
    module = sheets.parse(answers)
    make = nbformat.v4
    known = {ast.dump(part) for part in sheets.parse(setup.encode()).body}
    answers_of = {exercise.name for exercise in sheet}
    own = [part for part in module.body if ast.dump(part) not in known and not answers_of.intersection(names_of(part))]
    cells = [make.new_markdown_cell(f"# {title}\n\n{head}"), make.new_code_cell(f"{LOAD}\n\n{setup.strip()}")]
    cells += [make.new_code_cell(ast.get_source_segment(source, part)) for part in own]
    for number, exercise in enumerate(sheet, start=1):
        cells.append(make.new_markdown_cell(f"**{number}. {exercise.name}.** {question(exercise, gap=chr(10) * 2)}"))
        answer = answer_to(exercise, module)
        cells.append(make.new_code_cell(ast.get_source_segment(source, answer) if answer else dotted(exercise)))
    return notebooks.text_of(cells)


def parse(content: bytes, sheet: Sequence[Exercise]) -> ast.Module:
    """What counts of a notebook's cells, as of one sheet. Raises SyntaxError, also for what is no notebook."""
    try:
        cells = nbformat.reads(content.decode("utf-8-sig"), as_version=4).cells
        sources = [str(cell.source) for cell in cells if cell.cell_type == "code"]
    except (Exception, RecursionError) as error:  # of JSON, of a schema, of a version that is not known yet
        raise SyntaxError(f"it is no notebook: {(str(error).splitlines() or [''])[0][:160]}") from None
    kept: list[ast.stmt] = []
    for number, source in enumerate(sources, start=1):
        try:
            kept += counting(source, sheet)
        except SyntaxError as error:
            if not answers(source, sheet):  # such as `files = !ls`, or all that follows %%bash
                continue
            found = SyntaxError(str(both(f"code cell {number}: {error.msg}", f"第 {number} 个代码单元格：{error.msg}")))
            found.lineno = error.lineno
            raise found from None
    return ast.Module(body=kept, type_ignores=[])


def answers(source: str, sheet: Sequence[Exercise]) -> bool:
    """Whether a cell that is no Python looks as if it answered an exercise."""
    names = "|".join(exercise.name for exercise in sheet)
    return bool(re.search(rf"^(def |class )?({names})\b", source, re.MULTILINE)) and not source.startswith("%%")


def counting(source: str, sheet: Sequence[Exercise]) -> list[ast.stmt]:
    """The statements of a cell that a sheet is made of: answers, imports, functions and classes."""
    lines = ["" if line.lstrip().startswith(("%", "!", "?")) else line for line in source.splitlines()]
    wanted = {exercise.name for exercise in sheet}
    helpers = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    module = sheets.parse("\n".join(lines).encode("utf-8", "surrogatepass"))
    return [part for part in module.body if isinstance(part, helpers) or wanted.intersection(names_of(part))]


class Judge:
    """What each cell that was run brings, said below it."""

    def __init__(self, lab: str) -> None:
        self.lab = lab
        self._process: subprocess.Popen[str] | None = None

    def look(self, result: Any) -> None:
        """After a cell, as IPython calls it: ask the other process, and print what it says."""
        if result.error_before_exec is not None:
            return  # it is no Python, as IPython has said
        for line in self._ask(str(result.info.raw_cell)):
            print(line)

    def _ask(self, source: str) -> list[str]:
        for _ in range(2):  # one that was killed is started again
            if self._process is None or self._process.poll() is not None:
                command = [sys.executable, "-m", MODULE, self.lab]
                self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                                 encoding="utf-8", start_new_session=True)  # fmt: skip
            assert self._process.stdin and self._process.stdout
            try:
                self._process.stdin.write(json.dumps(source) + "\n")
                self._process.stdin.flush()
                return [str(line) for line in json.loads(self._process.stdout.readline())]
            except (OSError, ValueError):
                self._process.kill()
                self._process = None
        en, zh = "this cell could not be looked at; save, and see the terminal", "未能检查此单元格；请保存后看终端"
        return [str(both(en, zh))]


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext` in a practice's folder."""
    lab = labs.find(records.read(Path.cwd()).lab)
    shell.events.register("post_run_cell", Judge(lab.name).look)


def judge_cells(lab: str) -> None:
    """Be the process beside a notebook: cells as lines of JSON come in, lines to print go out."""
    exercises = importlib.import_module(f"labs.{lab}.practice")
    checker = Checker(exercises.SETUP, exercises.SHEET)
    kept: dict[object, ast.stmt] = {}
    for line in sys.stdin:
        try:
            new = counting(json.loads(line), exercises.SHEET)
        except SyntaxError:  # of IPython's own, such as x = !ls
            new = []
        kept.update({tuple(names_of(part)) or ast.dump(part): part for part in new})
        said = []
        try:
            verdicts = checker.check(ast.Module(body=list(kept.values()), type_ignores=[]))
            for exercise in exercises.SHEET:
                if any(exercise.name in names_of(part) for part in new):
                    said.append(verdicts[exercise.name].told(exercise.name))
        except SyntaxError as error:
            said.append(str(error.msg))
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    judge_cells(sys.argv[1])

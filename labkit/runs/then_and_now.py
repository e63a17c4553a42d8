"""Then and now: what a call gives in two versions of a library, kept in a file and run again by a test.

A lab keeps its calls in a module of its own that ends in `renew`, run once with the Python of each of the two.
"""

from __future__ import annotations

import ast
import json
import warnings
from pathlib import Path
from typing import Sequence

from labkit.base.language import Both, both
from labkit.runs.run import Run
from labkit.runs.steps import code, shown

Rows = Sequence["dict[str, str]"]


def given(call: str, setup: str) -> str:
    """What the last part of the call gives here, after `setup`, as text."""
    space: dict[str, object] = {}
    module = ast.parse(call)
    last = module.body.pop()
    assert isinstance(last, ast.Expr), call
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(setup, space)
        try:
            exec(compile(module, "<call>", "exec"), space)
            return " ".join(shown(eval(compile(ast.Expression(last.value), "<call>", "eval"), space)).split())
        except Exception as error:
            return " ".join(shown(error).split())


def kept(file: Path) -> Rows:
    """The rows of a table: the call, and what it gave in each version."""
    rows: Rows = json.loads(file.read_text(encoding="utf-8"))
    return rows


def renew(file: Path, calls: Sequence[str], setup: str, version: str) -> None:
    """Write down what every call gives in this `version`, beside what is known of the other."""
    known = {row["call"]: row for row in kept(file)} if file.exists() else {}
    rows = [{**known.get(call, {}), "call": call, version: given(call, setup)} for call in calls]
    file.write_text(json.dumps(rows, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def table(run: Run, file: Path, versions: Sequence[str], caption: Both) -> None:
    """Show the rows in the report."""
    rows = [[code(row["call"]), *(code(row[version]) for version in versions)] for row in kept(file)]
    run.table("then-and-now", [both("call", "调用"), *versions], rows, caption)

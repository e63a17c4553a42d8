"""Lessons in steps: code as it runs, what it gives, and something else that must give the same.

A lab keeps its steps as data, in groups as the notes have them, and its report shows them like a reference.
"""

from __future__ import annotations

import ast
import textwrap
import warnings
from dataclasses import dataclass
from typing import Any, Sequence

import numpy as np
import torch

from labkit.base.language import LANGUAGES, Both, both, each
from labkit.runs.claims import DoesNotHold
from labkit.runs.run import Run

HEADS = (both("code", "代码"), both("result", "结果"), both("equals", "应等于"))


@dataclass(frozen=True)
class Step:
    """The last line of `code` must give what `equals`, an expression that sees its names, gives."""

    name: str
    text: Both
    code: str
    equals: str  # NumPy, plain Python, or an identity; for a line that must fail, the error's name in quotes


@dataclass(frozen=True)
class Group:
    """The steps of one section of the notes, or of a few."""

    sections: str
    title: Both
    steps: Sequence[Step]


def step(name: str, text: Both, code: str, equals: str, then: str = "") -> Step:
    """A step; `then` is the code for a PyTorch that does not have `torch.linalg` and `torch.fft` yet."""
    chosen = then if then and not hasattr(torch, "linalg") else code
    return Step(name, text, textwrap.dedent(chosen).strip(), equals)


def table(run: Run, name: str, group: Group, setup: str) -> int:
    """Run the steps of a group, each after `setup`, into a table of the report; how many held.

    Raises DoesNotHold at the first that does not, with those before it in the table.
    """
    rows, failed = [], None
    for one in group.steps:
        try:
            result = check(one, setup)
        except DoesNotHold as error:
            failed = error
            break
        above = each(one.text)
        said = both(*(code(f"# {above[language]}\n{one.code}") for language in LANGUAGES))
        rows.append([said, code(shown(result)), code(one.equals)])
    run.table(name, HEADS, rows, both(*(f"{group.sections}. {each(group.title)[language]}" for language in LANGUAGES)))
    if failed:
        raise failed
    return len(rows)


def code(text: str) -> str:
    """A cell that the report shows as code."""
    return f"`{text}`"


def check(one: Step, setup: str) -> Any:
    """Run the step and return what it gives; raises DoesNotHold, with its name, where that is something else."""
    result, expected = run_step(one, setup)
    if not same(result, expected):
        raise DoesNotHold(f"the step {one.name} does not hold: it gives {shown(result)}, and {one.equals} is "
                          f"{shown(expected)}")  # fmt: skip
    return result


def run_step(one: Step, setup: str) -> tuple[Any, Any]:
    """What the step's code gives, or the error that it raises, and what that must equal."""
    space: dict[str, Any] = {}
    module = ast.parse(one.code)
    last = module.body.pop()
    assert isinstance(last, ast.Expr), one.name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that still work on one of the stacks, and are old
        exec(setup, space)
        exec(compile(module, one.name, "exec"), space)
        try:
            result = eval(compile(ast.Expression(last.value), one.name, "eval"), space)
        except Exception as error:
            result = error
        return result, eval(one.equals, space)


def same(result: Any, expected: Any) -> bool:
    """Equal in shape, whole numbers exactly, others as near as float32 comes; an error equals its name."""
    if isinstance(result, Exception):
        return isinstance(expected, str) and expected in [kind.__name__ for kind in type(result).__mro__]
    if isinstance(result, (list, tuple)) and isinstance(expected, (list, tuple)):
        return len(result) == len(expected) and all(map(same, result, expected))
    numbers = (torch.Tensor, np.ndarray, np.generic, list, tuple, int, float, complex)
    if isinstance(result, numbers) and isinstance(expected, numbers):
        one, other = np.asarray(result), np.asarray(expected)
        if one.shape != other.shape or (one.dtype == bool) != (other.dtype == bool):
            return False
        if one.dtype.kind in "iub" and other.dtype.kind in "iub":
            return np.array_equal(one, other)
        return bool(np.allclose(one, other, rtol=1e-4, atol=1e-5, equal_nan=True))
    return type(result) is type(expected) and bool(result == expected)


def shown(result: Any) -> str:
    """A result as it is printed, errors by their first line."""
    if isinstance(result, Exception):
        return f"{type(result).__name__}: {(str(result).splitlines() or [''])[0]}"[:110]
    if isinstance(result, float):
        return f"{result:.6g}"
    text = repr(result)
    return text if len(text) <= 400 else text[:397] + "..."

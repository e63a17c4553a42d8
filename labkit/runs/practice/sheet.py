"""Exercises that check themselves: a sheet that the learner fills in, looked at each time it is saved.

A lab that has them keeps them as data in its practice.py:

    SETUP = "import torch"
    SHEET = (
        predict("rounding", both("Where does a half go?", "0.5 会舍入到哪里？"),
                "torch.round(torch.tensor([0.5, 1.5])).tolist()",
                hint=both("To the even neighbour.", "向偶数舍入。"),
                wrong={"[1.0, 2.0]": both("Not always up.", "并非总是向上。")}),
        fill_in("flip", both("Reverse a vector (N).", "反转向量 (N)。"), "def flip(x):",
                oracle=lambda x: x.flip(0), cases=lambda random, size: (torch.from_numpy(random.randn(size)),),
                without=("flip",), solution="return x[torch.arange(len(x) - 1, -1, -1)]",
                hint=both("Index it.", "用索引。"), wrong=("return x", "return -x")),
    )

No answer is compared with a stored one. What a line gives is found out by running it, on the PyTorch at hand; a
function is compared with its oracle on random inputs, the smallest first, so the first that fails is the smallest
counterexample. Each answer runs in a process of its own, with limits on time, memory and output.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Sequence

import numpy as np

from labkit.base.language import Both, both

NAME = "answers.py"
SIZES = (0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 8)  # of the inputs, in the order in which they are tried

Cases = Callable[[np.random.RandomState, int], Sequence[Any]]


@dataclass(frozen=True)
class Exercise:
    """One of a sheet; of the two kinds below."""

    name: str  # what the learner assigns or defines
    text: Both
    hint: Both
    wrong: Mapping[str, Both | None]  # plausible wrong answers, as source, and what to say of them


@dataclass(frozen=True)
class Predict(Exercise):
    """The learner writes what the last line of `code` gives."""

    code: str


@dataclass(frozen=True)
class FillIn(Exercise):
    """The learner writes a function, or a class, that does on all `cases` as the `oracle`, `without` some words."""

    start: str  # "def flip(x):"
    solution: str  # what comes below it
    oracle: Callable[..., Any]
    cases: Cases
    without: Sequence[str] = ()
    sizes: Sequence[int] = SIZES
    tolerance: float = 1e-5


def predict(name: str, text: Both, code: str, hint: Both, wrong: Mapping[str, Both | None] | Sequence[str]) -> Predict:
    return Predict(name, text, hint, _told(wrong), code)


def fill_in(name: str, text: Both, start: str, hint: Both, wrong: Mapping[str, Both | None] | Sequence[str],
            solution: str, oracle: Callable[..., Any], cases: Cases, **more: Any) -> FillIn:  # fmt: skip
    return FillIn(name, text, hint, _told(wrong), start, solution, oracle, cases, **more)


def _told(wrong: Mapping[str, Both | None] | Sequence[str]) -> Mapping[str, Both | None]:
    return wrong if isinstance(wrong, Mapping) else dict.fromkeys(wrong)


# ---- the sheet ----


def blank(setup: str, sheet: Sequence[Exercise], title: str) -> str:
    """The text of a sheet that nobody has filled in."""
    head = both(
        "Put your answers in place of the dots and save: they are looked at each time. A value is written as Python\n"
        'prints it, and "error" for a line that fails; a function may use whatever is above it.',
        "将省略号换成你的答案并保存：每次保存后都会检查。值按 Python 的打印形式书写，会出错的行写 \"error\"；\n"
        "函数可以使用它上方的任何内容。",
    )  # fmt: skip
    parts = [_comment(f"{title}\n\n{head}"), setup.strip()]
    for number, exercise in enumerate(sheet, start=1):
        parts.append(f"{_comment(f'{number}. {question(exercise)}')}\n{dotted(exercise)}")
    return "\n\n\n".join(parts) + "\n"


def question(exercise: Exercise, gap: str = "\n") -> str:
    """What is asked: the text, then after `gap` the code whose value is predicted, or what must not be used."""
    if isinstance(exercise, Predict):
        return f"{exercise.text}{gap}" + "\n".join(f"    {line}" for line in exercise.code.splitlines())
    rule = exercise.without if isinstance(exercise, FillIn) else ()
    return exercise.text + (f"{gap}{both('without', '不使用')}: {', '.join(rule)}" if rule else "")


def dotted(exercise: Exercise) -> str:
    """The answer that is not given yet, as code."""
    return f"{exercise.start}\n    ..." if isinstance(exercise, FillIn) else f"{exercise.name} = ..."


def _comment(text: str) -> str:
    return "\n".join(f"# {line}".rstrip() for line in text.splitlines())


def parse(content: bytes) -> ast.Module:
    """The sheet as a syntax tree. Raises SyntaxError, also for what is no text."""
    try:
        return ast.parse(content.decode("utf-8-sig").replace("\r\n", "\n"), NAME)
    except (ValueError, RecursionError, MemoryError) as error:  # bytes that are no UTF-8, a null, brackets without end
        raise SyntaxError(str(error)) from None


def answer_to(exercise: Exercise, module: ast.Module) -> ast.stmt | None:
    """The statement that answers the exercise; the last where there are several, None where there is none."""
    found = None
    for statement in module.body:
        if exercise.name in names_of(statement):
            found = statement
    return found


def names_of(statement: ast.stmt) -> list[str]:
    """What the statement assigns or defines."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    targets = [statement.target] if isinstance(statement, ast.AnnAssign) and statement.value else targets
    parts = [part for target in targets for part in getattr(target, "elts", [target])]  # of `a, b = 1, 2`
    return [part.id for part in parts if isinstance(part, ast.Name)]


def is_blank(answer: ast.stmt) -> bool:
    """Whether the dots are still in it."""

    def dots(node: Any) -> bool:
        return isinstance(node, ast.Constant) and node.value is Ellipsis

    if isinstance(answer, (ast.Assign, ast.AnnAssign)):
        return dots(answer.value)
    return any(isinstance(node, ast.Expr) and dots(node.value) for node in ast.walk(answer))


def without(module: ast.Module, kept: ast.stmt | None, sheet: Sequence[Exercise]) -> ast.Module:
    """The sheet with the one answer `kept`, and what that may use: all but the other values that are predicted."""
    predicted = {exercise.name for exercise in sheet if isinstance(exercise, Predict)}

    def stays(statement: ast.stmt) -> bool:
        return statement is kept or not predicted.intersection(names_of(statement))

    return ast.Module(body=[statement for statement in module.body if stays(statement)], type_ignores=[])


def used(words: Sequence[str], answer: ast.AST) -> str:
    """The first of the words that the answer uses: a name, `torch.flip`, `@`, or `for` for any loop; '' for none."""
    loops = (ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    for word in words:
        for node in ast.walk(answer):
            if word == "for" and isinstance(node, loops):
                return word
            if isinstance(node, ast.Name) and node.id == word:
                return word
            if isinstance(node, ast.Attribute) and node.attr == word.rpartition(".")[2]:
                return word
            if word == "@" and isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, ast.MatMult):
                return word
    return ""

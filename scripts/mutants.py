"""Would the tests notice? Change small things of the code, drawn by a seed, one at a time, and run what tests them.

    .venv/dev/bin/python scripts/mutants.py                        # 60 changes, from all of labkit and labs
    .venv/dev/bin/python scripts/mutants.py --count 20 --seed 7 labkit/data labs/cifar10
    .venv/dev/bin/python scripts/mutants.py --list                 # what would be changed, nothing is run

The changes are made in a copy of the working tree; yours stays as it is. A change that the tests notice is killed, and
one that no test notices survived: it is worth a test, unless it changes nothing that anybody could see. Tests are those
files that import the changed module, or, where none does, a module that imports it; the nearest come first.
"""

from __future__ import annotations

import argparse
import ast
import collections
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 1800  # for the tests of one change, of which one that hangs ends by itself; longer is being noticed, too
FILES = 8  # of tests, at most, for one change
STACK = "cpu"  # whose Python runs tests/stack
PARTS = ("unit", "faults", "stack")  # of the tests: the others need an engine, or a browser

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
OPERATIONS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip


@dataclass(frozen=True)
class Change:
    """`old` at these characters of a file's line becomes `new`."""

    path: Path  # below the root
    start: int  # of the characters of the whole file
    end: int
    line: int
    kind: str  # of the node
    old: str
    new: str

    def applied(self, text: str) -> str:
        return text[: self.start] + self.new + text[self.end :]

    def __str__(self) -> str:
        old, new = (" ".join(part.split()) for part in (self.old, self.new))
        return f"{self.path}:{self.line}  {old[:70]}  ->  {new[:70]}"


def changes(path: Path, text: str) -> list[Change]:
    """All changes that can be drawn for this file. Text that people read, types and options stay as they are."""
    starts = [0]
    for row in text.encode().splitlines(keepends=True):  # columns of the tree count bytes
        starts.append(starts[-1] + len(row))
    raw, found = text.encode(), []

    def place(node: ast.AST) -> tuple[int, int]:
        first, last = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]
        return len(raw[:first].decode()), len(raw[:last].decode())

    for node, others in alternatives(ast.parse(text)):
        start, end = place(node)
        for other in others:
            new = other if isinstance(other, str) else ast.unparse(other)
            if isinstance(node, ast.expr) and not isinstance(other, (str, ast.Constant, ast.Name)):
                new = f"({new})"  # it may stand beside an operator that binds more tightly
            found.append(Change(path, start, end, node.lineno, type(node).__name__, text[start:end], new))  # type: ignore[attr-defined]
    return found


def alternatives(tree: ast.AST) -> Iterator[tuple[ast.AST, list[ast.AST | str]]]:
    """Each node that can be changed with what it may become."""
    for node in walk(tree):
        if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
            yield node, [changed(node, ops=[COMPARISONS[type(node.ops[0])](), *node.ops[1:]])]
        elif isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in OPERATIONS and not is_text(node):
            yield node, [changed(node, op=OPERATIONS[type(node.op)]())]
        elif isinstance(node, ast.BoolOp):
            yield node, [changed(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And()), *node.values]
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
            yield node, [node.operand]
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
            yield node, [ast.Constant(not node.value)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            yield node, [ast.Constant(node.value + 1 if isinstance(node.value, int) else node.value * 2)]
        elif isinstance(node, ast.Call):
            yield node, calls(node)
        elif isinstance(node, ast.IfExp):
            yield node, [changed(node, body=node.orelse, orelse=node.body)]
        elif isinstance(node, (ast.If, ast.While)) and not isinstance(node.test, ast.Constant):
            yield node.test, [ast.Constant(False)]
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            yield node, ["pass"]
        elif isinstance(node, ast.Return) and node.value and not isinstance(node.value, ast.Constant):
            yield node, ["return None"]


def calls(node: ast.Call) -> list[ast.AST | str]:
    """The call with its first arguments exchanged, or without one of its named ones."""
    found: list[ast.AST | str] = []
    if len(node.args) > 1 and not any(isinstance(argument, ast.Starred) for argument in node.args[:2]):
        found.append(changed(node, args=[node.args[1], node.args[0], *node.args[2:]]))
    named = [keyword for keyword in node.keywords if keyword.arg]
    return found + [changed(node, keywords=[other for other in node.keywords if other is not one]) for one in named]


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those of annotations, decorators, imports, raised errors, texts in two languages and options."""
    if isinstance(node, (ast.Raise, ast.Assert, ast.Import, ast.ImportFrom, ast.JoinedStr)):
        return
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("both", "option", "say", "warn", "cast"):
        return
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, ast.AST):
                yield from walk(part)


def is_text(node: ast.AST) -> bool:
    """Whether a string takes part, which has no minus."""
    parts = ast.walk(node)
    return any(isinstance(part, ast.JoinedStr) or isinstance(getattr(part, "value", None), str) for part in parts)


def changed(node: ast.AST, **parts: object) -> ast.AST:
    made = copy.copy(node)
    for name, value in parts.items():
        setattr(made, name, value)
    return made


def sources(below: Sequence[str]) -> list[Path]:
    """The files of labkit and labs, or those below the given paths."""
    folders = [ROOT / name for name in below or ("labkit", "labs")]
    files = [file for folder in folders for file in ([folder] if folder.is_file() else sorted(folder.rglob("*.py")))]
    return [file.relative_to(ROOT) for file in files if file.name != "__init__.py"]


def draw(files: Sequence[Path], count: int, seed: int) -> list[Change]:
    """`count` changes by `seed`: each kind of node is as likely as any other, and so is each place of a kind."""
    kinds: dict[str, list[Change]] = collections.defaultdict(list)
    for file in files:
        for change in changes(file, (ROOT / file).read_text(encoding="utf-8")):
            kinds[change.kind].append(change)
    chance = random.Random(seed)
    drawn: list[Change] = []
    while len(drawn) < count and any(kinds.values()):
        those = kinds[chance.choice(sorted(kind for kind, left in kinds.items() if left))]
        drawn.append(those.pop(chance.randrange(len(those))))
    return drawn


# ---- which tests ----


def module_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts)


def imported(path: Path) -> set[str]:
    """The modules of labkit and labs that a file imports, wherever in it; a started program counts as well."""
    text = path.read_text(encoding="utf-8")
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if name.startswith(("labkit", "labs"))}


def touching(change: Change) -> list[Path]:
    """The files of tests for a change, the nearest first: breadth first through who imports whom; or its lab's."""
    files = sources(["labkit", "labs", *(f"tests/{part}" for part in PARTS)])
    imports = {path: imported(ROOT / path) for path in files}
    users = collections.defaultdict(set)
    for path, names in imports.items():
        for name in names:
            users[name].add(path)
    found: list[Path] = []
    seen, ring = {change.path}, [change.path]
    while ring and len(found) < FILES:
        near = sorted({user for path in ring for user in users[module_of(path)]} - seen)
        seen |= set(near)
        tests = [path for path in near if path.name.startswith("test_")]
        found += sorted(tests, key=lambda path: (change.path.stem not in path.name, len(imports[path]), path))
        ring = [path for path in near if path not in tests]
    if not found and change.path.parts[0] == "labs":  # what a program finds by its name: sheets, steps
        found = [path for path in sorted(imports) if path.stem == f"test_{change.path.parts[1]}"]
    return found[:FILES]


# ---- trying one ----


def prepare(folder: Path) -> Path:
    """A copy of the working tree in `folder` that uses the environments of this one."""
    everywhere = shutil.ignore_patterns(".git", ".venv", ".gpu", "__pycache__", ".*_cache")

    def left_out(below: str, names: list[str]) -> set[str]:
        return everywhere(below, names) | ({"data", "runs"} if Path(below) == ROOT else set())

    tree = folder / "tree"
    shutil.copytree(ROOT, tree, ignore=left_out)
    (tree / ".venv").symlink_to(ROOT / ".venv")
    return tree


def notices(tree: Path, tests: Sequence[Path], limit_s: float) -> str:
    """The first test that fails in `tree`, "too slow" past the limit, "" where all pass."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    end = time.monotonic() + limit_s
    for test in tests:
        python = ROOT / ".venv" / (STACK if "stack" in test.parts else "dev") / "bin" / "python"
        command = [str(python), "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--tb=no"]
        command += ["-m", "not long", str(test)]
        try:
            done = subprocess.run(command, cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, timeout=max(end - time.monotonic(), 1))  # fmt: skip
        except subprocess.TimeoutExpired:
            return "too slow"
        if done.returncode not in (0, 5):  # 5: there was nothing to run
            failed = [row.split(" - ")[0] for row in done.stdout.splitlines() if row.startswith(("FAILED", "ERROR"))]
            return failed[0] if failed else f"{test} ended with status {done.returncode}"
    return ""


def verdict(change: Change, tree: Path) -> str:
    """What becomes of one change: "killed by …", "survived …", or why that cannot be said."""
    tests = touching(change)
    if not tests:
        return "survived: no test imports it"
    file = tree / change.path
    text = file.read_text(encoding="utf-8")
    file.write_text(change.applied(text), encoding="utf-8")
    try:
        killer = notices(tree, tests, LIMIT_S)
    finally:
        file.write_text(text, encoding="utf-8")
    return f"killed by {killer}" if killer else f"survived {', '.join(path.stem for path in tests)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", help="files or folders to draw from (default: labkit and labs)")
    parser.add_argument("--count", type=int, default=60, help="changes to draw (default: 60)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    parser.add_argument("--list", action="store_true", help="only say what would be changed, and which tests would run")
    asked = parser.parse_args()
    drawn = draw(sources(asked.paths), asked.count, asked.seed)
    counted: collections.Counter[tuple[str, str]] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        tree = prepare(Path(folder))
        for number, change in enumerate(drawn, 1):
            said = ", ".join(map(str, touching(change))) or "none" if asked.list else verdict(change, tree)
            print(f"{number:3} {change}\n      {said}", flush=True)
            counted[("/".join(change.path.parts[:2]), said.split()[0].rstrip(":"))] += 1
    if not asked.list:
        for area in sorted({area for area, _ in counted}):
            print(f"{area:24} {counted[area, 'killed']} killed, {counted[area, 'survived']} survived")
        killed = sum(number for (_, said), number in counted.items() if said == "killed")
        print(f"seed {asked.seed}: {killed} of {len(drawn)} killed")
    return 0


if __name__ == "__main__":
    sys.exit(main())

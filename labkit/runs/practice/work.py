"""A practice as a run: the sheet lies in its folder, and is looked at each time it is saved."""

from __future__ import annotations

import ast
import time
from pathlib import Path
from typing import Callable, Iterator, Mapping, Sequence
from urllib.parse import quote

from labkit.base import files, paths, settings
from labkit.base.console import say, warn
from labkit.base.errors import UserError, nearest
from labkit.base.language import both
from labkit.base.paths import shown
from labkit.runs.practice.checker import SIGNS, Checker, Verdict, value_of
from labkit.runs.practice.sheet import NAME, Exercise, FillIn, Predict, answer_to, blank, parse
from labkit.runs.run import Run

MOST_BYTES = {".py": 1 << 20, ".ipynb": 1 << 24}  # of a sheet; a notebook holds what its cells printed and drew
LOOK_EVERY_S = 0.2
GONE_S = 3.0  # after which a sheet that is no longer there is written again; some programs save by renaming


def tell(sheet: Sequence[Exercise], name: str, what: str, setup: str, lab: str) -> None:
    """Print the hint or the solution of an exercise."""
    exercise = next((each for each in sheet if each.name == name), None)
    if exercise is None:
        names = [each.name for each in sheet]
        raise UserError(f"there is no exercise {name} ({nearest(name, names)})", f"./inv practice {lab}")
    if what == "hint":
        print(exercise.hint)
    elif isinstance(exercise, Predict):
        value, error = value_of(exercise.code, setup)
        print(f"{exercise.name} = {value!r}" + (f"  # {error}" if error else ""))
    elif isinstance(exercise, FillIn):
        print(exercise.start, *(f"    {line}" for line in exercise.solution.splitlines()), sep="\n")


def work(setup: str, sheet: Sequence[Exercise], run: Run) -> dict[str, float]:
    """Look at the run's sheet each time it is saved, until all is right; returns how much is."""
    state = run.restore() or {"attempt": 0}
    path, read = _opened(setup, sheet, run)
    checker = Checker(setup, sheet)
    verdicts: dict[str, Verdict] = {}
    for content in _versions(path, lambda: run.checkpoint(state["attempt"], lambda: state)):
        try:
            module = read(content)
            found = checker.check(module)
        except SyntaxError as error:
            line = error.lineno or 1
            warn(str(both(f"{path.name}, line {line}: {error.msg}", f"{path.name} 第 {line} 行：{error.msg}")))
            continue
        if not any(answer_to(exercise, module) for exercise in sheet):
            warn(str(both("it answers none of these exercises; is it the sheet of another lab?",
                          "其中没有本练习的任何答案；是否是另一个实验的答题纸？")))  # fmt: skip
        state["attempt"] += 1
        _tell_changes(sheet, verdicts, found, run.lab)
        verdicts = found
        solved = sum(verdict.state == "right" for verdict in verdicts.values())
        _show(run, sheet, verdicts)
        run.log(state["attempt"], solved=solved)
        run.checkpoint(state["attempt"], lambda: state, last=True)
        run.record("running")
        if solved == len(sheet):
            say(str(both("all of it is right", "全部正确")))
            break
    return {
        "solved": sum(verdict.state == "right" for verdict in verdicts.values()),
        "exercises": len(sheet),
    }


def _opened(setup: str, sheet: Sequence[Exercise], run: Run) -> tuple[Path, Callable[[bytes], ast.Module]]:
    """The run's sheet, made where there is none, and how it is read: a file, or a notebook where that is wanted."""
    title = both(str(run.facts["title"]), str(run.facts["title_zh"]))
    path, notebook, jupyter = run.folder / NAME, run.folder / "answers.ipynb", settings.current().jupyter
    if not jupyter and not notebook.exists():
        if not path.exists():
            files.write_text(path, blank(setup, sheet, title))
        en, zh = f"your sheet: {shown(path)} - save it, and it is looked at", f"你的答题纸：{shown(path)}，保存后即检查"
        say(str(both(en, zh)))
        return path, parse
    from labkit.runs.practice import cells  # after a second, and only here

    if not notebook.exists():
        files.write_text(notebook, cells.notebook(setup, sheet, title, path.read_bytes() if path.exists() else b""))
    address, _, token = jupyter.partition("?")
    inside = "/".join(map(quote, notebook.relative_to(paths.ROOT).parts)) if jupyter else ""
    where = f"{address}lab/tree/{inside}?{token}" if jupyter else shown(notebook)
    en, zh = "a cell is looked at when you run it, and counts when you save", "运行单元格即检查，保存后计入成绩"
    say(str(both(f"your sheet: {where}\n  {en}", f"你的答题纸：{where}\n  {zh}")))
    return notebook, lambda content: cells.parse(content, sheet)


def _versions(path: Path, between: Callable[[], None]) -> Iterator[bytes]:
    """The content of the sheet, at once and after each change; `between` is called while nothing happens."""
    seen, kept, gone_since, most = None, b"", 0.0, MOST_BYTES[path.suffix]
    while True:
        between()
        try:
            state = path.stat()
            now = (state.st_mtime_ns, state.st_size, state.st_ino)
            if now != seen:
                seen, gone_since = now, 0.0
                with path.open("rb") as stream:
                    content = stream.read(most + 1)
                if len(content) > most:
                    en = f"{path.name} is larger than {most >> 20} MB and is not read"
                    warn(str(both(en, f"{path.name} 超过 {most >> 20} MB，不予读取")))
                elif content != kept or not kept:
                    kept = content
                    yield content
                continue
        except FileNotFoundError:
            gone_since = gone_since or time.monotonic()
            if time.monotonic() - gone_since > GONE_S and kept:
                files.write_bytes(path, kept)
                seen = None
                en = f"{path.name} was gone and is here again, as it was last saved"
                warn(str(both(en, f"{path.name} 已丢失，现已按最后保存的内容恢复")))
        except OSError as error:
            raise UserError(f"{shown(path)} cannot be read: {error.strerror or error}") from None
        time.sleep(LOOK_EVERY_S)


def _tell_changes(
    sheet: Sequence[Exercise], before: Mapping[str, Verdict], now: Mapping[str, Verdict], lab: str
) -> None:
    for exercise in sheet:
        verdict = now[exercise.name]
        if verdict.state != "blank" and before.get(exercise.name) != verdict:
            say(verdict.told(exercise.name))
    solved = sum(verdict.state == "right" for verdict in now.values())
    following = next((exercise for exercise in sheet if now[exercise.name].state != "right"), None)
    done = round(20 * solved / len(sheet))
    say(f"[{'#' * done}{'.' * (20 - done)}] {solved}/{len(sheet)}"
        + (str(both(f"  next: {following.name}", f"  下一题：{following.name}"))
           + f" (./inv practice {lab} --hint {following.name})" if following else ""))  # fmt: skip


def _show(run: Run, sheet: Sequence[Exercise], verdicts: Mapping[str, Verdict]) -> None:
    found = [verdicts[exercise.name] for exercise in sheet]
    rows = [[str(number), exercise.name, SIGNS[verdict.state], verdict.said or exercise.text]
            for number, (exercise, verdict) in enumerate(zip(sheet, found), start=1)]  # fmt: skip
    run.table("practice", ["", both("exercise", "习题"), both("verdict", "结果"), ""], rows,
              both("The sheet as it was last saved.", "答题纸最后一次保存时的状态。"))  # fmt: skip

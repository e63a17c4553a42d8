"""Whether answers are right: each is judged in a process of its own, with limits on time, memory and output."""

from __future__ import annotations

import ast
import contextlib
import copy
import faulthandler
import functools
import json
import math
import os
import resource
import select
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

import numpy as np
import torch

from labkit.base.language import Both, both, each, joined
from labkit.runs.practice.sheet import NAME, Exercise, FillIn, Predict, answer_to, is_blank, used, without

LIMIT_S = 2.0
MEMORY_BYTES = 1 << 30  # beyond what the process has already
PRINTED_BYTES = 1 << 20
ERROR = "error"  # what a learner writes for a line that fails


SIGNS = {"right": both("right", "正确"), "wrong": both("wrong", "错误"), "blank": both("not yet", "未作答")}


@dataclass(frozen=True)
class Verdict:
    """What became of one exercise."""

    state: str  # right, wrong, blank
    said: Both = field(default_factory=lambda: both("", ""))

    def told(self, name: str) -> str:
        """The line that says it of the exercise `name`."""
        return f"  {SIGNS[self.state]:8} {name}{': ' if self.said else ''}{self.said}"


BLANK, RIGHT = Verdict("blank"), Verdict("right")


def wrong(en: str, zh: str) -> Verdict:
    return Verdict("wrong", both(en, zh))


class Checker:
    """Looks at a sheet again and again; what did not change is not run a second time."""

    def __init__(self, setup: str, sheet: Sequence[Exercise]) -> None:
        self.setup, self.sheet = setup, sheet
        self._rest = ("", RIGHT)  # what stands beside the answers, and whether that runs
        self._known: dict[str, tuple[str, Verdict]] = {}  # name -> what was run, and what became of it

    def check(self, module: ast.Module) -> dict[str, Verdict]:
        """A verdict on every exercise. Raises SyntaxError where what stands beside the answers fails."""
        rest = without(module, None, self.sheet)
        what = ast.dump(rest)
        if self._rest[0] != what:
            self._rest = (what, in_a_process(functools.partial(_run, rest)))
        if self._rest[1].state == "wrong":
            raise SyntaxError(self._rest[1].said)
        verdicts = {}
        for exercise in self.sheet:
            answer = answer_to(exercise, module)
            if answer is None or is_blank(answer):
                verdicts[exercise.name] = BLANK
                continue
            reduced = without(module, answer, self.sheet)
            what = ast.dump(reduced)
            known, verdict = self._known.get(exercise.name, ("", BLANK))
            if known != what:
                judge = functools.partial(_judge, exercise, reduced, self.setup)
                verdict = self._rules(exercise, answer) or in_a_process(judge)
                self._known[exercise.name] = (what, verdict)
            verdicts[exercise.name] = verdict
        return verdicts

    @staticmethod
    def _rules(exercise: Exercise, answer: ast.stmt) -> Verdict | None:
        if isinstance(exercise, FillIn):
            word = used(exercise.without, answer)
            return wrong(f"write it without {word}", f"请不要使用 {word}") if word else None
        if isinstance(answer, (ast.Assign, ast.AnnAssign)) and answer.value and _computes(answer.value):
            return wrong(
                "write the value that you expect, and not what computes it", "请写出预期的值，而不是计算它的代码"
            )
        return None


def _computes(value: ast.expr) -> bool:
    """Whether an expression calls anything but what is needed to write a value down."""
    calls = [node.func for node in ast.walk(value) if isinstance(node, ast.Call)]
    return any(not isinstance(call, ast.Name) or call.id not in ("float", "complex", "set", "slice") for call in calls)


def _run(module: ast.Module) -> Verdict:
    """Whether it runs."""
    try:
        exec(compile(ast.fix_missing_locations(module), NAME, "exec"), {"__name__": "answers"})
    except Exception as error:
        return wrong(f"it fails: {_error(error)}", f"运行出错：{_error(error)}")
    return RIGHT


def _judge(exercise: Exercise, module: ast.Module, setup: str) -> Verdict:
    space: dict[str, Any] = {"__name__": "answers", "nan": math.nan, "inf": math.inf}
    exec(compile(setup, "<setup>", "exec"), space)
    try:
        exec(compile(ast.fix_missing_locations(module), NAME, "exec"), space)
    except Exception as error:
        return wrong(f"it fails: {_error(error)}", f"运行出错：{_error(error)}")
    answer = space[exercise.name]
    if isinstance(exercise, Predict):
        return _judge_value(exercise, answer, setup)
    assert isinstance(exercise, FillIn)
    return _judge_function(exercise, answer)


def _judge_value(exercise: Predict, answer: Any, setup: str) -> Verdict:
    right, error = value_of(exercise.code, setup)
    if alike(answer, right, 1e-3):
        return RIGHT
    here = f"PyTorch {torch.__version__.partition('+')[0]}"
    for source, said in exercise.wrong.items():
        if said is not None and alike(answer, eval(source, {"nan": math.nan, "inf": math.inf}), 1e-3):
            return Verdict("wrong", said)
    if error:
        return wrong(
            f"not {short(answer)}: in {here} this line fails", f"不是 {short(answer)}：在 {here} 中这一行会出错"
        )
    if answer == ERROR:
        return wrong(f"in {here} this line does not fail", f"在 {here} 中这一行不会出错")
    return wrong(f"{here} does not give {short(answer)}", f"{here} 给出的不是 {short(answer)}")


def value_of(code: str, setup: str) -> tuple[Any, str]:
    """What the last line of `code` gives here, and the error where it fails, whose value is "error"."""
    space: dict[str, Any] = {}
    exec(compile(setup, "<setup>", "exec"), space)
    module = ast.parse(code)
    last = module.body.pop()
    assert isinstance(last, ast.Expr)
    try:
        exec(compile(module, "<exercise>", "exec"), space)
        return eval(compile(ast.Expression(last.value), "<exercise>", "eval"), space), ""
    except Exception as error:
        return ERROR, _error(error)


def _judge_function(exercise: FillIn, answer: Any) -> Verdict:
    for size in exercise.sizes:
        random = np.random.RandomState(size)
        given = exercise.cases(random, size)
        expected = exercise.oracle(*copy.deepcopy(given))
        inputs = ", ".join(map(short, given))
        try:
            got = answer(*copy.deepcopy(given))
        except Exception as error:
            if isinstance(error, MemoryError) or "allocate memory" in str(error):  # as PyTorch says it
                raise MemoryError from None
            return wrong(f"for {inputs} it fails: {_error(error)}", f"输入 {inputs} 时出错：{_error(error)}")
        if not alike(got, expected, exercise.tolerance):
            right, other = apart(expected, got)
            return wrong(f"for {inputs}: {right}, and not {other}", f"输入 {inputs}：应为 {right}，而不是 {other}")
    return RIGHT


def alike(got: Any, expected: Any, tolerance: float) -> bool:
    """Whether two values are the same: of one kind, one shape and one dtype, numbers as near as `tolerance`."""
    if isinstance(expected, torch.Tensor):
        if not isinstance(got, torch.Tensor) or got.shape != expected.shape or got.dtype != expected.dtype:
            return False
        return alike(got.detach().cpu().numpy(), expected.detach().cpu().numpy(), tolerance)
    if isinstance(expected, np.ndarray):
        if not isinstance(got, np.ndarray) or got.shape != expected.shape or got.dtype != expected.dtype:
            return False
        if expected.dtype.kind in "fc":
            return bool(np.allclose(got, expected, rtol=tolerance, atol=tolerance, equal_nan=True))
        return bool((got == expected).all())
    if isinstance(expected, (list, tuple)):  # a torch.Size is a tuple
        same = isinstance(got, (list, tuple)) and len(got) == len(expected)
        return same and all(alike(one, other, tolerance) for one, other in zip(got, expected))
    if isinstance(expected, Mapping):
        same = isinstance(got, Mapping) and set(got) == set(expected)
        return same and all(alike(got[key], expected[key], tolerance) for key in expected)
    if isinstance(expected, bool) or isinstance(got, bool):
        return got is expected
    if isinstance(expected, (int, float, np.number)) and isinstance(got, (int, float, np.number)):
        both_nan = math.isnan(expected) and math.isnan(got)
        return both_nan or math.isclose(got, expected, rel_tol=tolerance, abs_tol=tolerance)
    return type(got) is type(expected) and bool(got == expected)


def short(value: Any) -> str:
    """A value as one line of at most 160 characters."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        kind = "tensor" if isinstance(value, torch.Tensor) else "array"
        few = np.prod(value.shape) <= 64
        text = f"{kind}({_rounded(value.tolist())})" if few else f"{kind} {tuple(value.shape)}"
    else:
        text = repr(_rounded(value))
    text = " ".join(text.split())
    return text if len(text) <= 160 else text[:157] + "..."


def apart(expected: Any, got: Any) -> tuple[str, str]:
    """The two as texts that tell them apart: numbers, or shape and dtype where these differ."""
    kinds = [value for value in (expected, got) if isinstance(value, (torch.Tensor, np.ndarray))]
    if len(kinds) == 2 and (expected.shape != got.shape or expected.dtype != got.dtype):
        one, other = (f"{tuple(value.shape)} {str(value.dtype).replace('torch.', '')}" for value in kinds)
        return one, other
    return short(expected), short(got)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    return [_rounded(each) for each in value] if isinstance(value, list) else value


def _error(error: BaseException) -> str:
    """An exception as one line, with where in the sheet it was raised."""
    lines = str(error).strip().splitlines() or [""]
    place, trace = "", error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == NAME:
            place = f" ({NAME}:{trace.tb_lineno})"
        trace = trace.tb_next
    return f"{type(error).__name__}: {lines[0][:160]}{place}".replace(": (", " (")


def in_a_process(judge: Callable[[], Verdict]) -> Verdict:
    """What `judge` finds, in a process of its own: an endless loop, an abort or a lack of memory costs this answer."""
    reader, writer = os.pipe()
    with tempfile.TemporaryFile() as printed:
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _be_the_child(judge, writer, printed.fileno())
        os.close(writer)
        said = _read_until(reader, time.monotonic() + LIMIT_S)
        os.close(reader)
        if said is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(ProcessLookupError):  # what it started itself
            os.killpg(child, signal.SIGKILL)
        printed.seek(0)
        output = " ".join(printed.read(2000).decode("utf-8", "replace").split())[:120]
    if said is None:
        verdict = wrong(f"it took longer than {LIMIT_S:g} s", f"超过了 {LIMIT_S:g} 秒")
    elif not said:
        verdict = _ended(status)
    else:
        verdict = Verdict(said["state"], both(said["en"], said["zh"]))
    if output and verdict.state == "wrong":
        verdict = Verdict("wrong", joined("", (verdict.said, both(f"; it printed: {output}", f"；它打印了：{output}"))))
    return verdict


def _be_the_child(judge: Callable[[], Verdict], writer: int, printed: int) -> None:
    """Judge, tell the parent, and end, whatever happens."""
    try:
        os.setpgid(0, 0)
        faulthandler.disable()  # an abort is told of by the parent, in one line
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, stream in enumerate((nothing, printed, printed)):
            os.dup2(stream, number)
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
        sys.stdout = sys.stderr = os.fdopen(1, "w", encoding="utf-8", closefd=False, buffering=1)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # which Python ignores
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (PRINTED_BYTES, PRINTED_BYTES))
        with contextlib.suppress(OSError, ValueError):  # where the system does not say how much it has
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
            limit = pages * resource.getpagesize() + MEMORY_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        torch.set_num_threads(1)  # those of the parent are not here, and would be waited for
        try:
            verdict = judge()
        except MemoryError:
            verdict = wrong("it asks for more memory than 1 GB", "所需内存超过 1 GB")
        except SystemExit:
            verdict = wrong("it ended the process", "它结束了进程")
        sys.stdout.flush()
        os.write(writer, json.dumps({"state": verdict.state, **each(verdict.said)}).encode())
    finally:
        os._exit(0)


def _read_until(reader: int, deadline: float) -> dict[str, str] | None:
    """What the child said; {} where it ended without a word, None where it took too long."""
    content = b""
    while True:
        ready = select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]
        if not ready:
            return None
        part = os.read(reader, 1 << 16)
        if not part:
            break
        content += part
    try:
        said = json.loads(content)
        return {key: str(said[key]) for key in ("state", "en", "zh")} if said["state"] in ("right", "wrong") else {}
    except (ValueError, TypeError, KeyError):
        return {}


def _ended(status: int) -> Verdict:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGXFSZ:
            return wrong("it prints or writes more than 1 MB", "它打印或写出的内容超过 1 MB")
        name = signal.Signals(number).name
        return wrong(f"it ended the process ({name})", f"它结束了进程（{name}）")
    return wrong("it ended the process", "它结束了进程")

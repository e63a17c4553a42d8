"""`./inv test`: the tools' tests, then the tests inside each stack family, and one closing line over all of them.

tests/unit and tests/faults run with the development tools' Python and never see torch; so do tests/containers, where an
engine answers, and tests/browser, where there is a Chromium; tests/stack runs inside each stack, by that stack's own
Python. $LAB_TEST_REQUIRE names what must not be missing (`notes`, `docker`, `browser`): without it, what cannot run
here is left out with its reason, with it that is a failure.

Tests run side by side, one file in each process (pytest-xdist): most of them wait or train networks too small for many
threads. Those of containers take turns, since they share the images that the first of them builds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Callable

from labkit.base import paths
from labkit.base.console import say, warn
from labkit.base.errors import UserError, nearest
from labkit.stacks import catalog, machine, native, runner, selection, visdom_page

REQUIRED = os.environ.get("LAB_TEST_REQUIRE", "").split(",")
PARTS = ("unit", "faults", "containers", "stack", "browser")
FAMILIES = ("cpu", "notes")  # one stack of each family of PyTorch; the others differ in CUDA only
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass
class Count:
    """How many tests of one kind ended how."""

    kind: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0


def run_all(stack: str, only: str, arguments: list[str]) -> int:
    """Run the tests, all, one of PARTS or those inside one stack, with pytest's own `arguments`; 0 when none failed."""
    if stack and stack not in FAMILIES:
        raise UserError(f"--stack: tests run inside {' or '.join(FAMILIES)}.", "./inv test --stack notes")
    if only and only not in PARTS:
        raise UserError(f"--only: there is no part '{only}' ({nearest(only, list(PARTS))}).", "./inv test --only unit")
    if stack and only not in ("", "stack"):
        raise UserError(f"--stack runs the part stack, not {only}.", f"./inv test --stack {stack}")
    found = machine.probe()
    wanted = ["stack"] if stack else [only] if only else list(PARTS)
    counts = []
    for part in wanted:  # the browser's come last, since they want the stacks
        if part == "stack":
            families = [stack] if stack else FAMILIES
            counts += [inside(name, found, arguments, insist=name == stack) for name in families]
        else:
            counts.append(ON_THE_HOST[part](found, arguments))
    say("")
    for count in counts:
        say(f"{count.kind}: {count.passed} passed, {count.failed} failed, {count.skipped} skipped")
    passed, failed, skipped = (sum(getattr(count, key) for count in counts) for key in ("passed", "failed", "skipped"))
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if failed or not passed else 0


def tools(part: str, found: machine.Machine, arguments: list[str]) -> Count:
    """The tests of the tools themselves, tests/unit or tests/faults."""
    return pytest(part, tools_python(), [f"tests/{part}", *arguments], at_once(found))


def containers(found: machine.Machine, arguments: list[str]) -> Count:
    """The tests that build images and run containers."""
    if found.engine.problem:
        return left_out("containers", found.engine.problem, "docker" in REQUIRED)
    return nothing_skipped(pytest("containers", tools_python(), ["tests/containers", *arguments]), "docker")


def browser(found: machine.Machine, arguments: list[str]) -> Count:
    """The tests that look at the pages in a real Chromium."""
    if not find_browser():
        return left_out("browser", f"there is no {BROWSERS[0]}", "browser" in REQUIRED)
    try:
        for name in FAMILIES:
            if native.ready(catalog.load(name), catalog.load(name).build()):
                visdom_page.ensure(catalog.load(name))
    except UserError as error:
        return left_out("browser", str(error), "browser" in REQUIRED)
    count = pytest("browser", tools_python(), ["tests/browser", *arguments], at_once(found))
    return nothing_skipped(count, "browser")


ON_THE_HOST: dict[str, Callable[[machine.Machine, list[str]], Count]] = {
    "unit": partial(tools, "unit"), "faults": partial(tools, "faults"), "containers": containers, "browser": browser,
}  # fmt: skip


def find_browser() -> str:
    """The Chromium of this machine, '' where there is none."""
    return next((found for found in map(shutil.which, BROWSERS) if found), "")


def tools_python() -> runner.Command:
    return runner.Command((str(native.make_tools("dev") / "bin" / "python"),), {})


def nothing_skipped(count: Count, name: str) -> Count:
    """`count`, with what was skipped as failed where $LAB_TEST_REQUIRE has `name`."""
    if name in REQUIRED and count.skipped:
        warn(f"a test of {count.kind} was skipped, and LAB_TEST_REQUIRE={name} does not allow that")
        count.failed, count.skipped = count.failed + count.skipped, 0
    return count


def inside(name: str, found: machine.Machine, arguments: list[str], insist: bool) -> Count:
    """The tests inside the native environment of one stack."""
    stack = catalog.load(name)
    try:
        native.ensure(stack, stack.build())
    except UserError as error:
        return left_out(name, str(error), insist or name in REQUIRED)
    choice = selection.choose([], "", asked=name)
    return pytest(name, runner.python_command([], choice, "venv", found), ["tests/stack", *arguments], at_once(found))


def at_once(found: machine.Machine) -> int:
    """How many tests may run at once: one for each core, while there are 4 GB of memory for each.

    The hungriest file took 2.7 GB (test_detectron2.py and test_processes.py on `cpu`, 2026-11-25).
    """
    return max(1, min(found.cores, int(found.memory_gb // 4)))


def left_out(kind: str, reason: str, required: bool) -> Count:
    """The count of tests that could not even start."""
    warn(f"tests of {kind} left out: {reason}")
    return Count(kind, failed=int(required), skipped=int(not required))


def pytest(kind: str, python: runner.Command, arguments: list[str], processes: int = 1) -> Count:
    """One pytest, in several processes, and what it counted; an end without a count is one failure."""
    say(f"\n== tests: {kind} ==")
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.xml"
        command = [*python.argv, "-m", "pytest", f"--junitxml={result}", "-o", "junit_family=xunit2"]
        command += ["--durations=20", "--durations-min=2"]
        environment = {**os.environ, **python.environment}
        if processes > 1:
            command += ["--numprocesses", str(processes), "--dist", "loadfile"]  # a file's tests share what they made
            environment["OMP_NUM_THREADS"] = "1"  # more threads than cores would wait for each other
        command += arguments
        status = subprocess.run(command, cwd=paths.ROOT, env=environment).returncode
        if not result.exists():
            return Count(kind, failed=1)
        suite = next(ElementTree.parse(result).getroot().iter("testsuite")).attrib
    total, skipped = int(suite["tests"]), int(suite["skipped"])
    failed = int(suite["failures"]) + int(suite["errors"])
    if status not in (0, 5):  # 5: nothing was selected, as with -k
        failed = max(failed, 1)
    return Count(kind, max(total - failed - skipped, 0), failed, skipped)

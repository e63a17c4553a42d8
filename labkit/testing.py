"""`./inv test`: the tools' tests, then the tests inside each stack family, and one closing line over all of them.

tests/unit and tests/faults run with the development tools' Python and never see torch; so do tests/containers, where an
engine answers, and tests/browser, where there is a Chromium; tests/stack runs inside each stack, by that stack's own
Python. What cannot run here is left out with its reason; `--require` names what must not be (`notes`, `docker`,
`browser`), and then that is a failure.

A run of everything leaves out what is marked `long`, and has what is marked `slow` in the first stack alone; a part or
a stack that is asked for by name (`--only`, `--stack`) runs all that it has.

Tests run side by side, one file in each process (pytest-xdist): most of them wait or train networks too small for many
threads. Those of containers share the images that the first of them builds, and so one stack is in each process; they
mostly wait for the engine, and in a run of everything those of the tools run meanwhile.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Callable, Sequence

from labkit.base import hardware, paths, settings
from labkit.base.console import say, warn
from labkit.base.errors import UserError, nearest
from labkit.stacks import builds, catalog, native, runner, selection, visdom_page
from labkit.stacks.machine import Machine, probe

PARTS = ("unit", "faults", "containers", "stack", "browser")
EXPECT = "expect"  # what the labs promise: by name alone, since it trains for minutes (labkit/cli/expect.py)
FAMILIES = ("cpu", "notes")  # one stack of each family of PyTorch; the others differ in CUDA only
REQUIRABLE = ("notes", "docker", "browser")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass
class Count:
    """How many tests of one kind ended how."""

    kind: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass(frozen=True)
class Wanted:
    """What the parts are told: the machine, what must not be missing, and pytest's own arguments."""

    machine: Machine
    required: Sequence[str]
    arguments: Sequence[str]
    everything: bool = False  # no part and no stack was asked for by name

    def but(self, *marks: str) -> list[str]:
        """pytest's arguments without the tests of these marks, where everything else runs, too."""
        return ["-m", f"not ({' or '.join(marks)})", *self.arguments] if self.everything else [*self.arguments]


def run_all(stack: str, only: str, required: Sequence[str], arguments: Sequence[str]) -> int:
    """Run the tests, all, one of PARTS or those inside one stack, with pytest's own `arguments`; 0 when none failed."""
    if stack and stack not in FAMILIES:
        raise UserError(f"--stack: tests run inside {' or '.join(FAMILIES)}", "./inv test --stack notes")
    if only and only not in PARTS:
        hint = nearest(only, [*PARTS, EXPECT])
        raise UserError(f"--only: there is no part '{only}' ({hint})", "./inv test --only unit")
    if stack and only not in ("", "stack"):
        raise UserError(f"--stack runs the part stack, not {only}", f"./inv test --stack {stack}")
    for name in required:
        if name not in REQUIRABLE:
            raise UserError(f"--require: there is no '{name}' ({nearest(name, REQUIRABLE)})", "./inv --help test")
    wanted = Wanted(probe(), required, arguments, everything=not (stack or only))
    parts = ["stack"] if stack else [only] if only else list(PARTS)
    counts = []
    with ThreadPoolExecutor(1) as beside:
        tools_python()  # which two parts would make at once
        meanwhile = {"containers": beside.submit(containers, wanted, True)} if wanted.everything else {}
        for part in parts:  # the browser's come last, since they want the stacks
            if part == "stack":
                families = [stack] if stack else FAMILIES
                counts += [inside(name, wanted, insist=name == stack) for name in families]
            else:
                counts.append(meanwhile[part].result() if part in meanwhile else ON_THE_HOST[part](wanted))
    say("")
    for count in counts:
        say(f"{count.kind}: {count.passed} passed, {count.failed} failed, {count.skipped} skipped")
    passed, failed, skipped = (sum(getattr(count, key) for count in counts) for key in ("passed", "failed", "skipped"))
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if failed or not passed else 0


def tools(part: str, wanted: Wanted) -> Count:
    """The tests of the tools themselves, tests/unit or tests/faults."""
    return pytest(part, tools_python(), [f"tests/{part}", *wanted.arguments], at_once(wanted.machine))


def containers(wanted: Wanted, meanwhile: bool = False) -> Count:
    """The tests that build images and run containers; `meanwhile`: beside those of other parts."""
    if wanted.machine.engine.problem:
        return left_out("containers", wanted.machine.engine.problem, "docker" in wanted.required)
    arguments = ["tests/containers", *wanted.but("long")]
    processes = min(2, at_once(wanted.machine))  # one for each stack
    count = pytest("containers", tools_python(), arguments, processes, meanwhile)
    return nothing_skipped(count, "docker", wanted)


def browser(wanted: Wanted) -> Count:
    """The tests that look at the pages in a real Chromium."""
    if not find_browser():
        return left_out("browser", f"there is no {BROWSERS[0]}", "browser" in wanted.required)
    try:
        for name in FAMILIES:
            if native.ready(catalog.load(name), builds.made(catalog.load(name))):
                visdom_page.ensure(catalog.load(name))
    except UserError as error:
        return left_out("browser", str(error), "browser" in wanted.required)
    count = pytest("browser", tools_python(), ["tests/browser", *wanted.arguments], at_once(wanted.machine))
    return nothing_skipped(count, "browser", wanted)


ON_THE_HOST: dict[str, Callable[[Wanted], Count]] = {
    "unit": partial(tools, "unit"), "faults": partial(tools, "faults"), "containers": containers, "browser": browser,
}  # fmt: skip


def find_browser() -> str:
    """The Chromium of this machine, '' where there is none."""
    return next((found for found in map(shutil.which, BROWSERS) if found), "")


def tools_python() -> runner.Command:
    return runner.Command((str(native.make_tools("dev") / "bin" / "python"),), {})


def nothing_skipped(count: Count, name: str, wanted: Wanted) -> Count:
    """`count`, with what was skipped as failed where `name` is required."""
    if name in wanted.required and count.skipped:
        warn(f"a test of {count.kind} was skipped, and --require {name} does not allow that")
        count.failed, count.skipped = count.failed + count.skipped, 0
    return count


def inside(name: str, wanted: Wanted, insist: bool) -> Count:
    """The tests inside the native environment of one stack."""
    choice = selection.choose([], "", asked=name)
    try:
        choice = builds.make(builds.settled(choice), native.ensure)
    except UserError as error:
        return left_out(name, str(error), insist or name in wanted.required)
    python = runner.python_command([], choice, "venv", wanted.machine)
    left_for_others = ["long"] if name == FAMILIES[0] else ["long", "slow"]
    return pytest(name, python, ["tests/stack", *wanted.but(*left_for_others)], at_once(wanted.machine))


def at_once(found: Machine) -> int:
    """How many tests may run at once: one for each core, while there are 4 GB of memory for each.

    The hungriest file took 2.7 GB (test_detectron2.py and test_processes.py on `cpu`, 2026-11-25).
    """
    return max(1, min(found.cores, int(found.memory_gb // 4)))


def left_out(kind: str, reason: str, required: bool) -> Count:
    """The count of tests that could not even start."""
    warn(f"tests of {kind} skipped: {reason}")
    return Count(kind, failed=int(required), skipped=int(not required))


def pytest(kind: str, python: runner.Command, arguments: list[str], processes: int = 1,
           meanwhile: bool = False) -> Count:  # fmt: skip
    """One pytest, in several processes, and what it counted; an end without a count is one failure.

    `meanwhile`: what it says is said at its end.
    """
    say(f"\n== tests: {kind}{', meanwhile' if meanwhile else ''} ==")
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.xml"
        command = [*python.argv, "-m", "pytest", f"--junitxml={result}", "-o", "junit_family=xunit2"]
        command += ["--durations=20", "--durations-min=2"]
        environment = settings.child_environment(python.environment)
        if processes > 1:
            command += ["--numprocesses", str(processes), "--dist", "loadfile"]  # a file's tests share what they made
            environment["OMP_NUM_THREADS"] = "1"  # more threads than cores would wait for each other,
            environment["OMP_WAIT_POLICY"] = "passive"  # and those of a test that asks for two must not do so on a core
        environment.setdefault("OMP_NUM_THREADS", str(hardware.cores()))  # whoever else works here
        command += arguments
        kept: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if meanwhile else {}
        ended = subprocess.run(command, cwd=paths.ROOT, env=environment, **kept)
        if meanwhile:
            say(f"\n== tests: {kind} ==\n{ended.stdout.decode('utf-8', 'replace')}")
        if not result.exists():
            return Count(kind, failed=1)
        suite = next(ElementTree.parse(result).getroot().iter("testsuite")).attrib
    total, skipped = int(suite["tests"]), int(suite["skipped"])
    failed = int(suite["failures"]) + int(suite["errors"])
    if ended.returncode not in (0, 5):  # 5: nothing was selected, as with -k
        failed = max(failed, 1)
    return Count(kind, max(total - failed - skipped, 0), failed, skipped)

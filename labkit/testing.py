"""`invoke test`: the tools' tests, then the tests inside each stack family, and one closing line over all of them.

tests/unit and tests/faults run with the development tools' Python and never see torch; tests/stack runs inside each
stack, by that stack's own Python. $LAB_TEST_REQUIRE names what must not be missing (`notes`): without it, a stack
whose Python cannot be had is left out with its reason, with it that is a failure.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from labkit import envs, machine, paths, runner, stacks
from labkit.console import say, warn
from labkit.errors import UserError

FAMILIES = ("cpu", "notes")  # one stack of each family of PyTorch; the others differ in CUDA only


@dataclass
class Count:
    """How many tests of one kind ended how."""

    kind: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0


def run_all(only: str, arguments: list[str]) -> int:
    """Run the tests, all or those inside one stack, with pytest's own `arguments`; 0 when none failed."""
    if only and only not in FAMILIES:
        raise UserError(f"--stack: tests run inside {' or '.join(FAMILIES)}.", "invoke test --stack notes")
    required = os.environ.get("LAB_TEST_REQUIRE", "").split(",")
    counts = []
    if not only:
        python = str(envs.make_tools("dev") / "bin" / "python")
        counts.append(pytest("tools", runner.Command((python,), {}), ["tests/unit", "tests/faults", *arguments]))
    for name in [only] if only else FAMILIES:
        stack = stacks.load(name)
        try:
            envs.ensure(stack, stack.build())
        except UserError as error:
            warn(f"stack {name} left out: {error}")
            counts.append(Count(name, failed=int(name in required or name == only), skipped=int(name not in required)))
            continue
        choice = stacks.choose([], "", asked=name)
        command = runner.python_command([], choice, "venv", machine.probe())
        counts.append(pytest(name, command, ["tests/stack", *arguments]))
    say("")
    for count in counts:
        say(f"{count.kind}: {count.passed} passed, {count.failed} failed, {count.skipped} skipped")
    passed, failed, skipped = (sum(getattr(count, key) for count in counts) for key in ("passed", "failed", "skipped"))
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if failed or not passed else 0


def pytest(kind: str, python: runner.Command, arguments: list[str]) -> Count:
    """One pytest process and what it counted; an end without a count is one failure."""
    say(f"\n== tests: {kind} ==")
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.xml"
        command = [*python.argv, "-m", "pytest", f"--junitxml={result}", "-o", "junit_family=xunit2", *arguments]
        environment = {**os.environ, **python.environment}
        status = subprocess.run(command, cwd=paths.ROOT, env=environment).returncode
        if not result.exists():
            return Count(kind, failed=1)
        suite = next(ElementTree.parse(result).getroot().iter("testsuite")).attrib
    total, skipped = int(suite["tests"]), int(suite["skipped"])
    failed = int(suite["failures"]) + int(suite["errors"])
    if status not in (0, 5):  # 5: nothing was selected, as with -k
        failed = max(failed, 1)
    return Count(kind, max(total - failed - skipped, 0), failed, skipped)

"""`./inv test`, `lint` and `clean`: the repository itself."""

from __future__ import annotations

import os
import shutil
import subprocess

from labkit.base import paths
from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.cli.prepare import listed, passed_on
from labkit.stacks import native


def test(stack: str, only: str, require: str, labs: str) -> int:
    """Host tests, then tests/stack inside each family's stack, by labkit/testing.py; or what the labs promise."""
    from labkit import testing

    if only == testing.EXPECT:
        from labkit.cli import expect

        if stack or require or passed_on():
            problem = "--only expect runs labs, no tests: of the options it takes --labs alone"
            raise UserError(problem, "./inv --help test")
        return expect.run(listed(labs))
    if labs:
        raise UserError("--labs says whose promises are tried", f"./inv test --only expect --labs {labs}")
    return testing.run_all(stack, only, listed(require), passed_on())


# What a stack's Python runs, the notes' 3.8 too; the rest of what is ours runs on the host, from 3.9 on.
IN_STACKS = ("labs", "datasets", "labkit/base", "labkit/data", "labkit/runs", "labkit/services")
ON_HOST = ("tasks.py", "labkit/bundle.py", "labkit/cli", "labkit/stacks", "scripts/host_env.py")


def lint() -> int:
    programs = native.make_tools("dev") / "bin"
    os.chdir(paths.ROOT)
    oldest = ["vermin", "--quiet", "--no-tips", "--violations"]
    commands = [
        ["ruff", "check", "."],
        ["mypy"],
        [*oldest, "--target=3.8-", *IN_STACKS],
        [*oldest, "--target=3.9-", *ON_HOST],
        ["lint-imports", "--no-logo", "--no-cache"],
        ["hadolint", "docker/Dockerfile", "docker/devcontainer.Dockerfile"],
    ]
    return max([subprocess.run([str(programs / program), *words]).returncode for program, *words in commands])


def clean(dry: bool) -> None:
    caches = [path for name in (".mypy_cache", ".ruff_cache", ".pytest_cache") for path in paths.ROOT.glob(name)]
    environments = [path for path in native.VENV.glob("*") if path.is_dir() and path.name != "host"]
    samples = list(paths.data_dir().glob("*-sample"))
    for folder in [*environments, *samples, *caches]:
        say(f"{'would remove' if dry else 'removing'} {paths.shown(folder)}")
        if not dry:
            shutil.rmtree(folder, ignore_errors=True)
    say(f"kept: {paths.shown(paths.data_dir())} (data sets) and {paths.shown(paths.runs_dir())} (runs)")

"""Where a lab runs and the exact command.

`here` inside one of our images; `docker` where a container engine answers; else `venv`, a native environment.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Mapping, Sequence, cast

from labkit.base import labs, paths, settings
from labkit.base.errors import UserError
from labkit.runs import launch
from labkit.stacks import containers, gpus, native
from labkit.stacks import engine as engines
from labkit.stacks.engine import Engine
from labkit.stacks.machine import Machine
from labkit.stacks.selection import Choice

Place = Literal["here", "docker", "venv"]  # inside our image, in a container, in a native environment
PLACES = ("auto", "here", "docker", "venv")
# What OpenCV and its FFmpeg would say of a file that they cannot read, which the lab says; docker/compose.yaml has it.
NO_CHATTER = MappingProxyType({"OPENCV_LOG_LEVEL": "SILENT", "OPENCV_FFMPEG_LOGLEVEL": "-8"})


@dataclass(frozen=True)
class Command:
    """A program with its arguments, and what its environment has beyond the caller's."""

    argv: tuple[str, ...]
    environment: dict[str, str]

    def shown(self) -> str:
        """The command as one line to paste into a shell."""
        variables = [f"{name}={shlex.quote(value)}" for name, value in sorted(self.environment.items())]
        return " ".join([*variables, *(shlex.quote(word) for word in self.argv)])

    def run(self) -> int:
        """Run it and return its exit status."""
        return subprocess.run(self.argv, env=settings.child_environment(self.environment)).returncode

    def replace_process(self, wait_with_ctrl_c: bool = False) -> None:
        """Become this command, so that signals and the exit status are its own.

        With `wait_with_ctrl_c` a Ctrl-C waits until a run is ready for it (labkit/runs/start.py): a Python that is
        still importing torch would end with a traceback.
        """
        sys.stdout.flush()
        sys.stderr.flush()
        if wait_with_ctrl_c:
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        os.execve(self.argv[0], list(self.argv), settings.child_environment(self.environment))


def where(asked: str, inside_image: bool, engine: Engine, use_gpu: bool = False) -> tuple[Place, str]:
    """The place where a lab runs and the reason. Raises UserError for a place that does not exist here."""
    if asked not in ("", *PLACES):
        raise UserError(f"--where must be {', '.join(PLACES[:-1])} or {PLACES[-1]}, not {asked}", "./inv --help lab")
    if asked == "here" and not inside_image:
        raise UserError("--where here works only inside one of our images", "./inv lab NAME --where venv")
    if asked == "docker" and engine.problem:
        raise UserError(f"--where docker: {engine.problem}", "./inv doctor, or --where venv")
    if asked == "docker":
        why, remedy = lacking(engine, use_gpu)
        if why:
            raise UserError(f"--where docker: {why}", remedy)
    if asked not in ("", "auto"):
        return cast(Place, asked), "you asked for it"
    if inside_image:
        return "here", "inside one of our images"
    if engine.problem:
        return "venv", engine.problem
    why, _ = lacking(engine, use_gpu)
    if why:
        return "venv", why
    return "docker", f"docker {engine.version} answers"


def lacking(engine: Engine, use_gpu: bool) -> tuple[str, str]:
    """What an engine that answers cannot do here, known before anything is built, and what to type; "" for nothing."""
    unread = engines.unread(engine, (paths.ROOT, paths.data_dir(), paths.runs_dir()))
    if unread:
        return unread, f"{engines.REMEDIES[engine.reads]}, or --where venv"
    if use_gpu and not engine.gpu:
        why = f"the engine cannot hand over the GPU: {engine.no_gpu}"
        return why, f"{gpus.REMEDIES[engine.no_gpu]}, or --where venv, or --stack cpu"
    return "", ""


def lab_command(
    lab: labs.Lab,
    arguments: list[str],
    choice: Choice,
    place: Place,
    machine: Machine,
    group: launch.Group | None = None,
    files: Sequence[Path] = (),
) -> Command:
    """The command that runs `lab` with its own `arguments`, where there is a `group` in several processes.

    `files` are those of the user's that it reads.
    """
    mounts = [path for path in files if paths.ROOT not in path.parents]
    words, variables, typed = [str(lab.program), *arguments], {}, ""
    if group:
        words = [*launch.command(group, choice.stack.torch), *words]
        variables = launch.environment(group, machine.cores, choice.use_gpu)
        typed = launch.typed(group)
    return python_command(words, choice, place, machine, lab.name, mounts, variables, typed)


def python_command(
    arguments: list[str],
    choice: Choice,
    place: Place,
    machine: Machine,
    name: str = "tool",
    mounts: Sequence[Path] = (),
    variables: Mapping[str, str] = MappingProxyType({}),
    launch: str = "",
) -> Command:
    """The stack's Python with these arguments: a pure function of what is given and of the user's settings.

    In a container, `name` labels it and `mounts` are files of the user's that it may read. `variables` are more
    for its environment, `launch` how several processes were asked for.
    """
    if place == "docker":
        argv = containers.python_command(machine.engine, choice, name, arguments, mounts, variables)
        return Command(tuple(argv), containers.variables(machine.engine, choice, "visdom", launch))
    python = sys.executable if place == "here" else str(native.python_of(choice.stack))
    environment = {
        "LAB_SETTINGS": settings.handed_on(stack=choice.label, launch=launch),
        "PYTHONPATH": str(paths.ROOT),
        **NO_CHATTER,
        **choice.variables,
        **variables,
    }
    if machine.gpus and not choice.use_gpu:
        environment["CUDA_VISIBLE_DEVICES"] = ""  # torch would see the GPU and fail at its first kernel
    if machine.tcmalloc and not choice.use_gpu and not machine.preload:
        environment["LD_PRELOAD"] = machine.tcmalloc  # faster training on the CPU
    # Isolated: nothing in the current folder, or on a PYTHONPATH of the user's, is imported in place of what we mean.
    # The environment knows where labkit is; an image does not, but it has no other PYTHONPATH than ours.
    return Command((python, *(["-I"] if place == "venv" else []), *arguments), environment)


def shell_command(choice: Choice, place: Place, machine: Machine) -> Command:
    """A shell in which `python` is the stack's; it skips the user's start-up files, which may put another one first."""
    if place == "docker":
        argv = containers.run_command(machine.engine, choice, "shell", ["bash"])
        return Command(tuple(argv), containers.variables(machine.engine, choice, "visdom"))
    python = python_command([], choice, place, machine)
    search = f"{Path(python.argv[0]).parent}{os.pathsep}{settings.system().search_path}"
    environment = {**python.environment, "PATH": search, "PS1": f"({choice.stack.name}) \\w\\$ "}
    return Command((shutil.which("bash") or "/bin/sh", *["--norc"] * bool(shutil.which("bash"))), environment)


def caller_folder() -> Path:
    """The folder in which the user typed the command."""
    return settings.system().folder

"""The container engine as it is on this machine: which client, how it builds, how it composes, and why not."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from labkit.programs import output_of


@dataclass(frozen=True)
class Engine:
    """`client` is the docker program to call; `problem` says in a clause why nothing can be run, '' where it can."""

    client: str = ""
    version: str = ""  # of the server
    builder: str = ""  # "buildx", "BuildKit" (inside the client), "" where neither is there
    compose: tuple[str, ...] = ()  # the command that Compose is called by
    rootless: bool = False
    gpu: str = ""  # "CDI" or "runtime" where the engine can hand over NVIDIA GPUs
    problem: str = ""


def clients() -> list[str]:
    """Every docker program on PATH: the first is not always the one that can build."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    found = [shutil.which("docker", path=folder) for folder in folders]
    return list(dict.fromkeys(client for client in found if client))


def find() -> Engine:
    """Look for an engine that answers; about 0.3 s."""
    programs = clients()
    if not programs:
        return Engine(problem="docker is not installed")
    asked = subprocess.run(
        [programs[0], "info", "--format", "{{.ServerVersion}}|{{.SecurityOptions}}|{{json .Runtimes}}"],
        capture_output=True,
        text=True,
    )
    version, _, rest = asked.stdout.strip().partition("|")
    if asked.returncode != 0 or not version:
        return Engine(client=programs[0], problem=explain(asked.stderr))
    client, builder = find_builder(programs)
    return Engine(
        client=client,
        version=version,
        builder=builder,
        compose=find_compose(client),
        rootless="rootless" in rest,
        gpu="runtime" if '"nvidia"' in rest else "CDI" if any(Path("/etc/cdi").glob("*nvidia*")) else "",
    )


def explain(message: str) -> str:
    """Docker's complaint as a clause, with what it means for the user."""
    if "permission denied" in message.lower():
        return "you may not talk to the engine (you are not in the group docker)"
    if "cannot connect" in message.lower() or "no such file" in message.lower():
        return "the engine is not running"
    return message.strip().splitlines()[-1] if message.strip() else "the engine does not answer"


def find_builder(programs: list[str]) -> tuple[str, str]:
    """The client that can build with BuildKit, and by what; the first client and '' where none can."""
    for program in programs:
        if output_of(program, "buildx", "version"):
            return program, "buildx"
    for program in programs:
        major = output_of(program, "version", "--format", "{{.Client.Version}}").partition(".")[0]
        if major.isdigit() and 19 <= int(major) < 23:  # later clients left BuildKit to the plugin
            return program, "BuildKit"
    return programs[0], ""


def find_compose(client: str) -> tuple[str, ...]:
    """How Compose v2 or newer is called here, () where it is not installed."""
    if output_of(client, "compose", "version", "--short"):
        return (client, "compose")
    program = shutil.which("docker-compose")
    if program and not output_of(program, "version", "--short").startswith("1."):
        return (program,)
    return ()

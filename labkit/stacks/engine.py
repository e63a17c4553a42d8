"""The container engine as it is on this machine: which client, how it builds, how it composes, and why not."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, cast

from labkit.base import settings
from labkit.base.errors import harmless
from labkit.base.programs import output_of

Kind = TypeVar("Kind")
LIMIT_S = 3.0  # for each question: an engine that answers does so in a tenth of that

# What can be wrong with an engine, for those who know a remedy (labkit/stacks/doctor.py).
NOT_INSTALLED = "docker is not installed"
NOT_RUNNING = "the engine is not running"
NO_PERMISSION = "you may not talk to the engine (you are not in the group docker)"
SILENT = "the engine does not answer"
LATE = f"docker did not answer within {LIMIT_S:g} s"
PODMAN = "docker is podman here (podman-docker), with which the images are not tested"


@dataclass(frozen=True)
class Engine:
    """`client` is the docker program to call; `problem` says in a clause why nothing can be run, '' where it can."""

    client: str = ""
    version: str = ""  # of the server
    builder: str = ""  # "buildx", "BuildKit" (inside the client), "" where neither is there
    compose: tuple[str, ...] = ()  # the command that Compose is called by
    rootless: bool = False
    gpu: str = ""  # "CDI" or "runtime" where the engine can hand over NVIDIA GPUs
    folder: str = ""  # where it keeps the images; "" where that is not on this machine
    proxy: str = ""  # through which it pulls images
    problem: str = ""

    def with_compose(self, program: str) -> Engine:
        """The same engine with a Compose."""
        return dataclasses.replace(self, compose=(program,))


class _Later:
    """Stands for an engine that is looked for when somebody first asks for anything of it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._found, name)

    @cached_property
    def _found(self) -> Engine:
        return find()


def later() -> Engine:
    """The engine of this machine, for whoever needs one: nobody else waits for a docker that hangs."""
    return cast(Engine, _Later())


def clients() -> list[str]:
    """Every docker program on PATH: the first is not always the one that can build."""
    folders = settings.system().search_path.split(os.pathsep)
    found = [shutil.which("docker", path=folder) for folder in folders]
    return list(dict.fromkeys(client for client in found if client))


def find() -> Engine:
    """Look for an engine that answers; about 0.3 s, and not much more than LIMIT_S where it hangs."""
    programs, complaint = clients(), ""
    if not programs:
        return Engine(problem=NOT_INSTALLED)
    try:
        asked = subprocess.run(
            [programs[0], "info", "--format", "{{json .}}"],
            capture_output=True, text=True, errors="replace", timeout=LIMIT_S,
        )  # fmt: skip
        complaint = asked.stderr
        told = json.loads(asked.stdout or "{}")
    except subprocess.TimeoutExpired:
        return Engine(client=programs[0], problem=LATE)
    except (OSError, ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        told = {}
    if part(told, "host", dict) or "using podman" in complaint:  # the package podman-docker
        return Engine(client=programs[0], problem=PODMAN)
    if not part(told, "ServerVersion", str):
        # A client of 20.10 has status 0 without an engine, and the reason in what it prints.
        reasons = map(str, part(told, "ServerErrors", list))
        return Engine(client=programs[0], problem=explain("\n".join([complaint, *reasons])))
    client, builder = find_builder(programs)
    folder = part(told, "DockerRootDir", str)
    return Engine(
        client=client,
        version=told["ServerVersion"],
        builder=builder,
        compose=find_compose(client),
        rootless="name=rootless" in part(told, "SecurityOptions", list),
        gpu=find_toolkit(told),
        folder=folder if Path(folder).is_dir() else "",
        proxy=part(told, "HttpsProxy", str) or part(told, "HttpProxy", str),
    )


def part(told: dict[str, Any], name: str, kind: type[Kind]) -> Kind:
    """What `docker info` told under this name, and an empty one of its kind where that is of another."""
    found = told.get(name)
    return found if isinstance(found, kind) else kind()


def explain(message: str) -> str:
    """Docker's complaint as a clause, with what it means for the user."""
    if "permission denied" in message.lower():
        return NO_PERMISSION
    if re.search("(?i)(cannot|failed to) connect|no such file|connection refused|daemon running", message):
        return NOT_RUNNING
    return harmless(message).strip().splitlines()[-1] if message.strip() else SILENT


def find_toolkit(told: dict[str, Any]) -> str:
    """How the engine hands over NVIDIA GPUs, from what `docker info` told."""
    if "nvidia" in part(told, "Runtimes", dict):
        return "runtime"
    folders = part(told, "CDISpecDirs", list) or ["/etc/cdi", "/var/run/cdi"]
    return "CDI" if any(True for folder in folders for _ in Path(str(folder)).glob("*nvidia*")) else ""


def find_builder(programs: list[str]) -> tuple[str, str]:
    """The client that can build with BuildKit, and by what; the first client and '' where none can."""
    for program in programs:
        if output_of(program, "buildx", "version", timeout_s=LIMIT_S):
            return program, "buildx"
    for program in programs:
        major = output_of(program, "version", "--format", "{{.Client.Version}}", timeout_s=LIMIT_S).partition(".")[0]
        if re.fullmatch("19|2[0-2]", major):  # later clients left BuildKit to the plugin
            return program, "BuildKit"
    return programs[0], ""


def find_compose(client: str) -> tuple[str, ...]:
    """How Compose v2 or newer is called here, () where it is not installed."""
    if output_of(client, "compose", "version", "--short", timeout_s=LIMIT_S):
        return (client, "compose")
    program = shutil.which("docker-compose")
    if program and not output_of(program, "version", "--short", timeout_s=LIMIT_S).startswith("1."):
        return (program,)
    return ()


def our_images(engine: Engine) -> tuple[str, ...]:
    """The names of all images that were built from our stacks."""
    listed = output_of(engine.client, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "torch-labs/*")
    return tuple(listed.splitlines())


def try_gpu(engine: Engine, image: str) -> str:
    """Start a container that lists the GPUs: '' where it sees one, else the engine's last word about it."""
    device = ["--device", "nvidia.com/gpu=all"] if engine.gpu == "CDI" else ["--gpus", "all"]
    command = [engine.client, "run", "--rm", "--network", "none", "--env", "NVIDIA_DRIVER_CAPABILITIES=utility"]
    try:
        asked = subprocess.run(
            [*command, *device, image, "nvidia-smi", "-L"], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return SILENT
    if asked.returncode == 0 and "GPU 0" in asked.stdout:
        return ""
    said = (asked.stderr.strip() or asked.stdout.strip()).splitlines()
    return said[-1] if said else "no GPU in the container"


def publisher(engine: Engine, port: int) -> str:
    """The name of the container that is published on a port of this machine, '' without one."""
    return output_of(engine.client, "ps", "--filter", f"publish={port}", "--format", "{{.Names}}").partition("\n")[0]

"""The container engine as it is on this machine: which client, how it builds, how it composes, and why not."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Sequence, TypeVar, cast

from labkit.base import settings
from labkit.base.errors import harmless
from labkit.base.programs import output_of
from labkit.stacks import gpus

Kind = TypeVar("Kind")
LIMIT_S = 3.0  # for each question: an engine that answers does so in a tenth of that

# What can be wrong with an engine.
NOT_INSTALLED = "docker is not installed"
NOT_RUNNING = "the engine is not running"
NO_PERMISSION = "you may not talk to the engine (you are not in the group docker)"
SILENT = "the engine does not answer"
LATE = f"docker did not answer within {LIMIT_S:g} s"
PODMAN = "docker is podman here, with which the images are not tested"
NOT_CONNECTED = "Docker Desktop is not connected with this distribution of WSL"
REMOTE_HOST = "DOCKER_HOST names an engine on another machine, which cannot see the folders of this one"
REMOTE_CONTEXT = "docker's context names an engine on another machine, which cannot see the folders of this one"

# What an engine reads of this machine's folders, where that is not everything.
DESKTOP = "Docker Desktop shows containers the folders that are shared in its settings alone"
SNAP = "docker from the snap reads nothing outside /home, and there nothing in hidden folders"
DESKTOP_SETTINGS = ("settings-store.json", "settings.json")  # of Docker Desktop 4.35 and newer, and of older ones
REMEDIES = {
    NOT_RUNNING: "sudo systemctl start docker (Docker Desktop: start the program)",
    NO_PERMISSION: "sudo usermod -aG docker $USER, then log out and in again",
    SILENT: "sudo systemctl restart docker",
    LATE: "sudo systemctl restart docker",
    PODMAN: "./inv setup --where venv, which needs no containers, or Docker Engine in place of podman",
    NOT_CONNECTED: "Docker Desktop: Settings, Resources, WSL integration: turn this distribution on",
    REMOTE_HOST: "unset DOCKER_HOST",
    REMOTE_CONTEXT: "docker context use default",
    DESKTOP: "Docker Desktop: Settings, Resources, File sharing: add the folder",
    SNAP: "move it to a folder in /home, or install Docker Engine from Docker's own packages",
}
USUAL_SOCKET = "unix:///var/run/docker.sock"


@dataclass(frozen=True)
class Engine:
    """`client` is the docker program to call; `problem` says in a clause why nothing can be run, '' where it can."""

    client: str = ""
    version: str = ""  # of the server
    builder: str = ""  # "buildx", "BuildKit" (inside the client), "" where neither is there
    compose: tuple[str, ...] = ()  # the command that Compose is called by
    rootless: bool = False
    gpu: str = ""  # the way in which it hands over NVIDIA GPUs (labkit/stacks/gpus.py), "" for none
    no_gpu: str = gpus.MISSING  # why it has no way, where it has none
    reads: str = ""  # DESKTOP or SNAP where it does not read every folder of this machine
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


def remedy(problem: str) -> str:
    """What to type against a problem, "" where nothing is known; an address may follow the words above."""
    return next((what for known, what in REMEDIES.items() if problem.startswith(known)), "")


def clients() -> list[str]:
    """Every docker program on PATH, once: the first is not always the one that can build."""
    folders = settings.system().search_path.split(os.pathsep)
    found = [shutil.which("docker", path=folder) for folder in folders]
    return list({os.path.realpath(client): client for client in reversed(found) if client}.values())[::-1]


def find() -> Engine:
    """Look for an engine that answers; about 0.3 s, and not much more than LIMIT_S where it hangs."""
    programs, complaint = clients(), ""
    if not programs:
        return Engine(problem=NOT_INSTALLED)
    address, context = settings.system().docker_host, chosen_context()
    elsewhere = REMOTE_HOST if address else REMOTE_CONTEXT
    address = address or endpoint(programs[0], context)
    if is_remote(address):  # it may be slow to answer, and nothing of ours could run there
        return Engine(client=programs[0], problem=f"{elsewhere} ({shown(address)})")
    try:
        asked = subprocess.run(
            [programs[0], "info", "--format", "{{json .}}"],
            capture_output=True, text=True, errors="replace", timeout=LIMIT_S,
        )  # fmt: skip
        complaint = asked.stderr
        if "could not be found in this WSL" in asked.stdout + complaint:  # what Docker Desktop puts in docker's place
            return Engine(client=programs[0], problem=NOT_CONNECTED)
        told = json.loads(asked.stdout or "{}")
    except subprocess.TimeoutExpired:
        return Engine(client=programs[0], problem=LATE)
    except (OSError, ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        told = {}
    address = address or endpoint(programs[0], part(part(told, "ClientInfo", dict), "Context", str)) or USUAL_SOCKET
    if is_remote(address, part(told, "Name", str)):
        return Engine(client=programs[0], problem=f"{elsewhere} ({shown(address)})")
    if is_podman(told) or "using podman" in complaint:  # the package podman-docker
        return Engine(client=programs[0], problem=PODMAN)
    if not part(told, "ServerVersion", str):
        # A client of 20.10 has status 0 without an engine, and the reason in what it prints.
        reasons = map(str, part(told, "ServerErrors", list))
        return Engine(client=programs[0], problem=explain("\n".join([complaint, *reasons])))
    about = part(told, "ClientInfo", dict)
    client, builder = find_builder(programs, about)
    folder = part(told, "DockerRootDir", str)
    gpu, no_gpu = gpus.way(told, address.partition("://")[2])
    desktop = gpus.is_desktop(told) and not gpus.in_wsl(told)  # in WSL2 it reads every folder
    return Engine(
        client=client,
        version=told["ServerVersion"],
        builder=builder,
        compose=find_compose(client, about if client == programs[0] else {}),
        rootless="name=rootless" in part(told, "SecurityOptions", list),
        gpu=gpu,
        no_gpu=no_gpu,
        reads=SNAP if folder.startswith("/var/snap/") else DESKTOP if desktop else "",
        folder=folder if Path(folder).is_dir() else "",
        proxy=part(told, "HttpsProxy", str) or part(told, "HttpProxy", str),
    )


def chosen_context() -> str:
    """The context in which docker works: its name for where an engine is and how it is reached."""
    try:
        noted = json.loads((settings.system().docker_folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        noted = None
    return settings.system().docker_context or (part(noted, "currentContext", str) if isinstance(noted, dict) else "")


def endpoint(client: str, context: str) -> str:
    """The address of the engine of a context, as docker has it noted; "" for the default one."""
    if context in ("", "default"):
        return ""
    words = ("context", "inspect", "--format", "{{.Endpoints.docker.Host}}", context)
    return output_of(client, *words, timeout_s=LIMIT_S)


def is_remote(address: str, name: str = "") -> bool:
    """Whether the engine at this address is on another machine.

    What listens on a port of this machine may lead to another one: then the engine's `name` is not ours.
    """
    scheme, _, rest = address.partition("://")
    if scheme in ("", "unix", "npipe", "fd"):
        return False
    host = re.sub(r"^.*@", "", rest.partition("/")[0])
    here = re.match(r"(localhost|127[.][\d.]+|\[::1\])(:|$)", host) or host.partition(":")[0] == platform.node()
    return not here or name not in ("", platform.node())


def shown(address: str) -> str:
    """An address to be read, without a password that may be in it."""
    return harmless(re.sub(r"//.*@", "//", address))


def is_podman(told: dict[str, Any]) -> bool:
    """Whether podman answers, as itself or by its socket in place of docker's: only that knows the log k8s-file."""
    return bool(part(told, "host", dict)) or "k8s-file" in part(part(told, "Plugins", dict), "Log", list)


def unread(engine: Engine, folders: Sequence[Path]) -> str:
    """Why the engine does not read one of these folders, as a clause; "" where it reads all of them."""
    for folder in (folder.resolve() for folder in folders):
        hidden = engine.reads == SNAP and "".join(folder.parts[3:4]).startswith(".")  # /home/somebody/.something
        shared = desktop_folders() if engine.reads == DESKTOP else [Path("/home")]
        if engine.reads and (hidden or not {folder, *folder.parents}.intersection(shared)):
            return f"{engine.reads}, and so not {folder}"
    return ""


def desktop_folders() -> list[Path]:
    """What Docker Desktop shares with containers: by its settings, else the folders of all users."""
    for name in DESKTOP_SETTINGS:
        try:
            said = json.loads((settings.system().docker_folder / "desktop" / name).read_text(encoding="utf-8"))
            return [Path(folder) for key in said if key.lower() == "filesharingdirectories" for folder in said[key]]
        except (OSError, ValueError, RecursionError, TypeError, AttributeError):
            continue  # it is not there, or not what it was
    return [Path("/home")]


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


def plugin(program: str, name: str, about: dict[str, Any]) -> str:
    """The version of this plugin of a docker program, "" where it has none.

    `about` is what the program has told of itself with `docker info`, {} where it was not asked: each question that it
    has answered already is a tenth of a second less before a lab.
    """
    if "Plugins" not in about:
        return output_of(program, name, "version", *(["--short"] if name == "compose" else []), timeout_s=LIMIT_S)
    found = [each for each in part(about, "Plugins", list) if isinstance(each, dict) and each.get("Name") == name]
    return next((part(each, "Version", str) or "unknown" for each in found if not each.get("Err")), "")


def find_builder(programs: list[str], about: dict[str, Any]) -> tuple[str, str]:
    """The client that can build with BuildKit, and by what; the first client and '' where none can.

    `about` is what the first one has told of itself.
    """
    told = {programs[0]: about}
    for program in programs:
        if plugin(program, "buildx", told.get(program, {})):
            return program, "buildx"
    for program in programs:
        version = part(told.get(program, {}), "Version", str)  # clients of 24.0 and newer tell it
        version = version or output_of(program, "version", "--format", "{{.Client.Version}}", timeout_s=LIMIT_S)
        if re.fullmatch("19|2[0-2]", version.partition(".")[0]):  # later clients left BuildKit to the plugin
            return program, "BuildKit"
    return programs[0], ""


def find_compose(client: str, about: dict[str, Any]) -> tuple[str, ...]:
    """How Compose v2 or newer is called here, () where it is not installed."""
    if plugin(client, "compose", about):
        return (client, "compose")
    program = shutil.which("docker-compose")
    if program and not output_of(program, "version", "--short", timeout_s=LIMIT_S).startswith("1."):
        return (program,)
    return ()


def our_images(engine: Engine) -> tuple[str, ...]:
    """The names of all images that were built from our stacks."""
    listed = output_of(engine.client, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "torch-labs/*")
    return tuple(listed.splitlines())


def publisher(engine: Engine, port: int) -> str:
    """The name of the container that is published on a port of this machine, '' without one."""
    return output_of(engine.client, "ps", "--filter", f"publish={port}", "--format", "{{.Names}}").partition("\n")[0]

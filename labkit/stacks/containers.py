"""Labs and services in containers: the Compose commands as data, and what is still running from before."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Mapping, Sequence

from labkit.base import docker_args, files, paths, ports, settings
from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.base.programs import output_of
from labkit.stacks import images, native
from labkit.stacks.engine import Engine
from labkit.stacks.selection import Choice

COMPOSE = paths.ROOT / "docker" / "compose.yaml"
HARDENED = COMPOSE.with_name("compose.hardened.yaml")
COMPOSE_GPU = "compose.gpu-{way}.yaml"  # beside it, one for each way in which an engine hands over GPUs
OUR_COMPOSE = native.VENV / "compose" / "bin" / "docker-compose"  # used where the user has none
LABEL = "torch-labs.lab"
TRIAL_S = 60  # for a container that lists the GPUs; it takes one or two


def user(engine: Engine) -> str:
    """UID:GID of the processes in a container, so that what they write belongs to the caller.

    A rootless engine maps its root to the caller, so root it is there.
    """
    return "0:0" if engine.rootless else f"{os.getuid()}:{os.getgid()}"


def variables(engine: Engine, choice: Choice, visdom: str = "127.0.0.1", launch: str = "") -> dict[str, str]:
    """What docker/compose.yaml expects in the environment; the services in it find `visdom` under that name."""
    port = str(ports.SERVICES["visdom"])  # of the service in there
    return {
        "LAB_TAG": images.tag(choice.stack, choice.build),
        "LAB_USER": user(engine),
        "LAB_ROOT": str(paths.ROOT),
        "LAB_DATA": str(paths.data_dir()),
        "LAB_RUNS": str(paths.runs_dir()),
        "LAB_NAMES": str(names()),
        "LAB_SETTINGS_INSIDE": settings.handed_on(
            stack=choice.label, visdom_server=visdom, visdom_port=port, launch=launch
        ),
        **choice.variables,
        "LAB_PRELOAD": "" if choice.use_gpu else "libtcmalloc_minimal.so.4",  # faster training on the CPU
    }


def project() -> str:
    """The name under which Compose keeps the containers of this user and clone apart from all others on the engine.

    COMPOSE_PROJECT_NAME is only its beginning, since alone it would be the same in every clone.
    """
    whose = hashlib.sha256(os.fsencode(paths.ROOT) + f"\0{os.getuid()}".encode()).hexdigest()
    begins = re.sub("[^a-z0-9_-]", "", settings.system().compose_project.lower()).lstrip("_-")
    return f"{begins or 'torch-labs'}-{whose[:8]}"


def names() -> Path:
    """The folder with the passwd and the group of every container."""
    return paths.runs_dir() / ".names"


def make_folders(engine: Engine) -> None:
    """Make what containers share with this machine: the engine would make the folders as root.

    Besides the two folders it is the name of `user` in there, for which a shell, ssh and others ask.
    """
    for folder in (paths.data_dir(), paths.runs_dir()):
        folder.mkdir(parents=True, exist_ok=True)
    uid, _, gid = user(engine).partition(":")
    name = "lab" if uid != "0" else "root"
    passwd = f"{name}:x:{uid}:{gid}::/home/lab:/bin/bash\n" + "root:x:0:0::/root:/bin/bash\n" * (uid != "0")
    group = f"{name}:x:{gid}:\n" + "root:x:0:\n" * (gid != "0")
    for file, text in (("passwd", passwd), ("group", group)):
        path = files.made(names()) / file
        if not path.exists() or path.read_bytes() != text.encode():
            files.write_text(path, text)


def compose(engine: Engine, choice: Choice) -> list[str]:
    """Compose with the files of this project, with the GPU where it is used and the engine can hand it over."""
    told = [COMPOSE, HARDENED, *exceptions()]
    if choice.use_gpu and engine.gpu:
        told.append(COMPOSE.with_name(COMPOSE_GPU.format(way=engine.gpu.lower())))
    options = ["--progress", "quiet", "--project-name", project(), "--env-file", os.devnull]  # no .env has a say
    program = engine.compose or (str(OUR_COMPOSE),)
    return [*program, *options, *(word for file in told for word in ("--file", str(file)))]


def exceptions() -> list[Path]:
    """The file for Compose with the exceptions that the user makes for our containers, written now; [] for none."""
    fields = docker_args.parse(settings.current().docker_args)
    if not fields:
        return []
    text = json.dumps({"services": dict.fromkeys(("lab", *ports.SERVICES), fields)}, indent=1) + "\n"
    file = native.VENV / "docker_args.json"
    with files.writing(native.VENV):
        files.write_text(file, text.replace("$", "$$"))  # nothing in it is a variable
    return [file]


def python_command(
    engine: Engine,
    choice: Choice,
    name: str,
    arguments: Sequence[str],
    mounts: Sequence[Path],
    more: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """The command that runs `python ARGUMENTS` as the service lab; `mounts` are the user's own files, read-only."""
    return run_command(engine, choice, name, ["python", *arguments], mounts, more)


def run_command(
    engine: Engine,
    choice: Choice,
    name: str,
    words: Sequence[str],
    mounts: Sequence[Path] = (),
    more: Mapping[str, str] = MappingProxyType({}),
    terminal: bool = True,
) -> list[str]:
    """The command that runs any program as the service lab, labelled `name`, with `more` variables.

    It gets our `terminal`, where we have one and this is true.
    """
    command = [*compose(engine, choice), "run", "--rm", "--no-deps", "--label", f"{LABEL}={name}"]
    for variable, value in sorted(more.items()):
        command += ["--env", f"{variable}={value}"]
    command += [] if terminal and sys.stdin.isatty() else ["--no-TTY"]
    for path in mounts:
        if ":" in str(path):  # `--volume` has no way to write it
            raise UserError(f"a container cannot be given {path}, whose name has a colon", "rename it, or --where venv")
        command += ["--volume", f"{path}:{path}:ro"]
    for socket, variable in display():
        command += ["--volume", f"{socket}:{socket}", "--env", variable]
    return [*command, "lab", *words]


def try_gpu(engine: Engine, choice: Choice) -> str:
    """Have a container list the GPUs, made just as a lab's would be.

    Returns "" where it sees one, else all that was said (labkit/stacks/gpus.py explains it).
    """
    command = run_command(engine, choice, "gpu", ["nvidia-smi", "-L"], terminal=False)
    environment = settings.child_environment(variables(engine, choice))
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=TRIAL_S,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return f"docker started no container within {TRIAL_S} s"
    if done.returncode == 0 and "GPU 0" in done.stdout:
        return ""
    return f"{done.stdout}\n{done.stderr}".strip() or "No devices were found"


def test_command(engine: Engine, choice: Choice, arguments: Sequence[str]) -> list[str]:
    """The command that runs tests/image inside the image: no network, a read-only repository, the image's own user."""
    root = str(paths.ROOT)
    command = [engine.client, "run", "--rm", "--network", "none", "--volume", f"{root}:{root}:ro", "--workdir", root]
    command += ["--env", f"PYTHONPATH={root}", "--env", f"LAB_STACK={choice.label}", "--shm-size", "2g"]
    pytest = ["python", "-m", "pytest", "-p", "no:cacheprovider", "tests/image", *arguments]
    return [*command, images.tag(choice.stack, choice.build), *pytest]


def display() -> list[tuple[str, str]]:
    """The sockets and variables with which cv2.imshow opens its window on the user's screen (X11, WSLg)."""
    found = []
    if "DISPLAY" in settings.system().displays and Path("/tmp/.X11-unix").exists():
        found.append(("/tmp/.X11-unix", "DISPLAY"))
    if "WAYLAND_DISPLAY" in settings.system().displays and Path("/mnt/wslg").exists():
        found.append(("/mnt/wslg", "WAYLAND_DISPLAY"))
    return found


def ensure_compose(engine: Engine) -> Engine:
    """The engine with a Compose: the user's own, else the pinned one, installed now into .venv/compose."""
    if engine.compose:
        return engine
    if not OUR_COMPOSE.exists():
        say("Compose is not installed; fetching the pinned one into .venv/compose")
        native.make_tools("compose", native.find_python(("3.12", "3.13", "3.11", "3.14")))
    return engine.with_compose(str(OUR_COMPOSE))


def still_running(engine: Engine, name: str) -> list[str]:
    """The ids of the containers in which a lab of this clone and user runs."""
    filters = (f"label={LABEL}={name}", f"label=com.docker.compose.project={project()}")
    return output_of(engine.client, "ps", "--quiet", *(w for f in filters for w in ("--filter", f))).splitlines()


def started_by(name: str) -> str:
    """The number of the process that started a container of this lab and is still there, "" where it has gone."""
    wanted = {f"{LABEL}={name}".encode(), project().encode()}
    for words in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            if wanted.issubset(words.read_bytes().split(b"\0")):
                return words.parent.name
    return ""

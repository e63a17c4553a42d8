"""The door for what is decided outside the program: settings of ours, and what other programs say in the environment.

A setting comes from the command line, else from the environment (LAB_DATA), else from settings.toml, which
`./inv config` keeps. A process that a task starts, in a container or not, gets them all in one variable, LAB_SETTINGS,
in place of the file. They are read and checked once, here; everything else asks `current()` or `system()`.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import re
import shlex
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Mapping

from labkit.base import docker_args, installers, tomlfile
from labkit.base.errors import UserError, nearest

ROOT = Path(__file__).resolve().parent.parent.parent
FILE = ROOT / "settings.toml"
HANDED_ON = "LAB_SETTINGS"


_PLACE = r"(https?://[^/\s]+\S*|file:///\S*.*|(?!\w+://).+)?"
_MIRROR = r"cn|https?://[^/\s]+\S*|file:///\S*.*|[\w-]*\.[\w.-]*"


def kept(meaning: str, default: str = "", can_be: str = "", so: str = "", only_kept: bool = False) -> Any:
    """A setting of the user's: what it means, and the pattern of what it `can_be`, which `so` says in words.

    One that is `only_kept` decides what an environment holds. A variable for it would be forgotten in the next
    terminal, and the environment made anew there, so it is taken from the file alone.
    """
    return field(default=default, metadata={"meaning": meaning, "can_be": can_be, "so": so, "only_kept": only_kept})


def can_be(pattern: str) -> Any:
    """A setting that tasks alone make."""
    return field(default="", metadata={"can_be": pattern, "so": pattern.replace("|", " or ")})


@dataclass(frozen=True)
class Settings:
    """Every setting as text, "" for one that nobody made."""

    data: str = kept("folder of the data sets", str(ROOT / "data"))
    runs: str = kept("folder of the runs", str(ROOT / "runs"))
    mirror: str = kept("cn: take everything from mainland China; or where to ask first for data: an address "
                       "(http://, https://, file://) or part of a host's name", can_be=_MIRROR,
                       so="cn, an address (http://..., https://..., file:///...) or part of a host's name with a dot "
                       "in it")  # fmt: skip
    device: str = kept("the device that labs compute on, in smoke runs too", can_be="cpu|cuda", so="cuda or cpu")
    lang: str = kept("language of what labs say: en or zh; default: that of the system", can_be="en|zh", so="en or zh")
    visdom_port: str = kept("port of visdom", "8097", "[1-9][0-9]{0,4}", "a number from 1 to 65535")
    registry: str = kept("registry to pull base images from first, such as mirror.example.com")
    wheels: str = kept("address or folder to ask first for PyTorch's own wheels", can_be=_PLACE,
                       so="an address (http://..., https://..., file:///...) or a folder")  # fmt: skip
    apt_mirror: str = kept("server of the distribution's packages, while an image is built")
    docker_args: str = kept("options of docker run for containers, which may do little otherwise: cap-add=SYS_PTRACE "
                            "read-only=false and the like (docker/compose.hardened.yaml)")  # fmt: skip
    base_image: str = kept("image to build on instead of the stack's own", only_kept=True)
    detectron2: str = kept("wheel, or requirement of pip, to install instead of our own detectron2", only_kept=True)

    # What a task tells the processes that it starts.
    stack: str = ""  # "cpu/index": in which they run
    image: str = ""  # "cpu/index": the image that this is, which says so itself
    launch: str = ""  # "--gpus=2": how several processes were asked for
    command: str = can_be("invoke|inv")  # how the user calls ./inv, where that is not so
    visdom_server: str = "127.0.0.1"
    jupyter: str = ""  # address of JupyterLab with its token, where exercises are a notebook
    packages: str = ""  # folder of packages that is the only source of them, as from a bundle

    @property
    def data_dir(self) -> Path:
        return Path(self.data)

    @property
    def runs_dir(self) -> Path:
        return Path(self.runs)


FIELDS = {each.name: each for each in dataclasses.fields(Settings)}
KEPT = tuple(name for name, each in FIELDS.items() if "meaning" in each.metadata)  # those that ./inv config knows


@dataclass(frozen=True)
class System:
    """What others say in the environment: the desktop, the network, uv and pip, torch's launcher."""

    search_path: str
    folder: Path  # in which the user typed the command
    displays: tuple[str, ...]  # DISPLAY, WAYLAND_DISPLAY
    locale: str  # "zh_CN.UTF-8"
    proxies: Mapping[str, str]  # variable -> its value
    certificates: str  # file of the authorities to trust
    preload: str  # what every program loads first
    pyenv: Path
    index: str  # package index that the user set for uv or pip
    python_mirror: str  # where the user has uv get interpreters
    configuration: Path  # ~/.config
    compose_project: str
    docker_host: str  # where the docker program looks for its engine, "" where its context says that
    docker_context: str
    docker_folder: Path  # ~/.docker
    processes: int  # that train together
    rank: int
    local_rank: int
    visible_gpus: str | None  # CUDA_VISIBLE_DEVICES
    threads: str  # OMP_NUM_THREADS, "" where nobody sets it


_current: Settings | None = None


def current() -> Settings:
    """The settings of this process. Raises UserError for the first one that cannot be."""
    global _current
    _current = _current or read(os.environ, FILE)
    return _current


def use(**decided: str) -> Settings:
    """The settings from here on, with what the command line decided."""
    global _current
    checked = {name: check(name, value, f"--{name.replace('_', '-')}") for name, value in decided.items()}
    _current = dataclasses.replace(current(), **checked)
    return _current


def read(environment: Mapping[str, str], file: Path) -> Settings:
    """The settings that an environment and a file make."""
    handed = environment.get(HANDED_ON)
    decided = _handed(handed) if handed is not None else _in_file(file)
    for name, each in FIELDS.items():
        variable = f"LAB_{name.upper()}"
        value = environment.get(variable, "").strip()
        if value and each.metadata.get("only_kept"):
            raise UserError(
                f"{name} determines what is installed, so no variable can set it; keep it with ./inv config",
                f"unset {variable}; ./inv config set {name} {shlex.quote(value)}",
            )
        if value:
            decided[name] = check(name, value, variable)
    return Settings(**decided)


def check(name: str, value: str, source: str, base: Path | None = None) -> str:
    """The value as it is used, a path from `base` on (default: the current folder).

    Raises UserError, which names the `source`, for one that cannot be.
    """
    about, value = FIELDS[name].metadata, value.strip()
    remedy = "./inv config" if source == name or source.startswith("--") else f"./inv config unset {name}"
    remedy = f"unset {source.partition(':')[0]}" if source.startswith("LAB_") else remedy
    if not value.isprintable():
        raise UserError(f"{source} contains unprintable characters, such as a line break", remedy)
    if name == "mirror" and value.lower() == "cn":
        value = "cn"
    if name == "docker_args":
        try:
            docker_args.parse(value)
        except ValueError as error:
            raise UserError(f"{source}: {error}", remedy) from None
    fits = re.fullmatch(about.get("can_be") or ".*", value)
    if not fits or (name == "visdom_port" and int(value) > 65535):
        raise UserError(f"{source} must be {about['so']}, not {value or 'empty'}", remedy)
    try:
        is_path = name in ("data", "runs") or (name == "detectron2" and Path(value).expanduser().is_file())
        is_path = is_path or (name == "wheels" and "://" not in value)
        return str((base or Path.cwd()) / Path(value).expanduser()) if is_path else value
    except (OSError, RuntimeError) as error:  # a name that no disk takes; a ~user that there is not
        raise UserError(f"{source} is no path that can be used: {error}", remedy) from None


def _handed(text: str) -> dict[str, str]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or not all(isinstance(value, str) for value in said.values()):
        raise UserError(f"{HANDED_ON} is not a JSON object of settings", f"unset {HANDED_ON}")
    known = {name: value for name, value in said.items() if name in FIELDS}
    return {name: check(name, value, f"{HANDED_ON}: {name}") for name, value in known.items() if value}


def in_file(file: Path) -> dict[str, Any]:
    """What the file says, unchecked; {} without one."""
    try:
        return tomlfile.load(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        problem = f"settings cannot be read: {file}: {error.strerror}"
        raise UserError(problem, f"ls -ld {shlex.quote(str(file))}") from None
    except ValueError as error:
        raise UserError(f"settings cannot be read: {error}", f"rm {shlex.quote(str(file))}, or correct it") from None


def _in_file(file: Path) -> dict[str, str]:
    said = in_file(file)
    for name, value in said.items():
        if name not in KEPT:
            hint = nearest(name, KEPT)
            problem = f"{file.name}: there is no setting '{name}' ({hint})"
            raise UserError(problem, f"./inv config unset {shlex.quote(name)}")
        if not isinstance(value, str):
            raise UserError(f"{file.name}: {name} must be text in quotes", f"./inv config unset {name}")
    used = {name: check(name, value, f"{file.name}: {name}", file.parent) for name, value in said.items() if value}
    return {name: value for name, value in used.items() if value}


def source(name: str) -> str:
    """Where the value of a setting comes from; "" where nobody made it."""
    for variable in (f"LAB_{name.upper()}", HANDED_ON):
        if os.environ.get(variable):
            return variable
    return FILE.name if name in in_file(FILE) else ""


def misspelt(environment: Mapping[str, str]) -> list[str]:
    """A sentence for each variable that looks like one of ours and is none."""
    ours = [f"LAB_{name.upper()}" for name in FIELDS]
    return [
        f"{name} is ignored: {nearest(name, ours)}"
        for name in environment
        if name.startswith("LAB_") and name not in ours and difflib.get_close_matches(name, ours, 1, 0.85)
    ]


def language() -> str:
    """What the user reads: "en" or "zh"."""
    return current().lang or ("zh" if system().locale.lower().startswith("zh") else "en")


def handed_on(**decided: str) -> str:
    """LAB_SETTINGS for a process that a task starts, with what it `decided` for it."""
    now = dataclasses.replace(current(), **decided)
    said = {name: getattr(now, name) for name, each in FIELDS.items() if getattr(now, name) != each.default}
    said.update(data=now.data, runs=now.runs, lang=language())
    # Quotes are spelled out, since this stands between such quotes in .devcontainer/.env and in commands to paste.
    return json.dumps(said, sort_keys=True).replace("'", "\\u0027")


def child_environment(more: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program that a task starts: the user's with `more`, and settings only from there.

    What would lead its imports elsewhere is left out (PYTHONPATH), unless it is in `more`, and so are the settings of
    libraries with which the user's own programs work, and ours may not.
    """
    variables = {HANDED_ON, *(f"LAB_{name.upper()}" for name in FIELDS if name != "image"), *installers.OF_PYTHON}
    theirs = {name: value for name, value in os.environ.items() if name not in variables}
    theirs = {name: value for name, value in theirs.items() if not re.fullmatch(_OF_LIBRARIES, name)}
    return {**theirs, "MATPLOTLIBRC": os.devnull, **more}


def command() -> str:
    """How the user calls ./inv, also where the settings are wrong and a message must say so."""
    try:
        return current().command
    except UserError:
        return os.environ.get("LAB_COMMAND", "")


@lru_cache(maxsize=1)
def system() -> System:
    """What others said in the environment when it was first asked for. Raises UserError where a number is none."""
    environment, home = os.environ, Path(os.environ.get("HOME") or "/nonexistent")
    return System(
        search_path=environment.get("PATH", ""),
        folder=Path(environment.get("PWD") or os.getcwd()),
        displays=tuple(name for name in ("DISPLAY", "WAYLAND_DISPLAY") if environment.get(name)),
        locale=next(filter(None, (environment.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))), ""),
        proxies={name: value for name, value in environment.items() if value and re.fullmatch(_PROXY, name)},
        certificates=environment.get("SSL_CERT_FILE", ""),
        preload=environment.get("LD_PRELOAD", ""),
        pyenv=Path(environment.get("PYENV_ROOT") or home / ".pyenv"),
        index=installers.index_of(environment),
        python_mirror=environment.get("UV_PYTHON_INSTALL_MIRROR", ""),
        configuration=Path(environment.get("XDG_CONFIG_HOME") or home / ".config"),
        compose_project=environment.get("COMPOSE_PROJECT_NAME", ""),
        docker_host=environment.get("DOCKER_HOST", ""),
        docker_context=environment.get("DOCKER_CONTEXT", ""),
        docker_folder=Path(environment.get("DOCKER_CONFIG") or home / ".docker"),
        processes=_number(environment, "WORLD_SIZE", 1),
        rank=_number(environment, "RANK", 0),
        local_rank=_number(environment, "LOCAL_RANK", 0),
        visible_gpus=environment.get("CUDA_VISIBLE_DEVICES"),
        threads=environment.get("OMP_NUM_THREADS", ""),
    )


# matplotlib's and Jupyter's, and what docker/compose.yaml asks for: a cluster says VISDOM_PORT=tcp://10.0.0.1:8097
_OF_LIBRARIES = r"MPLBACKEND|MATPLOTLIBRC|JUPYTER\w*|(VISDOM|TENSORBOARD|NOTEBOOK)_(PORT|ADDRESS)\w*"
_PROXY = "(?i)(https?|all|no)_proxy"


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    value = environment.get(name) or str(default)
    if not re.fullmatch(r"[0-9]{1,6}", value):
        raise UserError(f"{name} is {value}, and torch's launcher sets it to a number", f"unset {name}")
    return int(value)

"""visdom, TensorBoard and JupyterLab in the background: start, find again, stop; on the loopback address.

Only visdom may be opened to other machines, and then it has a login.

In docker mode they are services of docker/compose.yaml, else processes that outlive the terminal. What is noted of such
a process is in `.services` of the runs folder, with its log; it is the one that still writes that log, so a number that
the system gave to another process meanwhile, or in another container, is never mistaken for it.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Callable, Iterator, NoReturn
from urllib.error import HTTPError
from urllib.parse import quote

from labkit.base import files, login, paths, ports, settings, typed
from labkit.base.console import warn
from labkit.base.errors import UserError
from labkit.base.programs import last_words, output_of
from labkit.stacks import containers
from labkit.stacks.engine import Engine
from labkit.stacks.runner import Place
from labkit.stacks.selection import Choice

START_S = 180.0  # on a machine whose disk is busy; an idle one needs two or three seconds
END_S = 10.0  # for the service to end after a polite signal, and again after the other one
ASKED_PATHS = {"visdom": "/", "tensorboard": "/", "notebook": "/api"}  # answered with 200 once the service is up
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor())


@dataclass(frozen=True)
class Service:
    """A service that runs: `handle` is the number of its process, or the id of its container."""

    name: str
    place: Place
    port: int
    token: str  # of JupyterLab
    handle: str

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return self.page(PurePath())

    def page(self, path: PurePath) -> str:
        """Where JupyterLab shows a file of the project."""
        inside = "".join(f"/{quote(part)}" for part in path.parts)
        place = f"lab/tree{inside}" if inside else ""
        return f"http://127.0.0.1:{self.port}/{place}" + (f"?token={self.token}" if self.token else "")


class Note(typed.Record, frozen=True, kw_only=True):
    """What is written down of a service that is a process, to find it again."""

    process: int
    port: int
    token: str


def folder() -> Path:
    """Where the notes and logs of native services are."""
    return paths.runs_dir() / ".services"


def here() -> Place:
    """Where what is no container runs."""
    return "here" if settings.current().image else "venv"


def note_of(name: str) -> Path:
    return folder() / f"{name}.json"


def log_of(name: str) -> Path:
    return folder() / f"{name}.log"


def wanted_port(name: str, asked: str) -> int:
    """The port that was asked for, else visdom's in the settings, else the one asked for last, else the usual one.

    Raises UserError for what is no port.
    """
    setting = settings.current().visdom_port
    kept = setting if name == "visdom" and setting != str(ports.SERVICES["visdom"]) else ""
    text = asked or kept or remembered_port(name) or str(ports.SERVICES[name])
    if not re.fullmatch("[0-9]{4,5}", text) or not 1024 <= int(text) <= 65535:
        problem = f"'{text}' is not a port: use a number from 1024 to 65535"
        raise UserError(problem, f"./inv {name} --port {ports.SERVICES[name]}")
    return int(text)


def remembered_port(name: str) -> str:
    """The port with which the service was last started by `--port`, "" for none."""
    try:
        text = (folder() / "ports" / name).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""
    return text if re.fullmatch(r"[0-9]{4,5}", text) and 1024 <= int(text) <= 65535 else ""


def remember_port(name: str, port: int) -> None:
    files.write_text(files.made(folder() / "ports") / name, f"{port}\n")


def require_free(name: str, port: int) -> None:
    """Raise a UserError that says who holds the port, where somebody does, and which one is free."""
    held_by = ports.holder(port)
    if held_by:
        raise UserError(f"port {port} is taken by {held_by}", f"./inv {name} --port {ports.free_port(port + 1)}")


def find(name: str, engine: Engine) -> Service | None:
    """The service that runs already, natively or in a container of this project."""
    return find_native(name) or find_container(name, engine)


def find_native(name: str) -> Service | None:
    note = typed.read(note_of(name), Note)
    try:
        ours = note is not None and os.path.samefile(f"/proc/{note.process}/fd/1", log_of(name))
    except OSError:  # the process or the log is gone, or the process is not ours
        return None
    return Service(name, here(), note.port, note.token, str(note.process)) if note and ours else None


def find_container(name: str, engine: Engine) -> Service | None:
    container = "" if engine.problem else container_of(name, engine)
    described = output_of(engine.client, "inspect", container) if container else ""
    if not described:
        return None
    try:
        (said,) = json.loads(described)
        published = [entry for entries in said["NetworkSettings"]["Ports"].values() for entry in entries or []]
        variables = dict(variable.partition("=")[::2] for variable in said["Config"]["Env"])
        port = int(published[0]["HostPort"]) if published else ports.SERVICES[name]
    except (LookupError, TypeError, ValueError, AttributeError):  # it is no container of ours, or just going
        return None
    return Service(name, "docker", port, variables.get("JUPYTER_TOKEN", ""), container)


def container_of(name: str, engine: Engine, *options: str) -> str:
    """The id of the service's container, '' where none runs."""
    labels = [f"project={containers.project()}", f"service={name}", "oneoff=False"]
    filters = [word for label in labels for word in ("--filter", f"label=com.docker.compose.{label}")]
    return output_of(engine.client, "ps", "--quiet", *options, *filters)


def start_native(
    name: str, argv: tuple[str, ...], environment: dict[str, str], address: str, port: int, token: str
) -> Service:
    """Start the service as a process of its own and wait until it answers; `argv` is the stack's Python."""
    folder().mkdir(parents=True, exist_ok=True)
    for private in (note_of(name), log_of(name)):  # both tell the token
        private.touch(mode=0o600)
    with log_of(name).open("wb") as log:
        process = subprocess.Popen(
            [*argv, "-m", "labkit.services.serve", name, address, str(port)],
            env=settings.child_environment({**environment, "JUPYTER_TOKEN": token}),
            cwd=paths.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    with undone(name, lambda: end(process)):
        note = typed.builtins(Note(process=process.pid, port=port, token=token))
        note_of(name).write_text(json.dumps(note) + "\n", encoding="utf-8")
        deadline = time.monotonic() + START_S
        while not answers(name, port):
            if process.poll() is not None or time.monotonic() > deadline:
                refuse(name)
            time.sleep(0.1)
    return Service(name, here(), port, token, str(process.pid))


def start_container(name: str, engine: Engine, choice: Choice, address: str, port: int, token: str) -> Service:
    """Start the service of docker/compose.yaml and wait until it answers."""
    asked = {f"{name.upper()}_ADDRESS": address, f"{name.upper()}_PORT": str(port), "LAB_TOKEN": token}
    environment = settings.child_environment({**containers.variables(engine, choice, visdom="visdom"), **asked})
    compose = containers.compose(engine, choice)
    up = [*compose, "up", "--detach", "--no-deps", name]
    with undone(name, lambda: remove_container(name, engine)):
        if subprocess.run(up, stdout=sys.stderr, env=environment).returncode != 0:
            raise UserError(f"{name} could not be started (the engine's own message is above)", "./inv doctor")
        deadline = time.monotonic() + START_S
        found = find_container(name, engine)
        while not found or not answers(name, port):
            if not found or time.monotonic() > deadline:
                shown = [*compose, "logs", "--no-log-prefix", name]
                said = subprocess.run(shown, env=environment, capture_output=True, text=True).stdout
                log_of(name).touch(mode=0o600)
                log_of(name).write_text(said, encoding="utf-8")  # the container goes, and its log with it
                refuse(name)
            time.sleep(0.2)
            found = find_container(name, engine)
    return found


@contextmanager
def undone(name: str, undo: Callable[[], object]) -> Iterator[None]:
    """Where the block fails, or is stopped by Ctrl-C: `undo` what was started, so that nothing runs unseen."""
    try:
        yield
    except BaseException:
        undo()
        forget(name)
        raise


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def remove_container(name: str, engine: Engine) -> None:
    """Remove the service's container, also one that was made and not started yet."""
    container = container_of(name, engine, "--all")
    if container:
        output_of(engine.client, "rm", "--force", container)


def forget(name: str) -> None:
    """Remove what was noted of the service, and the password of a visdom."""
    note_of(name).unlink(missing_ok=True)
    if name == "visdom":
        login.set_password("")


def refuse(name: str) -> NoReturn:
    said = log_of(name).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    why = said[-1] if said else f"no answer within {START_S:.0f} s"
    raise UserError(f"{name} is not running: {why}", f"less {log_of(name)}")


def stop(service: Service, engine: Engine) -> None:
    """Stop the service; visdom writes its windows down first. One that is gone already is left at that."""
    if service.name == "visdom":
        save_windows(service.port)
    if service.place == "docker":
        stop_container(service, engine)
    else:
        stop_native(service)
    forget(service.name)


def stop_container(service: Service, engine: Engine) -> None:
    for words in (["stop"], ["rm", "--force"]):
        done = subprocess.run([engine.client, *words, service.handle], capture_output=True, text=True)
    if done.returncode != 0 and "no such container" not in done.stderr.lower():
        raise UserError(f"{service.name} could not be stopped: {last_words(done.stderr)}", "./inv doctor")


def stop_native(service: Service) -> None:
    """Ask the process to end, and end it where it does not; never another one that has its number by now."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if find_native(service.name) != service:
            return
        with suppress(ProcessLookupError):
            os.kill(int(service.handle), number)
        deadline = time.monotonic() + END_S
        while find_native(service.name) == service and time.monotonic() < deadline:
            time.sleep(0.05)


def save_windows(port: int) -> None:
    """Let visdom write all its environments to its folder: of itself it does so at its very end or not at all."""
    try:
        if login.password():
            secret = hashlib.sha256(login.password().encode()).hexdigest()  # as visdom's own page sends it
            with suppress(HTTPError):  # whether it lets us in, the next answer says
                ask(port, "/", {"username": login.USER, "password": secret})
        ask(port, "/save", {"data": json.loads(ask(port, "/env_state", {}))})
    except HTTPError as error:
        warn(f"visdom was not asked to save its windows: it answers {error}")
    except OSError:
        return  # it does not answer any more: nothing to save


def answers(name: str, port: int) -> bool:
    """Whether the service gives out its page."""
    try:
        ask(port, ASKED_PATHS[name])
    except OSError:  # also what urllib raises for a status that is no success
        return False
    return True


def ask(port: int, path: str, data: Any = None) -> bytes:
    """The answer to a GET, or to a POST of `data` as JSON; the user's proxy is never asked. Raises OSError."""
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"Content-Type": "application/json"})
    try:
        with DIRECT.open(request, timeout=5) as answer:
            return bytes(answer.read())
    except http.client.HTTPException as error:  # half an answer, as from a server that is just starting
        raise OSError(str(error)) from None

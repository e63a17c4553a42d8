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
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.base import login, paths, ports
from labkit.base.errors import UserError
from labkit.base.programs import output_of
from labkit.stacks import containers
from labkit.stacks.engine import Engine
from labkit.stacks.selection import Choice

START_S = 180.0  # on a machine whose disk is busy; an idle one needs two or three seconds
ASKED_PATHS = {"visdom": "/", "tensorboard": "/", "notebook": "/api"}  # answered with 200 once the service is up
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor())


@dataclass(frozen=True)
class Service:
    """A service that runs: `handle` is the number of its process, or the id of its container."""

    name: str
    place: str  # "docker" or "native"
    port: int
    token: str  # of JupyterLab
    handle: str

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://127.0.0.1:{self.port}/" + (f"?token={self.token}" if self.token else "")


def folder() -> Path:
    """Where the notes and logs of native services are."""
    return paths.runs_dir() / ".services"


def log_of(name: str) -> Path:
    return folder() / f"{name}.log"


def wanted_port(name: str, asked: str) -> int:
    """The port that was asked for, else $VISDOM_PORT (as labs look for it), else the usual one. Raises UserError."""
    text = asked or (os.environ.get("VISDOM_PORT", "") if name == "visdom" else "") or str(ports.SERVICES[name])
    if not text.isdigit() or not 1024 <= int(text) <= 65535:
        raise UserError(f"'{text}' is no port: a number from 1024 to 65535.", f"./inv {name}")
    return int(text)


def require_free(name: str, port: int) -> None:
    """Raise a UserError that says who holds the port, where somebody does, and which one is free."""
    held_by = ports.holder(port)
    if held_by:
        raise UserError(f"port {port} is taken by {held_by}.", f"./inv {name} --port {ports.free_port(port + 1)}")


def find(name: str, engine: Engine) -> Service | None:
    """The service that runs already, natively or in a container of this project."""
    return find_native(name) or find_container(name, engine)


def find_native(name: str) -> Service | None:
    note = folder() / f"{name}.json"
    if not note.exists():
        return None
    said = json.loads(note.read_text(encoding="utf-8"))
    try:
        ours = os.path.samefile(f"/proc/{said['process']}/fd/1", log_of(name))
    except OSError:  # the process or the log is gone, or the process is not ours
        return None
    return Service(name, "native", said["port"], said["token"], str(said["process"])) if ours else None


def find_container(name: str, engine: Engine) -> Service | None:
    if engine.problem:
        return None
    labels = [f"project={containers.project()}", f"service={name}", "oneoff=False"]
    filters = [word for label in labels for word in ("--filter", f"label=com.docker.compose.{label}")]
    container = output_of(engine.client, "ps", "--quiet", *filters)
    described = output_of(engine.client, "inspect", container) if container else ""
    if not described:
        return None
    (said,) = json.loads(described)
    published = [entry for entries in said["NetworkSettings"]["Ports"].values() for entry in entries or []]
    variables = dict(variable.partition("=")[::2] for variable in said["Config"]["Env"])
    port = int(published[0]["HostPort"]) if published else ports.SERVICES[name]
    return Service(name, "docker", port, variables.get("JUPYTER_TOKEN", ""), container)


def start_native(
    name: str, argv: tuple[str, ...], environment: dict[str, str], address: str, port: int, token: str
) -> Service:
    """Start the service as a process of its own and wait until it answers; `argv` is the stack's Python."""
    folder().mkdir(parents=True, exist_ok=True)
    note = folder() / f"{name}.json"
    for private in (note, log_of(name)):  # both tell the token
        private.touch(mode=0o600)
    with log_of(name).open("wb") as log:
        process = subprocess.Popen(
            [*argv, "-m", "labkit.services.serve", name, address, str(port)],
            env={**os.environ, **environment, "JUPYTER_TOKEN": token},
            cwd=paths.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    note.write_text(json.dumps({"process": process.pid, "port": port, "token": token}) + "\n", encoding="utf-8")
    deadline = time.monotonic() + START_S
    while not answers(name, port):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            refuse(name, log_of(name).read_text(encoding="utf-8", errors="replace"), f"less {log_of(name)}")
        time.sleep(0.1)
    return Service(name, "native", port, token, str(process.pid))


def start_container(name: str, engine: Engine, choice: Choice, address: str, port: int, token: str) -> Service:
    """Start the service of docker/compose.yaml and wait until it answers."""
    asked = {f"{name.upper()}_ADDRESS": address, f"{name.upper()}_PORT": str(port), "LAB_TOKEN": token}
    settings = {**containers.settings(engine, choice), **asked}
    command = [*containers.compose(engine, choice), "up", "--detach", "--no-deps", name]
    if subprocess.run(command, stdout=sys.stderr, env={**os.environ, **settings}).returncode != 0:
        raise UserError(f"{name} could not be started (the engine's own message is above).", "./inv doctor")
    deadline = time.monotonic() + START_S
    while not answers(name, port):
        if time.monotonic() > deadline or not find_container(name, engine):
            shown = [*containers.compose(engine, choice), "logs", "--no-log-prefix", name]
            said = subprocess.run(shown, env={**os.environ, **settings}, capture_output=True, text=True).stdout
            refuse(name, said, f"./inv {name} --stop, then ./inv doctor")
        time.sleep(0.2)
    found = find_container(name, engine)
    assert found is not None, "it has just answered"
    return found


def refuse(name: str, log: str, next_command: str) -> None:
    last = (log.strip().splitlines() or [f"no answer within {START_S:.0f} s"])[-1]
    raise UserError(f"{name} does not run: {last}", next_command)


def stop(service: Service, engine: Engine) -> None:
    """Stop the service; visdom writes its windows down first."""
    if service.name == "visdom":
        save_windows(service.port)
        login.set_password("")
    if service.place == "docker":
        subprocess.run([engine.client, "stop", service.handle], stdout=subprocess.DEVNULL)
        subprocess.run([engine.client, "rm", service.handle], stdout=subprocess.DEVNULL)
        return
    process = int(service.handle)
    os.kill(process, signal.SIGTERM)
    deadline = time.monotonic() + 10
    while find_native(service.name):
        if time.monotonic() > deadline:
            os.kill(process, signal.SIGKILL)
        time.sleep(0.05)
    (folder() / f"{service.name}.json").unlink()


def save_windows(port: int) -> None:
    """Let visdom write all its environments to its folder: of itself it does so at its very end or not at all."""
    try:
        if login.password():
            secret = hashlib.sha256(login.password().encode()).hexdigest()  # as visdom's own page sends it
            ask(port, "/", {"username": login.USER, "password": secret})
        ask(port, "/save", {"data": json.loads(ask(port, "/env_state", {}))})
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

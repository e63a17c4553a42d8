"""`./inv visdom`, `tensorboard` and `notebook`, and the JupyterLab in which lessons and exercises are opened."""

from __future__ import annotations

import dataclasses
import secrets
import socket
from pathlib import PurePath

from labkit.base import files, labs, login, paths, settings
from labkit.base.console import say
from labkit.base.errors import UserError, harmless
from labkit.cli.prepare import choose, prepare, show
from labkit.runs import live, records
from labkit.services import control
from labkit.stacks import machine as machines
from labkit.stacks import runner, selection, visdom_page


def service(
    name: str,
    port: str,
    stop: bool,
    status: bool,
    stack: str,
    where: str,
    public: bool = False,
    replay: str = "",
    lab: str = "",
) -> int | None:
    """Start, find or stop visdom, tensorboard or notebook; prints the address, of a `lab` that of its notebook."""
    wanted = control.wanted_port(name, port)
    lesson = in_steps(lab) if lab else None
    shown_again = records.read(records.find(replay)) if replay else None
    if shown_again and not live.has_windows(shown_again.folder):
        problem = f"the run {shown_again.name} drew nothing, so there are no windows to rebuild"
        raise UserError(problem, f"./inv report {shown_again.name}")
    machine = machines.probe()
    with files.locked(control.folder() / "lock", name):
        found = control.find_native(name)
        if not found and where != "venv":  # who says so does not wait for an engine
            found = control.find_container(name, machine.engine)
        if stop or status:
            if found and stop:
                control.stop(found, machine.engine)
                say(f"{name} stopped")
            elif found:
                print(found.address)
            else:
                say(f"{name} is not running")
                if stop:
                    control.forget(name)
            return 0 if found or stop else 1
        if found and port and found.port != wanted:
            raise UserError(f"{name} is already running on port {found.port}", f"./inv {name} --stop, then retry")
        if found and public and not login.password():
            raise UserError("visdom is already running, for this machine only", "./inv visdom --stop, then retry")
        if not found or shown_again or lesson:
            choice = choose(machine, stack, where)
            if name != "notebook":  # which is the only one that computes
                choice = dataclasses.replace(choice, gpus=())
        if not found:
            place, why = runner.where(where, bool(settings.current().image), machine.engine, choice.use_gpu)
            say(f"where: {place} ({why})")
            control.require_free(name, wanted)
            place, choice, machine = prepare(place, where, choice, machine)
            if port:
                control.remember_port(name, wanted)
            found = start(name, place, choice, machine, wanted, public)
    page = found.address
    if lesson:
        page = found.page(notebook_of(lesson, choice, found.place, machine))
    if shown_again:
        if found.place != "docker":
            settings.use(visdom_port=str(found.port))
        words = [str(paths.ROOT / "labkit" / "runs" / "live.py"), str(shown_again.folder)]
        command = runner.python_command(words, choice, found.place, machine)
        if command.run() != 0:
            raise UserError(f"the windows of {shown_again.name} could not be rebuilt (the message is above)")
    drawn = [shown_again] if shown_again else [run for run in records.table() if run.status == "running"]
    if name == "visdom" and drawn:
        page += f"env/{drawn[0].environment}"
    print(harmless(page))
    if name == "visdom" and login.password():
        say(f"reachable from every machine on the network: http://{socket.gethostname()}:{found.port}/")
        say(f"user: {login.USER}  password: {login.password()}  (./inv visdom --stop ends it)")
    else:
        say(f"on this machine only; ./inv {name} --stop ends it")
    show(page)
    return None


def start(
    name: str,
    place: runner.Place,
    choice: selection.Choice,
    machine: machines.Machine,
    port: int,
    public: bool = False,
) -> control.Service:
    """Start the service, which does not run yet, at a place that is made ready."""
    address = "0.0.0.0" if public else "127.0.0.1"
    token = secrets.token_urlsafe(16) if name == "notebook" else ""
    if place == "venv" and name == "visdom":
        visdom_page.ensure(choice.stack)
    if name == "visdom":
        login.set_password(secrets.token_urlsafe(12) if public else "")
    if place == "docker":
        return control.start_container(name, machine.engine, choice, address, port, token)
    python = runner.python_command([], choice, place, machine)
    return control.start_native(name, python.argv, python.environment, address, port, token)


def jupyter(place: runner.Place, choice: selection.Choice, machine: machines.Machine, next_command: str) -> str:
    """The address of JupyterLab, which is started where it does not run.

    Raises UserError where the runs are out of its sight.
    """
    if paths.ROOT not in paths.runs_dir().resolve().parents:
        problem = f"JupyterLab shows what is in {paths.ROOT}, and the runs are in {paths.runs_dir()}"
        raise UserError(problem, next_command)
    with files.locked(control.folder() / "lock", "notebook"):
        found = control.find("notebook", machine.engine)
        if not found:
            port = control.wanted_port("notebook", "")
            control.require_free("notebook", port)
            found = start("notebook", place, choice, machine, port)
    return found.address


def in_steps(name: str) -> labs.Lab:
    """The lab, of which a notebook can be made. Raises UserError where it is no lesson in steps."""
    found = labs.find(name)
    if not found.steps:
        able = ", ".join(lab.name for lab in labs.table() if lab.steps)
        raise UserError(f"the lab {found.name} is no lesson in steps; {able} are", f"./inv lab {found.name}")
    return found


def notebook_of(
    lesson: labs.Lab, choice: selection.Choice, place: runner.Place, machine: machines.Machine
) -> PurePath:
    """The lab's notebook, below the project's folder; made from its steps where there is none yet."""
    path = PurePath("notebooks", f"{lesson.name}.ipynb")
    if (paths.ROOT / path).exists():
        say(f"{path} is kept as it is; move it away to have it made anew")
    elif runner.python_command(["-m", "labkit.runs.notebooks", lesson.name], choice, place, machine).run() != 0:
        raise UserError(f"{path} could not be made (the message is above)", f"./inv lab {lesson.name}")
    return path

"""`./inv setup`, `doctor`, `export`, `devcontainer` and `image`: the stacks and this machine."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import subprocess
from functools import partial
from pathlib import Path

from rich.table import Table
from rich.text import Text

from labkit.base import files, mirrors, paths, ports, settings
from labkit.base.command import as_typed
from labkit.base.console import say, warn
from labkit.base.errors import UserError
from labkit.cli.prepare import OUT, choose, passed_on, prepare, table, usable
from labkit.services import control
from labkit.stacks import builds, catalog, containers, editor, images, native, runner, sbom, selection
from labkit.stacks import doctor as doctors
from labkit.stacks import export as exports
from labkit.stacks import machine as machines

SELFTEST = str(paths.ROOT / "labkit" / "stacks" / "selftest.py")


def setup(stack: str, where: str, mirror: str, dry: bool) -> int | None:
    if mirror:
        mirrors.find(mirror)
        settings.use(mirror=mirror)
    machine = machines.probe()
    choice = choose(machine, stack, where)
    place, why = runner.where(where, bool(settings.current().image), machine.engine, choice.use_gpu)
    say(f"where: {place} ({why})")
    if dry:
        if place == "docker":
            print(shlex.join(images.planned(machine.engine, choice.stack, choice.build)))
        print(runner.python_command([SELFTEST], choice, place, machine).shown())
        return None
    place, choice, machine = prepare(place, where, choice, machine)
    for build in choice.stack.builds:
        if build.pending and not choice.exact:
            say(f"{catalog.label(choice.stack, build)} is used only when asked for: nobody recorded its wheels' hashes")
    status = runner.python_command([SELFTEST], choice, place, machine).run()
    if status == 0:
        flag = f" --stack {stack}" if stack else ""
        say(f"\nReady. Next:  ./inv lab cifar10{flag}            train on CIFAR-10 and get a report")
        say(f"              ./inv lab cifar10 --smoke{flag}    a quick proof on built-in images, no network")
    return status


def devcontainer(stack: str) -> None:
    """Have the image ready for VS Code, and what its Compose file asks for."""
    machine = machines.probe()
    shared = settings.system().compose_project
    if shared:
        problem = f"COMPOSE_PROJECT_NAME is {shared}, so VS Code would take the containers of every folder for the same"
        raise UserError(problem, "unset COMPOSE_PROJECT_NAME, and start VS Code from that terminal")
    if machine.engine.problem:
        raise UserError(f"a devcontainer needs a container engine: {machine.engine.problem}", "./inv doctor")
    choice = choose(machine, stack)
    if choice.stack.editor_base and not settings.current().base_image:
        say(f"base: {choice.stack.editor_base}, since the server of VS Code does not run on {choice.stack.os}")
        choice = dataclasses.replace(choice, stack=choice.stack.for_editor)
    _, choice, machine = prepare("docker", "docker", choice, machine)
    editor.ensure(machine.engine, choice.stack, choice.build, images.Sources.of(settings.current()))
    say(f"{paths.shown(editor.write_env(machine.engine, choice, stack))} written: reopen the folder in its container")


def image_build(stack: str) -> None:
    machine = machines.probe()
    engine, sources = usable(machine), images.Sources.of(settings.current())
    choice = builds.make(choose(machine, stack), lambda stack, build: images.ensure(engine, stack, build, sources))
    print(images.tag(choice.stack, choice.build))


def image_test(stack: str) -> int:
    """The tests of tests/image inside the image, with no network and the repository read-only."""
    machine = machines.probe()
    engine, chosen = usable(machine), choose(machine, stack)
    name = images.tag(chosen.stack, chosen.build)
    if not images.present(engine, name):
        raise UserError(
            f"there is no image of today's stack {chosen.stack.name}", f"./inv image.build --stack {chosen.label}"
        )
    return subprocess.run(containers.test_command(engine, chosen, passed_on())).returncode


def image_sbom(stack: str, output: str) -> None:
    machine = machines.probe()
    document = sbom.document(usable(machine), *asked_build(machine, stack))
    if not output:
        print(document)
        return
    path = runner.caller_folder() / Path(output).expanduser()
    with files.writing(path.parent):
        files.write_text(path, document)
    say(f"{paths.shown(path)}: {len(json.loads(document)['components'])} components")


def image_audit(stack: str, advisories: str, json: bool) -> int:
    """Known vulnerabilities of the versions that a stack pins; exit status 1 where there are any."""
    from labkit.stacks import advisories as known  # only here, since it is slow to import

    if not advisories:
        problem = "--advisories names the file or folder with the known vulnerabilities; none is asked over a network"
        raise UserError(problem, "./inv --help image.audit")
    choice = choose(machines.probe(), stack)
    pins = known.pinned(choice.stack, choice.build)
    database = known.read(runner.caller_folder() / Path(advisories).expanduser(), pins)
    if database.malformed:
        warn(f"left out, since they cannot be read: {database.malformed}, such as {database.first_problem}")
    if database.not_reported:
        warn(f"pip-audit did not look at {len(database.not_reported)} of these {len(pins)} versions")
    if json:
        print(known.as_json(choice.label, database))
        return 1 if database.found else 0
    rows = [(each.pin.name, each.pin.version, "\n".join(each.ids), each.fixed, each.summary) for each in database.found]
    if rows:
        heads = ("package", "version", "known as", "mended in", "what it is")
        OUT.print(table(heads, rows, folded=("known as", "what it is"), whole=("package", "version", "mended in")))
    say(f"{choice.label}: {len(pins)} pinned versions, {len(rows)} known vulnerabilities")
    return 1 if rows else 0


def image_prune() -> None:
    removed = images.prune(usable(machines.probe()))
    say(f"removed: {', '.join(removed)}" if removed else "no image is older than its stack")


def asked_build(machine: machines.Machine, stack: str) -> tuple[catalog.Stack, catalog.Build]:
    choice = choose(machine, stack)
    return choice.stack, choice.build


def doctor(stack: str, json: bool) -> int | None:
    """The findings in groups, then what to type, the worst last; with `json` as one object for programs."""
    if json:
        try:
            settings.current()
        except UserError as error:  # a program that asks is answered in its language
            found = doctors.Finding("settings", "problem", "settings", error.message, error.next_command)
            print(doctors.as_json({"computer": [found]}))
            return 1
    marks = {"ok": "[green]✓[/green]", "note": "[yellow]![/yellow]", "problem": "[red]✗[/red]"}
    machine = machines.examine()
    running = [control.find(name, machine.engine) for name in ports.SERVICES]
    ours = {found.name: ports.OURS for found in running if found and found.port == ports.SERVICES[found.name]}
    machine = dataclasses.replace(machine, ports={**machine.ports, **ours})
    settle = partial(builds.settled, engine=machine.engine)
    machine = with_gpu_tried(machine, doctors.chosen(machine, stack, settle))
    groups = doctors.diagnose(machine, stack, settle, native.installed_python)
    findings = [finding for group in groups.values() for finding in group]
    if json:
        print(doctors.as_json(groups))
        return 1 if any(finding.level == "problem" for finding in findings) else None
    width = max(len(finding.subject) for finding in findings)
    for title, group in groups.items():
        table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
        table.add_column(width=1)
        table.add_column(width=width, no_wrap=True)
        for finding in group:
            table.add_row(marks[finding.level], finding.subject, Text(finding.what))
        OUT.print(f"[bold]{title}[/bold]")
        OUT.print(table)
    for level, title in (("note", "Could be better"), ("problem", "Needs fixing")):
        listed = [finding for finding in findings if finding.level == level]
        if listed:
            OUT.print(f"\n[bold]{title}[/bold]")
        for finding in listed:
            command = Text(as_typed(finding.next_command))
            OUT.print(f"{marks[level]} {finding.subject:{width}}  ", command, sep="", soft_wrap=True)
    if any(finding.level == "problem" for finding in findings):
        return 1
    OUT.print("\nNothing is in the way. Next: ./inv setup")
    return None


def with_gpu_tried(machine: machines.Machine, choice: selection.Choice) -> machines.Machine:
    """What a container of the chosen stack's image sees of the GPU, where there is one to be seen."""
    engine = machine.engine
    ready = engine.compose or containers.OUR_COMPOSE.exists()
    if machine.inside or not (choice.use_gpu and engine.gpu and ready):
        return machine
    if images.tag(choice.stack, choice.build) not in machine.images or runner.lacking(engine, choice.use_gpu)[0]:
        return machine
    containers.make_folders(engine)
    return dataclasses.replace(machine, gpu_in_container=containers.try_gpu(engine, choice))


def export(format: str, stack: str, mirror: str, output: str) -> None:
    choice = choose(machines.probe(), stack, "venv")
    path = runner.caller_folder() / Path(output).expanduser()
    if output and path.exists():
        raise UserError(f"{paths.shown(path)} already exists", f"rm {output}, or choose another name with --output")
    text = exports.render(format, choice.stack, choice.build, mirror)
    if not output:
        print(text, end="")
        return
    with files.writing(path.parent, "./inv --help export"):
        files.write_text(path, text)
    say(f"{paths.shown(path)} written; its first lines say how to install it")


def detectron2_install(python: str, stack: str) -> None:
    choice = choose(machines.probe(), stack, "venv")
    interpreter = runner.caller_folder() / Path(python).expanduser()
    if not os.access(interpreter, os.X_OK) or interpreter.is_dir():
        raise UserError(f"{paths.shown(interpreter)} is not a Python interpreter", "./inv --help detectron2.install")
    native.add_detectron2(interpreter, choice.stack)
    say(f"detectron2 is installed beside {paths.shown(interpreter)}")

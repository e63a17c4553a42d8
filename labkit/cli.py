"""What each task of tasks.py does. Every function returns an exit status (None for success) or raises UserError."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import webbrowser
from pathlib import Path

from rich.table import Table
from rich.text import Text

from labkit import bundle as bundles
from labkit import (
    comparison,
    containers,
    datasets,
    envs,
    files,
    images,
    labs,
    launch,
    login,
    paths,
    ports,
    registry,
    runner,
    runs,
    services,
    stacks,
    visdom_page,
)
from labkit import doctor as doctors
from labkit import export as exports
from labkit import machine as machines
from labkit import report as reports
from labkit.console import Console, say, warn
from labkit.engine import Engine
from labkit.errors import UserError

OUT = Console(highlight=False)  # tables go to standard output
INSIDE_IMAGE = bool(os.environ.get("LAB_IMAGE"))


def passed_on() -> list[str]:
    """What follows `--` on the command line, untouched."""
    return sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []


def choose(machine: machines.Machine, asked: str) -> stacks.Choice:
    """The stack for this machine, said aloud with its reason; inside an image, the image's own."""
    if INSIDE_IMAGE:
        stack = stacks.load(os.environ["LAB_IMAGE"].partition("/")[0])
        if asked and asked.partition("/")[0] != stack.name:
            raise UserError(f"this image holds stack {stack.name}, not {asked}.", "leave --stack out")
        return stacks.choose(list(machine.gpus), machine.driver, machine.wsl, os.environ["LAB_IMAGE"])
    choice = stacks.choose(list(machine.gpus), machine.driver, machine.wsl, asked)
    say(f"stack: {choice.label}, {choice.stack.title} ({choice.reason})")
    return choice


def prepare(place: str, asked: str, choice: stacks.Choice, machine: machines.Machine) -> tuple[str, machines.Machine]:
    """Have the stack ready at `place`; natively where no image can be had and the user did not insist on one.

    Returns the place and the machine, whose engine may have got a Compose.
    """
    if place == "docker":
        try:
            engine = containers.ensure_compose(machine.engine)
            images.ensure(engine, choice.stack, choice.build, images.Sources.from_environment())
        except UserError as error:
            if asked == "docker":
                raise
            warn(f"{error.message} So it runs in a native environment instead.")
            place = "venv"
        else:
            for folder in (paths.data_dir(), paths.runs_dir()):  # the engine would make them as root
                folder.mkdir(parents=True, exist_ok=True)
            if os.getuid() == 0 and not engine.rootless:
                warn("you are root, so the container runs as root too; as an ordinary user it would not")
            return "docker", dataclasses.replace(machine, engine=engine)
    if place == "venv" and envs.ensure(choice.stack, choice.build):
        try:
            visdom_page.ensure(choice.stack)
        except UserError as error:
            warn(f"{error.message} All else works, and `invoke visdom` will try again.")
    return place, machine


def setup(stack: str, where: str, mirror: str, dry: bool) -> int | None:
    if mirror:
        row = stacks.find_mirror(mirror)
        os.environ.update({"UV_DEFAULT_INDEX": row["index"], "LAB_APT_MIRROR": row["apt"]})
    machine = machines.probe()
    choice = choose(machine, stack)
    place, why = runner.where(where, INSIDE_IMAGE, machine.engine, choice.use_gpu)
    say(f"where: {place} ({why})")
    if dry:
        if place == "docker":
            print(shlex.join(images.planned(machine.engine, choice.stack, choice.build)))
        print(runner.python_command(["-m", "labkit.selftest"], choice, place, machine).shown())
        return None
    place, machine = prepare(place, where, choice, machine)
    status = runner.python_command(["-m", "labkit.selftest"], choice, place, machine).run()
    if status == 0:
        flag = f" --stack {stack}" if stack else ""
        say(f"\nReady. Next:  invoke lab cifar10{flag}            train on CIFAR-10 and get a report")
        say(f"              invoke lab cifar10 --smoke{flag}    a quick proof on built-in pictures, no network")
    return status


def devcontainer(stack: str) -> None:
    """Have the image ready for VS Code and write docker/.env, from which Compose takes what compose.yaml asks for."""
    machine = machines.probe()
    if machine.engine.problem:
        raise UserError(f"a devcontainer needs a container engine: {machine.engine.problem}.", "invoke doctor")
    choice = choose(machine, stack)
    if choice.stack.editor_base and not os.environ.get("LAB_BASE_IMAGE"):
        os.environ["LAB_BASE_IMAGE"] = choice.stack.editor_base
        say(f"base: {choice.stack.editor_base}, since the server of VS Code does not run on {choice.stack.os}")
    _, machine = prepare("docker", "docker", choice, machine)
    settings = {"COMPOSE_PROJECT_NAME": containers.project(), **containers.settings(machine.engine, choice)}
    lines = [f"{name}={value}\n" for name, value in settings.items()]
    (images.DOCKER / ".env").write_text("".join(lines), encoding="utf-8")
    say(f"{paths.shown(images.DOCKER / '.env')} written: reopen the folder in its container")


def image_build(stack: str) -> None:
    machine = machines.probe()
    name = images.ensure(usable(machine), *asked_build(machine, stack), images.Sources.from_environment())
    print(name)


def image_test(stack: str) -> int:
    """The tests of tests/image inside the image, with no network and the repository read-only."""
    machine = machines.probe()
    engine, chosen = usable(machine), choose(machine, stack)
    name = images.tag(chosen.stack, chosen.build)
    if not images.present(engine, name):
        raise UserError(
            f"there is no image of today's stack {chosen.stack.name}.", f"invoke image.build --stack {chosen.label}"
        )
    return subprocess.run(containers.test_command(engine, chosen, passed_on())).returncode


def image_sbom(stack: str, output: str) -> None:
    machine = machines.probe()
    document = images.sbom(usable(machine), *asked_build(machine, stack))
    if not output:
        print(document)
        return
    path = runner.caller_folder() / Path(output).expanduser()
    with files.writing(path.parent):
        files.write_text(path, document)
    say(f"{paths.shown(path)}: {len(json.loads(document)['components'])} components")


def image_prune() -> None:
    engine = usable(machines.probe())
    every = [(stack, build) for stack in map(stacks.load, stacks.names()) for build in stack.builds]
    removed = images.prune(engine, every)
    say(f"removed: {', '.join(removed)}" if removed else "no image is older than its stack")


def usable(machine: machines.Machine) -> Engine:
    """The container engine, or the reason why there is none."""
    if machine.engine.problem:
        raise UserError(f"images need a container engine: {machine.engine.problem}.", "invoke doctor")
    return machine.engine


def asked_build(machine: machines.Machine, stack: str) -> tuple[stacks.Stack, stacks.Build]:
    choice = choose(machine, stack)
    return choice.stack, choice.build


def doctor(stack: str) -> int | None:
    """The findings in groups, then what to type, the worst last."""
    marks = {"ok": "[green]✓[/green]", "note": "[yellow]![/yellow]", "problem": "[red]✗[/red]"}
    machine = machines.examine()
    running = [services.find(name, machine.engine) for name in ports.SERVICES]
    ours = {found.name: ports.OURS for found in running if found and found.port == ports.SERVICES[found.name]}
    groups = doctors.diagnose(dataclasses.replace(machine, ports={**machine.ports, **ours}), stack)
    findings = [finding for group in groups.values() for finding in group]
    width = max(len(finding.subject) for finding in findings)
    for title, group in groups.items():
        table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
        table.add_column(width=1)
        table.add_column(width=width, no_wrap=True)
        for finding in group:
            table.add_row(marks[finding.level], finding.subject, Text(finding.what))
        OUT.print(f"[bold]{title}[/bold]")
        OUT.print(table)
    for level, title in (("note", "Could be better"), ("problem", "To mend")):
        listed = [finding for finding in findings if finding.level == level]
        if listed:
            OUT.print(f"\n[bold]{title}[/bold]")
        for finding in listed:
            OUT.print(f"{marks[level]} {finding.subject:{width}}  ", Text(finding.next_command), sep="", soft_wrap=True)
    if any(finding.level == "problem" for finding in findings):
        return 1
    OUT.print("\nAll that is needed is there: invoke setup")
    return None


def export(form: str, stack: str, mirror: str, output: str) -> None:
    choice = choose(machines.probe(), stack)
    path = runner.caller_folder() / Path(output).expanduser()
    if output and path.exists():
        raise UserError(f"{paths.shown(path)} is there already.", f"rm {output}, or another name after --output")
    text = exports.render(form, choice.stack, choice.build, mirror)
    if not output:
        print(text, end="")
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{paths.shown(path)} cannot be written: {error.strerror}.", "invoke export --help") from None
    say(f"{paths.shown(path)} written; its first lines say how to install it")


def labs_table() -> None:
    table = Table("unit", "lab", "what you learn", "内容", "notes", "data", box=None)
    for lab in labs.table():
        table.add_row(str(lab.unit), lab.name, lab.title, lab.title_zh, lab.sections, ", ".join(lab.datasets))
    OUT.print(table)
    OUT.print("\ninvoke lab NAME trains one; invoke lab NAME -- --help shows its options.")


def lab(
    name: str, smoke: bool, sample: bool, resume: str, gpus: str, nodes: str, stack: str, where: str, dry: bool
) -> int | None:
    if name in ("--help", "-h"):
        return subprocess.run([str(paths.ROOT / "inv"), "--help", "lab"]).returncode
    if name.startswith("-"):
        raise UserError(f"the lab's name comes first, before {name}.", "invoke lab NAME " + name)
    return start_lab(name, passed_on(), smoke, sample, resume, gpus, nodes, stack, where, dry)


def detectron2(task: str, options: dict[str, str], resume: str, stack: str, where: str, dry: bool) -> int | None:
    """The lab detectron2 with this task; what follows `--` are changes of the config."""
    words = [word for name, value in options.items() if value for word in (f"--{name}", value)]
    if not resume:  # a resumed run keeps its own task
        words = ["--task", task, *words]
    return start_lab("detectron2", [*words, *passed_on()], resume=resume, stack=stack, where=where, dry=dry)


def detectron2_install(python: str, stack: str) -> None:
    choice = choose(machines.probe(), stack)
    interpreter = runner.caller_folder() / Path(python).expanduser()
    if not os.access(interpreter, os.X_OK) or interpreter.is_dir():
        raise UserError(f"{paths.shown(interpreter)} is no Python to install into.", "invoke detectron2.install --help")
    envs.add_detectron2(interpreter, choice.stack)
    say(f"detectron2 is installed beside {paths.shown(interpreter)}")


def start_lab(
    name: str,
    words: list[str],
    smoke: bool = False,
    sample: bool = False,
    resume: str = "",
    gpus: str = "",
    nodes: str = "",
    stack: str = "",
    where: str = "",
    dry: bool = False,
) -> int | None:
    """Have everything ready that the lab needs and become its process; `words` are the lab's own options."""
    lab = labs.find(name)
    arguments = labs.resolve_paths(lab, words, runner.caller_folder())
    asks_help = {"--help", "-h"} & set(arguments)
    group = None if asks_help else launch.plan(gpus, nodes)
    if group and not lab.distributed:
        able = ", ".join(other.name for other in labs.table() if other.distributed)
        raise UserError(f"lab {name} trains in one process only; --gpus and --nodes are for {able}.")
    machine = machines.probe()
    choice = choose(machine, stack)
    if group and len(group.machines) > 1 and not where and not INSIDE_IMAGE:
        where = "venv"
    place, why = runner.where(where, INSIDE_IMAGE, machine.engine, choice.use_gpu)
    say(f"where: {place} ({why})")
    flags = ["--smoke"] * smoke + ["--sample"] * sample + [f"--resume={resume}"] * bool(resume)
    if group:
        announce(group, [lab.program.relative_to(paths.ROOT), *flags, *arguments], choice, place, machine)
    wanted = "" if flags or asks_help else labs.dataset_for(lab, arguments)
    if wanted and lab.sample_first and labs.option(arguments, "dataset") is None:
        flags, wanted = ["--sample"], ""
    if dry:
        print(runner.lab_command(lab, [*flags, *arguments], choice, place, machine, group).shown())
        return None
    place, machine = prepare(place, where, choice, machine)
    if place == "docker":
        refuse_second(machine.engine, name)
    if not prepare_data(wanted, f"invoke lab {name}"):
        flags = ["--sample"]
    runner.lab_command(lab, [*flags, *arguments], choice, place, machine, group).replace_process()
    return None


def announce(
    group: launch.Group, words: list[object], choice: stacks.Choice, place: str, machine: machines.Machine
) -> None:
    """Say what will run where. Raises UserError where this machine cannot hold so many processes."""
    there, unit = (len(machine.gpus), "GPUs") if choice.use_gpu else (machine.cores, "cores")
    if group.per_machine > there:
        what = f"--gpus {group.per_machine}: this machine has {there} {unit}."
        raise UserError(what, f"the same with --gpus {there}")
    how = "each on a GPU of its own" if choice.use_gpu else f"sharing the {there} cores, since no GPU is used"
    say(f"processes: {group.per_machine}, {how}")
    if len(group.machines) == 1:
        return
    if place == "docker":
        raise UserError("--nodes: a container has no address that other machines know.", "--where venv")
    for number, address in enumerate(group.machines):
        command = ["python", *launch.command(group.at(number), choice.stack.torch), *map(str, words)]
        say(f"machine {number}, {address}{' (this one)' if number == group.here else ''}: {shlex.join(command)}")
    say(f"Type the same `invoke lab` on each; they wait for each other at port {group.port} of {group.machines[0]}.")


def refuse_second(engine: Engine, name: str) -> None:
    """Stop where a container of this lab outlived the command that started it, and say how to go on."""
    running = containers.still_running(engine, name)
    if running:
        watch, stop = f"docker attach {running[0]}", f"docker stop --time 60 {running[0]}"
        raise UserError(
            f"lab {name} is still running in container {running[0]}, whose terminal was closed.",
            f"{watch} to watch it, or {stop} to let it save, then invoke lab {name} --resume=latest",
        )


def prepare_data(name: str, command: str) -> bool:
    """Have the real data set `name` ready ('' for none); False where it cannot be had, after saying why."""
    if not name:
        return True
    try:
        state = datasets.ensure(name)
    except datasets.Unreachable as error:
        warn(error.message)
        warn(f"So this run trains on the built-in sample of {name}. To train on the real data: invoke data {name}")
        warn(f"where there is a network, or invoke data {name} --import=PATH; then {command} again.")
        return False
    say(f"data: {name} ({state.kind}) in {paths.shown(state.path)}")
    return True


def shell(stack: str, where: str, dry: bool) -> None:
    machine = machines.probe()
    choice = choose(machine, stack)
    place, why = runner.where(where, INSIDE_IMAGE, machine.engine, choice.use_gpu)
    say(f"where: {place} ({why})")
    if dry:
        print(runner.shell_command(choice, place, machine).shown())
        return
    place, machine = prepare(place, where, choice, machine)
    runner.shell_command(choice, place, machine).replace_process()


def service(
    name: str, port: str, stop: bool, status: bool, stack: str, where: str, public: bool = False, replay: str = ""
) -> int | None:
    """Start, find or stop visdom, tensorboard or notebook; prints the address."""
    wanted = services.wanted_port(name, port)
    shown_again = runs.read(runs.find(replay)) if replay else None
    machine = machines.probe()
    with files.locked(services.folder() / "lock", name):
        found = services.find(name, machine.engine)
        if stop or status:
            if found and stop:
                services.stop(found, machine.engine)
                say(f"{name} stopped")
            elif found:
                print(found.address)
            else:
                say(f"{name} is not running")
            return 0 if found or stop else 1
        if found and port and found.port != wanted:
            raise UserError(f"{name} runs on port {found.port} already.", f"invoke {name} --stop, then the same again")
        if found and public and not login.password():
            raise UserError("visdom runs already, for this machine only.", "invoke visdom --stop, then the same again")
        if not found or shown_again:
            choice = choose(machine, stack)
        if not found:
            place, why = runner.where(where, INSIDE_IMAGE, machine.engine)
            say(f"where: {place} ({why})")
            services.require_free(name, wanted)
            place, machine = prepare(place, where, choice, machine)
            address = "0.0.0.0" if public else "127.0.0.1"
            if name == "visdom":
                login.set_password(secrets.token_urlsafe(12) if public else "")
            token = secrets.token_urlsafe(16) if name == "notebook" else ""
            if place == "docker":
                found = services.start_container(name, machine.engine, choice, address, wanted, token)
            else:
                if place == "venv" and name == "visdom":
                    visdom_page.ensure(choice.stack)
                python = runner.python_command([], choice, place, machine)
                found = services.start_native(name, python.argv, python.environment, address, wanted, token)
    page = found.address
    if shown_again:
        place = "docker" if found.place == "docker" else "here" if INSIDE_IMAGE else "venv"
        command = runner.python_command(["-m", "labkit.live", str(shown_again.folder)], choice, place, machine)
        if place != "docker":
            command.environment["VISDOM_PORT"] = str(found.port)
        if command.run() != 0:
            raise UserError(f"the windows of {shown_again.name} could not be rebuilt (the message is above).")
        page += f"env/{shown_again.environment}"
    print(page)
    if name == "visdom" and login.password():
        say(f"open to every machine that reaches this one: http://{socket.gethostname()}:{found.port}/")
        say(f"user: {login.USER}  password: {login.password()}  (invoke visdom --stop ends it)")
    else:
        say(f"on this machine only; invoke {name} --stop ends it")
    show(page)
    if name == "visdom" and found.port != ports.SERVICES[name] and found.place != "docker":
        say(f"labs draw there after:  export VISDOM_PORT={found.port}")
    return None


def datasets_table() -> None:
    table = Table("data set", "title", "state", "size", "licence", "labs", box=None)
    for row in datasets.table():
        used = [lab.name for lab in labs.table() if row.name in lab.datasets]
        table.add_row(row.name, row.title, row.state, row.size, row.licence, ", ".join(used))
    OUT.print(table)
    OUT.print(f"\nfolder: {paths.shown(paths.data_dir())} (LAB_DATA moves it); invoke data NAME downloads one.")


def data(
    name: str,
    split: str,
    subset: str,
    categories: str,
    mirror: str,
    path: bool,
    verify: bool,
    import_: str,
    unverified: bool,
    delete: bool,
    yes: bool,
) -> int | None:
    if sum([path, verify, bool(import_), delete, bool(split or subset or categories or mirror)]) > 1:
        raise UserError("a download, --path, --verify, --import and --delete are done one at a time.")
    if subset and not (subset.isdigit() and int(subset)):
        raise UserError(f"--subset: {subset} is no number of pictures.", f"invoke data {name} --subset=200")
    if unverified and not import_:
        raise UserError("--unverified goes with --import only.", f"invoke data {name} --import=PATH --unverified")
    if path:
        print(datasets.locate(name).path)
        return None
    if delete:
        state = datasets.state(name)
        if state.kind == "absent":
            say(f"{name} is not on this machine")
            return None
        question = f"Delete {paths.shown(state.path)} ({state.size_bytes / 1e6:.0f} MB)? [y/N] "
        if not yes and input(question).strip().lower() not in ("y", "yes"):
            say("nothing deleted")
            return 1
        datasets.delete(name)
        say(f"{name} deleted")
        return None
    if verify:
        state = datasets.verify(name)
    elif import_:
        state = datasets.import_(name, runner.caller_folder() / Path(import_).expanduser(), unverified)
    else:
        wanted = registry.Wanted(listed(split), int(subset or 0), listed(categories))
        state = datasets.ensure(name, [mirror] if mirror else [], wanted)
    say(str(state))
    return None


def bundle(action: str, file: str, stack_names: str, data_names: str) -> int | None:
    path = runner.caller_folder() / Path(file).expanduser()
    if action == "create":
        bundles.create(path, listed(stack_names), listed(data_names))
        say(f"{paths.shown(path)} is ready. On the other machine: invoke bundle use {path.name}")
    elif action == "use":
        for line in bundles.use(path):
            say(line)
    else:
        raise UserError(f"there is no action {action}: create or use.", "invoke bundle create FILE --data cifar10")
    return None


def listed(words: str) -> tuple[str, ...]:
    """The words of an option like "person,dog"."""
    return tuple(word.strip() for word in words.split(",") if word.strip())


def runs_table() -> None:
    table = Table(box=None)
    table.add_column("run", no_wrap=True)  # the name is what --resume and report want, and holds the time
    for column in ("state", "result", "data"):
        table.add_column(column)
    rows = runs.table()
    for row in rows:
        table.add_row(row.name, row.status, row.result, row.data)
    if rows:
        OUT.print(table)
    else:
        OUT.print("No run yet: invoke lab cifar10")


def report(names: list[str]) -> None:
    folders = [runs.find(name) for name in names or ["latest"]]
    page = comparison.render(folders) if len(folders) > 1 else reports.render(folders[0])
    OUT.print(str(page), soft_wrap=True)
    show(page.as_uri())


def show(address: str) -> None:
    """Open a page in the browser, where somebody sits at a screen."""
    if (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")) and sys.stdout.isatty():
        webbrowser.open(address)


def test(stack: str) -> int:
    """Host tests, then tests/stack inside each family's stack; see labkit/testing.py."""
    from labkit import testing

    return testing.run_all(stack, passed_on())


def lint() -> int:
    programs = envs.make_tools("dev") / "bin"
    os.chdir(paths.ROOT)
    commands = [["ruff", "check", "."], ["mypy"], ["hadolint", "docker/Dockerfile"]]
    return max([subprocess.run([str(programs / program), *words]).returncode for program, *words in commands])


def clean(dry: bool) -> None:
    caches = [path for name in (".mypy_cache", ".ruff_cache", ".pytest_cache") for path in paths.ROOT.glob(name)]
    environments = [path for path in envs.VENV.glob("*") if path.is_dir() and path.name != "host"]
    samples = list(paths.data_dir().glob("*-sample"))
    for folder in [*environments, *samples, *caches]:
        say(f"{'would remove' if dry else 'removing'} {paths.shown(folder)}")
        if not dry:
            shutil.rmtree(folder, ignore_errors=True)
    say(f"kept: {paths.shown(paths.data_dir())} (data sets) and {paths.shown(paths.runs_dir())} (runs)")

"""`./inv labs`, `lab`, `detectron2` and `shell`: have everything ready, then become the lab's process."""

from __future__ import annotations

import dataclasses
import importlib
import shlex
from typing import Any

from labkit.base import labs, paths, settings
from labkit.base.console import say, warn
from labkit.base.errors import UserError
from labkit.cli import services
from labkit.cli.prepare import OUT, choose, passed_on, prepare, table
from labkit.data import obtain, registry
from labkit.data.addresses import Unreachable
from labkit.runs import launch, options
from labkit.runs import resume as resuming
from labkit.services import control
from labkit.stacks import containers, runner, selection
from labkit.stacks import machine as machines
from labkit.stacks.engine import Engine


def labs_table() -> None:
    heads, rows = ("unit", "lab", "what you learn", "内容", "notes", "data"), []
    for lab in labs.table():
        rows.append((str(lab.unit), lab.name, lab.title, lab.title_zh, lab.sections, ", ".join(lab.datasets)))
    OUT.print(table(heads, rows, folded=("what you learn", "内容"), whole=("unit", "lab", "notes")))
    OUT.print("\n./inv lab NAME trains one; ./inv lab NAME -- --help shows its options.")


def lab(name: str, **asked: Any) -> int | None:
    """The lab `name`, `asked` for as in `start_lab`; what follows `--` are its own options."""
    if name.startswith("-"):
        raise UserError(f"the lab's name comes first, before {name}", "./inv lab NAME " + name)
    return start_lab(name, passed_on(), **asked)


def practice(name: str, hint: str, solution: str, notebook: bool, **asked: Any) -> int | None:
    """The exercises of the lab `name`, or a `hint` or the `solution` of one."""
    if not labs.find(name).has_practice:
        able = ", ".join(other.name for other in labs.table() if other.has_practice)
        raise UserError(f"the lab {name} has no exercises; {able} have", f"./inv lab {name}")
    told = [word for flag, value in (("--hint", hint), ("--solution", solution)) if value for word in (flag, value)]
    return start_lab(name, ["--practice", *told, *passed_on()], notebook=notebook and not told, **asked)


def detectron2(task: str, stack: str, where: str, dry: bool, resume: str = "", **options: str) -> int | None:
    """The lab detectron2 with this task and its `options`; what follows `--` are changes of the config."""
    words = [word for name, value in options.items() if value for word in (f"--{name}", value)]
    if not resume:  # a resumed run keeps its own task
        words = ["--task", task, *words]
    return start_lab("detectron2", [*words, *passed_on()], resume=resume, stack=stack, where=where, dry=dry)


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
    notebook: bool = False,
) -> int | None:
    """Have everything ready that the lab needs and become its process; `words` are the lab's own options.

    With `notebook` its exercises are one, in JupyterLab.
    """
    lab = labs.find(name)
    name = lab.name  # CIFAR10 finds it too
    flags = ["--smoke"] * smoke + ["--sample"] * sample + [f"--resume={resume}"] * bool(resume)
    request, config = parse(lab, [*flags, *words])  # every mistake in the options is found here
    group = launch.plan(gpus, nodes)
    if group and not lab.distributed:
        able = ", ".join(other.name for other in labs.table() if other.distributed)
        problem = f"lab {name} trains in one process only; --gpus and --nodes are for {able}"
        raise UserError(problem, f"./inv lab {name}")
    machine = machines.probe()
    choice = choose(machine, stack, where)
    if group and len(group.machines) > 1 and not where and not settings.current().image:
        where = "venv"
    place, why = runner.where(where, bool(settings.current().image), machine.engine, choice.use_gpu)
    say(f"where: {place} ({why})")
    if group:
        announce(group, [lab.program.relative_to(paths.ROOT), *options.words(request)], choice, place, machine)
    wanted, sample_will_do = options.dataset_for(config, lab.datasets)
    if request.sample or request.resume or request.practice:
        wanted = ""
    if wanted and sample_will_do:
        request, wanted = dataclasses.replace(request, sample=True), ""
    if not dry:
        place, choice, machine = prepare(place, where, choice, machine)
        if place == "docker":
            refuse_second(machine.engine, name)
        if not prepare_data(wanted, f"./inv lab {name}"):
            request = dataclasses.replace(request, sample=True)
        for published, parts in options.downloads(config).items():
            obtain.ensure(published, wanted=registry.Wanted(parts))
        if notebook:
            settings.use(jupyter=services.jupyter(place, choice, machine, f"./inv practice {name}"))
    visdom = None if place == "docker" else control.find_native("visdom")  # in a container it has a fixed address
    if visdom:
        settings.use(visdom_port=str(visdom.port))
    files = options.files_of(config)
    command = runner.lab_command(lab, options.words(request), choice, place, machine, group, files)
    if dry:
        print(command.shown())
    else:
        command.replace_process(wait_with_ctrl_c=place != "docker" and not group)
    return None


def parse(lab: labs.Lab, words: list[str]) -> tuple[options.Request, Any]:
    """What `words` ask of the lab, and the Config that it will have, known without torch and without a stack."""
    try:
        module = importlib.import_module(f"labs.{lab.name}.config")
    except ModuleNotFoundError as error:
        raise UserError(f"lab {lab.name} has no config.py that works without its stack: {error}") from None
    request = options.parse(words, module.Config, module.PRESETS, lab.name, labs.about(lab), runner.caller_folder())
    if request.resume:
        return request, resuming.find(request, module.Config, lab.name)[2]
    return request, options.build(module.Config, module.PRESETS, request)


def announce(
    group: launch.Group, words: list[object], choice: selection.Choice, place: runner.Place, machine: machines.Machine
) -> None:
    """Say what will run where. Raises UserError where this machine cannot hold so many processes."""
    there, unit = (len(choice.gpus), "GPUs") if choice.use_gpu else (machine.cores, "cores")
    if group.per_machine > there:
        what = f"--gpus {group.per_machine}: this machine has {there} {unit}."
        raise UserError(what, f"--gpus {there} instead")
    how = "each on a GPU of its own" if choice.use_gpu else f"sharing the {there} cores, since no GPU is used"
    say(f"processes: {group.per_machine}, {how}")
    if len(group.machines) == 1:
        return
    if place == "docker":
        raise UserError("--nodes: a container has no address that other machines know", "leave --where out")
    for number, address in enumerate(group.machines):
        command = ["python", *launch.command(group.at(number), choice.stack.torch), *map(str, words)]
        say(f"machine {number}, {address}{' (this one)' if number == group.here else ''}: {shlex.join(command)}")
    meet = f"port {group.port} of {group.machines[0]}"
    say(f"Run the same `./inv lab` on each machine; they wait for each other on {meet}.")


def refuse_second(engine: Engine, name: str) -> None:
    """Stop where this lab runs in a container already, and say how to go on."""
    running = containers.still_running(engine, name)
    if running:
        command = containers.started_by(name)
        who = f"process {command} is attached to it" if command else "the command that started it has ended"
        watch, stop = f"docker attach {running[0]}", f"docker stop --time 60 {running[0]}"
        raise UserError(
            f"lab {name} is still running in container {running[0]}; {who}",
            f"{watch} to watch it, or {stop} to let it save, then ./inv lab {name} --resume=latest",
        )


def prepare_data(name: str, command: str) -> bool:
    """Have the real data set `name` ready ('' for none); False where it cannot be had, after saying why."""
    if not name:
        return True
    try:
        state = obtain.ensure(name)
    except Unreachable as error:
        warn(f"{error.message}.\n{error.by_hand}")
        warn(f"So this run trains on the built-in sample of {name}. To train on the real data: ./inv data {name}")
        warn(f"where there is a network, or ./inv data {name} --import=PATH; then {command} again.")
        warn(f"The sample is small, so the run is short. For a longer one: {command} --sample -- --help")
        return False
    say(f"data: {name} ({state.kind}) in {paths.shown(state.path)}")
    return True


def shell(stack: str, where: str, dry: bool) -> None:
    machine = machines.probe()
    choice = choose(machine, stack, where)
    place, why = runner.where(where, bool(settings.current().image), machine.engine, choice.use_gpu)
    say(f"where: {place} ({why})")
    if dry:
        print(runner.shell_command(choice, place, machine).shown())
        return
    place, choice, machine = prepare(place, where, choice, machine)
    runner.shell_command(choice, place, machine).replace_process()

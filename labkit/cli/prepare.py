"""What several tasks begin with: the stack for this machine, made ready at its place."""

from __future__ import annotations

import dataclasses
import os
import sys
import webbrowser
from typing import Sequence

from rich.table import Table
from rich.text import Text

from labkit.base import settings
from labkit.base.console import Words, say, warn
from labkit.base.errors import UserError
from labkit.stacks import builds, catalog, containers, gpus, images, native, runner, selection, visdom_page, wheels
from labkit.stacks import machine as machines
from labkit.stacks.engine import Engine

OUT = Words(highlight=False)  # tables go to standard output
WIDE = 110  # columns, in which the tables stand side by side


def passed_on() -> list[str]:
    """What follows `--` on the command line, untouched."""
    return sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []


def choose(machine: machines.Machine, asked: str, where: str = "") -> selection.Choice:
    """The stack for this machine and this --where, said aloud with its reason; inside an image, the image's own."""
    if machine.hidden and not machine.gpus:
        say("CUDA_VISIBLE_DEVICES leaves no GPU")
    elif machine.complaint:
        why, remedy = gpus.explain(machine.complaint, "./inv doctor")
        warn(f"no GPU is used: {why}.\n  next: {remedy}")
    image = settings.current().image
    if image:
        stack = catalog.load(image.partition("/")[0])
        if asked and asked.partition("/")[0] != stack.name:
            raise UserError(f"this image holds stack {stack.name}, not {asked}", "leave --stack out")
        return selection.choose(list(machine.gpus), machine.driver, machine.wsl, image)
    choice = selection.choose(list(machine.gpus), machine.driver, machine.wsl, asked)
    choice = builds.settled(choice, None if where == "venv" else machine.engine)
    say(f"stack: {choice.label}, {choice.stack.title} ({choice.reason})")
    return choice


def prepare(
    place: runner.Place, asked: str, choice: selection.Choice, machine: machines.Machine
) -> tuple[runner.Place, selection.Choice, machines.Machine]:
    """Have the stack ready at `place`; natively where no image can be had and the user did not insist on one.

    Returns the place, the choice, with another build where the wheels of the first could not be had, and the machine,
    whose engine may have got a Compose.
    """
    if place == "docker":
        try:
            engine = containers.ensure_compose(machine.engine)
            sources = images.Sources.of(settings.current())
            choice = builds.make(choice, lambda stack, build: images.ensure(engine, stack, build, sources))
            containers.make_folders(engine)
            require_gpu(engine, choice)
        except wheels.Missing:  # nor could they be had for a native environment
            raise
        except UserError as error:
            if asked == "docker":
                raise
            warn(f"{error}")
            warn("So it runs in a native environment instead.")
            place = "venv"
        else:
            if os.getuid() == 0 and not engine.rootless:
                warn("you are root, so the container runs as root too; as an ordinary user it would not")
            return "docker", choice, dataclasses.replace(machine, engine=engine)
    if place == "venv" and not native.ready(choice.stack, choice.build):
        choice = builds.make(choice, native.ensure)
        try:
            visdom_page.ensure(choice.stack)
        except UserError as error:
            warn(f"{error.message}. Everything else works, and `./inv visdom` will try again.")
    return place, choice, machine


def require_gpu(engine: Engine, choice: selection.Choice) -> None:
    """Raise a UserError that says what to do where a GPU is to be used and no container sees it."""
    said = containers.try_gpu(engine, choice) if choice.use_gpu and engine.gpu else ""
    if said:
        why, remedy = gpus.explain(said, "./inv doctor")
        raise UserError(f"a container does not see the GPU: {why}", f"{remedy}, or --where venv")


def usable(machine: machines.Machine) -> Engine:
    """The container engine, or the reason why there is none."""
    if machine.engine.problem:
        raise UserError(f"images need a container engine: {machine.engine.problem}", "./inv doctor")
    return machine.engine


def listed(words: str) -> tuple[str, ...]:
    """The words of an option like "person,dog"."""
    return tuple(word.strip() for word in words.split(",") if word.strip())


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], folded: Sequence[str], whole: Sequence[str]) -> Table:
    """A table for the terminal as it is: in a narrow one, the columns `folded` stand below each other in one.

    Those in `whole` are never broken; nothing is cut off.
    """
    if OUT.width < WIDE:
        together = [heads.index(name) for name in folded]
        heads = [", ".join(folded) if name == folded[0] else name for name in heads if name not in folded[1:]]
        rows = [[*row[: together[0]], "\n".join(filter(None, (row[k] for k in together))),
                 *(row[k] for k in range(together[0], len(row)) if k not in together)] for row in rows]  # fmt: skip
    made = Table(box=None, pad_edge=False)
    for name in heads:
        made.add_column(name, no_wrap=name in whole, overflow="fold")
    for row in rows:
        made.add_row(*map(Text, row))
    return made


def show(address: str) -> None:
    """Open a page in the browser, where somebody sits at a screen."""
    if settings.system().displays and sys.stdout.isatty():
        webbrowser.open(address)

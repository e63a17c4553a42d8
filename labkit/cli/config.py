"""`./inv config`: the settings that are kept in settings.toml."""

from __future__ import annotations

import json
import shlex
from typing import ContextManager

from rich.table import Table
from rich.text import Text

from labkit.base import files, paths, settings
from labkit.base.console import say, warn
from labkit.base.errors import UserError, nearest
from labkit.cli.prepare import OUT

HEAD = "# Kept by `./inv config`, which also shows what each setting means.\n"


def config(action: str, name: str, value: str) -> None:
    actions = {"show": show, "set": keep, "unset": forget}
    if action not in actions:
        raise UserError(f"'{action}' is not an action ({nearest(action, list(actions))})", "./inv --help config")
    if name and name not in settings.KEPT and name not in settings.in_file(settings.FILE):
        raise UserError(f"there is no setting '{name}' ({nearest(name, settings.KEPT)})", "./inv config")
    if action != "show" and not name:
        raise UserError(f"{action} needs the name of a setting", "./inv config")
    if action == "set" and not value.strip():
        raise UserError("set takes a name and a value", f"./inv config set {name} VALUE")
    if action != "set" and value:
        raise UserError(f"{action} takes no value", f"./inv config {action} {name}")
    actions[action](name, value)


def show(name: str, _: str) -> None:
    """All settings as a table, or the value of one alone."""
    now = settings.current()
    if name:
        print(getattr(now, name))
        return
    table = Table("setting", "value", "from", "what it is", box=None)
    for each in settings.KEPT:
        row = (each, getattr(now, each), settings.source(each), settings.FIELDS[each].metadata["meaning"])
        table.add_row(*map(Text, row))
    OUT.print(table)


def keep(name: str, value: str) -> None:
    checked = settings.check(name, value, name)
    with alone():
        write({**settings.in_file(settings.FILE), name: checked})
    say(f"{paths.shown(settings.FILE)}: {name} = {checked}")
    source = settings.source(name)
    if source != settings.FILE.name:
        stays = getattr(settings.current(), name)
        warn(f"in this shell or container {source} comes before it: {name} stays {stays}")


def forget(name: str, _: str) -> None:
    with alone():
        said = settings.in_file(settings.FILE)
        write({key: value for key, value in said.items() if key != name})
    say(f"{name} removed from {paths.shown(settings.FILE)}" if name in said else f"{name} was not in it")


def alone() -> ContextManager[None]:
    """Nobody else changes the file meanwhile."""
    return files.locked(paths.ROOT / ".venv" / "settings.lock", settings.FILE.name)


def write(content: dict[str, object]) -> None:
    for name, value in content.items():
        if name not in settings.KEPT or not isinstance(value, str):
            problem = f"{settings.FILE.name} also holds {name}, which is not a setting, or not text in quotes"
            raise UserError(problem, f"./inv config unset {shlex.quote(name)}")
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in content.items()]
    with files.writing(settings.FILE.parent, "ls -ld " + shlex.quote(str(settings.FILE.parent))):
        files.write_text(settings.FILE, HEAD + "".join(lines))

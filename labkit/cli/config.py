"""`./inv config`: the settings that are kept in settings.toml."""

from __future__ import annotations

import json

from rich.table import Table

from labkit.base import files, paths, settings
from labkit.base.console import say
from labkit.base.errors import UserError, nearest
from labkit.cli.prepare import OUT

HEAD = "# Kept by `./inv config`, which also shows what each setting means.\n"


def config(action: str, name: str, value: str) -> None:
    actions = {"show": show, "set": keep, "unset": forget}
    if action not in actions:
        raise UserError(f"'{action}' is not an action ({nearest(action, list(actions))})", "./inv config")
    if name and name not in settings.KEPT and name not in settings.in_file(settings.FILE):
        raise UserError(f"there is no setting '{name}' ({nearest(name, settings.KEPT)})", "./inv config")
    if action != "show" and not name:
        raise UserError(f"{action} needs the name of a setting", "./inv config")
    if (action == "set") != bool(value):
        raise UserError("set takes a name and a value; show and unset take no value", f"./inv config set {name} VALUE")
    actions[action](name, value)


def show(name: str, _: str) -> None:
    """All settings as a table, or the value of one alone."""
    now = settings.current()
    if name:
        print(getattr(now, name))
        return
    table = Table("setting", "value", "from", "what it is", box=None)
    for each in settings.KEPT:
        table.add_row(each, getattr(now, each), settings.source(each), settings.FIELDS[each].metadata["meaning"])
    OUT.print(table)


def keep(name: str, value: str) -> None:
    checked = settings.check(name, value, name)
    write({**settings.in_file(settings.FILE), name: checked})
    say(f"{paths.shown(settings.FILE)}: {name} = {checked}")


def forget(name: str, _: str) -> None:
    write({key: value for key, value in settings.in_file(settings.FILE).items() if key != name})
    say(f"{paths.shown(settings.FILE)}: {name} is not set")


def write(content: dict[str, object]) -> None:
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in content.items()]
    with files.writing(settings.FILE.parent):
        files.write_text(settings.FILE, HEAD + "".join(lines))

"""`./inv datasets`, `data` and `bundle`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from labkit import bundle as bundles
from labkit.base import labs, paths
from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.cli.prepare import OUT, listed, table
from labkit.data import importing, obtain, registry, samples, store
from labkit.stacks import runner


def datasets_table() -> None:
    heads, rows = ("data set", "state", "size", "title", "licence", "labs"), []
    for row in store.table():
        used = [lab.name for lab in labs.table() if row.name in lab.datasets]
        rows.append((row.name, row.state, row.size, row.title, row.licence, ", ".join(used)))
    OUT.print(table(heads, rows, folded=("title", "licence", "labs"), whole=("data set", "state", "size")))
    OUT.print(f"\nfolder: {paths.shown(paths.data_dir())} (another: ./inv config set data FOLDER)", markup=False)
    OUT.print("./inv data NAME downloads one.")


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
    urls: bool = False,
) -> int | None:
    name = registry.find(name).name  # CIFAR10 finds it too
    asked = {"--path": path, "--verify": verify, "--import": import_, "--delete": delete, "--urls": urls}
    which = {"--split": split, "--subset": subset, "--categories": categories, "--mirror": mirror}
    acts, downloads = ([flag for flag, value in flags.items() if value] for flags in (asked, which))
    if len(acts) > 1:
        raise UserError(f"{' and '.join(acts)} exclude each other", f"./inv data {name} {acts[0]}")
    if acts and downloads and not urls:
        all_parts = ": an import takes every part that is there" if import_ else ""
        raise UserError(f"{', '.join(downloads)} goes with a download, not with {acts[0]}{all_parts}",
                        f"./inv data {name} {acts[0]}" + "=PATH" * bool(import_))  # fmt: skip
    if subset and not re.fullmatch("0*[1-9][0-9]{0,8}", subset):
        raise UserError(f"--subset: {subset} is not a valid number of images", f"./inv data {name} --subset=200")
    if unverified and not import_:
        raise UserError("--unverified goes with --import only", f"./inv data {name} --import=PATH --unverified")
    wanted = registry.Wanted(listed(split), int(subset or 0), listed(categories))
    if urls:
        print(obtain.by_hand(name, [mirror] if mirror else [], wanted))
        return None
    if path:
        print(samples.locate(name).path)
        return None
    if delete:
        state = store.state(name)
        if not store.traces(name):
            say(f"{name} is not on this machine")
            return None
        question = f"Delete {paths.shown(state.path)} ({state.size_bytes / 1e6:.0f} MB)? [y/N] "
        if not yes and not sys.stdin.isatty():
            raise UserError("nobody is there to be asked whether to delete it", f"./inv data {name} --delete --yes")
        if not yes and input(question).strip().lower() not in ("y", "yes"):
            say("nothing deleted")
            return 1
        store.delete(name)
        say(f"{name} deleted")
        return None
    if verify:
        state = store.verify(name)
    elif import_:
        state = importing.import_(name, runner.caller_folder() / Path(import_).expanduser(), unverified)
    else:
        state = obtain.ensure(name, [mirror] if mirror else [], wanted)
    say(str(state))
    return None


def bundle(action: str, file: str, stacks: str, data: str) -> int | None:
    path = runner.caller_folder() / Path(file).expanduser()
    if action == "create":
        bundles.create(path, listed(stacks), listed(data))
        say(f"{paths.shown(path)} is ready. On the other machine: ./inv bundle use {path.name}")
    elif action == "use":
        for line in bundles.use(path):
            say(line)
    else:
        raise UserError(f"there is no action {action}; create or use", "./inv bundle create FILE --data cifar10")
    return None

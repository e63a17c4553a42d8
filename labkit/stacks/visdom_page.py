"""What the page of visdom's server loads, fetched by npm, so that the server starts with no network.

The versions and hashes are in docker/visdom; place.py there puts the files where the server looks. Images get them when
they are built, native environments when they are made.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from labkit.base import mirrors, paths, settings
from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.base.files import digest
from labkit.base.programs import output_of
from labkit.stacks import installing, native
from labkit.stacks.catalog import Stack

AGAIN = "./inv doctor; in mainland China: ./inv config set mirror cn"
SOURCE = paths.ROOT / "docker" / "visdom"
FILES = tuple(SOURCE / name for name in ("package.json", "package-lock.json", "place.py"))


def npm() -> str:
    """An npm that reads today's lock files (7 or newer): the user's own, else the pinned one, made in .venv/node."""
    found = shutil.which("npm") or ""
    major = output_of(found, "--version").partition(".")[0] if found else ""
    if re.fullmatch("[0-9]{1,4}", major) and int(major) >= 7:
        return found
    return str(native.make_tools("node") / "bin" / "npm")


def fetch(folder: Path) -> None:
    """Fill `folder` with place.py and the packages that it needs. Raises UserError where npm cannot fetch them."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in FILES:
        shutil.copy(source, folder)
    program = npm()
    options = ["--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund", "--no-update-notifier"]
    search = f"{Path(program).parent}{os.pathsep}{settings.system().search_path}"  # npm starts the node beside it
    command = [program, "ci", *options]
    environment = settings.child_environment({"PATH": search, **mirrors.variables()})
    if not installing.quietly(command, environment, folder=folder):
        raise UserError(
            "npm could not fetch what the page of visdom loads (its own message is above)",
            AGAIN,
        )


def ensure(stack: Stack) -> None:
    """Have the files in the stack's native environment. Raises UserError where they cannot be fetched."""
    python = native.python_of(stack)
    stamp = python.parent.parent / "visdom-page.txt"
    wanted = " ".join(digest(source, "sha256") for source in FILES)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    say("fetching what the page of visdom loads, so that it works without a network")
    with tempfile.TemporaryDirectory(dir=native.VENV) as folder:
        fetch(Path(folder))
        place = [str(python), "-I", str(Path(folder) / "place.py")]
        if not installing.quietly(place, settings.child_environment({})):
            raise UserError("what the page of visdom loads could not be put in place (its own message is above)", AGAIN)
    stamp.write_text(wanted, encoding="utf-8")

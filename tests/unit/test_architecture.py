"""docs/ARCHITECTURE.md, the map: what it names is there, and what is there is on it; the same in both languages."""

from __future__ import annotations

import re
import subprocess

import pytest

from labkit.base import labs, paths
from labkit.stacks import catalog

MAPS = [paths.ROOT / "docs" / "ARCHITECTURE.md", paths.ROOT / "docs" / "ARCHITECTURE.zh-CN.md"]


def named(guide):
    """What stands between backquotes."""
    return re.findall(r"`([^`\n]+)`", guide.read_text(encoding="utf-8"))


@pytest.mark.parametrize("guide", MAPS, ids=lambda guide: guide.name)
def test_every_file_and_folder_named_is_there(guide):
    files = [name for name in named(guide) if "/" in name and " " not in name and not name.startswith(("./", "--"))]
    assert len(files) > 40
    for name in files:
        for example in ("cifar10",) if "NAME" in name else ("",):
            name = name.replace("stacks/NAME", "stacks/cpu").replace("NAME", example)
        assert list(paths.ROOT.glob(name)), name


@pytest.mark.parametrize("guide", MAPS, ids=lambda guide: guide.name)
def test_every_room_lab_and_stack_is_on_it(guide):
    rooms = {f"labkit/{path.parent.name}/" for path in (paths.ROOT / "labkit").glob("*/__init__.py")}
    alone = {f"labkit/{path.name}" for path in (paths.ROOT / "labkit").glob("*.py")} - {"labkit/__init__.py"}
    wanted = rooms | alone | {lab.name for lab in labs.table()} | set(catalog.names())
    assert wanted <= set(named(guide))


def test_every_command_on_it_is_a_task():
    listed = subprocess.run([str(paths.ROOT / "inv"), "--list"], capture_output=True, text=True).stdout
    tasks = set(re.findall(r"^  ([\w.]+) ", listed, re.MULTILINE))
    used = {match[1] for guide in MAPS for name in named(guide) for match in [re.match(r"\./inv ([\w.]+)", name)] if match}
    assert used and used <= tasks


def test_both_languages_name_the_same_things():
    english, chinese = (set(named(guide)) for guide in MAPS)
    assert english == chinese


@pytest.mark.parametrize("room", ["base", "data", "runs", "stacks", "services", "cli"])
def test_every_room_says_what_lives_there(room):
    """In three lines: what, what it may import, and in which interpreter it runs."""
    text = (paths.ROOT / "labkit" / room / "__init__.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) == 4 and "mports" in text and "Runs in" in text


def test_no_module_is_longer_than_can_be_read_at_once():
    files = [*(paths.ROOT / "labkit").rglob("*.py"), *(paths.ROOT / "labs").rglob("*.py"), paths.ROOT / "tasks.py"]
    assert [path.name for path in files if len(path.read_text(encoding="utf-8").splitlines()) > 420] == []

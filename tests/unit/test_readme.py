"""The two guides: the same commands in both, and nothing in them that the program does not know."""

from __future__ import annotations

import errno
import os
import re
import subprocess

import pytest

from labkit.base import labs, paths
from labkit.data import registry
from labkit.stacks import catalog, gpus

GUIDES = [paths.ROOT / "README.md", paths.ROOT / "README.zh-CN.md"]
PAIRS = [GUIDES, *([lab.program.parent / "README.md", lab.program.parent / "README.zh-CN.md"] for lab in labs.table())]
PAIRS += [[paths.ROOT / "datasets" / name / guide.name for guide in GUIDES] for name in registry.names()]
PAIRS += [[paths.ROOT / f"{name}.md", paths.ROOT / f"{name}.zh-CN.md"] for name in ("CONTRIBUTING", "docs/SUPPLY_CHAIN")]


def commands(guide):
    """The code blocks of a guide without their comments, which each language writes for itself."""
    blocks = re.findall(r"^```sh\n(.*?)^```", guide.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [re.sub(r"\s+#.*", "", line).strip() for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: str(pair[0].relative_to(paths.ROOT)))
def test_both_languages_give_the_same_commands(pair):
    english, chinese = map(commands, pair)
    assert english == chinese and len(english) >= 2


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_every_message_in_the_troubleshooting_table_is_one_that_the_program_prints(guide):
    program = "\n".join(path.read_text() for folder in ("labkit", "scripts") for path in (paths.ROOT / folder).rglob("*.py"))
    program += (paths.ROOT / "inv").read_text()
    rows = re.findall(r"^\| (`.*?) \|", guide.read_text(encoding="utf-8"), re.MULTILINE)
    messages = [message for row in rows for message in re.findall(r"`([a-zA-Z].{8,}?)`", row) if " " in message]
    assert len(messages) >= 8
    systems = {os.strerror(number) for number in errno.errorcode}
    others = [message for message in messages if message not in program and message not in systems]
    # Those of engines and drivers we explain.
    assert [message for message in others if gpus.explain(message, "nobody knows")[1] == "nobody knows"] == []


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_all_stacks_and_labs_are_in_the_tables(guide):
    text = guide.read_text(encoding="utf-8")
    for name in catalog.names():
        stack = catalog.load(name)
        assert re.search(rf"^\| `{name}` \| {stack.python} \| {stack.torch}", text, re.MULTILINE)
    for lab in labs.table():
        assert f"[`{lab.name}`](labs/{lab.name}/README" in text


@pytest.mark.parametrize("guide", [guide for pair in PAIRS for guide in pair], ids=str)
def test_links_inside_the_repository_lead_somewhere(guide):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", guide.read_text(encoding="utf-8")):
        assert (guide.parent / target).exists(), target


def test_the_commands_of_the_readme_are_tasks():
    listed = subprocess.run([str(paths.ROOT / "inv"), "--list"], capture_output=True, text=True).stdout
    tasks = set(re.findall(r"^  ([\w.]+) ", listed, re.MULTILINE))
    used = {match.group(1) for line in commands(GUIDES[0]) for match in [re.match(r"\./inv ([\w.]+)", line)] if match}
    assert used <= tasks and {"lab", "test", "setup"} <= used

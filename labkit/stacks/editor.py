"""VS Code's devcontainer: an image with what one works with by hand, on top of a stack's; what its Compose file asks.

Its containers are no lab's: they have a project and a service of their own (.devcontainer/compose.yaml).
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from labkit.base import files, paths, settings
from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.stacks import containers, images
from labkit.stacks.catalog import Build, Stack
from labkit.stacks.engine import Engine
from labkit.stacks.images import Sources
from labkit.stacks.selection import Choice

FOLDER = paths.ROOT / ".devcontainer"


def ensure(engine: Engine, stack: Stack, build: Build, sources: Sources) -> str:
    """The name of today's image of the devcontainer, built now where it is missing, on the stack's, which is there."""
    name = images.editor_tag(stack, build)
    if not images.present(engine, name):
        say(f"building {name}: an editor's tools on top of {images.tag(stack.for_editor, build)}")
        arguments = {"STACK_IMAGE": images.tag(stack.for_editor, build), "APT_MIRROR": sources.apt}
        command = images.build_words(engine, name, images.EDITOR[0], arguments, images.DOCKER)
        environment = settings.child_environment({"DOCKER_BUILDKIT": "1"})
        if subprocess.run(command, stdout=sys.stderr, env=environment).returncode != 0:
            raise UserError("building the devcontainer failed (the engine's own message is above)", "./inv doctor")
    return name


def write_env(engine: Engine, choice: Choice, asked: str = "") -> Path:
    """Write what the compose.yaml of the devcontainer of the stack `asked` for asks; the file's path.

    Two devcontainers of a clone may be open at once: each has a file of its own, and a project with the stack's name.
    """
    own = FOLDER / asked
    file = (own if (own / "compose.yaml").exists() else FOLDER) / ".env"
    variables = {
        **containers.variables(engine, choice),
        "COMPOSE_PROJECT_NAME": f"{containers.project()}-devcontainer-{choice.stack.name}",
        "LAB_TAG": images.editor_tag(choice.stack, choice.build),
    }
    files.write_text(file, "".join(line(name, value) for name, value in variables.items()))
    return file


def line(name: str, value: str) -> str:
    """A line of .env, in which Compose finds the value as it is."""
    quoted = re.sub(r'(["\\$])', r"\\\1", value)
    return f'{name}="{quoted}"\n'

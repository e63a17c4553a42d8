"""Build a stack's image twice without the engine's cache and compare every file of the two.

    python scripts/reproducible.py notes

Prints how many files there are and which differ; exit status 1 where any does that is not known to.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from labkit.base import settings
from labkit.stacks import builds, catalog, images, selection
from labkit.stacks import engine as engines
from labkit.stacks.engine import Engine

# The name of the container that lists the files, and what a package manager writes with the time of day in it.
KNOWN = (
    "/etc/hostname", "/etc/shadow", "/etc/shadow-", "/var/lib/dpkg/", "/var/log/", "/var/cache/", "/etc/ld.so.cache",
)  # fmt: skip
LIST = "find / -xdev -type f -exec sha256sum {} + 2>/dev/null"


def build(engine: Engine, stack: catalog.Stack, build: catalog.Build, name: str) -> None:
    """Build the stack under the tag `name`, every layer anew."""
    sources = images.Sources.of(settings.current())
    base = images.get_base(engine, stack, sources)
    command = images.build_command(engine, stack, build, base, sources, images.make_context(stack, build))
    command[command.index("--tag") + 1] = name
    command.insert(command.index("--tag"), "--no-cache")
    subprocess.run(command, check=True, env={**os.environ, "DOCKER_BUILDKIT": "1"}, stdout=sys.stderr)


def contents(engine: Engine, name: str) -> dict[str, str]:
    """Path -> sha256 of every file in the image `name`."""
    run = [engine.client, "run", "--rm", "--user", "0", "--network", "none", name, "sh", "-c", LIST]
    listed = subprocess.run(run, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {path: digest for digest, path in (line.split("  ", 1) for line in listed.splitlines())}


def differing(first: dict[str, str], second: dict[str, str]) -> tuple[list[str], list[str]]:
    """The files that differ or are in one of the two alone, and those of them that are not known to."""
    every = sorted(path for path in first.keys() | second.keys() if first.get(path) != second.get(path))
    return every, [path for path in every if not path.startswith(KNOWN)]


def main() -> int:
    engine = engines.find()
    choice = builds.settled(selection.choose([], "", asked=sys.argv[1] if len(sys.argv) > 1 else "cpu"), engine)
    found = []
    for name in ("torch-labs-twice:1", "torch-labs-twice:2"):
        build(engine, choice.stack, choice.build, name)
        found.append(contents(engine, name))
        subprocess.run([engine.client, "image", "rm", name], check=True, stdout=subprocess.DEVNULL)
    every, unknown = differing(*found)
    print(f"{len(found[0])} files, {len(every)} differ, {len(unknown)} of them unexpectedly")
    for path in every:
        print(f"  {path}")
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())

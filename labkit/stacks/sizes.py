"""How much of the network and of the disk a build of a stack takes, before anything is fetched."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from labkit.base import tomlfile
from labkit.base.files import megabytes
from labkit.stacks import wheels
from labkit.stacks.catalog import LOCKS, Build, Stack

TABLE = LOCKS / "sizes.toml"  # by scripts/lock.py: lock -> Python -> bytes of its files on the package index
MBIT_100 = 12.5e6  # bytes per second
UNPACKING_S = 60.0
SYSTEM_GB = 0.4  # in an image beyond the packages: the base and what Dockerfile installs of the distribution


@dataclass(frozen=True)
class Size:
    """All in bytes."""

    download: int  # less where uv has kept some of it from before
    at_least: bool  # of the download: there is more, of unknown size
    environment: int
    image: int
    building: int  # disk while the image is built: itself, and uv's cache with the same packages

    def announcement(self, disk: str) -> list[str]:
        """What is ahead, line by line: download, disk, time. `disk` says for what it is needed."""
        minutes = max(1, round((self.download / MBIT_100 + UNPACKING_S) / 60))
        download = f"{megabytes(self.download)}{' or more' * self.at_least}, less what uv has kept of it from before"
        return [
            f"  download  {download if self.download else 'not known'}",
            f"  disk      about {disk}",
            f"  time      {f'about {minutes} min at 100 Mbit/s' if self.download else 'minutes'}",
            "  You may stop it with Ctrl-C: the same command goes on with what has arrived.",
        ]


def of(stack: Stack, build: Build, python: str = "") -> Size:
    """The sizes of a build for one Python, by default that of the image."""
    python = python or stack.python
    pytorch = wheels.needed(stack, build, python)
    download = _table().get(build.lock.name, {}).get(python, 0) + sum(wheel.size_bytes for wheel in pytorch)
    at_least = build.pending or not all(wheel.size_bytes for wheel in pytorch)
    environment = int(build.disk_gb * 1e9)
    image = environment + int(SYSTEM_GB * 1e9)
    return Size(download, at_least, environment, image, image + environment)


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    return tomlfile.load(TABLE)

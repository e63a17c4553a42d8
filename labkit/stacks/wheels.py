"""PyTorch's own wheels, which the package index does not have: where they can be had, fetched by their hashes.

docker/locks/wheels.toml says what they are. PyTorch's server is one place among several, and none is trusted: what
arrives is compared with the hash, and installed from the folder in which it lies.
"""

# The types are looked at while the program runs, also by Python 3.9: hence Dict and Optional, and no `annotations`.

import shutil
from functools import lru_cache
from pathlib import Path
from typing import ContextManager, Dict, List, Optional, Tuple
from urllib.parse import quote

import msgspec

from labkit.base import mirrors, paths, settings, typed
from labkit.base.errors import UserError
from labkit.base.files import locked
from labkit.base.typed import Record
from labkit.data import download
from labkit.stacks.catalog import LOCKS, Build, Stack, label

TABLE = LOCKS / "wheels.toml"
KEPT = paths.ROOT / ".venv" / "pytorch"


class Missing(UserError):
    """Wheels of PyTorch that no place delivered, or that do not exist for this Python."""


class Wheel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file on PyTorch's server."""

    name: str
    sha256: str
    sources: int  # how many others published that hash
    size_bytes: int = 0  # 0 where nobody wrote it down


class Table(Record, frozen=True, forbid_unknown_fields=True):
    requires: Dict[str, Tuple[str, ...]]  # build -> what torch asks for beside its wheels
    wheel: Tuple[Wheel, ...]


@lru_cache(maxsize=1)
def table() -> Table:
    return typed.from_toml(TABLE, Table)


def needed(stack: Stack, build: Build, python: str) -> List[Wheel]:
    """The wheels of a build for a Python such as 3.12; [] where the package index has them or no hash is known."""
    end = f"+{build.name}-cp{python.replace('.', '')}-"
    beginnings = (f"torch-{stack.torch}{end}", f"torchvision-{stack.torchvision}{end}")
    return [wheel for wheel in table().wheel if build.wheels and wheel.name.startswith(beginnings)]


def places(build: Build) -> List[str]:
    """The folders and servers that may have the wheels of a build, in the order in which they are tried.

    What the setting `wheels` names holds them itself or, like PyTorch's server, in a folder called like the build.
    """
    if settings.current().packages:
        return [Path(settings.current().packages).as_uri()]
    own = settings.current().wheels
    rows = [row for row in mirrors.rows().values() if build.name in row["builds"]]
    mirrored = [address.replace("BUILD", build.name) for row in rows for address in row["wheels"]]
    usual = [*mirrored, build.wheels] if mirrors.chosen() in rows else [build.wheels, *mirrored]
    if not own:
        return usual
    first = (own if "://" in own else Path(own).as_uri()).rstrip("/")
    return [first, f"{first}/{build.name}", *usual]


def fetch(stack: Stack, build: Build, python: str) -> Optional[Path]:
    """The folder with the wheels of a build for this Python, fetched now where they are missing; None without any.

    Raises Missing where no place delivers the bytes that the hashes stand for.
    """
    if not build.wheels or build.pending:
        return None
    found = needed(stack, build, python)
    if len(found) != 2:
        raise Missing(f"no wheels of {label(stack, build)} are known for Python {python}", "./inv doctor")
    folder = KEPT / build.name
    with _alone():
        folder.mkdir(parents=True, exist_ok=True)
        for wheel in reversed(found):  # torchvision first: who lacks it has not sent the large one
            urls = [f"{place.rstrip('/')}/{quote(wheel.name)}" for place in places(build)]
            try:
                download.fetch(urls, folder / wheel.name, wheel.size_bytes, [("sha256", wheel.sha256)])
            except download.Unreachable as error:
                remedy = f"./inv config set wheels ADDRESS-OR-FOLDER, or --stack {'cpu' if build.cuda else stack.name}"
                raise Missing(f"the wheels of {label(stack, build)} cannot be had: {error.message}", remedy) from None
    return folder


def forget(build: Build) -> None:
    """Delete what was fetched for a build, once it is installed."""
    if build.wheels:
        with _alone():
            shutil.rmtree(KEPT / build.name, ignore_errors=True)


def _alone() -> ContextManager[None]:
    return locked(KEPT.with_name("pytorch.lock"), "PyTorch's wheels")

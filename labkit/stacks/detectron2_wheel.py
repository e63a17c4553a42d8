"""detectron2 for a stack: a wheel made from its published source, or what the setting detectron2 asks for instead.

The source is a package on the index, pinned by hash in docker/locks; docker/detectron2/make_wheel.py makes the wheel,
for native environments and for images alike, without a compiler.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from labkit.base import paths, settings
from labkit.base.errors import UserError
from labkit.base.files import locked
from labkit.base.programs import last_words, uv, uv_environment
from labkit.data import download
from labkit.stacks.catalog import LOCKS, Stack, pins

MAKER = paths.ROOT / "docker" / "detectron2" / "make_wheel.py"
PANOPTICAPI = LOCKS / "panopticapi.txt"
KEPT = paths.ROOT / ".venv" / "detectron2"
IN_IMAGE = "/context/detectron2"  # where a build of an image finds the wheel


def asked() -> str:
    """The setting: a requirement of pip's, options included, to install in place of our own wheel; '' for none."""
    return settings.current().detectron2


def asked_file() -> Path | None:
    """The wheel that the setting names, where it is a file and not the name of a package."""
    path = Path(asked()).expanduser()
    if not asked().endswith(".whl") or "://" in asked() or len(shlex.split(asked())) > 1:
        return None
    if not path.is_file():
        problem = f"the setting detectron2 names {asked()}, and there is no such file."
        raise UserError(problem, "./inv config unset detectron2")
    return path.absolute()


def recipe(stack: Stack) -> bytes:
    """Everything that decides what is installed, for fingerprints."""
    if not stack.detectron2:
        return b""
    wheel = asked_file()
    locks = [pins(lock).encode() for lock in (LOCKS / stack.detectron2, PANOPTICAPI)]
    return b"\0".join([*locks, *(file.read_bytes() for file in (MAKER, *([wheel] if wheel else []))), asked().encode()])


def fetch_source(stack: Stack) -> Path:
    """The published source archive, kept in .venv/detectron2; uv knows its address on the user's package index."""
    lock = LOCKS / stack.detectron2
    found = re.search(r"--hash=sha256:([0-9a-f]{64})", lock.read_text(encoding="utf-8"))
    assert found, f"{lock} pins no hash"
    with locked(KEPT.with_name("detectron2.lock"), "detectron2"):
        for kept in KEPT.glob(f"{found[1]}/*"):
            if not download.mismatch(kept, 0, [("sha256", found[1])]):
                return kept
        command = [uv(), "pip", "compile", str(lock), "--quiet", "--no-header", "--no-deps", "--generate-hashes"]
        command += ["--python-version", stack.python, "--format", "pylock.toml"]
        done = subprocess.run(command, capture_output=True, text=True, env=uv_environment())
        if done.returncode != 0:
            raise UserError(f"the package index could not be reached: {last_words(done.stderr)}", "./inv doctor")
        address = re.findall(r'url = "([^"]+)"', done.stdout)[0]
        target = KEPT / found[1] / address.rpartition("/")[2]
        target.parent.mkdir(parents=True, exist_ok=True)
        download.fetch([address], target, 0, [("sha256", found[1])])
        return target


def make(stack: Stack, folder: Path) -> None:
    """Put into `folder` the wheel that is to be installed, unless a package index is to give it."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel = asked_file()
    if wheel:
        shutil.copy(wheel, folder)
    elif not asked():
        command = [sys.executable, "-I", str(MAKER), str(fetch_source(stack)), str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise UserError(f"no wheel of detectron2 could be made: {last_words(done.stderr)}", "git status docker")


def arguments(folder: str) -> list[str]:
    """What `uv pip install` is told, where `make` has filled `folder`."""
    wheel = asked_file()
    if wheel:
        return [f"{folder}/{wheel.name}"]
    return shlex.split(asked()) or ["--no-index", "--find-links", folder, "detectron2"]


def installed(packages: Path) -> str:
    """What of detectron2 is in a folder of packages, for a reader; '' for nothing."""
    for info in packages.glob("detectron2-*.dist-info"):
        compiled = any((packages / "detectron2").glob("_C*.so"))
        version = info.name[len("detectron2-") : -len(".dist-info")].partition("+")[0]
        return f"{version}, {'compiled' if compiled else 'Python alone: no rotated boxes, no deformable convolution'}"
    return ""

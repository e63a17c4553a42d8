"""Native environments: `.venv/STACK`, made by uv from the stack's lock, the same packages as in its image."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import ContextManager

from labkit.base import mirrors, paths, settings, typed
from labkit.base.console import say, warn
from labkit.base.errors import UserError
from labkit.base.files import locked
from labkit.base.programs import output_of, uv, uv_environment
from labkit.base.typed import Record
from labkit.stacks import detectron2_wheel, installing, sizes, wheels
from labkit.stacks.catalog import LOCKS, Build, Stack, label, pins
from labkit.stacks.machine import free_gb, has_library

VENV = paths.ROOT / ".venv"
STAMP = "stamp.json"
LIBGL = "libGL.so.1"
OWN_VERSION = "import sys; print('%d.%d' % sys.version_info[:2], sys.prefix == sys.base_prefix)"


class Stamp(Record, frozen=True):
    """stamp.json in an environment that is complete: what it was made from."""

    fingerprint: str
    stack: str = ""  # and build, "cpu/index"
    python: str = ""  # "Python 3.12.1"


def python_of(stack: Stack) -> Path:
    """The interpreter of the stack's environment, whether or not it exists yet."""
    return VENV / stack.name / "bin" / "python"


def ready(stack: Stack, build: Build) -> bool:
    """Whether the stack's environment is complete and made from today's lock."""
    stamp = typed.read(VENV / stack.name / STAMP, Stamp)
    return stamp is not None and python_of(stack).exists() and stamp.fingerprint == fingerprint(stack, build)


def fingerprint(stack: Stack, build: Build) -> str:
    """A hash of everything that decides what is in the environment."""
    parts = [
        requirements(stack, build, has_library(LIBGL)),
        stack.torch,
        stack.torchvision,
        build.name,
        str(paths.ROOT),
    ]
    content = "\0".join(parts).encode()
    return hashlib.sha256(content + detectron2_wheel.recipe(stack)).hexdigest()


def requirements(stack: Stack, build: Build, windows: bool) -> str:
    """The text of the stack's requirements with one of the two OpenCVs that the lock pins, since both at once clash.

    `windows` takes the one that can open windows; it needs libGL to be imported at all.
    """
    source = stack.requirements if build.pending else build.lock
    unused = "opencv-python-headless" if windows else "opencv-python"
    return re.sub(rf"^{unused}[=<].*\n(?:[ ]+--hash.*\n)*", "", pins(source), flags=re.MULTILINE)


def installed_python(versions: tuple[str, ...]) -> str:
    """An interpreter of one of these versions, the earliest listed first; "" where none is here.

    Looked for on PATH, in pyenv's folder (its shims answer only for the active version) and among uv's own.
    """
    pyenv = settings.system().pyenv / "versions"
    for version in versions:
        candidates = [shutil.which(f"python{version}"), shutil.which("python3")]
        with contextlib.suppress(OSError):  # a folder that is not ours to look at
            candidates += sorted(map(str, pyenv.glob(f"{version}.*/bin/python")), reverse=True)
        candidates.append(output_of(uv(), "python", "find", "--no-python-downloads", version))
        for candidate in candidates:
            if candidate and output_of(candidate, "-I", "-c", OWN_VERSION) == f"{version} True":
                return candidate
    return ""


def find_python(versions: tuple[str, ...]) -> str:
    """An interpreter of one of these versions; where none is installed, uv downloads the first.

    Raises UserError where that cannot be had either.
    """
    here = installed_python(versions)
    if here:
        return here
    say(f"Python {versions[0]} is not installed here; asking uv to download it")
    install = [uv(), "python", "install", versions[0]]
    if subprocess.run(install, stdout=sys.stderr, env=uv_environment()).returncode == 0:
        return output_of(uv(), "python", "find", versions[0])
    raise UserError(
        f"this stack needs Python {' or '.join(versions)}, none is installed and none could be downloaded",
        f"{python_remedy(versions)}; then the same command",
    )


def python_remedy(versions: tuple[str, ...]) -> str:
    """How to come by an interpreter where uv cannot download one from GitHub."""
    own = f"install your distribution's python{versions[0]}, or pyenv install {versions[0]}"
    return own if mirrors.chosen() else f"./inv config set mirror cn (a mirror in mainland China), or {own}"


def one_at_a_time(name: str) -> ContextManager[None]:
    """Hold the lock of one environment; a second process waits and says so."""
    return locked(VENV / f"{name}.lock", f".venv/{name}")


def ensure(stack: Stack, build: Build) -> bool:
    """Make `.venv/STACK` unless it is there already; interrupted at any moment, the next call starts it over.

    True where it was made.
    """
    if ready(stack, build):
        return False
    with one_at_a_time(stack.name):
        if ready(stack, build):
            return False
        make(stack, build)
        return True


def make(stack: Stack, build: Build) -> None:
    """Make the environment from nothing. The stamp that says it is complete is written last."""
    folder = VENV / stack.name
    if free_gb(VENV) < build.disk_gb:
        free = f"only {free_gb(VENV):.1f} GB are free in {VENV}"
        raise UserError(f"{label(stack, build)} takes {build.disk_gb:g} GB and {free}", "./inv clean")
    started = time.monotonic()
    python = find_python(stack.native_python)
    said = output_of(python, "--version")
    version = said.partition(" ")[2].rpartition(".")[0]
    say(f"making .venv/{stack.name}, once: {said}, torch {stack.torch}")
    for line in sizes.of(stack, build, version).announcement(f"{build.disk_gb:g} GB"):
        say(line)
    pytorch = wheels.fetch(stack, build, version)
    run_uv("venv", "--quiet", "--clear", "--no-project", "--python", python, str(folder))
    lock = requirements(stack, build, has_library(LIBGL))
    install(python_of(stack), lock, pytorch, pinned=not build.pending, size_gb=build.disk_gb)
    if build.pending:
        warn(f"the wheels of {stack.name}/{build.name} have no recorded hashes: {build.wheels} is trusted unchecked")
        versions = [f"torch=={stack.torch}+{build.name}", f"torchvision=={stack.torchvision}+{build.name}"]
        options = ["--python", str(python_of(stack)), "--index", build.wheels, "--index-strategy", "unsafe-best-match"]
        run_uv("pip", "install", *options, *versions)
    if stack.detectron2:
        add_detectron2(python_of(stack), stack)
    where = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    packages = output_of(str(python_of(stack)), "-I", "-c", where)
    (Path(packages) / "labkit.pth").write_text(f"{paths.ROOT}\n", encoding="utf-8")
    typed.write(folder / STAMP, Stamp(fingerprint(stack, build), label(stack, build), said))
    wheels.forget(build)
    say(f".venv/{stack.name} is ready after {time.monotonic() - started:.0f} s")


def add_detectron2(python: Path, stack: Stack) -> None:
    """Install detectron2 and what computes PQ, both without their dependencies, which are in the stack's own lock."""
    with tempfile.TemporaryDirectory() as folder:
        detectron2_wheel.make(stack, Path(folder))
        options = ["--no-deps", "--compile-bytecode", "--python", str(python)]
        run_uv("pip", "install", *options, "--require-hashes", "-r", str(detectron2_wheel.PANOPTICAPI))
        run_uv("pip", "install", *options, *detectron2_wheel.arguments(folder))


def install(python: Path, lock: str, pytorch: Path | None = None, pinned: bool = True, size_gb: float = 0) -> None:
    """Install what `lock` (its text) pins into the environment of `python`; with its size there is a bar.

    `pytorch`: the folder with PyTorch's own wheels, where the package index does not have them.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write(lock)
        file.flush()
        # Compiled once here: where PYTHONDONTWRITEBYTECODE is set, every import of torch would compile it again (8 s).
        options = ["--compile-bytecode", *(["--require-hashes"] if pinned else [])]
        options += ["--find-links", str(pytorch)] if pytorch else []
        options += ["--build-constraints", str(LOCKS / "build.txt"), "--python", str(python), "-r", file.name]
        run_uv("pip", "install", *options, size_gb=size_gb)


def make_tools(name: str, python: str = sys.executable) -> Path:
    """The folder `.venv/NAME` with what docker/locks/NAME.txt pins (`dev`, `compose`), made where missing."""
    folder, lock = VENV / name, (LOCKS / f"{name}.txt").read_text(encoding="utf-8")
    stamp = folder / "lock.txt"
    with one_at_a_time(name):
        if not stamp.exists() or stamp.read_text(encoding="utf-8") != lock:
            run_uv("venv", "--quiet", "--clear", "--no-project", "--python", python, str(folder))
            install(folder / "bin" / "python", lock)
            stamp.write_text(lock, encoding="utf-8")
    return folder


def carried(name: str, python: str) -> Path:
    """A folder with what docker/locks/NAME.txt pins, for a Python of this version that is somewhere else (an image)."""
    lock = (LOCKS / f"{name}.txt").read_text(encoding="utf-8")
    folder = VENV / f"{name}-{python}"
    stamp = folder / "lock.txt"
    with one_at_a_time(folder.name):
        if not stamp.exists() or stamp.read_text(encoding="utf-8") != lock:
            shutil.rmtree(folder, ignore_errors=True)
            options = ["--target", str(folder), "--python-version", python, "--python-platform", "x86_64-manylinux2014"]
            source = str(LOCKS / f"{name}.txt")
            run_uv("pip", "install", "--quiet", *options, "--only-binary", ":all:", "--require-hashes", "-r", source)
            stamp.write_text(lock, encoding="utf-8")
    return folder


def run_uv(*arguments: str, size_gb: float = 0) -> None:
    """Run uv, with a bar where it installs about `size_gb`. Raises UserError when it fails."""
    if not installing.quietly([uv(), *arguments], uv_environment(), "installing" if size_gb else "", size_gb):
        raise UserError(
            f"uv {arguments[0]} failed (its own message is above)",
            "./inv doctor; in mainland China: ./inv config set mirror cn",
        )

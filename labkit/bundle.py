"""One file with stacks and data sets, to carry to a machine or a classroom without a network.

A plain tar. First in it is `manifest.json` with the sha256 of everything that follows: `data/NAME/...` as it lies in
the data folder, `wheels/...` with the packages of the stacks and of ./inv itself.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any, Sequence

from labkit.base import paths, settings
from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.base.files import digest, link, locked, megabytes, require_space, writing
from labkit.base.paths import shown
from labkit.base.programs import pip_environment
from labkit.data import importing, samples, store
from labkit.stacks import catalog, detectron2_wheel, native

FORMAT = 1
MANIFEST = "manifest.json"
MOST_MANIFEST_BYTES = 256 << 20


def create(path: Path, stack_names: Sequence[str], data_names: Sequence[str]) -> Path:
    """Write the bundle `path` with the packages of these stacks and these data sets, which must be here already.

    Every data set is verified first. UserError when there is nothing to put in, something is missing or has changed.
    """
    if not stack_names and not data_names:
        next_command = "./inv bundle create FILE --stacks cpu --data cifar10"
        raise UserError("a bundle must contain a stack or a data set", next_command)
    chosen = [catalog.load(name) for name in stack_names]
    contents: dict[str, Path] = {}
    known: dict[str, str] = {}
    for name in data_names:
        there = samples.locate(name)
        say(f"checking {there}")
        store.verify(name)
        for relative, sha256 in store.recorded(name).items():
            contents[f"data/{name}/{relative}"] = there.path / relative
            known[f"data/{name}/{relative}"] = sha256
        contents[f"data/{name}/{store.STATE_FILE}"] = there.path / store.STATE_FILE
    with writing(path.parent), tempfile.TemporaryDirectory(dir=str(path.parent), prefix=".bundle-") as folder:
        for stack in chosen:
            _download_wheels(stack, Path(folder))
        for wheel in sorted(Path(folder).iterdir()):
            contents[f"wheels/{wheel.name}"] = wheel
        files = {
            name: {"size_bytes": source.stat().st_size, "sha256": known.get(name) or digest(source, "sha256")}
            for name, source in contents.items()
        }
        size_bytes = sum(source.stat().st_size for source in contents.values())
        require_space(path.parent, size_bytes)
        manifest = {"format": FORMAT, "stacks": list(stack_names), "data": list(data_names), "files": files}
        say(f"writing {shown(path)}: {len(files)} files, {megabytes(size_bytes)}")
        part = path.with_name(path.name + ".part")
        try:
            with tarfile.open(str(part), "w") as packed:
                text = json.dumps(manifest, indent=1).encode()
                info = tarfile.TarInfo(MANIFEST)
                info.size = len(text)
                packed.addfile(info, io.BytesIO(text))
                for name, source in contents.items():
                    info = tarfile.TarInfo(name)
                    info.size = source.stat().st_size
                    with source.open("rb") as stream:
                        packed.addfile(info, stream)
            part.replace(path)
        finally:
            if part.exists():
                part.unlink()
    return path


def use(path: Path) -> list[str]:
    """Put what the bundle holds where it belongs, without a network, and say what that was.

    Every file is compared with the manifest, and published files with their published hashes. UserError when anything
    is altered, missing or not announced; then nothing is changed.
    """
    if not path.is_file():
        raise UserError(f"{shown(path)} does not exist", "./inv bundle use FILE")
    here = paths.data_dir()
    with writing(here, "./inv config set data /a/folder/of/yours"):
        here.mkdir(parents=True, exist_ok=True)
        with locked(here / ".bundle.lock", "a bundle"):
            staging = here / ".bundle"
            shutil.rmtree(str(staging), ignore_errors=True)
            try:
                manifest = _unpack(path, staging)
                done = [str(importing.adopt(name, staging / "data" / name)) for name in manifest["data"]]
                return done + _use_stacks(manifest["stacks"], staging / "wheels")
            finally:
                shutil.rmtree(str(staging), ignore_errors=True)


def _unpack(path: Path, folder: Path) -> dict[str, Any]:
    """Write all files of the bundle below `folder`, hashing them on the way; returns the manifest."""
    try:
        with tarfile.open(str(path), "r|") as packed:
            members = iter(packed)
            first = next(members, None)
            if first is None or first.name != MANIFEST or not first.isreg() or first.size > MOST_MANIFEST_BYTES:
                raise UserError(f"{shown(path)} is not a bundle: it does not begin with {MANIFEST}")
            stream: Any = packed.extractfile(first)
            manifest = _checked(path, stream.read())
            missing = dict(manifest["files"])
            require_space(folder.parent, sum(each["size_bytes"] for each in missing.values()))
            for member in members:
                expected = missing.pop(member.name, None)
                if expected is None or not member.isreg():
                    raise UserError(f"{shown(path)} is refused: {member.name!r} is not in its manifest")
                if member.size != expected["size_bytes"]:
                    raise UserError(f"{shown(path)} is refused: {member.name!r} has the wrong size")
                target, total = folder / member.name, hashlib.sha256()
                target.parent.mkdir(parents=True, exist_ok=True)
                stream = packed.extractfile(member)
                with target.open("wb") as out:
                    for chunk in iter(lambda: stream.read(1 << 20), b""):  # noqa: B023  (used up before the next turn)
                        total.update(chunk)
                        out.write(chunk)
                if total.hexdigest() != expected["sha256"]:
                    problem = f"sha256 expected {expected['sha256']}, got {total.hexdigest()}"
                    raise UserError(f"{shown(path)} is refused: {member.name!r} was altered: {problem}")
    except (tarfile.TarError, EOFError) as error:
        raise UserError(f"{shown(path)} is damaged or cut short ({error or 'it ends early'})") from None
    if missing:
        raise UserError(f"{shown(path)} is damaged or cut short: {next(iter(missing))} is missing")
    return manifest


def _checked(path: Path, text: bytes) -> dict[str, Any]:
    """The manifest, if it is one and all its names stay where they belong."""
    try:
        manifest: dict[str, Any] = json.loads(text)
        good = manifest["format"] == FORMAT
        for name, each in manifest["files"].items():
            parts = PurePosixPath(name).parts
            good = good and ".." not in parts and "\0" not in name and len(parts) >= 2
            good = good and (parts[0] == "wheels" or (parts[0] == "data" and parts[1] in manifest["data"]))
            good = good and isinstance(each["size_bytes"], int) and isinstance(each["sha256"], str)
        good = good and all(isinstance(name, str) for name in [*manifest["data"], *manifest["stacks"]])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        good = False
    if not good:
        raise UserError(f"{shown(path)} is not a bundle of this version: its manifest cannot be read")
    return manifest


def _download_wheels(stack: catalog.Stack, folder: Path) -> None:
    """Fetch the packages of a stack, of ./inv and of what builds packages, by the hashes of their locks.

    pip does it, run by the stack's own Python, since it has to choose the wheels that fit that one.
    """
    build = stack.build()
    if build.pending:
        raise UserError(f"{stack.name}/{build.name} has no recorded hashes", f"scripts/lock.py --complete {stack.name}")
    native.ensure(stack, build)
    for python, lock in (
        (native.python_of(stack), build.lock),
        (native.python_of(stack), catalog.LOCKS / "build.txt"),
        (native.python_of(stack), detectron2_wheel.PANOPTICAPI),
        (Path(sys.executable), catalog.LOCKS / "host.txt"),
    ):
        say(f"fetching the packages of {lock.name}")
        pip = [sys.executable, "-I", "-m", "pip", "--python", str(python), "download", "--quiet", "--no-deps"]
        pip += ["--require-hashes", "--disable-pip-version-check", "--no-build-isolation", "-r", str(lock)]
        if subprocess.run([*pip, "--dest", str(folder)], stdout=sys.stderr, env=pip_environment()).returncode:
            raise UserError(f"pip could not fetch the packages of {lock.name} (its own message is above)")
    if stack.detectron2:
        shutil.copy(str(detectron2_wheel.fetch_source(stack)), str(folder))


def _use_stacks(names: Sequence[str], wheels: Path) -> list[str]:
    """Make the environments of these stacks from the wheels alone."""
    if not names:
        return []
    kept = native.VENV / "wheels"
    for wheel in wheels.iterdir():
        link(wheel, kept / wheel.name)
    settings.use(wheels=str(kept))
    done = []
    for name in names:
        stack = catalog.load(name)
        native.ensure(stack, stack.build())
        done.append(f"{name}: ready in {shown(native.VENV / name)}")
    return done

"""One file with stacks and data sets, to carry to a machine or a classroom without a network.

A plain tar. First in it is `manifest.json` with the sha256 of everything that follows: `data/NAME/...` as it lies in
the data folder, `wheels/...` with the packages of the stacks and of ./inv itself.
"""

import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unicodedata
from pathlib import Path, PurePosixPath
from typing import Any, Dict, Iterator, Sequence, Tuple

import msgspec

from labkit.base import paths, settings, typed
from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.base.files import digest, link, locked, megabytes, require_space, writing
from labkit.base.paths import shown
from labkit.base.programs import output_of, pip_environment
from labkit.base.typed import Record
from labkit.data import archives, importing, registry, samples, store
from labkit.data.arrived import Member
from labkit.stacks import builds, catalog, detectron2_wheel, native, selection, wheels

MANIFEST = "manifest.json"


class Manifest(Record, frozen=True, forbid_unknown_fields=True):
    """The first member of a bundle: what is in it."""

    stacks: Tuple[str, ...]
    data: Tuple[str, ...]
    files: Dict[str, Member]  # by their names in the bundle


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
            name: Member(source.stat().st_size, known.get(name) or digest(source, "sha256"))
            for name, source in contents.items()
        }
        size_bytes = sum(source.stat().st_size for source in contents.values())
        require_space(path.parent, size_bytes)
        manifest = Manifest(stacks=tuple(stack_names), data=tuple(data_names), files=files)
        say(f"writing {shown(path)}: {len(files)} files, {megabytes(size_bytes)}")
        part = path.with_name(path.name + ".part")
        try:
            with tarfile.open(str(part), "w") as packed:
                text = json.dumps(typed.builtins(manifest), indent=1).encode()
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
    """Put all that the bundle holds where it belongs, without a network, and say what that was; or nothing of it.

    Every file is compared with the manifest, and data with what we know of them: a bundle does not vouch for itself,
    and what it brings is worth what an import of it would be. UserError when anything is altered, missing, not
    announced or not as published.
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
                judged = [
                    importing.judge(name, staging / "data" / name, staging / "judged" / name) for name in manifest.data
                ]
                made = _use_stacks(manifest.stacks, staging / "wheels")  # first: what can fail long after it began
                return [str(state) for state in importing.adopt(judged, shown(path))] + made
            finally:
                shutil.rmtree(str(staging), ignore_errors=True)


def _unpack(path: Path, folder: Path) -> Manifest:
    """Write all files of the bundle below `folder`, hashing them on the way; returns the manifest."""
    with archives.damage_named(path):
        members = archives.tar_members(path)
        first, stream = next(members, (None, None))
        if first is None or stream is None or first.name != MANIFEST or first.size > typed.MOST_BYTES:
            raise UserError(f"{shown(path)} is not a bundle: it does not begin with {MANIFEST}")
        manifest = _checked(path, stream.read())
        missing = dict(manifest.files)
        require_space(folder.parent, sum(each.size_bytes for each in missing.values()))
        for info, stream in members:
            expected = missing.pop(info.name, None)
            if expected is None or stream is None:
                raise UserError(f"{shown(path)} is refused: {info.name[:200]!r} is not in its manifest")
            if info.size != expected.size_bytes:
                raise UserError(f"{shown(path)} is refused: {info.name!r} has the wrong size")
            got = _write(stream, folder / info.name)
            if got != expected.sha256:
                problem = f"sha256 expected {expected.sha256}, got {got}"
                raise UserError(f"{shown(path)} is refused: {info.name!r} was altered: {problem}")
    if missing:
        raise UserError(f"{shown(path)} is damaged or cut short: {next(iter(missing))} is missing")
    return manifest


def _write(stream: Any, target: Path) -> str:
    """Write what the stream holds to `target`; returns its sha256."""
    target.parent.mkdir(parents=True, exist_ok=True)
    total = hashlib.sha256()
    with target.open("xb") as out:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            total.update(chunk)
            out.write(chunk)
    return total.hexdigest()


def _checked(path: Path, text: bytes) -> Manifest:
    """The manifest, if it is one, all its names stay where they belong, and we know what it speaks of."""
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
        problem = "" if manifest.format == 1 else f"its format is {manifest.format}"
        problem = problem or next(_problems(manifest), "")
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        problem = str(error)
    if problem:
        raise UserError(f"{shown(path)} is not a bundle of this version: its manifest cannot be read ({problem})")
    return manifest


def _problems(manifest: Manifest) -> Iterator[str]:
    """What is wrong with the names in the manifest."""
    for known, names in ((registry.names(), manifest.data), (catalog.names(), manifest.stacks)):
        yield from (f"{name[:80]!r} is not known here" for name in names if name not in known)
        if len(set(names)) < len(names):
            yield "a name is in it twice"
    if not manifest.data and not manifest.stacks:
        yield "it announces neither data nor stacks"
    plain = [unicodedata.normalize("NFC", name).casefold() for name in manifest.files]
    inner = {str(parent) for name in manifest.files for parent in PurePosixPath(name).parents}
    if len(set(plain)) < len(plain) or inner & set(manifest.files):
        yield "a name is in it twice"
    for name in manifest.files:
        parts = PurePosixPath(name).parts
        good = archives.name_problem(name) == "" and str(PurePosixPath(name)) == name and len(parts) >= 2
        wheel = good and parts[0] == "wheels" and len(parts) == 2 and bool(manifest.stacks)
        if not wheel and not (good and parts[0] == "data" and len(parts) > 2 and parts[1] in manifest.data):
            yield f"{name[:80]!r} is no name of a file in a bundle"
    for name in manifest.data:
        if f"data/{name}/{store.STATE_FILE}" not in manifest.files:
            yield f"there is no record of {name}"
    if manifest.stacks and not any(name.startswith("wheels/") for name in manifest.files):
        yield "there are no packages of its stacks"


def _download_wheels(stack: catalog.Stack, folder: Path) -> None:
    """Fetch the packages of a stack, of ./inv and of what builds packages, by the hashes of their locks.

    pip does it, run by the stack's own Python, since it has to choose the wheels that fit that one.
    """
    choice = builds.settled(selection.choose([], "", asked=stack.name))
    if choice.build.pending:
        raise UserError(f"{choice.label} has no recorded hashes", f"scripts/lock.py --complete {stack.name}")
    build = builds.make(choice, native.ensure).build
    python_version = output_of(str(native.python_of(stack)), "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    pytorch = wheels.fetch(stack, build, python_version)
    for python, lock in (
        (native.python_of(stack), build.lock),
        (native.python_of(stack), catalog.LOCKS / "build.txt"),
        (native.python_of(stack), detectron2_wheel.PANOPTICAPI),
        (Path(sys.executable), catalog.LOCKS / "host.txt"),
    ):
        say(f"fetching the packages of {lock.name}")
        pip = [sys.executable, "-I", "-m", "pip", "--python", str(python), "download", "--quiet", "--no-deps"]
        pip += ["--require-hashes", "--disable-pip-version-check", "--no-build-isolation", "-r", str(lock)]
        pip += ["--find-links", str(pytorch)] if pytorch else []
        if subprocess.run([*pip, "--dest", str(folder)], stdout=sys.stderr, env=pip_environment()).returncode:
            raise UserError(f"pip could not fetch the packages of {lock.name} (its own message is above)")
    wheels.forget(build)
    if stack.detectron2:
        shutil.copy(str(detectron2_wheel.fetch_source(stack)), str(folder))


def _use_stacks(names: Sequence[str], brought: Path) -> list[str]:
    """Make the environments of these stacks from the wheels alone; where one cannot be made, none of them is left."""
    if not names:
        return []
    stacks = [catalog.load(name) for name in names]
    kept, linked, made = native.VENV / "wheels", [], []
    try:
        for wheel in brought.iterdir():
            if not (kept / wheel.name).exists():
                linked.append(kept / wheel.name)
            link(wheel, kept / wheel.name)
        settings.use(packages=str(kept))
        for stack in stacks:
            choice = builds.settled(selection.choose([], "", asked=stack.name))
            if not native.ready(stack, choice.build):
                made.append(native.VENV / stack.name)
            builds.make(choice, native.ensure)
    except BaseException:
        for folder in made:
            shutil.rmtree(str(folder), ignore_errors=True)
        for wheel in linked:
            if wheel.exists():
                wheel.unlink()
        raise
    return [f"{name}: ready in {shown(native.VENV / name)}" for name in names]

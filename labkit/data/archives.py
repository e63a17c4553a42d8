"""Unpack tar, zip and gzip files that may have been made to do harm.

Only plain files and folders below the target are made; the sum of what is really unpacked is counted, whatever the
archive declares; and the result appears when all of it is good.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import lzma
import os
import shutil
import stat
import struct
import tarfile
import threading
import unicodedata
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Callable, Iterator

from labkit.base.errors import UserError
from labkit.base.files import megabytes
from labkit.base.paths import shown

CHUNK_BYTES = 1 << 20
MOST_RATIO = 200  # images and annotations pack to a tenth at best; deflate can reach a thousandth
DAMAGE = (EOFError, tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, gzip.BadGzipFile)
CLUTTER = ("__MACOSX", ".DS_Store")  # what the Mac's own packer adds
INVISIBLE = ("Cc", "Cf", "Cs")  # Unicode categories: control and format characters, among them those that turn text


def unpack(archive: Path, folder: Path, limit_bytes: int, limit_members: int = 1_000_000) -> int:
    """Unpack `archive` into `folder`: tar (plain, gz, bz2, xz), zip, or one gzip file (its name without ".gz").

    What is in the archive appears below `folder` when all of it has been unpacked, beside what is there already;
    returns how many bytes it came to. Raises UserError naming the member for `..`, absolute paths, invisible
    characters, links, devices, a name used twice or more than the two limits, and for a damaged archive; then nothing
    of it is left.
    """
    temporary = folder / f".{archive.name}.unpacking"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    budget = _Budget(archive, limit_bytes, limit_members)
    try:
        with _damage_named(archive):
            if zipfile.is_zipfile(archive):
                _unpack_zip(archive, temporary, budget)
            else:
                for name, stream in _members(archive):
                    budget.write(stream, name, budget.place(temporary, name))
        _move(temporary, folder)
        return limit_bytes - budget.left_bytes
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def members_problem(archive: Path, published: dict[str, str]) -> str:
    """The first member that is not as published (path -> sha256), or missing, or not among them; "" if all are."""
    missing = dict(published)
    try:
        with _damage_named(archive):
            for name, stream in _members(archive):
                expected = missing.pop(name, "")
                if not expected:
                    return f"{name} is not among the published members"
                total = hashlib.sha256()
                for chunk in iter(lambda: stream.read(CHUNK_BYTES), b""):  # noqa: B023  (used up before the next turn)
                    total.update(chunk)
                if total.hexdigest() != expected:
                    return f"{name}: sha256 expected {expected}, got {total.hexdigest()}"
    except UserError as error:
        return error.message
    return f"{next(iter(missing))} is missing" if missing else ""


@contextmanager
def _damage_named(archive: Path) -> Iterator[None]:
    try:
        yield
    except DAMAGE as error:
        raise UserError(f"{shown(archive)} is damaged or cut short ({error or 'it ends early'})") from None
    except (NotImplementedError, RuntimeError, UnicodeDecodeError, ValueError, OverflowError, struct.error) as error:
        raise UserError(f"{shown(archive)} is in a form that cannot be read ({error})") from None


class _Budget:
    """What may still be unpacked, and where; shared by the threads of one archive."""

    def __init__(self, archive: Path, limit_bytes: int, limit_members: int) -> None:
        self.archive, self.left_bytes, self.left_members = archive, limit_bytes, limit_members
        self.limit_bytes, self.limit_members = limit_bytes, limit_members
        self.ratio_bytes = MOST_RATIO * archive.stat().st_size + CHUNK_BYTES
        self.names: set[str] = set()
        self.lock = threading.Lock()

    def refuse(self, why: str) -> UserError:
        return UserError(f"{shown(self.archive)} is refused: {why}")

    def place(self, folder: Path, name: str) -> Path:
        """Where the member goes; its folder is made."""
        path = _safe(self.archive, name)
        self.left_members -= 1
        if self.left_members < 0:
            raise self.refuse(f"more than {self.limit_members} members")
        # Two spellings of one name are two files here and one on another system.
        plain = unicodedata.normalize("NFC", str(path))
        if plain in self.names:
            raise self.refuse(f"{name!r} is in it twice")
        self.names.add(plain)
        try:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise self.refuse(f"{name!r} is below something that is a file") from None
        if (folder / path).is_dir():
            raise self.refuse(f"{name!r} is a file and a folder")
        return folder / path

    def write(self, stream: Any, name: str, target: Path) -> None:
        with target.open("wb") as out:
            for chunk in iter(lambda: stream.read(CHUNK_BYTES), b""):
                with self.lock:
                    self.left_bytes -= len(chunk)
                    self.ratio_bytes -= len(chunk)
                    if self.left_bytes < 0:
                        raise self.refuse(f"with {name!r} it unpacks to more than {megabytes(self.limit_bytes)}")
                    if self.ratio_bytes < 0:
                        raise self.refuse(f"with {name!r} it unpacks to more than {MOST_RATIO} times its size")
                out.write(chunk)


def _safe(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in name:
        raise UserError(f"{shown(archive)} is refused: {name!r} would land outside its folder")
    if any(unicodedata.category(character) in INVISIBLE for character in name):
        raise UserError(f"{shown(archive)} is refused: {name!r} has invisible characters")
    return path


def _move(source: Path, folder: Path) -> None:
    """Move every file below `source` to its place below `folder`."""
    for path in sorted(source.rglob("*")):
        final = folder / path.relative_to(source)
        if path.is_dir():
            final.mkdir(exist_ok=True)
        else:
            path.replace(final)


def _members(archive: Path) -> Iterator[tuple[str, Any]]:
    """The files in the archive, in order, each with its stream; folders are left out, since files imply them."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            for info in _zip_infos(archive, packed):
                with packed.open(info) as stream:
                    yield info.filename, stream
    elif archive.suffix == ".gz" and not archive.name.endswith(".tar.gz"):
        with gzip.open(str(archive), "rb") as stream:
            yield archive.stem, stream
    else:
        yield from _tar_members(archive)


def _unpack_zip(archive: Path, folder: Path, budget: _Budget) -> None:
    """All members of a zip, on all cores: each is compressed by itself, and zlib lets other threads run.

    Every thread opens the archive for itself: before Python 3.11.4 threads that share a ZipFile mix up their positions.
    """
    here = threading.local()
    with contextlib.ExitStack() as opened, zipfile.ZipFile(archive) as packed:

        def unpack_one(job: tuple[zipfile.ZipInfo, Path]) -> None:
            if not hasattr(here, "packed"):
                here.packed = opened.enter_context(zipfile.ZipFile(archive))
            with here.packed.open(job[0]) as stream:
                budget.write(stream, job[0].filename, job[1])

        jobs = [(info, budget.place(folder, info.filename)) for info in _zip_infos(archive, packed)]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            _all_or_first_error(pool, unpack_one, jobs)


def _all_or_first_error(pool: ThreadPoolExecutor, call: Callable[[Any], None], jobs: list[Any]) -> None:
    running = [pool.submit(call, job) for job in jobs]
    try:
        for each in running:
            each.result()
    finally:
        for each in running:
            each.cancel()


def _zip_infos(archive: Path, packed: zipfile.ZipFile) -> Iterator[zipfile.ZipInfo]:
    for info in packed.infolist():
        mode = info.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UserError(f"{shown(archive)} is refused: {info.filename!r} is a link or a device")
        if info.flag_bits & 1:
            raise UserError(f"{shown(archive)} is refused: {info.filename!r} has a password")
        path = _safe(archive, info.filename)
        if not info.is_dir() and not set(CLUTTER) & set(path.parts):
            yield info


def _tar_members(archive: Path) -> Iterator[tuple[str, Any]]:
    with tarfile.open(str(archive), "r|*") as packed:
        for info in packed:
            if not (info.isreg() or info.isdir()):
                raise UserError(f"{shown(archive)} is refused: {info.name!r} is a link or a device")
            path = _safe(archive, info.name)
            stream = packed.extractfile(info)
            if stream and not set(CLUTTER) & set(path.parts):
                yield info.name, stream

"""Unpack tar, zip and gzip files that may have been made to do harm.

Only plain files and folders below the target are made; the sum of what is really unpacked is counted, whatever the
archive declares; and the result appears when all of it is good.
"""

from __future__ import annotations

import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any, Iterator

from labkit.errors import UserError
from labkit.files import megabytes
from labkit.paths import shown

CHUNK_BYTES = 1 << 20


def unpack(archive: Path, folder: Path, limit_bytes: int, limit_members: int = 1_000_000) -> int:
    """Unpack `archive` into `folder`: tar (plain, gz, bz2, xz), zip, or one gzip file (its name without ".gz").

    What is in the archive appears below `folder` when all of it has been unpacked; returns how many bytes it came to.
    Raises UserError naming the member for `..`, absolute paths, links, devices, a name used twice or more than the two
    limits, and for a damaged archive; then nothing of it is left.
    """
    temporary = folder / f".{archive.name}.unpacking"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        unpacked_bytes = _unpack_members(archive, temporary, limit_bytes, limit_members)
        for entry in sorted(temporary.iterdir()):
            final = folder / entry.name
            if final.is_dir():
                shutil.rmtree(final)
            entry.replace(final)
        return unpacked_bytes
    except (EOFError, tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{shown(archive)} is damaged or cut short ({error or 'it ends early'})") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _unpack_members(archive: Path, folder: Path, limit_bytes: int, limit_members: int) -> int:
    left_bytes = limit_bytes
    for count, (name, stream) in enumerate(_members(archive), start=1):
        if count > limit_members:
            raise UserError(f"{shown(archive)} is refused: more than {limit_members} members")
        target = folder / _safe(archive, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            raise UserError(f"{shown(archive)} is refused: {name!r} is in it twice")
        with target.open("wb") as out:
            for chunk in iter(lambda: stream.read(CHUNK_BYTES), b""):  # noqa: B023  (used up before the next turn)
                left_bytes -= len(chunk)
                if left_bytes < 0:
                    raise UserError(
                        f"{shown(archive)} is refused: with {name!r} it unpacks to more than {megabytes(limit_bytes)}"
                    )
                out.write(chunk)
    return limit_bytes - left_bytes


def _safe(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise UserError(f"{shown(archive)} is refused: {name!r} would land outside its folder")
    return path


def _members(archive: Path) -> Iterator[tuple[str, Any]]:
    """The files in the archive, in order, each with its stream; folders are left out, since files imply them."""
    if zipfile.is_zipfile(archive):
        yield from _zip_members(archive)
    elif archive.suffix == ".gz" and not archive.name.endswith(".tar.gz"):
        with gzip.open(str(archive), "rb") as stream:
            yield archive.stem, stream
    else:
        yield from _tar_members(archive)


def _zip_members(archive: Path) -> Iterator[tuple[str, Any]]:
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            mode = info.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise UserError(f"{shown(archive)} is refused: {info.filename!r} is a link or a device")
            if info.flag_bits & 1:
                raise UserError(f"{shown(archive)} is refused: {info.filename!r} has a password")
            _safe(archive, info.filename)
            if not info.is_dir():
                with packed.open(info) as stream:
                    yield info.filename, stream


def _tar_members(archive: Path) -> Iterator[tuple[str, Any]]:
    with tarfile.open(str(archive), "r|*") as packed:
        for info in packed:
            if not (info.isreg() or info.isdir()):
                raise UserError(f"{shown(archive)} is refused: {info.name!r} is a link or a device")
            _safe(archive, info.name)
            stream = packed.extractfile(info)
            if stream:
                yield info.name, stream

"""Unpack tar, zip and gzip files that may have been made to do harm.

Only plain files and folders below the target are made; the sum of what is really unpacked is counted, whatever the
archive declares; and the result appears when all of it is good.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import io
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
from typing import Any, Iterator

from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.base.files import megabytes
from labkit.base.paths import shown
from labkit.data.folders import is_data, left_out

CHUNK_BYTES = 1 << 20
MOST_HEADER_BYTES = 1 << 20  # of one member of a tar: long names and the like, which are read into memory
MOST_FOLDERS = MOST_EMPTY = 20_000  # a data set has dozens
MOST_MEMBERS = 250_000  # the largest part of COCO has 123,287
MOST_DIRECTORY_BYTES = 32 << 20  # of a zip: it is read whole, and takes ten times that in memory; COCO's are 12 MB
MOST_NAME_BYTES, MOST_PATH_BYTES = 255, 1024  # what every disk takes, beside the folder that it lands in
MOST_DICTIONARY_BYTES = 256 << 20  # what xz may take to unpack: its own strongest setting takes 65 MiB
MOST_RATIO = 200  # images and annotations pack to a tenth at best; deflate can reach a thousandth
DAMAGE = (EOFError, tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, gzip.BadGzipFile)
UNREADABLE = (NotImplementedError, RuntimeError, UnicodeError, ValueError, OverflowError, struct.error)
INVISIBLE = ("Cc", "Cf")  # Unicode categories: control and format characters, among them those that turn text


def unpack(archive: Path, folder: Path, limit_bytes: int, limit_members: int = MOST_MEMBERS) -> int:
    """Unpack `archive` into `folder`: tar (plain, gz, bz2, xz), zip, or one gzip file (its name without ".gz").

    What is in the archive appears below `folder` when all of it has been unpacked, beside what is there already;
    returns how many bytes it came to. Raises UserError naming the member for `..`, absolute paths, invisible
    characters, links, devices, a name used twice or too long, more than the two limits, and for a damaged archive; then
    nothing of it is left. What a system leaves in its folders is no data and is left out.
    """
    temporary = folder / ".unpacking"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    budget = _Budget(archive, limit_bytes, limit_members)
    try:
        with damage_named(archive):
            if zipfile.is_zipfile(archive):
                _unpack_zip(archive, temporary, budget)
            else:
                for name, stream in _members(archive, budget):
                    budget.write(stream, name, budget.place(temporary, name))
        _move(temporary, folder)
        if budget.clutter:
            say(left_out(archive.name, len(budget.clutter), budget.clutter[0]))
        return limit_bytes - budget.left_bytes
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def members_problem(archive: Path, published: dict[str, str]) -> str:
    """The first member that is not as published (path -> sha256), or missing, or not among them; "" if all are."""
    missing = dict(published)
    budget = _Budget(archive, MOST_RATIO * archive.stat().st_size, MOST_MEMBERS)
    try:
        with damage_named(archive):
            for name, stream in _members(archive, budget):
                expected = missing.pop(name, "")
                if not expected:
                    return f"{name} is not among the published members"
                total = hashlib.sha256()
                for chunk in budget.counted(stream, name):
                    total.update(chunk)
                if total.hexdigest() != expected:
                    return f"{name}: sha256 expected {expected}, got {total.hexdigest()}"
    except UserError as error:
        return error.message
    return f"{next(iter(missing))} is missing" if missing else ""


@contextmanager
def damage_named(archive: Path) -> Iterator[None]:
    """Within the block, whatever a damaged archive makes its reader raise becomes a UserError of one sentence."""
    try:
        yield
    except DAMAGE as error:
        raise UserError(f"{shown(archive)} is damaged or cut short ({error or 'it ends early'})") from None
    except UNREADABLE as error:
        raise UserError(f"{shown(archive)} is in a form that cannot be read ({error})") from None
    except OSError as error:  # of bz2, which has no number for it, and of a place before the beginning
        if error.errno not in (None, errno.EINVAL):
            raise
        raise UserError(f"{shown(archive)} is damaged or cut short ({error.strerror or error})") from None


class _Budget:
    """What may still be unpacked, and where; shared by the threads of one archive."""

    def __init__(self, archive: Path, limit_bytes: int, limit_members: int) -> None:
        self.archive, self.left_bytes, self.left_members = archive, limit_bytes, limit_members
        self.limit_bytes, self.limit_members = limit_bytes, limit_members
        self.ratio_bytes = MOST_RATIO * archive.stat().st_size + CHUNK_BYTES
        self.names: set[str] = set()
        self.folders = self.empty = 0
        self.clutter: list[str] = []
        self.lock = threading.Lock()

    def refuse(self, why: str) -> UserError:
        return UserError(f"{shown(self.archive)} is refused: {why}")

    def place(self, folder: Path, name: str) -> Path:
        """Where the member of that safe name goes; its folder is made."""
        path = PurePosixPath(name)
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
            for chunk in self.counted(stream, name):
                out.write(chunk)
            empty = out.tell() == 0
        with self.lock:
            self.empty += empty
            if self.empty > MOST_EMPTY:
                raise self.refuse(f"more than {MOST_EMPTY} members hold nothing")

    def counted(self, stream: Any, name: str) -> Iterator[bytes]:
        """What the member holds, in chunks."""
        for chunk in iter(lambda: stream.read(CHUNK_BYTES), b""):
            with self.lock:
                self.left_bytes -= len(chunk)
                self.ratio_bytes -= len(chunk)
                if self.left_bytes < 0:
                    raise self.refuse(f"with {name!r} it unpacks to more than {megabytes(self.limit_bytes)}")
                if self.ratio_bytes < 0:
                    raise self.refuse(f"with {name!r} it unpacks to more than {MOST_RATIO} times its size")
            yield chunk

    def count(self, is_folder: bool) -> None:
        """Count a member, be it data or not. A folder is not made: the files in it imply it."""
        self.left_members -= 1
        self.folders += is_folder
        if self.left_members < 0:
            raise self.refuse(f"more than {self.limit_members} members")
        if self.folders > MOST_FOLDERS:
            raise self.refuse(f"more than {MOST_FOLDERS} folders")


def name_problem(name: str) -> str:
    """Why a member may not have this name, or ""."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in name:
        return f"{name[:200]!r} would land outside its folder"
    if any("\ud800" <= character <= "\udfff" for character in name):
        return f"{name[:200]!r} is not a name in UTF-8"
    if any(unicodedata.category(character) in INVISIBLE for character in name):
        return f"{name[:200]!r} has invisible characters"
    lengths = [len(part.encode()) for part in path.parts]
    if max(lengths) > MOST_NAME_BYTES or sum(lengths) > MOST_PATH_BYTES:
        return f"{name[:40]!r}... is too long a name"
    return ""


def _safe(archive: Path, name: str) -> PurePosixPath:
    problem = name_problem(name)
    if problem:
        raise UserError(f"{shown(archive)} is refused: {problem}")
    return PurePosixPath(name)


def _move(source: Path, folder: Path) -> None:
    """Move what is below `source` to its place below `folder`, beside what is there."""
    with os.scandir(source) as entries:
        for entry in entries:
            final = folder / entry.name
            if entry.is_dir() and final.is_dir():
                _move(Path(entry.path), final)
            else:
                os.replace(entry.path, final)


def _members(archive: Path, budget: _Budget) -> Iterator[tuple[str, Any]]:
    """The files of data in the archive, in order, each with its stream."""
    if zipfile.is_zipfile(archive):
        with open_zip(archive) as packed:
            for entry in _zip_infos(archive, packed, budget):
                with packed.open(entry) as content:
                    yield entry.filename, content
    elif archive.suffix == ".gz" and not archive.name.endswith(".tar.gz"):
        with gzip.open(str(archive), "rb") as content:
            yield str(_safe(archive, archive.stem)), content
    else:
        for info, stream in tar_members(archive):
            budget.count(info.isdir())
            path = _safe(archive, info.name)
            if info.isreg() and is_data(path):
                yield info.name, stream
            elif info.isreg():
                budget.clutter.append(info.name)
                for _ in budget.counted(stream, info.name):
                    pass


def _unpack_zip(archive: Path, folder: Path, budget: _Budget) -> None:
    """All members of a zip, on all cores: each is compressed by itself, and zlib lets other threads run.

    Every thread opens the archive for itself: before Python 3.11.4 threads that share a ZipFile mix up their positions.
    """
    with open_zip(archive) as packed:
        jobs = [(info, budget.place(folder, info.filename)) for info in _zip_infos(archive, packed, budget)]
    left = iter(jobs)
    stopped = threading.Event()

    def unpack_some(_: int) -> None:
        with open_zip(archive) as packed:
            while not stopped.is_set():
                with taking:
                    info, target = next(left, (None, None))
                if info is None or target is None:
                    return
                try:
                    with packed.open(info) as stream:
                        budget.write(stream, info.filename, target)
                except BaseException:
                    stopped.set()
                    raise

    taking = threading.Lock()
    with ThreadPoolExecutor() as pool:
        list(pool.map(unpack_some, range(os.cpu_count() or 1)))


class _Directory(io.BufferedReader):
    """A file of which no more is read at once than the directory of a zip may have."""

    def read(self, count: int | None = -1) -> bytes:
        if count is not None and count > MOST_DIRECTORY_BYTES:
            raise UserError(f"{shown(Path(str(self.name)))} is refused: more than {MOST_MEMBERS} members")
        return super().read(count)


@contextmanager
def open_zip(archive: Path) -> Iterator[zipfile.ZipFile]:
    """Within the block, the zip, whose directory takes no more memory than that of a data set."""
    with _Directory(io.FileIO(str(archive))) as stream, zipfile.ZipFile(stream) as packed:
        yield packed


def member_chunks(packed: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    """What one member holds. Raises KeyError where there is none of that name, UserError for a bomb."""
    left = MOST_RATIO * packed.getinfo(name).compress_size + CHUNK_BYTES
    with packed.open(name) as stream:
        for chunk in iter(lambda: stream.read(CHUNK_BYTES), b""):
            left -= len(chunk)
            if left < 0:
                archive = shown(Path(str(packed.filename)))
                raise UserError(f"{archive} is refused: {name!r} unpacks to more than {MOST_RATIO} times its size")
            yield chunk


def _zip_infos(archive: Path, packed: zipfile.ZipFile, budget: _Budget) -> Iterator[zipfile.ZipInfo]:
    for info in packed.infolist():
        mode = info.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UserError(f"{shown(archive)} is refused: {info.filename!r} is a link or a device")
        if info.flag_bits & 1:
            raise UserError(f"{shown(archive)} is refused: {info.filename!r} has a password")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
            raise UserError(f"{shown(archive)} is refused: {info.filename!r} is packed in a way that is not read here")
        budget.count(info.is_dir())
        path = _safe(archive, info.filename)
        if not info.is_dir() and is_data(path):
            yield info
        elif not info.is_dir():
            budget.clutter.append(info.filename)


def tar_members(archive: Path) -> Iterator[tuple[tarfile.TarInfo, Any]]:
    """Each file and folder of a tar (plain, gz, bz2, xz), in order, with the stream of its content (None: a folder).

    Raises UserError for links, devices and headers that are larger than any needs; otherwise what tarfile raises.
    """
    with _unpacked(archive) as plain:
        headers = _Headers(archive, plain)
        with tarfile.open(fileobj=headers, mode="r|", tarinfo=_Header) as packed:  # type: ignore[call-overload]
            for info in iter(packed.next, None):
                packed.members.clear()  # tarfile would remember them all
                if not (info.isreg() or info.isdir()) or info.issparse():
                    raise UserError(f"{shown(archive)} is refused: {info.name[:200]!r} is a link or a device")
                if info.isdir() and not PurePosixPath(info.name).parts:
                    continue  # "." itself, with which `tar c .` begins
                headers.left_bytes = (max(info.size, 0) if info.isreg() else 0) + MOST_HEADER_BYTES
                yield info, packed.extractfile(info)


class _Header(tarfile.TarInfo):
    """A header that is damaged, or is not there, is none at which a tar may end: tarfile would say nothing."""

    @classmethod
    def fromtarfile(cls, packed: tarfile.TarFile) -> Any:
        try:
            return super().fromtarfile(packed)
        except tarfile.HeaderError as error:
            if type(error).__name__ == "EOFHeaderError":  # the empty blocks with which it ends
                raise
            raise tarfile.ReadError(f"a header is damaged or missing: {error}") from None


def _unpacked(archive: Path) -> Any:
    """The tar itself, as a stream."""
    with archive.open("rb") as stream:
        begin = stream.read(6)
    if begin[:2] == b"\x1f\x8b":
        return gzip.open(str(archive), "rb")
    if begin[:3] == b"BZh":
        return bz2.open(str(archive), "rb")
    return io.BufferedReader(_Unxz(archive)) if begin == b"\xfd7zXZ\0" else archive.open("rb")


class _Headers:
    """A tar as tarfile reads it, which ends where more is read between two members than their headers can be."""

    def __init__(self, archive: Path, stream: Any) -> None:
        self.archive, self.stream, self.left_bytes = archive, stream, MOST_HEADER_BYTES
        self.all_bytes = 2 * MOST_RATIO * archive.stat().st_size + MOST_HEADER_BYTES  # headers and content together

    def read(self, count: int) -> bytes:
        self.left_bytes -= count
        self.all_bytes -= count
        if self.all_bytes < 0:
            raise UserError(f"{shown(self.archive)} is refused: it unpacks to more than {MOST_RATIO} times its size")
        if self.left_bytes < 0:
            raise UserError(f"{shown(self.archive)} is refused: the name or the header of a member does not end")
        content: bytes = self.stream.read(count)
        return content


class _Unxz(io.RawIOBase):
    """What an xz file holds; unlike lzma's own it takes no more memory than we grant."""

    def __init__(self, archive: Path) -> None:
        super().__init__()
        self.packed = archive.open("rb")
        self.unpacker = self._new()

    @staticmethod
    def _new() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MOST_DICTIONARY_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            if self.unpacker.eof:  # another stream may follow, after zeros
                rest = (self.unpacker.unused_data or self.packed.read(CHUNK_BYTES)).lstrip(b"\0")
                if not rest:
                    return 0
                self.unpacker = self._new()
            else:
                rest = self.packed.read(CHUNK_BYTES) if self.unpacker.needs_input else b""
                if not rest and self.unpacker.needs_input:
                    raise EOFError("it ends early")
            content = self.unpacker.decompress(rest, len(buffer))
            if content:
                buffer[: len(content)] = content
                return len(content)

    def close(self) -> None:
        self.packed.close()
        super().close()

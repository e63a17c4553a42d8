"""Files that appear whole or not at all, one writer at a time, and plain words for a disk that refuses."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shlex
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Callable, Iterator

from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.base.paths import ROOT, data_dir, runs_dir, shown

REFUSALS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "you have no permission",
    errno.EPERM: "you have no permission",
    errno.ENOENT: "there is no such place",
    errno.ENOTDIR: "a file is in the way where a folder should be",
    errno.EEXIST: "a file is in the way where a folder should be",
    errno.EISDIR: "a folder is in the way where a file should be",
    errno.ENAMETOOLONG: "a name is too long",
    errno.ELOOP: "links go round in a circle",
    errno.EIO: "the disk reports an input/output error",
    errno.EFBIG: "a file becomes larger than the disk, or ulimit -f, allows",
    errno.ESTALE: "the network disk has lost it",
}


# What may as well be a defect of ours, where nobody says that a block is about files of the user's.
OURS_TOO = (errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR)
OF_THE_TARGET = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # never of a file that is only read
FULL_BYTES = 1 << 20


@contextmanager
def writing(folder: Path | None = None, next_command: str = "") -> Iterator[None]:
    """Within the block, an OSError in which the disk refuses becomes a UserError of one sentence.

    The one around every task has no `folder`: there only what no program can be to blame for is taken so.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in REFUSALS or (folder is None and error.errno in OURS_TOO):
            raise
        # A copy has two names, and it is not its source that is full.
        named = error.filename2 if error.errno in OF_THE_TARGET and error.filename2 else error.filename
        where = Path(os.fsdecode(named)) if isinstance(named, (str, bytes)) else folder or _full(error.errno)
        problem = f"cannot use {shown(where)}: {REFUSALS[error.errno]}" if where else REFUSALS[error.errno]
        raise UserError(problem, next_command or (_elsewhere(where) if where else "df -h")) from None


def _full(why: int | None) -> Path | None:
    """The folder of ours in which there is no room, where that is why and nobody says which."""
    ours = (runs_dir(), data_dir(), ROOT, Path(tempfile.gettempdir())) if why == errno.ENOSPC else ()
    return next((folder for folder in ours if folder.exists() and shutil.disk_usage(folder).free < FULL_BYTES), None)


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file `path` for the block; a second process says that it waits, and waits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:  # never removed: a lock file that comes and goes can be held twice
        lock = fcntl.flock
        try:
            lock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _wait(handle, what, lock)
        except OSError:  # some network disks know only the other kind
            lock = fcntl.lockf
            try:
                lock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                _wait(handle, what, lock)
            except OSError as error:
                why = f"cannot lock {shown(path)} ({error.strerror}), and two processes must not change {what} at once"
                raise UserError(why, _elsewhere(path)) from None
        yield


def _elsewhere(path: Path) -> str:
    """What to type so that a file of ours comes to lie on another disk."""
    for name, folder in (("data", data_dir()), ("runs", runs_dir())):
        if folder == path or folder in path.parents:
            return f"./inv config set {name} /a/folder/on/another/disk"
    if path == ROOT or ROOT in path.parents:
        return f"copy {shlex.quote(str(ROOT))} to a disk where you may write"
    return f"ls -ld {shlex.quote(str(path.parent))}; df -h {shlex.quote(str(path.parent))}"


def _wait(handle: Any, what: str, lock: Callable[[Any, int], None]) -> None:
    say(f"another process is working on {what}; waiting for it")
    lock(handle, fcntl.LOCK_EX)


def require_space(folder: Path, size_bytes: int) -> None:
    """Raise a UserError when the disk of `folder` (which exists) has not `size_bytes` free."""
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < size_bytes:
        raise UserError(
            f"{megabytes(size_bytes)} are needed in {shown(folder)} and {megabytes(free_bytes)} are free",
            "./inv config set data /a/folder/with/space",
        )


def megabytes(size_bytes: int) -> str:
    """`size_bytes` for a reader: "170.5 MB" (10**6 bytes), in kB below one and GB above a thousand."""
    for unit, unit_bytes in (("GB", 10**9), ("MB", 10**6)):
        if size_bytes >= unit_bytes:
            return f"{size_bytes / unit_bytes:.1f} {unit}"
    return f"{size_bytes / 1000:.1f} kB"


def digest(path: Path, algorithm: str) -> str:
    """The hex digest of the file, by a name that hashlib knows ("sha256", "md5")."""
    total = hashlib.new(algorithm)
    with path.open("rb") as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            total.update(chunk)
    return total.hexdigest()


def link(source: Path, target: Path) -> None:
    """Have the bytes of `source` at `target` as well, without a copy where the disk can do that."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        try:
            os.link(str(source), str(target))
        except OSError:
            shutil.copyfile(str(source), str(target))


def made(folder: Path) -> Path:
    """`folder`, which is there now."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_json(path: Path, content: Any) -> None:
    """As `write_text`, for a reader too."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write the file so that a reader sees the old content or all of the new one, also after a power cut."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """As `write_text`."""
    with replacing(path) as stream:
        stream.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A stream whose content becomes the file `path` when the block is over.

    What lies in the way under the temporary name is removed and never followed: in a folder that others can write to
    it may be a link to a file of the user's.
    """
    new = path.with_name(path.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    try:
        with os.fdopen(os.open(str(new), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(str(new), str(path))
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink()
        raise

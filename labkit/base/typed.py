"""Records: files that say what they hold. Each is of one type, has a `format` number, one way in and one way out.

Whoever reads a record does not trust it: anybody may have written it, a disk may have broken it, and a newer torch-labs
may have meant something else by it. So what does not fit its type is left out as if it were not there, and one line
names the file. Keys that a type does not know are passed over, since a newer version may have added them.
"""

# The types are looked at while the program runs, also by Python 3.8: hence Dict and Optional, and no `annotations`.

import functools
import json
import sys
from pathlib import Path
from typing import Any, Optional, Type, TypeVar

import msgspec

from labkit.base import files, tomlfile
from labkit.base.console import warn
from labkit.base.paths import shown

if sys.version_info >= (3, 9):
    from typing import Annotated  # novermin
else:
    from typing_extensions import Annotated

MOST_BYTES = 64 << 20  # of a record
MOST_VALUES = 2_000_000  # in a record: three bytes there can be eighty in memory; that of the whole of COCO has half
MOST_WHOLE = 2**62  # larger whole numbers count nothing that is in a record, and overflow where one computes with them


def said(english: str, chinese: str) -> msgspec.Meta:
    """What a field means, for docs/RUN_FOLDER.md: `lab: Annotated[str, said("the lab", "实验")]`."""
    return msgspec.Meta(description=english, extra={"zh": chinese})


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What all records have. A type that comes to mean something else gets the next number as its default."""

    format: Annotated[int, said("version of this record; 1 where it is missing", "此记录的版本；缺失时为 1")] = 1


Kind = TypeVar("Kind", bound=Record)


def read(path: Path, kind: Type[Kind], most_bytes: int = MOST_BYTES) -> Optional[Kind]:
    """The record in the file `path`; None where there is no file, or none that can be used, which one line says."""
    try:
        content = read_bytes(path, most_bytes)
        if sum(map(content.count, (b"[", b"{", b","))) > MOST_VALUES:
            raise ValueError(f"it holds more than {MOST_VALUES:,} values")
        return taken(json.loads(content.decode("utf-8")), kind)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        leave_out(path, error)
        return None


def write(path: Path, record: Record) -> None:
    """Write the record to `path`, whole or not at all."""
    content = builtins(record)
    files.write_json(path, {"format": content.pop("format"), **content})


def builtins(record: Record) -> Any:
    """The record as dicts, lists, text and numbers."""
    return msgspec.to_builtins(record)


def from_toml(path: Path, kind: Type[Kind], below: Optional[Path] = None, **more: Any) -> Kind:
    """The record that people wrote in `path`, with fields that are not in it; its paths are `below` that folder.

    It is part of the program and not a user's: so it raises ValueError, which names the file, where something is wrong.
    """
    content = tomlfile.load(path)
    try:
        return taken({**content, **more}, kind, below)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def taken(content: Any, kind: Type[Kind], below: Optional[Path] = None) -> Kind:
    """The record that `content`, as JSON or TOML gave it, is. Raises ValueError that says what is wrong with it."""
    _check_values(content)
    newest = _newest(kind)
    written = content.get("format") if isinstance(content, dict) else None
    if isinstance(written, int) and written > newest:
        raise ValueError(f"it was written by a newer torch-labs, in format {written}; this one knows {newest}")
    try:
        return msgspec.convert(content, kind, dec_hook=lambda _, name: (below or Path()) / name)
    except msgspec.ValidationError as error:  # before msgspec 0.19 it was no ValueError
        raise ValueError(str(error)) from None


@functools.lru_cache(maxsize=None)
def _newest(kind: Type[Record]) -> int:
    """The number of the format in which records of this type are written."""
    return next(int(field.default) for field in msgspec.structs.fields(kind) if field.name == "format")


def read_bytes(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """The content of the file `path`. Raises OSError where it cannot be read, ValueError where it is too large."""
    with path.open("rb") as stream:
        content = stream.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"it is larger than {files.megabytes(most_bytes)}")
    return content


def leave_out(path: Path, why: object) -> None:
    """Say, once for each reason, that what is in the file `path` is not used."""
    _warn_once(f"{shown(path)} is left out: {why}")


@functools.lru_cache(maxsize=1000)
def _warn_once(message: str) -> None:
    warn(message)


def _check_values(content: Any) -> None:
    """Raises ValueError for halves of characters, which no file nor terminal takes, and for endless whole numbers."""
    values = [content]
    for value in values:  # which grows meanwhile; a list of thousands of runs reads millions of values
        if isinstance(value, str):
            if not value.isascii():
                value.encode("utf-8")
        elif isinstance(value, dict):
            values += value
            values += value.values()
        elif isinstance(value, list):
            values += value
        elif isinstance(value, int) and abs(value) > MOST_WHOLE:
            raise ValueError("a whole number in it is too large")

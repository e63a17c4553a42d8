"""What is known of each data set: `datasets/<name>/dataset.toml`, read and checked."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.base.errors import UserError, nearest
from labkit.base.paths import ROOT
from labkit.base.tomlfile import load

REGISTRY = ROOT / "datasets"
HASH_DIGITS = {"sha256": 64, "sha1": 40, "md5": 32}


@dataclass(frozen=True)
class File:
    """A published file: where it lies below the data folder, how it is known, where it is found."""

    name: str
    folder: str  # below data/<name>/; "" is that folder itself; what is unpacked lands there too
    part: str  # what one asks for to get this file ("" is in every part)
    size_bytes: int  # 0 where it is not known
    hashes: tuple[tuple[str, str], ...]  # (algorithm, digits), the strongest first; an md5 may be its first digits only
    urls: tuple[str, ...]  # byte-identical, in the order in which they are tried
    package: str  # "name==version" where the package index has it, "" elsewhere
    unpack: bool
    unpacked_bytes: int  # what unpacking may come to at most; 0: only Dataset.unpacked_bytes says
    keep: bool  # whether the archive stays after it has been unpacked
    layout: tuple[tuple[str, int], ...]  # as Dataset.layout, of this file alone

    @property
    def path(self) -> str:
        """Where it lies, relative to data/<name>/."""
        return f"{self.folder}/{self.name}" if self.folder else self.name


@dataclass(frozen=True)
class Wanted:
    """Which parts of a data set, and of its pictures perhaps only some."""

    parts: tuple[str, ...] = ()
    subset: int = 0  # this many pictures, fetched one by one; 0: all, in archives
    categories: tuple[str, ...] = ()  # pictures that show any of these; () for any picture

    def __str__(self) -> str:
        few = [f"{self.subset} pictures"] if self.subset else []
        return ", ".join([*few, *self.parts]) + f" with {' or '.join(self.categories)}" * bool(self.categories)


@dataclass(frozen=True)
class Dataset:
    """One dataset.toml."""

    name: str
    title: str
    title_zh: str
    homepage: str
    citation: str
    licence: str
    redistribute: bool
    unpacked_bytes: int  # what unpacking may come to at most; a bomb stops here
    files: tuple[File, ...]
    layout: dict[str, int]  # glob below data/<name>/ -> how many files fit it, 0 for "some"
    md5: dict[str, str]  # path below data/<name>/ -> published md5 of an unpacked file
    splits: dict[str, int]  # split -> number of examples of the real set
    shape: tuple[int, ...]  # of one picture as stored; () where pictures differ or there are none
    mean: tuple[float, ...]  # per channel, of the training pictures scaled to 0..1; () where nobody states it
    std: tuple[float, ...]
    default: tuple[str, ...]  # the parts that are fetched when none is asked for; () where there are no parts
    subset: int  # fetch this many pictures one by one unless more is asked for; 0 where that is not possible
    picture_urls: tuple[str, ...]  # folders of single pictures, in the order in which they are tried

    @property
    def folder(self) -> Path:
        """Where its dataset.toml, README and sample.py are."""
        return REGISTRY / self.name

    @property
    def parts(self) -> list[str]:
        """What can be asked for one by one, in order."""
        return list(dict.fromkeys(file.part for file in self.files if file.part))

    def members(self) -> dict[str, str]:
        """Path below data/<name>/ -> sha256, of every unpacked file, where such a list exists (members.sha256.gz)."""
        path = self.folder / "members.sha256.gz"
        if not path.exists():
            return {}
        with gzip.open(str(path), "rt", encoding="utf-8") as stream:
            lines = stream.read().splitlines()
        return {member: sha256 for sha256, member in (line.split("  ", 1) for line in lines)}


def names() -> list[str]:
    """The names of all data sets, sorted."""
    return sorted(path.parent.name for path in REGISTRY.glob("*/dataset.toml"))


def find(name: str) -> Dataset:
    """The data set of that name. UserError with the nearest name if there is none, ValueError if its file is wrong."""
    if name not in names():
        raise UserError(f"no data set is called {name!r}; {nearest(name, names())}", "./inv datasets")
    return _parse(name, _Table(REGISTRY / name / "dataset.toml"))


class _Table:
    """A table of dataset.toml that names the file and the key in what it complains of."""

    def __init__(self, path: Path, values: dict[str, Any] | None = None, where: str = "") -> None:
        self.path, self.where = path, where
        self.values = dict(load(path) if values is None else values)

    def wrong(self, key: str, problem: str) -> ValueError:
        return ValueError(f"{self.path}: {self.where}{key} {problem}")

    def take(self, key: str, kind: Any, default: Any = None) -> Any:
        value = self.values.pop(key, default)
        if not isinstance(value, kind) or (kind is int and (isinstance(value, bool) or value < 0)):
            raise self.wrong(key, f"must be of type {kind.__name__}" if value is not None else "is missing")
        return value

    def mapping(self, key: str, kind: Any) -> dict[str, Any]:
        table = _Table(self.path, self.take(key, dict, {}), f"[{key}] ")
        return {name: table.take(name, kind) for name in list(table.values)}

    def end(self) -> None:
        for key in self.values:
            raise self.wrong(key, "is not known")


def _parse(name: str, table: _Table) -> Dataset:
    tables = [_Table(table.path, values, f"[[file]] {number}: ") for number, values in
              enumerate(table.take("file", list), start=1)]  # fmt: skip
    dataset = Dataset(
        name=name,
        title=table.take("title", str),
        title_zh=table.take("title_zh", str),
        homepage=table.take("homepage", str),
        citation=table.take("citation", str),
        licence=table.take("licence", str),
        redistribute=table.take("redistribute", bool),
        unpacked_bytes=table.take("unpacked_bytes", int),
        files=tuple(_parse_file(each) for each in tables),
        layout=table.mapping("layout", int),
        md5=table.mapping("md5", str),
        splits=table.mapping("splits", int),
        shape=tuple(table.take("shape", list, [])),
        mean=tuple(table.take("mean", list, [])),
        std=tuple(table.take("std", list, [])),
        default=tuple(table.take("default", list, [])),
        subset=table.take("subset", int, 0),
        picture_urls=tuple(table.take("picture_urls", list, [])),
    )
    table.end()
    if not dataset.files or not (dataset.layout or all(file.layout for file in dataset.files)):
        raise table.wrong("[[file]] and [layout]", "must not be empty")
    if set(dataset.default) - set(dataset.parts) or bool(dataset.default) != bool(dataset.parts):
        raise table.wrong("default", f"must be some of the parts {', '.join(dataset.parts)}")
    layouts = [*dataset.layout, *(pattern for file in dataset.files for pattern, _ in file.layout)]
    for path in [*layouts, *dataset.md5, *(file.path for file in dataset.files)]:
        if path.startswith("/") or ".." in path.split("/"):
            raise table.wrong(repr(path), "must stay below the data folder")
    for path, md5 in dataset.md5.items():
        _check_hex(table, f"[md5] {path!r}", md5, 32)
    return dataset


def _parse_file(table: _Table) -> File:
    hashes = {algorithm: table.take(algorithm, str, "") for algorithm in HASH_DIGITS}
    prefix = table.take("md5_prefix", str, "")
    no_hash = table.take("no_hash", bool, False)
    file = File(
        name=table.take("name", str),
        folder=table.take("folder", str, ""),
        part=table.take("part", str, ""),
        size_bytes=table.take("size_bytes", int, 0),
        hashes=(*((kind, value) for kind, value in hashes.items() if value), *([("md5", prefix)] if prefix else [])),
        urls=tuple(table.take("urls", list, [])),
        package=table.take("package", str, ""),
        unpack=table.take("unpack", bool),
        unpacked_bytes=table.take("unpacked_bytes", int, 0),
        keep=table.take("keep", bool, True),
        layout=tuple(table.mapping("layout", int).items()),
    )
    table.end()
    if bool(file.hashes) == no_hash:
        raise table.wrong("sha256", "or sha1 or md5 must be given, or no_hash = true where none was ever published")
    for algorithm, value in hashes.items():
        _check_hex(table, algorithm, value, HASH_DIGITS[algorithm])
    _check_hex(table, "md5_prefix", prefix, len(prefix))
    if not (file.urls or file.package) or not all(str(url).startswith(("http://", "https://")) for url in file.urls):
        raise table.wrong("urls", "must be http:// or https:// addresses")
    if not file.name or "/" in file.name:
        raise table.wrong("name", "must be a plain file name")
    return file


def _check_hex(table: _Table, key: str, value: str, length: int) -> None:
    if value and (len(value) != length or set(value) - set("0123456789abcdef")):
        raise table.wrong(key, f"must be {length} lower-case hexadecimal digits")

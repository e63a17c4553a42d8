"""The data sets: what is known of each, and the one way in which its files arrive in the data folder.

`data/<name>/` is there, whole and recorded in `.state.json`, or it is not there: everything is put together in a hidden
folder beside it, checked, and renamed into place. Samples live in `data/<name>-sample/` in the same layout.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, NamedTuple, Sequence
from urllib.parse import quote, urlsplit

from labkit import archives, download
from labkit.console import say
from labkit.download import Unreachable as Unreachable
from labkit.errors import UserError, nearest
from labkit.files import digest, locked, megabytes, require_space, write_text, writing
from labkit.paths import ROOT, data_dir, shown
from labkit.tomlfile import load

REGISTRY = ROOT / "datasets"
STATE_FILE = ".state.json"


# --- what is known of each data set: datasets/<name>/dataset.toml -----------------------------------------------------


@dataclass(frozen=True)
class File:
    """A published file: where it lies below the data folder, how it is known, where it is found."""

    name: str
    folder: str  # below data/<name>/; "" is that folder itself; what is unpacked lands there too
    size_bytes: int
    sha256: str
    md5: str
    urls: tuple[str, ...]  # byte-identical, in the order in which they are tried
    unpack: bool

    @property
    def path(self) -> str:
        """Where it lies, relative to data/<name>/."""
        return f"{self.folder}/{self.name}" if self.folder else self.name


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
    layout: dict[str, int]  # glob below data/<name>/ -> how many files fit it
    md5: dict[str, str]  # path below data/<name>/ -> published md5 of an unpacked file
    splits: dict[str, int]  # split -> number of examples of the real set
    shape: tuple[int, ...]  # of one picture as stored
    mean: tuple[float, ...]  # per channel, of the training pictures scaled to 0..1
    std: tuple[float, ...]

    @property
    def folder(self) -> Path:
        """Where its dataset.toml, README and sample.py are."""
        return REGISTRY / self.name


def names() -> list[str]:
    """The names of all data sets, sorted."""
    return sorted(path.parent.name for path in REGISTRY.glob("*/dataset.toml"))


def find(name: str) -> Dataset:
    """The data set of that name. UserError with the nearest name if there is none, ValueError if its file is wrong."""
    if name not in names():
        raise UserError(f"no data set is called {name!r}; {nearest(name, names())}", "invoke datasets")
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
        shape=tuple(table.take("shape", list)),
        mean=tuple(table.take("mean", list)),
        std=tuple(table.take("std", list)),
    )
    table.end()
    if not dataset.files or not dataset.layout:
        raise table.wrong("[[file]] and [layout]", "must not be empty")
    for path in [*dataset.layout, *dataset.md5, *(file.path for file in dataset.files)]:
        if path.startswith("/") or ".." in path.split("/"):
            raise table.wrong(repr(path), "must stay below the data folder")
    for path, md5 in dataset.md5.items():
        _check_hex(table, f"[md5] {path!r}", md5, 32)
    return dataset


def _parse_file(table: _Table) -> File:
    file = File(
        name=table.take("name", str),
        folder=table.take("folder", str, ""),
        size_bytes=table.take("size_bytes", int),
        sha256=table.take("sha256", str, ""),
        md5=table.take("md5", str, ""),
        urls=tuple(table.take("urls", list)),
        unpack=table.take("unpack", bool),
    )
    table.end()
    if not file.sha256 and not file.md5:
        raise table.wrong("sha256", "or md5 must be given")
    _check_hex(table, "sha256", file.sha256, 64)
    _check_hex(table, "md5", file.md5, 32)
    if not file.urls or not all(str(url).startswith(("http://", "https://")) for url in file.urls):
        raise table.wrong("urls", "must be http:// or https:// addresses")
    if not file.name or "/" in file.name:
        raise table.wrong("name", "must be a plain file name")
    return file


def _check_hex(table: _Table, key: str, value: str, length: int) -> None:
    if value and (len(value) != length or set(value) - set("0123456789abcdef")):
        raise table.wrong(key, f"must be {length} lower-case hexadecimal digits")


# --- what is in the data folder ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class State:
    """What the data folder holds of one data set."""

    name: str
    kind: str  # "absent", "verified" (it is what was published), "unverified" (the user vouches for it), "sample"
    path: Path  # the folder to read, also when absent
    size_bytes: int = 0
    source: str = ""  # host, or the path it was imported from, or what made the sample
    when: str = ""  # UTC, ISO 8601

    def __str__(self) -> str:
        if self.kind == "absent":
            return f"{self.name}: absent"
        made = f"{megabytes(self.size_bytes)} in {shown(self.path)}, from {self.source}, {self.when}"
        return f"{self.name}: {self.kind} ({made})"


class Row(NamedTuple):
    """One line of `invoke datasets`."""

    name: str
    title: str
    state: str
    size: str
    licence: str


def state(name: str) -> State:
    """What is there of the real data; quick: it reads the record and counts files, and hashes nothing."""
    return _read(find(name), data_dir() / name)


def table() -> list[Row]:
    """A row for each data set; where it is absent, `size` is what the download would be."""
    rows = []
    for dataset in map(find, names()):
        there = state(dataset.name)
        size_bytes = there.size_bytes or sum(file.size_bytes for file in dataset.files)
        rows.append(Row(dataset.name, dataset.title, there.kind, megabytes(size_bytes), dataset.licence))
    return rows


def _record(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / STATE_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _read(dataset: Dataset, folder: Path) -> State:
    record = _record(folder)
    if not record or _layout_problem(dataset, folder):
        return State(dataset.name, "absent", folder)
    size_bytes = sum(entry["size_bytes"] for entry in record["files"].values())
    return State(dataset.name, record["kind"], folder, size_bytes, record["source"], record["when"])


def _layout_problem(dataset: Dataset, folder: Path) -> str:
    """How the files below `folder` differ from the layout, or ""."""
    for pattern, count in dataset.layout.items():
        found = sum(path.is_file() for path in folder.glob(pattern))
        if found != count:
            return f"{found} of {count} files {pattern} are there"
    return ""


# --- how data get in --------------------------------------------------------------------------------------------------


def ensure(name: str, mirrors: Sequence[str] = ()) -> State:
    """The real data, downloaded, verified and unpacked unless they are there already, verified or not.

    `mirrors` and then `$LAB_MIRROR` come before the published addresses: each is the address of a folder that holds the
    files by name, or part of the host of a published address. Raises Unreachable when no address
    delivers; what has arrived is kept for the next attempt.
    """
    dataset, folder = find(name), data_dir() / name
    there = state(name)
    if there.kind != "absent":
        return there
    urls = {file: _urls(file, mirrors) for file in dataset.files}
    with _alone(dataset):
        there = state(name)
        if there.kind != "absent":
            return there
        staging = data_dir() / f".{name}.download"
        staging.mkdir(exist_ok=True)
        missing_bytes = dataset.unpacked_bytes
        for file in dataset.files:
            target = staging / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            dropped_in = folder / file.path
            if dropped_in.is_file() and not _file_problem(file, dropped_in):
                dropped_in.replace(target)
            if not target.exists():
                missing_bytes += file.size_bytes
        require_space(staging, missing_bytes)
        sources = []
        for file in dataset.files:
            try:
                url = download.fetch(urls[file], staging / file.path, file.size_bytes, file.sha256, file.md5)
            except Unreachable as unreachable:
                unreachable.next_command = f"LAB_MIRROR=URL invoke data {name}, or invoke data {name} --import=PATH"
                raise
            sources.append(urlsplit(url).netloc or url or shown(folder))
        _unpack_files(dataset, staging)
        return _put_in_place(dataset, staging, folder, "verified", ", ".join(dict.fromkeys(sources)))


def import_(name: str, path: Path, unverified: bool = False) -> State:
    """Copy data that were carried in by hand: an archive, or a folder holding the published files or the unpacked ones.

    Accepted when they have the published hashes, of the files or else of their members. With `unverified`, data that
    merely fit the layout are accepted too, and are called unverified from then on. What was there before is replaced
    when all is well, and untouched when not.
    """
    dataset, path = find(name), Path(path).expanduser().absolute()
    if not path.exists():
        raise UserError(f"{shown(path)} does not exist", f"invoke data {name} --import=PATH")
    with _alone(dataset):
        staging = data_dir() / f".{name}.import"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        try:
            problem = _gather(dataset, path, staging)
            if problem and not unverified and not _layout_problem(dataset, staging):
                command = f"invoke data {name} --import={shlex.quote(shown(path))} --unverified"
                raise UserError(f"{shown(path)} is not {dataset.title} as published: {problem}", command)
            kind = "unverified" if problem else "verified"
            return _put_in_place(dataset, staging, data_dir() / name, kind, str(path))
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def verify(name: str) -> State:
    """Hash all files again. UserError naming the first that is not what it was when it came, or is gone."""
    dataset, folder = find(name), data_dir() / name
    record = _record(folder)
    if not record:
        raise UserError(f"{dataset.title} is not in {shown(data_dir())}", f"invoke data {name}")
    for relative, entry in record["files"].items():
        file = folder / relative
        got = digest(file, "sha256") if file.is_file() else "nothing"
        if got != entry["sha256"]:
            problem = f"sha256 expected {entry['sha256']}, got {got}"
            raise UserError(f"{shown(file)} has changed: {problem}", f"invoke data {name} --delete")
    if record["kind"] == "verified":
        problem = _members_problem(dataset, folder) if dataset.md5 else ""
        if problem:
            raise UserError(f"{shown(folder)} is not {dataset.title}: {problem}", f"invoke data {name} --delete")
    return state(name)


def delete(name: str) -> State:
    """Remove the real data, the sample and what a broken download has left."""
    dataset = find(name)
    with _alone(dataset):
        for folder in (name, f"{name}-sample", f".{name}.download", f".{name}.import"):
            if (data_dir() / folder).exists():
                shutil.rmtree(data_dir() / folder)
    return state(name)


def locate(name: str, sample: bool = False) -> State:
    """Where a lab reads: the real data, or the sample, which is made now if it is not there. Needs no network.

    Runs inside a stack, since making a sample takes NumPy. UserError when the real data are absent.
    """
    dataset = find(name)
    if not sample:
        there = state(name)
        if there.kind == "absent":
            raise UserError(f"{dataset.title} is not in {shown(data_dir())}", f"invoke data {name}")
        return there
    program = dataset.folder / "sample.py"
    drawn_by = digest(program, "sha256")[:8] + digest(ROOT / "labkit/shapes.py", "sha256")[:8]
    source = f"datasets/{name}/sample.py {drawn_by}"  # a program that has changed draws again
    folder = data_dir() / f"{name}-sample"
    there = _read(dataset, folder)
    if there.source == source:
        return there
    with _alone(dataset):
        there = _read(dataset, folder)
        if there.source != source:
            say(f"drawing the sample of {dataset.title}")
            staging = data_dir() / f".{name}.sample"
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir()
            _module(program).make(staging)
            there = _put_in_place(dataset, staging, folder, "sample", source)
    return there


def _module(program: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"sample_{program.parent.name}", program)
    if spec is None or spec.loader is None:
        raise ValueError(f"{program} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def _alone(dataset: Dataset) -> Iterator[None]:
    """One process at a time changes a data set; a swap that was cut off in the middle is undone first."""
    here = data_dir()
    with writing(here, "export LAB_DATA=/a/folder/of/yours"):
        here.mkdir(parents=True, exist_ok=True)
        with locked(here / f".{dataset.name}.lock", dataset.title):
            for folder in (here / dataset.name, here / f"{dataset.name}-sample"):
                former = _former(folder)
                if former.exists() and not folder.exists():
                    former.rename(folder)
            yield


def _former(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.former")


def _put_in_place(dataset: Dataset, staging: Path, folder: Path, kind: str, source: str) -> State:
    """Check the layout, record every file, and rename `staging` to `folder`."""
    problem = _layout_problem(dataset, staging)
    if problem:
        raise UserError(
            f"{source} does not hold {dataset.title}: {problem}", f"invoke data {dataset.name} --import=PATH"
        )
    files = {
        str(path.relative_to(staging)): {"size_bytes": path.stat().st_size, "sha256": digest(path, "sha256")}
        for path in sorted(staging.rglob("*"))
        if path.is_file() and path != staging / STATE_FILE
    }
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    record = {"kind": kind, "source": source, "when": when, "files": files}
    write_text(staging / STATE_FILE, json.dumps(record, indent=1))
    former = _former(folder)
    shutil.rmtree(former, ignore_errors=True)
    if folder.exists() and not _record(folder) and any(folder.iterdir()):
        aside = folder.with_name(f"{folder.name}-before-{when.replace(':', '')}")
        folder.rename(aside)
        say(f"{shown(folder)} was not made here: it is kept as {shown(aside)}")
    elif folder.exists():
        folder.rename(former)
    staging.rename(folder)
    shutil.rmtree(former, ignore_errors=True)
    return _read(dataset, folder)


def _urls(file: File, mirrors: Sequence[str]) -> list[str]:
    first = []
    for mirror in [*mirrors, os.environ.get("LAB_MIRROR", "")]:
        if mirror.startswith(("http://", "https://", "file://")):
            first.append(f"{mirror.rstrip('/')}/{quote(file.name)}")
        elif mirror:
            hosts = [urlsplit(url).netloc for url in file.urls]
            fitting = [url for url, host in zip(file.urls, hosts) if mirror in host]
            if not fitting:
                raise UserError(
                    f"the mirror {mirror!r} is neither an address (http://, https://, file://) "
                    f"nor part of one of the hosts {', '.join(hosts)}",
                    "LAB_MIRROR=file:///media/usb/ invoke data NAME",
                )
            first += fitting
    return list(dict.fromkeys([*first, *file.urls]))


def _file_problem(file: File, path: Path) -> str:
    return download.mismatch(path, file.size_bytes, file.sha256, file.md5)


def _unpack_files(dataset: Dataset, folder: Path) -> None:
    left_bytes = dataset.unpacked_bytes
    for file in dataset.files:
        if file.unpack:
            say(f"unpacking {file.name}")
            left_bytes -= archives.unpack(folder / file.path, folder / file.folder, left_bytes)


def _gather(dataset: Dataset, path: Path, staging: Path) -> str:
    """Copy what `path` holds into `staging` in the layout, and say how it differs from what was published, or ""."""
    published = _published_files(dataset, path)
    problems = {file: _file_problem(file, found) for file, found in published.items()}
    if len(published) == len(dataset.files) and not any(problems.values()):
        for file, found in published.items():
            (staging / file.folder).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found, staging / file.path)
        _unpack_files(dataset, staging)
        return ""

    unpacked = staging / ".unpacked"
    if path.is_file():
        say(f"unpacking {path.name}")
        archives.unpack(path, unpacked, dataset.unpacked_bytes)
    for relative, found in _members(dataset, unpacked if path.is_file() else path).items():
        (staging / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found, staging / relative)
    shutil.rmtree(unpacked, ignore_errors=True)
    if _layout_problem(dataset, staging):
        return next(filter(None, problems.values()), "") or _layout_problem(dataset, staging)
    if not dataset.md5:
        return "nothing was published that the unpacked files could be compared with"
    return _members_problem(dataset, staging)


def _published_files(dataset: Dataset, path: Path) -> dict[File, Path]:
    """The published files that `path` is or holds, by name; a single file may have any name."""
    if path.is_file():
        return {dataset.files[0]: path} if len(dataset.files) == 1 else {}
    places = {file: [path / file.path, path / file.name] for file in dataset.files}
    return {file: place for file, both in places.items() for place in reversed(both) if place.is_file()}


def _members(dataset: Dataset, folder: Path) -> dict[str, Path]:
    """The files in `folder` that fit the layout, which may start at any depth: path in the layout -> file found."""
    for depth in range(max(pattern.count("/") for pattern in dataset.layout) + 1):
        members = {}
        for pattern in dataset.layout:
            parts = pattern.split("/")
            for found in sorted(folder.glob("/".join(parts[depth:]) or "*")) if depth < len(parts) else []:
                if found.is_file():
                    members["/".join([*parts[:depth], str(found.relative_to(folder))])] = found
        if members:
            return members
    return {}


def _members_problem(dataset: Dataset, folder: Path) -> str:
    """The first unpacked file whose md5 is not the published one, or ""."""
    wrong = []
    for relative, expected in dataset.md5.items():
        got = digest(folder / relative, "md5") if (folder / relative).is_file() else "nothing"
        if got != expected:
            wrong.append(f"{relative}: md5 expected {expected}, got {got}")
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return wrong[0] + more if wrong else ""

"""The data sets: what is known of each, and the one way in which its files arrive in the data folder.

`data/<name>/` is there, whole and recorded in `.state.json`, or it is not there: everything is put together in a hidden
folder beside it, checked, and renamed into place. Samples live in `data/<name>-sample/` in the same layout.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, NamedTuple

from labkit.base import typed
from labkit.base.console import say, warn
from labkit.base.errors import UserError, nearest
from labkit.base.files import digest, locked, megabytes, writing
from labkit.base.paths import data_dir, shown
from labkit.data import coco, download, folders
from labkit.data.arrived import Arrived, First, Kind, Member
from labkit.data.registry import Dataset, File, Wanted, find, names, stays_below

STATE_FILE = ".state.json"
ANYTHING = Wanted()  # nothing in particular is asked for


# --- what is in the data folder ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class State:
    """What the data folder holds of one data set."""

    name: str
    kind: Kind
    path: Path  # the folder to read, also when absent
    size_bytes: int = 0
    source: str = ""  # host, or the path it was imported from, or what made the sample
    when: str = ""  # UTC, ISO 8601
    what: Wanted = ANYTHING

    def __str__(self) -> str:
        if self.kind == "absent":
            return f"{self.name}: absent"
        what = f"{self.what}, " if self.what.parts else ""
        made = f"{what}{megabytes(self.size_bytes)} in {shown(self.path)}, from {self.source}, {self.when}"
        return f"{self.name}: {self.kind} ({made})"


class Row(NamedTuple):
    """One line of `./inv datasets`."""

    name: str
    title: str
    state: str
    size: str
    licence: str


def state(name: str) -> State:
    """What is there of the real data; quick: it reads the record and counts files, and hashes nothing."""
    return read_state(find(name), data_dir() / name)


def table() -> list[Row]:
    """A row for each data set; where it is absent, `size` is what the download would be."""
    rows = []
    for name in names():
        try:
            dataset = find(name)
        except ValueError as error:
            warn(f"{error}; it is skipped")
            continue
        there = state(dataset.name)
        files = files_of(dataset, complete(dataset, ANYTHING))
        sizes = [there.size_bytes] if there.kind != "absent" else [file.size_bytes for file in files]
        size = f"{'' if all(sizes) else '> '}{megabytes(sum(sizes))}" if any(sizes) else "unknown"
        rows.append(Row(dataset.name, dataset.title, there.kind, size, dataset.licence))
    return rows


def read_record(folder: Path) -> Arrived | None:
    """What was written down when the data arrived in `folder`; None where there is nothing that can be used."""
    record = typed.read(folder / STATE_FILE, Arrived)
    outside = [path for path in [*record.files, *(record.layout or ())] if not stays_below(path)] if record else []
    if outside:
        typed.leave_out(folder / STATE_FILE, f"{outside[0]!r} is not below this folder")
    return None if outside else record


def read_state(dataset: Dataset, folder: Path) -> State:
    """As `state`, of the data or the sample in `folder`."""
    record = read_record(folder)
    if not record or layout_problem(dataset.layout if record.layout is None else record.layout, folder):
        return State(dataset.name, "absent", folder)
    size_bytes = sum(member.size_bytes for member in record.files.values())
    kind: Kind = "recorded" if record.kind == "verified" and not certain(dataset, record.what) else record.kind
    return State(dataset.name, kind, folder, size_bytes, record.source, record.when, record.what)


def layout(dataset: Dataset, what: Wanted) -> dict[str, int]:
    """What must be there of the parts wanted: glob -> count, 0 for "some"."""
    if what.subset:
        return coco.layout(what)
    layout = dict(dataset.layout)
    for file in files_of(dataset, what):
        layout.update(file.layout)
    return layout


def layout_problem(layout: dict[str, int], folder: Path) -> str:
    """How the files below `folder` differ from the layout, or ""."""
    for pattern, count in layout.items():
        try:
            found = len(folders.fitting(folder, pattern))
        except (OSError, ValueError):  # no pattern, or no name that a disk takes
            found = 0
        if found != count if count else not found:
            return f"{found} of {count or 'some'} files {pattern} are there"
    return ""


# --- how data get in --------------------------------------------------------------------------------------------------


def complete(dataset: Dataset, wanted: Wanted) -> Wanted:
    """What is wanted with the usual filled in for what was not said. UserError for what the data set does not have."""
    for part in wanted.parts:
        if part not in dataset.parts:
            hint = nearest(part, dataset.parts) if dataset.parts else "it has no parts"
            raise UserError(f"{dataset.title} has no part {part!r}; {hint}", f"./inv data {dataset.name}")
    if (wanted.subset or wanted.categories) and not dataset.subset:
        raise UserError(f"{dataset.title} comes as a whole only", f"./inv data {dataset.name}")
    if not dataset.subset:
        return Wanted(wanted.parts or dataset.default)
    return coco.complete(dataset, wanted)


def files_of(dataset: Dataset, wanted: Wanted) -> list[File]:
    """The published files that are fetched for what is wanted."""
    whole = [file for file in dataset.files if not file.part or file.part in wanted.parts]
    return [file for file in whole if file.part not in coco.SPLITS] if wanted.subset else whole


def recorded(name: str) -> dict[str, str]:
    """Path below data/<name>/ -> sha256, of everything that is there of the real data."""
    record = read_record(data_dir() / name)
    return {path: member.sha256 for path, member in record.files.items()} if record else {}


def verify(name: str) -> State:
    """Hash all files again. UserError naming the first that is not what it was when it came, or is gone."""
    dataset, folder = find(name), data_dir() / name
    record = read_record(folder)
    if not record:
        raise UserError(f"{dataset.title} is not in {shown(data_dir())}", f"./inv data {name}")
    for relative, member in record.files.items():
        file = folder / relative
        got = digest(file, "sha256") if os.path.isfile(file) else "nothing"
        if got != member.sha256:
            problem = f"sha256 expected {member.sha256}, got {got}"
            raise UserError(f"{shown(file)} has changed: {problem}", f"./inv data {name} --delete")
    for known in dataset.files:
        if record.kind != "unverified" and not known.certain and known.path in record.files:
            problem = file_problem(dataset, known, folder / known.path)
            if problem:
                where = shown(folder / known.path)
                raise UserError(f"{where} is not what came first: {problem}", f"./inv data {name} --delete")
    if record.kind == "verified":
        problem = members_problem(dataset, folder)
        if problem:
            raise UserError(f"{shown(folder)} is not {dataset.title}: {problem}", f"./inv data {name} --delete")
    return state(name)


def delete(name: str) -> State:
    """Remove the real data, the sample and what a broken download has left; how files came first stays known."""
    with alone(find(name)):
        for folder in traces(name):
            shutil.rmtree(folder)
    return state(name)


def traces(name: str) -> list[Path]:
    """The folders of the data set that exist: the data, the sample, what a broken download or swap has left."""
    folders = [data_dir() / name, data_dir() / f"{name}-sample"]
    folders += [*map(_former, folders), data_dir() / f".{name}.download", data_dir() / f".{name}.import"]
    return [folder for folder in folders if folder.exists()]


@contextmanager
def alone(dataset: Dataset, here: Path | None = None) -> Iterator[None]:
    """One process at a time changes a data set; a swap that was cut off in the middle is undone first."""
    here = here or data_dir()
    with writing(here, "./inv config set data /a/folder/of/yours"):
        here.mkdir(parents=True, exist_ok=True)
        with locked(here / f".{dataset.name}.lock", dataset.title):
            for folder in (here / dataset.name, here / f"{dataset.name}-sample"):
                former = _former(folder)
                if former.exists() and not folder.exists():
                    former.rename(folder)
            yield


def _former(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.former")


def put_in_place(dataset: Dataset, staging: Path, folder: Path, kind: Kind, source: str, what: Wanted) -> State:
    """Check the layout, record every file, and rename `staging` to `folder`."""
    came = record(dataset, staging, kind, source, what)
    with contextlib.ExitStack() as undo:
        swap(staging, folder, undo)
        undo.pop_all()
    return settle(dataset, folder, came)


def record(dataset: Dataset, staging: Path, kind: Kind, source: str, what: Wanted) -> Arrived:
    """Check the layout of what is in `staging`, and write down every file."""
    if kind == "verified" and not certain(dataset, what):
        kind = "recorded"
    wanted = layout(dataset, what)
    if kind == "sample":
        wanted = dict.fromkeys(wanted, 0)
    problem = layout_problem(wanted, staging)
    if problem:
        raise UserError(
            f"{source} does not hold {dataset.title}: {problem}", f"./inv data {dataset.name} --import=PATH"
        )
    files = {
        str(path.relative_to(staging)): Member(path.stat().st_size, digest(path, "sha256"))
        for path in folders.fitting(staging, "**/*")
    }
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    counts = {pattern: len(folders.fitting(staging, pattern)) for pattern in wanted}
    arrived = Arrived(kind, source, when, files, counts, what)
    typed.write(staging / STATE_FILE, arrived)
    return arrived


def swap(staging: Path, folder: Path, undo: contextlib.ExitStack) -> None:
    """Rename `staging` to `folder`; what was there is kept beside it, and `undo` knows the way back."""
    former = _former(folder)
    shutil.rmtree(former, ignore_errors=True)
    if folder.exists() and not read_record(folder) and any(folder.iterdir()):
        aside = folder.with_name(time.strftime(f"{folder.name}-before-%Y-%m-%dT%H%M%SZ", time.gmtime()))
        folder.rename(aside)
        undo.callback(aside.rename, folder)
        say(f"{shown(folder)} was not made by this program: it is kept as {shown(aside)}")
    elif folder.exists():
        folder.rename(former)
        undo.callback(former.rename, folder)
    staging.rename(folder)
    undo.callback(folder.rename, staging)


def settle(dataset: Dataset, folder: Path, arrived: Arrived) -> State:
    """Forget what was there before, and keep with which hash files came that have no published one."""
    shutil.rmtree(_former(folder), ignore_errors=True)
    if arrived.kind in ("verified", "recorded"):
        known = first(dataset)
        if known != first(dataset, kept_alone=True):
            typed.write(_first_path(dataset), First(files=known))
    return read_state(dataset, folder)


def certain(dataset: Dataset, what: Wanted) -> bool:
    """Whether hashes were published of all that is in these parts."""
    return not what.subset and all(file.certain for file in files_of(dataset, what))


def hashes(dataset: Dataset, file: File) -> download.Hashes:
    """What a file is compared with: its published hashes, or else the one with which it came first."""
    came = None if file.certain else first(dataset).get(file.path)
    return [("sha256", came), *file.hashes] if came else file.hashes


def first(dataset: Dataset, kept_alone: bool = False) -> dict[str, str]:
    """Path -> sha256 with which a file came first, of files without a published hash that have ever come."""
    kept = typed.read(_first_path(dataset), First) if _first_path(dataset).exists() else None
    record = None if kept_alone else read_record(data_dir() / dataset.name)
    there = record.files if record and record.kind in ("verified", "recorded") else {}
    came = {file.path: there[file.path].sha256 for file in dataset.files if not file.certain and file.path in there}
    return {**came, **(kept.files if kept else {})}


def _first_path(dataset: Dataset) -> Path:
    return data_dir() / f".{dataset.name}.first.json"


def file_problem(dataset: Dataset, file: File, path: Path) -> str:
    """How the published file at `path` differs from what is known of it, or ""."""
    return download.mismatch(path, file.size_bytes, hashes(dataset, file))


def members_problem(dataset: Dataset, folder: Path) -> str:
    """The first unpacked file whose hash is not the published one, or ""."""
    published = [(path, "md5", md5) for path, md5 in dataset.md5.items()]
    published += [(path, "sha256", sha256) for path, sha256 in dataset.members().items()]
    wrong = []
    for relative, algorithm, expected in published:
        got = digest(folder / relative, algorithm) if (folder / relative).is_file() else "nothing"
        if got != expected:
            wrong.append(f"{relative}: {algorithm} expected {expected}, got {got}")
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return wrong[0] + more if wrong else ""

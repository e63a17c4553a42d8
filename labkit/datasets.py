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
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Iterator, NamedTuple, Sequence
from urllib.parse import quote, urlsplit

from labkit import archives, coco, download, packages
from labkit.console import say
from labkit.download import Unreachable as Unreachable
from labkit.errors import UserError, nearest
from labkit.files import digest, link, locked, megabytes, require_space, write_text, writing
from labkit.paths import ROOT, data_dir, runs_dir, shown
from labkit.registry import Dataset, File, Wanted, find, names

STATE_FILE = ".state.json"
DRAWING = ("shapes.py", "scenes.py")  # what the samples are drawn with
ANYTHING = Wanted()  # nothing in particular is asked for
MAINLAND = (".cn", "bcebos.com", "aliyuncs.com", "myhuaweicloud.com")  # hosts that `--mirror cn` puts first


# --- what is in the data folder ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class State:
    """What the data folder holds of one data set."""

    name: str
    # "absent", "verified" (it is what was published), "recorded" (nobody published a hash: what came first counts),
    # "unverified" (the user vouches for it), "sample"
    kind: str
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
        files = _files(dataset, _complete(dataset, ANYTHING))
        sizes = [there.size_bytes] if there.kind != "absent" else [file.size_bytes for file in files]
        size = f"{'' if all(sizes) else '> '}{megabytes(sum(sizes))}" if any(sizes) else "unknown"
        rows.append(Row(dataset.name, dataset.title, there.kind, size, dataset.licence))
    return rows


def _record(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / STATE_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _read(dataset: Dataset, folder: Path) -> State:
    record = _record(folder)
    if not record or _layout_problem(record.get("layout", dataset.layout), folder):
        return State(dataset.name, "absent", folder)
    size_bytes = sum(entry["size_bytes"] for entry in record["files"].values())
    parts, subset, categories = record.get("what", ((), 0, ()))
    what = Wanted(tuple(parts), subset, tuple(categories))
    return State(dataset.name, record["kind"], folder, size_bytes, record["source"], record["when"], what)


def _layout(dataset: Dataset, what: Wanted) -> dict[str, int]:
    """What must be there of the parts wanted: glob -> count, 0 for "some"."""
    if what.subset:
        return coco.layout(what)
    layout = dict(dataset.layout)
    for file in _files(dataset, what):
        layout.update(file.layout)
    return layout


def _layout_problem(layout: dict[str, int], folder: Path) -> str:
    """How the files below `folder` differ from the layout, or ""."""
    for pattern, count in layout.items():
        found = sum(path.is_file() for path in folder.glob(pattern))
        if found != count and (count or not found):
            return f"{found} of {count or 'some'} files {pattern} are there"
    return ""


# --- how data get in --------------------------------------------------------------------------------------------------


def ensure(name: str, mirrors: Sequence[str] = (), wanted: Wanted = ANYTHING) -> State:
    """The real data, downloaded, verified and unpacked unless they are there already, verified or not.

    `wanted` names parts of the data set; without any, what is there will do, else the usual parts are fetched.
    `mirrors` and then `$LAB_MIRROR` come before the published addresses: each is "cn" (hosts in mainland China), the
    address of a folder that holds the files by name, or part of the host of a published address. Raises Unreachable
    when no address delivers; what has arrived is kept for the next attempt.
    """
    dataset, folder = find(name), data_dir() / name
    there = state(name)
    if _holds(there, wanted):
        return there
    wanted = _complete(dataset, wanted)
    urls = {file: _urls(dataset, file.name, file.urls, mirrors) for file in dataset.files}
    with _alone(dataset):
        there = state(name)
        if _holds(there, wanted):
            return there
        staging = data_dir() / f".{name}.download"
        staging.mkdir(exist_ok=True)
        # More parts come beside those that are there.
        if there.what.parts and not there.what.subset and not wanted.subset:
            wanted = Wanted(tuple(part for part in dataset.parts if part in {*wanted.parts, *there.what.parts}))
        files = _files(dataset, wanted)
        _reuse(dataset, files, folder, staging)
        missing = [file for file in files if not (staging / file.path).exists()]
        unpacked_bytes = sum(file.unpacked_bytes for file in files) or dataset.unpacked_bytes
        require_space(staging, sum(file.size_bytes for file in missing) + unpacked_bytes)
        with download.whole(dataset.title, sum(file.size_bytes for file in missing)) as progress:
            sources = [_fetch(dataset, file, urls[file], staging, progress) for file in files]
        if wanted.subset:
            bases = _urls(dataset, "", dataset.picture_urls, mirrors)
            sources.append(coco.subset(dataset, wanted, staging, bases))
        else:
            _unpack_files(dataset, files, staging)
        certain = all(file.hashes for file in files) and not wanted.subset
        source = ", ".join(dict.fromkeys(filter(None, sources))) or there.source or shown(folder)
        return _put_in_place(dataset, staging, folder, "verified" if certain else "recorded", source, wanted)


def _complete(dataset: Dataset, wanted: Wanted) -> Wanted:
    """What is wanted with the usual filled in for what was not said. UserError for what the data set does not have."""
    for part in wanted.parts:
        if part not in dataset.parts:
            hint = nearest(part, dataset.parts) if dataset.parts else "it has no parts"
            raise UserError(f"{dataset.title} has no part {part!r}; {hint}", f"invoke data {dataset.name}")
    if (wanted.subset or wanted.categories) and not dataset.subset:
        raise UserError(f"{dataset.title} comes as a whole only", f"invoke data {dataset.name}")
    if not dataset.subset:
        return Wanted(wanted.parts or dataset.default)
    return coco.complete(dataset, wanted)


def _files(dataset: Dataset, wanted: Wanted) -> list[File]:
    """The published files that are fetched for what is wanted."""
    whole = [file for file in dataset.files if not file.part or file.part in wanted.parts]
    return [file for file in whole if file.part not in coco.SPLITS] if wanted.subset else whole


def _holds(there: State, wanted: Wanted) -> bool:
    """Whether what is there will do."""
    if there.kind == "absent" or wanted == ANYTHING or there.what == wanted:
        return there.kind != "absent"
    everything = not there.what.subset and not wanted.subset
    return everything and set(wanted.parts) <= set(there.what.parts)


def _reuse(dataset: Dataset, files: Sequence[File], folder: Path, staging: Path) -> None:
    """Have in `staging` what `folder` holds already: our own files, and published ones that somebody dropped in."""
    for file in set(dataset.files) - set(files):  # an earlier attempt wanted something else
        for leftover in (staging / file.path).parent.glob(f"{file.name}*"):
            leftover.unlink()
    record = _record(folder)
    for relative in record.get("files", ()) if record.get("kind") != "unverified" else ():
        if (folder / relative).is_file():
            link(folder / relative, staging / relative)
    for file in files:
        target, dropped_in = staging / file.path, folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not record and dropped_in.is_file() and not _file_problem(file, dropped_in):
            dropped_in.replace(target)


def _fetch(dataset: Dataset, file: File, urls: Sequence[str], staging: Path, progress: download.Whole) -> str:
    """Have the file in `staging`, or what a package unpacks to; returns the host, "" if it was there already."""
    target = staging / file.path
    try:
        if urls or target.exists():
            members = dataset.members() if file.unpack else {}
            accept = (lambda path: archives.members_problem(path, members)) if members else None
            return download.fetch(urls, target, file.size_bytes, file.hashes, accept, progress)
    except Unreachable as unreachable:
        name = dataset.name
        unreachable.next_command = f"LAB_MIRROR=URL invoke data {name}, or invoke data {name} --import=PATH"
        if not file.package:
            raise
    packages.install(file.package, dict(file.hashes)["sha256"], target.parent)
    return "the package index"


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
            problem, what = _gather(dataset, path, staging)
            if problem and not unverified and not _layout_problem(_layout(dataset, what), staging):
                command = f"invoke data {name} --import={shlex.quote(shown(path))} --unverified"
                raise UserError(f"{shown(path)} is not {dataset.title} as published: {problem}", command)
            kind = "unverified" if problem else "verified"
            return _put_in_place(dataset, staging, data_dir() / name, kind, str(path), what)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def recorded(name: str) -> dict[str, str]:
    """Path below data/<name>/ -> sha256, of everything that is there of the real data."""
    return {path: entry["sha256"] for path, entry in _record(data_dir() / name)["files"].items()}


def adopt(name: str, staging: Path) -> State:
    """Take over a whole data folder from another machine, with its record, in place of what is here.

    UserError when its files are not those of its record, or published ones not as published.
    """
    dataset, record = find(name), _record(staging)
    if not record or record.get("kind") not in ("verified", "recorded", "unverified"):
        raise UserError(f"{shown(staging)} has no record of what it is")
    for relative, entry in record["files"].items():
        if not (staging / relative).is_file() or digest(staging / relative, "sha256") != entry["sha256"]:
            raise UserError(f"{name}: {relative} is not what its record says")
    problem = "" if record["kind"] == "unverified" else _members_problem(dataset, staging)
    for file in dataset.files:
        if record["kind"] != "unverified" and file.hashes and (staging / file.path).is_file():
            problem = problem or ("" if dataset.members() else _file_problem(file, staging / file.path))
    if problem:
        raise UserError(f"{dataset.title} is not as published: {problem}")
    with _alone(dataset):
        parts, subset, categories = record["what"]
        what = Wanted(tuple(parts), subset, tuple(categories))
        (staging / STATE_FILE).unlink()
        return _put_in_place(dataset, staging, data_dir() / name, record["kind"], record["source"], what)


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
        problem = _members_problem(dataset, folder)
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
    if not program.exists():
        raise UserError(f"{dataset.title} has no sample", f"invoke data {name}")
    drawn_by = "".join(digest(path, "sha256")[:8] for path in (program, *(ROOT / "labkit" / name for name in DRAWING)))
    source = f"datasets/{name}/sample.py {drawn_by}"  # a program that has changed draws again
    here = data_dir()
    if here.exists() and not os.access(str(here), os.W_OK):
        here = runs_dir() / ".samples"  # the data folder of a whole class can be read only
    folder = here / f"{name}-sample"
    there = _read(dataset, folder)
    if there.source == source:
        return there
    with _alone(dataset, here):
        there = _read(dataset, folder)
        if there.source != source:
            say(f"drawing the sample of {dataset.title}")
            staging = here / f".{name}.sample"
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir()
            _module(program).make(staging)
            there = _put_in_place(dataset, staging, folder, "sample", source, Wanted(dataset.default))
    return there


def _module(program: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"sample_{program.parent.name}", program)
    if spec is None or spec.loader is None:
        raise ValueError(f"{program} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def _alone(dataset: Dataset, here: Path | None = None) -> Iterator[None]:
    """One process at a time changes a data set; a swap that was cut off in the middle is undone first."""
    here = here or data_dir()
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


def _put_in_place(dataset: Dataset, staging: Path, folder: Path, kind: str, source: str, what: Wanted) -> State:
    """Check the layout, record every file, and rename `staging` to `folder`."""
    layout = _layout(dataset, what)
    if kind == "sample":
        layout = dict.fromkeys(layout, 0)
    problem = _layout_problem(layout, staging)
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
    counts = {pattern: sum(path.is_file() for path in staging.glob(pattern)) for pattern in layout}
    record = {"kind": kind, "source": source, "when": when, "what": astuple(what), "layout": counts, "files": files}
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


def _urls(dataset: Dataset, name: str, published: Sequence[str], mirrors: Sequence[str]) -> list[str]:
    """Where to ask for the file `name` ("": for the folder of single pictures), best first."""
    first = []
    for mirror in [*mirrors, os.environ.get("LAB_MIRROR", "")]:
        if mirror.startswith(("http://", "https://", "file://")):
            first.append(f"{mirror.rstrip('/')}/{quote(name)}")
        elif mirror:
            hosts = [urlsplit(url).netloc for url in published]
            wanted = MAINLAND if mirror == "cn" else (mirror,)
            fitting = [url for url, host in zip(published, hosts) if any(part in host for part in wanted)]
            if not fitting and mirror != "cn":
                raise UserError(
                    f"the mirror {mirror!r} is neither cn nor an address (http://, https://, file://) "
                    f"nor part of one of the hosts {', '.join(hosts)}",
                    f"LAB_MIRROR=file:///media/usb/ invoke data {dataset.name}",
                )
            if not fitting and published:
                say(f"no host in mainland China is known for {name or 'the pictures'}")
            first += fitting
    return list(dict.fromkeys([*first, *published]))


def _file_problem(file: File, path: Path) -> str:
    return download.mismatch(path, file.size_bytes, file.hashes)


def _unpack_files(dataset: Dataset, files: Sequence[File], folder: Path) -> None:
    left_bytes = dataset.unpacked_bytes
    for file in files:
        if file.unpack and (folder / file.path).exists():  # a package comes unpacked
            say(f"unpacking {file.name}")
            left_bytes -= archives.unpack(folder / file.path, folder / file.folder, left_bytes)
            if not file.keep:
                (folder / file.path).unlink()
    if dataset.subset:
        coco.unpack_panoptic(folder, left_bytes)


def _gather(dataset: Dataset, path: Path, staging: Path) -> tuple[str, Wanted]:
    """Copy what `path` holds into `staging`; how it differs from what was published, or "", and which parts it is."""
    published = _published_files(dataset, path)
    problems = {
        file: _file_problem(file, found) if file.hashes else f"nobody published a hash of {file.name}"
        for file, found in published.items()
    }
    what = Wanted(tuple(part for part in dataset.parts if any(file.part == part for file in published)))
    if published and not any(problems.values()) and set(_files(dataset, what)) <= set(published):
        for file, found in published.items():
            (staging / file.folder).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found, staging / file.path)
        _unpack_files(dataset, list(published), staging)
        return "", what

    source = path
    if path.is_file():
        say(f"unpacking {path.name}")
        source = staging / ".unpacked"
        archives.unpack(path, source, dataset.unpacked_bytes)
    for relative, found in _members(dataset, source).items():
        (staging / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found, staging / relative)
    complete = {file.part for file in dataset.files if not _layout_problem(dict(file.layout), staging)}
    what = Wanted(tuple(part for part in dataset.parts if part in complete) or dataset.default)
    lacking = _layout_problem(_layout(dataset, what), staging)
    if dataset.subset and (lacking or not set(what.parts) & set(coco.SPLITS)):
        some = coco.gather(source, staging)
        if some:
            what, lacking = some, "it holds some of the pictures, and nobody published hashes of single ones"
    shutil.rmtree(staging / ".unpacked", ignore_errors=True)
    if lacking:
        return next(filter(None, problems.values()), "") or lacking, what
    if not dataset.md5 and not dataset.members():
        return "nothing was published that the unpacked files could be compared with", what
    return _members_problem(dataset, staging), what


def _published_files(dataset: Dataset, path: Path) -> dict[File, Path]:
    """The published files that `path` is or holds, by name; a single file may have any name."""
    if path.is_file():
        return {dataset.files[0]: path} if len(dataset.files) == 1 else {}
    places = {file: [path / file.path, path / file.name] for file in dataset.files}
    return {file: place for file, both in places.items() for place in reversed(both) if place.is_file()}


def _members(dataset: Dataset, folder: Path) -> dict[str, Path]:
    """The files in `folder` that fit the layout, which may start at any depth: path in the layout -> file found."""
    layout = _layout(dataset, Wanted(tuple(dataset.parts)))
    for depth in range(max(pattern.count("/") for pattern in layout) + 1):
        members = {}
        for pattern in layout:
            parts = pattern.split("/")
            for found in sorted(folder.glob("/".join(parts[depth:]) or "*")) if depth < len(parts) else []:
                if found.is_file():
                    members["/".join([*parts[:depth], str(found.relative_to(folder))])] = found
        if members:
            return members
    return {}


def _members_problem(dataset: Dataset, folder: Path) -> str:
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

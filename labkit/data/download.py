"""Fetch one published file from several byte-identical addresses.

All addresses are asked at once, so that the verdict "no host answers" takes seconds. A large file then comes from all
that serve ranges, at once; any other from the first that delivers, in their order. It comes in ranges over several
connections into `target.part`; beside it, `target.part.done` holds one byte for each finished block, so that a process
that was killed continues where it was. What counts in the end is the hash, which is computed while the bytes arrive.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Callable, Mapping, Sequence

from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.base.files import digest, require_space
from labkit.data import addresses
from labkit.data.addresses import Changed, Failed, Slow, Source, Unreachable, host_of
from labkit.data.partial import Hashing, Part
from labkit.data.transfer import Disk, Transfer, Whole

ABSURD = 10  # times as long as published: a wrong size in a record is never so wrong
Hashes = Sequence["tuple[str, str]"]  # (algorithm, hex digits or the first of them), the strongest first


def fetch(
    urls: Sequence[str],
    target: Path,
    size_bytes: int,
    hashes: Hashes = (),
    accept: Callable[[Path], str] | None = None,
    progress: Whole | None = None,
) -> str:
    """Make `target` hold the file with that hash, and return the hosts it came from ("" if it was there already).

    `urls` are http://, https:// or file://, best first; proxies are taken from the environment. Without a hash the size
    decides; with one, the size serves the progress bar, the disk check and the choice of address, because published
    sizes are often wrong. `accept` may still say "" to a file with another hash, or else what is wrong with it. The
    caller holds a lock: two processes must not fetch the same target at once. Raises Unreachable when no address
    delivers, UserError when the disk is too small; `target` never holds anything else than the whole file.
    """

    def wrong(path: Path, known: str = "") -> str:
        problem = mismatch(path, size_bytes, hashes, known)
        return accept(path) if problem and accept else problem

    if target.exists() and not wrong(target):
        return ""
    _require_room(target, size_bytes)
    probes = {url: addresses.Probe(url) for url in urls}
    deadline = time.monotonic() + addresses.VERDICT_S
    failures: dict[str, str] = {}
    together = addresses.all_at_once(list(probes.values()), deadline, size_bytes) if _tells(hashes) else []
    if together:
        try:
            return _receive(together, target, size_bytes, hashes, wrong, lambda: True, progress)
        except Failed as failed:
            say(f"{target.name}: {failed}; trying the addresses one at a time")
    queue: deque[str] = deque(probes)
    deferred: set[str] = set()  # tried again when all others have failed, and then with patience
    while queue:
        url = _next(queue, probes, deadline)
        host = host_of(url)
        try:
            source = probes[url].wait(deadline)
            if size_bytes and source.size_bytes not in (0, size_bytes):
                if not hashes and not accept:
                    raise Failed(f"it has {source.size_bytes} bytes, expected {size_bytes}")
                if url not in deferred:  # most likely a page of some proxy
                    deferred.add(url)
                    queue.append(url)
                    continue
            # Asked again and again: another one may answer while this one sends hardly anything.
            patient = partial(_alone, url in deferred, [probes[other] for other in queue])
            return _receive([source], target, size_bytes, hashes, wrong, patient, progress)
        except Slow as slow:
            say(f"{host}: {slow}; trying the next address")
            failures[host] = str(slow)
            deferred.add(url)
            queue.append(url)
        except Failed as failed:
            if probes[url].answered:  # a host that is merely silent is named when all have failed
                say(f"{host}: {failed}; trying the next address")
            failures[host] = str(failed)
        except UserError as refused:  # there is no room for what it says to have: another one may know better
            if not queue:
                raise
            failures[host] = refused.message
    raise Unreachable(target.name, failures or {"no address": "no address is known"})


def _next(queue: deque[str], probes: Mapping[str, addresses.Probe], deadline: float) -> str:
    """Take the first address from the queue; another one that has answered, where the first keeps us waiting."""
    while probes[queue[0]].at_work() and time.monotonic() < deadline:
        if any(probes[url].answered for url in queue):
            deadline = min(deadline, time.monotonic() + addresses.GRACE_S)
        time.sleep(0.02)
    url = next((url for url in queue if not probes[url].at_work()), queue[0])
    queue.remove(url)
    return url


def _alone(deferred: bool, others: list[addresses.Probe]) -> bool:
    """Whether nobody else can send the file, or has already failed to."""
    return deferred or not any(probe.answered for probe in others)


def mismatch(path: Path, size_bytes: int, hashes: Hashes, known: str = "") -> str:
    """How the file differs from the strongest thing known of it, with expected and got, or "".

    `known` is its digest by the first of `hashes`, where somebody has computed that already.
    """
    if hashes:
        (kind, expected), got = hashes[0], known or digest(path, hashes[0][0])
    else:
        kind, expected, got = "size", str(size_bytes), str(path.stat().st_size) if size_bytes else "0"
    return "" if got == expected or (hashes and got.startswith(expected)) else f"{kind} expected {expected}, got {got}"


def _tells(hashes: Hashes) -> bool:
    """Whether there is a whole hash: without one, the parts of a file must come from one host in one version."""
    return bool(hashes) and len(hashes[0][1]) == 2 * hashlib.new(hashes[0][0]).digest_size


# --- what has arrived -------------------------------------------------------------------------------------------------


def _receive(
    sources: list[Source],
    target: Path,
    size_bytes: int,
    hashes: Hashes,
    wrong: Callable[[Path, str], str],
    patient: Callable[[], bool],
    progress: Whole | None,
) -> str:
    """Complete `target` from these addresses, which have the same size, and return their hosts; or raise Failed."""
    if not _tells(hashes):
        return _receive_alike(sources[0], target, size_bytes, hashes, wrong, patient, progress)
    hosts = ", ".join(dict.fromkeys(host_of(source.url) for source in sources))
    size_bytes = _length(sources[0], size_bytes)
    _require_room(target, size_bytes)
    for fresh in (not sources[0].ranges, True):
        part = Part(target, size_bytes, fresh)
        began_empty = not any(part.done)
        problem = _fill(part, hosts, hashes, wrong, Transfer(sources, part, patient, progress))
        if not problem:
            part.move_to(target)
            return hosts
        part.delete()
        if began_empty:
            raise Failed(problem)
        say(f"{hosts}: does not fit what another address had sent; starting over")
    raise AssertionError("a fresh part begins empty")


def _receive_alike(
    source: Source,
    target: Path,
    size_bytes: int,
    hashes: Hashes,
    wrong: Callable[[Path, str], str],
    patient: Callable[[], bool],
    progress: Whole | None,
) -> str:
    """As `_receive`, where no hash tells whether parts belong together: all are of the version that the host names.

    A host that names none sends the file in one piece.
    """
    host = host_of(source.url)
    for _ in range(addresses.ATTEMPTS):
        source = source if source.version else replace(source, ranges=False)
        version = f"{source.url} {source.version}"
        length = _length(source, size_bytes)
        _require_room(target, length)
        part = Part(target, length, not source.ranges, version)
        try:
            problem = _fill(part, host, hashes, wrong, Transfer([source], part, patient, progress, alike=True))
        except Changed as changed:
            say(f"{host}: {changed}; starting over")
            part.delete()
            source = addresses.Probe(source.url).wait(time.monotonic() + addresses.VERDICT_S)
            continue
        if problem:
            part.delete()
            raise Failed(problem)
        part.move_to(target)
        return host
    raise Failed("the file changes there again and again")


def _require_room(target: Path, size_bytes: int) -> None:
    """Raise a UserError where the disk has no room for what has not arrived yet."""
    arrived = Part.path_of(target)
    require_space(target.parent, size_bytes - (arrived.stat().st_blocks * 512 if arrived.exists() else 0))


def _length(source: Source, size_bytes: int) -> int:
    if not source.size_bytes and not size_bytes:
        raise Failed("it does not say how long the file is")
    if size_bytes and source.size_bytes > ABSURD * size_bytes:
        raise Failed(f"it says that the file has {source.size_bytes} bytes, expected {size_bytes}")
    return source.size_bytes or size_bytes


def _fill(part: Part, hosts: str, hashes: Hashes, wrong: Callable[[Path, str], str], transfer: Transfer) -> str:
    """Complete the part; how the whole differs from what is known of it, or ""."""
    hashing = Hashing(part, hashes[0][0]) if hashes else None
    try:
        transfer.run(part.target_name, hosts)
        known = hashing.result() if hashing else ""
    except Disk:
        part.delete()
        raise
    finally:
        part.closed = True
        if hashing:
            hashing.join()
        part.close()
    return wrong(part.path, known)

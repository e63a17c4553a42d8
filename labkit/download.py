"""Fetch one published file from several byte-identical addresses.

All addresses are asked at once, so that the verdict "no host answers" takes seconds. A large file then comes from all
that serve ranges, at once; any other from the first that delivers, in their order. It comes in ranges over several
connections into `target.part`; beside it, `target.part.done` holds one byte for each finished block, so that a process
that was killed continues where it was. What counts in the end is the hash, which is computed while the bytes arrive.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import ssl
import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from rich.progress import Progress, TaskID

from labkit.console import bytes_progress, say
from labkit.errors import UserError
from labkit.files import digest, megabytes, require_space

CONNECTIONS = 16  # to all addresses together
HOST_CONNECTIONS = 14  # to one
BLOCK_BYTES = 1 << 17  # at most one unfinished block for each connection is fetched again after a kill
BYTES_PER_CONNECTION = 4 << 20  # a small file is not worth many connections
TOGETHER_BYTES = 64 << 20  # from this size on, all addresses serve a file at once
GRACE_S = 1.5  # so long after the first answer others may still join
PROBE_TIMEOUT_S = 5.0  # for the connection, and for the first byte
VERDICT_S = 12.0  # looking up a name has no timeout of its own
READ_TIMEOUT_S = 15.0
SLOW_BYTES_PER_S, SLOW_AFTER_S = 50_000, 15.0  # slower than this for so long, and the next address has its turn
TAKE_OVER_S = 2.0  # an idle connection takes half of what another one would need longer for
ATTEMPTS = 4  # in a row without a block
PAUSE_S = 0.5  # before the second attempt; doubled for each further one
BUSY = (429, 503)  # "too many requests", "service unavailable": come back later, with fewer connections

Hashes = Sequence["tuple[str, str]"]  # (algorithm, hex digits or the first of them), the strongest first


class Unreachable(UserError):
    """No address delivered the file. `failures` says for each host why."""

    def __init__(self, name: str, failures: dict[str, str]) -> None:
        each = "; ".join(f"{host} ({reason})" for host, reason in failures.items())
        super().__init__(f"{name} could not be fetched: {each}")
        self.failures = failures


class _Failed(Exception):
    """This address did not deliver; the text is the reason."""


class _Slow(_Failed):
    pass


class Whole:
    """The progress of several files together, each with a bar of its own above it."""

    def __init__(self, bars: Progress, title: str, size_bytes: int) -> None:
        self.bars = bars
        self.bar = bars.add_task(title, total=size_bytes or None)

    def advance(self, size_bytes: int) -> None:
        self.bars.advance(self.bar, size_bytes)


@contextmanager
def whole(title: str, size_bytes: int) -> Iterator[Whole]:
    """Show the progress of all that is fetched in the block; `size_bytes` is what it comes to, 0 if not known."""
    with bytes_progress() as bars:
        yield Whole(bars, title, size_bytes)


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
    arrived = _Part.path_of(target)
    require_space(target.parent, size_bytes - (arrived.stat().st_blocks * 512 if arrived.exists() else 0))
    probes = {url: _Probe(url) for url in urls}
    deadline = time.monotonic() + VERDICT_S
    failures: dict[str, str] = {}
    together = _all_at_once(list(probes.values()), deadline, size_bytes)
    if together:
        try:
            return _receive(together, target, size_bytes, hashes, wrong, True, progress)
        except _Failed as failed:
            say(f"{target.name}: {failed}; now one address after the other")
    queue: deque[str] = deque(probes)
    deferred: set[str] = set()  # tried again when all others have failed, and then with patience
    while queue:
        url = queue.popleft()
        host = _host(url)
        try:
            source = probes[url].wait(deadline)
            if size_bytes and source.size_bytes not in (0, size_bytes):
                if not hashes and not accept:
                    raise _Failed(f"it has {source.size_bytes} bytes, expected {size_bytes}")
                if url not in deferred:  # most likely a page of some proxy
                    deferred.add(url)
                    queue.append(url)
                    continue
            patient = url in deferred or not any(probes[other].answered for other in queue)
            return _receive([source], target, size_bytes, hashes, wrong, patient, progress)
        except _Slow as slow:
            say(f"{host}: {slow}; trying the next address")
            failures[host] = str(slow)
            deferred.add(url)
            queue.append(url)
        except _Failed as failed:
            if probes[url].answered:  # a host that is merely silent is named when all have failed
                say(f"{host}: {failed}; trying the next address")
            failures[host] = str(failed)
    raise Unreachable(target.name, failures or {"no address": "none is known"})


def mismatch(path: Path, size_bytes: int, hashes: Hashes, known: str = "") -> str:
    """How the file differs from the strongest thing known of it, with expected and got, or "".

    `known` is its digest by the first of `hashes`, where somebody has computed that already.
    """
    if hashes:
        (kind, expected), got = hashes[0], known or digest(path, hashes[0][0])
    else:
        kind, expected, got = "size", str(size_bytes), str(path.stat().st_size) if size_bytes else "0"
    return "" if got == expected or (hashes and got.startswith(expected)) else f"{kind} expected {expected}, got {got}"


# --- one address ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Source:
    url: str
    size_bytes: int  # 0: it does not say
    ranges: bool


class _Probe:
    """Asks an address for its first byte, in the background."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answered = False
        self._outcome: Any = None
        # A daemon, and no thread pool, since a name look-up that hangs must not keep the process alive.
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait(self, deadline: float) -> _Source:
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if isinstance(self._outcome, _Source):
            return self._outcome
        raise _Failed(self._outcome or f"no answer within {VERDICT_S:g} s")

    def at_work(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._outcome = self._ask()
                self.answered = True
                return
            except Exception as error:
                self._outcome = reason(error)
                if not isinstance(error, HTTPError) or error.code not in BUSY or attempt == ATTEMPTS:
                    return
                time.sleep(pause_s(error, attempt))

    def _ask(self) -> _Source:
        with open_url(self.url, PROBE_TIMEOUT_S, 0, 0) as response:
            total = response.headers.get("Content-Range", "").rpartition("/")[2]
            if response.getcode() == 206 and total.isdigit():
                return _Source(self.url, int(total), True)
            return _Source(self.url, int(response.headers.get("Content-Length") or 0), False)


def _all_at_once(probes: list[_Probe], deadline: float, size_bytes: int) -> list[_Source]:
    """The addresses that can serve a large file together, or [] where one will do."""
    if len(probes) < 2 or 0 < size_bytes < TOGETHER_BYTES:
        return []
    while time.monotonic() < deadline and any(probe.at_work() for probe in probes):
        if any(probe.answered for probe in probes):
            deadline = min(deadline, time.monotonic() + GRACE_S)
        time.sleep(0.02)
    sources = [probe.wait(0.0) for probe in probes if probe.answered]
    sources = [source for source in sources if source.ranges and source.size_bytes >= TOGETHER_BYTES]
    size_bytes = size_bytes or (sources[0].size_bytes if sources else 0)
    sources = [source for source in sources if source.size_bytes == size_bytes]
    return sources if len(sources) > 1 else []


def open_url(url: str, timeout_s: float, first: int = 0, last: int | None = None) -> Any:
    """The response to a request for the bytes `first` to `last`, inclusive, or for all; the caller closes it."""
    headers = {"User-Agent": "torch-labs"}
    if last is not None:
        headers["Range"] = f"bytes={first}-{last}"
    return urlopen(Request(url, headers=headers), timeout=timeout_s)


def _host(url: str) -> str:
    return urlsplit(url).netloc or url


def reason(error: BaseException) -> str:
    """Why it failed, in a few words."""
    if isinstance(error, HTTPError):
        return "it redirects in a circle" if 300 <= error.code < 400 else f"HTTP {error.code} {error.reason}"
    if isinstance(error, URLError) and isinstance(error.reason, BaseException):
        return reason(error.reason)
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not trusted"
    for kind, words in (
        (socket.gaierror, "host name not found"),
        (socket.timeout, "no answer in time"),
        (ssl.SSLError, "no secure connection"),
        (ConnectionRefusedError, "connection refused"),
        (ConnectionError, "connection lost"),
        (http.client.HTTPException, "it does not speak HTTP as it should"),
    ):
        if isinstance(error, kind):
            return words
    return str(error) or type(error).__name__


def pause_s(error: BaseException, attempt: int) -> float:
    """How long to wait after this error: what the host asks for, else longer with each attempt."""
    asked = error.headers.get("Retry-After", "") if isinstance(error, HTTPError) else ""
    return min(float(asked), 30.0) if asked.isdigit() else PAUSE_S * 2 ** (attempt - 1)


# --- what has arrived -------------------------------------------------------------------------------------------------


class _Part:
    """`target.part` at its full size, and which of its blocks are filled."""

    def __init__(self, target: Path, size_bytes: int, fresh: bool) -> None:
        self.path, self.size_bytes, self.closed = self.path_of(target), size_bytes, False
        self._done_path = self.path.with_name(self.path.name + ".done")
        blocks = -(-size_bytes // BLOCK_BYTES)
        sizes = [path.stat().st_size if path.exists() else -1 for path in (self.path, self._done_path)]
        if fresh or sizes != [size_bytes, blocks]:
            self.delete()
        self._file = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0)
        self._file.truncate(size_bytes)
        self._done_file = os.fdopen(os.open(self._done_path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0)
        self._done_file.truncate(blocks)
        self.done = bytearray(self._done_file.read())
        self.left = self.done.count(0)

    @staticmethod
    def path_of(target: Path) -> Path:
        return target.with_name(target.name + ".part")

    def end(self, block: int) -> int:
        """The offset in bytes at which the block ends."""
        return min((block + 1) * BLOCK_BYTES, self.size_bytes)

    def write(self, chunk: bytes, offset: int) -> None:
        os.pwrite(self._file.fileno(), chunk, offset)

    def finish(self, block: int) -> None:
        os.pwrite(self._done_file.fileno(), b"\1", block)
        self.left -= not self.done[block]
        self.done[block] = 1

    def read(self, size_bytes: int, offset: int) -> bytes:
        return os.pread(self._file.fileno(), size_bytes, offset)

    def missing(self) -> deque[tuple[int, int]]:
        """The runs of blocks that are missing, each (first, one past the last)."""
        runs: deque[tuple[int, int]] = deque()
        for block, done in enumerate(self.done):
            if not done:
                runs.append((runs.pop()[0] if runs and runs[-1][1] == block else block, block + 1))
        return runs

    def close(self) -> None:
        os.fsync(self._file.fileno())
        self._file.close()
        self._done_file.close()

    def move_to(self, target: Path) -> None:
        self.path.replace(target)
        self._done_path.unlink()

    def delete(self) -> None:
        for path in (self.path, self._done_path):
            if path.exists():
                path.unlink()


def _receive(
    sources: list[_Source],
    target: Path,
    size_bytes: int,
    hashes: Hashes,
    wrong: Callable[[Path, str], str],
    patient: bool,
    progress: Whole | None,
) -> str:
    """Complete `target` from these addresses, which have the same size, and return their hosts; or raise _Failed."""
    hosts = ", ".join(dict.fromkeys(_host(source.url) for source in sources))
    size_bytes = sources[0].size_bytes or size_bytes
    if not size_bytes:
        raise _Failed("it does not say how long the file is")
    for fresh in (not sources[0].ranges, True):
        part = _Part(target, size_bytes, fresh)
        require_space(target.parent, size_bytes - part.path.stat().st_blocks * 512)
        began_empty = not any(part.done)
        hashing = _Hashing(part, hashes[0][0]) if hashes else None
        try:
            _Transfer(sources, part, patient, progress).run(target.name, hosts)
            known = hashing.result() if hashing else ""
        except _Disk:
            part.delete()
            raise
        finally:
            part.closed = True
            if hashing:
                hashing.join()
            part.close()
        problem = wrong(part.path, known)
        if not problem:
            part.move_to(target)
            return hosts
        part.delete()
        if began_empty:
            raise _Failed(problem)
        say(f"{hosts}: does not fit what another address had sent; from the beginning")
    raise AssertionError("a fresh part begins empty")


class _Hashing(threading.Thread):
    """Hashes the file from its beginning as far as it has arrived, while the rest is on its way."""

    def __init__(self, part: _Part, algorithm: str) -> None:
        super().__init__(daemon=True)
        self.part, self.total = part, hashlib.new(algorithm)
        self.start()

    def run(self) -> None:
        block, offset = 0, 0
        while block < len(self.part.done) and not self.part.closed:
            while block < len(self.part.done) and self.part.done[block]:
                block += 1
            end = self.part.end(block - 1) if block else 0
            if offset == end:
                time.sleep(0.02)
            while offset < end and not self.part.closed:
                chunk = self.part.read(min(1 << 20, end - offset), offset)
                self.total.update(chunk)
                offset += len(chunk)

    def result(self) -> str:
        self.join()
        return self.total.hexdigest()


@dataclass
class _Stretch:
    """The blocks that one connection fills: those before `block` are done, those from `last` on are not its own."""

    first: int
    block: int
    last: int
    since_s: float

    def left_s(self) -> float:
        """How long the rest will take at the rate so far."""
        seconds = time.monotonic() - self.since_s
        return seconds * (self.last - self.block) / max(self.block - self.first, 0.5)


class _Transfer:
    """The connections to one or more addresses, which share the missing blocks among them."""

    def __init__(self, sources: list[_Source], part: _Part, patient: bool, progress: Whole | None) -> None:
        self.sources, self.part, self.patient, self.progress = list(sources), part, patient, progress
        self.ranges = sources[0].ranges
        self.runs = part.missing()
        self.lock = threading.Condition()  # guards all below, and part
        self.stretches: list[_Stretch] = []
        self.received_bytes = 0
        self.failure: Exception | None = None
        self.over = threading.Event()
        most = min(CONNECTIONS, HOST_CONNECTIONS * len(sources)) if self.ranges else 1
        wanted = max(min(most, -(-part.left * BLOCK_BYTES // BYTES_PER_CONNECTION)), len(sources))
        self.at_work = wanted
        self.threads = [threading.Thread(target=self._work, args=(number,), daemon=True) for number in range(wanted)]
        if not part.left:
            self.over.set()

    def run(self, name: str, hosts: str) -> None:
        start_s = time.monotonic()
        say(f"{name}: {megabytes(self.part.size_bytes)} from {hosts}")
        samples = deque([(start_s, 0)])
        with _shown(self.progress) as bars:
            there_bytes = (len(self.part.done) - self.part.left) * BLOCK_BYTES
            bar: TaskID = bars.add_task(name, total=self.part.size_bytes, completed=there_bytes)
            if self.progress:
                self.progress.advance(there_bytes)
            try:
                for thread in self.threads:
                    thread.start()
                ended = False
                while not ended:
                    ended = self.over.wait(0.1)
                    now_s, received_bytes = time.monotonic(), self.received_bytes
                    bars.advance(bar, received_bytes - samples[-1][1])
                    if self.progress:
                        self.progress.advance(received_bytes - samples[-1][1])
                    samples.append((now_s, received_bytes))
                    if not ended:
                        self._check_speed(samples)
            finally:
                with self.lock:
                    self.over.set()
                    self.lock.notify_all()
                if self.progress:
                    bars.remove_task(bar)
        if self.failure:
            raise self.failure
        seconds = time.monotonic() - start_s
        say(f"{name}: {megabytes(self.received_bytes)} in {seconds:.1f} s from {hosts}")

    def _check_speed(self, samples: deque[tuple[float, int]]) -> None:
        seconds = samples[-1][0] - samples[0][0]
        if seconds < SLOW_AFTER_S:
            return
        rate = (samples[-1][1] - samples[0][1]) / seconds
        if rate < SLOW_BYTES_PER_S and not self.patient:
            raise _Slow(f"only {rate / 1000:.0f} kB/s")
        samples.popleft()

    def _work(self, number: int) -> None:
        source, attempt = self.sources[number % len(self.sources)], 1
        while not self.over.is_set():
            stretch = self._take()
            if stretch is None:
                return
            try:
                self._read(source, stretch)
                attempt = 1
            except Exception as error:
                if isinstance(error, HTTPError) and error.code in BUSY and self._leave():
                    return
                # Only a finished block is progress: without ranges the next attempt starts from nothing.
                attempt = 1 if self.ranges and stretch.block > stretch.first else attempt + 1
                lasting = isinstance(error, (_Slow, HTTPError)) and getattr(error, "code", 0) not in BUSY
                if lasting or isinstance(error, _Disk) or attempt > ATTEMPTS:
                    other = self._without(source, error)
                    if other is None:
                        return
                    source, attempt = other, 1
                else:
                    self.over.wait(pause_s(error, attempt))

    def _take(self) -> _Stretch | None:
        """What to ask for next: much at first, less towards the end, at last half of what a slow connection holds."""
        with self.lock:
            while not self.over.is_set():
                if self.runs:
                    first, last = self.runs.popleft()
                    left = last - first + sum(end - start for start, end in self.runs)
                    share = max(left // (2 * len(self.threads)), BYTES_PER_CONNECTION // BLOCK_BYTES // 2)
                    if self.ranges and last - first > share:
                        self.runs.appendleft((first + share, last))
                        last = first + share
                else:
                    slowest = max(self.stretches, key=_Stretch.left_s, default=None)
                    if not self.ranges or slowest is None or slowest.left_s() < TAKE_OVER_S or _halves(slowest) < 1:
                        self.lock.wait(0.2)
                        continue
                    first, last = slowest.last - _halves(slowest), slowest.last
                    slowest.last = first
                stretch = _Stretch(first, first, last, time.monotonic())
                self.stretches.append(stretch)
                return stretch
        return None

    def _read(self, source: _Source, mine: _Stretch) -> None:
        """Fill the blocks of `mine`, which others may shorten meanwhile; what is not filled is given back."""
        offset, asked_end = mine.first * BLOCK_BYTES, self.part.end(mine.last - 1)
        began_s, began_bytes = time.monotonic(), offset
        try:
            last_byte = asked_end - 1 if self.ranges else None
            with open_url(source.url, READ_TIMEOUT_S, offset, last_byte) as response:
                if self.ranges and response.getcode() != 206:
                    raise _Failed("it stopped sending ranges")
                while mine.block < mine.last:
                    chunk = response.read1(min(BLOCK_BYTES, asked_end - offset))
                    if not chunk:
                        raise _Failed(f"the connection ended after {megabytes(offset)}")
                    with self.lock:  # a thread that was given up must not write any more
                        if self.over.is_set():
                            return
                        self._store(chunk, offset)
                        offset += len(chunk)
                        while mine.block < mine.last and offset >= self.part.end(mine.block):
                            self.part.finish(mine.block)
                            mine.block += 1
                        if not self.part.left:
                            self.over.set()
                    seconds = time.monotonic() - began_s
                    if seconds > SLOW_AFTER_S:
                        if len(self.sources) > 1 and (offset - began_bytes) / seconds < SLOW_BYTES_PER_S:
                            raise _Slow(f"only {(offset - began_bytes) / seconds / 1000:.0f} kB/s")
                        began_s, began_bytes = time.monotonic(), offset
        finally:
            with self.lock:
                self.stretches.remove(mine)
                if mine.block < mine.last:
                    self.runs.appendleft((mine.block if self.ranges else 0, mine.last))
                self.lock.notify_all()

    def _store(self, chunk: bytes, offset: int) -> None:
        try:
            self.part.write(chunk, offset)
        except OSError as error:
            raise _Disk(error.errno, error.strerror) from None
        self.received_bytes += len(chunk)

    def _leave(self) -> bool:
        """Whether this connection may end because others go on: a busy host is asked by fewer."""
        with self.lock:
            if self.at_work == 1:
                return False
            self.at_work -= 1
            return True

    def _without(self, source: _Source, error: Exception) -> _Source | None:
        """Another address to go on with after this error; None where there is none, and then all is over."""
        with self.lock:
            if source in self.sources and len(self.sources) > 1 and not isinstance(error, _Disk):
                self.sources.remove(source)
                say(f"{_host(source.url)}: {reason(error)}; going on without it")
            if source in self.sources or isinstance(error, _Disk):
                if self.failure is None:
                    self.failure = error if isinstance(error, (_Disk, _Failed)) else _Failed(reason(error))
                self.over.set()
                self.lock.notify_all()
                return None
            return self.sources[0]


def _halves(stretch: _Stretch) -> int:
    """How many blocks another connection may take over."""
    return (stretch.last - stretch.block) // 2


@contextmanager
def _shown(progress: Whole | None) -> Iterator[Progress]:
    if progress:
        yield progress.bars
    else:
        with bytes_progress() as bars:
            yield bars


class _Disk(OSError):
    """The disk refused, not the network."""

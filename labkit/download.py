"""Fetch one published file from the first of several byte-identical addresses that delivers it.

All addresses are asked at once, so that the verdict "no host answers" takes seconds; they are then used in their order.
The file comes in ranges over several connections into `target.part`; beside it, `target.part.done` holds one byte for
each finished block, so that a process that was killed continues where it was. What counts in the end is the hash.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Sequence
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from labkit.console import bytes_progress, say
from labkit.errors import UserError
from labkit.files import digest, megabytes, require_space

CONNECTIONS = 8
BLOCK_BYTES = 1 << 17  # at most one unfinished block for each connection is fetched again after a kill
BYTES_PER_CONNECTION = 8 << 20  # a small file is not worth many connections
PROBE_TIMEOUT_S = 5.0  # for the connection, and for the first byte
VERDICT_S = 12.0  # looking up a name has no timeout of its own
READ_TIMEOUT_S = 15.0
SLOW_BYTES_PER_S, SLOW_AFTER_S = 50_000, 15.0  # slower than this for so long, and the next address has its turn
ATTEMPTS = 4  # in a row without a byte
PAUSE_S = 0.5  # before the second attempt; doubled for each further one
BUSY = (429, 503)  # "too many requests", "service unavailable": come back later, with fewer connections


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


def fetch(urls: Sequence[str], target: Path, size_bytes: int, sha256: str = "", md5: str = "") -> str:
    """Make `target` hold the file with that hash, and return the address it came from ("" if it was there already).

    `urls` are http://, https:// or file://, best first; proxies are taken from the environment. Without a hash the size
    decides; with one, the size serves the progress bar, the disk check and the choice of address, because published
    sizes are often wrong. The caller holds a lock: two processes must not fetch the same target at once. Raises
    Unreachable when no address delivers, UserError when the disk is too small; `target` never holds anything else than
    the whole file.
    """
    if target.exists() and not mismatch(target, size_bytes, sha256, md5):
        return ""
    arrived = _Part.path_of(target)
    require_space(target.parent, size_bytes - (arrived.stat().st_blocks * 512 if arrived.exists() else 0))
    probes = {url: _Probe(url) for url in urls}
    deadline = time.monotonic() + VERDICT_S
    queue: deque[str] = deque(probes)
    deferred: set[str] = set()  # tried again when all others have failed, and then with patience
    failures: dict[str, str] = {}
    while queue:
        url = queue.popleft()
        host = _host(url)
        try:
            source = probes[url].wait(deadline)
            if size_bytes and source.size_bytes not in (0, size_bytes):
                if not sha256 and not md5:
                    raise _Failed(f"it has {source.size_bytes} bytes, expected {size_bytes}")
                if url not in deferred:  # most likely a page of some proxy
                    deferred.add(url)
                    queue.append(url)
                    continue
            patient = url in deferred or not any(probes[other].answered for other in queue)
            _receive(source, target, size_bytes, sha256, md5, patient)
            return url
        except _Slow as slow:
            say(f"{host}: {slow}; trying the next address")
            failures[host] = str(slow)
            deferred.add(url)
            queue.append(url)
        except _Failed as failed:
            if probes[url].answered:  # a host that is merely silent is named when all have failed
                say(f"{host}: {failed}; trying the next address")
            failures[host] = str(failed)
    raise Unreachable(target.name, failures)


def mismatch(path: Path, size_bytes: int, sha256: str, md5: str) -> str:
    """How the file differs from the strongest thing known of it, with expected and got, or ""."""
    if sha256:
        kind, expected, got = "sha256", sha256, digest(path, "sha256")
    elif md5:
        kind, expected, got = "md5", md5, digest(path, "md5")
    else:
        kind, expected, got = "size", str(size_bytes), str(path.stat().st_size)
    return "" if got == expected else f"{kind} expected {expected}, got {got}"


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

    def _run(self) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._outcome = self._ask()
                self.answered = True
                return
            except Exception as error:
                self._outcome = _reason(error)
                if not isinstance(error, HTTPError) or error.code not in BUSY or attempt == ATTEMPTS:
                    return
                time.sleep(_pause_s(error, attempt))

    def _ask(self) -> _Source:
        with _open(self.url, 0, 0, PROBE_TIMEOUT_S) as response:
            total = response.headers.get("Content-Range", "").rpartition("/")[2]
            if response.getcode() == 206 and total.isdigit():
                return _Source(self.url, int(total), True)
            return _Source(self.url, int(response.headers.get("Content-Length") or 0), False)


def _open(url: str, first: int, last: int | None, timeout_s: float) -> Any:
    headers = {"User-Agent": "torch-labs"}
    if last is not None:
        headers["Range"] = f"bytes={first}-{last}"
    return urlopen(Request(url, headers=headers), timeout=timeout_s)


def _host(url: str) -> str:
    return urlsplit(url).netloc or url


def _reason(error: BaseException) -> str:
    """Why it failed, in a few words."""
    if isinstance(error, HTTPError):
        return f"HTTP {error.code} {error.reason}"
    if isinstance(error, URLError) and isinstance(error.reason, BaseException):
        return _reason(error.reason)
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not trusted"
    for kind, words in (
        (socket.gaierror, "host name not found"),
        (socket.timeout, "no answer in time"),
        (ConnectionRefusedError, "connection refused"),
        (ConnectionError, "connection lost"),
        (http.client.HTTPException, "it does not speak HTTP as it should"),
    ):
        if isinstance(error, kind):
            return words
    return str(error) or type(error).__name__


def _pause_s(error: BaseException, attempt: int) -> float:
    asked = error.headers.get("Retry-After", "") if isinstance(error, HTTPError) else ""
    return min(float(asked), 30.0) if asked.isdigit() else PAUSE_S * 2 ** (attempt - 1)


# --- what has arrived -------------------------------------------------------------------------------------------------


class _Part:
    """`target.part` at its full size, and which of its blocks are filled."""

    def __init__(self, target: Path, size_bytes: int, fresh: bool) -> None:
        self.path, self.size_bytes = self.path_of(target), size_bytes
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
        self.done[block] = 1

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


def _receive(source: _Source, target: Path, size_bytes: int, sha256: str, md5: str, patient: bool) -> None:
    """Complete `target` from one address, or raise _Failed."""
    size_bytes = source.size_bytes or size_bytes
    if not size_bytes:
        raise _Failed("it does not say how long the file is")
    for fresh in (not source.ranges, True):
        part = _Part(target, size_bytes, fresh)
        began_empty = not any(part.done)
        try:
            _Transfer(source, part, patient).run(target.name)
        except _Disk:
            part.delete()
            raise
        finally:
            part.close()
        problem = mismatch(part.path, size_bytes, sha256, md5)
        if not problem:
            part.move_to(target)
            return
        part.delete()
        if began_empty:
            raise _Failed(problem)
        say(f"{_host(source.url)}: does not fit what another address had sent; from the beginning")


class _Transfer:
    """The connections to one address, which share the missing blocks among them."""

    def __init__(self, source: _Source, part: _Part, patient: bool) -> None:
        self.source, self.part, self.patient = source, part, patient
        self.runs = part.missing()
        self.lock = threading.Lock()  # guards all below, and part
        self.received_bytes = 0
        self.failure: Exception | None = None
        self.over = threading.Event()
        missing_bytes = sum(part.end(last - 1) - first * BLOCK_BYTES for first, last in self.runs)
        wanted = min(CONNECTIONS, -(-missing_bytes // BYTES_PER_CONNECTION)) if source.ranges else 1
        self.threads = [threading.Thread(target=self._work, daemon=True) for _ in range(wanted)]
        self.at_work = wanted

    def run(self, name: str) -> None:
        host, start_s = _host(self.source.url), time.monotonic()
        say(f"{name}: {megabytes(self.part.size_bytes)} from {host}")
        samples = deque([(start_s, 0)])
        with bytes_progress() as bars:
            bar = bars.add_task(name, total=self.part.size_bytes, completed=sum(self.part.done) * BLOCK_BYTES)
            try:
                for thread in self.threads:
                    thread.start()
                while not self.over.wait(0.1):
                    now_s, received_bytes = time.monotonic(), self.received_bytes
                    bars.advance(bar, received_bytes - samples[-1][1])
                    samples.append((now_s, received_bytes))
                    self._check_speed(samples)
            finally:
                with self.lock:
                    self.over.set()
        if self.failure:
            raise self.failure
        seconds = time.monotonic() - start_s
        say(f"{name}: {megabytes(self.received_bytes)} in {seconds:.1f} s from {host}")

    def _check_speed(self, samples: deque[tuple[float, int]]) -> None:
        seconds = samples[-1][0] - samples[0][0]
        if seconds < SLOW_AFTER_S:
            return
        rate = (samples[-1][1] - samples[0][1]) / seconds
        if rate < SLOW_BYTES_PER_S and not self.patient:
            raise _Slow(f"only {rate / 1000:.0f} kB/s")
        samples.popleft()

    def _work(self) -> None:
        attempt = 1
        while not self.over.is_set():
            run = self._take()
            if run is None:
                return
            before_bytes = self.received_bytes
            try:
                self._read(*run)
                attempt = 1
            except Exception as error:
                if isinstance(error, HTTPError) and error.code in BUSY and self._leave():
                    return
                # Where there are no ranges, each attempt starts from nothing: bytes are then no progress.
                progress = self.source.ranges and self.received_bytes > before_bytes
                attempt = 1 if progress else attempt + 1
                lasting = isinstance(error, HTTPError) and error.code not in BUSY
                if lasting or isinstance(error, _Disk) or attempt > ATTEMPTS:
                    self._fail(error)
                    return
                self.over.wait(_pause_s(error, attempt))

    def _take(self) -> tuple[int, int] | None:
        """The next run of blocks to ask for: long at first, shorter towards the end, so that all end together."""
        with self.lock:
            if not self.runs:
                self.at_work -= 1
                if not self.at_work:
                    self.over.set()
                return None
            first, last = self.runs.popleft()
            left = last - first + sum(end - start for start, end in self.runs)
            share = max(left // (2 * len(self.threads)), BYTES_PER_CONNECTION // BLOCK_BYTES // 4)
            if self.source.ranges and last - first > share:
                self.runs.appendleft((first + share, last))
                last = first + share
            return first, last

    def _read(self, first: int, last: int) -> None:
        """Fill the blocks from `first` to before `last`; what is not filled is given back."""
        block, offset, end = first, first * BLOCK_BYTES, self.part.end(last - 1)
        try:
            with _open(self.source.url, offset, end - 1 if self.source.ranges else None, READ_TIMEOUT_S) as response:
                if self.source.ranges and response.getcode() != 206:
                    raise _Failed("it stopped sending ranges")
                while offset < end:
                    chunk = response.read1(min(BLOCK_BYTES, end - offset))
                    if not chunk:
                        raise _Failed(f"the connection ended after {megabytes(offset)}")
                    with self.lock:  # a thread that was given up must not write any more
                        if self.over.is_set():
                            return
                        self._store(chunk, offset)
                        offset += len(chunk)
                        while block < last and offset >= self.part.end(block):
                            self.part.finish(block)
                            block += 1
        finally:
            if block < last:
                with self.lock:
                    self.runs.appendleft((block if self.source.ranges else 0, last))

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

    def _fail(self, error: Exception) -> None:
        with self.lock:
            if self.failure is None:
                self.failure = error if isinstance(error, (_Disk, _Failed)) else _Failed(_reason(error))
            self.over.set()


class _Disk(OSError):
    """The disk refused, not the network."""

"""The connections over which one file arrives: they share what is missing, and take over from each other."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator
from urllib.error import HTTPError

from rich.progress import Progress, TaskID

from labkit.base.console import bytes_progress, say
from labkit.base.files import megabytes
from labkit.data import addresses, partial
from labkit.data.addresses import Changed, Failed, Slow, Source, host_of
from labkit.data.partial import Part

CONNECTIONS = 16  # to all addresses together
HOST_CONNECTIONS = 14  # to one
BYTES_PER_CONNECTION = 4 << 20  # a small file is not worth many connections
LONG_BYTES = 8 << 20  # of a file that is announced; a smaller one is here before one has read that
TAKE_OVER_S = 2.0  # an idle connection takes half of what another one would need longer for


class Whole:
    """The progress of several files together, each with a bar of its own above it."""

    def __init__(self, bars: Progress, title: str, size_bytes: int) -> None:
        self.bars = bars
        self.bar = bars.add_task(title, total=size_bytes or None)
        self.there_bytes: dict[Path, int] = {}

    def show(self, file: Path, there_bytes: int) -> None:
        """Show that so much of `file` is there now; less than before where it has to begin anew."""
        self.there_bytes[file] = there_bytes
        self.bars.update(self.bar, completed=sum(self.there_bytes.values()))


@contextmanager
def whole(title: str, size_bytes: int) -> Iterator[Whole]:
    """Show the progress of all that is fetched in the block; `size_bytes` is what it comes to, 0 if not known."""
    with bytes_progress() as bars:
        yield Whole(bars, title, size_bytes)


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


class Transfer:
    """The connections to one or more addresses, which share the missing blocks among them."""

    def __init__(
        self,
        sources: list[Source],
        part: Part,
        patient: Callable[[], bool],
        progress: Whole | None,
        alike: bool = False,
    ) -> None:
        """`patient`: whether, at this moment, a slow host may take its time, since no other one has answered.

        `alike`: all answers must be of one version, since no hash will tell.
        """
        self.alike = alike
        self.sources, self.part, self.patient, self.progress = list(sources), part, patient, progress
        self.ranges = sources[0].ranges
        self.runs = part.missing()
        self.lock = threading.Condition()  # guards all below, and part
        self.stretches: list[_Stretch] = []
        self.received_bytes = 0  # also what comes a second time
        self.failure: Exception | None = None
        self.over = threading.Event()
        most = min(CONNECTIONS, HOST_CONNECTIONS * len(sources)) if self.ranges else 1
        wanted = max(min(most, -(-part.left * partial.BLOCK_BYTES // BYTES_PER_CONNECTION)), len(sources))
        self.at_work = wanted
        self.threads = [threading.Thread(target=self._work, args=(number,), daemon=True) for number in range(wanted)]
        if not part.left:
            self.over.set()

    def run(self, name: str, hosts: str) -> None:
        start_s = time.monotonic()
        if self.part.size_bytes >= LONG_BYTES:
            say(f"{name}: {megabytes(self.part.size_bytes)} from {hosts}")
        samples = deque([(start_s, 0)])
        with _shown(self.progress) as bars:
            bar: TaskID = bars.add_task(name, total=self.part.size_bytes, completed=self.part.there_bytes())
            try:
                for thread in self.threads:
                    thread.start()
                ended = False
                while not ended:
                    ended = self.over.wait(0.1)
                    bars.update(bar, completed=self.part.there_bytes())
                    if self.progress:
                        self.progress.show(self.part.path, self.part.there_bytes())
                    samples.append((time.monotonic(), self.received_bytes))
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
        received_bytes = samples[-1][1] - samples[0][1]
        if addresses.too_slow(received_bytes, seconds) and not self.patient():
            raise Slow(f"only {received_bytes / seconds / 1000:.0f} kB/s")
        if seconds >= addresses.SLOW_AFTER_S:
            samples.popleft()

    def _work(self, number: int) -> None:
        try:
            self._fetch(number)
        except Exception as failure:  # the disk, or a defect of ours: for the caller
            with self.lock:
                self.failure = self.failure or failure
                self.over.set()
                self.lock.notify_all()

    def _fetch(self, number: int) -> None:
        source, attempt = self.sources[number % len(self.sources)], 1
        while not self.over.is_set():
            stretch = self._take()
            if stretch is None:
                return
            try:
                self._read(source, stretch)
                attempt = 1
            except (Disk, Changed):
                raise
            except addresses.FAULTS as error:
                if isinstance(error, HTTPError) and error.code in addresses.BUSY and self._leave():
                    return
                # Only a finished block is progress: without ranges the next attempt starts from nothing.
                attempt = 1 if self.ranges and stretch.block > stretch.first else attempt + 1
                lasting = isinstance(error, (Slow, HTTPError)) and getattr(error, "code", 0) not in addresses.BUSY
                if lasting or attempt > addresses.ATTEMPTS:
                    other = self._without(source, error)
                    if other is None:
                        return
                    source, attempt = other, 1
                else:
                    self.over.wait(addresses.pause_s(error, attempt))

    def _take(self) -> _Stretch | None:
        """What to ask for next: much at first, less towards the end, at last half of what a slow connection holds."""
        with self.lock:
            while not self.over.is_set():
                if self.runs:
                    first, last = self.runs.popleft()
                    left = last - first + sum(end - start for start, end in self.runs)
                    share = max(left // (2 * len(self.threads)), BYTES_PER_CONNECTION // partial.BLOCK_BYTES // 2)
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

    def _read(self, source: Source, mine: _Stretch) -> None:
        """Fill the blocks of `mine`, which others may shorten meanwhile; what is not filled is given back."""
        offset, asked_end = mine.first * partial.BLOCK_BYTES, self.part.end(mine.last - 1)
        began_s, began_bytes = time.monotonic(), offset
        try:
            last_byte = asked_end - 1 if self.ranges else None
            version = source.version if self.alike else ""
            with addresses.open_url(source.url, addresses.READ_TIMEOUT_S, offset, last_byte, version) as response:
                if self.alike:
                    self._require_alike(source, response)
                if self.ranges and response.getcode() != 206:
                    raise Failed("it stopped sending ranges")
                if self.ranges and addresses.first_byte(response) != offset:
                    raise Failed("it sends another part of the file than it was asked for")
                while mine.block < mine.last:
                    chunk = response.read1(min(partial.BLOCK_BYTES, asked_end - offset))
                    if not chunk:
                        raise Failed(f"the connection ended after {megabytes(offset)}")
                    with self.lock:  # a thread that was given up must not write any more
                        if self.over.is_set():
                            return
                        self.received_bytes += len(chunk)
                        with _disk():
                            self.part.write(chunk, offset)
                            offset += len(chunk)
                            while mine.block < mine.last and offset >= self.part.end(mine.block):
                                self.part.finish(mine.block)
                                mine.block += 1
                        if not self.part.left:
                            self.over.set()
                    seconds = time.monotonic() - began_s
                    if len(self.sources) > 1 and addresses.too_slow(offset - began_bytes, seconds):
                        raise Slow(f"only {(offset - began_bytes) / seconds / 1000:.0f} kB/s")
                    if seconds > addresses.SLOW_AFTER_S:
                        began_s, began_bytes = time.monotonic(), offset
        finally:
            with self.lock:
                self.stretches.remove(mine)
                if mine.block < mine.last:
                    self.runs.appendleft((mine.block if self.ranges else 0, mine.last))
                self.lock.notify_all()

    def _require_alike(self, source: Source, response: Any) -> None:
        length = response.headers.get("Content-Length") or ""
        if response.getcode() == 206:
            length = response.headers.get("Content-Range", "").rpartition("/")[2]
        if addresses.version_of(response) != source.version or length not in ("", "*", str(self.part.size_bytes)):
            raise Changed("the file was changed there while it was fetched")

    def _leave(self) -> bool:
        """Whether this connection may end because others go on: a busy host is asked by fewer."""
        with self.lock:
            if self.at_work == 1:
                return False
            self.at_work -= 1
            return True

    def _without(self, source: Source, error: Exception) -> Source | None:
        """Another address to go on with after this error; None where there is none, and then all is over."""
        with self.lock:
            if source in self.sources and len(self.sources) > 1:
                self.sources.remove(source)
                say(f"{host_of(source.url)}: {addresses.reason(error)}; continuing without it")
            if source in self.sources:
                if self.failure is None:
                    self.failure = error if isinstance(error, Failed) else Failed(addresses.reason(error))
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


class Disk(OSError):
    """The disk refused, not the network."""


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Disk(error.errno, error.strerror) from None

"""Fetch many small files, a few at a time, from the first of several hosts that has them."""

from __future__ import annotations

import threading
import time
from collections import deque
from pathlib import Path
from typing import Callable, Mapping, Sequence
from urllib.error import HTTPError
from urllib.parse import quote

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from labkit.base.console import console, say
from labkit.base.files import megabytes
from labkit.data import addresses
from labkit.data.addresses import Failed, Unreachable

WORKERS = 8
MOST_BYTES = 64 << 20  # of one file; they are held in memory


def fetch(folders: Sequence[str], targets: Mapping[str, Path], problem: Callable[[str, bytes], str], title: str) -> str:
    """Have each `targets[name]` hold what `FOLDER/name` serves, and return the hosts ("" if all were there already).

    `folders` are addresses, best first. `problem(name, content)` says what is wrong with a file, or "": what is there
    already and good is kept, so that a second call continues the first. A busy host (429, 503) is given the time it
    asks for. Raises Unreachable when a file cannot be had from any host; those that have arrived stay.
    """
    missing = deque(name for name, path in targets.items() if not path.is_file() or problem(name, path.read_bytes()))
    if not missing:
        return ""
    say(f"{title}: {len(missing)} to fetch")
    there = len(targets) - len(missing)  # counted now: the workers take from what is missing
    job = _Job(folders, targets, problem, missing)
    workers = [threading.Thread(target=job.work, daemon=True) for _ in range(min(WORKERS, len(missing)))]
    with _progress() as bars:
        bar = bars.add_task(title, total=len(targets), completed=there, rate="")
        began_s = time.monotonic()
        for worker in workers:
            worker.start()
        try:
            ended = False
            while not ended:
                time.sleep(0.1)
                ended = job.over or not any(worker.is_alive() for worker in workers)
                rate = f"{megabytes(int(job.received_bytes / (time.monotonic() - began_s)))}/s"
                bars.update(bar, completed=there + job.arrived, rate=rate)
        finally:
            with job.lock:
                job.over = True
    if job.error:
        raise job.error
    return ", ".join(job.hosts)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(), console=console, disable=not console.is_terminal,
    )  # fmt: skip


class _Job:
    """What the workers share."""

    def __init__(
        self,
        folders: Sequence[str],
        targets: Mapping[str, Path],
        problem: Callable[[str, bytes], str],
        missing: deque[str],
    ) -> None:
        self.folders, self.targets, self.problem, self.missing = list(folders), targets, problem, missing
        self.lock = threading.Lock()  # guards all below
        self.over = False
        self.error: Exception | None = None
        self.arrived = self.received_bytes = 0
        self.hosts: dict[str, None] = {}
        self.wait_until_s = 0.0  # a busy host is left alone by all

    def work(self) -> None:
        while not self.over:
            with self.lock:
                if not self.missing:
                    return
                name = self.missing.popleft()
            try:
                self._fetch(name)
            except Exception as error:  # for the caller, whatever it is
                with self.lock:
                    self.error, self.over = self.error or error, True

    def _fetch(self, name: str) -> None:
        failures: dict[str, str] = {}
        for patient in (False, True):  # when all others have failed, a slow one may take its time
            for folder in list(self.folders):
                host = addresses.host_of(folder)
                if patient and not failures.get(host, "").startswith("only "):
                    continue
                try:
                    content = self._read(f"{folder}/{quote(name)}", patient)
                except addresses.FAULTS as error:
                    if self.over:  # that is why
                        return
                    failures[host] = addresses.reason(error)
                    self._step_back(folder, error)
                    continue
                failures[host] = self.problem(name, content)
                if not failures[host]:
                    self._store(self.targets[name], content, host)
                    return
        if not self.over:
            raise Unreachable(name, failures)

    def _store(self, target: Path, content: bytes, host: str) -> None:
        new = target.with_name(f".{target.name}.new")
        new.write_bytes(content)
        with self.lock:  # a thread that was given up must not write any more
            if self.over:
                return
            new.replace(target)
            self.arrived += 1
            self.hosts[host] = None

    def _read(self, url: str, patient: bool) -> bytes:
        for attempt in range(1, addresses.ATTEMPTS + 1):
            while not self.over and time.monotonic() < self.wait_until_s:
                time.sleep(0.05)
            if self.over:
                break
            try:
                return self._read_once(url, patient)
            except addresses.FAULTS as error:
                busy = isinstance(error, HTTPError) and error.code in addresses.BUSY
                # What came is of no use, or nobody is there: it would be the same if it was asked for again.
                lasting = isinstance(addresses.cause(error), (Failed, ConnectionRefusedError)) or (
                    isinstance(error, HTTPError) and error.code < 500 and not busy
                )
                if lasting or attempt == addresses.ATTEMPTS:
                    raise
                pause_s = addresses.pause_s(error, attempt)
                if busy:
                    self.wait_until_s = max(self.wait_until_s, time.monotonic() + pause_s)
                else:
                    time.sleep(pause_s)
        raise Failed("given up")

    def _read_once(self, url: str, patient: bool) -> bytes:
        began_s, content = time.monotonic(), bytearray()
        with addresses.open_url(url, addresses.READ_TIMEOUT_S) as response:
            announced = response.headers.get("Content-Length")
            while not self.over:
                chunk = response.read1(1 << 16)
                if not chunk:
                    break
                content += chunk
                with self.lock:
                    self.received_bytes += len(chunk)
                seconds = time.monotonic() - began_s
                if len(content) > MOST_BYTES:
                    raise Failed("it is far too large")
                if not patient and addresses.too_slow(len(content), seconds):
                    raise Failed(f"only {len(content) / seconds / 1000:.0f} kB/s")
        if announced and addresses.is_number(announced) and int(announced) != len(content):
            raise ConnectionError("cut short")
        return bytes(content)

    def _step_back(self, folder: str, error: Exception) -> None:
        """Ask a host that does not answer, or is slow, after all others from now on."""
        if isinstance(error, HTTPError) and error.code == 404:
            return
        with self.lock:
            if self.folders[0] == folder and len(self.folders) > 1:
                self.folders = [*self.folders[1:], folder]
                say(f"{addresses.host_of(folder)}: {addresses.reason(error)}; trying the next host")

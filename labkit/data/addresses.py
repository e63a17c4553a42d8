"""Addresses: what each answers, how fast, and why not.

All are asked for their first byte at once, so that the verdict "no host answers" takes seconds.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from labkit.base.errors import UserError

TOGETHER_BYTES = 64 << 20  # from this size on, all addresses serve a file at once
GRACE_S = 1.5  # so long after the first answer others may still join
PROBE_TIMEOUT_S = 5.0  # for the connection, and for the first byte
VERDICT_S = 12.0  # looking up a name has no timeout of its own
READ_TIMEOUT_S = 15.0
SLOW_BYTES_PER_S, SLOW_AFTER_S = 50_000, 15.0  # slower than this for so long, and the next address has its turn
DRIP_BYTES_PER_S, DRIP_AFTER_S = 1_000, 5.0  # and so is one that hardly sends at all
ATTEMPTS = 4  # in a row without a block
PAUSE_S = 0.5  # before the second attempt; doubled for each further one
BUSY = (429, 503)  # "too many requests", "service unavailable": come back later, with fewer connections


class Unreachable(UserError):
    """No address delivered the file. `failures` says for each host why, `by_hand` what one can fetch oneself."""

    def __init__(self, name: str, failures: dict[str, str]) -> None:
        reasons = list(dict.fromkeys(failures.values()))
        hosts = [", ".join(host for host in failures if failures[host] == reason) for reason in reasons]
        each = "; ".join(f"{there} ({reason})" for there, reason in zip(hosts, reasons))
        super().__init__(f"{name} could not be fetched: {each}")
        self.failures, self.by_hand = failures, ""

    @property
    def text(self) -> str:
        sentence, *following = super().text.split("\n")
        return "\n".join([sentence, *([self.by_hand] if self.by_hand else []), *following])


class Failed(Exception):
    """This address did not deliver; the text is the reason."""


class Slow(Failed):
    pass


class Changed(Failed):
    """The file is another one now than when it was begun."""


# What a host, or the way to it, can do wrong; those of urllib, ssl and socket are OSErrors. Anything else that is
# raised while we fetch is a defect of ours, which threads hand to whoever waits for them.
FAULTS = (OSError, http.client.HTTPException, Failed)


@dataclass(frozen=True)
class Source:
    url: str
    size_bytes: int  # 0: it does not say
    ranges: bool
    version: str = ""  # what its host calls this state of the file; "" where it says nothing


class Probe:
    """Asks an address for its first byte, in the background."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answered = False
        self._outcome: Source | str = ""  # or why there is none
        self._defect: Exception | None = None
        # A daemon, and no thread pool, since a name look-up that hangs must not keep the process alive.
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait(self, deadline: float) -> Source:
        self._thread.join(max(0.0, deadline - time.monotonic()))
        self.raise_defect()
        if isinstance(self._outcome, Source):
            return self._outcome
        raise Failed(self._outcome or f"no answer within {VERDICT_S:g} s")

    def at_work(self) -> bool:
        return self._thread.is_alive()

    def raise_defect(self) -> None:
        """Raise what the thread met that no host is to blame for."""
        if self._defect:
            raise self._defect

    def _run(self) -> None:
        try:
            self._ask_patiently()
        except Exception as defect:
            self._defect = defect

    def _ask_patiently(self) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._outcome = self._ask()
                self.answered = True
                return
            except FAULTS as error:
                self._outcome = reason(error)
                if not isinstance(error, HTTPError) or error.code not in BUSY or attempt == ATTEMPTS:
                    return
                time.sleep(pause_s(error, attempt))

    def _ask(self) -> Source:
        with open_url(self.url, PROBE_TIMEOUT_S, 0, 0) as response:
            total = response.headers.get("Content-Range", "").rpartition("/")[2]
            version = version_of(response)
            if response.getcode() == 206 and is_number(total):
                return Source(self.url, int(total), True, version)
            length = response.headers.get("Content-Length") or ""
            return Source(self.url, int(length) if is_number(length) else 0, False, version)


def all_at_once(probes: list[Probe], deadline: float, size_bytes: int) -> list[Source]:
    """The addresses that can serve a large file together, or [] where one will do."""
    if len(probes) < 2 or 0 < size_bytes < TOGETHER_BYTES:
        return []
    while time.monotonic() < deadline and any(probe.at_work() for probe in probes):
        for probe in probes:
            probe.raise_defect()
        if any(probe.answered for probe in probes):
            deadline = min(deadline, time.monotonic() + GRACE_S)
        time.sleep(0.02)
    sources = [probe.wait(0.0) for probe in probes if probe.answered]
    sources = [source for source in sources if source.ranges and source.size_bytes >= TOGETHER_BYTES]
    size_bytes = size_bytes or (sources[0].size_bytes if sources else 0)
    sources = [source for source in sources if source.size_bytes == size_bytes]
    return sources if len(sources) > 1 else []


def version_of(response: Any) -> str:
    """What the host calls this state of the file: its ETag, or else when it was last changed."""
    return response.headers.get("ETag") or response.headers.get("Last-Modified") or ""


def first_byte(response: Any) -> int:
    """Where in the file a part of it begins, -1 where the answer does not say."""
    begin = re.match("bytes ([0-9]{1,18})-", response.headers.get("Content-Range", ""))
    return int(begin[1]) if begin else -1


def open_url(url: str, timeout_s: float, first: int = 0, last: int | None = None, version: str = "") -> Any:
    """The response to a request for the bytes `first` to `last`, inclusive, or for all; the caller closes it.

    Where the file is of another `version` by now, all of it is the answer. `timeout_s` is for the connection and for
    each piece that comes; all the headers have as long together, since a host may send them one letter at a time.
    Raises one of FAULTS.
    """
    headers = {"User-Agent": "torch-labs"}
    if last is not None:
        headers["Range"] = f"bytes={first}-{last}"
        if version and not version.startswith("W/"):  # hosts refuse to compare a weak one; then we do
            headers["If-Range"] = version
    opening = _Opening(url, headers, timeout_s)
    opening.join(max(timeout_s, 2 * PROBE_TIMEOUT_S))
    return opening.result()


class _Opening(threading.Thread):
    """A request that may be given up while its headers still come; whatever comes after that is closed."""

    def __init__(self, url: str, headers: dict[str, str], timeout_s: float) -> None:
        super().__init__(daemon=True)
        self.url, self.headers, self.timeout_s = url, headers, timeout_s
        self.lock, self.given_up = threading.Lock(), False
        self.response: Any = None
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            response = urlopen(Request(self.url, headers=self.headers), timeout=self.timeout_s)
        except Exception as error:
            self.error = error
            return
        with self.lock:
            self.response = response
            if self.given_up:
                response.close()

    def result(self) -> Any:
        with self.lock:
            self.given_up = self.response is None
        if self.response is not None:
            return self.response
        if self.error is None:
            raise Failed("no answer in time")
        if not isinstance(self.error, OSError) and isinstance(self.error, (ValueError, http.client.InvalidURL)):
            # The address, or one that it redirects to; a certificate that is not trusted is a ValueError, too.
            raise Failed(f"it is not a usable address: {self.error}") from None
        raise self.error


def host_of(url: str) -> str:
    """The host in an address, without a login that is in it; all of it where it is no proper address."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or url
    except ValueError:
        return url


def without_login(url: str) -> str:
    """The address `url` with no user and password in it."""
    return re.sub(r"^(\w+://)[^/@]*@", r"\1", url)


def cause(error: BaseException) -> BaseException:
    """The error itself, which urllib wraps in one of its own."""
    return error.reason if isinstance(error, URLError) and isinstance(error.reason, BaseException) else error


def reason(error: BaseException) -> str:
    """Why it failed, in a few words."""
    if isinstance(error, HTTPError):
        return "it redirects in a circle" if 300 <= error.code < 400 else f"HTTP {error.code} {error.reason}"
    error = cause(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not trusted"
    for kind, words in (
        (socket.gaierror, "host name not found"),
        (socket.timeout, "no answer in time"),
        (ssl.SSLError, "a secure connection could not be made"),
        (ConnectionRefusedError, "connection refused"),
        (ConnectionError, "connection lost"),
        (http.client.HTTPException, "its answer is not valid HTTP"),
    ):
        if isinstance(error, kind):
            return words
    return str(error) or type(error).__name__


def too_slow(received_bytes: int, seconds: float) -> bool:
    """Whether so little in so long is a reason to ask another host."""
    rate = received_bytes / max(seconds, 1e-9)
    return (seconds >= SLOW_AFTER_S and rate < SLOW_BYTES_PER_S) or (
        seconds >= DRIP_AFTER_S and rate < DRIP_BYTES_PER_S
    )


def pause_s(error: BaseException, attempt: int) -> float:
    """How long to wait after this error: what the host asks for, else longer with each attempt."""
    asked = error.headers.get("Retry-After", "") if isinstance(error, HTTPError) else ""
    return min(float(asked), 30.0) if is_number(asked) else PAUSE_S * 2 ** (attempt - 1)


def is_number(text: str) -> bool:
    """Whether what a host wrote is a whole number, of a size that can be true."""
    return re.fullmatch("[0-9]{1,18}", text) is not None

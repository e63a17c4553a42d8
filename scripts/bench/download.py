"""Measure the download engine against aria2c and against one connection, on the same server in one run.

    python scripts/bench/download.py [--megabytes 400] [--repeats 5] [--limit 6]

The server is a process of its own on the loopback that serves ranges with sendfile; with a limit, each connection is
held to that many MB/s, as many hosts do. The engine hashes while it downloads; aria2c checks the same sha256; the
single connection only reads. Order rotates from repeat to repeat. What is printed are medians, and the ratios of them.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Callable
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from labkit.data import download  # noqa: E402

NAME = "file.bin"


def serve(path: str, limit_bytes_per_s: float, ready: multiprocessing.Queue[int]) -> None:
    """Serve one file for ever, with ranges; each connection gets at most `limit_bytes_per_s` (0: no limit)."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    ready.put(listener.getsockname()[1])
    size_bytes = os.path.getsize(path)
    file = open(path, "rb")  # noqa: SIM115  (as long as the process lives)

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                while True:
                    request = b""
                    while b"\r\n\r\n" not in request:
                        received = connection.recv(4096)
                        if not received:
                            return
                        request += received
                    head, first, last = b"200 OK", 0, size_bytes - 1
                    wanted = re.search(rb"(?i)range: bytes=(\d+)-(\d*)", request)
                    if wanted:
                        head, first = b"206 Partial Content", int(wanted[1])
                        last = int(wanted[2]) if wanted[2] else last
                    lines = [b"HTTP/1.1 " + head, b"Content-Length: %d" % (last + 1 - first), b"Accept-Ranges: bytes"]
                    if wanted:
                        lines.append(b"Content-Range: bytes %d-%d/%d" % (first, last, size_bytes))
                    connection.sendall(b"\r\n".join(lines) + b"\r\n\r\n")
                    offset, began_s = first, time.monotonic()
                    while offset <= last and not request.startswith(b"HEAD"):
                        step = min(last + 1 - offset, 1 << 17 if limit_bytes_per_s else 1 << 20)
                        offset += os.sendfile(connection.fileno(), file.fileno(), offset, step)
                        if limit_bytes_per_s:
                            ahead_s = (offset - first) / limit_bytes_per_s - (time.monotonic() - began_s)
                            if ahead_s > 0:
                                time.sleep(ahead_s)
            except OSError:
                return

    while True:
        threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()


def engine(url: str, folder: Path, size_bytes: int, sha256: str) -> None:
    download.fetch([url], folder / NAME, size_bytes, [("sha256", sha256)])


def aria2c(url: str, folder: Path, size_bytes: int, sha256: str) -> None:
    command = ["aria2c", "--quiet", "-x16", "-s16", "-k1M", "--file-allocation=none", f"--checksum=sha-256={sha256}"]
    subprocess.run([*command, "-d", str(folder), "-o", NAME, url], check=True)


def one_connection(url: str, folder: Path, size_bytes: int, sha256: str) -> None:
    with urlopen(url) as response, (folder / NAME).open("wb") as out:
        shutil.copyfileobj(response, out, 1 << 20)
        assert out.tell() == size_bytes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--limit", type=float, default=6.0, help="MB/s for each connection in the second part")
    arguments = parser.parse_args()
    ways: list[Callable[[str, Path, int, str], None]] = [engine, one_connection]
    if shutil.which("aria2c"):
        ways.insert(1, aria2c)
    else:
        print("aria2c is not installed: left out (apt-get install aria2)")
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    print(f"{time.strftime('%Y-%m-%d')}, commit {commit.stdout.strip()}, {os.cpu_count()} x {processor()}, "
          f"Python {platform.python_version()}, {arguments.megabytes} MB, n = {arguments.repeats}")  # fmt: skip
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / "source"
        with source.open("wb") as out:
            for _ in range(arguments.megabytes):
                out.write(os.urandom(10**6))
        sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
        for limit in (0.0, arguments.limit):
            measure(ways, source, sha256, limit, arguments.repeats)
    return 0


def measure(ways: list[Callable[[str, Path, int, str], None]], source: Path, sha256: str, limit: float, n: int) -> None:
    """Print the median seconds of each way with this limit in MB/s, and the ratios to the engine."""
    ready: multiprocessing.Queue[int] = multiprocessing.Queue()
    server = multiprocessing.Process(target=serve, args=(str(source), limit * 1e6, ready), daemon=True)
    server.start()
    url, size_bytes = f"http://127.0.0.1:{ready.get()}/{NAME}", source.stat().st_size
    seconds: dict[str, list[float]] = {way.__name__: [] for way in ways}
    for repeat in range(n):
        for position in range(len(ways)):
            way = ways[(position + repeat) % len(ways)]
            if limit and way is one_connection and repeat:
                continue  # it takes minutes and never differs
            with tempfile.TemporaryDirectory(dir=str(source.parent)) as folder:
                began_s = time.monotonic()
                way(url, Path(folder), size_bytes, sha256)
                seconds[way.__name__].append(time.monotonic() - began_s)
    server.terminate()
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    print(f"{limit:g} MB/s for each connection" if limit else "no limit")
    for name, median in medians.items():
        low, high = min(seconds[name]), max(seconds[name])
        print(f"  {name:15} {median:7.2f} s ({low:.2f} to {high:.2f}), {size_bytes / median / 1e6:6.0f} MB/s, "
              f"{median / medians['engine']:.2f} times the engine's time")  # fmt: skip


def processor() -> str:
    """The processor's name."""
    match = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return match[1] if match else platform.machine()


if __name__ == "__main__":
    sys.exit(main())

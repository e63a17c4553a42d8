"""HTTP servers on the loopback that behave as badly as real mirrors do, and data sets small enough to test with."""

from __future__ import annotations

import hashlib
import io
import re
import socket
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Mirror:
    """A server of `files` (name -> bytes). What it has sent is counted in `served_bytes`, its answers in `statuses`."""

    def __init__(self, files, ranges=True, bytes_per_s=None, busy=0, retry_after=None, most_connections=None,
                 cut_at=None):  # fmt: skip
        self.files, self.ranges, self.bytes_per_s, self.busy = files, ranges, bytes_per_s, busy
        self.retry_after, self.most_connections, self.cut_at = retry_after, most_connections, cut_at
        self.served_bytes, self.statuses, self.open = 0, [], 0
        self.lock = threading.Lock()

    def __enter__(self):
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                mirror.answer(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    @property
    def base(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def url(self, name):
        return f"{self.base}/{name}"

    def answer(self, request):
        with self.lock:
            busy = self.busy > 0 or self.open == self.most_connections
            self.busy -= 1
            self.open += 1
        try:
            self.respond(request, busy)
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            with self.lock:
                self.open -= 1

    def respond(self, request, busy):
        content = self.files.get(request.path.rpartition("/")[2])
        if busy or content is None:
            self.statuses.append(503 if busy else 404)
            request.send_response(self.statuses[-1])
            if self.retry_after is not None:
                request.send_header("Retry-After", str(self.retry_after))
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        wanted = re.match(r"bytes=(\d+)-(\d+)$", request.headers.get("Range", "")) if self.ranges else None
        first, last = (int(wanted[1]), int(wanted[2])) if wanted else (0, len(content) - 1)
        self.statuses.append(206 if wanted else 200)
        request.send_response(self.statuses[-1])
        if wanted:
            request.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        request.send_header("Content-Length", str(last + 1 - first))
        request.end_headers()
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        end = last + 1 if self.cut_at is None else min(last + 1, self.cut_at)
        step = 1 << 14 if self.bytes_per_s else 1 << 18
        for start in range(first, end, step):
            piece = content[start : min(start + step, end)]
            request.wfile.write(piece)
            with self.lock:
                self.served_bytes += len(piece)
            if self.bytes_per_s:
                time.sleep(len(piece) / self.bytes_per_s)


class Silent:
    """A host that takes connections and never says anything."""

    def __enter__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        return self

    def __exit__(self, *_):
        self.socket.close()

    def url(self, name):
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}/{name}"


def refused_url(name):
    """An address on the loopback where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return f"http://127.0.0.1:{closed.getsockname()[1]}/{name}"


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def hashes(content):
    return [("sha256", sha256(content))]


def tar_gz(members):
    """A tar.gz of name -> bytes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


TOML = """
title = "Tiny"
title_zh = "小"
homepage = "http://localhost/"
citation = "nobody"
licence = "none"
redistribute = true
unpacked_bytes = {unpacked_bytes}
splits = {{ train = 1 }}
shape = [1]
mean = [0.5]
std = [0.5]

[[file]]
name = "tiny.tar.gz"
size_bytes = {size_bytes}
sha256 = "{sha256}"
unpack = true
urls = {urls}

[layout]
"tiny/part_*" = 2
"tiny/meta" = 1

[md5]
"tiny/part_1" = "{md5}"
"""


def write_registry(folder, members, archive, urls):
    """A registry with the one data set "tiny", whose published archive is `archive`, unpacking to `members`."""
    (folder / "tiny").mkdir(parents=True)
    text = TOML.format(
        unpacked_bytes=sum(map(len, members.values())) + 1000,
        size_bytes=len(archive),
        sha256=sha256(archive),
        md5=hashlib.md5(members["tiny/part_1"]).hexdigest(),
        urls=list(urls),
    )
    (folder / "tiny" / "dataset.toml").write_text(text, encoding="utf-8")

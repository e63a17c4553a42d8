"""HTTP servers on the loopback that behave as badly as real mirrors do, and data sets small enough to test with."""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import socket
import tarfile
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Mirror:
    """A server of `files` (name -> bytes). What it has sent is counted in `served_bytes`, its answers in `statuses`."""

    def __init__(self, files, ranges=True, bytes_per_s=None, busy=0, retry_after=None, most_connections=None,
                 cut_at=None, fault=""):  # fmt: skip
        self.files, self.ranges, self.bytes_per_s, self.busy = files, ranges, bytes_per_s, busy
        self.retry_after, self.most_connections, self.cut_at = retry_after, most_connections, cut_at
        self.version = ""  # the ETag of all files
        self.fault = fault  # what goes wrong with every answer, see FAULTS
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

    scheme = "http"

    @property
    def base(self):
        return f"{self.scheme}://127.0.0.1:{self.server.server_port}"

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
        content = self.files.get(request.path.lstrip("/"), self.files.get(request.path.rpartition("/")[2]))
        if content is not None and self.fault in FAULTS:
            content = FAULTS[self.fault](request, content)
            if content is None:
                return
        if busy or content is None:
            self.statuses.append(503 if busy else 404)
            request.send_response(self.statuses[-1])
            if self.retry_after is not None:
                request.send_header("Retry-After", str(self.retry_after))
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        wanted = re.match(r"bytes=(\d+)-(\d+)$", request.headers.get("Range", "")) if self.ranges else None
        if self.version and request.headers.get("If-Range", self.version) != self.version:
            wanted = None
        first, last = (int(wanted[1]), int(wanted[2])) if wanted else (0, len(content) - 1)
        self.statuses.append(206 if wanted else 200)
        request.send_response(self.statuses[-1])
        if wanted:
            request.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        if self.version:
            request.send_header("ETag", self.version)
        lie = {"length too small": -1, "length too large": 1}.get(self.fault, 0)
        request.send_header("Content-Length", str(last + 1 - first + lie))
        if self.fault == "clock":
            request.send_header("Last-Modified", "Thu, 01 Jan 2099 00:00:00 GMT")
        request.end_headers()
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        end = last + 1 if self.cut_at is None else min(last + 1, self.cut_at)
        step = min(1 << 14, self.bytes_per_s // 20) if self.bytes_per_s else 1 << 18
        for start in range(first, end, step):
            piece = content[start : min(start + step, end)]
            if self.bytes_per_s:
                time.sleep(len(piece) / self.bytes_per_s)
            request.wfile.write(piece)
            with self.lock:
                self.served_bytes += len(piece)


def answer(status, **headers):
    """A fault that answers with this status and nothing else."""

    def respond(request, _):
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value.format(path=request.path))
        request.send_header("Content-Length", "0")
        request.end_headers()

    return respond


def stall(request, content):
    """Send the first half, then nothing more."""
    request.send_response(200)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content[: len(content) // 2])
    time.sleep(3600)


# What the server does with the content of a file: other content, or None when it has answered already.
FAULTS = {
    "truncated": lambda _, content: content[: len(content) * 2 // 3],
    "extended": lambda _, content: content + b"more" * 100,
    "wrong bytes": lambda _, content: bytes([content[0] ^ 1]) + content[1:],
    "redirect loop": answer(302, Location="{path}"),
    "404": answer(404),
    "429": answer(429, Retry_After="1"),
    "500": answer(500),
    "stalled": stall,
}
MORE_FAULTS = ["no ranges", "length too small", "length too large", "slow", "no TLS", "clock"]


def faulty(files, fault):
    """A server with this fault; its `url` is that of a name."""
    options = {"slow": {"bytes_per_s": 15_000}, "no ranges": {"ranges": False}}.get(fault, {})
    server = Mirror(files, fault=fault, **options)
    if fault == "no TLS":  # the server speaks HTTP where HTTPS is asked for
        server.scheme = "https"
    return server


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


# --- a small COCO -----------------------------------------------------------------------------------------------------

COCO_TOML = """
title = "Tiny COCO"
title_zh = "小"
homepage = "http://localhost/"
citation = "nobody"
licence = "none"
redistribute = true
unpacked_bytes = 10_000_000
default = ["val2017", "instances", "panoptic", "stuff"]
subset = 5
splits = {{ val2017 = 12 }}
image_urls = {image_urls}
"""
COCO_FILE = """
[[file]]
part = "{part}"
name = "{name}"
size_bytes = {size_bytes}
sha256 = "{sha256}"
unpack = true
keep = {keep}
urls = {urls}
layout = {{ {layout} }}
"""
COCO_LAYOUTS = {
    "val2017": '"val2017/*.jpg" = 12',
    "instances": '"annotations/instances_val2017.json" = 1',
    "panoptic": '"annotations/panoptic_val2017.json" = 1, "panoptic_val2017/*.png" = 12',
    "stuff": '"annotations/stuff_val2017.json" = 1',
}
COCO_NAMES = {1: "person", 18: "dog", 44: "bottle"}


def jpeg(number, size=9000):
    """The frame of a JPEG of 64x48 pixels around noise."""
    frame = b"\xff\xc0\x00\x11\x08" + (48).to_bytes(2, "big") + (64).to_bytes(2, "big") + b"\x03" + bytes(9)
    noise = random.Random(number).getrandbits(8 * size).to_bytes(size, "little")
    return b"\xff\xd8" + frame + b"\xff\xda\x00\x02" + noise + b"\xff\xd9"


def zipped(members):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in members.items():
            out.writestr(name, content)
    return packed.getvalue()


def tiny_coco():
    """Twelve images with all annotations, packed as COCO packs them: file name -> bytes."""
    ids = [7 * number for number in range(1, 13)]
    entries = [{"id": each, "file_name": f"{each:012}.jpg", "width": 64, "height": 48} for each in ids]
    instances = [{"id": 10 * each + k, "image_id": each, "category_id": category, "iscrowd": 0, "area": 4,
                  "bbox": [0, 0, 2, 2], "segmentation": [[0, 0, 2, 0, 2, 2]]}
                 for each in ids for k, category in enumerate([1, 18, 44][: 1 + each % 3])]  # fmt: skip
    panoptic = [{"image_id": each, "file_name": f"{each:012}.png", "segments_info": [
                 {"id": k, "category_id": category} for k, category in enumerate([1, 18, 44][: 1 + each % 3])]}
                for each in ids]  # fmt: skip
    stuff = [{"id": each, "image_id": each, "category_id": 44, "bbox": [0, 0, 1, 1]} for each in ids]
    categories = [{"id": key, "name": name} for key, name in COCO_NAMES.items()]
    json_of = {kind: json.dumps({"info": {}, "images": entries, "annotations": rows, "categories": categories}).encode()
               for kind, rows in (("instances", instances), ("panoptic", panoptic), ("stuff", stuff))}  # fmt: skip
    masks = zipped({f"panoptic_val2017/{each:012}.png": b"\x89PNG %d" % each for each in ids})
    images = {entry["file_name"]: jpeg(entry["id"]) for entry in entries}
    return {
        "val2017.zip": zipped({f"val2017/{name}": content for name, content in images.items()}),
        "instances.zip": zipped({"annotations/instances_val2017.json": json_of["instances"]}),
        "panoptic.zip": zipped({"annotations/panoptic_val2017.json": json_of["panoptic"],
                                "annotations/panoptic_val2017.zip": masks, "__MACOSX/._x": b"clutter"}),
        "stuff.zip": zipped({"annotations/stuff_val2017.json": json_of["stuff"]}),
        **images,
    }  # fmt: skip


def write_coco(folder, files, urls, image_urls):
    """A registry with the one data set "coco": `urls` are addresses of folders with the archives."""
    (folder / "coco").mkdir(parents=True)
    text = COCO_TOML.format(image_urls=list(image_urls))
    for part, layout in COCO_LAYOUTS.items():
        name = f"{part}.zip"
        text += COCO_FILE.format(part=part, name=name, size_bytes=len(files[name]), sha256=sha256(files[name]),
                                 keep=str(part != "val2017").lower(), urls=[f"{url}/{name}" for url in urls],
                                 layout=layout)  # fmt: skip
    (folder / "coco" / "dataset.toml").write_text(text, encoding="utf-8")

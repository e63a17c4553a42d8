"""Feed every reader of files with what is nearly right: 500 mutations of a valid file each, by a seed.

    .venv/cpu/bin/python scripts/fuzz.py                  # all readers that this environment can run
    .venv/cpu/bin/python scripts/fuzz.py idx bundle --count 25 --seed 7

A reader takes what it is given or refuses it with a UserError (a documented ValueError in files of the program's own).
Anything else is a defect: a traceback, a crash, more than a gigabyte of memory or more than ten seconds. To add a
reader, add a `Reader` to READERS: how a valid file is made, and what reads it.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import io
import json
import os
import random
import re
import resource
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import traceback
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from labkit.base.errors import UserError  # noqa: E402  (once the repository is on the path)

BATCH = 50  # mutations for each process
MOST_BYTES = 1 << 30  # of memory beyond what the process had when it began
MOST_S = 10  # for one file


@dataclass(frozen=True)
class Reader:
    """`make(drawn)` gives a valid file's bytes, `read(path, folder)` reads it, in a folder where nothing else is."""

    make: Callable[[random.Random], bytes]
    read: Callable[[Path, Path], object]
    name: str = "file"  # of the file
    documented: tuple[type[Exception], ...] = ()  # what else it says that it raises
    needs: str = ""  # a module that only some environments have


# --- valid files ------------------------------------------------------------------------------------------------------


def cifar(drawn: random.Random) -> bytes:
    import pickle

    import numpy as np

    content = {
        "batch_label": "training batch 1 of 5",
        "labels": [drawn.randrange(10) for _ in range(4)],
        "data": np.frombuffer(drawn.getrandbits(8 * 4 * 3072).to_bytes(4 * 3072, "little"), np.uint8).reshape(4, 3072),
        "filenames": ["a.png"] * 4,
    }
    return pickle.dumps(content, drawn.choice((0, 2, 3, 4)))


def idx(drawn: random.Random) -> bytes:
    return bytes([0, 0, 8, 3]) + struct.pack(">3I", 3, 4, 5) + bytes(drawn.randrange(256) for _ in range(60))


def toml(drawn: random.Random, which: str = "datasets/*/dataset.toml") -> bytes:
    return drawn.choice(sorted(ROOT.glob(which))).read_bytes()


def settings_toml(drawn: random.Random) -> bytes:
    return b'mirror = "cn"\ndata = "/data"\ndevice = "cpu"\nvisdom_port = "9000"\ndetectron2 = "d==1"\n'


def tar(drawn: random.Random, mode: str = "w") -> bytes:
    out = io.BytesIO()
    form = drawn.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT))
    with tarfile.open(fileobj=out, mode=mode, format=form) as packed:  # type: ignore[call-overload]
        for name in ("top/one.jpg", "top/" + "long" * 20 + ".jpg", "top/sub/two.jpg"):
            info = tarfile.TarInfo(name)
            info.size = drawn.randrange(600)
            packed.addfile(info, io.BytesIO(bytes(info.size)))
    return out.getvalue()


def zipped(drawn: random.Random) -> bytes:
    out = io.BytesIO()
    method = drawn.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    with zipfile.ZipFile(out, "w", method) as packed:
        for name in ("top/one.jpg", "top/sub/two.jpg"):
            packed.writestr(name, bytes(drawn.randrange(600)))
    return out.getvalue()


def coco_json(drawn: random.Random) -> bytes:
    content = {
        "images": [{"id": k, "file_name": f"{k}.jpg", "width": 64, "height": 48} for k in range(3)],
        "annotations": [
            {"id": k, "image_id": k, "category_id": 1, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0,
             "segmentation": [[1, 1, 5, 1, 5, 5]]}
            for k in range(3)
        ],
        "categories": [{"id": 1, "name": "person"}],
    }  # fmt: skip
    return json.dumps(content).encode()


def record(drawn: random.Random) -> bytes:
    sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    return json.dumps({
        "format": 1, "kind": "verified", "source": "example.com", "when": "2026-11-27T00:00:00Z",
        "files": {"MNIST/raw/one": {"size_bytes": 4, "sha256": sha256}}, "layout": {"MNIST/raw/*": 1},
        "what": [[], 0, []],
    }).encode()  # fmt: skip


def bundle_file(drawn: random.Random) -> bytes:
    import hashlib

    shakespeare = b"To be"
    state = {"format": 1, "kind": "unverified", "source": "x", "when": "x", "what": [[], 0, []],
             "files": {"input.txt": {"size_bytes": 5, "sha256": hashlib.sha256(shakespeare).hexdigest()}}}  # fmt: skip
    content = {"data/shakespeare/input.txt": shakespeare, "data/shakespeare/.state.json": json.dumps(state).encode()}
    files = {
        name: {"size_bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()} for name, text in content.items()
    }
    manifest = json.dumps({"format": 1, "stacks": [], "data": ["shakespeare"], "files": files}).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as packed:
        for name, text in {"manifest.json": manifest, **content}.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            packed.addfile(info, io.BytesIO(text))
    return out.getvalue()


def advisory(drawn: random.Random) -> bytes:
    events = [{"introduced": "0"}, {"fixed": "10.0.1"}, {"introduced": "11"}, {"last_affected": "11.2"}]
    package = {"ecosystem": "PyPI", "name": "pillow"}
    affected = {"package": package, "versions": ["9.5.0"], "ranges": [{"type": "ECOSYSTEM", "events": events}]}
    entry = {"id": "GHSA-1", "aliases": ["CVE-2023-4863"], "summary": "a heap overflow", "affected": [affected]}
    vulnerability = {"id": "GHSA-1", "fix_versions": ["10.0.1"], "aliases": [], "description": "a heap overflow"}
    report = {"dependencies": [{"name": "pillow", "version": "9.5.0", "vulns": [vulnerability]}], "fixes": []}
    written = json.dumps(drawn.choice((entry, [entry], {"vulns": [entry]}, report))).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("GHSA-1.json", written)
    return drawn.choice((written, written, out.getvalue()))


def image(drawn: random.Random) -> bytes:
    import cv2
    import numpy as np

    pixels = np.frombuffer(drawn.getrandbits(8 * 16 * 12 * 3).to_bytes(16 * 12 * 3, "little"), np.uint8)
    suffix = drawn.choice((".png", ".jpg", ".bmp", ".tiff", ".webp"))
    return bytes(cv2.imencode(suffix, pixels.reshape(12, 16, 3))[1])


def rows_of_houses(drawn: random.Random) -> bytes:
    lines = ["RM,LSTAT,MEDV", *(f"{drawn.uniform(3, 9):.3f},{drawn.uniform(1, 40):.2f},{drawn.randrange(50)}"
                                for _ in range(drawn.randrange(1, 6)))]  # fmt: skip
    return drawn.choice((b"", b"\xef\xbb\xbf")) + drawn.choice(("\n", "\r\n")).join(lines).encode()


def checkpoint(drawn: random.Random, old: bool = False) -> bytes:
    import torch

    out = io.BytesIO()
    content = {"lab": "cifar10", "config": {"lr": 0.1}, "step": 3, "state": torch.nn.Linear(3, 2).state_dict()}
    torch.save(content, out, **({"_use_new_zipfile_serialization": False} if old else {}))
    return out.getvalue()


# --- readers ----------------------------------------------------------------------------------------------------------


def read_cifar(path: Path, folder: Path) -> object:
    from labkit.data import cifar

    (folder / "cifar-10-batches-py").mkdir()
    path.rename(folder / "cifar-10-batches-py" / "test_batch")
    return cifar.load(folder, "cifar10", "test")


def read_idx(path: Path, folder: Path) -> object:
    from labkit.data import idx

    return idx.load(path)


def read_toml(path: Path, folder: Path) -> object:
    from labkit.base import typed
    from labkit.data import registry

    return typed.from_toml(path, registry.Dataset, name="it")


def read_archive(path: Path, folder: Path) -> object:
    from labkit.data import archives

    return archives.unpack(path, folder / "out", 1_000_000)


def read_coco(path: Path, folder: Path) -> object:
    from labkit.data import coco

    content = coco.parse(path.read_bytes(), path.name)
    return coco.choose({"instances": content}, 2, ("person",))


def read_record(path: Path, folder: Path) -> object:
    from labkit.data import registry, store

    return store.read_state(registry.find("mnist"), folder)


def read_bundle(path: Path, folder: Path) -> object:
    from labkit import bundle
    from labkit.base import settings

    settings.use(data=str(folder / "data"))
    return bundle.use(path)


def read_advisories(path: Path, folder: Path) -> object:
    from labkit.stacks import advisories

    return advisories.as_json("notes/index", advisories.read(path, [advisories.Pin("pillow", "9.5.0", ("3.8",))]))


def read_checkpoint(path: Path, folder: Path) -> object:
    from labkit.runs import compat

    return compat.load(path)


def read_rows(path: Path, folder: Path) -> object:
    from labs.housing import rows

    return rows.own(path, ["RM", "LSTAT"], "MEDV")


def words_of_requests(drawn: random.Random) -> bytes:
    from labs.rnn import corpus  # noqa: F401 - what it imports is no part of what a file costs

    lines = [" ".join(drawn.choice(("play", "北京", "rain")) for _ in range(3)) for _ in range(20)]
    return "\n".join(lines).encode()


def read_requests(path: Path, folder: Path) -> object:
    from labs.rnn import corpus

    (folder / "seq.out").write_text("\n".join(["O B-a I-a"] * 20), encoding="utf-8")
    return corpus.read_split(folder, "snips")


def lines_of_a_text(drawn: random.Random) -> bytes:
    from labs.bert import corpus  # noqa: F401 - what it imports is no part of what a file costs

    words = ("play", "rain", "北京", *"abcdefghijklmnopqrstuvwxyz")
    lines = ["\n".join(" ".join(drawn.choice(words) for _ in range(3)) for _ in range(4)) for _ in range(60)]
    return "\n\n".join(lines).encode()


def read_text(path: Path, folder: Path) -> object:
    from labs.bert import corpus

    return corpus.of_text(path, "")


def words_of_pairs(drawn: random.Random) -> bytes:
    from labkit.runs import pairs  # noqa: F401 - what it imports is no part of what a file costs

    lines = [f"{drawn.choice(('Run', 'I see', 'Why'))} {k}.\t{drawn.choice('跑看何')}。\torigin" for k in range(20)]
    return "\n".join(lines).encode()


def read_pairs(path: Path, folder: Path) -> object:
    from labkit.runs import pairs

    return pairs.read(path)


def letters_of_a_text(drawn: random.Random) -> bytes:
    from labs.transformer import characters  # noqa: F401 - what it imports is no part of what a file costs

    return "\n".join("".join(drawn.choice("to be or not 北京") for _ in range(40)) for _ in range(64)).encode()


def read_letters(path: Path, folder: Path) -> object:
    from labs.transformer import characters

    return characters.of_text(path, "")


def read_image(path: Path, folder: Path) -> object:
    from labkit.data import image_files

    return image_files.read_image(path)


def of_run(name: str) -> Reader:
    """A record of a run: it is listed, reported, compared and asked whether it can be resumed."""
    (whole,) = (ROOT / "tests" / "data_runs" / "cifar10").iterdir()

    def read(path: Path, folder: Path) -> object:
        from labkit.base import settings
        from labkit.runs import comparison, options, records, report, resume
        from labs.cifar10.config import PRESETS, Config

        runs = [folder / "runs" / "cifar10" / one for one in ("a", "b")]
        for run in runs:
            shutil.copytree(whole, run)
            (run / "summary.json").write_text('{"status": "stopped"}')
        path.replace(runs[0] / name)
        settings.use(runs=str(folder / "runs"))
        report.render(runs[0])
        comparison.render(runs)
        request = options.parse(["--resume", str(runs[0])], Config, PRESETS, "cifar10")
        return [records.table(), resume.find(request, Config, "cifar10")]

    return Reader(lambda drawn: (whole / name).read_bytes(), read, needs="jinja2")


def read_lab(path: Path, folder: Path) -> object:
    from labkit.base import labs, typed

    return typed.from_toml(path, labs.Lab, name="it")


def read_settings(path: Path, folder: Path) -> object:
    from labkit.base import settings

    return settings.read({}, path)


READERS = {
    **{name: of_run(name) for name in ("config.json", "env.json", "summary.json", "report.json", "metrics.jsonl")},
    "settings.toml": Reader(settings_toml, read_settings, "settings.toml"),
    "lab.toml": Reader(lambda drawn: toml(drawn, "labs/*/lab.toml"), read_lab, "lab.toml", documented=(ValueError,)),
    "cifar": Reader(cifar, read_cifar, needs="numpy"),
    "idx": Reader(idx, read_idx, needs="numpy"),
    "dataset.toml": Reader(toml, read_toml, "dataset.toml", documented=(ValueError,)),
    "bundle": Reader(bundle_file, read_bundle, "class.tar", needs="invoke"),
    "tar": Reader(tar, read_archive, "a.tar"),
    "tar.gz": Reader(lambda drawn: tar(drawn, "w:gz"), read_archive, "a.tar.gz"),
    "tar.xz": Reader(lambda drawn: tar(drawn, "w:xz"), read_archive, "a.tar.xz"),
    "gz": Reader(lambda drawn: gzip.compress(bytes(drawn.randrange(900))), read_archive, "a.gz"),
    "zip": Reader(zipped, read_archive, "a.zip"),
    "coco": Reader(coco_json, read_coco, "instances.json"),
    ".state.json": Reader(record, read_record, ".state.json"),
    "advisories": Reader(advisory, read_advisories, "advisories.json", needs="invoke"),
    "checkpoint": Reader(checkpoint, read_checkpoint, "last.pt", needs="torch"),
    "old checkpoint": Reader(lambda drawn: checkpoint(drawn, old=True), read_checkpoint, "last.pt", needs="torch"),
    "row.csv": Reader(rows_of_houses, read_rows, "row.csv", needs="numpy"),
    "image": Reader(image, read_image, "a.png", needs="cv2"),
    "seq.in": Reader(words_of_requests, read_requests, "seq.in", needs="torch"),
    "text": Reader(lines_of_a_text, read_text, "text.txt", needs="torch"),
    "cmn.txt": Reader(words_of_pairs, read_pairs, "cmn.txt", needs="torch"),
    "letters": Reader(letters_of_a_text, read_letters, "input.txt", needs="torch"),
}


# --- mutations --------------------------------------------------------------------------------------------------------


def mutated(drawn: random.Random, whole: bytes) -> bytes:
    """`whole` with one to six changes: of single bytes, of stretches, of numbers, of values in a text."""
    data = bytearray(whole)
    for _ in range(drawn.randint(1, 6)):
        place, length = drawn.randrange(len(data) + 1), drawn.choice((1, 2, 4, 8, 64))
        change = drawn.randrange(8)
        if change == 0:
            data[place : place + 1] = bytes([drawn.randrange(256)])
        elif change == 1:
            del data[place : place + length]
        elif change == 2:
            data[place:place] = bytes(drawn.randrange(256) for _ in range(length))
        elif change == 3:
            data[place:place] = data[place : place + length] * drawn.choice((1, 2, 100))
        elif change == 4:
            number = drawn.choice((0, 1, 0x7F, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1))
            form = drawn.choice(("<Q", ">Q", "<I", ">I"))
            size = struct.calcsize(form)
            data[place : place + size] = struct.pack(form, number % 2 ** (8 * size))
        elif change == 5:
            del data[max(place, 1) :]
        else:
            data = bytearray(in_text(drawn, bytes(data)))
    return bytes(data)


def in_text(drawn: random.Random, data: bytes) -> bytes:
    """`data` with a word, a number or a text in quotes changed into something else."""
    words = list(re.finditer(rb'"[^"\n]{0,40}"|-?\d+|true|false|null|\[\]|\{\}', data))
    if not words:
        return data
    word = drawn.choice(words)
    other = drawn.choice((
        b"null", b"true", b"-1", b"0", b"1e999", b"NaN", b"9" * 400, b'""', b'"../../evil"', b'"\\u0000"', b'"\\ud800"',
        b"[]", b"{}", b"[" * 2000, b'"' + b"n" * 400 + b'"', b'"\\u202e"', b"1.5", b'{"id": 1}',
    ))  # fmt: skip
    return data[: word.start()] + other + data[word.end() :]


# --- running them -----------------------------------------------------------------------------------------------------


def attempt(name: str, number: int, seed: int, folder: Path) -> str:
    """How one mutation ends: "taken", "refused" or "TRACEBACK ..."."""
    reader, drawn = READERS[name], random.Random(f"{name} {seed} {number}")
    path = folder / reader.name
    path.write_bytes(mutated(drawn, reader.make(drawn)) if number else reader.make(drawn))
    try:
        reader.read(path, folder)
        return "taken"
    except UserError as error:
        return "refused" if "\n" not in error.message.strip() else f"TRACEBACK two lines: {error.message!r}"
    except reader.documented:
        return "refused"
    except Exception:
        return f"TRACEBACK {traceback.format_exc()}"


def work(name: str, first: int, last: int, seed: int) -> None:
    """In a process of its own: print one line for each mutation, before it and after it."""
    READERS[name].make(random.Random(0))  # what it imports is no part of what a file costs
    now_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now_bytes + MOST_BYTES,) * 2)
    for number in range(first, last):
        print(json.dumps([number, "begun"]), flush=True)
        resource.setrlimit(resource.RLIMIT_CPU, (int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2])) + MOST_S, -1))
        with tempfile.TemporaryDirectory() as folder:
            ended = attempt(name, number, seed, Path(folder))
        print(json.dumps([number, ended]), flush=True)


def outcomes(name: str, count: int, seed: int) -> tuple[collections.Counter[str], list[str]]:
    """How many of `count` mutations ended in which way, and of each defect what it was."""
    ways: collections.Counter[str] = collections.Counter()
    defects, first = [], 0
    while first < count:
        last = min(first + BATCH, count)
        command = [sys.executable, __file__, name, "--work", str(first), str(last), "--seed", str(seed)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        number, ended = first, "begun"
        for line in done.stdout.splitlines():
            number, ended = json.loads(line)
            if ended != "begun":
                ways[ended.partition(" ")[0]] += 1
                if ended.startswith("TRACEBACK"):
                    defects.append(f"{name} {number}: {ended}")
        if ended == "begun":  # it did not come back from this one
            ways["CRASH"] += 1
            defects.append(f"{name} {number}: exit status {done.returncode}: {done.stderr[-2000:]}")
        first = number + 1
    return ways, defects


def can_run(name: str) -> bool:
    import importlib.util

    needs = READERS[name].needs
    return not needs or importlib.util.find_spec(needs) is not None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("readers", nargs="*", metavar="READER", help=", ".join(READERS))
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=int, nargs=2, help=argparse.SUPPRESS)
    options: Any = parser.parse_args()
    if options.work:
        os.environ["LAB_DATA"] = "/nonexistent"
        first, last = options.work
        work(options.readers[0], first, last, options.seed)
        return 0
    bad = 0
    for name in options.readers or READERS:
        if not can_run(name):
            print(f"{name}: {READERS[name].needs} is not in this environment")
            continue
        ways, defects = outcomes(name, options.count, options.seed)
        print(f"{name}: " + ", ".join(f"{number} {way}" for way, number in sorted(ways.items())), flush=True)
        print("\n".join(defects[:5]), end="\n" * bool(defects))
        bad += len(defects)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

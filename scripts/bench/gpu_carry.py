"""What a machine with an NVIDIA GPU and no network needs from here, to be carried there: packages, and CIFAR-10.

    scripts/bench/gpu.sh wheels .gpu/wheels     the packages that the labs need beside PyTorch, of the lock's versions
    scripts/bench/gpu.sh pack .gpu              CIFAR-10, from $LAB_DATA, as .gpu/1, .gpu/2, ...

There, gpu.py installs the one and unpacks the other. Runs in .venv/cpu, or for `wheels` in .venv/host.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

PART_BYTES = 55_000_000  # what is carried at once may be limited to 64 MiB, wheels and repository included
SIDE, COLUMNS = 32, 100  # images in a row of the page that is compressed

# What the labs import and an interpreter that was made for PyTorch may lack; the versions are those of the lock.
COMPILED = ("pycocotools", "tornado")
PURE = (
    *("tensorboardx", "fvcore", "iopath", "omegaconf", "hydra-core", "antlr4-python3-runtime", "yacs", "termcolor"),
    *("cloudpickle", "portalocker", "platformdirs", "invoke", "visdom", "websocket-client", "jsonpatch", "jsonpointer"),
    "panopticapi-lite",
)


def pack(folder: Path, part_bytes: int) -> None:
    """Write what $LAB_DATA holds of CIFAR-10 to `folder`/1, 2, ..., in parts of at most `part_bytes`.

    The images of a file become one page in lossless WebP: 102 MB in all, where the published archive has 170 and xz
    makes 140 of it. What is before and after them in the file stays as it is.
    """
    import numpy as np
    from PIL import Image

    from labkit.data import pickles, samples

    source = samples.locate("cifar10").path
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as packed:

        def add(name: str, data: bytes) -> None:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            packed.addfile(entry, io.BytesIO(data))

        for path in sorted(path for path in source.rglob("*") if path.is_file()):
            name, data = str(path.relative_to(source)), path.read_bytes()
            loaded = pickles.load(path) if "_batch" in path.name else {}
            pixels = np.asarray(loaded.get("data", ()), dtype=np.uint8)
            start = data.find(pixels.tobytes()) if pixels.size else -1
            if start < 0 or len(pixels) % COLUMNS:
                add(name, data)
                continue
            page = io.BytesIO()
            planes = pixels.reshape(-1, COLUMNS, 3, SIDE, SIDE).transpose(0, 3, 1, 4, 2)  # row, y, column, x, colour
            rows = np.ascontiguousarray(planes).reshape(-1, COLUMNS * SIDE, 3)
            Image.fromarray(rows).save(page, "webp", lossless=True, quality=75, method=6)
            add(f"{name}.webp", page.getvalue())
            add(f"{name}.head", data[:start])
            add(f"{name}.tail", data[start + pixels.size :])
    whole = content.getvalue()
    count = -(-len(whole) // part_bytes)
    size = -(-len(whole) // count)
    parts = {f"cifar10.{number + 1}": whole[number * size : (number + 1) * size] for number in range(count)}
    manifest = {"parts": {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()}}
    for number, (name, data) in enumerate(parts.items(), 1):
        target = folder / str(number)
        shutil.rmtree(str(target), ignore_errors=True)
        target.mkdir(parents=True)
        (target / name).write_bytes(data)
        (target / "cifar10.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        print(f"{target}: {len(data) / 1e6:.1f} MB")


def unpack(folder: Path) -> None:
    """Put CIFAR-10 together from the parts in `folder`, into $LAB_DATA; each file must have its recorded hash."""
    import numpy as np
    from PIL import Image

    from labkit.base import paths
    from labkit.data import importing, store

    if store.state("cifar10").kind != "absent":
        print(store.state("cifar10"))
        return
    whole = b""
    for name, wanted in json.loads((folder / "cifar10.json").read_text(encoding="utf-8"))["parts"].items():
        data = (folder / name).read_bytes()
        if hashlib.sha256(data).hexdigest() != wanted:
            sys.exit(f"{name} is damaged: carry it in again")
        whole += data
    staging = paths.data_dir() / ".cifar10.carried"
    shutil.rmtree(str(staging), ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(whole)) as packed:
        packed.extractall(str(staging))
    for page in sorted(staging.rglob("*.webp")):
        rows = np.asarray(Image.open(str(page))).reshape(-1, SIDE, COLUMNS, SIDE, 3)
        head, tail = page.with_suffix(".head"), page.with_suffix(".tail")
        pixels = np.ascontiguousarray(rows.transpose(0, 2, 4, 1, 3)).tobytes()
        page.with_suffix("").write_bytes(head.read_bytes() + pixels + tail.read_bytes())
        for part in (page, head, tail):
            part.unlink()
    print(importing.import_("cifar10", staging, unverified=True))
    shutil.rmtree(str(staging))


# ---- packages ----


def wheels(folder: Path) -> None:
    """Put into `folder` the wheels that the labs need beside PyTorch's own, with the hashes of the lock."""
    from labkit.stacks import catalog, detectron2_wheel, native

    stack = catalog.load("cpu")
    lock = stack.build().lock.read_text(encoding="utf-8") + detectron2_wheel.PANOPTICAPI.read_text(encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--python", str(native.python_of(stack))]  # one of the version that is there
    blocks = [block for block in re.split(r"\n(?=\S)", lock) if not re.search("python_full_version (<|==)", block)]
    pinned = {re.split("[= ]", block)[0]: block for block in blocks}
    folder.mkdir(parents=True, exist_ok=True)
    options = [f"--python-version={stack.python}", "--implementation=cp", "--only-binary=:all:"]
    options += [f"--platform=manylinux{version}_x86_64" for version in ("_2_28", "_2_17", "2014")]
    for names, how in ((COMPILED, ["download", *options, "-d"]), (PURE, ["wheel", "-w"])):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("\n".join(pinned[name] for name in names))
            file.flush()
            command = [*pip, how[0], "--quiet", "--no-deps", "--require-hashes", *how[1:]]
            subprocess.run([*command, str(folder), "-r", file.name], check=True)
    detectron2_wheel.make(stack, folder)
    print(f"{folder}: {sum(path.stat().st_size for path in folder.glob('*.whl')) / 1e6:.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("wheels", "pack", "unpack"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part-mb", type=float, default=PART_BYTES / 1e6, help="of pack (default: %(default)s)")
    given = parser.parse_args()
    if given.what == "pack":
        pack(given.folder, int(given.part_mb * 1e6))
    else:
        {"wheels": wheels, "unpack": unpack}[given.what](given.folder)


if __name__ == "__main__":
    main()

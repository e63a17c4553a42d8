"""Make a wheel of detectron2 from its published source: no compiler, no PyTorch, the same bytes every time.

    python make_wheel.py pb1-detectron2-0.6.tar.gz FOLDER        prints the path of the wheel

detectron2 compiles two rare operators (rotated boxes, deformable convolution) and a faster COCO evaluation; all else is
Python over torchvision's operators. The wheel has a stand-in for the compiled module, which says in one sentence what
needs it. The few places that today's NumPy, Pillow and PyTorch, or the PyTorch 1.5 of the notes, understand differently
are replaced; a place that is not found as often as it should be stops everything, so no half-changed wheel is made.

The archive is trusted: its hash was compared before (docker/locks). Needs only the standard library.
"""

from __future__ import annotations

import base64
import hashlib
import re
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple


class Change(NamedTuple):
    """In `path` (a regular expression of whole paths) `old` becomes `new`, `times` times in all."""

    path: str
    old: str
    new: str
    times: int


NOT_COMPILED = '''"""Stands in for the module that detectron2 compiles."""


def get_compiler_version():  # for the list of versions that every training of detectron2 begins with
    return "none: Python alone"


get_cuda_version = get_compiler_version


def has_cuda():
    return False


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    raise NotImplementedError(
        "rotated boxes and deformable convolution need a compiled detectron2, and this one is Python alone: "
        "./inv config set detectron2 WHEEL, then ./inv setup (labs/detectron2/README.md)"
    )
'''

COMMON = (
    # The evaluation that is compiled has the same results as pycocotools' own, which is used instead.
    Change("detectron2/evaluation/coco_evaluation.py", "from detectron2.evaluation.fast_eval_api import COCOeval_opt\n",
           "COCOeval_opt = COCOeval\n", 1),
    Change("detectron2/layers/nms.py", "    return torch.ops.detectron2.nms_rotated(",
           "    from detectron2 import _C\n\n    return _C.nms_rotated(", 1),
    # caffe2 is no longer part of PyTorch, and that of PyTorch 1.5 does not work with today's protobuf.
    Change("detectron2/export/__init__.py", "from .api import *\n",
           "try:\n    from .api import *\nexcept (ImportError, TypeError):\n    pass\n", 1),
    # Both versions left the optimizer's state out of checkpoints, so a resumed training began with other momenta.
    Change("detectron2/engine/defaults.py", "    def resume_or_load(self, resume=True):\n", '''    def state_dict(self):
        return {**super().state_dict(), "_trainer": self._trainer.state_dict()}

    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict)
        if "_trainer" in state_dict:
            self._trainer.load_state_dict(state_dict["_trainer"])

    def resume_or_load(self, resume=True):
''', 1),
    # pkg_resources left setuptools.
    Change("detectron2/model_zoo/model_zoo.py", "import pkg_resources\n", "", 1),
    Change("detectron2/model_zoo/model_zoo.py",
           'pkg_resources.resource_filename(\n        "detectron2.model_zoo", '
           'os.path.join("configs", config_path)\n    )',
           'os.path.join(os.path.dirname(os.path.abspath(__file__)), "configs", config_path)', 1),
    # Python 3.11 no longer draws from a set, and 3.13 has no warn.
    Change("detectron2/data/common.py", "sample(self._fallback_candidates, k=1)",
           "sample(sorted(self._fallback_candidates), k=1)", 1),
    Change(".*", r"logger\.warn\(", "logger.warning(", 9),
    Change("detectron2/data/transforms/transform.py", "interp=Image.LINEAR", "interp=Image.BILINEAR", 1),  # Pillow 10
)  # fmt: skip

NUMPY_NAMES = r"\bnp\.(int|float|bool|str)\b"  # NumPy 1.24 dropped them; they were Python's own types

# In PyTorch 2 the schedulers are no longer of the class _LRScheduler, and their state stayed out of checkpoints.
MODERN = (
    Change("detectron2/engine/hooks.py", "lr_scheduler._LRScheduler", "lr_scheduler.LRScheduler", 2),
)  # fmt: skip

# What PyTorch 1.5 and torchvision 0.6 lack of what detectron2 0.5 takes from 1.7 and 0.7.
NOTES = (
    Change("detectron2/modeling/.*|detectron2/projects/.*", r"(self\.register_buffer\(.*), False\)", r"\1)", 12),
    Change("detectron2/modeling/anchor_generator.py", ", persistent=False)", ")", 1),
    Change("detectron2/structures/image_list.py|detectron2/modeling/proposal_generator/proposal_utils.py",
           "torch.jit.is_tracing()", "torch._C._get_tracing_state() is not None", 2),
    Change("detectron2/layers/roi_align.py", "assert version >= (0, 7), \"Require torchvision >= 0.7\"",
           "assert version >= (0, 6), \"Require torchvision >= 0.6\"", 1),
)  # fmt: skip

CHANGES = {
    "0.6": (*COMMON, *MODERN, Change(".*", NUMPY_NAMES, r"\1", 19)),
    "0.5": (*COMMON, Change(".*", NUMPY_NAMES, r"\1", 18), *NOTES),
}

# As setup.py does it: three of the projects are part of the package.
PROJECTS = {
    "projects/PointRend/point_rend/": "detectron2/projects/point_rend/",
    "projects/DeepLab/deeplab/": "detectron2/projects/deeplab/",
    "projects/Panoptic-DeepLab/panoptic_deeplab/": "detectron2/projects/panoptic_deeplab/",
}

METADATA = """Metadata-Version: 2.1
Name: detectron2
Version: {version}
Summary: Detectron2 {release}, Python alone, with small changes by torch-labs
Home-page: https://github.com/facebookresearch/detectron2
License: Apache-2.0
"""
WHEEL = "Wheel-Version: 1.0\nGenerator: make_wheel.py\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def read(archive: Path) -> tuple[dict[str, str], str]:
    """The files of the package (path -> text) and its licence, from the source archive."""
    files, licence = {}, ""
    with tarfile.open(archive) as packed:
        for member in packed:
            path = member.name.partition("/")[2]
            stream = packed.extractfile(member) if member.isfile() else None
            if stream and path == "LICENSE":
                licence = stream.read().decode()
            for source, target in {"detectron2/": "detectron2/", **PROJECTS}.items():
                if stream and path.startswith(source) and path.endswith((".py", ".yaml")):
                    files[target + path[len(source) :]] = stream.read().decode()
    return files, licence


def change(files: dict[str, str], changes: tuple[Change, ...]) -> None:
    """Make the changes in place. Raises SystemExit for one that does not fit."""
    for path, old, new, times in changes:
        # A backslash marks what is a regular expression; everything else is meant literally.
        pattern, replacement = (old, new) if "\\" in old else (re.escape(old), new.replace("\\", r"\\"))
        found = 0
        for name in files:
            if re.fullmatch(path, name):
                files[name], count = re.subn(pattern, replacement, files[name])
                found += count
        if found != times:
            raise SystemExit(f"make_wheel.py: {old!r} is {found} times in {path}, expected {times}")


def write(files: dict[str, str], licence: str, release: str, folder: Path) -> Path:
    """Write the wheel into `folder`: sorted, without times, not compressed (compressed bytes differ between zlibs)."""
    version = f"{release}+python"
    info = f"detectron2-{version}.dist-info"
    metadata = METADATA.format(version=version, release=release)
    every = {**files, f"{info}/LICENSE": licence, f"{info}/METADATA": metadata, f"{info}/WHEEL": WHEEL}
    rows = []
    for name in sorted(every):
        content = every[name].encode()
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        rows.append(f"{name},sha256={digest},{len(content)}\n")
    every[f"{info}/RECORD"] = "".join(rows) + f"{info}/RECORD,,\n"
    wheel = folder / f"detectron2-{version}-py3-none-any.whl"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_STORED) as packed:
        for name in sorted(every, key=lambda name: (name.startswith(info), name)):
            entry = zipfile.ZipInfo(name)  # dated 1980
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            packed.writestr(entry, every[name].encode())
    return wheel


def main(archive: Path, folder: Path) -> Path:
    files, licence = read(archive)
    found = re.search(r'^__version__ = "([\d.]+)"', files.get("detectron2/__init__.py", ""), re.MULTILINE)
    if not found or found[1] not in CHANGES:
        raise SystemExit(f"make_wheel.py: {archive.name} holds no detectron2 {' or '.join(CHANGES)}")
    change(files, CHANGES[found[1]])
    files["detectron2/_C.py"] = NOT_COMPILED
    return write(files, licence, found[1], folder)


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), Path(sys.argv[2])))

"""Stacks: which pinned set of Ubuntu, CUDA, Python and PyTorch a lab runs on, and why.

`docker/stacks/NAME.toml` holds what we choose, `docker/facts.toml` what exists in the world. Everything here is a pure
function of those two and of what `labkit.stacks.machine` found, so every decision can be tested without the hardware.
"""

# The types are looked at while the program runs, also by Python 3.9: hence Dict and Optional, and no `annotations`.

import re
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import msgspec

from labkit.base import mirrors, tomlfile, typed
from labkit.base.errors import UserError, nearest
from labkit.base.paths import ROOT
from labkit.base.typed import Record

STACKS = ROOT / "docker" / "stacks"
LOCKS = ROOT / "docker" / "locks"


class Build(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way to get a stack's PyTorch, a [[build]]: where its wheels come from and the lock that pins them."""

    name: str
    cuda: str  # "" without CUDA
    lock: Path  # in docker/locks
    disk_gb: float  # of the installed packages
    cudnn: str = ""  # major.minor, where it was seen
    wheels: str = ""  # address of a wheel index beside the package index; "" where the package index has them

    @property
    def pending(self) -> bool:
        """True until somebody with access to `wheels` has recorded its hashes (scripts/lock.py)."""
        return not self.lock.exists()


class Stack(Record, frozen=True, forbid_unknown_fields=True):
    """What `docker/stacks/NAME.toml` says. People write it by hand: a key that is not known is taken for a slip."""

    name: str  # of the file
    title: str
    base: str
    digest: str  # "sha256:..." or "pending"
    os: str
    python: str
    native_python: Tuple[str, ...]
    torch: str
    torchvision: str
    requirements: Path  # in docker/locks
    builds: Tuple[Build, ...] = msgspec.field(name="build")
    detectron2: str = ""  # the lock of its source, which becomes a wheel (labkit/stacks/detectron2_wheel.py)
    editor_base: str = ""  # base of the devcontainer, where the stack's own is too old for VS Code
    editor_digest: str = ""

    @property
    def for_editor(self) -> "Stack":
        """The stack on the base of its devcontainer."""
        if not self.editor_base:
            return self
        return msgspec.structs.replace(self, base=self.editor_base, digest=self.editor_digest)

    @property
    def locked(self) -> List[Build]:
        """The builds with recorded hashes, the preferred one first."""
        return [build for build in self.builds if not build.pending]

    @property
    def targets(self) -> List[str]:
        """The options of uv that resolve for every Python and platform on which the stack may run."""
        oldest = ["--python-version", min(self.native_python, key=version_key)]
        # glibc 2.23: newer wheels than manylinux2014 would not load there.
        old_glibc = self.os == "ubuntu 16.04"
        return [*oldest, *(["--python-platform", "x86_64-manylinux2014"] if old_glibc else ["--universal"])]

    def build(self, name: str = "") -> Build:
        """The build called `name`, or the first one that is locked. Raises UserError for an unknown name."""
        if name:
            for build in self.builds:
                if build.name == name:
                    return build
            hint = nearest(name, [build.name for build in self.builds])
            raise UserError(f"stack {self.name} has no build '{name}' ({hint})", "./inv doctor")
        return [*self.locked, self.builds[0]][0]


def label(stack: Stack, build: Build) -> str:
    """How a build is named for the reader and for `--stack`."""
    return f"{stack.name}/{build.name}"


def pins(lock: Path) -> str:
    """What a lock says, without its comments: fingerprints are made of this text."""
    return re.sub(r"^[ ]*#.*\n|[ ]+#.*", "", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)


def names() -> List[str]:
    """The names of all stacks, in alphabetical order."""
    return sorted(path.stem for path in STACKS.glob("*.toml"))


def load(name: str) -> Stack:
    """The stack called `name`. Raises UserError that offers the nearest name where there is none."""
    if name not in names():
        raise UserError(f"there is no stack '{name}' ({nearest(name, names())})", "./inv doctor")
    return typed.from_toml(STACKS / f"{name}.toml", Stack, LOCKS, name=name)


def load_facts() -> Dict[str, Any]:
    """The tables of docker/facts.toml: `cuda`, `wheel` and `mirror`, each a list of rows, and the table `wsl`."""
    return tomlfile.load(mirrors.FACTS)


def check(stack: Stack, facts: Dict[str, Any]) -> List[str]:
    """What is wrong with `stack` in the light of `facts`, one sentence each; an empty list where nothing is."""
    wrong = []
    for base, digest in ((stack.base, stack.digest), (stack.editor_base, stack.editor_digest)):
        if base and digest != "pending" and not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            wrong.append(f"{stack.name}: the digest of {base} is neither a sha256 nor 'pending'")
    if not stack.builds:
        wrong.append(f"{stack.name}: no [[build]]")
    if stack.python not in stack.native_python:
        wrong.append(f"{stack.name}: python {stack.python} is not among native_python")
    for build in stack.builds:
        where = f"{stack.name}/{build.name}"
        wheel = find_wheel(facts, stack.torch, build.cuda)
        if wheel is None:
            wrong.append(f"{where}: no wheel of torch {stack.torch} for CUDA '{build.cuda}' in facts.toml")
            continue
        if wheel["torchvision"] != stack.torchvision:
            wrong.append(f"{where}: torch {stack.torch} goes with torchvision {wheel['torchvision']}")
        for python in stack.native_python:
            if python not in wheel["python"]:
                wrong.append(f"{where}: no wheel for Python {python}")
        if build.cuda and find_cuda(facts, build.cuda) is None:
            wrong.append(f"{where}: no row for CUDA {build.cuda} in facts.toml")
        if not build.pending:
            lock = build.lock.read_text(encoding="utf-8")
            for package, version in (("torch", stack.torch), ("torchvision", stack.torchvision)):
                if not re.search(rf"^{package}=={re.escape(version)}(\+\w+)?[ \\]", lock, re.MULTILINE):
                    wrong.append(f"{where}: {build.lock.name} does not pin {package} {version}")
    return wrong


def find_wheel(facts: Dict[str, Any], torch: str, cuda: str) -> Optional[Dict[str, Any]]:
    """The row of facts.toml about this torch built with this CUDA."""
    return next((row for row in facts["wheel"] if (row["torch"], row["cuda"]) == (torch, cuda)), None)


def find_cuda(facts: Dict[str, Any], version: str) -> Optional[Dict[str, Any]]:
    """The row of facts.toml about this CUDA version."""
    return next((row for row in facts["cuda"] if row["version"] == version), None)


def version_key(version: str) -> Tuple[int, ...]:
    """'525.60.13' as (525, 60, 13), so that versions compare as numbers."""
    return tuple(int(part) for part in re.findall(r"\d+", version))

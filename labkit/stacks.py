"""Stacks: which pinned set of Ubuntu, CUDA, Python and PyTorch a lab runs on, and why.

`docker/stacks/NAME.toml` holds what we choose, `docker/facts.toml` what exists in the world. Everything here is a pure
function of those two and of what `labkit.machine` found, so every decision can be tested without the hardware.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit import tomlfile
from labkit.errors import UserError, nearest
from labkit.paths import ROOT

STACKS = ROOT / "docker" / "stacks"
LOCKS = ROOT / "docker" / "locks"
FACTS = ROOT / "docker" / "facts.toml"

# Newest first: the first one that a GPU and its driver can run is taken.
GPU_STACKS = ("cu130", "cu126", "cu118", "notes")
NEWEST_DRIVER = "999999"


@dataclass(frozen=True)
class Build:
    """One way to get a stack's PyTorch: where its wheels come from and the lock that pins them."""

    name: str
    cuda: str  # "" without CUDA
    lock: Path
    cudnn: str = ""  # major.minor, where it was seen
    wheels: str = ""  # address of a wheel index beside the package index; "" where the package index has them

    @property
    def pending(self) -> bool:
        """True until somebody with access to `wheels` has recorded its hashes (scripts/lock.py)."""
        return not self.lock.exists()


@dataclass(frozen=True)
class Stack:
    """What `docker/stacks/NAME.toml` says."""

    name: str
    title: str
    base: str
    digest: str  # "sha256:..." or "pending"
    os: str
    python: str
    native_python: tuple[str, ...]
    torch: str
    torchvision: str
    requirements: Path
    disk_gb: float
    builds: tuple[Build, ...]
    detectron2: str = ""  # the lock of its source, which becomes a wheel (labkit/detectron2_wheel.py)
    editor_base: str = ""  # base of the devcontainer, where the stack's own is too old for VS Code

    @property
    def image_gb(self) -> float:
        """Disk that building the image takes: the build stage, its copy in the image, and the cache."""
        return 2.5 * self.disk_gb

    @property
    def targets(self) -> list[str]:
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
            raise UserError(f"stack {self.name} has no build '{name}' ({hint}).")
        return next((build for build in self.builds if not build.pending), self.builds[0])


@dataclass(frozen=True)
class Gpu:
    """A graphics card as nvidia-smi describes it."""

    name: str
    capability: str  # compute capability, "8.6"; "" where the driver is too old to say
    memory_mb: int = 0


@dataclass(frozen=True)
class Choice:
    """A stack, which of its builds, whether the GPU is used, and the reason in one sentence.

    `recommended` is the label of what fits the GPU and its driver best, whether or not its hashes are recorded and
    whatever was asked for.
    """

    stack: Stack
    build: Build
    use_gpu: bool
    reason: str
    recommended: str

    @property
    def label(self) -> str:
        return label(self.stack, self.build)


def label(stack: Stack, build: Build) -> str:
    """How a build is named for the reader and for `--stack`."""
    return f"{stack.name}/{build.name}"


def names() -> list[str]:
    """The names of all stacks, in alphabetical order."""
    return sorted(path.stem for path in STACKS.glob("*.toml"))


def load(name: str) -> Stack:
    """The stack called `name`. Raises UserError that offers the nearest name where there is none."""
    if name not in names():
        raise UserError(f"there is no stack '{name}' ({nearest(name, names())}).", "invoke doctor")
    path = STACKS / f"{name}.toml"
    table = tomlfile.load(path)
    builds = tuple(Build(**{**row, "lock": LOCKS / row["lock"]}) for row in table.pop("build", []))
    try:
        return Stack(
            name=name,
            builds=builds,
            requirements=LOCKS / table.pop("requirements"),
            native_python=tuple(table.pop("native_python")),
            **table,
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None


def load_facts() -> dict[str, Any]:
    """The tables of docker/facts.toml: `cuda`, `wheel` and `mirror`, each a list of rows, and the table `wsl`."""
    return tomlfile.load(FACTS)


def check(stack: Stack, facts: dict[str, Any]) -> list[str]:
    """What is wrong with `stack` in the light of `facts`, one sentence each; an empty list where nothing is."""
    wrong = []
    if stack.digest != "pending" and not re.fullmatch(r"sha256:[0-9a-f]{64}", stack.digest):
        wrong.append(f"{stack.name}: digest is neither a sha256 nor 'pending'")
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


def find_wheel(facts: dict[str, Any], torch: str, cuda: str) -> dict[str, Any] | None:
    """The row of facts.toml about this torch built with this CUDA."""
    return next((row for row in facts["wheel"] if (row["torch"], row["cuda"]) == (torch, cuda)), None)


def find_cuda(facts: dict[str, Any], version: str) -> dict[str, Any] | None:
    """The row of facts.toml about this CUDA version."""
    return next((row for row in facts["cuda"] if row["version"] == version), None)


def find_mirror(name: str) -> dict[str, Any]:
    """The row of facts.toml about the mirrors called `name`, e.g. cn. Raises UserError for an unknown name."""
    mirrors = {row["name"]: row for row in load_facts()["mirror"]}
    if name not in mirrors:
        raise UserError(f"--mirror: there is no '{name}' ({nearest(name, list(mirrors))}).")
    return dict(mirrors[name])


def version_key(version: str) -> tuple[int, ...]:
    """'525.60.13' as (525, 60, 13), so that versions compare as numbers."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def covers(architectures: list[str], capability: str) -> bool:
    """Whether binaries for `architectures` ("8.0", or "12.0+PTX") run on a GPU of this compute capability.

    A binary X.Y runs on X.Z with Z >= Y; PTX runs on everything newer (CUDA C++ programming guide, section on binary
    and PTX compatibility).
    """
    gpu = version_key(capability)
    for architecture in architectures:
        built = version_key(architecture)
        if (built[0] == gpu[0] and built[1] <= gpu[1]) or ("+PTX" in architecture and built <= gpu):
            return True
    return False


def obstacle(stack: Stack, build: Build, gpus: list[Gpu], driver: str, wsl: bool, facts: dict[str, Any]) -> str:
    """Why this build cannot use these GPUs with this driver, as a clause; '' where it can."""
    if not gpus:
        return "no NVIDIA GPU was found"
    if stack.name == "cpu":
        return "this stack is for the CPU"
    wheel, needed = find_wheel(facts, stack.torch, build.cuda), needed_driver(build, wsl, facts)
    assert wheel is not None, f"check() lets no wheel without a row pass: {stack.torch}"
    if version_key(driver) < version_key(needed):
        return f"driver {driver} is older than the {needed} that CUDA {build.cuda} needs"
    for gpu in gpus:
        if not gpu.capability:
            return f"the driver does not say the compute capability of {gpu.name}"
        if not covers(wheel["architectures"], gpu.capability):
            return f"torch {stack.torch} with CUDA {build.cuda} has no code for {gpu.name} ({gpu.capability})"
        oldest = facts["wsl"]["min_capability"]
        if wsl and version_key(gpu.capability) < version_key(oldest):
            return f"WSL2 passes on GPUs from compute capability {oldest} on, and {gpu.name} has {gpu.capability}"
    return ""


def needed_driver(build: Build, wsl: bool, facts: dict[str, Any]) -> str:
    """The oldest driver that runs this build; under WSL2 the Windows driver."""
    cuda = find_cuda(facts, build.cuda)
    assert cuda is not None, f"check() lets no CUDA without a row pass: {build.cuda}"
    return str(cuda["min_driver_wsl" if wsl else "min_driver"])


def best(gpus: list[Gpu], driver: str, wsl: bool, facts: dict[str, Any]) -> tuple[Stack, Build] | None:
    """The newest stack that can use these GPUs with this driver, its locked builds first; None where none can."""
    for stack in map(load, GPU_STACKS):
        for build in sorted(stack.builds, key=lambda build: build.pending):
            if not obstacle(stack, build, gpus, driver, wsl, facts):
                return stack, build
    return None


def choose(gpus: list[Gpu], driver: str, wsl: bool = False, asked: str = "") -> Choice:
    """The stack to use on a machine with these GPUs and this driver, and the reason.

    `asked` is a stack's name, or NAME/BUILD, given by the user: it is taken as it is, on the CPU where the GPU cannot
    run it. Otherwise the newest stack that the driver and the compute capability of every GPU allow is taken, and the
    CPU where there is none. A build whose hashes nobody has recorded yet is used only when asked for.
    """
    facts = load_facts()
    cpu = load("cpu")
    found = best(gpus, driver, wsl, facts)
    recommended = label(*found) if found else label(cpu, cpu.build())
    if asked:
        stack_name, _, build_name = asked.partition("/")
        stack = load(stack_name)
        build = stack.build(build_name)
        why = obstacle(stack, build, gpus, driver, wsl, facts)
        reason = "you asked for it" + (f"; on the CPU, since {why}" if why else "")
        return Choice(stack, build, not why, reason, recommended)
    if found and not found[1].pending:
        return Choice(*found, True, f"driver {driver}, {gpus[0].name} ({gpus[0].capability})", recommended)
    advice = upgrade(gpus, driver, wsl, facts)
    if found:
        reason = f"the GPU can run {recommended}, whose wheels have no recorded hashes: ask for it with "
        reason += f"--stack {recommended}" + (f", or {advice}" if advice else "")
    else:
        able = best(gpus, NEWEST_DRIVER, wsl, facts)
        newest = load(GPU_STACKS[0])
        reason = obstacle(*able, gpus, driver, wsl, facts) if able else ""
        reason = reason or obstacle(newest, newest.build(), gpus, NEWEST_DRIVER, wsl, facts)
        reason += f": {advice}" if advice else ""
    return Choice(cpu, cpu.build(), False, reason, recommended)


def upgrade(gpus: list[Gpu], driver: str, wsl: bool, facts: dict[str, Any]) -> str:
    """The advice to upgrade the driver where a newer one would let these GPUs run a newer stack, else ''."""
    newest = best(gpus, NEWEST_DRIVER, wsl, facts)
    needed = needed_driver(newest[1], wsl, facts) if newest else "0"
    if newest is None or version_key(driver) >= version_key(needed):
        return ""
    return f"upgrade the {'Windows ' if wsl else ''}driver to {needed} or newer for {label(*newest)}"

"""`invoke doctor`: what this machine can do, what stands in the way, and the next command for each thing found.

`diagnose` is a pure function of the probes and the stacks, so every finding can be tested without the hardware.
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit import paths, stacks
from labkit.machine import Machine


@dataclass(frozen=True)
class Finding:
    """One thing the doctor saw. `level`: "ok", "note" (could be better) or "problem" (something will not work)."""

    level: str
    subject: str
    what: str
    next_command: str = ""


def diagnose(machine: Machine, asked: str = "") -> list[Finding]:
    """The findings for `machine`, in the order a person would check them."""
    choice = stacks.choose(list(machine.gpus), machine.driver, machine.wsl, asked)
    return [
        system(machine),
        gpu(machine, choice),
        Finding("ok", "stack", f"{choice.label}: {choice.stack.title} ({choice.reason})"),
        index(machine),
        engine(machine),
        disk(machine, choice.stack),
        data_folder(machine),
        allocator(machine),
        gui(machine),
    ]


def system(machine: Machine) -> Finding:
    what = f"{machine.system}{' (WSL2)' if machine.wsl else ''} {machine.architecture}, {machine.cores} cores"
    what += f", {machine.memory_gb:.0f} GB memory"
    if (machine.system, machine.architecture) != ("Linux", "x86_64"):
        return Finding("problem", "system", f"{what}: the stacks are for Linux on x86_64", "use WSL2 or Linux")
    if machine.memory_gb < 4:
        return Finding("note", "system", what + ": little memory, so keep other programs closed while training")
    return Finding("ok", "system", what)


def gpu(machine: Machine, choice: stacks.Choice) -> Finding:
    if not machine.gpus:
        return Finding("ok", "GPU", "none found by nvidia-smi: the labs run on the CPU")
    what = ", ".join(f"{gpu.name} ({gpu.capability or 'compute capability unknown'})" for gpu in machine.gpus)
    what += f", driver {machine.driver}"
    if choice.use_gpu:
        return Finding("ok", "GPU", what)
    return Finding("note", "GPU", f"{what}: not used, {choice.reason}", "see the table of drivers in README.md")


def index(machine: Machine) -> Finding:
    if machine.index == "":
        return Finding("ok", "package index", "answers")
    return Finding(
        "problem", "package index", f"does not answer: {machine.index}",
        "UV_DEFAULT_INDEX=https://pypi.tuna.tsinghua.edu.cn/simple invoke doctor",
    )  # fmt: skip


def engine(machine: Machine) -> Finding:
    found = machine.engine
    if found.problem:
        return Finding("ok", "container engine", f"{found.problem}: the labs run in environments of their own, .venv/")
    what = f"docker {found.version}{' (rootless)' if found.rootless else ''}, {found.builder or 'no builder'}"
    if not found.builder:
        return Finding("note", "container engine", f"{what}: images cannot be built", "sudo apt install docker-buildx")
    return Finding("ok", "container engine", f"{what}, {'Compose' if found.compose else 'our own Compose'}")


def disk(machine: Machine, stack: stacks.Stack) -> Finding:
    what = f"{machine.disk_free_gb:.0f} GB free in {paths.shown(paths.ROOT)}"
    if machine.disk_free_gb < stack.disk_gb:
        return Finding("problem", "disk", f"{what}, and stack {stack.name} takes {stack.disk_gb:g} GB", "invoke clean")
    return Finding("ok", "disk", what)


def data_folder(machine: Machine) -> Finding:
    folder = paths.data_dir()
    what = f"{paths.shown(folder)}, {machine.data_free_gb:.0f} GB free"
    if machine.data_free_gb < 1:
        what += ": too little for most data sets"
        return Finding("note", "data folder", what, "LAB_DATA=/larger/disk invoke doctor")
    return Finding("ok", "data folder", what)


def allocator(machine: Machine) -> Finding:
    if machine.tcmalloc:
        return Finding("ok", "allocator", f"tcmalloc ({machine.tcmalloc})")
    return Finding(
        "note", "allocator", "the C library's own; training on the CPU gains 10 to 25 % with tcmalloc",
        "sudo apt install libtcmalloc-minimal4",
    )  # fmt: skip


def gui(machine: Machine) -> Finding:
    if machine.gui_libraries:
        return Finding("ok", "OpenCV", "with windows (libGL is installed)")
    return Finding("note", "OpenCV", "without windows: cv2.imshow needs libGL", "sudo apt install libgl1")

"""What this machine is: the probes on which the doctor and the choice of a stack rest. Nothing is decided here."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from labkit import engine, paths
from labkit.engine import Engine
from labkit.programs import output_of, uv
from labkit.stacks import Gpu


@dataclass(frozen=True)
class Machine:
    """The findings of `probe`. Sizes in GB are 10^9 bytes."""

    system: str  # "Linux", "Darwin"
    architecture: str  # "x86_64"
    wsl: bool
    cores: int
    memory_gb: float
    disk_free_gb: float  # where the environments go
    data_free_gb: float  # where the data sets go
    driver: str  # NVIDIA's, "" without one; under WSL2 the Windows driver
    gpus: tuple[Gpu, ...]
    engine: Engine
    gui_libraries: bool  # libGL is there, so OpenCV with windows can be imported
    tcmalloc: str  # path of libtcmalloc_minimal, "" without one
    index: str  # "" when the package index answers, what went wrong when it does not, "?" when nobody asked


def probe(ask_index: bool = False) -> Machine:
    """Look at the machine; about 0.1 s, and up to 15 s more with `ask_index` where the network is dead."""
    driver, gpus = find_gpus()
    return Machine(
        system=platform.system(),
        architecture=platform.machine(),
        wsl="microsoft" in platform.release().lower(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_gb=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9,
        disk_free_gb=free_gb(paths.ROOT),
        data_free_gb=free_gb(paths.data_dir()),
        driver=driver,
        gpus=tuple(gpus),
        engine=engine.find(),
        gui_libraries=has_library("libGL.so.1"),
        tcmalloc=find_library("libtcmalloc_minimal.so.4"),
        index=ask_package_index() if ask_index else "?",
    )


def free_gb(folder: Path) -> float:
    """Free space where `folder` is or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / 1e9


def has_library(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def find_library(name: str) -> str:
    """The path of a shared library in the system's usual folders, '' where it is not installed."""
    folders = [f"/usr/lib/{platform.machine()}-linux-gnu", "/usr/lib64", "/usr/lib"]
    return next((path for path in (f"{folder}/{name}" for folder in folders) if os.path.exists(path)), "")


def find_gpus() -> tuple[str, list[Gpu]]:
    """The NVIDIA driver's version and the GPUs it shows; ('', []) where nvidia-smi does not answer."""
    smi = shutil.which("nvidia-smi") or "/usr/lib/wsl/lib/nvidia-smi"
    query = [smi, "--format=csv,noheader,nounits"]
    rows = output_of(*query, "--query-gpu=driver_version,memory.total,compute_cap,name")
    if not rows:  # drivers before R470 do not know compute_cap
        older = output_of(*query, "--query-gpu=driver_version,memory.total,name")
        rows = "\n".join(", ".join([*line.split(", ")[:2], "", line.split(", ", 2)[2]]) for line in older.splitlines())
    driver, gpus = "", []
    for line in rows.splitlines():
        driver, memory, capability, name = line.split(", ", 3)
        gpus.append(Gpu(name, capability, int(float(memory)) if memory.replace(".", "").isdigit() else 0))
    return driver, gpus


def ask_package_index() -> str:
    """'' when the package index gives out what the environments need, else the last line of what went wrong."""
    command = [uv(), "pip", "compile", "--quiet", "--no-cache", "--no-deps", "--no-header", "-"]
    try:
        done = subprocess.run(command, input="invoke\n", capture_output=True, text=True, timeout=15)
    except subprocess.TimeoutExpired:
        return "no answer within 15 seconds"
    return "" if done.returncode == 0 else done.stderr.strip().splitlines()[-1].strip(" ├└─╰▶×")

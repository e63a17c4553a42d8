"""The computer itself, as the system and NVIDIA's driver tell it: processor, memory, graphics cards."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import re
import shutil
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

VERSION = re.compile(r"[0-9]+(\.[0-9]+)+")  # of a driver
CAPABILITY = re.compile(r"[0-9]{1,2}\.[0-9]")
MEGABYTES = re.compile(r"[0-9]{1,9}(\.[0-9]+)?")
# What `nvidia-smi -L` lists: "GPU 0: NAME (UUID: GPU-...)", and below it the parts of a card that is divided (MIG).
LISTED = re.compile(r"GPU ([0-9]+): (.*) \(UUID: (GPU-[^)\s]+)\)|\s+MIG .*\(UUID: (MIG-[^)\s]+)\)")

# ---- processor and memory ----


@dataclass(frozen=True)
class Processor:
    """What /proc/cpuinfo says; every field empty where there is no such file."""

    name: str
    vendor: str  # "AuthenticAMD", "GenuineIntel"
    flags: frozenset[str]  # "avx512_bf16" and the like


def processor() -> Processor:
    """The processor of this machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = said.get("model name") or platform.processor() or platform.machine()
    return Processor(name, said.get("vendor_id", ""), frozenset(said.get("flags", "").split()))


LOOK_S = 0.3  # long enough to tell which cores are at work; the kernel counts in hundredths


def cores() -> int:
    """How many processor cores this process may use, by its affinity and the quota of its control group."""
    return max(1, int(min(len(_allowed()), quota())))


def _allowed() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def quota(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float:
    """How many cores' worth of time the control group of this process gets; infinite where nobody limits it."""
    try:
        groups = [line.split(":", 2)[2].strip("/") for line in own.read_text().splitlines() if line.startswith("0::")]
    except (OSError, IndexError):
        groups = []
    here = root.joinpath(*groups)  # those above limit it, too
    limits = [_limit(folder / "cpu.max") for folder in (here, *here.parents) if root in (folder, *folder.parents)]
    limits += [_limit(root / "cpu" / "cpu.cfs_quota_us", root / "cpu" / "cpu.cfs_period_us")]  # version 1
    return min(limits)


def _limit(*files: Path) -> float:
    """Cores by "QUOTA PERIOD" in microseconds, in one file or two; a quota of "max" or -1 is none."""
    try:
        words = " ".join(path.read_text() for path in files).split()
        limit = float(words[0]) / float(words[1])
    except (OSError, ValueError, IndexError, ZeroDivisionError):
        return math.inf
    return limit if limit > 0 else math.inf


def taken_cores() -> float:
    """How many of the cores that we may use others keep busy, both over the last minute and just now.

    Neither alone would do: the average still holds a run of ours that has just ended, a moment may be one of many.
    """
    try:
        average = os.getloadavg()[0]
        if average < 0.5:
            return 0.0
        before = _idle()
        time.sleep(LOOK_S)
        after = _idle()
    except OSError:
        return 0.0
    busy = [1 - (after[core][0] - before[core][0]) / max(after[core][1] - before[core][1], 1) for core in before]
    return min(average, max(0.0, sum(busy)))


def _idle() -> dict[int, tuple[int, int]]:
    """For each core that we may use, how long it has been idle and how long it has been there, in ticks."""
    counted = {}
    for line in Path("/proc/stat").read_text().splitlines():
        name, *words = line.split()
        if re.fullmatch("cpu[0-9]+", name) and int(name[3:]) in _allowed():
            ticks = [int(word) for word in words[:8]]
            counted[int(name[3:])] = (ticks[3] + ticks[4], sum(ticks))  # idle, and waiting for a disk
    return counted


def memory_gb() -> float:
    """The memory of this machine in GB of 10^9 bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def allocator() -> str:
    """Whose memory allocator this process uses: tcmalloc where that was preloaded, else the C library's own."""
    try:
        return "tcmalloc" if "libtcmalloc" in Path("/proc/self/maps").read_text() else "malloc of the C library"
    except OSError:
        return ""


# ---- graphics cards ----


@dataclass(frozen=True)
class Gpu:
    """A graphics card as nvidia-smi describes it."""

    name: str
    capability: str  # compute capability, "8.6"; "" where the driver is too old to say
    memory_mb: int = 0
    names: tuple[str, ...] = ()  # what CUDA_VISIBLE_DEVICES may call it: its number, its UUID, those of its parts (MIG)
    handle: str = ""  # the one by which a process is given it, "" where there is no other card


def find_gpus() -> tuple[str, list[Gpu]]:
    """The NVIDIA driver's version and the GPUs it shows; ('', []) where nvidia-smi does not answer."""
    smi = shutil.which("nvidia-smi") or "/usr/lib/wsl/lib/nvidia-smi"
    query = [smi, "--format=csv,noheader,nounits"]
    rows = _rows(query, "driver_version,memory.total,compute_cap,name")
    if not rows:  # drivers before R470 do not know compute_cap
        rows = [(*row[:2], "", row[2]) for row in _rows(query, "driver_version,memory.total,name")]
    known = capabilities() if any(not CAPABILITY.fullmatch(row[2]) for row in rows) else {}
    gpus = []
    for _, memory, said, name in rows:
        capability = said if CAPABILITY.fullmatch(said) else known.get(name, "")
        gpus.append(Gpu(name, capability, int(float(memory)) if MEGABYTES.fullmatch(memory) else 0))
    return rows[0][0] if rows else "", _named(gpus, _output([smi, "-L"]) if gpus else "")


def gpu_complaint() -> str:
    """What nvidia-smi says where it is installed and lists no GPU; "" without it."""
    try:
        smi = shutil.which("nvidia-smi") or "/usr/lib/wsl/lib/nvidia-smi"
        done = subprocess.run([smi, "-L"], capture_output=True, timeout=10)
    except OSError:
        return ""
    except subprocess.TimeoutExpired:
        return "nvidia-smi does not answer"
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    return "" if done.returncode == 0 and LISTED.search(said) else said.strip()


def visible(gpus: list[Gpu], said: str | None) -> list[Gpu]:
    """Those of `gpus` that CUDA_VISIBLE_DEVICES, which is `said`, leaves to a process, in its order; None: it is unset.

    As CUDA reads it: numbers, UUIDs or their beginnings, up to the first word that is none of them. Numbers are those
    of nvidia-smi, which is CUDA's order as well where CUDA_DEVICE_ORDER is PCI_BUS_ID.
    """
    if said is None:
        return gpus
    chosen: list[Gpu] = []
    for word in (word.strip() for word in said.split(",")):
        exact = re.fullmatch("[0-9]+", word) is not None
        found = [
            replace(gpu, handle=name if not exact else gpu.handle)
            for gpu in gpus
            for name in gpu.names
            if (name == word if exact else word.startswith(("GPU-", "MIG-")) and name.startswith(word))
        ]
        if len(found) != 1 or found[0] in chosen:
            break
        chosen += found
    return chosen


def _named(gpus: list[Gpu], listed: str) -> list[Gpu]:
    """`gpus` with their names as `nvidia-smi -L` `listed` them; by their place where it does not list the same."""
    cards: list[list[str]] = []  # name, number, UUID, parts
    for line in listed.splitlines():
        found = LISTED.match(line)
        if found and found[3]:
            cards.append([found[2], found[1], found[3]])
        elif found and cards:
            cards[-1].append(found[4])
    if [card[0] for card in cards] != [gpu.name for gpu in gpus]:
        cards = [[gpu.name, str(number)] for number, gpu in enumerate(gpus)]
    several = len(gpus) > 1
    return [
        replace(gpu, names=tuple(card[1:]), handle=card[:3][-1] if several else "") for gpu, card in zip(gpus, cards)
    ]


def _rows(query: list[str], fields: str) -> list[tuple[str, ...]]:
    """The rows that nvidia-smi prints of these fields, whatever its status; warnings and lost GPUs are none."""
    printed = _output([*query, f"--query-gpu={fields}"])
    several = [line.split(", ", fields.count(",")) for line in printed.splitlines()]
    return [tuple(row) for row in several if len(row) == fields.count(",") + 1 and VERSION.fullmatch(row[0])]


def _output(command: list[str]) -> str:
    """What the program prints, whatever its status; "" where it does not answer."""
    try:
        return subprocess.run(command, capture_output=True, timeout=10).stdout.decode("utf-8", "replace")
    except (OSError, subprocess.TimeoutExpired):
        return ""


def capabilities() -> dict[str, str]:
    """The compute capability of each GPU by its name, from the driver's own library; {} where that does not answer."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return {}
    count, device, name = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(128)
    major, minor, found = ctypes.c_int(), ctypes.c_int(), {}
    if cuda.cuInit(0) != 0 or cuda.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return {}
    for index in range(count.value):
        cuda.cuDeviceGet(ctypes.byref(device), index)
        cuda.cuDeviceGetName(name, len(name), device)
        cuda.cuDeviceGetAttribute(ctypes.byref(major), 75, device)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
        cuda.cuDeviceGetAttribute(ctypes.byref(minor), 76, device)
        found[name.value.decode()] = f"{major.value}.{minor.value}"
    return found


def has_nvidia_card() -> bool:
    """Whether the PCI bus has a display controller of NVIDIA's."""
    for device in Path("/sys/bus/pci/devices").glob("*"):
        try:
            vendor, kind = (device / "vendor").read_text().strip(), (device / "class").read_text().strip()
        except OSError:
            continue
        if vendor == "0x10de" and kind.startswith("0x03"):
            return True
    return False

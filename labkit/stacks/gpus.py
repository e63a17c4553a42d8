"""How a container engine hands over NVIDIA's GPUs, and what its refusals mean: the one place that knows.

There are three ways, and each engine has some of them or none:

- "runtime": `docker info` lists NVIDIA's runtime, which puts the GPUs into the containers that it starts.
- "CDI": the engine itself reads a specification of NVIDIA's devices (Docker 25 and newer, where that is not off).
- "hook": the engine calls nvidia-container-runtime-hook, which it looked for on its PATH when it started.

docker/compose.gpu-*.yaml asks for the GPUs in the way that was found here, for labs and for the doctor's own trial.
"""

from __future__ import annotations

import re
import shutil
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any, Mapping, Sequence

from labkit.base import settings
from labkit.base.errors import harmless
from labkit.base.programs import last_words

DEVICE = "nvidia.com/gpu=all"  # as `nvidia-ctk cdi generate` calls all GPUs together
HOOK = "nvidia-container-runtime-hook"
SERVICE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin"  # what systemd gives an engine
SPECIFICATION_BYTES = 1 << 20  # NVIDIA's own have some ten thousand

# Why an engine has none of the ways, and what to type then.
CONNECT = "sudo nvidia-ctk runtime configure --runtime=docker; sudo systemctl restart docker"
INSTALL = f"sudo apt install nvidia-container-toolkit; {CONNECT}"
DRIVER = "sudo ubuntu-drivers install; sudo reboot (not Ubuntu: install NVIDIA's driver, then restart)"
RENEW = "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"
MISSING = "the NVIDIA Container Toolkit is missing"
APART = "the NVIDIA Container Toolkit is installed, and docker does not use it"
NOT_ON_DESKTOP = "Docker Desktop hands over GPUs on Windows with WSL2 alone"
REMEDIES = {
    MISSING: INSTALL,
    APART: CONNECT,
    NOT_ON_DESKTOP: "docker context use default, with Docker Engine beside Docker Desktop",
}

# What is said where a GPU does not reach a container, by the engine, NVIDIA's toolkit or nvidia-smi: what it means and
# what to type. The first that fits counts: the driver's own faults come before those of what stands between.
_NO_CGROUPS = "sudo nvidia-ctk config --set nvidia-container-cli.no-cgroups --in-place"
_UPGRADE = "sudo apt install --only-upgrade nvidia-container-toolkit; sudo systemctl restart docker"
_WSL = "wsl --update, NVIDIA's newest driver for Windows, then wsl --shutdown (in Windows)"
REFUSALS: tuple[tuple[str, str, str], ...] = (
    (r"driver/library version mismatch",
     "NVIDIA's driver was upgraded, and the old one is still loaded", "sudo reboot"),
    (r"GPU access blocked by the operating system|no adapters were found",
     "Windows keeps the GPU from WSL2", _WSL),
    (r"libnvidia-ml\.so(\.1)?[: ]|driver not loaded|couldn't communicate with the NVIDIA driver",
     "NVIDIA's driver is not loaded where the engine runs", f"sudo modprobe nvidia, or {DRIVER}"),
    (r"unsatisfied condition",
     "the image asks for a newer driver", "upgrade the NVIDIA driver"),
    (r"NVML: Unknown Error",
     "the container has lost the GPU, as after `systemctl daemon-reload`",
     "the same command again; to prevent it: sudo nvidia-ctk system create-dev-char-symlinks --create-all"),
    (r"Insufficient Permissions",
     "your user may not open the GPU's devices", "ls -l /dev/nvidia*"),
    (r"devices\.allow: permission denied|BPF_CGROUP_DEVICE\) failed: (operation not permitted|permission denied)",
     "the toolkit may not change control groups here, as with an engine without root", _NO_CGROUPS),
    (r"BPF_|device rules|cgroup subsystem devices not found",
     "this NVIDIA Container Toolkit is too old for the system's control groups", _UPGRADE),
    (r"ldconfig\.real",
     "the NVIDIA Container Toolkit looks for ldconfig where Ubuntu has it",
     "sudo nvidia-ctk config --set nvidia-container-cli.ldconfig=@/sbin/ldconfig --in-place"),
    (r"read-only file system",
     "the root of the container was read-only before the GPU was put in",
     "./inv config set docker_args read-only=false"),
    (r"use the NVIDIA Container Runtime",
     "this NVIDIA Container Toolkit wants to be docker's runtime", CONNECT),
    (r"could not select device driver \\?\"?cdi",
     "the engine has CDI off", CONNECT),
    (r"\bCDI\b|to rootfs .*no such file or directory|failed to fulfil mount request",
     "the CDI specification is missing, or of another driver", RENEW),
    (r"could not select device driver",
     "docker does not know how to hand over GPUs", f"sudo systemctl restart docker; if that does not help: {INSTALL}"),
    (r"unknown( or invalid)? runtime|invalid runtime",
     "docker does not know NVIDIA's runtime", CONNECT),
    (r"nvidia-container-(runtime|cli)[^:]*: (executable file )?(no such file|not found)",
     "a program of the NVIDIA Container Toolkit is gone",
     f"sudo apt install --reinstall nvidia-container-toolkit; {CONNECT}"),
    (r"nvidia-container-cli: |nvidia-smi has failed|Failed to initialize NVML|No devices were found",
     "NVIDIA's driver does not answer", "nvidia-smi, and where that fails too: sudo reboot"),
    (r"nvidia-smi\S* executable file not found|nvidia-smi: (command )?not found",
     "the engine started a container without a GPU", CONNECT),
)  # fmt: skip


def way(told: Mapping[str, Any], socket_path: str) -> tuple[str, str]:
    """The way in which an engine hands over GPUs, "" for none, and then why, as a clause.

    `told` is what `docker info` told, of which nothing is sure; `socket_path` is where the engine listens.
    """
    if is_desktop(told):
        return ("hook", "") if in_wsl(told) else ("", NOT_ON_DESKTOP)
    if isinstance(told.get("Runtimes"), dict) and "nvidia" in told["Runtimes"]:
        return "runtime", ""
    # Docker names folders of specifications where CDI is on, and from 28.2 on the devices themselves.
    folders, devices = told.get("CDISpecDirs"), told.get("DiscoveredDevices")
    if isinstance(folders, list) and folders:
        listed = isinstance(devices, list) and any(isinstance(one, dict) and one.get("ID") == DEVICE for one in devices)
        if listed or (devices is None and specified(folders)):
            return "CDI", ""
    if shutil.which(HOOK, path=engine_path(socket_path)):
        return "hook", ""
    there = shutil.which("nvidia-ctk", path=usual_path()) or specified(["/etc/cdi", "/var/run/cdi"])
    return "", APART if there else MISSING


def is_desktop(told: Mapping[str, Any]) -> bool:
    return told.get("OperatingSystem") == "Docker Desktop"


def in_wsl(told: Mapping[str, Any]) -> bool:
    """Whether the engine's kernel is that of WSL2."""
    return "microsoft" in str(told.get("KernelVersion")).lower()


def specified(folders: Sequence[object]) -> bool:
    """Whether one of the folders has a specification of NVIDIA's GPUs for CDI."""
    for folder in folders:
        with suppress(OSError):
            for file in sorted(Path(str(folder)).iterdir()):
                if file.suffix in (".yaml", ".json") and file.is_file():
                    with file.open("rb") as stream:
                        content = stream.read(SPECIFICATION_BYTES)
                    if re.search(rb"""\bkind["']?\s*:\s*["']?nvidia\.com/gpu\b""", content):
                        return True
    return False


def engine_path(socket_path: str) -> str:
    """Where the engine looks for programs: the PATH of its process, where we may see that, else the usual folders."""
    try:
        with socket.socket(socket.AF_UNIX) as engine:
            engine.settimeout(1)
            engine.connect(socket_path)
            size = struct.calcsize("3i")
            process = struct.unpack("3i", engine.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[0]
        said = Path(f"/proc/{process}/environ").read_bytes().decode("utf-8", "replace").split("\0")
    except (OSError, ValueError):  # it belongs to another user, or to another machine
        said = []
    own = [line.partition("=")[2] for line in said if line.startswith("PATH=")]
    return own[0] if own else usual_path()


def usual_path() -> str:
    return f"{settings.system().search_path}:{SERVICE_PATH}"


def explain(said: str, otherwise: str) -> tuple[str, str]:
    """What a refusal means, as a clause with its own words, and what to type: `otherwise` for one nobody knows."""
    lines = [line for line in harmless(said).splitlines() if line.strip()]
    for pattern, meaning, remedy in REFUSALS:
        found = next((line for line in lines if re.search(pattern, line, re.IGNORECASE)), "")
        if found:
            return f"{meaning} ({shortened(found)})", remedy
    return shortened(last_words("\n".join(lines))) or "it says nothing", otherwise


def shortened(line: str) -> str:
    """The end of what an engine says, where the reason is, without what its layers put before."""
    reasons = "nvidia-container-cli: |CDI device injection|could not select|Failed to initialize"
    words = re.sub(f"^.*(?={reasons})", "", line).strip()
    return words if len(words) <= 200 else f"...{words[-200:]}"

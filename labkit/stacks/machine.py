"""What this machine is: the probes on which the doctor and the choice of a stack rest. Nothing is decided here."""

from __future__ import annotations

import ctypes
import http.client
import os
import platform
import re
import shutil
import ssl
import subprocess
import sysconfig
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from pathlib import Path

from labkit.base import hardware, paths, ports, settings
from labkit.base.hardware import Gpu
from labkit.base.programs import last_words, uv, uv_environment
from labkit.stacks import detectron2_wheel, engine
from labkit.stacks.catalog import load_facts
from labkit.stacks.engine import Engine

UNKNOWN = "?"  # nobody asked


@dataclass(frozen=True)
class Machine:
    """The findings of `probe`; those with a default only of `examine`. Sizes in GB are 10^9 bytes."""

    system: str  # "Linux", "Darwin"
    architecture: str  # "x86_64"
    wsl: bool
    cores: int
    memory_gb: float
    disk_free_gb: float  # where the environments go
    data_free_gb: float  # where the data sets go
    driver: str  # NVIDIA's, "" without one; under WSL2 the Windows driver
    gpus: tuple[Gpu, ...]  # those that CUDA_VISIBLE_DEVICES leaves to us
    engine: Engine
    gui_libraries: bool  # libGL is there, so OpenCV with windows can be imported
    tcmalloc: str  # path of libtcmalloc_minimal, "" without one
    complaint: str = ""  # what nvidia-smi says where it lists no GPU
    preload: str = ""  # what the user lets every program load first (LD_PRELOAD)

    hidden: tuple[Gpu, ...] = ()  # those that it does not
    inside: str = ""  # the label of the stack when this is one of our images
    detectron2: dict[str, str] = field(default_factory=dict)  # stack -> what its environment has of it, "" nothing
    root: bool = False
    card: bool = False  # an NVIDIA graphics card is plugged in, whether or not a driver answers
    shm_gb: float = 0.0  # shared memory that is free
    clock: float = 0.0  # our time, seconds since 1970
    clock_ahead_s: float | None = None  # by how much our clock is ahead of the package index's
    index: str = UNKNOWN  # "" when the package index answers, what went wrong when it does not
    index_host: str = ""
    mirror: str = UNKNOWN  # the same of the package index's mirror, asked only when the index does not answer
    proxies: dict[str, str] = field(default_factory=dict)  # the variables that programs take a proxy from
    ports: dict[str, str] = field(default_factory=dict)  # service -> who holds its port, "" free, ports.OURS itself
    images: tuple[str, ...] = ()  # those built from our stacks
    engine_free_gb: float | None = None  # where the engine keeps images; None where that is not on this machine
    gpu_in_container: str = UNKNOWN  # "" when a container sees the GPU, what went wrong when it does not


def probe() -> Machine:
    """Look at what the choice of a stack rests on; about 0.1 s. The engine is looked for when somebody asks for it."""
    driver, every = hardware.find_gpus()
    gpus = hardware.visible(every, settings.system().visible_gpus)
    return Machine(
        system=platform.system(),
        architecture=platform.machine(),
        wsl="microsoft" in platform.release().lower(),
        cores=hardware.cores(),
        memory_gb=hardware.memory_gb(),
        disk_free_gb=free_gb(paths.ROOT),
        data_free_gb=free_gb(paths.data_dir()),
        driver=driver,
        gpus=tuple(gpus),
        hidden=tuple(gpu for gpu in every if gpu.names not in [seen.names for seen in gpus]),
        complaint="" if every else hardware.gpu_complaint(),
        engine=engine.later(),
        gui_libraries=has_library("libGL.so.1"),
        tcmalloc=find_library("libtcmalloc_minimal.so.4"),
        preload=settings.system().preload,
    )


def examine() -> Machine:
    """Look at everything that can stand in the way; about 1 s, up to 30 s where the network is dead."""
    inside = settings.current().image
    with ThreadPoolExecutor() as pool:  # each of them may hang
        found = pool.submit(engine.find)
        machine = probe()
        # An image has no uv, and all it needs.
        index, address = (UNKNOWN, "") if inside else ask_package_index()
    docker = found.result()
    images = () if docker.problem else engine.our_images(docker)
    return replace(
        machine,
        engine=docker,
        inside=inside,
        detectron2=find_detectron2(),
        root=os.geteuid() == 0,
        card=hardware.has_nvidia_card(),
        shm_gb=free_gb(Path("/dev/shm")),
        clock=time.time(),
        clock_ahead_s=clock_ahead(address),
        index=index,
        index_host=host_of(address),
        mirror=ask_package_index(load_facts()["mirror"][0]["index"])[0] if index not in ("", UNKNOWN) else UNKNOWN,
        proxies={name: value for name, value in settings.system().proxies.items() if name.lower() != "no_proxy"},
        ports={service: who_holds(docker, port) for service, port in ports.SERVICES.items()},
        images=images,
        engine_free_gb=free_gb(Path(docker.folder)) if docker.folder else None,
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


def find_detectron2() -> dict[str, str]:
    """What each native environment, or the image that this is, has of detectron2; only finished ones are there."""
    if settings.current().image:
        packages = Path(sysconfig.get_paths()["purelib"])
        return {settings.current().image.partition("/")[0]: detectron2_wheel.installed(packages)}
    stamps = (paths.ROOT / ".venv").glob("*/stamp.json")
    folders = {stamp.parent.name: next(stamp.parent.glob("lib/python*/site-packages"), None) for stamp in stamps}
    return {stack: detectron2_wheel.installed(folder) for stack, folder in folders.items() if folder}


def who_holds(docker: Engine, port: int) -> str:
    """Who listens on a port, a container by its name; '' where it is free."""
    held = ports.holder(port)
    container = engine.publisher(docker, port) if held and not docker.problem else ""
    return f"container {container}" if container else held


def clock_ahead(address: str) -> float | None:
    """Seconds by which our clock is ahead of the server's at `address`, None where it does not tell."""
    # A wrong clock makes every certificate look invalid, and nothing but the date is read.
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    try:
        head = urllib.request.Request(address, method="HEAD")
        with urllib.request.urlopen(head, timeout=5, context=trusting) as answer:
            date = answer.headers["Date"]
    except urllib.error.HTTPError as error:
        date = error.headers["Date"]
    except (OSError, http.client.HTTPException, ValueError):
        return None
    try:
        return time.time() - parsedate_to_datetime(date).timestamp() if date else None
    except (TypeError, ValueError):  # what it wrote is no date
        return None


def host_of(address: str) -> str:
    """The server in an address, without a user name and password that may be in it."""
    return re.sub(r"^(?:\w+://)?(?:.*@)?([^/]*).*$", r"\1", address)  # the last @: one may be in a password


def ask_package_index(mirror: str = "") -> tuple[str, str]:
    """Whether the package index (or `mirror`) gives out what the environments need, and the address that was asked.

    '' when it does, else the last line of what went wrong.
    """
    command = [uv(), "pip", "compile", "--verbose", "--no-cache", "--no-deps", "--no-header", "-"]
    settings = {**uv_environment(), "UV_HTTP_RETRIES": "1", "NO_COLOR": "1"}
    if mirror:
        settings["UV_DEFAULT_INDEX"] = mirror
    try:
        done = subprocess.run(command, input="invoke\n", capture_output=True, text=True, timeout=15, env=settings)
    except (OSError, subprocess.TimeoutExpired):
        return "no answer within 15 seconds", mirror
    asked = re.search(r"request for: (https?://\S+)", done.stderr)
    problem = "" if done.returncode == 0 else last_words(done.stderr) or "uv failed"
    return problem, asked[1] if asked else mirror

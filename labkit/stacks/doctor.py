"""`./inv doctor`: what this machine can do, what stands in the way, and the next command for each thing found.

`diagnose` is a pure function of the probes, the stacks and the facts, so every finding can be tested without the
hardware.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import Any, Callable, Literal, Sequence

from labkit.base import paths, ports
from labkit.base.command import as_typed
from labkit.base.hardware import Gpu
from labkit.stacks import catalog, gpus, images, native, selection, sizes
from labkit.stacks import engine as engines
from labkit.stacks.machine import UNKNOWN, Machine, host_of

HOW = {"runtime": "NVIDIA's runtime", "CDI": "CDI", "hook": "NVIDIA's hook"}
FORMAT = 1  # of `./inv doctor --json`; the next number where a key comes to mean something else
Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """One thing the doctor saw. `level`: "ok", "note" (could be better) or "problem" (something will not work).

    `id` names what was looked at, for programs: it stays when the words change, and no two findings share one.
    """

    id: str
    level: Level
    subject: str
    what: str
    next_command: str = ""


def diagnose(
    machine: Machine,
    asked: str = "",
    settle: Callable[[selection.Choice], selection.Choice] = lambda choice: choice,
    python_for: Callable[[tuple[str, ...]], str] = lambda versions: f"python{versions[0]}",
) -> dict[str, list[Finding]]:
    """The findings for `machine` in groups, in the order a person would check them. `asked`: as in selection.choose.

    `settle` gives the choice with the build that is made already (labkit/stacks/builds.py), `python_for` an interpreter
    of one of these versions, "" where none is installed (labkit/stacks/native.py).
    """
    facts = catalog.load_facts()
    choice = chosen(machine, asked, settle)
    groups = {
        "computer": [
            system(machine),
            user(machine),
            disk(machine, choice),
            data_folder(machine),
            shared_memory(machine),
            clock(machine, facts),
        ],
        "GPU and stack": [*gpu(machine, facts, choice), stack(machine, facts, choice, asked),
                          python(machine, choice, python_for(choice.stack.native_python)), hashes()],
        "network": [index(machine, facts), proxy(machine)],
        "containers": containers(machine, choice),
        "programs": [allocator(machine, choice), gui(machine), detectron2(machine, choice), *services(machine)],
    }
    return {title: [without_passwords(finding) for finding in group] for title, group in groups.items()}


def chosen(
    machine: Machine, asked: str, settle: Callable[[selection.Choice], selection.Choice]
) -> selection.Choice:
    """The choice that the findings are about."""
    return settle(selection.choose(list(machine.gpus), machine.driver, machine.wsl, asked or machine.inside))


def without_passwords(finding: Finding) -> Finding:
    """Other programs' messages may quote an address with the user name and password in it."""
    return replace(finding, what=re.sub(r"(?<=://)\S*@", "", finding.what))


def as_json(groups: dict[str, list[Finding]]) -> str:
    """The findings as one object for programs, the commands as this user types them."""
    rows = [
        {"id": finding.id, "group": title, **asdict(finding), "next_command": as_typed(finding.next_command)}
        for title, group in groups.items()
        for finding in group
    ]
    return json.dumps({"format": FORMAT, "findings": rows}, indent=1)


# --- computer --------------------------------------------------------------------------------------------------------


def system(machine: Machine) -> Finding:
    what = f"{machine.system}{' (WSL2)' if machine.wsl else ''} {machine.architecture}, {machine.cores} cores"
    what += f", {machine.memory_gb:.0f} GB memory"
    if (machine.system, machine.architecture) != ("Linux", "x86_64"):
        what += ": the stacks are for Linux on x86_64"
        return Finding("system", "problem", "system", what, "use WSL2 or Linux")
    if machine.memory_gb < 4:
        what += ": little memory, so keep other programs closed while training"
        return Finding("system", "note", "system", what)
    return Finding("system", "ok", "system", what)


def user(machine: Machine) -> Finding:
    if not machine.root:
        return Finding("user", "ok", "user", "not root")
    if machine.inside or machine.engine.problem or machine.engine.rootless:
        return Finding("user", "ok", "user", "root")
    what = "root: containers then run as root too"
    return Finding("user", "note", "user", what, "work as an ordinary user in the group docker")


def disk(machine: Machine, choice: selection.Choice) -> Finding:
    what = f"{machine.disk_free_gb:.0f} GB free in {paths.shown(paths.ROOT)}"
    if machine.disk_free_gb < choice.build.disk_gb:
        what += f", and {choice.label} takes {choice.build.disk_gb:g} GB"
        return Finding("disk", "problem", "disk", what, "./inv clean")
    return Finding("disk", "ok", "disk", what)


def data_folder(machine: Machine) -> Finding:
    folder = paths.data_dir()
    what = f"{paths.shown(folder)}, {machine.data_free_gb:.0f} GB free"
    if machine.data_free_gb < 1:
        what += ": too little for most data sets"
        return Finding("data-folder", "note", "data folder", what, "./inv config set data /larger/disk")
    return Finding("data-folder", "ok", "data folder", what)


def shared_memory(machine: Machine) -> Finding:
    what = f"{machine.shm_gb:.1f} GB free in /dev/shm"
    if machine.shm_gb < 1:
        what += ": loading data in several processes may fail with a bus error"
        remedy = "sudo mount -o remount,size=2G /dev/shm (container: --shm-size)"
        return Finding("shared-memory", "note", "shared memory", what, remedy)
    return Finding("shared-memory", "ok", "shared memory", what)


def clock(machine: Machine, facts: dict[str, Any]) -> Finding:
    now = datetime.fromtimestamp(machine.clock, timezone.utc)
    what = f"{now:%Y-%m-%d %H:%M} UTC"
    remedy = "sudo hwclock --hctosys" if machine.wsl else "sudo timedatectl set-ntp true"
    last = max(row["date"] for row in [*facts["cuda"], *facts["wheel"]])
    if now.date() < last:
        what += f" lies before the day this program was written ({last}): certificates will look invalid"
        return Finding("clock", "problem", "clock", what, remedy)
    ahead = machine.clock_ahead_s
    if ahead is None:
        return Finding("clock", "ok", "clock", f"{what} (not compared: no answer from the network)")
    if abs(ahead) > 300:
        what += f" is {abs(ahead) / 60:.0f} minutes {'ahead' if ahead > 0 else 'behind'}"
        level: Level = "problem" if abs(ahead) > 24 * 3600 else "note"
        return Finding("clock", level, "clock", f"{what}: certificates may look invalid, run names are wrong", remedy)
    return Finding("clock", "ok", "clock", f"{what}, right to the minute" if abs(ahead) < 60 else what)


# --- GPU and stack ---------------------------------------------------------------------------------------------------


def gpu(machine: Machine, facts: dict[str, Any], choice: selection.Choice) -> list[Finding]:
    """What is known of GPUs and driver: which CUDA it runs, which stacks have code for the GPUs, which are unused."""
    if not machine.gpus and machine.hidden:
        return [hidden(machine)]
    if not machine.gpus:
        if machine.complaint or machine.card:
            why, remedy = gpus.explain(machine.complaint or "its driver does not answer", gpus.DRIVER)
            return [Finding("gpu", "note", "GPU", f"no GPU is used: {why}", remedy)]
        where = ", and under WSL2 the driver is installed in Windows, not here" if machine.wsl else ""
        return [Finding("gpu", "ok", "GPU", f"no NVIDIA GPU found{where}: the labs run on the CPU")]
    found = [Finding("gpu", "ok", "GPU", named(machine.gpus)), driver(machine, facts), code(machine, facts)]
    left_out = [gpu for gpu in machine.gpus if gpu not in choice.gpus] if choice.use_gpu else []
    if left_out:
        names = ", ".join(gpu.name for gpu in left_out)
        why = selection.obstacle(choice.stack, choice.build, left_out, machine.driver, machine.wsl, facts)
        found.append(Finding("gpu-left-out", "ok", "left out", f"{names}: {why}"))
    if machine.hidden:
        found.append(hidden(machine))
    return found


def named(gpus: Sequence[Gpu]) -> str:
    return ", ".join(f"{gpu.name} ({gpu.capability or 'compute capability unknown'})" for gpu in gpus)


def hidden(machine: Machine) -> Finding:
    """The GPUs that the user's own choice leaves out; a note where none is left."""
    what = f"CUDA_VISIBLE_DEVICES leaves out {named(machine.hidden)}"
    if machine.gpus:
        return Finding("gpu-hidden", "ok", "hidden", what)
    return Finding("gpu-hidden", "note", "hidden", f"{what}: the labs run on the CPU", "unset CUDA_VISIBLE_DEVICES")


def driver(machine: Machine, facts: dict[str, Any]) -> Finding:
    """The driver, and the CUDA versions of our stacks that it runs."""
    key = "min_driver_wsl" if machine.wsl else "min_driver"
    rows = sorted(facts["cuda"], key=lambda row: catalog.version_key(row["version"]))
    runs = [row["version"] for row in rows if catalog.version_key(machine.driver) >= catalog.version_key(row[key])]
    what = f"{machine.driver}{' (of Windows)' if machine.wsl else ''}"
    if runs:
        return Finding("gpu-driver", "ok", "driver", f"{what} runs CUDA {', '.join(runs)}")
    what += f" is older than the {rows[0][key]} that CUDA {rows[0]['version']} needs"
    return Finding("gpu-driver", "note", "driver", what, "upgrade the NVIDIA driver, then ./inv doctor")


def code(machine: Machine, facts: dict[str, Any]) -> Finding:
    """The stacks with code for a GPU, whatever the driver."""
    able = []
    for name in selection.GPU_STACKS:
        stack = catalog.load(name)
        for build in stack.builds:
            why = selection.obstacle(stack, build, list(machine.gpus), selection.NEWEST_DRIVER, machine.wsl, facts)
            if not why and name not in able:
                able.append(name)
    if able:
        return Finding("gpu-code", "ok", "code for it", f"in stack {', '.join(able)}")
    what = "no stack has code for a GPU here, so the labs run on the CPU"
    return Finding("gpu-code", "note", "code for it", what, "./inv setup --stack cpu")


def stack(machine: Machine, facts: dict[str, Any], choice: selection.Choice, asked: str) -> Finding:
    """The stack that will be used; a note with what else there is where a GPU stays unused."""
    what = f"{choice.label}: {choice.stack.title} ({choice.reason})"
    if choice.build.pending:
        what += "; its wheels have no recorded hashes"
        return Finding("stack", "note", "stack", what, f"python scripts/lock.py --complete {choice.stack.name}")
    if choice.use_gpu or not machine.gpus:
        return Finding("stack", "ok", "stack", what)
    offers = [f"./inv setup{f' --stack {asked}' if asked else ''} (on the CPU)"]
    if not choice.recommended.startswith("cpu/"):
        offers.append(f"./inv setup --stack {choice.recommended} (on the GPU)")
    advice = selection.upgrade(list(machine.gpus), machine.driver, machine.wsl, facts)
    offers += [advice] if advice else []
    return Finding("stack", "note", "stack", what, ", or ".join(offers))


def python(machine: Machine, choice: selection.Choice, found: str) -> Finding:
    """The interpreter of the stack's environment: it need not be the one that runs this program."""
    versions = choice.stack.native_python
    if machine.inside:
        return Finding("python", "ok", "Python", "comes with the image")
    if found:
        return Finding("python", "ok", "Python", found)
    what = f"stack {choice.stack.name} needs Python {' or '.join(versions)}, and none is installed: uv downloads one"
    return Finding("python", "note", "Python", what, native.python_remedy(versions))


def hashes() -> Finding:
    """The builds that are pinned by versions alone."""
    stacks = map(catalog.load, catalog.names())
    pending = [catalog.label(stack, build) for stack in stacks for build in stack.builds if build.pending]
    what = "recorded for the packages of every build" + (f" but {', '.join(pending)}" if pending else "")
    return Finding("hashes", "ok", "hashes", what)


# --- network ---------------------------------------------------------------------------------------------------------


def index(machine: Machine, facts: dict[str, Any]) -> Finding:
    if machine.index == "":
        return Finding("package-index", "ok", "package index", f"{machine.index_host} answers")
    if machine.index == UNKNOWN:
        return Finding("package-index", "ok", "package index", "not needed: everything is installed")
    mirror = facts["mirror"][0]["index"]
    what = f"{machine.index_host or 'it'} does not answer: {machine.index}"
    if machine.mirror == "":
        return Finding(
            "package-index", "problem", "package index", f"{what}; the mirror {host_of(mirror)} does",
            f"export UV_DEFAULT_INDEX={mirror}",
        )  # fmt: skip
    what += f"; nor does the mirror {host_of(mirror)}: what is set up already still works"
    remedy = "UV_DEFAULT_INDEX=https://another.mirror/simple ./inv doctor"
    return Finding("package-index", "problem", "package index", what, remedy)


def proxy(machine: Machine) -> Finding:
    """The proxy that programs are told to use; one on this machine's loopback does not exist inside a container."""
    engine = machine.engine
    servers = sorted({host_of(address) for address in machine.proxies.values() if address})
    if not servers:
        return Finding("proxy", "ok", "proxy", "none")
    what = ", ".join(servers)
    if engine.problem:
        return Finding("proxy", "ok", "proxy", what)
    if any(re.match(r"(127\.|localhost|\[::1\])", server) for server in servers):
        what += ": a container cannot reach this computer's own loopback, so building an image fails behind it"
        remedy = "let the proxy listen on 172.17.0.1 too and set HTTPS_PROXY to that, or ./inv setup --where venv"
        return Finding("proxy", "note", "proxy", what, remedy)
    if not engine.proxy:
        what += ": the engine itself has none, so it pulls images without it"
        remedy = "sudo systemctl edit docker: [Service] Environment=HTTPS_PROXY=...; sudo systemctl restart docker"
        return Finding("proxy", "note", "proxy", what, remedy)
    return Finding("proxy", "ok", "proxy", what)


# --- containers ------------------------------------------------------------------------------------------------------


def containers(machine: Machine, choice: selection.Choice) -> list[Finding]:
    engine = machine.engine
    if machine.inside:
        return [Finding("container-engine", "ok", "engine", f"not needed: this is the image of stack {machine.inside}")]
    if engine.problem:
        remedy = engines.remedy(engine.problem)
        what = f"{engine.problem}: the labs run in environments of their own, .venv/"
        return [Finding("container-engine", "note" if remedy else "ok", "engine", what, remedy)]
    what = f"docker {engine.version}{' (rootless)' if engine.rootless else ''}"
    found = [Finding("container-engine", "ok", "engine", what)]
    unread = engines.unread(engine, (paths.ROOT, paths.data_dir(), paths.runs_dir()))
    if unread:
        what = f"{unread}: the labs run in environments of their own, .venv/"
        found.append(Finding("engine-folders", "note", "folders", what, engines.REMEDIES[engine.reads]))
    if engine.builder:
        found.append(Finding("image-builder", "ok", "builder", engine.builder))
    else:
        what = "neither buildx nor BuildKit: images cannot be built"
        remedy = "sudo apt install docker-buildx (Docker's own packages: docker-buildx-plugin)"
        found.append(Finding("image-builder", "note", "builder", what, remedy))
    compose = "of the engine" if engine.compose else "not installed; a pinned one is fetched when needed"
    found.append(Finding("compose", "ok", "Compose", compose))
    found.append(image(machine, choice))
    if machine.gpus:
        found.append(gpu_inside(machine, choice))
    return found


def image(machine: Machine, choice: selection.Choice) -> Finding:
    """Today's image of the stack: there, older, or yet to be built, and then whether it would fit the disk."""
    size, free = sizes.of(choice.stack, choice.build), machine.engine_free_gb
    needed = size.building / 1e9
    if images.tag(choice.stack, choice.build) in machine.images:
        return Finding("image", "ok", "image", f"of stack {choice.stack.name}: built")
    ours = {name for name in machine.images if name.startswith(f"{images.REPOSITORY}/{choice.stack.name}:")}
    older = bool(ours - images.todays(choice.stack))
    what = f"of stack {choice.stack.name}: {'older than its definition' if older else 'not built yet'}"
    if free is not None and free < needed:
        what += f"; {free:.0f} GB free in {machine.engine.folder}, and building takes {needed:.1f} GB"
        return Finding("image", "problem", "image", what, "docker system prune, or ./inv setup --where venv")
    room = f", {free:.0f} GB free in {machine.engine.folder}" if free is not None else ""
    what += f" (the first run does it: {size.image / 1e9:.1f} GB, with the cache of the builds {needed:.1f} GB){room}"
    return Finding("image", "ok", "image", what)


def gpu_inside(machine: Machine, choice: selection.Choice) -> Finding:
    """Whether containers can have the GPU: a problem only where the stack uses it."""
    level: Level = "problem" if choice.use_gpu else "note"
    engine = machine.engine
    if not engine.gpu:
        what = f"{engine.no_gpu}: containers see no GPU"
        remedy = f"{gpus.REMEDIES[engine.no_gpu]} (or --where venv)"
        return Finding("gpu-in-container", level, "GPU inside", what, remedy)
    how = f"by {HOW[engine.gpu]}"
    if machine.gpu_in_container == "":
        return Finding("gpu-in-container", "ok", "GPU inside", f"a container sees it, {how}")
    if machine.gpu_in_container == UNKNOWN:
        return Finding("gpu-in-container", "ok", "GPU inside", f"{how} (tested once there is an image of the stack)")
    why, remedy = gpus.explain(machine.gpu_in_container, gpus.RENEW if engine.gpu == "CDI" else gpus.CONNECT)
    what = f"a container does not see it ({how}): {why}"
    return Finding("gpu-in-container", level, "GPU inside", what, f"{remedy}, or --where venv")


# --- programs --------------------------------------------------------------------------------------------------------


def allocator(machine: Machine, choice: selection.Choice) -> Finding:
    """Whether training uses tcmalloc; a run's report says which one it had."""
    if choice.use_gpu:
        return Finding("allocator", "ok", "allocator", "the C library's own: with a GPU it hardly matters")
    if machine.preload and "tcmalloc" not in machine.preload:
        what = f"LD_PRELOAD={machine.preload} is kept, so tcmalloc is not in use"
        return Finding("allocator", "note", "allocator", what, "unset LD_PRELOAD")
    if machine.tcmalloc or machine.preload:
        return Finding("allocator", "ok", "allocator", "tcmalloc is in use when a lab trains")
    return Finding(
        "allocator", "note", "allocator", "the C library's own; training on the CPU gains 10 to 25 % with tcmalloc",
        "sudo apt install libtcmalloc-minimal4",
    )  # fmt: skip


def gui(machine: Machine) -> Finding:
    if machine.gui_libraries:
        return Finding("opencv", "ok", "OpenCV", "with windows (libGL is installed)")
    return Finding("opencv", "note", "OpenCV", "without windows: cv2.imshow needs libGL", "sudo apt install libgl1")


def detectron2(machine: Machine, choice: selection.Choice) -> Finding:
    """What the environment of the stack has of detectron2; one without any is made anew by the next run."""
    name = choice.stack.name
    if name not in machine.detectron2:
        what = f"comes with the environment of stack {name}, which is not made yet"
        return Finding("detectron2", "ok", "detectron2", what)
    if machine.detectron2[name]:
        return Finding("detectron2", "ok", "detectron2", machine.detectron2[name])
    what = f"not in the environment of stack {name}"
    return Finding("detectron2", "note", "detectron2", what, f"./inv setup --stack {name}")


def services(machine: Machine) -> list[Finding]:
    """The ports of the services, one finding each where somebody holds one."""
    found = []
    for service, holder in machine.ports.items():
        port = ports.SERVICES[service]
        if holder == ports.OURS:
            found.append(Finding(f"port-{service}", "ok", service, f"is running on port {port}"))
        elif holder:
            what = f"its port {port} is held by {holder}"
            found.append(Finding(f"port-{service}", "note", service, what, f"./inv {service} --port {port + 1}"))
    if not found and machine.ports:
        listed = ", ".join(f"{ports.SERVICES[service]} ({service})" for service in machine.ports)
        found.append(Finding("ports", "ok", "ports", f"free: {listed}"))
    return found

"""Which stack a machine uses, which of its builds, and why.

Pure functions of docker/stacks, docker/facts.toml and what `labkit.stacks.machine` found, so every decision can be
tested without the hardware.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from labkit.base.hardware import Gpu
from labkit.stacks.catalog import Build, Stack, find_cuda, find_wheel, label, load, load_facts, version_key

# Newest first: the first one that a GPU and its driver can run is taken.
GPU_STACKS = ("cu130", "cu126", "cu118", "notes")
NEWEST_DRIVER = "999999"


@dataclass(frozen=True)
class Choice:
    """A stack, which of its builds, the GPUs that it uses, and the reason in one sentence.

    `recommended` is the label of what fits the GPU and its driver best, whether or not its hashes are recorded and
    whatever was asked for.
    """

    stack: Stack
    build: Build
    gpus: tuple[Gpu, ...]
    reason: str
    recommended: str
    exact: bool = False  # the user named the build too

    @property
    def use_gpu(self) -> bool:
        return bool(self.gpus)

    @property
    def variables(self) -> dict[str, str]:
        """What a process must find in its environment to see these GPUs and no other; {} where there is no other."""
        names = [gpu.handle for gpu in self.gpus if gpu.handle]
        return {"CUDA_VISIBLE_DEVICES": ",".join(names), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"} if names else {}

    @property
    def label(self) -> str:
        return label(self.stack, self.build)


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
    """Why this build can use none of these GPUs with this driver, as a clause; '' where it can use one."""
    if not gpus:
        return "no NVIDIA GPU was found"
    if stack.name == "cpu":
        return "this stack is for the CPU"
    wheel, needed = find_wheel(facts, stack.torch, build.cuda), needed_driver(build, wsl, facts)
    assert wheel is not None, f"check() lets no wheel without a row pass: {stack.torch}"
    if version_key(driver) < version_key(needed):
        return f"driver {driver} is older than the {needed} that CUDA {build.cuda} needs"
    reasons = []
    for gpu in gpus:
        oldest = facts["wsl"]["min_capability"]
        if not gpu.capability:
            reasons.append(f"the driver does not report the compute capability of {gpu.name}")
        elif not covers(wheel["architectures"], gpu.capability):
            reasons.append(f"torch {stack.torch} with CUDA {build.cuda} has no code for {gpu.name} ({gpu.capability})")
        elif wsl and version_key(gpu.capability) < version_key(oldest):
            what = f"WSL2 passes on GPUs from compute capability {oldest} on"
            reasons.append(f"{what}, and {gpu.name} has {gpu.capability}")
        else:
            return ""
    return reasons[0]


def needed_driver(build: Build, wsl: bool, facts: dict[str, Any]) -> str:
    """The oldest driver that runs this build; under WSL2 the Windows driver."""
    cuda = find_cuda(facts, build.cuda)
    assert cuda is not None, f"check() lets no CUDA without a row pass: {build.cuda}"
    return str(cuda["min_driver_wsl" if wsl else "min_driver"])


def best(gpus: list[Gpu], driver: str, wsl: bool, facts: dict[str, Any]) -> tuple[Stack, Build] | None:
    """The newest stack that can use one of these GPUs with this driver, its locked builds first; None where none can.

    The GPU with the most memory decides, so that an old display card does not; but one that has a stack with recorded
    hashes comes before one that has not.
    """
    found = []
    for gpu in strongest_first(gpus):
        builds = [(stack, build) for stack in map(load, GPU_STACKS) for build in sorted(stack.builds, key=_is_pending)]
        found += [able for able in builds if not obstacle(*able, [gpu], driver, wsl, facts)][:1]
    return min(found, key=lambda able: _is_pending(able[1]), default=None)


def _is_pending(build: Build) -> bool:
    return build.pending


def strongest_first(gpus: list[Gpu]) -> list[Gpu]:
    return sorted(gpus, key=lambda gpu: (gpu.memory_mb, version_key(gpu.capability or "0")), reverse=True)


def fitting(
    stack: Stack, build: Build, gpus: list[Gpu], driver: str, wsl: bool, facts: dict[str, Any]
) -> tuple[list[Gpu], str]:
    """Those of `gpus` that this build can use, and why it cannot use the first of the others, '' without others."""
    why = {gpu: obstacle(stack, build, [gpu], driver, wsl, facts) for gpu in gpus}
    return [gpu for gpu in gpus if not why[gpu]], next((reason for reason in why.values() if reason), "")


def choose(gpus: list[Gpu], driver: str, wsl: bool = False, asked: str = "") -> Choice:
    """The stack to use on a machine with these GPUs and this driver, and the reason.

    `asked` is a stack's name, or NAME/BUILD, given by the user: it is taken as it is, on the CPU where the GPU cannot
    run it. Otherwise the newest stack that the driver and a GPU's compute capability allow is taken, and the CPU where
    there is none. A build whose hashes nobody has recorded yet is used only when asked for. Of several GPUs those are
    used that the stack can run, in the order given.
    """
    facts = load_facts()
    cpu = load("cpu")
    found = best(gpus, driver, wsl, facts)
    recommended = label(*found) if found else label(cpu, cpu.build())
    if asked:
        stack_name, _, build_name = asked.partition("/")
        stack = load(stack_name)
        build = stack.build(build_name)
        used, why = fitting(stack, build, gpus, driver, wsl, facts)
        why = why or obstacle(stack, build, gpus, driver, wsl, facts) if not used else why
        reason = "you asked for it" + (f"; {'left out' if used else 'on the CPU'}, since {why}" if why else "")
        return Choice(stack, build, tuple(used), reason, recommended, exact=bool(build_name))
    if found and not found[1].pending:
        used, why = fitting(*found, gpus, driver, wsl, facts)
        reason = f"driver {driver}, {used[0].name} ({used[0].capability})" + (f"; {why}" if why else "")
        return Choice(*found, tuple(used), reason, recommended)
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
    return Choice(cpu, cpu.build(), (), reason, recommended)


def upgrade(gpus: list[Gpu], driver: str, wsl: bool, facts: dict[str, Any]) -> str:
    """The advice to upgrade the driver where a newer one would let these GPUs run a newer stack, else ''."""
    newest = best(gpus, NEWEST_DRIVER, wsl, facts)
    needed = needed_driver(newest[1], wsl, facts) if newest else "0"
    if newest is None or version_key(driver) >= version_key(needed):
        return ""
    return f"upgrade the {'Windows ' if wsl else ''}driver to {needed} or newer for {label(*newest)}"

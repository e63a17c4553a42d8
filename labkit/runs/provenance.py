"""What a result depends on besides the code: versions, machine, commit. It becomes the run's env.json."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import distributions
from pathlib import Path

import torch

from labkit.base import hardware, settings
from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.base.files import write_bytes
from labkit.base.paths import ROOT
from labkit.base.programs import output_of
from labkit.runs import processes
from labkit.runs.contents import Environment

MOST_CHANGES_BYTES = 1_000_000
GIT = ("git", "-C", str(ROOT), "-c", "safe.directory=*")  # in a container the repository may be another user's


def choose_device(smoke: bool) -> tuple[torch.device, str]:
    """The device to compute on and the reason: the setting `device`, else a CUDA device that works, else the CPU.

    Smoke runs use the CPU, where their few steps prove the same, unless the setting says otherwise. Raises UserError
    for a CUDA device that was asked for and does not work: a run must not end up elsewhere in silence.
    """
    asked = settings.current().device
    if asked == "cpu":
        return torch.device("cpu"), "device=cpu"
    if smoke and not asked:
        return torch.device("cpu"), "smoke runs use the CPU"
    problem = _cuda_problem()
    if not problem:
        return torch.device("cuda"), "device=cuda" if asked else torch.cuda.get_device_name()
    if asked:
        raise UserError(f"device is set to cuda, and there is {problem}", "./inv config show device, or ./inv doctor")
    return torch.device("cpu"), problem


def _cuda_problem() -> str:
    """Why nothing can be computed on this process's CUDA device; '' where it can."""
    if not torch.cuda.is_available():
        return "no CUDA device"
    try:
        torch.cuda.set_device(processes.local_rank())
        torch.ones(2, device="cuda").sum().item()
    except RuntimeError as error:
        return f"no CUDA device that works with PyTorch {torch.__version__}: {str(error).splitlines()[0]}"
    return ""


def choose_threads(recorded: int | None) -> None:
    """Have PyTorch compute with as many threads as a run `recorded` when it began, else with those that have a core.

    The bits of a run depend on it. What OMP_NUM_THREADS says stays as it is.
    """
    if settings.system().threads:
        return
    cores, most = hardware.cores(), torch.get_num_threads()
    threads, taken = recorded or 0, 0.0
    if not 0 < threads <= cores:
        taken = hardware.taken_cores()
        threads = max(1, min(most, round(cores - taken)))
        if threads < min(most, cores):
            why = f"since others keep {taken:.1f} of {cores} cores busy"
            say(f"threads: {threads}, {why}; OMP_NUM_THREADS={min(most, cores)} before the command takes them all")
    if threads != most:  # to say what is so already would change how MKL works, and with it the bits
        torch.set_num_threads(threads)


def environment(device: torch.device, reason: str, seed: int) -> Environment:
    """Everything about this process and machine that may change a result."""
    commit, dirty = _commit()
    return Environment(
        stack=settings.current().stack,
        python=platform.python_version(),
        torch=str(torch.__version__),
        device=device.type,
        device_reason=reason,
        threads=torch.get_num_threads(),
        processes=processes.count(),
        allocator=hardware.allocator(),
        cpu=hardware.processor().name,
        platform=platform.platform(),
        cuda=torch.version.cuda if device.type == "cuda" else None,
        driver=hardware.find_gpus()[0] if device.type == "cuda" else None,
        commit=commit,
        dirty=dirty,
        seed=seed,
        data={},
        packages=dict(sorted((found.metadata["Name"], found.version) for found in distributions())),
    )


def keep_changes(path: Path) -> None:
    """Write to `path` how labs and labkit differ from the commit, where they do: text only, and 1 MB at most."""
    command = [*GIT, "diff", "--no-color", "--no-ext-diff", "--no-textconv", "HEAD", "--", "labs", "labkit"]
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as git:
            changes = git.stdout.read(MOST_CHANGES_BYTES + 1) if git.stdout else b""
            git.kill()  # of what is longer
    except OSError:
        return
    if len(changes) > MOST_CHANGES_BYTES:
        changes = changes[:MOST_CHANGES_BYTES] + b"\n[cut off here]\n"
    if changes:
        write_bytes(path, changes)


def _commit() -> tuple[str, bool]:
    changes = output_of(*GIT, "status", "--porcelain", "--untracked-files=no")
    return output_of(*GIT, "rev-parse", "HEAD"), bool(changes)

"""What gpu.py runs by the stack's Python, each in a process of its own: a lab that is watched, and two questions.

    gpu_inside.py inside REPORT STOP_AT labs/NAME/lab.py OPTIONS...
    gpu_inside.py probe
    gpu_inside.py compare RUN OTHER_RUN
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Iterator


def inside(report: str, stop_at: str, program: str, *options: str) -> None:
    """Run a lab as `python PROGRAM OPTIONS` does, and write its peak of GPU memory and its time to `report`.

    `stop_at`: Ctrl-C arrives in this step.
    """
    import torch

    from labkit.runs.run import Run

    checkpoint = Run.checkpoint
    times: list[float] = []

    def watched(self: Run, step: int, *rest: Any, **named: Any) -> None:
        if step == int(stop_at):
            os.kill(os.getpid(), signal.SIGINT)
        if not times or named.get("last"):
            if torch.cuda.is_initialized():
                torch.cuda.synchronize()
            times.append(time.monotonic())
        checkpoint(self, step, *rest, **named)

    Run.checkpoint = watched  # type: ignore[method-assign]
    sys.argv, sys.path[0] = [program, *options], str(Path(program).parent)
    try:
        runpy.run_path(program, run_name="__main__")
    finally:
        seen = {"loop_s": round(times[-1] - times[0], 2)} if times else {}
        if torch.cuda.is_initialized():
            seen["gpu_allocated_mb"] = round(torch.cuda.max_memory_allocated() / 1e6)
            seen["gpu_reserved_mb"] = round(torch.cuda.max_memory_reserved() / 1e6)
        Path(report).write_text(json.dumps(seen), encoding="utf-8")


def probe() -> None:
    """Print as JSON what labkit finds out about this machine, beside what PyTorch does."""
    import torch

    from labkit.base import hardware
    from labkit.base.errors import UserError
    from labkit.stacks import doctor, machine, selection

    found = machine.probe()
    choice = selection.choose(list(found.gpus), found.driver, found.wsl)
    try:
        examined = machine.examine()
    except UserError:  # without uv, which `./inv` brings, the package index cannot be asked
        examined = replace(found, clock=time.time(), root=os.geteuid() == 0, card=hardware.has_nvidia_card(),
                           shm_gb=machine.free_gb(Path("/dev/shm")))  # fmt: skip
    findings = [{"group": group, **asdict(row)} for group, rows in doctor.diagnose(examined).items() for row in rows]
    seen: list[str] = []
    if torch.cuda.is_available():
        seen = [torch.cuda.get_device_name(), "{}.{}".format(*torch.cuda.get_device_capability())]
    print(json.dumps({
        "stack": choice.label, "use_gpu": choice.use_gpu, "reason": choice.reason, "driver": found.driver,
        "gpus": [asdict(gpu) for gpu in found.gpus], "capabilities": hardware.capabilities(), "torch": seen,
        "cores": found.cores, "memory_gb": round(found.memory_gb), "torch_version": str(torch.__version__),
        "cudnn": torch.backends.cudnn.version(), "python": sys.version.split()[0], "doctor": findings,
    }))  # fmt: skip


def compare(one: str, other: str) -> None:
    """Print whether the last checkpoints of two runs are equal, or how far they are apart."""
    import torch

    from labkit.runs import compat

    def tensors(value: Any, where: str) -> Iterator[tuple[str, Any]]:
        if isinstance(value, torch.Tensor):
            yield where, value
        elif isinstance(value, (dict, list, tuple)):  # PyTorch 1.5 names parameters by their address: by position
            for place, part in enumerate(value.values() if isinstance(value, dict) else value):
                name = list(value)[place] if isinstance(value, dict) else place
                yield from tensors(part, f"{where}/{name}")

    first, second = (compat.load(Path(folder) / "checkpoints" / "last.pt") for folder in (one, other))
    ours, theirs = (list(tensors(saved["state"], "")) for saved in (first, second))
    if len(ours) != len(theirs) or not ours:
        print(f"{len(ours)} tensors, and {len(theirs)}")
        return
    pairs = list(zip(ours, theirs))
    unlike = [(where, a.double() - b.double()) for (where, a), (_, b) in pairs if not torch.equal(a, b)]
    apart = [(float(difference.abs().max()), where) for where, difference in unlike]
    same_log = len({(Path(folder) / "metrics.jsonl").read_bytes() for folder in (one, other)}) == 1
    if apart or not same_log:
        largest = "by at most {:.3g} ({})".format(*max(apart)) if apart else ""
        print(f"{len(apart)} of {len(pairs)} tensors differ {largest}; the logs are {'equal' if same_log else 'not'}")
    else:
        print("equal")


if __name__ == "__main__":
    what = {"inside": inside, "probe": probe, "compare": compare}
    what[sys.argv[1]](*sys.argv[2:])  # type: ignore[operator]

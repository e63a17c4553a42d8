"""Several processes, on one machine or more: torch.distributed's own launcher, as a command.

As a program it runs that launcher inside a stack and leaves with the exit status of the lab's processes:

    python labkit/runs/launch.py torch.distributed.run --nproc_per_node=2 labs/cifar10/lab.py --smoke

The launcher alone ends every failure, and every Ctrl-C, with a traceback of its own and status 1; that of PyTorch 1.5
does not pass signals on either.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import runpy
import signal
import socket
import struct
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from labkit.base.errors import UserError

PORT = 29500  # the launcher's own default, for several machines


@dataclass(frozen=True)
class Group:
    """The processes of one run. `machines` are addresses, the first that of rank 0; `here` is our place among them."""

    per_machine: int
    machines: tuple[str, ...]
    port: int
    here: int
    interface: str  # the network interface through which they talk

    def at(self, place: int) -> Group:
        """The same group as the machine at `place` sees it."""
        return replace(self, here=place)


def plan(gpus: str, nodes: str) -> Group | None:
    """What `--gpus` and `--nodes` ask for; None for one process. Raises UserError for what cannot be."""
    if gpus and not re.fullmatch("0*[1-9][0-9]{0,3}", gpus):
        raise UserError(f"--gpus: {gpus} is not a number of processes", "./inv lab cifar10 --gpus 2")
    per_machine = int(gpus or 1)
    if not nodes:
        return Group(per_machine, ("127.0.0.1",), free_port(), 0, "lo") if per_machine > 1 else None
    addresses = nodes.split(",")
    host, _, port = addresses[0].partition(":")
    machines = (host, *addresses[1:])
    example = "./inv lab cifar10 --gpus 2 --nodes=10.0.0.1,10.0.0.2"
    if len(machines) < 2 or not all(machines) or not re.fullmatch("[0-9]{1,5}", port or "1"):
        raise UserError("--nodes takes the addresses of all machines, separated by commas", example)
    ours = {place: interface for place, name in enumerate(machines) if (interface := interface_of(name))}
    if len(ours) != 1:
        which = "none" if not ours else "more than one"
        raise UserError(f"--nodes: {which} of {', '.join(machines)} is this machine's", "ip -brief address")
    ((here, interface),) = ours.items()
    return Group(per_machine, machines, int(port or PORT), here, interface)


def command(group: Group, torch: str) -> list[str]:
    """What goes between `python` and the lab's program; `torch` is the version."""
    module = ["torch.distributed.launch", "--use_env"] if torch.startswith("1.") else ["torch.distributed.run"]
    return [
        __file__, *module, f"--nnodes={len(group.machines)}", f"--node_rank={group.here}",
        f"--nproc_per_node={group.per_machine}", f"--master_addr={group.machines[0]}", f"--master_port={group.port}",
    ]  # fmt: skip


def typed(group: Group) -> str:
    """How the group was asked for, to repeat the run."""
    words = f"--gpus={group.per_machine}"
    if len(group.machines) > 1:
        words += f" --nodes={group.machines[0]}:{group.port},{','.join(group.machines[1:])}"
    return words


def environment(group: Group, cores: int, use_gpu: bool) -> dict[str, str]:
    """What the processes need to know beside that."""
    settings = {"GLOO_SOCKET_IFNAME": group.interface}
    if len(group.machines) > 1:
        settings["NCCL_SOCKET_IFNAME"] = group.interface
    if not use_gpu:
        settings["OMP_NUM_THREADS"] = str(max(1, cores // group.per_machine))
    return settings


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def interface_of(name: str) -> str:
    """The network interface of this machine with that address or host name, '' where it is another machine's."""
    try:
        wanted = socket.gethostbyname(name)
    except OSError:
        raise UserError(f"--nodes: the address of {name} cannot be found", "ping " + name) from None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, interface in socket.if_nameindex():
            with contextlib.suppress(OSError):  # an interface without an address
                asked = struct.pack("256s", interface.encode()[:15])
                answer = fcntl.ioctl(probe.fileno(), 0x8915, asked)  # SIOCGIFADDR
                if socket.inet_ntoa(answer[20:24]) == wanted:
                    return interface
    return ""


# ---- inside a stack ----


def main() -> None:
    """Run the launcher named first with the other arguments, and leave with the status of its processes."""
    sys.argv = sys.argv[1:]
    logging.disable(logging.ERROR)  # what went wrong is said by the process to which it happened
    stopped = []

    def pass_on(number: int, _frame: Any) -> None:  # today's launcher puts its own handlers here
        stopped.append(number)
        for child in children():
            os.kill(child, number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        status = 0
    except Exception as error:
        status = status_of(error)
    for child in children():  # the launcher of PyTorch 1.5 leaves the others to themselves
        os.kill(child, signal.SIGTERM)
    sys.exit(130 if stopped else status)


def status_of(error: Exception) -> int:
    """The exit status that a launcher's exception stands for."""
    if hasattr(error, "sigval"):  # SignalException
        return 130
    status = getattr(error, "returncode", None)  # CalledProcessError, of PyTorch 1.5
    if hasattr(error, "get_first_failure"):  # ChildFailedError
        status = error.get_first_failure()[1].exitcode
    if status is None:
        raise error
    return status if status > 0 else 1


def children() -> list[int]:
    """The processes that this one started, where the kernel tells."""
    try:
        return [int(word) for word in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except OSError:
        return []


if __name__ == "__main__":
    main()

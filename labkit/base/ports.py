"""The ports of the services: is one free, and who holds it where it is not."""

from __future__ import annotations

import os
import socket
from pathlib import Path

OURS = "invoke"  # stands for the holder of a port where it is a service that we started
SERVICES = {"visdom": 8097, "tensorboard": 6006, "notebook": 8888}


def is_free(port: int) -> bool:
    """Whether a service could listen on this port of the loopback address now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a closed connection of before is no obstacle
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def holder(port: int) -> str:
    """Who listens on a port, '' where it is free: "visdom (process 1234)", or less where the system does not tell."""
    if is_free(port):
        return ""
    sockets = {f"socket:[{inode}]" for inode in listening(port)}
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) in sockets:
                process = link.parent.parent
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
        except OSError:  # closed meanwhile, or not ours to look at
            continue
    return "a process of another user"


def listening(port: int) -> list[str]:
    """The inodes of the TCP sockets that listen on a port, from the kernel's own table."""
    inodes = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        rows = Path(table).read_text().splitlines()[1:] if os.path.exists(table) else []
        for columns in (row.split() for row in rows):
            address, state, inode = columns[1], columns[3], columns[9]
            if state == "0A" and int(address.rpartition(":")[2], 16) == port:
                inodes.append(inode)
    return inodes


def free_port(wanted: int) -> int:
    """The first free port from `wanted` on."""
    return next(port for port in range(wanted, 65536) if is_free(port))

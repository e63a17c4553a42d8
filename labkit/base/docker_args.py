"""The setting docker_args: options of `docker run` that lift what docker/compose.hardened.yaml forbids."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

from labkit.base.errors import nearest

# The options that can be given, as Compose calls them, and the values that they can have.
OPTIONS = {
    "cap-add": ("cap_add", r"[A-Z_]+"),
    "cpus": ("cpus", r"\d+(\.\d+)?"),
    "device": ("devices", r"/\S+"),
    "env": ("environment", r"[A-Za-z_]\w*=.*"),
    "group-add": ("group_add", r"[\w.-]+"),
    "memory": ("mem_limit", r"\d+[bkmg]?"),
    "pids-limit": ("pids_limit", r"-1|[1-9]\d*"),
    "read-only": ("read_only", r"true|false"),
    "security-opt": ("security_opt", r"\S+"),
    "shm-size": ("shm_size", r"\d+[bkmg]?"),
    "tmpfs": ("tmpfs", r"/\S+"),
    "volume": ("volumes", r"/[^:]*:/[^:]*(:(ro|rw))?"),
}
NOT_TEXT = ("read_only", "pids_limit")
SEVERAL = ("cap_add", "devices", "environment", "group_add", "security_opt", "tmpfs", "volumes")


def parse(words: str) -> dict[str, Any]:
    """The options in `words`, with or without their dashes, as fields of a service of Compose.

    Raises ValueError, which is a clause, for what is none of OPTIONS, or has no value that it can have.
    """
    fields: dict[str, Any] = {}
    left = shlex.split(words)
    while left:
        option, equals, value = left.pop(0).partition("=")
        name = option.lstrip("-")
        if name not in OPTIONS:
            raise ValueError(f"'{option}' is no option that can be given ({nearest(name, list(OPTIONS))})")
        if not equals:
            value = "true" if name == "read-only" else left.pop(0) if left else ""
        field, can_be = OPTIONS[name]
        if not re.fullmatch(can_be, value):
            raise ValueError(f"{name} cannot be {value or 'empty'}")
        if field in SEVERAL:
            fields.setdefault(field, []).append(value)
        else:
            fields[field] = json.loads(value) if field in NOT_TEXT else value
    return fields

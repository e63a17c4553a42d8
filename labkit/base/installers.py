"""What of the user's settings for Python, pip and uv reaches the programs that install for us.

How to get through their network does: index, proxy, certificates, cache. Where and how to install does not: a
PIP_TARGET, a `user = true` in pip.conf or another `rich` on PYTHONPATH would leave us with an environment that cannot
work. Needs nothing but the standard library: scripts/host_env.py, too, begins with it.
"""

from __future__ import annotations

import configparser
import os
import re
from pathlib import Path
from typing import Mapping

# What leads an import to another place than the environment's own.
OF_PYTHON = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONEXECUTABLE", "PYTHONPLATLIBDIR",
             "PYTHONINSPECT", "PYTHONBREAKPOINT", "__PYVENV_LAUNCHER__")  # fmt: skip
NETWORK_OF_PIP = ("index-url", "no-index", "find-links", "proxy", "cert", "client-cert", "trusted-host", "timeout",
                  "retries", "keyring-provider", "cache-dir", "no-cache-dir")  # fmt: skip
NETWORK_OF_UV = (
    r"UV_(DEFAULT_INDEX|INDEX_URL|INDEX_\w+_(USERNAME|PASSWORD)|NO_INDEX|FIND_LINKS|OFFLINE|CACHE_DIR|NO_CACHE|LINK_MODE|"
    r"HTTP_\w+|REQUEST_TIMEOUT|RETRIES|NATIVE_TLS|SYSTEM_CERTS|INSECURE_HOST|KEYRING_PROVIDER|CONCURRENT_\w+|"
    r"PYTHON_(INSTALL_DIR|INSTALL_MIRROR|DOWNLOADS|CACHE_DIR))"
)


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` for a program that installs: without what would lead it elsewhere, and with no file of settings."""
    kept = {name: value for name, value in environment.items() if name not in OF_PYTHON}
    for name in list(kept):
        option = name[len("PIP_") :].lower().replace("_", "-")
        ours = option in NETWORK_OF_PIP if name.startswith("PIP_") else re.fullmatch(NETWORK_OF_UV, name)
        if name.startswith(("PIP_", "UV_")) and not ours:
            del kept[name]
    return {**kept, "PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1"}


def for_pip(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment in which pip gets through the network as pip.conf and PIP_... say, and installs as we say."""
    said = {f"PIP_{option.upper().replace('-', '_')}": value for option, value in pip_conf(environment).items()}
    return {**said, **clean(environment)}


def index_of(environment: Mapping[str, str]) -> str:
    """The package index that the user set for uv or pip, "" for none."""
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        if environment.get(name):
            return environment[name]
    return environment.get("PIP_INDEX_URL") or pip_conf(environment).get("index-url", "")


def pip_conf(environment: Mapping[str, str]) -> dict[str, str]:
    """What pip.conf says about the network; a file that pip could not read either says nothing."""
    asked = environment.get("PIP_CONFIG_FILE", "")
    home = Path(environment.get("HOME") or "/nonexistent")
    base = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    files = [Path("/etc/pip.conf"), home / ".pip" / "pip.conf", base / "pip" / "pip.conf", Path(asked or os.devnull)]
    said: dict[str, str] = {}
    for file in files if asked != os.devnull else []:
        config = configparser.RawConfigParser(strict=False)
        try:
            config.read_string(file.read_text(encoding="utf-8-sig", errors="replace"))
        except (OSError, configparser.Error):
            continue
        for section in ("global", "install"):
            options = config.items(section) if config.has_section(section) else []
            said.update((name, value.strip()) for name, value in options if name in NETWORK_OF_PIP and value)
    return said

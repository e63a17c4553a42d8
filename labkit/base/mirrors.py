"""Mirrors near the user, by the name of their region: the rows [[mirror]] of docker/facts.toml."""

from __future__ import annotations

import configparser
from pathlib import Path
from typing import Any

from labkit.base import settings, tomlfile
from labkit.base.errors import UserError, nearest

FACTS = settings.ROOT / "docker" / "facts.toml"


def rows() -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in tomlfile.load(FACTS)["mirror"]}


def find(name: str) -> dict[str, Any]:
    """The row called `name`, such as cn. Raises UserError for an unknown name."""
    if name not in rows():
        raise UserError(f"--mirror: there is no '{name}' ({nearest(name, list(rows()))})")
    return rows()[name]


def chosen() -> dict[str, Any]:
    """The row that the setting `mirror` names; {} where it names none."""
    return rows().get(settings.current().mirror, {}) if settings.current().mirror else {}


def package_index() -> str:
    """The package index to use: the mirror's, else the one set for uv or pip; '' for the usual one."""
    return chosen().get("index") or settings.system().index or _index_of_pip()


def variables() -> dict[str, str]:
    """What uv and npm are told in their environment."""
    mirror, told = chosen(), {}
    if settings.current().wheels:
        return {"UV_NO_INDEX": "1", "UV_OFFLINE": "1", "UV_FIND_LINKS": settings.current().wheels}
    if package_index():
        told["UV_DEFAULT_INDEX"] = package_index()
    for variable, key in (("UV_PYTHON_INSTALL_MIRROR", "python"), ("NPM_CONFIG_REGISTRY", "npm")):
        if mirror.get(key):
            told[variable] = mirror[key]
    return told


def _index_of_pip() -> str:
    """What pip's own files say, which uv does not read; a file that pip could not read either says nothing."""
    index = ""
    for name in ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf", settings.system().pip_config):
        config = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            content = Path(name).expanduser().read_text(encoding="utf-8-sig", errors="replace") if name else ""
            config.read_string(content)
        except (OSError, configparser.Error):
            continue
        index = config.get("global", "index-url", fallback="") or index
    return index.strip()

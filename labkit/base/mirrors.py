"""Mirrors near the user, by the name of their region: the rows [[mirror]] of docker/facts.toml."""

from __future__ import annotations

from typing import Any

from labkit.base import settings, tomlfile
from labkit.base.errors import UserError, nearest

FACTS = settings.ROOT / "docker" / "facts.toml"


def rows() -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in tomlfile.load(FACTS)["mirror"]}


def find(name: str) -> dict[str, Any]:
    """The row called `name`, such as cn. Raises UserError for an unknown name."""
    if name not in rows():
        raise UserError(f"--mirror: there is no '{name}' ({nearest(name, list(rows()))})", "./inv config")
    return rows()[name]


def chosen() -> dict[str, Any]:
    """The row that the setting `mirror` names; {} where it names none."""
    return rows().get(settings.current().mirror, {}) if settings.current().mirror else {}


def package_index() -> str:
    """The package index to use: the mirror's, else the one set for uv or pip; '' for the usual one."""
    return chosen().get("index") or settings.system().index or _uv_toml().get("index", "")


def variables() -> dict[str, str]:
    """What uv and npm are told in their environment."""
    mirror, told = chosen(), {}
    if settings.current().packages:
        return {"UV_NO_INDEX": "1", "UV_OFFLINE": "1", "UV_FIND_LINKS": settings.current().packages}
    if package_index():
        told["UV_DEFAULT_INDEX"] = package_index()
    for variable, key in (("UV_PYTHON_INSTALL_MIRROR", "python"), ("NPM_CONFIG_REGISTRY", "npm")):
        if mirror.get(key):
            told[variable] = mirror[key]
    if _uv_toml().get("native-tls"):
        told["UV_NATIVE_TLS"] = "1"
    return told


def _uv_toml() -> dict[str, Any]:
    """What uv's own file for this user says about the network; its other settings do not reach our installs."""
    file = settings.system().configuration / "uv" / "uv.toml"
    try:
        said = tomlfile.load(file)
        listed = [row["url"] for row in said.get("index", []) if row.get("default")]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    index = str(said.get("index-url") or next(iter(listed), ""))
    return {"index": index, "native-tls": said.get("native-tls") is True}

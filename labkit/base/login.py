"""The login of a visdom that is open to other machines: its server, the labs and the front door find it here."""

from __future__ import annotations

from pathlib import Path

from labkit.base import paths

USER = "lab"


def password() -> str:
    """What visdom asks of everybody, '' where it is for this machine only and asks nobody."""
    return _file().read_text(encoding="utf-8", errors="replace") if _file().exists() else ""


def set_password(new: str) -> None:
    """The password with which visdom starts next, '' for none; only the caller may read the file."""
    _file().unlink(missing_ok=True)
    if new:
        _file().parent.mkdir(parents=True, exist_ok=True)
        _file().touch(mode=0o600)
        _file().write_text(new, encoding="utf-8")


def _file() -> Path:
    return paths.runs_dir() / ".services" / "visdom.password"

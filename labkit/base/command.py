"""How the user started us, so that every command in a message can be typed as it stands.

All messages are written with `./inv`, which needs nothing installed; who has invoke on the PATH reads `invoke`.
"""

from __future__ import annotations


def as_typed(text: str) -> str:
    """`text` with the commands in it as this user types them."""
    from labkit.base import settings  # here, since what is wrong with the settings is itself said in such a message

    name = settings.command()
    return text.replace("./inv ", f"{name} ") if name in ("invoke", "inv") else text

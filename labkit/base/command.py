"""How the user started us, so that every command in a message can be typed as it stands.

All messages are written with `./inv`, which needs nothing installed; who has invoke on the PATH reads `invoke`.
"""

from __future__ import annotations

import os


def as_typed(text: str) -> str:
    """`text` with the commands in it as this user types them; tasks.py sets LAB_COMMAND where that is not ./inv."""
    name = os.environ.get("LAB_COMMAND", "")
    return text.replace("./inv ", f"{name} ") if name in ("invoke", "inv") else text

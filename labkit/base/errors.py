"""The one exception for what a user can mend."""

from __future__ import annotations

from typing import Sequence

from labkit.base.command import as_typed


class UserError(Exception):
    """A mistake or an obstacle that the user can do something about.

    Shown as one sentence without a traceback, followed by the command to type next; the process ends with exit
    status 2. Anything else that is raised is our own defect and keeps its traceback.
    """

    def __init__(self, message: str, next_command: str = "") -> None:
        super().__init__(message)
        self.message = message.rstrip(".")  # a clause, to be used in other sentences too
        self.next_command = next_command

    @property
    def text(self) -> str:
        """Message and next command as they are written down, with ./inv, which everybody can type."""
        sentence = self.message if self.message.endswith(("!", "?")) else f"{self.message}."
        return f"{sentence}\n  next: {self.next_command}" if self.next_command else sentence

    def __str__(self) -> str:
        return harmless(as_typed(self.text))


def harmless(text: str) -> str:
    """`text` with no control characters but line ends and tabs: names of files may hold what a terminal obeys."""
    return "".join(one if one.isprintable() or one in "\n\t" else "?" for one in text)


def nearest(word: str, known: Sequence[str]) -> str:
    """A hint naming the known word closest to `word`, or all of them where none is close."""
    import difflib

    lower = {one.lower(): one for one in known}
    close = difflib.get_close_matches(word.lower(), lower, n=1)
    return f"did you mean {lower[close[0]]}?" if close else f"known: {', '.join(sorted(known))}"

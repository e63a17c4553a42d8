"""How right tags are: slots counted whole, as CoNLL does."""

from __future__ import annotations

from typing import NamedTuple, Sequence


class Span(NamedTuple):
    """A slot: its name, its first word, and the word behind its last."""

    slot: str
    first: int
    behind: int


def spans(tags: Sequence[str]) -> set[Span]:
    """The slots of one sentence. One begins with B-, or with an I- that goes on with nothing of its kind."""
    found, slot, first = set(), "", 0
    for place, tag in enumerate([*tags, "O"]):
        where, _, name = tag.partition("-")
        if slot and (where != "I" or name != slot):
            found.add(Span(slot, first, place))
            slot = ""
        if where in ("B", "I") and not slot:
            slot, first = name, place
    return found


def f1(true: Sequence[Sequence[str]], guessed: Sequence[Sequence[str]]) -> float:
    """Harmonic mean of precision and recall over all slots, 0..1: a slot counts where both its ends and name are right.

    Source: Tjong Kim Sang and De Meulder, Introduction to the CoNLL-2003 Shared Task (2003). 0 where there are none.
    """
    right = there = said = 0
    for own, other in zip(true, guessed):
        truth, guess = spans(own), spans(other)
        right, there, said = right + len(truth & guess), there + len(truth), said + len(guess)
    return 2 * right / (there + said) if there + said else 0.0

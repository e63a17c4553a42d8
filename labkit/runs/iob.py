"""Sentences in which each word has a tag: their files read with care, and slots counted whole, as CoNLL does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple, Sequence, Tuple

from labkit.base.errors import UserError
from labkit.base.paths import shown
from labkit.runs import text

Row = Tuple[Tuple[str, ...], Tuple[str, ...]]  # words, and a tag for each


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


def read_split(folder: Path, name: str, longest: int) -> list[Row]:
    """The lines of seq.in (words) and seq.out (as many tags) in `folder`, of the data set `name`; empty ones too.

    Raises UserError where the files are anything else, naming the line, or where a line has more than `longest` words.
    """
    again = f"./inv data {name} --verify"
    lines, tag_lines = (text.read_lines(folder / file) for file in ("seq.in", "seq.out"))
    if len(lines) != len(tag_lines):
        raise UserError(f"{shown(folder)} has {len(lines):,} lines in seq.in and {len(tag_lines):,} in seq.out", again)
    rows = []
    for number, (line, tag_line) in enumerate(zip(lines, tag_lines), start=1):
        words, tags = line.split(), tag_line.split()
        if len(words) != len(tags):
            raise UserError(f"{shown(folder)}: line {number} has {len(words)} words and {len(tags)} tags", again)
        wrong = [tag for tag in tags if not re.fullmatch(r"O|[BI]-\S{1,80}", tag)]
        if wrong:
            raise UserError(f"{shown(folder)}: line {number} has the tag {wrong[0][:40]!r}, and a tag is O, B-... or "
                            "I-...", again)  # fmt: skip
        if len(words) > longest:
            raise UserError(f"{shown(folder)}: line {number} has {len(words)} words, more than {longest}", again)
        rows.append((tuple(words), tuple(tags)))
    if not any(words for words, _ in rows):
        raise UserError(f"{shown(folder)} holds no sentence", again)
    return rows

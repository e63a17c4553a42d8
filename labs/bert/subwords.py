"""Byte-pair encoding: words from pieces, so that none is unknown. The lesson beside the words that this lab uses.

Source: Sennrich, Haddow and Birch, Neural Machine Translation of Rare Words with Subword Units (2016).
"""

from __future__ import annotations

from collections import Counter
from typing import Iterable, Sequence, Tuple

END = "·"  # of a word, so that est· at an end and est inside are two pieces
Pair = Tuple[str, str]


def letters(word: str) -> tuple[str, ...]:
    return (*word, END)


def joined(pieces: Sequence[str], pair: Pair) -> tuple[str, ...]:
    """The pieces, with each place where the pair stands made one; from the left."""
    found: list[str] = []
    for piece in pieces:
        if found and (found[-1], piece) == pair:
            found[-1] += piece
            continue
        found.append(piece)
    return tuple(found)


def learn(words: Iterable[str], merges: int) -> list[Pair]:
    """The most frequent pair of neighbours made one, so many times; of equally frequent ones the first by alphabet."""
    counts = Counter(words)
    pieces = {word: letters(word) for word in counts}
    learned: list[Pair] = []
    for _ in range(merges):
        pairs: Counter[Pair] = Counter()
        for word, count in counts.items():
            for pair in zip(pieces[word], pieces[word][1:]):
                pairs[pair] += count
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        learned.append(best)
        pieces = {word: joined(own, best) for word, own in pieces.items()}
    return learned


def split(word: str, learned: Sequence[Pair]) -> tuple[str, ...]:
    """The pieces of a word, known or not: the pairs are made one in the order in which they were learned."""
    pieces = letters(word)
    for pair in learned:
        pieces = joined(pieces, pair)
    return pieces

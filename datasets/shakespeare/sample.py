"""A stand-in for Tiny Shakespeare in its layout: scenes from a small grammar, each scene about one thing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SPEAKERS = ("FIRST CITIZEN", "SECOND CITIZEN", "MESSENGER", "KING", "QUEEN", "GARDENER")
THEMES = {
    "ship": ("the harbour", "the storm", "the captain", "the sail"),
    "garden": ("the rose", "the wall", "the old tree", "the rain"),
    "war": ("the army", "the gate", "the drum", "the sword"),
    "feast": ("the wine", "the bread", "the song", "the candle"),
}
OPENINGS = ("I have seen", "Speak not of", "Bring me to", "Who shall keep", "My lord, remember")
ENDINGS = ("before the night is done", "as my father did", "and be content", "when all the bells are still")
ANSWERS = ("So be it", "Never", "I will obey", "What say you", "Peace")


def make(folder: Path, seed: int = 0) -> None:
    """Write input.txt below `folder`: 400 scenes of six speeches, each taking up the word of the one before."""
    rng = np.random.RandomState(seed)

    def pick(words: tuple[str, ...]) -> str:
        return words[rng.randint(len(words))]

    lines = []
    for _ in range(400):
        theme = pick(tuple(THEMES))
        word = pick(THEMES[theme])
        for _ in range(6):
            before, word = word, pick(THEMES[theme])
            lines += [f"{pick(SPEAKERS)}:", f"{pick(ANSWERS)}: {before} is of the {theme}.",
                      f"{pick(OPENINGS)} {word}, {pick(ENDINGS)}.", ""]  # fmt: skip
    (folder / "input.txt").write_text("\n".join(lines), encoding="ascii")

"""Drawn scenes: speeches about one theme, which no speech names; only the company of the words tells it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

THEMES = {
    "sea": ("ship", "sail", "harbour", "storm", "captain", "anchor", "wave", "island"),
    "garden": ("rose", "tree", "fence", "seed", "spade", "bee", "hedge", "pond"),
    "war": ("sword", "army", "drum", "shield", "tent", "banner", "horse", "gate"),
    "feast": ("wine", "bread", "song", "candle", "table", "guest", "cake", "dance"),
    "school": ("book", "pupil", "desk", "chalk", "lesson", "teacher", "pen", "bell"),
    "winter": ("snow", "ice", "sledge", "scarf", "fire", "frost", "wolf", "owl"),
}
NAMES = tuple(THEMES)
THEME_OF = {word: number for number, words in enumerate(THEMES.values()) for word in words}
FRAMES = (
    "see the {} and the {} and the {}",
    "a {} and a {} near the {}",
    "no {} and no {} without {}",
    "bring {} and {} then {} tomorrow",
)
SPEECHES = 6  # of a scene
SHOWN = 3  # words of each theme that occur in labelled speeches


class Labelled(NamedTuple):
    """Speeches with the number of their theme each."""

    sentences: list[list[str]]
    themes: list[int]


def speech(words: tuple[str, ...], random: np.random.RandomState) -> list[str]:
    """A frame with three different ones of `words`."""
    chosen = random.permutation(len(words))[:3]
    return FRAMES[random.randint(len(FRAMES))].format(*(words[k] for k in chosen)).split()


def draw(count: int, seed: int) -> list[list[list[str]]]:
    """`count` scenes of six speeches, each scene about one theme."""
    random, made = np.random.RandomState(seed), []
    for _ in range(count):
        theme = NAMES[random.randint(len(NAMES))]
        made.append([speech(THEMES[theme], random) for _ in range(SPEECHES)])
    return made


def labelled(seed: int, each: int = 4, tested: int = 50) -> tuple[Labelled, Labelled]:
    """To learn from: `each` speeches of every theme, out of three of its words; to judge: `tested`, out of the others.

    Which three follows from the seed. No word of a theme is in both.
    """
    random = np.random.RandomState(seed)
    learned, judged = Labelled([], []), Labelled([], [])
    for number, theme in enumerate(NAMES):
        words = tuple(THEMES[theme][k] for k in random.permutation(len(THEMES[theme])))
        for part, own, count in ((learned, words[:SHOWN], each), (judged, words[SHOWN:], tested)):
            part.sentences.extend(speech(own, random) for _ in range(count))
            part.themes.extend([number] * count)
    return learned, judged

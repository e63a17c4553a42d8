"""What is read: drawn scenes, SNIPS, Tiny Shakespeare or a text of the user's, as documents of sentences."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Sequence

from labkit.base.errors import UserError
from labkit.base.paths import shown
from labkit.runs import iob, text
from labs.bert import scenes
from labs.bert.words import FIRST, LONGEST, vocabulary

SCENES, HELD_SCENES = 2000, 100
MOST_BYTES = 16 << 20  # of a text
WORDS_A_SECOND = 10_000  # that a core trains on at width 128, about
HELD, MOST_HELD = 20, 500  # every so many-th of a text's documents judges, at most so many
LEAST = 200  # sentences of a text
LEAST_WORDS = 20  # different ones
MOST_LABELS = 1000


class Labelled(NamedTuple):
    """Sentences with a tag for each word and an intent for each sentence."""

    words: list[tuple[str, ...]]
    tags: list[tuple[str, ...]]
    intents: list[str]


@dataclass(frozen=True)
class Labels:
    """SNIPS with what was labelled in it."""

    train: Labelled
    dev: Labelled
    test: Labelled
    tags: list[str]  # tags[0] is no slot
    intents: list[str]


@dataclass(frozen=True)
class Corpus:
    """`train` and `held` hold documents of sentences of numbers; `pairs`: a document's sentences follow each other."""

    train: list[list[list[int]]]
    held: list[list[list[int]]]
    vocabulary: text.Vocabulary
    pairs: bool
    groups: list[int] | None = None  # the theme of each word, -1 for none
    labels: Labels | None = None


def enough(known: text.Vocabulary, path: Path, at_least: int, again: str) -> None:
    """Raises UserError for a vocabulary of hardly any words."""
    if len(known) < FIRST + LEAST_WORDS:
        raise UserError(f"{shown(path)} has {len(known) - FIRST} words that occur {at_least} times or more; "
                        f"{LEAST_WORDS} are the least", again)  # fmt: skip


def in_numbers(documents: Sequence[Sequence[Sequence[str]]], known: text.Vocabulary) -> list[list[list[int]]]:
    return [[known.numbers(sentence) for sentence in document] for document in documents]


@functools.lru_cache(maxsize=2)
def drawn(seed: int) -> Corpus:
    """The scenes; what judges is the same for every seed."""
    train, held = scenes.draw(SCENES, seed), scenes.draw(HELD_SCENES, 2**31)
    known = vocabulary([sentence for document in train for sentence in document])
    groups = [scenes.THEME_OF.get(word, -1) for word in known.words]
    return Corpus(in_numbers(train, known), in_numbers(held, known), known, pairs=True, groups=groups)


def snips(folder: Path) -> Corpus:
    """SNIPS: its sentences follow nothing, so there are no pairs. Words that occur once are unknown."""
    parts = [read_split(folder / split) for split in ("train", "dev", "test")]
    tags = sorted({tag for part in parts for row in part.tags for tag in row} - {"O"})
    intents = sorted({intent for part in parts for intent in part.intents})
    if len(tags) > MOST_LABELS or len(intents) > MOST_LABELS:
        raise UserError(f"{shown(folder)} has {len(tags):,} tags and {len(intents):,} intents",
                        "./inv data snips --verify")  # fmt: skip
    known = vocabulary(parts[0].words, at_least=2)
    enough(known, folder, 2, "./inv data snips --verify")
    train, held = (in_numbers([[words] for words in part.words], known) for part in parts[:2])
    labels = Labels(parts[0], parts[1], parts[2], ["O", *tags], intents)
    return Corpus(train, held, known, pairs=False, labels=labels)


def read_split(folder: Path) -> Labelled:
    """train, dev or test of SNIPS: seq.in, seq.out and label. Raises UserError, naming the line, for anything else."""
    rows = iob.read_split(folder, "snips", LONGEST)
    intents = [line.strip() for line in text.read_lines(folder / "label")]
    if len(intents) != len(rows) or not all(intents):
        raise UserError(f"{shown(folder)} has {len(rows):,} sentences and {sum(map(bool, intents)):,} intents",
                        "./inv data snips --verify")  # fmt: skip
    kept = [k for k, (words, _) in enumerate(rows) if words]
    return Labelled([rows[k][0] for k in kept], [rows[k][1] for k in kept], [intents[k] for k in kept])


def of_text(path: Path, again: str, at_least: int = 3) -> Corpus:
    """A text: its paragraphs are the documents, its lines the sentences; words that are rarer are unknown.

    Raises UserError for one that is too short or too long.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        hours = size / 5.5 / WORDS_A_SECOND / 3600
        raise UserError(f"{shown(path)} has {size >> 20:,} MB, of which one epoch takes about {hours:.0f} hours of a "
                        f"processor's core; {MOST_BYTES >> 20} MB are the most", again)  # fmt: skip
    documents: list[list[list[str]]] = [[]]
    for line in text.read_lines(path, MOST_BYTES):
        words = text.words(line)
        if not words:
            documents.append([])
        documents[-1] += [words[k : k + LONGEST] for k in range(0, len(words), LONGEST)]
    documents = [document for document in documents if len(document) > 1]
    sentences, least = sum(map(len, documents)), 2 * HELD
    if len(documents) < least or sentences < LEAST:
        raise UserError(f"{shown(path)} has {sentences:,} lines in {len(documents):,} paragraphs of two or more; "
                        f"{LEAST} lines in {least} such paragraphs are the least", again)  # fmt: skip
    train = [document for k, document in enumerate(documents) if k % HELD]
    held = [document for k, document in enumerate(documents) if k % HELD == 0][:MOST_HELD]
    known = vocabulary([sentence for document in train for sentence in document], at_least)
    enough(known, path, at_least, again)
    return Corpus(in_numbers(train, known), in_numbers(held, known), known, pairs=True)

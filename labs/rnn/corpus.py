"""Sentences with slots to learn from: drawn ones, or a data set in files; and their batches of one length."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

import torch

from labkit.base.errors import UserError
from labkit.base.paths import shown
from labkit.runs import iob, text
from labs.rnn import grammar
from labs.rnn.grammar import Sentence
from labs.rnn.training import NOTHING

DRAWN = 6000  # sentences to train on, and
TESTED = 600  # of each test
LONGEST = 200  # words of a sentence
MOST_TAGS = 1000
SLOT_HIDDEN, OTHER_HIDDEN = 0.8, 0.02  # chance of a word where slots are hidden, and of any other


@dataclass(frozen=True)
class Corpus:
    """`tests` by name; `tags[0]` is no slot; a word that the training has only once may be unknown."""

    train: list[Sentence]
    tests: dict[str, list[Sentence]]
    tags: list[str]
    vocabulary: text.Vocabulary


@functools.lru_cache(maxsize=2)
def booking(seed: int, variety: float) -> Corpus:
    """Drawn: the tests are the same for every seed, and hold no sentence of the training."""
    train = grammar.draw(DRAWN, seed, variety=variety)
    known = {sentence.words for sentence in train}
    tests = {
        name: [one for one in grammar.draw(TESTED, 2**31, cities, templates) if one.words not in known]
        for name, cities, templates in (("seen", False, False), ("cities", True, False), ("templates", False, True),
                                        ("both", True, True))}  # fmt: skip
    return Corpus(train, tests, grammar.TAGS, text.Vocabulary.of(sentence.words for sentence in train))


def read(folder: Path, name: str) -> Corpus:
    """The data set `name` in its files: train, dev and test, each with seq.in (words) and seq.out (tags).

    Raises UserError where the files are anything else, naming the line.
    """
    train, dev, test = (read_split(folder / split, name) for split in ("train", "dev", "test"))
    found = {tag for sentence in [*train, *dev, *test] for tag in sentence.tags}
    if len(found) > MOST_TAGS:
        raise UserError(f"{shown(folder)} has {len(found):,} different tags", f"./inv data {name} --verify")
    tags = ["O", *sorted(found - {"O"})]
    vocabulary = text.Vocabulary.of((sentence.words for sentence in train), at_least=2)
    return Corpus(train, {"dev": dev, "test": test}, tags, vocabulary)


def read_split(folder: Path, name: str) -> list[Sentence]:
    """The sentences in `folder`. Raises UserError where the files are anything else, naming the line."""
    return [Sentence(words, tags) for words, tags in iob.read_split(folder, name, LONGEST) if words]


class Batches:
    """Training batches: step k has the same sentences, and the same words hidden, whenever it is asked for."""

    def __init__(self, corpus: Corpus, size: int, seed: int, hide: float) -> None:
        self.lengths = [len(sentence.words) for sentence in corpus.train]
        self.order, self.seed, self.hide = text.LengthBatches(self.lengths, size, seed), seed, hide
        shape = len(corpus.train), max(self.lengths)
        self.words, self.tags = (torch.full(shape, value, dtype=torch.int64) for value in (0, NOTHING))
        numbers = {tag: number for number, tag in enumerate(corpus.tags)}
        for row, sentence in enumerate(corpus.train):
            self.words[row, : len(sentence.words)] = torch.tensor(corpus.vocabulary.numbers(sentence.words))
            self.tags[row, : len(sentence.words)] = torch.tensor([numbers[tag] for tag in sentence.tags])
        self.is_name = torch.tensor([tag not in ("O", "B-date", "I-date") for tag in corpus.tags])

    def __call__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Words and tags, int64 (T, N): of one length, so there is nothing to mask."""
        rows = self.order[step]
        length = self.lengths[int(rows[0])]
        words, tags = self.words[rows, :length].t(), self.tags[rows, :length].t()
        random = torch.Generator().manual_seed(1_000_003 * self.seed + step)
        hidden = (torch.rand(len(rows), generator=random) < self.hide) & self.is_name[tags]
        chance = torch.where(hidden, torch.tensor(SLOT_HIDDEN), torch.tensor(OTHER_HIDDEN if self.hide else 0.0))
        return words.masked_fill(torch.rand(words.shape, generator=random) < chance, 0), tags


@torch.no_grad()
def guess(network: torch.nn.Module, sentences: Sequence[Sentence], vocabulary: text.Vocabulary,
          tags: Sequence[str]) -> list[list[str]]:  # fmt: skip
    """The likeliest tag of every word, sentence by sentence."""
    found: list[list[str]] = [[] for _ in sentences]
    device = next(network.parameters()).device
    network.eval()
    for batch in text.by_length([len(sentence.words) for sentence in sentences], 500):
        words = torch.tensor([vocabulary.numbers(sentences[k].words) for k in batch]).t()
        for k, row in zip(batch, network(words.to(device)).argmax(dim=2).t().tolist()):
            found[k] = [tags[number] for number in row]
    return found

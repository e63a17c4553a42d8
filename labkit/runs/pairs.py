"""Pairs of sentences to learn a translation from: read, held out by source, numbered, batched, and scored."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Sequence

import numpy as np
import torch
from torch.nn import functional as F

from labkit.base.errors import UserError
from labkit.base.paths import shown
from labkit.runs import text
from labkit.runs.bleu import bleu
from labkit.runs.text import LengthBatches, Vocabulary

MARK = "<s>"  # begins and ends every answer; text cannot hold it as a word
END = 1  # its number
NOTHING = -1  # a target that is not counted
MOST_WORDS = 100  # of a source or an answer
MOST_PAIRS = 500_000
HELD_OUT = 1000  # sources that judge a translation; a tenth where there are few


class Pair(NamedTuple):
    """A source and its answer, as words; the kind is whatever tells pairs apart."""

    source: tuple[str, ...]
    target: tuple[str, ...]
    kind: str = ""


@dataclass(frozen=True)
class Question:
    """A source that judges, and all answers that are right."""

    source: tuple[str, ...]
    answers: tuple[tuple[str, ...], ...]
    kind: str = ""


@dataclass(frozen=True)
class Corpus:
    """No source of `train` is one of `test`. `known` and `said` are the words of the sources and of the answers."""

    task: str
    train: list[Pair]
    test: list[Question]
    known: Vocabulary
    said: Vocabulary


def numbered(task: str, train: list[Pair], test: list[Question], at_least: int = 1) -> Corpus:
    """A corpus with the vocabularies of its training pairs: words that occur `at_least` so often."""
    known = Vocabulary.of((pair.source for pair in train), at_least)
    said = Vocabulary.of((pair.target for pair in train), at_least)
    return Corpus(task, train, test, known, Vocabulary([MARK, *said.words[1:]]))


def read(path: Path) -> Corpus:
    """Pairs in a file: source, tab, answer in each line, and what follows a second tab is left out.

    The same source can come several times with other answers: it is held out with all of them or not at all. Raises
    UserError for a file that is anything else, naming the line.
    """
    pairs = read_pairs(path)
    sources = list(dict.fromkeys(pair.source for pair in pairs))
    count = min(HELD_OUT, len(sources) // 10)
    if not count:
        raise UserError(f"{shown(path)} has {len(sources)} different sources, and 10 are the least")
    order = np.random.RandomState(20).permutation(len(sources))
    held: dict[tuple[str, ...], list[tuple[str, ...]]] = {sources[k]: [] for k in sorted(order[:count])}
    train = []
    for pair in pairs:
        if pair.source in held:
            held[pair.source].append(pair.target)
        else:
            train.append(pair)
    test = [Question(source, tuple(dict.fromkeys(answers))) for source, answers in held.items()]
    return numbered("translation", train, test, at_least=2)


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of a file, each once. Raises UserError for a line that is no pair."""
    found: dict[Pair, None] = {}
    lines = text.read_lines(path)
    if len(lines) > MOST_PAIRS:
        raise UserError(f"{shown(path)} has {len(lines):,} lines, and {MOST_PAIRS:,} are the most")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        source, tab, rest = line.partition("\t")
        if not tab:
            raise UserError(f"{shown(path)}: line {number} has no tab, and a pair is source, tab, answer")
        pair = Pair(tuple(text.words(source)), tuple(text.words(rest.partition("\t")[0])))
        for side, name in ((pair.source, "source"), (pair.target, "answer")):
            if not 1 <= len(side) <= MOST_WORDS:
                problem = "no word" if not side else f"{len(side):,} words, and {MOST_WORDS} are the most"
                raise UserError(f"{shown(path)}: the {name} in line {number} has {problem}")
        found[pair] = None
    return list(found)


def written(words: Sequence[str]) -> str:
    """Words as people write them: with spaces between, but for Chinese."""
    return re.sub(r"(?<=[^\x00-\xff]) | (?=[^\x00-\xff])", "", " ".join(words))


class Batches:
    """Training batches: step k has the same pairs whenever it is asked for."""

    def __init__(self, corpus: Corpus, size: int, seed: int) -> None:
        self.sources = [corpus.known.numbers(pair.source) for pair in corpus.train]
        self.targets = [[*corpus.said.numbers(pair.target), END] for pair in corpus.train]
        # Answers of about one length together, so that little is padded: up to 4, 6, 8, 11, 16, 23, ... words.
        roughly = [int(2 * math.log2(len(target))) for target in self.targets]
        lengths = list(zip(map(len, self.sources), roughly))
        self.order = LengthBatches(lengths, size, seed)

    def __call__(self, step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Sources (S, N) of one length; answers (T, N) as the decoder is given them, and as it should say them."""
        rows = self.order[step].tolist()
        given, wanted = in_columns([self.targets[k] for k in rows])
        return torch.tensor([self.sources[k] for k in rows]).t(), given, wanted


def in_columns(targets: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Answers of any length, each with END behind it: (T, N) shifted by one with END in front, and as they are.

    What is behind a shorter answer is NOTHING, which no loss counts; the decoder may be given anything there.
    """
    longest = max(map(len, targets))
    wanted = torch.tensor([[*target, *[NOTHING] * (longest - len(target))] for target in targets]).t()
    given = torch.cat([torch.full_like(wanted[:1], END), wanted[:-1]])
    return given.clamp(min=0), wanted


def loss_of(logits: torch.Tensor, wanted: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    """Cross-entropy of logits (T, N, V) for words (T, N), a mean over the words that are there: NOTHING is no word.

    With `smoothing` that share of the target is spread over all words. Source: Szegedy and others (2015).
    """
    logs = F.log_softmax(logits, dim=2)
    there = wanted != NOTHING
    right = logs.gather(2, wanted.clamp(min=0)[:, :, None])[:, :, 0]
    losses = (1 - smoothing) * right + smoothing * logs.mean(dim=2) if smoothing else right
    return -losses[there].sum() / there.sum()


def chances(logits: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of the next word, with none for <unk>, which nobody wants to read."""
    logits = logits.clone()
    logits[..., 0] = -1e9
    return torch.log_softmax(logits, dim=-1)


def in_words(numbers: Sequence[int], said: Vocabulary) -> tuple[str, ...]:
    """The words before the first END."""
    kept = list(numbers)[: list(numbers).index(END)] if END in numbers else numbers
    return tuple(said.words[number] for number in kept)


def most_words(source: int) -> int:
    """When an answer to so many words that does not end is cut."""
    return 2 * source + 10


class Score(NamedTuple):
    """Of some questions: how many, the share whose whole answer is right, BLEU 0..100."""

    asked: int
    right: float
    bleu: float


def score(questions: Sequence[Question], given: Sequence[tuple[str, ...]]) -> Score:
    """What the answers `given` to the questions are worth."""
    right = sum(words in question.answers for question, words in zip(questions, given))
    blue = bleu(given, [question.answers for question in questions])
    return Score(len(questions), right / max(1, len(questions)), blue)

"""What is learned from: strings and dates that are drawn, and what each task takes for a word."""

from __future__ import annotations

import functools
from typing import Sequence

from labkit.runs import pairs, text
from labkit.runs.pairs import Corpus, Question
from labs.seq2seq import drawn

DRAWN = {"reversal": 20_000, "dates": 10_000}
JUDGED = {"reversal": 40 * (drawn.FARTHEST - drawn.SHORTEST + 1), "dates": 800}


def words(task: str, sentence: str) -> tuple[str, ...]:
    """What the task reads: letters of a string, characters of a date, words of a sentence."""
    if task == "reversal":
        return tuple(sentence.lower().replace(" ", ""))
    if task == "dates":
        return tuple(" ".join(sentence.lower().split()))
    return tuple(text.words(sentence))


def written(task: str, answer: Sequence[str]) -> str:
    """An answer as people write it: Chinese and drawn answers without spaces."""
    return pairs.written(answer) if task == "translation" else "".join(answer)


@functools.lru_cache(maxsize=4)
def draw(task: str, seed: int) -> Corpus:
    """Drawn pairs; those that judge are the same for every seed."""
    if task == "reversal":
        train, judged = drawn.strings(DRAWN[task], seed), drawn.strings(JUDGED[task], 2**31, drawn.FARTHEST)
    else:
        train, judged = drawn.dates(DRAWN[task], seed, False), drawn.dates(JUDGED[task], 2**31, True)
    sources = {pair.source for pair in train}
    test = [Question(pair.source, (pair.target,), pair.kind) for pair in judged if pair.source not in sources]
    return pairs.numbered(task, train, test)

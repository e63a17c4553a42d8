"""How good answers are: whole ones that are right, and BLEU, for all and by the length of the source."""

from __future__ import annotations

from typing import Sequence

from labkit.runs import pairs
from labkit.runs.pairs import Corpus, Question, Score
from labs.seq2seq.decoding import Answer, answers
from labs.seq2seq.networks import Seq2Seq

# The shortest and the longest source of each group.
GROUPS = {
    "reversal": ((3, 5), (6, 8), (9, 11), (12, 14), (15, 17), (18, 20), (21, 23), (24, 26)),
    "dates": ((8, 9), (10, 11), (12, 13), (14, 15), (16, 17), (18, 25)),
    "translation": ((1, 4), (5, 6), (7, 8), (9, 11), (12, 100)),
}
TRAINED = {"reversal": 20, "dates": 100, "translation": 100}  # the longest source of the training
MEASURE = {"reversal": "right", "dates": "right", "translation": "bleu"}


def score(questions: Sequence[Question], given: Sequence[Answer]) -> Score:
    return pairs.score(questions, [answer.words for answer in given])


def between(corpus: Corpus, given: Sequence[Answer], shortest: int, longest: int) -> Score:
    """The score of the sources of some lengths."""
    kept = [k for k, question in enumerate(corpus.test) if shortest <= len(question.source) <= longest]
    return score([corpus.test[k] for k in kept], [given[k] for k in kept])


def quick(network: Seq2Seq, corpus: Corpus, count: int) -> float:
    """The task's measure on the first `count` questions that are as long as the training's."""
    asked = [one for one in corpus.test if len(one.source) <= TRAINED[corpus.task]]
    asked = asked[:: max(1, len(asked) // count)]
    found = score(asked, answers(network, [one.source for one in asked], corpus.known, corpus.said))
    return float(getattr(found, MEASURE[corpus.task]))

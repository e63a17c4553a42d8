"""BLEU against what sacrebleu 2.5.1 gives for the same words (tokenize="none"), and by hand."""

from __future__ import annotations

import math

import pytest

from labkit.runs import bleu

# (answers, references of each, what sacrebleu said)
FROZEN = [
    (["the cat sat on the mat", "a dog"],
     [["the cat is on the mat", "there is a cat on the mat"], ["a dog barks"]], 34.844928509543394),
    (["我 喜 欢 你 。"], [["我 爱 你 。"]], 23.643540225079384),
    (["今 天 天 气 很 好 。", "他 走 了 。"],
     [["今 天 的 天 气 很 好 。", "今 天 天 气 真 好 。"], ["他 离 开 了 。", "他 走 了 。"]], 94.57416090031765),
    (["the the the the the the the"], [["the cat is on the mat", "there is a cat on the mat"]], 7.809849842300637),
    (["a b c d e f"], [["a b c d e f"]], 100.0), (["a b"], [["a b"]], 0.0), (["x y z w v"], [["a b c d e"]], 0.0),
    (["a b c d"], [["a b c d e f g h"]], 36.78794411714425), ([""], [["a b"]], 0.0),
]  # fmt: skip


@pytest.mark.parametrize("answers, references, score", FROZEN, ids=range(len(FROZEN)))
def test_bleu_is_that_of_sacrebleu(answers, references, score):
    known = [[one.split() for one in every] for every in references]
    assert bleu.bleu([answer.split() for answer in answers], known) == pytest.approx(score, abs=1e-9)


def test_bleu_by_hand():
    # a b c d e against a b c d f: 4 of 5 words, 3 of 4 pairs, 2 of 3 triples, 1 of 2 runs of four.
    score = bleu.bleu([list("abcde")], [[list("abcdf")]])
    assert score == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    short = bleu.bleu([list("abcd")], [[list("abcdef")]])
    assert short == pytest.approx(100 * math.exp(1 - 6 / 4))
    assert bleu.bleu([list("abcd")], [[list("abcdef"), list("abcd")]]) == pytest.approx(100)
    assert bleu.bleu([], []) == 0


def test_runs_are_counted():
    assert bleu.runs("abab", 2) == {("a", "b"): 2, ("b", "a"): 1} and bleu.runs("a", 2) == {}

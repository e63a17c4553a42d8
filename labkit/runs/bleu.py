"""BLEU: how many runs of one to four words of a translation stand in a translation by a person too."""

from __future__ import annotations

import math
from collections import Counter
from typing import Sequence

Words = Sequence[str]


def runs(words: Words, length: int) -> Counter[tuple[str, ...]]:
    """The runs of `length` words, and how often each occurs."""
    return Counter(tuple(words[k : k + length]) for k in range(len(words) - length + 1))


def bleu(answers: Sequence[Words], references: Sequence[Sequence[Words]], longest: int = 4) -> float:
    """BLEU of all `answers` together, 0..100, each against one or more references; the words are taken as they are.

    A run counts as often as one reference has it. A length of run that nowhere agrees counts as half a run, the next
    as a quarter, so that short texts are not 0; answers shorter than the reference of the nearest length lose by
    exp(1 - wanted / said). Source: Papineni and others (2002); sacrebleu 2.5.1 with tokenize="none" gives the same.
    """
    right, there, said, wanted, halved = [0] * longest, [0] * longest, 0, 0, 1.0
    for answer, known in zip(answers, references):
        said += len(answer)
        wanted += min((abs(len(one) - len(answer)), len(one)) for one in known)[1]
        for n in range(longest):
            most: Counter[tuple[str, ...]] = Counter()
            for one in known:
                most |= runs(one, n + 1)
            found = runs(answer, n + 1)
            right[n] += sum((found & most).values())
            there[n] += sum(found.values())
    if not any(right) or not all(there):
        return 0.0
    total = 0.0
    for agree, count in zip(right, there):
        halved = halved if agree else 2 * halved
        total += math.log(agree / count if agree else 1 / (halved * count))
    return 100 * math.exp(total / longest + min(0.0, 1 - wanted / said))

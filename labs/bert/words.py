"""What stands around the words: the marks that BERT reads, and how long a text may be."""

from __future__ import annotations

from typing import Sequence

from labkit.runs.text import Vocabulary

MARKS = ("[CLS]", "[SEP]", "[MASK]")  # in front of a text, after each sentence, in place of a hidden word
CLS, SEP, MASK = 1, 2, 3  # their numbers; 0 is <unk>
FIRST = 4  # number of the first word
LONGEST = 60  # words of a sentence
MOST_WORDS = 30_000  # as many as BERT's
PLACES = 2 * LONGEST + 3  # of a pair of them with its marks


def vocabulary(sentences: Sequence[Sequence[str]], at_least: int = 1) -> Vocabulary:
    """The marks, then the words that occur so often, the most frequent first and at most `MOST_WORDS`."""
    known = Vocabulary.of(sentences, at_least).words[1:]
    return Vocabulary([*MARKS, *[word for word in known if word not in MARKS][:MOST_WORDS]])

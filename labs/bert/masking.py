"""What BERT is trained on: texts with hidden words, and pairs of which half belong together; batches of one length."""

from __future__ import annotations

from typing import NamedTuple, Sequence

import numpy as np
import torch

from labkit.runs import text
from labs.bert.words import CLS, FIRST, MASK, SEP

AS_MASK, AS_OTHER = 0.8, 0.1  # of the chosen words: become [MASK], become any word; the rest stay and are asked for too


class Batch(NamedTuple):
    """Texts of one length, as the network sees them, and what is asked about them."""

    words: torch.Tensor  # int64 (N, T)
    segments: torch.Tensor  # int64 (N, T): 0 up to the first [SEP], then 1
    places: torch.Tensor  # int64 (K,) into the flat words: those that were chosen
    hidden: torch.Tensor  # int64 (K,): what stood there
    follows: torch.Tensor  # int64 (N,): 1 where the second sentence came after the first

    def to(self, device: torch.device) -> Batch:
        return Batch(*(part.to(device) for part in self))


def hide(words: torch.Tensor, share: float, vocabulary: int, random: torch.Generator,
         always: bool = False) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """Words int64 (N, T) with some hidden, and the places int64 (K,) of the `share` that was chosen, at least one.

    Of the chosen words 80 % become [MASK], 10 % any word, 10 % stay; all become [MASK] if `always`. Marks are never
    chosen. `vocabulary` counts all words.
    """
    chosen = (torch.rand(words.shape, generator=random) < share) & (words >= FIRST)
    if not chosen.any():
        chosen[0, 1] = True  # a loss over nothing is no number
    kind = torch.rand(words.shape, generator=random)
    other = torch.randint(FIRST, vocabulary, words.shape, generator=random)
    if always:
        kind = torch.zeros_like(kind)
    seen = words.masked_fill(chosen & (kind < AS_MASK), MASK)
    replaced = chosen & (kind >= AS_MASK) & (kind < AS_MASK + AS_OTHER)
    return torch.where(replaced, other, seen), chosen.flatten().nonzero().flatten()


Documents = Sequence[Sequence[Sequence[int]]]  # of sentences of numbers of words


class Texts:
    """Batches of texts from documents: step k has the same ones, with the same words hidden, whenever it is asked for.

    With `pairs` a text is two sentences, and in half of them the second comes from another document; each epoch pairs
    anew. Else it is one sentence.
    """

    def __init__(self, documents: Documents, size: int, seed: int, share: float, vocabulary: int, pairs: bool,
                 always: bool = False) -> None:  # fmt: skip
        self.sentences = [sentence for document in documents for sentence in document]
        self.document = np.repeat(np.arange(len(documents)), [len(document) for document in documents])
        inner = self.document[:-1] == self.document[1:]
        self.first = np.flatnonzero(inner) if pairs else np.arange(len(self.sentences))
        self.size, self.seed, self.share, self.vocabulary = size, seed, share, vocabulary
        self.pairs, self.always = pairs, always
        self._number, self._start, self._now = 0, 0, self.epoch(0)  # epochs differ in how many batches they have

    def epoch(self, epoch: int) -> list[list[tuple[int, int, int]]]:
        """The batches of an epoch: (first sentence, second sentence, whether it follows); -1 where there is none."""
        random = np.random.RandomState((1_000_003 * (self.seed + 1) + epoch) % 2**32)
        first = random.permutation(self.first)
        second, follows = np.full_like(first, -1), np.ones_like(first)
        if self.pairs:
            follows = (random.rand(len(first)) < 0.5).astype(first.dtype)
            second = np.where(follows == 1, first + 1, random.randint(len(self.sentences), size=len(first)))
            same = (follows == 0) & (self.document[second] == self.document[first])
            while same.any():  # what is drawn at random must come from another document
                second[same] = random.randint(len(self.sentences), size=int(same.sum()))
                same = (follows == 0) & (self.document[second] == self.document[first])
        rows = list(zip(first.tolist(), second.tolist(), follows.tolist()))
        lengths = [len(self.sentences[a]) + (len(self.sentences[b]) if b >= 0 else 0) for a, b, _ in rows]
        batches = [[rows[k] for k in batch] for batch in text.by_length(lengths, self.size)]
        return [batches[k] for k in random.permutation(len(batches))]

    def rows(self, step: int) -> list[tuple[int, int, int]]:
        """What batch `step` consists of, counted from the start of training."""
        if step < self._start:
            self._number, self._start, self._now = 0, 0, self.epoch(0)
        while step >= self._start + len(self._now):
            self._number, self._start = self._number + 1, self._start + len(self._now)
            self._now = self.epoch(self._number)
        return self._now[step - self._start]

    def __call__(self, step: int) -> Batch:
        """The batch of this step."""
        return self.batch(self.rows(step), step)

    def batch(self, rows: Sequence[tuple[int, int, int]], step: int) -> Batch:
        """These texts with words hidden, which follows from the seed and the step."""
        texts, segments = [], []
        for a, b, _ in rows:
            one = [CLS, *self.sentences[a], SEP]
            other = [*self.sentences[b], SEP] if b >= 0 else []
            texts.append(one + other)
            segments.append([0] * len(one) + [1] * len(other))
        words = torch.tensor(texts)
        random = torch.Generator().manual_seed((1_000_003 * (self.seed + 1) + step) % 2**62)
        seen, places = hide(words, self.share, self.vocabulary, random, self.always)
        follows = torch.tensor([row[2] for row in rows])
        return Batch(seen, torch.tensor(segments), places, words.flatten()[places], follows)

    def all(self) -> list[Batch]:
        """Every text of the first epoch once, to judge by."""
        return [self.batch(rows, step) for step, rows in enumerate(self.epoch(0))]

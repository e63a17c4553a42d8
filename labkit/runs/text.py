"""Text for networks: files read with care, words, vocabularies, and batches of sentences of one length.

Sentences of one length need no padding and no mask: every number in a batch is a word, an RNN's last state is that of
the last word, and the reversed sentence is the batch flipped.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any, Hashable, Iterable, Sequence

import numpy as np
import torch

from labkit.base.errors import UserError
from labkit.base.paths import shown

MOST_BYTES = 64 << 20
UNKNOWN = "<unk>"

# A Chinese character is a word of its own; letters and digits stay together, a sign stands alone.
_WORD = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3400-\u9fff\uf900-\ufaff]+(?:'[^\W_]+)?|[^\w\s]")


def read_lines(path: Path, most_bytes: int = MOST_BYTES) -> list[str]:
    """The lines of a text file, without a byte-order mark, whatever ends them; the empty ones too.

    Raises UserError for a file that cannot be read, is larger than `most_bytes`, or is no text in UTF-8.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(most_bytes + 1)
    except OSError as error:
        raise UserError(f"cannot read {shown(path)}: {error.strerror}") from None
    if len(content) > most_bytes:
        raise UserError(f"{shown(path)} has more than {most_bytes >> 20} MB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"{shown(path)} is not text in UTF-8: line {line} has other bytes",
                        f"iconv -f GB18030 -t UTF-8 {shown(path)}, if it is Chinese in GBK") from None  # fmt: skip
    if "\0" in text:
        raise UserError(f"{shown(path)} is not text: it holds a null character")
    lines = re.split(r"\r\n|\r|\n", text)
    return lines[:-1] if lines[-1] == "" else lines


def words(sentence: str) -> list[str]:
    """The words of a sentence in small letters; each Chinese character and each sign is one.

    "Leave Beijing on November 2nd" has five, and "十一月二日北京出发" nine.
    """
    return _WORD.findall(sentence.lower())


class Vocabulary:
    """Words with a number each. 0 is `<unk>`, which stands for every other word."""

    def __init__(self, known: Iterable[str]) -> None:
        """The words in their order; `<unk>` is put in front."""
        self.words = [UNKNOWN, *known]
        self._numbers = {word: number for number, word in enumerate(self.words)}
        if len(self._numbers) != len(self.words):
            raise ValueError("a vocabulary has each word once")

    @classmethod
    def of(cls, sentences: Iterable[Sequence[str]], at_least: int = 1) -> Vocabulary:
        """The words that occur `at_least` so often, the most frequent first, equally frequent ones by the alphabet."""
        counts = Counter(word for sentence in sentences for word in sentence)
        ordered = sorted(counts, key=lambda word: (-counts[word], word))
        return cls(word for word in ordered if counts[word] >= at_least and word != UNKNOWN)

    @classmethod
    def from_state(cls, saved: Any) -> Vocabulary:
        """What `state` gave, from a checkpoint. Raises ValueError for anything else."""
        if not isinstance(saved, list) or saved[:1] != [UNKNOWN] or not all(isinstance(word, str) for word in saved):
            raise ValueError("it holds no vocabulary")
        return cls(saved[1:])

    def state(self) -> list[str]:
        """For a checkpoint."""
        return list(self.words)

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self._numbers

    def numbers(self, sentence: Sequence[str]) -> list[int]:
        """The number of each word."""
        return [self._numbers.get(word, 0) for word in sentence]


def by_length(lengths: Sequence[Hashable], size: int) -> list[list[int]]:
    """The positions of equal `lengths` together, at most `size` in a batch: each position once, in order."""
    same: dict[Hashable, list[int]] = {}
    for position, length in enumerate(lengths):
        same.setdefault(length, []).append(position)
    return [found[k : k + size] for found in same.values() for k in range(0, len(found), size)]


class LengthBatches:
    """Batches of at most `size` sentences of one length, in random order: every sentence once in each epoch.

    `lengths` may be numbers, or pairs of them where sentences have translations. Any batch can be asked for by its
    number, counted from the start of training, and follows from the seed alone: a resumed run goes on with the same.
    """

    def __init__(self, lengths: Sequence[Hashable], size: int, seed: int) -> None:
        self.lengths, self.size, self.seed = lengths, size, seed
        self.in_epoch = len(by_length(lengths, size))
        self._epoch, self._batches = -1, [torch.zeros(0)]

    def __getitem__(self, number: int) -> torch.Tensor:
        """The positions of the sentences in batch `number`: int64 (size or fewer,)."""
        epoch, position = divmod(number, self.in_epoch)
        if epoch != self._epoch:
            random = np.random.RandomState((1_000_003 * (self.seed + 1) + epoch) % 2**32)
            order = random.permutation(len(self.lengths))
            batches = by_length([self.lengths[k] for k in order], self.size)
            shuffled = [batches[k] for k in random.permutation(len(batches))]
            self._epoch, self._batches = epoch, [torch.from_numpy(order[batch]) for batch in shuffled]
        return self._batches[position]

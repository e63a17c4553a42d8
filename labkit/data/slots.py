"""Drawn requests in the files of SNIPS and ATIS: words, a tag for each word, and an intent, line by line."""

from __future__ import annotations

from pathlib import Path
from typing import Mapping, Sequence

import numpy as np


def write(folder: Path, splits: Mapping[str, int], requests: Mapping[str, Sequence[str]],
          values: Mapping[str, Sequence[str]], seed: int) -> None:  # fmt: skip
    """Write seq.in, seq.out and label of each split below `folder`.

    `splits` says how many each has; `requests` are those of an intent, with a {slot} where one of its `values` goes,
    each as often as the others of its intent.
    """
    rng = np.random.RandomState(seed)
    for split, count in splits.items():
        lines, tags, labels = [], [], []
        for _ in range(count):
            intent = sorted(requests)[rng.randint(len(requests))]
            request = requests[intent][rng.randint(len(requests[intent]))]
            words: list[str] = []
            marks: list[str] = []
            for word in request.split():
                slot = word.strip("{}") if word.startswith("{") else ""
                own = values[slot][rng.randint(len(values[slot]))].split() if slot else [word]
                words += own
                marks += [f"{'I' if k else 'B'}-{slot}" if slot else "O" for k in range(len(own))]
            lines.append(" ".join(words))
            tags.append(" ".join(marks))
            labels.append(intent)
        (folder / split).mkdir()
        for name, content in (("seq.in", lines), ("seq.out", tags), ("label", labels)):
            (folder / split / name).write_text("\n".join(content) + "\n", encoding="utf-8")

"""Pre-training: hidden words and following sentences; how it is judged, and what the word vectors have become."""

from __future__ import annotations

import functools
from typing import Any, Mapping, Sequence

import torch
from torch.nn import functional as F

from labs.bert.config import Config
from labs.bert.corpus import Corpus
from labs.bert.masking import Batch, Texts
from labs.bert.network import Bert
from labs.bert.training import Training

JUDGED = 2**31 - 1  # the seed of what judges, which no training has


def losses(network: Bert, batch: Batch, pairs: bool) -> dict[str, torch.Tensor]:
    """Of the hidden words, at their places alone, and of whether the second sentence follows, read off [CLS]."""
    vectors = network.encoder(batch.words, batch.segments)
    guesses = network.guesses(vectors.flatten(0, 1)[batch.places])  # (K, V), never (N, T, V)
    found = {"mlm": F.cross_entropy(guesses, batch.hidden)}
    if pairs:
        found["nsp"] = F.cross_entropy(network.follows(vectors[:, 0]), batch.follows)
    return found


def build(corpus: Corpus, config: Config, left_to_right: bool = False) -> Bert:
    return Bert(len(corpus.vocabulary), config.width, config.layers, config.heads, left_to_right)


def training(corpus: Corpus, config: Config, seed: int, device: torch.device, left_to_right: bool = False,
             looks: int = 0) -> Training:  # fmt: skip
    """BERT's; `left_to_right` is the control, which sees what comes before a word and nothing else.

    The control learns later, so it has twice the steps: what it does not know then, it cannot know.
    """
    texts = Texts(corpus.train, config.batch_size, seed, config.hide, len(corpus.vocabulary), corpus.pairs)
    judged = judge_texts(corpus, config)

    def step_losses(network: Bert, step: int) -> dict[str, torch.Tensor]:
        return losses(network, texts(step).to(device), corpus.pairs)

    name = "left to right" if left_to_right else "both ways"
    return Training(f"pretrain/{name}", functools.partial(build, corpus, config, left_to_right), step_losses,
                    config.steps * (2 if left_to_right else 1), config.lr, config.width, seed, looks,
                    functools.partial(judge, batches=judged, corpus=corpus),
                    snapshots=corpus.labels is not None)  # fmt: skip


def judge_texts(corpus: Corpus, config: Config) -> list[Batch]:
    """Held-out texts with 15 % of the words hidden, each as [MASK]: the same in every run."""
    return Texts(corpus.held, 128, JUDGED, 0.15, len(corpus.vocabulary), corpus.pairs, always=True).all()


@torch.no_grad()
def judge(network: Bert, batches: Sequence[Batch], corpus: Corpus) -> dict[str, float]:
    """Shares, 0..1: hidden words that are found, their themes where words have some, and pairs that are told apart."""
    device = network.bias.device
    groups = torch.tensor(corpus.groups) if corpus.groups else None
    right: dict[str, list[torch.Tensor]] = {"mlm": [], "theme": [], "nsp": []}
    for batch in batches:
        vectors = network.encoder(batch.words.to(device), batch.segments.to(device))
        found = network.guesses(vectors.flatten(0, 1)[batch.places.to(device)]).argmax(dim=1).cpu()
        right["mlm"].append(found == batch.hidden)
        if groups is not None:
            asked = groups[batch.hidden] >= 0
            right["theme"].append((groups[found] == groups[batch.hidden])[asked])
        if corpus.pairs:
            right["nsp"].append(network.follows(vectors[:, 0]).argmax(dim=1).cpu() == batch.follows)
    return {name: float(torch.cat(parts).double().mean()) for name, parts in right.items() if parts}


def names_of(corpus: Corpus) -> list[str]:
    """What `judge` gives, in its order."""
    return ["mlm", *(["theme"] if corpus.groups else []), *(["nsp"] if corpus.pairs else [])]


def curve(row: Mapping[str, Any], corpus: Corpus, name: str) -> list[float]:
    """One of the shares at every look."""
    names = names_of(corpus)
    seen: list[float] = row["seen"]
    return seen[names.index(name) :: len(names)]


def nearest(table: torch.Tensor, number: int, count: int, first: int) -> list[int]:
    """The rows from `first` on whose direction is nearest to that of row `number`, without itself."""
    unit = F.normalize(table, dim=1)
    likeness = unit @ unit[number]
    likeness[:first], likeness[number] = -2, -2
    found: list[int] = likeness.argsort(descending=True)[:count].tolist()
    return found


def themes_together(table: torch.Tensor, groups: Sequence[int], count: int = 3) -> float:
    """Share of the `count` nearest words of the words with a theme that have the same theme."""
    with_theme = [number for number, group in enumerate(groups) if group >= 0]
    same = []
    for number in with_theme:
        others = [k for k in nearest(table, number, len(table) - 1, 0) if groups[k] >= 0][:count]
        same += [groups[k] == groups[number] for k in others]
    return sum(same) / len(same)

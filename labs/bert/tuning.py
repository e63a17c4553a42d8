"""Fine-tuning on scenes: which theme is a speech about, when the labelled speeches never had the words it is about?"""

from __future__ import annotations

import functools
from typing import Any, Mapping

import torch
from torch.nn import functional as F

from labkit.runs import text
from labs.bert import scenes
from labs.bert.config import Config
from labs.bert.corpus import Corpus
from labs.bert.network import Classifier, Encoder
from labs.bert.scenes import Labelled
from labs.bert.training import Training
from labs.bert.words import CLS, SEP

WAYS = ("scratch", "frozen", "pre-trained")  # first weights by chance; pre-trained, and only the head learns; all learn
LR = 0.001
DROPOUT = 0.1
BATCH = 8


def rows_of(sentences: Labelled, known: text.Vocabulary) -> list[list[int]]:
    return [[CLS, *known.numbers(words), SEP] for words in sentences.sentences]


def encoder(words: int, config: Config, weights: Mapping[str, torch.Tensor] | None, dropout: float) -> Encoder:
    """By chance, or with the weights of a pre-trained Bert."""
    made = Encoder(words, config.width, config.layers, config.heads, dropout)
    if weights is not None:
        own = {name[len("encoder.") :]: value for name, value in weights.items() if name.startswith("encoder.")}
        made.load_state_dict(own)
    return made


def build(corpus: Corpus, config: Config, way: str, weights: Mapping[str, torch.Tensor]) -> Classifier:
    start = None if way == "scratch" else weights
    made = encoder(len(corpus.vocabulary), config, start, 0.0 if way == "frozen" else DROPOUT)
    made.requires_grad_(way != "frozen")
    return Classifier(made, config.width, len(scenes.NAMES))


def training(corpus: Corpus, config: Config, way: str, weights: Mapping[str, torch.Tensor], seed: int,
             device: torch.device) -> Training:  # fmt: skip
    """One of the `WAYS`, on the labelled speeches of this seed."""
    learned, judged = scenes.labelled(seed)
    rows = rows_of(learned, corpus.vocabulary)
    themes = torch.tensor(learned.themes)
    batches = text.LengthBatches(list(map(len, rows)), BATCH, seed)

    def losses(network: Any, step: int) -> dict[str, torch.Tensor]:
        chosen = batches[step]
        words = torch.tensor([rows[k] for k in chosen.tolist()])
        logits, _ = network(words.to(device))
        return {"theme": F.cross_entropy(logits, themes[chosen].to(device))}

    lr = 10 * LR if way == "frozen" else LR  # a head alone has little to spoil
    return Training(f"tune/{way} {seed}", functools.partial(build, corpus, config, way, weights), losses,
                    config.tune_steps, lr, config.width, seed,
                    judge=functools.partial(judge, corpus=corpus, judged=judged), log=False)  # fmt: skip


@torch.no_grad()
def judge(network: Any, corpus: Corpus, judged: Labelled) -> dict[str, float]:
    """Share of the speeches whose theme is found: none of their theme words was labelled."""
    rows = rows_of(judged, corpus.vocabulary)
    device = next(network.parameters()).device
    right = 0
    for batch in text.by_length(list(map(len, rows)), 500):
        guesses = network(torch.tensor([rows[k] for k in batch]).to(device))[0].argmax(dim=1).tolist()
        right += sum(guess == judged.themes[k] for guess, k in zip(guesses, batch))
    return {"accuracy": right / len(rows)}

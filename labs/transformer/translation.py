"""The part translation: English to Chinese by encoder and decoder, on the pairs of the lab seq2seq."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Sequence

import torch

from labkit.base.console import say
from labkit.base.language import both
from labkit.runs import pairs as files
from labkit.runs import plots, text
from labkit.runs.pairs import END, Batches, Corpus, Score
from labkit.runs.run import Run
from labkit.runs.text import Vocabulary
from labs.transformer.config import Config
from labs.transformer.networks import Translator
from labs.transformer.training import Training

DROPOUT, SMOOTHING = 0.2, 0.1
GROUPS = ((1, 4), (5, 6), (7, 8), (9, 11), (12, 100))  # the shortest and the longest sentence of each, words
LOOKS, LOOKED_AT, AT_ONCE = 8, 100, 200
LONG = 9  # words of a long sentence


def read(config: Config, run: Run) -> Corpus:
    return files.read(Path(config.pairs) if config.pairs else run.dataset("cmn_eng") / "cmn.txt")


def build(config: Config, source_words: int, target_words: int) -> Translator:
    return Translator(source_words, target_words, config.sizes("translation"), config.norm, config.shared, DROPOUT)


def trainings(config: Config, corpus: Corpus, seed: int) -> list[Training]:
    """The one network."""
    sizes = config.sizes("translation")
    batches = Batches(corpus, sizes.batch, seed)

    def loss(network: Translator, step: int) -> torch.Tensor:
        source, given, wanted = (part.to(network.bias.device) for part in batches(step))
        return files.loss_of(network(source.t(), given.t()), wanted.t(), SMOOTHING)

    def look(network: Translator) -> float:
        asked = corpus.test[:: max(1, len(corpus.test) // LOOKED_AT)]
        return files.score(asked, answers(network, [one.source for one in asked], corpus.known, corpus.said)).bleu

    return [Training("translation/transformer", lambda: build(config, len(corpus.known), len(corpus.said)), loss,
                     sizes.steps, sizes.lr, seed=seed, looks=max(1, min(LOOKS, sizes.steps // 50)), look=look,
                     looked="bleu")]  # fmt: skip


@torch.no_grad()
def greedy(network: Translator, source: torch.Tensor) -> torch.Tensor:
    """Sources (N, S) of one length to answers (N, T), the likeliest word each time, END behind each."""
    memory, cache = network.encode(source), network.decoder.empty()
    given = torch.full_like(source[:, :1], END)
    said: list[torch.Tensor] = []
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    while len(said) < files.most_words(source.shape[1]) and not bool(ended.all()):
        word = files.chances(network.decode(given, memory, cache)[:, -1]).argmax(dim=1).masked_fill(ended, END)
        said.append(word)
        ended, given = ended | (word == END), word[:, None]
    return torch.stack(said, dim=1)


def answers(network: Translator, sources: Sequence[Sequence[str]], known: Vocabulary,
            said: Vocabulary) -> list[tuple[str, ...]]:  # fmt: skip
    """The translation of each source, in their order."""
    device = network.bias.device
    network.eval()
    found: list[tuple[str, ...]] = [()] * len(sources)
    for batch in text.by_length([len(source) for source in sources], AT_ONCE):
        numbers = greedy(network, torch.tensor([known.numbers(sources[k]) for k in batch], device=device))
        for k, row in zip(batch, numbers.tolist()):
            found[k] = files.in_words(row, said)
    return found


def show_pairs(run: Run, corpus: Corpus) -> None:
    """A few pairs that the network learns from."""
    rows = [[" ".join(pair.source), files.written(pair.target)]
            for pair in corpus.train[:: max(1, len(corpus.train) // 8)][:8]]  # fmt: skip
    run.table("pairs", [both("source", "原文"), both("answer", "答案")], rows, both(
        f"Some of {len(corpus.train):,} pairs to learn from. {len(corpus.test):,} other sources judge. "
        f"{len(corpus.known):,} words in the sources, {len(corpus.said):,} in the answers.",
        f"{len(corpus.train):,} 个训练对中的几个，另有 {len(corpus.test):,} 个原文用于评判。原文的词表 "
        f"{len(corpus.known):,}，答案的词表 {len(corpus.said):,}。"))  # fmt: skip


def show(run: Run, config: Config, corpus: Corpus, rows: Mapping[str, dict[str, Any]]) -> dict[str, float]:
    """BLEU in all and by length, and translations; the measures."""
    (one,) = trainings(config, corpus, run.seed)
    row = rows[one.name]
    network = one.restored(row)
    said = answers(network, [question.source for question in corpus.test], corpus.known, corpus.said)
    whole = files.score(corpus.test, said)
    groups = {group: between(corpus, said, *group) for group in GROUPS}
    groups = {group: own for group, own in groups.items() if own.asked}
    weights = sum(weight.numel() for weight in network.parameters())
    heads: list[Any] = [both("weights", "权重数"), both("steps", "步"), both("seconds", "秒"), both("right", "全对"),
                        "BLEU", *(f"{low}–{high}" if high < 100 else f"≥ {low}" for low, high in groups)]  # fmt: skip
    run.table("translation", heads, [[weights, row["steps"], f"{row['seconds']:.1f}", f"{whole.right:.1%}",
                                      f"{whole.bleu:.1f}", *(f"{own.bleu:.1f}" for own in groups.values())]], both(
        f"{len(corpus.test):,} sentences that no training has; the last columns are BLEU by the words of the sentence. "
        "The lab seq2seq judges by the same sentences.",
        f"{len(corpus.test):,} 个训练中没有的句子；后几列是按句长的 BLEU。seq2seq 用同样的句子评判。"))  # fmt: skip
    figure, axes = plots.figure(1, 2, width=10, height=3.0)
    axes[0, 0].plot([own.bleu for own in groups.values()], "o-")
    axes[0, 0].set_xticks(range(len(groups)))
    axes[0, 0].set_xticklabels([f"{low}–{high}\nn {own.asked}" if high < 100 else f"≥ {low}\nn {own.asked}"
                                for (low, high), own in groups.items()], fontsize=8)  # fmt: skip
    axes[0, 0].set_xlabel("words of the sentence")
    axes[0, 1].plot(row["at"], row["judged"], "o-")
    axes[0, 1].set_xlabel("step")
    for axis, title in zip(axes[0], ("BLEU by length", f"BLEU of {LOOKED_AT} sentences while training")):
        axis.set_title(title)
        axis.set_ylim(bottom=0)
    figure.tight_layout()
    run.figure("translation", figure, both("What the encoder and decoder reach.", "编码器—解码器的成绩。"))
    order = sorted(range(len(corpus.test)), key=lambda k: len(corpus.test[k].source))
    table = [[" ".join(corpus.test[k].source), files.written(corpus.test[k].answers[0]),
              ("✓ " if said[k] in corpus.test[k].answers else "") + files.written(said[k])]
             for k in order[:: max(1, len(order) // 16)]]  # fmt: skip
    run.table("answers", [both("source", "原文"), both("one right answer", "一个正确答案"), both("said", "网络的译文")],
              table, both("Translations of sentences that no training has, by length; ✓ is right.",
                          "训练中没有的句子的译文，按长度排列；✓ 表示正确。"))  # fmt: skip
    say(f"translation: {whole.right:.1%} right, BLEU {whole.bleu:.1f}")
    long = between(corpus, said, LONG, 1000)
    return {"translation_right": whole.right, "translation_bleu": whole.bleu, "translation_long_bleu": long.bleu}


def between(corpus: Corpus, said: Sequence[tuple[str, ...]], shortest: int, longest: int) -> Score:
    """The score of the sources of some lengths."""
    kept = [k for k, question in enumerate(corpus.test) if shortest <= len(question.source) <= longest]
    return files.score([corpus.test[k] for k in kept], [said[k] for k in kept])

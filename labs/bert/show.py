"""What a run shows: the texts with hidden words, what pre-training learned, and what it is worth."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import torch

from labkit.base.console import say
from labkit.base.language import Both, both
from labkit.runs import plots
from labkit.runs.run import Run
from labs.bert import pretraining, scenes
from labs.bert.config import Config
from labs.bert.corpus import Corpus
from labs.bert.masking import Texts
from labs.bert.network import Bert
from labs.bert.words import FIRST, MASK

Row = Mapping[str, Any]
WORDS = {"scenes": ("ship", "rose", "sword", "wine", "book", "snow"),
         "snips": ("play", "book", "weather", "restaurant", "song", "tomorrow", "four", "add"),
         "shakespeare": ("king", "queen", "love", "death", "thou", "sword", "father", "night")}  # fmt: skip


def texts(run: Run, config: Config, corpus: Corpus) -> None:
    """A few texts as the network sees them."""
    made = Texts(corpus.train, config.batch_size, run.seed, config.hide, len(corpus.vocabulary), corpus.pairs)
    batch, rows = made(0), []
    words = corpus.vocabulary.words
    length = batch.words.shape[1]
    for k in range(min(6, len(batch.words))):
        own = [(int(place) % length, int(word)) for place, word in zip(batch.places, batch.hidden)
               if int(place) // length == k]  # fmt: skip
        asked = dict(own)
        seen = " ".join(f"‹{words[n]}›" if at in asked and n != MASK else words[n]
                        for at, n in enumerate(batch.words[k].tolist()))  # fmt: skip
        follows = (both("yes", "是") if batch.follows[k] else both("no", "否")) if corpus.pairs else both("", "")
        rows.append([seen, ", ".join(words[n] for _, n in own), follows])
    sentences = sum(map(len, corpus.train))
    heads = [both("what the network sees", "网络看到的"), both("what is asked", "要它答的"),
             both("follows", "是否接续")]  # fmt: skip
    run.table("texts", heads, rows, both(
        f"The first texts of {sentences:,} sentences; {len(words):,} words and marks. ‹A word› in brackets was chosen "
        "too, and stays or was replaced by another.",
        f"共 {sentences:,} 句，这是最先的几条；词与标记共 {len(words):,} 个。‹尖括号›中的词也被选中，但保持不变或换成了"
        "别的词。"))  # fmt: skip


NAMES = {"mlm": both("hidden words found, %", "被遮的词猜对，%"), "theme": both("their theme found, %",
                                                                                "其主题猜对，%"),
         "nsp": both("pairs told apart, %", "句对判对，%")}  # fmt: skip


def pretrained(run: Run, corpus: Corpus, rows: Sequence[Row], most: float | None) -> dict[str, float]:
    """Table and curves of the pre-trainings; what the first of them reached. `most` is the ceiling of NSP."""
    names = pretraining.names_of(corpus)
    table: list[list[Any]] = [[both(*LABELS[row["name"]]), row["steps"], f"{row['seconds']:.1f}",
                               *(f"{100 * pretraining.curve(row, corpus, name)[-1]:.1f}" for name in names)]
                              for row in rows]  # fmt: skip
    if most is not None:
        table.append([both("who knows all themes", "已知全部主题者"), "", "", "", "100.0", f"{100 * most:.1f}"])
    share = commonest(corpus)
    guessing = both("always the commonest word", "总猜最常见的词")
    table.append([guessing, "", "", f"{100 * share:.1f}", *([""] * (len(names) - 1))])
    heads: list[Any] = [both("pre-training", "预训练"), both("steps", "步数"), both("seconds", "秒"),
                        *(NAMES[name] for name in names)]  # fmt: skip
    run.table("pretrained", heads, table, both(
        "On texts that no training has, with 15 % of the words as [MASK].",
        "在训练未见过的文本上，15 % 的词换成 [MASK]。"))  # fmt: skip
    figure, axes = plots.figure(1, len(names), width=3.6 * len(names) + 0.4, height=3.0)
    for axis, name in zip(axes[0], names):
        for row in rows:
            shares = [100 * value for value in pretraining.curve(row, corpus, name)]
            axis.plot(row["at"], shares, marker="o", markersize=3, label=LABELS[row["name"]][0])
        level = {"mlm": share, "theme": 1 / len(scenes.NAMES), "nsp": 0.5}[name]
        axis.axhline(100 * level, color="#999999", linestyle=":", linewidth=1)
        if name == "nsp" and most is not None:
            axis.axhline(100 * most, color="#333333", linestyle="--", linewidth=1)
        axis.set_title({"mlm": "hidden words", "theme": "themes of hidden words", "nsp": "does it follow?"}[name])
        axis.set_xlabel("step")
        axis.set_ylabel("right, %")
        axis.set_ylim(0, 103)
    if len(rows) > 1:
        axes[0, 0].legend(fontsize=8)
    figure.tight_layout()
    run.figure("pretraining", figure, both(
        "Held-out texts while pre-training. Dotted: by guessing; dashed: the most that is possible.",
        "预训练过程中在留出文本上的表现。点线：瞎猜；虚线：可能达到的上限。"))  # fmt: skip
    found = {name: pretraining.curve(rows[0], corpus, name)[-1] for name in names}
    say(", ".join(f"{name} {value:.1%}" for name, value in found.items()))
    return found


LABELS = {"pretrain/both ways": ("both ways", "双向"), "pretrain/left to right": ("left to right", "从左到右")}


def commonest(corpus: Corpus) -> float:
    """Share of the held-out words that are the training's commonest."""
    count = torch.zeros(len(corpus.vocabulary), dtype=torch.int64)
    for documents, kept in ((corpus.train, True), (corpus.held, False)):
        words = torch.tensor([number for document in documents for sentence in document for number in sentence])
        if kept:
            best = int(torch.bincount(words, minlength=len(count))[FIRST:].argmax()) + FIRST
    return float((words == best).double().mean())


@torch.no_grad()
def by_place(network: Bert, corpus: Corpus, config: Config) -> list[float]:
    """The share of hidden words of a theme whose theme is found: of the first such word of a pair, the second, ..."""
    assert corpus.groups is not None
    groups = torch.tensor(corpus.groups)
    right: list[list[bool]] = [[] for _ in range(6)]
    for batch in pretraining.judge_texts(corpus, config):
        whole = batch.words.flatten().index_copy(0, batch.places, batch.hidden).reshape(batch.words.shape)
        order = ((groups[whole] >= 0).to(torch.int64).cumsum(dim=1) - 1).flatten()[batch.places]
        found = network.guesses(network.encoder(batch.words, batch.segments).flatten(0, 1)[batch.places]).argmax(dim=1)
        for place, guess, word in zip(order.tolist(), groups[found].tolist(), groups[batch.hidden].tolist()):
            if word >= 0:
                right[place].append(guess == word)
    return [sum(own) / max(1, len(own)) for own in right]


def places(run: Run, corpus: Corpus, config: Config, networks: Mapping[str, Bert]) -> None:
    """Which hidden words each way of reading can know about: the control of the notes' "both directions"."""
    figure, axes = plots.figure(1, 1, width=6.4, height=3.0)
    axis, width = axes[0, 0], 0.8 / len(networks)
    for k, (name, network) in enumerate(networks.items()):
        shares = by_place(network, corpus, config)
        where = [n + (k - (len(networks) - 1) / 2) * width for n in range(6)]
        axis.bar(where, [100 * share for share in shares], width, label=LABELS[name][0])
    axis.axhline(100 / len(scenes.NAMES), color="#999999", linestyle=":", linewidth=1)
    axis.set_xticks(range(6))
    axis.set_xticklabels([f"{n}." for n in range(1, 7)])
    axis.set_xlabel("which of the six theme words of a pair is hidden")
    axis.set_ylabel("theme found, %")
    axis.set_ylim(0, 118)
    axis.legend(ncol=2, loc="upper center")
    figure.tight_layout()
    run.figure("places", figure, both(
        "Read from left to right, the first theme word of a pair has nothing before it that tells, and where the "
        "second sentence does not follow, neither has the fourth: they are guessed (dotted). Both ways, every word "
        "has others of its theme around it.",
        "从左到右读时，一对句子里第一个主题词之前没有任何线索；若第二句并不接续，第四个也一样：只能猜（点线）。双向"
        "时，每个词周围都有同主题的词。"))  # fmt: skip


def neighbours(run: Run, corpus: Corpus, network: Bert, dataset: str) -> None:
    """The nearest words of some words, by the direction of their vectors in the table of words."""
    table = network.encoder.words.weight.detach()
    words = corpus.vocabulary.words
    asked = [word for word in WORDS.get(dataset, ()) if word in corpus.vocabulary]
    frequent = asked or words[FIRST + 20 : FIRST + 28]
    rows = []
    for word in frequent:
        near = pretraining.nearest(table, corpus.vocabulary.numbers([word])[0], 6, FIRST)
        rows.append([word, ", ".join(words[k] for k in near)])
    run.table("nearest", [both("word", "词"), both("nearest words", "最近的词")], rows, both(
        "By the cosine of their vectors, which nobody told what a word means.",
        "按词向量的余弦。没有人告诉过它词义。"))  # fmt: skip


def words_in_a_plane(run: Run, corpus: Corpus, before: Bert, after: Bert) -> float:
    """The theme words in the plane in which they differ most; how many of the nearest have the same theme."""
    assert corpus.groups is not None
    groups = corpus.groups
    figure, axes = plots.figure(1, 2, width=10, height=4.0)
    found = []
    for axis, network, title in ((axes[0, 0], before, "before"), (axes[0, 1], after, "after pre-training")):
        table = network.encoder.words.weight.detach()
        found.append(pretraining.themes_together(table, groups))
        chosen = [number for number, group in enumerate(groups) if group >= 0]
        vectors = table[chosen].double()
        vectors = vectors - vectors.mean(dim=0)
        plane = vectors @ torch.svd(vectors)[2][:, :2]
        for number, name in enumerate(scenes.NAMES):
            own = [k for k, word in enumerate(chosen) if groups[word] == number]
            colour = plots.COLOURS[number % len(plots.COLOURS)]
            axis.scatter(plane[own, 0], plane[own, 1], s=14, color=colour, label=name)
            for k in own:
                axis.annotate(corpus.vocabulary.words[chosen[k]], plane[k].tolist(), fontsize=6.5, color=colour,
                              xytext=(2, 2), textcoords="offset points")  # fmt: skip
        axis.set_title(f"{title}: {100 * found[-1]:.0f} % of the three nearest share the theme", fontsize=9)
        axis.set_xticklabels([])
        axis.set_yticklabels([])
    axes[0, 1].legend(fontsize=7, loc="best")
    figure.tight_layout()
    run.figure("words", figure, both(
        "The vectors of the 48 theme words, in the plane in which they differ most. No speech names its theme: words "
        "that are hidden in the same company come together.",
        "48 个主题词的向量，投到差异最大的平面上。没有一句台词说出主题：常在同样上下文里出现的词聚到了一"
        "起。"))  # fmt: skip
    return found[-1]


WAYS: dict[str, Both] = {
    "scratch": both("from scratch", "从零开始"),
    "frozen": both("pre-trained features, frozen", "预训练特征，冻结"),
    "pre-trained": both("pre-trained, all learn", "预训练后全部微调"),
}


def tuned(run: Run, scores: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Fine-tuning on the scenes, with pre-training and without, on the same labelled speeches."""
    rows: list[list[Any]] = [[WAYS[way], *(f"{100 * score:.1f}" for score in own), f"{100 * sum(own) / len(own):.1f}"]
                             for way, own in scores.items()]  # fmt: skip
    draws = len(next(iter(scores.values())))
    heads: list[Any] = [both("first weights", "初始权重"), *(both(f"draw {k + 1}",
                                                                  f"第 {k + 1} 次抽取") for k in range(draws)),
                        both("mean", "平均")]  # fmt: skip
    chance = 100 / len(scenes.NAMES)
    run.table("tuned", heads, rows, both(
        "Speeches whose theme is found, %: learned from 24 labelled ones with three words of each theme, judged by "
        f"300 with the other five. Guessing: {chance:.1f} %.",
        f"主题判对的台词，%：学自 24 条有标签的台词（每个主题只出现三个词），用另外五个词的 300 条来评判。瞎猜为 "
        f"{chance:.1f} %。"))  # fmt: skip
    figure, axes = plots.figure(1, 1, width=6, height=3.0)
    axis = axes[0, 0]
    for k, own in enumerate(scores.values()):
        axis.bar(k, 100 * sum(own) / len(own), 0.6, color=plots.COLOURS[k], alpha=0.75)
        axis.scatter([k] * len(own), [100 * score for score in own], color="#333333", s=16, zorder=3)
    axis.axhline(chance, color="#999999", linestyle=":", linewidth=1)
    axis.set_xticks(range(len(scores)))
    axis.set_xticklabels([WAYS[way].en for way in scores])
    axis.set_ylabel("theme found, %")
    axis.set_ylim(0, 108)
    figure.tight_layout()
    run.figure("tuned", figure, both(
        "The same 24 labels. Bars: means, dots: draws of the labelled speeches, dotted: guessing.",
        "同样的 24 个标签。柱：平均；点：每次抽取；点线：瞎猜。"))  # fmt: skip
    means = {way: sum(own) / len(own) for way, own in scores.items()}
    say(", ".join(f"{WAYS[way].en} {mean:.1%}" for way, mean in means.items()))
    return {"scratch": means["scratch"], "frozen": means["frozen"], "tuned": means["pre-trained"]}

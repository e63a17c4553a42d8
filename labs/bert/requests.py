"""Fine-tuning on SNIPS: the slots and the intent of a request, learned from few labels, with pre-training and not."""

from __future__ import annotations

import functools
from typing import Any, Mapping

import numpy as np
import torch
from torch.nn import functional as F

from labkit.base.console import warn
from labkit.base.language import both
from labkit.runs import iob, plots, text
from labkit.runs.run import Run
from labs.bert.config import Config
from labs.bert.corpus import Corpus, Labelled, Labels
from labs.bert.network import Bert, Classifier
from labs.bert.training import Training, Trainings
from labs.bert.tuning import DROPOUT, encoder
from labs.bert.words import CLS, MASK, SEP

LR, SCRATCH_LR = 0.001, 0.002  # the best of those tried for each
DROPPED = 0.1  # share of the words that training hides: as [MASK] for BERT, as <unk> from scratch
BATCH = 16
LEAST = 0.3  # hidden words that a pre-training must find before it is worth comparing


def chosen(labels: Labels, count: int, seed: int) -> list[int]:
    """Which training sentences are labelled: those of a smaller count are among those of a larger one."""
    order = np.random.RandomState(seed).permutation(len(labels.train.words))
    found: list[int] = order[:count].tolist()
    return found


def own_words(rows: list[list[int]], size: int) -> torch.Tensor:
    """What each word is to a network that knows the words of these rows alone: itself or 0, int64 (size,)."""
    known = torch.zeros(size, dtype=torch.int64)
    numbers = torch.tensor(sorted({number for row in rows for number in row}))
    known[numbers] = numbers
    return known


class Task:
    """The labelled requests as numbers, and their batches of one length."""

    def __init__(self, corpus: Corpus, count: int, seed: int, scratch: bool) -> None:
        assert corpus.labels is not None
        self.labels, self.vocabulary, self.seed, self.scratch = corpus.labels, corpus.vocabulary, seed, scratch
        part, where = self.labels.train, chosen(self.labels, count, seed)
        self.rows = [[CLS, *self.vocabulary.numbers(part.words[k]), SEP] for k in where]
        self.known = own_words(self.rows, len(self.vocabulary)) if scratch else torch.arange(len(self.vocabulary))
        tags = {tag: number for number, tag in enumerate(self.labels.tags)}
        self.tags = [[0, *(tags[tag] for tag in part.tags[k]), 0] for k in where]
        self.intents = torch.tensor([self.labels.intents.index(part.intents[k]) for k in where])
        self.batches = text.LengthBatches(list(map(len, self.rows)), BATCH, seed)

    def losses(self, network: Any, step: int, device: torch.device) -> dict[str, torch.Tensor]:
        where = self.batches[step].tolist()
        words = self.known[torch.tensor([self.rows[k] for k in where])]
        random = torch.Generator().manual_seed(1_000_003 * (self.seed + 1) + step)
        dropped = (torch.rand(words.shape, generator=random) < DROPPED) & (words != CLS) & (words != SEP)
        words = words.masked_fill(dropped, 0 if self.scratch else MASK)
        tags = torch.tensor([self.tags[k] for k in where])
        intents, slots = network(words.to(device))
        return {"intent": F.cross_entropy(intents, self.intents[where].to(device)),
                "slots": F.cross_entropy(slots[:, 1:-1].flatten(0, 1), tags[:, 1:-1].flatten().to(device))}  # fmt: skip

    @torch.no_grad()
    def judge(self, network: Any) -> dict[str, float]:
        """On the 700 test sentences: F1 of whole slots, and the share of right intents."""
        part: Labelled = self.labels.test
        device = next(network.parameters()).device
        guesses: list[list[str]] = [[] for _ in part.words]
        right = 0
        for batch in text.by_length(list(map(len, part.words)), 500):
            rows = torch.tensor([[CLS, *self.vocabulary.numbers(part.words[k]), SEP] for k in batch])
            intents, slots = network(self.known[rows].to(device))
            for k, row, intent in zip(batch, slots[:, 1:-1].argmax(dim=2).tolist(), intents.argmax(dim=1).tolist()):
                guesses[k] = [self.labels.tags[number] for number in row]
                right += self.labels.intents[intent] == part.intents[k]
        return {"slots": iob.f1(part.tags, guesses), "intents": right / len(part.words)}


def build(corpus: Corpus, config: Config, weights: Mapping[str, torch.Tensor] | None) -> Classifier:
    assert corpus.labels is not None
    made = encoder(len(corpus.vocabulary), config, weights, DROPOUT)
    return Classifier(made, config.width, len(corpus.labels.intents), len(corpus.labels.tags))


def training(corpus: Corpus, config: Config, name: str, weights: Mapping[str, torch.Tensor] | None, count: int,
             seed: int, device: torch.device) -> Training:  # fmt: skip
    """On `count` labelled requests, from these weights of a pre-trained Bert or, for None, from scratch.

    More requests are learned for longer: twice the steps from 300 on.
    """
    task = Task(corpus, count, seed, scratch=weights is None)
    steps = config.tune_steps * (2 if count >= 300 else 1)
    return Training(f"tune/{name} {count} {seed}", functools.partial(build, corpus, config, weights),
                    functools.partial(task.losses, device=device), steps, SCRATCH_LR if weights is None else LR,
                    config.width, seed, judge=task.judge, log=False)  # fmt: skip


def snapshot(weights: torch.Tensor, corpus: Corpus, config: Config) -> dict[str, torch.Tensor]:
    """The weights that a pre-training had at one of its looks, by name."""
    network = Bert(len(corpus.vocabulary), config.width, config.layers, config.heads)
    torch.nn.utils.vector_to_parameters(weights, network.parameters())
    return {name: value.clone() for name, value in network.state_dict().items()}


def tune(trainings: Trainings, corpus: Corpus, config: Config, row: Mapping[str, Any], seed: int,
         device: torch.device) -> dict[tuple[str, int], list[dict[str, float]]]:  # fmt: skip
    """All fine-tunings: the scores by (name, labelled sentences), a list of one for each draw of them.

    The names are scratch, pre-trained, and "after 300" for what the pre-training was after 300 steps.
    """
    scores: dict[tuple[str, int], list[dict[str, float]]] = {}

    def one(name: str, weights: Mapping[str, torch.Tensor] | None, count: int, draw: int) -> None:
        made = training(corpus, config, name, weights, count, 1000 * seed + draw, device)
        scores.setdefault((name, count), []).append(trainings.train(made)["scores"])

    for draw in range(config.repeats):
        for count in config.counts:
            one("scratch", None, count, draw)
            one("pre-trained", row["weights"], count, draw)
    middle = config.counts[len(config.counts) // 2]
    for k, weights in enumerate(row["kept"][:-1]):
        one(f"after {row['at'][2**k - 1]}", snapshot(weights, corpus, config), middle, 0)
    return scores


def show(run: Run, config: Config, row: Mapping[str, Any],
         scores: Mapping[tuple[str, int], list[dict[str, float]]]) -> dict[str, float]:  # fmt: skip
    """What pre-training is worth with few labels, and what too short a one is worth."""
    table: list[list[Any]] = []
    found: dict[str, float] = {}
    kinds = {"slots": both("F1 of slots, %", "槽 F1，%"), "intents": both("intents right, %", "意图正确率，%")}
    for kind, name in kinds.items():
        for count in config.counts:
            ways = [[one[kind] for one in scores[way, count]] for way in ("scratch", "pre-trained")]
            means = [sum(own) / len(own) for own in ways]
            table.append([name, count, *(", ".join(f"{100 * score:.1f}" for score in own) for own in ways),
                          f"{100 * (means[1] - means[0]):+.1f}"])  # fmt: skip
            found[f"{kind}_gain/{count}"] = means[1] - means[0]
            found[f"{kind}/{count}"] = means[1]
    heads = [both("what", "指标"), both("labelled sentences", "标注句数"), both("from scratch", "从零开始"),
             both("pre-trained", "预训练"), both("gain", "提高")]  # fmt: skip
    run.table("requests", heads, table, both(
        "On the test sentences, one figure for each draw of the labelled ones. From scratch means the best of what "
        f"was tried: words outside the labelled sentences are <unk>, {100 * DROPPED:.0f} % of the words are dropped, "
        "and the learning rate is twice as high.",
        f"测试句上的结果，每次抽取标注句给出一个数。“从零开始”用的是试过的最好做法：标注句之外的词作 <unk>，随机丢弃 "
        f"{100 * DROPPED:.0f} % 的词，学习率高一倍。"))  # fmt: skip
    figure, axes = plots.figure(1, 3, width=11, height=3.2)
    for axis, (kind, title) in zip(axes[0], (("slots", "slots, F1"), ("intents", "intents"))):
        for way in ("scratch", "pre-trained"):
            means = [100 * sum(one[kind] for one in scores[way, count]) / config.repeats for count in config.counts]
            axis.plot(config.counts, means, marker="o", markersize=4, label=way)
        axis.set_xscale("log")
        axis.set_xticks(config.counts)
        axis.set_xticklabels([str(count) for count in config.counts])
        axis.minorticks_off()
        axis.set_xlabel("labelled sentences")
        axis.set_ylabel("%")
        axis.set_title(title)
    axes[0, 0].legend(fontsize=8)
    worth(axes[0, 2], config, row, scores)
    figure.tight_layout()
    run.figure("requests", figure, both(
        "Left and middle: what pre-training is worth. Right: what a shorter one would have been worth, fine-tuned from "
        "where the same training stood (its learning rate had not fallen yet); dashed: from scratch.",
        "左、中：预训练的价值。右：若预训练更短会怎样，即从同一次训练的中途（学习率尚未下降）开始微"
        "调；虚线：从零开始。"))  # fmt: skip
    return found


def worth(axis: Any, config: Config, row: Mapping[str, Any],
          scores: Mapping[tuple[str, int], list[dict[str, float]]]) -> None:  # fmt: skip
    """Slot F1 against how many hidden words the pre-training had learned to find."""
    middle = config.counts[len(config.counts) // 2]
    points = [(row["seen"][row["at"].index(int(name.split()[1]))], own[0]["slots"]) for (name, _), own in scores.items()
              if name.startswith("after ")]  # fmt: skip
    points.append((row["seen"][-1], scores["pre-trained", middle][0]["slots"]))
    axis.plot([100 * mlm for mlm, _ in points], [100 * slots for _, slots in points], marker="o", markersize=4,
              color=plots.COLOURS[1])  # fmt: skip
    axis.axhline(100 * scores["scratch", middle][0]["slots"], color=plots.COLOURS[0], linestyle="--")
    axis.set_xlabel("hidden words found in pre-training, %")
    axis.set_ylabel("%")
    axis.set_title(f"slots, {middle} labelled sentences")


def too_short(run: Run, row: Mapping[str, Any]) -> bool:
    """Whether the pre-training has learned too little to be compared; says so."""
    if row["seen"][-1] >= LEAST:
        return False
    note = both(f"The pre-training finds {row['seen'][-1]:.1%} of the hidden words, less than {LEAST:.0%}: so short a "
                "one is worth little or nothing in fine-tuning, so nothing is compared. Train for more steps.",
                f"预训练只猜对 {row['seen'][-1]:.1%} 的被遮词，不到 {LEAST:.0%}：这样短的预训练对微调几乎没有益处，因此"
                "不作比较。请增加步数。")  # fmt: skip
    warn(str(note))
    run.note(note)
    return True

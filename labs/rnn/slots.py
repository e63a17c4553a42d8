"""The slots: one network after the other learns to fill them, and what each knows in the end."""

from __future__ import annotations

import functools
from typing import Any, Mapping, Sequence

import torch

from labkit.base.console import say
from labkit.base.language import Both, both
from labkit.runs import plots, text
from labkit.runs.iob import f1
from labkit.runs.run import Run
from labs.rnn import corpus as corpora
from labs.rnn.config import Config, kind_of
from labs.rnn.corpus import Batches, Corpus, guess
from labs.rnn.grammar import Sentence
from labs.rnn.networks import Tagger
from labs.rnn.training import Training

EXAMPLES = ("Arrive Beijing on November 2nd", "Leave Beijing on November 2nd", "Beijing departure on November 2nd",
            "十一月二日北京到达", "十一月二日北京出发")  # fmt: skip
NAMES = {
    "seen": both("seen", "见过"), "cities": both("new cities", "新城市"), "templates": both("new templates", "新模板"),
    "both": both("new cities and templates", "新城市新模板"), "dev": both("dev", "开发集"),
    "test": both("test", "测试集"),
    "after": both("of it, the word comes after", "其中词在城市之后"), "far": both("of it, far", "其中相隔远"),
}  # fmt: skip


def build(name: str, words: int, tags: int, config: Config) -> Tagger:
    return Tagger(name, words, tags, config.embed, config.hidden, config.forget_bias)


def trainings(config: Config, corpus: Corpus, seed: int) -> list[Training]:
    """One for each network, all on the same batches."""
    batches = Batches(corpus, config.batch_size, seed, config.hide)
    words, tags = len(corpus.vocabulary), len(corpus.tags)
    return [Training(f"slots/{name}", functools.partial(build, name, words, tags, config), batches, config.steps,
                     config.lr, config.clip, seed) for name in config.chosen]  # fmt: skip


def show_sentences(run: Run, corpus: Corpus) -> None:
    """A few sentences that the networks learn from."""
    rows = [[" ".join(one.words), " ".join(one.tags)] for one in corpus.train[:14]]
    run.table("sentences", [both("words", "词"), both("tags", "标签")], rows, both(
        f"The first of {len(corpus.train):,} training sentences; {len(corpus.vocabulary):,} words, and "
        f"{(len(corpus.tags) - 1) // 2} slots. B- begins a slot, I- goes on with it, O is none.",
        f"{len(corpus.train):,} 个训练句中的前几句；词表 {len(corpus.vocabulary):,} 个词，约 "
        f"{(len(corpus.tags) - 1) // 2} 种槽。B- 是槽的开头，I- 是槽的继续，O 不属于任何槽。"))  # fmt: skip


def scored(network: torch.nn.Module, corpus: Corpus) -> dict[str, float]:
    """F1 on each test, and on its sentences of a kind or a language: "seen", "seen after", "seen zh"."""
    found = {}
    for name, sentences in corpus.tests.items():
        guesses = guess(network, sentences, corpus.vocabulary, corpus.tags)
        groups: dict[str, list[int]] = {name: list(range(len(sentences)))}
        for k, one in enumerate(sentences):
            if one.kind:
                groups.setdefault(f"{name} {one.kind}", []).append(k)
                groups.setdefault(f"{name} {one.language}", []).append(k)
        for group, own in groups.items():
            found[group] = f1([sentences[k].tags for k in own], [guesses[k] for k in own])
    return found


def best_of(scores: Mapping[str, Mapping[str, float]], corpus: Corpus) -> str:
    """The network with the highest mean F1 over the tests."""
    return max(scores, key=lambda name: sum(scores[name][test] for test in corpus.tests))


def show(run: Run, config: Config, corpus: Corpus, rows: Mapping[str, dict[str, Any]]) -> dict[str, float]:
    """All tables and figures of the slots; the F1 of each network on the first test, and of the best on the others."""
    trained = {name: build(name, len(corpus.vocabulary), len(corpus.tags), config) for name in config.chosen}
    scores = {}
    for name, network in trained.items():
        network.load_state_dict(rows[f"slots/{name}"]["weights"])
        scores[name] = scored(network, corpus)
    groups = [
        name
        for name in (
            "seen",
            "seen after",
            "seen far",
            "cities",
            "cities after",
            "cities far",
            "templates",
            "templates after",
            "both",
            "both after",
            "dev",
            "test",
        )
        if name in scores[config.chosen[0]]
    ]
    heads: list[Any] = [both("network", "网络"), both("weights", "权重数"), both("seconds", "秒")]
    heads += [NAMES[group.split()[-1]] for group in groups]
    table = [
        [
            name,
            sum(weight.numel() for weight in trained[name].parameters()),
            f"{rows[f'slots/{name}']['seconds']:.1f}",
            *(f"{100 * scores[name][group]:.1f}" for group in groups),
        ]
        for name in config.chosen
    ]
    drawn = "seen after" in groups  # by the grammar, which knows where the deciding word stands
    guessing = both("One direction has read nothing of what comes after a city, and can only guess there. ",
                    "单向网络读到城市时，还没有读到后面的词，只能猜。")  # fmt: skip
    run.table("slots", heads, table, both(
        f"F1 of whole slots, %. {guessing.en * drawn}Seconds are of the training steps.",
        f"整槽的 F1，%。{guessing.zh * drawn}秒数只计训练步骤。"))  # fmt: skip
    if drawn:
        show_kinds(run, scores)
        show_examples(run, corpus, trained)
        show_gates(run, corpus, trained)
    show_mistakes(run, corpus, trained, scores)
    first = next(iter(corpus.tests))
    best = best_of(scores, corpus)
    say(f"best on sentences as in the training: {best}, F1 {scores[best][first]:.1%}")
    found = {"slots_f1": scores[best][first]}
    found.update({f"slots_f1/{name}": scores[name][first] for name in config.chosen})
    for group in ("cities", "templates", "both", "test"):
        if group in groups:
            found[f"{group}_f1"] = scores[best][group]
    one_way = [name for name in config.chosen if not kind_of(name).both_ways]
    if one_way and "seen after" in groups:
        found["one_way_after_f1"] = max(scores[name]["seen after"] for name in one_way)
    return found


def show_kinds(run: Run, scores: Mapping[str, Mapping[str, float]]) -> None:
    """Where the deciding word stands, and in which language: F1 as bars."""
    figure, axes = plots.figure(1, 2, width=10, height=3.2)
    panels = (("word that decides", (("seen before", "before the city"), ("seen far", "far before it"),
                                     ("seen after", "after it"))),
              ("language", (("seen en", "English"), ("seen zh", "Chinese"))))  # fmt: skip
    for axis, (title, groups) in zip(axes[0], panels):
        width = 0.8 / len(groups)
        for k, (group, label) in enumerate(groups):
            places = [n + (k - (len(groups) - 1) / 2) * width for n in range(len(scores))]
            axis.bar(places, [100 * found.get(group, 0) for found in scores.values()], width, label=label)
        axis.set_xticks(range(len(scores)))
        axis.set_xticklabels(list(scores), rotation=20 if len(scores) > 3 else 0)
        axis.set_ylim(0, 118)
        axis.set_ylabel("F1, %")
        axis.set_title(title)
        axis.legend(ncol=3, fontsize=8, loc="upper center")
    figure.tight_layout()
    run.figure("kinds", figure, both(
        "F1 by where the deciding word stands, and by language. Section 96 in one picture: where the word comes "
        "after, one direction guesses between from and to.",
        "按决定性的词的位置、按语言的 F1。第 96 节尽在一图：词在城市之后时，单向网络只能在 from 与 to 之间猜"
        "。"))  # fmt: skip


def read_sentence(sentence: str) -> Sentence:
    words = tuple(text.words(sentence))
    return Sentence(words, ("O",) * len(words))


def show_examples(run: Run, corpus: Corpus, trained: Mapping[str, torch.nn.Module]) -> None:
    """The notes' sentences, word by word, as every network tags them."""
    sentences = [read_sentence(example) for example in EXAMPLES]
    guesses = {name: guess(network, sentences, corpus.vocabulary, corpus.tags) for name, network in trained.items()}
    table: list[list[Any]] = []
    for k, sentence in enumerate(sentences):
        for place, word in enumerate(sentence.words):
            table.append([word, *(guesses[name][k][place] for name in trained)])
        if k + 1 < len(sentences):
            table.append(["", *("" for _ in trained)])
    run.table("examples", [both("word", "词"), *trained], table, both(
        "The notes' sentences (section 95) and others in which the word comes after, as each network reads them.",
        "笔记第 95 节的句子，以及词在城市之后的句子，各网络的读法。"))  # fmt: skip


def show_mistakes(run: Run, corpus: Corpus, trained: Mapping[str, torch.nn.Module],
                  scores: Mapping[str, Mapping[str, float]]) -> None:  # fmt: skip
    """Sentences that the best network gets wrong, of each test."""
    best = best_of(scores, corpus)
    table = []
    for name, sentences in corpus.tests.items():
        guesses = guess(trained[best], sentences, corpus.vocabulary, corpus.tags)
        wrong = [k for k, one in enumerate(sentences) if list(one.tags) != guesses[k]]
        for k in wrong[:4]:
            one = sentences[k]
            marked = " ".join(word if word in corpus.vocabulary else f"‹{word}›" for word in one.words)
            differ = ", ".join(f"{word}: {said}, not "
                               f"{true}" for word, true, said in zip(one.words, one.tags, guesses[k])
                               if true != said)  # fmt: skip
            table.append([NAMES[name], f"{len(wrong)} / {len(sentences)}", marked, differ])
    heads = [
        both("test", "测试"),
        both("wrong sentences", "错的句子"),
        both("sentence", "句子"),
        both("what is wrong", "错处"),
    ]
    run.table("mistakes", heads, table, both(f"Up to four mistakes of {best} in each test; ‹unknown› words are marked.",
                                             f"{best} 在各测试中的错误，各至多四个；‹未登录词›有标记。"))  # fmt: skip


def show_gates(run: Run, corpus: Corpus, trained: Mapping[str, Any]) -> None:
    """The gates of the first LSTM's forward direction at one sentence, a picture for each gate."""
    name = next((name for name in trained if kind_of(name).cell == "lstm"), None)
    if name is None:
        return
    sentence = read_sentence("leave from beijing and arrive in shanghai on november 2nd")
    gates, state = gates_of(trained[name], corpus.vocabulary.numbers(sentence.words))
    order = gates["forget gate f"].mean(dim=0).argsort()
    figure, axes = plots.figure(1, 4, width=11, height=3.4)
    for axis, (title, values) in zip(axes[0], [*gates.items(), ("cell state c", state)]):
        is_gate = title != "cell state c"
        image = axis.imshow(values[:, order].t().numpy(), aspect="auto", cmap="viridis" if is_gate else "RdBu_r",
                            vmin=0 if is_gate else -2, vmax=1 if is_gate else 2)  # fmt: skip
        axis.set_title(title)
        axis.set_xticks(range(len(sentence.words)))
        axis.set_xticklabels(sentence.words, rotation=90, fontsize=8)
        axis.grid(False)
        figure.colorbar(image, ax=axis, fraction=0.05)
    axes[0, 0].set_ylabel("units, by their mean f")
    figure.tight_layout()
    run.figure("gates", figure, both(
        f"The gates of {name}, read forwards, at one sentence: 1 is open. A unit with f near 1 keeps its c from word "
        "to word; where i is open it takes something in.",
        f"{name}（正向）在一句话上的门：1 表示打开。f 接近 1 的单元逐词保持 c；i 打开处写入新信息。"))  # fmt: skip


@torch.no_grad()
def gates_of(network: Tagger, words: Sequence[int]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """The gates i, f and o of the first layer, read forwards, after each word, and c: (T, H) each."""
    cell: Any = network.encoder.layers[0][0]
    x = network.embedding(torch.tensor(words).reshape(-1, 1))
    projected = torch.nn.functional.linear(x, cell.weight_ih, cell.bias_ih)
    state, seen, cells = cell.begin(x), [], []
    for t in range(len(words)):
        i, f, _, o = cell.look(projected[t], state[0])
        state = cell.step(projected[t], state, t)
        seen.append(torch.cat([i, f, o]))
        cells.append(state[1][0])
    gates = torch.stack(seen)
    names: list[str | Both] = ["input gate i", "forget gate f", "output gate o"]
    return {str(name): gates[:, k] for k, name in enumerate(names)}, torch.stack(cells)


def read(run: Run, config: Config) -> Corpus:
    """The sentences that the options ask for."""
    if config.dataset == "booking":
        return corpora.booking(run.seed, config.variety)
    return corpora.read(run.dataset(str(config.dataset)), str(config.dataset))

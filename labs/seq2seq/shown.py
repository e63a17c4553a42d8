"""What a run shows of a task: its pairs, scores by length, maps of attention, answers, and a wider search."""

from __future__ import annotations

import time
from typing import Any, Mapping, Sequence

from labkit.base.console import say
from labkit.base.language import Both, both
from labkit.runs import plots
from labkit.runs.pairs import Corpus
from labkit.runs.run import Run
from labs.seq2seq import corpus as corpora
from labs.seq2seq import scores
from labs.seq2seq.config import Config
from labs.seq2seq.corpus import written
from labs.seq2seq.decoding import Answer, answers
from labs.seq2seq.scores import GROUPS, MEASURE, TRAINED
from labs.seq2seq.training import Training

NAMES = {"reversal": both("reversal", "倒序"), "dates": both("dates", "日期"),
         "translation": both("translation", "翻译")}  # fmt: skip
MAPPED = {
    "reversal": ("attention", "looksbackwards", "encoderanddecoderabc"),
    "dates": ("november 2nd, 1994", "2nd of november 1994", "1994年11月2日", "一九九四年十一月二日"),
    "translation": ("i love you .", "i want to go to the station .", "she has a very old car ."),
}
SEARCHED = 100  # sources for the table of widths
MOST_ROWS = 26  # of a map
LONG = 9  # words of a long sentence


def show_pairs(run: Run, corpus: Corpus) -> None:
    """A few pairs that the networks learn from."""
    rows = [[_spaced(corpus, pair.source), written(corpus.task, pair.target)]
            for pair in corpus.train[:: max(1, len(corpus.train) // 12)][:12]]  # fmt: skip
    run.table(f"{corpus.task}_pairs", [both("source", "原文"), both("answer", "答案")], rows, both(
        f"{NAMES[corpus.task].en}: some of {len(corpus.train):,} pairs to learn from. {len(corpus.test):,} other "
        f"sources judge. {len(corpus.known):,} words in the sources, {len(corpus.said):,} in the answers.",
        f"{NAMES[corpus.task].zh}：{len(corpus.train):,} 个训练对中的几个，另有 {len(corpus.test):,} 个原文用于评判。"
        f"原文的词表 {len(corpus.known):,}，答案的词表 {len(corpus.said):,}。"))  # fmt: skip


def show(run: Run, config: Config, corpus: Corpus, trainings: Sequence[Training],
         rows: Mapping[str, dict[str, Any]]) -> dict[str, float]:  # fmt: skip
    """All tables and figures of a task; the measures of each network, and of the best."""
    task, measure = corpus.task, MEASURE[corpus.task]
    sources = [question.source for question in corpus.test]
    networks = {training.name: training.restored(rows[training.key]) for training in trainings}
    given = {name: answers(network, sources, corpus.known, corpus.said) for name, network in networks.items()}
    all_of_it = {name: scores.between(corpus, own, 1, TRAINED[task]) for name, own in given.items()}
    best = max(all_of_it, key=lambda name: getattr(all_of_it[name], measure))
    found = {f"{task}_right": all_of_it[best].right, f"{task}_bleu": all_of_it[best].bleu}
    for name, one in all_of_it.items():
        found[f"{task}_{measure}/{name}"] = getattr(one, measure)
        if task == "translation":
            found[f"translation_long_bleu/{name}"] = scores.between(corpus, given[name], LONG, 1000).bleu
    if task == "translation":
        found["translation_long_bleu"] = found[f"translation_long_bleu/{best}"]
    show_scores(run, corpus, trainings, rows, given)
    show_lengths(run, corpus, given)
    looking = [training for training in trainings if training.kind.attends]
    if looking:
        chosen = max(looking, key=lambda training: getattr(all_of_it[training.name], measure))
        show_maps(run, corpus, chosen.name, networks[chosen.name])
        if task == "reversal":
            found["aligned"] = aligned(corpus, given[chosen.name])
    show_answers(run, corpus, given)
    show_search(run, config, corpus, best, networks[best])
    said = f"{all_of_it[best].right:.1%} right, BLEU {all_of_it[best].bleu:.1f}"
    say(f"{task}: best is {best}, {said}")
    return found


def show_scores(run: Run, corpus: Corpus, trainings: Sequence[Training], rows: Mapping[str, dict[str, Any]],
                given: Mapping[str, Sequence[Answer]]) -> None:  # fmt: skip
    """A row for each network: its size, its time, and what it reaches for all and for each length."""
    task, measure = corpus.task, MEASURE[corpus.task]
    groups = [group for group in GROUPS[task] if scores.between(corpus, next(iter(given.values())), *group).asked]
    table = []
    for training in trainings:
        own, row = given[training.name], rows[training.key]
        whole = scores.between(corpus, own, 1, TRAINED[task])
        by_length = [scores.between(corpus, own, *group) for group in groups]
        shares = [f"{one.bleu:.1f}" if measure == "bleu" else f"{one.right:.0%}" for one in by_length]
        table.append([training.name, sum(weight.numel() for weight in row["weights"].values()), row["steps"],
                      f"{row['seconds']:.1f}", f"{whole.right:.1%}", f"{whole.bleu:.1f}", *shares])  # fmt: skip
    heads: list[Any] = [both("network", "网络"), both("weights", "权重数"), both("steps", "步"), both("seconds", "秒"),
                        both("right", "全对"), "BLEU"]  # fmt: skip
    heads += [f"{low}–{high}" if high < 100 else f"≥ {low}" for low, high in groups]
    what = both("BLEU", "BLEU") if measure == "bleu" else both("whole answers that are right", "整个答案都对的比例")
    beyond = TRAINED[task] < groups[-1][1]
    run.table(f"{task}_scores", heads, table, both(
        f"{NAMES[task].en}: the last columns are {what.en} by the length of the source"
        + f"; right and BLEU are of sources up to {TRAINED[task]}, longer than which no training has any" * beyond
        + ". Seconds are of the training steps.",
        f"{NAMES[task].zh}：后几列按原文长度给出{what.zh}"
        + f"；全对与 BLEU 只计长度不超过 {TRAINED[task]} 的原文，训练中没有更长的" * beyond
        + "。秒数只计训练步骤。"))  # fmt: skip


def show_lengths(run: Run, corpus: Corpus, given: Mapping[str, Sequence[Answer]]) -> None:
    """Right answers and BLEU by the length of the source, a line for each network."""
    task = corpus.task
    groups = [group for group in GROUPS[task] if scores.between(corpus, next(iter(given.values())), *group).asked]
    figure, axes = plots.figure(1, 2, width=10, height=3.4)
    for name, own in given.items():
        found = [scores.between(corpus, own, *group) for group in groups]
        axes[0, 0].plot([100 * one.right for one in found], "o-", label=name)
        axes[0, 1].plot([one.bleu for one in found], "o-", label=name)
    counts = [scores.between(corpus, own, *group).asked for group in groups]
    for axis, title in zip(axes[0], ("whole answers right, %", "BLEU")):
        axis.set_title(title)
        axis.set_xticks(range(len(groups)))
        axis.set_xticklabels([f"{low}–{high}\nn {count}" if high < 100 else f"≥ {low}\nn {count}"
                              for (low, high), count in zip(groups, counts)], fontsize=8)  # fmt: skip
        axis.set_xlabel({"reversal": "letters", "dates": "characters"}.get(task, "words") + " of the source")
        axis.set_ylim(bottom=0)
        beyond = [k for k, (low, _) in enumerate(groups) if low > TRAINED[task]]
        if beyond:
            axis.axvspan(beyond[0] - 0.5, beyond[-1] + 0.3, color="#eeeeee", zorder=0)
            axis.text(beyond[0] - 0.4, 0.4, "longer than\nin training", fontsize=8, va="top",
                      transform=axis.get_xaxis_transform())  # fmt: skip
    axes[0, 1].legend()
    figure.tight_layout()
    run.figure(f"{task}_lengths", figure, both(
        f"{NAMES[task].en}: what each network reaches, by the length of the source.",
        f"{NAMES[task].zh}：各网络的成绩，按原文长度。"))  # fmt: skip


def show_maps(run: Run, corpus: Corpus, name: str, network: Any) -> None:
    """Where the decoder looks at each word that it says."""
    sources = [corpora.words(corpus.task, sentence) for sentence in MAPPED[corpus.task]]
    sources = [source for source in sources if any(word in corpus.known for word in source)]
    sources = sources or [question.source for question in corpus.test[:3]]
    made = answers(network, sources, corpus.known, corpus.said)
    columns = len(sources)
    figure, axes = plots.figure(1, columns, width=3.4 * columns, height=3.9)
    for axis, source, answer in zip(axes[0], sources, made):
        draw_map(axis, source, answer)
    axes[0, 0].set_ylabel("said")
    figure.tight_layout()
    run.figure(f"{corpus.task}_maps", figure, both(
        f"{NAMES[corpus.task].en}: attention of {name}. Each row is a word of the answer from top to bottom, and shows "
        "how its weight 1 is spread over the words of the source; dark is 1.",
        f"{NAMES[corpus.task].zh}：{name} 的注意力。每一行是答案中的一个词（自上而下），显示总和为 1 的权重怎样分给原文"
        "各词；深色为 1。"))  # fmt: skip


def draw_map(axis: Any, source: Sequence[str], answer: Answer) -> None:
    rows = [*map(plots.plain, answer.words), "end"][:MOST_ROWS]
    weights = answer.weights[: len(rows)]
    rows = rows[: len(weights)]  # an answer that was cut has no end
    axis.imshow(weights.numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axis.set_xticks(range(len(source)))
    axis.set_xticklabels([plots.plain(word) for word in source], rotation=90 if max(map(len, source)) > 1 else 0,
                         fontsize=8)  # fmt: skip
    axis.set_yticks(range(len(rows)))
    axis.set_yticklabels(rows, fontsize=8)
    axis.xaxis.tick_top()
    axis.grid(False)


def aligned(corpus: Corpus, given: Sequence[Answer]) -> float:
    """Of the letters of right reversals: the share whose largest weight lies on the letter itself, n - 1 - i."""
    hits = count = 0
    for question, answer in zip(corpus.test, given):
        if answer.words in question.answers:
            n = len(question.source)
            looked = answer.weights[:n].argmax(dim=1).tolist()
            hits, count = hits + sum(place == n - 1 - i for i, place in enumerate(looked)), count + n
    return hits / max(1, count)


def show_answers(run: Run, corpus: Corpus, given: Mapping[str, Sequence[Answer]]) -> None:
    """Answers of every network to sources of every length."""
    order = sorted(range(len(corpus.test)), key=lambda k: len(corpus.test[k].source))
    table = []
    for k in order[:: max(1, len(order) // 16)]:
        question = corpus.test[k]
        said = [written(corpus.task, own[k].words) for own in given.values()]
        table.append([_spaced(corpus, question.source), written(corpus.task, question.answers[0]),
                      *(f"✓ {words}" if own[k].words in question.answers else words
                        for words, own in zip(said, given.values()))])  # fmt: skip
    heads = [both("source", "原文"), both("one right answer", "一个正确答案"), *given]
    run.table(f"{corpus.task}_answers", heads, table,
              both(f"{NAMES[corpus.task].en}: answers to sources that no training has, by length; ✓ is right.",
                   f"{NAMES[corpus.task].zh}：对训练中没有的原文的回答，按长度排列；✓ 表示正确。"))  # fmt: skip


def show_search(run: Run, config: Config, corpus: Corpus, name: str, network: Any) -> None:
    """What a wider search brings, and costs."""
    if config.beam == 1:
        return
    usual = [question for question in corpus.test if len(question.source) <= TRAINED[corpus.task]]
    asked = usual[:: max(1, len(usual) // SEARCHED)]
    table = []
    for width in sorted({1, 2, config.beam}):
        began = time.process_time()
        found = scores.score(asked, answers(network, [one.source for one in asked], corpus.known, corpus.said, width))
        table.append([width, f"{found.right:.1%}", f"{found.bleu:.1f}", f"{time.process_time() - began:.2f}"])
    heads: list[Both | str] = [both("width", "宽度"), both("right", "全对"), "BLEU", both("seconds", "秒")]
    run.table(f"{corpus.task}_search", heads, table, both(
        f"{NAMES[corpus.task].en}: beam search with {name} on {len(asked)} sources. Width 1 takes the likeliest word "
        "each time, many sources at once; the wider ones go one source at a time. Seconds are of the processor.",
        f"{NAMES[corpus.task].zh}：用 {name} 对 {len(asked)} 个原文做束搜索。宽度 1 每步取最可能的词，多句一起算；更宽"
        "的逐句搜索。秒数为处理器时间。"))  # fmt: skip


def _spaced(corpus: Corpus, source: Sequence[str]) -> str:
    """A source to be read: sentences with spaces between the words."""
    return (" " if corpus.task == "translation" else "").join(source)

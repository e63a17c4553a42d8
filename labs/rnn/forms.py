"""The forms of section 95, from one-to-one to many-to-many, each as a small task with a network of the same cell."""

from __future__ import annotations

import functools
from typing import Any, Callable, Mapping, NamedTuple, Sequence

import numpy as np
import torch
from torch import nn

from labkit.base.language import Both, both
from labkit.runs import plots, text
from labkit.runs.run import Run
from labs.rnn import corpus, grammar
from labs.rnn.cells import GRU
from labs.rnn.config import Config
from labs.rnn.networks import Tagger
from labs.rnn.training import NOTHING, Training

HIDDEN, BATCH = 64, 32
END = 0  # the character that ends what is written, and that comes before its first
LETTERS = ["", *grammar.DIGITS[1:], "十", "月", "日"]
LONGEST = 8  # characters that are written
FORMS = {
    "one-to-one": both("a month's name → its number", "月份名 → 数字"),
    "one-to-many": both("a number → its Chinese characters", "一个数 → 汉字"),
    "many-to-one": both("a sentence → does it name a city to leave, one to go to, or both?",
                        "一句话 → 说的是出发地、目的地，还是都有？"),
    "many-to-many": both("a sentence → a slot for every word", "一句话 → 每个词一个槽"),
    "many-to-many, other length": both("an English date → the Chinese one", "英文日期 → 中文日期"),
}  # fmt: skip


class Chooser(nn.Module):
    """One-to-one: a word to logits. Nothing recurs."""

    def __init__(self, words: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Embedding(words, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, classes))

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        """int64 (N,) to (N, classes)."""
        logits: torch.Tensor = self.layers(words)
        return logits


class Judge(nn.Module):
    """Many-to-one: words int64 (T, N) to logits (N, classes), read off the last state."""

    def __init__(self, words: int, classes: int) -> None:
        super().__init__()
        self.embedding, self.cell = nn.Embedding(words, HIDDEN), GRU(HIDDEN, HIDDEN)
        self.output = nn.Linear(HIDDEN, classes)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.output(self.cell(self.embedding(words))[0][-1])
        return logits


class Writer(nn.Module):
    """One- and many-to-many of another length: a first state from the input, then character after character.

    In training each step is given the character that is right before it; on its own it is given what it wrote.
    """

    def __init__(self, reads: nn.Module) -> None:
        super().__init__()
        self.reads = reads  # to the first state (N, H)
        self.embedding, self.cell = nn.Embedding(len(LETTERS), HIDDEN), GRU(HIDDEN, HIDDEN)
        self.output = nn.Linear(HIDDEN, len(LETTERS))

    def forward(self, inputs: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """What is read, and the characters before each place, int64 (T, N): logits (T, N, letters)."""
        source, before = inputs
        logits: torch.Tensor = self.output(self.cell(self.embedding(before), (self.reads(source),))[0])
        return logits

    @torch.no_grad()
    def write(self, source: torch.Tensor) -> list[str]:
        """The likeliest character each time, until each has ended."""
        state = (self.reads(source),)
        last = torch.full((len(state[0]),), END, dtype=torch.int64, device=state[0].device)
        written = []
        for _ in range(LONGEST):
            outputs, state = self.cell(self.embedding(last)[None], state)
            last = self.output(outputs[0]).argmax(dim=1)
            written.append(last)
        rows = torch.stack(written, dim=1).tolist()
        return ["".join(LETTERS[k] for k in row[: row.index(END) if END in row else None]) for row in rows]


class ReadNumber(nn.Module):
    """Tens and ones int64 (N, 2) to a state (N, H)."""

    def __init__(self) -> None:
        super().__init__()
        self.tens, self.ones = nn.Embedding(10, HIDDEN), nn.Embedding(10, HIDDEN)

    def forward(self, digits: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.tens(digits[:, 0]) + self.ones(digits[:, 1]))


class ReadWords(nn.Module):
    """Words int64 (T, N) to the state after the last (N, H)."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.embedding, self.cell = nn.Embedding(words, HIDDEN), GRU(HIDDEN, HIDDEN)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        last: torch.Tensor = self.cell(self.embedding(words))[0][-1]
        return last


# ---- what is learned ----


class Pair(NamedTuple):
    """What goes in and what should come out, as people write them."""

    given: str
    wanted: str


def written(answers: Sequence[str]) -> torch.Tensor:
    """Characters as int64 (T, N), each with its END; after that NOTHING, which no loss counts."""
    length = max(map(len, answers)) + 1
    made = torch.full((length, len(answers)), NOTHING, dtype=torch.int64)
    for column, answer in enumerate(answers):
        made[: len(answer) + 1, column] = torch.tensor([*(LETTERS.index(letter) for letter in answer), END])
    return made


def before(targets: torch.Tensor) -> torch.Tensor:
    """What comes before each place: END before the first."""
    return torch.cat([torch.full_like(targets[:1], END), targets[:-1].clamp(min=END)])


def numbers() -> list[Pair]:
    return [Pair(str(number), grammar.chinese(number)) for number in range(1, 100)]


def dates() -> list[Pair]:
    """Every day of a year in which months have 30 days."""
    found = []
    for month in range(1, 13):
        for day in range(1, 31):
            ending = "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
            found.append(Pair(f"{grammar.MONTHS[month - 1]} {day}{ending}",
                              f"{grammar.chinese(month)}月{grammar.chinese(day)}日"))  # fmt: skip
    return found


def divided(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
    """To learn from, and a fifth by chance, the same in every run, to judge by."""
    order = np.random.RandomState(0).permutation(len(pairs)).tolist()
    held = len(pairs) // 5
    return [pairs[k] for k in sorted(order[held:])], [pairs[k] for k in sorted(order[:held])]


DATE_WORDS = text.Vocabulary.of(pair.given.split() for pair in dates())


def as_digits(given: Sequence[str]) -> torch.Tensor:
    return torch.tensor([divmod(int(number), 10) for number in given])


def as_words(given: Sequence[str]) -> torch.Tensor:
    return torch.tensor([DATE_WORDS.numbers(one.split()) for one in given]).t()


def names(sentence: grammar.Sentence) -> int:
    """0: a city to leave, 1: one to go to, 2: both."""
    leaves, goes = "B-from" in sentence.tags, "B-to" in sentence.tags
    return 2 if leaves and goes else int(goes)


class Tasks:
    """All of them: networks and batches for training, and how many of what they never saw they get right."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.sentences = corpus.booking(seed, 0.5)
        self.batches = corpus.Batches(self.sentences, BATCH, seed, 0.0)
        self.kinds = torch.tensor([names(sentence) for sentence in self.sentences.train])
        self.numbers, self.dates = divided(numbers()), divided(dates())

    def _some(self, pairs: Sequence[Pair], step: int) -> list[Pair]:
        random = torch.Generator().manual_seed(1_000_003 * (self.seed + 1) + step)
        return [pairs[k] for k in torch.randint(len(pairs), (BATCH,), generator=random).tolist()]

    def month(self, step: int) -> Any:
        return torch.arange(12), torch.arange(12)

    def number(self, step: int) -> Any:
        some = self._some(self.numbers[0], step)
        targets = written([pair.wanted for pair in some])
        return (as_digits([pair.given for pair in some]), before(targets)), targets

    def kind(self, step: int) -> Any:
        return self.batches(step)[0], self.kinds[self.batches.order[step]]

    def date(self, step: int) -> Any:
        some = self._some(self.dates[0], step)
        targets = written([pair.wanted for pair in some])
        return (as_words([pair.given for pair in some]), before(targets)), targets

    def judge(self, form: str, network: Any) -> tuple[float, str]:
        """The share of whole answers that are right, and an example: what goes in → what comes out."""
        device, words = next(network.parameters()).device, self.sentences.vocabulary
        if form == "one-to-one":
            said = network(torch.arange(12, device=device)).argmax(dim=1).tolist()
            return sum(k == own for k, own in enumerate(said)) / 12, f"november → {said[10] + 1}"
        if form in ("one-to-many", "many-to-many, other length"):
            held, source = (self.numbers[1], as_digits) if form == "one-to-many" else (self.dates[1], as_words)
            answers = network.write(source([pair.given for pair in held]).to(device))
            right = sum(answer == pair.wanted for answer, pair in zip(answers, held)) / len(held)
            return right, f"{held[-3].given} → {answers[-3]}"
        tested = self.sentences.tests["seen"]
        if form == "many-to-many":
            guesses = corpus.guess(network, tested, words, self.sentences.tags)
            right = sum(list(one.tags) == guess for one, guess in zip(tested, guesses)) / len(tested)
            return right, f"{' '.join(tested[0].words)} → {' '.join(guesses[0])}"
        hits = [int(network(torch.tensor([words.numbers(one.words)], device=device).t()).argmax()) for one in tested]
        right = sum(hit == names(one) for hit, one in zip(hits, tested)) / len(tested)
        return right, f"{' '.join(tested[0].words)} → {('from', 'to', 'both')[hits[0]]}"


@functools.lru_cache(maxsize=1)
def tasks_of(seed: int) -> Tasks:
    return Tasks(seed)


def trainings(config: Config, seed: int) -> list[Training]:
    """A network for each form."""
    tasks = tasks_of(seed)
    words, tags = len(tasks.sentences.vocabulary), len(tasks.sentences.tags)
    networks: dict[str, tuple[Callable[[], nn.Module], Callable[[int], Any]]] = {
        "one-to-one": (lambda: Chooser(12, 12), tasks.month),
        "one-to-many": (lambda: Writer(ReadNumber()), tasks.number),
        "many-to-one": (lambda: Judge(words, 3), tasks.kind),
        "many-to-many": (lambda: Tagger("bi-gru", words, tags, HIDDEN, HIDDEN, 0.0), tasks.batches),
        "many-to-many, other length": (lambda: Writer(ReadWords(len(DATE_WORDS))), tasks.date),
    }  # fmt: skip
    return [Training(f"forms/{form}", build, batch, config.task_steps, 0.005, 1.0, seed)
            for form, (build, batch) in networks.items()]  # fmt: skip


# ---- what it shows ----


@torch.no_grad()
def show(run: Run, config: Config, rows: Mapping[str, dict[str, Any]]) -> dict[str, float]:
    """The picture of the forms and what each network has learned. Returns the shares of right answers."""
    draw_forms(run)
    tasks, table, found = tasks_of(run.seed), [], {}
    for training in trainings(config, run.seed):
        form = training.name.partition("/")[2]
        right, example = tasks.judge(form, training.restored(rows[training.name]))
        found[training.name] = right
        table.append([form, FORMS[form], f"`{example}`", f"{right:.1%}", f"{rows[training.name]['seconds']:.1f}"])
    heads = [
        both("form", "形式"),
        both("task", "任务"),
        both("example", "例子"),
        both("right", "正确"),
        both("seconds", "秒"),
    ]
    run.table("forms", heads, table, both(
        f"{config.task_steps} steps each. Right are whole answers to what was not trained on: sentences, a fifth of "
        "the numbers and of the dates; the twelve months are learned by heart.",
        f"各训练 {config.task_steps} 步。正确指训练中没有的输入上整个答案都对：句子、五分之一的数、五分之一的日期；"
        "十二个月份是背下来的。"))  # fmt: skip
    return found


def draw_forms(run: Run) -> None:
    """Inputs below, states in the middle, outputs above, for each form."""
    shapes: dict[str, tuple[list[int], int, list[int]]] = {  # columns with an input, states, columns with an output
        "one-to-one": ([0], 1, [0]), "one-to-many": ([0], 3, [0, 1, 2]), "many-to-one": ([0, 1, 2], 3, [2]),
        "many-to-many": ([0, 1, 2], 3, [0, 1, 2]), "many-to-many,\nother length": ([0, 1], 5, [2, 3, 4])}  # fmt: skip
    figure, axes = plots.figure(1, 5, width=11, height=2.3)
    colours: list[tuple[Both | str, str]] = [("input", plots.COLOURS[4]), ("state", plots.COLOURS[2]),
                                             ("output", plots.COLOURS[1])]  # fmt: skip
    for axis, (title, (inputs, states, outputs)) in zip(axes[0], shapes.items()):
        arrow = {"arrowstyle": "->", "color": "#555555"}
        for row, columns in enumerate((inputs, range(states), outputs)):
            for column in columns:
                axis.add_patch(
                    plots.matplotlib.patches.Rectangle((column - 0.3, row * 1.1), 0.6, 0.6, color=colours[row][1])
                )
        for column in inputs:
            axis.annotate("", (column, 1.1), (column, 0.6), arrowprops=arrow)
        for column in range(states - 1):
            axis.annotate("", (column + 0.7, 1.4), (column + 0.3, 1.4), arrowprops=arrow)
        for column in outputs:
            axis.annotate("", (column, 2.2), (column, 1.7), arrowprops=arrow)
        axis.set_xlim(-0.6, 4.6)
        axis.set_ylim(-0.2, 3)
        axis.set_title(title, fontsize=9)
        axis.axis("off")
    for row, (label, _) in enumerate(colours):
        axes[0, 0].text(1.2, row * 1.1 + 0.2, str(label), fontsize=8)
    figure.tight_layout()
    run.figure("shapes", figure, both(
        "From below: what is read, the states, what is said. One-to-one has no state that goes on.",
        "自下而上：读入、状态、输出。一对一没有向后传的状态。"))  # fmt: skip

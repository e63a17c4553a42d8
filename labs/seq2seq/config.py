"""The options of the lab seq2seq, known without torch: a mistake is found before anything is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from labkit.base.errors import UserError
from labkit.base.language import both
from labkit.runs.options import option, several

TASKS = ("reversal", "dates", "translation")
PARTS = (*TASKS, "claims", "all")
ATTENTIONS = ("none", "fixed", "dot", "additive")
CONTEXTS = ("last", "projected", "mean")


class Kind(NamedTuple):
    """Where the decoder's c comes from (context) and what becomes of it (attention)."""

    attention: str
    context: str

    @property
    def attends(self) -> bool:
        return self.attention in ("dot", "additive")


class Sizes(NamedTuple):
    """Of a task's networks and their training."""

    steps: int
    batch: int
    embed: int
    hidden: int
    lr: float
    dropout: float = 0.0
    smoothing: float = 0.0


DEFAULTS = {
    "reversal": Sizes(700, 64, 64, 128, 0.003),
    "dates": Sizes(400, 64, 64, 128, 0.003),
    "translation": Sizes(3000, 40, 128, 256, 0.002),
}


@dataclass(frozen=True)
class Config:
    task: str | None = option(None, both("what is learned: strings reversed, dates in one form, English to Chinese; "
                                         "claims: what is equal to what; all: everything (default: reversal)",
                                         "学什么：字符串倒序、日期统一格式、英译中；claims：哪些结果应当相等；all：全部"
                                         "（默认 reversal）"), choices=PARTS)  # fmt: skip
    attention: str = option("none,dot", both("networks to train, joined by commas: none, fixed (the same c at each "
                                             "step), dot, additive",
                                             "要训练的网络，以逗号分隔：none、fixed（每步同一个 c）、dot、"
                                             "additive"))  # fmt: skip
    context: str = option("projected", both("c from the encoder, one or several joined by commas: its last state, that "
                                            "projected, the mean of all",
                                            "编码器给出的 c，可用逗号并列几种：last 最后的状态、projected 再作变换、"
                                            "mean 所有状态的平均"))  # fmt: skip
    pairs: str | None = option(None, both("pairs of yours to translate, a file: source, tab, target in each line",
                                          "用你自己的句对训练：文件，每行为原文、制表符、译文"), path=True)  # fmt: skip
    forcing: float = option(1.0, both("share of the steps in which the decoder is given the right words, not its own",
                                      "teacher forcing：训练中给解码器正确的词（而非它自己的词）的步数比例"),
                            at_least=0)  # fmt: skip
    beam: int = option(5, both("beginnings that the search keeps; 1 takes the likeliest word each time",
                               "束搜索保留的开头数；1 即每步取最可能的词"), at_least=1)  # fmt: skip
    steps: int | None = option(None, both("steps of each network (default: by the task)", "每个网络的训练步数（默认随"
                                                                                          "任务）"),
                               at_least=1)  # fmt: skip
    batch_size: int | None = option(None, both("sentences of one source length in a step (default: by the task)",
                                               "每步的句数，原文等长（默认随任务）"), at_least=1)  # fmt: skip
    embed: int | None = option(None, both("numbers for a word (default: by the task)", "词向量维数（默认随任务）"),
                               at_least=1)  # fmt: skip
    hidden: int | None = option(None, both("units of the decoder, twice those of each direction of the encoder "
                                           "(default: by the task)",
                                           "解码器的隐藏单元数，编码器每个方向为其一半（默认随任务）"),
                               at_least=2)  # fmt: skip
    lr: float | None = option(None, both("highest learning rate of Adam (default: by the task)",
                                         "Adam 的最高学习率（默认随任务）"), above=0)  # fmt: skip
    clip: float = option(1.0, both("length that no gradient exceeds", "梯度裁剪：梯度长度的上限"), above=0)
    dropout: float = option(0.2, both("share of the numbers left out in training, in translation",
                                      "dropout 比例，只用于翻译"), at_least=0)  # fmt: skip
    smoothing: float = option(0.1, both("label smoothing in translation", "标签平滑，只用于翻译"), at_least=0)
    predict: str | None = option(None, both("a sentence, string or date of yours for the trained networks",
                                            "给出你自己的句子、字符串或日期，让训练好的网络回答"),
                                 instead=True, reads=("checkpoint", "task", "beam"))  # fmt: skip
    checkpoint: str | None = option(None, both("the networks for --predict: a run or a file (default: the latest "
                                               "finished run)",
                                               "--predict 用的网络：run 或文件（默认最近完成的实验）"),
                                    path=True, or_run=True)  # fmt: skip

    def __post_init__(self) -> None:
        """Fill in the task; refuse networks that there are not, and what does not go together."""
        if self.task is None and self.predict is None:
            object.__setattr__(self, "task", "translation" if self.pairs else "reversal")
        self.kinds  # noqa: B018 - raises for a name that says nothing
        if self.pairs and self.task not in (None, "translation"):
            raise UserError(f"--pairs is for the task translation, not {self.task}",
                            "./inv lab seq2seq -- --pairs FILE")  # fmt: skip
        if self.hidden and self.hidden % 2:
            raise UserError("--hidden must be even: each direction of the encoder has half of it")
        for name, most in (("forcing", 1.0), ("dropout", 0.9), ("smoothing", 0.9)):
            if getattr(self, name) > most:
                raise UserError(f"--{name} must be at most {most:g}")
        if self.beam > 100:
            raise UserError("--beam must be at most 100")

    @property
    def trains(self) -> bool:
        """Whether a data set is read: strings and dates are drawn here."""
        return self.wants("translation") and not self.pairs

    @property
    def kinds(self) -> dict[str, Kind]:
        """The networks by name, each once. Raises UserError for one that there is not, or for none."""
        contexts = several("seq2seq", "context", self.context, CONTEXTS)
        return {attention if len(contexts) == 1 else f"{attention}-{context}": Kind(attention, context)
                for attention in several("seq2seq", "attention", self.attention, ATTENTIONS)
                for context in contexts}  # fmt: skip

    def wants(self, part: str) -> bool:
        return self.task in (part, "all")

    def sizes(self, task: str) -> Sizes:
        """What was typed, and else what the task has."""
        own = DEFAULTS[task]
        if task == "translation":
            own = own._replace(dropout=self.dropout, smoothing=self.smoothing)
        typed: dict[str, Any] = {"steps": self.steps, "batch": self.batch_size, "embed": self.embed,
                                 "hidden": self.hidden, "lr": self.lr}  # fmt: skip
        return own._replace(**{name: value for name, value in typed.items() if value is not None})


PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"task": "translation", "attention": "dot", "steps": 100, "embed": 32, "hidden": 64, "batch_size": 32,
              "lr": 0.01, "beam": 1},
    "five-minutes": {"task": "translation", "attention": "dot", "steps": 7500},
}  # fmt: skip

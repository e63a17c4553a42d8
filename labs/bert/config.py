"""The options of the lab bert, known without torch: a mistake is found before anything is made."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from labkit.base.errors import UserError
from labkit.base.language import both
from labkit.runs.options import option

PARTS = ("pretrain", "lessons", "speed", "all")


@dataclass(frozen=True)
class Config:
    part: str = option("pretrain", both("what to run; lessons: the parts by hand, the rates, subwords; all: these two "
                                        "without speed",
                                        "运行哪一部分；lessons：手写部件、比例、子词；all：除 speed 外的各部分"),
                       choices=PARTS)  # fmt: skip
    dataset: str | None = option(None, both("what to read: scenes are drawn by this lab (default)",
                                            "读什么：scenes 由本实验生成（默认）"),
                                 choices=("scenes", "snips", "shakespeare"))  # fmt: skip
    text: str | None = option(None, both("a text of yours to pre-train on: sentences in lines, paragraphs between "
                                         "empty lines",
                                         "用你自己的文本预训练：每行一句，段落之间空一行"), path=True)  # fmt: skip
    steps: int = option(1200, both("steps of pre-training", "预训练步数"), at_least=1)
    batch_size: int = option(32, both("texts of one length in a step", "每步的等长文本数"), at_least=1)
    width: int = option(64, both("numbers for a word", "词向量维数"), at_least=2)
    layers: int = option(2, both("layers of the encoder", "编码器层数"), at_least=1)
    heads: int = option(4, both("heads of each layer", "每层的头数"), at_least=1)
    lr: float = option(0.003, both("highest learning rate of pre-training", "预训练的最高学习率"), above=0)
    hide: float = option(0.15, both("share of the words that are hidden", "被遮住的词的比例"), above=0)
    control: bool = option(True, both("also pre-train a network that sees only what comes before a word, for twice "
                                      "the steps (scenes)",
                                      "同时预训练一个只看左边的网络作对照，步数加倍（scenes）"))  # fmt: skip
    tune_steps: int = option(200, both("steps of each fine-tuning", "每次微调的步数"), at_least=1)
    labels: str = option("50,100,300", both("numbers of labelled sentences of SNIPS, joined by commas",
                                            "SNIPS 的标注句数，以逗号分隔"))  # fmt: skip
    repeats: int = option(3, both("draws of the labelled sentences", "标注句子的抽取次数"), at_least=1)
    predict: str | None = option(None, both("a sentence of yours with one [MASK], to be filled in",
                                            "给出含一个 [MASK] 的句子，让网络填空"),
                                 instead=True, reads=("checkpoint",))  # fmt: skip
    checkpoint: str | None = option(None, both("the network for --predict: a run or a file (default: the latest "
                                               "finished run, one of a real text before one of scenes)",
                                               "--predict 用的网络：run 或文件（默认最近完成的一次，真实文本优先于 "
                                               "scenes）"),
                                    path=True, or_run=True)  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse what cannot be; fill in the data set."""
        if self.width % self.heads:
            raise UserError(f"--width {self.width} is not a multiple of --heads {self.heads}")
        if self.hide > 0.9:
            raise UserError("--hide is a share: 0.15 for 15 %, and at most 0.9")
        self.counts  # noqa: B018 - raises for what is no list of numbers
        if self.text and self.dataset:
            raise UserError("--text is read in place of a data set: leave --dataset out")
        if self.text and self.part in ("lessons", "speed"):
            raise UserError(f"--part {self.part} reads no text", "./inv lab bert -- --text FILE")
        if self.dataset is None and not self.text:
            object.__setattr__(self, "dataset", "scenes")
        if self.trains and self.part != "pretrain":
            raise UserError(f"--part {self.part} reads no data set", f"./inv lab bert -- --dataset {self.dataset}")

    @property
    def trains(self) -> bool:
        """Whether a data set is read: the scenes are drawn here."""
        return self.dataset in ("snips", "shakespeare")

    @property
    def counts(self) -> tuple[int, ...]:
        """How many sentences of SNIPS are labelled, each number once, rising. Raises UserError for anything else."""
        words = [word.strip() for word in self.labels.split(",") if word.strip()]
        if not words or not all(re.fullmatch("[0-9]{1,5}", word) and 0 < int(word) <= 10_000 for word in words):
            raise UserError(f"--labels: {self.labels} is no list of numbers from 1 to 10,000",
                            "./inv lab bert -- --preset snips --labels 50,300")  # fmt: skip
        return tuple(sorted({int(word) for word in words}))

    def wants(self, part: str) -> bool:
        return self.part in (part, "all")


PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"part": "all", "steps": 120, "control": False, "tune_steps": 40, "repeats": 1},
    "snips": {"dataset": "snips", "width": 128, "batch_size": 64, "steps": 3000, "lr": 0.002, "hide": 0.2,
              "tune_steps": 400, "repeats": 1},
    "plays": {"dataset": "shakespeare", "width": 128, "batch_size": 64, "steps": 1500, "lr": 0.002},
}  # fmt: skip

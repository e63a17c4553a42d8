"""The options of the lab rnn, known without torch: a mistake is found before anything is made."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from labkit.base.errors import UserError, nearest
from labkit.base.language import both
from labkit.runs.options import option

PARTS = ("slots", "cells", "forms", "gradients", "adding", "characters", "all")
CELLS = ("rnn", "gru", "lstm", "clockwork", "grid")
NETWORKS = "rnn,gru,lstm,bi-rnn,bi-lstm"


class Kind(NamedTuple):
    """What "bi-lstm-2" says: both directions, the cell lstm, two layers."""

    cell: str
    both_ways: bool
    layers: int


def kind_of(name: str) -> Kind:
    """Raises UserError for a name that says nothing."""
    found = re.fullmatch(r"(bi-)?([a-z]+)(?:-([1-4]))?", name)
    if not found or found[2] not in CELLS:
        known = [*CELLS, *(f"bi-{cell}" for cell in CELLS)]
        raise UserError(f"--networks: there is no {name}; {nearest(name, known)}",
                        "./inv lab rnn -- --networks rnn,bi-lstm,bi-gru-2")  # fmt: skip
    return Kind(found[2], bool(found[1]), int(found[3] or 1))


@dataclass(frozen=True)
class Config:
    part: str = option("slots", both("what to run; all: everything that needs no data set",
                                     "运行哪一部分；all：不需要数据集的各部分"), choices=PARTS)  # fmt: skip
    dataset: str | None = option(None, both("sentences to fill the slots of: booking is drawn by this lab (default)",
                                            "用哪些句子做槽填充：booking 由本实验生成（默认）"),
                                 choices=("booking", "snips", "atis", "shakespeare"))  # fmt: skip
    networks: str = option(NETWORKS, both("networks for the slots, joined by commas: rnn, gru, lstm, clockwork, grid; "
                                          "bi-lstm reads in both directions, lstm-2 has two layers",
                                          "做槽填充的网络，以逗号分隔：rnn、gru、lstm、clockwork、grid；bi-lstm 为双"
                                          "向，lstm-2 为两层"))  # fmt: skip
    steps: int = option(700, both("steps of each network of the slots", "每个槽填充网络的训练步数"), at_least=1)
    batch_size: int = option(32, both("sentences of one length in a step", "每步的等长句子数"), at_least=1)
    embed: int = option(32, both("numbers for a word", "词向量维数"), at_least=1)
    hidden: int = option(64, both("units of a layer in each direction", "每个方向的隐藏单元数"), at_least=1)
    lr: float = option(0.005, both("first learning rate of Adam, which falls to 0", "Adam 的初始学习率，逐渐降到 0"),
                       above=0)  # fmt: skip
    clip: float = option(1.0, both("length that no gradient exceeds", "梯度裁剪：梯度长度的上限"), above=0)
    forget_bias: float = option(1.0, both("added to the bias of an LSTM's forget gate in the slots; PyTorch has 0",
                                          "槽填充中 LSTM 遗忘门偏置的增量；PyTorch 为 0"))  # fmt: skip
    hide: float = option(0.4, both("share of the sentences whose slots training hides as <unk>, so that what is around "
                                   "them counts; 0 for none",
                                   "训练时把槽内的词换成 <unk> 的句子比例，使网络依靠上下文；0 表示不换"),
                         at_least=0)  # fmt: skip
    variety: float = option(0.5, both("share of the drawn sentences from composed templates, beside the written ones",
                                      "生成的句子中来自组合模板（而非手写模板）的比例"), at_least=0)  # fmt: skip
    length: int = option(30, both("steps of the recall and adding tasks", "回忆任务与加法任务的序列长度"), at_least=2)
    task_steps: int = option(500, both("steps of each training in the other parts", "其他各部分每次训练的步数"),
                             at_least=1)  # fmt: skip
    repeats: int = option(1, both("seeds of each cell in the recall task", "回忆任务中每种单元的种子数"), at_least=1)
    predict: str | None = option(None, both("a sentence of yours, in English or Chinese, to find the slots of",
                                            "给出你自己的一句话（英文或中文），找出其中的槽"),
                                 instead=True, reads=("checkpoint",))  # fmt: skip
    checkpoint: str | None = option(None, both("the networks for --predict: a run or a file (default: the latest "
                                               "finished run of slots)",
                                               "--predict 用的网络：run 或文件（默认最近完成的槽填充实验）"),
                                    path=True, or_run=True)  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse networks that there are not, and a data set where it has no place; fill in the data set."""
        self.chosen  # noqa: B018 - raises for a name that says nothing
        if self.hide > 1 or self.variety > 1:
            raise UserError("--hide and --variety are shares: 0.1 for a tenth")
        own = "shakespeare" if self.part == "characters" else "booking"
        if self.dataset is None:
            object.__setattr__(self, "dataset", own)
        if (self.dataset == "shakespeare") != (self.part == "characters"):
            raise UserError(f"--part {self.part} does not read {self.dataset}",
                            "./inv lab rnn -- --part characters, or --dataset snips")  # fmt: skip

    @property
    def trains(self) -> bool:
        """Whether a data set is read: the booking sentences are drawn here."""
        return self.dataset != "booking"

    @property
    def chosen(self) -> tuple[str, ...]:
        """The networks for the slots, each once. Raises UserError for one that there is not, or for none."""
        names = tuple(dict.fromkeys(word.strip().lower() for word in self.networks.split(",") if word.strip()))
        if not names:
            raise UserError("--networks names no network", "./inv lab rnn -- --networks rnn,bi-lstm")
        for name in names:
            kind_of(name)
        return names

    def wants(self, part: str) -> bool:
        return self.part in (part, "all") and (part != "characters" or self.part == part)


PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"networks": "lstm,bi-lstm", "steps": 130, "lr": 0.01, "length": 10,
              "task_steps": 30, "repeats": 1},
    "snips": {"dataset": "snips", "networks": "lstm,bi-lstm", "embed": 100, "hidden": 128, "steps": 2000, "hide": 0.1,
              "lr": 0.003},
    "atis": {"dataset": "atis", "networks": "rnn,lstm,bi-lstm", "embed": 100, "hidden": 128, "steps": 1200, "hide": 0.1,
             "lr": 0.003},
}  # fmt: skip

"""The options of the lab housing, known without torch: a mistake is found before anything is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from labkit.base.errors import UserError
from labkit.base.language import both
from labkit.runs.options import option

# What suits each data set where the options do not say another: chosen on splits of other seeds (README).
RECIPES: dict[str, dict[str, int]] = {
    "boston": {"members": 8, "epochs": 100, "batch_size": 64},
    "california": {"members": 4, "epochs": 10, "batch_size": 256},
}


@dataclass(frozen=True)
class Config:
    dataset: str = option("boston", both("506 districts of Boston, or 20,640 of California",
                                         "波士顿的 506 个街区，或加州的两万个"), choices=tuple(RECIPES))  # fmt: skip
    without_b: bool = option(False, both("leave out column B of boston, which counts people by race",
                                         "去掉波士顿数据中按种族计数的 B 列"))  # fmt: skip
    folds: int = option(10, both("parts of the k-fold cross-validation", "k 折交叉验证的折数"), at_least=2)
    members: int | None = option(None, both("networks whose mean predicts (default: 8, of california 4)",
                                            "取平均做预测的网络个数（默认 8，加州为 4）"), at_least=1)  # fmt: skip
    epochs: int | None = option(None, both("passes over the training rows (default: 100, of california 10)",
                                           "训练轮数（默认 100，加州为 10）"), at_least=1)  # fmt: skip
    batch_size: int | None = option(None, both("rows per step (default: 64, of california 256)",
                                               "每步的行数（默认 64，加州为 256）"), at_least=1)  # fmt: skip
    width: int = option(64, both("units in each of the two hidden layers", "两个隐藏层各自的单元数"), at_least=1)
    lr: float = option(0.01, both("highest learning rate", "学习率的最大值"), above=0)
    l1: float = option(0.0, both("L1: this times the sum of all |weights| is added to the loss",
                                 "L1：损失加上此值乘以权重绝对值之和"), at_least=0)  # fmt: skip
    l2: float = option(0.0, both("L2: this times the sum of all squared weights is added to the loss",
                                 "L2：损失加上此值乘以权重平方和"), at_least=0)  # fmt: skip
    dropout: float = option(0.0, both("share of the hidden units that training leaves out at random",
                                      "训练时随机去掉的隐藏单元比例"), at_least=0)  # fmt: skip
    study: int = option(200, both("passes of the trainings that show over- and underfitting; 0 for none",
                                  "展示过拟合与欠拟合的训练轮数；0 表示不做"), at_least=0)  # fmt: skip
    predict: str | None = option(None, both("a CSV file with rows of yours to predict with a trained network, instead "
                                            "of training", "用训练好的网络预测你的 CSV 文件中的行，而不训练"),
                                 path=True, instead=True, reads=("checkpoint", "dataset", "without_b"))  # fmt: skip
    checkpoint: str | None = option(None, both("the network for --predict: a run or a file (default: the latest "
                                               "finished run)", "--predict 的网络：某次实验或文件（默认最近完成的）"),
                                    path=True, or_run=True)  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse what cannot be trained, and fill in what suits the data set."""
        if self.dropout >= 1:
            raise UserError(f"--dropout {self.dropout} would leave nothing; it is a share, 0.5 for a half")
        if self.without_b and self.dataset != "boston":
            raise UserError("--without-b leaves out a column of boston, and california has none like it",
                            f"./inv lab housing -- --dataset {self.dataset}")  # fmt: skip
        for name, value in RECIPES[self.dataset].items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)


PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"folds": 2, "members": 2, "epochs": 30, "study": 4},
}

"""The options of the lab mnist, known without torch: a mistake is found before anything is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from labkit.base.errors import UserError
from labkit.base.language import both
from labkit.runs.options import option

SIDE = 28  # of MNIST's images


@dataclass(frozen=True)
class Config:
    model: str = option("fast", both("fast, or the plain CNN of the notes", "fast，或笔记中的普通 CNN"),
                        choices=("fast", "plain"))  # fmt: skip
    width: int = option(16, both("channels of the first layer of fast; the next have 2 and 4 times as many",
                                 "fast 第一层的通道数；后两层是它的 2 倍和 4 倍"), at_least=1)  # fmt: skip
    stride: int = option(3, both("step of the first layer of fast", "fast 第一层的步长"), choices=(2, 3))
    side: int = option(24, both("side of the square in the middle that the network sees", "网络看到的中央方块的边长"),
                       choices=(24, 26, 28))  # fmt: skip
    epochs: int = option(2, both("passes over the training images", "训练图片过几轮"), at_least=1)
    batch_size: int = option(256, both("images per step", "每步的图片数"), at_least=2)
    shift: int = option(1, both("augmentation: move by up to this many pixels", "数据增强：最多平移几个像素"),
                        at_least=0)  # fmt: skip
    warp: float = option(0.0, both("augmentation: turn by up to this many radians, stretch and slant by this share",
                                   "数据增强：旋转至多这么多弧度，按此比例伸缩、倾斜"), at_least=0)  # fmt: skip
    lr: float = option(0.01, both("highest learning rate of AdamW", "AdamW 的最高学习率"), above=0)
    schedule: str = option("onecycle", both("onecycle: up for a fifth of the steps, then down to 0; or constant",
                                            "onecycle：前五分之一上升，再降到 0；或 constant"),
                           choices=("onecycle", "constant"))  # fmt: skip
    weight_decay: float = option(0.01, both("share of each weight that a step takes away, times the learning rate",
                                            "每步按学习率衰减权重的比例"), at_least=0)  # fmt: skip
    label_smoothing: float = option(0.1, both("share of the target that is spread over all ten digits",
                                              "目标中平摊给十个数字的份额"), at_least=0)  # fmt: skip
    views: bool = option(False, both("report the accuracy with four shifted views of each test image, too",
                                     "另外报告对每幅测试图加上四个平移视图后的准确率"))  # fmt: skip
    hold_out: int | None = option(None, both("train without the last N training images, and report the accuracy on "
                                             "them: choose by it, not by the test images",
                                             "训练时留出最后 N 幅训练图，并报告其上的准确率：据此做选择，"
                                             "而不是据测试集"),
                                  at_least=1)  # fmt: skip
    folds: int | None = option(None, both("k-fold cross-validation on the training images, which trains k networks",
                                          "在训练图上做 k 折交叉验证，共训练 k 个网络"), at_least=2)  # fmt: skip
    predict: str | None = option(None, both("a photo of a digit of yours to read with a trained network",
                                            "用训练好的网络识别你自己的数字照片"), path=True,
                                 instead=True, reads=("checkpoint",))  # fmt: skip
    checkpoint: str | None = option(None, both("the network for --predict: a run or a file (default: the latest "
                                               "finished run)",
                                               "--predict 用的网络：一次实验或一个文件（默认：最近完成的实验）"),
                                    path=True, or_run=True)  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        if self.label_smoothing >= 1:
            raise UserError(f"--label-smoothing {self.label_smoothing} would leave nothing of the label; it is a share")
        if self.warp > 1:
            raise UserError(f"--warp {self.warp} would turn a 6 into a 9: try 0.15")
        if self.folds and self.hold_out:
            raise UserError("--folds holds every training image out once, so --hold-out has nothing to add",
                            "./inv lab mnist -- --folds 5")  # fmt: skip
        if self.folds and self.views:
            raise UserError("--folds judges each network as it is, so --views has nothing to add",
                            "./inv lab mnist -- --folds 5")  # fmt: skip
        if self.shift > SIDE // 4:
            raise UserError(f"--shift {self.shift} would move digits out of the image; {SIDE // 4} is the most",
                            "./inv lab mnist -- --shift 2")  # fmt: skip


PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"epochs": 4, "batch_size": 64},
    "ten-seconds": {"epochs": 4},
    "thirty-seconds": {"epochs": 6, "warp": 0.15, "views": True},
    "best": {"epochs": 10, "width": 32, "warp": 0.15, "views": True},
    "notes": {"model": "plain", "side": 28, "shift": 0, "lr": 0.001, "schedule": "constant", "weight_decay": 0.0,
              "label_smoothing": 0.0, "batch_size": 64},
}  # fmt: skip

"""The options of the lab metric, known without torch: a mistake is found before anything is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from labkit.base.errors import UserError, nearest
from labkit.base.language import both
from labkit.runs.options import option

LOSSES = ("contrastive", "batch-all", "batch-hard", "semi-hard", "quadruplet", "softmax")
MARGINS = {"contrastive": 1.0, "batch-all": 0.2, "batch-hard": 0.2, "semi-hard": 0.2, "quadruplet": 0.2, "softmax": 0.0}
MOST_CLASSES = 20  # in a batch, where none are asked for
HALVES = ("01234", "56789", "02468", "13579")


@dataclass(frozen=True)
class Config:
    loss: str = option("semi-hard", both(f"{', '.join(LOSSES)}; several joined by commas, or all",
                                         f"{'、'.join(LOSSES)}；可用逗号连接几个，或 all"))  # fmt: skip
    seen: str = option("01234", both("the digits to learn from, the others judge; or halves: "
                                     f"{', '.join(HALVES)} in turn",
                                     "用来学习的数字，其余数字用来评判；或 halves：依次用 "
                                     f"{'、'.join(HALVES)}"))  # fmt: skip
    forms: int = option(4, both("in how many forms a digit is a class of its own: 4 turned by right angles, 8 "
                                "mirrored too, 1 as it is",
                                "一个数字以几种形式各成一类：4 为旋转直角，8 为再加镜像，1 为原样"),
                        choices=(1, 4, 8))  # fmt: skip
    classes: int | None = option(None, both("P: classes in a batch (default: all, but 20 at most)",
                                            "P：每个 batch 的类别数（默认：全部，至多 20）"), at_least=2)  # fmt: skip
    images: int = option(6, both("K: images of each class in a batch", "K：batch 中每类的图片数"), at_least=2)
    steps: int = option(300, both("batches to learn from", "训练的 batch 数"), at_least=1)
    margin: float | None = option(None, both("by how much negatives must be farther than positives (default: "
                                             "1 for contrastive, 0.2 for the others)",
                                             "负样本要比正样本远多少（默认：contrastive 为 1，其余 0.2）"),
                                  above=0)  # fmt: skip
    width: int = option(16, both("channels of the first layer", "第一层的通道数"), at_least=1)
    dimensions: int = option(32, both("numbers in an embedding", "嵌入向量的维数"), at_least=2)
    shift: int = option(1, both("augmentation: move by up to this many pixels", "数据增强：最多平移几个像素"),
                        at_least=0)  # fmt: skip
    lr: float = option(0.003, both("highest learning rate of AdamW", "AdamW 的最高学习率"), above=0)
    tsne: bool = option(True, both("draw t-SNE maps too, where openTSNE is installed",
                                   "装有 openTSNE 时也画 t-SNE 图"))  # fmt: skip
    collapse: bool = option(False, both("instead: make a network collapse (loss = margin), and cure it",
                                        "改为：让网络坍缩（损失 = 间隔），再治好它"))  # fmt: skip
    search: str | None = option(None, both("a folder with a folder of images for each class of yours, to be searched "
                                             "with a trained network",
                                             "你自己的图片：一个文件夹，每类一个子文件夹；用训练好的网络检索"),
                                  path=True, instead=True, reads=("checkpoint",))  # fmt: skip
    checkpoint: str | None = option(None, both("the network for --search: a run or a file (default: the latest "
                                               "finished "
                                               "run)", "--search 用的网络：一次实验或一个文件（默认最近完成的实验）"),
                                    path=True, or_run=True)  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse what cannot be learned or judged."""
        chosen(self.loss)
        for digits in splits(self.seen):
            classes = len(digits) * self.forms
            if self.classes and self.classes > classes:
                raise UserError(f"--classes {self.classes} is more than the {classes} classes that there are to learn "
                                f"from ({len(digits)} digits in {self.forms} forms)",
                                f"./inv lab metric -- --classes {classes}")  # fmt: skip
        if self.collapse and (self.loss != "semi-hard" or self.seen == "halves"):
            raise UserError("--collapse compares losses of its own on one split; --loss and halves do not go with it",
                            "./inv lab metric -- --collapse")  # fmt: skip
        if self.margin and set(chosen(self.loss)) == {"softmax"}:
            raise UserError("--margin is of the losses that compare distances, and softmax has none",
                            "./inv lab metric -- --loss semi-hard --margin 0.2")  # fmt: skip
        if self.shift > 7:
            raise UserError(f"--shift {self.shift} would move digits out of the image; 7 is the most",
                            "./inv lab metric -- --shift 2")  # fmt: skip

    def classes_of(self, digits: str) -> int:
        """P of a batch of these digits."""
        return self.classes or min(MOST_CLASSES, len(digits) * self.forms)


def chosen(text: str) -> tuple[str, ...]:
    """The losses in `text`, "semi-hard,softmax" or "all". Raises UserError for one that there is not."""
    asked = [word.strip().lower() for word in text.split(",") if word.strip()]
    if asked == ["all"]:
        return LOSSES
    for word in asked:
        if word not in LOSSES:
            raise UserError(f"--loss: there is no {word}; {nearest(word, [*LOSSES, 'all'])}",
                            "./inv lab metric -- --loss all")  # fmt: skip
    if not asked:
        raise UserError("--loss names no loss", "./inv lab metric -- --loss semi-hard")
    return tuple(name for name in LOSSES if name in asked)


def splits(text: str) -> tuple[str, ...]:
    """The digits seen in each training: "01234", or the four of "halves".

    Raises UserError where digits are no digits, or where fewer than two are seen or fewer than two left to judge.
    """
    if text == "halves":
        return HALVES
    digits = "".join(sorted(set(text)))
    if not digits or set(digits) - set("0123456789"):
        raise UserError(f"--seen {text} is neither digits, such as 01234, nor "
                        "halves", "./inv lab metric -- --seen 02468")
    if len(digits) < 2:
        raise UserError("--seen names one class, and there is nothing to tell it "
                        "from", "./inv lab metric -- --seen 01234")
    if len(digits) > 8:
        raise UserError(f"--seen {text} leaves fewer than two digits to judge with", "./inv lab metric -- --seen 01234")
    return (digits,)


PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"steps": 40, "loss": "semi-hard,softmax", "tsne": False},
    "losses": {"loss": "all"},
    "halves": {"seen": "halves", "forms": 8},
    "collapse": {"collapse": True, "steps": 150},
}

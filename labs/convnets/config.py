"""The options of the lab convnets, known without torch: a mistake is found before anything is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from labkit.base.errors import UserError, nearest
from labkit.base.language import both
from labkit.runs.options import option

PARTS = ("all", "layers", "numbers", "networks")
NAMES = ("lenet", "alexnet", "vgg16", "googlenet", "resnet18", "squeezenet", "densenet100", "resnext29", "mobilenetv1",
         "mobilenetv2", "shufflenetv1", "shufflenetv2", "senet18", "mobilenetv3")  # fmt: skip


@dataclass(frozen=True)
class Config:
    part: str = option("all", both("which part: the layers one by one, what they cost and see, or the networks",
                                   "运行哪一部分：逐层讲解、代价与感受野、各种网络"), choices=PARTS)  # fmt: skip
    networks: str = option("all", both("only these networks, joined by commas", "只用这些网络，以逗号分隔"))
    batch: int = option(8, both("images in each step whose time is taken", "测量耗时的每一步所用的图片数"),
                        at_least=2)  # fmt: skip
    repeats: int = option(3, both("times that a step is measured, of which the shortest counts",
                                  "每一步测量的次数，取最短的一次"), at_least=1)  # fmt: skip
    race: bool = option(False, both("train all networks on CIFAR-10 instead, each for the same time",
                                    "改为在 CIFAR-10 上训练所有网络，每个网络用时相同"))  # fmt: skip
    minutes: float = option(25.0, both("of the race, all networks and their tests together",
                                       "竞赛的总时长，包括所有网络的训练与测试"), above=0)  # fmt: skip
    steps: int | None = option(None, both("in the race, so many steps for each network in place of the same time",
                                          "竞赛中每个网络训练这么多步，而不是同样的时间"), at_least=1)  # fmt: skip
    width: float = option(0.5, both("in the race, the share of the channels that every network has",
                                    "竞赛中各网络通道数的比例"), choices=(0.5, 1.0))  # fmt: skip
    lr: float = option(0.002, both("in the race, the first learning rate of Adam, which falls to 0",
                                   "竞赛中 Adam 的初始学习率，逐渐降到 0"), above=0)  # fmt: skip
    map: str | None = option(None, both("an image of yours: where do the trained networks see what they say?",
                                        "你自己的图片：训练好的网络是根据哪里作出判断的？"),
                             path=True, instead=True, reads=("checkpoint",))  # fmt: skip
    checkpoint: str | None = option(None, both("the race whose networks look at it: a run or a file (default: the "
                                               "latest finished one)",
                                               "用哪次竞赛的网络：run 或文件（默认最近完成的一次）"),
                                    path=True, or_run=True)  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse networks that there are not, and options of a race where there is none."""
        chosen(self.networks)
        if self.steps and not self.race:
            raise UserError("--steps is of the race, and --race is not given",
                            "./inv lab convnets -- --race --steps 100")
        if self.race and self.part != "all":
            raise UserError(f"--race trains the networks in place of --part {self.part}",
                            "./inv lab convnets -- --race")

    @property
    def trains(self) -> bool:
        """Only the race reads a data set."""
        return self.race


def chosen(text: str) -> tuple[str, ...]:
    """The networks in `text`, "lenet,vgg16" or "all". Raises UserError for one that there is not."""
    asked = [word.strip().lower() for word in text.split(",") if word.strip()]
    if asked == ["all"]:
        return NAMES
    for word in asked:
        if word not in NAMES:
            raise UserError(f"--networks: there is no {word}; {nearest(word, list(NAMES))}",
                            f"./inv lab convnets -- --networks {','.join(NAMES[:3])}")  # fmt: skip
    if not asked:
        raise UserError("--networks names no network", "./inv lab convnets -- --networks lenet,vgg16")
    return tuple(name for name in NAMES if name in asked)


SMOKE = "lenet,vgg16,squeezenet,resnet18,mobilenetv2,shufflenetv2,senet18"  # one of every kind
PRESETS: dict[str, dict[str, Any]] = {"smoke": {"networks": SMOKE, "batch": 2, "repeats": 1}}

"""The options of the lab transformer, known without torch: a mistake is found before anything is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from labkit.base.errors import UserError
from labkit.base.language import both
from labkit.runs.options import option, several

PARTS = ("attention", "length", "translation", "characters", "all")
SCHEMES = ("none", "sinusoidal", "learned", "rotary", "relative", "offset", "randomised", "gru")
RECIPES = ("modern", "plain")


class Sizes(NamedTuple):
    """Of a part's networks and their training."""

    steps: int
    batch: int
    width: int
    layers: int
    heads: int
    lr: float


DEFAULTS = {
    "length": Sizes(400, 64, 64, 2, 4, 0.003),
    "translation": Sizes(3000, 40, 128, 2, 4, 0.002),
    "characters": Sizes(420, 16, 128, 4, 4, 0.003),
}
LONGER = {"randomised": 3000}  # steps of the scheme that gets there: the others fail however long they learn


@dataclass(frozen=True)
class Config:
    part: str | None = option(None, both("what to run: attention by hand, masks, positions, cost; copying beyond the "
                                         "trained length; English to Chinese; a text written on; all: the first three "
                                         "(default: length)",
                                         "运行哪一部分：attention 手写注意力、掩码、位置、代价；length 复制比训练时更"
                                         "长的串；translation 英译中；characters 续写文本；all 前三部分（默认 "
                                         "length）"), choices=PARTS)  # fmt: skip
    schemes: str = option(",".join(SCHEMES), both("ways to tell places apart, joined by commas, in length",
                                                  "length 部分的位置方案，以逗号分隔"))  # fmt: skip
    recipe: str = option("modern", both("in characters, one or both joined by a comma: modern (rotary, QK norm, ReLU², "
                                        "Muon) or plain (learned places, LayerNorm, GELU, AdamW)",
                                        "characters 部分的做法，可用逗号并列：modern（旋转位置、QK 归一化、ReLU²、"
                                        "Muon）或 plain（学习的位置、LayerNorm、GELU、AdamW）"))  # fmt: skip
    norm: str = option("pre", both("where each part is normalised in translation: before it, or after it as in the "
                                   "paper of 2017",
                                   "translation 中归一化的位置：pre 在每个子层之前，post 在之后（2017 年论文）"),
                       choices=("pre", "post"))  # fmt: skip
    shared: bool = option(False, both("one layer run again and again in place of several (Universal Transformer), in "
                                      "length and translation",
                                      "只用一层反复运行，代替多层（Universal Transformer），用于 length 与 "
                                      "translation"))  # fmt: skip
    pairs: str | None = option(None, both("pairs of yours to translate, a file: source, tab, target in each line",
                                          "用你自己的句对训练：文件，每行为原文、制表符、译文"), path=True)  # fmt: skip
    text: str | None = option(None, both("a text of yours to learn to write, a file", "用你自己的文本学习写作：文件"),
                              path=True)  # fmt: skip
    steps: int | None = option(None, both("steps of each network (default: by the part)", "每个网络的训练步数（默认随"
                                                                                          "部分）"),
                               at_least=1)  # fmt: skip
    batch_size: int | None = option(None, both("sequences in a step (default: by the part)", "每步的序列数（默认随部"
                                                                                             "分）"),
                                    at_least=1)  # fmt: skip
    width: int | None = option(None, both("numbers for a word (default: by the part)", "每个词的维数（默认随部分）"),
                               at_least=2)  # fmt: skip
    layers: int | None = option(None, both("layers; in translation of the encoder, and as many of the decoder "
                                           "(default: by the part)",
                                           "层数；translation 中编码器与解码器各这么多层（默认随部分）"),
                                at_least=1)  # fmt: skip
    heads: int | None = option(None, both("heads of each layer (default: 4)", "每层的头数（默认 4）"), at_least=1)
    lr: float | None = option(None, both("highest learning rate (default: by the part)", "最高学习率（默认随部分）"),
                              above=0)  # fmt: skip
    temperature: float = option(0.8, both("what the logits are divided by in what --predict writes on",
                                          "--predict 续写时 logits 除以的温度"), above=0)  # fmt: skip
    count: int = option(300, both("characters that --predict writes", "--predict 续写的字符数"), at_least=1)
    predict: str | None = option(None, both("a sentence of yours to translate, or the beginning of a text to go on "
                                            "from", "给出你自己的句子来翻译，或给出文本的开头来续写"),
                                 instead=True, reads=("checkpoint", "part", "temperature", "count"))  # fmt: skip
    checkpoint: str | None = option(None, both("the network for --predict: a run or a file (default: the latest "
                                               "finished run of translation or characters)",
                                               "--predict 用的网络：run 或文件（默认最近完成的 translation 或 "
                                               "characters 实验）"),
                                    path=True, or_run=True)  # fmt: skip

    def __post_init__(self) -> None:
        """Fill in the part; refuse names that say nothing, and what does not go together."""
        if self.part is None and self.predict is None:
            part = "translation" if self.pairs else "characters" if self.text else "length"
            object.__setattr__(self, "part", part)
        self.chosen, self.recipes  # noqa: B018 - each raises for a name that says nothing
        for given, part in (("pairs", "translation"), ("text", "characters")):
            if getattr(self, given) and self.part not in (None, part):
                raise UserError(f"--{given} is for the part {part}, not {self.part}",
                                f"./inv lab transformer -- --{given} FILE")  # fmt: skip
        for part in DEFAULTS:
            sizes = self.sizes(part)
            if self.wants(part) and sizes.width % (2 * sizes.heads):
                raise UserError(f"--width {sizes.width} is not a multiple of twice --heads {sizes.heads}: each head "
                                "turns its numbers in pairs")  # fmt: skip
        if self.count > 10_000:
            raise UserError("--count must be at most 10,000")

    @property
    def trains(self) -> bool:
        """Whether a data set is read: the strings to copy are drawn here, and a file of the user's is its own."""
        if self.part == "characters":
            return not self.text
        return self.part in ("translation", "all") and not self.pairs

    @property
    def dataset(self) -> str:
        return "shakespeare" if self.part == "characters" else "cmn_eng"

    @property
    def chosen(self) -> tuple[str, ...]:
        """The schemes of places, each once. Raises UserError for one that there is not, or for none."""
        return several("transformer", "schemes", self.schemes, SCHEMES)

    @property
    def recipes(self) -> tuple[str, ...]:
        return several("transformer", "recipe", self.recipe, RECIPES)

    def wants(self, part: str) -> bool:
        return self.part == part or (self.part == "all" and part != "characters")

    def sizes(self, part: str, scheme: str = "") -> Sizes:
        """What was typed, and else what the part has; some schemes learn for longer than others."""
        own = DEFAULTS[part]
        own = own._replace(steps=LONGER.get(scheme, own.steps))
        typed: dict[str, Any] = {"steps": self.steps, "batch": self.batch_size, "width": self.width,
                                 "layers": self.layers, "heads": self.heads, "lr": self.lr}  # fmt: skip
        return own._replace(**{name: value for name, value in typed.items() if value is not None})


PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"part": "all", "schemes": "rotary,gru", "steps": 120, "width": 32, "batch_size": 32, "layers": 1,
              "lr": 0.01},
}  # fmt: skip

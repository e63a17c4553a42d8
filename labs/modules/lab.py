"""Modules: every line of the notes on torch.nn, as it is typed there and as it is right.

    ./inv lab modules                  a few seconds: all steps, checked and shown
    ./inv practice modules             eighteen exercises that check themselves
    ./inv lab modules -- --width 32    another size of the network that is summed up at the end

You learn what a module finds by itself (parameters, buffers, modules) and what it overlooks, how the function of a name
differs from the layer of that name, and how a network is saved (section 38 of the notes).
"""

from __future__ import annotations

import numpy as np
import torch
from fvcore.nn import FlopCountAnalysis, parameter_count
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from labkit.base.console import say
from labkit.base.language import both
from labkit.runs import plots, steps
from labkit.runs.run import Run
from labkit.runs.start import start
from labs.modules.config import PRESETS, Config
from labs.modules.steps import GROUPS, SETUP
from labs.modules.summary import count_by_hand, small_network, summarize


def measured_means(batches: int, seed: int) -> np.ndarray:
    """The running mean of a BatchNorm after each of `batches` in training and as many in eval, of numbers around 1."""
    random = torch.Generator().manual_seed(seed)
    norm, means = nn.BatchNorm1d(1), []
    for number in range(2 * batches):
        norm.train(number < batches)
        norm(1 + torch.randn(64, 1, generator=random))
        means.append(norm.running_mean.item())
    return np.array(means)


class Traps(nn.Module):
    """Dropout twice: as a layer, and as a function that nobody told whether we train."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of x (N): what the layer leaves of it, what the function does."""
        return self.dropout(x), F.dropout(x, 0.5)


def draw(seed: int) -> Figure:
    """What train() and eval() change, and what they do not reach."""
    figure, axes = plots.figure(1, 2, width=8.0, height=2.8)
    batches = 40
    means = measured_means(batches, seed)
    axes[0, 0].plot(np.arange(1, len(means) + 1), means)
    axes[0, 0].axvline(batches, color="#999999", linewidth=1, linestyle="--")
    axes[0, 0].set_title("BatchNorm: running mean")
    axes[0, 0].set_xlabel("batch (train, then eval)")
    layer, function = Traps().eval()(torch.ones(1000))
    values = np.arange(3)
    for shift, result, name in ((-0.2, layer, "nn.Dropout"), (0.2, function, "F.dropout(x)")):
        counts = [(result == value).sum().item() for value in values]
        axes[0, 1].bar(values + shift, counts, 0.4, label=name)
    axes[0, 1].set_xticks(values)
    axes[0, 1].set_title("1000 ones through dropout, after eval()")
    axes[0, 1].set_xlabel("value")
    axes[0, 1].legend()
    figure.tight_layout()
    return figure


def show_summary(run: Run, width: int) -> int:
    """Sum the small network up by hooks, by the formulas and by fvcore, which must agree; its number of parameters."""
    model, image = small_network(width), torch.zeros(1, 3, 32, 32)
    rows = summarize(model, image)
    parameters, adds = sum(row[3] for row in rows), sum(row[4] for row in rows)
    theirs = parameter_count(model)[""]
    flops = FlopCountAnalysis(model.eval(), image).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    counted = flops.by_operator()
    their_adds = int(counted["conv"] + counted["linear"] + counted["addmm"])
    if not parameters == theirs == count_by_hand(width) or adds != their_adds:
        raise AssertionError(f"hooks {parameters}, {adds}; fvcore {theirs}, {their_adds}; hand {count_by_hand(width)}")
    cells = [[name, kind, " x ".join(map(str, shape[1:])), held, used] for name, kind, shape, held, used in rows]
    cells.append(["", both("all", "合计"), "", parameters, adds])
    heads = [both("name",
                  "名字"), both("layer",
                                "层"), both("gives",
                                            "输出"), both("parameters", "参数"), both("multiply-adds", "乘加次数")]
    run.table("summary", heads, cells, both(
        "A small network summed up by hooks; fvcore and the formulas count the same. One multiply-add is two "
        "operations (FLOP) for some, one for others: fvcore counts it as one.",
        "用钩子统计的小网络，与 fvcore 及公式的结果一致。一次乘加有人算两次运算（FLOP），有人算一次："
        "fvcore 算一次。"))  # fmt: skip
    return parameters


def main(config: Config, run: Run) -> dict[str, float]:
    """Run every step, show what train() and eval() change, and sum a network up. Returns how much was checked."""
    count = sum(steps.table(run, f"steps-{k:02}", group, SETUP) for k, group in enumerate(GROUPS, start=1))
    run.figure("traps", draw(run.seed), both(
        "Left: BatchNorm measures while it trains, and stops at the dashed line, where eval() is called. Right: eval() "
        "reaches the layer nn.Dropout, and not the function F.dropout, which goes on dropping half.",
        "左：BatchNorm 在训练时测量均值，到虚线处调用 eval() 后停止。右：eval() 管得到 nn.Dropout 层，管不到 F.dropout "
        "函数，后者仍丢弃一半。"))  # fmt: skip
    parameters = show_summary(run, config.width)
    run.note(both(
        "Three lines of the notes do not run as they are typed: Conv2d without its comma, register_parameter with one "
        "text, and torch.load without quotes. Each stands above beside what is right.",
        "笔记中有三行照抄会出错：Conv2d 少了逗号、register_parameter 只给一个字符串、torch.load 没有引号。"
        "上文各有正确写法。"))  # fmt: skip
    say(f"{count} steps hold; the network has {parameters} parameters, by hooks, formulas and fvcore alike")
    return {"steps": count, "parameters": parameters}


if __name__ == "__main__":
    start(main, Config, PRESETS)

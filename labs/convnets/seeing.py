"""The part *numbers* of the report: fields of networks, what a gradient shows of them, and the ways to save."""

from __future__ import annotations

from typing import Sequence

import numpy as np
import torch
from torch import nn

from labkit.base.language import both
from labkit.runs import plots
from labkit.runs.run import Run
from labs.convnets import fields, savings
from labs.convnets.ways import Gate
from labs.convnets.zoo import KINDS

SEEDS = 10
CHAINS = {"3 x 3 three times": both("3 x 3 three times", "3 x 3 三次"),
          "3 x 3, dilation 1, 2, 4": both("3 x 3, dilation 1, 2, 4", "3 x 3，dilation 1、2、4"),
          "AlexNet, as published": both("AlexNet, as published", "AlexNet（原论文）")}  # fmt: skip


def field_of_all(run: Run, names: Sequence[str]) -> int:
    """The field of every network by formula and by gradient; how many agree."""
    rows, same = [], 0
    for name in names:
        with torch.random.fork_rng():
            layers = fields.features(KINDS[name].build(10, 0.5))  # channels play no part
        formula, found = fields.window(layers), fields.seen(layers)
        same += formula.size == found
        gated = any(isinstance(layer, Gate) for layer in layers.modules())
        rows.append([KINDS[name].title, formula.size, found, formula.stride,
                     both("yes", "是") if gated else both("no", "否")])  # fmt: skip
    heads = [both("network", "网络"), both("field by formula", "感受野（公式）"),
             both("extent of the gradient, weights of one", "梯度的范围（权重全为 1）"), both("stride", "步幅"),
             both("gates see all", "门控看到全图")]  # fmt: skip
    run.table("fields", heads, rows, both(
        f"The receptive field of the last maps, in pixels of a side: formula and gradient agree on {same} of "
        f"{len(rows)} networks. Most are larger than the image of 32 x 32, so the last maps may depend on all of it. "
        "The mean of a gate (squeeze and excitation) is left out: it reads the whole image in any case.",
        f"最后一层特征图的感受野（边长，像素）：{len(rows)} 个网络中有 {same} 个公式与梯度一致。多数大于 32 x 32 的图，"
        "也就是说最后的特征可能取决于整张图。门控（SE）的全局平均不计在内：它本来就读整张图。"))  # fmt: skip
    return same


def gradient_of_one(layers: nn.Sequential, seed: int | None) -> np.ndarray:
    """Where the gradient of the middle reaches: through equal weights, or with a seed through the layers as they "
    "are."""
    side = fields.side_for(fields.window(layers).size)
    if seed is None:
        found = fields.gradient(fields.straight(layers), torch.ones(1, 1, side, side, dtype=torch.float64))
    else:
        found = fields.drawn_gradient(layers, side, seed)
    return (found / found.max().clamp(min=1e-300)).numpy()


def chains(run: Run) -> int:
    """Theory and what a learner sees: a table, and pictures of two chains. How many formulas the gradient confirms."""
    rows, same, shown = [], 0, {}
    for name, layers in fields.chains().items():
        size = fields.window(layers).size
        ones = gradient_of_one(layers, None)
        profile = torch.from_numpy(ones.sum(axis=0))
        shares = fields.shares(layers, SEEDS)
        same += fields.extent(profile) == size
        rows.append([CHAINS.get(name, name), size, fields.extent(profile), f"{fields.effective(profile):.0f}",
                     f"{min(shares):.0%} - {max(shares):.0%}", f"{np.mean(shares):.0%}",
                     f"{sum(share == 0 for share in shares)}"])  # fmt: skip
        alive = [seed for seed, share in enumerate(shares) if share] or [0]
        shown[name] = ones, gradient_of_one(layers, alive[0]), size
    heads = [both("layers", "层"), both("formula", "公式"), both("weights of one", "权重全为 1"),
             both("effective, 4 s.d.", "有效感受野（4 个标准差）"),
             both(f"random, {SEEDS} seeds", f"随机权重，{SEEDS} 个种子"), both("mean", "平均"),
             both("seeds that show nothing", "什么也看不到的种子数")]  # fmt: skip
    run.table("chains", heads, rows, both(
        "Who tries it with a network as it is sees less than the field, or nothing: where the one unit that is asked "
        "rests (ReLU at 0), no gradient passes at all, and of each pooling window only the winner gets one. With equal "
        "weights, no activation and means in place of maxima the gradient reaches exactly as far as the formula says. "
        "Effective: within 4 standard deviations of the gradient's weight lies most of what counts; pixels at the rim "
        "of a large field are reached by few paths.",
        "直接拿一个网络来试，看到的范围往往小于感受野，甚至什么也没有：被问的那个单元若处于 ReLU 的零区，就没有任何梯"
        "度；每个池化窗口又只有最大者得到梯度。把权重设为相等、去掉激活、最大池化换成平均池化，梯度的范围就恰好等于公"
        "式。“有效感受野”指梯度分布 4 个标准差的宽度：大感受野的边缘只有很少的路径能到达。"))  # fmt: skip
    figure, axes = plots.figure(2, len(shown), width=10.5, height=2.1)
    for column, (name, (ones, random, size)) in enumerate(shown.items()):
        for row, amounts in enumerate((ones, random)):
            axis = axes[row, column]
            inside = np.flatnonzero(ones.sum(axis=0))
            cut = slice(max(inside[0] - size // 4 - 1, 0), inside[-1] + size // 4 + 2)
            axis.imshow(np.ma.masked_equal(amounts[cut, cut], 0) ** 0.4, cmap="Blues", vmin=-0.4, vmax=1)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_facecolor("#eeeeee")
            axis.grid(False)
        axes[0, column].set_title(f"{name}\n{size}", fontsize=8, fontweight="normal", loc="center")
    axes[0, 0].set_ylabel("weights of one", fontsize=8)
    axes[1, 0].set_ylabel("random, ReLU, max", fontsize=8)
    figure.tight_layout(pad=0.4)
    run.figure("fields", figure, both(
        "Where the gradient of the place in the middle reaches: above through equal weights, below through random "
        "ones, ReLU and max pooling (a seed at which anything is to be seen). Colours are the 0.4th power.",
        "中央位置的梯度能到达哪里：上排权重相等，下排为随机权重加 ReLU 与最大池化（取一个能看到东西的种子）。颜色为 "
        "0.4 次幂。"))  # fmt: skip
    return same


def show(run: Run, names: Sequence[str]) -> dict[str, int]:
    """Fields and savings; how many networks and chains have the field of the formula."""
    found = {"fields": field_of_all(run, names) + chains(run)}
    savings.table(run)
    return found

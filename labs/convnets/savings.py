"""How a convolution is made cheaper (section 52): ways to do a 3 x 3 or 7 x 7 on the same maps, and what each costs."""

from __future__ import annotations

import torch
from torch import nn

from labkit.base.language import Both, both, each
from labkit.runs.run import Run
from labs.convnets.counting import by_hand
from labs.convnets.fields import window
from labs.convnets.ways import Shuffle

CHANNELS, SIDE = 64, 32


def plain(size: int, stride: int = 1, groups: int = 1, dilation: int = 1, inputs: int = CHANNELS,
          outputs: int = CHANNELS) -> nn.Conv2d:  # fmt: skip
    return nn.Conv2d(inputs, outputs, size, stride, dilation * (size // 2), dilation, groups, bias=False)


def ways() -> list[tuple[Both | str, str, nn.Sequential]]:
    """(what, what it is compared with, the layers): all from 64 maps to 64 maps."""
    quarter = CHANNELS // 4
    return [
        ("7 x 7", "7 x 7", nn.Sequential(plain(7))),
        (both("3 x 3 three times", "3 x 3 三次"), "7 x 7", nn.Sequential(plain(3), plain(3), plain(3))),
        ("5 x 5", "5 x 5", nn.Sequential(plain(5))),
        (both("3 x 3 twice", "3 x 3 两次"), "5 x 5", nn.Sequential(plain(3), plain(3))),
        ("3 x 3", "3 x 3", nn.Sequential(plain(3))),
        (both("3 x 3 in 4 groups", "3 x 3，4 组"), "3 x 3", nn.Sequential(plain(3, groups=4))),
        (both("depthwise 3 x 3, then 1 x 1", "逐通道 3 x 3，再 1 x 1"),
         "3 x 3", nn.Sequential(plain(3, groups=CHANNELS), plain(1))),
        (both("the same, 1 x 1 in 4 groups, shuffle", "同上，1 x 1 分 4 组再 shuffle"), "3 x 3",
         nn.Sequential(plain(3, groups=CHANNELS), plain(1, groups=4), Shuffle(4))),
        (both("1 x 1 to a quarter, 3 x 3, 1 x 1 back", "1 x 1 减到四分之一，3 x 3，1 x 1 还原"), "3 x 3",
         nn.Sequential(plain(1, outputs=quarter), plain(3, inputs=quarter, outputs=quarter), plain(1, inputs=quarter))),
        (both("pool 2 x 2, then 3 x 3", "先 2 x 2 池化，再 3 x 3"), "3 x 3", nn.Sequential(nn.MaxPool2d(2), plain(3))),
        (both("3 x 3, stride 2", "3 x 3，步幅 2"), "3 x 3", nn.Sequential(plain(3, stride=2))),
        (both("3 x 3, dilation 2", "3 x 3，dilation 2"), "3 x 3", nn.Sequential(plain(3, dilation=2))),
    ]  # fmt: skip


def table(run: Run) -> None:
    """Parameters, MACs and field of each, beside what it stands for."""
    maps, rows = torch.zeros(1, CHANNELS, SIDE, SIDE), []
    cost = {each(what)["en"]: by_hand(layers, maps) for what, _, layers in ways()}
    for what, like, layers in ways():
        of, than = cost[each(what)["en"]], cost[like]
        rows.append([what, f"{of.parameters:,}", f"{of.parameters / than.parameters:.2f}", f"{of.macs / 1e6:.2f}",
                     f"{of.macs / than.macs:.2f}", like, f"{of.numbers:,}", window(layers).size])  # fmt: skip
    heads = [both("layers", "层"), both("weights", "权重数"), both("ratio", "比值"), both("MACs, million", "MAC，百万"),
             both("ratio", "比值"), both("of", "相对于"), both("numbers kept", "保存的数"), both("field", "感受野")]
    run.table("savings", heads, rows, both(
        f"From {CHANNELS} maps of {SIDE} x {SIDE} to {CHANNELS}, without biases. The notes list pooling and stride 2 "
        "among what saves weights at the same field: they save MACs alone, and widen the field of all that follows. "
        "The shuffle has no weights and saves nothing either; the groups before it do, and it mends what they part.",
        f"从 {CHANNELS} 张 {SIDE} x {SIDE} 的特征图到 {CHANNELS} 张，不含偏置。笔记把 Pooling 和 Stride=2 也列为“感受野"
        "不变、减少参数量”的办法：它们只减少 MAC，不减少权重，而且会扩大其后各层的感受野。通道 shuffle 本身没有权重，"
        "也不节省什么；节省的是它前面的分组，shuffle 只是把各组重新连通。"))  # fmt: skip

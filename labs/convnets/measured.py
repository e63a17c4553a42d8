"""The networks beside each other: what each costs by count, and what it takes on this machine."""

from __future__ import annotations

from typing import Sequence

import numpy as np
import torch
from torch import nn

from labkit.base.language import both, joined
from labkit.runs import plots
from labkit.runs.run import Run
from labs.convnets import counting, timing
from labs.convnets.zoo import KINDS

MEGA = 1e6


def built(name: str, width: float = 1, classes: int = 10) -> nn.Sequential:
    """The network with the weights that PyTorch draws; the random state of the run stays as it is."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return KINDS[name].build(classes, width)


def costs(run: Run, names: Sequence[str]) -> int:
    """Weights, MACs, FLOPs and memory of every network, by hand; on how many fvcore counts the same MACs."""
    image, rows, same = torch.zeros(1, 3, 32, 32), [], 0
    for name in names:
        network = built(name)
        found, theirs = counting.by_hand(network, image), counting.by_fvcore(network, image)
        held = sum(weight.numel() for weight in network.parameters())
        same += found.macs == theirs and found.parameters == held
        rows.append([KINDS[name].title, f"{found.parameters / MEGA:.3f}", f"{found.macs / MEGA:.2f}",
                     f"{theirs / MEGA:.2f}", f"{found.flops / MEGA:.1f}", f"{4 * found.numbers / MEGA:.2f}",
                     f"{16 * found.parameters / MEGA:.1f}"])  # fmt: skip
    heads = [both("network", "网络"), both("weights, million", "权重，百万"), both("MACs, million", "MAC，百万"),
             both("fvcore", "fvcore"), both("FLOPs, million", "FLOP，百万"),
             both("outputs, MB", "各层输出，MB"), both("weights and Adam, MB", "权重与 Adam，MB")]  # fmt: skip
    run.table("costs", heads, rows, both(
        f"One image of 32 x 32, ten classes. By hand and by fvcore agree on {same} of {len(rows)}. A MAC is a product "
        "and its sum, two FLOPs; what fvcore calls flops are MACs, which is why two tables of one network differ by "
        "2. Memory of a training is what all layers put out, times the batch, and of each weight four numbers: "
        "itself, its gradient and two of Adam's.",
        f"一张 32 x 32 的图，十类。手算与 fvcore 在 {len(rows)} 个网络中有 {same} 个一致。一次 MAC 是一次乘法加一次加"
        "法，合 2 次 FLOP；fvcore 所说的 flops 其实是 MAC，所以同一网络的两张表会相差一倍。训练占的内存，一是各层输出"
        "乘以 batch，二是每个权重四个数：本身、梯度、Adam 的两个动量。"))  # fmt: skip
    return same


def times(run: Run, names: Sequence[str], batch: int, repeats: int) -> None:
    """Take the time of a step of every network; the table, and the plot of time over MACs."""
    images = torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(run.seed)).to(run.device)
    able = timing.dtypes(run.device)
    rows, points = [], []
    for number, name in enumerate(names, start=1):
        network = built(name).to(run.device)
        best, *others = timing.fastest(network, images, repeats)
        found = counting.by_hand(network, images[:1])
        each = 1000 / batch
        run.time(number, **{f"{name}_forward_ms": best.forward * each, f"{name}_backward_ms": best.backward * each})
        other = f"{others[0].step * each:.2f}" if others else ""
        rows.append([KINDS[name].title, KINDS[name].year, KINDS[name].idea, f"{found.parameters / MEGA:.2f}",
                     f"{found.macs / MEGA:.1f}", f"{best.forward * each:.2f}", f"{best.backward * each:.2f}",
                     str(best.dtype).split(".")[1], other,
                     f"{3 * found.macs / best.step / 1e9 * batch:.1f}"])  # fmt: skip
        points.append((name, found.macs / MEGA, best.step * each))
        del network
    heads = [both("network", "网络"), both("year", "年份"), both("its idea", "要点"),
             both("weights, million", "权重，百万"), both("MACs, million", "MAC，百万"),
             both("forward, ms", "前向，毫秒"), both("backward, ms", "反向，毫秒"),
             both("in", "数据类型"), both("the other dtype, ms", "另一类型，毫秒"), both("GMAC/s",
                                                                                         "十亿 MAC/秒")]  # fmt: skip
    only = both("", "") if len(able) > 1 else both(
        " This machine has no instructions for bfloat16, so float32 alone was tried.",
        "本机没有 bfloat16 指令，因此只测了 float32。")  # fmt: skip
    about = both(
        f"Measured here, milliseconds an image, in training, {batch} images in a step, the shortest of {repeats}: "
        f"times differ from run to run and "
        "from machine to machine. The last column counts a step as three forwards' MACs. Few MACs are not fast: "
        "depthwise and grouped convolutions, and many small layers, have little to compute on what they fetch.",
        f"在本机实测，单位为每图毫秒：训练模式，每步 {batch} 张图，取 {repeats} 次中最短者；每次运行、每台机器都会不"
        f"同。最后一列把一步算作三次前向的 "
        "MAC。MAC 少不等于快：逐通道卷积、分组卷积和大量小层，取来的数据多，能做的运算少。")  # fmt: skip
    run.table("networks", heads, rows, joined("", [about, only]))
    run.figure("time-over-macs", over_macs(points), both(
        "Time of a step over MACs, both in logarithms; the line is the speed of the network that makes the most of its "
        "MACs. What lies above it takes longer than its MACs say: by how much is said beside its name.",
        "一步的时间与 MAC（均为对数坐标）；直线是 MAC 利用率最高的网络的速度。在线上方的网络比 MAC 数所示的更慢，"
        "图例写明慢多少倍。"))  # fmt: skip


def over_macs(points: Sequence[tuple[str, float, float]]) -> plots.Figure:
    """Points (name, million MACs, milliseconds) and the line of the fastest."""
    figure, axes = plots.figure(1, 1, width=8.0, height=4.6)
    axis = axes[0, 0]
    best = min(ms / macs for _, macs, ms in points)
    reach = np.array([min(macs for _, macs, _ in points), max(macs for _, macs, _ in points)])
    axis.plot(reach, best * reach, color="#999999", linewidth=1.0)
    for number, (name, macs, ms) in enumerate(sorted(points, key=lambda point: -point[2] / point[1])):
        colour = plots.COLOURS[number % len(plots.COLOURS)]
        marker = "o" if number < len(plots.COLOURS) else "s"
        axis.plot(macs, ms, marker, color=colour, label=f"{KINDS[name].title} x{ms / macs / best:.1f}")
    axis.legend(fontsize=7.5, loc="lower right")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("million MACs an image")
    axis.set_ylabel("forward and backward, ms an image")
    axis.margins(x=0.15)
    figure.tight_layout()
    return figure

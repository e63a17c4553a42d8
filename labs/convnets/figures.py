"""The pictures of the layers: what each reads, checkerboards, batch statistics; computed, not drawn."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import nn
from torch.nn import functional as F
from torchvision import ops

from labkit.base.language import both
from labkit.runs import plots
from labkit.runs.run import Run
from labs.convnets.ways import Shuffle

CHANNELS, SIDE = 4, 7
Layer = Callable[[torch.Tensor], torch.Tensor]


def deformable(x: torch.Tensor) -> torch.Tensor:
    """3 x 3 taps that are moved apart and along a bow; by whole pixels, so that each reads one."""
    offset = torch.zeros(1, 18, SIDE, SIDE)
    for tap in range(9):
        offset[:, 2 * tap] = (tap % 3 - 1) ** 2
        offset[:, 2 * tap + 1] = tap % 3 - 1
    layer = ops.DeformConv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
    made: torch.Tensor = layer(x, offset)
    return made


def kinds() -> list[tuple[str, Layer]]:
    """Layers on maps (1, 4, 7, 7), by the title that the picture has."""

    def conv(size: int, **more: Any) -> nn.Module:
        return nn.Conv2d(CHANNELS, CHANNELS, size, bias=False, **more)

    return [
        ("3 x 3", conv(3, padding=1)),
        ("1 x 1", conv(1)),
        ("3 x 3, 2 groups", conv(3, padding=1, groups=2)),
        ("depthwise 3 x 3", conv(3, padding=1, groups=4)),
        ("depthwise, then 1 x 1", nn.Sequential(conv(3, padding=1, groups=4), conv(1))),
        ("2 groups, shuffle, 2 groups", nn.Sequential(conv(1, groups=2), Shuffle(2), conv(1, groups=2))),
        ("3 x 3, dilation 2", conv(3, padding=2, dilation=2)),
        ("deformable 3 x 3", deformable),
        ("3 x 3 twice", nn.Sequential(conv(3, padding=1), conv(3, padding=1))),
        ("transposed 3 x 3, stride 2", nn.ConvTranspose2d(CHANNELS, CHANNELS, 3, 2, bias=False)),
        ("transposed 4 x 4, stride 2", nn.ConvTranspose2d(CHANNELS, CHANNELS, 4, 2, bias=False)),
        ("max pooling 3 x 3", nn.MaxPool2d(3, 1, 1)),
        ("average pooling 3 x 3", nn.AvgPool2d(3, 1, 1)),
        ("nearest, x 2", nn.Upsample(scale_factor=2)),
        ("bilinear, x 2", lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)),
        ("ReLU", nn.ReLU()),
        ("batch norm, training", nn.BatchNorm2d(CHANNELS)),
        ("batch norm, eval", nn.BatchNorm2d(CHANNELS).eval()),
        ("mean over places", nn.AdaptiveAvgPool2d(1)),
        ("linear", nn.Sequential(nn.Flatten(), nn.Linear(CHANNELS * SIDE * SIDE, 1, bias=False))),
    ]  # fmt: skip


def reads(layer: Layer) -> np.ndarray:
    """Which inputs the output in the middle of channel 0 depends on: |gradient| (4, 7, 7), its largest value 1."""
    x = torch.rand(1, CHANNELS, SIDE, SIDE) + 0.1
    x.requires_grad_()
    y = layer(x)
    places = tuple(size // 2 for size in y.shape[2:])
    y[0, 0][places].backward()
    found = x.grad[0].abs()
    return (found / found.max()).numpy()


def reading(seed: int) -> Figure:
    """For each layer the four channels of its input, coloured by how much the output in the middle hangs on them."""
    shown = kinds()
    figure, axes = plots.figure(4, 5, width=9.5, height=2.15)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        found = [reads(layer) for _, layer in shown]
    for axis, (title, _), amounts in zip(axes.flat, shown, found):
        sheet = np.full((2 * SIDE + 1, 2 * SIDE + 1), np.nan)
        for channel, amount in enumerate(amounts):
            top, left = channel // 2 * (SIDE + 1), channel % 2 * (SIDE + 1)
            sheet[top : top + SIDE, left : left + SIDE] = amount
            axis.add_patch(Rectangle((left - 0.5, top - 0.5), SIDE, SIDE, facecolor="#eeeeee", edgecolor="#999999"))
        axis.imshow(np.ma.masked_less(np.nan_to_num(sheet), 1e-6), cmap="Blues", vmin=-0.5, vmax=1, zorder=2)
        axis.set_title(f"{title}: {int((amounts > 1e-6).sum())}", fontsize=8, fontweight="normal", loc="center", pad=3)
        axis.set_axis_off()
    figure.tight_layout(pad=0.5, h_pad=1.0)
    return figure


def show_reading(run: Run) -> None:
    """What one output of every layer reads."""
    run.figure("reads", reading(run.seed), both(
        "What one output reads: the input's four channels of 7 x 7, by the size of the gradient of the output in the "
        "middle of channel 0, and how many of the 196 numbers that are. Max pooling reads one, the largest. In "
        "training batch normalisation reads its whole channel, in eval its own place only.",
        "一个输出读取哪些输入：图中是输入的四个 7 x 7 通道，颜色为第 0 通道中央那个输出对它们的梯度大小，数字为 196 个"
        "数中读到了几个。最大池化只读到一个：最大的那个。BN 训练时读整个通道，eval 时只读自己的位置。"))  # fmt: skip


# ---- checkerboards ----


UPSAMPLERS: dict[str, Callable[[], nn.Module]] = {
    "kernel 3, stride 2": lambda: nn.ConvTranspose2d(1, 1, 3, 2, 1, output_padding=1, bias=False),
    "kernel 4, stride 2": lambda: nn.ConvTranspose2d(1, 1, 4, 2, 1, bias=False),
    "kernel 5, stride 3": lambda: nn.ConvTranspose2d(1, 1, 5, 3, 1, bias=False),
    "kernel 6, stride 3": lambda: nn.ConvTranspose2d(1, 1, 6, 3, 2, output_padding=1, bias=False),
    "nearest x 2, then 3 x 3": lambda: nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(1, 1, 3, 1, 1, bias=False)),
}

WAYS = {
    "kernel 3, stride 2": both("kernel 3, stride 2", "核 3，步幅 2"),
    "kernel 4, stride 2": both("kernel 4, stride 2", "核 4，步幅 2"),
    "kernel 5, stride 3": both("kernel 5, stride 3", "核 5，步幅 3"),
    "kernel 6, stride 3": both("kernel 6, stride 3", "核 6，步幅 3"),
    "nearest x 2, then 3 x 3": both("nearest x 2, then 3 x 3", "最近邻放大 2 倍，再 3 x 3"),
}  # fmt: skip


def weights_set(layer: nn.Module, seed: int | None) -> nn.Module:
    """All weights 1, or with a `seed` drawn around 1: as kernels are that have learned to be smooth, but not quite."""
    random = torch.Generator().manual_seed(seed or 0)
    for weight in layer.parameters():
        drawn = torch.ones_like(weight) if seed is None else 1 + 0.3 * torch.randn(weight.shape, generator=random)
        weight.data = drawn
    return layer


def rest(image: torch.Tensor) -> float:
    """How uneven (H, W) is away from its rim: deviation by mean."""
    inner = image[6:-6, 6:-6]
    return float(inner.std() / inner.mean())


def checkerboards(seeds: int = 50) -> dict[str, tuple[torch.Tensor, float, float]]:
    """An even grey image through each way to enlarge it.

    By name: the result (H, W) with random weights around 1, how uneven it is with weights of one, and the mean
    over `seeds` draws of how uneven it is with random ones.
    """
    grey, made = torch.ones(1, 1, 12, 12), {}
    with torch.no_grad():
        for name, build in UPSAMPLERS.items():
            even = rest(weights_set(build(), None)(grey)[0, 0])
            drawn = [weights_set(build(), seed)(grey)[0, 0] for seed in range(1, seeds + 1)]
            made[name] = (drawn[0], even, float(np.mean([rest(image) for image in drawn])))
    return made


def show_checkerboards(run: Run) -> None:
    """The even image enlarged, as pictures and as numbers."""
    found = checkerboards()
    figure, axes = plots.figure(1, len(found), width=9.5, height=2.2)
    for axis, (name, (image, even, _)) in zip(axes[0], found.items()):
        inner = image[6:-6, 6:-6].numpy()
        axis.imshow(inner / inner.mean(), cmap="gray", vmin=0, vmax=2)
        axis.set_title(f"{name}\nones: {even:.0%}", fontsize=8, fontweight="normal", loc="center")
        axis.set_axis_off()
    figure.tight_layout()
    run.figure("checkerboard", figure, both(
        "An even grey image, enlarged with weights drawn around 1. Where the stride does not divide the kernel, "
        "outputs get different numbers of stamps, even with weights of one (the number above). Where it does, that "
        "part is gone, and what the weights themselves do is left; enlarging first and convolving then leaves the "
        "image even.",
        "一张均匀的灰图，用 1 附近的随机权重放大。步幅除不尽卷积核时，各输出收到的“盖章”次数不同，权重全为 1 也不均匀"
        "（上方数字）；除得尽时这一部分消失，只剩权重本身造成的不均匀。先放大再卷积，则处处均匀。"))  # fmt: skip
    heads = [both("way to enlarge", "放大方式"), both("weights of one", "权重全为 1"),
             both("weights around 1, mean of 50", "1 附近的随机权重，50 次平均")]  # fmt: skip
    run.table("checkerboard", heads, [[WAYS[name], f"{even:.1%}",
                                       f"{drawn:.1%}"] for name, (_, even, drawn) in found.items()],
              both("How uneven an even image becomes: standard deviation by mean, away from the rim.",
                   "均匀的图变得多不均匀：标准差除以均值（不计边缘）。"))  # fmt: skip


# ---- batch normalisation in small batches ----


def gaps(seed: int, sizes: tuple[int, ...] = (2, 4, 8, 16, 32, 64, 128)) -> tuple[tuple[int, ...], list[float]]:
    """How far a batch's own mean is from the true one, in deviations: (sizes, root mean square of 500 batches)."""
    random = np.random.RandomState(seed)
    return sizes, [float(np.sqrt((random.randn(500, size).mean(axis=1) ** 2).mean())) for size in sizes]


def batch_statistics(run: Run) -> None:
    """Small batches, and one channel before and after."""
    figure, axes = plots.figure(1, 3, width=10.0, height=2.8)
    sizes, far = gaps(run.seed)
    axes[0, 0].loglog(sizes, far, "o", label="500 batches each")
    axes[0, 0].loglog(sizes, 1 / np.sqrt(sizes), label="1 / root of the size")
    axes[0, 0].set_xticks(sizes)
    axes[0, 0].set_xticklabels(sizes)
    axes[0, 0].set_yticks([0.1, 0.2, 0.5])
    axes[0, 0].set_yticklabels(["0.1", "0.2", "0.5"])
    axes[0, 0].minorticks_off()
    axes[0, 0].set_xlabel("values in a batch")
    axes[0, 0].set_ylabel("error of the mean, deviations")
    axes[0, 0].legend(fontsize=8)
    axes[0, 0].set_title("small batches")
    random = np.random.RandomState(run.seed)
    values = np.where(random.rand(4000) < 0.7, random.gamma(2, 1, 4000), 12 + random.randn(4000))
    after = nn.BatchNorm1d(1)(torch.from_numpy(values).float().unsqueeze(1)).detach().numpy()
    for axis, shown, title in ((axes[0, 1], values, "before"), (axes[0, 2], after, "after")):
        axis.hist(shown, 80, color=plots.COLOURS[0])
        axis.set_title(f"{title}: mean {abs(shown.mean()):.1f}, variance {shown.var():.1f}", fontsize=9)
        axis.set_xlabel("value")
        axis.set_ylabel("how many")
    figure.tight_layout()
    run.figure("batch-norm", figure, both(
        "Left: the fewer values a channel has in a batch, the more its mean is chance, and that chance goes into every "
        "image of the batch. Right: the notes say that the values are pulled to a normal distribution with mean 0 and "
        "variance 0. They are moved and scaled to mean 0 and variance 1; two humps stay two humps.",
        "左：一个 batch 里每通道的值越少，均值越靠运气，而这份运气会传给同批的每张图。右：笔记说把分布拉回到"
        "“均值为0方差为0的标准正态分布”；其实只是平移和缩放到均值 0、方差 1，两个峰仍是两个峰。"))  # fmt: skip

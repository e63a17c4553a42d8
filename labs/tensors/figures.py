"""The pictures of the report, each drawn from what the tensors really hold."""

from __future__ import annotations

import math
from typing import Any, Callable

import numpy as np
import torch
from matplotlib.figure import Figure

from labkit.base.language import Both, both
from labkit.runs import plots
from labkit.runs.run import Run

BLUE, ORANGE, GREEN = "#0072b2", "#e69f00", "#009e73"


def cells(axes: Any, values: torch.Tensor, title: str, colours: torch.Tensor | None = None) -> None:
    """A matrix as a table: each number in its cell, coloured by `colours` (default: by itself)."""
    shade = values if colours is None else colours
    axes.imshow(
        shade.numpy().astype(float), cmap="Blues", vmin=0, vmax=max(float(shade.max()) * 1.8, 1), aspect="equal"
    )
    for (i, j), value in np.ndenumerate(values.numpy()):
        axes.text(j, i, f"{value:g}", ha="center", va="center", fontsize=9)
    axes.set_title(title, fontsize=9)
    axes.set_xlim(-0.5, max(values.shape[1], 4) - 0.5)  # all cells of a figure are of one size
    axes.set_ylim(max(values.shape[0], 4 if len(values) > 1 else 1) - 0.5, -0.5)
    axes.set_axis_off()


def broadcasting() -> Figure:
    figure, axes = plots.figure(1, 3, width=8, height=2.4)
    column, row = torch.arange(3).view(3, 1) * 10, torch.arange(4).view(1, 4)
    cells(axes[0, 0], column.expand(3, 4), "(3, 1) as (3, 4)")
    cells(axes[0, 1], row.expand(3, 4), "(1, 4) as (3, 4)")
    cells(axes[0, 2], column + row, "the sum is (3, 4)")
    return figure


def strides() -> Figure:
    """Where in memory the numbers of x, of x.t() and of x[:, ::2] lie."""
    figure, axes = plots.figure(1, 3, width=8, height=2.6)
    x = torch.arange(12).view(3, 4)
    for place, (name, view) in zip(axes[0], (("x", x), ("x.t()", x.t()), ("x[:, ::2]", x[:, ::2]))):
        cells(place, view, f"{name}: strides {view.stride()}")
    return figure


def views() -> Figure:
    """One block of memory, and what three views of it see."""
    figure, axes = plots.figure(4, 1, width=8, height=0.75)
    x = torch.arange(12).view(3, 4)
    seen = (("the block", x), ("x[1]", x[1]), ("x[:, 2]", x[:, 2]), ("x[1:, 1:3]", x[1:, 1:3]))
    for place, (name, view) in zip(axes[:, 0], seen):
        mask = torch.zeros(1, 12)
        mask[0, view.flatten()] = 1.0
        cells(place, x.view(1, 12), f"{name}: starts at {view.storage_offset()}, strides {view.stride()}", mask)
    figure.tight_layout()
    return figure


def gather() -> Figure:
    figure, axes = plots.figure(1, 3, width=8, height=2.6)
    x, index = torch.arange(12).view(3, 4), torch.tensor([[0, 3], [1, 1], [2, 0]])
    taken = torch.zeros(3, 4).scatter_(1, index, 1.0)
    cells(axes[0, 0], x, "x", taken)
    cells(axes[0, 1], index, "index", torch.zeros(3, 2))
    cells(axes[0, 2], x.gather(1, index), "x.gather(1, index)", torch.ones(3, 2))
    return figure


def histogram() -> Figure:
    """A picture of two discs on a ramp, and how often each grey level is there."""
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(96.0))
    picture = 60 + x / 2
    picture[(x - 30) ** 2 + (y - 48) ** 2 < 300] = 200
    picture[(x - 66) ** 2 + (y - 48) ** 2 < 300] = 20
    picture = (picture + 4 * torch.randn(96, 96, generator=torch.Generator().manual_seed(0))).clamp(0, 255)
    figure, axes = plots.figure(1, 2, width=8, height=2.8)
    axes[0, 0].imshow(picture.numpy(), cmap="gray", vmin=0, vmax=255)
    axes[0, 0].set_axis_off()
    axes[0, 1].bar(np.arange(64) * 4 + 2, torch.histc(picture, 64, 0, 256).numpy(), width=4, color=BLUE)
    axes[0, 1].set_xlabel("grey level")
    axes[0, 1].set_ylabel("pixels")
    return figure


def estimators() -> Figure:
    """Both estimates of d/dmu E[x^2] at mu = 1.5, as more and more draws are averaged."""
    generator, mu = torch.Generator().manual_seed(1), 1.5
    noise = torch.randn(3000, generator=generator)
    x, count = mu + noise, torch.arange(1.0, 3001)
    figure, axes = plots.figure()
    axes[0, 0].plot((x**2 * noise).cumsum(0).div(count).numpy(), color=ORANGE, label="score function")
    axes[0, 0].plot((2 * x).cumsum(0).div(count).numpy(), color=BLUE, label="pathwise")
    axes[0, 0].axhline(2 * mu, color="gray", lw=1, ls="--", label="2 mu")
    axes[0, 0].set_ylim(0, 6)
    axes[0, 0].set_xlabel("draws averaged")
    axes[0, 0].legend()
    return figure


def two_classes() -> tuple[torch.Tensor, torch.Tensor]:
    """(400, 2): two long thin clouds beside each other, the first 200 points are of the first one. And the labels."""
    generator = torch.Generator().manual_seed(2)
    cloud = torch.randn(400, 2, generator=generator) @ torch.tensor([[3.0, 1.2], [0.0, 0.5]])
    labels = (torch.arange(400) >= 200).float()
    return cloud + labels[:, None] * torch.tensor([0.0, 3.0]) - torch.tensor([0.0, 1.5]), labels


def pca_direction(x: torch.Tensor) -> torch.Tensor:
    """(2,): the direction of the most variance, by SVD."""
    return torch.svd(x - x.mean(dim=0))[2][:, 0]


def lda_direction(x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(2,): inv(Sw) (difference of the means), which is what LDA comes to for two classes."""
    one, other = x[labels == 0], x[labels == 1]
    within = sum((part - part.mean(dim=0)).t() @ (part - part.mean(dim=0)) for part in (one, other))
    w = torch.inverse(within) @ (other.mean(dim=0) - one.mean(dim=0))
    return w / w.norm()


def pca_and_lda() -> Figure:
    x, labels = two_classes()
    figure, axes = plots.figure(1, 3, width=9, height=3)
    directions = (("PCA", pca_direction(x)), ("LDA", lda_direction(x, labels)))
    for kind, colour in ((0, BLUE), (1, ORANGE)):
        axes[0, 0].scatter(*x[labels == kind].t().numpy(), s=4, color=colour)
        for place, (_, direction) in zip(axes[0, 1:], directions):
            place.hist((x[labels == kind] @ direction).numpy(), bins=30, color=colour, alpha=0.6)
    for name, direction in directions:
        (a, b), colour = (5 * direction).tolist(), GREEN if name == "LDA" else "black"
        axes[0, 0].plot([-a, a], [-b, b], color=colour, label=name)
    axes[0, 0].set_aspect("equal")
    axes[0, 0].legend()
    axes[0, 1].set_title("along PCA: the classes mix", fontsize=9)
    axes[0, 2].set_title("along LDA: they part", fontsize=9)
    return figure


def spectrum() -> Figure:
    t = torch.arange(128.0) / 128
    x = torch.sin(2 * math.pi * 5 * t) + 0.5 * torch.sin(2 * math.pi * 20 * t)
    size = np.abs(np.fft.rfft(x.numpy())) if not hasattr(torch, "linalg") else torch.fft.rfft(x).abs().numpy()
    figure, axes = plots.figure(1, 2, width=8, height=2.6)
    axes[0, 0].plot(t.numpy(), x.numpy(), color=BLUE)
    axes[0, 0].set_xlabel("seconds")
    axes[0, 1].bar(np.arange(len(size)), size / 64, color=ORANGE)
    axes[0, 1].set_xlabel("cycles per second")
    return figure


FIGURES: dict[str, tuple[Callable[[], Figure], Both]] = {
    "strides": (strides, both("A view is other strides on the same numbers: nothing moved.",
                              "视图只是同一批数上的另一组 stride：数据没有移动。")),
    "broadcasting": (broadcasting, both("Broadcasting: what is of size 1 is read again and again.",
                                        "广播：大小为 1 的那一维被反复读取。")),
    "views": (views, both("What three views see of one block of memory.", "三个视图各看到同一块内存的哪些位置。")),
    "gather": (gather, both("gather: in each row of x, the columns that the same row of index names.",
                            "gather：在 x 的每一行里，取 index 同一行所指的列。")),
    "histogram": (histogram, both("A picture and its grey histogram: each disc is a peak, the ramp a plateau.",
                                  "一幅图与它的灰度直方图：每个圆盘是一个峰，渐变的背景是一片平台。")),
    "estimators": (estimators, both("Two ways to the same slope: the score function takes far longer to settle.",
                                    "估计同一个导数的两种方法：得分函数要慢得多才稳定下来。")),
    "pca-and-lda": (pca_and_lda, both("PCA looks for variance, and knows no classes; LDA looks for what parts them.",
                                      "PCA 只找方差最大的方向，不知道类别；LDA 找的是把类别分开的方向。")),
    "spectrum": (spectrum, both("Two tones, and their spectrum: 5 with amplitude 1, 20 with amplitude 1/2.",
                                "两个频率的叠加与它的频谱：5 Hz 振幅 1，20 Hz 振幅 1/2。")),
}  # fmt: skip

# The sections after which they come, by the English title of the group.
AFTER = {
    "Attributes: dtype, device, layout; sparse tensors": ("strides",),
    "Broadcasting": ("broadcasting",),
    "Statistics": ("histogram",),
    "torch.distributions": ("estimators",),
    "Decompositions": ("pca-and-lda",),
    "Indexing and picking": ("gather", "views"),
    "Spectra": ("spectrum",),
}


def draw(run: Run, name: str) -> None:
    made, caption = FIGURES[name]
    run.figure(name, made(), caption)

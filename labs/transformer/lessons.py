"""The part attention: what is equal to what, why the root, masks, places as rotations, and what attention costs."""

from __future__ import annotations

import time
from typing import Any, Callable

import torch
from torch import nn

from labkit.base.console import say
from labkit.base.language import both
from labkit.runs import claims, plots
from labkit.runs.run import Run
from labs.transformer import positions
from labs.transformer.attention import MultiHeadAttention, past, words_of
from labs.transformer.config import Sizes
from labs.transformer.networks import LeftToRight, write
from labs.transformer.oracles import CLAIMS

WIDTHS = (4, 8, 16, 32, 64, 128, 256, 512, 1024)
KEYS, QUERIES = 64, 500  # of the entropies
LENGTHS = (16, 32, 64, 128, 256, 512, 1024)
COST_WIDTH, KERNEL = 64, 3
WRITTEN = (32, 96)  # words with the cache and without
SEQUENCES = 64


def show(run: Run) -> dict[str, float]:
    """All tables and figures; how many claims hold, and how many times as fast the cache makes 96 words."""
    found = {"claims": float(claims.show(run, CLAIMS))}
    scale(run)
    masks(run)
    places(run)
    lengths = LENGTHS[:3] if run.smoke else LENGTHS
    costs(run, lengths)
    found["cache_times"] = cache(run, (8, 16) if run.smoke else WRITTEN)
    return found


def spread(width: int) -> tuple[float, float, float, float]:
    """Of drawn queries and keys of `width` numbers: the variance of q · k, and of q · k / √width; the entropies.

    Entropies are of the softmax over KEYS keys, nats, means over QUERIES queries.
    """
    random = torch.Generator().manual_seed(width)
    scores = torch.randn(QUERIES, width, generator=random) @ torch.randn(KEYS, width, generator=random).t()
    found = []
    for one in (scores, scores / width**0.5):
        logs = torch.log_softmax(one, dim=1)
        found += [float(one.var()), float(-(logs.exp() * logs).sum(dim=1).mean())]
    return found[0], found[2], found[1], found[3]


def scale(run: Run) -> None:
    """Why the scores are divided by the root of the width."""
    figure, axes = plots.figure(1, 2, width=10, height=3.0)
    rows = [spread(width) for width in WIDTHS]
    for axis, parts, title in ((axes[0, 0], (0, 1), "variance of the scores"),
                               (axes[0, 1], (2, 3), "entropy of the weights, nats")):  # fmt: skip
        for part, label in zip(parts, ("q · k", "q · k / √d")):
            axis.plot(WIDTHS, [row[part] for row in rows], "o-", label=label)
        axis.set_title(title)
        axis.set_xscale("log")
        axis.set_xlabel("width d of a head")
    axes[0, 0].set_yscale("log")
    axes[0, 1].axhline(float(torch.tensor(float(KEYS)).log()), color="#999999", linestyle=":", linewidth=1)
    axes[0, 1].text(WIDTHS[0], 4.22, f"all {KEYS} keys alike", fontsize=8, va="bottom")
    axes[0, 1].set_ylim(-0.1, 4.7)
    axes[0, 0].legend()
    figure.tight_layout()
    run.figure("scale", figure, both(
        f"Queries and {KEYS} keys of independent normal numbers. Undivided, the variance of a score is the width d, "
        "and the softmax picks one key: its gradient is nearly 0. Divided by √d the variance is 1 at every width.",
        f"查询与 {KEYS} 个键都是独立的标准正态数。不除时，得分的方差就是宽度 d，softmax 几乎只选一个键，梯度接近 0；"
        "除以 √d 后，任何宽度下方差都是 1。"))  # fmt: skip


def masks(run: Run) -> None:
    """Three masks as pictures: the future, padding, and both."""
    t = 6
    words = words_of(torch.tensor([4]), t)[0, 0].expand(t, t)
    names = [f"w{k + 1}" for k in range(4)] + ["pad", "pad"]
    figure, axes = plots.figure(1, 3, width=9, height=3.1)
    for axis, allowed, title in zip(axes[0], (past(t), words, past(t) & words),
                                    ("no future", "no padding", "neither")):  # fmt: skip
        axis.imshow(allowed.double().numpy(), cmap="Blues", vmin=0, vmax=1.6)
        axis.set_xticks(range(t))
        axis.set_yticks(range(t))
        axis.set_xticklabels(names, fontsize=8)
        axis.set_yticklabels(names, fontsize=8)
        axis.set_title(title)
        axis.set_xlabel("is looked at (key)")
        axis.grid(False)
        for row in range(t):
            for column in range(t):
                axis.text(column, row, "1" if allowed[row, column] else "0", ha="center", va="center", fontsize=8,
                          color="white" if allowed[row, column] else "#999999")  # fmt: skip
    axes[0, 0].set_ylabel("looks (query)")
    figure.tight_layout()
    run.figure("masks", figure, both(
        "Who may look at whom: 1 is True for attend and F.scaled_dot_product_attention; nn.MultiheadAttention wants "
        "the opposite, True where nothing may be seen. What stands in the rows of padding is never used.",
        "谁可以看谁：对 attend 与 F.scaled_dot_product_attention，1 即 True；nn.MultiheadAttention 要相反的：True 表"
        "示看不见。填充行的结果不会被用到。"))  # fmt: skip


def places(run: Run) -> None:
    """The encoding of places, the rotation that leads k places further, and what is left of it in a product."""
    size, k = 32, 3
    encoded = positions.sinusoidal(torch.arange(64), size)
    turn = positions.rotation(k, 8)
    figure, axes = plots.figure(1, 3, width=11, height=3.2)
    axes[0, 0].imshow(encoded.t().numpy(), cmap="RdBu", vmin=-1, vmax=1, aspect="auto")
    axes[0, 0].set_title("sin and cos of each place")
    axes[0, 0].set_xlabel("place p")
    axes[0, 0].set_ylabel("number of PE(p)")
    axes[0, 1].imshow(turn.numpy(), cmap="RdBu", vmin=-1, vmax=1)
    axes[0, 1].set_title(f"R({k}), 8 numbers: PE(p + {k}) = R({k}) PE(p)", fontsize=9)
    for row in range(8):
        for column in range(row // 2 * 2, row // 2 * 2 + 2):
            value = float(turn[row, column])
            axes[0, 1].text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7,
                            color="white" if abs(value) > 0.6 else "#333333")  # fmt: skip
    for p in (10, 30, 50):
        axes[0, 2].plot((encoded @ encoded[p]).numpy(), label=f"p = {p}")
    axes[0, 2].set_title("PE(p) · PE(s): the distance alone", fontsize=9)
    axes[0, 2].set_xlabel("place s")
    axes[0, 2].set_ylim(top=18.5)
    axes[0, 2].legend(fontsize=8, ncol=3, loc="upper center")
    for axis in axes[0, :2]:
        axis.grid(False)
    figure.tight_layout()
    run.figure("places", figure, both(
        "Each pair of numbers turns at its own speed. k places further is the same rotation wherever one begins, so a "
        "layer can learn to look k places back; that is what the notes mean by relative places.",
        "每一对数以自己的速度旋转。向后 k 个位置，不论从哪里开始都是同一个旋转，所以一层网络能学会“往回看 k 个”；笔"
        "记说的“得到相对位置”就是这个意思。"))  # fmt: skip


def seconds(work: Callable[[], Any]) -> float:
    """Of the processor, the shortest of three."""
    taken = []
    for _ in range(3):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


def costs(run: Run, lengths: tuple[int, ...]) -> None:
    """Forward and backward of a GRU, a convolution and attention, by the length of the sequence, side by side."""
    torch.manual_seed(0)
    gru, attention = nn.GRU(COST_WIDTH, COST_WIDTH, batch_first=True), MultiHeadAttention(COST_WIDTH, 4)
    convolution = nn.Conv1d(COST_WIDTH, COST_WIDTH, KERNEL, padding=KERNEL // 2)
    ways: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "GRU": lambda x: gru(x)[0],
        f"convolution of {KERNEL}": lambda x: convolution(x.transpose(1, 2)),
        "attention": lambda x: attention(x),
    }
    figure, axes = plots.figure(1, 2, width=10, height=3.2)
    for name, way in ways.items():
        taken = []
        for length in lengths:
            x = torch.randn(4, length, COST_WIDTH)
            taken.append(1000 * seconds(lambda: way(x).sum().backward()))  # noqa: B023 - used at once
        axes[0, 0].plot(lengths, taken, "o-", label=name)
    paths = {"GRU": [n - 1 for n in lengths],
             f"convolution of {KERNEL}": [-(-(n - 1) // (KERNEL // 2)) for n in lengths],
             "attention": [1 for _ in lengths]}  # fmt: skip
    for name, steps in paths.items():
        axes[0, 1].plot(lengths, steps, "--" if name.startswith("conv") else "-", label=name)
    for axis, title in zip(axes[0], ("milliseconds of the processor", "steps from the first word to the last")):
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_title(title)
        axis.set_xlabel("length of the sequence")
    axes[0, 0].legend(fontsize=8)
    figure.tight_layout()
    run.figure("costs", figure, both(
        f"One layer of width {COST_WIDTH}, 4 sequences, forward and backward, the shortest of three; measured in this "
        "run. Attention needs one step from any word to any other, and work that grows with the square of the length.",
        f"一层，宽度 {COST_WIDTH}，4 个序列，前向加反向，三次取最短；在本次运行中测得。"
        "注意力从任一词到任一词只要一步，代价是工作量"
        "随长度的平方增长。"))  # fmt: skip


@torch.no_grad()
def anew(network: Any, words: torch.Tensor, count: int) -> torch.Tensor:
    """The `count` likeliest words after `words` (N, T), everything read anew for each: (N, count)."""
    t = words.shape[1]
    for _ in range(count):
        words = torch.cat([words, network(words)[:, -1:].argmax(dim=2)], dim=1)
    return words[:, t:]


def cache(run: Run, counts: tuple[int, ...]) -> float:
    """What the cache saves; how many times as fast it is at the largest count."""
    torch.manual_seed(0)
    network = LeftToRight(100, Sizes(1, 1, 128, 2, 4, 0.1), "rotary").eval()
    first, rows, times = torch.randint(100, (SEQUENCES, 1)), [], 0.0
    for count in counts:
        said = []
        taken = []
        for way in (anew, write):
            began = time.process_time()
            said.append(way(network, first, count))
            taken.append(time.process_time() - began)
        same = both("yes", "是") if torch.equal(*said) else both("no", "否")
        times = taken[0] / max(1e-9, taken[1])
        rows.append([count, f"{taken[0]:.2f}", f"{taken[1]:.2f}", f"{times:.1f}", same])
    heads = [both("words", "词数"), both("read anew, seconds", "每次重读，秒"),
             both("with the cache, seconds", "用缓存，秒"), both("times", "倍数"),
             both("same words", "词相同")]  # fmt: skip
    run.table("cache", heads, rows, both(
        f"{SEQUENCES} sequences written word by word, seconds of the processor. Keys and values of what was read do "
        "not change, since no word sees a later one: each new word asks the kept ones.",
        f"{SEQUENCES} 个序列逐词写出，处理器时间。已读部分的键与值不会变（任何词都看不到后面的词），所以新词只需去问"
        "保存下来的键与值。"))  # fmt: skip
    say(f"cache: {times:.1f} times as fast at {counts[-1]} words")
    return times

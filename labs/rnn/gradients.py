"""How the gradient fades with distance, before and after training, and what lets a network remember.

The recall task: the first of `length` symbols is to be said at the end. The adding task (Hochreiter and Schmidhuber
1997): the sum of the two numbers that are marked, one in each half of the sequence.
"""

from __future__ import annotations

import functools
import math
from typing import Any, Mapping

import torch
from torch import nn

from labkit.base.language import Both, both
from labkit.runs import plots
from labkit.runs.run import Run
from labs.rnn.cells import GRU, LSTM, SimpleRNN
from labs.rnn.config import Config
from labs.rnn.training import Training

SYMBOLS, BATCH, HIDDEN = 8, 64, 64
LOOK_EVERY = 20  # steps
JUDGED = 256  # sequences that no training has
FAR = (1, 5, 10, 20, 50, 99)
ADDING = 0.1667  # mean squared error of who always says 1


def cell(name: str, inputs: int, hidden: int = HIDDEN) -> Any:
    """A cell by its name in the tables, with weights drawn now."""
    if name == "gru":
        return GRU(inputs, hidden)
    if name.startswith("lstm"):
        return LSTM(inputs, hidden, forget_bias=float(name.rpartition(" ")[2]) if " " in name else 0.0)
    made = SimpleRNN(inputs, hidden)
    with torch.no_grad():
        if name == "rnn orthogonal":
            nn.init.orthogonal_(made.weight_hh)
        if name == "rnn large":
            made.weight_hh.normal_(0, 1.6 / math.sqrt(hidden))
    return made


CELLS: dict[str, Both] = {
    "rnn": both("simple RNN", "simple RNN"),
    "rnn orthogonal": both("simple RNN, orthogonal U", "simple RNN，U 正交"),
    "rnn large": both("simple RNN, U of N(0, 1.6²/H)", "simple RNN，U ~ N(0, 1.6²/H)"),
    "gru": both("GRU", "GRU"),
    "lstm": both("LSTM, PyTorch's default", "LSTM，PyTorch 默认"),
    "lstm 1": both("LSTM, forget bias 1", "LSTM，遗忘门偏置 1"),
    "lstm 3": both("LSTM, forget bias 3", "LSTM，遗忘门偏置 3"),
}
RECALLING = ("rnn", "gru", "lstm", "lstm 1", "lstm 3")
ADDERS = ("rnn", "gru", "lstm", "lstm 3")


class Reader(nn.Module):
    """A cell and a linear layer on its last state: x (T, N, inputs) to (N, outputs)."""

    def __init__(self, name: str, inputs: int, outputs: int) -> None:
        super().__init__()
        self.cell = cell(name, inputs)
        self.output = nn.Linear(HIDDEN, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        last: torch.Tensor = self.output(self.cell(x)[0][-1])
        return last


# ---- the gradient by distance ----


def by_distance(made: nn.Module, x: torch.Tensor, draws: int = 4) -> torch.Tensor:
    """|d h_T / d x_(T-d)| / |d h_T / d x_T| for d = 0, 1, ...: (T,). x (T, N, I).

    The size of a Jacobian J (Frobenius) is the mean of |v J|² over random v of unit variance: `draws` of them a
    sentence.
    """
    x = x.clone().requires_grad_()
    outputs, _ = made(x)
    random = torch.Generator().manual_seed(0)
    squares = torch.zeros(len(x), dtype=torch.float64)
    for _ in range(draws):
        v = torch.randn(outputs[-1].shape, generator=random).to(outputs.dtype)
        (gradient,) = torch.autograd.grad(outputs[-1], x, v, retain_graph=True)
        squares += (gradient.double() ** 2).sum(dim=(1, 2))
    sizes = squares.sqrt().flip(0)
    return sizes / sizes[0]


def at_the_start(name: str, seed: int, length: int = 100) -> torch.Tensor:
    """Of a cell that has not learned anything, on noise: (length,), in float64."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = cell(name, 32).double()
    x = torch.randn(length, 8, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return by_distance(made, x)


# ---- the two tasks ----


def one_hot(symbols: torch.Tensor) -> torch.Tensor:
    """int64 (T, N) to float32 (T, N, SYMBOLS)."""
    return torch.eye(SYMBOLS)[symbols]


def recall(length: int, seed: int, step: int, count: int = BATCH) -> tuple[torch.Tensor, torch.Tensor]:
    """Random symbols as x (length, count, SYMBOLS), and the first of each sequence (count,)."""
    random = torch.Generator().manual_seed(1_000_003 * (seed + 1) + step)
    symbols = torch.randint(SYMBOLS, (length, count), generator=random)
    return one_hot(symbols), symbols[0]


def adding(length: int, seed: int, step: int, count: int = BATCH) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers of 0..1 and two marks, x (length, count, 2), and the sum of the two marked ones (count,)."""
    random = torch.Generator().manual_seed(1_000_003 * (seed + 1) + step)
    x = torch.stack([torch.rand(length, count, generator=random), torch.zeros(length, count)], dim=2)
    half, columns = length // 2, torch.arange(count)
    first = torch.randint(half, (count,), generator=random)
    second = half + torch.randint(length - half, (count,), generator=random)
    x[first, columns, 1] = 1
    x[second, columns, 1] = 1
    return x, x[first, columns, 0] + x[second, columns, 0]


@torch.no_grad()
def recalled(network: nn.Module, length: int) -> float:
    """The share of sequences, never trained on, whose first symbol it says."""
    x, first = recall(length, 10**6, 0, JUDGED)
    device = next(network.parameters()).device
    return float((network(x.to(device)).argmax(dim=1).cpu() == first).double().mean())


@torch.no_grad()
def added(network: nn.Module, length: int) -> float:
    """The mean squared error on sequences that no training has."""
    x, total = adding(length, 10**6, 0, JUDGED)
    device = next(network.parameters()).device
    return float(((network(x.to(device))[:, 0].cpu() - total) ** 2).mean())


def recalling(config: Config, seed: int) -> list[Training]:
    """Recall by every cell, from as many seeds as are asked for."""
    length, made = config.length, []
    looks = max(1, config.task_steps // LOOK_EVERY)
    for name in RECALLING:
        for number in range(config.repeats):
            own = seed + number
            made.append(Training(
                f"recall/{name}, seed {own}", functools.partial(Reader, name, SYMBOLS, SYMBOLS),
                functools.partial(recall, length, own), config.task_steps, 0.003, 1.0, own, False, False, looks,
                lambda network: recalled(network, length)))  # fmt: skip
    return made


def adding_up(config: Config, seed: int) -> list[Training]:
    """Adding by some cells, and by one network that explodes, clipped and not."""
    length, made = config.length, []
    looks = max(1, config.task_steps // LOOK_EVERY)
    for name in ADDERS:
        made.append(Training(
            f"adding/{name}", functools.partial(Reader, name, 2, 1), functools.partial(adding, length, seed),
            config.task_steps, 0.003, 1.0, seed, False, False, looks,
            lambda network: added(network, length)))  # fmt: skip
    for name, clip in (("clipped", 1.0), ("not clipped", 1e9)):
        made.append(Training(
            f"exploding/{name}", lambda: Reader("rnn large", 2, 1), functools.partial(adding, length, seed),
            min(config.task_steps, 300), 0.1, clip, seed, True, False))  # fmt: skip
    return made


# ---- what it shows ----


def show(run: Run, config: Config, rows: Mapping[str, dict[str, Any]]) -> dict[str, float]:
    """Gradients by distance, before and after learning to recall. Returns the accuracies of recall, 0..1."""
    fades = {name: at_the_start(name, run.seed) for name in CELLS}
    made = {training.name: training for training in recalling(config, run.seed)}
    x = recall(config.length, 10**6, 1)[0]
    learned = {}
    for name in RECALLING:
        network: Any = made[f"recall/{name}, seed {run.seed}"].restored(rows[f"recall/{name}, seed {run.seed}"])
        learned[name] = by_distance(network.cell.double(), x.double())
    show_fading(run, fades, learned, config.length)
    show_recall(run, config, rows)
    return {f"recall/{name}": sum(final(rows, name, run.seed + k) for k in range(config.repeats)) / config.repeats
            for name in RECALLING}  # fmt: skip


def final(rows: Mapping[str, dict[str, Any]], name: str, seed: int) -> float:
    judged = rows[f"recall/{name}, seed {seed}"]["judged"]
    return float(judged[-1]) if judged else 0.0


def show_fading(run: Run, fades: Mapping[str, torch.Tensor], learned: Mapping[str, torch.Tensor], length: int) -> None:
    heads: list[Any] = [both("cell, before training", "单元，训练前"), *(f"d = {far}" for far in FAR)]
    table = [[CELLS[name], *(f"{float(sizes[far]):.0e}" for far in FAR)] for name, sizes in fades.items()]
    run.table("fading", heads, table, both(
        "How much the last state depends on the input d steps before, of what it depends on the last input: "
        "|dh_T/dx_(T-d)| / |dh_T/dx_T|, mean over noise. With PyTorch's default the forget gate is near 0.5, and an "
        "LSTM forgets as fast as a simple RNN. The notes' “remembering is their default behaviour” (section 97) needs "
        "the one line bias_ih[H:2H] += 1, or 3.",
        "最后的状态对 d 步之前的输入有多敏感（以对最后一个输入的敏感度为 1）：|dh_T/dx_(T−d)| / |dh_T/dx_T|，输入为噪"
        "声，取平均。PyTorch 默认下遗忘门约为 0.5，LSTM 与 simple RNN 忘得一样快。笔记第 97 节“记住较长的历史信息是默"
        "认行为”要成立，需要一行代码：bias_ih[H:2H] += 1（或 3）。"))  # fmt: skip
    figure, axes = plots.figure(1, 2, width=11, height=3.6)
    for axis, curves, title in ((axes[0, 0], fades, "before training"), (axes[0, 1], learned, "after the recall task")):
        for number, (name, sizes) in enumerate(curves.items()):
            colour = plots.COLOURS[list(CELLS).index(name)]
            axis.plot(range(len(sizes)), sizes.clamp(min=1e-30), color=colour, label=CELLS[name].en,
                      linestyle="--" if number % 2 else "-")  # fmt: skip
        axis.set_yscale("log")
        axis.set_ylim(1e-12, 1e3)
        axis.set_xlabel("d, steps back")
        axis.set_title(title)
    axes[0, 0].set_ylabel("|dh_T/dx_(T-d)| / |dh_T/dx_T|")
    lines, names = axes[0, 0].get_legend_handles_labels()  # where the curves are, there is no room for them
    axes[0, 1].legend(lines, names, fontsize=8, loc="center left", bbox_to_anchor=(1.02, 0.5))
    axes[0, 1].axvline(length - 1, color="#999999", linestyle=":")
    figure.tight_layout()
    run.figure("fading", figure, both(
        "The same as curves, and at the right after training to recall the first symbol (dotted line): who has "
        "learned it has a gradient that reaches it.",
        "同样的量画成曲线；右图是学习回忆任务之后（虚线处是要记住的符号）：学会的单元，梯度到得了那里。"))  # fmt: skip


def show_recall(run: Run, config: Config, rows: Mapping[str, dict[str, Any]]) -> None:
    table = []
    figure, axes = plots.figure(width=8, height=3.4)
    for name in RECALLING:
        own = [rows[f"recall/{name}, seed {run.seed + k}"] for k in range(config.repeats)]
        reached = []
        for number, row in enumerate(own):
            colour = plots.COLOURS[list(CELLS).index(name)]
            axes[0, 0].plot(row["at"], [100 * value for value in row["judged"]], color=colour,
                            label=CELLS[name].en if number == 0 else None)  # fmt: skip
            steps = [step for step, value in zip(row["at"], row["judged"]) if value >= 0.99]
            reached.append(str(int(steps[0])) if steps else "-")
        right = ", ".join(f"{100 * (row['judged'] or [0])[-1]:.0f}" for row in own)
        table.append([CELLS[name], right, ", ".join(reached),
                      f"{sum(row['seconds'] for row in own) / len(own):.1f}"])  # fmt: skip
    axes[0, 0].axhline(100 / SYMBOLS, color="#999999", linestyle=":")
    axes[0, 0].set_xlabel("step")
    axes[0, 0].set_ylabel("first symbol right, %")
    axes[0, 0].legend(fontsize=8)
    figure.tight_layout()
    heads = [both("cell", "单元"), both("right in the end, % (each seed)", "最终正确率，%（各种子）"),
             both("steps to 99 %", "达到 99 % 的步数"), both("seconds", "秒")]  # fmt: skip
    run.table("recall", heads, table, both(
        f"Say the first of {config.length} symbols (of {SYMBOLS}; chance is {100 / SYMBOLS:.1f} %), "
        f"{config.task_steps} steps of {BATCH} sequences. Luck is large: look at all seeds.",
        f"说出 {config.length} 个符号中的第一个（共 {SYMBOLS} 种，瞎猜为 {100 / SYMBOLS:.1f} %），{config.task_steps} "
        f"步，每步 {BATCH} 条。运气影响很大：要看所有种子。"))  # fmt: skip
    run.figure(
        "recall",
        figure,
        both("Recall while it is learned; a line for each seed.", "学习过程中的回忆正确率，每个种子一条线。"),
    )


def show_adding(run: Run, config: Config, rows: Mapping[str, dict[str, Any]]) -> dict[str, float]:
    """The errors of the adding task, and what clipping does. Returns the errors."""
    figure, axes = plots.figure(width=8, height=3.0)
    table = []
    for name in ADDERS:
        row = rows[f"adding/{name}"]
        axes[0, 0].plot(row["at"], row["judged"], color=plots.COLOURS[list(CELLS).index(name)], label=CELLS[name].en)
        table.append([CELLS[name], f"{(row['judged'] or [0])[-1]:.4f}", f"{row['seconds']:.1f}"])
    axes[0, 0].axhline(ADDING, color="#999999", linestyle=":")
    axes[0, 0].set_yscale("log")
    axes[0, 0].set_xlabel("step")
    axes[0, 0].set_ylabel("mean squared error")
    axes[0, 0].legend(fontsize=8)
    figure.tight_layout()
    heads = [both("cell", "单元"), both("mean squared error", "均方误差"), both("seconds", "秒")]
    run.table("adding", heads, table, both(
        f"The sum of two marked numbers among {config.length}. Who always says 1 has 0.167 (dotted).",
        f"{config.length} 个数中两个带标记的数之和。总回答 1 的误差为 0.167（虚线）。"))  # fmt: skip
    run.figure("adding", figure, both("The adding task.", "加法任务。"))
    show_clipping(run, rows)
    return {f"adding/{name}": float((rows[f"adding/{name}"]["judged"] or [0.0])[-1]) for name in ADDERS}


def show_clipping(run: Run, rows: Mapping[str, dict[str, Any]]) -> None:
    figure, axes = plots.figure(1, 2, width=10, height=3.0)
    for name, colour in (("not clipped", plots.COLOURS[1]), ("clipped", plots.COLOURS[0])):
        row = rows[f"exploding/{name}"]
        axes[0, 0].plot(row["lengths"], color=colour, label=name, linewidth=1)
        axes[0, 1].plot(row["losses"], color=colour, label=name, linewidth=1)
    for axis, label in ((axes[0, 0], "length of the gradient"), (axes[0, 1], "loss")):
        axis.set_yscale("log")
        axis.set_xlabel("step")
        axis.set_ylabel(label)
        axis.legend(fontsize=8)
    figure.tight_layout()
    run.figure("clipping", figure, both(
        "A simple RNN with large U on the adding task, by plain gradient descent. Clipping scales a gradient that is "
        "longer than 1 down to 1 before the step; the lengths shown are those before. What exploded is drawn at 1e9. "
        "Adam would hide it: it divides each step by the size of the gradients before.",
        "U 较大的 simple RNN 用普通梯度下降学加法任务。裁剪把长度超过 1 的梯度缩到 1 再走这一步；图中是裁剪前的长度，"
        "爆炸之后画在 1e9。Adam 会掩盖这一现象：它把每一步除以以往梯度的大小。"))  # fmt: skip

"""The data before anything is fitted: distributions, what was cut off, outliers, correlations, and column B."""

from __future__ import annotations

import numpy as np

from labkit.base.language import both
from labkit.runs import plots
from labkit.runs.run import Run
from labs.housing.data import Table, meanings

BLUE, ORANGE = plots.COLOURS[0], plots.COLOURS[1]
AMBIGUOUS = 1000 * 0.37**2  # B up to here belongs to two shares: 0.63 + 0.37 is everybody


def look(table: Table, run: Run) -> None:
    """All of it, into the report."""
    columns(table, run)
    distributions(table, run)
    correlations(table, run)
    if "B" in table.names:
        column_b(table, run)


def columns(table: Table, run: Run) -> None:
    """What each column is, its range, and how many rows sit at its ends or far out."""
    rows = []
    every = [*zip(table.names, meanings(table), table.x.T)]
    every.append((table.price, both("median house value, 1,000 $", "房价中位数，千美元"), table.y))
    for name, meaning, values in every:
        far = np.abs(values - values.mean()) > 3 * values.std()
        ends = [f"{end:.4g} ({int((values == end).sum())})" for end in (values.min(), values.max())]
        rows.append([name, meaning, ends[0], f"{np.median(values):.4g}", ends[1], int(far.sum())])
    run.table("columns", [
        both("column", "列"), both("what it is", "含义"), both("least", "最小"), both("median", "中位数"),
        both("greatest", "最大"), both("far out", "离群"),
    ], rows, both(
        f"{len(table.y):,} rows; in brackets how many have that value, and last how many lie beyond 3 standard "
        f"deviations. {int((table.y >= table.cap).sum())} of them have a price of {table.cap:g} or more: what was "
        "dearer was written down as that. Nobody can learn what those houses cost, and a model is punished for "
        "guessing more. Many rows at one end of another column mean the same, or that the column counts something "
        "rare.",
        f"共 {len(table.y):,} 行；括号内是取该值的行数，最后一列是超出 3 个标准差的行数。其中 "
        f"{int((table.y >= table.cap).sum())} 行的房价达到 {table.cap:g}：更贵的都记成了这个数。那些房子的真实价格无从"
        "学起，模型猜得更高反而受罚。其他列若有许多行挤在一端，要么也被截断，要么这一列记的是少见的事。"))  # fmt: skip


def distributions(table: Table, run: Run) -> None:
    """A histogram of each column."""
    wide = 5 if len(table.names) > 8 else 3
    every = [*zip(table.names, table.x.T), (table.price, table.y)]
    figure, axes = plots.figure(-(-len(every) // wide), wide, width=9.0, height=1.5)
    for axis in axes.ravel()[len(every) :]:
        axis.set_axis_off()
    for axis, (name, values) in zip(axes.ravel(), every):
        axis.hist(values, bins=40, histtype="stepfilled", color=ORANGE if name == table.price else BLUE)
        axis.set_title(name, fontsize=8.5)
        axis.tick_params(labelsize=7)
    for axis in axes[:, 0]:
        axis.set_ylabel("rows", fontsize=8)
    figure.tight_layout()
    run.figure("distributions", figure, both(
        "How often each value occurs. Long tails become a few enormous inputs once a column is divided by its "
        "deviation; the networks here read them cut at 5 deviations (Boston) or as ranks (California). A bar alone "
        "at the right end of the price is where it was cut off.",
        "各取值出现的次数。长尾的列除以标准差之后，会出现少数几个巨大的输入；这里的网络把它们截到 5 个标准差（波士"
        "顿），或者改用名次（加州）。房价右端孤立的一条，就是被截断的地方。"))  # fmt: skip


def correlations(table: Table, run: Run) -> None:
    """All pairs of columns, and each with the price."""
    names = [*table.names, table.price]
    together = np.corrcoef(np.column_stack([table.x, table.y]).T)
    figure, axes = plots.figure(1, 1, width=6.6, height=5.4)
    axis = axes[0, 0]
    shown = axis.imshow(together, cmap="RdBu_r", vmin=-1, vmax=1)
    axis.grid(False)
    axis.set_xticks(range(len(names)))
    axis.set_xticklabels(names, rotation=90, fontsize=8)
    axis.set_yticks(range(len(names)))
    axis.set_yticklabels(names, fontsize=8)
    for row in range(len(names)):
        for column in range(len(names)):
            value = together[row, column]
            axis.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=6.5,
                      color="white" if abs(value) > 0.6 else "#333333")  # fmt: skip
    figure.colorbar(shown, ax=axis, shrink=0.8, label="correlation")
    figure.tight_layout()
    high = np.abs(np.triu(together[:-1, :-1], 1))
    one, other = np.unravel_index(high.argmax(), high.shape)
    run.figure("correlations", figure, both(
        f"Correlation of each pair. {names[one]} and {names[other]} say nearly the same ({together[one, other]:.2f}): "
        "a line can hardly tell which of them matters, so their weights are uncertain while its predictions are not. "
        f"The last row is what each tells of {table.price} by itself, as a straight line.",
        f"两两相关系数。{names[one]} 与 {names[other]} 几乎说的是同一件事（{together[one, other]:.2f}）：线性模型很难"
        f"分清是谁在起作用，所以它们的权重不可靠，而预测不受影响。"
        f"最后一行是各列单独与 {table.price} 的线性关系。"))  # fmt: skip


def column_b(table: Table, run: Run) -> None:
    """What B is, and what it does not say."""
    b = table.x[:, table.names.index("B")]
    share = np.linspace(0, 1, 201)
    figure, axes = plots.figure(1, 2, width=8.6, height=3.0)
    left, right = axes[0]
    left.plot(share, 1000 * (share - 0.63) ** 2, color=BLUE)
    left.axhspan(0, AMBIGUOUS, color=ORANGE, alpha=0.12, linewidth=0)
    left.plot(np.full(len(b), -0.02), b, "_", color="#666666", markersize=6, alpha=0.4)
    left.set_xlabel("Bk, share of black inhabitants")
    left.set_ylabel("B = 1000 (Bk - 0.63)²")
    right.plot(b, table.y, ".", color=BLUE, markersize=3, alpha=0.6)
    right.set_xlabel("B")
    right.set_ylabel(f"{table.price}, 1,000 $")
    figure.tight_layout()
    two = int((b <= AMBIGUOUS).sum())
    run.figure("column-b", figure, both(
        "Column B is no measurement but a theory. The authors of 1978 supposed that a few black neighbours lower "
        "prices and many raise them again, since segregation keeps markets apart, and wrote the supposed parabola "
        f"into the data. In {two} of {len(b)} rows (shaded) B belongs to two shares, one above 0.63 and one below, "
        "and which it was is lost. For that column scikit-learn took the set out (version 1.2). The last tables show "
        "each model with it and without; --without-b leaves it out everywhere.",
        "B 列不是测量值，而是一个假设。1978 年的作者认为：黑人邻居少时房价下降，多到一定程度又会回升，因为种族隔离使"
        f"市场分开；他们把假想的抛物线写进了数据。{len(b)} 行中有 {two} 行（阴影部分）的 B 对应两个比例，一个高于 "
        "0.63，一个低于 0.63，究竟是哪一个已无从得知。正因为这一列，scikit-learn 从 1.2 版起移除了这个数据集。最后的"
        "表格给出每个模型用与不用它的结果；--without-b 则完全不用它。"))  # fmt: skip

"""Pictures of the predictions for rows that were held out."""

from __future__ import annotations

import numpy as np

from labkit.base.language import both
from labkit.runs import plots
from labkit.runs.run import Run
from labs.housing.data import Table
from labs.housing.linear import Linear
from labs.housing.table import Row

MOST_POINTS = 3000


def truth(table: Table, rows: dict[str, Row], run: Run) -> None:
    """Predicted against true price, for a line, trees and networks."""
    shown = np.random.RandomState(0).permutation(len(table.y))[:MOST_POINTS]
    names = {"linear": "line", "trees": "gradient boosting", "networks": "networks"}
    figure, axes = plots.figure(1, 3, width=9.6, height=3.2)
    top = table.y.max() * 1.08
    for axis, (key, name) in zip(axes[0], names.items()):
        axis.plot([0, top], [0, top], color="#999999", linewidth=1)
        axis.plot(table.y[shown], rows[key].predicted[shown], ".", markersize=3, alpha=0.45)
        axis.set_title(name, fontsize=9.5)
        axis.set_xlabel("true price, 1,000 $")
        axis.set_xlim(0, top)
        axis.set_ylim(min(0, rows[key].predicted[shown].min()), top * 1.15)
    axes[0, 0].set_ylabel("predicted, 1,000 $")
    figure.tight_layout()
    run.figure("truth", figure, both(
        "Each point is a row that was held out; on the grey line the prediction is right. A line bends away at both "
        "ends: it can only be straight. The wall of points at the right is where prices were cut off.",
        "每个点是一行留出的数据；落在灰线上表示预测正确。线性模型在两端偏离：它只能是直的。右边那堵“墙”是房价被截断之"
        "处。"))  # fmt: skip


def residuals(table: Table, rows: dict[str, Row], run: Run) -> None:
    """How the networks' errors depend on the prediction, and how they are distributed."""
    predicted = rows["networks"].predicted
    errors = table.y - predicted
    figure, axes = plots.figure(1, 2, width=8.8, height=3.0)
    left, right = axes[0]
    shown = np.random.RandomState(0).permutation(len(errors))[:MOST_POINTS]
    capped = table.y[shown] >= table.cap
    for some, colour, name in ((~capped, plots.COLOURS[0], "below the cut"), (capped, plots.COLOURS[1], "cut off")):
        left.plot(predicted[shown][some], errors[shown][some], ".", color=colour, markersize=3, alpha=0.5, label=name)
    left.axhline(0, color="#999999", linewidth=1)
    left.set_xlabel("predicted, 1,000 $")
    left.set_ylabel("true less predicted, 1,000 $")
    left.legend(fontsize=8)
    far = np.percentile(np.abs(errors), 99.5)
    for key, name in (("linear", "line"), ("networks", "networks")):
        right.hist(table.y - rows[key].predicted, bins=np.linspace(-far, far, 60), alpha=0.55, label=name)
    right.set_xlabel("true less predicted, 1,000 $")
    right.set_ylabel("rows")
    right.legend(fontsize=8)
    figure.tight_layout()
    worst = np.argsort(-np.abs(errors))[: max(1, len(errors) // 100)]
    share = (errors[worst] ** 2).sum() / (errors**2).sum()
    run.figure("residuals", figure, both(
        f"Residuals of rows held out. The worst {len(worst)} of {len(errors):,} rows, one in a hundred, make "
        f"{share:.0%} of the squared error: RMSE is mostly about them, MAE hardly. Were the errors only noise, no "
        "pattern would be left at the left.",
        f"留出行的残差。{len(errors):,} 行中最差的 {len(worst)} 行（百分之一）占平方误差的 {share:.0%}：RMSE 主要反映"
        "它们，MAE 则几乎不受影响。若误差只是噪声，左图就不该有任何规律。"))  # fmt: skip


def weights(table: Table, run: Run) -> None:
    """What a line says about the columns, and how sure it is, by bootstrap."""
    random = np.random.RandomState(run.seed)
    scaled = table.x.std(axis=0)
    found = []
    for _ in range(200):
        some = random.randint(0, len(table.y), len(table.y))
        found.append(Linear(table.x[some], table.y[some]).slopes * scaled)
    low, high = np.percentile(found, (5, 95), axis=0)
    middle = Linear(table.x, table.y).slopes * scaled
    figure, axes = plots.figure(1, 1, width=6.4, height=0.24 * len(table.names) + 0.9)
    axis = axes[0, 0]
    places = np.arange(len(table.names))
    axis.hlines(places, low, high, color=plots.COLOURS[0], linewidth=3, alpha=0.4)
    axis.plot(middle, places, "o", color=plots.COLOURS[0], markersize=4)
    axis.axvline(0, color="#999999", linewidth=1)
    axis.set_yticks(places)
    axis.set_yticklabels(table.names, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel("change of the price, 1,000 $, for one deviation of the column")
    figure.tight_layout()
    run.figure("weights", figure, both(
        "The weights of the line, from the normal equation, on columns of one scale, and the range of 90 % of 200 "
        "bootstrap samples. A weight says how predictions differ between districts that are equal in all other "
        "columns, never what would happen if a district changed.",
        "正规方程给出的线性模型权重（各列已标准化），以及 200 次自助抽样中 90 % 的范围。权重说的是：其他列都相同的街"
        "区之间，预测相差多少；而不是改变一个街区会怎样。"))  # fmt: skip

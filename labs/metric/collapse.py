"""Collapse: a network that puts every image in one place, whose loss is the margin. What provokes and what cures it.

A network that answers always the same has d(a, p) = d(a, n) = 0 in each triplet, so its triplet loss is the margin. The
hardest triplets of an untrained network have a loss far above the margin: to draw everything together is the way
downhill. A semi-hard triplet has d(a, p) < d(a, n), so its loss is below the margin from the beginning, and to draw
everything together is uphill.
"""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np
import torch

from labkit.base.language import both
from labkit.runs import plots
from labkit.runs.run import Run
from labs.metric import results
from labs.metric.config import MARGINS, Config, splits
from labs.metric.data import Digits
from labs.metric.training import Training

TITLES = {
    "batch-hard": both("batch-hard, as people begin", "batch-hard，大家的第一次尝试"),
    "a-larger-margin": both("batch-hard, margin 1", "batch-hard，间隔 1"),
    "a-tenth-of-the-rate": both("batch-hard, a tenth of the learning rate", "batch-hard，学习率取十分之一"),
    "one-form": both("batch-hard, digits as they are", "batch-hard，数字只用原样"),
    "batch-all": both("batch-all", "batch-all"),
    "semi-hard": both("semi-hard", "semi-hard"),
}  # fmt: skip


def attempts(config: Config) -> list[Training]:
    """What people try, in the order in which they try it."""
    (seen,) = splits(config.seen)
    first = Training("batch-hard", "batch-hard", seen, config.forms, config.classes_of(seen), config.images,
                     config.margin or MARGINS["batch-hard"], config.lr, config.shift, config.steps)  # fmt: skip
    fewer = min(first.classes, len(seen))
    return [
        first,
        first._replace(label="a-larger-margin", margin=1.0),
        first._replace(label="a-tenth-of-the-rate", lr=config.lr / 10),
        first._replace(label="one-form", forms=1, classes=fewer, images=first.classes * first.images // fewer),
        first._replace(label="batch-all", loss="batch-all"),
        first._replace(label="semi-hard", loss="semi-hard"),
    ]


def show(run: Run, finished: Sequence[dict[str, Any]], embedded: Sequence[torch.Tensor],
         digits: Digits) -> dict[str, float]:  # fmt: skip
    """Loss and spread of every attempt over its steps, and what it is worth. Returns the first's and the last's."""
    figure, axes = plots.figure(2, len(finished), width=2.0 * len(finished), height=1.9)
    for column, row in enumerate(finished):
        upper, lower = axes[:, column]
        upper.plot(row["curve"], linewidth=1.2)
        upper.axhline(row["margin"], color=plots.COLOURS[1], linestyle="--", linewidth=1)
        upper.set_ylim(0, max(0.8, 1.6 * row["margin"]))
        upper.set_title(TITLES[row["label"]].en.replace(", ", ",\n"), fontsize=7.5)
        lower.plot(row["spread"], linewidth=1.2, color=plots.COLOURS[2])
        lower.set_ylim(0, 1.5)
        lower.set_xlabel("step")
    for axis in axes.flat:
        axis.tick_params(labelsize=7.5)
    axes[0, 0].set_ylabel("loss", fontsize=8.5)
    axes[1, 0].set_ylabel("distance", fontsize=8.5)
    figure.tight_layout()
    run.figure("collapse", figure, both(
        "Above the loss, with the margin dashed; below the mean distance between images of different classes, of "
        "which √2 is that of random directions. In a collapse the loss goes to the margin and the distance to 0.",
        "上：损失（虚线为间隔）；下：不同类图片之间的平均距离（随机方向为 √2）。坍缩时损失趋于间隔，距离趋于 "
        "0。"))  # fmt: skip
    pixels = results.of_pixels(digits)
    rows: list[list[Any]] = [[pixels.label, "", "", "", f"{pixels.retrieval.recall_at_1:.4f}",
                              f"{pixels.retrieval.map_at_r:.4f}"]]  # fmt: skip
    maps = []
    for row, x in zip(finished, embedded):
        judged = results.judge(row["label"], x, digits.labels)
        maps.append(judged.retrieval.map_at_r)
        late = slice(-max(1, len(row["curve"]) // 10), None)
        rows.append([TITLES[row["label"]], f"{row['margin']:g}", f"{np.mean(row['curve'][late]):.3f}",
                     f"{np.mean(row['spread'][late]):.3f}", f"{judged.retrieval.recall_at_1:.4f}",
                     f"{maps[-1]:.4f}"])  # fmt: skip
    heads = [both("attempt", "尝试"), both("margin", "间隔"), both("loss at the end", "最后的损失"),
             both("distance between "
                  "classes", "类间距离"), both("recall@1", "recall@1"), both("mAP@R", "mAP@R")]  # fmt: skip
    run.table("collapse", heads, rows, both(
        "Loss and distance are means over the last tenth of the steps. recall@1 hides a collapse, for it asks only "
        "who is nearest, and in float32 somebody still is: look at the distance and at mAP@R.",
        "损失与距离取最后十分之一步的均值。recall@1 看不出坍缩：它只问谁最近，而在 float32 中总有一个最近的。"
        "要看距离和 mAP@R。"
    ))  # fmt: skip
    first, last = (float(np.mean(row["spread"][-5:])) for row in (finished[0], finished[-1]))
    return {"collapsed_spread": first, "spread": last, "map": maps[-1]}

"""Cross-validation with a line, which is fitted in no time: what each kind of split says, and how to fool oneself."""

from __future__ import annotations

from typing import Any

import numpy as np

from labkit.base.language import both
from labkit.runs import plots
from labkit.runs.run import Run
from labs.housing.data import Table
from labs.housing.folds import hold_out, k_fold
from labs.housing.linear import Linear, Ridge, leave_one_out, leave_one_out_by_refitting, with_ones
from labs.housing.scores import Score, r_squared

SHUFFLES = 30
MOST_REFITS = 506
KINDS = {
    both("hold-out, 30 %", "留出法，30 %"): 1,
    both("2-fold", "2 折"): 2,
    both("5-fold", "5 折"): 5,
    both("10-fold", "10 折"): 10,
}


def cross_validate(model: Any, x: np.ndarray, y: np.ndarray, splits: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The prediction (N) for each row by `model(x, y)` fitted without its fold; 0 for rows that no fold holds out."""
    predicted = np.zeros(len(y))
    for training, held in splits:
        predicted[held] = model(x[training], y[training])(x[held])
    return predicted


def estimates(table: Table, folds: int, seeds: range) -> np.ndarray:
    """RMSE of a line by splits of each seed; `folds` 1 is a hold-out of 30 %."""
    found = []
    for seed in seeds:
        count = len(table.y)
        splits = [hold_out(count, 0.3, seed)] if folds == 1 else k_fold(count, folds, seed)
        predicted = cross_validate(Linear, table.x, table.y, splits)
        found.append(Score.of(table.y, predicted, [held for _, held in splits]).rmse)
    return np.array(found)


def compare(table: Table, run: Run) -> float:
    """What each kind of split says of the same line. Returns how far the two ways of leave-one-out are apart."""
    rows, every = [], []
    seeds = range(1000 * run.seed, 1000 * run.seed + SHUFFLES)
    for name, folds in KINDS.items():
        found = estimates(table, folds, seeds)
        every.append(found)
        share = 0.7 if folds == 1 else 1 - 1 / folds
        rows.append([name, f"{share:.0%}", folds, f"{found.mean():.3f}", f"{found.std(ddof=1):.3f}",
                     f"{found.min():.3f} … {found.max():.3f}"])  # fmt: skip
    a = with_ones((table.x - table.x.mean(axis=0)) / np.maximum(table.x.std(axis=0), 1e-12))
    left_out = float(np.sqrt((leave_one_out(a, table.y) ** 2).mean()))
    rows.append([both("leave-one-out", "留一法"), f"{1 - 1 / len(table.y):.1%}",
                 both(f"{len(table.y)}, or 1", f"{len(table.y)}，或 1"), f"{left_out:.3f}", "0", ""])  # fmt: skip
    run.table("splits", [
        both("split", "划分方式"), both("trained on", "训练所占比例"), both("fits", "拟合次数"),
        both("RMSE, 1,000 $", "RMSE，千美元"), both("deviation", "标准差"), both("range", "范围"),
    ], rows, both(
        f"The same line judged by splits of {SHUFFLES} shuffles. A single hold-out depends on who is in it; folds "
        "average over everybody. Fewer folds train on fewer rows and so judge a somewhat worse line. Leave-one-out "
        "depends on no shuffle.",
        f"同一个线性模型，打乱 {SHUFFLES} 次，用各种划分来评价。只留出一次，结果取决于谁被留出；分折则让每一行都轮到。"
        "折数越少，训练行越少，评价的是略差一些的模型。留一法与打乱无关。"))  # fmt: skip
    figure, axes = plots.figure(1, 1, width=6.4, height=2.6)
    axis = axes[0, 0]
    for place, found in enumerate(every):
        spread = np.random.RandomState(0).uniform(-0.18, 0.18, len(found))
        axis.plot(found, place + spread, ".", markersize=5, alpha=0.7)
    axis.axvline(left_out, color="#333333", linewidth=1, label="leave-one-out")
    axis.set_yticks(range(len(every)))
    axis.set_yticklabels(["hold-out", "2-fold", "5-fold", "10-fold"])
    axis.set_xlabel("RMSE, 1,000 $: a point is one shuffle")
    axis.legend(fontsize=8)
    axis.invert_yaxis()
    figure.tight_layout()
    run.figure("splits", figure, both(
        "The same line, the same rows, other shuffles. So far does an error estimate wander by chance.",
        "同样的模型、同样的数据，只是打乱的方式不同：误差的估计会随机波动这么多。"))  # fmt: skip
    chosen = np.random.RandomState(run.seed).permutation(len(table.y))[:MOST_REFITS]
    one, other = leave_one_out(a[chosen], table.y[chosen]), leave_one_out_by_refitting(a[chosen], table.y[chosen])
    apart = float(np.abs(one - other).max())
    run.note(both(
        f"Leave-one-out by {len(chosen)} refits and from one fit, residual / (1 - leverage), agree to {apart:.0e}.",
        f"留一法：重新拟合 {len(chosen)} 次，与只拟合一次再用“残差 / (1 − 杠杆值)”，"
        f"两者相差不超过 {apart:.0e}。"))  # fmt: skip
    return apart


# ---- leaks ----

NOISE, CHOSEN = 300, 10


class OnAll:
    """A mistake: columns brought to one scale by all rows, those held out too, before the folds are made."""

    def __init__(self, x: np.ndarray) -> None:
        self.x = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-12)


def most_correlated(x: np.ndarray, y: np.ndarray, count: int) -> np.ndarray:
    """The places of the `count` columns of `x` that go best with `y`."""
    centred = x - x.mean(axis=0)
    return np.argsort(-np.abs(centred.T @ (y - y.mean())) / np.linalg.norm(centred, axis=0), kind="stable")[:count]


class Choosing:
    """A line on the columns that go best with the price in the training rows."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self.chosen = most_correlated(x, y, CHOSEN)
        self.line = Linear(x[:, self.chosen], y)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.line(x[:, self.chosen])


def leaks(table: Table, run: Run) -> dict[str, tuple[float, float]]:
    """R² where something was fitted to all rows, held-out ones too, and where it was fitted within the folds."""
    rows = np.random.RandomState(run.seed).permutation(len(table.y))[:MOST_REFITS]
    x, y = table.x[rows], table.y[rows]
    splits = k_fold(len(y), 10, run.seed)
    noise = np.random.RandomState(run.seed).standard_normal((len(y), NOISE))

    def r2(model: Any, x: np.ndarray) -> float:
        return r_squared(y, cross_validate(model, x, y, splits))

    def ridge(x: np.ndarray, y: np.ndarray) -> Ridge:
        return Ridge(x, y, alpha=10.0)

    found = {
        "scaling, line": (r2(Linear, OnAll(x).x), r2(Linear, x)),
        "scaling, ridge": (r2(_Unscaled, OnAll(x).x), r2(ridge, x)),
        "choosing": (r2(Linear, noise[:, most_correlated(noise, y, CHOSEN)]), r2(Choosing, noise)),
    }
    names = {
        "scaling, line": both("mean and deviation of the columns, for a line", "各列的均值与标准差，线性模型"),
        "scaling, ridge": both("mean and deviation of the columns, for ridge", "各列的均值与标准差，岭回归"),
        "choosing": both(f"the {CHOSEN} of {NOISE} columns of noise that go best with the price",
                         f"从 {NOISE} 列噪声中挑出与房价最相关的 {CHOSEN} 列"),
    }  # fmt: skip
    run.table("leaks", [both("what was fitted", "拟合了什么"), both("R² with the leak", "有泄漏时的 R²"),
                        both("R², fitted within the fold", "只在折内拟合的 R²")],
              [[names[name], f"{leaked:.4f}", f"{honest:.4f}"] for name, (leaked, honest) in found.items()], both(
        "The mistake: fitting something to all rows before the folds are made. For scaling it does next to nothing, "
        "so it is never noticed: a line's predictions do not depend on the scale at all. The same mistake with "
        "anything that has seen the prices finds what is not there, in pure noise. Whatever is fitted belongs within "
        "the fold.",
        "一个错误：在分折之前用全部行去拟合某样东西。对标准化几乎没有影响，所以没人察觉：线性模型的预测根本与尺度无"
        "关。同样的错误，只要那一步看过房价，就能在纯噪声里“发现”并不存在的规律。"
        "凡是拟合出来的东西，都应在折内拟合。"))  # fmt: skip
    return found


class _Unscaled(Ridge):
    """Ridge regression that takes the columns' scale as it is given."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self.mean, self.deviation, self.alpha = np.zeros(x.shape[1]), np.ones(x.shape[1]), 10.0
        self.weights = self._fit(self._inputs(x), y, self.alpha)

"""Under- and overfitting: how errors grow and fall with width and time, bias and variance, and what holds them back.

All networks of the study are one training. A third of the rows is the test set; the rest is halved by chance as often
as there are repeats, into training and validation rows. So each kind of network is trained on several training sets,
and how far its predictions differ between them is its variance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

import numpy as np
import torch

from labkit.base.console import say
from labkit.base.language import both
from labkit.runs import plots
from labkit.runs.loop import Loop
from labkit.runs.run import Run
from labs.housing.config import Config
from labs.housing.data import Table
from labs.housing.folds import hold_out
from labs.housing.networks import Networks, Settings, predict
from labs.housing.polynomials import bias_and_variance
from labs.housing.scores import mean_with_error
from labs.housing.training import Batches, Group, train

ROWS = 506  # at most; overfitting is a matter of few rows
REPEATS, BATCH, LOOKS = 8, 32, 30
WIDTHS = (1, 2, 4, 8, 16, 32, 64)
WIDEST = WIDTHS[-1]
KINDS = {
    **{f"width {width}": Settings(width) for width in WIDTHS},
    "L1": Settings(WIDEST, l1=1e-3),
    "L2": Settings(WIDEST, l2=3e-3),
    "dropout": Settings(WIDEST, dropout=0.3),
}
PLAIN = f"width {WIDEST}"
SHOWN = (PLAIN, "L2", "L1", "dropout")
SETS = ("training", "validation", "test")


@dataclass(frozen=True)
class Study:
    """What the trainings left: root mean squared errors, 1,000 $, and the predictions at their end."""

    epochs: np.ndarray  # (L): after how many epochs each look was
    rmse: np.ndarray  # (L, sets, kinds, repeats)
    predictions: np.ndarray  # (kinds, repeats, test rows)
    prices: np.ndarray  # (test rows)

    def at_end(self, kind: str, part: str) -> np.ndarray:
        """The errors (repeats) when the training is over."""
        return self.rmse[-1, SETS.index(part), list(KINDS).index(kind)]

    def stopped_early(self, kind: str) -> tuple[np.ndarray, np.ndarray]:
        """Where each repeat (repeats) has its least validation error: the look, and the test error there."""
        of_kind = self.rmse[:, :, list(KINDS).index(kind)]  # (L, sets, repeats)
        best = early_stop(of_kind[:, SETS.index("validation")])
        return best, of_kind[best, SETS.index("test"), np.arange(of_kind.shape[2])]


def early_stop(validation: np.ndarray) -> np.ndarray:
    """The look at which the validation error (L, repeats) is least: early stopping that goes back to the best."""
    return validation.argmin(axis=0)


def study(table: Table, config: Config, run: Run, saved: Mapping[str, Any] | None) -> tuple[dict[str, Any], int]:
    """Train all kinds of networks; what there is to show, as tensors to be kept, and how many steps it took."""
    random = np.random.RandomState(run.seed)
    chosen = random.permutation(len(table.y))[:ROWS]
    x, y = table.x[chosen], table.y[chosen]
    rest, test = hold_out(len(y), 1 / 3, run.seed)
    parts = []
    for _ in range(REPEATS):
        order = random.permutation(rest)
        parts.append((np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :]), test))
    groups = [Group.of(config.dataset, x, y, training) for training, _, _ in parts]
    settings = [each for each in KINDS.values() for _ in parts]
    of_network = list(range(REPEATS)) * len(KINDS)
    batches = Batches(groups, [x] * REPEATS, y, of_network, BATCH, run.seed, run.device)
    networks = Networks(batches.inputs.shape[2], settings, run.seed).to(run.device)
    kept: list[torch.Tensor] = []
    every = max(1, config.study // LOOKS)

    def prices() -> np.ndarray:
        """Of all rows: (kinds, repeats, N)."""
        outputs = predict(networks, batches.inputs[batches.of_network.squeeze(1)]).view(len(KINDS), REPEATS, -1)
        return np.stack([group.prices(outputs[:, k]) for k, group in enumerate(groups)], axis=1)

    def look(loop: Loop, epochs: int) -> None:
        means = loop.means()
        if epochs % every and epochs != config.study:
            return
        errors = (prices() - y) ** 2
        rmse = [[[np.sqrt(errors[kind, k, part[which]].mean()) for k, part in enumerate(parts)]
                 for kind in range(len(KINDS))] for which in range(len(SETS))]  # fmt: skip
        kept.append(torch.tensor([*np.ravel(rmse), epochs], dtype=torch.float64))
        of_test = dict(zip(KINDS, rmse[SETS.index("test")]))
        loop.log(study_loss=means["train_loss"],
                 **{f"study_test_rmse/{kind}": float(np.mean(of_test[kind])) for kind in SHOWN})  # fmt: skip

    say(f"over- and underfitting: {len(settings)} networks side by side, {config.study} epochs")
    loop = train(networks, batches, config.study, config.lr, run, saved, look, {"finished": {}}, kept)
    finished = {
        "looks": torch.stack(kept),
        "predictions": torch.from_numpy(prices()[:, :, test]),
        "prices": torch.from_numpy(y[test]),
    }
    return finished, loop.done


def result(finished: Mapping[str, torch.Tensor]) -> Study:
    looks = finished["looks"].numpy()
    rmse = looks[:, :-1].reshape(len(looks), len(SETS), len(KINDS), REPEATS)
    return Study(looks[:, -1].astype(int), rmse, finished["predictions"].numpy(), finished["prices"].numpy())


# ---- what it shows ----


def show(found: Study, run: Run) -> None:
    """Capacity, time, bias and variance, and the table of what holds overfitting back."""
    capacity(found, run)
    time(found, run)
    remedies(found, run)


def capacity(found: Study, run: Run) -> None:
    """Errors, bias and variance for each width."""
    figure, axes = plots.figure(1, 2, width=8.6, height=3.2)
    left, right = axes[0]
    for part, colour in (("training", plots.COLOURS[0]), ("test", plots.COLOURS[1])):
        values = np.stack([found.at_end(f"width {width}", part) for width in WIDTHS])  # (widths, repeats)
        left.plot(WIDTHS, values.mean(axis=1), "o-", color=colour, markersize=4, label=f"{part} rows")
        left.fill_between(WIDTHS, values.min(axis=1), values.max(axis=1), color=colour, alpha=0.15, linewidth=0)
    split = [bias_and_variance(found.predictions[k], found.prices) for k in range(len(WIDTHS))]
    squared, variance = np.array(split).T
    right.plot(WIDTHS, squared, "s-", markersize=4, label="bias² + noise")
    right.plot(WIDTHS, variance, "^-", markersize=4, label="variance")
    right.plot(WIDTHS, squared + variance, "o-", markersize=4, color=plots.COLOURS[6], label="sum: squared test error")
    for axis in (left, right):
        axis.set_xscale("log", base=2)
        axis.set_xticks(WIDTHS)
        axis.set_xticklabels(WIDTHS)
        axis.set_xlabel("units in each hidden layer")
        axis.set_ylim(bottom=0)
        axis.legend(fontsize=8)
    left.set_ylabel("RMSE, 1,000 $")
    right.set_ylabel("squared error, (1,000 $)²")
    figure.tight_layout()
    run.figure("capacity", figure, both(
        f"Capacity of networks, after {found.epochs[-1]} epochs with nothing that holds them back. Left: the error on "
        f"the rows that they saw and on the test rows, mean and range of {REPEATS} training sets. The narrowest errs "
        "on both (underfitting); the widest knows its training rows nearly by heart, and the gap between the lines "
        "is what it does not know of others (overfitting). Unlike polynomials, wide networks need not become worse "
        "for it: of the many that fit, gradient descent finds a smooth one. Right: the squared test error in bias "
        "and variance; the networks differ in their training rows and in their first weights.",
        f"网络的容量：训练 {found.epochs[-1]} 轮，不加任何约束。左：训练行与测试行上的误差，{REPEATS} 个训练集的均值与"
        "范围。最窄的网络两边误差都大（欠拟合）；最宽的几乎背下了训练行，两条线之间的差距就是它对别的行不了解的部分"
        "（过拟合）。与多项式不同，网络变宽不一定变差：能拟合的解很多，梯度下降找到的是较平滑的一个。右：测试平方误差"
        "拆成偏差与方差；各网络的训练行不同，初始权重也不同。"))  # fmt: skip


def time(found: Study, run: Run) -> None:
    """Training and test error over the epochs, and where early stopping would have stopped."""
    kinds = SHOWN
    figure, axes = plots.figure(1, len(kinds), width=10.0, height=2.9)
    top = max(found.rmse[:, :, list(KINDS).index(kind)].mean(axis=2)[1:].max() for kind in kinds)
    for axis, kind in zip(axes[0], kinds):
        for part, colour in zip(SETS, plots.COLOURS):
            values = found.rmse[:, SETS.index(part), list(KINDS).index(kind)].mean(axis=1)
            axis.plot(found.epochs, values, color=colour, label=f"{part} rows")
        best, _ = found.stopped_early(kind)
        for epoch in found.epochs[best]:
            axis.axvline(epoch, color="#999999", linewidth=0.7, linestyle=":")
        axis.set_title("nothing" if kind == PLAIN else kind, fontsize=9)
        axis.set_xlabel("epoch")
        axis.set_ylim(0, min(top, 1.6 * found.at_end("width 1", "test").mean()))
    axes[0, 0].set_ylabel("RMSE, 1,000 $")
    axes[0, 0].legend(fontsize=7)
    figure.tight_layout()
    run.figure("time", figure, both(
        f"Time, for networks of width {WIDEST}, means of {REPEATS} training sets. The training error falls to the "
        "end; the error on rows that were not trained on stops falling long before. A dotted line is where one "
        "network has its least validation error: early stopping goes back to its weights of then. The test rows play "
        "no part in that choice.",
        f"时间：宽度 {WIDEST} 的网络，{REPEATS} 个训练集的均值。训练误差一直下降，而没有训练过的行上，误差早早就不再下"
        "降。虚线是某个网络验证误差最小之处：早停就是退回到那时的权重。这个选择没有用到测试行。"))  # fmt: skip


def remedies(found: Study, run: Run) -> None:
    """What L1, L2, dropout and early stopping do, each beside nothing, on the same training sets."""
    names = {PLAIN: both("nothing", "无"), "L2": both("L2: 0.003 times the sum of squares", "L2：0.003 乘以平方和"),
             "L1": both("L1: 0.001 times the sum of sizes", "L1：0.001 乘以绝对值之和"),
             "dropout": both("dropout of 0.3", "dropout，比例 0.3")}  # fmt: skip
    plain, rows = found.at_end(PLAIN, "test"), []
    for kind, name in names.items():
        at_end = found.at_end(kind, "test")
        _, early = found.stopped_early(kind)
        rows.append([name, f"{found.at_end(kind, 'training').mean():.2f}", f"{at_end.mean():.2f}",
                     "" if kind == PLAIN else mean_with_error(at_end - plain, "+"), f"{early.mean():.2f}",
                     mean_with_error(early - plain, "+")])  # fmt: skip
    run.table("remedies", [
        both("held back by", "约束方式"), both("training rows", "训练行"), both("test rows", "测试行"),
        both("difference to nothing", "与“无”之差"), both("and stopped early", "再加早停"),
        both("difference to nothing", "与“无”之差"),
    ], rows, both(
        f"RMSE in 1,000 $ of networks of width {WIDEST} after {found.epochs[-1]} epochs, means of {REPEATS} training "
        "sets; differences with their standard error. The strengths were not tuned: they show what each does, not "
        "which is best.",
        f"宽度 {WIDEST} 的网络训练 {found.epochs[-1]} 轮后的 RMSE（千美元），{REPEATS} 个训练集的均值；差值附标准误。"
        "各项强度没有调过：只为说明各自的作用，不比较优劣。"))  # fmt: skip

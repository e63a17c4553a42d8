"""The table: lines, trees and networks in the same folds, with column B and without."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Sequence

import numpy as np
import torch
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from labkit.base.console import say
from labkit.base.language import Both, both
from labkit.runs.loop import Loop
from labkit.runs.run import Run
from labs.housing.config import Config
from labs.housing.data import Table
from labs.housing.linear import ALPHAS, Linear, Ridge
from labs.housing.networks import Networks, Settings, predict
from labs.housing.scores import Score, mean_with_error
from labs.housing.splits import cross_validate
from labs.housing.training import Batches, Group, train

Splits = Sequence["tuple[np.ndarray, np.ndarray]"]
LOOKS = 10


class Mean:
    """What knows only the training prices: their mean, for everybody."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self.mean = y.mean()

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.full(len(x), self.mean)


def scikit(make: Callable[[], Any]) -> Callable[[np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]]:
    """A model of scikit-learn's as the models here are: `model(x, y)` is fitted, and called on other rows."""
    return lambda x, y: make().fit(x, y).predict


def trees(dataset: str, seed: int) -> Any:
    """Gradient boosting that suits the data set; its settings were chosen as those of the networks were."""
    if dataset == "boston":
        return GradientBoostingRegressor(n_estimators=300, learning_rate=0.05, max_depth=5, subsample=0.5,
                                         max_features=0.3, random_state=seed)  # fmt: skip
    return HistGradientBoostingRegressor(max_iter=300, learning_rate=0.1, early_stopping=False, random_state=seed)


@dataclass(frozen=True)
class Row:
    """A model's predictions (N) for rows that it was not fitted to, and how long all its fits took."""

    name: Both
    predicted: np.ndarray
    seconds: float


def fitted(x: np.ndarray, y: np.ndarray, splits: Splits, dataset: str, seed: int) -> dict[str, Row]:
    """All models but the networks, in the folds."""
    models = {
        "mean": (both("mean of the training prices", "训练行房价的均值"), Mean),
        "linear": (both("line, by the normal equation", "线性模型，正规方程"), Linear),
        "scikit": (both("line, scikit-learn", "线性模型，scikit-learn"), scikit(LinearRegression)),
        "ridge": (both("ridge, alpha by leave-one-out within the fold", "岭回归，折内用留一法选 alpha"), Ridge),
        "scikit ridge": (both("ridge, scikit-learn", "岭回归，scikit-learn"),
                         scikit(lambda: make_pipeline(StandardScaler(), RidgeCV(ALPHAS)))),
        "trees": (both("gradient boosting, "
                       "scikit-learn", "梯度提升树，scikit-learn"), scikit(lambda: trees(dataset, seed))),
    }  # fmt: skip
    rows = {}
    for key, (name, model) in models.items():
        began = time.perf_counter()
        rows[key] = Row(name, cross_validate(model, x, y, list(splits)), time.perf_counter() - began)
    return rows


# ---- the networks ----


class Ensembles:
    """All networks of the table, for each view of the data: some for each fold, and in the first some for all rows.

    A view is `x` with some columns set to one value, so that nothing can be learned from them.
    """

    def __init__(self, views: Sequence[np.ndarray], y: np.ndarray, splits: Splits, config: Config, run: Run) -> None:
        self.y, self.splits, self.members = y, splits, int(config.members or 1)
        self.groups = [Group.of(config.dataset, x, y, training) for x in views for training, _ in splits]
        self.groups.append(Group.of(config.dataset, views[0], y, np.arange(len(y))))  # to predict new rows with
        xs = [x for x in views for _ in splits] + [views[0]]
        of_network = [group for group in range(len(self.groups)) for _ in range(self.members)]
        self.batches = Batches(self.groups, xs, y, of_network, int(config.batch_size or 1), run.seed, run.device)
        one = Settings(config.width, config.l1, config.l2, config.dropout)
        self.networks = Networks(self.batches.inputs.shape[2], [one] * len(of_network), run.seed).to(run.device)

    def prices(self, group: int, rows: np.ndarray) -> np.ndarray:
        """What each member of a group predicts for `rows`: (members, rows), 1,000 $."""
        some = slice(group * self.members, (group + 1) * self.members)
        outputs = predict(self.networks, self.batches.inputs[group, torch.from_numpy(rows)], some)
        return self.groups[group].prices(outputs)

    def held_out(self, view: int) -> np.ndarray:
        """For each row what the networks predict that did not see it: (members, N)."""
        found = np.zeros((self.members, len(self.y)))
        for fold, (_, held) in enumerate(self.splits):
            found[:, held] = self.prices(view * len(self.splits) + fold, held)
        return found


def train_networks(ensembles: Ensembles, config: Config, run: Run, saved: Mapping[str, Any] | None,
                   facts: Mapping[str, Any], offset: int) -> Loop:  # fmt: skip
    """Train all of them in place; the loop, which knows how long that took."""
    every = max(1, int(config.epochs or 1) // LOOKS)

    def look(loop: Loop, epochs: int) -> None:
        means = loop.means()
        if epochs % every == 0 or epochs == config.epochs:
            errors = ensembles.held_out(0).mean(axis=0) - ensembles.y
            loop.log(**means, holdout_rmse=float(np.sqrt((errors**2).mean())))

    say(f"the table: {len(ensembles.networks.units)} networks side by side, {config.epochs} epochs")
    return train(ensembles.networks, ensembles.batches, int(config.epochs or 1), config.lr, run, saved, look, facts, [],
                 offset)  # fmt: skip


def network_rows(ensembles: Ensembles, view: int, seconds: float) -> dict[str, Row]:
    """One network, and the mean of all members."""
    found = ensembles.held_out(view)
    mean_of = both(f"networks, mean of {ensembles.members}", f"神经网络，{ensembles.members} 个取平均")
    return {
        "one": Row(both("network, one", "神经网络，单个"), found[0], float("nan")),
        "networks": Row(mean_of, found.mean(axis=0), seconds),
    }


# ---- what it shows ----


def show(rows: Mapping[str, Row], table: Table, splits: Splits, run: Run) -> dict[str, Score]:
    """The table of all models, the best trees beside the networks last."""
    held = [part for _, part in splits]
    scores = {key: Score.of(table.y, row.predicted, held) for key, row in rows.items()}
    shown = [[row.name, f"{scores[key].rmse:.3f}", scores[key].of_folds, f"{scores[key].mae:.3f}",
              f"{scores[key].r2:.4f}", "" if np.isnan(row.seconds) else f"{row.seconds:.1f}"]
             for key, row in rows.items()]  # fmt: skip
    difference = scores["networks"].folds - scores["trees"].folds
    run.table("models", [
        both("model", "模型"), both("RMSE", "RMSE"), both("mean over folds", "各折均值"), both("MAE", "MAE"),
        both("R²", "R²"), both("seconds", "秒"),
    ], shown, both(
        f"Each of {len(table.y):,} rows predicted by models that were fitted without its fold, {len(splits)} folds; "
        "errors in 1,000 $, pooled over all rows, and their mean over the folds with its standard error. In the same "
        f"fold, networks less trees: {mean_with_error(difference, '+')}. Everything, scale and alpha too, was fitted "
        "within the fold. The networks' settings are fixed; they had been chosen on splits of other seeds, of the "
        "same rows, which flatters them a little, and the trees as much.",
        f"共 {len(table.y):,} 行，每一行都由没有见过它那一折的模型预测，{len(splits)} 折；误差单位为千美元：全部行合并"
        f"计算，以及各折均值与标准误。同一折内，网络减去树：{mean_with_error(difference, '+')}。一切都在折内拟合，包括"
        "尺度与 alpha。网络的设置是固定的，此前在其他种子的划分上选定，但用的是同样的行，略偏乐观，树也一样。"
        ""))  # fmt: skip
    return scores


def show_without_b(rows: Mapping[str, Row], less: Mapping[str, Row], table: Table, splits: Splits, run: Run) -> None:
    """What column B is worth to each model."""
    held = [part for _, part in splits]
    shown = []
    for key, row in rows.items():
        one, other = (Score.of(table.y, each.predicted, held) for each in (row, less[key]))
        shown.append([row.name, f"{one.rmse:.3f}", f"{other.rmse:.3f}", mean_with_error(other.folds - one.folds, "+")])
    run.table("without-b", [
        both("model", "模型"), both("RMSE with B", "含 B 的 RMSE"), both("RMSE without", "不含 B 的 RMSE"),
        both("difference in the fold", "折内之差"),
    ], shown, both(
        "What leaving out column B costs: the difference with its standard error over the folds. A price can be "
        "predicted about as well without counting people by race. Leaving out a column does not make a model fair, "
        "though: LSTAT, CRIM and where a district lies go with B, and can stand in for it.",
        "去掉 B 列的代价：各折之差及其标准误。不按种族计数，房价也能预测得差不多。但去掉一列并不等于模型就公平了："
        "LSTAT、CRIM 和地段都与 B 相关，可以代替它。"))  # fmt: skip

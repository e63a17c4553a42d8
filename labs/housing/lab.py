"""Housing: from thirteen numbers about a district to the price of its houses, and how to know how good that is.

    ./inv lab housing                            Boston: look, fit, cross-validate, train
    ./inv lab housing -- --dataset california    20,640 districts of California
    ./inv lab housing -- --without-b             without the column that counts people by race
    ./inv lab housing -- --predict row.csv       what the last trained networks say of rows of yours

You learn regression (sections 5 and 42-48 of the notes): a line by its normal equation, cross-validation that does not
fool you, over- and underfitting and what helps, a network in the six parts of the notes, and trees to compare it with.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.runs.run import Run
from labkit.runs.start import start
from labs.housing import looking, own, results, splits, study, table
from labs.housing.config import PRESETS, Config
from labs.housing.data import read
from labs.housing.folds import k_fold
from labs.housing.polynomials import polynomials


def main(config: Config, run: Run) -> dict[str, float]:
    """Look at the data, fit lines, study overfitting, then cross-validate everything; or predict the user's rows.

    Returns the networks' error on rows held out, and what it is compared with; errors in 1,000 $.
    """
    if config.predict:
        return own.predict_own(config, run)
    data = read(run.dataset(config.dataset), config.dataset)
    if len(data.y) < 4 * config.folds:
        raise UserError(f"--folds {config.folds} would leave fewer than four of {len(data.y)} rows in a fold")
    looking.look(data, run)
    if config.without_b:
        data = data.without("B")

    # a line, and what can be said of it
    results.weights(data, run)
    apart = splits.compare(data, run)
    splits.leaks(data, run)

    # over- and underfitting
    polynomials(data, run)
    saved = run.restore()
    finished: dict[str, Any] = dict(saved["finished"]) if saved else {}
    if config.study and not finished:
        finished, finished["steps"] = study.study(data, config, run, saved)
        saved = None
    if config.study:
        study.show(study.result(finished), run)

    # everything in the same folds
    folds = k_fold(len(data.y), config.folds, run.seed)
    views = [data]
    if "B" in data.names:
        views.append(data.without("B"))
    began = time.perf_counter()
    rows = [table.fitted(view.x, view.y, folds, config.dataset, run.seed) for view in views]
    say(f"lines and trees: {time.perf_counter() - began:.1f} s")
    ensembles = table.Ensembles([masked(data.x, data.names, view.names) for view in views], data.y, folds, config, run)
    facts = {"finished": finished, **own.to_keep(ensembles, data, config, run.sample)}
    loop = table.train_networks(ensembles, config, run, saved, facts, finished.get("steps", 0))
    for number, row in enumerate(rows):
        row.update(table.network_rows(ensembles, number, loop.seconds))
    scores = table.show(rows[0], data, folds, run)
    facts["rmse"] = scores["networks"].rmse
    loop.save()
    if len(rows) > 1:
        table.show_without_b(rows[0], rows[1], data, folds, run)
    results.truth(data, rows[0], run)
    results.residuals(data, rows[0], run)
    return {
        "rmse": scores["networks"].rmse,
        "r2": scores["networks"].r2,
        "trees_rmse": scores["trees"].rmse,
        "linear_rmse": scores["linear"].rmse,
        "refits_apart": apart,
    }


def masked(x: np.ndarray, names: tuple[str, ...], seen: tuple[str, ...]) -> np.ndarray:
    """`x` (N, F) in which the columns that are not `seen` are 0 for everybody."""
    return x * np.array([name in seen for name in names])


if __name__ == "__main__":
    start(main, Config, PRESETS)

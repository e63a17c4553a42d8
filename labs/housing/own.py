"""Inference: rows of the user's, predicted by the networks that a run trained on all rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping

import numpy as np
import torch

from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.base.language import both
from labkit.base.paths import shown
from labkit.runs.checkpoints import latest_trained, load_checkpoint
from labkit.runs.run import Run
from labs.housing import features, rows
from labs.housing.config import Config
from labs.housing.data import PRICES, Table
from labs.housing.networks import Networks, Settings, predict
from labs.housing.table import Ensembles
from labs.housing.training import Group

MOST_SHOWN = 20  # lines on the terminal
MOST_LISTED = 1000  # rows of the report's table


def to_keep(ensembles: Ensembles, table: Table, config: Config, sample: bool) -> dict[str, Any]:
    """All that inference needs beside the weights, as plain containers."""
    group = ensembles.groups[-1]
    return {
        "names": list(table.names),
        "price": table.price,
        "sample": sample,
        "mean": group.mean,
        "deviation": group.deviation,
        "prepare": group.prepare.record(),
        "least": torch.from_numpy(table.x.min(axis=0)),
        "greatest": torch.from_numpy(table.x.max(axis=0)),
        "members": ensembles.members,
        "width": config.width,
    }


def restore(state: Mapping[str, Any]) -> tuple[Networks, Group]:
    """The networks that were trained on all rows, and what they read with. Raises what a strange state leads to."""
    members = int(state["members"])
    weights = {name: value[-members:] for name, value in state["networks"].items()}
    inputs = weights["weights.0"].shape[1]
    networks = Networks(inputs, [Settings(int(state["width"]))] * members, seed=0)
    networks.load_state_dict(weights)
    prepare = features.from_record(state["prepare"])
    return networks, Group(np.zeros(0, int), prepare, float(state["mean"]), float(state["deviation"]))


def predict_own(config: Config, run: Run) -> dict[str, float]:
    """Predict the rows of the CSV file `config.predict`. Returns the first price, 1,000 $, and the error if known."""
    path = Path(str(config.predict))
    missing = f"no network has been trained on {config.dataset} yet"
    options = {"dataset": config.dataset, "without_b": config.without_b}
    without = " --without-b" if config.without_b else ""
    command = f"./inv lab housing -- --dataset {config.dataset}{without}"
    chosen = config.checkpoint or latest_trained("housing", missing, command, **options)
    saved = load_checkpoint(chosen, "housing", options)
    state = saved["state"]
    try:
        names, price = [str(name) for name in state["names"]], PRICES[config.dataset]
        networks, group = restore(state)
        least, greatest = state["least"].numpy(), state["greatest"].numpy()
        rmse, sample = float(state["rmse"]), bool(state["sample"])
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError):
        raise UserError(f"{chosen} was not trained to its end by this version of the lab", command) from None
    x, y = rows.own(path, names, price)
    outputs = group.prices(predict(networks, group.inputs(x)))  # (members, N)
    predicted, spread = outputs.mean(axis=0), outputs.std(axis=0)
    say(f"{shown(path)}, by the networks of {chosen}, which erred by {rmse:.2f} (RMSE, 1,000 $) on rows held out:")
    listed = []
    for row, (value, differ, one) in enumerate(zip(predicted, spread, x)):
        outside = [names[k] for k in range(len(names)) if not least[k] <= one[k] <= greatest[k]]
        told = "" if y is None else f", in truth {y[row]:.2f}"
        beyond = f"; outside of what was trained on: {', '.join(outside)}" if outside else ""
        if row < MOST_SHOWN:
            say(f"  row {row + 2}: {value:.2f} (the networks differ by {differ:.2f}){told}{beyond}")
        if row < MOST_LISTED:
            listed.append([row + 2, f"{value:.2f}", f"{differ:.2f}", "" if y is None else f"{y[row]:.2f}",
                           ", ".join(outside)])  # fmt: skip
    if len(x) > MOST_SHOWN:
        say(f"  and {len(x) - MOST_SHOWN:,} more, of which the report lists the first {min(len(x), MOST_LISTED):,}")
    if sample:
        run.note(both("These networks were trained on the sample: they know nothing of real districts.",
                      "这些网络是在样例数据上训练的：它们对真实的街区一无所知。"))  # fmt: skip
    run.table("predictions", [
        both("row", "行"), both("price, 1,000 $", "房价，千美元"), both("deviation of the networks", "各网络的标准差"),
        both("in truth", "真实值"), both("outside of what was trained on", "超出训练范围的列"),
    ], listed, both(
        f"Predictions for your rows. On rows held out the error was {rmse:.2f} (RMSE). The networks' deviation says "
        "how far they disagree, not how wrong they are together. Outside of what they were trained on they guess.",
        f"对你的各行的预测。在留出行上的误差为 {rmse:.2f}（RMSE）。各网络的标准差只说明它们彼此相差多少，不说明它们一"
        "起错了多少。超出训练范围时，预测只是猜测。"))  # fmt: skip
    metrics = {"price": float(predicted[0])}
    if y is not None:
        metrics["rmse"] = float(np.sqrt(((predicted - y) ** 2).mean()))
    return metrics

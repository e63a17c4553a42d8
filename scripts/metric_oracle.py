"""Record what pytorch-metric-learning gives for fixed embeddings, with which the tests compare the lab metric.

    python -m pip install --no-deps --target /tmp/oracle pytorch-metric-learning==2.9.0
    PYTHONPATH=.:/tmp/oracle .venv/cpu/bin/python scripts/metric_oracle.py

No stack has that package, and the notes' could not have it: so its numbers are kept in tests/stack/metric_oracle.json,
and the lab is held against them on every stack. Of each loss there are the value and the gradient, as its product with
a fixed direction. It has no quadruplet loss and no squares in its contrastive one: there its terms are squared here.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

TARGET = Path(__file__).resolve().parent.parent / "tests" / "stack" / "metric_oracle.json"
CASES = [(0, 4, 3, 5), (1, 3, 5, 8), (2, 6, 2, 4), (3, 5, 4, 16), (4, 2, 6, 3)]  # seed, P, K, dimensions
MARGIN, FAR = 0.2, 1.0
TEMPERATURE = 0.05


def case(seed: int, classes: int, images: int, dimensions: int) -> dict[str, torch.Tensor]:
    """Embeddings around a centre for each class, of length 1, and what else the losses need: float64."""
    random = np.random.RandomState(seed)
    labels = np.repeat(np.arange(classes), images)
    x = random.randn(classes, dimensions)[labels] + 0.8 * random.randn(len(labels), dimensions)
    return {
        "x": F.normalize(torch.from_numpy(x), dim=1),
        "labels": torch.from_numpy(labels),
        "centres": torch.from_numpy(random.randn(classes, dimensions)),
        "direction": torch.from_numpy(random.randn(*x.shape)),
    }


def nearest_of_each_pair(d: torch.Tensor, triplets: Any) -> Any:
    """Of triplets with the same anchor and positive the one with the nearest negative."""
    best: dict[tuple[int, int], int] = {}
    for anchor, positive, negative in zip(*(part.tolist() for part in triplets)):
        before = best.get((anchor, positive))
        if before is None or d[anchor, negative] < d[anchor, before]:
            best[anchor, positive] = negative
    return tuple(torch.tensor(part) for part in zip(*((a, p, n) for (a, p), n in best.items())))


def theirs(name: str, given: dict[str, torch.Tensor], library: Any) -> torch.Tensor:
    """The loss `name` by pytorch-metric-learning; a row that has no triplet gives 0."""
    losses, miners, x, labels = library.losses, library.miners, given["x"], given["labels"]
    if name == "softmax":
        softmax = losses.NormalizedSoftmaxLoss(int(labels.max()) + 1, x.shape[1], TEMPERATURE)
        softmax.W.data = given["centres"].t().clone()
        return softmax(x, labels)
    if name == "contrastive":
        each = losses.ContrastiveLoss(0, FAR, reducer=library.reducers.DoNothingReducer())(x, labels)
        squared = [each[kind]["losses"] ** 2 / 2 for kind in ("pos_loss", "neg_loss")]
        return sum(part[part > 0].mean() for part in squared if (part > 0).any())
    if name == "batch-all":
        return losses.TripletMarginLoss(MARGIN)(x, labels)
    if name == "batch-hard":
        return losses.TripletMarginLoss(MARGIN)(x, labels, miners.BatchHardMiner()(x, labels))
    found = nearest_of_each_pair(torch.cdist(x, x), miners.TripletMarginMiner(MARGIN, "semihard")(x, labels))
    return losses.TripletMarginLoss(MARGIN)(x, labels, found)


def main() -> None:
    names = ("losses", "miners", "reducers", "distances", "utils.accuracy_calculator", "utils.inference")
    library = importlib.import_module("pytorch_metric_learning")
    parts = {name: importlib.import_module(f"pytorch_metric_learning.{name}") for name in names}
    recorded: dict[str, Any] = {"version": library.__version__, "cases": []}
    for numbers in CASES:
        found: dict[str, Any] = {"case": numbers, "losses": {}}
        for name in ("contrastive", "batch-all", "batch-hard", "semi-hard", "softmax"):
            given = case(*numbers)
            given["x"].requires_grad_()
            loss = theirs(name, given, library)
            loss.backward()
            found["losses"][name] = [float(loss.detach()), float((given["x"].grad * given["direction"]).sum())]
        given = case(*numbers)
        nearest = parts["utils.inference"].CustomKNN(parts["distances"].LpDistance())
        wanted = {"precision_at_1": "recall", "mean_average_precision_at_r": "map", "r_precision": "r_precision"}
        calculator = parts["utils.accuracy_calculator"].AccuracyCalculator(include=tuple(wanted), knn_func=nearest,
                                                                           kmeans_func=lambda *_: None)  # fmt: skip
        accuracies = calculator.get_accuracy(given["x"], given["labels"])
        found["measures"] = {ours: accuracies[name] for name, ours in wanted.items()}
        recorded["cases"].append(found)
    TARGET.write_text(json.dumps(recorded, indent=1) + "\n", encoding="utf-8")
    print(f"{TARGET}: {len(CASES)} cases by pytorch-metric-learning {library.__version__}")


if __name__ == "__main__":
    main()

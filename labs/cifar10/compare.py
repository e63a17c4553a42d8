"""Several trainings in one run, which differ in one option: the table and plot that end the run."""

from __future__ import annotations

from typing import Any

import numpy as np

from labkit.runs import plots
from labkit.runs.run import Run


def show(run: Run, asked: str, finished: list[dict[str, Any]]) -> dict[str, float]:
    """The table and the plot of all variants; returns the accuracy of each, the best first."""
    name = asked.partition("=")[0]
    judged = "holdout_accuracy" if "holdout_accuracy" in finished[0]["metrics"] else "accuracy"
    columns = [metric for metric in finished[0]["metrics"] if metric.endswith("accuracy")]
    rows = [[row["label"], *(f"{row['metrics'][column]:.2%}" for column in columns), f"{row['seconds']:.1f}",
             f"{row['rate']:,.0f}", f"{row['parameters'] / 1e6:.2f}", f"{row['macs'] / 1e6:,.1f}"]
            for row in finished]  # fmt: skip
    headings = [column.replace("_", " ").replace("holdout", "held-out") for column in columns]
    run.table("comparison", [name, *headings, "seconds", "images/s", "weights (M)", "MACs (M)"], rows,
              "Every row is a training of its own with the same data and, unless the seed is compared, the same seed. "
              "Seconds and images/s are of training alone; weights and multiply-adds (MACs, for one image) in "
              "millions.")  # fmt: skip
    figure, axes = plots.figure(columns=2, width=9.5, height=3.4)
    curves, cost = axes[0]
    for number, row in enumerate(finished):
        colour = plots.COLOURS[number % len(plots.COLOURS)]
        style = "-" if number < len(plots.COLOURS) else "--"
        epochs = np.arange(1, len(row["curve"]) + 1)
        curves.plot(epochs, row["curve"], style, color=colour, marker="o", markersize=3, label=row["label"])
        cost.plot(row["seconds"], row["metrics"][judged], "o", color=colour)
        cost.annotate(row["label"], (row["seconds"], row["metrics"][judged]), xytext=(5, 4), fontsize=8,
                      textcoords="offset points", color=colour)  # fmt: skip
    curves.set_title("accuracy after every epoch")
    curves.set_xlabel("epoch")
    curves.xaxis.get_major_locator().set_params(integer=True)
    curves.legend(fontsize=8)
    cost.set_title(f"{judged.replace('_', ' ').replace('holdout', 'held-out')} in the end")
    cost.set_xlabel("seconds of training")
    cost.margins(x=0.2, y=0.15)
    figure.tight_layout()
    on = "the held-out images" if judged == "holdout_accuracy" else "the test images"
    run.figure("comparison", figure, f"The accuracies on {on}; in the end each image is judged together with its "
               "mirror image, and at full size.")  # fmt: skip
    if name == "seed":
        values = np.array([row["metrics"][judged] for row in finished])
        run.note(f"Over {len(values)} seeds: mean {values.mean():.2%}, standard deviation {values.std(ddof=1):.2%}. "
                 "A difference between two options that is smaller than this may be luck.")  # fmt: skip
    ranked = sorted(finished, key=lambda row: -row["metrics"][judged])
    return {judged: ranked[0]["metrics"][judged],
            **{f"{judged}/{row['label']}": row["metrics"][judged] for row in ranked}}  # fmt: skip

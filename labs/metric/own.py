"""Classes of the user's own, a folder of images for each, searched with a trained network that never saw them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from labkit.base.console import say, warn
from labkit.base.errors import UserError
from labkit.base.language import both
from labkit.base.paths import shown
from labkit.data import folders
from labkit.runs.checkpoints import latest_trained, load_checkpoint
from labkit.runs.ink import read_sign
from labkit.runs.options import from_record
from labkit.runs.run import Run
from labs.metric import results
from labs.metric.config import Config
from labs.metric.data import Digits
from labs.metric.training import build_model, embed

MOST_CLASSES, MOST_IMAGES = 200, 3000  # every image is compared with every other
EXAMPLE = "./inv lab metric -- --search FOLDER, with a folder of images for each class"


def read_classes(folder: Path) -> tuple[Digits, list[str]]:
    """The images of each class and the names of the classes. Raises UserError where they cannot be searched."""
    if not folder.is_dir():
        raise UserError(f"{shown(folder)} is no folder", EXAMPLE)
    own = [path for path in sorted(folder.iterdir()) if path.is_dir() and folders.is_data(Path(path.name))]
    found = [(path.name, folders.images(path)) for path in own]
    found = [(name, files) for name, files in found if files]
    if len(found) < 2:
        raise UserError(f"{shown(folder)} has {len(found) or 'no'} folder{'s' * (not found)} with images; searching "
                        "needs two classes at least", EXAMPLE)  # fmt: skip
    total = sum(len(files) for _, files in found)
    if len(found) > MOST_CLASSES or total > MOST_IMAGES:
        raise UserError(f"{shown(folder)} has {len(found)} classes and {total:,} images; at most {MOST_CLASSES} and "
                        f"{MOST_IMAGES:,} are compared", EXAMPLE)  # fmt: skip
    for name, files in found:
        if len(files) < 2:
            raise UserError(f"the class {name} has one image, and nothing of its own to be found: give it "
                            "another", EXAMPLE)
    pixels = [read_sign(file, EXAMPLE).digit for _, files in found for file in files]
    labels = [k for k, (_, files) in enumerate(found) for _ in files]
    return Digits(torch.from_numpy(np.stack(pixels)), torch.tensor(labels)), [name for name, _ in found]


def main(config: Config, run: Run) -> dict[str, float]:
    """Each image of `config.search` as a query among the others. Returns recall@1 and mAP@R, and those of pixels."""
    digits, names = read_classes(Path(str(config.search)))
    chosen = config.checkpoint or latest_trained("metric", "no network has been trained yet", "./inv lab metric",
                                                 collapse=False)  # fmt: skip
    saved = load_checkpoint(chosen, "metric", {})
    try:
        had = from_record(Config, saved["state"]["config"])
        row = max(saved["state"]["finished"], key=lambda row: row["loss"] == "semi-hard")
        model = build_model(had.width, had.dimensions)
        model.load_state_dict(row["weights"])
        sample, known = bool(saved["state"]["sample"]), f"{row['loss']}, digits {row['seen']}"
    except (KeyError, TypeError, RuntimeError, AttributeError, ValueError):
        raise UserError(f"{chosen} is not finished, or of another version of this lab", "./inv lab metric") from None
    if sample:
        warning = both("this network was trained on the sample of drawn digits: it knows less of real handwriting",
                       "这个网络是用样例（程序画的数字）训练的：它对真实手写了解较少")  # fmt: skip
        warn(str(warning))
        run.note(warning)
    pixels = results.of_pixels(digits)
    learned = results.judge(known, embed(model, digits.pixels, torch.device("cpu")), digits.labels)
    say(f"{config.search}, by the network {known} of {chosen}:")
    for each in (pixels, learned):
        say(f"  {each.label}: recall@1 {each.retrieval.recall_at_1:.1%}, mAP@R {each.retrieval.map_at_r:.3f}")
    run.table("classes", [both("class", "类别"), both("images", "图片数")],
              [[name, int((digits.labels == k).sum())] for k, name in enumerate(names)],
              both("Your classes; the network never saw one of "
                   "them.", "你的类别，网络从未见过其中任何一类。"))  # fmt: skip
    rows = [[each.label, f"{each.retrieval.recall_at_1:.4f}", f"{each.retrieval.map_at_r:.4f}",
             f"{each.verification.auc:.4f}"] for each in (pixels, learned)]  # fmt: skip
    run.table("result", [results.HEADS[0], "recall@1", "mAP@R", "AUC"], rows, both(
        "Each image is a query among all others. With few images these numbers move much by one of them.",
        "每张图轮流作查询。图片很少时，这些数会因一张图而大幅变动。"))  # fmt: skip
    results.show_neighbours(run, digits, pixels, learned)
    return {"recall": learned.retrieval.recall_at_1, "map": learned.retrieval.map_at_r,
            "pixels_recall": pixels.retrieval.recall_at_1, "pixels_map": pixels.retrieval.map_at_r}  # fmt: skip

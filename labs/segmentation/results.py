"""What the report shows of a segmentation: COCO's annotations, images beside their maps, and measures by class."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, Mapping, Sequence

import cv2
import numpy as np
import torch
from matplotlib.colors import hsv_to_rgb, to_rgb
from matplotlib.patches import Patch

from labkit.base.errors import UserError
from labkit.data.image_files import read_image
from labkit.runs import plots
from labkit.runs.run import Run
from labs.segmentation import data, metrics
from labs.segmentation.data import OTHER, Classes, Images, Split
from labs.segmentation.metrics import VOID, Segments

GOLDEN = 0.618034  # of a turn of hue from one colour to the next: no two come close for long
SHOWN_SIZE = 480  # pixels of the longer side, in the figure of the format


# ---- colours ----


def palette(names: Sequence[str]) -> np.ndarray:
    """A colour for each label, uint8 (256, 3) RGB: grey for `other`, white for VOID."""
    colours = np.full((256, 3), 255, np.uint8)
    for label, name in enumerate(names):
        if name == OTHER:
            rgb = (0.62, 0.62, 0.62)
        elif label < len(plots.COLOURS) - 1:
            rgb = to_rgb(plots.COLOURS[label])
        else:
            rgb = hsv_to_rgb((label * GOLDEN % 1, (0.4, 0.9)[label % 2], (0.9, 0.55)[label // 2 % 2]))
        colours[label] = np.round(np.array(rgb) * 255)
    return colours


def outlined(image: np.ndarray, segments: Segments, which: Sequence[int]) -> np.ndarray:
    """`image` (H, W, 3) faded, with each segment in `which` (from 0) in a colour of its own and an outline."""
    drawn = 0.35 * image + 0.65 * 255
    for turn, k in enumerate(which):
        mask = segments.numbers == k + 1
        colour = 255 * hsv_to_rgb((turn * GOLDEN % 1, 0.75, 0.85))
        drawn[mask] = 0.25 * image[mask] + 0.75 * colour
        inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=2).astype(bool)
        drawn[mask & ~inner] = 0.6 * colour
    return drawn.astype(np.uint8)


def legend(figure: plots.Figure, names: Sequence[str], labels: np.ndarray) -> None:
    """Below the figure the colours of the classes that are in `labels`."""
    colours = palette(names) / 255.0
    patches = [Patch(color=colours[k], label=plots.plain(names[k])) for k in np.unique(labels) if k != VOID]
    figure.legend(handles=patches, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncol=min(len(patches), 7), fontsize=8)


def gallery(rows: Sequence[Sequence[Any]], titles: Sequence[str], side: Sequence[str] = ()) -> plots.Figure:
    """Images in rows and columns with a title over each column; not yet saved, so that a legend can be added."""
    height, width = rows[0][0].shape[:2]
    each = 8.4 / len(rows[0])
    figure, axes = plots.figure(len(rows), len(rows[0]), width=8.4, height=min(each * height / width, each) + 0.25)
    for k, (row, line) in enumerate(zip(rows, axes)):
        for axis, image, title in zip(line, row, titles):
            axis.imshow(image)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.grid(False)
            for spine in axis.spines.values():
                spine.set_visible(False)
            if k == 0:
                axis.set_title(title, fontsize=9, loc="center")
        if side:
            line[0].set_ylabel(side[k], fontsize=8)
    figure.tight_layout(pad=0.4)
    return figure


# ---- before training ----


def show_format(run: Run, split: Split, images: Images, classes: Classes) -> None:
    """COCO's annotation file, key by key, and the image with most segments: instances, semantic map, panoptic."""
    k = max(range(len(images)), key=lambda k: len(images.segments[k].labels))
    entry = split.images[k]
    instances = instances_of(split, entry)
    rows = []
    for each in [split] if instances is split else [split, instances]:
        for key, entries, one in (
            ("images", len(each.images), entry),
            ("annotations", sum(len(each.rows[row["id"]]) for row in each.images), each.rows[entry["id"]][0]),
            ("categories", len(each.categories), each.categories[0]),
        ):
            rows.append([f"{each.kind}_{each.name}.json", key, entries, shortened(one)])
    run.table("format", ["file", "key", "entries", "one of them"], rows,
              "COCO's annotation files: three lists that refer to each other by id (beside them are info and "
              "licenses). A panoptic annotation is of an image, and the PNG that it names has its segments; an "
              "instance annotation is of one thing.")  # fmt: skip

    image = data.shrink(data.read_image(split, entry), SHOWN_SIZE)
    size = image.shape[:2]
    segments = data.read_segments(split, entry, classes, size)
    semantic = segments.map()
    panoptic, _ = all_segments(split, entry, size)
    separate, things = all_segments(instances, entry, size)
    row = [image, outlined(image, separate, things), palette(classes.names)[semantic],
           outlined(image, panoptic, range(len(panoptic.labels)))]  # fmt: skip
    titles = [entry["file_name"], f"{len(things)} instances", "semantic", f"{len(panoptic.labels)} panoptic segments"]
    figure = gallery([row], titles)
    legend(figure, classes.names, semantic)
    run.figure("format", figure, "One image, three questions. Instances: where is each thing? Semantic: of which "
               "class is each pixel? Panoptic: both at once. White pixels were annotated by nobody.")  # fmt: skip


def all_segments(split: Split, entry: dict[str, Any], size: tuple[int, int]) -> tuple[Segments, list[int]]:
    """The segments of an image, whatever their category, and which of them (from 0) are things."""
    every = data.choose_classes(split, (), VOID - 2)
    segments = data.read_segments(split, entry, every, size)
    return segments, [k for k, label in enumerate(segments.labels) if every.things[label]]


def instances_of(split: Split, entry: dict[str, Any]) -> Split:
    """The instance annotations of an image where the data set has some, else those that it was trained with."""
    if split.kind != "instances" and (split.folder / "annotations" / f"instances_{split.name}.json").exists():
        with contextlib.suppress(UserError):  # a figure is no reason not to train
            (instances,) = data.read_splits(split.folder, [split.name], "instances")
            if entry["id"] in instances.rows:
                return instances
    return split


def shortened(value: Any, most: int = 300) -> str:
    text = json.dumps(value)
    return text if len(text) <= most else f"{text[:most]} ..."


def show_training(run: Run, pixels: torch.Tensor, labels: torch.Tensor, classes: Classes) -> None:
    """Augmented images float32 (N, H, W, 3) and their labels uint8 (N, H, W), as a training step gets them."""
    maps = palette(classes.names)[labels.numpy()]
    titles = [""] * len(maps)
    figure = gallery([list(pixels.byte().numpy()), list(maps)], titles)
    legend(figure, classes.names, labels.numpy())
    run.figure("training_images", figure, "Training images as the network sees them, cropped, some mirrored, "
               "recoloured, and below each its labels: what moves the image moves them alike.")  # fmt: skip


# ---- after it ----


def show_result(run: Run, measured: Mapping[str, float], facts: Mapping[str, int]) -> None:
    what = {
        "miou": "mIoU: mean over the classes of intersection / union",
        "pixel_accuracy": "pixel accuracy: share of pixels that got their class",
        "mean_accuracy": "mean accuracy: that share by class, then the mean",
        "fwiou": "FWIoU: IoU weighted by how frequent a class is",
        "pq": "PQ: panoptic quality, the mean over the classes of SQ x RQ",
        "sq": "SQ: mean IoU of the matched segments",
        "rq": "RQ: F1 score of finding segments",
    }
    rows = [[what[name], f"{value:.1%}"] for name, value in measured.items()]
    rows += [[name, f"{value:,}"] for name, value in facts.items()]
    run.table("result", ["what", "value"], rows, "The result on the test images, at the size of --size.")


def show_classes(run: Run, matrix: np.ndarray, quality: Sequence[np.ndarray], counts: metrics.PanopticCounts,
                 classes: Classes) -> None:  # fmt: skip
    """Every measure by class, the largest IoU first."""
    iou, accuracy, pixels = metrics.iou(matrix), metrics.class_accuracy(matrix), matrix.sum(axis=1)
    rows = []
    for k in np.argsort(-np.nan_to_num(iou, nan=-1), kind="stable"):
        if pixels[k] or matrix[:, k].any():
            values = [f"{value[k]:.1%}" if np.isfinite(value[k]) else "–" for value in (iou, accuracy, *quality)]
            segments = int(counts.matched[k] + counts.missed[k])
            kind = "thing" if classes.things[k] else "stuff"
            rows.append([classes.names[k], kind, *values, f"{pixels[k] / matrix.sum():.1%}", segments])
    run.table("classes", ["class", "kind", "IoU", "accuracy", "PQ", "SQ", "RQ", "pixels", "segments"], rows,
              "By class. Accuracy: of its pixels, how many were found; IoU also counts what was wrongly given to it. "
              "Pixels: its share of all. A thing is predicted as a connected part of the map.")  # fmt: skip


def show_examples(run: Run, test: Images, maps: Sequence[np.ndarray], classes: Classes) -> None:
    """Input, truth and prediction of the best and the worst test images; `maps` are (height, width) labels."""
    truths = [test.labels[k, : labels.shape[0], : labels.shape[1]].numpy() for k, labels in enumerate(maps)]
    scores = np.array([metrics.mean_iou(metrics.confusion(truth, labels, len(classes.names)))
                       for truth, labels in zip(truths, maps)])  # fmt: skip
    order = [int(k) for k in np.argsort(-np.nan_to_num(scores, nan=-1), kind="stable")]
    colours = palette(classes.names)
    few = min(4, (len(order) + 1) // 2)
    for name, chosen in (("best", order[:few]), ("worst", order[::-1][:few])):
        rows = []
        for k in chosen:
            height, width = maps[k].shape
            wrong = (truths[k] != maps[k]) & (truths[k] != VOID)
            error = np.where(wrong[..., None], np.array([200, 30, 30], np.uint8), np.uint8(235))
            rows.append([test.pixels[k, :height, :width].numpy(), colours[truths[k]], colours[maps[k]], error])
        figure = gallery(rows, ["image", "truth", "prediction", "wrong pixels"],
                         [f"mIoU {scores[k]:.0%}" for k in chosen])  # fmt: skip
        seen = np.concatenate([np.concatenate([truths[k].ravel(), maps[k].ravel()]) for k in chosen])
        legend(figure, classes.names, seen)
        run.figure(name, figure, f"The {few} test images with the {'highest' if name == 'best' else 'lowest'} mIoU.")


def show_confusion(run: Run, matrix: np.ndarray, names: Sequence[str]) -> None:
    """Which class is taken for which, as shares of the true class."""
    known = [k for k in range(len(names)) if matrix[k].any() or matrix[:, k].any()]
    shares = matrix[np.ix_(known, known)] / np.maximum(matrix[known].sum(axis=1, keepdims=True), 1)
    side, size = (6.0, 8.5) if len(known) <= 20 else (9.0, 5.0)
    figure, axes = plots.figure(width=side, height=side)
    axis = axes[0, 0]
    axis.grid(False)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(known) <= 20:
        for row, column in np.ndindex(*shares.shape):
            axis.text(column, row, f"{shares[row, column]:.0%}" if shares[row, column] >= 0.005 else "", ha="center",
                      va="center", color="white" if shares[row, column] > 0.5 else "#333333", fontsize=7)  # fmt: skip
    axis.set_xticks(range(len(known)))
    axis.set_xticklabels([plots.plain(names[k]) for k in known], rotation=90, fontsize=size)
    axis.set_yticks(range(len(known)))
    axis.set_yticklabels([plots.plain(names[k]) for k in known], fontsize=size)
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    run.figure("confusion", figure, "Confusion matrix of the pixels. A row is a true class and adds up to 100 %.")


# ---- your own image ----


def read_own(path: Path, most: int = 640) -> np.ndarray:
    """Any image file, its longer side at most `most`: uint8 (H, W, 3) RGB. Raises UserError for what is none."""
    image = read_image(path)
    return data.shrink(image, most) if max(image.shape[:2]) > most else image


def show_prediction(run: Run, image: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> None:
    """An image (H, W, 3) beside its labels (H, W), and both in one."""
    colours = palette(names)[labels]
    both = (0.5 * image + 0.5 * colours).astype(np.uint8)
    figure = gallery([[image, both, colours]], ["image", "both", "classes"])
    legend(figure, names, labels)
    run.figure("prediction", figure, "Your image, and the class that the network gives to each pixel.")

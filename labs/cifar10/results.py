"""What the report shows of a classifier: images of its data, measures by class, and the cases that it got wrong.

What scikit-learn computes, it computes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from sklearn.metrics import (
    average_precision_score,
    multilabel_confusion_matrix,
    precision_recall_curve,
    precision_recall_fscore_support,
    roc_auc_score,
    roc_curve,
    top_k_accuracy_score,
)  # fmt: skip

from labkit.data.image_files import read_image
from labkit.runs import classified, plots
from labkit.runs.run import Run
from labs.cifar10 import augment
from labs.cifar10.config import Config, augmentations

# ten that people with colour-blindness tell apart as well as ten can be (Tol's muted scheme, and a grey)
COLOURS = ("#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77", "#cc6677", "#882255", "#aa4499", "#888888")

_KUANGLIU = "kuangliu/pytorch-cifar, README at 49b7aa9"
_ZHUANG = "WeihaoZhuang/cifar10-100-fast-training, README"
_WEI = "weiaicunzai/pytorch-cifar100, README at 11d8418"
PUBLISHED = (  # data set, model, epochs, accuracy and top-5 accuracy in percent (0: not published), source
    ("cifar10", "airbench94_muon, which fast follows", 8, 94.01, 0, "KellerJordan/cifar10-airbench, README at f1c599c"),
    ("cifar10", "vgg16", 200, 92.64, 0, _KUANGLIU), ("cifar10", "vgg16", 70, 94.27, 0, _ZHUANG),
    ("cifar10", "resnet18", 200, 93.02, 0, _KUANGLIU), ("cifar10", "resnet18", 70, 95.32, 0, _ZHUANG),
    ("cifar10", "googlenet", 70, 95.35, 0, _ZHUANG),
    ("cifar10", "mobilenetv2", 200, 94.43, 0, _KUANGLIU), ("cifar10", "mobilenetv2", 70, 93.69, 0, _ZHUANG),
    ("cifar100", "vgg16", 200, 72.93, 91.16, _WEI), ("cifar100", "vgg16", 70, 72.68, 0, _ZHUANG),
    ("cifar100", "resnet18", 200, 75.61, 93.05, _WEI), ("cifar100", "resnet18", 70, 76.75, 0, _ZHUANG),
    ("cifar100", "googlenet", 200, 78.03, 94.06, _WEI), ("cifar100", "googlenet", 70, 79.24, 0, _ZHUANG),
    ("cifar100", "mobilenetv2", 200, 68.08, 90.98, _WEI), ("cifar100", "mobilenetv2", 70, 62.56, 0, _ZHUANG),
    ("cifar100", "seresnet18", 200, 76.44, 93.32, _WEI),
)  # fmt: skip


def show_images(run: Run, pixels: torch.Tensor, labels: torch.Tensor, classes: list[str], config: Config) -> None:
    """Training images, uint8 (N, H, W, 3), as the network gets them, and what every kind of augmentation does."""
    count, chosen = len(labels), augmentations(config.augment)
    device = pixels.device

    def batch(kinds: tuple[str, ...], epoch: int) -> augment.Batch:
        source = augment.Source(pixels, labels, config.shift, kinds, device)
        plan = augment.plan_epoch(count, config.shift, run.seed, epoch, config.flip, augment.draws(kinds))
        return source.batch(plan, slice(count))

    shown = batch(chosen, epoch=0)
    how = ", ".join(["shifted and mirrored", *chosen])
    titles = [_title(*of, classes) for of in zip(shown.labels, shown.others, shown.weight)]
    figure = classified.titled(shown.pixels.numpy(), titles, columns=10)
    run.figure("training_images", figure, f"Training images as the network sees them: {how}.")

    kinds = list(augment.DRAWS)
    figure, axes = plots.figure(len(kinds), width=9, height=1.35)
    for axis, kind in zip(axes[:, 0], kinds):
        made = batch((kind,), epoch=0)
        strip = np.concatenate([*made.pixels[:10].numpy()], axis=1)  # (H, 10 * W, 3)
        axis.imshow(strip)
        axis.set_title(kind + (" (used in this run)" if kind in chosen else ""), fontsize=8)
        axis.set_yticks([])
        axis.set_xticks(strip.shape[0] * (np.arange(10) + 0.5))
        axis.set_xticklabels([_title(*of, classes) for of in zip(made.labels, made.others, made.weight)][:10],
                             fontsize=5.5)  # fmt: skip
        axis.grid(False)
        for spine in axis.spines.values():
            spine.set_visible(False)
    figure.tight_layout(h_pad=1.2)
    run.figure("augmentations", figure, "What each kind of augmentation makes of the same images, beside shifting "
               "and mirroring. Where two images are mixed, the label is mixed in the same shares.")  # fmt: skip


def _title(label: torch.Tensor, other: torch.Tensor, weight: torch.Tensor, classes: list[str]) -> str:
    """What an image of a batch shows: "cat", or "70% cat, 30% dog" on two lines."""
    if label == other:
        return classes[label]
    return f"{weight:.0%} {classes[label]}\n{1 - weight:.0%} {classes[other]}"


def summary(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """What is said of a classifier in a few numbers; `probabilities` (N, classes), `labels` (N,).

    With more than ten classes also the top-5 accuracy: how often the right class is among the five likeliest.
    """
    found = {"accuracy": float((probabilities.argmax(axis=1) == labels).mean())}
    if probabilities.shape[1] > 10:
        known = np.arange(probabilities.shape[1])
        found["top5_accuracy"] = float(top_k_accuracy_score(labels, probabilities, k=5, labels=known))
    return found


def show_result(run: Run, row: dict[str, Any], config: Config) -> None:
    """The numbers of the run, and beside them what is published for the same images."""
    metrics = row["metrics"]
    rows = [[name.replace("_", " "), f"{value:.2%}"] for name, value in metrics.items()]
    rows.insert(1, ["error rate", f"{1 - metrics['accuracy']:.2%}"])
    rows += [["training images", f"{row['images']:,}"], ["seconds of training", f"{row['seconds']:.1f}"],
             ["images per second of training", f"{row['rate']:,.0f}"],
             ["weights that are learned", f"{row['parameters']:,}"],
             ["multiply-adds (MACs) for an image", f"{row['macs'] / 1e6:,.1f} million"]]  # fmt: skip
    run.table("result", ["what", "value"], rows, "The result, each image judged together with its mirror image.")
    top5 = f"{metrics['top5_accuracy']:.2%}" if "top5_accuracy" in metrics else ""
    ours = [] if run.sample else [[config.model, config.epochs, f"{metrics['accuracy']:.2%}", top5, "this run"]]
    table = [[model, epochs, f"{accuracy:.2f}%", f"{five:.2f}%" if five else "", source]
             for dataset, model, epochs, accuracy, five, source in PUBLISHED if dataset == config.dataset]  # fmt: skip
    apart = " This run is not among them: drawn shapes are easier than photographs." if run.sample else ""
    run.table("published", ["model", "epochs", "accuracy", "top-5", "source"], [*ours, *table],
              "Published results on the whole test set, each with its own recipe (--preset published is close to the "
              f"usual one); 200 epochs of these networks are a job for a GPU.{apart}")  # fmt: skip


def by_class(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """The measures of every class, each an array (classes,). `labels` int64 (N,), `probabilities` (N, classes).

    A class is told from all others: TP images bear the name and got it, FN bear it and did not get it, FP got it
    and do not bear it, TN neither. precision TP / (TP + FP), recall or sensitivity TP / (TP + FN), specificity
    TN / (TN + FP), F1 their harmonic mean (of precision and recall). They follow from the likeliest class; the areas
    under the PR curve (average precision) and under the ROC curve from all thresholds. Section 63 of the notes.
    """
    known = np.arange(probabilities.shape[1])
    guessed = probabilities.argmax(axis=1)
    precision, recall, f1, support = precision_recall_fscore_support(labels, guessed, labels=known, zero_division=0)
    (tn, fp), _ = multilabel_confusion_matrix(labels, guessed, labels=known).transpose(1, 2, 0)  # (classes,) each
    bears = labels[:, None] == known  # bool (N, classes)
    area = {"average_precision": average_precision_score, "auc": roc_auc_score}
    curves = {name: np.array([score(bears[:, k], probabilities[:, k]) if 0 < support[k] < len(labels) else np.nan
                              for k in known]) for name, score in area.items()}  # fmt: skip
    return {"precision": precision, "recall": recall, "specificity": tn / np.maximum(tn + fp, 1), "f1": f1, **curves,
            "images": support}  # fmt: skip


def show_measures(run: Run, labels: np.ndarray, probabilities: np.ndarray, classes: list[str]) -> None:
    """The measures of every class, the PR and ROC curves, and which class is taken for which.

    `labels` int64 (N,), `probabilities` float32 (N, classes).
    """
    found = by_class(labels, probabilities)
    guessed, known = probabilities.argmax(axis=1), list(range(len(classes)))
    shown = {name: values for name, values in found.items() if name != "images"}
    rows = [[name, *(_share(values[k]) for values in shown.values()), int(found["images"][k])]
            for k, name in enumerate(classes)]  # fmt: skip
    rows.append(["mean of the classes (macro)", *(_share(np.nanmean(values)) for values in shown.values()),
                 len(labels)])  # fmt: skip
    bears = labels[:, None] == np.array(known)  # bool (N, classes)
    accuracy = float((guessed == labels).mean())
    micro = {  # a wrong image is one FP, for the class it was given, and one FN, for its own: so these three agree
        "precision": accuracy, "recall": accuracy, "f1": accuracy,
        "specificity": 1 - (1 - accuracy) / (len(classes) - 1),  # each image is a negative for all classes but one
        "average_precision": average_precision_score(bears.ravel(), probabilities.ravel()),
        "auc": roc_auc_score(bears.ravel(), probabilities.ravel()),
    }  # fmt: skip
    rows.append(["all decisions together (micro)", *(_share(micro[name]) for name in shown), len(labels)])
    run.table("classes", ["class", "precision", "recall (sensitivity)", "specificity", "F1", "AP", "AUC", "images"],
              rows,
              "Precision: of the images given this name, how many bear it. Recall: of the images that bear it, how "
              "many were given it. Specificity: of the images that do not bear it, how many were not given it. "
              "AP and AUC are the areas under the PR and the ROC curve and count all thresholds: 100% separates the "
              "class perfectly, a guess has an AUC of 50%.")  # fmt: skip
    _show_curves(run, bears, probabilities, classes, found)
    classified.show_confusion(run, labels, guessed, classes)


def _share(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.1%}"


def _show_curves(run: Run, bears: np.ndarray, probabilities: np.ndarray, classes: list[str],
                 found: dict[str, np.ndarray]) -> None:  # fmt: skip
    """Precision against recall, and sensitivity against false alarms, as the threshold goes from 1 to 0."""
    figure, axes = plots.figure(columns=2, width=9.5, height=4.2)
    pr, roc = axes[0]
    few, grid = len(classes) <= 10, np.linspace(0, 1, 201)
    heights: dict[str, list[np.ndarray]] = {"pr": [], "roc": []}
    for k, name in enumerate(classes):
        if np.isnan(found["auc"][k]):
            continue
        precision, recall, _ = precision_recall_curve(bears[:, k], probabilities[:, k])
        false, true, _ = roc_curve(bears[:, k], probabilities[:, k])
        heights["pr"].append(np.interp(grid, recall[::-1], precision[::-1]))
        heights["roc"].append(np.interp(grid, false, true))
        style: dict[str, Any] = {"linewidth": 1.0, "color": COLOURS[k] if few else "#dddddd"}
        labels = (f"{name} {found[kind][k]:.3f}" if few else None for kind in ("average_precision", "auc"))
        pr.plot(recall, precision, label=next(labels), **style)
        roc.plot(false, true, label=next(labels), **style)
    for axis, kind, area in ((pr, "pr", "average_precision"), (roc, "roc", "auc")):
        axis.plot(grid, np.mean(heights[kind], axis=0), color="black", label=f"macro {np.nanmean(found[area]):.3f}")
    flat, flat_p = bears.ravel(), probabilities.ravel()
    precision, recall, _ = precision_recall_curve(flat, flat_p)
    pr.plot(recall, precision, "--", color="black", label=f"micro {average_precision_score(flat, flat_p):.3f}")
    false, true, _ = roc_curve(flat, flat_p)
    roc.plot(false, true, "--", color="black", label=f"micro {roc_auc_score(flat, flat_p):.3f}")
    pr.set_title("precision against recall, and AP")
    pr.set_xlabel("recall")
    pr.set_ylabel("precision")
    roc.set_title("sensitivity against false alarms (ROC), and AUC")
    roc.set_xlabel("false alarms (1 - specificity)")
    roc.set_ylabel("sensitivity")
    for axis in (pr, roc):
        axis.legend(fontsize=6.5, loc="lower left" if axis is pr else "lower right")
        axis.set_xlim(-0.02, 1.02)
        axis.set_ylim(-0.02, 1.02)
    figure.tight_layout()
    run.figure("thresholds", figure, "Each class against all others. At every threshold an image counts as the class "
               "if its probability is at least that; going down, more of the class is found, and more that is not.")


def read_own(path: Path, size: int = 32) -> np.ndarray:
    """The middle square of any image file, shrunk: uint8 (size, size, 3) RGB. Raises UserError for what is none."""
    image = read_image(path)
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    square = image[top : top + side, left : left + side]
    # the mean of the pixels that each new one covers; the other methods skip pixels, which shows as false patterns
    return cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA)


def show_prediction(run: Run, pixels: np.ndarray, names: list[str], probabilities: list[float]) -> None:
    """One image (H, W, 3) beside the classes that the network finds likeliest."""
    figure, axes = plots.figure(columns=2, width=7, height=2.6)
    image, bars = axes[0]
    image.imshow(pixels)
    image.axis("off")
    image.set_title("as the network sees it")
    bars.barh(names[::-1], probabilities[::-1])
    bars.set_xlim(0, 1)
    bars.set_xlabel("probability")
    run.figure("prediction", figure, "Your image, and what the network takes it for.")

"""Evaluation: detectron2's evaluators, their tables, and the images that went best and worst.

An evaluator takes every image with its predictions (`process`) and sums up at the end (`evaluate`):

- COCOEvaluator: average precision and recall of boxes, masks or keypoints, computed by pycocotools. AP is the mean
  over ten thresholds of IoU from 0.50 to 0.95; AP50 asks for 0.50 only. AR is the mean of the best recall at them.
- SemSegEvaluator: pixel accuracy, mean accuracy, mean IoU, frequency weighted IoU (section 82 of the notes).
- COCOPanopticEvaluator: PQ = SQ x RQ, by its authors' panopticapi. SQ is the mean IoU of what was matched, RQ an F1
  of how much was.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, Sequence

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog, build_detection_test_loader
from detectron2.evaluation import (
    COCOEvaluator,
    COCOPanopticEvaluator,
    DatasetEvaluator,
    DatasetEvaluators,
    SemSegEvaluator,
    inference_on_dataset,
)
from PIL import Image
from pycocotools import mask as masks
from torch import nn

from labkit.base.console import say
from labkit.data.outlines import encoded
from labkit.runs.run import Run
from labs.detectron2 import configs, drawing

KINDS = {"bbox": "box", "segm": "mask", "keypoints": "keypoint"}
SCORE = 0.5  # from which on an instance counts for the best and worst images


def records(cfg: Any) -> list[dict[str, Any]]:
    """The images that the model is judged by."""
    every: list[dict[str, Any]] = DatasetCatalog.get(cfg.DATASETS.TEST[0])
    return every


def make_evaluators(cfg: Any, folder: Path) -> list[DatasetEvaluator]:
    """One evaluator for each thing that the model of `cfg` says about an image."""
    name, found = cfg.DATASETS.TEST[0], []
    if configs.has_things(cfg):
        tasks = ("bbox", *["segm"] * cfg.MODEL.MASK_ON, *["keypoints"] * cfg.MODEL.KEYPOINT_ON)
        # By position: the name of the third argument changed between the versions.
        sigmas = cfg.TEST.KEYPOINT_OKS_SIGMAS
        found.append(PrecisionAndRecall(name, tasks, False, str(folder), kpt_oks_sigmas=sigmas or None))
    if configs.has_stuff(cfg):
        found.append(SemSegEvaluator(name, False, str(folder)))
    if cfg.MODEL.META_ARCHITECTURE == "PanopticFPN":
        found.append(COCOPanopticEvaluator(name, str(folder)))
    return found


# Where pycocotools sums up recall with as many detections as it counts, 100 or of keypoints 20: all, then by size.
RECALL = {"bbox": (8, 9, 10, 11), "segm": (8, 9, 10, 11), "keypoints": (5, None, 8, 9)}


class PrecisionAndRecall(COCOEvaluator):
    """With the average recall too, which detectron2 prints and does not return."""

    def _derive_coco_results(self, coco_eval: Any, iou_type: str, class_names: Any = None) -> dict[str, float]:
        results: dict[str, float] = super()._derive_coco_results(coco_eval, iou_type, class_names)
        for name, place in zip(("AR", "ARs", "ARm", "ARl"), RECALL[iou_type]):
            if coco_eval is not None and place is not None:
                value = float(coco_eval.stats[place])
                results[name] = 100 * value if value >= 0 else float("nan")
        return results


class Watch(DatasetEvaluator):
    """Moves the progress bar, and keeps how well each image went."""

    def __init__(self, cfg: Any, bar: Any) -> None:
        self.bar, self.truth = bar, {record["image_id"]: record for record in records(cfg)}
        self.quality: dict[int, float] = {}

    def reset(self) -> None:
        self.quality = {}

    def process(self, inputs: Sequence[dict[str, Any]], outputs: Sequence[dict[str, Any]]) -> None:
        for given, found in zip(inputs, outputs):
            truth = self.truth[given["image_id"]]
            if "instances" in found:
                self.quality[given["image_id"]] = instance_quality(truth, found["instances"].to("cpu"))
            else:
                named, wanted = found["sem_seg"].argmax(dim=0).cpu().numpy(), Image.open(truth["sem_seg_file_name"])
                judged = np.asarray(wanted) != 255
                self.quality[given["image_id"]] = float((named == np.asarray(wanted))[judged].mean())
            self.bar.advance(1)

    def evaluate(self) -> dict[str, Any]:
        return {}


def instance_quality(truth: dict[str, Any], found: Any) -> float:
    """One number for one image, 0..1: sum of IoU over pairs / (pairs + half of what is missed or made up).

    That is the formula of PQ. A pair has one class, an IoU above 0.5, and a score of SCORE or more; the surest
    predictions choose first. Boxes are compared where there are no masks.
    """
    found = found[found.scores >= SCORE]
    rows = [row for row in truth["annotations"] if not row.get("iscrowd")]
    if not rows and not len(found):
        return 1.0
    height, width = truth["height"], truth["width"]
    if found.has("pred_masks"):
        guesses = [masks.encode(np.asfortranarray(mask.numpy().astype(np.uint8))) for mask in found.pred_masks]
        objects = [encoded(row["segmentation"], height, width) for row in rows]
    else:
        corners = found.pred_boxes.tensor.numpy()
        guesses = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1).tolist()
        objects = [list(map(float, row["bbox"])) for row in rows]
    if not rows or not len(found):
        return 0.0
    overlap = np.asarray(masks.iou(guesses, objects, [0] * len(objects)), dtype=float)  # (found, truth)
    same = found.pred_classes.numpy()[:, None] == np.array([row["category_id"] for row in rows])[None]
    overlap[~same] = 0
    total, pairs = 0.0, 0
    for k in np.argsort(-found.scores.numpy(), kind="stable"):
        best = int(overlap[k].argmax())
        if overlap[k, best] > 0.5:
            total, pairs = total + overlap[k, best], pairs + 1
            overlap[:, best] = 0
    return float(total / (pairs + 0.5 * (len(found) - pairs) + 0.5 * (len(rows) - pairs)))


def evaluate(cfg: Any, run: Run, model: nn.Module) -> dict[str, float]:
    """Judge the model by the validation images; tables and images go into the report, all numbers to eval.json."""
    folder = run.folder / "evaluation"
    folder.mkdir(exist_ok=True)
    model.eval()
    loader = build_detection_test_loader(cfg, cfg.DATASETS.TEST[0])
    with run.progress(len(loader), unit="img") as bar, open(folder / "log.txt", "w", encoding="utf-8") as log:
        watch = Watch(cfg, bar)
        with contextlib.redirect_stdout(log):
            results = inference_on_dataset(model, loader, DatasetEvaluators([*make_evaluators(cfg, folder), watch]))
    plain = {kind: {name: float(value) for name, value in values.items()} for kind, values in results.items()}
    for kind in KINDS:
        if kind in plain and np.isnan(plain[kind]["AP"]):  # detectron2 judges nothing where nothing was found
            say(f"the model finds nothing in the validation images yet: its {KINDS[kind]} AP is 0")
            plain[kind].update(dict.fromkeys(("AP", "AP50", "AP75"), 0.0))
    text = json.dumps(plain, indent=1).replace("NaN", "null")
    (run.folder / "eval.json").write_text(text + "\n", encoding="utf-8")
    show_tables(run, plain)
    show_extremes(run, cfg, model, watch.quality)
    metrics = {f"{KINDS[kind]}_AP": values["AP"] for kind, values in plain.items() if kind in KINDS}
    metrics.update({key: plain["panoptic_seg"][key] for key in ("PQ", "SQ", "RQ") if "panoptic_seg" in plain})
    metrics.update({key: plain["sem_seg"][key] for key in ("mIoU", "pACC") if "sem_seg" in plain})
    return metrics


def show_tables(run: Run, results: dict[str, dict[str, float]]) -> None:
    """The tables of the report, in percent."""

    def cell(value: float | None) -> str:
        return "-" if value is None or np.isnan(value) or value < 0 else f"{value:.1f}"

    kinds = [kind for kind in KINDS if kind in results]
    if kinds:
        columns = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR", "ARs", "ARm", "ARl"]
        rows = [[KINDS[kind], *(cell(results[kind].get(column)) for column in columns)] for kind in kinds]
        run.table("ap", ["what", *columns], rows, "Average precision (AP) and recall (AR) on the validation images, in "
                  "percent: the mean over IoU 0.50 to 0.95, at 0.50, at 0.75, and of small, medium and large objects "
                  "(below 32 x 32, below 96 x 96 pixels, others).")  # fmt: skip
        names = [key[3:] for key in results[kinds[0]] if key.startswith("AP-")]
        rows = [[name, *(cell(results[kind].get(f"AP-{name}")) for kind in kinds)] for name in names]
        if rows:
            run.table("ap_by_category", ["category", *(f"{KINDS[kind]} AP" for kind in kinds)], rows,
                      "Average precision by category; - where no validation image shows one.")  # fmt: skip
    if "panoptic_seg" in results:
        panoptic = results["panoptic_seg"]
        rows = [[title, *(cell(panoptic.get(key + ending)) for key in ("PQ", "SQ", "RQ"))]
                for title, ending in (("all", ""), ("things", "_th"), ("stuff", "_st"))]  # fmt: skip
        run.table("pq", ["what", "PQ", "SQ", "RQ"], rows,
                  "Panoptic quality in percent: PQ = SQ x RQ in each class, then the mean over classes.")  # fmt: skip
    if "sem_seg" in results:
        semantic = results["sem_seg"]
        rows = [["pixel accuracy", cell(semantic["pACC"])], ["mean accuracy", cell(semantic["mACC"])],
                ["mean IoU", cell(semantic["mIoU"])], ["frequency weighted IoU", cell(semantic["fwIoU"])]]  # fmt: skip
        rows += [[f"IoU of {key[4:]}", cell(value)] for key, value in semantic.items() if key.startswith("IoU-")]
        run.table("semantic", ["what", "value"], rows,
                  "The ground of every pixel, in percent; all things are one class.")  # fmt: skip


def show_extremes(run: Run, cfg: Any, model: nn.Module, quality: dict[int, float]) -> None:
    """The three images that went best and the three that went worst."""
    order = sorted(quality, key=lambda image_id: quality[image_id])
    every = {record["image_id"]: record for record in records(cfg)}
    meta = MetadataCatalog.get(cfg.DATASETS.TEST[0])
    for name, ids, caption in (("worst", order[:3], "The three worst images: look here first."),
                               ("best", order[::-1][:3], "The three best images.")):  # fmt: skip
        drawn, titles = [], []
        for image_id in ids:
            image = drawing.read(every[image_id]["file_name"])
            drawn.append(drawing.draw(image, drawing.predict(cfg, model, image), meta, SCORE))
            titles.append(f"{Path(every[image_id]['file_name']).name}: quality {quality[image_id]:.2f}")
        drawing.gallery(run, drawn, titles, name, caption)

"""detectron2: find, cut out and name objects with Mask R-CNN and its relatives; train, evaluate, demo.

    ./inv lab detectron2                                         tiny, on synthetic images: train, evaluate, demo
    ./inv detectron2.demo --input photo.jpg                      your own image, by what was trained last
    ./inv detectron2.demo --input photo.jpg --config mask_rcnn_R_50_FPN_3x      by the model zoo's Mask R-CNN
    ./inv detectron2.train --config mask_rcnn_R_50_FPN_1x --dataset coco -- SOLVER.BASE_LR 0.0025
    ./inv detectron2.eval --weights latest

You learn how detectron2 is put together (sections 80-86 of the notes): configs (configs.py, configs/), backbone
(backbone.py), data and transforms (data.py), trainer and hooks (training.py), evaluators (evaluation.py), the demo
(drawing.py) and the weights of its model zoo (weights.py). KEY VALUE pairs at the end change any setting.
"""

from __future__ import annotations

import logging
import re
import resource
import shlex
import warnings
from typing import Any

from detectron2.data import MetadataCatalog
from detectron2.modeling import build_model
from torch import nn

from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.runs.run import Run
from labkit.runs.start import start
from labs.detectron2 import configs, data, drawing, evaluation, inside, training, weights
from labs.detectron2.config import PRESETS, Config


def trained(config: Config, run: Run) -> tuple[Any, nn.Module, dict[str, Any]]:
    """The config and the model with the weights that were asked for, and the classes that they were trained on.

    The classes are {} for weights of the model zoo, which detectron2 itself knows the names for.
    """
    known = configs.load(config.config, shlex.split(config.overrides))  # a wrong name or setting is said first
    path, state = weights.find(config.weights, config.config)
    cfg = weights.config_of(state) if state else known
    if state:
        cfg.merge_from_list(shlex.split(config.overrides))
    cfg.MODEL.DEVICE = run.device.type
    model = build_model(cfg)
    weights.load(model, path, whole=True)
    say(f"weights: {path}")
    if state.get("sample"):
        note = "These weights were trained on the sample of synthetic shapes: they know nothing of real images."
        say(note)
        run.note(note)
    return cfg, model, state


def demo(config: Config, run: Run) -> dict[str, float]:
    """Draw what a trained model finds in the user's own images."""
    cfg, model, state = trained(config, run)
    meta = MetadataCatalog.get(cfg.DATASETS.TEST[0])
    if state:
        meta = MetadataCatalog.get(f"classes of {run.folder.name}")
        meta.set(thing_classes=state["things"], stuff_classes=state["stuff"])
    inputs = drawing.Inputs(config.input or "", config.frames)
    return drawing.demo(run, cfg, model, meta, inputs, config.threshold)


def prepare(cfg: Any, run: Run) -> data.Names:
    """Register the data set, fit the config to it and keep the whole config beside the results."""
    names = data.register(run.dataset("coco"), cfg, run.folder / "data")
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (names.train,), (names.val,)
    configs.fit(cfg, names.things, names.stuff, run.device.type)
    (run.folder / "config.yaml").write_text(cfg.dump(), encoding="utf-8")
    return names


def judge(config: Config, run: Run) -> tuple[Any, nn.Module]:
    """A trained model and its config, ready to be judged by the data set: their classes must be the same."""
    cfg, model, state = trained(config, run)
    names = data.register(run.dataset("coco"), cfg, run.folder / "data")
    things = state.get("things") or MetadataCatalog.get(cfg.DATASETS.TEST[0]).get("thing_classes", names.things)
    if list(things) != names.things:
        raise UserError(f"these weights know {len(things)} classes such as {things[0]}, and the data have "
                        f"{len(names.things)} such as {names.things[0]}",
                        "./inv detectron2.eval --dataset coco, or without --dataset for the sample")  # fmt: skip
    cfg.DATASETS.TEST = (names.val,)
    cfg.DATALOADER.NUM_WORKERS = 0 if run.device.type == "cpu" else cfg.DATALOADER.NUM_WORKERS
    (run.folder / "config.yaml").write_text(cfg.dump(), encoding="utf-8")
    return cfg, model


def work(config: Config, run: Run) -> dict[str, float]:
    """Do the task; the measures that the report begins with."""
    if config.input:
        return demo(config, run)
    metrics: dict[str, float] = {}
    if "train" in config.tasks:
        cfg = configs.load(config.config, shlex.split(config.overrides))
        names = prepare(cfg, run)
        model, metrics = training.train(cfg, run, names)
    else:
        cfg, model = judge(config, run)
    if "eval" in config.tasks:
        metrics = {**evaluation.evaluate(cfg, run, model), **metrics}
    if "demo" in config.tasks:
        drawing.show_predictions(run, cfg, model.eval(), evaluation.records(cfg)[:6], "demo",
                                  f"What the model finds with a score of {config.threshold} or more.",
                                  config.threshold)  # fmt: skip
        fullest = max(evaluation.records(cfg), key=lambda record: len(record.get("annotations", ())))
        inside.show(run, cfg, model, fullest["file_name"], config.threshold)
    metrics["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if config.tasks == ("train",):
        say(f"next: ./inv detectron2.eval --config {config.config}, or ./inv detectron2.demo")
    return metrics


def main(config: Config, run: Run) -> dict[str, float]:
    """Do the task, and say in one sentence what a user can mend."""
    logging.getLogger("detectron2").setLevel(logging.ERROR)  # it warns of COCO's own numbering of categories
    warnings.filterwarnings("ignore", category=FutureWarning)  # of an older detectron2 on a newer PyTorch
    warnings.filterwarnings("ignore", message=".*(meshgrid|lr_scheduler.step|floor_divide|nonzero|not writable).*")
    try:
        return work(config, run)
    except NotImplementedError as error:
        raise UserError(str(error)) from None
    except FloatingPointError as error:
        raise UserError(str(error).splitlines()[0], "the same with a smaller SOLVER.BASE_LR") from None
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, MemoryError) or re.search("(out of|allocate|enough) memory", str(error)):
            raise UserError(
                "out of memory: lower SOLVER.IMS_PER_BATCH, then INPUT.MIN_SIZE_TRAIN and INPUT.MAX_SIZE_TRAIN, then "
                "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE",
                f"./inv lab detectron2 -- --config {config.config} SOLVER.IMS_PER_BATCH 1",
            ) from None
        raise


if __name__ == "__main__":
    start(main, Config, PRESETS)

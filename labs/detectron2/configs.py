"""Configs: find one by name, change it from the command line, fit the learning rate to the batch.

A config is a YAML file over detectron2's defaults; `_BASE_` in it names another one to start from. In Python it is a
CfgNode: cfg.SOLVER.BASE_LR. The notes (section 86) read Base-RCNN-FPN.yaml and defaults.py; both are in the installed
package, and every run here writes the whole result to config.yaml.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Sequence

from detectron2 import model_zoo
from detectron2.config import get_cfg

from labkit.base.console import say
from labkit.base.errors import UserError, nearest
from labs.detectron2 import backbone  # noqa: F401  (registers the backbone of tiny)

OWN = Path(__file__).with_name("configs")
ZOO = Path(model_zoo.__file__).with_name("configs")
ZOO_BATCH = 2  # images per step of a zoo config unless another number is asked for: the notes' choice


def files() -> dict[str, Path]:
    """Every config by name: our own, and the model zoo's with and without its folder."""
    found = {path.stem: path for path in sorted(OWN.glob("*.yaml"))}
    zoo = [path for path in ZOO.rglob("*.yaml") if not path.stem.startswith("Base-")]
    zoo = [path for path in zoo if path.parent.name not in ("quick_schedules",)]
    for path in sorted(zoo, key=lambda path: (not path.parent.name.startswith("COCO-"), path)):
        found[str(path.relative_to(ZOO).with_suffix(""))] = path
        found.setdefault(path.stem, path)
    return found


def default() -> Any:
    """detectron2's defaults with the keys that this lab adds, as projects of detectron2 do with theirs."""
    cfg = get_cfg()
    cfg.SOLVER.OPTIMIZER = "SGD"
    return cfg


def load(name: str, overrides: Sequence[str]) -> Any:
    """The config called `name` with KEY VALUE pairs over it. UserError for a name, key or value that does not exist."""
    known = files()
    if name not in known:
        hint = near(name, list(known), "mask_rcnn_R_50_FPN_3x and the like, or tiny")
        raise UserError(f"--config: there is no {name}; {hint}", "./inv lab detectron2 -- --help")
    cfg = default()
    cfg.merge_from_file(str(known[name]))
    if known[name].parent != OWN:
        scale(cfg, ZOO_BATCH)
    given = dict(zip(overrides[::2], overrides[1::2]))
    keys = flat(cfg)
    for key, value in given.items():
        if key not in keys:
            raise UserError(f"detectron2 has no setting {key}; {near(key, keys, 'see config.yaml of any run')}")
        if key == "SOLVER.IMS_PER_BATCH" and "SOLVER.BASE_LR" not in given and re.fullmatch("0*[1-9][0-9]{0,8}", value):
            scale(cfg, int(value))
        try:
            cfg.merge_from_list([key, value])
        except (ValueError, AssertionError, SyntaxError) as error:
            raise UserError(f"{key} cannot be {value}: {str(error).splitlines()[0]}") from None
    return cfg


def near(word: str, known: Sequence[str], otherwise: str) -> str:
    """The nearest of what is known, or `otherwise`: all of them would be hundreds."""
    hint = nearest(word, known)
    return hint if hint.startswith("did you mean") else otherwise


def scale(cfg: Any, batch: int) -> None:
    """Set the batch, and the learning rate by the linear rule: half the images per step, half the step.

    Source: Goyal et al., Accurate, Large Minibatch SGD (2017).
    """
    solver = cfg.SOLVER
    lr = solver.BASE_LR * batch / solver.IMS_PER_BATCH
    if batch != solver.IMS_PER_BATCH:
        say(f"batch: {batch} images instead of {solver.IMS_PER_BATCH}, so the learning rate is {lr:g} instead of "
            f"{solver.BASE_LR:g} (SOLVER.IMS_PER_BATCH, SOLVER.BASE_LR)")  # fmt: skip
    solver.BASE_LR, solver.IMS_PER_BATCH = lr, batch


def flat(cfg: Any, before: str = "") -> list[str]:
    """Every key as it is written on the command line: SOLVER.BASE_LR."""
    keys: list[str] = []
    for key, value in cfg.items():
        keys += flat(value, f"{before}{key}.") if hasattr(value, "items") else [before + key]
    return keys


def fit(cfg: Any, things: Sequence[str], stuff: Sequence[str], device: str) -> None:
    """Give the heads as many outputs as the data have classes, and say where to compute."""
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = cfg.MODEL.RETINANET.NUM_CLASSES = len(things)
    if stuff:
        cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = len(stuff)
    cfg.MODEL.DEVICE = device
    if device == "cpu":
        cfg.DATALOADER.NUM_WORKERS = 0


def has_stuff(cfg: Any) -> bool:
    """Whether the model names every pixel."""
    return cfg.MODEL.META_ARCHITECTURE in ("PanopticFPN", "SemanticSegmentor")


def has_things(cfg: Any) -> bool:
    """Whether the model finds instances."""
    return bool(cfg.MODEL.META_ARCHITECTURE != "SemanticSegmentor")

"""The options of the lab detectron2, known without torch: a mistake is found before anything is made."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from labkit.base.errors import UserError
from labkit.runs.options import option
from labs.detectron2 import zoo

TASKS = ("all", "train", "eval", "demo")


@dataclass(frozen=True)
class Config:
    task: str | None = option(None, "what to do; all: train, eval and demo on validation images (default: all, or demo "
                                    "where --input is given)", choices=TASKS)  # fmt: skip
    config: str = option("tiny", "tiny, tiny_panoptic, tiny_semantic or a config of detectron2's model zoo")
    dataset: str | None = option(None, "COCO, whole or a subset; without this option its synthetic sample",
                                    choices=("coco",))  # fmt: skip
    input: str | None = option(None, "for demo: images of yours, separated by commas; a folder; a video; or webcam",
                               path=True, instead=True, or_run=True)  # fmt: skip
    weights: str | None = option(None, "for eval and demo: a run, a file or a name of the model zoo (default: what "
                                    "was trained last with this config, else zoo)", path=True, or_run=True)  # fmt: skip
    threshold: float = option(0.5, "for demo: draw objects with at least this score", at_least=0)
    frames: int = option(100, "for demo: read at most N images of a video or the webcam", at_least=1)
    overrides: str = option("", "settings of detectron2 to change, as in SOLVER.BASE_LR 0.0025", rest=True)

    def __post_init__(self) -> None:
        words = shlex.split(self.overrides)
        if len(words) % 2:
            raise UserError(f"overrides come as KEY VALUE pairs, and {words[-1]} has no value",
                            "./inv lab detectron2 -- SOLVER.BASE_LR 0.0025")  # fmt: skip
        if self.input and self.task not in (None, "demo"):
            raise UserError(f"--input goes with --task demo: {self.task} works with the data set and would not look at "
                            "it", f"./inv detectron2.demo --input {shlex.quote(self.input)}")  # fmt: skip

    @property
    def tasks(self) -> tuple[str, ...]:
        """What is done, in order."""
        task = self.task or ("demo" if self.input else "all")
        return TASKS[1:] if task == "all" else (task,)

    def downloads(self) -> dict[str, tuple[str, ...]]:
        """What is read beside the data set: data set -> its parts."""
        training = "train" in self.tasks
        part = zoo.start(self.config, self.overrides) if training else zoo.asked(self.weights, self.config)
        return {zoo.NAME: (part,)} if part else {}


PRESETS: dict[str, dict[str, Any]] = {"smoke": {"overrides": "SOLVER.MAX_ITER 40 SOLVER.WARMUP_ITERS 10"}}

"""Training: detectron2's trainer with the hooks of this lab.

A trainer runs the loop, hooks do all else after each step: the notes (section 86) find the log printed by one. Here
they are three: the learning rate (detectron2's own), images of what the model sees by now, and numbers with
checkpoints.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from detectron2.engine import HookBase, SimpleTrainer, hooks
from detectron2.modeling import build_model
from detectron2.solver import build_lr_scheduler, build_optimizer, get_default_optimizer_params
from torch import nn

from labkit.runs.loop import Loop
from labkit.runs.run import Run
from labs.detectron2 import data, drawing, evaluation, weights

LOG_EVERY = 20  # steps
LOOKS = 4  # times during a training that images are drawn


def make_optimizer(cfg: Any, model: nn.Module) -> torch.optim.Optimizer:
    """SGD as detectron2 builds it, or AdamW, with which short trainings from nothing get further."""
    if cfg.SOLVER.OPTIMIZER == "SGD":
        return build_optimizer(cfg, model)
    params = get_default_optimizer_params(model, weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM)
    return torch.optim.AdamW(params, lr=cfg.SOLVER.BASE_LR, weight_decay=cfg.SOLVER.WEIGHT_DECAY)


class Images(HookBase):
    """Draws what the model finds in a few images, several times during the training."""

    def __init__(self, loop: Loop, cfg: Any, records: list[dict[str, Any]]) -> None:
        self.loop, self.cfg, self.records = loop, cfg, records

    def after_step(self) -> None:
        if self.loop.time_to_look:
            model, step = self.trainer.model, self.loop.step
            model.eval()
            drawing.show_predictions(self.loop.run, self.cfg, model, self.records, f"step_{step:06}",
                                      f"What the model finds after {step:,} steps.")  # fmt: skip
            model.train()


class Numbers(HookBase):
    """Logs the mean of every loss, and saves a checkpoint when one is due. The last hook: a stop leaves from here."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop

    def before_step(self) -> None:
        self.loop.begin_step()

    def after_step(self) -> None:
        found = {name: value for name, (value, _) in self.trainer.storage.latest().items()}
        losses = {name: value for name, value in found.items() if name.startswith("loss")}
        lr = self.trainer.optimizer.param_groups[0]["lr"]
        self.loop.average({"lr": lr}, train_loss=found["total_loss"], **losses)
        self.loop.end_step()


def train(cfg: Any, run: Run, names: data.Names) -> tuple[nn.Module, dict[str, float]]:
    """Train the model of `cfg`, or go on where a resumed run stopped; the model, and images per second."""
    model = build_model(cfg)
    optimizer = make_optimizer(cfg, model)
    scheduler = build_lr_scheduler(cfg, optimizer)
    saved = run.restore()
    loop = Loop(run, cfg.SOLVER.MAX_ITER, {"model": model, "optimizer": optimizer, "scheduler": scheduler}, saved=saved,
                facts={"cfg": cfg.dump(), "things": names.things, "stuff": names.stuff, "sample": run.sample},
                unit="img", per_step=cfg.SOLVER.IMS_PER_BATCH, log_every=LOG_EVERY, looks=LOOKS)  # fmt: skip
    if not saved:
        path = weights.initial(cfg)
        if path:
            weights.load(model, path, whole=False)
    with torch.random.fork_rng(devices=[]):  # a loader takes a number from the generator when it starts
        trainer = SimpleTrainer(model, data.train_loader(cfg, run.seed, loop.done), optimizer)
    looks = Images(loop, cfg, evaluation.records(cfg)[:3])
    trainer.register_hooks([hooks.LRScheduler(optimizer, scheduler), looks, Numbers(loop)])
    logging.getLogger("detectron2.engine.train_loop").setLevel(logging.CRITICAL)  # a stop is no failure
    with loop.bar:
        trainer.train(loop.done, loop.total)
    return model, {"images_per_second": loop.rate}

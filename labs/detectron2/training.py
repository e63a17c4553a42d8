"""Training: detectron2's trainer with the hooks of this lab.

A trainer runs the loop, hooks do all else after each step: the notes (section 86) find the log printed by one. Here
they are three: the learning rate (detectron2's own), pictures of what the model sees by now, and numbers with
checkpoints.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import torch
from detectron2.engine import HookBase, SimpleTrainer, hooks
from detectron2.modeling import build_model
from detectron2.solver import build_lr_scheduler, build_optimizer, get_default_optimizer_params
from torch import nn

from labkit.runs.run import Run
from labs.detectron2 import data, evaluation, pictures, weights

LOG_EVERY = 20  # steps
LOOKS = 4  # times during a training that pictures are drawn


def make_optimizer(cfg: Any, model: nn.Module) -> torch.optim.Optimizer:
    """SGD as detectron2 builds it, or AdamW, with which short trainings from nothing get further."""
    if cfg.SOLVER.OPTIMIZER == "SGD":
        return build_optimizer(cfg, model)
    params = get_default_optimizer_params(model, weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM)
    return torch.optim.AdamW(params, lr=cfg.SOLVER.BASE_LR, weight_decay=cfg.SOLVER.WEIGHT_DECAY)


class Pictures(HookBase):
    """Draws what the model finds in a few pictures, several times during the training."""

    def __init__(self, run: Run, cfg: Any, records: list[dict[str, Any]]) -> None:
        self.run, self.cfg, self.records = run, cfg, records
        self.steps = {(k + 1) * cfg.SOLVER.MAX_ITER // LOOKS for k in range(LOOKS)}

    def after_step(self) -> None:
        step = self.trainer.iter + 1
        if step in self.steps:
            model = self.trainer.model
            model.eval()
            pictures.show_predictions(self.run, self.cfg, model, self.records, f"step_{step:06}",
                                      f"What the model finds after {step:,} steps.")  # fmt: skip
            model.train()


class Numbers(HookBase):
    """Logs the mean of every loss, and saves a checkpoint when one is due. The last hook: a stop leaves from here."""

    def __init__(self, run: Run, cfg: Any, bar: Any, scheduler: Any, facts: dict[str, Any]) -> None:
        self.run, self.cfg, self.bar, self.scheduler, self.facts = run, cfg, bar, scheduler, facts
        self.sums: dict[str, float] = {}
        self.count, self.images, self.seconds = 0, 0, 0.0

    def before_step(self) -> None:
        self.began = time.perf_counter()

    def after_step(self) -> None:
        step, batch = self.trainer.iter + 1, self.cfg.SOLVER.IMS_PER_BATCH
        last = step == self.cfg.SOLVER.MAX_ITER
        for name, (value, _) in self.trainer.storage.latest().items():
            if name.startswith("loss") or name == "total_loss":
                self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1
        self.images, self.seconds = self.images + batch, self.seconds + time.perf_counter() - self.began
        self.bar.advance(batch, loss=self.trainer.storage.latest()["total_loss"][0])
        if step % LOG_EVERY == 0 or last:
            means = {name: value / self.count for name, value in self.sums.items()}
            lr = self.trainer.optimizer.param_groups[0]["lr"]
            self.run.log(step, train_loss=means.pop("total_loss"), **means, lr=lr)
            self.run.time(step, images_per_second=self.images / self.seconds)
            self.sums, self.count = {}, 0
        self.run.checkpoint(step, self.state, last=last)

    def state(self) -> dict[str, Any]:
        trainer = self.trainer
        return {**self.facts, "step": trainer.iter + 1, "model": trainer.model.state_dict(), "sums": self.sums,
                "count": self.count, "optimizer": trainer.optimizer.state_dict(),
                "scheduler": self.scheduler.state_dict()}  # fmt: skip


def train(cfg: Any, run: Run, names: data.Names) -> tuple[nn.Module, dict[str, float]]:
    """Train the model of `cfg`, or go on where a resumed run stopped; the model, and pictures per second."""
    model = build_model(cfg)
    optimizer = make_optimizer(cfg, model)
    scheduler = build_lr_scheduler(cfg, optimizer)
    saved = run.restore()
    start = saved["step"] if saved else 0
    if saved:
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        scheduler.load_state_dict(saved["scheduler"])
    else:
        path = weights.initial(cfg)
        if path:
            weights.load(model, path, whole=False)
    batch, total = cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.MAX_ITER
    facts = {"cfg": cfg.dump(), "things": names.things, "stuff": names.stuff, "sample": run.sample}
    with torch.random.fork_rng(devices=[]):  # a loader takes a number from the generator when it starts
        trainer = SimpleTrainer(model, data.train_loader(cfg, run.seed, start), optimizer)
    with run.progress(total * batch, start=start * batch) as bar:
        numbers = Numbers(run, cfg, bar, scheduler, facts)
        if saved:
            numbers.sums, numbers.count = saved["sums"], saved["count"]
        looks = Pictures(run, cfg, evaluation.records(cfg)[:3])
        trainer.register_hooks([hooks.LRScheduler(optimizer, scheduler), looks, numbers])
        logging.getLogger("detectron2.engine.train_loop").setLevel(logging.CRITICAL)  # a stop is no failure
        trainer.train(start, total)
    return model, {"images_per_second": numbers.images / max(numbers.seconds, 1e-9)} if numbers.images else {}

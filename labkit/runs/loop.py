"""The housekeeping of a training loop, so that what stays in a lab is the training step.

    loop = Loop(run, config.steps, {"model": model, "optimizer": optimizer}, saved=run.restore(), looks=8)
    for step in loop:                                 # 0, 1, ...; from where a resumed run stopped
        ...                                           # the step itself
        loop.average(train_loss=loss)                 # logged every so many steps
        if loop.time_to_look:                         # eight times in all
            loop.log(test_loss=evaluate(model))

or, epoch by epoch:

    loop = Loop(run, epochs * steps_per_epoch, parts, saved=run.restore(), per_step=batch_size, epoch=steps_per_epoch)
    for epoch in loop.epochs():
        for positions in loop.batches():              # slice(0, batch_size), ...; only these are timed
            ...
            loop.average(train_loss=loss)
        loop.log(**loop.means(), test_loss=evaluate(model))

After every step, and after the rest of an epoch's last one, it saves a checkpoint where one is due, and stops politely.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Iterator, Mapping, Sequence

import torch
from matplotlib.figure import Figure

from labkit.base.errors import UserError
from labkit.runs import older, states
from labkit.runs.run import Run


class Loop:
    """Where a training stands. It knows nothing of models, losses or optimizers.

    `parts` is what the next step depends on: things with `state_dict`, lists of such, and tensors, lists and dicts that
    are changed in place. `facts` are saved beside them and never restored. `saved` is what `run.restore()` returned.
    """

    def __init__(
        self,
        run: Run,
        total: int,
        parts: Mapping[str, Any],
        saved: Mapping[str, Any] | None,
        facts: Mapping[str, Any] | None = None,
        unit: str = "step",
        per_step: int = 1,
        epoch: int = 0,
        log_every: int = 0,
        looks: int = 0,
        offset: int = 0,
    ) -> None:
        """`per_step` of `unit` ("img") are in a step, which the bar and the rate count; `epoch` steps are in an epoch.

        Means are logged `log_every` steps (0: fifty times in all); with epochs, when the lab asks for them. `offset`
        steps of the run came before this training.
        """
        self.run, self.total, self.per_step = run, total, per_step
        self.done = 0  # steps that are over
        self.step = 0  # the number of the step that is being done, from 1, or that was done last
        self.looks: list[torch.Tensor] = []  # what `keep` was given
        self._parts, self._facts, self._offset = parts, facts or {}, offset
        self._unit, self._epoch, self._looks = unit, epoch, looks
        self._log_every = log_every or max(1, total // 50)
        self._sums: dict[str, list[Any]] = {}  # name -> [sum, count] since the last row of the log
        self._nameless: list[torch.Tensor] = []  # sums of a run from before they had names
        self.seconds, self._timed = 0.0, 0  # of this many steps, in all processes that the run has had
        self._shown: dict[str, float] = {}
        if saved:
            self._resume(saved)
        run.in_epochs(epoch)
        self.bar = run.progress(total * per_step, start=self.done * per_step, unit=unit)

    # ---- going through it ----

    def __iter__(self) -> Iterator[int]:
        """Step after step: the number of steps before it."""
        with self.bar:
            while self.done < self.total:
                self.begin_step()
                yield self.done
                self.end_step()

    def epochs(self) -> Iterator[int]:
        """Epoch after epoch, 0, 1, ...; in each of them the lab goes through `batches` once."""
        with self.bar:
            while self.done < self.total:
                yield self.done // self._epoch
                self._checkpoint()

    def batches(self) -> Iterator[slice]:
        """The positions that each batch of this epoch has in the order of the epoch."""
        for position in range(self.done % self._epoch, self._epoch):
            self.begin_step()
            yield slice(position * self.per_step, (position + 1) * self.per_step)
            self.end_step()

    def begin_step(self) -> None:
        """`for` calls this and `end_step`; so does the hook of a trainer that has a loop of its own."""
        self.step = self.done + 1
        self._began = time.perf_counter()

    def end_step(self) -> None:
        """Count the step and save where that is due; an epoch's last step is over only when the epoch is."""
        at_epoch_end = self._epoch and self.step % self._epoch == 0
        if at_epoch_end and self.run.device.type == "cuda":
            torch.cuda.synchronize()  # a GPU computes behind our back: only now are the steps done
        self.done += 1
        self.seconds, self._timed = self.seconds + time.perf_counter() - self._began, self._timed + 1
        epoch = f"epoch {self._place}/{self.total // self._epoch}" if self._epoch else ""
        self.bar.advance(self.per_step, epoch, **self._shown)
        if not at_epoch_end:
            self._checkpoint()

    @property
    def _place(self) -> int:
        """The epoch of the step that was done last, from 1."""
        return -(-self.done // self._epoch)

    def save(self) -> None:
        """Save now, whatever the time: where the lab ended the training early."""
        self.run.checkpoint(self._offset + self.done, self.state, last=True)

    @property
    def rate(self) -> float:
        """Units per second, over the steps that `seconds` is of."""
        return self._timed * self.per_step / max(self.seconds, 1e-9)

    # ---- what is logged ----

    def average(self, latest: Mapping[str, float] | None = None, **values: Any) -> None:
        """Take this step's values into the means; where a row of the log is due, log it, with the `latest` values.

        Values are scalar tensors or numbers; None was not measured in this step. Sums have float32, or the dtype of a
        float64 tensor, and in a training of several processes a tensor is first averaged over them.
        """
        measured = {name: value for name, value in values.items() if value is not None}
        if self._nameless:
            named = {name: [total, self.done % self._period] for name, total in zip(values, self._nameless)}
            self._sums = {**{name: named[name] for name in named if name in measured}, **self._sums}
            self._nameless = []
        tensors = {name: _wide(value) for name, value in measured.items() if isinstance(value, torch.Tensor)}
        self.run.average(tensors.values())
        for name, value in measured.items():
            value = tensors.get(name, value)
            total, count = self._sums.get(name, (0.0, 0))
            self._sums[name] = [total + value, count + 1]
        self._show(measured)
        if not self._epoch and (self.step % self._log_every == 0 or self.step == self.total):
            self.log(**self.means(), **(latest or {}))

    def means(self) -> dict[str, float]:
        """The mean of each value since the last time this was asked, in the order in which they came."""
        means = {name: float(total / count) for name, (total, count) in self._sums.items()}
        self._sums = {}
        self._show(means)
        return means

    def log(self, **values: float) -> None:
        """A row of the log at this step and, where units are images, how many a second it was so far."""
        self.run.log(self.step, **values)
        self._show(values)
        if self._unit == "img":
            self.run.time(self.step, images_per_second=self.rate)

    def figure(self, name: str, figure: Figure, caption: str) -> None:
        """A figure as it is at this step, shown live too."""
        self.run.figure(name, figure, caption, self.step)

    @property
    def time_to_look(self) -> bool:
        """Whether this step is the last of one of the `looks` equal parts of the training."""
        return self._looks_until(self.step) > self._looks_until(self.step - 1)

    def keep(self, look: torch.Tensor) -> None:
        """Put what was seen at this look behind those of the looks before, in `looks`; it is saved with the rest."""
        if self.looks and self.looks[0].shape != look.shape:
            raise UserError("what the checkpoint kept of earlier looks has another shape", f"./inv lab {self.run.lab}")
        self.looks.append(look)

    @property
    def look_steps(self) -> list[int]:
        """The steps at which the `looks` that are there were kept."""
        all_of_them = [k for k in range(1, self.total + 1) if self._looks_until(k) > self._looks_until(k - 1)]
        return all_of_them[: len(self.looks)]

    # ---- what is saved ----

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, as tensors, numbers, text, lists and dicts."""
        return {
            **self._facts,
            **{name: states.of(part) for name, part in self._parts.items()},
            "step": self.done,
            "sums": {name: [states.on_cpu(total), count] for name, (total, count) in self._sums.items()},
            "looks": torch.stack([look.cpu() for look in self.looks]) if self.looks else [],
            "seconds": self.seconds,
            "timed_steps": self._timed,
        }

    def _resume(self, saved: Mapping[str, Any]) -> None:
        try:
            saved, nameless = older.today(saved)
            for name, part in self._parts.items():
                states.load(part, saved[name])
            self.done = self.step = int(saved["step"])
            if not 0 <= self.done <= self.total:
                raise ValueError(f"it is at step {self.done} of {self.total}")
            self.looks = list(saved["looks"])[: self._looks_until(self.done)]
            self._sums = {name: [total, count] for name, (total, count) in saved["sums"].items()}
            self._nameless = nameless if self.done % self._period else []
            self.seconds, self._timed = float(saved["seconds"]), int(saved["timed_steps"])
            states.check_means(self._sums, self.looks)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise UserError(
                f"the checkpoint of {self.run.folder.name} does not fit this version of {self.run.lab}: {reason}",
                f"./inv lab {self.run.lab}",
            ) from None

    @property
    def _period(self) -> int:
        """How many steps a mean is over."""
        return self._epoch or self._log_every

    def _checkpoint(self) -> None:
        self.run.checkpoint(self._offset + self.done, self.state, last=self.done == self.total)

    def _looks_until(self, step: int) -> int:
        return step * self._looks // self.total

    def _show(self, values: Mapping[str, Any]) -> None:
        """On the bar: losses and what was tested; no tensor is read that a GPU may still compute."""
        for name, value in values.items():
            if not name.endswith("loss") and not name.startswith(("test_", "holdout_")):
                continue
            if isinstance(value, torch.Tensor):
                value = float(value.detach()) if value.device.type == "cpu" else None
            if isinstance(value, float):
                self._shown[name.partition("/")[0]] = value


def one_after_another(
    run: Run,
    plan: Sequence[Any],
    train: Callable[[Any, dict[str, Any] | None, dict[str, Any]], dict[str, Any]],
    facts: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Train all of a plan in one run; what is finished when it stops is not done again by the resumed run.

    `train(part, saved, facts)` gives what tables and plots need, its "steps" among them. `saved` is the state to go on
    from, or None, and `facts`, for the checkpoints of its loop, holds what was "finished" before it.
    """
    saved = run.restore()
    finished: list[dict[str, Any]] = saved["finished"] if saved else []
    kept = {**facts, "finished": finished}
    for part in plan[len(finished) :]:
        finished.append(train(part, saved, kept))
        saved = None
    run.checkpoint(sum(row["steps"] for row in finished), lambda: kept, last=True)
    return finished


def _wide(value: torch.Tensor) -> torch.Tensor:
    """Without its graph, and in a dtype in which sums lose little."""
    return value.detach() if value.dtype == torch.float64 else value.detach().float()

"""A lab's run: its folder, what it logs and shows, and its checkpoints."""

from __future__ import annotations

import contextlib
import math
import os
import random
import signal
import tempfile
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterable, Mapping, Sequence

from labkit.base import files, paths, typed
from labkit.base.console import say, warn
from labkit.base.errors import UserError
from labkit.base.language import each
from labkit.runs import checkpoints, contents, processes, records, report
from labkit.runs.checkpoints import read_checkpoint
from labkit.runs.contents import Config, DataUsed, Environment, History, Item, Items, Status, Summary, Table
from labkit.runs.live import Bar, TensorBoard, Windows

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

FLUSH_EVERY_S = 5.0
REPORT_EVERY_S = 20.0
SECOND_SIGNAL_S = 1.0


class Stopped(Exception):
    """Raised by `Run.checkpoint` once everything is saved, after Ctrl-C or a polite kill."""


class Run:
    """One run of a lab. Everything it writes is under `folder`."""

    folder: Path
    seed: int
    sample: bool
    smoke: bool
    device: torch.device

    def __init__(self, folder: Path, facts: Mapping[str, Any], save_every_s: float = 60.0) -> None:
        """Set up by `start`; `facts` is the content of config.json."""
        self.folder = folder
        self.lab = str(facts["lab"])
        self.facts = dict(facts)
        self.seed, self.sample, self.smoke = int(facts["seed"]), bool(facts["sample"]), bool(facts["smoke"])
        self._save_every_s = save_every_s
        lock = records.lock(folder)
        if lock is None:
            raise UserError(f"the run {folder.name} is still running in another process", "./inv runs")
        self._lock: int = lock
        self._stop_asked_at: float | None = None
        self._last_step_done = False
        self._history: History = {}
        self._metrics = open(folder / "metrics.jsonl", "ab")  # noqa: SIM115 - open for as long as the run
        self._timings = open(folder / "timings.jsonl", "a", encoding="utf-8")  # noqa: SIM115
        self._board: TensorBoard | None = None
        self._board_from, self._arranged = 0, False
        self._later_rows: int | None = None  # where in metrics.jsonl those begin that are done again
        self._logging_s = 0.0
        self._windows = Windows(folder, self._snapshot)
        self._epoch_steps: int | None = None  # None until a loop has said it
        self._items = list((contents.read(folder, "report.json", Items) or Items()).items)
        self._seconds_before = records.read(folder).seconds
        self._began = self._saved_at = self._reported_at = self._flushed_at = time.monotonic()
        self._report_every_s = REPORT_EVERY_S

    # ---- what a lab uses ----

    def dataset(self, name: str) -> Path:
        """The folder of the data set `name`, or of its sample in a `--sample` run; the report says which it was."""
        from labkit.data import samples

        state = samples.locate(name, sample=self.sample)
        self._env.data[name] = DataUsed(state.kind, state.source, state.when)
        typed.write(self.folder / "env.json", self._env)
        meaning = {
            "sample": "a small synthetic stand-in, not the real data",
            "recorded": "no hash is published: the first download counts",
            "unverified": "not checked against published hashes",
        }
        say(f"data: {name} ({state.kind}{': ' + meaning[state.kind] if state.kind in meaning else ''})")
        return state.path

    def log(self, step: int, **scalars: float) -> None:
        """Record values that the seed determines (never times) at `step`: train_loss=..., test_accuracy=..., lr=..."""
        began = time.monotonic()
        self._forget_later_rows()
        values = {name: contents.plain_number(value) for name, value in scalars.items()}
        for name, value in values.items():
            self._remember(name, int(step), math.nan if value is None else value)
        self._metrics.write(contents.line(int(step), values).encode())
        self.time(step, seconds=round(self._seconds, 2))
        board = self._open_board()
        if not self._arranged:
            board.arrange(str(self.facts.get("title", self.lab)), self._history)
            self._arranged = True
        for name in scalars:
            panel, line = records.split(name)
            board.add(name if panel == line else f"{panel}/{line}", self._history[name][1][-1], int(step))
        self._windows.changed()
        self._refresh()
        self._logging_s += time.monotonic() - began

    def in_epochs(self, steps: int) -> None:
        """Say of how many steps an epoch is, 0 for none; trainings of one run that differ in it are drawn in steps."""
        self._epoch_steps = steps if self._epoch_steps in (None, steps) else 0

    def time(self, step: int, **measured: float) -> None:
        """Record seconds or rates at `step`, apart from the values that must repeat exactly."""
        values = {name: contents.plain_number(value) for name, value in measured.items()}
        self._timings.write(contents.line(int(step), values))

    def progress(self, total: int, start: int = 0, unit: str = "img") -> Bar:
        """A bar over `total` units, `start` of them done before: `with run.progress(n) as bar: bar.advance(128)`."""
        return Bar(total, start, unit)

    def figure(self, name: str, fig: Figure, caption: str, step: int | None = None) -> None:
        """Save `fig` as plots/NAME.png and show it in the report, in the order in which figures arrive.

        With the `step` at which it was drawn it is also shown live, in visdom and in TensorBoard, which keeps the older
        ones of that name.
        """
        from labkit.runs import fonts

        content = fonts.as_png(fig)
        files.write_bytes(files.made(self.folder / "plots") / f"{name}.png", content)
        self._show(Item("figure", name, contents.text(caption), step))
        if step is not None:
            self._open_board().add_image(name, content, step)
            self._windows.changed()
            self._refresh()

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], caption: str) -> None:
        """Save a table as tables/NAME.json and show it in the report. Cells are text, `code`, or numbers."""
        content = Table(list(map(contents.cell, columns)), [list(map(contents.cell, row)) for row in rows])
        typed.write(files.made(self.folder / "tables") / f"{name}.json", content)
        self._show(Item("table", name, contents.text(caption)))

    def note(self, text: str) -> None:
        """A sentence that the reader of the report should not miss."""
        self._show(Item("note", each(text)["en"], contents.text(text)))

    def part_of(self, batch: slice) -> slice:
        """This process's part of the positions `batch`; all of them where it trains alone (`--gpus`)."""
        return processes.part_of(batch)

    def average(self, tensors: Iterable[torch.Tensor]) -> None:
        """Replace each tensor, such as a gradient, by its mean over the processes that train together."""
        processes.average(tensors)

    def restore(self) -> dict[str, Any] | None:
        """In a resumed run the state of the last checkpoint, with the random generators as they were; else None."""
        path = self._checkpoint_path
        content = processes.share(path.read_bytes() if path.exists() else b"")
        if not content:
            if path.exists():
                raise UserError(f"{path} is empty, so there is nothing to resume from", f"./inv lab {self.lab}")
            self._later_rows = 0
            return None
        if not path.exists():  # not the first of several processes
            files.made(path.parent)
            path.write_bytes(content)
        saved = read_checkpoint(path, self.lab)
        try:
            checkpoints.set_random_state(saved["rng"])
        except ValueError as error:
            raise UserError(f"{path} is damaged: {error}", f"./inv lab {self.lab}") from None
        self._later_rows = saved["metrics_bytes"]
        self._board_from = saved["step"] + 1
        say(f"resumed: {self.folder.name} after step {saved['step']}")
        state: dict[str, Any] = saved["state"]
        return state

    def checkpoint(self, step: int, make_state: Callable[[], dict[str, Any]], last: bool = False) -> None:
        """Call after every step. Saves `make_state()` when that is due, when it is the `last`, and before a stop.

        For a stop (Ctrl-C) it then raises Stopped, which a lab lets through. The state holds tensors, numbers, text,
        lists and dicts: everything that the next step depends on, except the global random generators, which are
        saved with it.
        """
        self._last_step_done = last
        stop = processes.any_of(self._stop_asked_at is not None)
        if stop or last or time.monotonic() - self._saved_at >= self._save_every_s:
            self._save(int(step), make_state())
        if stop:
            raise Stopped

    # ---- how it works ----

    def _open_board(self) -> TensorBoard:
        if self._board is None:
            self._board = TensorBoard(self.folder / "tensorboard", self._board_from)
        return self._board

    @property
    def _checkpoint_path(self) -> Path:
        return self.folder / "checkpoints" / "last.pt"

    def _save(self, step: int, state: dict[str, Any]) -> None:
        from labkit.runs import compat

        self._forget_later_rows()
        self._flush()
        os.fsync(self._metrics.fileno())
        content = {
            "lab": self.lab,
            "config": self.facts["options"],
            "step": step,
            "state": state,
            "rng": checkpoints.random_state(),
            "metrics_bytes": self._metrics.tell(),
        }
        files.made(self._checkpoint_path.parent)
        compat.save(content, self._checkpoint_path)
        self._saved_at = time.monotonic()

    def begin(self, exact: bool = True) -> None:
        """Choose the device, seed everything, and write down what the result depends on.

        `exact`: a GPU takes the slower way of an operation where only that repeats to the bit.
        """
        import numpy
        import torch

        from labkit.runs import compat, provenance

        self.device, reason = provenance.choose_device(self.smoke)
        if processes.any_of(self.device.type == "cuda"):
            if processes.any_of(self.device.type != "cuda"):
                raise UserError(f"not every process has its own GPU; process {processes.rank()}: {reason}")
            processes.use_gpus()
        say(f"run: {paths.shown(self.folder)}")
        say(f"device: {self.device.type} ({reason})")
        if self.device.type == "cuda" and exact:
            compat.repeat_exactly()
        random.seed(self.seed)
        numpy.random.seed(self.seed)
        torch.manual_seed(self.seed)

        first = contents.read(self.folder, "env.json", Environment)
        if self.device.type == "cpu":
            provenance.choose_threads(first.threads if first else None)
        self._env = provenance.environment(self.device, reason, self.seed)
        if first:
            pairs = [(name, getattr(first, name), getattr(self._env, name)) for name in SAME]
            changed = [f"{name} {old} → {new}" for name, old, new in pairs if old is not None and old != new]
            if changed:
                text = f"Resumed under other conditions; an uninterrupted run may differ: {', '.join(changed)}."
                warn(text)
                self.note(text)
            self._env = first
        else:
            typed.write(self.folder / "env.json", self._env)
            if self._env.dirty and processes.rank() == 0:
                provenance.keep_changes(self.folder / "code.diff")
        _begun.add(self)
        if processes.rank() == 0:
            self._windows.start()
        self.record("running")

    def ask_stop(self, signum: int, _frame: Any) -> None:
        """Handle a signal: the next `checkpoint` saves and stops; a second signal stops at once."""
        # One Ctrl-C may arrive twice: from the terminal, and passed on by the program that started us.
        now = time.monotonic()
        if self._stop_asked_at is None:
            self._stop_asked_at = now
            will = "writing the results of the last step" if self._last_step_done else "stopping after this step"
            with contextlib.suppress(OSError):
                os.write(2, f"\n{will}, with everything saved; Ctrl-C again stops at once\n".encode())
        elif now - self._stop_asked_at > SECOND_SIGNAL_S:
            signal.signal(signum, signal.SIG_DFL)
            raise KeyboardInterrupt

    def record(
        self, status: Status, metrics: Mapping[str, float] | None = None, error: str = "", traceback: str = ""
    ) -> None:
        """Write down where the run stands: summary.json, the plot of the curves, the report."""
        self._flush()
        if status != "failed":
            self._forget_later_rows()
        if metrics is None:
            metrics = {name: values[-1] for name, (_, values) in self._history.items()}
        summary = Summary(
            status=status,
            metrics={name: contents.plain_number(value, whole=True) for name, value in metrics.items()},
            seconds=round(self._seconds, 1),
            epoch_steps=self._epoch_steps or 0,
            # Of the time since this process began: in `log`, and of the processor for visdom's windows.
            logging_share=round((self._logging_s + self._windows.busy_s) / (time.monotonic() - self._began), 4),
            error=error,
            traceback=traceback,
        )
        typed.write(self.folder / "summary.json", summary)
        if self._history:
            from labkit.runs import plots

            plots.curves(self._history, files.made(self.folder / "plots" / "curves"), self._epoch_steps or 0)
        report.render(self.folder)

    @property
    def _seconds(self) -> float:
        """In all its processes, without pauses."""
        return self._seconds_before + time.monotonic() - self._began

    def _refresh(self) -> None:
        """Keep the files and the report fresh; the report every 20 s, and for at most a two-hundredth of the time."""
        began = time.monotonic()
        if began - self._flushed_at >= FLUSH_EVERY_S:
            self._flush()
        if began - self._reported_at < self._report_every_s:
            return
        self.record("running")
        self._reported_at = time.monotonic()
        self._report_every_s = max(REPORT_EVERY_S, 200 * (self._reported_at - began))

    def close(self) -> None:
        """Let go of everything; the folder stays."""
        self._windows.close()
        for output in (self._board, self._metrics, self._timings):
            if output is not None:
                with contextlib.suppress(OSError):  # a full disk was told of before
                    output.close()
        _begun.discard(self)
        if self._lock >= 0:  # in a forked worker the lock is the parent's
            os.close(self._lock)
        self._lock = -1

    def is_empty(self) -> bool:
        """Whether nothing that anyone would miss was written."""
        return not (self._history or self._items or self._checkpoint_path.exists())

    def _flush(self) -> None:
        self._flushed_at = time.monotonic()
        self._metrics.flush()
        self._timings.flush()
        if self._board is not None:
            self._board.flush()

    def _forget_later_rows(self) -> None:
        """Drop what was logged after the checkpoint, since it is done again; a run that only refuses loses nothing."""
        if self._later_rows is None:
            return
        path = self.folder / "metrics.jsonl"
        self._flush()
        os.truncate(path, min(self._later_rows, path.stat().st_size))
        self._later_rows = None
        self._history = contents.history(self.folder)

    def _remember(self, name: str, step: int, value: float) -> None:
        steps, values = self._history.setdefault(name, ([], []))
        steps.append(step)
        values.append(value)

    def _snapshot(self) -> History:
        """The history for visdom, copied, since the training thread goes on appending: first a step, then its value."""
        copied = {}
        for name, (steps, values) in list(self._history.items()):
            kept = list(values)
            copied[name] = (steps[: len(kept)], kept)
        return copied

    def _show(self, item: Item) -> None:
        names = [(old.kind, old.name) for old in self._items]
        if (item.kind, item.name) in names:
            self._items[names.index((item.kind, item.name))] = item
        else:
            self._items.append(item)
        typed.write(self.folder / "report.json", Items(self._items))


SAME = ("torch", "python", "device", "threads", "processes", "cpu", "commit")


_begun: weakref.WeakSet[Run] = weakref.WeakSet()  # the runs that go on in this process


def _leave_to_parent() -> None:
    """In a forked worker: Ctrl-C reaches it too, but stopping is the parent's business, and so are the locks."""
    while _begun:
        run = _begun.pop()
        os.close(run._lock)
        run._lock = -1
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


os.register_at_fork(after_in_child=_leave_to_parent)  # once, since it cannot be taken back


class Helper(Run):
    """Any but the first of several processes: it computes as the first does, and nothing that it writes is kept."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._temporary = tempfile.TemporaryDirectory()
        folder = Path(self._temporary.name)
        typed.write(folder / "config.json", typed.taken(facts, Config))
        super().__init__(folder, facts)

    def _nothing(self, *_: Any, **__: Any) -> None:
        pass

    log = time = in_epochs = figure = table = note = record = _save = _nothing

    def close(self) -> None:
        super().close()
        self._temporary.cleanup()

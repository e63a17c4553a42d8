"""What can be watched while a lab runs: a progress bar in the terminal, curves in TensorBoard and in visdom."""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import socket
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any, Callable

from rich.progress import BarColumn, Progress, TextColumn

from labkit import login, runs
from labkit.console import console, say
from labkit.errors import UserError

PLAIN_LINE_EVERY_S = 10.0


class Bar:
    """A progress bar with rate and time left; where nobody watches, a plain line now and then.

    `with run.progress(total=50_000, unit="img") as bar: ...; bar.advance(128, loss=0.7)`
    """

    def __init__(self, total: int, start: int = 0, unit: str = "img") -> None:
        self._total, self._start, self._done, self._unit = total, start, start, unit
        # Where it stood in each of the last seconds: the rate is that of late, not of a slow start.
        self._marks = collections.deque([(time.monotonic(), start)], maxlen=30)
        self._said = time.monotonic()
        self._shown = ""
        self._rich: Progress | None = None
        if sys.stderr.isatty():
            self._rich = Progress(
                BarColumn(), TextColumn("{task.fields[shown]}"), console=console, refresh_per_second=4
            )
            self._task = self._rich.add_task("", total=total, completed=start, shown="")

    def __enter__(self) -> Bar:
        if self._rich:
            self._rich.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._rich:
            self._rich.stop()
        elif self._done > self._start:
            say(f"  {self._text()}")

    def advance(self, amount: int = 1, **shown: float) -> None:
        """Count `amount` more units, and show the latest values of whatever is worth watching."""
        self._done += amount
        if shown:
            self._shown = "  ".join(f"{name} {value:.4g}" for name, value in shown.items())
        now = time.monotonic()
        if now - self._marks[-1][0] >= 1.0:
            self._marks.append((now, self._done))
            if self._rich is None and now - self._said >= PLAIN_LINE_EVERY_S:
                self._said = now
                say(f"  {self._text()}")
        if self._rich:
            self._rich.update(self._task, completed=self._done, shown=self._text())

    def _text(self) -> str:
        (then, before), now = self._marks[0], time.monotonic()
        rate = (self._done - before) / max(now - then, 1e-9)  # units per second
        left_s = int((self._total - self._done) / rate) if rate else 0
        return "  ".join(
            part
            for part in (
                f"{self._done:,}/{self._total:,} {self._unit}",
                f"{rate:,.{0 if rate >= 10 else 1}f} {self._unit}/s",
                f"{left_s // 60}:{left_s % 60:02d} left" if left_s else "",
                self._shown,
            )
            if part
        )


class TensorBoard:
    """Writes scalars as TensorBoard reads them.

    Written here and now: tensorboardX's own SummaryWriter leaves it to a thread, and when that dies of a full disk,
    the training waits for it for ever.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        """`first_step`: what an earlier process of the same run wrote from there on is to be forgotten; 0 for none."""
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.summary import scalar

        self._event, self._scalar = Event, scalar
        folder.mkdir(exist_ok=True)
        self._events = EventsWriter(str(folder / "events"))
        if first_step:
            again = SessionLog(status=SessionLog.START)
            self._events.write_event(Event(wall_time=time.time(), step=first_step, session_log=again))

    def add(self, tag: str, value: float, step: int) -> None:
        """Record one scalar."""
        self._events.write_event(self._event(wall_time=time.time(), step=step, summary=self._scalar(tag, value)))

    def arrange(self, layout: dict[str, Any]) -> None:
        """Say which scalars share a chart in the tab of custom scalars, as tensorboardX's `add_custom_scalars` does."""
        from tensorboardX.summary import custom_scalars

        self._events.write_event(self._event(wall_time=time.time(), summary=custom_scalars(layout)))

    def flush(self) -> None:
        """Let a TensorBoard that watches see everything."""
        self._events.flush()

    def close(self) -> None:
        """Finish the file."""
        self._events.close()


class Windows(threading.Thread):
    """Keeps the curves of a run drawn in visdom, whether its server comes, goes or was never there.

    `snapshot()` returns {name: (steps, values)}. Each panel is drawn whole, so that a server which was started late, or
    restarted, shows everything; training never waits for it. `busy_s` is the processor time that all this took.
    """

    REDRAW_S, RETRY_S, AT_MOST = 2.0, 10.0, 0.005  # the last: of the time, spent on drawing

    def __init__(self, environment: str, snapshot: Callable[[], dict[str, tuple[list[int], list[float]]]]) -> None:
        super().__init__(name="visdom", daemon=True)
        self.busy_s = 0.0
        self._environment, self._snapshot = environment, snapshot
        self._news, self._over = threading.Event(), threading.Event()

    def changed(self) -> None:
        """Say that there is something new to draw."""
        self._news.set()

    def close(self) -> None:
        """Draw the last state, if a server is there and quick about it."""
        self._over.set()
        self._news.set()
        if self.is_alive():
            self.join(timeout=3.0)

    def run(self) -> None:
        client = None
        while True:
            self._news.wait()
            over = self._over.is_set()
            self._news.clear()
            began = time.thread_time()
            client = client or connect(self._environment)
            connected = time.thread_time()
            try:
                if client:
                    draw(client, self._snapshot())
            except Exception:  # whatever a client does when its server goes away must not reach the training
                client = None
            ended = time.thread_time()
            self.busy_s += ended - began
            if over:
                return
            self._over.wait(max(self.REDRAW_S, (ended - connected) / self.AT_MOST) if client else self.RETRY_S)


TOLD_AT_MOST = 1000  # points of a line
PATIENCE_S = 5.0  # with a server that is there and does not answer
RECORD = "visdom.jsonl"  # in a run's folder: what the lab itself sent to visdom


def draw(client: Any, history: dict[str, tuple[list[int], list[float]]]) -> None:
    """Draw each panel of `history` as a window, instead of the one that is there."""
    import numpy as np

    for panel, names in runs.panels(history).items():
        lines = {runs.split(name)[1]: history[name] for name in names}
        length = max(len(steps) for steps, _ in lines.values())
        stride = -(-length // TOLD_AT_MOST)
        x, y = np.full((2, length, len(lines)), np.nan)
        for column, (steps, values) in enumerate(lines.values()):
            x[: len(steps), column], y[: len(values), column] = steps, values
        x, y = x[::stride], y[::stride]
        options = {"title": panel.replace("_", " "), "legend": list(lines), "xlabel": "step"}
        if len(lines) == 1:
            x, y = x[:, 0], y[:, 0]
        client.line(Y=y, X=x, win=panel, opts=options)


def connect(environment: str) -> Any | None:
    """A visdom client, or None where nothing listens."""
    host, port = os.environ.get("VISDOM_SERVER", "127.0.0.1"), int(os.environ.get("VISDOM_PORT", "8097"))
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=0.3):
        # The client would ask the user's proxy, which cannot reach this machine's loopback.
        direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")
        if host not in direct:
            os.environ["no_proxy"] = f"{direct},{host}"
        logging.getLogger("visdom").setLevel(logging.CRITICAL)
        with warnings.catch_warnings(), contextlib.suppress(Exception):
            warnings.simplefilter("ignore")
            import visdom

            class Client(visdom.Visdom):
                def _handle_post(self, url: str, data: Any = None) -> str:
                    return str(self.session.post(url, data=data or {}, timeout=PATIENCE_S).text)

                def _send(self, msg: dict[str, Any], *arguments: Any, **options: Any) -> Any:
                    # A page that is open draws a window anew only when its version is another one (visdom 0.3).
                    return super()._send({**msg, "version": int(1000 * time.time())}, *arguments, **options)

            address = f"http://{host}"
            options = {"raise_exceptions": True, "use_incoming_socket": False, **credentials()}
            return Client(address, port=port, env=environment, **options)
    return None


def credentials() -> dict[str, str]:
    """What a client must say to a visdom that is open to other machines; nothing for one that is not."""
    password = login.password()
    return {"username": login.USER, "password": password} if password else {}


def replay(folder: Path) -> None:
    """Rebuild the windows of the run in `folder`, finished or not. Raises UserError where no visdom answers."""
    client = connect(runs.read(folder).environment)
    if client is None:
        raise UserError("no visdom answers.", "invoke visdom")
    draw(client, runs.history(folder))
    if (folder / RECORD).exists():
        client.replay_log(str(folder / RECORD))


if __name__ == "__main__":
    replay(Path(sys.argv[1]))

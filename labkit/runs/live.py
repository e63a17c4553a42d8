"""What can be watched while a lab runs: a progress bar in the terminal; curves, images in TensorBoard and visdom."""

from __future__ import annotations

import base64
import collections
import contextlib
import hashlib
import http.client
import json
import math
import re
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterable
from urllib import request
from urllib.error import HTTPError

from rich.progress import BarColumn, Progress, TextColumn

from labkit.base import login, settings
from labkit.base.console import console, say, warn
from labkit.base.errors import UserError
from labkit.runs import contents, records
from labkit.runs.contents import History, Items

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

    def advance(self, amount: int = 1, where: str = "", **shown: float) -> None:
        """Count `amount` more units, and show `where` that is and the latest values of whatever is worth watching."""
        self._done += amount
        if where or shown:
            values = (f"{name.replace('_', ' ')} {value:.4g}" for name, value in shown.items())
            self._shown = "  ".join([*([where] if where else []), *values])
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
    """Writes scalars and images as TensorBoard reads them.

    Written here and now: tensorboardX's own SummaryWriter leaves it to a thread, and when that dies of a full disk,
    the training waits for it for ever.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        """`first_step`: what an earlier process of the same run wrote from there on is to be forgotten; 0 for none."""
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.proto.summary_pb2 import Summary
        from tensorboardX.summary import scalar

        self._event, self._scalar, self._summary = Event, scalar, Summary
        folder.mkdir(exist_ok=True)
        # The name of a file holds the second in which it was begun: without more, a run that is resumed in the same
        # second would write over what it has.
        self._events = EventsWriter(str(folder / "events"), filename_suffix=f".{first_step:09d}")
        if first_step:
            again = SessionLog(status=SessionLog.START)
            self._events.write_event(Event(wall_time=time.time(), step=first_step, session_log=again))

    def add(self, tag: str, value: float, step: int) -> None:
        """Record one scalar."""
        self._events.write_event(self._event(wall_time=time.time(), step=step, summary=self._scalar(tag, value)))

    def add_image(self, tag: str, png: bytes, step: int) -> None:
        """Record one image, the content of a PNG file in colour."""
        width, height = contents.png_size(png)
        image = self._summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
        summary = self._summary(value=[self._summary.Value(tag=tag, image=image)])
        self._events.write_event(self._event(wall_time=time.time(), step=step, summary=summary))

    def arrange(self, title: str, names: Iterable[str]) -> None:
        """Say which scalars share a chart in the tab of custom scalars: the lines of a panel, as in the report."""
        from tensorboardX.summary import custom_scalars

        charts = {panel.replace("_", " "): ["Multiline", [f"^{panel}(/.*)?$"]] for panel in records.panels(names)}
        self._events.write_event(self._event(wall_time=time.time(), summary=custom_scalars({title: charts})))

    def flush(self) -> None:
        """Let a TensorBoard that watches see everything."""
        self._events.flush()

    def close(self) -> None:
        """Finish the file."""
        self._events.close()


class Windows(threading.Thread):
    """Keeps the curves and live images of a run drawn in visdom, whether its server comes, goes or was never there.

    `snapshot()` returns {name: (steps, values)}. Each panel is drawn whole, so that a server which was started late, or
    restarted, shows everything; training never waits for it. `busy_s` is the processor time that all this took.
    """

    REDRAW_S, RETRY_S, AT_MOST = 2.0, 10.0, 0.005  # the last: of the time, spent on drawing

    def __init__(self, folder: Path, snapshot: Callable[[], History]) -> None:
        super().__init__(name="visdom", daemon=True)
        self.busy_s = 0.0
        self._folder, self._snapshot = folder, snapshot
        self._environment = records.read(folder).environment
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
        server, told = None, ""
        while True:
            self._news.wait()
            over = self._over.is_set()
            self._news.clear()
            began = time.thread_time()
            try:
                server = server or connect(self._environment)
                if server:
                    server.draw(self._snapshot())
                    server.draw_images(self._folder)
                    told = ""
            except Refused as refused:  # said once; it may be started anew, and let us in
                if told != refused.message:
                    told = refused.message
                    warn(f"{refused.message}.  next: {refused.next_command}")
            except (OSError, http.client.HTTPException):  # it has gone away: look for it again
                server = None
            busy = time.thread_time() - began
            self.busy_s += busy
            if over:
                return
            self._over.wait(max(self.REDRAW_S, busy / self.AT_MOST) if server else self.RETRY_S)


TOLD_AT_MOST = 1000  # points of a line
PATIENCE_S = 5.0  # with a server that is there and does not answer
RECORD = "visdom.jsonl"  # in a run's folder: what the lab itself sent to visdom


class Refused(UserError):
    """A visdom is there and does not let us in."""


class Server:
    """One environment of a visdom server, told by plain HTTP: to import visdom's client takes seconds of computing."""

    def __init__(self, address: str, environment: str) -> None:
        self._address, self._environment = address, environment
        self._drawn: dict[str, int] = {}  # the step of each image that it shows
        # The user's proxy cannot reach this machine's loopback, and the login is a cookie.
        self._opener = request.build_opener(request.ProxyHandler({}), request.HTTPCookieProcessor())
        if login.password():
            digest = hashlib.sha256(login.password().encode()).hexdigest()
            with contextlib.suppress(HTTPError):  # 500 of one that asks nobody: whether we are in, the next one says
                self.tell("", {"username": login.USER, "password": digest})
        try:
            self.tell("env_state", {})
        except HTTPError as error:
            if error.code not in (400, 401, 403):  # visdom 0.2.4 says 400, later ones 401
                raise
            what = f"{address} is a visdom that refuses our login: it shows nothing of this run."
            raise Refused(what, "./inv visdom --stop, then ./inv visdom") from None

    def tell(self, endpoint: str, message: dict[str, Any]) -> None:
        """Send one message. Raises OSError where the server is gone, slow or unwilling."""
        body = json.dumps(message).encode()
        asked = request.Request(f"{self._address}/{endpoint}", body, {"Content-Type": "application/json"})
        with self._opener.open(asked, timeout=PATIENCE_S) as answer:
            answer.read()

    def show(self, message: dict[str, Any], endpoint: str = "events") -> None:
        """Show a window, instead of the one of that name."""
        # A page that is open draws a window anew only when its version is another one (visdom 0.3).
        self.tell(endpoint, {**message, "eid": self._environment, "version": int(1000 * time.time())})

    def draw(self, history: History) -> None:
        """Show a window of lines for each panel of `history`."""
        for panel, names in records.panels(history).items():
            lines = []
            for name in names:
                steps, values = history[name]
                last, stride = len(values) - 1, -(-len(values) // TOLD_AT_MOST)
                chosen = sorted({*range(0, last, stride), last})
                x = [steps[k] for k in chosen]
                y = [values[k] if math.isfinite(values[k]) else None for k in chosen]
                lines.append({"type": "scatter", "mode": "lines", "name": records.split(name)[1], "x": x, "y": y})
            title = panel.replace("_", " ")
            layout = {"title": {"text": title}, "xaxis": {"title": {"text": "step"}}, "showlegend": True}
            self.show({"win": panel, "data": lines, "layout": layout, "opts": {"title": title}})

    def draw_images(self, folder: Path) -> None:
        """Show each live image of the run in `folder` that is newer than what is shown."""
        for item in (contents.read(folder, "report.json", Items) or Items()).items:
            name, step = item.name, item.step
            if step is None or self._drawn.get(name) == step:
                continue
            png = contents.read_bytes(folder, f"plots/{name}.png")
            width, height = contents.png_size(png)
            if not width:
                continue
            source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
            content = {"type": "image", "content": {"src": source, "caption": str(contents.both_of(item.caption))}}
            # Drawn at 144 dots per inch, shown at a browser's 96.
            opts = {"title": name.replace("_", " "), "width": width * 2 // 3, "height": height * 2 // 3}
            self.show({"win": name, "data": [content], "layout": {}, "opts": opts})
            self._drawn[name] = step

    def repeat(self, folder: Path) -> None:
        """Show what visdom's own client wrote down in the run `folder` (its option log_to_filename).

        Anybody may have written it: nothing but windows is shown, and no window with a script in it.
        """
        for line in contents.read_bytes(folder, RECORD).decode("utf-8", "replace").split("\n"):
            try:
                endpoint, message = json.loads(line)
                shown = [one for one in message["data"] if endpoint == "events" and isinstance(one, dict)]
            except (ValueError, TypeError, KeyError, RecursionError):
                continue
            if shown:
                self.show({**message, "data": [_without_scripts(one) for one in shown]})


# What a text may hold: bare tags, and a video as the client writes it. visdom puts all else into its page as well.
TAG = re.compile(
    r"</?(?:h[1-6]|p|b|i|em|strong|br|code|pre|ul|ol|li|table|tr|th|td|video)>|<video controls[ a-z]*>|"
    r'<source type="video/\w+" src="data:video/\w+;base64,[\w+/=]*">'
)


def _without_scripts(shown: dict[str, Any]) -> dict[str, Any]:
    """What a window shows, with every other tag in a text as text."""
    if not isinstance(shown.get("content"), str):
        return shown
    text, tags = shown["content"], TAG.finditer(shown["content"])
    places = {tag.start() for tag in tags}
    safe = "".join("&lt;" if letter == "<" and place not in places else letter for place, letter in enumerate(text))
    return {**shown, "content": safe}


def connect(environment: str) -> Server | None:
    """The visdom server that labs draw on, or None where none answers. Raises Refused where it does not let us in."""
    host, port = settings.current().visdom_server, int(settings.current().visdom_port)
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=0.3):
        return Server(f"http://{host}:{port}", environment)
    return None


def has_windows(folder: Path) -> bool:
    """Whether the run in `folder` drew anything that can be shown again."""
    items = (contents.read(folder, "report.json", Items) or Items()).items
    images = any(item.step is not None for item in items)
    return images or bool(contents.inside(folder, RECORD)) or bool(contents.history(folder))


def replay(folder: Path) -> None:
    """Rebuild the windows of the run in `folder`, finished or not. Raises UserError where no visdom answers."""
    server = connect(records.read(folder).environment)
    if server is None:
        raise UserError("no visdom answers", "./inv visdom")
    try:
        server.draw(contents.history(folder))
        server.draw_images(folder)
        server.repeat(folder)
    except (OSError, http.client.HTTPException) as error:
        raise UserError(f"visdom does not take the windows of this run ({error})", "./inv visdom --stop") from None


if __name__ == "__main__":
    try:
        replay(Path(sys.argv[1]))
    except UserError as error:
        warn(f"error: {error}")
        sys.exit(2)

"""Dashboards: every kind of visdom pane and of tensorboardX record, filled by a small network that learns two spirals.

    ./inv visdom                   first, in another terminal, to watch live; without it nothing is lost
    ./inv lab dashboards           trains for a few seconds and fills both dashboards
    ./inv visdom --replay=latest   the same panes again, any time later
    ./inv tensorboard              the records

You learn which image answers which question while a network trains (sections 39-40 of the notes), and that both
dashboards work after training too, with no network.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboardX import SummaryWriter
from torch import nn
from torch.nn import functional as F
from visdom import Visdom

from labkit.base.console import say
from labkit.runs import compat, live, plots, records
from labkit.runs.loop import Loop
from labkit.runs.run import Run
from labkit.runs.start import start
from labs.dashboards.config import PRESETS, Config

# Shapes: N points of the plane, each with a label 0 or 1. A map is the square [-1, 1] x [-1, 1] as SIDE x SIDE pixels.


SIDE, FRAMES, ZOOM = 64, 30, 4
WHAT = ("blue spiral", "orange spiral")
COLOURS = ((86, 180, 233), (230, 159, 0))  # Okabe and Ito's sky blue and orange


# ---- data and network ----


def spirals(count: int, turns: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points float32 (N, 2) of two spirals, one inside the other, with some noise, and labels float32 (N)."""
    random = np.random.RandomState(seed)
    labels = np.arange(count) % 2
    radius = np.sqrt(random.uniform(0.02, 0.9, count))
    angle = 2 * math.pi * turns * radius + math.pi * labels
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1) + random.normal(0, 0.02, (count, 2))
    return torch.from_numpy(points).float(), torch.from_numpy(labels).float()


class Network(nn.Module):
    """Two hidden layers or `more`: points (N, 2) in, logits (N) out."""

    def __init__(self, hidden: int, layers: int = 2, activation: str = "tanh") -> None:
        super().__init__()
        self.first = nn.Linear(2, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.more = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(layers - 2))
        self.head = nn.Linear(hidden, 1)
        self.activation = getattr(torch, activation)

    def features(self, points: torch.Tensor) -> torch.Tensor:
        """What the last hidden layer makes of the points, (N, hidden)."""
        values = 4 * points
        for layer in (self.first, self.second, *self.more):
            values = self.activation(layer(values))
        return values

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(points)).squeeze(1)


@torch.no_grad()
def make_map(network: Network, device: torch.device) -> np.ndarray:
    """The probability of label 1 all over the plane: float32 (SIDE, SIDE), its first row at the bottom."""
    line = torch.linspace(-1, 1, SIDE)
    plane = torch.stack([line.repeat(SIDE), line.repeat_interleave(SIDE)], dim=1)  # (SIDE * SIDE, 2) as x, y
    return torch.sigmoid(network(plane.to(device))).reshape(SIDE, SIDE).cpu().numpy()


def image(probabilities: np.ndarray) -> np.ndarray:
    """A map as an image, uint8 0..255 (3, ZOOM * SIDE, ZOOM * SIDE) RGB: blue for label 0, orange for label 1."""
    low, high = map(np.array, COLOURS)
    upright = np.kron(probabilities[::-1], np.ones((ZOOM, ZOOM)))[..., None]
    return (low + upright * (high - low)).astype(np.uint8).transpose(2, 0, 1)


# ---- training ----


def train(network: Network, points: torch.Tensor, labels: torch.Tensor, config: Config, run: Run,
          writer: SummaryWriter) -> np.ndarray:  # fmt: skip
    """Train in place. Logs to both dashboards as it goes and returns the maps on the way, (FRAMES, SIDE, SIDE)."""
    optimizer = torch.optim.Adam(network.parameters(), lr=config.lr)
    parts = {"network": network, "optimizer": optimizer}
    loop = Loop(run, config.steps, parts, saved=run.restore(), looks=FRAMES)
    for _ in loop:
        logits = network(points)
        loss = F.binary_cross_entropy_with_logits(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loop.time_to_look:
            accuracy = ((logits > 0).float() == labels).float().mean()
            loop.log(train_loss=loss, train_accuracy=accuracy)  # the run sends these to visdom and TensorBoard, live
            loop.keep(torch.from_numpy(make_map(network, run.device)))
            for name, values in network.named_parameters():
                writer.add_histogram(name.replace(".", "/"), values.detach().cpu().numpy(), loop.step)
                writer.add_histogram(f"gradient/{name}", values.grad.cpu().numpy(), loop.step)
    return torch.stack(loop.looks).numpy()


# ---- visdom: environments hold windows, which visdom calls panes ----


def fill_panes(panes: Visdom, network: Network, points: np.ndarray, labels: np.ndarray, logits: np.ndarray,
               maps: np.ndarray, folder: Path) -> None:  # fmt: skip
    """One pane of every kind, each with the question that it answers as its title."""
    final, steps = maps[-1], np.arange(1, FRAMES + 1)
    sure = np.abs(maps - 0.5).mean(axis=(1, 2)) * 2
    panes.line(Y=sure, X=steps, win="line", opts={"title": "line: how sure, over time?", "xlabel": "frame"})
    panes.scatter(X=points, Y=labels.astype(int) + 1, win="scatter",  # its labels begin at 1
                  opts={"title": "scatter: what do we know?", "legend": list(WHAT), "markersize": 5})  # fmt: skip
    right = [float(((logits > 0) == labels)[labels == k].mean()) for k in (0, 1)]
    panes.bar(X=np.array(right), win="bar", opts={"title": "bar: which class is harder?", "rownames": list(WHAT)})
    panes.histogram(X=logits, win="histogram", opts={"title": "histogram: are the logits apart?", "numbins": 40})
    panes.heatmap(X=final, win="heatmap", opts={"title": "heat map: where is the border?", "colormap": "Viridis"})
    panes.image(image(final), win="image", opts={"title": "image: the last map"})
    some = np.stack([image(maps[k]) for k in np.linspace(0, FRAMES - 1, 6).astype(int)])  # (6, 3, H, W)
    panes.images(some, nrow=3, win="images", opts={"title": "images: how did it get there?"})
    size = sum(p.numel() for p in network.parameters())
    panes.text(f"<h3>Two spirals</h3><p>{len(labels)} points, {size} parameters, {np.mean(right):.1%} right.</p>",
               win="text", opts={"title": "text: what was this?"})  # fmt: skip
    panes.video(videofile=str(make_video(maps, folder)), win="video", opts={"title": "video: the border moves"})
    corners, triangles = make_mesh(final[::3, ::3])
    panes.mesh(X=corners, Y=triangles, win="mesh", opts={"title": "mesh: the map as a landscape", "opacity": 0.9})


def make_video(maps: np.ndarray, folder: Path) -> Path:
    """The maps as a film of ten images a second, in VP9, which OpenCV writes and every browser plays."""
    path = folder / "plots" / "training.mp4"
    path.parent.mkdir(exist_ok=True)
    film = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"vp09"), 10.0, (ZOOM * SIDE, ZOOM * SIDE))
    for probabilities in maps:
        film.write(np.ascontiguousarray(image(probabilities).transpose(1, 2, 0)[..., ::-1]))  # uint8 HWC BGR
    film.release()
    return path


def make_mesh(heights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A landscape over the plane: corners float (V, 3), and triangles int (T, 3) that name their corners."""
    rows, columns = heights.shape
    x, y = np.meshgrid(np.linspace(-1, 1, columns), np.linspace(-1, 1, rows))
    number = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]
    halves = [np.stack([a, b, c], axis=-1).reshape(-1, 3), np.stack([b, d, c], axis=-1).reshape(-1, 3)]
    return np.stack([x, y, heights], axis=-1).reshape(-1, 3), np.concatenate(halves)


# ---- tensorboardX: records in a file, which TensorBoard reads ----


def write_records(writer: SummaryWriter, network: Network, points: torch.Tensor, labels: torch.Tensor,
                  maps: np.ndarray, steps: int) -> None:  # fmt: skip
    """What remains after the histograms that training wrote: one record of every other kind."""
    for k in range(0, FRAMES, 5):
        step = (k + 1) * steps // FRAMES
        writer.add_image("map", image(maps[k]), step)
        writer.add_scalar("sure", float(np.abs(maps[k] - 0.5).mean() * 2), step)
    with torch.no_grad():
        features, probabilities = network.features(points), torch.sigmoid(network(points))
    writer.add_embedding(features.cpu(), metadata=[WHAT[int(k)] for k in labels], tag="features", global_step=steps)
    writer.add_pr_curve("orange", labels.cpu().numpy(), probabilities.cpu().numpy(), steps)
    writer.add_text("question", "Which *spiral* does a point belong to?", steps)
    compat.add_graph(writer, network, points[:2])


# ---- what arrived ----


def panes_of(record: Path) -> list[list[str]]:
    """[name, kind as visdom's page draws it] of every pane in the file that the client wrote."""
    messages = [json.loads(line)[1] for line in record.read_text(encoding="utf-8").splitlines()]
    return [[message["win"], message["data"][0]["type"]] for message in messages]


def records_of(folder: Path) -> dict[str, int]:
    """How many tags of every kind TensorBoard finds in `folder`."""
    events = EventAccumulator(str(folder))
    events.Reload()
    tags = events.Tags()
    found = Counter({kind: len(tags[kind]) for kind in ("scalars", "histograms", "images")})
    for tag in tags["tensors"]:
        found[events.SummaryMetadata(tag).plugin_data.plugin_name] += 1
    found["graph"] = int(tags["graph"])
    found["embeddings"] = len(list(folder.glob("projector_config.pbtxt")))
    return {kind: count for kind, count in found.items() if count}


def main(config: Config, run: Run) -> dict[str, float]:
    """Train, fill both dashboards and read back what arrived. Returns the accuracy and the numbers of kinds."""
    points, labels = spirals(config.points, config.turns, run.seed)
    points, labels = points.to(run.device), labels.to(run.device)
    network = Network(config.hidden, config.layers, config.activation).to(run.device)
    board = run.folder / "tensorboard" / "records"  # a folder of its own: TensorBoard reads one file at a time in each
    with SummaryWriter(str(board)) as writer:  # closed by a stop, too
        maps = train(network, points, labels, config, run, writer)
        with torch.no_grad():
            logits = network(points).cpu().numpy()

        # Offline, the client writes to a file what it would send, and any server can be told it later.
        record, environment = run.folder / live.RECORD, records.read(run.folder).environment
        record.write_text("")  # a resumed run fills it anew
        panes = Visdom(env=environment, offline=True, log_to_filename=str(record))
        fill_panes(panes, network, points.cpu().numpy(), labels.cpu().numpy(), logits, maps, run.folder)
        server = live.connect(environment)
        if server:
            server.repeat(run.folder)
        say(f"visdom: {'environment ' + environment if server else 'no server; ./inv visdom --replay=latest shows it'}")

        write_records(writer, network, points, labels, maps, config.steps)
    panes_found, records_found = panes_of(record), records_of(board)
    figure, axes = plots.figure(width=4.6, height=4.2)
    axes[0, 0].imshow(image(maps[-1]).transpose(1, 2, 0), extent=(-1, 1, -1, 1))
    for label, colour, what in zip((0, 1), COLOURS, WHAT):
        of_it = points.cpu().numpy()[labels.cpu().numpy() == label]
        axes[0, 0].scatter(*of_it.T, color=np.array(colour) / 255, edgecolors="white", s=16, label=what)
    axes[0, 0].legend(loc="upper left", bbox_to_anchor=(1, 1))
    axes[0, 0].grid(False)
    run.figure("map", figure, "What the network says of every place: the more orange, the likelier the orange spiral; "
               "and the points that it learned from.")  # fmt: skip
    run.table("panes", ["pane", "drawn as"], panes_found, "The panes of visdom; to it, a video is a text.")
    run.table("records", ["kind", "tags"], [[kind, count] for kind, count in records_found.items()],
              "What TensorBoard finds of tensorboardX's records, beside the curves of the run itself.")  # fmt: skip
    accuracy = float(((logits > 0) == labels.cpu().numpy()).mean())
    return {"accuracy": accuracy, "panes": len(panes_found), "record_kinds": len(records_found)}


if __name__ == "__main__":
    start(main, Config, PRESETS)

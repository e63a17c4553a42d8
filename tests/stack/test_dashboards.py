"""The lab dashboards, as a user runs it, with no server: every kind of pane and record is in its files."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from labruns import Adam, Desk, assert_same_weights, run_here
from torch.nn import functional as F

from labkit.base.paths import ROOT
from labkit.runs import compat
from labs.dashboards import lab

PANES = {
    "line": "scatter", "scatter": "scatter", "bar": "bar", "histogram": "bar", "heatmap": "heatmap",
    "image": "image", "images": "image", "text": "text", "video": "text", "mesh": "mesh3d",
}  # fmt: skip
RECORDS = {"scalars", "histograms", "images", "graph", "embeddings", "pr_curves", "text"}


def test_the_smoke_run_fills_both_dashboards(tmp_path):
    places = {"PYTHONPATH": str(ROOT), "LAB_DATA": str(tmp_path / "data"), "LAB_RUNS": str(tmp_path), "LAB_VISDOM_PORT": "1"}
    command = [sys.executable, str(ROOT / "labs" / "dashboards" / "lab.py"), "--smoke"]
    done = subprocess.run(command, env={**os.environ, **places}, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "dashboards").iterdir()
    assert dict(lab.panes_of(folder / "visdom.jsonl")) == PANES
    assert set(lab.records_of(folder / "tensorboard" / "records")) == RECORDS
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["metrics"]["accuracy"] >= 0.95
    assert (folder / "plots" / "training.mp4").stat().st_size > 1000


def test_the_mesh_covers_the_plane():
    corners, triangles = lab.make_mesh(np.random.RandomState(0).rand(5, 7))
    assert corners.shape == (35, 3) and len(triangles) == 2 * 4 * 6
    a, b, c = (corners[triangles[:, k]][:, :2] for k in range(3))
    doubled = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    assert np.isclose(np.abs(doubled).sum() / 2, 4.0)  # the square [-1, 1] x [-1, 1], and no part of it twice


def test_an_image_is_upright():
    probabilities = np.zeros((lab.SIDE, lab.SIDE), dtype=np.float32)
    probabilities[0] = 1  # the lowest row of the plane
    shown = lab.image(probabilities)
    assert shown.shape == (3, lab.ZOOM * lab.SIDE, lab.ZOOM * lab.SIDE) and shown.dtype == np.uint8
    assert (shown[:, -1, 0] == [230, 159, 0]).all() and (shown[:, 0, 0] == [86, 180, 233]).all()


def test_gradients_vanish_through_eight_sigmoids_and_not_through_two_layers():
    points, labels = lab.spirals(400, 1.5, 0)
    shares = {}
    for layers, activation in ((2, "tanh"), (8, "sigmoid")):
        torch.manual_seed(0)
        network = lab.Network(32, layers, activation)
        F.binary_cross_entropy_with_logits(network(points), labels).backward()
        last = [network.second, *network.more][-1]
        shares[layers] = float(network.first.weight.grad.abs().mean() / last.weight.grad.abs().mean())
    assert shares[2] > 0.1 and shares[8] < 1e-4, shares


# ---- the training, and what is drawn of it ----


def test_three_steps_are_those_of_the_reference(monkeypatch, tmp_path):
    monkeypatch.setattr(lab, "FRAMES", 3)
    points, labels = lab.spirals(30, 1.5, 0)
    torch.manual_seed(0)
    network, desk, seen = lab.Network(6), Desk(), []
    reference = copy.deepcopy(network)

    class Writer:
        def add_histogram(self, name, values, step):
            seen.append((step, name, values.copy()))

    maps = lab.train(network, points, labels, lab.Config(steps=3, points=30, lr=0.02), desk, Writer())
    optimizer, rows, wanted = Adam(reference.parameters()), [], []
    for step in range(1, 4):
        logits = reference(points)
        loss = -(labels * torch.sigmoid(logits).log() + (1 - labels) * (1 - torch.sigmoid(logits)).log()).mean()
        gradients = optimizer.descend(loss, 0.02)
        right = ((logits > 0) == (labels == 1)).float().mean()
        rows.append({"step": step, "train_loss": float(loss), "train_accuracy": float(right)})
        for (name, weight), gradient in zip(reference.named_parameters(), gradients):
            wanted += [(step, name.replace(".", "/"), weight.detach().numpy().copy()), (step, f"gradient/{name}", gradient.numpy())]
    assert desk.logged == [pytest.approx(row, rel=1e-4) for row in rows]
    assert_same_weights(network, reference, atol=5e-5)
    assert [one[:2] for one in seen] == [one[:2] for one in wanted]
    assert all(np.abs(one[2] - other[2]).max() < 1e-4 for one, other in zip(seen, wanted))
    assert maps.shape == (3, lab.SIDE, lab.SIDE) and np.abs(maps[-1] - lab.make_map(network, desk.device)).max() == 0


def test_the_first_row_of_a_map_is_at_the_bottom_and_its_last_column_at_the_right():
    class Above(torch.nn.Module):
        def forward(self, points):
            return 99 * points[:, 1] + 9 * points[:, 0]

    found = lab.make_map(Above(), torch.device("cpu"))
    assert found[0].max() < 0.01 and found[-1].min() > 0.99 and (np.diff(found[lab.SIDE // 2]) > 0).all()


def test_the_spirals_are_called_by_their_colours(monkeypatch, tmp_path):
    """In visdom's panes, in TensorBoard's embedding and on the page: a point of label 0 lies on the blue spiral."""
    assert [name.split()[0] for name in lab.WHAT] == ["blue", "orange"]
    (r0, _, b0), (r1, _, b1) = lab.COLOURS
    assert b0 > r0 + 50 and r1 > b1 + 50  # which the map and the points have
    figures = {}
    monkeypatch.setattr(lab.Run, "figure", lambda run, name, figure, caption, step=None: figures.update({name: figure}))
    written = {}
    monkeypatch.setattr(lab.SummaryWriter, "add_embedding",
                        lambda writer, features, metadata, **rest: written.update(names=metadata))  # fmt: skip
    monkeypatch.setattr(lab, "records_of", lambda folder: {})
    status, said = run_here(lab, ["--steps=30", "--points=40", "--seed=3"], tmp_path, tmp_path)
    assert status == 0, said
    points, labels = (part.numpy() for part in lab.spirals(40, 1.5, 3))
    axis = figures["map"].axes[0]
    (image,) = axis.images
    assert tuple(image.get_extent()) == (-1, 1, -1, 1) and not axis.yaxis_inverted()
    for label, drawn in enumerate(axis.collections):
        assert drawn.get_label() == lab.WHAT[label] and np.allclose(drawn.get_offsets(), points[labels == label])
        assert np.allclose(drawn.get_facecolor()[0][:3] * 255, lab.COLOURS[label])
    assert written["names"] == [lab.WHAT[int(label)] for label in labels]
    (run,) = (tmp_path / "dashboards").iterdir()
    panes = {}
    for line in (run / "visdom.jsonl").read_text().splitlines():
        message = json.loads(line)[1]
        panes[message["win"]] = message
    for label, trace in enumerate(panes["scatter"]["data"]):
        assert trace["name"] == lab.WHAT[label] and np.allclose(trace["x"], points[labels == label, 0])
        assert np.allclose(trace["y"], points[labels == label, 1])
    assert panes["bar"]["data"][0]["x"] == list(lab.WHAT)
    with torch.no_grad():
        saved = compat.load(run / "checkpoints" / "last.pt")["state"]
        network = lab.Network(32)
        network.load_state_dict(saved["network"])
        guessed = (network(torch.from_numpy(points)) > 0).numpy()
    right = [float((guessed == labels)[labels == label].mean()) for label in (0, 1)]
    assert panes["bar"]["data"][0]["y"] == pytest.approx(right)
    assert json.loads((run / "summary.json").read_text())["metrics"]["accuracy"] == pytest.approx((guessed == labels).mean())
    assert f"{np.mean(right):.1%} right" in json.dumps(panes["text"])
    final = saved["looks"][-1].numpy()
    assert np.allclose(panes["heatmap"]["data"][0]["z"], final, atol=1e-6)
    sure = [float(np.abs(one - 0.5).mean() * 2) for one in saved["looks"].numpy()]
    assert panes["line"]["data"][0]["y"] == pytest.approx(sure, rel=1e-5)
    assert panes["line"]["data"][0]["x"] == list(range(1, lab.FRAMES + 1))

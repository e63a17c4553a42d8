"""The lab dashboards, as a user runs it, with no server: every kind of pane and record is in its files."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import torch
from torch.nn import functional as F

from labkit.base.paths import ROOT
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

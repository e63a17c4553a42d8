"""The pictures of the report, each made by what it is about."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torchvision import ops

from labkit.data import scenes
from labkit.runs import plots

HEIGHT, WIDTH = 96, 128
COLOURS = ("#0072b2", "#d55e00", "#009e73")


def drawn_image() -> np.ndarray:
    """Balls, one before the other: uint8 RGB (96, 128, 3)."""
    random = np.random.RandomState(7)
    image = scenes.backdrop(random, HEIGHT, WIDTH)
    for ink in ((200, 40, 30), (30, 90, 200), (240, 180, 40)):
        image = scenes.ball(random, image, np.array(ink), stripes=ink[0] == 30)
    return np.asarray(scenes.clip(image))


def transforms(results: dict[str, dict[str, Any]], image: np.ndarray) -> Figure:
    """What each operation makes of the image as PIL has it, or as the tensor where PIL cannot."""
    shown = {"the image": image.astype(int)}
    for name, made in results.items():
        found = [result for result in (made["pil"], made["tensor"]) if not isinstance(result, str)]
        if found:
            shown[name] = found[0]
    columns = 6
    figure, axes = plots.figure(-(-len(shown) // columns), columns, width=9.0, height=1.45)
    for axis in axes.flat:
        axis.axis("off")
    for axis, (name, pixels) in zip(axes.flat, shown.items()):
        axis.imshow(pixels.astype(np.uint8))
        axis.set_title(name, fontsize=8, fontweight="normal", loc="center", pad=3)
    figure.tight_layout()
    return figure


def suppression() -> Figure:
    """Twelve boxes around two things, and those that non-maximum suppression keeps at three thresholds."""
    random = torch.Generator().manual_seed(1)
    centres = torch.tensor([[30.0, 40.0], [85.0, 55.0]]).repeat_interleave(6, 0)
    centres = centres + torch.randn(12, 2, generator=random) * 5
    half = 16 + torch.randn(12, 2, generator=random) * 3
    boxes, scores = torch.cat([centres - half, centres + half], dim=1), torch.rand(12, generator=random)
    figure, axes = plots.figure(1, 4, width=9.0, height=2.2)
    kept = [("all twelve", torch.arange(12))]
    kept += [(f"IoU at most {threshold}", ops.nms(boxes, scores, threshold)) for threshold in (0.5, 0.3, 0.1)]
    for axis, (title, numbers) in zip(axes.flat, kept):
        for k in numbers.tolist():
            x1, y1, x2, y2 = boxes[k].tolist()
            axis.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, linewidth=1.4,
                                     edgecolor=COLOURS[k // 6], alpha=0.3 + 0.7 * scores[k].item()))  # fmt: skip
        axis.set_xlim(0, 120)
        axis.set_ylim(95, 0)
        axis.set_aspect("equal")
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_title(f"{title}: {len(numbers)}", fontsize=9)
    figure.tight_layout()
    return figure


def regions() -> Figure:
    """One region on a grid of features as RoIPool and as RoIAlign see it."""
    features = torch.arange(8.0).expand(1, 1, 6, 8) + torch.arange(6.0).view(1, 1, 6, 1)
    x1, y1, x2, y2 = 1.3, 0.8, 6.1, 4.4
    region = torch.tensor([[0, x1, y1, x2, y2]])
    figure, axes = plots.figure(1, 2, width=8.0, height=2.9)
    pooled = ops.roi_pool(features, region, (2, 2))[0, 0]
    aligned = ops.roi_align(features, region, (2, 2), sampling_ratio=2)[0, 0]
    for axis, title, made in ((axes[0, 0], "RoIPool: rounded, largest", pooled),
                              (axes[0, 1], "RoIAlign: 4 points a cell, mean", aligned)):  # fmt: skip
        axis.imshow(features[0, 0].numpy(), cmap="Blues", extent=(-0.5, 7.5, 5.5, -0.5), vmax=20)
        axis.set_title(f"{title}\n{[[round(v, 2) for v in row] for row in made.tolist()]}", fontsize=9)
        axis.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=COLOURS[1], linewidth=1.6))
    left, top, right, bottom = (int(np.floor(edge + 0.5)) for edge in (x1, y1, x2, y2))
    axes[0, 0].add_patch(Rectangle((left - 0.5, top - 0.5), right - left + 1, bottom - top + 1, fill=False,
                                   linestyle="--",
                                   edgecolor="#333333", linewidth=1.4))  # fmt: skip
    for i in range(4):
        for j in range(4):
            axes[0, 1].plot(x1 + (j + 0.5) / 4 * (x2 - x1), y1 + (i + 0.5) / 4 * (y2 - y1), "o", color=COLOURS[2], ms=4)
    figure.tight_layout()
    return figure

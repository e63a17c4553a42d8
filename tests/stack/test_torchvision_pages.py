"""The pictures of the lab torchvision: each box and image where it belongs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from labruns import title_of
from torchvision import ops

from labs.torchvision import figures


def box_of(patch):
    (x, y), width, height = patch.get_xy(), patch.get_width(), patch.get_height()
    return [x, y, x + width, y + height]


def test_suppression_keeps_fewer_boxes_the_lower_the_threshold():
    axes = figures.suppression().axes
    boxes = torch.tensor([box_of(patch) for patch in axes[0].patches])
    scores = torch.tensor([(patch.get_alpha() - 0.3) / 0.7 for patch in axes[0].patches])
    assert len(boxes) == 12
    for axis, (threshold, title) in zip(axes[1:], ((0.5, "IoU at most 0.5"), (0.3, "IoU at most 0.3"), (0.1, "IoU at most 0.1"))):
        kept = ops.nms(boxes, scores, threshold)
        assert title_of(axis) == f"{title}: {len(kept)}"
        assert np.allclose([box_of(patch) for patch in axis.patches], boxes[kept].numpy(), atol=1e-4)
    assert title_of(axes[0]) == "all twelve: 12" and axes[0].yaxis_inverted()
    for k, patch in enumerate(axes[0].patches):  # two things, a colour each
        x0, _, x1, _ = box_of(patch)
        assert ((x0 + x1) / 2 < 60) == (k < 6)
        assert np.allclose(patch.get_edgecolor(), axes[0].patches[6 * (k // 6)].get_edgecolor(), atol=1) and (
            (patch.get_edgecolor()[:3] == axes[0].patches[0].get_edgecolor()[:3]) == (k < 6))  # fmt: skip


def test_a_region_is_drawn_on_its_features_with_the_points_that_are_read():
    pooled, aligned = figures.regions().axes
    features = np.arange(8.0)[None] + np.arange(6.0)[:, None]
    for axis in (pooled, aligned):
        assert np.array_equal(axis.images[0].get_array(), features) and tuple(axis.images[0].get_extent()) == (-0.5, 7.5, 5.5, -0.5)
        assert box_of(axis.patches[0]) == pytest.approx([1.3, 0.8, 6.1, 4.4])
    assert box_of(pooled.patches[1]) == [0.5, 0.5, 6.5, 4.5]  # rounded to whole cells
    points = [(line.get_xdata()[0], line.get_ydata()[0]) for line in aligned.lines]
    assert len(points) == 16
    values = [x + y for x, y in points]  # features rise by one to the right and downwards, so a point reads x + y
    cells = np.array(values).reshape(2, 2, 2, 2).mean(axis=(1, 3))
    assert str([[round(float(value), 2) for value in row] for row in cells]) in title_of(aligned)


def test_each_transform_stands_under_its_name_the_image_first():
    image = figures.drawn_image()
    made = {"dark": {"pil": image // 2, "tensor": "TypeError"}, "none": {"pil": "no", "tensor": "no"},
            "tensor alone": {"pil": "no", "tensor": image // 4}}  # fmt: skip
    axes = [axis for axis in figures.transforms(made, image).axes if axis.images]
    assert [title_of(axis) for axis in axes] == ["the image", "dark", "tensor alone"]
    for axis, expected in zip(axes, (image, image // 2, image // 4)):
        assert np.array_equal(axis.images[0].get_array(), expected)
    assert image.shape == (96, 128, 3) and image.std() > 20

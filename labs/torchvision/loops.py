"""torchvision's operations on boxes and regions as plain loops, which are easier to read than to wait for.

Boxes are (N, 4): x1, y1, x2, y2, continuous coordinates in pixels, x2 and y2 exclusive. Regions are (K, 5): the number
of the image, then a box. Features are (N, C, H, W).
"""

from __future__ import annotations

import math
from typing import Sequence

import torch

Number = float


def box_area(boxes: torch.Tensor) -> list[Number]:
    """Width times height."""
    return [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in boxes.tolist()]


def iou(one: Sequence[Number], other: Sequence[Number]) -> Number:
    """Intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1])
    return shared / (areas - shared)


def box_iou(ones: torch.Tensor, others: torch.Tensor) -> list[list[Number]]:
    """Of (N, 4) and (M, 4): N rows of M numbers."""
    return [[iou(one, other) for other in others.tolist()] for one in ones.tolist()]


def nms(boxes: torch.Tensor, scores: torch.Tensor, threshold: Number) -> list[int]:
    """Non-maximum suppression: the boxes that stay, best first; each removes what overlaps it by more."""
    waiting = sorted(range(len(boxes)), key=lambda k: -scores[k].item())
    kept: list[int] = []
    while waiting:
        best = waiting.pop(0)
        kept.append(best)
        waiting = [k for k in waiting if iou(boxes[best].tolist(), boxes[k].tolist()) <= threshold]
    return kept


def batched_nms(boxes: torch.Tensor, scores: torch.Tensor, classes: torch.Tensor, threshold: Number) -> list[int]:
    """The same for each class alone: an apple never removes a pear."""
    kept: list[int] = []
    for name in set(classes.tolist()):
        own = [k for k in range(len(boxes)) if classes[k] == name]
        kept += [own[k] for k in nms(boxes[own], scores[own], threshold)]
    return sorted(kept, key=lambda k: -scores[k].item())


def clip_boxes_to_image(boxes: torch.Tensor, height: int, width: int) -> list[list[Number]]:
    """No box reaches out of the image."""
    return [[min(max(x1, 0), width), min(max(y1, 0), height), min(max(x2, 0), width), min(max(y2, 0), height)]
            for x1, y1, x2, y2 in boxes.tolist()]  # fmt: skip


def remove_small_boxes(boxes: torch.Tensor, least: Number) -> list[int]:
    """The numbers of those whose two sides are that long."""
    return [k for k, (x1, y1, x2, y2) in enumerate(boxes.tolist()) if x2 - x1 >= least and y2 - y1 >= least]


def bilinear(image: torch.Tensor, y: Number, x: Number) -> Number:
    """The value of an image (H, W) between its pixels; 0 more than one pixel outside, its edge within that."""
    height, width = image.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = y - top, x - left
    above = image[top, left] * (1 - across) + image[top, right] * across
    below = image[bottom, left] * (1 - across) + image[bottom, right] * across
    return float(above * (1 - down) + below * down)


def roi_align(features: torch.Tensor, regions: torch.Tensor, size: int, scale: Number, samples: int) -> torch.Tensor:
    """Each region as (C, size, size): the mean of samples x samples points in each cell, none of them rounded."""
    made = torch.zeros(len(regions), features.shape[1], size, size)
    for k, (number, *box) in enumerate(regions.tolist()):
        x1, y1, x2, y2 = (place * scale for place in box)
        high, wide = max(y2 - y1, 1) / size, max(x2 - x1, 1) / size
        for channel, image in enumerate(features[int(number)]):
            for i in range(size):
                for j in range(size):
                    steps = [(step + 0.5) / samples for step in range(samples)]
                    points = [bilinear(image, y1 + (i + a) * high, x1 + (j + b) * wide) for a in steps for b in steps]
                    made[k, channel, i, j] = sum(points) / len(points)
    return made


def roi_pool(features: torch.Tensor, regions: torch.Tensor, size: int, scale: Number) -> torch.Tensor:
    """The older way: the region rounded to whole pixels, and the largest pixel of each cell, its edges rounded too."""
    made = torch.zeros(len(regions), features.shape[1], size, size)
    height, width = features.shape[2:]
    for k, (number, *box) in enumerate(regions.tolist()):
        x1, y1, x2, y2 = (math.floor(place * scale + 0.5) for place in box)
        high, wide = max(y2 - y1 + 1, 1) / size, max(x2 - x1 + 1, 1) / size
        for i in range(size):
            for j in range(size):
                top, bottom = (min(max(y1 + edge, 0), height) for edge in (int(i * high), math.ceil((i + 1) * high)))
                left, right = (min(max(x1 + edge, 0), width) for edge in (int(j * wide), math.ceil((j + 1) * wide)))
                cell = features[int(number), :, top:bottom, left:right]
                if cell.numel():
                    made[k, :, i, j] = cell.flatten(1).max(1)[0]
    return made


def deform_conv2d(image: torch.Tensor, offset: torch.Tensor, weight: torch.Tensor, padding: int) -> torch.Tensor:
    """A convolution that reads each pixel beside its place: (1, C, H, W), offset (1, 2 K K, H, W) as y, x by tap."""
    _, _, height, width = offset.shape
    kernel = weight.shape[-1]
    made = torch.zeros(1, len(weight), height, width)
    for i in range(height):
        for j in range(width):
            for tap in range(kernel * kernel):
                y = i - padding + tap // kernel + offset[0, 2 * tap, i, j].item()
                x = j - padding + tap % kernel + offset[0, 2 * tap + 1, i, j].item()
                for channel, plane in enumerate(image[0]):
                    made[0, :, i, j] += weight[:, channel, tap // kernel, tap % kernel] * between(plane, y, x)
    return made


def between(image: torch.Tensor, y: Number, x: Number) -> Number:
    """As `bilinear`, where the image goes on with zeros."""
    top, left = math.floor(y), math.floor(x)
    total = 0.0
    for row, share_y in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, share_x in ((left, 1 - (x - left)), (left + 1, x - left)):
            if 0 <= row < image.shape[0] and 0 <= column < image.shape[1]:
                total += float(image[row, column]) * share_y * share_x
    return total


def make_grid(images: torch.Tensor, columns: int, gap: int) -> torch.Tensor:
    """Images (N, C, H, W) in rows, with a gap of zeros around each: one image."""
    count, channels, height, width = images.shape
    rows = math.ceil(count / columns)
    sheet = torch.zeros(channels, gap + rows * (height + gap), gap + min(columns, count) * (width + gap))
    for k, image in enumerate(images):
        top, left = gap + k // columns * (height + gap), gap + k % columns * (width + gap)
        sheet[:, top : top + height, left : left + width] = image
    return sheet

"""Synthetic images of ten shapes: what the samples of the CIFAR data sets consist of.

Every image is different in place, size, angle, colour, background and noise, so that a network has to learn the
shape. Only integer random numbers, + - * / and square roots are used: the bytes are the same with every NumPy.
"""

from __future__ import annotations

import math
from typing import Any, Sequence

import numpy as np

SIDE = 32
SHAPES = ("disc", "ring", "square", "frame", "triangle", "star", "cross", "moon", "stripes", "checks")
ANGLES = 64
TURNS = np.array([(math.cos(k * math.tau / ANGLES), math.sin(k * math.tau / ANGLES)) for k in range(ANGLES)])


def draw(rng: Any, shapes: Any, inks: Sequence[Sequence[int]] | None = None) -> Any:
    """Images of `shapes`, numbers into SHAPES, (N,) -> uint8 0..255 NHWC RGB (N, 32, 32, 3).

    `inks`, (N, 3), are the colours 0..255 to draw in; without them each image has a random one. `rng` is a
    numpy.random.RandomState.
    """
    count = len(shapes)
    ground = rng.randint(40, 216, (count, 1, 1, 3)) + _slope(rng, count)
    if inks is None:
        ink = _unlike(ground.mean(axis=(1, 2)), rng.randint(0, 256, (2, count, 3)))
    else:
        grey = rng.randint(30, 226, (count, 1, 1, 1)) + rng.randint(-12, 13, (count, 1, 1, 3))
        ground = grey + _slope(rng, count)
        ink = np.asarray(inks) + rng.randint(-24, 25, (count, 3))

    image = ground + np.zeros((count, SIDE, SIDE, 3))
    for _ in range(3):  # clutter, so that "something is there" does not tell the shape
        spot = _cover(_distances(rng, np.zeros(count, int), size=(2, 5), middle=15))
        image += spot * (rng.randint(0, 256, (count, 1, 1, 3)) - image)
    cover = np.zeros((count, SIDE, SIDE, 1))
    for number in range(len(SHAPES)):
        chosen = np.flatnonzero(shapes == number)
        cover[chosen] = _cover(_distances(rng, shapes[chosen], size=(6, 12), middle=6))
    image += cover * (ink[:, None, None] - image)
    image += rng.randint(-42, 43, image.shape)
    return np.clip(np.floor(image), 0, 255).astype(np.uint8)


def _slope(rng: Any, count: int) -> Any:
    """Light that falls off across the image: (N, 32, 32, 1)."""
    steps = np.arange(SIDE) - SIDE / 2
    across, down = rng.randint(-20, 21, (2, count, 1, 1, 1)) / 10.0
    return across * steps[None, None, :, None] + down * steps[None, :, None, None]


def _unlike(ground: Any, offers: Any) -> Any:
    """Of the colours offered, (K, N, 3), the one farthest from the ground of each image: (N, 3)."""
    gap = np.abs(offers - ground).sum(axis=2)  # (K, N)
    return offers[gap.argmax(axis=0), np.arange(len(ground))]


def _cover(distance: Any) -> Any:
    """How much of each pixel lies inside, 0..1, from the signed distance to the outline in pixels."""
    return np.clip(0.5 - distance, 0.0, 1.0)[..., None]


def _distances(rng: Any, shapes: Any, size: tuple[int, int], middle: int) -> Any:
    """Signed distance in pixels to the outline of N times the same shape, below 0 inside: (N, 32, 32)."""
    count = len(shapes)
    if not count:
        return np.zeros((0, SIDE, SIDE))
    radius = rng.randint(size[0] * 10, size[1] * 10, (count, 1, 1)) / 10.0
    x0, y0 = (SIDE - 1) / 2.0 + rng.randint(-middle * 10, middle * 10 + 1, (2, count, 1, 1)) / 10.0
    cos, sin = TURNS[rng.randint(0, ANGLES, count)].T[:, :, None, None]
    x, y = np.arange(SIDE)[None, None, :] - x0, np.arange(SIDE)[None, :, None] - y0
    return _outline(SHAPES[shapes[0]], cos * x + sin * y, cos * y - sin * x, radius)


def _outline(shape: str, x: Any, y: Any, r: Any) -> Any:
    """The signed distance, or a bound of it that is right near the outline, at (x, y) from the centre, for size r."""
    if shape == "disc":
        return np.sqrt(x * x + y * y) - r
    if shape == "ring":
        return np.abs(np.sqrt(x * x + y * y) - 0.78 * r) - 0.22 * r
    if shape == "moon":
        bite = np.sqrt((x - 0.55 * r) ** 2 + y * y) - 0.8 * r
        return np.maximum(np.sqrt(x * x + y * y) - r, -bite)
    box = np.maximum(np.abs(x), np.abs(y)) - 0.85 * r
    if shape == "square":
        return box
    if shape == "frame":
        return np.abs(box + 0.18 * r) - 0.2 * r
    if shape == "cross":
        bar, post = np.abs(x) - 0.3 * r, np.abs(y) - 0.3 * r
        return np.maximum(np.minimum(bar, post), box - 0.15 * r)
    if shape == "triangle":
        return _half_planes(x, y, 3).max(axis=0) - 0.55 * r
    if shape == "star":  # inside a pentagram: within at least four of its five lines
        return np.sort(_half_planes(x, y, 5), axis=0)[-2] - 0.42 * r
    along, across = _wave(x, 0.68 * r), _wave(y, 0.68 * r)  # bands end where the box does
    if shape == "stripes":
        return np.maximum(box, along)
    return np.maximum(box, np.minimum(np.maximum(along, across), np.maximum(-along, -across)))  # checks


def _half_planes(x: Any, y: Any, count: int) -> Any:
    """How far each point lies in each of `count` evenly turned directions: (count, N, 32, 32)."""
    turns = [(math.cos(k * math.tau / count), math.sin(k * math.tau / count)) for k in range(count)]
    return np.stack([cos * x + sin * y for cos, sin in turns])


def _wave(x: Any, period: Any) -> Any:
    """Signed distance to stripes, one centred at 0: below 0 in one half of each period, above 0 in the other."""
    return 0.25 * period - np.abs(x / period - np.floor(x / period) - 0.5) * period

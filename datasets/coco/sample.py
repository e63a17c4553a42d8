"""A stand-in for COCO 2017 in its layout: things on grass, some before others, with instances, panoptic and stuff."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from labkit.data.scenes import backdrop, clip, write_jpeg, write_png

HEIGHT, WIDTH = 120, 160
COUNTS = {"train2017": 120, "val2017": 30}
# The ids have gaps, as COCO's own do.
THINGS = {1: ("ball", (205, 40, 45)), 3: ("box", (40, 90, 200)), 7: ("tent", (240, 200, 50))}
STUFF = {187: ("sky", (120, 170, 230)), 193: ("grass", (70, 140, 60))}
CORNERS = 24  # of the polygon that a ball is
SEEN = 0.4  # of a thing that others stand in front of, at least this share is seen


def make(folder: Path, seed: int = 0) -> None:
    """Write {train,val}2017, panoptic_{train,val}2017 and annotations below `folder`: 120 and 30 images, 160x120."""
    rng = np.random.RandomState(seed)
    (folder / "annotations").mkdir()
    number = 0
    for split, count in COUNTS.items():
        images: list[Any] = []
        instances: list[Any] = []
        panoptic: list[Any] = []
        stuff: list[Any] = []
        for _ in range(count):
            number += 1
            name = f"{number:012}"
            image, objects, ground = _scene(rng)
            write_jpeg(folder / split / f"{name}.jpg", clip(image))
            images.append({"id": number, "file_name": f"{name}.jpg", "height": HEIGHT, "width": WIDTH, "license": 1})
            masks = [(category, mask) for category, mask, _ in objects] + ground
            colours = rng.permutation(np.arange(1, 256))[: len(masks)]
            drawn = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            segments = []
            for colour, (category, mask) in zip(colours.tolist(), masks):
                drawn[mask] = (colour, 0, 0)  # id = R + 256 G + 65536 B
                segments.append({"id": colour, "category_id": category, "iscrowd": 0, **_measures(mask)})
            write_png(folder / f"panoptic_{split}" / f"{name}.png", drawn)
            panoptic.append({"image_id": number, "file_name": f"{name}.png", "segments_info": segments})
            for category, mask, polygons in objects:
                instances.append({"id": len(instances) + 1, "image_id": number, "category_id": category, "iscrowd": 0,
                                  "segmentation": polygons, **_measures(mask)})  # fmt: skip
            for category, mask in ground:
                runs = {"size": [HEIGHT, WIDTH], "counts": _runs(mask)}
                stuff.append({"id": len(stuff) + 1, "image_id": number, "category_id": category, "iscrowd": 0,
                              "segmentation": runs, **_measures(mask)})  # fmt: skip
        things = [{"id": key, "name": name, "supercategory": "thing"} for key, (name, _) in THINGS.items()]
        ground_names = [{"id": key, "name": name, "supercategory": "outdoor"} for key, (name, _) in STUFF.items()]
        every = [{**row, "isthing": int(row["id"] in THINGS)} for row in (*things, *ground_names)]
        for kind, rows, categories in (
            ("instances", instances, things),
            ("panoptic", panoptic, every),
            ("stuff", stuff, ground_names),
        ):
            content = {"info": {"description": "drawn sample"}, "licenses": [{"id": 1, "name": "CC0", "url": ""}],
                       "images": images, "annotations": rows, "categories": categories}  # fmt: skip
            (folder / "annotations" / f"{kind}_{split}.json").write_text(json.dumps(content), encoding="ascii")


def _scene(rng: Any) -> tuple[Any, list[Any], list[Any]]:
    """An image, its things as (category, mask of what is seen, polygons), and its stuff as (category, mask)."""
    image = 0.25 * backdrop(rng, HEIGHT, WIDTH)
    horizon = rng.randint(35, 70)
    rows, columns = np.arange(HEIGHT)[:, None], np.arange(WIDTH)[None, :]
    labels = np.where(rows + 0 * columns < horizon, 187, 193)
    for key, (_, ink) in STUFF.items():
        image[labels == key] += 0.75 * np.array(ink)
    things: list[Any] = []  # from back to front: category, the part that is seen, all of it
    x = y = 0
    for number in range(rng.randint(1, 5)):
        category = (1, 3, 7)[rng.randint(3)]
        r = rng.randint(12, 24)
        if number and rng.randint(2):  # in front of the last one, more or less
            x, y = x + rng.randint(-r, r + 1), y + rng.randint(-r, r + 1)
        else:
            x, y = rng.randint(25, WIDTH - 25), rng.randint(45, 94)
        x, y = min(max(x, r), WIDTH - r), min(max(y, r), HEIGHT - r)
        corners = _corners(category, x, y, r)
        mask = _inside(corners, columns + 0.5, rows + 0.5)
        left = [(behind, seen & ~mask, whole) for behind, seen, whole in things]
        if any(seen.sum() < SEEN * whole.sum() or _has_hole(seen) for _, seen, whole in left):
            continue
        ink = np.array(THINGS[category][1]) + rng.randint(-20, 21, 3)
        image[mask] = ink * (1 - 0.3 * ((rows - y + r) / (2.0 * r) + 0 * columns))[mask][:, None]
        labels[mask] = 0
        things = [*left, (category, mask, mask)]
    image += rng.randint(-10, 11, image.shape)
    seen = [(category, mask, _outlines(mask)) for category, mask, _ in things]
    return image, seen, [(key, labels == key) for key in STUFF if (labels == key).any()]


def _corners(category: int, x: int, y: int, r: int) -> list[tuple[float, float]]:
    """The corners of a thing about (x, y), clockwise on the page."""
    if category == 1:
        return [(x + r * cos, y + r * sin) for cos, sin in (_turn(k) for k in range(CORNERS))]
    if category == 3:
        return [(x - r, y - r * 0.8), (x + r, y - r * 0.8), (x + r, y + r * 0.8), (x - r, y + r * 0.8)]
    return [(x, y - r), (x + r, y + r), (x - r, y + r)]


def _turn(k: int) -> tuple[float, float]:
    """Cosine and sine of k/CORNERS of a turn, rounded, so that no library's last digit matters."""
    return round(math.cos(math.tau * k / CORNERS), 6), round(math.sin(math.tau * k / CORNERS), 6)


def _inside(corners: list[tuple[float, float]], x: Any, y: Any) -> Any:
    """Which points lie within the convex polygon whose corners are given clockwise on the page."""
    inside = np.ones(np.broadcast(x, y).shape, bool)
    for (ax, ay), (bx, by) in zip(corners, [*corners[1:], corners[0]]):
        inside &= (bx - ax) * (y - ay) - (by - ay) * (x - ax) >= 0
    return inside


def _loops(mask: Any) -> list[list[tuple[int, int]]]:
    """The outlines of a mask along the edges of its pixels: corners (x, y), clockwise; those of holes the other way."""
    padded = np.pad(mask, 1, mode="constant").astype(int)
    after: dict[tuple[int, int], list[tuple[int, int]]] = {}  # corner -> where edges lead from it
    for dx, dy, edges in (
        (1, 0, padded[1:, 1:] > padded[:-1, 1:]), (-1, 0, padded[:-1, :-1] > padded[1:, :-1]),
        (0, 1, padded[1:, :-1] > padded[1:, 1:]), (0, -1, padded[:-1, 1:] > padded[:-1, :-1]),
    ):  # fmt: skip
        for y, x in np.argwhere(edges).tolist():
            after.setdefault((x, y), []).append((dx, dy))
    loops = []
    while after:
        place = start = min(after)
        dx, dy = after[start][0]
        loop: list[Any] = []
        while not loop or place != start:
            ways = after[place]
            turned = (-dy, dx) if (-dy, dx) in ways else ways[0]  # pixels that meet at a corner only stay apart
            if turned != (dx, dy) or not loop:
                loop.append(place)
            ways.remove(turned)
            if not ways:
                del after[place]
            dx, dy = turned
            place = (place[0] + dx, place[1] + dy)
        loops.append(loop)
    return loops


def _turns_right(loop: list[tuple[int, int]]) -> bool:
    """Whether a loop is clockwise on the page."""
    return sum(ax * by - bx * ay for (ax, ay), (bx, by) in zip(loop, [*loop[1:], loop[0]])) > 0


def _has_hole(mask: Any) -> bool:
    """Whether something smaller stands in the middle of it, which polygons in COCO's format cannot say."""
    return not all(_turns_right(loop) for loop in _loops(mask))


def _outlines(mask: Any) -> list[list[int]]:
    """COCO's polygons [x, y, x, y, ...] of a mask without holes, one for each part that is seen."""
    return [[number for corner in loop for number in corner] for loop in _loops(mask)]


def _measures(mask: Any) -> dict[str, Any]:
    """The area in pixels and the box [x, y, width, height] of a mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
    return {"area": int(mask.sum()), "bbox": [int(each) for each in box]}


def _runs(mask: Any) -> list[int]:
    """COCO's run lengths: column by column, of 0 and 1 in turn, 0 first."""
    flat = np.concatenate([[0], mask.T.reshape(-1).astype(int), [0]])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    ends = [0, *changes.tolist()]
    runs = [end - start for start, end in zip(ends, ends[1:])]
    return [*runs, mask.size - ends[-1]] if ends[-1] < mask.size else runs

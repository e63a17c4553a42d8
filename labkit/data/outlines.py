"""The outlines of COCO's objects: polygons and run lengths, looked at as numbers and never drawn.

pycocotools draws them in C and trusts them: run lengths that are malformed make its older versions write beyond the
image, and corners far away take all memory.
"""

from __future__ import annotations

import functools
import math
import re
from itertools import accumulate
from typing import Any

WORD = re.compile("[P-o]{0,6}[0-O]")  # a number in compressed run lengths; another bit says that it goes on


def is_polygon(points: Any, width: int, height: int) -> bool:
    """Whether [x, y, x, y, ...] has at least three corners, a size, and some of it within the image.

    Far away corners are none: pycocotools takes memory by the length of the sides.
    """
    try:
        if len(points) < 6 or len(points) % 2:
            return False
        xs, ys = points[::2], points[1::2]
        left, right, top, bottom = min(xs), max(xs), min(ys), max(ys)
        across = -width <= left < right <= 2 * width and left < width and right > 0
        down = -height <= top < bottom <= 2 * height and top < height and bottom > 0
        return across and down and math.isfinite(sum(points))
    except (TypeError, ValueError, OverflowError):
        return False


def polygons_of(outline: list[Any]) -> list[Any]:
    """The polygons of an outline with a pair of brackets too few or too many: x, y, ...; [x, y], ...; [[x, y], ...]."""
    if outline and all(isinstance(each, (int, float)) for each in outline):
        return [outline]
    if not outline or not all(isinstance(each, list) for each in outline):
        return outline
    if len(outline) > 2 and all(len(each) == 2 for each in outline):  # points
        return [[number for point in outline for number in point]]
    polygons: list[Any] = []
    for each in outline:
        if not each or not all(isinstance(inner, list) for inner in each):
            polygons.append(each)
        else:
            polygons += polygons_of(each) if all(len(inner) == 2 for inner in each) else each
    return polygons


def run_lengths(runs: dict[str, Any], width: int, height: int) -> list[int]:
    """The run lengths of a mask, column by column, 0 first; [] where they are not those of an image of that size."""
    counts: Any = runs.get("counts")
    if isinstance(counts, str):
        counts = _unpacked(counts)
    elif not isinstance(counts, list) or not all(type(each) is int for each in counts):
        counts = []
    good = counts and min(counts) >= 0 and sum(counts) == width * height and runs.get("size") == [height, width]
    return counts if good else []


def _unpacked(text: str) -> list[int]:
    """pycocotools' compressed run lengths: 5 bits in a character, from the third on as the difference to the last but
    one; [] for what it did not write, which it would read beyond its end."""
    words = WORD.findall(text)
    if sum(map(len, words)) != len(text):
        return []
    steps = list(map(_number, words))
    counts = steps[:1] + [0] * (len(steps) - 1)
    counts[1::2] = accumulate(steps[1::2])
    counts[2::2] = accumulate(steps[2::2])
    return counts


@functools.lru_cache(maxsize=1 << 16)  # a million masks are written in few words
def _number(word: str) -> int:
    bits = [ord(character) - 48 for character in word]
    value = sum((each & 31) << 5 * place for place, each in enumerate(bits))
    return value - (1 << 5 * len(bits)) if bits[-1] & 16 else value


def area_of(outline: Any) -> float:
    """Pixels of a usable outline: of run lengths exactly, of polygons by the shoelace formula."""
    if isinstance(outline, dict):
        counts = outline["counts"]
        return sum((counts if isinstance(counts, list) else _unpacked(counts))[1::2])
    total = 0.0
    for points in outline:
        xs, ys = points[::2], points[1::2]
        total += abs(sum(x * (after - before) for x, after, before in zip(xs, ys[1:] + ys[:1], ys[-1:] + ys[:-1]))) / 2
    return total


def box_of(outline: Any, height: int) -> list[float]:
    """[x, y, width, height] about a usable outline."""
    if isinstance(outline, list):
        xs = [x for points in outline for x in points[::2]]
        ys = [y for points in outline for y in points[1::2]]
        return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    counts = outline["counts"]
    ends = list(accumulate(counts if isinstance(counts, list) else _unpacked(counts)))
    spans = [(start, end - 1) for start, end in zip(ends[::2], ends[1::2]) if end > start]
    left, right = spans[0][0] // height, spans[-1][1] // height
    whole = any(start // height != last // height for start, last in spans)  # goes on at the top of the next column
    top = 0 if whole else min(start % height for start, _ in spans)
    bottom = height - 1 if whole else max(last % height for _, last in spans)
    return [left, top, right - left + 1, bottom - top + 1]


def encoded(outline: Any, height: int, width: int) -> Any:
    """A usable outline as pycocotools' compressed run lengths, to be decoded or compared; in a stack only."""
    from pycocotools import mask

    if isinstance(outline, list):
        return mask.merge(mask.frPyObjects(outline, height, width))
    if isinstance(outline["counts"], list):
        return mask.frPyObjects(outline, height, width)
    return outline

"""COCO's files as images with a label for every pixel, and everything that can be wrong with them.

COCO says two things of an image. *Instances* are the outlines of things, one by one, and leave the ground alone.
*Panoptic* divides the whole image: things one by one, ground ("stuff") by its kind. From either follows the
*semantic* map that a network learns: the class of every pixel.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Sequence

import cv2
import numpy as np
import torch
from pycocotools import mask as rle

from labkit.base.errors import UserError, nearest
from labkit.base.paths import shown
from labkit.data import coco, coco_annotations, image_files
from labkit.data.outlines import encoded
from labkit.runs.run import Run
from labs.segmentation.metrics import VOID, Segments

OTHER = "other"  # the class of all that was not chosen as a class
ROOM = np.array([124, 116, 104], np.uint8)  # fills the square beside an image: about the mean of photographs, RGB
GET = "./inv data coco"


@dataclass(frozen=True)
class Split:
    """The annotated images of one split: what the annotation file says, nothing decoded yet."""

    folder: Path
    name: str  # "val2017"
    kind: str  # which annotations: "panoptic" or "instances"
    categories: list[dict[str, Any]]
    images: list[dict[str, Any]]  # those that have annotations, by id
    rows: dict[int, list[dict[str, Any]]]  # image id -> its row of the panoptic file, or those of the instances file


def read_splits(folder: Path, names: Sequence[str], kind: str) -> list[Split]:
    """The annotation files of one kind. UserError where one is missing, broken, or has no annotation."""
    needs = coco_annotations.Needs(outlines=True, measures=True)
    try:
        contents = coco_annotations.read_splits(folder, kind, names, needs)
    except OSError as error:
        raise UserError(f"cannot read {shown(Path(error.filename))}: {error.strerror}", GET) from None
    except UserError as error:
        raise UserError(error.message, error.next_command or f"{GET} --verify") from None
    return [_split(folder, name, kind, content) for name, content in zip(names, contents)]


def _split(folder: Path, name: str, kind: str, content: dict[str, Any]) -> Split:
    file = folder / "annotations" / f"{kind}_{name}.json"
    rows: dict[int, list[dict[str, Any]]] = {}
    for row in content["annotations"]:
        if ("segments_info" in row) != (kind == "panoptic"):
            raise UserError(f"{shown(file)} has no {kind} annotations", GET)
        rows.setdefault(row["image_id"], []).append(row)
    entries = sorted((entry for entry in content["images"] if entry["id"] in rows), key=lambda entry: entry["id"])
    if not entries:
        raise UserError(f"{shown(file)} has no annotated image", GET)
    coco_annotations.require_objects(content, shown(file))
    return Split(folder, name, kind, content["categories"], entries, rows)


def find_splits(folder: Path, wanted: str = "auto") -> tuple[Split, Split, str]:
    """The images to train on, those to test on, and a sentence on what they are.

    Panoptic annotations where there are any, else instances, or the `wanted` kind. With one split alone (a subset of
    COCO), every fifth of its images is for the test.
    """
    kinds = ["panoptic", "instances"] if wanted == "auto" else [wanted]
    for kind in kinds:
        names = [name for name in reversed(coco.SPLITS) if (folder / "annotations" / f"{kind}_{name}.json").exists()]
        if names:
            break
    else:
        raise UserError(f"there are no {' or '.join(kinds)} annotations in {shown(folder)}", GET)
    splits = read_splits(folder, names, kind)
    about = f"The classes of the pixels come from COCO's {kind} annotations"
    if kind == "instances":
        about += ": things only, and all ground is one class"
    if len(splits) == 2:
        return splits[0], splits[1], f"{about}. Trained on {names[0]}, tested on {names[1]}."
    (whole,) = splits
    if len(whole.images) < 3:
        raise UserError(f"{shown(folder)} has {len(whole.images)} annotated images; 3 are the minimum", GET)
    test = whole.images[2::5]
    parts = [Split(folder, whole.name, kind, whole.categories, entries, whole.rows)
             for entries in ([entry for entry in whole.images if entry not in test], test)]  # fmt: skip
    return parts[0], parts[1], f"{about}. Only {names[0]} is there: every fifth of its images is for the test."


# ---- classes ----


@dataclass(frozen=True)
class Classes:
    """What the network tells apart."""

    names: list[str]  # by label
    things: list[bool]  # by label: a thing can be counted, stuff cannot
    of_category: dict[int, int]  # COCO's category id -> label
    other: int  # the label of all other categories; VOID where the training images have none

    def label(self, category: int) -> int:
        return self.of_category.get(category, self.other)


def choose_classes(split: Split, names: Sequence[str], most: int) -> Classes:
    """The categories called `names`, else the `most` that cover most pixels of `split`; the rest is one class, `other`.

    Labels follow the order of the category ids, which have gaps, and `other` comes last. UserError for a category that
    there is not.
    """
    areas: dict[int, float] = {}
    for rows in split.rows.values():
        for row in rows:
            for segment in row.get("segments_info", [row]):
                area = segment.get("area")
                known_area = area if isinstance(area, (int, float)) else 0
                areas[segment["category_id"]] = areas.get(segment["category_id"], 0) + known_area
    known = {category["name"]: category["id"] for category in split.categories}
    for name in names:
        if name not in known:
            hint = nearest(name, list(known))
            raise UserError(f"--classes: COCO's {split.kind} annotations have no {name!r}; {hint}")
    chosen = {known[name] for name in names} or set(sorted(areas, key=lambda key: (-areas[key], key))[:most])
    rest = split.kind == "instances" or set(areas) - chosen
    kept = sorted((row for row in split.categories if row["id"] in chosen), key=lambda row: row["id"])
    if len(kept) + bool(rest) < 2:
        raise UserError(f"--classes: {', '.join(row['name'] for row in kept)} alone leaves nothing to tell apart")
    if len(kept) >= VOID:
        raise UserError(f"{len(kept)} classes are more than the {VOID - 1} that a byte can tell apart", "--most 100")
    return Classes(
        names=[row["name"] for row in kept] + [OTHER] * bool(rest),
        things=[bool(row.get("isthing", 1)) for row in kept] + [False] * bool(rest),
        of_category={row["id"]: label for label, row in enumerate(kept)},
        other=len(kept) if rest else VOID,
    )


# ---- images ----


@dataclass(frozen=True)
class Images:
    """Images in one array, each at the top left of a square of S x S pixels; the room beside it is VOID."""

    pixels: torch.Tensor  # uint8 0..255 (N, S, S, 3) RGB
    labels: torch.Tensor  # uint8 (N, S, S): the class, or VOID
    sizes: torch.Tensor  # int64 (N, 2): height and width of the image
    segments: list[Segments]  # of each image, (height, width)
    files: list[str]

    def __len__(self) -> int:
        return len(self.files)


def load(split: Split, classes: Classes, size: int, limit: int, run: Run) -> Images:
    """The first `limit` images of `split`, made to fit a square of `size` pixels. UserError names a broken file."""
    entries = split.images[:limit]
    count = len(entries)
    pixels = np.empty((count, size, size, 3), np.uint8)
    labels = np.full((count, size, size), VOID, np.uint8)
    sizes, segments = np.empty((count, 2), np.int64), []

    def one(entry: dict[str, Any]) -> tuple[np.ndarray, Segments]:
        image = shrink(read_image(split, entry), size)
        return image, read_segments(split, entry, classes, image.shape[:2])

    with ThreadPoolExecutor() as pool, run.progress(count) as bar:  # OpenCV lets other threads work meanwhile
        for k, (image, parts) in enumerate(pool.map(one, entries)):
            height, width = sizes[k] = image.shape[:2]
            pixels[k] = square(image, size)
            labels[k, :height, :width] = parts.map()
            segments.append(parts)
            bar.advance()
    names = [entry["file_name"] for entry in entries]
    return Images(torch.from_numpy(pixels), torch.from_numpy(labels), torch.from_numpy(sizes), segments, names)


def read_image(split: Split, entry: dict[str, Any]) -> np.ndarray:
    """The image of a row of "images": uint8 (H, W, 3) RGB, grey ones too. UserError where it is not what it says."""
    file = split.folder / split.name / entry["file_name"]
    content = _read(file, f"{split.kind}_{split.name}.json")
    problem = coco.jpeg_problem(content, entry["width"], entry["height"])
    if problem:
        raise UserError(f"{shown(file)} is broken: {problem}", f"{GET} --verify")
    try:
        return image_files.decode(content, file, annotated=(entry["width"], entry["height"]))
    except UserError as error:
        raise UserError(error.message, f"{GET} --verify") from None


def read_segments(split: Split, entry: dict[str, Any], classes: Classes, size: tuple[int, int]) -> Segments:
    """The true segments of an image, drawn at (height, width) = `size`; of a stuff class there is at most one."""
    rows = split.rows[entry["id"]]
    numbers = np.zeros(size, np.int64)
    labels: list[int] = []
    crowd: list[bool] = []
    if split.kind == "panoptic":
        outlines = panoptic_outlines(split, rows[0], size)
    else:  # what no outline covers is the ground
        outlines = instance_outlines(rows, entry, size)
        numbers[:] = 1
        labels, crowd = [classes.other], [False]
    for category, is_crowd, mask in outlines:
        label = classes.label(category)
        if label == VOID:
            numbers[mask] = 0
        elif classes.things[label] or label not in labels:
            labels.append(label)
            crowd.append(is_crowd and classes.things[label])
            numbers[mask] = len(labels)
        else:
            numbers[mask] = labels.index(label) + 1
    return Segments(numbers, labels, crowd)


def panoptic_outlines(split: Split, row: dict[str, Any], size: tuple[int, int]) -> list[tuple[int, bool, np.ndarray]]:
    """(category id, crowd, mask bool (height, width)) of each segment in a panoptic PNG."""
    file = split.folder / f"panoptic_{split.name}" / row["file_name"]
    _read(file, f"panoptic_{split.name}.json")
    numbers = pick(image_files.read_segments(file), size)  # 0 is void
    unknown = set(np.unique(numbers).tolist()) - {0} - {segment.get("id") for segment in row["segments_info"]}
    if unknown:
        raise coco_annotations.stray(file, min(unknown))
    return [(segment["category_id"], bool(segment.get("iscrowd")), numbers == segment.get("id", -1))
            for segment in row["segments_info"]]  # fmt: skip


def instance_outlines(rows: list[dict[str, Any]], entry: dict[str, Any],
                      size: tuple[int, int]) -> list[tuple[int, bool, np.ndarray]]:  # fmt: skip
    """(category id, crowd, mask bool (height, width)) of each instance, the largest first: small ones lie on top.

    An outline is a list of polygons [x, y, x, y, ...], or for a crowd run lengths; pycocotools draws both.
    """
    outlines = []
    for row in rows:
        mask = rle.decode(encoded(row["segmentation"], entry["height"], entry["width"])).astype(bool)
        outlines.append((row["category_id"], bool(row.get("iscrowd")), mask))
    outlines.sort(key=lambda outline: -int(outline[2].sum()))
    return [(category, crowd, pick(mask, size)) for category, crowd, mask in outlines]


def _read(file: Path, listed_in: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {shown(file)}, which {listed_in} lists: {error.strerror}", GET) from None


# ---- sizes ----


def shrink(image: np.ndarray, size: int) -> np.ndarray:
    """`image` (H, W, 3) with its longer side `size`: each pixel the mean of those it covers, or between them."""
    height, width = image.shape[:2]
    scale = size / max(height, width)
    target = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, target, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def square(image: np.ndarray, size: int) -> np.ndarray:
    """`image` (H, W, 3) at the top left of a square of `size` pixels."""
    filled = np.empty((size, size, 3), np.uint8)
    filled[:] = ROOM
    filled[: image.shape[0], : image.shape[1]] = image
    return filled


def pick(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`mask` (H, W, ...) at (height, width) = `size`: each pixel is the one in its middle, for labels have no means."""
    rows, columns = (((np.arange(to) + 0.5) * side / to).astype(int) for to, side in zip(size, mask.shape))
    return mask[rows[:, None], columns[None, :]]

"""COCO's annotation files: everything that training or measuring asks of them is looked at when they are read.

What can be derived is completed, what is of no use is left out, and one line says how many of each; the rest is refused
in one sentence. Pure Python, since the host checks what is carried in, where there is no NumPy; masks are not drawn.
"""

from __future__ import annotations

import collections
import json
import math
from pathlib import Path
from typing import Any, Counter, NamedTuple, Sequence

from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.base.paths import shown
from labkit.data import outlines

AGAIN = "./inv data coco --import=FOLDER --unverified"  # once the file has been mended
BOXES = "./inv lab detectron2 -- --dataset coco MODEL.MASK_ON False"  # learns boxes alone
COLOURS = 1 << 24  # a panoptic segment is a colour, id = R + 256 G + 65536 B; 0 is void
PERSON_KEYPOINTS = 17
MOST = 2**53  # larger whole numbers are not told apart by what measures: pycocotools keeps ids as float64


class Notes:
    """What was completed and what was left out of one file: what -> how many."""

    def __init__(self) -> None:
        self.completed: Counter[str] = collections.Counter()
        self.left_out: Counter[str] = collections.Counter()

    def __str__(self) -> str:
        parts = [
            f"{verb} {', '.join(f'{what} ({number:,})' for what, number in counts.items())}"
            for verb, counts in (("completed", self.completed), ("left out", self.left_out))
            if counts
        ]
        return "; ".join(parts)


class Needs(NamedTuple):
    """What will be asked of the annotations beyond boxes and classes."""

    outlines: bool = False  # objects without a usable one are left out too
    keypoints: bool = False  # every object has those of a person, visible or not
    measures: bool = False  # segments without area or box are measured in their masks, which takes NumPy


NOTHING_MORE = Needs()


# ---- files ----


def read_splits(folder: Path, kind: str, splits: Sequence[str], needs: Needs = NOTHING_MORE) -> list[dict[str, Any]]:
    """annotations/{kind}_{split}.json below `folder` of each split, complete and usable, with the same classes.

    Says in one line what was changed in a file. Ids of classes are those of the first split. Raises UserError for what
    cannot be mended, and where the names of the classes differ; OSError where a file is not there.
    """
    files = [folder / "annotations" / f"{kind}_{split}.json" for split in splits]
    contents = []
    for file, split in zip(files, splits):
        content = parse(file.read_bytes(), shown(file))
        contents.append(mend(content, shown(file), needs, folder / f"panoptic_{split}"))
    for file, content in zip(files[1:], contents[1:]):
        agree(contents[0], content, [files[0].name, file.name])
    return contents


def mend(content: dict[str, Any], where: str, needs: Needs = NOTHING_MORE, masks: Path | None = None
         ) -> dict[str, Any]:  # fmt: skip
    """Parsed content made complete and usable, in place; the panoptic masks are in the folder `masks`."""
    notes = Notes()
    content.setdefault("info", {})  # pycocotools copies it into its results
    _check_lists(content, where)
    if any("segments_info" in row for row in content["annotations"]):
        _mend_panoptic(content, where, masks if needs.measures else None, notes)
    else:
        _mend_objects(content, where, needs, notes)
    if str(notes):
        say(f"{where}: {notes}")
    return content


def parse(text: bytes, where: str) -> dict[str, Any]:
    """A COCO annotation file as a dict whose images, annotations and categories can be relied on, else UserError."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is not valid JSON ({error})") from None
    if not isinstance(content, dict):
        raise UserError(f"{where} is not a COCO annotation file: it is not a JSON object")
    needed: dict[str, dict[str, type]] = {
        "images": {"id": int, "file_name": str, "width": int, "height": int},
        "annotations": {"image_id": int},
        "categories": {"id": int, "name": str},
    }
    for key, fields in needed.items():
        rows = content.get(key)
        if not isinstance(rows, list):
            raise UserError(f"{where} is not a COCO annotation file: it has no list of {key}")
        for number, row in enumerate(rows):
            for field, kind in fields.items():
                value = row.get(field) if isinstance(row, dict) else None
                if not isinstance(value, kind) or isinstance(value, bool):
                    raise UserError(f"{where}: {key}[{number}] has no {field} of type {kind.__name__}")
                if isinstance(value, int) and abs(value) > MOST:
                    raise UserError(f"{where}: {key}[{number}] has a number as {field} that is too large")
                if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
                    raise UserError(f"{where}: {key}[{number}] has a {field} that is no text, {value[:80]!r}")
    for number, row in enumerate(content["annotations"]):
        if "segments_info" not in row:
            good = isinstance(row.get("category_id"), int)
        else:
            segments = row["segments_info"]
            good = isinstance(segments, list) and isinstance(row.get("file_name"), str)
            good = good and all(isinstance(each, dict) for each in segments)
            good = good and all(isinstance(each.get("category_id"), int) for each in segments)
        if not good:
            raise UserError(f"{where}: annotations[{number}] says no category")
    named = [*content["images"], *(row for row in content["annotations"] if "segments_info" in row)]
    for row in named:
        if Path(row["file_name"]).name != row["file_name"] or "\0" in row["file_name"]:
            raise UserError(f"{where}: {row['file_name']!r} is not a plain file name")
    return content


def require_objects(content: dict[str, Any], where: str) -> None:
    """UserError where nothing could be learned from `content`: no object at all, or crowds alone."""
    found = [each for row in content["annotations"] for each in row.get("segments_info", [row])]
    if not found:
        raise UserError(f"the annotations of {where} hold not one object that can be used, so there is nothing to "
                        "learn from or to be judged by", AGAIN)  # fmt: skip
    if all(each.get("iscrowd") for each in found):
        raise UserError(f"the annotations of {where} hold crowds alone (iscrowd 1), and from them nobody learns what "
                        "one object is", AGAIN)  # fmt: skip


def stray(mask: Path, number: int) -> UserError:
    """What to say where a panoptic mask has a colour that its annotations do not know."""
    return UserError(f"{shown(mask)} has a segment {number} of which {mask.parent.name}.json says nothing", AGAIN)


def agree(first: dict[str, Any], second: dict[str, Any], names: Sequence[str]) -> None:
    """Number the classes of `second` as `first` does, by their names. UserError where the names are not the same.

    `names` says what the two are, for the reader; `second` is changed in place.
    """
    ids = {row["name"]: row["id"] for row in first["categories"]}
    called = {row["id"]: row["name"] for row in second["categories"]}
    alone = [sorted(set(ids) - set(called.values())), sorted(set(called.values()) - set(ids))]
    if any(alone):
        lists = [f"only {name} has {_some(words)}" for name, words in zip(names, alone) if words]
        raise UserError(f"{names[0]} and {names[1]} do not have the same classes: {', and '.join(lists)}", AGAIN)
    if any(ids[name] != number for number, name in called.items()):
        say(f"{names[1]} numbers its classes otherwise than {names[0]}: they are matched by name")
        for row in second["annotations"]:
            for each in row.get("segments_info", [row]):
                each["category_id"] = ids[called[each["category_id"]]]
    second["categories"] = first["categories"]


def _some(words: Sequence[str]) -> str:
    return ", ".join(words[:5]) + (f" and {len(words) - 5} more" if len(words) > 5 else "")


# ---- what both kinds have ----


def _check_lists(content: dict[str, Any], where: str) -> None:
    """Images and categories that are listed once, and annotations of no others."""
    for key, fields, what in (("images", ("id",), "images"), ("categories", ("id", "name"), "categories")):
        for field in fields:
            seen: dict[Any, int] = {}
            for number, row in enumerate(content[key]):
                before = seen.setdefault(row[field], number)
                if before != number:
                    raise UserError(f"{where}: {what}[{before}] and {what}[{number}] both have the {field} "
                                    f"{row[field]!r}", AGAIN)  # fmt: skip
    for number, row in enumerate(content["images"]):
        if row["width"] < 1 or row["height"] < 1:
            raise UserError(f"{where}: images[{number}] is {row['width']}x{row['height']} pixels", AGAIN)
    known = {entry["id"] for entry in content["images"]}
    strange = [row["image_id"] for row in content["annotations"] if row["image_id"] not in known]
    if strange:
        raise UserError(f"{where} does not fit together: {len(strange)} annotations are of images that it does not "
                        f"list, such as {strange[0]}", AGAIN)  # fmt: skip
    classes = {row["id"] for row in content["categories"]}
    for number, row in enumerate(content["annotations"]):
        for each in row.get("segments_info", (row,)):
            if each["category_id"] not in classes:
                raise UserError(f"{where}: annotations[{number}] is of the category {each['category_id']}, which is "
                                "not listed", AGAIN)  # fmt: skip


def _mend_crowd(row: dict[str, Any], where: str, number: int, notes: Notes) -> None:
    """Have iscrowd 0 or 1."""
    crowd = row.get("iscrowd")
    if row.pop("ignore", 0):  # as some converters mark what should not count; detectron2 refuses the key
        notes.completed["iscrowd 1 for ignore"] += 1
        row["iscrowd"] = 1
    elif crowd is None:
        notes.completed["iscrowd 0"] += 1
        row["iscrowd"] = 0
    elif crowd not in (0, 1):
        raise UserError(f"{where}: annotations[{number}] has the iscrowd {crowd!r}, which is neither 0 nor 1", AGAIN)
    elif type(crowd) is not int:
        row["iscrowd"] = int(crowd)


def _lacks_area(row: dict[str, Any]) -> bool:
    area: Any = row.get("area")
    return type(area) not in (int, float) or not 0 < area < math.inf  # nan is not more than 0


def _lacks_box(row: dict[str, Any], width: int, height: int) -> bool:
    """Whether there is no box [x, y, width, height] with a size, some of it within the image and none far away."""
    try:
        x, y, across, down = row["bbox"]
        sound = across > 0 and down > 0
        sound = sound and -width <= x < width and 0 < x + across <= 2 * width
        return not (sound and -height <= y < height and 0 < y + down <= 2 * height)
    except (KeyError, TypeError, ValueError, OverflowError):
        return True


# ---- objects: instances, stuff, persons ----


def _mend_objects(content: dict[str, Any], where: str, needs: Needs, notes: Notes) -> None:
    sizes = {entry["id"]: (entry["width"], entry["height"]) for entry in content["images"]}
    kept = []
    for number, row in enumerate(content["annotations"]):
        width, height = sizes[row["image_id"]]
        _mend_crowd(row, where, number, notes)
        _mend_outline(row, width, height, notes)
        outline = row.get("segmentation")
        if outline is None and needs.outlines:
            notes.left_out["objects without an outline"] += 1
            continue
        if _lacks_box(row, width, height):
            if outline is None:
                notes.left_out["objects without a box"] += 1
                continue
            notes.completed["bbox"] += 1
            row["bbox"] = outlines.box_of(outline, height)
        if _lacks_area(row):
            notes.completed["area"] += 1
            row["area"] = (outlines.area_of(outline) if outline else 0) or row["bbox"][2] * row["bbox"][3]
        if needs.keypoints:
            _mend_keypoints(row, notes)
        kept.append(row)
    if content["annotations"] and not kept and notes.left_out["objects without an outline"]:
        raise UserError(f"the annotations of {where} have no outline that can be used, and masks are learned from "
                        "outlines", BOXES)  # fmt: skip
    content["annotations"] = kept
    ids = [row.get("id") for row in kept]
    # 0 is no id: pycocotools takes an object of that id for one that was not found.
    if not all(type(each) is int and 0 < each <= MOST for each in ids) or len(set(ids)) < len(ids):
        notes.completed["ids"] += len(kept)
        for number, row in enumerate(kept, 1):
            row["id"] = number


def _mend_outline(row: dict[str, Any], width: int, height: int, notes: Notes) -> None:
    """Have a `segmentation` of which something can be drawn, or none."""
    given = row.get("segmentation")
    usable: Any = None
    if isinstance(given, dict):
        counts = outlines.run_lengths(given, width, height)
        usable = given if sum(counts[1::2]) else None
    elif isinstance(given, list):
        usable = given
        if not given or not all(outlines.is_polygon(each, width, height) for each in given):
            polygons = outlines.polygons_of(given)
            usable = [each for each in polygons if outlines.is_polygon(each, width, height)]
            if usable and len(usable) == len(polygons):
                notes.completed["outlines with other brackets"] += 1
            elif usable:
                notes.left_out["polygons without a surface"] += len(polygons) - len(usable)
    if usable:
        row["segmentation"] = usable
    elif "segmentation" in row:
        notes.left_out["outlines without a surface"] += 1
        del row["segmentation"]


def _mend_keypoints(row: dict[str, Any], notes: Notes) -> None:
    """Have [x, y, visible, ...] of all 17; where they are not known, none is visible, as COCO itself has it."""
    points = row.get("keypoints")
    try:
        good = len(points) == 3 * PERSON_KEYPOINTS and math.isfinite(sum(points))  # type: ignore[arg-type]
    except (TypeError, OverflowError):
        good = False
    if not good:
        notes.completed["keypoints (none visible)"] += 1
        row["keypoints"] = [0] * (3 * PERSON_KEYPOINTS)
    row["num_keypoints"] = sum(1 for visible in row["keypoints"][2::3] if visible > 0)


# ---- panoptic segments ----


def _mend_panoptic(content: dict[str, Any], where: str, masks: Path | None, notes: Notes) -> None:
    sizes = {entry["id"]: (entry["width"], entry["height"]) for entry in content["images"]}
    for row in content["categories"]:
        if row.get("isthing") not in (0, 1):
            notes.completed["isthing 1"] += 1
            row["isthing"] = 1
    seen: set[int] = set()
    for number, row in enumerate(content["annotations"]):
        if "segments_info" not in row:
            raise UserError(f"{where}: annotations[{number}] has no segments_info, and others have", AGAIN)
        if row["image_id"] in seen:
            raise UserError(f"{where}: annotations[{number}] is the second one of the image {row['image_id']}", AGAIN)
        seen.add(row["image_id"])
        colours: set[int] = set()
        for segment in row["segments_info"]:
            colour = segment.get("id")
            if type(colour) is not int or not 0 <= colour < COLOURS or colour in colours:
                raise UserError(f"{where}: annotations[{number}] has a segment of the id {colour!r}, which is not a "
                                "colour of its own in the mask", AGAIN)  # fmt: skip
            colours.add(colour)
            _mend_crowd(segment, where, number, notes)
        if 0 in colours:
            notes.left_out["segments of the id 0, which is void"] += 1
            row["segments_info"] = [segment for segment in row["segments_info"] if segment["id"]]
        size = sizes[row["image_id"]]
        lacking = [each for each in row["segments_info"] if _lacks_area(each) or _lacks_box(each, *size)]
        if lacking and masks is not None and (masks / row["file_name"]).is_file():
            _measure(row, lacking, masks / row["file_name"], notes)


def _measure(row: dict[str, Any], lacking: Sequence[dict[str, Any]], mask: Path, notes: Notes) -> None:
    """Area and box of the segments in `lacking`, as the mask shows them."""
    from labkit.data.image_files import read_segments  # OpenCV is in the stacks only

    ids = read_segments(mask)
    for segment in lacking:
        drawn = ids == segment["id"]
        if drawn.any():
            rows, columns = (drawn.any(axis=axis).nonzero()[0].tolist() for axis in (1, 0))
            segment["area"] = int(drawn.sum())
            segment["bbox"] = [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
            notes.completed["areas and boxes of segments"] += 1
        else:
            notes.left_out["segments that the mask does not show"] += 1
            row["segments_info"] = [each for each in row["segments_info"] if each is not segment]

"""COCO: a few of its images with valid annotations of just those, without the 20 GB of the whole.

The images of a subset are fetched one by one; the annotation files (instances, panoptic with its images, stuff) are
cut down to them, so that all agree. Below data/coco/ everything lies where detectron2 looks for it:
`DETECTRON2_DATASETS=data`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, Sequence

from labkit.base.console import say
from labkit.base.errors import UserError, nearest
from labkit.base.paths import shown
from labkit.data import archives, coco_annotations, many
from labkit.data.coco_annotations import parse
from labkit.data.folders import fitting
from labkit.data.jpeg import as_annotated, jpeg_problem
from labkit.data.registry import Dataset, Wanted

SPLITS = ("val2017", "train2017")
KINDS = ("instances", "panoptic", "stuff")  # of annotations


def complete(dataset: Dataset, wanted: Wanted) -> Wanted:
    """`wanted` with what was not said: the usual split, all kinds of annotations, and how many images."""
    splits = [part for part in dataset.parts if part in SPLITS and part in wanted.parts]
    kinds = [part for part in dataset.parts if part in KINDS and part in wanted.parts]
    few = wanted.subset or (dataset.subset if not splits or wanted.categories else 0)
    splits = splits or [part for part in dataset.default if part in SPLITS]
    if few and len(splits) > 1:
        raise UserError("a subset is of one split", f"./inv data {dataset.name} --subset={few} --split={splits[0]}")
    kinds = kinds or [part for part in dataset.default if part in KINDS]
    return Wanted((*splits, *kinds), few, wanted.categories)


def layout(wanted: Wanted) -> dict[str, int]:
    """What must be there of a subset: glob -> 0 for "some". Of several splits each kind may be of one alone."""
    splits = [part for part in wanted.parts if part in SPLITS]
    kinds = [part for part in wanted.parts if part not in SPLITS]
    which = splits[0] if len(splits) == 1 else "*2017"
    patterns = [*(f"{split}/*.jpg" for split in splits), *(f"annotations/{kind}_{which}.json" for kind in kinds)]
    patterns += [f"panoptic_{which}/*.png"] * ("panoptic" in kinds)
    return dict.fromkeys(patterns, 0)


def subset(dataset: Dataset, wanted: Wanted, folder: Path, urls: Sequence[str]) -> str:
    """Make the subset in `folder`, where the annotation archives are; returns the hosts that gave the images.

    Images that are there already are kept; what does not belong to the subset is removed.
    """
    split, *kinds = wanted.parts
    packed = {file.part: folder / file.path for file in dataset.files if file.part in kinds}
    content = {}
    for kind, archive in packed.items():
        say(f"reading the {kind} annotations of {split}")
        content[kind] = read(archive, f"annotations/{kind}_{split}.json")
    chosen = choose(content, wanted.subset, wanted.categories)
    if len(chosen) < wanted.subset:
        say(f"{split} has only {len(chosen)} such images")

    images = folder / split
    _keep_only(images, {entry["file_name"] for entry in chosen})
    sizes = {entry["file_name"]: (entry["width"], entry["height"]) for entry in chosen}
    source = many.fetch(
        [f"{url.rstrip('/')}/{split}" for url in urls],
        {name: images / name for name in sizes},
        lambda name, image: jpeg_problem(image, *sizes[name]),
        f"{len(sizes)} images of {split}",
    )
    (folder / "annotations").mkdir(exist_ok=True)
    ids = {entry["id"] for entry in chosen}
    for kind in KINDS:
        target = folder / "annotations" / f"{kind}_{split}.json"
        if kind in content:
            target.write_text(json.dumps(smaller(content[kind], ids)), encoding="utf-8")
        elif target.exists():
            target.unlink()
    if "panoptic" in kinds:
        names = {each["file_name"] for each in content["panoptic"]["annotations"] if each["image_id"] in ids}
        _unpack_masks(packed["panoptic"], split, names, folder / f"panoptic_{split}")
    return source


def gather(source: Path, staging: Path) -> Wanted | None:
    """Have in `staging` just those images of COCO that `source` holds with annotations; None where it holds none.

    `source`, or a folder in it, holds the images of one split or both in {split}/ and annotations/{kind}_{split}.json
    of one kind or more, which may be of different images; panoptic masks lie in panoptic_{split}/, or in annotations/
    as in the published archive. UserError where the annotations name what is not there, or cannot be learned from.
    """
    for root in (source, *sorted(path for path in source.iterdir() if path.is_dir())):
        kinds = {split: [kind for kind in KINDS if (root / "annotations" / f"{kind}_{split}.json").is_file()]
                 for split in SPLITS}  # fmt: skip
        splits = [split for split in SPLITS if kinds[split] and any((root / split).glob("*.jpg"))]
        if splits:
            for split in SPLITS:
                if kinds[split] and split not in splits:
                    say(f"{split} is left out: there are annotations of it and no images in {shown(root / split)}")
            return _copy_some(root, {split: kinds[split] for split in splits}, staging)
    return None


def _copy_some(root: Path, kinds: dict[str, list[str]], staging: Path) -> Wanted:
    """Of each split the images that any of its kinds annotates, the annotations mended, and the panoptic masks."""
    for folder in ("annotations", *SPLITS, *(f"panoptic_{each}" for each in SPLITS)):
        shutil.rmtree(staging / folder, ignore_errors=True)
    for folder in ("annotations", *kinds):
        (staging / folder).mkdir()
    every = [kind for kind in KINDS if any(kind in each for each in kinds.values())]
    for kind in every:
        splits = [split for split in reversed(SPLITS) if kind in kinds.get(split, ())]  # as the labs: train first
        for split, content in zip(splits, coco_annotations.read_splits(root, kind, splits)):
            file = root / "annotations" / f"{kind}_{split}.json"
            coco_annotations.require_objects(content, shown(file))
            _copy_images(content, root / split, staging / split, file)
            if kind == "panoptic":
                _copy_masks(content, root, staging / f"panoptic_{split}", file)
            (staging / "annotations" / file.name).write_text(json.dumps(content), encoding="utf-8")
    for split in kinds:
        alone = {path.name for path in fitting(root / split, "*")} - {path.name for path in (staging / split).iterdir()}
        if alone:
            say(f"{split}: {len(alone)} files are in no list of images and left out, such as {min(alone)}")
    return Wanted((*kinds, *every), sum(1 for split in kinds for _ in (staging / split).iterdir()))


def _copy_images(content: dict[str, Any], source: Path, target: Path, file: Path) -> None:
    for entry in content["images"]:
        image = source / entry["file_name"]
        size = entry["width"], entry["height"]
        problem, text = "it is missing", b""
        if image.is_file():
            text = image.read_bytes()
            problem = jpeg_problem(text, *size)
        if problem:
            raise UserError(f"{shown(file)} annotates {shown(image)}, but {problem}")
        (target / image.name).write_bytes(as_annotated(text, *size))


def _copy_masks(content: dict[str, Any], root: Path, target: Path, file: Path) -> None:
    target.mkdir()
    there = [root / target.name, root / "annotations" / target.name]
    for row in content["annotations"]:
        found = [folder / row["file_name"] for folder in there if (folder / row["file_name"]).is_file()]
        if not found:
            raise UserError(f"{shown(file)} names the mask {row['file_name']}, which is not in {target.name}")
        shutil.copyfile(found[0], target / row["file_name"])


def read(archive: Path, member: str) -> dict[str, Any]:
    """One annotation file of the archive, checked. UserError when it is not there or is no COCO annotation."""
    try:
        with archives.open_zip(archive) as packed:
            text = b"".join(archives.member_chunks(packed, member))
    except KeyError:
        raise UserError(f"{shown(archive)} has no {member}") from None
    except archives.DAMAGE as error:
        raise UserError(f"{shown(archive)} is damaged ({error})") from None
    return parse(text, f"{shown(archive)}: {member}")


def choose(content: dict[str, dict[str, Any]], count: int, categories: Sequence[str] = ()) -> list[dict[str, Any]]:
    """`count` entries of "images" that every kind of annotation in `content` knows, or fewer where there are no more.

    With `categories`, those that show at least one of them, each in turn, so that rare ones are there too. Always the
    same choice, spread over the whole, and a larger one begins with the smaller.
    """
    kinds = list(content.values())
    shows: dict[int, set[int]] = {}
    for row in kinds[0]["annotations"]:
        shows.setdefault(row["image_id"], set()).update(
            segment["category_id"] for segment in row.get("segments_info", [row])
        )
    known = [{entry["id"] for entry in each["images"]} for each in kinds]
    common = set(shows).intersection(*known)
    entries = [entry for entry in kinds[0]["images"] if entry["id"] in common]
    entries.sort(key=lambda entry: hashlib.sha256(str(entry["id"]).encode()).digest())
    if not categories:
        return entries[:count]
    ids = {category["name"]: category["id"] for category in kinds[0]["categories"]}
    for name in categories:
        if name not in ids:
            raise UserError(f"COCO has no category {name!r}; {nearest(name, list(ids))}")
    queues = [[entry for entry in entries if ids[name] in shows[entry["id"]]] for name in categories]
    chosen: dict[int, dict[str, Any]] = {}
    for rank in range(max(map(len, queues))):
        for queue in queues:
            if rank < len(queue) and len(chosen) < count:
                chosen.setdefault(queue[rank]["id"], queue[rank])
    return list(chosen.values())


def smaller(content: dict[str, Any], ids: set[int]) -> dict[str, Any]:
    """The annotation file for the images `ids` alone; all else, the categories too, stays as it is."""
    cut = dict(content)
    cut["images"] = [entry for entry in content["images"] if entry["id"] in ids]
    cut["annotations"] = [row for row in content["annotations"] if row["image_id"] in ids]
    return cut


def unpack_panoptic(folder: Path, limit_bytes: int) -> None:
    """Unpack the mask archives that lie within the panoptic one: annotations/panoptic_SPLIT.zip -> panoptic_SPLIT/."""
    for split in SPLITS:
        inner = folder / "annotations" / f"panoptic_{split}.zip"
        if inner.exists():
            say(f"unpacking {inner.name}")
            archives.unpack(inner, folder, limit_bytes)
            inner.unlink()


def _keep_only(folder: Path, names: set[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.name not in names:
            path.unlink()


def _unpack_masks(archive: Path, split: str, names: set[str], folder: Path) -> None:
    """Write the named masks, which are in a zip within the zip."""
    _keep_only(folder, names)
    inner = folder.with_name(f".panoptic_{split}.zip")
    try:
        member = f"annotations/panoptic_{split}.zip"
        with archives.open_zip(archive) as packed, inner.open("wb") as out:
            out.writelines(archives.member_chunks(packed, member))
        with archives.open_zip(inner) as packed:
            members = {Path(name).name: name for name in packed.namelist() if "__MACOSX" not in name}
            for name in sorted(names):
                if name not in members:
                    raise UserError(f"{shown(archive)} has no mask {name}")
                (folder / name).write_bytes(b"".join(archives.member_chunks(packed, members[name])))
    except KeyError:
        raise UserError(f"{shown(archive)} has no annotations/panoptic_{split}.zip") from None
    except archives.DAMAGE as error:
        raise UserError(f"{shown(archive)} is damaged ({error})") from None
    finally:
        if inner.exists():
            inner.unlink()

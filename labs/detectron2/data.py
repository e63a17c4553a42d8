"""Data: register a COCO folder with detectron2, and hand out training images in an order that can be resumed.

detectron2 knows a data set by a name. DatasetCatalog holds a function that lists its images as dicts (file_name,
height, width, annotations), MetadataCatalog what is true of all of them: names of classes, where the JSON lies.
`load_coco_json`, which the notes read (section 86), makes the list from a COCO file.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Sequence

import numpy as np
import torch
from detectron2.data import DatasetCatalog, DatasetMapper, MetadataCatalog, get_detection_dataset_dicts
from detectron2.data.datasets import load_coco_json
from PIL import Image
from pycocotools import mask as rle

from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.base.paths import shown
from labkit.data import coco, coco_annotations
from labkit.data.image_files import read_segments
from labs.detectron2 import configs

SPLITS = ("train2017", "val2017")
IGNORED = 255  # in a map of the ground: not judged


@dataclass(frozen=True)
class Names:
    """The data sets as detectron2 knows them, and the names of their classes."""

    train: str
    val: str
    things: list[str]
    stuff: list[str]  # [] unless the model names every pixel; the first is "things"


def register(folder: Path, cfg: Any, work: Path) -> Names:
    """Make the COCO folder known to detectron2. `work` takes what has to be derived: parts, maps of the ground.

    Where only one of train2017 and val2017 is there, as after `./inv data coco --subset`, every fifth of its images
    is kept for evaluation. UserError where annotations and images do not fit together.
    """
    kind = "person_keypoints" if cfg.MODEL.KEYPOINT_ON else "instances"
    there = [split for split in SPLITS if (folder / "annotations" / f"{kind}_{split}.json").exists()]
    if not there:
        raise UserError(f"{shown(folder / 'annotations')} has no {kind}_train2017.json or {kind}_val2017.json",
                        "./inv data coco --split=val2017,instances,panoptic --subset=200")  # fmt: skip
    needs = coco_annotations.Needs(configs.has_things(cfg) and cfg.MODEL.MASK_ON, cfg.MODEL.KEYPOINT_ON, measures=True)
    contents = {"instances": coco_annotations.read_splits(folder, kind, there, needs)}
    if configs.has_stuff(cfg):
        for split in there:
            path = folder / "annotations" / f"panoptic_{split}.json"
            if not path.exists():
                raise UserError(f"{shown(path)} is missing, and {cfg.MODEL.META_ARCHITECTURE} learns from it",
                                f"./inv data coco --split={split},instances,panoptic --subset=200")  # fmt: skip
        contents["panoptic"] = coco_annotations.read_splits(folder, "panoptic", there, needs)
    parts = [Part(folder, split, {name: each[k] for name, each in contents.items()}, cfg)
             for k, split in enumerate(there)]  # fmt: skip
    if len(parts) == 1:
        say(f"only {there[0]} is there: every fifth image of it is kept for evaluation")
        parts = [parts[0].cut(lambda k: k % 5 != 4), parts[0].cut(lambda k: k % 5 == 4)]
    rows = [row for part in parts for row in part.content["instances"]["annotations"] if not row.get("iscrowd")]
    if any(isinstance(row.get("segmentation"), dict) for row in rows):
        cfg.INPUT.MASK_FORMAT = "bitmask"  # run lengths, where detectron2 expects polygons
    for part, name in zip(parts, ("train", "val")):
        part.register(f"lab_{name}", work / name)
    meta = MetadataCatalog.get("lab_train")
    return Names("lab_train", "lab_val", list(meta.get("thing_classes", [])), list(meta.get("stuff_classes", [])))


def instances_of(panoptic: dict[str, Any], masks: Path) -> dict[str, Any]:
    """The instances that panoptic annotations and their masks, id = R + 256 G + 65536 B, tell of, as COCO has them."""
    things = [row for row in panoptic["categories"] if row["isthing"]]
    ids = {row["id"] for row in things}
    rows: list[dict[str, Any]] = []
    for annotation in panoptic["annotations"]:
        if not (masks / annotation["file_name"]).exists():
            continue
        segment_ids = read_segments(masks / annotation["file_name"])
        for segment in annotation["segments_info"]:
            if segment["category_id"] in ids:
                runs = rle.encode(np.asfortranarray(segment_ids == segment["id"]).astype(np.uint8))
                runs["counts"] = str(runs["counts"], "ascii")
                rows.append({**segment, "id": len(rows) + 1, "image_id": annotation["image_id"], "segmentation": runs})
    return {**panoptic, "annotations": rows, "categories": things}


class Part:
    """One split: its images and annotations, checked."""

    def __init__(self, folder: Path, split: str, content: dict[str, dict[str, Any]], cfg: Any) -> None:
        self.images, self.masks, self.cfg, self.content = folder / split, folder / f"panoptic_{split}", cfg, content
        if "panoptic" in content:
            self._keep_masked()
            self._check_stuff(f"panoptic_{split}.json", f"instances_{split}.json")
        entries = self.content["instances"]["images"]
        missing = sorted({entry["file_name"] for entry in entries} - {path.name for path in self.images.glob("*")})
        if missing:
            raise UserError(f"the annotations of {split} name {len(missing)} images that are not in "
                            f"{shown(self.images)}: {missing[0]}", "./inv data coco --verify")  # fmt: skip
        coco_annotations.require_objects(self.content["instances"], split)

    def _check_stuff(self, panoptic: str, instances: str) -> None:
        """The same things in both kinds of annotation, and some stuff beside them."""
        categories = self.content["panoptic"]["categories"]
        if all(row["isthing"] for row in categories):
            raise UserError(f"{panoptic} has no category that is stuff (isthing 0), and "
                            f"{self.cfg.MODEL.META_ARCHITECTURE} learns it", coco_annotations.AGAIN)  # fmt: skip
        things = {"categories": [row for row in categories if row["isthing"]]}
        coco_annotations.agree(things, self.content["instances"], [f"the things in {panoptic}", instances])

    def _keep_masked(self) -> None:
        """Of both kinds of annotation, only what is of images whose mask is there; where one has no instances, these
        are taken from the masks, of all images alike."""
        masks = {path.name for path in self.masks.glob("*.png")}
        rows = self.content["panoptic"]["annotations"]
        masked = {row["image_id"] for row in rows if row["file_name"] in masks}
        if not masked:
            raise UserError(f"{shown(self.masks)} has none of the masks that its annotations name")
        common = masked & {entry["id"] for entry in self.content["instances"]["images"]}
        if common != masked:  # as where images were carried in that have either the one or the other
            say(f"{len(masked - common)} of {len(masked)} images of {self.images.name} have a panoptic mask and no "
                "instances: the instances of all are taken from the masks")  # fmt: skip
            taken = instances_of(self.content["panoptic"], self.masks)
            self.content["instances"] = coco_annotations.mend(taken, self.masks.name)
        self.content = {kind: coco.smaller(content, masked) for kind, content in self.content.items()}

    def cut(self, chosen: Any) -> Part:
        """The part with the images whose place in the list is `chosen`."""
        ids = {entry["id"] for k, entry in enumerate(self.content["instances"]["images"]) if chosen(k)}
        part = copy.copy(self)
        part.content = {kind: coco.smaller(content, ids) for kind, content in self.content.items()}
        if all(row["iscrowd"] for row in part.content["instances"]["annotations"]):
            raise UserError(f"{shown(self.images)} has too few annotated images to keep some for evaluation")
        return part

    def register(self, name: str, work: Path) -> None:
        """Make it known as `name`; its annotations and what is derived from them go to `work`."""
        work.mkdir(parents=True, exist_ok=True)
        for kind, content in self.content.items():
            (work / f"{kind}.json").write_text(json.dumps(content), encoding="utf-8")
        for catalog in (DatasetCatalog, MetadataCatalog):
            if name in catalog.list():
                catalog.remove(name)
        meta = MetadataCatalog.get(name)
        meta.set(json_file=str(work / "instances.json"), image_root=str(self.images), evaluator_type="coco")
        if self.cfg.MODEL.KEYPOINT_ON:
            person = MetadataCatalog.get("keypoints_coco_2017_val")
            meta.set(keypoint_names=person.keypoint_names, keypoint_flip_map=person.keypoint_flip_map)
        ground = {}
        if "panoptic" in self.content:
            ground = self._write_ground(work / "ground")
            stuff = [row for row in self.content["panoptic"]["categories"] if not row["isthing"]]
            meta.set(panoptic_json=str(work / "panoptic.json"), panoptic_root=str(self.masks), ignore_label=IGNORED,
                     stuff_classes=["things", *(row["name"] for row in stuff)],
                     stuff_dataset_id_to_contiguous_id={min([0, *(row["id"] - 1 for row in stuff)]): 0,
                                                        **{row["id"]: k for k, row in enumerate(stuff, 1)}},
                     )  # fmt: skip

        def images() -> list[dict[str, Any]]:
            records = load_coco_json(meta.json_file, meta.image_root, name, ["keypoints"] * self.cfg.MODEL.KEYPOINT_ON)
            return [{**row, "sem_seg_file_name": ground[row["image_id"]]} if ground else row for row in records]

        images()  # sets the names and numbers of the classes in `meta`
        DatasetCatalog.register(name, images)

    def _write_ground(self, folder: Path) -> dict[int, str]:
        """A map for each image, uint8 (H, W): 0 for things, 1, 2, ... for stuff, 255 for what nobody annotated."""
        folder.mkdir(exist_ok=True)
        stuff = [row["id"] for row in self.content["panoptic"]["categories"] if not row["isthing"]]
        number = {category: k for k, category in enumerate(stuff, 1)}
        sizes = {entry["id"]: (entry["height"], entry["width"]) for entry in self.content["panoptic"]["images"]}
        written = {}
        for row in self.content["panoptic"]["annotations"]:
            segments = read_segments(self.masks / row["file_name"])
            if segments.shape != sizes[row["image_id"]]:
                height, width = segments.shape
                raise UserError(f"{shown(self.masks / row['file_name'])} is {width}x{height}, and its image is not",
                                coco_annotations.AGAIN)  # fmt: skip
            ground = np.full(segments.shape, IGNORED, np.uint8)
            for segment in row["segments_info"]:
                ground[segments == segment["id"]] = number.get(segment["category_id"], 0)
            strange = segments[(ground == IGNORED) & (segments > 0)]
            if strange.size:
                raise coco_annotations.stray(self.masks / row["file_name"], int(strange.min()))
            path = folder / row["file_name"]
            Image.fromarray(ground).save(str(path))
            written[row["image_id"]] = str(path)
        return written


class Stream(torch.utils.data.Dataset):
    """Training images, epoch after epoch. What stands at a position follows from the seed alone.

    detectron2's own sampler cannot start in the middle. Here the order of an epoch and the augmentation of an image
    are drawn from (seed, epoch) and (seed, position), so a resumed training goes on with the very same images.
    """

    def __init__(self, records: Sequence[dict[str, Any]], mapper: DatasetMapper, seed: int) -> None:
        self.records, self.mapper, self.seed = records, mapper, seed
        self._epoch, self._order = -1, np.zeros(0, int)

    def __getitem__(self, position: int) -> dict[str, Any]:
        epoch, k = divmod(position, len(self.records))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, np.random.RandomState([self.seed, epoch]).permutation(len(self.records))
        np.random.seed([self.seed, position])  # detectron2's transforms draw from NumPy's global generator
        record = self.records[self._order[k]]
        try:
            image: dict[str, Any] = self.mapper(record)
        except (OSError, ValueError) as error:
            problem = f"{shown(Path(record['file_name']))} cannot be used: {error}"
            raise UserError(problem, "./inv data coco --verify") from None
        return image


class Positions(torch.utils.data.Sampler):
    """The positions from `start` to `end`, in order: a range, which PyTorch 1.5 does not take for a sampler."""

    def __init__(self, start: int, end: int) -> None:
        self.positions = range(start, end)

    def __iter__(self) -> Iterator[int]:
        return iter(self.positions)

    def __len__(self) -> int:
        return len(self.positions)


def train_loader(cfg: Any, seed: int, start: int) -> torch.utils.data.DataLoader:
    """Batches of the steps from `start` on: lists of dicts with image (uint8, (3, H, W) BGR) and instances.

    DatasetMapper reads an image, applies the augmentation that cfg.INPUT describes (resize to one of MIN_SIZE_TRAIN,
    flip) to it and to its boxes and masks alike, and makes tensors.
    """
    records = get_detection_dataset_dicts(
        cfg.DATASETS.TRAIN,
        filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS and configs.has_things(cfg),
        min_keypoints=cfg.MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE if cfg.MODEL.KEYPOINT_ON else 0,
    )
    batch = cfg.SOLVER.IMS_PER_BATCH
    return torch.utils.data.DataLoader(
        Stream(records, DatasetMapper(cfg, is_train=True), seed),
        batch_size=batch,
        sampler=Positions(start * batch, cfg.SOLVER.MAX_ITER * batch),
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        collate_fn=list,
    )

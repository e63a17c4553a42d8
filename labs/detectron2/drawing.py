"""Images: what a demo is given, what the model makes of it, and how that is drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator, Sequence

import cv2
import numpy as np
import torch
from detectron2.data import MetadataCatalog
from detectron2.data import transforms as T
from detectron2.utils.visualizer import Visualizer
from torch import nn

from labkit.base.console import say, warn
from labkit.base.errors import UserError
from labkit.base.paths import shown
from labkit.data import folders
from labkit.runs import plots
from labkit.runs.run import Run

VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm")
WEBCAM = "webcam"


@dataclass
class Inputs:
    """Images, uint8 (H, W, 3) BGR, from files, folders, a video or the webcam; counts what could not be read."""

    wanted: str  # names, several separated by commas
    frames: int  # of a video or the webcam, at most
    skipped: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        found = 0
        for name, image in self._all():
            found += 1
            yield name, image
        if not found:
            raise UserError(f"{self.wanted}: not one image in it could be read")
        if self.skipped:
            warn(f"{len(self.skipped)} files are no images and were skipped: {', '.join(self.skipped[:5])}")

    def _all(self) -> Iterator[tuple[str, np.ndarray]]:
        for word in self.wanted.split(",") if not Path(self.wanted).exists() else [self.wanted]:
            path = Path(word)
            if word == WEBCAM or path.suffix.lower() in VIDEOS:
                yield from self._film(word)
            elif path.is_dir():
                for each in folders.fitting(path, "*"):
                    yield from self._image(each)
            elif path.is_file():
                yield from self._image(path)
            else:
                raise UserError(f"--input: there is no file {word}")

    def _image(self, path: Path) -> Iterator[tuple[str, np.ndarray]]:
        try:
            image = cv2.imdecode(np.fromfile(str(path), dtype=np.uint8), cv2.IMREAD_COLOR)
        except (OSError, cv2.error):
            image = None
        if image is None:
            self.skipped.append(path.name)
        else:
            yield path.name, image

    def _film(self, word: str) -> Iterator[tuple[str, np.ndarray]]:
        film = cv2.VideoCapture(0 if word == WEBCAM else word)
        if not film.isOpened():
            if word == WEBCAM:
                raise UserError("the webcam cannot be opened; inside a container there is none", "--where venv")
            self.skipped.append(Path(word).name)
        for number in range(self.frames):
            there, frame = film.read()
            if not there:
                break
            yield f"{Path(word).stem}-{number:05}.png", frame
        film.release()


def read(path: str) -> np.ndarray:
    """An image of a data set, uint8 (H, W, 3) BGR."""
    image = cv2.imread(path)
    if image is None:
        raise UserError(f"{shown(Path(path))} is not an image that can be read", "./inv data coco --verify")
    return image


@torch.no_grad()
def predict(cfg: Any, model: nn.Module, image: np.ndarray) -> dict[str, Any]:
    """What the model finds in an image, uint8 (H, W, 3) BGR: instances, sem_seg, panoptic_seg, as it has them.

    The same as detectron2's DefaultPredictor, which would load the weights a second time.
    """
    height, width = image.shape[:2]
    resize = T.ResizeShortestEdge([cfg.INPUT.MIN_SIZE_TEST] * 2, cfg.INPUT.MAX_SIZE_TEST)
    small = resize.get_transform(image).apply_image(image)
    image = torch.from_numpy(np.ascontiguousarray(small.transpose(2, 0, 1)).astype(np.float32))  # (3, h, w)
    result: dict[str, Any] = model([{"image": image, "height": height, "width": width}])[0]
    return result


def draw(image: np.ndarray, found: dict[str, Any], meta: Any, threshold: float) -> np.ndarray:
    """The image with masks, boxes, names and scores on it: uint8 RGB (H, W, 3), enlarged where it is small."""
    zoom = max(1.0, 480 / min(image.shape[:2]))
    canvas = Visualizer(image[:, :, ::-1], meta, scale=zoom)
    np.random.seed(0)  # colours are drawn at random: here always the same ones
    if "panoptic_seg" in found:
        labels, segments = found["panoptic_seg"]
        return canvas.draw_panoptic_seg_predictions(labels.cpu(), segments).get_image()
    if "instances" in found:
        instances = found["instances"].to("cpu")
        return canvas.draw_instance_predictions(instances[instances.scores >= threshold]).get_image()
    return canvas.draw_sem_seg(found["sem_seg"].argmax(dim=0).cpu()).get_image()


def show_predictions(run: Run, cfg: Any, model: nn.Module, records: Sequence[dict[str, Any]], name: str,
                     caption: str, threshold: float = 0.5) -> None:  # fmt: skip
    """Show in the report what the model finds in the images of these records."""
    meta = MetadataCatalog.get(cfg.DATASETS.TEST[0])
    drawn = []
    for record in records:
        image = read(record["file_name"])
        drawn.append(draw(image, predict(cfg, model, image), meta, threshold))
    gallery(run, drawn, [Path(record["file_name"]).name for record in records], name, caption)


def gallery(run: Run, drawn: Sequence[np.ndarray], titles: Sequence[str], name: str, caption: str) -> None:
    """Images in rows of three, each under its title."""
    columns = min(3, len(drawn))
    figure, axes = plots.figure(-(-len(drawn) // columns), columns, width=3.6 * columns, height=3.0)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, title in zip(axes.flat, drawn, titles):
        axis.imshow(image, interpolation="antialiased")
        axis.set_title(title, fontsize=8, fontweight="normal", loc="center", pad=3)
    figure.tight_layout()
    run.figure(name, figure, caption)


def demo(run: Run, cfg: Any, model: nn.Module, meta: Any, inputs: Inputs, threshold: float) -> dict[str, float]:
    """Draw what the model finds in each image into images/, the first of them into the report."""
    folder = run.folder / "images"
    folder.mkdir(exist_ok=True)
    model.eval()
    shown_ones: list[np.ndarray] = []
    titles: list[str] = []
    count, objects = 0, 0
    film: cv2.VideoWriter | None = None
    for name, image in inputs:
        found = predict(cfg, model, image)
        drawn = draw(image, found, meta, threshold)
        cv2.imwrite(str(folder / f"{Path(name).stem}.png"), np.ascontiguousarray(drawn[:, :, ::-1]))
        here = int((found["instances"].scores >= threshold).sum()) if "instances" in found else 0
        count, objects = count + 1, objects + here
        if len(shown_ones) < 12:
            shown_ones.append(drawn)
            titles.append(f"{name}: {here} found" if "instances" in found else name)
        if any(word in inputs.wanted for word in (*VIDEOS, WEBCAM)):
            film = film or cv2.VideoWriter(str(folder / "demo.mp4"), cv2.VideoWriter_fourcc(*"vp09"), 10.0,
                                           drawn.shape[1::-1])  # fmt: skip
            film.write(np.ascontiguousarray(drawn[:, :, ::-1]))
    if film:
        film.release()
    gallery(run, shown_ones, titles, "demo", f"What the model finds with a score of {threshold} or more. All {count} "
            "images are in the folder images of this run.")  # fmt: skip
    if inputs.skipped:
        run.note(f"{len(inputs.skipped)} files could not be read as images: {', '.join(inputs.skipped[:10])}.")
    say(f"demo: {count} images, {objects} objects, drawn in {shown(folder)}")
    return {"images": count, "objects": objects, "skipped": len(inputs.skipped)}

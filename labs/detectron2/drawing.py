"""Images: what a demo is given, what the model makes of it, and how that is drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator, NamedTuple, Sequence

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
from labkit.data.image_files import output_names, read_image
from labkit.runs import plots
from labkit.runs.run import Run

VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm")
WEBCAM = "webcam"


class Input(NamedTuple):
    """One image, or one frame of a film."""

    title: str  # as the reader knows it
    output: str  # the name of its drawing, which no other input has
    image: np.ndarray  # uint8 (H, W, 3) BGR
    film: str  # the name for the film that it is a frame of, "" for an image


@dataclass
class Inputs:
    """Images from files, folders, videos or the webcam; counts what could not be read."""

    wanted: str  # names, several separated by commas
    frames: int  # of a video or the webcam, at most
    skipped: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Input]:
        found = 0
        for each in self._all():
            found += 1
            yield each
        if not found:
            raise UserError(f"{self.wanted}: not one image in it could be read")
        if self.skipped:
            warn(f"{len(self.skipped)} files are no images and were skipped: {', '.join(self.skipped[:5])}")

    def _all(self) -> Iterator[Input]:
        sources = self._sources()
        frames = [[Path(word) / f"{Path(word).stem}-{number:05}.png" for number in range(self.frames)]
                  if _is_film(word) else [Path(word)] for word in sources]  # fmt: skip
        outputs = iter(output_names([name for names in frames for name in names]))
        films = [word for word in sources if _is_film(word)]
        film_names = iter(output_names(films) if len(films) > 1 else ["demo"])
        for word, names in zip(sources, frames):
            own = [next(outputs) for _ in names]
            if _is_film(word):
                yield from self._film(word, own, next(film_names))
            else:
                yield from self._image(Path(word), own[0])

    def _sources(self) -> list[str]:
        """The files and films that are wanted, a folder as the files in it."""
        sources: list[str] = []
        for word in self.wanted.split(",") if not Path(self.wanted).exists() else [self.wanted]:
            path = Path(word)
            if path.is_dir():
                sources += [str(each) for each in folders.fitting(path, "*")]
            elif _is_film(word) or path.is_file():
                sources.append(word)
            else:
                raise UserError(f"--input: there is no file {word}")
        return sources

    def _image(self, path: Path, output: str) -> Iterator[Input]:
        try:
            image = read_image(path)
        except UserError:
            self.skipped.append(path.name)
        else:
            yield Input(path.name, output, np.ascontiguousarray(image[:, :, ::-1]), "")

    def _film(self, word: str, outputs: Sequence[str], name: str) -> Iterator[Input]:
        film = cv2.VideoCapture(0 if word == WEBCAM else word)
        if not film.isOpened():
            if word == WEBCAM:
                raise UserError("the webcam cannot be opened; inside a container there is none", "--where venv")
            self.skipped.append(Path(word).name)
        for output in outputs:
            there, frame = film.read()
            if not there:
                break
            yield Input(f"{output}.png", output, frame, name)
        film.release()


def _is_film(word: str) -> bool:
    return word == WEBCAM or Path(word).suffix.lower() in VIDEOS


def read(path: str) -> np.ndarray:
    """An image of a data set, upright as the training sees it, uint8 (H, W, 3) BGR."""
    try:
        return np.ascontiguousarray(read_image(Path(path))[:, :, ::-1])
    except UserError as error:
        raise UserError(error.message, "./inv data coco --verify") from None


def resized(cfg: Any, image: np.ndarray) -> torch.Tensor:
    """An image, uint8 (H, W, 3) BGR, as a model takes it: float32 (3, h, w)."""
    resize = T.ResizeShortestEdge([cfg.INPUT.MIN_SIZE_TEST] * 2, cfg.INPUT.MAX_SIZE_TEST)
    small = resize.get_transform(image).apply_image(image)
    return torch.from_numpy(np.ascontiguousarray(small.transpose(2, 0, 1)).astype(np.float32))


@torch.no_grad()
def predict(cfg: Any, model: nn.Module, image: np.ndarray) -> dict[str, Any]:
    """What the model finds in an image, uint8 (H, W, 3) BGR: instances, sem_seg, panoptic_seg, as it has them.

    The same as detectron2's DefaultPredictor, which would load the weights a second time.
    """
    height, width = image.shape[:2]
    result: dict[str, Any] = model([{"image": resized(cfg, image), "height": height, "width": width}])[0]
    return result


class Canvas(Visualizer):
    """detectron2's own, which takes names of classes for formulas."""

    def draw_text(self, text: str, *place: Any, **look: Any) -> Any:
        return super().draw_text(plots.plain(text), *place, **look)


def draw(image: np.ndarray, found: dict[str, Any], meta: Any, threshold: float) -> np.ndarray:
    """The image with masks, boxes, names and scores on it: uint8 RGB (H, W, 3), enlarged where it is small."""
    zoom = max(1.0, min(480 / min(image.shape[:2]), 1600 / max(image.shape[:2])))  # of a strip, its length counts
    canvas = Canvas(image[:, :, ::-1], meta, scale=zoom)
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
        axis.set_title(plots.plain(title), fontsize=8, fontweight="normal", loc="center", pad=3)
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
    films: dict[str, cv2.VideoWriter] = {}
    for each in inputs:
        found = predict(cfg, model, each.image)
        drawn = draw(each.image, found, meta, threshold)
        on_disk = np.ascontiguousarray(drawn[:, :, ::-1])
        cv2.imwrite(str(folder / f"{each.output}.png"), on_disk)
        here = int((found["instances"].scores >= threshold).sum()) if "instances" in found else 0
        count, objects = count + 1, objects + here
        if len(shown_ones) < 12:
            shown_ones.append(drawn)
            titles.append(f"{each.title}: {here} found" if "instances" in found else each.title)
        if each.film:
            if each.film not in films:
                films[each.film] = cv2.VideoWriter(str(folder / f"{each.film}.mp4"), cv2.VideoWriter_fourcc(*"vp09"),
                                                   10.0, drawn.shape[1::-1])  # fmt: skip
            films[each.film].write(on_disk)
    for film in films.values():
        film.release()
    gallery(run, shown_ones, titles, "demo", f"What the model finds with a score of {threshold} or more. All {count} "
            "images are in the folder images of this run.")  # fmt: skip
    if inputs.skipped:
        run.note(f"{len(inputs.skipped)} files could not be read as images: {', '.join(inputs.skipped[:10])}.")
    say(f"demo: {count} images, {objects} objects, drawn in {shown(folder)}")
    return {"images": count, "objects": objects, "skipped": len(inputs.skipped)}

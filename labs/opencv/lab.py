"""Images with OpenCV: colours, smoothing, edges, shapes, corners, frequencies; and each operator by hand beside it.

    ./inv lab opencv                            all of it on a picture that the lab draws
    ./inv lab opencv -- --input photo.jpg       the same on an image of yours
    ./inv practice opencv                       exercises that check themselves

You learn what the operators of sections 31 and 49 to 51 of the notes do to each pixel, that most of them are one
convolution, and where OpenCV rounds: each is written again in a few lines and compared with OpenCV's in every pixel.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.base.language import both
from labkit.base.paths import shown
from labkit.data.image_files import read_image
from labkit.runs import steps
from labkit.runs.run import Run
from labkit.runs.start import start
from labs.opencv import beside, figures, operators, operators_grey, steps_filters, steps_images
from labs.opencv.canny import canny
from labs.opencv.config import PRESETS, Config
from labs.opencv.operators import Section
from labs.opencv.scene import scene
from labs.opencv.steps_images import SETUP

# The steps of each part of the notes, and the operators whose results come after them.
LESSONS: tuple[tuple[steps.Group, tuple[Section, ...]], ...] = (
    (steps_images.TENSORS, ()),
    (steps_images.FILES, ()),
    (steps_images.COLOURS, (operators.COLOURS,)),
    (steps_images.TONES, (operators.TONE,)),
    (steps_filters.SMOOTHING, (operators.SMOOTHING,)),
    (steps_filters.EDGES, (operators_grey.EDGES,)),
    (steps_filters.SHAPES, (operators_grey.HISTOGRAMS, operators_grey.MORPHOLOGY)),
    (steps_filters.FINDING, (operators_grey.FINDING,)),
    (steps_filters.FEATURES, (operators_grey.FEATURES, operators_grey.FREQUENCIES)),
)
GROUPS = tuple(group for group, _ in LESSONS)
SECTIONS = tuple(section for _, sections in LESSONS for section in sections)
LEAST = 32  # pixels of a side: kernels and templates need room


def picture_of(config: Config) -> np.ndarray:
    """uint8 RGB (H, W, 3): the user's image, made smaller if it is large, or the lab's own.

    Raises UserError for a file that is no image, or an image that is too small.
    """
    if config.input is None:
        return scene()
    image = read_image(Path(config.input))
    height, width = image.shape[:2]
    scale = min(config.side / max(height, width), 1.0)
    small = max(round(width * scale), 1), max(round(height * scale), 1)
    if min(small) < LEAST:
        came = f", which --side {config.side} makes {small[0]} x {small[1]}" if scale < 1 else ""
        raise UserError(f"{shown(Path(config.input))} has {width} x {height} pixels{came}: both sides must have "
                        f"at least {LEAST}")  # fmt: skip
    return cv2.resize(image, small, interpolation=cv2.INTER_AREA) if scale < 1 else image


def random_case(random: np.random.RandomState) -> tuple[np.ndarray, float, float, int, bool]:
    """What Canny is tried on: noise of 1 x 1 to 64 x 64, soft or not, two thresholds, the size of Sobel, the norm."""
    height, width = random.randint(1, 65, 2)
    grey = random.randint(0, 256, (height, width)).astype(np.uint8)
    side, soft = int(random.choice([3, 5])), random.rand() < 0.5
    if soft:
        grey = cv2.GaussianBlur(grey, (0, 0), random.uniform(0.8, 4))
    low, high = random.rand(2) * {3: 1000, 5: 10000}[side] * (0.2 if soft else 1)
    return grey, float(low), float(high), side, bool(random.rand() < 0.5)


def same_canny(count: int, seed: int) -> int:
    """Of `count` random images, on how many Canny by hand gives OpenCV's edges in every pixel."""
    random, same = np.random.RandomState(seed), 0
    for _ in range(count):
        grey, low, high, side, squares = random_case(random)
        same += np.array_equal(cv2.Canny(grey, low, high, None, side, squares), canny(grey, low, high, side, squares))
    return same


def main(config: Config, run: Run) -> dict[str, float]:
    """Each part's steps, then its operators both ways on one picture. Returns how much agreed."""
    picture = picture_of(config)
    held, found = 0, []
    for number, (group, sections) in enumerate(LESSONS, start=1):
        held += steps.table(run, f"steps-{number:02}", group, SETUP)
        for section in sections:
            found += beside.section(run, section, picture)
            for draw in figures.AFTER.get(section.name, ()):
                draw(run, picture)
    exact, near = beside.table(run, found)
    same = same_canny(config.canny, run.seed)
    run.note(
        both(
            f"Canny by hand gives OpenCV's edges in every pixel on {same} of {config.canny} random images.",
            f"在 {config.canny} 幅随机图像上，手写 Canny 有 {same} 幅与 OpenCV 逐像素一致。",
        )
    )
    say(f"{held} steps hold; {exact} of {len(found)} operators agree in every pixel, {near} differ by 1 grey level")
    return {"exact": exact, "within_one": near, "canny": same, "steps": held}


if __name__ == "__main__":
    start(main, Config, PRESETS)

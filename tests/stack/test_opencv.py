"""The lab opencv: its steps, every operator by hand beside OpenCV's, and images of the user's own."""

from __future__ import annotations

import json
import random

import cv2
import numpy as np
import pytest
from labruns import newest, run_here, summary
from PIL import Image

from labkit.runs import steps
from labs.opencv import beside, colours, features, finding, lab
from labs.opencv.canny import canny
from labs.opencv.operators_grey import template_of
from labs.opencv.scene import HEIGHT, WIDTH, WINDOW, scene
from labs.opencv.steps_images import SETUP

STEPS = [one for group in lab.GROUPS for one in group.steps]
OPERATORS = [(section, operator) for section in lab.SECTIONS for operator in section.operators]


@pytest.mark.parametrize("one", STEPS, ids=lambda one: one.name)
def test_a_step_gives_what_it_must(one):
    steps.check(one, SETUP)


def test_names_are_their_own():
    assert len({one.name for one in STEPS}) == len(STEPS) == 99
    assert all(isinstance(one.name, str) and " " not in one.name and one.text.en and one.text.zh for one in STEPS)
    assert len({operator.name for _, operator in OPERATORS}) == len(OPERATORS)


def given(section, picture):
    return picture if section.coloured else colours.grey(picture)


def noise(seed):
    """A picture of any odd or even sides, in which every grey level is as likely: the worst case."""
    generator = np.random.RandomState(seed)
    height, width = generator.randint(lab.LEAST, 70, 2)
    return generator.randint(0, 256, (height, width, 3)).astype(np.uint8)


def soft(seed):
    return cv2.GaussianBlur(noise(seed), (0, 0), 3)


PICTURES = {
    "the lab's own": scene,
    "noise, 33 x 35": lambda: np.random.RandomState(0).randint(0, 256, (33, 35, 3)).astype(np.uint8),
    "noise": lambda: noise(1),
    "more noise": lambda: noise(2),
    "soft": lambda: soft(3),
    "softer": lambda: cv2.blur(soft(4), (9, 9)),
    "black": lambda: np.zeros((32, 41, 3), np.uint8),
    "white": lambda: np.full((41, 32, 3), 255, np.uint8),
    "all colours": lambda: np.stack(np.mgrid[:256:8, :256:8, :256:8], axis=-1).reshape(128, 256, 3).astype(np.uint8),
}


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("section, operator", OPERATORS, ids=lambda each: each.name)
def test_an_operator_by_hand_gives_what_opencv_gives(section, operator, name):
    found = beside.compare(operator, given(section, np.ascontiguousarray(PICTURES[name]())))
    assert found.apart <= operator.allowed, (operator.name, found.apart, found.share)


@pytest.mark.parametrize("seed", range(10, 16))
def test_operators_on_noise_of_any_size(seed):
    picture = noise(seed)
    for section, operator in OPERATORS:
        assert beside.compare(operator, given(section, picture)).apart <= operator.allowed, operator.name


def test_how_many_agree_and_that_each_does_something():
    picture = scene()
    found = [beside.compare(operator, given(section, picture)) for section, operator in OPERATORS]
    assert sum(each.apart == 0 for each in found) >= 40
    assert sum(each.apart == 1 for each in found) >= 5
    for each, (section, _) in zip(found, OPERATORS):
        assert each.theirs.std() > 1, each.operator.name
        same = np.array_equal(each.theirs, given(section, picture))
        assert same == (each.operator.name == "CMYK and back"), each.operator.name
    assert max(each.itself for each in found) <= 2  # OpenCV with and without vector instructions


def test_a_hue_is_a_circle():
    one, other = np.uint8([[[179, 5, 5]]]), np.uint8([[[0, 5, 9]]])
    assert beside.distance(one, other).max() == 179 and beside.distance(one, other, circle=True).max() == 4


@pytest.mark.parametrize("seed", range(60))
def test_canny_by_hand_is_canny(seed):
    grey, low, high, side, squares = lab.random_case(np.random.RandomState(seed))
    assert np.array_equal(canny(grey, low, high, side, squares), cv2.Canny(grey, low, high, None, side, squares))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (64, 3)])
@pytest.mark.parametrize("limits", [(0, 0), (-1, 50), (300, 100), (40000, 50000), (99.5, 200.7)])
@pytest.mark.parametrize("squares", [False, True])
def test_canny_of_edge_cases(size, limits, squares):
    grey = np.random.RandomState(sum(size)).randint(0, 256, size).astype(np.uint8)
    assert np.array_equal(canny(grey, *limits, 3, squares), cv2.Canny(grey, *limits, None, 3, squares))


def test_canny_tried_on_random_images_counts_those_that_differ(monkeypatch):
    assert lab.same_canny(20, 5) == 20
    monkeypatch.setattr(lab, "canny", lambda grey, *rest: np.zeros_like(grey))
    assert lab.same_canny(20, 5) < 20


def test_the_picture_is_the_same_everywhere():
    picture = scene()
    assert picture.shape == (HEIGHT, WIDTH, 3) and picture.dtype == np.uint8
    assert np.array_equal(picture, scene()) and not np.array_equal(picture, scene(1))
    assert int(picture.astype(np.int64).sum()) == 27595273


def test_the_template_is_the_window_and_is_found():
    grey = colours.grey(scene())
    y, x, height, width = WINDOW
    template = template_of(grey)
    like = finding.likeness(grey, template)
    top, left = np.unravel_index(like.argmax(), like.shape)
    assert top <= y and left <= x and top + len(template) >= y + height and left + len(template[0]) >= x + width


def test_four_features_tell_what_pixels_do_not():
    raw, four = features.pixels_and_features(0)
    assert four > 0.95 and raw < 0.6


def test_there_and_back():
    picture = noise(7)
    assert np.abs(colours.from_cmyk(colours.cmyk(picture)).astype(int) - picture).max() <= 2
    grey = colours.grey(picture)
    assert np.allclose(finding.spectrum(grey), np.fft.fft2(grey))
    assert np.allclose(finding.image_of(finding.spectrum(grey)), grey)


def test_the_whole_lab_and_its_report(tmp_path):
    status, said = run_here(lab, ["--canny", "30"], tmp_path, tmp_path)
    assert status == 0, said
    folder = newest(lab, tmp_path)
    found = summary(folder)["metrics"]
    assert found["steps"] == len(STEPS) and found["canny"] == 30
    assert found["exact"] >= 40 and found["within_one"] >= 5
    table = json.loads((folder / "tables" / "operators.json").read_text())
    assert len(table["rows"]) == len(OPERATORS)
    plots = {path.stem for path in (folder / "plots").glob("*.png")}
    assert {f"gallery-{section.name}" for section in lab.SECTIONS} < plots and len(plots) == len(lab.SECTIONS) + 7


def own(mode, size, turned=0):
    generator = np.random.RandomState(3)
    if mode == "I;16":
        image = Image.fromarray(generator.randint(0, 65536, size[::-1]).astype(np.uint16))
    else:
        image = Image.fromarray(cv2.resize(noise(5), size)).convert(mode)
    exif = Image.Exif()
    if turned:
        exif[0x0112] = turned
    return image, exif


def saved(path, image, exif):
    if path.suffix == ".jpg":
        image.save(str(path), exif=exif.tobytes())
    else:
        image.save(str(path))
    return str(path)


@pytest.mark.parametrize("mode, size", [("L", (64, 48)), ("I;16", (40, 41)), ("P", (33, 90))])
def test_an_image_of_the_users_own_is_read(mode, size, tmp_path):
    picture = lab.picture_of(lab.Config(input=saved(tmp_path / "own.png", *own(mode, size))))
    assert picture.shape == (*size[::-1], 3) and picture.dtype == np.uint8
    found = [beside.compare(operator, given(section, picture)) for section, operator in OPERATORS]
    assert sum(each.apart <= 1 for each in found) >= len(OPERATORS) - 1  # LAB by formula may be 2 away


@pytest.mark.slow
def test_the_lab_works_on_an_image_of_the_users_own(tmp_path):
    path = saved(tmp_path / "own.png", *own("RGBA", (51, 40)))
    status, said = run_here(lab, ["--input", path, "--canny", "1"], tmp_path, tmp_path / "runs")
    assert status == 0, said
    found = summary(newest(lab, tmp_path / "runs"))["metrics"]
    assert found["exact"] + found["within_one"] >= len(OPERATORS) - 1


def test_a_turned_photograph_stands_upright(tmp_path):
    path = saved(tmp_path / "own.jpg", *own("RGB", (80, 50), turned=6))
    assert lab.picture_of(lab.Config(input=path)).shape == (80, 50, 3)


def test_a_huge_one_is_made_smaller(tmp_path):
    path = saved(tmp_path / "own.jpg", *own("RGB", (6000, 4000)))
    assert lab.picture_of(lab.Config(input=path)).shape == (320, 480, 3)
    assert lab.picture_of(lab.Config(input=path, side=96)).shape == (64, 96, 3)


@pytest.mark.parametrize("size, said_of", [((1, 1), "has 1 x 1 pixels"), ((31, 400), "has 31 x 400 pixels"),
                                           ((3000, 100), "which --side 480 makes 480 x 16")])  # fmt: skip
def test_one_too_small_is_one_sentence(size, said_of, tmp_path):
    path = saved(tmp_path / "own.png", *own("RGB", size))
    status, said = run_here(lab, ["--input", path], tmp_path, tmp_path / "runs")
    assert status == 2 and said_of in said and "at least 32" in said and "Traceback" not in said


@pytest.mark.parametrize("content", [b"", random.Random(0).getrandbits(800).to_bytes(100, "big"), None])
def test_what_is_no_image_is_one_sentence(content, tmp_path):
    path = tmp_path / "own.png"
    if content is not None:
        path.write_bytes(content)
    status, said = run_here(lab, ["--input", str(path)], tmp_path, tmp_path / "runs")
    assert status == 2 and "own.png" in said and "Traceback" not in said

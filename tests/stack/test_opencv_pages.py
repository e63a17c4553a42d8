"""The pictures of the lab opencv: each image under its name, and what OpenCV itself says of it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from labruns import Desk, title_of

from labs.opencv import colours, figures
from labs.opencv.operators_grey import corners, template_of
from labs.opencv.scene import scene


@pytest.fixture(scope="module")
def picture():
    """uint8 RGB, with things of all colours in it."""
    return scene()


def shown(figure):
    """The images of a figure by their titles."""
    return {title_of(axis): np.asarray(axis.images[0].get_array()) for axis in figure.axes if axis.images}


def test_each_channel_stands_under_its_name(picture):
    desk = Desk()
    figures.channels(desk, picture)
    found = shown(desk.figures["channels"])
    for space, names, way in (("HSV", "HSV", cv2.COLOR_RGB2HSV), ("HSL", "HLS", cv2.COLOR_RGB2HLS),
                              ("YUV", "YUV", cv2.COLOR_RGB2YUV), ("LAB", "LAB", cv2.COLOR_RGB2LAB)):  # fmt: skip
        theirs = cv2.cvtColor(picture, way).astype(int)
        for k, name in enumerate(names):
            apart = np.abs(found[f"{space}: {name}"].astype(int) - theirs[..., k])
            assert np.minimum(apart, 180 - apart if name == "H" else apart).max() <= 2, (space, name)
    for k, name in enumerate("RGB"):
        assert np.array_equal(found[f"RGB: {name}"], picture[..., k])
    for k, name in enumerate("CMYK"):
        assert np.array_equal(found[f"CMYK: {name}"], colours.cmyk(picture)[..., k])
    assert len(found) == 19


def test_the_median_takes_salt_and_pepper_away_and_the_table_is_of_the_images(picture):
    desk = Desk()
    figures.noise(desk, picture)
    grey = colours.grey(picture)
    images = [np.asarray(axis.images[0].get_array()) for axis in desk.figures["noise"].axes]
    titles = [title_of(axis) for axis in desk.figures["noise"].axes]
    names = ["noise", "box 3", "Gaussian 3", "median 3", "bilateral 5"]
    assert titles == names * 2
    rows = desk.tables["noise"]
    assert [row[0] for row in rows] == names
    for k, row in enumerate(rows):
        assert row[1:] == [f"{cv2.PSNR(grey, images[k]):.1f}", f"{cv2.PSNR(grey, images[5 + k]):.1f}"]
    gains = {row[0]: float(row[2]) - float(rows[0][2]) for row in rows}
    assert gains["median 3"] > 5 and max(gains, key=lambda name: gains[name]) == "median 3"
    assert 0.02 < (images[5] != grey).mean() < 0.06  # one pixel in twenty, half of them as they were at the ends
    assert set(np.unique(images[5][images[5] != grey])) <= {0, 255}


def test_canny_by_its_steps_ends_in_opencvs(picture):
    desk = Desk()
    figures.stages(desk, picture)
    found = shown(desk.figures["canny"])
    assert list(found) == ["|dx| + |dy|", "crests", "crests above 100", "crests above 200", "held by a strong one",
                           "cv2.Canny(x, 100, 200)"]  # fmt: skip
    assert np.array_equal(found["held by a strong one"], found["cv2.Canny(x, 100, 200)"])
    weak, strong, held = (found[name] > 0 for name in list(found)[2:5])
    assert (strong <= held).all() and (held <= weak).all() and strong.sum() < held.sum() < weak.sum()
    grey = colours.grey(picture)
    dx, dy = (cv2.Sobel(grey, cv2.CV_64F, *way, ksize=3, borderType=cv2.BORDER_REPLICATE) for way in ((1, 0), (0, 1)))
    assert np.abs(found["|dx| + |dy|"] - np.clip((np.abs(dx) + np.abs(dy)) / 4, 0, 255)).max() <= 1


def test_equalisation_stands_below_what_was_dull(picture):
    desk = Desk()
    figures.histograms(desk, picture)
    dull, before, equal, after = desk.figures["equalized"].axes
    assert (title_of(dull), title_of(equal)) == ("dull", "equalized")
    one, other = (np.asarray(axis.images[0].get_array()) for axis in (dull, equal))
    assert np.array_equal(other, cv2.equalizeHist(one))
    for axis, image in ((before, one), (after, other)):
        counted = np.bincount(image.ravel(), minlength=256)
        assert [bar.get_height() for bar in axis.patches] == counted.tolist()
        sums = np.asarray(axis.lines[0].get_ydata())
        assert np.allclose(sums, counted.cumsum() * counted.max() / counted.sum()) and not axis.yaxis_inverted()


def test_the_template_is_framed_where_it_is_found(picture):
    desk = Desk()
    figures.places(desk, picture)
    best, likeness, at_corners = desk.figures["places"].axes
    assert [title_of(axis) for axis in (best, likeness, at_corners)] == ["the best place", "likeness", "corners"]
    grey = colours.grey(picture)
    template = template_of(grey)
    (frame,) = best.patches
    (x, y), width, height = frame.get_xy(), frame.get_width(), frame.get_height()
    assert np.array_equal(grey[int(y) : int(y + height), int(x) : int(x + width)], template)
    like = np.asarray(likeness.images[0].get_array())
    assert like[int(y), int(x)] == like.max() == 255
    assert np.array_equal(at_corners.collections[0].get_offsets(), corners(grey))


def test_slow_and_fast_waves_add_up_to_the_picture(picture):
    desk = Desk()
    figures.frequencies(desk, picture)
    found = shown(desk.figures["spectrum"])
    grey, spectrum, slow, fast = found.values()
    assert np.array_equal(grey, colours.grey(picture))
    middle = tuple(side // 2 for side in spectrum.shape)
    assert spectrum[middle] == spectrum.max()
    assert slow.std() < grey.std() and np.abs(np.diff(slow.astype(int), axis=1)).mean() < np.abs(np.diff(grey.astype(int), axis=1)).mean()
    assert np.abs(np.diff(fast.astype(int), axis=1)).mean() > np.abs(np.diff(slow.astype(int), axis=1)).mean()


def test_stripes_answer_the_kernel_of_their_own_angle(picture):
    desk = Desk()
    figures.feature_maps(desk, picture)
    titles = [title_of(axis) for axis in desk.figures["features"].axes]
    assert titles[:4] == [f"kernel {k}" for k in range(4)]
    for k, title in enumerate(titles[4:8]):
        shares = list(map(float, title.split(", ")))
        assert len(shares) == 4 and int(np.argmax(shares)) == k and sum(shares) == pytest.approx(1, abs=0.03)


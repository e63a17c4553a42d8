"""From a photo of a digit or another sign to an image as MNIST has them, each step kept for the report.

The authors of MNIST fitted each digit into a box of 20 x 20 pixels, its shape kept and its edges grey, and laid it into
28 x 28 so that the centre of mass of the ink is in the middle. A network that learned from such images reads no others:
what it gets must be made in the same way. Source: LeCun et al., Gradient-Based Learning Applied to Document Recognition
(1998), section III A.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from labkit.base.errors import UserError
from labkit.base.language import Both, both
from labkit.base.paths import shown
from labkit.data.image_files import read_image

SIDE, BOX = 28, 20
LONGEST = 1024  # pixels of a photo's longer side, from here on
LEAST = 8  # pixels that both sides of a photo must have
PAPER = 96  # pixels of the longer side of the image in which the paper is looked for
WINDOWS = (1 / 2, 1 / 4, 1 / 8, 1 / 16)  # shares of the longer side: wide for thick strokes, narrow for uneven light
MOST_INK = 0.5  # share of the photo: more is no stroke on paper
FAINT = 12  # grey levels between ink and paper, below which there is none
TWO_CLASSES = 0.82  # share of the variance that ink and paper must explain: faint pencil has 0.87, noise 0.6 to 0.8
THIN = 0.09  # a thinner stroke, as a share of the digit's longer side, is thickened; nine of ten in MNIST are wider


@dataclass
class Reading:
    """What became of a photo, in the order of the steps; images are uint8 but for `difference`."""

    photo: np.ndarray  # RGB (H, W, 3)
    grey: np.ndarray  # (H, W)
    paper: np.ndarray  # (H, W), what the photo would be without ink
    difference: np.ndarray  # (H, W), how far each pixel is from the paper, on the side on which the ink is
    dark_ink: bool
    threshold: int  # Otsu's: what differs by more is ink
    ink: np.ndarray  # (H, W), 0 or 255, of the digit alone
    box: tuple[int, int, int, int]  # x, y, width, height
    digit: np.ndarray  # (28, 28), bright ink on black, as the network sees it
    warnings: list[Both] = field(default_factory=list)


def read_sign(path: Path, again: str) -> Reading:
    """The sign in the image file `path`; `again` is what an error tells the user to do.

    Raises UserError for a file that is no image, an image that is too small, and one in which no ink can be told from
    paper. Whatever makes the reading doubtful is in its `warnings`.
    """
    photo = read_image(path)
    if min(photo.shape[:2]) < LEAST:
        raise UserError(f"{shown(path)} has {photo.shape[1]} x {photo.shape[0]} pixels: both sides must have at least "
                        f"{LEAST}", again)  # fmt: skip
    try:
        return find(photo)
    except NoSign as reason:
        raise UserError(f"{shown(path)}: {reason}", again) from None


class NoSign(ValueError):
    """Why nothing that could be read is in an image."""


def find(photo: np.ndarray) -> Reading:
    """The sign in `photo`, uint8 RGB (H, W, 3). Raises NoSign where there is none."""
    photo = resized(photo)
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    paper, difference, dark, threshold, soft = max((ink_beside_paper(grey, share) for share in WINDOWS),
                                                   key=lambda found: otsu(found[-1])[1])  # fmt: skip
    mask = np.where(soft > threshold, 255, 0).astype(np.uint8)
    refuse_without_contrast(soft, mask > 0)
    ink, warnings = strokes(mask)
    x, y, width, height = cv2.boundingRect(ink)
    if max(width, height) < LEAST:
        raise NoSign(f"what stands out from the paper is {width} x {height} pixels, too small to be read")
    cut = slice(y, y + height), slice(x, x + width)
    digit = as_mnist(np.where(ink > 0, difference, 0)[cut], ink[cut])
    return Reading(photo, grey, paper, difference, dark, int(threshold), ink, (x, y, width, height), digit, warnings)


def resized(photo: np.ndarray) -> np.ndarray:
    """Not larger than LONGEST; and not smaller than a quarter of it, so that strokes are some pixels wide."""
    longer = max(photo.shape[:2])
    scale = LONGEST / longer if longer > LONGEST else max(1.0, LONGEST / 4 / longer)
    size = max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale))
    # shrinking takes the mean of the pixels that each new one covers; enlarging goes smoothly between them
    return cv2.resize(photo, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def ink_beside_paper(grey: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray, bool, int, np.ndarray]:
    """The paper by a window of this `share` of the longer side, and the ink that then stands out.

    Returns the paper, the difference, whether the ink is dark, Otsu's threshold, and the difference in which it counts.
    """
    paper = paper_of(grey, share)
    signed = paper.astype(np.int16) - grey  # above 0 where the photo is darker than its paper
    dark = ink_is_dark(signed)
    difference = np.clip(signed if dark else -signed, 0, 255).astype(np.uint8)
    soft = cv2.GaussianBlur(difference, (0, 0), max(grey.shape) / 400)  # the grain of paper and camera
    return paper, difference, dark, otsu(soft)[0], soft


def paper_of(grey: np.ndarray, share: float) -> np.ndarray:
    """How bright the paper is at each pixel, light and shadow included: uint8 (H, W).

    The median of a window, of which strokes must cover less than half. In a small image, since light changes slowly.
    """
    height, width = grey.shape
    scale = PAPER / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    window = int(PAPER * share) // 2 * 2 + 1
    margin = window // 2
    wide = cv2.copyMakeBorder(small, *[margin] * 4, borderType=cv2.BORDER_REPLICATE)
    median = cv2.medianBlur(wide, window)[margin : margin + small.shape[0], margin : margin + small.shape[1]]
    median = cv2.GaussianBlur(median, (0, 0), window / 8)
    return cv2.resize(median, (width, height), interpolation=cv2.INTER_LINEAR)


def ink_is_dark(signed: np.ndarray) -> bool:
    """Whether what stands out most from the paper is darker than it: `signed` (H, W) is paper minus photo."""
    darker, lighter = (np.square(np.clip(side, 0, None).astype(np.float64)).sum() for side in (signed, -signed))
    return bool(darker >= lighter)


def otsu(image: np.ndarray) -> tuple[int, float]:
    """The threshold that parts `image`, uint8 (H, W), into two classes that vary least, and how well: 0..1.

    The second is the share of the variance that lies between the classes: 1 where each has one level only, 0 where all
    is one level. Source: Otsu, A Threshold Selection Method from Gray-Level Histograms (1979).
    """
    share = np.bincount(image.ravel(), minlength=256) / image.size
    level = np.arange(256)
    below = share.cumsum()  # weight of the class of levels 0..t
    first = (share * level).cumsum()
    mean = first[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        between = np.nan_to_num((mean * below - first) ** 2 / (below * (1 - below)), nan=0.0, posinf=0.0)
    variance = (share * (level - mean) ** 2).sum()
    best = int(between.argmax())
    return best, float(between[best] / variance) if variance > 0 else 0.0


def refuse_without_contrast(soft: np.ndarray, ink: np.ndarray) -> None:
    """Raise NoSign where Otsu's two classes, `ink` bool (H, W) and the rest, are not ink and paper.

    Otsu's threshold divides any image, a blank one too. Ink is little of it, far from the paper, and the two explain
    most of how the levels differ.
    """
    if not 0 < ink.mean() < 1:
        raise NoSign("the image is the same everywhere, so there is no ink on it")
    if ink.mean() > MOST_INK:
        raise NoSign(f"{ink.mean():.0%} of it stands out from the rest, which is no stroke on paper")
    apart = float(soft[ink].mean() - soft[~ink].mean())
    if apart < FAINT or otsu(soft)[1] < TWO_CLASSES:
        raise NoSign(f"no ink stands out from the paper: what differs most does so by {apart:.0f} of 255 grey levels, "
                      "and not sharply")  # fmt: skip


def strokes(mask: np.ndarray) -> tuple[np.ndarray, list[Both]]:
    """The strokes of one digit in `mask` (H, W), 0 or 255, and what is doubtful about them.

    Specks go, and so does what touches the edge of the photo, such as the edge of a table, where there is something
    else. Strokes near the largest one belong to it, as the bar of a 5 does; others are another digit.
    """
    count, parts, facts, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    area = facts[:, cv2.CC_STAT_AREA].astype(np.float64)
    area[0] = 0  # the paper
    at_edge = edge_parts(parts, count)
    if (area[~at_edge] > 0.1 * area.max()).any():
        area[at_edge] = 0
    kept = area > 0.02 * area.max()
    specks = int((facts[1:, cv2.CC_STAT_AREA] > 0).sum() - kept.sum())
    if kept.sum() > 12 or area[kept].sum() < 0.5 * facts[1:, cv2.CC_STAT_AREA][~at_edge[1:]].sum():
        raise NoSign(f"{int(kept.sum()) + specks} separate spots stand out from the paper, and no strokes")
    largest = int(area.argmax())
    near = max(3, round(0.12 * facts[largest, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max()))
    of_kept = np.isin(parts, np.flatnonzero(kept)).astype(np.uint8)
    grown = cv2.dilate(of_kept, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (near + 1, near + 1)))
    groups = cv2.connectedComponents(grown, connectivity=8)[1]
    own = (groups == groups[parts == largest][0]) & (of_kept > 0)  # bool (H, W)
    warnings = []
    if at_edge[np.unique(parts[own])].any():
        warnings.append(both("what was read reaches the edge of the photo, so part of it may be missing",
                             "识别的图形碰到了照片边缘，可能不完整"))  # fmt: skip
    if (of_kept > 0).sum() > 1.15 * own.sum():
        warnings.append(both("there is more than one thing on the paper: the largest was read, and the rest left out",
                             "纸上不止一个图形：只识别了最大的一个，其余忽略"))  # fmt: skip
    return np.where(own, 255, 0).astype(np.uint8), warnings


def edge_parts(parts: np.ndarray, count: int) -> np.ndarray:
    """Which of the parts touch the edge of the image: bool (count,)."""
    touching = np.zeros(count, dtype=bool)
    for line in (parts[0], parts[-1], parts[:, 0], parts[:, -1]):
        touching[np.unique(line)] = True
    return touching


def stroke_width(ink: np.ndarray) -> float:
    """How wide the strokes in `ink` (H, W), 0 or not, are, in pixels: twice the distance of their middle line."""
    distance = cv2.distanceTransform(np.pad((ink > 0).astype(np.uint8), 1), cv2.DIST_L2, 5)
    crest = (distance >= cv2.dilate(distance, np.ones((3, 3), np.uint8))) & (distance > 0)
    return float(2 * np.median(distance[crest])) - 1 if crest.any() else 0.0


def as_mnist(difference: np.ndarray, ink: np.ndarray) -> np.ndarray:
    """The digit in its box, uint8 (h, w), as MNIST's: uint8 (28, 28). `ink` (h, w) says which pixels are ink.

    Full ink becomes 255 and lesser ink less. A thin pen is thickened, since MNIST's was thicker.
    """
    level = float(np.percentile(difference[ink > 0], 75))
    bright = np.clip(difference.astype(np.float64) / max(level, 1) * 255, 0, 255).astype(np.uint8)
    longer = max(bright.shape)
    wanted = THIN * longer
    width = stroke_width(ink)
    if width < wanted:
        grow = int(np.ceil(wanted - width))
        bright = cv2.copyMakeBorder(bright, *[grow] * 4, borderType=cv2.BORDER_CONSTANT, value=0)
        bright = cv2.dilate(bright, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (grow + 1, grow + 1)))
        x, y, w, h = cv2.boundingRect(bright)
        bright = bright[y : y + h, x : x + w]
    scale = BOX / max(bright.shape)
    size = max(1, round(bright.shape[1] * scale)), max(1, round(bright.shape[0] * scale))
    small = cv2.resize(bright, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return centred(small)


def centred(small: np.ndarray) -> np.ndarray:
    """`small` (h, w), at most 20 x 20, in a black 28 x 28 with its centre of mass in the middle, to the pixel."""
    mass = small.astype(np.float64)
    total = max(mass.sum(), 1.0)
    top = SIDE / 2 - (mass.sum(axis=1) @ (np.arange(small.shape[0]) + 0.5)) / total
    left = SIDE / 2 - (mass.sum(axis=0) @ (np.arange(small.shape[1]) + 0.5)) / total
    row, column = (int(np.clip(round(float(at)), 0, SIDE - size)) for at, size in zip((top, left), small.shape))
    image = np.zeros((SIDE, SIDE), np.uint8)
    image[row : row + small.shape[0], column : column + small.shape[1]] = small
    return image

"""Image files of the user's own, whatever they are."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from labkit.base.errors import UserError
from labkit.base.paths import shown


def read_image(path: Path) -> np.ndarray:
    """Any image file as uint8 0..255 RGB (H, W, 3). Raises UserError for what is none.

    Colour, grey, transparent and 16-bit images come out alike, and a photograph turned by its EXIF tag upright.
    """
    try:
        image = cv2.imdecode(np.fromfile(str(path), dtype=np.uint8), cv2.IMREAD_COLOR)  # uint8 0..255 HWC BGR
    except (OSError, cv2.error):
        image = None
    if image is None:
        raise UserError(f"{shown(path)} is not an image that can be read")
    return np.ascontiguousarray(image[:, :, ::-1])

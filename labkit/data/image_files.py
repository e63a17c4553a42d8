"""Image files of the user's own, whatever they are, and the names of what is made of them."""

from __future__ import annotations

import collections
import io
import os
import warnings
from pathlib import Path
from typing import Iterator, Sequence

import cv2
import numpy as np
from PIL import Image

from labkit.base.console import say, warn
from labkit.base.errors import UserError
from labkit.base.paths import shown

# A header may claim any size, and memory is taken before the first pixel is read. The largest cameras have 200 million.
MOST_PIXELS = 200_000_000
Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2  # Pillow warns from here on, and refuses twice as many
ORIENTATION = 0x0112  # the EXIF tag of how an image was turned: 1 is upright
warnings.filterwarnings("ignore", module=r"PIL\.")  # of large and of damaged images, which are told of in a sentence

_said: set[Path] = set()  # the folders of which it was said that something in them is transparent


def read_image(path: Path) -> np.ndarray:
    """Any image file as uint8 0..255 RGB (H, W, 3). Raises UserError for what is none, is cut short or is too large.

    Colour, grey and 16-bit images come out alike, a photograph turned by its EXIF tag upright, and a transparent image
    on white, which is said once for each folder.
    """
    try:
        with Image.open(str(path)):  # reads the header alone
            content = Path(path).read_bytes()
    except Exception as error:  # a damaged header raises whatever its first wrong value leads to
        raise _no_image(path, error) from error
    return decode(content, path)


def decode(content: bytes, path: Path, annotated: tuple[int, int] | None = None) -> np.ndarray:
    """As `read_image`, of the bytes of the file `path`.

    `annotated` is the (width, height) in which annotations count: where only the image as it is stored has that size,
    it is left as it is stored.
    """
    if _is_cut_short(content):
        raise UserError(f"{shown(path)} is not an image that can be read: it is cut short")
    try:
        with Image.open(io.BytesIO(content)) as file:
            turn = 1 if file.format == "TIFF" else file.getexif().get(ORIENTATION, 1)  # libtiff has turned its pixels
            if annotated and turn in (5, 6, 7, 8) and annotated == file.size != file.size[::-1]:
                turn = 1
            opaque = file.mode not in ("RGBA", "LA", "PA", "RGBa", "La") and "transparency" not in file.info
            image = None if opaque else _on_white(_with_alpha(file), path)
        if image is None:
            flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
            image = cv2.imdecode(np.frombuffer(content, np.uint8), flags)[:, :, ::-1]  # uint8 0..255 HWC BGR -> RGB
    except Exception as error:  # a damaged file raises whatever its first wrong value leads to
        raise _no_image(path, error) from error
    return np.ascontiguousarray(_turned(image, turn))


def read_own(files: Sequence[Path], skipped: list[str]) -> Iterator[tuple[str, np.ndarray]]:
    """A user's own images, each with a name for what is made of it (`output_names`); as `read_image` has them.

    What is none is skipped, told of at the end, and its name appended to `skipped`. Raises UserError where not one can
    be read.
    """
    for name, file in zip(output_names(files), files):
        try:
            image = read_image(file)
        except UserError:
            if len(files) == 1:
                raise
            skipped.append(file.name)
        else:
            yield name, image
    if len(skipped) == len(files):
        raise UserError("not one of the files is an image that can be read")
    if skipped:
        warn(f"{len(skipped)} of {len(files)} files are no images and were skipped: {', '.join(skipped[:5])}")


def read_segments(path: Path) -> np.ndarray:
    """The id of the segment in each pixel of a panoptic PNG, R + 256 G + 65536 B: int64 (H, W)."""
    try:
        with Image.open(str(path)) as file:
            colours = np.asarray(file.convert("RGB")).astype(np.int64)
    except Exception as error:
        raise UserError(f"{shown(path)} is not an image that can be read", "./inv data coco --verify") from error
    return colours @ np.array([1, 256, 65536])


def output_names(inputs: Sequence[Path | str]) -> list[str]:
    """A name without a suffix for what is made of each input, in the same order, no two alike.

    The stem where no other input has it, else the whole name, else the folders above it too; a number where the same
    file is given twice. Capital letters tell nothing apart, since not every disk does.
    """
    paths = [Path(each) for each in inputs]
    names = [path.stem for path in paths]
    for depth in range(1, max((len(path.parts) for path in paths), default=0) + 2):
        times = collections.Counter(name.lower() for name in names)
        names = [name if times[name.lower()] == 1 else "-".join(part.strip(os.sep) for part in path.parts[-depth:])
                 for name, path in zip(names, paths)]  # fmt: skip
    known = {name.lower() for name in names}
    given: set[str] = set()
    for k, name in enumerate(names):
        number = 1
        while names[k].lower() in given or (number > 1 and names[k].lower() in known):
            number += 1
            names[k] = f"{name}-{number}"
        given.add(names[k].lower())
    return names


def _no_image(path: Path, error: Exception) -> UserError:
    if path.is_dir():
        return UserError(f"{shown(path)} is a folder, and one image is asked for")
    what = f"{shown(path)} is not an image that can be read"
    if isinstance(error, Image.DecompressionBombError):
        what += f": it claims to have more than {MOST_PIXELS // 1_000_000} million pixels, which memory may not hold"
    return UserError(what)


def _with_alpha(file: Image.Image) -> Image.Image:
    """An image with transparency as RGBA."""
    if not file.mode.startswith("I"):
        return file.convert("RGBA")
    grey = np.asarray(file)  # of 16 bits, which Pillow would cut at 255
    alpha = np.where(grey == file.info["transparency"], 0, 255).astype(np.uint8)
    return Image.merge("LA", (Image.fromarray((grey >> 8).astype(np.uint8)), Image.fromarray(alpha))).convert("RGBA")


def _on_white(image: Image.Image, path: Path) -> np.ndarray:
    """An RGBA image on white: uint8 RGB (H, W, 3)."""
    if image.getchannel("A").getextrema()[0] < 255:
        _say_transparent(Path(path))
    canvas = Image.new("RGB", image.size, (255, 255, 255))
    canvas.paste(image, mask=image.getchannel("A"))
    return np.asarray(canvas)


def _say_transparent(path: Path) -> None:
    if path.parent not in _said:
        _said.add(path.parent)
        say(f"{shown(path)} is transparent: it is shown on white, and so is every such image in its folder")


def _is_cut_short(content: bytes) -> bool:
    """Whether a JPEG has no end of its pixels, which OpenCV fills with grey."""
    offset = 2
    while content.startswith(b"\xff\xd8") and offset + 4 <= len(content) and content[offset] == 0xFF:
        if content[offset + 1] == 0xDA:  # the pixels follow, in which 0xFF is never followed by 0xD9
            return content.find(b"\xff\xd9", offset) < 0
        fill = content[offset + 1] == 0xFF
        offset += 1 if fill else 2 + int.from_bytes(content[offset + 2 : offset + 4], "big")
    return False


def _turned(image: np.ndarray, turn: int) -> np.ndarray:
    """The stored image (H, W, 3) upright, by the value of its EXIF tag."""
    if turn in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if turn in (3, 4, 7, 8):
        image = image[::-1]
    if turn in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image

"""What the bytes of a JPEG say of themselves, read without an image library, which the host has none of."""

from __future__ import annotations

import struct
from typing import Iterator

SIDEWAYS = (5, 6, 7, 8)  # the values of the EXIF tag by which height and width change places; 1 is upright
ORIENTATION = 0x0112


def jpeg_problem(image: bytes, width: int, height: int) -> str:
    """Why these bytes are not a whole JPEG of this size, or ""; nobody published hashes of the single images.

    The size is that of the image as it is stored, or as its EXIF tag turns it upright.
    """
    if not image.startswith(b"\xff\xd8"):
        return "it is not a JPEG"
    if not image.rstrip(b"\0").endswith(b"\xff\xd9"):
        return "it is cut short"
    for marker, offset in _segments(image):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and offset + 9 <= len(image):  # the frame header
            got = struct.unpack(">HH", image[offset + 5 : offset + 9])
            turned = _orientation(image)[0] in SIDEWAYS and got == (width, height)
            return "" if got == (height, width) or turned else f"it is {got[1]}x{got[0]}, expected {width}x{height}"
    return "it has no frame header"


def as_annotated(image: bytes, width: int, height: int) -> bytes:
    """A good JPEG, such that its upright size is the one in which its annotations count.

    Where they count in the image as it is stored, and its EXIF tag would lay it on its side, the tag is set to 1:
    whoever reads the image sees it as the annotations do.
    """
    turn, place = _orientation(image)
    for marker, offset in _segments(image) if turn in SIDEWAYS and width != height else ():
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if struct.unpack(">HH", image[offset + 5 : offset + 9]) == (height, width):
                upright = b"\x01\x00" if image[place] else b"\x00\x01"  # in the byte order of the file
                return image[:place] + upright + image[place + 2 :]
            break
    return image


def _segments(image: bytes) -> Iterator[tuple[int, int]]:
    """(marker, offset) of the segments before the pixels."""
    offset = 2
    while offset + 4 <= len(image) and image[offset] == 0xFF and image[offset + 1] != 0xDA:
        if image[offset + 1] == 0xFF:  # filling
            offset += 1
            continue
        yield image[offset + 1], offset
        offset += 2 + int.from_bytes(image[offset + 2 : offset + 4], "big")


def _orientation(image: bytes) -> tuple[int, int]:
    """The EXIF tag of how the image was turned, and where its two bytes are; (1, 0) where there is none."""
    for marker, offset in _segments(image):
        start = offset + 10  # after the marker, the length and "Exif\0\0": a TIFF file
        if marker != 0xE1 or image[offset + 4 : start] != b"Exif\0\0":
            continue
        order = "<" if image[start : start + 2] == b"II" else ">"
        try:
            directory = start + struct.unpack_from(f"{order}I", image, start + 4)[0]
            for entry in range(struct.unpack_from(f"{order}H", image, directory)[0]):
                place = directory + 2 + 12 * entry
                if struct.unpack_from(f"{order}H", image, place)[0] == ORIENTATION:
                    return struct.unpack_from(f"{order}H", image, place + 8)[0], place + 8
        except struct.error:
            pass
        break
    return 1, 0

"""Synthetic scenes larger than an icon, for the samples of data sets of photographs; always the same bytes.

As in labkit.data.shapes only integer random numbers, + - * / and square roots are used.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np


def backdrop(rng: Any, height: int, width: int) -> Any:
    """A ground of two soft colours and a little noise: float 0..255 (height, width, 3)."""
    top, bottom = rng.randint(60, 200, (2, 1, 1, 3))
    share = np.arange(height)[:, None, None] / float(height)
    return top * (1 - share) + bottom * share + rng.randint(-8, 9, (height, width, 1))


def disc(height: int, width: int, x: float, y: float, rx: float, ry: float) -> Any:
    """How much of each pixel an ellipse covers, 0..1, (height, width, 1), and its local coordinates in -1..1."""
    across = (np.arange(width)[None, :] - x) / rx
    down = (np.arange(height)[:, None] - y) / ry
    distance = (np.sqrt(across**2 + down**2) - 1) * min(rx, ry)
    return np.clip(0.5 - distance, 0, 1)[..., None], across + 0 * down, down + 0 * across


def ball(rng: Any, image: Any, ink: Any, stripes: bool = False, dimples: bool = False) -> Any:
    """`image` with a shaded ball or body in this colour somewhere near its middle."""
    height, width = image.shape[:2]
    r = height * rng.randint(20, 40) / 100.0
    x, y = (side * rng.randint(35, 66) / 100.0 for side in (width, height))
    cover, across, down = disc(height, width, x, y, r * rng.randint(90, 116) / 100.0, r)
    light = 1.0 - 0.45 * ((across + 0.4) ** 2 + (down + 0.4) ** 2)
    body = np.asarray(ink, float) * np.clip(light, 0.25, 1.15)[..., None]
    if stripes:
        wave = (across + 0.25 * down) * rng.randint(4, 8)
        body = body * np.where(wave - np.floor(wave) < 0.5, 1.0, 0.12)[..., None]
    if dimples:
        body = body + rng.randint(-26, 27, (height, width, 1))
    return image + cover * (body - image)


def clip(image: Any) -> Any:
    """uint8 0..255."""
    return np.clip(np.floor(image), 0, 255).astype(np.uint8)


def write_jpeg(path: Path, image: Any) -> None:
    """Write uint8 RGB (H, W, 3) as JPEG, with Pillow."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(str(path), "JPEG", quality=90)


def write_png(path: Path, image: Any) -> None:
    """Write uint8 RGB (H, W, 3) as PNG, not compressed: compressed bytes differ between versions of zlib."""
    height, width = image.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in image)
    blocks = [rows[start : start + 65535] for start in range(0, len(rows), 65535)]
    packed = b"\x78\x01"
    for number, block in enumerate(blocks, start=1):
        packed += struct.pack("<BHH", number == len(blocks), len(block), 65535 - len(block)) + block
    packed += struct.pack(">I", zlib.adler32(rows))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

"""Read MNIST's files: arrays of bytes in the idx format."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from labkit.base.errors import UserError
from labkit.base.paths import shown

UINT8 = 8  # the type of the numbers; the format has others, which no data set here uses
MAX_AXES = 4


def load(path: Path) -> Any:
    """The array in an idx file: uint8, with the shape that the file states.

    The format: 0, 0, the type of the numbers, how many axes, the length of each axis as a big-endian 32-bit number, and
    the bytes. Raises UserError naming the file where it is missing, is something else, or is not as long as it states.
    """
    import numpy as np

    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {shown(path)}: {error.strerror}") from None
    axes = data[3] if len(data) >= 4 else 0
    start = 4 + 4 * axes
    if data[:3] != bytes([0, 0, UINT8]) or not 1 <= axes <= MAX_AXES or len(data) < start:
        raise UserError(f"{shown(path)} is not an idx file of bytes")
    shape = struct.unpack(f">{axes}I", data[4:start])
    stated = 1
    for length in shape:
        stated *= length  # a Python integer: it cannot overflow
    if not stated:  # one axis of length 0 would let the others state anything
        raise UserError(f"{shown(path)} holds no numbers")
    if stated != len(data) - start:
        raise UserError(f"{shown(path)} states {stated} bytes of content and has {len(data) - start}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape).copy()

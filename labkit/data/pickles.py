"""Read and write pickled arrays, without running what a pickle may ask for.

CIFAR's files are pickles, and so are detectron2's weights: fetched from hosts that nobody here controls. The reader
takes arrays of numbers from them, which it makes itself from their bytes, beside numbers, text and plain containers.
"""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path
from typing import Any, ClassVar

from labkit.base.errors import UserError
from labkit.base.paths import shown
from labkit.data.unpickle import Damaged, Machine, Refused, StandIn

NUMBERS = re.compile("[iu][1248]|f[248]")  # dtypes of fixed size, by kind and bytes; no objects, no text, no records
MOST_AXES = 8


def save(content: Any, path: Path) -> None:
    """Pickle arrays, numbers, text and plain containers: with NumPy 1 and 2 the same bytes, which both read."""
    data = pickle.dumps(content, protocol=3)
    path.write_bytes(data.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))


def load(path: Path) -> Any:
    """The content of a pickle of NumPy arrays, numbers, text and plain containers, written by Python 2 or 3.

    Arrays are of whole or floating-point numbers, of this machine's byte order, and may be written to. Text of Python
    2 is decoded as latin1. Memory and time are bounded by the size of the file. Raises UserError naming the file when
    it asks for anything else or is no pickle.
    """
    try:
        with path.open("rb") as stream:
            return _Arrays(stream, os.fstat(stream.fileno()).st_size).load()
    except FileNotFoundError:
        raise UserError(f"{shown(path)} does not exist") from None
    except Refused as refused:
        raise UserError(f"{shown(path)} is not read: it asks for {refused}, which arrays do not need") from None
    except Exception as error:  # a damaged pickle can raise nearly anything
        why = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{shown(path)} is not a pickle that can be read ({why})") from None


class _Dtype(StandIn):
    """What the numbers of an array are; looked at when there are numbers."""

    def __init__(self, code: Any) -> None:
        self.code, self.order = code, "<"


class _Array(StandIn):
    """An array before its state has come."""


class _Arrays(Machine):
    # NumPy 2 moved numpy.core to numpy._core; Python 3 calls __builtin__ builtins.
    NAMES: ClassVar[dict[str, str]] = {
        "numpy.ndarray": "ndarray",
        "numpy.dtype": "dtype",
        "_codecs.encode": "encode",
        "__builtin__.bytes": "bytes",
        **{
            f"numpy.{core}.{module}.{name}": name
            for core in ("core", "_core")
            for module, name in (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"))
        },
    }

    def __init__(self, stream: Any, size_bytes: int) -> None:
        super().__init__(stream, size_bytes)
        self.array_bytes = 2 * size_bytes  # that arrays may take: the file has them once, perhaps as text

    def call(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if name == "dtype" and 1 <= len(arguments) <= 3:
            return _Dtype(arguments[0])
        if name == "_reconstruct" and len(arguments) == 3 and arguments[0] == "ndarray":
            return _Array()
        if name == "_frombuffer" and len(arguments) == 4:
            content, dtype, shape, order = arguments
            return self.array(content, dtype, shape, order == "F")
        if name == "scalar" and len(arguments) == 2:
            dtype, content = arguments
            return self.array(content, dtype, (1,), False)[0]
        if name == "encode" and len(arguments) == 2 and isinstance(arguments[0], str) and arguments[1] == "latin1":
            self.take(len(arguments[0]))
            return arguments[0].encode("latin1")  # how Python 3 writes bytes for Python 2
        if name == "bytes" and arguments == ():
            return b""
        raise Refused(f"a {name} of another form")

    def build(self, target: Any, state: Any) -> Any:
        if not isinstance(state, tuple):
            return super().build(target, state)
        if isinstance(target, _Dtype) and len(state) >= 2 and state[1] in ("<", ">", "|", "="):
            target.order = state[1]
            return target
        if isinstance(target, _Array) and len(state) == 5:
            _, shape, dtype, fortran, content = state
            return self.array(content, dtype, shape, bool(fortran))
        return super().build(target, state)

    def array(self, content: Any, dtype: Any, shape: Any, fortran: bool) -> Any:
        """The array of these bytes."""
        import numpy as np

        if not isinstance(dtype, _Dtype):
            raise Damaged("an array has no dtype")
        code = dtype.code if type(dtype.code) is str else ""
        if not NUMBERS.fullmatch(code):
            raise Refused(f"an array of {code[:20] or type(dtype.code).__name__}")
        if not isinstance(content, (bytes, str)) or type(shape) is not tuple or len(shape) > MOST_AXES:
            raise Damaged("an array has no bytes or no shape")
        count, lengths = 1, [length for length in shape if type(length) is int and 0 <= length < 1 << 31]
        for length in lengths:
            count *= length
        if len(lengths) != len(shape) or count * int(code[1:]) != len(content):
            raise Damaged(f"an array of {len(content)} bytes does not have the shape that is stated")
        self.take(len(content))
        numbers = bytearray(content, "latin1") if isinstance(content, str) else bytearray(content)  # text: of Python 2
        array = np.frombuffer(numbers, np.dtype(dtype.order.replace("|", "=") + code))
        return array.astype(code, copy=False).reshape(shape, order="F" if fortran else "C")

    def take(self, count: int) -> None:
        self.array_bytes -= count
        if self.array_bytes < 0:
            raise Damaged("it shows the same bytes over and over")

    def leaf(self, value: Any) -> Any:
        import numpy as np

        return value if isinstance(value, (np.ndarray, np.generic)) else super().leaf(value)

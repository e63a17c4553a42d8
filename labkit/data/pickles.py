"""Read and write pickled arrays, without running what a pickle may ask for.

A pickle is a program. CIFAR's files are pickles, fetched from hosts that nobody here controls, so the reader knows
only the few names that arrays need and refuses the rest.
"""

from __future__ import annotations

import codecs
import pickle
from pathlib import Path
from typing import Any, Callable

from labkit.base.errors import UserError
from labkit.base.paths import shown


def save(content: Any, path: Path) -> None:
    """Pickle arrays, numbers, text and plain containers: with NumPy 1 and 2 the same bytes, which both read."""
    data = pickle.dumps(content, protocol=3)
    path.write_bytes(data.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))


def load(path: Path) -> Any:
    """The content of a pickle of NumPy arrays, numbers, text and plain containers, written by Python 2 or 3.

    Text of Python 2 is decoded as latin1, as CIFAR's own page advises. Raises UserError naming the file when it asks
    for anything else or is no pickle.
    """
    try:
        with path.open("rb") as stream:
            return _Unpickler(stream, encoding="latin1").load()
    except FileNotFoundError:
        raise UserError(f"{shown(path)} does not exist") from None
    except _Refused as refused:
        raise UserError(f"{shown(path)} is not read: it asks for {refused}, which arrays do not need") from None
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise UserError(f"{shown(path)} is not a pickle that can be read ({error})") from None


class _Refused(Exception):
    pass


class _Unpickler(pickle._Unpickler):
    # The one written in Python: the one in C reserves 64 GB for eight bytes that name object number 4294967295.
    def find_class(self, module: str, name: str) -> Any:
        # NumPy 2 moved numpy.core to numpy._core.
        known = _array_names().get((module.replace("numpy._core", "numpy.core"), name))
        if known is None:
            raise _Refused(f"{module}.{name}")
        return known

    def persistent_load(self, pid: Any) -> Any:
        raise _Refused("an object outside the file")


def _array_names() -> dict[tuple[str, str], Callable[..., Any]]:
    """What the pickle of an array or of one of its numbers may call."""
    import numpy as np

    return {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy.core.numeric", "_frombuffer"): np.empty(0).__reduce_ex__(5)[0],
        ("numpy.core.multiarray", "scalar"): np.float64(0).__reduce__()[0],
        ("_codecs", "encode"): codecs.encode,
    }

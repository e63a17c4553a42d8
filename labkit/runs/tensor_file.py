"""A reader of what PyTorch saves that runs nothing in the file.

Before 1.6 that was five pickles (a magic number, the version, the machine, the content, the names of the storages) and
then, for each storage, how many numbers it has and their bytes. Today it is a zip of one pickle and a member for each
storage. Tensors are made here from those bytes, when it is known that they are there, so that a file takes no more
memory than a few times its size, whatever it states. PyTorch's own `weights_only` runs nothing either, but lets 764
bytes take 4 GB, and a tensor be larger than what is stored of it.
"""

from __future__ import annotations

import collections
import io
import zipfile
from typing import Any, ClassVar

import numpy as np
import torch

from labkit.data.unpickle import Damaged, Machine, Name, Refused, StandIn

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
MAGIC_BYTES = MAGIC.to_bytes(10, "little")
DTYPES = {  # of storages; bool is read as bytes, of which any but 0 is True, bfloat16 as halves of a number
    "Float": np.float32, "Double": np.float64, "Half": np.float16, "Byte": np.uint8, "Char": np.int8,
    "Short": np.int16, "Int": np.int32, "Long": np.int64, "Bool": np.uint8,
    "BFloat16": np.int16,
}  # fmt: skip
MOST_AXES = 16


def load(data: bytes) -> Any:
    """The content of the file. Raises Refused, Damaged, or whatever a first wrong byte leads to."""
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            return _Packed(packed, len(data)).file()
    if data[:14].find(MAGIC_BYTES) < 0:
        raise Damaged("it does not begin as a checkpoint does")
    return _Tensors(io.BytesIO(data), len(data)).file()


class _Storage:
    def __init__(self, kind: str, count: int) -> None:
        self.kind, self.count = kind, count
        self.tensor: Any = None  # its numbers, (count,)

    @property
    def itemsize(self) -> int:
        return np.dtype(DTYPES[self.kind]).itemsize


class _Tensor(StandIn):
    """A tensor whose numbers are not read yet."""

    def __init__(
        self, storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], grad: bool
    ) -> None:
        self.storage, self.offset, self.size, self.stride, self.grad = storage, offset, size, stride, grad
        self.parameter = False

    def tensor(self) -> Any:
        if self.made is None:
            made = torch.as_strided(self.storage.tensor, self.size, self.stride, self.offset)
            self.made = torch.nn.Parameter(made, self.grad) if self.parameter else made.requires_grad_(self.grad)
        return self.made


class _Tensors(Machine):
    NAMES: ClassVar[dict[str, str]] = {
        "collections.OrderedDict": "OrderedDict",
        "collections.Counter": "Counter",
        "torch.Size": "Size",
        "torch._utils._rebuild_tensor_v2": "tensor",
        "torch._utils._rebuild_parameter": "parameter",
        **{f"torch.{kind}Storage": kind for kind in DTYPES},
    }

    def file(self) -> Any:
        self._one(MAGIC)
        self._one(VERSION)
        self.raw()  # what machine wrote it: all of today's have the same byte order and sizes
        self.storages: dict[str, _Storage] = {}
        self._begin()
        content = self.raw()
        self._begin()
        names = self.raw()
        if type(names) is not list or sorted(map(str, names)) != sorted(self.storages):
            raise Damaged("its storages are not those that its tensors name")
        for name in names:
            self._read(self.storages[name])
        return self._plain(content, 0)

    def _one(self, expected: int) -> None:
        self._begin()
        if self.raw() != expected:
            raise Damaged("it is of a version that is not known")

    def _begin(self) -> None:
        self.stack, self.memo = [], {}

    def _read(self, storage: _Storage) -> None:
        if self.number("<q") != storage.count:
            raise Damaged("a storage is not as large as its tensor states")
        self._fill(storage, self.bytes_(storage.count * storage.itemsize))

    @staticmethod
    def _fill(storage: _Storage, content: bytes) -> None:
        if len(content) != storage.count * storage.itemsize:
            raise Damaged("a storage is not as large as its tensor states")
        numbers = np.frombuffer(bytearray(content), DTYPES[storage.kind])
        storage.tensor = torch.from_numpy(numbers != 0 if storage.kind == "Bool" else numbers)
        if storage.kind == "BFloat16":
            storage.tensor = storage.tensor.view(torch.bfloat16)

    def outside(self, what: Any) -> Any:
        # Before 1.6 it ended in what part of another storage it is: of none.
        if type(what) is not tuple or what[:1] != ("storage",) or (*what, None)[5:] not in ((None,), (None, None)):
            raise Refused("an object outside the file")
        kind, key, place, count = what[1:5]
        if [type(each) for each in (kind, key, place, count)] != [Name, str, str, int] or kind not in DTYPES:
            raise Damaged("a storage is described wrongly")
        there = self.storages.setdefault(key, _Storage(kind, count))
        if (there.kind, there.count) != (kind, count) or not 0 <= count <= self.size_bytes:
            raise Damaged("a storage is described wrongly")
        return there

    def call(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if name == "OrderedDict" and arguments == ():
            return collections.OrderedDict()
        if name == "Counter" and len(arguments) == 1 and type(arguments[0]) is dict:
            return collections.Counter(arguments[0])
        if name == "Size" and len(arguments) == 1 and _lengths(arguments[0]):
            return torch.Size(arguments[0])
        if name == "tensor" and len(arguments) == 6:
            return self._tensor(*arguments)
        if name == "parameter" and len(arguments) == 3 and isinstance(arguments[0], _Tensor) and not arguments[2]:
            whole = arguments[0]
            parameter = _Tensor(whole.storage, whole.offset, whole.size, whole.stride, bool(arguments[1]))
            parameter.parameter = True
            return parameter
        raise Refused(f"a {name} of another form")

    def _tensor(self, storage: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any) -> _Tensor:
        good = isinstance(storage, _Storage) and type(offset) is int and offset >= 0
        good = good and _lengths(size) and _lengths(stride) and len(size) == len(stride) <= MOST_AXES
        if not good or type(grad) is not bool or hooks:
            raise Damaged("a tensor is described wrongly")
        count, last = 1, offset
        for length, step in zip(size, stride):
            count *= length
            last += (length - 1) * step
        if count > storage.count or (count and last >= storage.count):
            raise Damaged("a tensor is larger than its storage")
        return _Tensor(storage, offset, size, stride, grad)

    def build(self, target: Any, state: Any) -> Any:
        # A module's state_dict carries the versions of its layers as an attribute.
        if isinstance(target, collections.OrderedDict) and type(state) is dict and set(state) <= {"_metadata"}:
            target.__dict__.update(state)
            return target
        return super().build(target, state)

    def leaf(self, value: Any) -> Any:
        return value.tensor() if isinstance(value, _Tensor) else super().leaf(value)


class _Packed(_Tensors):
    """Today's file. All of it lies in one folder, which is called as its writer liked."""

    def __init__(self, packed: zipfile.ZipFile, size_bytes: int) -> None:
        infos = packed.infolist()
        if sum(info.file_size for info in infos) > size_bytes:
            raise Damaged("it unpacks to more than PyTorch writes")  # which never compresses
        self.packed = packed
        self.members = {info.filename for info in infos}
        self.folder = next((name.rpartition("/")[0] for name in self.members if name.endswith("/data.pkl")), "")
        super().__init__(io.BytesIO(self._member("data.pkl")), size_bytes)

    def _member(self, name: str) -> bytes:
        if f"{self.folder}/{name}" not in self.members:
            raise Damaged(f"there is no {name} in it")
        return self.packed.read(f"{self.folder}/{name}")

    def file(self) -> Any:
        self.storages = {}
        if f"{self.folder}/byteorder" in self.members and self._member("byteorder") != b"little":
            raise Damaged("its numbers are in another byte order than this machine's")
        content = self.raw()
        for key, storage in self.storages.items():
            self._fill(storage, self._member(f"data/{key}"))
        return self._plain(content, 0)


def _lengths(value: Any) -> bool:
    """Whether `value` is a tuple of whole numbers that can be lengths."""
    return isinstance(value, tuple) and all(type(each) is int and 0 <= each < 2**62 for each in value)

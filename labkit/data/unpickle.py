"""A reader of pickles that runs nothing: a pickle is a program, and this machine knows only what data need.

It builds plain containers, numbers and text, and leaves the few calls that a kind of file may ask for to its subclass,
which makes what they stand for from checked values: no function of another library ever sees what the file says. What
a file can cost is bounded by its own size and by the limits below, whatever it states.
"""

from __future__ import annotations

import codecs
import pickle
import struct
from typing import Any, BinaryIO, Callable, ClassVar

MOST_STEPS = 2_000_000  # instructions; CIFAR-100 written by protocol 0 has 0.4 million
MOST_DEPTH = 32  # of containers in each other
MOST_DIGITS = 32  # of a number that is written as text
PLAIN = (int, float, bool, str, bytes, type(None))  # whose values are data as they stand
INTEGER_BYTES = 16  # of a whole number: those of the data have 64 bits, the mark of a checkpoint has 80
NOT_KEPT = object()  # in place of a large text in the memo: shown again and again, it would fill memory
LARGE_BYTES = 1 << 16  # from this size on, what arrays are made of is not remembered: it would be kept twice


class Refused(Exception):
    """The pickle asks for something that data do not need; the text says for what."""


class Damaged(Exception):
    """The file is no pickle, or not a whole one; the text says why."""


class Name(str):
    """A function or class that the pickle names, "module.name"; it is never looked up."""


class StandIn:
    """For an object that the pickle is still describing; `made` is what it became."""

    made: Any = None


_MARK = object()


class Machine:
    """Reads one pickle from `stream`, which has `size_bytes`. Raises Refused, Damaged, or anything else."""

    NAMES: ClassVar[dict[str, str]] = {}  # admitted "module.name" -> its name here

    def __init__(self, stream: BinaryIO, size_bytes: int) -> None:
        self.stream, self.size_bytes = stream, size_bytes
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.seen = 0

    # --- for subclasses -----------------------------------------------------------------------------------------------

    def call(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """What the admitted `name` gives for these arguments."""
        raise Refused(name)

    def build(self, target: Any, state: Any) -> Any:
        """What `target` is after it got its state."""
        raise Refused(f"the state of a {type(target).__name__}")

    def outside(self, what: Any) -> Any:
        """What stands for an object that is kept outside the pickle."""
        raise Refused("an object outside the file")

    def leaf(self, value: Any) -> Any:
        """What stands in the result for a value that is no container. Raises Damaged for what may not be there."""
        raise Damaged(f"a {type(value).__name__} stands where data should be")

    # --- the machine --------------------------------------------------------------------------------------------------

    def load(self) -> Any:
        """The content: dicts, lists, tuples, and leaves."""
        return self._plain(self.raw(), 0)

    def raw(self) -> Any:
        """What the last step leaves, unchecked."""
        read = self.stream.read
        for _ in range(MOST_STEPS):
            code = read(1)
            if code == pickle.STOP:
                return self.pop()
            step = STEPS.get(code)
            if step is None:
                raise Damaged(f"{code!r} is no step that data need" if code else "it ends early")
            step(self)
        raise Damaged(f"it takes more than {MOST_STEPS} steps")

    def _plain(self, value: Any, depth: int) -> Any:
        """`value` with its leaves, in place where that is possible. What it counts also ends what holds itself."""
        if type(value) in PLAIN:
            return value
        if not isinstance(value, (dict, list, tuple)):
            return self.leaf(value)
        self.seen += 1 + len(value)
        if depth > MOST_DEPTH or self.seen > MOST_STEPS:
            raise Damaged("its containers are nested too deeply, or too large")
        if type(value) is tuple:
            return tuple([self._plain(each, depth + 1) for each in value])
        changing: Any = value
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            if type(each) not in PLAIN:
                changing[key] = self._plain(each, depth + 1)
        return changing

    def bytes_(self, count: int) -> bytes:
        if not 0 <= count <= self.size_bytes:  # before so much memory is asked for
            raise Damaged(f"{count} bytes are announced and the file has {self.size_bytes}")
        content = self.stream.read(count)
        if len(content) != count:
            raise Damaged("it ends early")
        return content

    def line(self) -> bytes:
        content = self.stream.readline()
        if not content.endswith(b"\n"):
            raise Damaged("it ends early")
        return content[:-1].rstrip(b"\r")

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.bytes_(struct.calcsize(form)))[0]

    def digits(self) -> str:
        text = self.line().decode("ascii")
        if len(text) > MOST_DIGITS:
            raise Damaged("a number in it is too long")
        return text

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise Damaged("a value is missing")
        return self.stack.pop()

    def marked(self) -> list[Any]:
        """The values above the last mark."""
        place = len(self.stack) - 1
        while place >= 0 and self.stack[place] is not _MARK:
            place -= 1
        if place < 0:
            raise Damaged("a mark is missing")
        values = self.stack[place + 1 :]
        del self.stack[place:]
        return values

    def top(self, *kinds: type) -> Any:
        if not self.stack or not isinstance(self.stack[-1], kinds):
            raise Damaged("a container is missing")
        return self.stack[-1]

    def admitted(self, module: str, name: str) -> Name:
        known = self.NAMES.get(f"{module}.{name}")
        if known is None:
            raise Refused(f"{module}.{name}")
        return Name(known)

    def put(self, index: int) -> None:
        value = self.stack[-1]
        kept = not isinstance(value, (str, bytes)) or len(value) < LARGE_BYTES
        self.memo[index] = value if kept else NOT_KEPT

    def get(self, index: int) -> None:
        value = self.memo[index]
        if value is NOT_KEPT:
            raise Damaged("it shows the same large text twice")
        made = value.made if isinstance(value, StandIn) else None
        self.stack.append(value if made is None else made)

    def append(self, values: list[Any]) -> None:
        self.top(list).extend(values)

    def set_items(self, values: list[Any]) -> None:
        target = self.top(dict)
        if len(values) % 2:
            raise Damaged("a value is missing")
        for place in range(0, len(values), 2):
            key = values[place]
            if type(key) not in PLAIN:  # the hash of a nested one may not return
                raise Damaged(f"a {type(key).__name__} is the key of a dict")
            target[key] = values[place + 1]

    def set_list(self) -> None:
        self.stack.append(self.marked())

    def set_dict(self) -> None:
        values = self.marked()
        self.stack.append({})
        self.set_items(values)

    def tuple_of(self, count: int) -> None:
        values = [self.pop() for _ in range(count)]
        self.stack.append(tuple(reversed(values)))

    def reduce(self) -> None:
        arguments, name = self.pop(), self.pop()
        if type(name) is not Name or type(arguments) is not tuple:
            raise Damaged("it calls what is no function")
        self.stack.append(self.call(name, arguments))

    def state(self) -> None:
        state, target = self.pop(), self.pop()
        made = self.build(target, state)
        if isinstance(target, StandIn):
            target.made = made
        self.stack.append(made)

    def long_(self) -> int:
        content = self.bytes_(self.number("<B"))
        if len(content) > INTEGER_BYTES:
            raise Damaged("a whole number in it is too large")
        return int.from_bytes(content, "little", signed=True)

    def text_int(self) -> Any:
        text = self.digits()
        return {"00": False, "01": True}[text] if text in ("00", "01") else int(text)

    def quoted(self) -> str:
        text = self.line()
        if len(text) < 2 or text[:1] not in (b"'", b'"') or text[-1:] != text[:1]:
            raise Damaged("a text in it has no quotes")
        return codecs.escape_decode(text[1:-1])[0].decode("latin1")

    def global_(self) -> Name:
        module, name = self.line().decode("utf-8"), self.line().decode("utf-8")
        return self.admitted(module, name)

    def stack_global(self) -> Name:
        name, module = self.pop(), self.pop()
        if type(name) is not str or type(module) is not str:
            raise Damaged("a name is missing")
        return self.admitted(module, name)

    def protocol(self) -> None:
        if self.number("<B") > pickle.HIGHEST_PROTOCOL:
            raise Damaged("its protocol is unknown")


def _pushing(value: Callable[[Machine], Any]) -> Callable[[Machine], None]:
    return lambda machine: machine.stack.append(value(machine))


# Text of Python 2 is taken as latin1, as CIFAR's own page advises. Steps that no array, text, number or container needs
# are missing on purpose: those that double what is there, call methods, or reach outside.
STEPS: dict[bytes, Callable[[Machine], None]] = {
    pickle.PROTO: Machine.protocol,
    b"\x95": lambda m: m.number("<Q"),  # FRAME: what follows is read from the file as it comes
    pickle.MARK: _pushing(lambda m: _MARK),
    pickle.NONE: _pushing(lambda m: None),
    pickle.NEWTRUE: _pushing(lambda m: True),
    pickle.NEWFALSE: _pushing(lambda m: False),
    pickle.INT: _pushing(Machine.text_int),
    pickle.BININT: _pushing(lambda m: m.number("<i")),
    pickle.BININT1: _pushing(lambda m: m.number("<B")),
    pickle.BININT2: _pushing(lambda m: m.number("<H")),
    pickle.LONG: _pushing(lambda m: int(m.digits().rstrip("L"))),
    pickle.LONG1: _pushing(Machine.long_),
    pickle.FLOAT: _pushing(lambda m: float(m.digits())),
    pickle.BINFLOAT: _pushing(lambda m: m.number(">d")),
    pickle.STRING: _pushing(Machine.quoted),
    pickle.BINSTRING: _pushing(lambda m: m.bytes_(m.number("<i")).decode("latin1")),
    pickle.SHORT_BINSTRING: _pushing(lambda m: m.bytes_(m.number("<B")).decode("latin1")),
    pickle.UNICODE: _pushing(lambda m: m.line().decode("raw-unicode-escape")),
    pickle.BINUNICODE: _pushing(lambda m: m.bytes_(m.number("<I")).decode("utf-8")),
    b"\x8c": _pushing(lambda m: m.bytes_(m.number("<B")).decode("utf-8")),  # SHORT_BINUNICODE
    b"\x8d": _pushing(lambda m: m.bytes_(m.number("<Q")).decode("utf-8")),  # BINUNICODE8
    pickle.BINBYTES: _pushing(lambda m: m.bytes_(m.number("<I"))),
    pickle.SHORT_BINBYTES: _pushing(lambda m: m.bytes_(m.number("<B"))),
    b"\x8e": _pushing(lambda m: m.bytes_(m.number("<Q"))),  # BINBYTES8
    b"\x96": _pushing(lambda m: m.bytes_(m.number("<Q"))),  # BYTEARRAY8
    pickle.EMPTY_TUPLE: _pushing(lambda m: ()),
    pickle.TUPLE: _pushing(lambda m: tuple(m.marked())),
    pickle.TUPLE1: lambda m: m.tuple_of(1),
    pickle.TUPLE2: lambda m: m.tuple_of(2),
    pickle.TUPLE3: lambda m: m.tuple_of(3),
    pickle.EMPTY_LIST: _pushing(lambda m: []),
    pickle.LIST: Machine.set_list,
    pickle.APPEND: lambda m: m.append([m.pop()]),
    pickle.APPENDS: lambda m: m.append(m.marked()),
    pickle.EMPTY_DICT: _pushing(lambda m: {}),
    pickle.DICT: Machine.set_dict,
    pickle.SETITEM: lambda m: m.set_items([m.pop(), m.pop()][::-1]),
    pickle.SETITEMS: lambda m: m.set_items(m.marked()),
    pickle.PUT: lambda m: m.put(int(m.digits())),
    pickle.BINPUT: lambda m: m.put(m.number("<B")),
    pickle.LONG_BINPUT: lambda m: m.put(m.number("<I")),
    b"\x94": lambda m: m.put(len(m.memo)),  # MEMOIZE
    pickle.GET: lambda m: m.get(int(m.digits())),
    pickle.BINGET: lambda m: m.get(m.number("<B")),
    pickle.LONG_BINGET: lambda m: m.get(m.number("<I")),
    pickle.GLOBAL: _pushing(Machine.global_),
    b"\x93": _pushing(Machine.stack_global),  # STACK_GLOBAL
    pickle.REDUCE: Machine.reduce,
    pickle.BUILD: Machine.state,
    pickle.BINPERSID: _pushing(lambda m: m.outside(m.pop())),
    pickle.PERSID: _pushing(lambda m: m.outside(m.line().decode("ascii"))),
}

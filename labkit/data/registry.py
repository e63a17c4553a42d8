"""What is known of each data set: `datasets/<name>/dataset.toml`, read and checked."""

# The types are looked at while the program runs, also by Python 3.8: hence Dict and Tuple, and no `annotations`.

import gzip
from pathlib import Path
from typing import Dict, List, Tuple

import msgspec

from labkit.base import typed
from labkit.base.errors import UserError, nearest
from labkit.base.paths import ROOT
from labkit.base.typed import Annotated, Record

REGISTRY = ROOT / "datasets"
HASH_DIGITS = {"sha256": 64, "sha1": 40, "md5": 32}
Count = Annotated[int, msgspec.Meta(ge=0)]


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A published file, one [[file]]: where it lies below the data folder, how it is known, where it is found."""

    name: str
    unpack: bool
    folder: str = ""  # below data/<name>/; "" is that folder itself; what is unpacked lands there too
    part: str = ""  # what one asks for to get this file ("" is in every part)
    size_bytes: Count = 0  # 0 where it is not known
    sha256: str = ""
    sha1: str = ""
    md5: str = ""
    md5_prefix: str = ""  # its first digits, where nothing else was published
    no_hash: bool = False  # nothing at all was
    urls: Tuple[str, ...] = ()  # byte-identical, in the order in which they are tried
    package: str = ""  # "name==version" where the package index has it, "" elsewhere
    unpacked_bytes: Count = 0  # what unpacking may come to at most; 0: only Dataset.unpacked_bytes says
    keep: bool = True  # whether the archive stays after it has been unpacked
    layout: Dict[str, Count] = msgspec.field(default_factory=dict)  # as Dataset.layout, of this file alone

    def __post_init__(self) -> None:
        for algorithm, length in HASH_DIGITS.items():
            _check_hex(algorithm, getattr(self, algorithm), length)
        _check_hex("md5_prefix", self.md5_prefix, len(self.md5_prefix))
        if bool(self.hashes) == self.no_hash:
            raise ValueError("sha256 or sha1 or md5 must be given, or no_hash = true where none was ever published")
        if not all(url.startswith(("http://", "https://")) for url in self.urls):
            raise ValueError("urls must be http:// or https:// addresses")
        if not self.name or "/" in self.name:
            raise ValueError("name must be a plain file name")

    def __hash__(self) -> int:
        return hash(self.path)

    @property
    def hashes(self) -> Tuple[Tuple[str, str], ...]:
        """(algorithm, digits), the strongest first; an md5 may be its first digits only."""
        known = [("sha256", self.sha256), ("sha1", self.sha1), ("md5", self.md5), ("md5", self.md5_prefix)]
        return tuple((algorithm, digits) for algorithm, digits in known if digits)

    @property
    def certain(self) -> bool:
        """Whether a whole hash was published. The first digits of one find damage, and prove nothing."""
        return bool(self.sha256 or self.sha1 or self.md5)

    @property
    def path(self) -> str:
        """Where it lies, relative to data/<name>/."""
        return f"{self.folder}/{self.name}" if self.folder else self.name


class Wanted(msgspec.Struct, frozen=True, array_like=True):
    """Which parts of a data set, and of its images perhaps only some. In a record: a list in this order."""

    parts: Tuple[str, ...] = ()
    subset: Count = 0  # this many images, fetched one by one; 0: all, in archives
    categories: Tuple[str, ...] = ()  # images that show any of these; () for any image

    def __str__(self) -> str:
        few = [f"{self.subset} images"] if self.subset else []
        return ", ".join([*few, *self.parts]) + f" with {' or '.join(self.categories)}" * bool(self.categories)


class Dataset(Record, frozen=True, forbid_unknown_fields=True):
    """One dataset.toml. People write it by hand, so that a key that is not known is taken for a slip."""

    name: str  # of its folder
    title: str
    title_zh: str
    homepage: str
    citation: str
    licence: str
    redistribute: bool
    unpacked_bytes: Count  # what unpacking may come to at most; a bomb stops here
    files: Tuple[File, ...] = msgspec.field(name="file")
    # Globs below data/<name>/ -> how many files fit, 0 for "some"; paths there -> published md5 of an unpacked file;
    # splits -> number of examples of the real set.
    layout: Dict[str, Count] = msgspec.field(default_factory=dict)
    md5: Dict[str, str] = msgspec.field(default_factory=dict)
    splits: Dict[str, Count] = msgspec.field(default_factory=dict)
    shape: Tuple[int, ...] = ()  # of one image as stored; () where images differ or there are none
    mean: Tuple[float, ...] = ()  # per channel, of the training images scaled to 0..1; () where nobody states it
    std: Tuple[float, ...] = ()
    default: Tuple[str, ...] = ()  # the parts that are fetched when none is asked for; () where there are no parts
    subset: Count = 0  # fetch this many images one by one unless more is asked for; 0 where that is not possible
    image_urls: Tuple[str, ...] = ()  # folders of single images, in the order in which they are tried
    import_only: str = ""  # why nobody may publish it, as a clause; who has a copy imports it

    def __post_init__(self) -> None:
        for file in self.files:
            if bool(file.urls or file.package) == bool(self.import_only):
                raise ValueError(f"{file.path!r} needs urls or a package, or the data set says why it is import_only")
        if not self.files or not (self.layout or all(file.layout for file in self.files)):
            raise ValueError("[[file]] and [layout] must not be empty")
        if set(self.default) - set(self.parts) or bool(self.default) != bool(self.parts):
            raise ValueError(f"default must be some of the parts {', '.join(self.parts)}")
        layouts = [*self.layout, *(pattern for file in self.files for pattern in file.layout)]
        for path in [*layouts, *self.md5, *(file.path for file in self.files)]:
            if not stays_below(path):
                raise ValueError(f"{path!r} must stay below the data folder")
        for path, md5 in self.md5.items():
            _check_hex(f"[md5] {path!r}", md5, 32)

    @property
    def folder(self) -> Path:
        """Where its dataset.toml, README and sample.py are."""
        return REGISTRY / self.name

    @property
    def parts(self) -> List[str]:
        """What can be asked for one by one, in order."""
        return list(dict.fromkeys(file.part for file in self.files if file.part))

    def on_mirrors(self, file: File) -> str:
        """Where a mirror of the user's own has the file: its name, or with its folder where others have that name."""
        alone = sum(other.name == file.name for other in self.files) == 1
        return file.name if alone else file.path

    def members(self) -> Dict[str, str]:
        """Path below data/<name>/ -> sha256, of every unpacked file, where such a list exists (members.sha256.gz)."""
        path = self.folder / "members.sha256.gz"
        if not path.exists():
            return {}
        with gzip.open(str(path), "rt", encoding="utf-8") as stream:
            lines = stream.read().splitlines()
        return {member: sha256 for sha256, member in (line.split("  ", 1) for line in lines)}


def names() -> List[str]:
    """The names of all data sets, sorted."""
    return sorted(path.parent.name for path in REGISTRY.glob("*/dataset.toml"))


def find(name: str) -> Dataset:
    """The data set of that name, in any case. UserError if there is none, ValueError if its file is wrong."""
    if name.lower() not in names():
        raise UserError(f"no data set is called {name!r}; {nearest(name, names())}", "./inv datasets")
    name = name.lower()
    return typed.from_toml(REGISTRY / name / "dataset.toml", Dataset, name=name)


def stays_below(path: str) -> bool:
    """Whether `path`, from a record, is one below the folder that it speaks of."""
    return bool(path) and not path.startswith("/") and ".." not in path.split("/")


def _check_hex(key: str, value: str, length: int) -> None:
    if value and (len(value) != length or set(value) - set("0123456789abcdef")):
        raise ValueError(f"{key} must be {length} lower-case hexadecimal digits")

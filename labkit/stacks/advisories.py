"""Known vulnerabilities of the versions that a stack pins, from a database of advisories in a file or folder; offline.

Read are OSV (https://ossf.github.io/osv-schema), as it is published: an entry a file, many in a zip, a folder of both;
and what `pip-audit --format json` wrote. Nothing in it is trusted: an entry that is not as its format says is counted
and left out, and the others are used.
"""

# The types are looked at while the program runs, also by Python 3.9: hence Dict and Optional, and no `annotations`.

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

import msgspec
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, canonicalize_version
from packaging.version import Version

from labkit.base import typed
from labkit.base.errors import UserError, harmless
from labkit.base.paths import shown
from labkit.data import archives
from labkit.stacks import detectron2_wheel, images
from labkit.stacks.catalog import LOCKS, Build, Stack, pins

ECOSYSTEM = "PyPI"
HELP = "./inv --help image.audit"
MOST_FILE_BYTES = 64 << 20  # of a JSON file that is not in a zip; the largest entry of OSV has 2 MB
MOST_ENTRY_BYTES = 16 << 20  # in a zip
MOST_ZIP_BYTES = 4 << 30  # of all entries of a zip; PyPI's have 0.3 GB
ID = r"[A-Za-z0-9][\w.:+-]{0,99}"
LINUX = {"os_name": "posix", "sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"}


@dataclass(frozen=True)
class Pin:
    """A version that a stack pins, for these of its Pythons."""

    name: str  # as PEP 503 normalises it
    version: str
    pythons: Tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """A vulnerability of a pinned version: under all its names, CVE's first, and the lowest version without it."""

    pin: Pin
    ids: Tuple[str, ...]
    fixed: str  # "" where nobody says
    summary: str


class Package(msgspec.Struct, frozen=True):
    ecosystem: str
    name: str


class Event(msgspec.Struct, frozen=True):
    introduced: Optional[str] = None
    fixed: Optional[str] = None
    last_affected: Optional[str] = None
    limit: Optional[str] = None


class Range(msgspec.Struct, frozen=True):
    type: str
    events: List[Event] = []


class Affected(msgspec.Struct, frozen=True):
    package: Optional[Package] = None
    ranges: Optional[List[Range]] = None
    versions: Optional[List[str]] = None


class Entry(msgspec.Struct, frozen=True):
    """An entry of OSV, as far as it matters here."""

    id: str
    aliases: Optional[List[str]] = None
    summary: Optional[str] = None
    details: Optional[str] = None
    withdrawn: Optional[str] = None
    affected: Optional[List[Affected]] = None


class Vulnerability(msgspec.Struct, frozen=True):
    id: str
    aliases: Optional[List[str]] = None
    fix_versions: Optional[List[str]] = None
    description: Optional[str] = None


class Dependency(msgspec.Struct, frozen=True):
    """A package that pip-audit looked at, or skipped."""

    name: str
    version: Optional[str] = None
    vulns: Optional[List[Any]] = None
    skip_reason: Optional[str] = None


@dataclass
class Database:
    """What was read of a database: what concerns the pins, and how much was of no use."""

    pins: List[Pin]
    found: List[Found] = field(default_factory=list)
    python_entries: int = 0  # about packages of Python, whichever
    withdrawn: int = 0
    malformed: int = 0
    first_problem: str = ""
    reported: Set[Tuple[str, str]] = field(default_factory=set)  # name and version at which pip-audit looked

    @property
    def not_reported(self) -> List[Pin]:
        """The pins of which a report of pip-audit, where there is nothing else, says nothing."""
        known = bool(self.python_entries or not self.reported)
        return [] if known else [pin for pin in self.pins if (pin.name, public(pin.version)) not in self.reported]

    def leave_out(self, where: str, why: object) -> None:
        self.malformed += 1
        self.first_problem = self.first_problem or " ".join(f"{where}: {why}".split())[:300]


def pinned(stack: Stack, build: Build) -> List[Pin]:
    """Every version that the stack's locks pin for one of its Pythons on Linux, in the order of their names."""
    beside = [LOCKS / stack.detectron2] if stack.detectron2 else []
    text = "".join([*images.parts(stack, build), *map(pins, [*beside, detectron2_wheel.PANOPTICAPI])])
    found: Dict[Tuple[str, str], List[str]] = {}
    for entry in re.findall(r"^[\w.-]+==.*?(?= \\$|$)", text, re.MULTILINE):
        requirement = Requirement(entry)
        key = canonicalize_name(requirement.name), next(iter(requirement.specifier)).version
        for python in stack.native_python:
            version = {"python_version": python, "python_full_version": f"{python}.0"}
            if not requirement.marker or requirement.marker.evaluate({**LINUX, **version}):
                found.setdefault(key, []).append(python)
    return [Pin(*key, tuple(pythons)) for key, pythons in sorted(found.items())]


def read(path: Path, wanted: List[Pin]) -> Database:
    """The database in a file or folder, as far as it concerns the pins `wanted`.

    Raises UserError where there is none, or nothing in it is an advisory about packages of Python.
    """
    if not (path.is_file() or path.is_dir()):
        why = "is neither a file nor a folder" if path.exists() else "does not exist"
        raise UserError(f"{shown(path)} {why}", HELP)
    database = Database(wanted)
    for where, content in contents(path, database):
        try:
            for entry in entries(json.loads(content)):
                take(database, where, entry)
        except (ValueError, RecursionError) as error:
            database.leave_out(where, "it is nested too deeply" if isinstance(error, RecursionError) else error)
    if not (database.python_entries or database.reported):
        why = f"; of no use: {database.malformed}, such as {database.first_problem}" if database.malformed else ""
        raise UserError(f"{shown(path)} holds no advisory about a package of Python{why}", HELP)
    database.found = merged(database.found)
    return database


def contents(path: Path, database: Database) -> Iterator[Tuple[str, bytes]]:
    """Every piece of JSON in a file or folder, with its name."""
    if path.is_dir():
        found = [each for each in sorted(path.rglob("*")) if each.suffix in (".json", ".zip") and each.is_file()]
    else:
        found = [path]
    for file in found:
        try:
            with file.open("rb") as stream:
                packed = stream.read(2) == b"PK"
            yield from members(file, database) if packed else [(shown(file), typed.read_bytes(file, MOST_FILE_BYTES))]
        except (OSError, ValueError, UserError) as error:
            if file == path and isinstance(error, UserError):
                raise UserError(error.message, HELP) from None
            if file == path and isinstance(error, OSError):
                raise
            database.leave_out(shown(file), error.strerror if isinstance(error, OSError) else error)


def members(archive: Path, database: Database) -> Iterator[Tuple[str, bytes]]:
    """The same of a zip. Raises UserError where it is damaged, or comes to more than any database."""
    left = MOST_ZIP_BYTES
    with archives.damage_named(archive), archives.open_zip(archive) as packed:
        for name in packed.namelist():
            where = f"{shown(archive)}: {name[:100]}"
            if not name.endswith(".json"):
                continue
            content = b""
            try:
                for chunk in archives.member_chunks(packed, name):
                    content += chunk
                    if len(content) > MOST_ENTRY_BYTES:
                        raise ValueError("it is larger than any entry")
            except (*archives.DAMAGE, *archives.UNREADABLE, UserError) as error:  # a password is a RuntimeError
                database.leave_out(where, error)
            else:
                yield where, content
            left -= len(content)
            if left < 0:
                raise UserError(f"{shown(archive)} is refused: it comes to more than any database")


def entries(content: Any) -> List[Any]:
    """The entries in a piece of JSON: one, a list, what OSV's server answers, or a report of pip-audit."""
    if isinstance(content, dict):
        for key in ("vulns", "dependencies"):
            if isinstance(content.get(key), list):
                return list(content[key])
    return content if isinstance(content, list) else [content]


def take(database: Database, where: str, content: Any) -> None:
    """Put into the database what one entry says of its pins."""
    reported = isinstance(content, dict) and "id" not in content and "name" in content
    try:
        if reported:
            take_report(database, where, msgspec.convert(content, Dependency))
        else:
            take_entry(database, msgspec.convert(content, Entry))
    except (msgspec.ValidationError, ValueError) as error:
        database.leave_out(where, error)


def take_entry(database: Database, entry: Entry) -> None:
    """An entry of OSV. Raises ValueError where what it says makes no sense, and then nothing of it is taken."""
    ids = names([entry.id, *(entry.aliases or [])])
    about = [one for one in entry.affected or [] if one.package and one.package.ecosystem == ECOSYSTEM]
    if not about:
        return
    found = []
    for affected in about:
        name = canonicalize_name(affected.package.name if affected.package else "")
        spans = [Span.of(each) for each in affected.ranges or [] if each.type in ("ECOSYSTEM", "SEMVER")]
        fixes = [version for span in spans for version in span.fixes]
        concerned = [pin for pin in database.pins if pin.name == name]
        listed = {public(version) for version in affected.versions or []} if concerned else set()
        for pin in concerned:
            if public(pin.version) in listed or any(span.holds(pin.version) for span in spans):
                found.append(Found(pin, ids, next_fix(pin, fixes), in_short(entry.summary or entry.details)))
    database.python_entries += 1
    if entry.withdrawn:
        database.withdrawn += 1
    else:
        database.found += found


def take_report(database: Database, where: str, dependency: Dependency) -> None:
    """What pip-audit says of one package in one version. Raises ValueError for a version that is none."""
    if dependency.version is None:
        if dependency.skip_reason is None:
            raise ValueError("it has neither a version nor a reason why it was skipped")
        return
    parsed(dependency.version)
    name, version = canonicalize_name(dependency.name), public(dependency.version)
    database.reported.add((name, version))
    for content in dependency.vulns or []:
        try:
            told = msgspec.convert(content, Vulnerability)
            ids, fixes = names([told.id, *(told.aliases or [])]), [parsed(each) for each in told.fix_versions or []]
        except (msgspec.ValidationError, ValueError) as error:
            database.leave_out(where, error)
            continue
        for pin in database.pins:
            if (pin.name, public(pin.version)) == (name, version):
                database.found.append(Found(pin, ids, next_fix(pin, fixes), in_short(told.description)))


@dataclass(frozen=True)
class Span:
    """A range of versions: what happened where, and before which versions it all ends (never where there is none)."""

    events: Tuple[Tuple[Version, int], ...]  # in order; 0 fixed, 1 introduced, 2 last affected
    limits: Tuple[Version, ...]

    @classmethod
    def of(cls, told: Range) -> "Span":
        """The range of an entry. Raises ValueError where it is none."""
        events, limits = [], []
        for event in told.events:
            said = {key: value for key, value in msgspec.structs.asdict(event).items() if value is not None}
            if len(said) != 1:
                raise ValueError("an event of a range must say one thing")
            ((key, version),) = said.items()
            if key == "limit":
                limits += [] if version == "*" else [parsed(version)]
            else:
                everything = key == "introduced" and version == "0"
                order = ("fixed", "introduced", "last_affected").index(key)
                events.append((Version("0.dev0") if everything else parsed(version), order))
        if not any(order == 1 for _, order in events):
            raise ValueError("a range does not say where it begins")
        return cls(tuple(sorted(events)), tuple(limits))

    @property
    def fixes(self) -> List[Version]:
        return [version for version, order in self.events if order == 0]

    def holds(self, pinned: str) -> bool:
        """Whether a version is in it. What stands after a `+` is a build of the same version."""
        version, inside = Version(public(pinned)), False
        for at, order in self.events:
            if order == 1 and version >= at:
                inside = True
            elif (order == 0 and version >= at) or (order == 2 and version > at):
                inside = False
        return inside and (not self.limits or any(version < limit for limit in self.limits))


def parsed(version: str) -> Version:
    """Raises ValueError for what is no version by PEP 440."""
    if len(version) > 100:
        raise ValueError("a version in it is too long")
    return Version(version)


def public(version: str) -> str:
    """A version in the form in which equal ones are the same text, without the build after a `+`.

    As it is where PEP 440 knows none such.
    """
    try:
        return canonicalize_version(parsed(version).public)
    except ValueError:
        return version


def next_fix(pin: Pin, fixes: List[Version]) -> str:
    later = [version for version in fixes if version > Version(public(pin.version))]
    return str(min(later)) if later else ""


def names(ids: List[str]) -> Tuple[str, ...]:
    """The names of a vulnerability. Raises ValueError where the first is none; what else is no name is left out."""
    if not re.fullmatch(ID, ids[0], re.ASCII):
        raise ValueError("its id is no name")
    return tuple(name for name in ids if re.fullmatch(ID, name, re.ASCII))


def in_short(text: Optional[str]) -> str:
    """The first line of a text, no longer than one reads in a table."""
    line = next(iter((text or "").strip().splitlines()), "").strip()
    return harmless(line if len(line) <= 200 else line[:199] + "…")


def merged(found: List[Found]) -> List[Found]:
    """Each vulnerability of a pin once, where several entries tell of it under names that they share."""
    groups: Dict[Tuple[Pin, str], List[Found]] = {}
    for one in found:
        group = [one]
        for name in one.ids:
            known = groups.get((one.pin, name), group)
            if known is not group:
                group, smaller = (known, group) if len(known) > len(group) else (group, known)
                group += smaller
                groups.update({(each.pin, other): group for each in smaller for other in each.ids})
            groups[one.pin, name] = group
    joined = map(_joined, {id(group): group for group in groups.values()}.values())
    return sorted(joined, key=lambda one: (one.pin.name, one.pin.version, one.ids))


def _joined(group: List[Found]) -> Found:
    ids = sorted({name for one in group for name in one.ids}, key=lambda name: (not name.startswith("CVE-"), name))
    fixes = sorted((one.fixed for one in group if one.fixed), key=Version)
    summaries = sorted({one.summary for one in group if one.summary})
    return Found(group[0].pin, tuple(ids), next(iter(fixes), ""), next(iter(summaries), ""))


def as_json(label: str, database: Database) -> str:
    """The findings for programs."""
    found = [
        {
            "package": one.pin.name,
            "version": one.pin.version,
            "python": list(one.pin.pythons),
            "ids": list(one.ids),
            "fixed": one.fixed or None,
            "summary": one.summary,
        }
        for one in database.found
    ]
    counts = {"entries": database.python_entries, "withdrawn": database.withdrawn, "malformed": database.malformed}
    unseen = [f"{pin.name}=={pin.version}" for pin in database.not_reported]
    said = {"stack": label, "pinned": len(database.pins), "advisories": counts, "not_reported": unseen, "found": found}
    return json.dumps(said, indent=2)

"""`.state.json`: what was written down when the files of a data set had all arrived, or its sample was drawn."""

# The types are looked at while the program runs, also by Python 3.8: hence Dict and Optional, and no `annotations`.

from typing import Dict, Literal, Optional

import msgspec

from labkit.base.typed import Record
from labkit.data.registry import Count, Wanted

# "absent"; "verified": it is what was published; "recorded": nobody published a whole hash, and what came first counts;
# "unverified": the user vouches for it; "sample": synthetic, made here
Kind = Literal["absent", "verified", "recorded", "unverified", "sample"]


class Member(msgspec.Struct, frozen=True):
    """A file as it was then."""

    size_bytes: Count
    sha256: str


class Arrived(Record, frozen=True):
    """The record. What it says is compared with what is there whenever a lab wants to read it."""

    kind: Kind  # never "absent"
    source: str  # host, or the path it was imported from, or what made the sample
    when: str  # UTC, ISO 8601
    files: Dict[str, Member]  # by their paths below the folder
    layout: Optional[Dict[str, Count]] = None  # glob -> how many files fitted it; None: as dataset.toml says
    what: Wanted = Wanted()


class First(Record, frozen=True):
    """`.NAME.first.json`, which outlives the data: with which sha256 files came first that have no published hash."""

    files: Dict[str, str]  # by their paths below the folder

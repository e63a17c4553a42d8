"""Tables of numbers in CSV files, of the user's own too: bounded, and checked completely before a number is used."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Sequence

import numpy as np

from labkit.base.console import say
from labkit.base.errors import UserError, nearest
from labkit.base.paths import shown

MOST_BYTES = 8 << 20  # California's file has 2 MB
MOST_ROWS = 50_000
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
MOST = 1e12  # no number of a district is as large


def read_lines(path: Path) -> list[list[str]]:
    """The fields of each line that is not empty. Raises UserError for what is no small text with commas."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"cannot read {shown(path)}: {error.strerror}") from None
    if len(content) > MOST_BYTES:
        raise UserError(f"{shown(path)} has more than {MOST_BYTES >> 20} MB, and a table of numbers is smaller")
    try:
        text = content.decode("utf-8-sig")  # Excel puts a mark in front
        if "\0" in text:
            raise ValueError
    except ValueError:
        raise UserError(f"{shown(path)} is not text in UTF-8", "save it as CSV UTF-8") from None
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if any(map(str.strip, line))]
    except csv.Error as error:
        raise UserError(f"{shown(path)} is not a CSV file: {error}") from None
    if not lines:
        raise UserError(f"{shown(path)} is empty")
    if len(lines) > MOST_ROWS:
        raise UserError(f"{shown(path)} has more than {MOST_ROWS:,} lines")
    if len(lines[0]) == 1 and re.search("[;\t]", lines[0][0]):
        between = "semicolons" if ";" in lines[0][0] else "tabs"
        raise UserError(f"{shown(path)} has {between} between its fields",
                        "save it with commas between them, and points in the numbers")  # fmt: skip
    return [[field.strip() for field in line] for line in lines]


def numbers(lines: Sequence[Sequence[str]], names: Sequence[str], path: Path, first: int) -> np.ndarray:
    """The lines as float64 (N, F). Raises UserError naming the line (from `first`) and the column of what is none."""
    table = np.empty((len(lines), len(names)))
    for row, line in enumerate(lines):
        if len(line) != len(names):
            raise UserError(f"{shown(path)}: row {row + first} has {len(line)} fields, not {len(names)}")
        for column, text in enumerate(line):
            table[row, column] = number(text, f"{shown(path)}: row {row + first}, column {names[column]}")
    return table


def number(text: str, where: str) -> float:
    if not text:
        raise UserError(f"{where}: there is no number")
    if text.lower().lstrip("+-") in ("nan", "na", "inf", "infinity"):
        raise UserError(f"{where}: {text} is not a finite number")
    if not NUMBER.fullmatch(text):
        raise UserError(f"{where}: {text[:40]} is not a number")
    if abs(float(text)) > MOST:
        raise UserError(f"{where}: {text[:40]} is too large")
    return float(text)


def own(path: Path, wanted: Sequence[str], price: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows of the user's: the columns `wanted` (N, F) in that order, and the column `price` (N) where there is one.

    The first line names the columns, in any order and in small or capital letters. A column of another name is left
    out, which is said. Raises UserError for anything else that is not in order.
    """
    head, *lines = read_lines(path)
    known = {name.lower(): name for name in [*wanted, price]}
    names = [known.get(name.lower(), name) for name in head]
    for name in names:
        if name in known.values() and names.count(name) > 1:
            raise UserError(f"{shown(path)} has the column {name} twice")
    missing = [name for name in wanted if name not in names]
    if len(missing) == len(wanted):
        raise UserError(f"the first line of {shown(path)} does not name the columns",
                        f"begin it with {','.join(wanted)}")  # fmt: skip
    others = [name for name in names if name not in known.values()]
    if missing:
        hint = f"; {nearest(missing[0], others)}" if others else ""
        many = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"{shown(path)} has no column {missing[0]}{many}{hint}", f"begin it with {','.join(wanted)}")
    if not lines:
        raise UserError(f"{shown(path)} names its columns and has no row")
    if others:
        say(f"left out, since the network does not read them: {', '.join(others)[:200]}")
    for row, line in enumerate(lines):
        if len(line) != len(head):
            raise UserError(f"{shown(path)}: row {row + 2} has {len(line)} fields, not {len(head)}")
    read = [*wanted, price] if price in names else list(wanted)
    places = [names.index(name) for name in read]
    table = numbers([[line[place] for place in places] for line in lines], read, path, first=2)
    return table[:, : len(wanted)], table[:, -1] if price in names else None

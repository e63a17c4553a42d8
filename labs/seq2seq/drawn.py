"""Two tasks that are drawn: strings to turn round, and dates as people write them in two languages, to one form."""

from __future__ import annotations

import datetime

import numpy as np

from labkit.runs.pairs import Pair

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SHORTEST, LONGEST, FARTHEST = 3, 20, 26  # letters of a string: in training LONGEST at most, in the test FARTHEST
FIRST_YEAR, LAST_YEAR = 1950, 2049
MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
          "december")  # fmt: skip
DIGITS = "〇一二三四五六七八九"


def strings(count: int, seed: int, longest: int = LONGEST) -> list[Pair]:
    """Drawn letters of each length equally often, and the same letters backwards."""
    drawn, made = np.random.RandomState(seed).randint(0, len(LETTERS), (count, longest)).tolist(), []
    for number, row in enumerate(drawn):
        letters = tuple(LETTERS[k] for k in row[: SHORTEST + number % (longest - SHORTEST + 1)])
        made.append(Pair(letters, letters[::-1]))
    return made


def chinese(number: int) -> str:
    """A number from 1 to 99 as it is said: 11 is 十一, 30 is 三十."""
    tens, ones = divmod(number, 10)
    return ("" if tens < 2 else DIGITS[tens]) + ("十" if tens else "") + (DIGITS[ones] if ones else "")


def ordinal(day: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th."""
    return f"{day}{'th' if day in (11, 12, 13) else {1: 'st', 2: 'nd', 3: 'rd'}.get(day % 10, 'th')}"


def ways(day: datetime.date) -> dict[str, list[str]]:
    """How a day is written: six ways in English, four in Chinese."""
    y, m, d = day.year, day.month, day.day
    month, short = MONTHS[m - 1], MONTHS[m - 1][:3]
    said = "".join(DIGITS[int(digit)] for digit in str(y))
    return {
        "en": [f"{month} {ordinal(d)}, {y}", f"{month} {d}, {y}", f"{d} {month} {y}", f"{ordinal(d)} of {month} {y}",
               f"{d} {short} {y}", f"{short} {d}, {y}"],
        "zh": [f"{y}年{m}月{d}日", f"{y}年{m}月{d}号", f"{said}年{chinese(m)}月{chinese(d)}日",
               f"{said}年{chinese(m)}月{chinese(d)}号"],
    }  # fmt: skip


def dates(count: int, seed: int, held_out: bool) -> list[Pair]:
    """Days from 1950 to 2049 in one of their ways, each language as often, and as 1994-11-02; the kind is the language.

    Every tenth day is held out: no way of writing it is ever trained on.
    """
    random, first, made = np.random.RandomState(seed), datetime.date(FIRST_YEAR, 1, 1), []
    days = (datetime.date(LAST_YEAR, 12, 31) - first).days + 1
    held = np.random.RandomState(20).permutation(days)[: days // 10]
    open_days = held if held_out else np.setdiff1d(np.arange(days), held)
    for number in range(count):
        day = first + datetime.timedelta(days=int(open_days[random.randint(len(open_days))]))
        language = ("en", "zh")[number % 2]
        written = ways(day)[language]
        made.append(Pair(tuple(written[random.randint(len(written))]), tuple(day.isoformat()), language))
    return made

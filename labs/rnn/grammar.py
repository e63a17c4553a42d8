"""Booking sentences in English and Chinese from a small grammar, each word with its slot: the notes' example, drawn.

A template has gaps: {O} for the city that is left, {D} for the one that is gone to, {T} for the date, {F} for a few
words that say nothing. "before" is a template whose deciding word stands before the city (Arrive Beijing), "after" one
where it comes after it (北京出发), "far" one where many words lie between.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from labkit.runs import text

KINDS = ("before", "after", "far")
SLOTS = {"O": "from", "D": "to", "T": "date"}
TAGS = ["O", *(f"{where}-{slot}" for slot in SLOTS.values() for where in "BI")]  # 0 is no slot

CITIES = {
    "en": ("beijing", "shanghai", "guangzhou", "shenzhen", "chengdu", "wuhan", "hangzhou", "nanjing", "tianjin",
           "qingdao", "xiamen", "kunming", "changsha", "shenyang", "hong kong", "paris", "london", "tokyo", "new york",
           "kuala lumpur"),
    "zh": ("北京", "上海", "广州", "深圳", "成都", "武汉", "杭州", "南京", "天津", "石家庄", "青岛", "秦皇岛",
           "昆明", "沈阳", "香港", "巴黎", "东京", "新加坡", "墨尔本", "莫斯科"),
}  # fmt: skip
NEW_CITIES = {
    "en": ("ningbo", "harbin", "lhasa", "guilin", "zhuhai", "fuzhou", "berlin", "madrid", "los angeles", "seoul"),
    "zh": ("宁波", "哈尔滨", "拉萨", "桂林", "珠海", "福州", "柏林", "马德里", "洛杉矶", "首尔"),
}
MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
          "december")  # fmt: skip
DIGITS = "〇一二三四五六七八九"

# The templates that are written by hand: the first ones that every sentence used to come from.
WRITTEN: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "before": ("leave {O} on {T}", "arrive {D} on {T}", "arrive in {D} on {T}", "i want to go to {D}",
                   "leave from {O} and arrive in {D} on {T}", "on {T} i fly to {D} from {O}"),
        "after": ("{O} is the city i leave on {T}", "{D} is the city i go to on {T}", "{O} departure on {T}",
                  "{D} arrival on {T}", "{O} departure and {D} arrival", "{D} is where i arrive"),
        "far": ("leave {F} {O} on {T}", "arrive {F} {D} on {T}", "departure {F} {O}", "arrival {F} {D}"),
    },
    "zh": {
        "before": ("{T}从{O}出发", "从{O}飞往{D}", "{T}去{D}", "我想到{D}，{T}", "飞往{D}的票"),
        "after": ("{T}{O}出发", "{T}{D}到达", "{O}出发，{T}", "{D}到达，{T}", "{O}起飞{D}降落", "{D}是我要去的城市",
                  "{O}是我要离开的城市"),
        "far": ("出发的地方是{F}{O}", "要去的地方是{F}{D}", "到达{F}{D}，{T}", "离开{F}{O}，{T}"),
    },
}  # fmt: skip
# No sentence of the training has one of these; all their words it has.
NEW_TEMPLATES: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "before": ("on {T} leave {O}", "please arrive in {D} thanks", "can i go to {D} on {T} please"),
        "after": ("{O} on {T} departure", "on {T} {D} is where i arrive please", "please {O} departure on {T}"),
        "far": (),
    },
    "zh": {
        "before": ("请问{T}到{D}的票", "我想从{O}走，谢谢"),
        "after": ("{O}{T}出发", "请问{D}{T}到达，谢谢", "我想订{T}{O}起飞的票", "{D}降落吧"),
        "far": (),
    },
}  # fmt: skip
FILLER = {
    "en": tuple(text.words("after a long and quiet journey with some of my very best old friends at last the sunny")),
    "zh": tuple("一个我很久以前就听说过的又大又漂亮而且安静的"),
}
DATED = {"en": (" on {T}", "on {T} "), "zh": ("，{T}", "{T}")}  # after the rest, before it
OPENINGS = {"en": ("", "please ", "i want to ", "i would like to ", "can i "), "zh": ("", "请问", "我想", "我想订")}
ENDINGS = {"en": ("", " please", " thanks", " with two friends"), "zh": ("", "的票", "，谢谢", "吧")}
VERBS = {
    "en": ("leave {O}", "leave from {O}", "depart from {O}", "go to {D}", "fly to {D}", "arrive in {D}", "arrive {D}",
           "leave {O} and arrive in {D}", "go from {O} to {D}"),
    "zh": ("从{O}出发", "从{O}走", "离开{O}", "去{D}", "到{D}", "飞往{D}", "从{O}去{D}", "从{O}飞往{D}"),
}  # fmt: skip
FOLLOWERS = {
    "en": ("{O} departure", "{D} arrival", "{O} is where i leave", "{D} is where i arrive", "{O} is the city i leave",
           "{D} is the city i go to"),
    "zh": ("{O}出发", "{O}起飞", "{O}动身", "{D}到达", "{D}降落", "{D}抵达"),
}  # fmt: skip


@dataclass(frozen=True)
class Sentence:
    """Words, and a tag for each: B-from begins a slot, I-from goes on with it, O is outside of all."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    kind: str = ""  # of KINDS, where it was drawn
    language: str = "en"


def composed(language: str) -> dict[str, list[str]]:
    """Templates put together: opening, verb or follower, ending, and the date in each of its places."""
    made: dict[str, list[str]] = {"before": [], "after": []}
    last, first = DATED[language]
    for opening, ending in itertools.product(OPENINGS[language], ENDINGS[language]):
        for verb in VERBS[language]:
            made["before"] += [opening + verb + ending, opening + verb + last + ending, first + opening + verb + ending]
    polite = [opening for opening in OPENINGS[language] if opening in ("", "please ", "请问", "我想订")]
    for opening, ending in itertools.product(polite, ENDINGS[language]):
        for follower in FOLLOWERS[language]:
            made["after"] += [opening + follower + ending, opening + follower + last + ending,
                              first + opening + follower + ending]  # fmt: skip
            gap = follower.index("}") + 1  # the date between the city and the word that decides
            between = follower[:gap] + (last if language == "en" else "{T}") + follower[gap:]
            made["after"].append(opening + between + ending)
    held = {template for kind in NEW_TEMPLATES[language].values() for template in kind}
    return {kind: [one for one in templates if one not in held] for kind, templates in made.items()}


def date(random: np.random.RandomState, language: str) -> str:
    """A day of the year: "november 2nd", 十一月二日 or 11月2日."""
    month, day = random.randint(1, 13), random.randint(1, 31)
    if language == "en":
        ending = "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
        return f"{MONTHS[month - 1]} {day}{ending}"
    if random.rand() < 0.3:
        return f"{month}月{day}日"
    return f"{chinese(month)}月{chinese(day)}日"


def chinese(number: int) -> str:
    """A number from 1 to 99 in Chinese: 11 is 十一, 30 is 三十."""
    tens, ones = divmod(number, 10)
    return ("" if tens < 2 else DIGITS[tens]) + ("十" if tens else "") + (DIGITS[ones] if ones else "")


def filled(template: str, kind: str, language: str, cities: tuple[str, ...],
           random: np.random.RandomState) -> Sentence:  # fmt: skip
    """A sentence of the template, with other cities in its gaps, a date, and 4 to 15 words that say nothing."""
    left = random.randint(len(cities))
    right = (left + 1 + random.randint(len(cities) - 1)) % len(cities)  # another one
    filler = " ".join(FILLER[language][k] for k in random.randint(0, len(FILLER[language]), random.randint(4, 16)))
    values = {"O": cities[left], "D": cities[right], "T": date(random, language), "F": filler}
    words: list[str] = []
    tags: list[str] = []
    for part in template.replace("{", "|{").replace("}", "}|").split("|"):
        gap = part[1:2] if part.startswith("{") else ""
        own = text.words(values[gap] if gap else part)
        words += own
        slot = SLOTS.get(gap)
        tags += [f"{'I' if k else 'B'}-{slot}" if slot else "O" for k in range(len(own))]
    return Sentence(tuple(words), tuple(tags), kind, language)


def draw(count: int, seed: int, new_cities: bool = False, new_templates: bool = False, variety: float = 0.5,
         languages: tuple[str, ...] = ("en", "zh")) -> list[Sentence]:  # fmt: skip
    """`count` sentences, each language as often, each kind as often.

    With `new_cities` or `new_templates` those that no training has; without, the share `variety` comes from composed
    templates, the rest from the written ones.
    """
    random, made = np.random.RandomState(seed), []
    known = {language: composed(language) for language in languages}
    for number in range(count):
        language = languages[number % len(languages)]
        source: dict[str, tuple[str, ...]] = NEW_TEMPLATES[language] if new_templates else WRITTEN[language]
        kinds = [kind for kind in KINDS if source[kind]]
        kind = kinds[random.randint(len(kinds))]
        templates: list[str] = list(source[kind])
        if not new_templates and random.rand() < variety and kind in known[language]:
            templates = known[language][kind]
        cities = (NEW_CITIES if new_cities else CITIES)[language]
        made.append(filled(templates[random.randint(len(templates))], kind, language, cities, random))
    return made

"""A stand-in for the sentence pairs in their layout: sentences put together from a small grammar, with translations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

PEOPLE = (("I", "我"), ("You", "你"), ("We", "我们"), ("They", "他们"))
VERBS = (("like", "喜欢"), ("buy", "买"), ("see", "看见"), ("want", "想要"), ("draw", "画"), ("know", "认识"))
NUMBERS = (("two", "两"), ("three", "三"), ("four", "四"), ("ten", "十"))
COLOURS = (("red", "红色的"), ("white", "白色的"), ("black", "黑色的"), ("big", "大"), ("small", "小"), ("old", "旧的"))
THINGS = (("books", "本", "书"), ("cats", "只", "猫"), ("dogs", "条", "狗"), ("apples", "个", "苹果"),
          ("chairs", "把", "椅子"), ("cars", "辆", "车"))  # fmt: skip
TIMES = (("today", "今天"), ("tomorrow", "明天"), ("every day", "每天"), ("in the morning", "早上"))


def make(folder: Path, seed: int = 0) -> None:
    """Write cmn.txt below `folder`: 3,000 different lines of English, tab, Chinese, tab, origin; short ones first.

    The order of words differs between the languages, and Chinese counts each thing with a word of its own.
    """
    rng = np.random.RandomState(seed)
    pairs: dict[str, str] = {}
    kinds: tuple[Any, ...] = (PEOPLE, VERBS, NUMBERS, COLOURS, THINGS, TIMES)
    while len(pairs) < 3000:
        (person, ren), (verb, dong), (number, shu), (colour, se), (thing, liang, wu), (time, shi) = (
            words[rng.randint(len(words))] for words in kinds
        )
        form = rng.randint(4)
        english, chinese = (
            (f"{person} {verb} {thing}.", f"{ren}{dong}{wu}。"),
            (f"{person} {verb} {number} {thing}.", f"{ren}{dong}{shu}{liang}{wu}。"),
            (f"{person} {verb} {number} {colour} {thing}.", f"{ren}{dong}{shu}{liang}{se}{wu}。"),
            (f"{person} {verb} {number} {colour} {thing} {time}.", f"{ren}{shi}{dong}{shu}{liang}{se}{wu}。"),
        )[form]
        pairs[english] = chinese
    lines = [f"{english}\t{pairs[english]}\tsample" for english in sorted(pairs, key=lambda each: (len(each), each))]
    (folder / "cmn.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")

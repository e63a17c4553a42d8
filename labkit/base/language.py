"""Two languages: a sentence in English and in Chinese beside each other, and which of the two the user reads.

    run.note(both("The cells are drawn by chance.", "细胞是随机绘制的。"))

The setting `lang` chooses, else the system's locale. Reports keep both.
"""

from __future__ import annotations

from typing import Any

from labkit.base import settings

LANGUAGES = ("en", "zh")


class Both(str):
    """A text in the user's language, which knows itself in both: `en` and `zh`."""

    en: str
    zh: str

    def __new__(cls, en: str, zh: str) -> Both:
        text = super().__new__(cls, zh if settings.language() == "zh" else en)
        text.en, text.zh = en, zh
        return text


def both(en: str, zh: str) -> Both:
    """The sentence `en`, which is `zh` in Chinese."""
    return Both(en, zh)


def each(text: Any) -> dict[str, str]:
    """The text by language; one that is in one language only is the same in both."""
    return {"en": text.en, "zh": text.zh} if isinstance(text, Both) else dict.fromkeys(LANGUAGES, str(text))


def joined(between: str, texts: Any) -> Both:
    """The texts as one, in both languages."""
    every = [each(text) for text in texts]
    return Both(between.join(text["en"] for text in every), between.join(text["zh"] for text in every))

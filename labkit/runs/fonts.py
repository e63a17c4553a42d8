"""A font for Chinese in plots, of the system since matplotlib brings none; and plots as the bytes of a PNG."""

from __future__ import annotations

import io
import warnings

from matplotlib import font_manager, rcdefaults, rcParams
from matplotlib.figure import Figure
from matplotlib.text import Text

from labkit.base.console import say

# Parts of the names of font files that have Chinese, as Linux, Windows and macOS call them, best first.
WITH_CHINESE = ("notosanscjk", "notosanssc", "sourcehansans", "wqy-zenhei", "wqy-microhei", "droidsansfallback",
                "msyh", "simhei", "pingfang", "hiragino sans gb", "stheiti", "notoserifcjk", "simsun")  # fmt: skip
FIRST_OF_CHINESE = 0x2E80  # in Unicode, with its punctuation


def add_chinese() -> str:
    """Let plots take a font of the system for what their own font lacks; returns its family, '' where there is none."""
    files = sorted(font_manager.findSystemFonts())
    for part in WITH_CHINESE:
        families = [_add(file) for file in files if part in file.lower()]  # each weight is a file of its own
        family = next((each for each in families if each), "")
        if family:
            rcParams["font.family"] = ["DejaVu Sans", family]
            return family
    return ""


def _add(file: str) -> str:
    try:
        font_manager.fontManager.addfont(file)
        return str(font_manager.get_font(file).family_name)
    except (OSError, RuntimeError):  # a file that is damaged, or may not be read
        return ""


def as_png(figure: Figure) -> bytes:
    """The figure as a PNG; characters of Chinese that no font here has are told of once, in a sentence."""
    content = io.BytesIO()
    figure.savefig(content, format="png", bbox_inches="tight")
    words = "".join(text.get_text() for text in figure.findobj(Text))
    if not CHINESE and not _told and any(ord(letter) >= FIRST_OF_CHINESE for letter in words):
        _told.append(True)
        say("plots have boxes in place of Chinese, which no font here has: the package fonts-noto-cjk brings one")
    return content.getvalue()


_told: list[bool] = []
rcdefaults()  # whatever a matplotlibrc of the user's says, such as text.usetex
CHINESE = add_chinese()
warnings.filterwarnings("ignore", message="Glyph .* missing from")  # of each character, each time it is drawn

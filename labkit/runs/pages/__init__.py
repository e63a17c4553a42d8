"""The pages of runs, each one file that needs nothing else: templates, filled in and escaped by Jinja2.

What a page is told comes from run folders, which anybody may have written (`labkit/runs/contents.py` says more). So
every value is escaped, and a page may run and load nothing but what we put into it: its style, its script, which the
policy in base.html knows by its hash, and the images that are written out in it.

Curves are drawn by uPlot 1.6.32 (MIT, https://github.com/leeoniya/uPlot); uplot/ holds its licence and two files of the
npm package as they were published, which tests/unit/test_report.py knows by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup, escape

from labkit.base import settings
from labkit.base.files import write_text
from labkit.base.language import both, each

FOLDER = Path(__file__).parent
ENGINE = jinja2.Environment(
    loader=jinja2.FileSystemLoader(str(FOLDER)),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def write(target: Path, **shown: Any) -> Path:
    """Write the page `target` from the template of the same name with what is `shown`, and return `target`.

    What is there in two languages is shown in the user's, and the page can change that.
    """
    text = ENGINE.get_template(target.name).render(shown, language=settings.language())
    # Names of files, and JSON, may hold halves of characters, which no file can, and zeros, which HTML does not know.
    write_text(target, text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd"))
    return target


def two(text: str) -> Markup:
    """A text for a page, in both languages where it is known in both."""
    said = each(text)
    if said["en"] == said["zh"]:
        return escape(said["en"])
    spans = '<span class="two"><span lang="en">{}</span><span lang="zh-CN">{}</span></span>'
    return Markup(spans).format(said["en"], said["zh"])


def cell(text: str) -> Markup:
    """A cell of a table; one between backticks is code, whose line ends and indentation are kept."""
    said = each(text)
    if all(len(one) > 2 and one[0] == one[-1] == "`" for one in said.values()):
        return Markup("<code>{}</code>").format(two(both(said["en"][1:-1], said["zh"][1:-1])))
    return two(text)


def address(name: str) -> str:
    """The relative `name` of a file as a link that no browser takes for anything else, as `javascript:`."""
    return ("./" if ":" in name else "") + quote(os.fsencode(name))


def source(name: str) -> Markup:
    """The file `name` of this folder, a script or a style, as it is."""
    return Markup((FOLDER / name).read_text(encoding="utf-8"))


def fingerprint(script: str) -> str:
    """How a Content-Security-Policy names the file `script` of this folder: "sha256-…"."""
    return "sha256-" + base64.b64encode(hashlib.sha256(source(script).encode("utf-8")).digest()).decode()


ENGINE.filters["fingerprint"] = fingerprint
ENGINE.filters["two"] = two
ENGINE.filters["cell"] = cell
ENGINE.globals["both"] = both
ENGINE.globals["source"] = source

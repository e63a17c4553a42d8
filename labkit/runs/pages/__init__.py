"""The pages of runs, each one file that needs nothing else: templates, filled in and escaped by Jinja2.

What a page is told comes from run folders, which anybody may have written (`labkit/runs/contents.py` says more). So
every value is escaped, and a page may run and load nothing but what we put into it: its style, its script, which the
policy in base.html knows by its hash, and the images that are written out in it.
"""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

from labkit.base.files import write_text

ENGINE = jinja2.Environment(
    loader=jinja2.FileSystemLoader(str(Path(__file__).parent)),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def write(target: Path, **shown: Any) -> Path:
    """Write the page `target` from the template of the same name with what is `shown`, and return `target`."""
    text = ENGINE.get_template(target.name).render(shown)
    # Names of files, and JSON, may hold halves of characters, which no file can.
    write_text(target, text.encode("utf-8", "replace").decode("utf-8"))
    return target


def address(name: str) -> str:
    """The relative `name` of a file as a link that no browser takes for anything else, as `javascript:`."""
    return ("./" if ":" in name else "") + quote(os.fsencode(name))


def fingerprint(script: str) -> str:
    """How a Content-Security-Policy names the file `script` of this folder: "sha256-…"."""
    text = ENGINE.get_template(script).render()
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode()


ENGINE.filters["fingerprint"] = fingerprint

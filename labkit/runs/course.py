"""The course as one page: the units in order, with their guides and what the user's runs have done in each."""

from __future__ import annotations

import base64
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from labkit.base import labs, paths
from labkit.base.labs import Lab
from labkit.runs import contents, pages, records

GUIDES = {"en": "README.md", "zh": "README.zh-CN.md"}
PAGE = "course.html"


@dataclass(frozen=True)
class Done:
    """What the user's runs of a lab come to."""

    runs: tuple[records.RunInfo, ...]  # finished trainings, the newest first
    solved: int
    exercises: int
    practice: records.RunInfo | None

    @property
    def complete(self) -> bool:
        """Whether a training that is no smoke run has finished, and all exercises are solved."""
        trained = any(run.config and not run.config.smoke for run in self.runs)
        return trained and self.solved >= self.exercises


def render() -> Path:
    """Write the page into the folder of the runs and return its path."""
    target = paths.runs_dir() / PAGE
    target.parent.mkdir(parents=True, exist_ok=True)
    table = records.table()
    units = [_unit(lab, table, target.parent) for lab in labs.table()]
    following = next((unit for unit in units if not unit["done"].complete), None)
    return pages.write(target, units=units, following=following)


def done(lab: Lab, table: list[records.RunInfo]) -> Done:
    """What the runs in `table` have achieved in a lab."""
    own = [run for run in table if run.lab == lab.name]
    practices = [run for run in own if run.config and run.config.practice]
    finished = tuple(run for run in own if run.status == "finished" and run not in practices)
    best = max(practices, key=lambda run: _count(run, "solved"), default=None)
    exercises = lab.exercises
    return Done(finished, min(_count(best, "solved"), exercises) if best else 0, exercises, best)


def _count(run: records.RunInfo, name: str) -> int:
    value = contents.countable(run.metrics.get(name))
    return int(value) if value == value else 0  # not a nan


def _unit(lab: Lab, table: list[records.RunInfo], folder: Path) -> dict[str, Any]:
    achieved = done(lab, table)
    shown = [*achieved.runs[:3], *([achieved.practice] if achieved.practice else [])]
    links = [(run, _link(run.folder / "report.html", folder)) for run in shown]
    guides = {language: guide(lab, language, folder) for language in GUIDES}
    return {"lab": lab, "done": achieved, "links": links, "guides": guides, "expect": lab.expect[:1]}


def _link(path: Path, folder: Path) -> str:
    return quote(os.path.relpath(path, folder))


def guide(lab: Lab, language: str, folder: Path) -> Markup:
    """The guide as HTML that stands alone: images are in it, links to other guides lead to their place on the page."""
    path = lab.program.parent / GUIDES[language]
    markdown = MarkdownIt("commonmark", {"html": True}).enable("table")  # our own text, with its <details>
    tokens = markdown.parse(path.read_text(encoding="utf-8"))
    for token in tokens:
        parts = token.children or []
        for before, part, after in zip([None, *parts], parts, [*parts[1:], None]):
            _complete(part, path, folder)
            if part.type == "softbreak" and before and after and _is_chinese(before.content[-1:] + after.content[:1]):
                part.type, part.content = "text", ""  # between two characters of Chinese there is no space
        if token.type in ("heading_open", "heading_close"):  # the page has headings above those of a guide
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"
    rendered = markdown.renderer.render(_without_title(tokens), markdown.options, {})
    return Markup(re.sub(r"<img ", '<img loading="lazy" ', rendered))


def _without_title(tokens: list[Token]) -> list[Token]:
    """The guide from below its title and the line that links its other language, which the page says itself."""
    paragraphs = [k for k, token in enumerate(tokens) if token.type == "paragraph_close"]
    return tokens[paragraphs[0] + 1 :]


def _is_chinese(letters: str) -> bool:
    return len(letters) == 2 and all("\u2e80" <= letter <= "\u9fff" or letter in "，。：；、（）" for letter in letters)


def _complete(part: Token, path: Path, folder: Path) -> None:
    """Make an image or a link of the guide `path` work on a page in `folder`."""
    if part.type == "image":
        file = path.parent / unquote(str(part.attrGet("src")))
        kind = "svg+xml" if file.suffix == ".svg" else file.suffix[1:]
        part.attrSet("src", f"data:image/{kind};base64,{base64.b64encode(file.read_bytes()).decode()}")
    elif part.type == "link_open":
        address, _, place = str(part.attrGet("href")).partition("#")
        target = (path.parent / unquote(address)).resolve() if address else path
        if address.startswith(("http:", "https:", "mailto:")):
            return
        if target.parent.parent == labs.LABS and target.name in GUIDES.values():
            part.attrSet("href", f"#{target.parent.name}")
        else:
            part.attrSet("href", _link(target, folder) + (f"#{place}" if place else ""))

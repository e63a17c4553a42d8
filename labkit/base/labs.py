"""The labs: what `labs/NAME/lab.toml` says of each."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.base import tomlfile
from labkit.base.errors import UserError, nearest
from labkit.base.paths import ROOT

LABS = ROOT / "labs"


@dataclass(frozen=True)
class Lab:
    """One lab. Its own options are the fields of the Config class in its config.py."""

    name: str
    unit: int  # place in the course
    title: str
    title_zh: str
    sections: str  # of the notes, "60-79"
    datasets: tuple[str, ...]  # the first is the default, another one is asked for with --dataset
    distributed: bool  # whether several processes can train it together (--gpus, --nodes)
    exact_on_gpu: bool  # whether a GPU takes the slower way of an operation where only that repeats to the bit
    smoke: dict[str, Any]
    expect: tuple[dict[str, Any], ...]

    @property
    def program(self) -> Path:
        return LABS / self.name / "lab.py"


def names() -> list[str]:
    """The names of all labs, in the order of the course."""
    return [lab.name for lab in table()]


def table() -> list[Lab]:
    """All labs, in the order of the course."""
    return sorted((load(path) for path in LABS.glob("*/lab.toml")), key=lambda lab: lab.unit)


def find(name: str) -> Lab:
    """The lab called `name`. Raises UserError that offers the nearest name where there is none."""
    path = LABS / name / "lab.toml"
    if not name or "/" in name or not path.exists():
        raise UserError(f"there is no lab '{name}' ({nearest(name, names())})", "./inv labs")
    return load(path)


def load(path: Path) -> Lab:
    """The lab described by `path`. Raises ValueError that names the file where a key is missing or unknown."""
    row = tomlfile.load(path)
    try:
        return Lab(
            name=path.parent.name,
            datasets=tuple(row.pop("datasets")),
            distributed=row.pop("distributed", False),
            exact_on_gpu=row.pop("exact_on_gpu", True),
            expect=tuple(row.pop("expect", ())),
            **row,
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None


def about(lab: Lab) -> str:
    """What the lab is about: the first paragraph of its program, which is not run for that."""
    said = ast.get_docstring(ast.parse(lab.program.read_text(encoding="utf-8"))) or ""
    return said.split("\n\n")[0]

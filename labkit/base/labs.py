"""The labs: what `labs/NAME/lab.toml` says of each."""

# The types are looked at while the program runs, also by Python 3.8: hence Dict and Tuple, and no `annotations`.

import ast
from pathlib import Path
from typing import Any, Dict, List, Tuple

import msgspec

from labkit.base import typed
from labkit.base.errors import UserError, nearest
from labkit.base.language import both
from labkit.base.paths import ROOT
from labkit.base.typed import Record

LABS = ROOT / "labs"


class Result(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a number of a run is of, for its report."""

    of: str
    percent: bool = False  # of 1, and shown as such


class Lab(Record, frozen=True, forbid_unknown_fields=True):
    """What `labs/NAME/lab.toml` says. The lab's own options are the fields of the Config class in its config.py."""

    name: str  # of the folder
    unit: int  # place in the course
    title: str
    title_zh: str
    sections: str  # of the notes, "60-79"
    datasets: Tuple[str, ...]  # the first is the default, another one is asked for with --dataset
    smoke: Dict[str, Any]  # what a smoke run must reach: min or max of a metric, and of more of them under `also`
    distributed: bool = False  # whether several processes can train it together (--gpus, --nodes)
    exact_on_gpu: bool = True  # whether a GPU takes the slower way of an operation where only that repeats to the bit
    results: Dict[str, Result] = msgspec.field(default_factory=dict)  # by the name of the number
    own: str = ""  # the command that tries what was trained on the user's own image
    hours: float = 2  # an estimate: to read the guide, run the lab and try what it proposes
    needs: Tuple[str, ...] = ()  # labs to do before
    exercises: int = 0  # in its practice.py, which only the lab's stack can read
    steps: bool = False  # whether its lab.py is a lesson in steps, of which a notebook can be made
    expect: Tuple[Dict[str, Any], ...] = ()  # results of real runs

    @property
    def program(self) -> Path:
        return LABS / self.name / "lab.py"

    @property
    def has_practice(self) -> bool:
        return self.exercises > 0


def names() -> List[str]:
    """The names of all labs, in the order of the course."""
    return [lab.name for lab in table()]


def table() -> List[Lab]:
    """All labs, in the order of the course."""
    return sorted((load(path) for path in LABS.glob("*/lab.toml")), key=lambda lab: lab.unit)


def find(name: str) -> Lab:
    """The lab called `name`, in any case. Raises UserError that offers the nearest name where there is none."""
    path = LABS / name.lower() / "lab.toml"
    if not name or "/" in name or not path.exists():
        raise UserError(f"there is no lab '{name}' ({nearest(name, names())})", "./inv labs")
    return load(path)


def load(path: Path) -> Lab:
    """The lab described by `path`. Raises ValueError that names the file where a key is missing or unknown."""
    return typed.from_toml(path, Lab, name=path.parent.name)


def about(lab: Lab) -> str:
    """What the lab is about: the first paragraph of its program, which is not run for that; its title in Chinese."""
    said = ast.get_docstring(ast.parse(lab.program.read_text(encoding="utf-8"))) or ""
    return both(said.split("\n\n")[0], f"{lab.title_zh}。")

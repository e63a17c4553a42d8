"""The labs: what `labs/NAME/lab.toml` says of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.base import tomlfile
from labkit.base.errors import UserError, nearest
from labkit.base.paths import ROOT

LABS = ROOT / "labs"


@dataclass(frozen=True)
class Lab:
    """One lab. Its own options are the fields of the Config class in lab.py."""

    name: str
    unit: int  # place in the course
    title: str
    title_zh: str
    sections: str  # of the notes, "60-79"
    datasets: tuple[str, ...]  # the first is the default, another one is asked for with --dataset
    no_data_options: tuple[str, ...]  # options with which the lab reads no data set
    sample_first: bool  # the sample is enough to learn from: real data only where --dataset asks for them
    paths: tuple[str, ...]  # options that are paths, resolved against the caller's folder
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
        raise UserError(f"there is no lab '{name}' ({nearest(name, names())}).", "./inv labs")
    return load(path)


def load(path: Path) -> Lab:
    """The lab described by `path`. Raises ValueError that names the file where a key is missing or unknown."""
    row = tomlfile.load(path)
    try:
        return Lab(
            name=path.parent.name,
            datasets=tuple(row.pop("datasets")),
            no_data_options=tuple(row.pop("no_data_options", ())),
            sample_first=bool(row.pop("sample_first", False)),
            paths=tuple(row.pop("paths", ())),
            distributed=row.pop("distributed", False),
            exact_on_gpu=row.pop("exact_on_gpu", True),
            expect=tuple(row.pop("expect", ())),
            **row,
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None


def option(arguments: list[str], name: str) -> str | None:
    """The value that `--NAME VALUE` or `--NAME=VALUE` has among a lab's arguments, None where it is not given."""
    value = None
    for position, argument in enumerate(arguments):
        if argument == f"--{name}" and position + 1 < len(arguments):
            value = arguments[position + 1]
        elif argument.startswith(f"--{name}="):
            value = argument.partition("=")[2]
    return value


def dataset_for(lab: Lab, arguments: list[str]) -> str:
    """The data set that the lab will read when started with these arguments, '' where it reads none."""
    if not lab.datasets or any(option(arguments, name) is not None for name in lab.no_data_options):
        return ""
    asked = option(arguments, "dataset")
    if asked is not None and asked not in lab.datasets:
        raise UserError(
            f"lab {lab.name} knows no data set '{asked}' ({nearest(asked, list(lab.datasets))}).",
            f"./inv lab {lab.name} -- --dataset {lab.datasets[0]}",
        )
    return asked or lab.datasets[0]


def resolve_paths(lab: Lab, arguments: list[str], folder: Path) -> list[str]:
    """The arguments with every path option made absolute against `folder`, where the user typed it.

    Raises UserError for a file that is missing. A missing one without a suffix may be a run's name: the lab decides.
    """
    resolved = list(arguments)
    for position, argument in enumerate(arguments):
        for name in lab.paths:
            if argument == f"--{name}" and position + 1 < len(arguments):
                resolved[position + 1] = resolve(name, arguments[position + 1], folder)
            elif argument.startswith(f"--{name}="):
                resolved[position] = f"--{name}={resolve(name, argument.partition('=')[2], folder)}"
    return resolved


def paths_among(lab: Lab, arguments: list[str]) -> list[Path]:
    """The existing files and folders that the path options among `arguments` name."""
    values = [option(arguments, name) or "" for name in lab.paths]
    words = [word for value in values for word in ([value] if Path(value).exists() else value.split(","))]
    return [Path(word) for word in words if word and Path(word).exists()]


def resolve(option_name: str, value: str, folder: Path) -> str:
    """`value` as an absolute path, or several with commas; a word that is none and has no suffix stays as it is."""
    path = folder / Path(value).expanduser()
    if path.exists():
        return str(path.absolute())
    if "," in value:
        return ",".join(resolve(option_name, word, folder) for word in value.split(","))
    if path.suffix:
        raise UserError(f"--{option_name}: there is no file {value}.")
    return value

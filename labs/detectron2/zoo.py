"""Weights of detectron2's model zoo: which a command needs, known from its names alone, and where they lie.

The task fetches them before the lab begins (Config.downloads), where proxy and mirrors are known; the lab only reads.
"""

from __future__ import annotations

import re
from pathlib import Path

from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.data import registry, store
from labkit.runs import records

NAME = "detectron2_weights"  # the data set that they are
NONE = "none"


def parts() -> tuple[str, ...]:
    """The names of all whose hash is known."""
    return tuple(registry.find(NAME).parts)


def asked(weights: str | None, config: str) -> str:
    """The weights with which `config` is judged, where they are the zoo's; "" where they are a run's or a file's.

    They are what was asked for, else those of this name where nothing was trained with the config.
    """
    if weights:
        name = weights.rpartition("/")[2]
        return name if name in parts() and not Path(weights).exists() else ""
    stem = config.rpartition("/")[2]
    return stem if stem in parts() and not trained(config) else ""


def trained(config: str) -> Path | None:
    """The folder of the newest run that trained `config`."""
    runs = [found for found in records.table() if found.lab == "detectron2" and found.checkpoint.exists()]
    return next((run.folder for run in runs if run.config and run.config.options.get("config") == config), None)


def start(config: str, overrides: str) -> str:
    """The weights from which training starts, where they are the zoo's; "" where that is not known by name.

    They are in a setting of the command, else named in the config: a backbone from ImageNet.
    """
    given = re.search(r"MODEL\.WEIGHTS\s+(\S+)", overrides)
    backbone = "R-50.pkl" if "R_50" in config and "scratch" not in config else ""
    name = Path(given[1]).name if given else backbone
    return by_file(name)


def by_file(name: str) -> str:
    """The weights with the file `name` ("R-50.pkl", or without its suffix); "" where they are none of ours."""
    files = {file.name: file.part for file in registry.find(NAME).files}
    return files.get(name) or (Path(name).stem if Path(name).stem in files.values() else "")


def path(name: str) -> Path:
    """The file of the weights. Raises UserError where they were not fetched."""
    there = store.state(NAME)
    if name not in there.what.parts:
        raise UserError(f"the weights {name} of the model zoo are not here", f"./inv data {NAME} --split={name}")
    say(f"weights: {name} of the model zoo ({there.kind})")
    (file,) = [file for file in registry.find(NAME).files if file.part == name]
    return there.path / file.path

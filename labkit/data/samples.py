"""Where a lab reads: the real data, or the sample, drawn when it is first wanted."""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
from pathlib import Path
from typing import Any

from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.base.files import digest
from labkit.base.paths import data_dir, runs_dir, shown
from labkit.data import store
from labkit.data.registry import Wanted, find


def locate(name: str, sample: bool = False) -> store.State:
    """Where a lab reads: the real data, or the sample, which is made now if it is not there. Needs no network.

    Runs inside a stack, since making a sample takes NumPy. UserError when the real data are absent.
    """
    dataset = find(name)
    if not sample:
        there = store.state(name)
        if there.kind == "absent":
            raise UserError(f"{dataset.title} is not in {shown(data_dir())}", f"./inv data {name}")
        return there
    program = dataset.folder / "sample.py"
    if not program.exists():
        raise UserError(f"{dataset.title} has no sample", f"./inv data {name}")
    drawn_by = "".join(digest(path, "sha256")[:8] for path in [program, *imported(program)])
    source = f"datasets/{name}/sample.py {drawn_by}"  # a program that has changed draws again
    here = data_dir()
    if here.exists() and not os.access(str(here), os.W_OK):
        here = runs_dir() / ".samples"  # the data folder of a whole class can be read only
    folder = here / f"{name}-sample"
    there = store.read_state(dataset, folder)
    if there.source == source:
        return there
    with store.alone(dataset, here):
        there = store.read_state(dataset, folder)
        if there.source != source:
            say(f"drawing the sample of {dataset.title}")
            staging = here / f".{name}.sample"
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir()
            _module(program).make(staging)
            there = store.put_in_place(dataset, staging, folder, "sample", source, Wanted(dataset.default))
    return there


def imported(program: Path) -> list[Path]:
    """The modules of this folder that `program` imports, by themselves or through each other, by name."""
    found: dict[str, Path] = {}
    ahead = [program]
    while ahead:
        for node in ast.walk(ast.parse(ahead.pop().read_bytes())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(__package__):
                # from labkit.data.shapes import draw; from labkit.data import shapes
                below = (node.module or "")[len(__package__) + 1 :]
                for name in [below] if below else [alias.name for alias in node.names]:
                    if name not in found:
                        found[name] = Path(__file__).with_name(f"{name}.py")
                        ahead.append(found[name])
    return [found[name] for name in sorted(found)]


def _module(program: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"sample_{program.parent.name}", program)
    if spec is None or spec.loader is None:
        raise ValueError(f"{program} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

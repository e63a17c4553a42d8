"""Notebooks, which are made and never kept: a lab in steps as one, `python -m labkit.runs.notebooks NAME`.

The steps are those that its lab.py keeps.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any, Sequence

import nbformat

from labkit.base import files, labs, paths
from labkit.base.errors import UserError
from labkit.base.language import both
from labkit.runs.steps import Group


def lesson(title: str, about: str, setup: str, groups: Sequence[Group]) -> str:
    """The steps of a lab as the text of a notebook: a heading for each group, a cell for each step."""
    make = nbformat.v4
    cells = [make.new_markdown_cell(f"# {title}\n\n{about}"), make.new_code_cell(setup.strip())]
    for group in groups:
        cells.append(make.new_markdown_cell(f"## {group.sections}. {group.title}"))
        for step in group.steps:
            cells.append(make.new_markdown_cell(str(step.text)))
            fails = step.equals.startswith("'") and step.equals.endswith(("Error'", "'error'"))  # and OpenCV's
            # With this tag JupyterLab goes on behind the cell when it runs all of them.
            metadata = {"tags": ["raises-exception"]} if fails else {}
            end = f"# {both('fails with', '应出错：')} {step.equals.strip(chr(39))}" if fails else f"# = {step.equals}"
            cells.append(make.new_code_cell(f"{step.code}\n{end}", metadata=metadata))
    return text_of(cells)


def text_of(cells: Sequence[Any]) -> str:
    """The cells as the text of a notebook for the stack's own kernel."""
    for number, cell in enumerate(cells):  # random otherwise: the same cells are the same text
        cell["id"] = f"cell-{number}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return str(nbformat.writes(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}))) + "\n"


def write(name: str) -> Path:
    """Write notebooks/NAME.ipynb in the project's folder."""
    lab, module = labs.find(name), importlib.import_module(f"labs.{name}.lab")
    title = both(lab.title, lab.title_zh)
    about = both(
        "Each cell is a step of the lab. The comment at its end is what it must equal, or the error it must end in.",
        "每个单元格是实验的一步；末尾的注释写明结果应等于什么，或应出现哪种错误。",
    )
    path = paths.ROOT / "notebooks" / f"{name}.ipynb"
    with files.writing(path.parent):
        files.write_text(files.made(path.parent) / path.name, lesson(title, about, module.SETUP, module.GROUPS))
    return path


if __name__ == "__main__":
    try:
        print(paths.shown(write(sys.argv[1])))
    except UserError as error:
        sys.exit(str(error))

"""`./inv runs` and `report`."""

from __future__ import annotations

from rich.cells import cell_len

from labkit.cli.prepare import OUT, show
from labkit.runs import comparison, course, records
from labkit.runs import report as reports


def runs_table() -> None:
    runs = records.table()
    if not runs:
        OUT.print("No runs yet: ./inv lab cifar10")
        return
    # By hand, since rich takes seconds for a table of thousands; cell_len knows full-width characters.
    rows = [("run", "state", "result", "data")]
    rows += [(plain(run.name), str(run.status), plain(run.result), run.data) for run in runs]
    widths = [max(map(cell_len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(text + " " * (width - cell_len(text)) for text, width in zip(row, widths)).rstrip())


def course_page() -> None:
    page = course.render()
    OUT.print(str(page), soft_wrap=True)
    show(page.as_uri())


def plain(text: str) -> str:
    """`text` from a run folder, which may hold anything, with nothing in it that a terminal obeys."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def report(run: list[str]) -> None:
    folders = [records.find(name) for name in run or ["latest"]]
    page = comparison.render(folders) if len(folders) > 1 else reports.render(folders[0])
    OUT.print(str(page), soft_wrap=True)
    show(page.as_uri())

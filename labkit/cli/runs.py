"""`./inv runs` and `report`."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from labkit.cli.prepare import OUT, show
from labkit.runs import comparison, records
from labkit.runs import report as reports


def runs_table() -> None:
    table = Table(box=None)
    table.add_column("run", no_wrap=True)  # the name is what --resume and report want, and holds the time
    for column in ("state", "result", "data"):
        table.add_column(column)
    rows = records.table()
    for row in rows:
        table.add_row(*(plain(text) for text in (row.name, row.status, row.result, row.data)))
    if rows:
        OUT.print(table)
    else:
        OUT.print("No runs yet: ./inv lab cifar10")


def plain(text: str) -> Text:
    """`text` from a run folder, which may hold anything, with nothing in it that a terminal obeys."""
    return Text("".join(letter if letter.isprintable() else "?" for letter in text))


def report(run: list[str]) -> None:
    folders = [records.find(name) for name in run or ["latest"]]
    page = comparison.render(folders) if len(folders) > 1 else reports.render(folders[0])
    OUT.print(str(page), soft_wrap=True)
    show(page.as_uri())

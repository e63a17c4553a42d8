"""What the lab claims, and whether it held: a claim that fails makes the run fail, after all others were looked at."""

from __future__ import annotations

from labkit.base.language import Both, both
from labkit.runs.run import Run


class Checks:
    """The claims of a run, in the order in which they were looked at."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, Both, bool]] = []

    def hold(self, sections: str, claim: Both, held: object) -> None:
        """Write down whether `claim`, of the `sections` of the notes, held; a tensor of one number will do, too."""
        self.rows.append((sections, claim, bool(held)))

    def report(self, run: Run) -> int:
        """Show all claims and return how many there are. Raises AssertionError where one did not hold."""
        mark = {True: both("held", "成立"), False: both("did NOT hold", "不成立")}
        run.table(
            "checks",
            [both("section", "节"), both("claim", "结论"), both("here", "本机")],
            [[sections, claim, mark[held]] for sections, claim, held in self.rows],
            both(
                "Everything that this lab says and can be computed was computed.",
                "本实验中凡能计算的结论，都已逐条验算。",
            ),
        )
        failed = [claim.en for _, claim, held in self.rows if not held]
        assert not failed, f"did not hold: {'; '.join(failed)}"
        return len(self.rows)

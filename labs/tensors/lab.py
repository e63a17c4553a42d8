"""Tensors: every operation of sections 6 to 31 of the notes, run, shown and checked.

    ./inv lab tensors                             all steps, about two seconds
    ./inv lab tensors -- --groups 22,25           those of some sections only
    ./inv lab tensors -- --practice               the exercises, which check themselves

You learn what each operation gives, what else it must equal (NumPy, plain Python, or an identity), and what became
of it between PyTorch 1.5.0, which the notes use, and 2.11.0.
"""

from __future__ import annotations

from labkit.base.errors import UserError
from labkit.base.language import both
from labkit.runs.run import Run
from labkit.runs.start import start
from labkit.runs.steps import Group, table
from labkit.runs.then_and_now import table as table_of_versions
from labs.tensors import (
    figures,
    steps_algebra,
    steps_arithmetic,
    steps_basics,
    steps_functions,
    steps_shapes,
    steps_signals,
    then_and_now,
)
from labs.tensors.config import PRESETS, Config
from labs.tensors.steps_basics import SETUP

GROUPS: tuple[Group, ...] = (
    *steps_basics.GROUPS, *steps_arithmetic.GROUPS, *steps_functions.GROUPS, *steps_algebra.GROUPS,
    *steps_shapes.GROUPS, *steps_signals.GROUPS,
)  # fmt: skip


def chosen(groups: str | None) -> list[Group]:
    """The groups of the sections that were asked for, or all. Raises UserError for one that is not there."""
    if groups is None:
        return list(GROUPS)
    known = sorted({section for group in GROUPS for section in group.sections.split(", ")}, key=int)
    asked = [word.strip() for word in groups.split(",")]
    for word in asked:
        if word not in known:
            raise UserError(f"--groups: there is no group {word}; there are {', '.join(known)}")
    return [group for group in GROUPS if set(asked) & set(group.sections.split(", "))]


def main(config: Config, run: Run) -> dict[str, float]:
    """Run all steps that were asked for, with the pictures after the groups that they belong to."""
    groups, held = chosen(config.groups), 0
    run.note(both("Each line of code runs as it stands here; its last line gives the result, and the last column gives "
                  "the same another way, or names the error. One that does not hold makes the run fail.",
                  "每段代码都照所示原样运行，最后一行给出结果；末列用另一种方法得到同样的结果，或写明应出现的错误。"
                  "有一步不成立，整个运行就失败。"))  # fmt: skip
    for number, group in enumerate(groups, start=1):
        held += table(run, f"group-{number:02}", group, SETUP)
        run.log(number, held=held)
        for name in figures.AFTER.get(str(group.title.en), ()):
            figures.draw(run, name)
    count = len(then_and_now.CALLS)
    table_of_versions(run, then_and_now.FILE, then_and_now.VERSIONS,
                      both(f"Then and now: {count} calls, each run on both.",
                           f"今昔对照：{count} 个调用，在两个版本上实际运行所得。"))  # fmt: skip
    return {"steps": held}


if __name__ == "__main__":
    start(main, Config, PRESETS)

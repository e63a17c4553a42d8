"""The command line itself: invoke's, with three things that invoke alone does not do.

`./inv report RUN ...` takes its runs with or without a name, a mistake on the command line ends with one sentence, the
next command and exit status 2, and an option of a lab that was typed before `--` is recognised as such.
"""

from __future__ import annotations

import re
import signal

from invoke import Exit, Program, __version__
from invoke.exceptions import ParseError

from labkit.base.command import as_typed
from labkit.base.errors import nearest

OPTIONAL_NAMES = {"report": "--run"}  # task -> the option that its optional positional arguments stand for


class LabProgram(Program):
    """invoke's program with the additions above."""

    def load_collection(self) -> None:
        super().load_collection()
        for name in self.collection.task_names:
            task = self.collection[name]
            task.__doc__ = as_typed(task.__doc__ or "")
            task.help = {option: as_typed(text) for option, text in task.help.items()}

    def parse_tasks(self) -> None:
        self.core.unparsed = name_positionals(list(self.core.unparsed))
        try:
            super().parse_tasks()
        except ParseError as error:
            said = explain(str(error), list(self.core.unparsed), sorted(self.collection.task_names))
            raise Exit(as_typed(said), 2) from None


def name_positionals(words: list[str]) -> list[str]:
    """`report A B` as `report --run=A --run=B`: invoke knows no optional positional arguments."""
    if words and words[0] in OPTIONAL_NAMES:
        option = OPTIONAL_NAMES[words[0]]
        return [words[0], *(word if word.startswith("-") else f"{option}={word}" for word in words[1:])]
    return words


def explain(message: str, words: list[str], tasks: list[str]) -> str:
    """invoke's complaint as a sentence that says what to type instead."""
    unknown = re.match(r"No idea what '(.*)' is!", message)
    word, task = unknown.group(1) if unknown else "", words[0] if words else ""
    if word and word == task:
        return f"there is no task '{word}' ({nearest(word, tasks)}).\n  next: ./inv --list"
    if word and task == "lab" and len(words) > 1:
        hint = f"./inv lab {words[1]} -- {word} VALUE" if word.startswith("-") else f"./inv lab {words[1]}"
        return f"'{word}' is no option of the task lab; a lab's own options come after `--`.\n  next: {hint}"
    if word:
        return f"task {task} knows no '{word}'.\n  next: ./inv {task} --help"
    if "required positional" in message:
        shown = {"lab": "labs", "data": "datasets"}.get(task, f"{task} --help")
        return f"task {task} needs a name.\n  next: ./inv {shown}"
    return f"{message.rstrip('!.')}.\n  next: ./inv {task} --help"


def main() -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `./inv --list | head` ends as any other program does
    LabProgram(name="invoke", binary="inv[oke]", binary_names=["invoke", "inv"], version=__version__).run()


if __name__ == "__main__":
    main()

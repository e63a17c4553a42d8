"""The command line itself: invoke's, with three things that invoke alone does not do.

`./inv report RUN ...` takes its runs with or without a name, a mistake on the command line ends with one sentence, the
next command and exit status 2, and an option of a lab that was typed before `--` is recognised as such.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
import sys
from types import MappingProxyType
from typing import Any, Collection, Mapping

from invoke import Exit, Program, __version__
from invoke.exceptions import ParseError

from labkit.base import files, settings
from labkit.base.command import as_typed
from labkit.base.errors import UserError, nearest
from labkit.cli.prepare import passed_on

# Task -> the options that its optional positional arguments stand for; the last takes all that follow.
OPTIONAL_NAMES = {"report": ("--run",), "config": ("--action", "--name", "--value"), "notebook": ("--lab",)}


class LabProgram(Program):
    """invoke's program with the additions above."""

    def load_collection(self) -> None:
        super().load_collection()
        for name in self.collection.task_names:
            task = self.collection[name]
            task.__doc__ = as_typed(task.__doc__ or "")
            task.help = {option: as_typed(text) for option, text in task.help.items()}

    def parse_core(self, argv: list[str] | None) -> None:
        super().parse_core(argv)
        words, help = list(self.core.unparsed), self.args.help
        if words[:1] == ["help"]:
            help.set_value(words[1] if words[1:] else True, cast=False)
            self.core.unparsed = []
        if help.value is True:  # what there is to do, and not invoke's own options
            help.set_value(None, cast=False)
            self.args.list.set_value(True, cast=False)

    def parse_tasks(self) -> None:
        words = list(self.core.unparsed)
        ours = words[: words.index("--")] if "--" in words else words
        if {"--help", "-h"} & set(ours):  # `TASK --help`, which invoke reads only before the task
            self.args.help.value, words = ours[0], []
        empty = next((word for word in words if word in ("", "--") or re.fullmatch(r"--[\w-]+=", word)), None)
        if empty is not None and empty != "--":
            self.refuse(f"{empty or 'a word'} is empty: a variable may not be set", f"--help {ours[0]}")
        if words and words[0] in OPTIONAL_NAMES:
            arguments = self.collection[words[0]].get_arguments()
            valued = {f"--{name}" for argument in arguments if argument.takes_value for name in argument.names}
            words = name_positionals(words, valued)
        self.core.unparsed = words
        try:
            super().parse_tasks()
        except ParseError as error:
            tasks = sorted(self.collection.task_names)
            known = self.parser.contexts.get(words[0])
            flags = known.flags if known else {}
            self.refuse(explain(str(error), words, tasks, flags))
        if len(self.tasks) > 1:
            self.refuse(f"'{self.tasks[1].name}' is one word too many: a command is one task", f"--help {ours[0]}")

    def parse_cleanup(self) -> None:
        tasks, collections = sorted(self.collection.task_names), sorted(self.collection.collections)
        if isinstance(self.args.help.value, str) and self.args.help.value not in self.parser.contexts:
            self.refuse(f"there is no task '{self.args.help.value}' ({nearest(self.args.help.value, tasks)})", "--list")
        if isinstance(self.args.list.value, str) and self.args.list.value not in collections:
            self.refuse(f"there are no tasks '{self.args.list.value}.…'", "--list")
        super().parse_cleanup()

    def refuse(self, message: str, next_words: str = "") -> None:
        """Leave with one sentence and the next command, as the user types it."""
        raise Exit(as_typed(message + f".\n  next: ./inv {next_words}" * bool(next_words)), 2) from None


def name_positionals(words: list[str], valued: Collection[str] = ()) -> list[str]:
    """`report A B` as `report --run=A --run=B`: invoke knows no optional positional arguments.

    What follows an option in `valued` is its value.
    """
    options, named = list(OPTIONAL_NAMES[words[0]]), [words[0]]
    for before, word in zip(words, words[1:]):
        is_option = word.startswith("-") and " " not in word  # with one it is a value
        taken = is_option or before in valued
        option = "" if taken else options.pop(0) if len(options) > 1 else options[0]
        named.append(f"{option}={word}" if option else word)
    return named


def explain(message: str, words: list[str], tasks: list[str], flags: Mapping[str, Any] = MappingProxyType({})) -> str:
    """invoke's complaint as a sentence that says what to type instead."""
    unknown = re.match(r"No idea what '(.*)' is!", message)
    word, task = unknown.group(1) if unknown else "", words[0] if words else ""
    if word and word == task:
        what = "option" if word.startswith("-") else "task"
        return f"there is no {what} '{word}' ({nearest(word, tasks)}).\n  next: ./inv --list"
    if word and task == "lab" and words[1].startswith("-"):
        return f"the lab's name comes first, before {words[1]}.\n  next: ./inv lab NAME {words[1]}"
    if word and task == "lab":
        option = word.partition("=")[0]
        if difflib.get_close_matches(option, flags, n=1, cutoff=0.75):
            return f"lab has no option {option} ({nearest(option, list(flags))}).\n  next: ./inv --help lab"
        hint = repaired(words, flags)
        return f"lab has no option '{word}'; a lab's own options come after `--`.\n  next: {hint}"
    if word and word.startswith("-"):
        option = word.partition("=")[0]
        return f"{task} has no option {option} ({nearest(option, list(flags))}).\n  next: ./inv --help {task}"
    if word:
        quoted = " (a value with spaces needs quotes)" if task == "config" else ""
        return f"{task} takes no further argument: '{word}'{quoted}.\n  next: ./inv --help {task}"
    if "required positional" in message:
        shown = {"lab": "labs", "data": "datasets"}.get(task, f"--help {task}")
        lacking = " and ".join(f"a {word}" for word in re.findall(r"'(\w+)'", message.rpartition(":")[2])) or "a name"
        return f"{task} needs {lacking}.\n  next: ./inv {shown}"
    needed = re.match(r"Flag <Argument: (\S+).*> needed value", message)
    if needed:
        return f"--{needed[1]} needs a value.\n  next: ./inv --help {task}"
    return f"{message.rstrip('!.')}.\n  next: ./inv --help {task}"


def repaired(words: list[str], flags: Mapping[str, Any]) -> str:
    """`lab NAME ...` with the lab's own options after `--`, each with its value; `flags` are those of the task lab."""
    ahead, own, takes_value = list(words), list(passed_on()), False
    kept, moved = [ahead.pop(0)], []
    for place, word in enumerate(ahead):
        known = flags.get(word.partition("=")[0])
        if known is not None or place == 0 or takes_value:
            kept.append(word)
            takes_value = known is not None and known.takes_value and "=" not in word
        else:
            moved.append(word)
    if moved and not moved[0].startswith("-"):
        moved[0] = f"--{moved[0]}"  # `epochs 2`
    return shlex.join(["./inv", *kept, "--", *moved, *own])


def main() -> None:
    for sentence in settings.misspelt(os.environ):
        print(sentence, file=sys.stderr)
    command = as_typed("./inv ").strip()
    try:
        with files.writing():  # a disk that refuses, in whatever task
            LabProgram(name="invoke", binary=command, binary_names=["invoke", "inv"], version=__version__).run()
            sys.stdout.flush()
    except BrokenPipeError:  # `./inv --list | head`: who reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except UserError as error:
        print(error, file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # it may be standard output that has no room
        sys.exit(2)
    except SystemExit as leaving:
        if isinstance(leaving.__context__, KeyboardInterrupt):  # which invoke turns into status 1
            sys.exit(130)
        raise


if __name__ == "__main__":
    main()

"""The command that a run writes down to be repeated: typed again, it asks for the same."""

from __future__ import annotations

import dataclasses
import itertools
import shlex
from dataclasses import dataclass

import pytest

from labkit.base import settings
from labkit.runs import options, start
from labkit.runs.options import option


@dataclass(frozen=True)
class Config:
    epochs: int = option(8, "passes", at_least=1)
    flip: bool = option(True, "mirror")
    note: str = option("", "a text")


PRESETS = {"smoke": {"epochs": 2}, "quick": {"epochs": 3}}


def asked(*words):
    return options.parse(words, Config, PRESETS, "toy")


def repeated(request):
    """The words of the command, the task's own and the lab's."""
    config = options.build(Config, PRESETS, request)
    command = start._command({"lab": "toy", "seed": request.seed or 0, "options": dataclasses.asdict(config)}, request)
    words = shlex.split(command)
    assert words[:3] == ["./inv", "practice" if request.practice else "lab", "toy"]
    place = words.index("--") if "--" in words else len(words)
    return words[3:place], words[place + 1 :]


@pytest.mark.parametrize("seed", [[], ["--seed", "7"]])
@pytest.mark.parametrize("data", [[], ["--sample"], ["--smoke"], ["--preset", "quick"], ["--preset", "quick", "--sample"]])
@pytest.mark.parametrize("own", [[], ["--epochs", "5"], ["--no-flip", "--note", "two words"]])
def test_every_option_that_the_result_depends_on_is_in_it(own, data, seed):
    request = asked(*own, *data, *seed)
    task, words = repeated(request)
    flags = [word for word in task if word in ("--smoke", "--sample")]  # which the task hands to the lab
    again = asked(*words, *flags)
    assert again == request and options.build(Config, PRESETS, again) == options.build(Config, PRESETS, request)


def test_what_changes_no_result_is_left_out():
    assert repeated(asked("--save-every", "0.5")) == ([], []) == repeated(asked("--seed", "0"))


def test_the_stack_and_the_processes_of_the_run_are_in_it(monkeypatch):
    for stack, launch in itertools.product(("", "notes/index"), ("", "--gpus=2 --nodes=10.0.0.1,10.0.0.2")):
        settings.use(stack=stack, launch=launch)
        assert repeated(asked())[0] == [*([f"--stack={stack}"] if stack else []), *launch.split()]

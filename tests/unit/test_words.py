"""Words for a reader: what a mistake says, what other programs' last words are, which name was meant."""

from __future__ import annotations

import time

import pytest

from labkit.base import programs
from labkit.base.errors import UserError, harmless, nearest


@pytest.mark.parametrize(
    ("message", "following", "text"),
    [
        ("it is gone", "", "it is gone."),
        ("it is gone.", "./inv runs", "it is gone.\n  next: ./inv runs"),
        ("what is it?", "", "what is it?"),
        ("stop!", "./inv runs", "stop!\n  next: ./inv runs"),
    ],
)
def test_a_mistake_is_a_sentence_with_the_next_command_below(message, following, text):
    error = UserError(message, following)
    assert error.text == str(error) == text and not error.message.endswith(".")


def test_what_a_terminal_obeys_is_shown_as_a_question_mark():
    assert harmless("a\tb\nc\x1b[2J\r\x00é") == "a\tb\nc?[2J??é"


def test_the_nearest_name_is_offered_in_its_own_case_or_all_in_order():
    assert nearest("CIFAR01", ["mnist", "Cifar10"]) == "did you mean Cifar10?"
    assert nearest("xyz", ["b", "a"]) == "known: a, b"


@pytest.mark.parametrize(
    ("output", "words"), [("", ""), (" \n ", ""), ("first\n  × last\n\n", "last"), ("x\n  ╰─▶ cause: no route", "no route")]
)
def test_the_last_words_of_a_program_are_without_decoration(output, words):
    assert programs.last_words(output) == words


def test_a_program_that_is_missing_fails_or_hangs_says_nothing():
    assert programs.output_of("echo", " said ") == "said"
    assert programs.output_of("no-such-program") == programs.output_of("sh", "-c", "echo said; exit 1") == ""
    assert programs.output_of("printf", r"\377x").endswith("x")
    began = time.monotonic()
    assert programs.output_of("sleep", "60", timeout_s=0.2) == "" and time.monotonic() - began < 30

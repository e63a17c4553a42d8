"""When the result of a step is the one that its lesson expects."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from labkit.runs.steps import same, shown


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (torch.tensor([1, 2]), [1, 2]), (np.array([0.1 + 0.2]), [0.3]), (3, 3), (2.0, 2), (torch.tensor(float("nan")), float("nan")),
        (ValueError("x"), "ValueError"), (KeyError("x"), "LookupError"), ((torch.ones(2), "a"), [[1.0, 1.0], "a"]), ("a", "a"), (None, None),
        (torch.tensor([True]), [True]), (1.00001, 1.0),
    ],
)  # fmt: skip
def test_what_is_equal_by_its_kind_is_the_same(result, expected):
    assert same(result, expected)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (torch.tensor([1, 2]), [1, 3]), (torch.tensor([[1, 2]]), [1, 2]), (2**40 + 1, 2**40), (1.001, 1.0), (torch.tensor([1]), [True]),
        (3, "3"), ("3", 3), (3, "ValueError"), (ValueError("x"), "TypeError"), (ValueError("x"), ValueError), ([1, "a"], [1, "b"]),
        ([1, "a"], [1, "a", "a"]), (None, 0), ("a", None), (torch.ones(2), "ones"),
    ],
)  # fmt: skip
def test_what_is_of_another_kind_shape_or_value_is_not(result, expected):
    assert not same(result, expected)


def test_a_result_is_shown_in_few_words():
    assert shown(1 / 3) == "0.333333" and shown(KeyError("a\nb")) == "KeyError: 'a\\nb'" and shown([1]) == "[1]"
    assert len(shown(list(range(1000)))) == 400 and shown("a" * 398) == repr("a" * 398)

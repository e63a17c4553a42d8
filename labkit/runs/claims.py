"""Claims that two ways give the same numbers: a part by hand and the library's, a batch and its rows one by one."""

from __future__ import annotations

from typing import Callable, NamedTuple, Sequence

import torch

from labkit.base.console import say
from labkit.base.language import Both, both
from labkit.runs.run import Run


class Claim(NamedTuple):
    """Two ways to the same numbers, and how far apart they may be."""

    name: str
    text: Both
    difference: Callable[[], float]
    most: float = 1e-12


class DoesNotHold(AssertionError):
    """Two ways that should give the same and do not."""


def apart(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> float:
    """The largest difference between two lists of tensors of the same shapes; raises AssertionError for others."""
    if [a.shape for a in one] != [b.shape for b in other]:
        raise AssertionError(f"the shapes differ: {[tuple(a.shape) for a in one]}, {[tuple(b.shape) for b in other]}")
    return max(float((a - b).detach().abs().max()) for a, b in zip(one, other))


def show(run: Run, claims: Sequence[Claim]) -> int:
    """The table of the claims, each computed now; how many there are. Raises DoesNotHold at the first that fails."""
    rows = []
    for claim in claims:
        found = claim.difference()
        rows.append([claim.text, f"{found:.1e}", f"{claim.most:g}"])
        if not found <= claim.most:
            raise DoesNotHold(f"{claim.name}: {found} is more than {claim.most}")
    heads = [both("what is equal", "哪两者相等"), both("largest difference", "最大差"), both("allowed", "允许")]
    run.table("claims", heads, rows, both(
        "Computed in this run, in float64 unless said.", "在本次运行中算得；未注明者为 float64。"))  # fmt: skip
    say(f"{len(rows)} claims hold")
    return len(rows)

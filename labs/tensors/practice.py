"""The exercises of the lab tensors."""

from __future__ import annotations

import torch

from labkit.base.language import both
from labkit.runs.practice.sheet import fill_in, predict

SETUP = """
import math

import numpy as np
import torch
"""

SHEET = (
    predict("rounding", both("Where does a half go?", "0.5 会舍入到哪里？"),
            "torch.round(torch.tensor([0.5, 1.5, 2.5])).tolist()",
            hint=both("To the even neighbour.", "向偶数舍入。"),
            wrong={"[1.0, 2.0, 3.0]": both("Not always up.", "并非总是向上。"), "[0.0, 1.0, 2.0]": None}),
    fill_in("flip", both("Reverse a vector (N).", "反转向量 (N)。"), "def flip(x):",
            oracle=lambda x: x.flip(0), cases=lambda random, size: (torch.from_numpy(random.randn(size)),),
            without=("flip",), solution="return x[torch.arange(len(x) - 1, -1, -1)]",
            hint=both("Index it.", "用索引。"), wrong=("return x", "return -x")),
)  # fmt: skip

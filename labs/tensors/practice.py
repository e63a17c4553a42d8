"""The exercises of the lab tensors: 26 lines to predict, then 16 functions to fill in."""

from __future__ import annotations

from labs.tensors.practice_functions import FUNCTIONS
from labs.tensors.practice_lines import LINES

SETUP = """
import math

import numpy as np
import torch
"""

SHEET = (*LINES, *FUNCTIONS)

"""The exercises of the lab convnets: eight lines to predict, then fourteen functions to fill in."""

from __future__ import annotations

from labs.convnets.practice_functions import FUNCTIONS
from labs.convnets.practice_lines import LINES

SETUP = """
import math

import torch
from torch import nn
from torch.nn import functional as F
"""

SHEET = (*LINES, *FUNCTIONS)

"""The exercises of the lab opencv: twelve lines to predict, then ten functions to fill in; OpenCV is the oracle."""

from __future__ import annotations

from labs.opencv.practice_functions import FUNCTIONS
from labs.opencv.practice_lines import LINES

SETUP = """
import cv2
import numpy as np
import torch
from torch.nn import functional as F

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # a missing file is a warning
"""

SHEET = (*LINES, *FUNCTIONS)

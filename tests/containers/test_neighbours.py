"""Two clones of one user, and two users, on one engine: none sees, stops or reuses what the other started."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

import pytest
from sockets import free_port
from test_labs import run_folder, start, status

from labkit.base import paths
from labkit.services import control
from labkit.stacks import containers


"""The toy lab as the tests start it: in this process, or in one of its own that can be killed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.base import paths
from labkit.runs.start import start

LAB = Path(__file__).resolve().parent / "toy" / "lab.py"


def load(lab=LAB):
    """The lab's module, registered as an import would."""
    spec = importlib.util.spec_from_file_location("toy_lab", str(lab))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def run(*arguments, lab=LAB):
    """Start the toy here; its exit status."""
    module = load(lab)
    with pytest.raises(SystemExit) as left:
        start(module.main, module.Config, module.PRESETS, list(arguments))
    return left.value.code


def spawn(*arguments, **environment):
    """Start the toy in a process of its own."""
    settings = {**os.environ, "PYTHONPATH": str(paths.ROOT), **environment}
    return subprocess.Popen(
        [sys.executable, str(LAB), *arguments], env=settings, stderr=subprocess.PIPE, universal_newlines=True
    )


def folders():
    """The toy's run folders, the oldest first."""
    return sorted((paths.runs_dir() / "toy").glob("*"))

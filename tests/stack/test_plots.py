"""Plots look the same whatever the user's own matplotlib is set to."""

from __future__ import annotations

import os
import subprocess
import sys

from labkit.base import paths

DRAW = """
import sys
from pathlib import Path
from labkit.runs import plots
plots.curves({"train_loss": ([1, 2], [1.0, 0.5])}, Path(sys.argv[1]))
"""


def test_a_matplotlibrc_changes_nothing(tmp_path):
    drawn = []
    for name, settings in (("plain", ""), ("theirs", "text.usetex: True\nlines.linestyle: :\nsavefig.transparent: True\n")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "matplotlibrc").write_text(settings)
        environment = {**os.environ, "MATPLOTLIBRC": str(folder / "matplotlibrc"), "PYTHONPATH": str(paths.ROOT)}
        subprocess.run([sys.executable, "-c", DRAW, str(folder)], cwd=str(folder), env=environment, check=True)
        drawn.append((folder / "loss.png").read_bytes())
    assert drawn[0] == drawn[1]

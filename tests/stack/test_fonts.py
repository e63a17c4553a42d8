"""Plots whose words are Chinese, as the names of a user's files are."""

from __future__ import annotations

import subprocess
import sys

import pytest

from labkit.base.paths import ROOT
from labkit.runs import fonts, plots


def drawn(title):
    figure, axes = plots.figure()
    axes[0, 0].set_title(title)
    figure.tight_layout()
    return fonts.as_png(figure)


def test_chinese_is_drawn_with_a_font_of_the_system(recwarn):
    if not fonts.CHINESE:
        pytest.skip("no font of this system has Chinese")
    assert drawn("\u8857") != drawn("\u9053")  # as boxes they would be alike
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_without_such_a_font_it_is_said_once_and_nothing_else():
    code = """
from labkit.runs import fonts, plots
fonts.CHINESE, plots.matplotlib.rcParams["font.family"] = "", ["DejaVu Sans"]
for title in "\u8857\u9053":
    figure, axes = plots.figure()
    axes[0, 0].set_title(title)
    figure.tight_layout()
    assert fonts.as_png(figure)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=str(ROOT), capture_output=True)
    said = done.stderr.decode()
    assert done.returncode == 0 and len(said.splitlines()) == 1 and "fonts-noto-cjk" in said, said

"""The short form of scripts/fuzz.py, for readers that run in a stack: 25 mutations of a valid file each."""

from __future__ import annotations

import sys

import pytest

from labkit.base.paths import ROOT

if sys.version_info < (3, 9):
    pytest.skip("scripts are for Python 3.9 and newer", allow_module_level=True)
sys.path.insert(0, str(ROOT / "scripts"))

import fuzz


@pytest.mark.parametrize("name", [name for name, reader in fuzz.READERS.items() if reader.needs in ("numpy", "cv2", "torch")])
def test_what_is_nearly_right_is_taken_or_refused(name):
    ways, defects = fuzz.outcomes(name, 25, seed=1)
    assert not defects, "\n".join(defects)
    assert ways["taken"] > 0 and ways["refused"] > 3 and sum(ways.values()) == 25

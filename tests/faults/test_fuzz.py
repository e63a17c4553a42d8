"""The short form of scripts/fuzz.py, for readers that the host has: 25 mutations of a valid file each."""

from __future__ import annotations

import sys

import pytest

from labkit.base.paths import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

import fuzz


@pytest.mark.parametrize("name", [name for name, reader in fuzz.READERS.items() if reader.needs in ("", "invoke", "jinja2")])
def test_what_is_nearly_right_is_taken_or_refused(name):
    ways, defects = fuzz.outcomes(name, 25, seed=1)
    assert not defects, "\n".join(defects)
    assert ways["taken"] > 0 and sum(ways.values()) == 25
    assert ways["refused"] > 3 or name.endswith((".json", ".jsonl"))  # a record that cannot be used is left out


def test_a_reader_with_a_defect_is_found_out(monkeypatch, tmp_path):
    """Every kind of defect is told from a refusal: what cannot fail proves nothing."""
    program = (ROOT / "scripts" / "fuzz.py").read_text()
    readers = """
def crash(path, folder): os.kill(os.getpid(), 11)
def fill(path, folder): return bytearray(3 << 30)
def turn(path, folder):
    while True: pass
MOST_S = 1
READERS = {"crash": Reader(idx, crash), "fill": Reader(idx, fill), "turn": Reader(idx, turn),
           "raise": Reader(idx, lambda path, folder: [][1])}
"""
    program = program.replace("# --- mutations", readers + "# --- mutations").replace(
        "Path(__file__).resolve().parent.parent", f"Path({str(ROOT)!r})"
    )
    (tmp_path / "fuzz.py").write_text(program)
    monkeypatch.setattr(fuzz, "__file__", str(tmp_path / "fuzz.py"))
    for name, way in (("crash", "CRASH"), ("fill", "TRACEBACK"), ("turn", "CRASH"), ("raise", "TRACEBACK")):
        ways, defects = fuzz.outcomes(name, 2, seed=0)
        assert ways == {way: 2} and len(defects) == 2, name

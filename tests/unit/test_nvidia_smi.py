"""nvidia-smi is text from outside: what is a row is used, whatever stands beside it."""

from __future__ import annotations

import pytest

from labkit.base import hardware

CASES = {
    "a warning beside": ("580.95.05, 24576, 8.9, NVIDIA GeForce RTX 4090\nWARNING: infoROM is corrupted at gpu 0000:01:00.0", 14, 1),
    "a lost card": ("550.54.15, 81559, 8.0, NVIDIA A100\nUnable to determine the device handle for GPU0000:02:00.0: Unknown Error", 0, 1),
    "not available": ("580.95.05, 24576, [N/A], NVIDIA GeForce RTX 4090", 0, 1),
    "unknown": ("580.95.05, [Unknown Error], 8.9, NVIDIA GeForce RTX 4090", 0, 1),
    "none": ("No devices were found", 0, 0),
    "reset": ("GPU requires reset", 0, 0),
    "not text": ("\\377\\376", 0, 0),
    "two": ("580.95.05, 24576, 8.9, A\n580.95.05, 2048, 3.5, B, C", 0, 2),
}


@pytest.mark.parametrize("case", CASES)
def test_what_it_prints(case, tmp_path, monkeypatch):
    said, status, count = CASES[case]
    smi = tmp_path / "nvidia-smi"
    smi.write_text(f"#!/bin/sh\nprintf '{said}\\n'\nexit {status}\n", encoding="utf-8")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    driver, gpus = hardware.find_gpus()
    assert len(gpus) == count and bool(driver) == bool(count)
    assert all(gpu.capability in ("", "8.9", "8.0", "3.5") and gpu.memory_mb >= 0 for gpu in gpus)

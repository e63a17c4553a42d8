"""nvidia-smi is text from outside: what is a row is used, whatever stands beside it."""

from __future__ import annotations

import pytest

from labkit.base import hardware
from labkit.cli import prepare
from labkit.stacks import catalog, containers, doctor, machine, runner, selection
from labkit.stacks.engine import Engine

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


LIST = """GPU 0: NVIDIA GeForce GT 710 (UUID: GPU-11111111-aaaa)
GPU 1: NVIDIA A100 (UUID: GPU-1222-bbbb)
  MIG 3g.20gb     Device  0: (UUID: MIG-7777-cccc)
  MIG 3g.20gb     Device  1: (UUID: MIG-8888-dddd)
GPU 3: NVIDIA A100 (UUID: GPU-3333-eeee)
Unable to determine the device handle for GPU0000:02:00.0: Unknown Error
"""
ROWS = """580.95.05, 2048, 3.5, NVIDIA GeForce GT 710
580.95.05, 81559, 8.0, NVIDIA A100
580.95.05, 81559, 8.0, NVIDIA A100
"""
OLD, NEW, THIRD = "GPU-11111111-aaaa", "GPU-1222-bbbb", "GPU-3333-eeee"


@pytest.fixture
def three(tmp_path, monkeypatch):
    """An old card and two good ones, the second of them divided, the number 2 lost."""
    smi = tmp_path / "nvidia-smi"
    smi.write_text(f"#!/bin/sh\n[ \"$1\" = -L ] && cat <<'E' && exit\n{LIST}E\ncat <<'E'\n{ROWS}E\n", encoding="utf-8")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")


@pytest.mark.parametrize(
    ("said", "handles"),
    [
        (None, [OLD, NEW, THIRD]),
        ("", []),
        ("-1", []),
        ("1", [NEW]),
        (" 3 , 0", [THIRD, OLD]),
        ("2", []),  # the lost one
        ("1,-1,0", [NEW]),
        ("0,7,1", [OLD]),
        ("1,1", [NEW]),
        ("١", []),
        ("¹", []),
        ("GPU-3333-eeee", [THIRD]),
        ("GPU-33,GPU-12", [THIRD, NEW]),
        ("GPU-", []),  # could be each
        ("GPU-1", []),
        ("GPU-9", []),
        ("gpu-33", []),
        ("MIG-8888-dddd", ["MIG-8888-dddd"]),
        ("MIG-7", ["MIG-7777-cccc"]),
        ("MIG-", []),
        ("all", []),
        ("nonsense,1", []),
    ],
)
@pytest.mark.usefixtures("three")
def test_the_users_own_choice_of_gpus_is_read_as_cuda_reads_it(said, handles):
    assert [gpu.handle for gpu in hardware.visible(hardware.find_gpus()[1], said)] == handles


@pytest.mark.usefixtures("three")
def test_a_card_that_is_left_out_is_named_and_stays_out(monkeypatch, capsys):
    found = machine.probe()
    choice = selection.choose(list(found.gpus), found.driver)
    assert choice.variables["CUDA_VISIBLE_DEVICES"] == f"{NEW},{THIRD}" and "GT 710 (3.5)" in choice.reason
    rows = {finding.id: finding for finding in doctor.gpu(found, catalog.load_facts(), choice)}
    assert "NVIDIA GeForce GT 710: torch" in rows["gpu-left-out"].what and "gpu-hidden" not in rows
    command = runner.python_command(["x"], choice, "venv", found)
    assert command.environment["CUDA_VISIBLE_DEVICES"] == f"{NEW},{THIRD}"
    assert containers.variables(Engine("docker", "27"), choice)["CUDA_VISIBLE_DEVICES"] == f"{NEW},{THIRD}"

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    found = machine.probe()
    choice = selection.choose(list(found.gpus), found.driver)
    assert choice.variables == {"CUDA_VISIBLE_DEVICES": THIRD, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    rows = {finding.id: finding for finding in doctor.gpu(found, catalog.load_facts(), choice)}
    assert "CUDA_VISIBLE_DEVICES leaves out NVIDIA GeForce GT 710 (3.5), NVIDIA A100 (8.0)" in rows["gpu-hidden"].what

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    found = machine.probe()
    assert not prepare.choose(found, "").use_gpu and "leaves no GPU" in capsys.readouterr().err
    (only,) = doctor.gpu(found, catalog.load_facts(), selection.choose([], ""))
    assert only.id == "gpu-hidden" and only.level == "note" and only.next_command == "unset CUDA_VISIBLE_DEVICES"

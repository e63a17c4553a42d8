"""The stacks as data, the facts they rest on, and the choice between them."""

from __future__ import annotations

import re
import sys

import msgspec
import pytest

from labkit.base.errors import UserError
from labkit.base.hardware import Gpu
from labkit.stacks import catalog, native, selection

FACTS = catalog.load_facts()


@pytest.mark.parametrize("name", catalog.names())
def test_every_stack_agrees_with_the_facts(name):
    assert catalog.check(catalog.load(name), FACTS) == []


def test_a_stack_at_odds_with_the_facts_is_named():
    stack = catalog.load("cu126")
    wrong = msgspec.structs.replace(stack, torch="2.10.0", digest="sha256:123", python="3.15")
    said = "\n".join(catalog.check(wrong, FACTS))
    assert "digest" in said and "no wheel of torch 2.10.0" in said and "3.15" in said
    other = msgspec.structs.replace(stack, torchvision="0.25.0")
    newer = msgspec.structs.replace(stack, torchvision="0.27.0")
    for moved in (other, newer):
        assert catalog.check(moved, FACTS)[0] == "cu126/cu126: torch 2.11.0 goes with torchvision 0.26.0"


def test_a_lock_that_pins_another_torch_is_named(tmp_path):
    stack = catalog.load("cu130")
    lock = tmp_path / "lock.txt"
    lock.write_text(stack.builds[0].lock.read_text().replace("torch==2.11.0", "torch==2.12.0"))
    moved = msgspec.structs.replace(stack, builds=(msgspec.structs.replace(stack.builds[0], lock=lock),))
    assert catalog.check(moved, FACTS) == ["cu130/index: lock.txt does not pin torch 2.11.0"]


@pytest.mark.parametrize(
    "row", [*FACTS["cuda"], *FACTS["wheel"], *FACTS["mirror"], FACTS["wsl"]], ids=lambda row: row["source"][:20]
)
def test_every_fact_has_a_source_and_a_date(row):
    assert row["source"] and row["date"].year >= 2026


@pytest.mark.parametrize("lock", sorted(catalog.LOCKS.glob("*.txt")), ids=lambda path: path.name)
def test_locks_pin_every_package_by_hash_and_name_no_index(lock):
    text = lock.read_text(encoding="utf-8")
    entries = re.findall(
        r"^[a-z0-9][^\n]*(?:\\\n\s+--hash=sha256:[0-9a-f]{64}\s*)+", text, re.MULTILINE | re.IGNORECASE
    )
    pins = re.findall(r"^[a-z0-9].*==", text, re.MULTILINE | re.IGNORECASE)
    assert len(pins) == len(entries) >= 1
    assert not re.search(r"https?://|--index|--find-links|--extra", text)


CARDS = {
    "GTX 480": "2.0", "GTX 680": "3.0", "GT 710": "3.5", "K40": "3.5", "K80": "3.7", "GTX 750 Ti": "5.0", "GTX 980": "5.2",
    "M60": "5.2", "P100": "6.0", "GTX 1050": "6.1", "GTX 1080 Ti": "6.1", "V100": "7.0", "T4": "7.5", "GTX 1650": "7.5",
    "RTX 2080 Ti": "7.5", "A100": "8.0", "RTX 3060": "8.6", "RTX 3090": "8.6", "RTX 4060": "8.9", "RTX 4090": "8.9",
    "L40S": "8.9", "H100": "9.0", "B200": "10.0", "RTX 5060": "12.0", "RTX 5090": "12.0",
}  # fmt: skip
UPGRADE = "upgrade the driver to 580 or newer for cu130/index"
ASK = "ask for it with --stack"

# One row a machine: its GPUs, driver, whether under WSL2 (then the driver is the Windows one), and the stack asked for;
# then the stack taken, whether it uses the GPU, the stack that fits best, and words of the reason.
MACHINES = [
    # no GPU
    ([], "", False, "", "cpu/cpu", False, "cpu/cpu", "no NVIDIA GPU was found"),
    ([], "", True, "", "cpu/cpu", False, "cpu/cpu", "no NVIDIA GPU was found"),
    ([], "", False, "notes", "notes/index", False, "cpu/cpu", "on the CPU, since no NVIDIA GPU"),
    ([], "", False, "cu130", "cu130/index", False, "cpu/cpu", "on the CPU, since no NVIDIA GPU"),
    # Blackwell: CUDA 13 or nothing
    (["RTX 5090"], "580.65.06", False, "", "cu130/index", True, "cu130/index", "driver 580.65.06, RTX 5090 (12.0)"),
    (["RTX 5060"], "610.10", False, "", "cu130/index", True, "cu130/index", "RTX 5060"),
    (["B200"], "580.82.07", False, "", "cu130/index", True, "cu130/index", "B200"),
    (["RTX 5090"], "575.51", False, "", "cpu/cpu", False, "cpu/cpu", "upgrade the driver to 580"),
    (["RTX 5090"], "570.86.10", False, "", "cpu/cpu", False, "cpu/cpu", "upgrade the driver to 580"),
    (["RTX 5090"], "596.49", True, "", "cu130/index", True, "cu130/index", "RTX 5090"),
    (["RTX 5090"], "572.16", True, "", "cpu/cpu", False, "cpu/cpu", "upgrade the Windows driver to 580"),
    (["RTX 5090"], "580.65.06", False, "cu126", "cu126/cu126", False, "cu130/index", "has no code for RTX 5090 (12.0)"),
    # Turing to Hopper: CUDA 13 with a new driver, else what the driver allows
    (["T4"], "580.65.06", False, "", "cu130/index", True, "cu130/index", "T4 (7.5)"),
    (["GTX 1650"], "580.95", False, "", "cu130/index", True, "cu130/index", "GTX 1650 (7.5)"),
    (["A100"], "610.10", False, "", "cu130/index", True, "cu130/index", "A100 (8.0)"),
    (["RTX 4060"], "581.15", True, "", "cu130/index", True, "cu130/index", "RTX 4060 (8.9)"),
    (["H100", "H100"], "580.65.06", False, "", "cu130/index", True, "cu130/index", "H100 (9.0)"),
    (["RTX 3090"], "535.183.01", False, "", "cu126/cu126", True, "cu126/cu126", "RTX 3090 (8.6)"),
    (["RTX 3090"], "535.183.01", False, "cu126", "cu126/cu126", True, "cu126/cu126", "you asked for it"),
    (["RTX 4090"], "550.54", False, "", "cu126/cu126", True, "cu126/cu126", "RTX 4090 (8.9)"),
    (["H100"], "535.183", False, "", "cu126/cu126", True, "cu126/cu126", "H100 (9.0)"),
    (["L40S"], "525.60.13", False, "", "cu126/cu126", True, "cu126/cu126", "L40S (8.9)"),
    (["L40S"], "525.60.12", False, "", "cu118/cu118", True, "cu118/cu118", "L40S (8.9)"),
    (["RTX 3060"], "528.33", True, "", "cu126/cu126", True, "cu126/cu126", "RTX 3060 (8.6)"),
    (["RTX 3060"], "528.24", True, "", "cu118/cu118", True, "cu118/cu118", "RTX 3060 (8.6)"),
    (["A100"], "470.57.02", False, "", "cu118/cu118", True, "cu118/cu118", "A100 (8.0)"),
    (["A100"], "450.80.02", False, "", "cu118/cu118", True, "cu118/cu118", "A100 (8.0)"),
    (["A100"], "450.51.06", False, "", "cpu/cpu", False, "cpu/cpu", f"needs: {UPGRADE}"),
    (["RTX 2080 Ti"], "450.51.06", False, "", "notes/index", True, "notes/index", "RTX 2080 Ti (7.5)"),
    (["T4"], "418.67", False, "", "cpu/cpu", False, "notes/cu101", f"{ASK} notes/cu101, or {UPGRADE}"),
    # Maxwell, Pascal, Volta: never CUDA 13, however new the driver is
    (["GTX 1080 Ti"], "580.65.06", False, "", "cu126/cu126", True, "cu126/cu126", "GTX 1080 Ti (6.1)"),
    (["GTX 1080 Ti"], "580.65.06", False, "cu126", "cu126/cu126", True, "cu126/cu126", "you asked for it"),
    (["GTX 1080 Ti"], "580.65.06", False, "cu130", "cu130/index", False, "cu126/cu126", "no code for GTX 1080 Ti (6.1)"),
    (["GTX 1080 Ti"], "535.104", False, "notes", "notes/index", True, "cu126/cu126", "you asked for it"),
    (["V100"], "580.65.06", False, "", "cu126/cu126", True, "cu126/cu126", "V100 (7.0)"),
    (["P100"], "525.60.13", False, "", "cu126/cu126", True, "cu126/cu126", "P100 (6.0)"),
    (["GTX 980"], "535.161", False, "", "cu126/cu126", True, "cu126/cu126", "GTX 980 (5.2)"),
    (["GTX 750 Ti"], "470.256", False, "", "cu118/cu118", True, "cu118/cu118", "GTX 750 Ti (5.0)"),
    (["M60"], "440.33.01", False, "", "notes/index", True, "notes/index", "M60 (5.2)"),
    (["GTX 1050"], "418.39", False, "", "cpu/cpu", False, "notes/cu101", f"{ASK} notes/cu101"),
    (["GTX 1050"], "536.23", True, "", "cu126/cu126", True, "cu126/cu126", "GTX 1050 (6.1)"),
    (["GTX 980"], "536.23", True, "", "cpu/cpu", False, "cpu/cpu", "no code for GTX 980 (5.2)"),
    # Kepler: the stack of the notes only
    (["K80"], "470.57.02", False, "", "notes/index", True, "notes/index", "K80 (3.7)"),
    (["K80"], "440.33", False, "", "notes/index", True, "notes/index", "K80 (3.7)"),
    (["K80"], "430.50", False, "", "cpu/cpu", False, "notes/cu101", f"{ASK} notes/cu101"),
    (["K80"], "430.50", False, "notes/cu101", "notes/cu101", True, "notes/cu101", "you asked for it"),
    (["K80"], "418.38", False, "", "cpu/cpu", False, "cpu/cpu", "upgrade the driver to 440.33"),
    (["K80"], "470.57.02", True, "", "cpu/cpu", False, "cpu/cpu", "no code for K80 (3.7)"),
    (["K40"], "470.256", False, "", "cpu/cpu", False, "notes/cu101", f"{ASK} notes/cu101"),
    (["GT 710"], "390.157", False, "", "cpu/cpu", False, "cpu/cpu", "upgrade the driver to 418.39"),
    # older still, and drivers that do not tell
    (["GTX 680"], "470.256", False, "", "cpu/cpu", False, "cpu/cpu", "no code for GTX 680 (3.0)"),
    (["GTX 480"], "390.157", False, "", "cpu/cpu", False, "cpu/cpu", "no code for GTX 480 (2.0)"),
    (["GT 1234"], "390.157", False, "", "cpu/cpu", False, "cpu/cpu", "does not report the compute capability of GT 1234"),
    # several: those that fit are used, and a card that does not is named
    (["T4", "GTX 1080 Ti"], "580.65.06", False, "", "cu130/index", True, "cu130/index", "no code for GTX 1080 Ti (6.1)"),
    (["GT 710", "RTX 4090"], "580.65.06", False, "", "cu130/index", True, "cu130/index", "RTX 4090 (8.9); torch 2.11"),
    (["GT 710", "RTX 4090"], "580.65.06", False, "cu130", "cu130/index", True, "cu130/index", "left out, since torch"),
    (["GT 1234", "RTX 4090"], "580.65.06", False, "", "cu130/index", True, "cu130/index", "capability of GT 1234"),
    (["GT 1234", "K80"], "470.57.02", False, "", "notes/index", True, "notes/index", "capability of GT 1234"),
    (["GTX 680", "GTX 480"], "470.256", False, "", "cpu/cpu", False, "cpu/cpu", "no code for GTX 680 (3.0)"),
    (["RTX 5090", "RTX 3090"], "580.65.06", False, "", "cu130/index", True, "cu130/index", "RTX 5090"),
    (["RTX 5090", "GTX 1080 Ti"], "580.65.06", False, "", "cu130/index", True, "cu130/index", "no code for GTX 1080 Ti"),
    # what is asked for is taken, on the CPU where the GPU cannot run it
    (["RTX 4090"], "580.65.06", False, "notes", "notes/index", False, "cu130/index", "no code for RTX 4090 (8.9)"),
    (["T4"], "580.65.06", False, "notes", "notes/index", True, "cu130/index", "you asked for it"),
    (["T4"], "580.65.06", False, "cpu", "cpu/cpu", False, "cu130/index", "this stack is for the CPU"),
    (["T4"], "550.54", False, "cu130", "cu130/index", False, "cu126/cu126", "driver 550.54 is older than the 580"),
    (["RTX 4090"], "580.65.06", False, "cu118", "cu118/cu118", True, "cu130/index", "you asked for it"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("cards", "driver", "wsl", "asked", "label", "use_gpu", "recommended", "reason"),
    MACHINES,
    ids=lambda value: "+".join(value) if isinstance(value, list) else None,
)
def test_the_choice_for_a_machine(cards, driver, wsl, asked, label, use_gpu, recommended, reason):
    gpus = [Gpu(card, CARDS.get(card, "")) for card in cards]
    choice = selection.choose(gpus, driver, wsl, asked)
    assert (choice.label, choice.use_gpu, choice.recommended) == (label, use_gpu, recommended)
    assert reason in choice.reason


T4, A100 = Gpu("T4", "7.5"), Gpu("A100", "8.0")


def test_the_process_sees_the_gpus_that_fit_and_no_other():
    old, new = Gpu("GT 710", "3.5", 2048, ("0",), "0"), Gpu("RTX 4090", "8.9", 24564, ("1", "GPU-b"), "GPU-b")
    second = Gpu("RTX 4090", "8.9", 24564, ("2", "GPU-c"), "GPU-c")
    choice = selection.choose([old, new, second], "580.65.06")
    assert choice.variables == {"CUDA_VISIBLE_DEVICES": "GPU-b,GPU-c", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert selection.choose([second, new], "580.65.06").variables["CUDA_VISIBLE_DEVICES"] == "GPU-c,GPU-b"
    assert selection.choose([Gpu("RTX 4090", "8.9", 24564, ("0",))], "580.65.06").variables == {}
    assert selection.choose([old], "580.65.06").variables == {}


def test_the_card_with_the_most_memory_decides():
    cards = [Gpu("GT 710", "3.5", 2048), Gpu("GT 710", "3.5", 2048), Gpu("RTX 4090", "8.9", 24564)]
    assert selection.choose(cards, "580.65.06").gpus == (cards[2],)
    assert selection.best([Gpu("K80", "3.7", 11441), Gpu("T4", "7.5", 15360)], "470.57.02", False, FACTS) is not None


def test_under_wsl_the_number_is_the_windows_driver():
    assert selection.choose([T4], "579.99", wsl=True).label == "cu126/cu126"
    assert selection.choose([T4], "580.10", wsl=True).label == "cu130/index"
    notes = catalog.load("notes")
    assert "418.96" in selection.obstacle(notes, notes.builds[0], [T4], "418.50", True, FACTS)
    assert selection.obstacle(notes, notes.builds[0], [T4], "418.50", False, FACTS) == ""


def test_notes_on_an_ampere_gpu_runs_on_the_cpu_and_says_why():
    choice = selection.choose([A100], "580.65.06", asked="notes")
    assert choice.stack.name == "notes" and not choice.use_gpu
    assert "has no code for A100 (8.0)" in choice.reason


def test_a_pending_build_is_never_taken_unasked():
    taken = [
        selection.choose([Gpu(card, CARDS.get(card, "")) for card in row[0]], *row[1:4]) for row in MACHINES if not row[3]
    ]
    assert len(taken) > 40 and not any(choice.build.pending for choice in taken)


@pytest.mark.parametrize(
    ("asked", "hint"), [("cpuu", "did you mean cpu"), ("notes/cu100", "cu101"), ("windows", "known:")]
)
def test_an_unknown_stack_offers_the_nearest(asked, hint):
    with pytest.raises(UserError, match=hint):
        selection.choose([], "", asked=asked)


def test_binaries_cover_their_generation_and_ptx_what_is_newer():
    assert selection.covers(["8.0"], "8.9") and not selection.covers(["8.6"], "8.0") and not selection.covers(["8.0"], "9.0")
    assert selection.covers(["9.0+PTX"], "12.0") and not selection.covers(["9.0+PTX"], "8.9")


def test_a_pyenv_that_cannot_be_looked_into_is_passed_over(monkeypatch):
    """As one of another user; here no system takes the name, which fails in the same way for root as well."""
    monkeypatch.setenv("PYENV_ROOT", "/" + "x" * 5000)
    assert native.find_python((f"{sys.version_info[0]}.{sys.version_info[1]}",))

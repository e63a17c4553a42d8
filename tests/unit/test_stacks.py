"""The stacks as data, the facts they rest on, and the choice between them."""

from __future__ import annotations

import dataclasses
import re

import pytest

from labkit import stacks
from labkit.errors import UserError
from labkit.stacks import Gpu

FACTS = stacks.load_facts()


@pytest.mark.parametrize("name", stacks.names())
def test_every_stack_agrees_with_the_facts(name):
    assert stacks.check(stacks.load(name), FACTS) == []


def test_a_stack_at_odds_with_the_facts_is_named():
    stack = stacks.load("cu126")
    wrong = dataclasses.replace(stack, torch="2.10.0", digest="sha256:123", python="3.15")
    said = "\n".join(stacks.check(wrong, FACTS))
    assert "digest" in said and "no wheel of torch 2.10.0" in said and "3.15" in said
    other = dataclasses.replace(stack, torchvision="0.25.0")
    assert stacks.check(other, FACTS) == ["cu126/cu126: torch 2.11.0 goes with torchvision 0.26.0"]


def test_a_lock_that_pins_another_torch_is_named(tmp_path):
    stack = stacks.load("cu130")
    lock = tmp_path / "lock.txt"
    lock.write_text(stack.builds[0].lock.read_text().replace("torch==2.11.0", "torch==2.12.0"))
    moved = dataclasses.replace(stack, builds=(dataclasses.replace(stack.builds[0], lock=lock),))
    assert stacks.check(moved, FACTS) == ["cu130/index: lock.txt does not pin torch 2.11.0"]


@pytest.mark.parametrize("row", [*FACTS["cuda"], *FACTS["wheel"]], ids=lambda row: row.get("version") or row["torch"])
def test_every_fact_has_a_source_and_a_date(row):
    assert row["source"] and row["date"].year >= 2026


@pytest.mark.parametrize("lock", sorted(stacks.LOCKS.glob("*.txt")), ids=lambda path: path.name)
def test_locks_pin_every_package_by_hash_and_name_no_index(lock):
    text = lock.read_text(encoding="utf-8")
    entries = re.findall(
        r"^[a-z0-9][^\n]*(?:\\\n\s+--hash=sha256:[0-9a-f]{64}\s*)+", text, re.MULTILINE | re.IGNORECASE
    )
    pins = re.findall(r"^[a-z0-9].*==", text, re.MULTILINE | re.IGNORECASE)
    assert len(pins) == len(entries) >= 1
    assert not re.search(r"https?://|--index|--find-links|--extra", text)


T4, A100, GTX1080, RTX5090, K80, V100, H100 = (
    Gpu("Tesla T4", "7.5"), Gpu("A100", "8.0"), Gpu("GTX 1080", "6.1"), Gpu("RTX 5090", "12.0"),
    Gpu("Tesla K80", "3.7"), Gpu("Tesla V100", "7.0"), Gpu("H100", "9.0"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("gpus", "driver", "label", "use_gpu", "reason"),
    [
        ([], "", "cpu/index", False, "no NVIDIA GPU"),
        ([T4], "580.65.06", "cu130/index", True, "driver 580.65.06"),
        ([A100], "610.10", "cu130/index", True, "8.0"),
        ([RTX5090], "580.65.06", "cu130/index", True, "RTX 5090"),
        ([RTX5090], "575.51", "cpu/index", False, "older than the 580"),
        ([GTX1080], "580.65.06", "cpu/index", False, "--stack cu126/cu126"),
        ([V100], "580.65.06", "cpu/index", False, "--stack cu126/cu126"),
        ([H100], "535.183", "cpu/index", False, "--stack cu126/cu126"),
        ([A100], "470.57.02", "cpu/index", False, "--stack cu118/cu118"),
        ([K80], "470.57.02", "notes/index", True, "3.7"),
        ([K80], "430.50", "cpu/index", False, "--stack notes/cu101"),
        ([T4, GTX1080], "580.65.06", "cpu/index", False, "--stack cu126/cu126"),
        ([Gpu("GeForce GT 710", "")], "390.157", "cpu/index", False, "does not say"),
    ],
)
def test_the_choice_for_a_gpu_and_its_driver(gpus, driver, label, use_gpu, reason):
    choice = stacks.choose(gpus, driver)
    assert (choice.label, choice.use_gpu) == (label, use_gpu)
    assert reason in choice.reason


def test_under_wsl_the_number_is_the_windows_driver():
    assert not stacks.choose([T4], "579.99", wsl=True).use_gpu
    assert stacks.choose([T4], "580.10", wsl=True).use_gpu
    notes = stacks.load("notes")
    assert "418.96" in stacks.obstacle(notes, notes.builds[0], [T4], "418.50", True, FACTS)
    assert stacks.obstacle(notes, notes.builds[0], [T4], "418.50", False, FACTS) == ""


def test_notes_on_an_ampere_gpu_runs_on_the_cpu_and_says_why():
    choice = stacks.choose([A100], "580.65.06", asked="notes")
    assert choice.stack.name == "notes" and not choice.use_gpu
    assert "has no code for A100 (8.0)" in choice.reason


def test_a_pending_build_is_taken_when_asked_for_and_only_then():
    asked = stacks.choose([GTX1080], "535.183", asked="cu126")
    assert asked.build.pending and asked.use_gpu
    assert not stacks.choose([GTX1080], "535.183").build.pending


@pytest.mark.parametrize(
    ("asked", "hint"), [("cpuu", "did you mean cpu"), ("notes/cu100", "cu101"), ("windows", "known:")]
)
def test_an_unknown_stack_offers_the_nearest(asked, hint):
    with pytest.raises(UserError, match=hint):
        stacks.choose([], "", asked=asked)


def test_binaries_cover_their_generation_and_ptx_what_is_newer():
    assert stacks.covers(["8.0"], "8.9") and not stacks.covers(["8.6"], "8.0") and not stacks.covers(["8.0"], "9.0")
    assert stacks.covers(["9.0+PTX"], "12.0") and not stacks.covers(["9.0+PTX"], "8.9")

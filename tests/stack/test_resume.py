"""However a run is interrupted, resuming it ends where the uninterrupted run ends: the same bits."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time

import pytest
import torch
import toys

from labkit.base.errors import UserError
from labkit.runs import checkpoints, compat, records


@pytest.fixture(autouse=True)
def runs_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def tensors(value, where=""):
    """Every tensor in nested containers, with the way to it."""
    if isinstance(value, torch.Tensor):
        yield where, value
    elif isinstance(value, dict):
        for key in value:
            yield from tensors(value[key], f"{where}/{key}")
    elif isinstance(value, (list, tuple)):
        for position, item in enumerate(value):
            yield from tensors(item, f"{where}/{position}")


def assert_same_end(folder, other):
    saved, expected = (compat.load(path / "checkpoints" / "last.pt") for path in (folder, other))
    for (where, tensor), (_, wanted) in zip(tensors(saved), tensors(expected)):
        assert torch.equal(tensor, wanted), where
    assert len(list(tensors(saved))) == len(list(tensors(expected))) > 10
    assert saved["step"] == expected["step"]
    assert (folder / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    assert records.read(folder).status == "finished"


def uninterrupted():
    assert toys.run() == 0
    return toys.folders()[-1]


@pytest.mark.parametrize("save_every", ["0.05", "60"])
@pytest.mark.slow
def test_killed_at_any_step(save_every):
    whole = uninterrupted()
    step = random.randrange(2, 32)
    killed = toys.spawn("--save-every", save_every, TOY_KILL_AT=str(step), TOY_PAUSE_S="0.02")
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL, f"to be killed at step {step}"
    folder = toys.folders()[-1]
    assert records.read(folder).status == "killed"
    with open(folder / "metrics.jsonl", "ab") as metrics:
        metrics.write(b'{"step": 99, "train_lo')  # what reached the disk after the last checkpoint does not count
    assert toys.run("--resume", folder.name) == 0
    assert_same_end(folder, whole)


def test_killed_while_a_checkpoint_is_being_put_in_place():
    whole = uninterrupted()
    killed = toys.spawn("--save-every", "0", TOY_KILL_IN_SAVE_AT="20")
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    folder = toys.folders()[-1]
    assert checkpoints.load_checkpoint(folder, "toy", {})["step"] == 19
    assert toys.run("--resume", "latest") == 0
    assert_same_end(folder, whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
@pytest.mark.slow
def test_a_signal_saves_and_says_how_to_go_on(number):
    whole = uninterrupted()
    stopped = toys.spawn(TOY_PAUSE_S="0.2")
    while len(toys.folders()) < 2 or not (toys.folders()[-1] / "tensorboard").exists():
        assert stopped.poll() is None
        time.sleep(0.05)
    stopped.send_signal(number)
    _, said = stopped.communicate()
    folder = toys.folders()[-1]
    assert stopped.returncode == 130
    assert "stopping after this step" in said
    assert f"./inv lab toy --resume={folder.name}" in said
    assert records.read(folder).status == "stopped"
    assert toys.run("--resume", f"toy/{folder.name}") == 0
    assert_same_end(folder, whole)


def test_ctrl_c_after_the_last_step_finishes_the_run():
    stopped = toys.spawn(TOY_SIGNAL_AT_END="1")
    _, said = stopped.communicate()
    assert stopped.returncode == 0, said
    assert "writing the results of the last step" in said and "stopping" not in said
    assert records.read(toys.folders()[-1]).status == "finished"


def test_a_second_ctrl_c_stops_at_once_but_a_doubled_one_does_not():
    process = toys.spawn("--save-every", "0", TOY_PAUSE_S="2.5")
    while not toys.folders() or not (toys.folders()[-1] / "tensorboard").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    time.sleep(1.2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "stopped at once" in said and "everything saved\n" not in said
    assert records.read(toys.folders()[-1]).status == "stopped"


def test_tensorboard_forgets_what_the_resumed_run_did_again():
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = uninterrupted()
    path = folder / "checkpoints" / "last.pt"
    last = compat.load(path)
    compat.save({**last, "step": 24, "state": {**last["state"], "step": 24}}, path)
    (folder / "summary.json").write_text(json.dumps({"status": "stopped"}))
    assert toys.run("--resume", folder.name) == 0
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss/train")] == list(range(1, 33))


def test_the_same_seed_twice_and_another_seed():
    for seed in ("3", "3", "4"):
        assert toys.run("--seed", seed, "--epochs", "2") == 0
    first, second, other = ((folder / "metrics.jsonl").read_bytes() for folder in toys.folders())
    assert first == second != other
    assert len(first.splitlines()) == 16


def test_what_cannot_be_resumed(capsys):
    assert toys.run("--epochs", "1") == 0
    folder = toys.folders()[-1]
    refused = {
        ("--resume", folder.name): "has finished",
        ("--resume", "20200101-000000"): "there is no run 20200101-000000",
    }
    summary = json.loads((folder / "summary.json").read_text())
    for arguments, sentence in refused.items():
        assert toys.run(*arguments) == 2
        assert sentence in capsys.readouterr().err
    (folder / "summary.json").write_text(json.dumps({**summary, "status": "stopped"}))
    for arguments, sentence in {
        ("--epochs", "3"): "was started with --epochs 1",
        ("--seed", "5"): "was started with --seed 0",
        ("--sample",): "was started with --sample False",
        ("--preset", "slow"): "was started with --preset",
    }.items():
        assert toys.run("--resume", folder.name, *arguments) == 2
        assert sentence in capsys.readouterr().err
    held = records.lock(folder)
    assert held is not None
    assert toys.run("--resume", folder.name) == 2
    assert "still running in another process" in capsys.readouterr().err
    assert len(toys.folders()) == 1


def test_other_conditions_are_named(capsys):
    assert toys.run("--epochs", "1") == 0
    folder = toys.folders()[-1]
    for name, change in (("summary", {"status": "stopped"}), ("env", {"threads": 77})):
        content = json.loads((folder / f"{name}.json").read_text())
        (folder / f"{name}.json").write_text(json.dumps({**content, **change}))
    (folder / "code" / "lab.py").write_text("# another version")
    assert toys.run("--resume", str(folder)) == 0
    said, page = capsys.readouterr().err, (folder / "report.html").read_text()
    for text in ("threads 77 → ", "lab.py changed"):
        assert text in said and text in page


def test_a_checkpoint_is_known_by_what_made_it(tmp_path):
    assert toys.run("--epochs", "1") == 0
    folder = toys.folders()[-1]
    path = folder / "checkpoints" / "last.pt"
    for given in (path, folder, folder.name, "latest"):
        saved = checkpoints.load_checkpoint(given, "toy", {"mode": "train"})
        assert (saved["step"], saved["config"]["epochs"]) == (8, 1)
    newer = folder.with_name(folder.name + "-9")  # a run that keeps no checkpoint, as one that only predicts
    shutil.copytree(folder, newer, ignore=shutil.ignore_patterns("checkpoints"))
    assert records.find("latest", "toy") == newer
    assert checkpoints.load_checkpoint("latest", "toy", {})["step"] == 8
    with pytest.raises(UserError, match="was trained with --mode train, not crash"):
        checkpoints.load_checkpoint(path, "toy", {"mode": "crash"})
    with pytest.raises(UserError, match="of the lab toy, not of cifar10"):
        checkpoints.load_checkpoint(path, "cifar10", {})
    compat.save({"weights": torch.ones(3)}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="not a checkpoint of a lab"):
        checkpoints.load_checkpoint(tmp_path / "other.pt", "toy", {})


@pytest.mark.parametrize("status, warned", [("finished", ""), ("stopped", "is stopped: after 8 steps")])
def test_who_uses_what_has_not_finished_is_told(status, warned, capsys):
    assert toys.run("--epochs", "1") == 0
    folder = toys.folders()[-1]
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps({**summary, "status": status}))
    capsys.readouterr()
    checkpoints.load_checkpoint(folder, "toy", {})
    said = capsys.readouterr().err
    assert warned in said if warned else said == ""

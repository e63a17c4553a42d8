"""Several processes train one run together: on this machine, and on two machines made of network namespaces."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import toys
from test_resume import assert_same_end

from labkit.base import paths
from labkit.runs import launch, records

TOGETHER = Path(__file__).with_name("together.py")
LAB_TOGETHER = Path(__file__).with_name("lab_together.py")


@pytest.fixture(autouse=True)
def runs_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def words(group, program, *arguments):
    return [sys.executable, *launch.command(group, torch.__version__), str(program), *arguments]


def spawn(program, *arguments, count=2, **environment):
    """Start `program` in `count` processes, as `./inv lab NAME --gpus COUNT` does."""
    group = launch.plan(str(count), "")
    settings = {**os.environ, "PYTHONPATH": str(paths.ROOT), **launch.environment(group, 2, False), **environment}
    settings["LAB_LAUNCH"] = launch.typed(group)
    return subprocess.Popen(
        words(group, program, *arguments), env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        universal_newlines=True,
    )  # fmt: skip


def finish(process):
    """(exit status, everything that was said)"""
    said, _ = process.communicate(timeout=300)
    return process.returncode, said


def test_the_parts_of_a_batch_make_the_same_step():
    status, said = finish(spawn(TOGETHER))
    assert status == 0 and said.count("agreed") == 2, said


def test_one_run_and_the_same_weights_everywhere(tmp_path):
    status, said = finish(spawn(toys.LAB, TOY_WEIGHTS=str(tmp_path)))
    assert status == 0 and said.count("result: ") == 1, said
    (folder,) = toys.folders()
    first, second = (torch.load(str(tmp_path / f"{rank}.pt")) for rank in (0, 1))
    assert first and all(torch.equal(first[name], second[name]) for name in first)
    assert records.read(folder).status == "finished"
    assert json.loads((folder / "env.json").read_text())["processes"] == 2
    assert "--gpus=2" in json.loads((folder / "config.json").read_text())["command"]
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 33))


@pytest.mark.slow
def test_the_lab_trains_in_two_processes(tmp_path):
    tiny = ["--sample", "--width=2", "--batch-size=250", "--epochs=2", "--small-epochs=1"]
    status, said = finish(spawn(LAB_TOGETHER, *tiny, LAB_DATA=str(tmp_path), WEIGHTS=str(tmp_path)))
    assert status == 0, said
    first, second = (torch.load(str(tmp_path / f"{rank}.pt")) for rank in (0, 1))
    assert len(first) > 10 and all(torch.equal(first[name], second[name]) for name in first)
    (folder,) = (paths.runs_dir() / "cifar10").glob("*")
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert steps == [20, 40] and records.read(folder).status == "finished"


@pytest.mark.slow
def test_a_stop_saves_and_any_number_of_processes_goes_on():
    assert finish(spawn(toys.LAB))[0] == 0
    (whole,) = toys.folders()
    process = spawn(toys.LAB, TOY_PAUSE_S="0.2")
    while len(toys.folders()) < 2 or not (toys.folders()[-1] / "tensorboard").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    status, said = finish(process)
    stopped = toys.folders()[-1]
    assert status == 130 and f"./inv lab toy --resume={stopped.name}" in said, said
    assert said.count("everything saved\n") == 1 and "Traceback" not in said
    other = stopped.with_name(stopped.name + "-9")
    shutil.copytree(str(stopped), str(other))
    status, said = finish(spawn(toys.LAB, "--resume", stopped.name))
    assert status == 0, said
    assert_same_end(stopped, whole)
    assert toys.run("--resume", other.name) == 0
    assert records.read(other).status == "finished"
    assert "processes 2 → 1" in (other / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "arguments, status, sentence",
    [
        (["--epocs", "3"], 2, "unknown option --epocs"),
        (["--mode", "refuse"], 2, "the toy refuses"),
        (["--resume", "20200101-000000"], 2, "there is no run"),
        (["--mode", "crash"], 1, "<the toy> broke"),
    ],
)
@pytest.mark.slow
def test_a_failure_is_one_process_s_failure(arguments, status, sentence):
    left, said = finish(spawn(toys.LAB, *arguments))
    assert left == status and sentence in said, said
    if status == 2:
        assert said.count("error: ") == 1 and "Traceback" not in said and not toys.folders()
    else:
        assert records.read(toys.folders()[-1]).status == "failed"


@pytest.mark.slow
def test_a_batch_that_cannot_be_split():
    left, said = finish(spawn(toys.LAB, count=3))
    assert left == 2 and "a batch of 32 cannot be split evenly over 3 processes" in said, said


@contextlib.contextmanager
def two_machines():
    """Two network namespaces joined by a cable: [(its name, its address)]."""
    pair = [(f"lab-{os.getpid()}-{k}", f"10.231.77.{k}") for k in (1, 2)]
    ip = [["netns", "add", name] for name, _ in pair]
    ip += [["link", "add", "lab1", "netns", pair[0][0], "type", "veth", "peer", "lab2", "netns", pair[1][0]]]
    for (name, address), cable in zip(pair, ("lab1", "lab2")):
        ip += [["-n", name, "addr", "add", f"{address}/24", "dev", cable]]
        ip += [["-n", name, "link", "set", device, "up"] for device in ("lo", cable)]
    try:
        for command in ip:
            done = subprocess.run(["ip", *command], stderr=subprocess.PIPE, text=True)
            if done.returncode:
                pytest.skip(f"network namespaces cannot be made here: {done.stderr.strip()}")
        yield pair
    finally:
        for name, _ in pair:
            subprocess.run(["ip", "netns", "delete", name], stderr=subprocess.DEVNULL)



ON_A_MACHINE = """
import os, sys, torch
from labkit.runs import launch
group = launch.plan("1", sys.argv[1])
os.environ.update(launch.environment(group, 1, False))
os.execv(sys.executable, [sys.executable, *launch.command(group, torch.__version__), sys.argv[2]])
"""


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ip"), reason="only root, with `ip`, makes network namespaces")
@pytest.mark.slow
def test_two_machines_train_one_run(tmp_path):
    with two_machines() as pair:
        nodes = ",".join(address for _, address in pair)
        started = []
        for name, _ in pair:
            settings = {**os.environ, "PYTHONPATH": str(paths.ROOT), "LAB_RUNS": str(tmp_path / name)}
            settings["TOY_WEIGHTS"] = str(tmp_path)
            there = ["ip", "netns", "exec", name, sys.executable, "-c", ON_A_MACHINE]
            started.append(
                subprocess.Popen(
                    [*there, nodes, str(toys.LAB)], env=settings, stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT, universal_newlines=True,
                )
            )  # fmt: skip
        ends = [finish(process) for process in started]
    assert [status for status, _ in ends] == [0, 0], ends
    first, second = (torch.load(str(tmp_path / f"{rank}.pt")) for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert len(list((tmp_path / pair[0][0]).glob("toy/*"))) == 1  # machine 0 writes the run, the other nothing
    assert not (tmp_path / pair[1][0]).exists()

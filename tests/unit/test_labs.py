"""The labs as data, and what is done with a lab's arguments before it starts."""

from __future__ import annotations

import ast
import dataclasses
import os
from pathlib import Path

import pytest

from labkit.base import labs, paths
from labkit.base.errors import UserError
from labkit.cli import labs as tasks
from labkit.runs import launch
from labkit.stacks import containers, runner, selection
from labkit.stacks.engine import Engine
from labkit.stacks.machine import probe

LABS = labs.table()


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
def test_a_lab_is_complete(lab):
    folder = lab.program.parent
    for name in ("lab.py", "lab.toml", "README.md", "README.zh-CN.md"):
        assert (folder / name).is_file(), name
    assert lab.title and lab.title_zh and lab.sections and lab.smoke["metric"]
    for row in lab.expect:
        assert {"metric", "min", "stack", "hardware", "minutes", "date", "commit"} <= row.keys()


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
def test_a_lab_reads_top_to_bottom_and_runs_nothing_at_import(lab):
    """Docstring, imports, Config, functions, guard; no lab imports another."""
    source = lab.program.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 400
    tree = ast.parse(source)
    assert ast.get_docstring(tree)
    for node in tree.body[1:-1]:
        assert isinstance(
            node, (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.ClassDef, ast.FunctionDef)
        ), ast.dump(node)[:80]
    assert isinstance(tree.body[-1], ast.If) and "__name__" in ast.unparse(tree.body[-1].test)
    others = [other.name for other in LABS if other != lab]
    assert not [name for name in others if f"labs.{name}" in source]


def test_an_unknown_lab_offers_the_nearest():
    with pytest.raises(UserError, match="did you mean cifar10"):
        labs.find("cifar01")
    with pytest.raises(UserError):
        labs.find("../labs/cifar10")


def test_the_data_set_follows_the_arguments():
    lab = labs.find("cifar10")
    assert labs.dataset_for(lab, []) == "cifar10"
    assert labs.dataset_for(lab, ["--dataset", "cifar100"]) == "cifar100"
    assert labs.dataset_for(lab, ["--dataset=cifar100"]) == "cifar100"
    assert labs.dataset_for(lab, ["--predict", "x.jpg"]) == ""
    with pytest.raises(UserError, match="did you mean cifar100"):
        labs.dataset_for(lab, ["--dataset=cifar1000"])


def test_path_options_are_resolved_against_the_callers_folder(tmp_path):
    lab = labs.find("cifar10")
    folder = tmp_path / "my pictures"
    folder.mkdir()
    (folder / "a b.jpg").touch()
    assert labs.resolve_paths(lab, ["--predict", "a b.jpg"], folder) == ["--predict", str(folder / "a b.jpg")]
    assert labs.resolve_paths(lab, ["--predict=a b.jpg"], folder) == [f"--predict={folder / 'a b.jpg'}"]
    assert labs.resolve_paths(lab, ["--model", "a b.jpg"], folder) == ["--model", "a b.jpg"]
    with pytest.raises(UserError, match=r"no file c\.jpg"):
        labs.resolve_paths(lab, ["--predict", "c.jpg"], folder)


def test_several_pictures_are_resolved_and_mounted_each(tmp_path):
    lab = labs.find("detectron2")
    for name in ("a.jpg", "b.jpg", "c,d.jpg"):
        (tmp_path / name).touch()
    both = f"{tmp_path / 'a.jpg'},{tmp_path / 'b.jpg'}"
    assert labs.resolve_paths(lab, ["--input=a.jpg,b.jpg", "--weights", "latest"], tmp_path) == [
        f"--input={both}", "--weights", "latest"]  # fmt: skip
    assert labs.paths_among(lab, ["--input", both]) == [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    assert labs.resolve_paths(lab, ["--input", "c,d.jpg"], tmp_path) == ["--input", str(tmp_path / "c,d.jpg")]
    assert labs.resolve_paths(lab, ["--input", "webcam"], tmp_path) == ["--input", "webcam"]
    with pytest.raises(UserError, match=r"no file gone\.jpg"):
        labs.resolve_paths(lab, ["--input=a.jpg,gone.jpg"], tmp_path)


def test_a_lab_may_begin_with_its_sample():
    assert labs.find("detectron2").sample_first and not labs.find("cifar10").sample_first
    assert labs.dataset_for(labs.find("detectron2"), ["--input", "a.jpg"]) == ""


def test_the_command_is_data(monkeypatch):
    monkeypatch.setenv("LAB_RUNS", "/some where/runs")
    choice = selection.choose([], "", asked="notes")
    command = runner.lab_command(labs.find("cifar10"), ["--smoke", "--model", "a b"], choice, "venv", probe())
    assert command.argv[1:] == (str(labs.find("cifar10").program), "--smoke", "--model", "a b")
    assert command.argv[0] == str(paths.ROOT / ".venv" / "notes" / "bin" / "python")
    assert command.environment["LAB_STACK"] == "notes/index"
    assert "LAB_RUNS='/some where/runs'" in command.shown() and command.shown().endswith("--smoke --model 'a b'")


def test_tcmalloc_is_preloaded_where_the_processor_computes():
    lab, cpu = labs.find("cifar10"), selection.choose([], "", asked="cpu")
    machine = dataclasses.replace(probe(), tcmalloc="/usr/lib/libtcmalloc_minimal.so.4", preload="")

    def preloaded(choice, found):
        return runner.lab_command(lab, [], choice, "venv", found).environment.get("LD_PRELOAD")

    assert preloaded(cpu, machine) == machine.tcmalloc
    assert preloaded(cpu, dataclasses.replace(machine, tcmalloc="")) is None
    assert preloaded(cpu, dataclasses.replace(machine, preload="/lib/other.so")) is None
    assert preloaded(dataclasses.replace(cpu, use_gpu=True), machine) is None
    assert containers.settings(Engine("/usr/bin/docker", "27"), cpu)["LAB_PRELOAD"] == "libtcmalloc_minimal.so.4"


def test_several_processes_go_through_the_launcher_of_pytorch():
    lab, machine = labs.find("cifar10"), dataclasses.replace(probe(), cores=4)
    group = launch.plan("2", "")
    for name, module in (("cpu", ["torch.distributed.run"]), ("notes", ["torch.distributed.launch", "--use_env"])):
        command = runner.lab_command(lab, ["--smoke"], selection.choose([], "", asked=name), "venv", machine, group)
        start = ["-m", "labkit.runs.launch", *module]
        assert list(command.argv[1 : len(start) + 1]) == start
        assert "--nproc_per_node=2" in command.argv and command.argv[-2:] == (str(lab.program), "--smoke")
        assert command.environment["OMP_NUM_THREADS"] == "2"
    inside = runner.lab_command(lab, [], selection.choose([], "", asked="cpu"), "docker", machine, group).argv
    assert inside[inside.index("OMP_NUM_THREADS=2") - 1] == "--env" and inside.index("lab") < inside.index("python")
    assert launch.plan("", "") is None and launch.plan("1", "") is None


def test_several_machines_type_the_same(monkeypatch):
    monkeypatch.setattr(launch, "interface_of", lambda name: "eth0" if name == "10.0.0.2" else "")
    group = launch.plan("4", "10.0.0.1:4000,10.0.0.2")
    assert (group.per_machine, group.here, group.interface) == (4, 1, "eth0")
    words = launch.command(group, "2.11.0")
    for word in ("--nnodes=2", "--node_rank=1", "--master_addr=10.0.0.1", "--master_port=4000"):
        assert word in words
    assert "--node_rank=0" in launch.command(group.at(0), "2.11.0")
    assert launch.environment(group, 8, True)["LAB_LAUNCH"] == "--gpus=4 --nodes=10.0.0.1:4000,10.0.0.2"


@pytest.mark.parametrize(
    "gpus, nodes, sentence",
    [
        ("two", "", "two is not a number"),
        ("0", "", "0 is not a number"),
        ("", "127.0.0.1", "addresses of all machines"),
        ("", "127.0.0.1,", "addresses of all machines"),
        ("", "203.0.113.1,203.0.113.2", r"none of 203\.0\.113\.1"),
        ("", "127.0.0.1,127.0.0.1", "more than one"),
        ("", "no.such.host.invalid,127.0.0.1", "cannot be found"),
    ],
)
def test_groups_that_cannot_be(gpus, nodes, sentence):
    with pytest.raises(UserError, match=sentence):
        launch.plan(gpus, nodes)


def test_only_some_labs_train_in_several_processes():
    with pytest.raises(UserError, match=r"one process only; --gpus and --nodes are for .*cifar10"):
        tasks.lab("dashboards", gpus="2", stack="cpu", where="venv", dry=True)
    with pytest.raises(UserError, match="--gpus 999: this machine has"):
        tasks.lab("cifar10", sample=True, gpus="999", stack="cpu", where="venv", dry=True)


def test_where_a_lab_runs():
    nothing = Engine(problem="docker is not installed")
    assert runner.where("", inside_image=True, engine=nothing)[0] == "here"
    assert runner.where("auto", inside_image=False, engine=nothing) == ("venv", "docker is not installed")
    assert runner.where("venv", inside_image=True, engine=nothing)[0] == "venv"
    with pytest.raises(UserError, match="inside one of our images"):
        runner.where("here", inside_image=False, engine=nothing)
    with pytest.raises(UserError, match="did you mean venv"):
        runner.where("vnev", inside_image=False, engine=nothing)


def test_no_folder_outside_labkit_is_a_package():
    """`datasets/__init__.py` would shadow the package of that name, and labs are programs, not modules."""
    found = [path for path in paths.ROOT.rglob("__init__.py") if ".venv" not in path.parts]
    assert found and all(path.is_relative_to(paths.ROOT / "labkit") for path in found)
    assert not {path.stem for path in Path(paths.ROOT / "labkit").rglob("*.py")} & {"torch", "numpy"}
    assert os.access(paths.ROOT / "inv", os.X_OK)

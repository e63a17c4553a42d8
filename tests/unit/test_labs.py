"""The labs as data, and what is done with a lab's arguments before it starts."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from labkit.base import labs, paths, settings
from labkit.base.errors import UserError
from labkit.base.hardware import Gpu
from labkit.cli import labs as tasks
from labkit.runs import launch, options
from labkit.stacks import containers, runner, selection
from labkit.stacks.engine import Engine
from labkit.stacks.machine import probe

LABS = labs.table()


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
def test_a_lab_is_complete(lab):
    folder = lab.program.parent
    for name in ("config.py", "lab.py", "lab.toml", "README.md", "README.zh-CN.md"):
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


def asked(name, *words, folder=None):
    """The request and the Config that a command line makes, as the host sees it."""
    module = importlib.import_module(f"labs.{name}.config")
    request = options.parse(words, module.Config, module.PRESETS, name, folder=folder)
    return request, options.build(module.Config, module.PRESETS, request)


def test_the_data_set_follows_from_the_options(tmp_path):
    (tmp_path / "x.jpg").touch()
    known = labs.find("cifar10").datasets
    assert options.dataset_for(asked("cifar10")[1], known) == ("cifar10", False)
    assert options.dataset_for(asked("cifar10", "--dataset=cifar100")[1], known) == ("cifar100", False)
    assert options.dataset_for(asked("cifar10", "--predict", "x.jpg", folder=tmp_path)[1], known) == ("", False)
    assert options.dataset_for(asked("dashboards")[1], ()) == ("", False)
    known = labs.find("convnets").datasets  # which only its race reads
    assert options.dataset_for(asked("convnets")[1], known) == ("", False)
    assert options.dataset_for(asked("convnets", "--race")[1], known) == ("cifar10", False)
    coco = labs.find("detectron2").datasets
    assert options.dataset_for(asked("detectron2")[1], coco) == ("coco", True)  # its sample is enough to learn from
    assert options.dataset_for(asked("detectron2", "--dataset", "coco")[1], coco) == ("coco", False)
    assert options.dataset_for(asked("detectron2", "--input", "webcam")[1], coco) == ("", False)


def test_paths_start_at_the_callers_folder(tmp_path):
    folder = tmp_path / "my images"
    folder.mkdir()
    for name in ("a b.jpg", "a.jpg", "b.jpg", "c,d.jpg"):
        (folder / name).touch()
    request, config = asked("cifar10", "--predict", "a b.jpg", "--checkpoint=latest", folder=folder)
    assert config.predict == str(folder / "a b.jpg") and config.checkpoint == "latest"
    assert options.words(request) == ["--predict", str(folder / "a b.jpg"), "--checkpoint", "latest"]
    assert options.files_of(config) == [folder / "a b.jpg"]
    config = asked("detectron2", "--input=a.jpg,b.jpg", "--weights", "latest", folder=folder)[1]
    assert options.files_of(config) == [folder / "a.jpg", folder / "b.jpg"]
    assert options.files_of(asked("detectron2", "--input", "c,d.jpg", folder=folder)[1]) == [folder / "c,d.jpg"]
    for words in (["--predict", "c.jpg"], ["--predict=gone.jpg"]):
        with pytest.raises(UserError, match=r"--predict: there is no file (c|gone)\.jpg"):
            asked("cifar10", *words, folder=folder)


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
def test_options_are_known_without_a_stack(lab):
    """By the host's Python, which has neither torch nor NumPy; every preset builds a Config."""
    module = importlib.import_module(f"labs.{lab.name}.config")
    for preset in module.PRESETS:
        request, config = asked(lab.name, *(["--smoke"] if preset == "smoke" else ["--preset", preset]))
        assert asked(lab.name, *options.words(request)) == (request, config)
    assert options.from_record(module.Config, dataclasses.asdict(module.Config())) == module.Config()


@pytest.mark.parametrize(
    ("name", "words", "sentence"),
    [
        ("cifar10", ["--epoch", "2"], "unknown option --epoch; did you mean --epochs?"),
        ("cifar10", ["--early-stop", "2"], "--early-stop watches the accuracy on held-out images"),
        ("cifar10", ["--compare", "optimizer=sgd,adm"], "unknown value adm; did you mean adam?"),
        ("cifar10", ["--compare", "epochs=3"], "fewer than two values"),
        ("cifar10", ["--lr", "0"], "--lr must be more than 0, not 0"),
        ("cifar10", ["--augment", "cutot"], "there is no cutot; did you mean cutout?"),
        ("cyclegan", ["--size", "66"], "--size 66 is not a multiple of 4"),
        ("dcgan", ["--loss", "wgan-gp"], "batch norm in the discriminator mixes them"),
        ("segmentation", ["--crop", "100"], "--crop 100 is not a multiple of 32"),
        ("stylegan", ["--average", "1"], "would keep the first weights for ever"),
        ("detectron2", ["--task", "train", "--input", "webcam"], "--input goes with --task demo"),
        ("detectron2", ["--task", "all", "--input", "webcam"], "--input goes with --task demo: all works with the data set"),
        ("cifar10", ["--resume", "19990101-000000"], "there is no run 19990101-000000"),
    ],
)
def test_a_mistake_is_found_before_anything_is_made(name, words, sentence, monkeypatch, tmp_path):
    monkeypatch.setenv("LAB_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(tasks, "prepare", lambda *_: pytest.fail("an environment was prepared"))
    with pytest.raises(UserError) as said:
        tasks.start_lab(name, words, where="venv", stack="cpu")
    assert sentence in said.value.message and not (tmp_path / "runs").exists()


def test_the_help_of_a_lab_needs_no_environment(copy):
    """In a fresh clone but for the front door's own environment, with no network to make another one."""
    shutil.copytree(paths.ROOT / ".venv" / "host", copy / ".venv" / "host", symlinks=True)
    for words, said in ((["--help"], "--label-smoothing X"), (["--epoch", "2"], "did you mean --epochs?")):
        began = time.monotonic()
        done = subprocess.run(
            ["./inv", "lab", "cifar10", "--", *words], cwd=copy, capture_output=True, text=True,
            env={**os.environ, "UV_DEFAULT_INDEX": "http://127.0.0.1:1/"},
        )  # fmt: skip
        assert said in done.stdout + done.stderr and done.returncode == (0 if words == ["--help"] else 2)
        assert time.monotonic() - began < 5  # a stack takes minutes; how fast it is on a quiet machine is no test
    assert {path.name for path in (copy / ".venv").iterdir()} == {"host"}


def test_the_command_is_data(monkeypatch):
    monkeypatch.setenv("LAB_RUNS", "/some where/runs")
    choice = selection.choose([], "", asked="notes")
    command = runner.lab_command(labs.find("cifar10"), ["--smoke", "--model", "a b"], choice, "venv", probe())
    assert command.argv[1:] == ("-I", str(labs.find("cifar10").program), "--smoke", "--model", "a b")
    assert command.argv[0] == str(paths.ROOT / ".venv" / "notes" / "bin" / "python")
    handed = settings.read(command.environment, Path("none"))
    assert (handed.stack, handed.runs) == ("notes/index", "/some where/runs")
    assert f"LAB_SETTINGS='{command.environment['LAB_SETTINGS']}'" in command.shown()
    assert command.shown().endswith("--smoke --model 'a b'")


def test_tcmalloc_is_preloaded_where_the_processor_computes():
    lab, cpu = labs.find("cifar10"), selection.choose([], "", asked="cpu")
    machine = dataclasses.replace(probe(), tcmalloc="/usr/lib/libtcmalloc_minimal.so.4", preload="")

    def preloaded(choice, found):
        return runner.lab_command(lab, [], choice, "venv", found).environment.get("LD_PRELOAD")

    assert preloaded(cpu, machine) == machine.tcmalloc
    assert preloaded(cpu, dataclasses.replace(machine, tcmalloc="")) is None
    assert preloaded(cpu, dataclasses.replace(machine, preload="/lib/other.so")) is None
    assert preloaded(dataclasses.replace(cpu, gpus=(Gpu("A100", "8.0"),)), machine) is None
    assert containers.variables(Engine("/usr/bin/docker", "27"), cpu)["LAB_PRELOAD"] == "libtcmalloc_minimal.so.4"


def test_several_processes_go_through_the_launcher_of_pytorch():
    lab, machine = labs.find("cifar10"), dataclasses.replace(probe(), cores=4)
    group = launch.plan("2", "")
    for name, module in (("cpu", ["torch.distributed.run"]), ("notes", ["torch.distributed.launch", "--use_env"])):
        command = runner.lab_command(lab, ["--smoke"], selection.choose([], "", asked=name), "venv", machine, group)
        start = ["-I", launch.__file__, *module]
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
    assert launch.typed(group) == "--gpus=4 --nodes=10.0.0.1:4000,10.0.0.2"


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
    with pytest.raises(UserError, match="must be auto, here, docker or venv"):
        runner.where("vnev", inside_image=False, engine=nothing)


def test_no_folder_outside_labkit_is_a_package():
    """`datasets/__init__.py` would shadow the package of that name, and labs are programs, not modules."""
    found = [path for path in paths.ROOT.rglob("__init__.py") if ".venv" not in path.parts]
    assert found and all(path.is_relative_to(paths.ROOT / "labkit") for path in found)
    assert not {path.stem for path in Path(paths.ROOT / "labkit").rglob("*.py")} & {"torch", "numpy"}
    assert os.access(paths.ROOT / "inv", os.X_OK)

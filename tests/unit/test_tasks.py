"""What the tasks decide, with programs and probes of ours at their boundary: no environment is made, no engine asked."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from types import SimpleNamespace

import pytest
from test_doctor import DOCKER, GOOD

from labkit.base import labs, paths, ports
from labkit.base.errors import UserError
from labkit.base.hardware import Gpu
from labkit.cli import data, prepare, stacks, upkeep
from labkit.cli import labs as tasks
from labkit.data import store
from labkit.data.addresses import Unreachable
from labkit.runs import launch
from labkit.services import control
from labkit.stacks import images, runner, selection
from labkit.stacks.engine import Engine

CPU = selection.choose([], "", asked="cpu/index")


# --- doctor -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def examined(monkeypatch):
    """Has the doctor find this machine, on which these services run."""

    def make(*running, **changes):
        monkeypatch.setattr(stacks.machines, "examine", lambda: dataclasses.replace(GOOD, **changes))
        monkeypatch.setattr(stacks.control, "find", lambda name, _: next((one for one in running if one.name == name), None))
        monkeypatch.setattr(stacks.builds, "settled", lambda choice, engine=None: choice)
        monkeypatch.setattr(stacks.native, "installed_python", lambda versions: "/usr/bin/python")

    return make


@pytest.mark.parametrize(
    ("changes", "status", "shown", "not_shown"),
    [
        ({}, None, "Nothing is in the way. Next: ./inv setup", "Could be better"),
        ({"root": True}, None, "Could be better", "Needs fixing"),
        ({"disk_free_gb": 1}, 1, "Needs fixing", "Nothing is in the way"),
    ],
)
def test_only_a_problem_is_status_1_and_what_to_type_comes_last(changes, status, shown, not_shown, examined, capsys):
    examined(**changes)
    assert stacks.doctor("", json=False) == status
    out = capsys.readouterr().out
    assert shown in out and not_shown not in out
    for level, command in (("root", "work as an ordinary user"), ("disk_free_gb", "./inv clean")):
        assert (command in out) == (level in changes)
    assert stacks.doctor("", json=True) == status
    assert json.loads(capsys.readouterr().out)["format"] == 1


def test_a_setting_that_cannot_be_is_answered_in_json_too(monkeypatch, capsys):
    monkeypatch.setenv("LAB_DEVICE", "gpu")
    assert stacks.doctor("", json=True) == 1
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["id"], finding["level"], finding["next_command"]) == ("settings", "problem", "unset LAB_DEVICE")


def test_a_service_of_ours_on_its_usual_port_is_ours_and_on_another_is_not_looked_at(examined, capsys):
    usual = control.Service("tensorboard", "venv", ports.SERVICES["tensorboard"], "", "1")
    examined(usual, control.Service("visdom", "venv", 9000, "", "2"), ports={"visdom": "nginx (process 7)", "tensorboard": "x"})
    stacks.doctor("", json=True)
    said = {row["id"]: row["what"] for row in json.loads(capsys.readouterr().out)["findings"]}
    assert said["port-tensorboard"] == "is running on port 6006" and "held by nginx" in said["port-visdom"]


@pytest.mark.parametrize(
    ("changes", "tried"),
    [
        ({}, True),
        ({"inside": "cu130/index"}, False),
        ({"images": ()}, False),
        ({"engine": dataclasses.replace(DOCKER, gpu="")}, False),
        ({"engine": dataclasses.replace(DOCKER, gpu="hook", reads="x")}, False),
        ({"engine": dataclasses.replace(DOCKER, gpu="hook", compose=())}, False),
    ],
)
def test_a_gpu_is_tried_in_a_container_only_where_there_is_one_to_be_seen(changes, tried, monkeypatch, tmp_path):
    choice = selection.choose([Gpu("A100", "8.0")], "580.95.05")
    engine = dataclasses.replace(DOCKER, gpu="hook")
    machine = dataclasses.replace(GOOD, engine=engine, images=(images.tag(choice.stack, choice.build),))
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LAB_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(stacks.containers, "OUR_COMPOSE", tmp_path / "none")
    monkeypatch.setattr(stacks.runner, "lacking", lambda engine, use_gpu: ("it reads no folder" if engine.reads else "", ""))
    monkeypatch.setattr(stacks.containers, "try_gpu", lambda *_: "tried")
    found = stacks.with_gpu_tried(dataclasses.replace(machine, **changes), choice)
    assert (found.gpu_in_container == "tried") is tried
    on_the_cpu = stacks.with_gpu_tried(machine, dataclasses.replace(choice, gpus=()))
    assert on_the_cpu.gpu_in_container != "tried"


# --- a lab --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fits", [2, 3])
def test_so_many_processes_as_there_are_cores_or_gpus_and_no_more(fits, capsys):
    group = launch.plan("2", "")
    machine = dataclasses.replace(GOOD, cores=fits)
    tasks.announce(group, ["lab.py"], CPU, "venv", machine)
    assert f"processes: 2, sharing the {fits} cores" in capsys.readouterr().err
    with pytest.raises(UserError, match="this machine has 1 cores") as refused:
        tasks.announce(group, ["lab.py"], CPU, "venv", dataclasses.replace(GOOD, cores=1))
    assert refused.value.next_command == "--gpus 1 instead"
    with pytest.raises(UserError, match="this machine has 1 GPUs"):
        tasks.announce(group, ["lab.py"], dataclasses.replace(CPU, gpus=(Gpu("A100", "8.0"),)), "venv", GOOD)


def test_of_several_machines_each_is_told_what_to_type_and_none_is_a_container(monkeypatch, capsys):
    monkeypatch.setattr(launch, "interface_of", lambda name: "eth0" if name == "10.0.0.2" else "")
    group = launch.plan("2", "10.0.0.1:4000,10.0.0.2")
    tasks.announce(group, ["lab.py", "--epochs", 3], CPU, "venv", GOOD)
    said = capsys.readouterr().err.splitlines()
    assert said[1].startswith("machine 0, 10.0.0.1: python") and said[2].startswith("machine 1, 10.0.0.2 (this one): python")
    assert all(line.endswith("lab.py --epochs 3") for line in said[1:3]) and "port 4000 of 10.0.0.1" in said[3]
    with pytest.raises(UserError, match="a container has no address that other machines know"):
        tasks.announce(group, ["lab.py"], CPU, "docker", GOOD)


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Starts a lab without becoming it: the words of its program, and what was got ready before."""
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LAB_RUNS", str(tmp_path / "runs"))
    ready = []
    monkeypatch.setattr(tasks.machines, "probe", lambda: dataclasses.replace(GOOD, engine=Engine(problem="none")))
    monkeypatch.setattr(tasks, "choose", lambda *_: CPU)
    monkeypatch.setattr(tasks, "prepare", lambda place, where, choice, machine: ready.append("stack") or (place, choice, machine))

    def ensure(name, mirrors=(), wanted=None):
        ready.append(name if wanted is None else (name, wanted.parts))
        if name == "cifar10":
            raise Unreachable(name, {"host": "HTTP 404"})
        return store.State(name, "verified", tmp_path)

    monkeypatch.setattr(tasks.obtain, "ensure", ensure)
    monkeypatch.setattr(tasks.control, "find_native", lambda name: None)

    def start(name, *words, **asked):
        ready.clear()
        ran = []
        monkeypatch.setattr(runner.Command, "replace_process", lambda self, wait_with_ctrl_c=False: ran.append((self, wait_with_ctrl_c)))
        tasks.start_lab(name, list(words), **asked)
        ((command, waits),) = ran
        assert waits
        return list(command.argv[list(command.argv).index(str(labs.find(name).program)) + 1 :]), list(ready)

    return start


def test_what_a_lab_reads_is_got_ready_before_it_and_nothing_else(started):
    assert started("mnist") == ([], ["stack", "mnist"])
    assert started("mnist", "--epochs", "1", sample=True) == (["--epochs", "1", "--sample"], ["stack"])
    assert started("mnist", smoke=True) == (["--smoke"], ["stack"])
    assert started("dashboards") == ([], ["stack"])
    assert started("detectron2") == (["--sample"], ["stack"])  # whose sample is enough
    words, ready = started("detectron2", "--dataset", "coco")
    assert words == ["--dataset", "coco"] and ready[:2] == ["stack", "coco"]
    assert started("housing", "--practice")[1] == ["stack"]


def test_without_the_real_data_a_lab_trains_on_its_sample_and_says_so(started, capsys):
    assert started("cifar10") == (["--sample"], ["stack", "cifar10"])
    said = capsys.readouterr().err
    assert "HTTP 404" in said and "So this run trains on the built-in sample of cifar10" in said and "./inv data cifar10 --import=PATH" in said


def test_a_lab_that_is_shown_only_makes_and_fetches_nothing(started, capsys, monkeypatch):
    monkeypatch.setattr(tasks, "prepare", lambda *_: pytest.fail("an environment was prepared"))
    tasks.start_lab("mnist", ["--epochs", "1"], dry=True)
    assert capsys.readouterr().out.rstrip().endswith("labs/mnist/lab.py --epochs 1")
    tasks.shell("", "", dry=True)
    assert "bash" in capsys.readouterr().out


def test_a_visdom_that_runs_is_told_to_the_lab(started, monkeypatch, capsys):
    monkeypatch.setattr(tasks.control, "find_native", lambda name: control.Service(name, "venv", 9123, "", "1"))
    tasks.start_lab("mnist", [], dry=True)
    assert '"visdom_port": "9123"' in capsys.readouterr().out


def test_only_labs_with_exercises_are_practised_and_a_hint_needs_no_notebook(monkeypatch):
    with pytest.raises(UserError, match=r"the lab dcgan has no exercises; .*mnist.* have"):
        tasks.practice("dcgan", "", "", notebook=True)
    asked = []
    monkeypatch.setattr(tasks, "start_lab", lambda name, words, **more: asked.append((words, more["notebook"])))
    tasks.practice("mnist", "", "", notebook=True)
    tasks.practice("mnist", "first", "", notebook=True)
    tasks.practice("mnist", "", "second", notebook=False)
    assert asked == [(["--practice"], True), (["--practice", "--hint", "first"], False), (["--practice", "--solution", "second"], False)]


# --- the stack for a task -----------------------------------------------------------------------------------------------


def test_inside_an_image_its_own_stack_is_taken_and_no_other(monkeypatch):
    monkeypatch.setenv("LAB_IMAGE", "notes/index")
    assert prepare.choose(GOOD, "").label == prepare.choose(GOOD, "notes").label == "notes/index"
    with pytest.raises(UserError, match="this image holds stack notes, not cpu"):
        prepare.choose(GOOD, "cpu")


def test_root_is_told_that_the_container_runs_as_root_unless_the_engine_maps_it(monkeypatch, capsys):
    monkeypatch.setattr(prepare.images, "ensure", lambda *_: "there")
    monkeypatch.setattr(prepare.containers, "make_folders", lambda engine: None)
    for user, rootless, told in ((0, False, True), (0, True, False), (1000, False, False)):
        monkeypatch.setattr(prepare.os, "getuid", lambda user=user: user)
        machine = dataclasses.replace(GOOD, engine=dataclasses.replace(DOCKER, rootless=rootless))
        assert prepare.prepare("docker", "", CPU, machine)[0] == "docker"
        assert ("you are root" in capsys.readouterr().err) is told


def test_a_native_environment_that_is_ready_is_not_made_again_and_one_that_lacks_visdoms_page_still_works(monkeypatch, capsys):
    made = []
    monkeypatch.setattr(prepare.builds, "make", lambda choice, maker: made.append(choice) or choice)

    def no_npm(stack):
        raise UserError("npm is missing")

    monkeypatch.setattr(prepare.visdom_page, "ensure", no_npm)
    for ready in (True, False):
        monkeypatch.setattr(prepare.native, "ready", lambda *_, ready=ready: ready)
        assert prepare.prepare("venv", "", CPU, GOOD) == ("venv", CPU, GOOD)
    assert made == [CPU] and "npm is missing. Everything else works" in capsys.readouterr().err


def test_images_need_an_engine():
    assert prepare.usable(GOOD) == DOCKER
    with pytest.raises(UserError, match="images need a container engine: the engine is off"):
        prepare.usable(dataclasses.replace(GOOD, engine=Engine(problem="the engine is off")))


def test_words_of_a_list_may_have_spaces_and_be_empty():
    assert prepare.listed(" person, dog ,,") == ("person", "dog") and prepare.listed("") == ()


@pytest.mark.parametrize(("width", "columns"), [(prepare.WIDE, 4), (prepare.WIDE - 1, 3)])
def test_in_a_narrow_terminal_what_is_folded_stands_below_each_other(width, columns, monkeypatch):
    monkeypatch.setattr(type(prepare.OUT), "width", width)
    made = prepare.table(("a", "b", "c", "d"), [("1", "2", "3", "4"), ("5", "", "7", "8")], folded=("b", "c"), whole=("a",))
    assert [column.header for column in made.columns] == (["a", "b", "c", "d"] if columns == 4 else ["a", "b, c", "d"])
    cells = [[str(cell) for cell in column.cells] for column in made.columns]
    assert cells[1] == (["2", ""] if columns == 4 else ["2\n3", "7"]) and made.columns[0].no_wrap and not made.columns[1].no_wrap


# --- setup, images, the repository itself -------------------------------------------------------------------------------


@pytest.fixture
def tested(monkeypatch):
    """The self-test of a stack ends with this status; returns what was prepared."""

    def make(status, choice=CPU):
        ready = []
        monkeypatch.setattr(stacks.machines, "probe", lambda: dataclasses.replace(GOOD, engine=Engine(problem="none")))
        monkeypatch.setattr(stacks, "choose", lambda *_: choice)
        monkeypatch.setattr(stacks, "prepare", lambda place, where, choice, machine: ready.append(place) or (place, choice, machine))
        monkeypatch.setattr(runner.Command, "run", lambda self: status)
        return ready

    return make


def test_setup_says_what_comes_next_only_where_the_stack_works(tested, capsys):
    assert (tested(0), stacks.setup("cpu", "", "", dry=False)) == (["venv"], 0)
    assert "Ready. Next:  ./inv lab cifar10 --stack cpu " in capsys.readouterr().err
    assert (tested(1), stacks.setup("", "", "", dry=False)) == (["venv"], 1)
    assert "Ready" not in capsys.readouterr().err
    assert (tested(0), stacks.setup("", "", "", dry=True)) == ([], None)
    assert capsys.readouterr().out.rstrip().endswith("labkit/stacks/selftest.py")
    with pytest.raises(UserError, match="--mirror: there is no 'us'"):
        stacks.setup("", "", "us", dry=False)


def test_setup_names_the_builds_whose_hashes_nobody_recorded_unless_one_was_asked_for(tested, capsys):
    for exact in (False, True):
        tested(0, dataclasses.replace(selection.choose([], "", asked="notes"), exact=exact))
        stacks.setup("notes", "", "", dry=False)
        assert ("notes/cu101 is used only when asked for" in capsys.readouterr().err) is not exact


def test_an_image_of_before_is_not_tested_as_todays(monkeypatch):
    monkeypatch.setattr(stacks.machines, "probe", lambda: GOOD)
    monkeypatch.setattr(stacks, "choose", lambda *_: CPU)
    monkeypatch.setattr(stacks.subprocess, "run", lambda command: subprocess.CompletedProcess(command, 5))
    monkeypatch.setattr(stacks.images, "present", lambda engine, name: False)
    with pytest.raises(UserError, match="there is no image of today's stack cpu") as refused:
        stacks.image_test("")
    assert refused.value.next_command == "./inv image.build --stack cpu/index"
    monkeypatch.setattr(stacks.images, "present", lambda engine, name: name == images.tag(CPU.stack, CPU.build))
    assert stacks.image_test("") == 5


@pytest.mark.parametrize("removed", [[], ["torch-labs/cpu:1", "torch-labs/notes:2"]])
def test_what_pruning_removed_is_named(removed, monkeypatch, capsys):
    monkeypatch.setattr(stacks.machines, "probe", lambda: GOOD)
    monkeypatch.setattr(stacks.images, "prune", lambda engine: removed)
    stacks.image_prune()
    said = "removed: torch-labs/cpu:1, torch-labs/notes:2" if removed else "no image is older than its stack"
    assert said in capsys.readouterr().err


def test_lint_ends_with_the_worst_status_and_runs_everything(monkeypatch):
    ran = []

    def run(words):
        ran.append(words[0].rpartition("/")[2])
        return SimpleNamespace(returncode=3 if "mypy" in words[0] else 0)

    monkeypatch.setattr(upkeep.os, "chdir", lambda folder: None)
    monkeypatch.setattr(upkeep.native, "make_tools", lambda name: paths.ROOT / ".venv" / name)
    monkeypatch.setattr(upkeep.subprocess, "run", run)
    assert upkeep.lint() == 3 and {"ruff", "mypy", "vermin", "lint-imports", "hadolint"} == set(ran)


@pytest.mark.parametrize("dry", [True, False])
def test_cleaning_keeps_data_runs_and_the_front_door(dry, monkeypatch, tmp_path, capsys):
    gone = [".venv/cpu", "data/mnist-sample", ".ruff_cache"]
    kept = [".venv/host", "data/mnist", "runs/mnist/20260101-000000"]
    for name in [*gone, *kept]:
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / ".venv" / "cpu.lock").touch()
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(upkeep.native, "VENV", tmp_path / ".venv")
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LAB_RUNS", str(tmp_path / "runs"))
    upkeep.clean(dry)
    assert all((tmp_path / name).is_dir() for name in kept) and (tmp_path / ".venv" / "cpu.lock").exists()
    assert [(tmp_path / name).exists() for name in gone] == [dry] * len(gone)
    said = capsys.readouterr().err
    assert said.count("would remove " if dry else "removing ") == len(gone) and "kept: " in said


# --- a data set ---------------------------------------------------------------------------------------------------------


def ask(name="mnist", **asked):
    words = {"split": "", "subset": "", "categories": "", "mirror": "", "import_": ""}
    flags = dict.fromkeys(("path", "verify", "unverified", "delete", "yes", "urls"), False)
    return data.data(name, **{**words, **flags, **asked})


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"path": True, "verify": True}, "--path and --verify exclude each other"),
        ({"verify": True, "mirror": "cn"}, "--mirror goes with a download, not with --verify"),
        ({"import_": "x", "split": "train"}, "not with --import: an import takes every part that is there"),
        ({"subset": "0"}, "--subset: 0 is not a valid number of images"),
        ({"subset": "1e3"}, "--subset: 1e3 is not a valid number"),
        ({"unverified": True}, "--unverified goes with --import only"),
        ({"delete": True}, "nobody is there to be asked whether to delete it"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_done(asked, sentence, monkeypatch, tmp_path):
    monkeypatch.setenv("LAB_DATA", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "file").touch()
    monkeypatch.setattr(data.sys, "stdin", SimpleNamespace(isatty=lambda: False))
    with pytest.raises(UserError, match=sentence):
        ask(**asked)
    assert (tmp_path / "mnist" / "file").exists()


@pytest.mark.parametrize(("answer", "status"), [("y", None), ("YES ", None), ("n", 1), ("", 1), ("yesterday", 1)])
def test_only_a_yes_deletes(answer, status, monkeypatch, tmp_path):
    monkeypatch.setenv("LAB_DATA", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "file").touch()
    monkeypatch.setattr(data.sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("builtins.input", lambda question: answer)
    assert ask(delete=True) == status and (tmp_path / "mnist").exists() == (status == 1)
    assert ask(delete=True, yes=True) is None and not (tmp_path / "mnist").exists()


def test_addresses_may_be_asked_for_with_what_a_download_takes(capsys):
    assert ask("coco", urls=True, subset="5", split="val2017") is None
    assert "5 images of val2017" in capsys.readouterr().out


"""./inv and tasks.py as a user meets them: each test starts the real launcher in a process of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from labkit.base import paths

ROOT = paths.ROOT


def inv(*arguments, cwd=ROOT, **environment):
    settings = {**os.environ, "COLUMNS": "200", **environment}
    done = subprocess.run(
        [str(ROOT / "inv"), *arguments], cwd=cwd, env=settings, capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout, done.stderr


def test_the_list_reads_like_a_table_of_contents():
    status, out, _ = inv("--list")
    tasks = re.findall(r"^  ([\w.-]+) +\S", out, re.MULTILINE)
    assert status == 0
    assert tasks == sorted(tasks, key=lambda name: ("." in name, name)) and {"doctor", "lab", "setup", "test"} <= set(tasks)


@pytest.mark.parametrize(
    "task", ["clean", "data", "datasets", "doctor", "export", "labs", "lint", "report", "runs", "setup", "test"]
)
def test_every_task_has_help(task):
    status, out, _ = inv("--help", task)
    assert status == 0 and "Docstring:\n  " in out and "none\n" not in out.split("Docstring:")[1].split("Options:")[0]


@pytest.mark.parametrize("arguments", [("lab", "--help"), ("--help", "lab"), ("lab", "cifar10", "--help")])
def test_help_of_lab_teaches_and_runs_nothing(arguments, tmp_path):
    status, out, _ = inv(*arguments, LAB_RUNS=str(tmp_path / "runs"))
    assert status == 0 and "./inv lab cifar10 -- --model resnet18" in out
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("lab", "cifra10"), "did you mean cifar10?"),
        (("lab", "cifar10", "--stack", "cu13"), "did you mean cu130?"),
        (("lab", "cifar10", "--where", "docker-ish"), "--where: there is no place"),
        (("lab", "cifar10", "--", "--predict", "nothing.jpg"), "there is no file nothing.jpg"),
        (("lab", "cifar10", "--", "--dataset", "cifar11"), "knows no data set 'cifar11'"),
        (("lab", "--nonsense"), "the lab's name comes first"),
        (("data", "cifr10"), "did you mean cifar10?"),
        (("data", "cifar10", "--unverified"), "--unverified goes with --import"),
        (("data", "cifar10", "--verify", "--delete"), "one at a time"),
        (("report", "nothing"), "there is no run nothing"),
        (("setup", "--stack", "gpu"), "there is no stack 'gpu'"),
        (("lab", "cifar10", "--epochs", "2"), "next: ./inv lab cifar10 -- --epochs VALUE"),
        (("export", "--format", "condo"), "did you mean conda?"),
        (("export", "--mirror", "us"), "--mirror: there is no 'us' (known: cn)"),
        (("export", "--output", str(ROOT / "README.md")), "is there already"),
        (("export", "--output", "/proc/requirements.txt"), "cannot be written"),
        (("lab",), "next: ./inv labs"),
        (("labz",), "did you mean lab"),
        (("runs", "--all"), "next: ./inv runs --help"),
        (("lab", "cifar10", "--stack"), "needed value"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(arguments, says, tmp_path):
    status, _, err = inv(*arguments, LAB_RUNS=str(tmp_path / "runs"), LAB_DATA=str(tmp_path / "data"))
    assert status == 2
    assert says in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_what_follows_the_dashes_arrives_untouched(tmp_path):
    (tmp_path / "my photo.jpg").touch()
    status, out, _ = inv(
        "lab", "cifar10", "--smoke", "--dry", "--where", "venv", "--", "--predict", "my photo.jpg", "--x", "a  b", cwd=tmp_path
    )
    assert status == 0
    assert out.strip().endswith(f"lab.py --smoke --predict '{tmp_path}/my photo.jpg' --x 'a  b'")


def test_invoke_of_the_users_own_hands_over_to_the_pinned_one():
    """The same as ./inv, with another invoke on PATH: here the one of the development environment."""
    invoke = Path(sys.executable).with_name("invoke")
    done = subprocess.run([str(invoke), "--list"], cwd=ROOT, capture_output=True, text=True)
    ours = inv("--list")[1]
    assert done.returncode == 0 and len(done.stdout.split()) == len(ours.split()) and "./inv" not in done.stdout


@pytest.mark.parametrize("words", [["lab", "nosuch"], ["lab"], ["nosuch"], ["data", "cifar10", "--unverified"], ["data", "nosuch"]])
def test_a_message_names_the_command_as_it_was_started(words):
    """Whoever typed invoke reads invoke; whoever typed ./inv reads ./inv, since no invoke may be on PATH."""
    invoke = Path(sys.executable).with_name("invoke")
    said = [
        subprocess.run([command, *words], cwd=ROOT, capture_output=True, text=True)
        for command in (str(invoke), "./inv")
    ]
    assert [done.returncode for done in said] == [2, 2]
    theirs, ours = (done.stderr for done in said)
    assert "next: ./inv " in ours and "invoke " not in ours
    assert "next: invoke " in theirs and "./inv" not in theirs and theirs == ours.replace("./inv ", "invoke ")


def test_help_names_the_command_as_it_was_started():
    invoke = Path(sys.executable).with_name("invoke")
    theirs = subprocess.run([str(invoke), "--help", "lab"], cwd=ROOT, capture_output=True, text=True).stdout
    assert "invoke lab cifar10 --smoke" in theirs and "./inv" not in theirs
    assert "./inv lab cifar10 --smoke" in inv("--help", "lab")[1]


def test_nothing_on_the_way_to_a_task_imports_torch_or_numpy():
    modules = ", ".join(f"labkit.cli.{path.stem}" for path in (ROOT / "labkit" / "cli").glob("*.py"))
    code = f"import {modules}, labkit.testing, sys; print(sorted({{'torch', 'numpy', 'matplotlib'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout.strip() == "[]"
    code = "import sys, tasks; print([m for m in sys.modules if m.startswith('labkit') or m == 'rich'])"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout.strip() == "[]"


def test_the_launcher_makes_its_environment_and_repairs_a_half_made_one(copy):
    half_made = copy / ".venv" / "host" / "bin"
    half_made.mkdir(parents=True)
    (half_made / "python").write_text("what an interrupted run left")
    done = subprocess.run(["sh", str(copy / "inv"), "--list"], cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "making .venv/host" in done.stderr and "doctor" in done.stdout
    again = subprocess.run(["sh", str(copy / "inv"), "--list"], cwd="/", capture_output=True, text=True)
    assert again.returncode == 0 and "making" not in again.stderr


def only_on_path(folder, **programs):
    folder.mkdir()
    for name, target in {"dirname": shutil.which("dirname"), "cmp": shutil.which("cmp"), **programs}.items():
        (folder / name).symlink_to(target)
    return {"PATH": str(folder), "HOME": str(folder)}


def test_without_python_the_launcher_says_what_to_install(copy):
    done = subprocess.run(
        ["/bin/sh", str(copy / "inv"), "--list"], env=only_on_path(copy / "bin"), capture_output=True, text=True
    )
    assert done.returncode == 2 and "Python 3.9 or newer is needed" in done.stderr and "next:" in done.stderr


def test_without_venv_the_launcher_says_what_to_install(copy):
    """A real Python whose library lacks the venv module, as on a bare Debian or Ubuntu."""
    library = Path(sysconfig.get_path("stdlib"))
    bare = copy / "home" / "lib" / library.name
    bare.mkdir(parents=True)
    for entry in library.iterdir():
        if entry.name != "venv":
            (bare / entry.name).symlink_to(entry)
    environment = only_on_path(copy / "bin", python3=Path(sys.executable).resolve(), sh="/bin/sh")
    environment["PYTHONHOME"] = str(copy / "home")
    done = subprocess.run(["/bin/sh", str(copy / "inv"), "--list"], env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and "cannot make a virtual environment" in done.stderr and "apt install" in done.stderr
    assert "Traceback" not in done.stderr

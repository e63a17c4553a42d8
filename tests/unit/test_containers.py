"""Whose a container is: labs of this clone and user, of nobody else, and never VS Code's. No engine is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.base import paths
from labkit.base.errors import UserError
from labkit.cli import labs, stacks
from labkit.stacks import catalog, containers, editor, images, native, selection
from labkit.stacks.engine import Engine

DOCKER = Engine(client="/usr/bin/docker", version="27.3.1", builder="buildx", compose=("/usr/bin/docker", "compose"))


def project(monkeypatch, root="/srv/torch-labs", uid=1000, asked=None):
    with monkeypatch.context() as patched:
        patched.setattr(paths, "ROOT", Path(root))
        patched.setattr(os, "getuid", lambda: uid)
        if asked is not None:
            patched.setenv("COMPOSE_PROJECT_NAME", asked)
        return containers.project()


def test_a_project_is_of_one_clone_and_one_user_whatever_the_environment_says(monkeypatch):
    monkeypatch.delenv("COMPOSE_PROJECT_NAME", raising=False)
    mine = project(monkeypatch)
    assert mine == project(monkeypatch) and mine.startswith("torch-labs-")
    others = [project(monkeypatch, root="/home/b/torch-labs"), project(monkeypatch, uid=1001)]
    named = [project(monkeypatch, root, uid, "Mine!") for root in ("/a", "/b") for uid in (1, 2)]
    assert len({mine, *others, *named}) == 7
    assert all(name.startswith("mine-") for name in named)
    assert project(monkeypatch, root="/a/\udce9") != project(monkeypatch, root="/a/\udcea")  # no UTF-8


def test_a_devcontainer_has_neither_the_project_nor_the_service_of_labs(monkeypatch, tmp_path):
    monkeypatch.setattr(editor, "FOLDER", tmp_path)
    projects = {containers.project()}
    for name in ("cpu", "notes"):
        editor.write_env(DOCKER, selection.choose([], "", asked=name))
        lines = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines())
        projects.add(lines["COMPOSE_PROJECT_NAME"])
        assert ":devcontainer-" in lines["LAB_TAG"]
    assert len(projects) == 3
    words = containers.compose(DOCKER, selection.choose([], "", asked="cpu"))
    assert words[words.index("--project-name") + 1] == containers.project()
    assert words[words.index("--env-file") + 1] == os.devnull
    assert "devcontainer:" not in (images.DOCKER / "compose.yaml").read_text()


@pytest.mark.parametrize("lies", ["", "LAB_TAG=other\nCOMPOSE_PROJECT_NAME=other\nOMP_NUM_THREADS=77\n"])
def test_what_compose_makes_of_the_files(monkeypatch, tmp_path, copy, lies):
    """The pinned Compose itself, in a clone where a docker/.env may lie that somebody left."""
    monkeypatch.setattr(editor, "FOLDER", copy / ".devcontainer")
    monkeypatch.setattr(containers, "COMPOSE", copy / "docker" / "compose.yaml")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    (copy / "docker" / ".env").write_text(lies)
    choice = selection.choose([], "", asked="notes")
    files = [editor.write_env(DOCKER, choice, asked) for asked in ("", "notes", "modern")]
    assert [str(file.relative_to(copy)) for file in files] == [".devcontainer/.env", ".devcontainer/notes/.env", ".devcontainer/.env"]
    compose = str(native.make_tools("compose", native.find_python(("3.12", "3.13", "3.11", "3.14"))) / "bin" / "docker-compose")

    def config(words, **more):
        command = [compose, *words, "config", "--format", "json"]
        done = subprocess.run(command, env={**os.environ, **more}, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    editors = config(["--file", str(copy / ".devcontainer" / "compose.yaml")])
    assert config(["--file", str(copy / ".devcontainer" / "notes" / "compose.yaml")]) == editors
    assert editors["name"] == f"{containers.project()}-devcontainer-notes" and list(editors["services"]) == ["devcontainer"]
    labs_own = config(containers.compose(DOCKER, choice)[2:], **containers.variables(DOCKER, choice))
    assert labs_own["name"] == containers.project() and "devcontainer" not in labs_own["services"]
    lab, its = labs_own["services"]["lab"], editors["services"]["devcontainer"]
    assert lab["image"] == images.tag(choice.stack, choice.build) and its["image"] == images.editor_tag(choice.stack, choice.build)
    assert lab["environment"].get("OMP_NUM_THREADS") is None
    mounts = [{volume["target"]: volume["source"] for volume in each["volumes"]} for each in (lab, its)]
    assert mounts[0] == mounts[1] and mounts[0]["/etc/passwd"] == str(containers.names() / "passwd")


def test_vscode_is_not_given_a_project_that_every_folder_has(monkeypatch):
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "mine")
    with pytest.raises(UserError, match="COMPOSE_PROJECT_NAME is mine"):
        stacks.devcontainer("cpu")


def test_images_of_devcontainers_are_todays_and_follow_what_they_stand_on(monkeypatch, tmp_path):
    cpu, notes = catalog.load("cpu"), catalog.load("notes")
    for stack in (cpu, notes):
        assert {images.editor_tag(stack, build) for build in stack.builds} <= images.todays(stack)
        assert images.editor_tag(stack, stack.build()) == images.editor_tag(stack.for_editor, stack.build())
    before = images.editor_tag(cpu, cpu.build())
    changed = tmp_path / "devcontainer.Dockerfile"
    changed.write_text("FROM scratch\n")
    monkeypatch.setattr(images, "EDITOR", (changed,))
    assert images.editor_tag(cpu, cpu.build()) != before


@pytest.mark.parametrize(("uid", "name"), [(4321, "lab"), (0, "root")])
def test_the_user_of_a_container_has_a_name(monkeypatch, tmp_path, uid, name):
    monkeypatch.setenv("LAB_RUNS", str(tmp_path))
    monkeypatch.setattr(os, "getuid", lambda: uid)
    monkeypatch.setattr(os, "getgid", lambda: uid)
    for _ in range(2):  # and again, when it is there
        containers.make_folders(DOCKER)
        files = {file.name: file.read_text().splitlines() for file in containers.names().iterdir()}
        assert set(files) == {"passwd", "group"}
        assert files["passwd"][0] == f"{name}:x:{uid}:{uid}::/home/lab:/bin/bash" and files["group"][0] == f"{name}:x:{uid}:"
        assert len({line.partition(":")[0] for line in files["passwd"]}) == len(files["passwd"])


@pytest.fixture
def running(monkeypatch):
    """An engine that answers every question with one container, and notes what it was asked; no real one is needed."""
    asked = []
    monkeypatch.setattr(containers, "output_of", lambda *words: asked.append(words) or "0123456789ab")
    return asked


def test_only_this_clones_labs_are_asked_for(running):
    assert containers.still_running(DOCKER, "cifar10") == ["0123456789ab"]
    (words,) = running
    assert {f"label=com.docker.compose.project={containers.project()}", "label=torch-labs.lab=cifar10"} <= set(words)


@pytest.fixture
def client():
    """Start a process with these words on its command line, as a client of the engine has them; returns its number."""
    started = []

    def start(words):
        command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)", *words]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        started[-1].stdout.readline()  # it has begun
        return started[-1].pid

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_second_lab_is_told_whether_the_first_ones_command_is_still_there(running, client, monkeypatch):
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", f"test-{os.getpid()}")  # a real lab of this clone may be running
    command = containers.run_command(DOCKER, selection.choose([], "", asked="cpu"), "cifar10", ["python"])
    client(word.replace(containers.project(), "torch-labs-0") for word in command)  # of another clone
    with pytest.raises(UserError, match="in container 0123456789ab; the command that started it has ended"):
        labs.refuse_second(DOCKER, "cifar10")
    number = client(command)
    with pytest.raises(UserError, match=f"in container 0123456789ab; process {number} is attached to it"):
        labs.refuse_second(DOCKER, "cifar10")
    assert containers.started_by("dcgan") == ""


@pytest.mark.parametrize(
    ("displays", "there", "found"),
    [
        ({}, ["/tmp/.X11-unix", "/mnt/wslg"], []),
        ({"DISPLAY": ":0"}, ["/tmp/.X11-unix"], [("/tmp/.X11-unix", "DISPLAY")]),
        ({"DISPLAY": ":0", "WAYLAND_DISPLAY": "wayland-0"}, [], []),
        ({"WAYLAND_DISPLAY": "wayland-0"}, ["/tmp/.X11-unix", "/mnt/wslg"], [("/mnt/wslg", "WAYLAND_DISPLAY")]),
    ],
)
def test_a_container_gets_the_screen_that_there_is(displays, there, found, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in displays.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(containers.Path, "exists", lambda path: str(path) in there)
    assert containers.display() == found


def test_a_file_that_a_container_cannot_be_given_is_refused():
    choice = selection.choose([], "", asked="cpu")
    with pytest.raises(UserError, match="whose name has a colon"):
        containers.run_command(DOCKER, choice, "cifar10", ["python"], [Path("/a/b:c.jpg")])


def test_a_lab_gets_a_terminal_only_where_we_have_one(monkeypatch):
    choice = selection.choose([], "", asked="cpu")
    for ours, asked in ((True, True), (True, False), (False, True)):
        monkeypatch.setattr(containers.sys, "stdin", type("Stdin", (), {"isatty": lambda self, ours=ours: ours})())
        words = containers.run_command(DOCKER, choice, "cifar10", ["python"], more={"B": "2", "A": "1"}, terminal=asked)
        assert ("--no-TTY" not in words) == (ours and asked)
        assert words[words.index("--env") + 1] == "A=1" and words[-2:] == ["lab", "python"]


def test_processes_in_a_container_are_the_callers_own(monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 1234)
    monkeypatch.setattr(os, "getgid", lambda: 1235)
    assert containers.user(DOCKER) == "1234:1235"
    assert containers.user(Engine(rootless=True)) == "0:0"  # which the engine maps to the caller


def test_exceptions_of_the_user_are_for_labs_and_services_alike(monkeypatch, tmp_path):
    monkeypatch.setattr(native, "VENV", tmp_path)
    assert containers.exceptions() == []
    monkeypatch.setenv("LAB_DOCKER_ARGS", "read-only=false cap-add=SYS_PTRACE")
    (file,) = containers.exceptions()
    services = json.loads(file.read_text())["services"]
    assert set(services) == {"lab", "visdom", "tensorboard", "notebook"} and services["lab"] == services["visdom"]
    assert services["lab"]["read_only"] is False and services["lab"]["cap_add"] == ["SYS_PTRACE"]
    words = containers.compose(DOCKER, selection.choose([], "", asked="cpu"))
    files = [words[place + 1] for place, word in enumerate(words) if word == "--file"]
    assert files == [str(containers.COMPOSE), str(containers.HARDENED), str(file)]  # the last has the last word

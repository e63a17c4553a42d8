"""Build and run commands of containers as data; no engine is needed."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from pathlib import Path

import msgspec
import pytest

from labkit.base.errors import UserError
from labkit.stacks import catalog, containers, engine, images, native, runner, selection
from labkit.stacks.engine import Engine
from labkit.stacks.images import Sources

DOCKER = Engine(client="/usr/bin/docker", version="27.3.1", builder="buildx", compose=("/usr/bin/docker", "compose"))
CPU = catalog.load("cpu")
CU118 = catalog.load("cu118")
NOTES = catalog.load("notes")


def command(**changes):
    sources = Sources(**changes)
    return images.build_command(DOCKER, CPU, CPU.build(), "ubuntu:24.04", sources, Path("/context"))


def test_the_build_gets_everything_as_arguments(monkeypatch, tmp_path):
    (tmp_path / "ca.pem").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("HTTPS_PROXY", "http://user:word@proxy:3128")
    words = command(index="https://pypi.tuna.tsinghua.edu.cn/simple", apt="https://mirrors.tuna.tsinghua.edu.cn")
    assert words[:4] == ["/usr/bin/docker", "buildx", "build", "--load"]
    for argument in (
        "BASE_IMAGE=ubuntu:24.04",
        "PYTHON=3.12",
        "INSTALL_OPTIONS=--require-hashes",
        "LAB_IMAGE=cpu/cpu",
    ):
        assert words[words.index(argument) - 1] == "--build-arg"
    assert "UV_DEFAULT_INDEX=https://pypi.tuna.tsinghua.edu.cn/simple" in words
    assert f"id=ca,src={tmp_path}/ca.pem" in words
    assert "HTTPS_PROXY" in words and not any("user:word" in word for word in words)  # docker reads the value itself


def test_a_pending_build_asks_for_no_hashes_and_names_its_index():
    build = NOTES.build("cu101")
    words = images.build_command(DOCKER, NOTES, build, "base", Sources(), Path("/context"))
    assert f"INSTALL_OPTIONS=--index {build.wheels} --index-strategy unsafe-best-match" in words


def test_bases_are_tried_in_order_by_digest():
    pinned, tagged = f"nvidia/cuda@{CU118.digest}", CU118.base
    assert images.base_sources(CU118, Sources()) == [pinned, f"nvcr.io/{pinned}", tagged, f"nvcr.io/{tagged}"]
    assert images.base_sources(CU118, Sources(registry="mirror.example.com/"))[0] == f"mirror.example.com/{pinned}"
    assert images.base_sources(CU118, Sources(base="mine:1")) == ["mine:1"]
    assert images.base_sources(CPU, Sources()) == [f"ubuntu@{CPU.digest}", "ubuntu:24.04"]


def test_a_mirror_of_docker_hub_is_asked_for_library_ubuntu_too():
    tried = images.base_sources(CPU, Sources(registry="mirror.example.com/"))
    both = ["mirror.example.com/library/ubuntu", "mirror.example.com/ubuntu", "ubuntu"]
    assert tried == [*(f"{name}@{CPU.digest}" for name in both), *(f"{name}:24.04" for name in both)]
    assert all(stack.digest != "pending" for stack in map(catalog.load, catalog.names()))


class Registry:
    """What the engine answers of the bases `there`; that it pulls nothing else is its own affair."""

    def __init__(self, monkeypatch, *there):
        self.pulled, self.there = [], there
        monkeypatch.setattr(images, "present", lambda engine, name: False)
        monkeypatch.setattr(images.subprocess, "run", self.pull)

    def pull(self, command, **_):
        self.pulled.append(command[-1])
        problem = "" if command[-1] in self.there else "Error response from daemon: manifest unknown"
        return images.subprocess.CompletedProcess(command, bool(problem), "", problem)


def test_the_tag_is_taken_with_a_warning_when_nobody_has_the_digest(monkeypatch, capsys):
    registry = Registry(monkeypatch, CPU.base)
    assert images.get_base(DOCKER, CPU, Sources()) == CPU.base
    assert registry.pulled == [f"ubuntu@{CPU.digest}", CPU.base]
    said = capsys.readouterr().err
    assert "no registry has ubuntu:24.04 as it was recorded" in said and "(manifest unknown)" in said
    Registry(monkeypatch, f"ubuntu@{CPU.digest}", CPU.base)
    assert images.get_base(DOCKER, CPU, Sources()) == f"ubuntu@{CPU.digest}"
    assert "as it was recorded" not in capsys.readouterr().err


def test_the_tag_follows_the_content(monkeypatch, tmp_path):
    before = images.tag(CPU, CPU.build())
    assert before == images.tag(CPU, CPU.build()) and before.startswith("torch-labs/cpu:")
    assert before != images.tag(catalog.load("cu130"), catalog.load("cu130").build())
    changed = tmp_path / "docker"
    changed.mkdir()
    for name in ("Dockerfile", *images.HELPERS):
        (changed / name).write_text((images.DOCKER / name).read_text() + "# changed\n")
    monkeypatch.setattr(images, "DOCKER", changed)
    assert images.tag(CPU, CPU.build()) != before


def with_lock(stack, tmp_path, change):
    """The stack with its first build's lock changed."""
    lock = tmp_path / "lock.txt"
    lock.write_text(change(stack.build().lock.read_text(encoding="utf-8")), encoding="utf-8")
    return msgspec.structs.replace(stack, builds=(msgspec.structs.replace(stack.build(), lock=lock),))


@pytest.mark.parametrize("mark", [images.tag, native.fingerprint])
def test_a_comment_changes_nothing_and_a_version_does(tmp_path, mark):
    commented = with_lock(CPU, tmp_path, lambda text: f"# a remark\n{text}    # via x\n")
    assert mark(commented, commented.build()) == mark(CPU, CPU.build())
    moved = with_lock(CPU, tmp_path, lambda text: text.replace("six==", "six==1", 1))
    assert mark(moved, moved.build()) != mark(CPU, CPU.build())


@pytest.mark.parametrize("stack", [catalog.load(name) for name in catalog.names()], ids=lambda stack: stack.name)
def test_the_layers_hold_each_package_once_and_pytorch_with_what_it_needs_first(stack):
    first, then = images.parts(stack, stack.build())
    names = [re.findall(r"^([\w.-]+)", text, re.MULTILINE) for text in (first, then)]
    assert {"torch", "torchvision", "numpy"} <= set(names[0]) and not set(names[0]) & set(names[1])
    assert sorted(names[0] + names[1]) == sorted(
        re.findall(r"^([\w.-]+)", native.requirements(stack, stack.build(), windows=True), re.MULTILINE)
    )
    assert len(names[1]) > len(names[0])


def test_the_image_of_the_notes_devcontainer_is_one_of_todays(monkeypatch):
    editor = NOTES.for_editor
    assert editor.base == "ubuntu:20.04" and images.tag(editor, NOTES.build()) != images.tag(NOTES, NOTES.build())
    listed = f"{images.tag(editor, NOTES.build())}\n{images.tag(NOTES, NOTES.build())}\ntorch-labs/notes:0123456789ab"
    monkeypatch.setattr(images, "output_of", lambda *command: listed)
    assert images.older(DOCKER, NOTES) == ["torch-labs/notes:0123456789ab"]


def test_where_prefers_a_container_and_says_why_not():
    assert runner.where("", False, DOCKER) == ("docker", "docker 27.3.1 answers")
    assert runner.where("", False, Engine(problem="the engine is not running")) == ("venv", "the engine is not running")
    place, why = runner.where("", False, DOCKER, use_gpu=True)
    assert place == "venv" and "NVIDIA Container Toolkit is missing" in why
    assert runner.where("", False, dataclasses.replace(DOCKER, gpu="CDI"), use_gpu=True)[0] == "docker"
    with pytest.raises(UserError, match="not in the group docker"):
        runner.where("docker", False, Engine(problem=engine.explain("permission denied while trying to connect")))


def test_the_run_command_mounts_the_users_image_read_only(tmp_path):
    image = tmp_path / "a b.jpg"
    choice = selection.choose([], "", asked="cpu")
    words = containers.python_command(DOCKER, choice, "cifar10", ["labs/cifar10/lab.py"], [image])
    assert words[words.index(f"{image}:{image}:ro") - 1] == "--volume"
    assert words[-3:] == ["lab", "python", "labs/cifar10/lab.py"]
    assert not any("compose.gpu" in word for word in words)


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("Got permission denied while trying to connect to the Docker daemon socket", "not in the group docker"),
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is it running?", "not running"),
        ("", "does not answer"),
    ],
)
def test_what_the_engine_complains_of_is_explained(message, says):
    assert says in engine.explain(message)


def test_a_full_disk_is_said_before_the_build_and_a_missing_builder_too(monkeypatch, tmp_path):
    """No engine is asked: `output_of` answers as an engine without the image whose folder is tmp_path."""
    monkeypatch.setattr(images, "output_of", lambda *command, **_: str(tmp_path) if "info" in command else "")
    monkeypatch.setattr(images, "free_gb", lambda folder: 3.0 if folder == tmp_path else 1e6)
    with pytest.raises(UserError, match=r"takes about 3\.8 GB and only 3\.0 GB are free"):
        images.ensure(DOCKER, CPU, CPU.build(), Sources())
    with pytest.raises(UserError, match="neither buildx nor BuildKit"):
        images.ensure(dataclasses.replace(DOCKER, builder=""), CPU, CPU.build(), Sources())


def test_bytecode_is_the_same_every_time_and_only_what_lacks_it_is_compiled(tmp_path):
    """In the Python of the notes the order of a set in bytecode follows the seed of the hashes, new in each process."""
    try:
        python = native.find_python(("3.8",))
    except UserError as error:
        pytest.skip(str(error))
    words = ", ".join(repr(f"word {number}") for number in range(50))
    (tmp_path / "sets.py").write_text(f"def known(word):\n    return word in {{{words}}}\n")
    (tmp_path / "template.py").write_text("{{ not Python }\n")
    seen = set()
    for _ in range(3):
        subprocess.run([python, str(images.DOCKER / "compile.py"), str(tmp_path)], check=True)
        (made,) = (tmp_path / "__pycache__").iterdir()
        seen.add(made.read_bytes())
        made.unlink()
    assert len(seen) == 1
    made.write_bytes(b"there already")
    subprocess.run([python, str(images.DOCKER / "compile.py"), str(tmp_path)], check=True)
    assert made.read_bytes() == b"there already"

"""Build and run commands of containers as data; no engine is needed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from labkit.base.errors import UserError
from labkit.stacks import catalog, containers, engine, images, runner, selection
from labkit.stacks.engine import Engine
from labkit.stacks.images import Sources

DOCKER = Engine(client="/usr/bin/docker", version="27.3.1", builder="buildx", compose=("/usr/bin/docker", "compose"))
CPU = catalog.load("cpu")
CU118 = catalog.load("cu118")


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
        "LAB_IMAGE=cpu/index",
    ):
        assert words[words.index(argument) - 1] == "--build-arg"
    assert "UV_DEFAULT_INDEX=https://pypi.tuna.tsinghua.edu.cn/simple" in words
    assert f"id=ca,src={tmp_path}/ca.pem" in words
    assert "HTTPS_PROXY" in words and not any("user:word" in word for word in words)  # docker reads the value itself


def test_a_pending_build_asks_for_no_hashes_and_names_its_index():
    build = CU118.build("cu118")
    words = images.build_command(DOCKER, CU118, build, "base", Sources(), Path("/context"))
    assert f"INSTALL_OPTIONS=--index {build.wheels} --index-strategy unsafe-best-match" in words


def test_bases_are_tried_in_order_by_digest():
    pinned = f"nvidia/cuda@{CU118.digest}"
    assert images.base_sources(CU118, Sources()) == [pinned, f"nvcr.io/{pinned}"]
    assert images.base_sources(CU118, Sources(registry="mirror.example.com/"))[0] == f"mirror.example.com/{pinned}"
    assert images.base_sources(CU118, Sources(base="mine:1")) == ["mine:1"]
    assert images.base_sources(CPU, Sources()) == ["ubuntu:24.04"]


def test_the_tag_follows_the_content(monkeypatch, tmp_path):
    before = images.tag(CPU, CPU.build())
    assert before == images.tag(CPU, CPU.build()) and before.startswith("torch-labs/cpu:")
    assert before != images.tag(catalog.load("cu130"), catalog.load("cu130").build())
    changed = tmp_path / "docker"
    changed.mkdir()
    for name in ("Dockerfile", "apt-install"):
        (changed / name).write_text((images.DOCKER / name).read_text() + "# changed\n")
    monkeypatch.setattr(images, "DOCKER", changed)
    assert images.tag(CPU, CPU.build()) != before


def test_where_prefers_a_container_and_says_why_not():
    assert runner.where("", False, DOCKER) == ("docker", "docker 27.3.1 answers")
    assert runner.where("", False, Engine(problem="the engine is not running")) == ("venv", "the engine is not running")
    place, why = runner.where("", False, DOCKER, use_gpu=True)
    assert place == "venv" and "NVIDIA container toolkit" in why
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
    with pytest.raises(UserError, match=r"takes about 15 GB and only 3\.0 GB are free"):
        images.ensure(DOCKER, CPU, CPU.build(), Sources())
    with pytest.raises(UserError, match="neither buildx nor BuildKit"):
        images.ensure(dataclasses.replace(DOCKER, builder=""), CPU, CPU.build(), Sources())

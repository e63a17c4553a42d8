"""Which docker program is called, how it builds and composes: programs of our own stand for the real ones."""

from __future__ import annotations

import json
import os

import pytest

from labkit.stacks import engine


@pytest.fixture
def program(tmp_path):
    def make(name, script, folder="bin"):
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)
        return str(path)

    return make


@pytest.fixture
def only_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{tmp_path / 'other'}")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)


def says(**told):
    return f"[ \"$1\" = info ] && echo '{json.dumps({'ServerVersion': '27.3.1', **told})}'"


def test_every_client_on_the_path_is_found_once_and_the_first_comes_first(program, only_ours, tmp_path):
    first, second = program("docker", ""), program("docker", "", "other")
    assert engine.clients() == [first, second]
    os.remove(second)
    os.symlink(first, second)  # the same program by another name
    assert engine.clients() == [first]


@pytest.mark.parametrize(
    ("version", "builder"), [("18.09.1", ""), ("19.03.9", "BuildKit"), ("22.6", "BuildKit"), ("23.0.0", ""), ("2.0", ""), ("", "")]
)
def test_a_client_without_buildx_builds_where_buildkit_is_inside_it(version, builder, program, only_ours):
    client = program("docker", f'[ "$1" = version ] && echo {version}')
    assert engine.find_builder([client], {}) == (client, builder)


def test_the_client_that_can_build_is_taken_wherever_it_stands(program, only_ours):
    first = program("docker", "exit 1")
    second = program("docker", '[ "$1" = buildx ] && echo v0.29.1', "other")
    assert engine.find_builder([first, second], {"Plugins": []}) == (second, "buildx")
    assert engine.find_builder([first], {"Plugins": [{"Name": "buildx", "Version": "1"}]}) == (first, "buildx")
    told = {"Plugins": [{"Name": "buildx", "Version": "1", "Err": "exec format error"}], "Version": "20.10.24"}
    assert engine.find_builder([first], told) == (first, "BuildKit")


@pytest.mark.parametrize(("version", "taken"), [("2.40.0", True), ("v5.0.1", True), ("1.29.2", False)])
def test_a_compose_of_its_own_is_taken_unless_it_is_the_first_one(version, taken, program, only_ours):
    client = program("docker", "exit 1")
    assert engine.find_compose(client, {}) == ()
    compose = program("docker-compose", f"echo {version}")
    assert engine.find_compose(client, {}) == ((compose,) if taken else ())
    plugin = {"Plugins": [{"Name": "compose", "Version": "v2"}]}
    assert engine.find_compose(client, plugin) == (client, "compose")  # which comes first


def test_what_the_first_client_told_of_itself_says_nothing_of_another(program, only_ours):
    """The one that can build is called, and asked itself for its Compose."""
    about = {"ClientInfo": {"Context": "default", "Plugins": [{"Name": "compose", "Version": "v2"}]}}
    program("docker", says(**about))
    second = program("docker", '[ "$1" = buildx ] && echo v0.29.1', "other")
    found = engine.find()
    assert (found.client, found.builder, found.compose) == (second, "buildx", ())


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, {"rootless": False, "proxy": "", "folder": "", "reads": "", "problem": ""}),
        ({"SecurityOptions": ["name=seccomp", "name=rootless"]}, {"rootless": True}),
        ({"HttpProxy": "http://a", "HttpsProxy": "http://b"}, {"proxy": "http://b"}),
        ({"HttpProxy": "http://a"}, {"proxy": "http://a"}),
        ({"DockerRootDir": "/"}, {"folder": "/", "reads": ""}),
        ({"DockerRootDir": "/nowhere/at/all"}, {"folder": ""}),
        ({"DockerRootDir": "/var/snap/docker/common"}, {"reads": engine.SNAP}),
        ({"OperatingSystem": "Docker Desktop"}, {"reads": engine.DESKTOP}),
        ({"OperatingSystem": "Docker Desktop", "KernelVersion": "5.15-microsoft-standard-WSL2"}, {"reads": ""}),
    ],
)
def test_what_an_engine_tells_of_itself(told, expected, program, only_ours):
    program("docker", says(**told))
    found = engine.find()
    assert {name: getattr(found, name) for name in expected} == expected and found.version == "27.3.1"


def test_names_of_images_and_of_who_holds_a_port_are_those_that_docker_prints(program, tmp_path):
    asked = tmp_path / "asked"
    client = program("docker", f"""echo "$@" >> '{asked}'
case "$1" in image) printf 'torch-labs/cpu:1\\ntorch-labs/notes:2\\n';; ps) printf 'web\\ndb\\n';; esac""")
    found = engine.Engine(client)
    assert engine.our_images(found) == ("torch-labs/cpu:1", "torch-labs/notes:2") and engine.publisher(found, 8097) == "web"
    assert asked.read_text().splitlines() == [
        "image ls --format {{.Repository}}:{{.Tag}} torch-labs/*", "ps --filter publish=8097 --format {{.Names}}",
    ]  # fmt: skip


def test_every_problem_that_has_a_remedy_says_it_and_an_address_may_follow():
    assert engine.remedy(engine.NOT_INSTALLED) == "" and engine.remedy("the dog ate it") == ""
    for problem, what in engine.REMEDIES.items():
        assert engine.remedy(problem) == engine.remedy(f"{problem} (tcp://far)") == what

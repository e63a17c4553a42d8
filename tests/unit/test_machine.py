"""What is looked at on this machine, in folders and with programs of ours."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest

from labkit.base import paths
from labkit.stacks import machine
from labkit.stacks.engine import Engine


def test_the_room_of_a_folder_that_is_not_there_yet_is_that_of_the_one_above(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: asked.append(folder) or SimpleNamespace(free=2_500_000_000))
    assert machine.free_gb(tmp_path / "a" / "b") == machine.free_gb(tmp_path) == 2.5
    assert asked == [tmp_path, tmp_path]


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://index.example/simple", "index.example"), ("http://me:a@b@proxy:3128/", "proxy:3128"), ("proxy:3128", "proxy:3128"),
        ("me:secret@proxy", "proxy"), ("socks5h://[::1]:1080", "[::1]:1080"), ("", ""),
    ],
)  # fmt: skip
def test_the_host_of_an_address_is_without_login_and_path(address, host):
    assert machine.host_of(address) == host


def test_of_a_port_the_container_is_named_where_an_engine_publishes_it(monkeypatch):
    monkeypatch.setattr(machine.engine, "publisher", lambda docker, port: "web")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert machine.who_holds(Engine("docker"), port) == "container web"
        assert "(process " in machine.who_holds(Engine(problem="it is off"), port)
        monkeypatch.setattr(machine.engine, "publisher", lambda docker, port: "")
        assert "(process " in machine.who_holds(Engine("docker"), port)
    assert machine.who_holds(Engine("docker"), port) == ""


def test_detectron2_is_looked_for_in_finished_environments_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    for stack, stamp, version in (("cpu", True, "0.6+cpu"), ("notes", True, ""), ("cu130", False, "0.6")):
        packages = tmp_path / ".venv" / stack / "lib" / "python3.12" / "site-packages"
        packages.mkdir(parents=True)
        if stamp:
            (tmp_path / ".venv" / stack / "stamp.json").touch()
        if version:
            (packages / f"detectron2-{version}.dist-info").mkdir()
    assert machine.find_detectron2() == {"cpu": "0.6, Python alone: no rotated boxes, no deformable convolution", "notes": ""}
    (tmp_path / ".venv/cpu/lib/python3.12/site-packages/detectron2").mkdir()
    (tmp_path / ".venv/cpu/lib/python3.12/site-packages/detectron2/_C.cpython-312.so").touch()
    assert machine.find_detectron2()["cpu"] == "0.6, compiled"


def test_a_library_is_found_by_its_name_and_a_missing_one_is_none():
    assert machine.has_library("libc.so.6") and not machine.has_library("libnothing-of-the-kind.so")
    assert machine.find_library("libnothing-of-the-kind.so") == ""

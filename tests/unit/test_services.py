"""Services as data: what is started, on which address and port; no server is started here."""

from __future__ import annotations

import json
import os
import re
import socket

import pytest

from labkit.base import paths, ports
from labkit.base.errors import UserError
from labkit.services import control, serve
from labkit.stacks import visdom_page


@pytest.mark.parametrize("name", ports.SERVICES)
def test_natively_every_service_listens_on_the_loopback_address_only(name, monkeypatch, tmp_path):
    monkeypatch.setenv("LAB_RUNS", str(tmp_path))
    words = serve.command(name, "127.0.0.1", "1234")
    assert "1234" in words or "--ServerApp.port=1234" in words
    assert {"-bind_local", "127.0.0.1", "--ServerApp.ip=127.0.0.1"} & set(words)
    assert not any("0.0.0.0" in word for word in words)


def test_in_compose_every_port_is_published_on_the_loopback_address():
    text = (paths.ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8")
    published = re.findall(r"^    ports: \[\"(.+)\"\]", text, re.MULTILINE)
    assert text.count("ports:") == len(published) == len(ports.SERVICES)
    for entry in published:
        assert entry.replace("${VISDOM_ADDRESS:-127.0.0.1}", "127.0.0.1").startswith("127.0.0.1:"), entry
        assert str(ports.SERVICES[re.search(r"{(\w+)_PORT", entry).group(1).lower()]) in entry


def test_the_port_is_the_one_asked_for_or_where_labs_look_or_the_usual_one(monkeypatch):
    monkeypatch.delenv("VISDOM_PORT", raising=False)
    assert control.wanted_port("visdom", "") == 8097
    monkeypatch.setenv("VISDOM_PORT", "9000")
    assert control.wanted_port("visdom", "") == 9000
    assert control.wanted_port("visdom", "9001") == 9001
    assert control.wanted_port("tensorboard", "") == 6006


@pytest.mark.parametrize("text", ["eight", "80", "-1", "70000", "8097.0"])
def test_what_is_no_port_is_refused(text):
    with pytest.raises(UserError, match="is no port"):
        control.wanted_port("visdom", text)


def test_a_taken_port_names_its_holder_and_a_free_one():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} is taken by .*process {os.getpid()}") as refused:
            control.require_free("visdom", port)
    offered = int(refused.value.next_command.split()[-1])
    assert refused.value.next_command == f"./inv visdom --port {offered}" and offered > port


def test_another_process_that_got_the_number_is_not_taken_for_the_service(monkeypatch, tmp_path):
    monkeypatch.setenv("LAB_RUNS", str(tmp_path))
    control.folder().mkdir()
    control.log_of("visdom").touch()
    note = {"process": os.getpid(), "port": 8097, "token": ""}
    (control.folder() / "visdom.json").write_text(json.dumps(note))
    assert control.find_native("visdom") is None


def test_npms_lock_pins_every_package_by_hash_and_names_no_host():
    wanted = json.loads(visdom_page.FILES[0].read_text())["dependencies"]
    text = visdom_page.FILES[1].read_text()
    locked = json.loads(text)["packages"]
    assert {f"node_modules/{name}" for name in wanted} == locked.keys() - {""}
    for name, version in wanted.items():
        entry = locked[f"node_modules/{name}"]
        assert version.rpartition("@")[2] == entry["version"] and entry["integrity"].startswith("sha512-")
    assert "resolved" not in text and "http" not in text


@pytest.mark.parametrize(("version", "own"), [("11.4.0", True), ("7.24.2", True), ("5.8.0", False), ("", False)])
def test_an_npm_that_cannot_read_the_lock_is_not_used(version, own, monkeypatch, tmp_path):
    (tmp_path / "npm").write_text(f"#!/bin/sh\necho {version}\n")
    (tmp_path / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr(visdom_page.native, "make_tools", lambda name: tmp_path / name)
    assert visdom_page.npm() == str(tmp_path / "npm" if own else tmp_path / "node" / "bin" / "npm")

"""Services as data: what is started, on which address and port; and how one starts, ends and is forgotten.

A program of our own stands for the services here: it listens on its port, or is told not to.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
from sockets import free_port

from labkit.base import login, paths, ports
from labkit.base.errors import UserError
from labkit.services import control, serve
from labkit.stacks import visdom_page
from labkit.stacks.engine import Engine


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
    monkeypatch.delenv("LAB_VISDOM_PORT", raising=False)
    assert control.wanted_port("visdom", "") == 8097
    monkeypatch.setenv("LAB_VISDOM_PORT", "9000")
    assert control.wanted_port("visdom", "") == 9000
    assert control.wanted_port("visdom", "9001") == 9001
    assert control.wanted_port("tensorboard", "") == 6006


def test_a_port_that_was_asked_for_is_remembered(monkeypatch, tmp_path):
    monkeypatch.delenv("LAB_VISDOM_PORT", raising=False)
    monkeypatch.setenv("LAB_RUNS", str(tmp_path))
    control.remember_port("visdom", 9003)
    control.forget("visdom")  # --stop
    assert control.wanted_port("visdom", "") == 9003 and control.wanted_port("visdom", "9001") == 9001
    assert control.wanted_port("tensorboard", "") == 6006
    monkeypatch.setenv("LAB_VISDOM_PORT", "9000")
    assert control.wanted_port("visdom", "") == 9000
    monkeypatch.delenv("LAB_VISDOM_PORT")
    for damaged in (b"\xff", b"", b"80", b"99999", b"9000; true"):
        (tmp_path / ".services" / "ports" / "visdom").write_bytes(damaged)
        assert control.wanted_port("visdom", "") == 8097


@pytest.mark.parametrize("text", ["eight", "80", "-1", "70000", "8097.0"])
def test_what_is_no_port_is_refused(text):
    with pytest.raises(UserError, match="is not a port"):
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


STAND_IN = """
import http.server, os, signal, sys, time
with open(sys.argv[0] + ".new", "w") as file:
    file.write(str(os.getpid()))
os.rename(file.name, sys.argv[0] + ".pid")  # whole as soon as it is there
if "deaf" in os.environ["STAND_IN"]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "mute" in os.environ["STAND_IN"]:
    time.sleep(60)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[-1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


class StandIn:
    """A service whose program is STAND_IN, in a runs folder of its own."""

    def __init__(self, folder):
        self.program, self.port = folder / "stand_in.py", free_port()
        self.program.write_text(STAND_IN)

    def start(self, how="", name="tensorboard"):
        argv = (sys.executable, str(self.program))
        return control.start_native(name, argv, {"STAND_IN": how}, "127.0.0.1", self.port, "")

    def process(self):
        return int(self.program.with_name("stand_in.py.pid").read_text())


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    monkeypatch.setenv("LAB_RUNS", str(tmp_path / "runs"))
    made = StandIn(tmp_path)
    yield made
    for note in control.folder().glob("*.json"):
        found = control.find_native(note.stem)
        if found:
            os.kill(int(found.handle), signal.SIGKILL)


@pytest.fixture
def bystander():
    """Any other process of ours."""
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def alive(process):
    try:
        return os.waitpid(process, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return os.path.exists(f"/proc/{process}")


def test_a_service_starts_is_found_and_is_stopped_twice(stand_in):
    service = stand_in.start()
    assert control.find_native("tensorboard") == service and control.answers("tensorboard", stand_in.port)
    control.stop(service, Engine())
    assert control.find_native("tensorboard") is None and not alive(stand_in.process())
    control.stop(service, Engine())  # by a second terminal that had found it too
    assert not control.note_of("tensorboard").exists()


def test_one_that_does_not_listen_to_a_polite_signal_is_ended(stand_in, monkeypatch):
    monkeypatch.setattr(control, "END_S", 0.3)
    control.stop(stand_in.start("deaf"), Engine())
    assert not alive(stand_in.process())


def test_a_process_that_got_the_number_meanwhile_is_not_ended(stand_in, bystander):
    control.stop(stand_in.start(), Engine())
    gone = control.Service("tensorboard", "venv", stand_in.port, "", str(bystander.pid))
    note = {"process": bystander.pid, "port": stand_in.port, "token": ""}
    control.note_of("tensorboard").write_text(json.dumps(note))
    control.stop(gone, Engine())
    time.sleep(0.2)
    assert bystander.poll() is None and not control.note_of("tensorboard").exists()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError])
def test_what_stops_while_it_starts_leaves_nothing(stop, stand_in, monkeypatch):
    def interrupt(*_):
        while not stand_in.program.with_name("stand_in.py.pid").exists():
            time.sleep(0.01)
        raise stop

    monkeypatch.setattr(control, "answers", interrupt)
    login.set_password("secret")
    with pytest.raises(stop):
        stand_in.start("mute, deaf", "visdom")
    assert not alive(stand_in.process())
    assert not control.note_of("visdom").exists() and login.password() == ""


def test_one_that_never_answers_is_refused_and_leaves_nothing(stand_in, monkeypatch):
    monkeypatch.setattr(control, "START_S", 1.0)
    with pytest.raises(UserError, match="tensorboard is not running: no answer within 1 s") as refused:
        stand_in.start("mute")
    assert refused.value.next_command == f"less {control.log_of('tensorboard')}"
    assert not alive(stand_in.process()) and not control.note_of("tensorboard").exists()


@pytest.mark.parametrize("text", ["", '{"process": 12'])
def test_half_a_note_is_no_service(text, stand_in):
    """As Ctrl-C or a power cut leaves it, between its making and its writing."""
    control.folder().mkdir(parents=True)
    control.note_of("tensorboard").write_text(text)
    assert control.find_native("tensorboard") is None
    control.stop(stand_in.start(), Engine())


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

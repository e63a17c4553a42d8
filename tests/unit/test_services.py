"""Services as data: what is started, on which address and port; and how one starts, ends and is forgotten.

A program of our own stands for the services here: it listens on its port, or is told not to.
"""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import PurePath

import pytest
from sockets import free_port

from labkit.base import login, paths, ports
from labkit.base.errors import UserError
from labkit.cli import services as tasks
from labkit.services import control, serve
from labkit.stacks import containers, runner, selection, visdom_page
from labkit.stacks.engine import Engine
from labkit.stacks.machine import probe


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
if "saves" in os.environ["STAND_IN"]:
    def save(*_):
        time.sleep(0.5)
        open(sys.argv[0] + ".saved", "w").close()
        os._exit(0)
    signal.signal(signal.SIGTERM, save)
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


def test_one_that_is_asked_politely_has_time_to_save_before_it_is_ended(stand_in, monkeypatch):
    service = stand_in.start("saves")
    began = time.monotonic()
    control.stop(service, Engine())
    assert stand_in.program.with_name("stand_in.py.saved").exists() and not alive(stand_in.process())
    assert time.monotonic() - began < control.END_S  # which is not waited for longer than it takes


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


# --- in a container: a program of ours stands for docker and its Compose ------------------------------------------------

DOCKER = """#!/bin/sh
cd '{folder}'
echo "$*" >> asked
case "$*" in
*" up "*) touch running; cat said; exit $(cat status);;
ps*) [ -e running ] && echo 0123abcd; true;;
"inspect 0123abcd") cat described;;
*" logs "*) cat log;;
"stop 0123abcd"*) cat stopping >&2; exit $(cat refusing);;
"rm --force 0123abcd") rm running; cat stopping >&2; exit $(cat refusing);;
*) exit 3;;
esac
"""


class Containers:
    """An engine whose container of a service runs as soon as it is `up`."""

    def __init__(self, folder, port):
        self.folder = folder
        folder.mkdir()
        (folder / "docker").write_text(DOCKER.format(folder=folder))
        (folder / "docker").chmod(0o755)
        self.engine = Engine(str(folder / "docker"), "27", compose=(str(folder / "docker"),))
        published = {"NetworkSettings": {"Ports": {"6006/tcp": [{"HostPort": str(port)}], "1/tcp": None}}}
        self.say(said="", status="0", log="cannot bind", stopping="", refusing="0",
                 described=json.dumps([{**published, "Config": {"Env": ["A=1", "JUPYTER_TOKEN=secret=="]}}]))  # fmt: skip

    def say(self, **files):
        for name, text in files.items():
            (self.folder / name).write_text(text)

    @property
    def runs(self):
        return (self.folder / "running").exists()

    def asked(self, word):
        return [row for row in (self.folder / "asked").read_text().splitlines() if word in row.split()]


@pytest.fixture
def answering():
    """A port where a page is given out."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def docked(monkeypatch, tmp_path):
    monkeypatch.setenv("LAB_RUNS", str(tmp_path / "runs"))
    control.folder().mkdir(parents=True)
    monkeypatch.setattr(control, "START_S", 2.0)
    return lambda port: Containers(tmp_path / "engine", port)


def start_container(there, port, name="tensorboard"):
    return control.start_container(name, there.engine, selection.choose([], "", asked="cpu"), "127.0.0.1", port, "")


def test_a_container_is_found_by_its_labels_and_its_port_is_the_published_one(docked, answering):
    there = docked(answering)
    service = start_container(there, answering)
    assert service == control.Service("tensorboard", "docker", answering, "secret==", "0123abcd")
    assert control.find("tensorboard", there.engine) == service
    labels = {f"label=com.docker.compose.{each}" for each in (f"project={containers.project()}", "service=tensorboard", "oneoff=False")}
    assert all(labels <= set(row.split()) for row in there.asked("ps"))
    (up,) = there.asked("up")
    assert up.endswith("up --detach --no-deps tensorboard")
    control.stop(service, there.engine)
    assert not there.runs and control.find("tensorboard", there.engine) is None


@pytest.mark.parametrize("described", ["", "[]", "[1]", "{}", "no JSON", '[{"NetworkSettings": {"Ports": null}}]', "[{}, {}]"])
def test_a_container_that_cannot_be_described_is_none(described, docked, answering):
    there = docked(answering)
    (there.folder / "running").touch()
    there.say(described=described)
    assert control.find_container("tensorboard", there.engine) is None
    assert control.find_container("tensorboard", dataclasses.replace(there.engine, problem="it is off")) is None


def test_a_container_that_does_not_start_or_answer_is_removed_and_its_last_word_said(docked):
    port = free_port()
    there = docked(port)
    began = time.monotonic()
    with pytest.raises(UserError, match="tensorboard is not running: cannot bind") as refused:
        start_container(there, port)
    assert time.monotonic() - began >= control.START_S and not there.runs
    assert refused.value.next_command == f"less {control.log_of('tensorboard')}"
    assert control.log_of("tensorboard").stat().st_mode & 0o777 == 0o600
    there.say(status="1")
    with pytest.raises(UserError, match="tensorboard could not be started"):
        start_container(there, port)
    assert not there.runs  # also one that was made and not started
    there.say(status="0", described="[]")
    began = time.monotonic()
    with pytest.raises(UserError, match="cannot bind"):  # it went at once, and is not waited for
        start_container(there, port)
    assert time.monotonic() - began < control.START_S


@pytest.mark.parametrize(
    ("said", "stopped"), [("", True), ("Error: No such container: 0123abcd", True), ("Error: permission denied", False)]
)
def test_a_container_that_is_gone_already_is_left_at_that_and_one_that_cannot_be_stopped_is_said(said, stopped, docked, answering):
    there = docked(answering)
    service = start_container(there, answering)
    there.say(stopping=said, refusing="1" if said else "0")
    if stopped:
        control.stop(service, there.engine)
    else:
        with pytest.raises(UserError, match="tensorboard could not be stopped: Error: permission denied"):
            control.stop(service, there.engine)
    assert [row for row in (there.folder / "asked").read_text().splitlines() if "0123abcd" in row][-2:] == [
        "stop 0123abcd", "rm --force 0123abcd",
    ]  # fmt: skip


# --- the tasks ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def task(stand_in, monkeypatch):
    """`./inv tensorboard ...` on a machine without an engine; starting goes to the stand-in."""
    machine = dataclasses.replace(probe(), engine=Engine(problem="docker is not installed"))
    monkeypatch.setattr(tasks.machines, "probe", lambda: machine)
    monkeypatch.setattr(tasks, "choose", lambda machine, stack, where: selection.choose([], "", asked="cpu"))
    monkeypatch.setattr(tasks, "prepare", lambda place, where, choice, machine: (place, choice, machine))
    monkeypatch.setattr(tasks, "start", lambda *_: stand_in.start())

    def run(port="", stop=False, status=False, **more):
        return tasks.service("tensorboard", port, stop, status, "", "", **more)

    return run


def test_a_service_is_started_once_found_again_and_stopped(task, stand_in, capsys):
    port = str(stand_in.port)
    assert task(status=True) == 1 and "tensorboard is not running" in capsys.readouterr().err
    assert task(port=port) is None and capsys.readouterr().out == f"http://127.0.0.1:{port}/\n"
    process = stand_in.process()
    assert task() is None and stand_in.process() == process and capsys.readouterr().out == f"http://127.0.0.1:{port}/\n"
    assert task(status=True) == 0 and capsys.readouterr().out == f"http://127.0.0.1:{port}/\n"
    with pytest.raises(UserError, match=f"already running on port {port}") as refused:
        task(port=str(free_port()))
    assert refused.value.next_command == "./inv tensorboard --stop, then retry"
    with pytest.raises(UserError, match="already running, for this machine only"):
        task(public=True)
    assert task(stop=True) == 0 and not alive(process)
    assert task(stop=True) == 0 and task(status=True) == 1
    assert control.wanted_port("tensorboard", "") == stand_in.port  # the one last asked for


def test_a_port_that_somebody_holds_is_refused_before_anything_is_made(task, stand_in, monkeypatch):
    monkeypatch.setattr(tasks, "prepare", lambda *_: pytest.fail("an environment was prepared"))
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(UserError, match="is taken by"):
        task(port=str(server.getsockname()[1]))


def test_a_page_of_an_exercise_and_a_token_are_in_the_address():
    service = control.Service("notebook", "venv", 8888, "a-token", "1")
    assert service.address == "http://127.0.0.1:8888/?token=a-token"
    assert service.page(PurePath("note books", "a.ipynb")) == "http://127.0.0.1:8888/lab/tree/note%20books/a.ipynb?token=a-token"
    assert control.Service("visdom", "venv", 8097, "", "1").address == "http://127.0.0.1:8097/"


class Visdom(http.server.BaseHTTPRequestHandler):
    """Answers as visdom's server does, behind a login where it has one."""

    password, cookie = "", "user=lab"

    def do_POST(self):
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.told.append((self.path, said))
        inside = not self.password or self.cookie in self.headers.get("Cookie", "")
        if self.path == "/":
            inside = said == {"username": login.USER, "password": hashlib.sha256(self.password.encode()).hexdigest()}
        self.send_response(200 if inside else 401)
        if self.path == "/" and inside:
            self.send_header("Set-Cookie", self.cookie)
        self.end_headers()
        self.wfile.write(b'["main", "cifar10_1"]' if inside else b"")

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(("password", "ours"), [("", ""), ("secret", "secret"), ("secret", "another")])
def test_visdom_is_asked_to_save_its_windows_before_it_ends(password, ours, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("LAB_RUNS", str(tmp_path))
    monkeypatch.setattr(Visdom, "password", password)
    monkeypatch.setattr(Visdom, "cookie", f"user={password}-{os.getpid()}-{time.monotonic()}")
    control.folder().mkdir()
    login.set_password(ours)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Visdom) as server:
        server.told = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        control.save_windows(server.server_address[1])
        server.shutdown()
    saved = [said for path, said in server.told if path == "/save"]
    assert saved == ([{"data": ["main", "cifar10_1"]}] if password == ours else [])
    assert ("was not asked to save its windows: it answers HTTP Error 401" in capfd.readouterr().err) is (password != ours)
    control.save_windows(server.server_address[1])  # which is gone by now
    assert capfd.readouterr().err == ""


def test_windows_are_rebuilt_on_the_visdom_that_is_there_and_a_failure_is_said(task, stand_in, monkeypatch, tmp_path, capsys):
    run = tmp_path / "runs" / "toy" / "20260101-000000"
    run.mkdir(parents=True)
    (run / "config.json").write_text(json.dumps({"lab": "toy", "started": "", "preset": "", "smoke": False, "sample": False, "seed": 0, "options": {}}))
    with pytest.raises(UserError, match="the run toy/20260101-000000 drew nothing"):
        task(replay=str(run))
    (run / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    ran, status = [], [0]
    monkeypatch.setattr(runner.Command, "run", lambda self: ran.append(self.shown()) or status[0])
    task(port=str(stand_in.port), replay=str(run))
    assert ran[0].endswith(f"labkit/runs/live.py {run}") and f'"visdom_port": "{stand_in.port}"' in ran[0]
    status[0] = 1
    with pytest.raises(UserError, match="the windows of toy/20260101-000000 could not be rebuilt"):
        task(replay=str(run))
    assert len(ran) == 2


def test_only_a_notebook_computes_and_so_only_it_is_given_the_gpu(task, monkeypatch):
    given = {}
    card = selection.Gpu("A100", "8.0")
    monkeypatch.setattr(tasks, "choose", lambda *_: selection.choose([card], "580.95.05"))

    def start(name, place, choice, *_):
        given[name] = choice.gpus
        raise UserError("far enough")

    monkeypatch.setattr(tasks, "start", start)
    for name in ports.SERVICES:
        with pytest.raises(UserError, match="far enough"):
            tasks.service(name, str(free_port()), False, False, "", "")
    assert given == {"visdom": (), "tensorboard": (), "notebook": (card,)}

"""A real visdom that asks for a password: a lab gets in, or says that it was refused."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from labkit.base import login, paths
from labkit.base.errors import UserError
from labkit.runs import live


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Start a visdom with this password, '' for none; returns its port."""
    started = []

    def start(password):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        runs = tmp_path_factory.mktemp("runs")
        settings = {**os.environ, "PYTHONPATH": str(paths.ROOT), "LAB_RUNS": str(runs)}
        code = "import sys; from labkit.base import login; login.set_password(sys.argv[1])"
        subprocess.run([sys.executable, "-c", code, password], env=settings, check=True)
        command = [sys.executable, "-m", "labkit.services.serve", "visdom", "127.0.0.1", str(port)]
        log = (runs / "log").open("wb")
        started.append(subprocess.Popen(command, env=settings, stdout=log, stderr=log, cwd=str(paths.ROOT)))
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError):
                direct.open(f"http://127.0.0.1:{port}/", timeout=5).read()
                return port
            assert started[-1].poll() is None and time.monotonic() < deadline, (runs / "log").read_text()
            time.sleep(0.1)

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def closed_port(start):
    return start("secret")


@pytest.fixture(scope="module")
def open_port(start):
    return start("")


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """The side of the lab: which password it knows, and where it looks for visdom."""
    monkeypatch.setenv("LAB_RUNS", str(tmp_path / "runs"))

    def look(port, password):
        monkeypatch.setenv("LAB_VISDOM_PORT", str(port))
        login.set_password(password)

    return look


LINE = {"loss": ([1, 2], [0.5, 0.25])}


def test_with_the_password_a_lab_draws(lab, closed_port):
    lab(closed_port, "secret")
    server = live.connect("some_run")
    server.draw(LINE)
    shown = server._opener.open(f"http://127.0.0.1:{closed_port}/env_state", b"{}", timeout=5)
    assert "some_run" in json.loads(shown.read())


@pytest.mark.parametrize("password", ["another", ""])
def test_a_refused_login_is_told_from_no_server(password, lab, closed_port):
    lab(closed_port, password)
    with pytest.raises(UserError, match="refuses our login") as refused:
        live.connect("some_run")
    assert f":{closed_port} " in refused.value.message and "./inv visdom --stop" in refused.value.next_command


def test_no_server_is_no_error(lab):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        lab(nobody.getsockname()[1], "secret")
        assert live.connect("some_run") is None


def test_a_password_of_before_is_no_obstacle_to_a_server_that_asks_nobody(lab, open_port):
    lab(open_port, "of before")
    live.connect("some_run").draw(LINE)


def test_a_lab_says_once_that_it_was_refused_and_draws_when_it_is_let_in(
    lab, closed_port, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(live.Windows, "REDRAW_S", 0.02)
    monkeypatch.setattr(live.Windows, "RETRY_S", 0.02)
    lab(closed_port, "another")
    folder = tmp_path / "runs" / "toy" / "20260101-000000"
    folder.mkdir(parents=True)
    facts = {"lab": "toy", "title": "Toy", "title_zh": "", "seed": 0, "sample": False, "smoke": False, "options": {}}
    (folder / "config.json").write_text(json.dumps({**facts, "started": "2026-01-01 00:00:00"}))
    windows = live.Windows(folder, lambda: LINE)
    windows.start()
    for _ in range(10):
        windows.changed()
        time.sleep(0.1)
    lab(closed_port, "secret")
    windows.changed()
    deadline = time.monotonic() + 30
    environments = []
    while "toy_20260101-000000" not in environments and time.monotonic() < deadline:
        windows.changed()
        with contextlib.suppress(live.Refused):  # for seconds after wrong passwords the right one has to wait too
            opener = live.connect("nothing")._opener
            answer = opener.open(f"http://127.0.0.1:{closed_port}/env_state", b"{}", timeout=5)
            environments = json.loads(answer.read())
        time.sleep(0.1)
    windows.close()
    assert "toy_20260101-000000" in environments
    (said,) = [line for line in capfd.readouterr().err.splitlines() if "visdom" in line]
    assert "refuses our login" in said and said.endswith("next: ./inv visdom --stop, then ./inv visdom")

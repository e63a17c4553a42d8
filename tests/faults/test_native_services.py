"""Services as processes of this machine, on both stack families: loopback only, no network, restarts, accidents."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from sockets import free_port, listening_addresses

from labkit import testing
from labkit.base import paths
from labkit.base.errors import UserError
from labkit.services import control
from labkit.stacks import builds, catalog, native, selection, visdom_page


class Inv:
    """./inv with a stack and a runs folder of its own."""

    def __init__(self, stack, folder):
        self.stack, self.runs = stack, folder / "runs"
        self.environment = {**os.environ, "LAB_RUNS": str(self.runs), "LAB_DATA": str(folder / "data")}

    def __call__(self, *arguments):
        command = [str(paths.ROOT / "inv"), *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout.strip(), done.stderr

    def start(self, name, port=None):
        port = port or free_port()
        where = ("--where", "venv", "--stack", self.stack)
        status, out, err = self(name, "--port", str(port), *where)
        assert status == 0, err
        assert out.startswith(f"http://127.0.0.1:{port}/")
        return port, out


@pytest.fixture(scope="module", params=testing.FAMILIES)
def family(request):
    stack = catalog.load(request.param)
    try:
        builds.make(builds.settled(selection.choose([], "", asked=stack.name)), native.ensure)
    except UserError as error:
        pytest.skip(str(error))
    visdom_page.ensure(stack)
    return stack.name


@pytest.fixture
def inv(family, tmp_path):
    started = Inv(family, tmp_path)
    yield started
    for note in (started.runs / ".services").glob("*.json"):
        started(note.stem, "--stop")


def process_of(inv, name):
    return json.loads((inv.runs / ".services" / f"{name}.json").read_text())["process"]


@pytest.mark.parametrize("name", control.ports.SERVICES)
def test_it_listens_on_loopback_only_and_outlives_the_command(inv, name):
    port, address = inv.start(name)
    assert listening_addresses(port) == {"127.0.0.1"}
    assert os.getsid(process_of(inv, name)) == process_of(inv, name)  # no child of the terminal
    assert inv(name, "--status")[:2] == (0, address)
    assert inv(name)[:2] == (0, address)  # found again
    assert inv(name, "--stop")[0] == 0 and listening_addresses(port) == set()
    assert inv(name, "--status")[0] == 1


def test_settings_of_the_users_own_reach_no_service(inv, tmp_path):
    """A Jupyter that is set up for a server of the user's, and variables of a cluster and of matplotlib."""
    (tmp_path / ".jupyter").mkdir()
    config = "c = get_config()\nc.ServerApp.base_url = '/x/'\nc.ServerApp.certfile = '/nothing.pem'\nc.IdentityProvider.token = ''\n"
    for name in ("jupyter_server_config.py", "jupyter_lab_config.py"):
        (tmp_path / ".jupyter" / name).write_text(config)
    inv.environment.update(HOME=str(tmp_path), MPLBACKEND="nonsense", NOTEBOOK_PORT="tcp://10.0.0.1:8888")
    inv.environment.update(VISDOM_PORT="tcp://10.0.0.1:8097", JUPYTER_CONFIG_DIR=str(tmp_path / ".jupyter"))
    port, address = inv.start("notebook")
    assert control.ask(port, "/api/status?" + address.partition("?")[2])
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status")  # no cookie of before
    inv.start("visdom")


def test_visdom_prints_the_address_of_the_run_that_draws(inv):
    lab = ["lab", "dashboards", "--where", "venv", "--stack", inv.stack, "--", "--steps", "1000000"]
    running = subprocess.Popen([str(paths.ROOT / "inv"), *lab], env=inv.environment, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 120
        while not list(inv.runs.glob("dashboards/*/summary.json")) and time.monotonic() < deadline:
            time.sleep(0.2)
        (folder,) = inv.runs.glob("dashboards/*")
        _, address = inv.start("visdom")
        assert address.endswith(f"/env/dashboards_{folder.name}")
    finally:
        running.terminate()
        running.communicate(timeout=60)
    assert not inv("visdom")[1].endswith(folder.name)  # it is over


OFFLINE = """
import re, subprocess, sys, time
sys.path.insert(0, {root!r})
from labkit.services import control
began = time.monotonic()
subprocess.run({command!r}, check=True)
print(time.monotonic() - began, "s", file=sys.stderr)
page = control.ask(8097, "/").decode()
parts = re.findall(r'(?:src|href)="?(/[^ ">]+)', page)
assert len(parts) > 12, page
for part in parts + ["/static/fonts/glyphicons-halflings-regular.woff2"]:
    assert len(control.ask(8097, part)) > 0 or part == "/user/style.css", part
assert not re.search(r'(?:src|href)="?https?:', page.replace("http://example.com", ""))
"""


def test_visdom_needs_no_network(inv):
    """In a network namespace that has nothing but a loopback device: every file that the page loads is there."""
    isolated = [
        "unshare",
        *([] if os.getuid() == 0 else ["-r"]),
        "-n",
        "sh",
        "-c",
        'ip link set lo up && exec "$@"',
        "sh",
    ]
    if subprocess.run([*isolated, "true"], capture_output=True).returncode:
        pytest.skip("making a network namespace takes rights that this user has not, or ip and unshare")
    command = [str(paths.ROOT / "inv"), "visdom", "--where", "venv", "--stack", inv.stack, "--port", "8097"]
    code = OFFLINE.format(root=str(paths.ROOT), command=command)
    done = subprocess.run([*isolated, sys.executable, "-c", code], env=inv.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + (inv.runs / ".services" / "visdom.log").read_text()
    assert "ownloading" not in (inv.runs / ".services" / "visdom.log").read_text()


def test_what_visdom_shows_survives_a_restart(inv):
    port, _ = inv.start("visdom")
    window = {
        "win": "greeting",
        "eid": "a_run",
        "data": [{"type": "text", "content": "你好"}],
        "layout": {},
        "opts": {},
    }
    control.ask(port, "/events", window)
    assert inv("visdom", "--stop")[0] == 0
    inv.start("visdom", port)
    assert (
        "你好"
        in json.loads(control.ask(port, "/win_data", {"eid": "a_run", "win": "greeting"}).decode() or '""')["content"]
    )


def test_a_notebook_needs_its_token(inv):
    port, address = inv.start("notebook")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{20,}", address)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        control.ask(port, "/api/contents")
    assert json.loads(control.ask(port, "/api/contents?" + address.partition("?")[2]))["type"] == "directory"
    private = (inv.runs / ".services").glob("notebook.*")
    assert {path.stat().st_mode & 0o777 for path in private} == {0o600}


@pytest.mark.parametrize("family", ["notes"], indirect=True)  # the same on every stack
def test_accidents_of_visdom(inv):
    port, _ = inv.start("visdom")
    status, _, err = inv("visdom", "--port", str(free_port()))
    assert status == 2 and f"already running on port {port}" in err
    status, _, err = inv("tensorboard", "--port", str(port), "--where", "venv", "--stack", inv.stack)
    assert status == 2 and f"port {port} is taken by" in err and "./inv tensorboard --port" in err
    assert f"process {process_of(inv, 'visdom')}" in err

    os.kill(process_of(inv, "visdom"), signal.SIGKILL)
    time.sleep(0.3)
    assert inv("visdom", "--status")[0] == 1
    assert inv("visdom", "--stop")[0] == 0
    inv.start("visdom", port)


@pytest.mark.parametrize("family", ["notes"], indirect=True)  # the same on every stack
def test_ctrl_c_while_a_service_starts_leaves_nothing(inv):
    port, note = free_port(), inv.runs / ".services" / "notebook.json"  # of the three it takes longest
    command = [str(paths.ROOT / "inv"), "notebook", "--port", str(port), "--where", "venv", "--stack", inv.stack]
    starting = subprocess.Popen(command, env=inv.environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not (note.exists() and note.read_text().endswith("\n")):
        assert starting.poll() is None
        time.sleep(0.01)
    process = process_of(inv, "notebook")
    os.killpg(starting.pid, signal.SIGINT)
    assert "stopped" in starting.communicate(timeout=60)[1] and starting.returncode == 130
    assert not os.path.exists(f"/proc/{process}") and not note.exists()
    assert listening_addresses(port) == set() and inv("notebook", "--status")[0] == 1


@pytest.mark.parametrize("family", ["notes"], indirect=True)  # the same on every stack
def test_a_service_that_cannot_start_says_why(inv):
    inv.runs.mkdir()
    (inv.runs / ".visdom").write_text("a file where visdom wants a folder")
    status, _, err = inv("visdom", "--port", str(free_port()), "--where", "venv", "--stack", inv.stack)
    assert status == 2 and "visdom is not running: " in err and "next: less " in err and "Traceback" not in err


def ask(port, path, method="GET", body=b"", **headers):
    """The status with which a service answers a request with these headers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, named)
    return connection.getresponse().status


@pytest.mark.parametrize("name, path", [("visdom", "/"), ("tensorboard", "/data/environment")])
def test_a_page_of_somebody_elses_is_refused(inv, name, path):
    port, _ = inv.start(name)
    good = f"127.0.0.1:{port}"
    assert ask(port, path) == ask(port, path, Host=f"localhost:{port}") == 200
    assert ask(port, path, Host=good, Origin=f"http://{good}") == 200
    for host in ("evil.example", f"evil.example:{port}", f"127.0.0.1.evil.example:{port}", "", "[", "localhost.evil"):
        assert ask(port, path, Host=host) in (400, 403), host
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", f"https://{good}.evil", "", "http://[x"):
        assert ask(port, path, Host=good, Origin=origin) == 403, origin
    assert ask(port, path, "POST", b"{}", Host=good, Content_Type="text/plain", Sec_Fetch_Site="cross-site") == 403


def test_wrong_passwords_have_to_wait(inv):
    port = free_port()
    status, _, err = inv("visdom", "--public", "--port", str(port), "--where", "venv", "--stack", inv.stack)
    assert status == 0, err
    body, kind = b'{"username": "lab", "password": "wrong"}', "application/json"
    answers = [ask(port, path, "POST", body, Content_Type=kind) for path in ("/", "/x") * 4]
    assert 429 not in answers[:5] and set(answers[5:]) == {429}, answers
    assert ask(port, "/", Host="any.name.example") in (200, 302)  # known under any name, behind its login

"""Services in containers: published on the loopback address only, reached by labs, no network needed."""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
import urllib.error

import pytest
from sockets import free_port, listening_addresses

from labkit.base import ports
from labkit.base.errors import UserError
from labkit.services import control
from labkit.stacks import containers, engine


@pytest.fixture
def inv(image, tmp_path, monkeypatch):
    """./inv in a Compose project of the test's own, so that the user's services are left alone."""
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", f"torch-labs-test-{os.getpid()}")

    def call(*arguments):
        return image.inv(*arguments, folder=tmp_path)

    yield call
    for name in ports.SERVICES:
        if control.find_container(name, image.docker):
            call(name, "--stop")
    subprocess.run([image.docker.client, "network", "rm", f"{containers.project()}_default"], capture_output=True)


@pytest.mark.parametrize("name", ports.SERVICES)
def test_it_is_published_on_loopback_only(image, inv, name):
    port = free_port()
    done = inv(name, "--port", str(port), "--where", "docker", "--stack", image.choice.stack.name)
    assert done.returncode == 0, done.stderr
    address = done.stdout.strip()
    assert address.startswith(f"http://127.0.0.1:{port}/")
    assert listening_addresses(port) == {"127.0.0.1"}
    assert control.ask(port, control.ASKED_PATHS[name])
    assert inv(name, "--status").stdout.strip() == address
    if name == "notebook":
        with pytest.raises(urllib.error.HTTPError, match="403"):
            control.ask(port, "/api/contents")
        assert control.ask(port, "/api/contents?" + address.partition("?")[2])
    assert inv(name, "--stop").returncode == 0
    assert listening_addresses(port) == set() and inv(name, "--status").returncode == 1


def test_a_lab_in_a_container_reaches_visdom_and_the_windows_stay(image, inv):
    port, where = str(free_port()), ("--where", "docker", "--stack", image.choice.stack.name)
    assert inv("visdom", "--port", port, *where).returncode == 0
    code = "import visdom; from labkit.base import settings; at = 'http://' + settings.current().visdom_server;"
    code += "v = visdom.Visdom(at, use_incoming_socket=False);"
    code += "v.text('hello', win='greeting', env='a_run'); print('drawn')"
    dry = inv("shell", "--dry", *where).stdout
    assert dry.strip().endswith("lab bash")
    done = subprocess.run(
        ["sh", "-c", dry.strip()[: -len("bash")] + f'python -c "{code}"'], capture_output=True, text=True
    )
    assert done.returncode == 0 and "drawn" in done.stdout, done.stderr
    assert inv("visdom", "--stop").returncode == 0
    assert inv("visdom", "--port", port, *where).returncode == 0
    assert b"hello" in control.ask(int(port), "/win_data", {"eid": "a_run", "win": "greeting"})


@pytest.mark.parametrize("name", ports.SERVICES)
def test_it_starts_with_no_network(image, name):
    code = (
        f"LAB_RUNS=/tmp python -m labkit.services.serve {name} 127.0.0.1 8097 >/tmp/log 2>&1 & "
        f"for i in $(seq 150); do docker/answers 8097 {control.ASKED_PATHS[name]} 2>/dev/null && exit 0; sleep 0.2; done; "
        "cat /tmp/log; exit 1"
    )
    done = image.run("bash", "-c", code, options=("--init",))
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def sleeper():
    """The engine, and an image of nothing but `sleep`."""
    found, name = engine.find(), f"torch-labs-test/sleep:{os.getpid()}"
    if found.problem:
        pytest.skip(found.problem)
    libraries = re.findall(r"/\S+", subprocess.run(["ldd", "/bin/sleep"], capture_output=True, text=True).stdout)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", dereference=True) as tar:
        for path in ("/bin/sleep", *libraries):
            tar.add(os.path.realpath(path), path)
    subprocess.run([found.client, "import", "-", name], input=packed.getvalue(), check=True, capture_output=True)
    yield found, name
    subprocess.run([found.client, "rmi", name], capture_output=True)


@pytest.fixture
def container(sleeper, tmp_path, monkeypatch):
    """Run what Compose takes for the service tensorboard, or only make it; returns its id."""
    found, image = sleeper
    monkeypatch.setenv("LAB_RUNS", str(tmp_path))
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", f"torch-labs-test-sleep-{os.getpid()}")
    made = []

    def make(*command):
        labels = {"project": containers.project(), "service": "tensorboard", "oneoff": "False"}
        words = [word for key, value in labels.items() for word in ("--label", f"com.docker.compose.{key}={value}")]
        options = ["--network", "none", "--stop-timeout", "0", "--env", "A=B", *words]
        command = [found.client, *command, *options, image, "/bin/sleep", "600"]
        made.append(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())
        return made[-1]

    yield make
    for each in made:
        subprocess.run([found.client, "rm", "--force", each], capture_output=True)


def exists(client, container):
    return subprocess.run([client, "inspect", container], capture_output=True).returncode == 0


def test_a_container_is_stopped_once_more_and_after_somebody_removed_it(sleeper, container, capfd):
    docker, _ = sleeper
    running = container("run", "--detach")
    found = control.find_container("tensorboard", docker)
    assert running.startswith(found.handle)
    control.stop(found, docker)
    assert not exists(docker.client, running) and control.find_container("tensorboard", docker) is None
    control.stop(found, docker)  # by a second terminal
    removed = container("run", "--detach")
    found = control.find_container("tensorboard", docker)
    subprocess.run([docker.client, "rm", "--force", removed], check=True, capture_output=True)
    control.stop(found, docker)
    assert "".join(capfd.readouterr()) == ""


def test_an_engine_that_refuses_to_stop_a_container_is_heard(sleeper, container, monkeypatch):
    docker, _ = sleeper
    running = container("run", "--detach")
    found = control.find_container("tensorboard", docker)
    with monkeypatch.context() as patched, pytest.raises(UserError, match="tensorboard could not be stopped: "):
        patched.setenv("DOCKER_HOST", "unix:///no/such/socket")
        control.stop(found, docker)
    assert exists(docker.client, running)


@pytest.mark.parametrize("command", [("run", "--detach"), ("create",)])
def test_ctrl_c_while_a_container_starts_leaves_none(command, sleeper, container):
    docker, _ = sleeper
    with pytest.raises(KeyboardInterrupt), control.undone(
        "tensorboard", lambda: control.remove_container("tensorboard", docker)
    ):
        made = container(*command)
        raise KeyboardInterrupt
    assert not exists(docker.client, made)

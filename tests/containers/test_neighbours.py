"""Two clones of one user, and two users, on one engine: none sees, stops or reuses what the other started."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import time

import pytest
from sockets import free_port
from test_labs import run_folder, start, status

from labkit.base import labs, paths
from labkit.services import control
from labkit.stacks import containers, runner


@pytest.fixture(autouse=True)
def _apart_from_what_runs_in_this_clone(monkeypatch, docker):
    name = f"torch-labs-test-{os.getpid()}"
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", name)
    yield
    left = [docker.client, "network", "ls", "--quiet", "--filter", f"name=^{name}-"]
    for network in subprocess.run(left, capture_output=True, text=True).stdout.split():
        subprocess.run([docker.client, "network", "rm", network], capture_output=True)


@pytest.fixture
def other_clone(copy):
    """A second clone, with the tools of this one."""
    (copy / ".venv").mkdir()
    for tool in ("host", "compose"):
        if (paths.ROOT / ".venv" / tool).exists():
            (copy / ".venv" / tool).symlink_to((paths.ROOT / ".venv" / tool).resolve())
    return copy


def test_two_clones(image, other_clone, tmp_path):
    clones = {"a": paths.ROOT, "b": other_clone}
    folders = {name: tmp_path / name for name in clones}
    ports = {name: str(free_port()) for name in clones}
    where = ("--where", "docker", "--stack", image.choice.stack.name)

    def inv(name, *words):
        environment = image.environment(folders[name])
        command = [str(clones[name] / "inv"), *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)

    trainings = {}
    try:
        for name, root in clones.items():
            trainings[name] = start(image, folders[name], root=root)  # the second one is not refused
            assert inv(name, "visdom", "--status").returncode == 1
            done = inv(name, "visdom", "--port", ports[name], *where)
            assert done.returncode == 0, done.stderr
        assert f":{ports['a']}/" in inv("a", "visdom", "--status").stdout
        assert f":{ports['b']}/" in inv("b", "visdom", "--status").stdout
        again = inv("a", "lab", "cifar10", "--smoke", *where)
        assert again.returncode == 2 and "is attached to it" in again.stderr
        assert inv("b", "visdom", "--stop").returncode == 0
        trainings["b"].send_signal(signal.SIGINT)
        trainings["b"].communicate(timeout=90)
        assert status(run_folder(folders["b"])) == "stopped"
        assert inv("a", "visdom", "--status").returncode == 0 and trainings["a"].poll() is None
    finally:
        for name in clones:
            inv(name, "visdom", "--stop")
        for training in trainings.values():
            training.send_signal(signal.SIGINT)
            training.communicate(timeout=90)


def test_two_users_of_one_clone(image, this_machine, tmp_path, monkeypatch):
    """The commands that ./inv would give Compose, by two ordinary users that may talk to the engine."""
    if os.getuid() != 0:
        pytest.skip("changing the user takes root")
    machine, started = dataclasses.replace(this_machine, engine=image.docker), {}
    for folder in [tmp_path, *tmp_path.parents][:3]:
        folder.chmod(0o755)

    def become(uid):
        for name in ("LAB_DATA", "LAB_RUNS"):
            folder = tmp_path / str(uid) / name
            folder.mkdir(parents=True, exist_ok=True)
            os.chown(folder, uid, uid)
            monkeypatch.setenv(name, str(folder))
        monkeypatch.setattr(os, "getuid", lambda: uid)
        monkeypatch.setattr(os, "getgid", lambda: uid)

    users = (54321, 54322)
    try:
        for uid in users:
            become(uid)
            containers.make_folders(image.docker)
            control.folder().mkdir()
            assert control.find_container("visdom", image.docker) is None
            assert containers.still_running(image.docker, "cifar10") == [], "a lab of the other user is none of his"
            service = control.start_container("visdom", image.docker, image.choice, "127.0.0.1", free_port(), "")
            words = ["--smoke", "--epochs", "500"]
            command = runner.lab_command(labs.find("cifar10"), words, image.choice, "docker", machine)
            environment = {**os.environ, **command.environment, "HOME": str(tmp_path / str(uid))}
            started[uid] = subprocess.Popen(
                command.argv, env=environment, user=uid, group=uid, stderr=subprocess.PIPE, text=True,
                extra_groups=[os.stat("/var/run/docker.sock").st_gid],
            )  # fmt: skip
            deadline = time.monotonic() + 60
            while not containers.still_running(image.docker, "cifar10") and time.monotonic() < deadline:
                time.sleep(0.2)
            (lab,) = containers.still_running(image.docker, "cifar10")
            for container in (lab, service.handle):
                asked = [image.docker.client, "exec", container, "sh", "-c", "whoami; id -gn; id -u"]
                assert subprocess.run(asked, capture_output=True, text=True).stdout.split() == ["lab", "lab", str(uid)]
        control.stop(control.find_container("visdom", image.docker), image.docker)
        assert control.find_container("visdom", image.docker) is None
        become(users[0])
        assert control.find_container("visdom", image.docker) and started[users[0]].poll() is None
    finally:
        for uid in started:
            become(uid)
            control.remove_container("visdom", image.docker)
            started[uid].send_signal(signal.SIGINT)
            started[uid].communicate(timeout=90)

"""What a container of ours may not do, and that labs and services need none of it; on a real engine."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request

import pytest
from sockets import free_port

from labkit.services import control
from labkit.stacks import containers

LOOK = """
import json, os, tempfile
def may_write(folder):
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return file.write(b"x") == 1
    except OSError:
        return False
def runs(folder):
    path = os.path.join(folder, "program")
    with open(path, "w") as file:
        file.write("#!/bin/sh\\nexit 7\\n")
    os.chmod(path, 0o755)
    return os.spawnv(os.P_WAIT, path, [path]) == 7
from labkit.base import paths
own = [folder for folder in ("/sys/fs/cgroup/pids", "/sys/fs/cgroup") if os.path.exists(folder + "/pids.max")]
status = dict(line.rstrip().split(":\\t") for line in open("/proc/self/status") if ":\\t" in line)
import cv2, matplotlib, matplotlib.pyplot, torch
matplotlib.pyplot.figure().savefig("/tmp/figure.png")
space = os.statvfs("/dev/shm")
loader = torch.utils.data.DataLoader(torch.zeros(64, 1 << 20), batch_size=32, num_workers=2)  # 128 MB a batch
print(json.dumps({
    "capabilities": [status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
    "no new privileges": status["NoNewPrivs"], "processes": open(own[0] + "/pids.max").read().strip(),
    "written": [folder for folder in ("/", "/usr", "/etc", "/opt/lab", "/var/tmp", "/run", "/tmp", os.path.expanduser("~"),
                "/dev/shm", str(paths.ROOT), str(paths.runs_dir()), str(paths.data_dir())) if may_write(folder)],
    "run": [runs("/tmp"), runs(os.path.expanduser("~"))],
    "shared MB": space.f_blocks * space.f_frsize // 1000 ** 2, "batches": [tuple(batch.shape) for batch in loader],
    "cache": matplotlib.get_cachedir(),
}))
"""


@pytest.fixture
def folder(image, tmp_path, monkeypatch):
    """A folder with what containers share with this machine."""
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LAB_RUNS", str(tmp_path / "runs"))
    containers.make_folders(image.docker)
    return tmp_path


def in_shell(image, folder, code, **more):
    """Run Python code in the container of `./inv shell`."""
    where = ("--where", "docker", "--stack", image.choice.stack.name)
    shown = image.inv("shell", "--dry", *where, folder=folder, **more)
    assert shown.returncode == 0 and shown.stdout.strip().endswith("lab bash"), shown.stderr
    command = [*shown.stdout.strip().split(" "), ""][:-2]
    script = folder / "code.py"
    script.write_text(code)
    words = f"{' '.join(command)} python - < '{script}'"
    environment = {**image.environment(folder), **more}
    return subprocess.run(["sh", "-c", words], env=environment, capture_output=True, text=True, timeout=120)


def test_a_container_may_do_only_what_labs_need(image, folder):
    done = in_shell(image, folder, LOOK)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["capabilities"] == ["0" * 16] * 5 and seen["no new privileges"] == "1" and seen["processes"] == "4096"
    folders = [str(containers.paths.ROOT), str(folder / "runs"), str(folder / "data")]
    assert seen["written"] == ["/tmp", "/home/lab", "/dev/shm", *folders] and seen["run"] == [True, True]
    assert seen["shared MB"] >= 2000 and seen["batches"] == [[32, 1 << 20]] * 2
    assert seen["cache"].startswith("/home/lab/")


def test_an_exception_is_granted_and_nothing_else(image, folder):
    done = in_shell(image, folder, LOOK, LAB_DOCKER_ARGS="cap-add=SYS_PTRACE read-only=false pids-limit=777 shm-size=1g")
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    ptrace = f"{1 << 19:016x}"
    assert seen["capabilities"][3] == ptrace and seen["no new privileges"] == "1" and seen["processes"] == "777"
    assert ("/" in seen["written"]) == (os.getuid() == 0) and seen["shared MB"] < 1100


def test_a_fork_bomb_ends_at_the_limit(image, folder):
    bomb = """
import os, time
count = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(30)
            os._exit(0)
        count += 1
except OSError:
    print(count)
"""
    began = time.monotonic()
    done = in_shell(image, folder, bomb, LAB_DOCKER_ARGS="pids-limit=300")
    assert done.returncode == 0 and 200 < int(done.stdout) < 300, done.stderr
    assert time.monotonic() - began < 25  # the container ends with its first process, and the sleepers with it


def test_jupyterlab_has_a_terminal_and_a_kernel(image, tmp_path):
    where = ("--where", "docker", "--stack", image.choice.stack.name)
    done = image.inv("notebook", "--port", str(free_port()), *where, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    try:
        address, _, token = done.stdout.strip().partition("?")
        request = urllib.request.Request(f"{address}api/terminals?{token}", b"{}", method="POST")
        with control.DIRECT.open(request, timeout=30) as answer:
            assert json.load(answer)["name"] == "1"
        environment = image.environment(tmp_path)
        found = control.container_of("notebook", image.docker)
        code = """
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel()
client.execute_interactive("import torch, matplotlib.pyplot as p; p.figure().savefig('/tmp/x.png'); print(int(torch.ones(3).sum()))")
manager.shutdown_kernel()
"""
        inside = [image.docker.client, "exec", found]
        done = subprocess.run([*inside, "python", "-c", code], env=environment, capture_output=True, text=True, timeout=120)
        assert done.stdout.splitlines()[:1] == ["3"], done.stderr
        processes = subprocess.run([*inside, "sh", "-c", "cat /proc/[0-9]*/cmdline"], capture_output=True, text=True).stdout
        assert "bash" in processes or "/bin/sh\0-l" in processes
    finally:
        image.inv("notebook", "--stop", folder=tmp_path)

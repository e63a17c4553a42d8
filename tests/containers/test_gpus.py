"""GPUs from an engine to a lab, without any: real engines whose hook, runtime or CDI specification puts in a stand-in.

Each is an engine of the test's own, beside the one that runs already. The stand-in is a program `nvidia-smi`, which only
exists in a container into which the engine has put it, as it does with the driver's.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import pytest

from labkit.base import paths
from labkit.stacks import containers, gpus, images, selection
from labkit.stacks.engine import Engine

SMI = """#!/bin/sh
[ "$1" = -L ] && echo 'GPU 0: Stand-in (UUID: GPU-1)' && exit
echo '580.95.05, 40960, 8.0, NVIDIA A100'
"""
# In place of Python in the image: it tells what a lab would find.
PYTHON = """#!/bin/sh
echo "command: $*"; env | sort; grep -E 'CapEff|NoNewPrivs' /proc/self/status
nvidia-smi -L || echo 'no nvidia-smi'
touch /written 2>/dev/null && echo 'the root can be written to'
exit 0
"""
# NVIDIA's hook gets the state of the container on its standard input, and finds its root in the bundle.
HOOK = """#!{python}
import json, os, shutil, sys
bundle = json.load(sys.stdin)["bundle"]
said = json.load(open(f"{{bundle}}/config.json"))
seen = dict(word.partition("=")[::2] for word in said["process"]["env"])
if os.path.exists("{complaint}"):
    sys.exit(open("{complaint}").read())
if seen.get("NVIDIA_VISIBLE_DEVICES") == "all":
    shutil.copy("{smi}", os.path.join(bundle, said["root"]["path"], "usr/bin/nvidia-smi"))
"""
# NVIDIA's runtime is runc with the hook, here called by it directly.
RUNTIME = """#!/bin/sh
for word; do [ "$last" = --bundle ] && [ -f "$word/config.json" ] && echo "{{\\"bundle\\": \\"$word\\"}}" | {hook}; last=$word; done
exec runc "$@"
"""


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return path


@pytest.fixture(scope="module")
def newer(tmp_path_factory):
    """The dockerd of Debian's stable release, which knows CDI, where the one that is installed does not."""
    said = subprocess.run(["dockerd", "--version"], capture_output=True, text=True).stdout
    if int(re.search(r"version (\d+)", said).group(1)) >= 25:
        return shutil.which("dockerd")
    folder = tmp_path_factory.mktemp("newer")
    targets = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian"]
    address = subprocess.run(targets, capture_output=True, text=True).stdout.partition("\n")[0]
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (folder / "sources").write_text(f"deb [signed-by={keys}] {address} stable main\n")
    (folder / "lists" / "partial").mkdir(parents=True)
    options = [f"Dir::Etc::SourceList={folder}/sources", "Dir::Etc::SourceParts=/dev/null", f"Dir::State::Lists={folder}/lists",
               f"Dir::Cache={folder}", "APT::Sandbox::User=root", "Acquire::Languages=none"]  # fmt: skip
    apt = ["apt-get", "--quiet", *(word for option in options for word in ("--option", option))]
    for words in (["update"], ["download", "docker.io"]):
        subprocess.run([*apt, *words], cwd=folder, check=True, capture_output=True)
    (package,) = folder.glob("docker.io_*.deb")
    subprocess.run(["dpkg-deb", "--extract", str(package), str(folder / "files")], check=True)
    return str(folder / "files" / "usr" / "sbin" / "dockerd")


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The archive of an image that has a shell and the stand-in for Python alone."""
    folder = tmp_path_factory.mktemp("image")
    archive = folder / "image.tar"
    with tarfile.open(archive, "w", dereference=True) as tar:
        for name in ("sh", "env", "sort", "grep", "touch"):
            found = shutil.which(name)
            said = subprocess.run(["ldd", found], capture_output=True, text=True).stdout
            tar.add(os.path.realpath(found), f"/bin/{name}")
            for library in re.findall(r"/\S+", said):
                if library not in tar.getnames() and library.lstrip("/") not in tar.getnames():
                    tar.add(os.path.realpath(library), library)
        tar.add(program(folder / "python", PYTHON), "/usr/bin/python")
        for empty in ("tmp", "home/lab", "proc", "dev"):
            (folder / empty).mkdir(parents=True)
            tar.add(folder / empty, f"/{empty}")
    return archive


class Machine:
    """A machine with an engine of its own and, to all who ask nvidia-smi, a GPU."""

    def __init__(self, folder: Path, archive: Path) -> None:
        self.folder, self.archive, self.process = folder, archive, None
        self.complaint = folder / "complaint"
        self.smi = program(folder / "smi" / "nvidia-smi", SMI)
        self.environment = {
            **os.environ, "PATH": f"{self.smi.parent}:{os.environ['PATH']}", "DOCKER_HOST": f"unix://{folder}/docker.sock",
            "LAB_DATA": str(folder / "data"), "LAB_RUNS": str(folder / "runs"), "UV_OFFLINE": "1",
        }  # fmt: skip

    def start(self, dockerd: str, hook_at: str, **configuration) -> None:
        """Start the engine; the hook is at `hook_at` in the test's folder, and the folder `hook` is on its PATH.

        It gets a network namespace of its own: an engine takes the bridge docker0 of another one for what it left behind.
        """
        hook = HOOK.format(python=sys.executable, smi=self.smi, complaint=self.complaint)
        program(self.folder / hook_at, hook)
        (self.folder / "daemon.json").write_text(json.dumps(configuration))
        words = ["unshare", "--net", dockerd, "--config-file", str(self.folder / "daemon.json"), "--data-root", str(self.folder / "images"),
                 "--exec-root", str(self.folder / "exec"), "--pidfile", str(self.folder / "pid"),
                 "--host", self.environment["DOCKER_HOST"], "--bridge", "none", "--iptables=false"]  # fmt: skip
        environment = {**os.environ, "PATH": f"{self.folder}/hook:{os.environ['PATH']}"}
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(words, env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while self.docker("info").returncode != 0 and time.monotonic() < deadline and self.process.poll() is None:
            time.sleep(0.2)
        choice = selection.choose([A100], "580.95.05")
        name = images.tag(choice.stack, choice.build)
        done = self.docker("import", str(self.archive), name)
        assert done.returncode == 0, done.stderr + (self.folder / "log").read_text()[-3000:]

    def docker(self, *words: str) -> subprocess.CompletedProcess:
        return subprocess.run(["docker", *words], env=self.environment, capture_output=True, text=True)

    def inv(self, *words: str) -> subprocess.CompletedProcess:
        command = [str(paths.ROOT / "inv"), *words]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120)

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(timeout=30)


A100 = selection.Gpu("NVIDIA A100", "8.0", 40960, ("0",))


@pytest.fixture
def machine(image):
    if os.getuid() != 0 or not shutil.which("dockerd"):
        pytest.skip("an engine of the test's own takes root and dockerd")
    containers.ensure_compose(Engine())
    # The names of an engine's sockets have 107 characters at most, and tmp_path alone may have 70.
    with tempfile.TemporaryDirectory(prefix="engine-") as folder:
        made = Machine(Path(folder), image)
        yield made
        made.stop()


def specification(folder: Path, machine: Machine) -> str:
    """A CDI specification as `nvidia-ctk cdi generate` writes one, of the stand-in; its folder."""
    edits = {"env": ["NVIDIA_VISIBLE_DEVICES=void", "STAND_IN=all"],
             "mounts": [{"hostPath": str(machine.smi), "containerPath": "/usr/bin/nvidia-smi", "options": ["ro", "bind"]}]}  # fmt: skip
    said = {"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [{"name": "all", "containerEdits": edits}]}
    folder.mkdir()
    (folder / "nvidia.json").write_text(json.dumps(said))
    return str(folder)


def prepare(machine: Machine, way: str, newer: str) -> None:
    """An engine that hands over the stand-in in this way, and in no other."""
    if way == "hook":
        machine.start("dockerd", f"hook/{gpus.HOOK}")
    elif way == "runtime":
        path = program(machine.folder / "runtime", RUNTIME.format(hook=machine.folder / "elsewhere" / gpus.HOOK))
        machine.start("dockerd", f"elsewhere/{gpus.HOOK}", runtimes={"nvidia": {"path": str(path)}})
    else:
        folder = specification(machine.folder / "cdi", machine)
        machine.start(newer, f"elsewhere/{gpus.HOOK}", **{"features": {"cdi": True}, "cdi-spec-dirs": [folder]})


@pytest.mark.parametrize("way", ["hook", "runtime", "CDI"])
def test_a_lab_gets_the_gpu_in_the_way_that_the_engine_has(machine, newer, way):
    prepare(machine, way, newer)
    done = machine.inv("lab", "cifar10", "--smoke", "--where", "docker")
    assert done.returncode == 0, done.stderr
    assert "GPU 0: Stand-in" in done.stdout and "labs/cifar10/lab.py --smoke" in done.stdout
    assert "the root can be written to" not in done.stdout
    assert "CapEff:\t0000000000000000" in done.stdout and "NoNewPrivs:\t1" in done.stdout
    # the CPU, where that was asked for
    dry = machine.inv("lab", "cifar10", "--smoke", "--where", "docker", "--dry").stdout
    without = re.sub(r" --file \S*compose.gpu-\S*", "", dry)
    assert without != dry
    done = subprocess.run(["sh", "-c", without], env=machine.environment, capture_output=True, text=True)
    assert done.returncode == 0 and "no nvidia-smi" in done.stdout and "GPU 0" not in done.stdout, done.stderr


def test_a_refusal_of_the_hook_is_said_with_what_to_type(machine, newer):
    prepare(machine, "hook", newer)
    refused = "nvidia-container-cli: initialization error: load library failed: libnvidia-ml.so.1: cannot open shared object file"
    machine.complaint.write_text(refused)
    done = machine.inv("lab", "cifar10", "--smoke", "--where", "docker")
    assert done.returncode == 2 and "NVIDIA's driver is not loaded" in done.stderr, done.stderr
    assert "next: sudo modprobe nvidia" in done.stderr and "command:" not in done.stdout
    told = json.loads(machine.inv("doctor", "--json").stdout)["findings"]
    (finding,) = [row for row in told if row["id"] == "gpu-in-container"]
    assert finding["level"] == "problem" and "by NVIDIA's hook" in finding["what"]
    assert finding["next_command"].startswith("sudo modprobe nvidia")
    machine.complaint.unlink()
    told = json.loads(machine.inv("doctor", "--json").stdout)["findings"]
    assert [row["what"] for row in told if row["id"] == "gpu-in-container"] == ["a container sees it, by NVIDIA's hook"]


def test_cdi_that_is_off_is_not_taken_for_a_way(machine, newer):
    folder = specification(machine.folder / "cdi", machine)
    machine.start(newer, f"elsewhere/{gpus.HOOK}", **{"features": {"cdi": False}, "cdi-spec-dirs": [folder]})
    done = machine.inv("lab", "cifar10", "--smoke", "--where", "docker")
    assert done.returncode == 2 and "the engine cannot hand over the GPU" in done.stderr
    assert "next: sudo " in done.stderr and "--where venv" in done.stderr

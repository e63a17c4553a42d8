"""The devcontainers with the real Dev Containers CLI, as VS Code starts them."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time

import pytest
from test_labs import run_folder, start, status
from turns import one_at_a_time

from labkit.base import paths
from labkit.stacks import containers

CLI = "@devcontainers/cli@0.89.0"


@pytest.fixture(scope="module")
def cli(tmp_path_factory):
    """The Dev Containers CLI, installed by npm."""
    if not shutil.which("npm"):
        pytest.skip("npm, which brings the Dev Containers CLI, is not installed")
    folder = tmp_path_factory.mktemp("devcontainers")
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), CLI], check=True)
    return str(folder / "node_modules" / ".bin" / "devcontainer")


@pytest.fixture(scope="module", autouse=True)
def _the_project_that_a_user_has():
    """VS Code is not given another one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COMPOSE_PROJECT_NAME", raising=False)
        yield


@pytest.fixture(scope="module")
def folder(image, tmp_path_factory):
    """With data and runs: one for all tests of an image, which so share a container."""
    return tmp_path_factory.mktemp("devcontainer")


@pytest.fixture(scope="module")
def editor(image, cli, folder):
    """What VS Code does with a config ("" for the default one): `editor.up(config)`, `editor.exec(config, *words)`."""
    made = set()

    class Editor:
        def call(self, task, config, *words):
            file = paths.ROOT / ".devcontainer" / config / "devcontainer.json"
            command = [cli, task, "--workspace-folder", str(paths.ROOT), "--config", str(file)]
            command += ["--docker-path", image.docker.client]
            if len(image.docker.compose) == 1:
                command += ["--docker-compose-path", image.docker.compose[0]]
            environment = {**image.environment(folder), "CUDA_VISIBLE_DEVICES": ""}  # the default is cpu everywhere
            return subprocess.run([*command, *words], env=environment, capture_output=True, text=True, timeout=600)

        def up(self, config, *words):
            done = self.call("up", config, *words)
            assert done.returncode == 0, done.stderr[-3000:]
            made.add(json.loads(done.stdout.splitlines()[-1])["containerId"])
            return json.loads(done.stdout.splitlines()[-1])["containerId"]

        def exec(self, config, *words):
            done = self.call("exec", config, *words)
            assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
            return done.stdout + done.stderr

    yield Editor()
    for container in made:
        subprocess.run([image.docker.client, "rm", "--force", container], capture_output=True)
    for stack in ("cpu", "notes"):
        network = f"{containers.project()}-devcontainer-{stack}_default"
        subprocess.run([image.docker.client, "network", "rm", network], capture_output=True)


def running(image, *labels):
    filters = [word for label in labels for word in ("--filter", f"label={label}")]
    listed = subprocess.run([image.docker.client, "ps", "-q", "--no-trunc", *filters], capture_output=True, text=True)
    return listed.stdout.split()


def test_up_and_a_smoke_run_inside(image, editor, folder):
    stack = image.choice.stack.name
    container = editor.up(stack, "--remove-existing-container")
    project = f"com.docker.compose.project={containers.project()}-devcontainer-{stack}"
    assert running(image, project) == [container], "its own container and no service that nobody asked for"
    assert "where: here (inside one of our images)" in editor.exec(stack, "./inv", "lab", "cifar10", "--smoke")
    assert json.loads((run_folder(folder) / "env.json").read_text())["stack"] == image.choice.label


@pytest.mark.parametrize("image", ["cpu"], indirect=True)  # the default stack of a machine without a GPU
def test_the_default_one_and_the_one_of_a_stack_are_the_same_container(image, editor):
    assert editor.up("") == editor.up("cpu")


def test_what_one_works_with_is_there(image, editor):
    stack = image.choice.stack.name
    editor.up(stack)
    asked = "whoami; id -gn; command -v ssh curl less git; command -v sudo || echo no sudo; jupyter kernelspec list"
    said = editor.exec(stack, "bash", "-ic", f"{asked}; ssh -G example.com")
    who, group = said.splitlines()[:2]
    assert (who, group) in (("lab", "lab"), ("root", "root")) and "cannot find name" not in said
    assert [line for line in said.splitlines() if line.startswith("/usr/bin/")] == [
        f"/usr/bin/{name}" for name in ("ssh", "curl", "less", "git")
    ]
    assert "no sudo" in said and "/usr/local/share/jupyter/kernels/torch-labs" in said and "hostname example.com" in said
    tests = json.loads((paths.ROOT / ".vscode" / "settings.json").read_text().partition("\n")[2])
    (folder,) = tests["python.testing.pytestArgs"]
    found = editor.exec(stack, "python", "-m", "pytest", "--collect-only", "-q", f"{folder}/test_cifar10.py")
    assert "::test_smoke_learns_and_leaves_everything" in found
    (launch,) = json.loads((paths.ROOT / ".vscode" / "launch.json").read_text().partition("\n")[2])["configurations"]
    program = launch["program"].replace("${fileDirname}", "labs/cifar10")
    debugged = ["python", "-m", "debugpy", "--listen", "127.0.0.1:5678", program, *launch["args"]]
    assert "report:" in editor.exec(stack, *debugged)


@pytest.fixture
def alone():
    """In the user's own project, one training at a time."""
    with one_at_a_time("training"):
        yield


def test_a_rebuild_leaves_a_training_alone(image, editor, alone, tmp_path):
    stack = image.choice.stack.name
    first = editor.up(stack)
    training = start(image, tmp_path)
    try:
        (lab,) = containers.still_running(image.docker, "cifar10")
        assert editor.up(stack, "--remove-existing-container") != first
        assert containers.still_running(image.docker, "cifar10") == [lab] and training.poll() is None
        metrics, deadline = run_folder(tmp_path) / "metrics.jsonl", time.monotonic() + 60
        logged = metrics.stat().st_size
        while metrics.stat().st_size == logged and time.monotonic() < deadline:
            time.sleep(0.5)
        assert metrics.stat().st_size > logged, "it goes on"
    finally:
        training.send_signal(signal.SIGINT)
        training.communicate(timeout=90)
    assert training.returncode == 130 and status(run_folder(tmp_path)) == "stopped"

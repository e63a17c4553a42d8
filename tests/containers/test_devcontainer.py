"""The devcontainers with the real Dev Containers CLI, as VS Code starts them."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

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


def test_up_and_a_smoke_run_inside(image, cli, tmp_path):
    stack = image.choice.stack.name
    config = paths.ROOT / ".devcontainer" / stack / "devcontainer.json"
    options = ["--workspace-folder", str(paths.ROOT), "--config", str(config)]
    options += ["--docker-path", image.docker.client]
    if len(image.docker.compose) == 1:
        options += ["--docker-compose-path", image.docker.compose[0]]
    environment = image.environment(tmp_path)

    def run(*words):
        return subprocess.run([cli, *words], env=environment, capture_output=True, text=True, timeout=600)

    up = run("up", *options, "--remove-existing-container")
    assert up.returncode == 0, up.stderr[-3000:]
    container = json.loads(up.stdout.splitlines()[-1])["containerId"]
    project = f"label=com.docker.compose.project={containers.project()}"
    try:
        running = subprocess.run([image.docker.client, "ps", "-q", "--no-trunc", "--filter", project], capture_output=True, text=True)
        assert running.stdout.split() == [container], "the lab's own container and no service that nobody asked for"
        smoke = run("exec", *options, "./inv", "lab", "cifar10", "--smoke")
        assert smoke.returncode == 0, smoke.stdout[-2000:] + smoke.stderr[-2000:]
        assert "where: here (inside one of our images)" in smoke.stdout + smoke.stderr
        (folder,) = (tmp_path / "runs" / "cifar10").iterdir()
        assert json.loads((folder / "env.json").read_text())["stack"] == image.choice.label
    finally:
        subprocess.run([image.docker.client, "rm", "--force", container], capture_output=True)

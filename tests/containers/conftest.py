"""A real engine and real images, on base images made from the distribution's packages: no registry is needed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from turns import one_at_a_time
from xdist.scheduler import LoadScopeScheduling

from labkit.base import paths
from labkit.base.programs import output_of
from labkit.stacks import builds, catalog, containers, engine, images, machine, selection

# What the interpreters of pyenv are linked with.
LIBRARIES = "ca-certificates,libssl3,libsqlite3-0,libffi8,libreadline8,libbz2-1.0,liblzma5,libuuid1,libtirpc3,libnsl2"

# The tests of one stack run in one process and those of the other beside them: to the engine, two clones.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["COMPOSE_PROJECT_NAME"] = f"torch-labs-{os.environ['PYTEST_XDIST_WORKER']}"


class ByImage(LoadScopeScheduling):
    """Keeps together what shares an image, and by its file what is about none.

    `--dist loadgroup` would, but in xdist 3.8 it finds no groups beside pytest 9.2.
    """

    def _split_scope(self, nodeid):
        file, _, test = nodeid.partition("::")
        stack = re.search(r"\[.*\b(cpu|notes)\b", test)
        return stack[1] if stack else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return ByImage(config, log)


@pytest.fixture(scope="session")
def docker():
    """The engine that answers, with a Compose."""
    found = engine.find()
    if found.problem or not found.builder:
        pytest.skip(f"no container engine that builds: {found.problem or 'no BuildKit'}")
    return containers.ensure_compose(found)


def python_prefix(version: str) -> Path:
    """Where a Python of this version that was built from source lives: pyenv's, or a folder of its own."""
    home = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = sorted((home / "versions").glob(f"{version}.*"))
    if not found:
        pytest.skip(f"no Python {version} of pyenv's to put into a base image")
    return found[-1]


@pytest.fixture(scope="session")
def base_images(docker, tmp_path_factory):
    """version -> name of a Debian base image with that Python, made where it is missing (about 40 s)."""
    names = {version: f"torch-labs-test/base:{version}" for version in ("3.8", "3.12")}
    with one_at_a_time("base-images"):
        if not all(images.present(docker, name) for name in names.values()):
            make_base_images(docker, names, tmp_path_factory.mktemp("base") / "system")
    return names


def make_base_images(docker, names, system):
    if os.getuid() != 0 or not shutil.which("debootstrap"):
        pytest.skip("making a base image takes root and debootstrap")
    release = output_of("sh", "-c", ". /etc/os-release; echo $VERSION_CODENAME")
    command = ["debootstrap", "--variant=minbase", f"--include={LIBRARIES}", release, str(system)]
    subprocess.run(command, check=True, stdout=sys.stderr)
    for version, name in names.items():
        shutil.rmtree(system / "usr" / "local")
        left_out = shutil.ignore_patterns("test", "__pycache__", "*.a")
        shutil.copytree(python_prefix(version), system / "usr" / "local", symlinks=True, ignore=left_out)
        subprocess.run(["chroot", str(system), "ldconfig"], check=True)
        archive = subprocess.Popen(["tar", "-C", str(system), "-c", "."], stdout=subprocess.PIPE)
        subprocess.run([docker.client, "import", "-", name], stdin=archive.stdout, check=True, stdout=sys.stderr)


class Image:
    """One stack's image and how to run things in it, through the front door or directly."""

    def __init__(self, docker: engine.Engine, stack: str, base: str) -> None:
        self.docker, self.stack, self.base = docker, stack, base

    @property
    def choice(self) -> selection.Choice:
        """With the build that there is an image of: where PyTorch's wheels cannot be had, another than the first."""
        return builds.settled(selection.choose([], "", asked=self.stack), self.docker)

    @property
    def tag(self) -> str:
        return images.tag(self.choice.stack, self.choice.build)

    def environment(self, folder: Path) -> dict[str, str]:
        """The environment for ./inv, with data and runs under `folder`."""
        here = {"LAB_DATA": str(folder / "data"), "LAB_RUNS": str(folder / "runs")}
        return {**os.environ, **here}

    def inv(self, *arguments: str, folder: Path, **more: str) -> subprocess.CompletedProcess:
        command = [str(paths.ROOT / "inv"), *arguments]
        environment = {**self.environment(folder), **more}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)

    def run(self, *command: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
        """A command in a container of the image with the repository mounted and no network."""
        root = str(paths.ROOT)
        mount = ["--volume", f"{root}:{root}:ro", "--workdir", root, "--env", f"PYTHONPATH={root}"]
        words = [self.docker.client, "run", "--rm", "--network", "none", *mount, *options, self.tag, *command]
        return subprocess.run(words, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="session", params=["cpu", "notes"])
def image(request, docker, base_images, tmp_path_factory):
    """The image of each stack family, built by `./inv setup` as a user would."""
    stack = catalog.load(request.param)
    # The name of an image depends on it.
    os.environ["LAB_SETTINGS"] = json.dumps({"base_image": base_images[stack.python]})
    built = Image(docker, stack.name, base_images[stack.python])
    done = built.inv("setup", "--stack", stack.name, "--where", "docker", folder=tmp_path_factory.mktemp("setup"))
    assert done.returncode == 0, done.stderr[-3000:]
    assert "20 training steps" in done.stderr
    yield built
    os.environ["LAB_SETTINGS"] = "{}"


@pytest.fixture(scope="session")
def this_machine():
    return machine.probe()

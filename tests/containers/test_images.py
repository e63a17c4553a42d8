"""What is in the images, held against the files that they were built from."""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import msgspec
import pytest

from labkit.base import files, mirrors, settings
from labkit.base.programs import uv
from labkit.cli import stacks
from labkit.stacks import catalog, images, native
from scripts import reproducible


def test_a_second_setup_builds_nothing(image, tmp_path):
    done = image.inv("setup", "--stack", image.choice.stack.name, "--where", "docker", folder=tmp_path)
    assert done.returncode == 0 and "building" not in done.stderr


def test_the_labels_tell_what_it_was_built_from(image):
    found = images.labels(image.docker, image.tag)
    assert found["torch-labs.stack"] == image.choice.label
    assert found["torch-labs.fingerprint"] == images.fingerprint(image.choice.stack, image.choice.build)
    assert image.tag.endswith(found["torch-labs.fingerprint"][:12])


def test_the_image_tests_pass(image, tmp_path):
    done = image.inv("image.test", "--stack", image.choice.stack.name, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"[1-9]\d* passed", done.stdout) and "skipped" not in done.stdout


@pytest.mark.parametrize("image", ["notes"], indirect=True)
@pytest.mark.long
def test_a_second_build_gives_the_same_files(image):
    reproducible.build(image.docker, image.choice.stack, image.choice.build, "torch-labs-twice:test")
    try:
        first, second = (reproducible.contents(image.docker, name) for name in (image.tag, "torch-labs-twice:test"))
    finally:
        subprocess.run([image.docker.client, "image", "rm", "torch-labs-twice:test"], stdout=subprocess.DEVNULL)
    assert len(first) > 30_000 and reproducible.differing(first, second)[1] == []
    changed = {**second, "/opt/lab/bin/python": "other"}  # a file that differs would be noticed
    assert reproducible.differing(first, changed)[1] == ["/opt/lab/bin/python"]


def test_any_uid_has_a_home(image):
    code = "import os, getpass, pathlib; p = pathlib.Path.home() / 'x'; p.write_text('x'); print(getpass.getuser(), os.getuid())"
    assert image.run("python", "-c", code, options=("--user", "4321:4321")).stdout.strip() == "lab 4321"


def test_nothing_of_the_build_stays_behind(image):
    secrets = image.run("sh", "-c", "ls -A /run/secrets /context /var/cache/uv 2>/dev/null; true")
    assert secrets.stdout == ""
    history = image.docker.client, "history", "--no-trunc", "--format", "{{.CreatedBy}}", image.tag
    assert "ca-certificates.crt" not in images.output_of(*history)


def test_what_only_takes_room_is_left_out(image):
    tests = image.run("find", "/opt/lab", "-type", "d", "-name", "tests")
    drivers = image.run("sh", "-c", "ls -d /usr/lib/*/dri /usr/lib/*/libLLVM* /usr/lib/*/libgallium* 2>/dev/null; true")
    assert (tests.stdout, tests.stderr, drivers.stdout, drivers.stderr) == ("", "", "", "")
    assert image.run("python", "-c", "import cv2; cv2.imread").returncode == 0  # it is linked with libGL


def test_shared_memory_is_large_enough_for_workers(image, tmp_path):
    done = image.inv(
        "lab", "cifar10", "--where", "docker", "--stack", image.choice.stack.name, "--dry", folder=tmp_path
    )
    assert done.returncode == 0 and "docker/compose.yaml" in done.stdout
    assert "shm_size: 2gb" in (images.DOCKER / "compose.yaml").read_text()


def test_the_bill_of_materials_lists_every_package(image, tmp_path):
    file = tmp_path / "a b.json"
    done = image.inv("image.sbom", "--stack", image.choice.stack.name, "--output", str(file), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(file.read_text())
    assert document["bomFormat"] == "CycloneDX"
    listed = {component["name"].lower().replace("_", "-") for component in document["components"]}
    code = "from importlib.metadata import distributions as d; print(*[p.metadata['Name'] for p in d()])"
    installed = {name.lower().replace("_", "-") for name in image.run("python", "-c", code).stdout.split()}
    assert installed <= listed and {"libc6", "git", "ca-certificates", "cpython", "jquery"} <= listed
    assert "cyclonedx-bom" not in listed
    parts = {component["name"].lower(): component for component in document["components"]}
    pinned = {one["content"] for file in parts["torch"]["externalReferences"] for one in file.get("hashes", ())}
    assert pinned and all(digest in image.choice.build.lock.read_text() for digest in pinned)
    assert parts["detectron2"]["externalReferences"] and parts["jquery"]["hashes"]
    validate = "import sys; sys.path.insert(0, '/sbom'); from cyclonedx.validation.json import JsonStrictValidator as V; "
    validate += "from cyclonedx.schema import SchemaVersion as S; print(V(S.V1_6).validate_str(open('/it.json').read()))"
    tool = native.carried("sbom", image.choice.stack.python)
    done = image.run("python", "-c", validate, options=("-v", f"{tool}:/sbom:ro", "-v", f"{file}:/it.json:ro"))
    assert document["specVersion"] == "1.6" and done.stdout == "None\n", done.stdout + done.stderr
    assert len({component["bom-ref"] for component in document["components"]}) == len(document["components"])


def test_an_image_says_where_it_comes_from(image, tmp_path):
    labels = images.labels(image.docker, image.tag)
    base = image.docker.client, "image", "inspect", "--format", "{{json .RepoDigests}} {{.Id}}", image.base
    lock, digest = labels["torch-labs.lock"].split(" sha256:")
    assert lock == image.choice.build.lock.name and digest == files.digest(image.choice.build.lock, "sha256")
    assert labels["org.opencontainers.image.base.name"] == image.base
    assert labels["org.opencontainers.image.base.digest"] in images.output_of(*base)
    done = image.inv("image.sbom", "--stack", image.choice.stack.name, folder=tmp_path)
    said = json.loads(done.stdout)["metadata"]["component"]
    (ancestor,) = said["pedigree"]["ancestors"]
    assert (said["name"], said["version"]) == tuple(image.tag.split(":"))
    assert (ancestor["name"], ancestor["version"]) == (image.base, labels["org.opencontainers.image.base.digest"])
    assert {"name": "torch-labs.lock", "value": labels["torch-labs.lock"]} in said["properties"]


def test_an_image_older_than_its_stack_is_noticed_and_pruned(docker, base_images, monkeypatch, capsys):
    """In a repository of its own, so that what others built on this engine stays."""
    monkeypatch.setattr(images, "REPOSITORY", f"torch-labs-test-{os.getpid()}")
    cpu = catalog.load("cpu")
    todays = {images.tag(cpu, cpu.build()), images.editor_tag(cpu, cpu.build())}
    older = {f"{images.REPOSITORY}/cpu:0123456789ab", f"{images.REPOSITORY}/cpu:devcontainer-0123456789ab"}
    used = f"{images.REPOSITORY}/notes:0123456789ab"
    for name in todays | older:
        subprocess.run([docker.client, "tag", base_images["3.12"], name], check=True)
    nothing = bytes(10240)  # a tar without a member, and so an image that has no other name
    subprocess.run([docker.client, "import", "-", used], input=nothing, check=True, capture_output=True)
    container = subprocess.run([docker.client, "create", used, "true"], capture_output=True, text=True).stdout.strip()
    try:
        assert set(images.older(docker, cpu)) == older
        for removed in (", ".join(sorted(older)), None):  # and once more, when they are gone
            stacks.image_prune()
            said = capsys.readouterr().err
            assert (f"removed: {removed}\n" if removed else "no image is older than its stack") in said
        assert all(images.present(docker, name) for name in (*todays, used)), "a container still uses one of them"
        assert not any(images.present(docker, name) for name in older)
    finally:
        subprocess.run([docker.client, "rm", container], capture_output=True)
        subprocess.run([docker.client, "image", "rm", used, *todays], capture_output=True)


def test_a_base_that_cannot_be_pulled_names_what_was_tried(image, tmp_path):
    more = {"LAB_SETTINGS": '{"base_image": "localhost:9/nothing:1"}'}
    arguments = ("setup", "--stack", image.choice.stack.name, "--where", "docker")
    done = image.inv(*arguments, folder=tmp_path, **more)
    assert done.returncode == 2 and "no base image" in done.stderr and "localhost:9/nothing:1 (" in done.stderr


@pytest.mark.parametrize(
    ("certificates", "secret", "scheme", "option"),
    [
        (False, False, "http", ""),
        (True, False, "https", ""),
        (False, True, "https", "-o Acquire::https::CaInfo=/run/secrets/ca "),
    ],
    ids=["a bare Ubuntu", "a base with certificates", "certificates of the user's network"],
)
def test_apt_asks_a_mirror_over_https_only_where_it_can_trust_it(docker, base_images, certificates, secret, scheme, option):
    """The script in a container without a network, where two programs that only repeat their arguments stand for apt."""
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    script = f"""
        echo "deb http://archive.ubuntu.com/ubuntu noble main" > /etc/apt/sources.list
        {"touch" if certificates else "rm -f"} {bundle}
        {"mkdir -p /run/secrets && touch /run/secrets/ca" if secret else ""}
        printf '#!/bin/sh\\necho "asked $*"\\n' > /usr/local/bin/apt-get
        printf '#!/bin/sh\\necho "Candidate: 1"\\n' > /usr/local/bin/apt-cache
        chmod +x /usr/local/bin/apt-*
        sh /apt-install https://mirror.example git
        cat /etc/apt/sources.list"""
    mount = ["--volume", f"{images.DOCKER}/apt-install:/apt-install:ro", "--network", "none"]
    command = [docker.client, "run", "--rm", *mount, base_images["3.12"], "sh", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert f"deb {scheme}://mirror.example/ubuntu noble main" in done.stdout, done.stderr
    assert f"asked {option}update -q" in done.stdout and f"asked {option}install " in done.stdout


def test_drivers_are_compared_by_us_and_not_by_the_base(image):
    assert image.run("printenv", "NVIDIA_DISABLE_REQUIRE").stdout == "1\n"


class NoPython(http.server.BaseHTTPRequestHandler):
    """A mirror of interpreters that has none, and remembers what it was asked for."""

    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_error(404)

    do_HEAD = do_GET


def test_a_python_that_the_base_lacks_is_asked_of_the_mirror(docker, base_images, tmp_path, monkeypatch):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), NoPython)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(mirrors, "FACTS", tmp_path / "facts.toml")
    mirrors.FACTS.write_text(f'[[mirror]]\nname = "cn"\npython = "http://127.0.0.1:{server.server_port}/python"\n')
    monkeypatch.setenv("LAB_MIRROR", "cn")
    context = tmp_path / "context"
    for folder in ("wheels", "detectron2", "visdom"):
        (context / folder).mkdir(parents=True)
    for name in ("pytorch.txt", "packages.txt", "build.txt", "panopticapi.txt"):
        (context / name).touch()
    for source in (*(images.DOCKER / name for name in images.HELPERS), Path(uv())):
        shutil.copy(source, context)
    stack = msgspec.structs.replace(catalog.load("cpu"), python="3.9")
    sources = images.Sources.of(settings.current())
    command = images.build_command(docker, stack, stack.build(), base_images["3.12"], sources, context)
    command[-1:] = ["--network", "host", command[-1]]  # the server is on this machine's loopback address
    try:
        done = subprocess.run(command, env={**os.environ, "DOCKER_BUILDKIT": "1"}, capture_output=True, text=True)
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode != 0 and any(re.match("/python/.*cpython-3.9", path) for path in server.asked), done.stderr

"""What is in the images, held against the files that they were built from."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from labkit.stacks import images


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


def test_any_uid_has_a_home(image):
    code = "import os, getpass, pathlib; p = pathlib.Path.home() / 'x'; p.write_text('x'); print(getpass.getuser(), os.getuid())"
    assert image.run("python", "-c", code, options=("--user", "4321:4321")).stdout.strip() == "lab 4321"


def test_nothing_of_the_build_stays_behind(image):
    secrets = image.run("sh", "-c", "ls -A /run/secrets /context /var/cache/uv 2>/dev/null; true")
    assert secrets.stdout == ""
    history = image.docker.client, "history", "--no-trunc", "--format", "{{.CreatedBy}}", image.tag
    assert "ca-certificates.crt" not in images.output_of(*history)


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
    assert installed <= listed and {"libc6", "git", "ca-certificates"} <= listed
    assert "cyclonedx-bom" not in listed


def test_an_image_older_than_its_stack_is_noticed_and_pruned(image, tmp_path):
    docker = image.docker.client
    older = image.tag.partition(":")[0] + ":0123456789ab"
    subprocess.run([docker, "tag", image.base, older], check=True)
    assert older in images.older(image.docker, image.choice.stack)
    done = image.inv("image.prune", folder=tmp_path)
    assert done.returncode == 0 and older in done.stderr
    assert images.present(image.docker, image.tag) and not images.present(image.docker, older)


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

"""What is in the images, held against the files that they were built from."""

from __future__ import annotations

import json
import re

from labkit import envs, images


def test_a_second_setup_builds_nothing(image, tmp_path):
    done = image.inv("setup", "--stack", image.choice.stack.name, "--where", "docker", folder=tmp_path)
    assert done.returncode == 0 and "building" not in done.stderr


def test_the_labels_tell_what_it_was_built_from(image):
    found = images.labels(image.docker, image.tag)
    assert found["torch-labs.stack"] == image.choice.label
    assert found["torch-labs.fingerprint"] == images.fingerprint(image.choice.stack, image.choice.build)
    assert image.tag.endswith(found["torch-labs.fingerprint"][:12])


def test_no_package_beyond_the_lock_and_none_missing(image):
    listed = image.run(
        "python", "-c", "from importlib import metadata as m, util; import json;"
        "print(json.dumps(sorted((d.metadata['Name'].lower().replace('_', '-'), d.version) for d in m.distributions())))",
    )  # fmt: skip
    installed = dict(json.loads(listed.stdout))
    lock = envs.requirements(image.choice.stack, image.choice.build, windows=True)
    pinned = set(re.findall(r"^([a-z0-9.-]+)==([^ ;\\]+)", lock, re.MULTILINE))
    assert {item for item in installed.items() if item not in pinned} == set()
    stack = image.choice.stack
    assert (installed["torch"], installed["torchvision"]) == (stack.torch, stack.torchvision)
    assert {"opencv-python", "visdom", "tensorboardx", "tensorboard", "invoke"} <= installed.keys()


def test_python_user_and_safe_path(image):
    code = "import os, sys; print(sys.version_info[:2], os.getuid(), os.environ['PYTHONSAFEPATH'], os.access('.', os.W_OK))"
    version = tuple(int(part) for part in image.choice.stack.python.split("."))
    assert image.run("python", "-c", code).stdout.strip() == f"{version} 1000 1 False"


def test_any_uid_has_a_home(image):
    code = "import os, getpass, pathlib; p = pathlib.Path.home() / 'x'; p.write_text('x'); print(getpass.getuser(), os.getuid())"
    assert image.run("python", "-c", code, options=("--user", "4321:4321")).stdout.strip() == "lab 4321"


def test_opencv_has_windows(image):
    code = "import cv2; print('GUI: QT' in ' '.join(cv2.getBuildInformation().split()).replace('GUI: QT5', 'GUI: QT'))"
    assert image.run("python", "-c", code).stdout.strip() == "True"


def test_nothing_of_the_build_stays_behind(image):
    secrets = image.run("sh", "-c", "ls /run/secrets /context /root/.cache 2>/dev/null; true")
    assert secrets.stdout == ""
    history = image.docker.client, "history", "--no-trunc", "--format", "{{.CreatedBy}}", image.tag
    assert "ca-certificates.crt" not in images.output_of(*history)


def test_the_stacks_own_tests_pass_inside(image):
    done = image.run(
        "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/stack/test_selftest.py",
        options=("--env", f"LAB_STACK={image.choice.label}"),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_shared_memory_is_large_enough_for_workers(image, tmp_path):
    done = image.inv(
        "lab", "cifar10", "--where", "docker", "--stack", image.choice.stack.name, "--dry", folder=tmp_path
    )
    assert done.returncode == 0 and "docker/compose.yaml" in done.stdout
    assert "shm_size: 2gb" in (images.DOCKER / "compose.yaml").read_text()

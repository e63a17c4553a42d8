"""Exceptions to what containers may not do: a setting that is checked, and that Compose gets as a file."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from labkit.base import docker_args, ports, settings
from labkit.base.errors import UserError
from labkit.stacks import containers, native, selection
from labkit.stacks.engine import Engine


@pytest.fixture(scope="module")
def made():
    """Reads what Compose itself, the pinned one, makes of our files: the services by their names."""
    program = str(native.make_tools("compose", native.find_python(("3.12", "3.13", "3.11", "3.14"))) / "bin" / "docker-compose")

    def read():
        choice, engine = selection.choose([], "", asked="cpu"), Engine("docker", compose=(program,))
        words = [*containers.compose(engine, choice), "config", "--format", "json"]
        environment = settings.child_environment(containers.variables(engine, choice))
        done = subprocess.run(words, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["services"]

    return read


def test_labs_and_services_may_do_nothing_that_they_do_not_need(made):
    services = made()
    assert set(services) == {"lab", *ports.SERVICES}
    for service in services.values():
        assert service["cap_drop"] == ["ALL"] and not service.get("cap_add") and not service.get("privileged")
        assert service["security_opt"] == ["no-new-privileges:true"] and service["read_only"] is True
        assert 1000 < service["pids_limit"] < 10_000 and len(service["tmpfs"]) == 2 and service["shm_size"] == "2147483648"


def test_an_exception_reaches_labs_and_services(made, monkeypatch):
    monkeypatch.setenv("LAB_DOCKER_ARGS", "--cap-add SYS_PTRACE --read-only=false pids-limit=99 env='A=$B c' --tmpfs /x:size=1g volume=/a:/b:ro")
    for service in made().values():
        assert (service["cap_add"], service["cap_drop"]) == (["SYS_PTRACE"], ["ALL"])
        assert service.get("read_only", False) is False and service["pids_limit"] == 99
        assert service["environment"]["A"] == "$$B c" and "/x:size=1g" in service["tmpfs"]
        mounted = [(each["source"], each["target"], each.get("read_only")) for each in service["volumes"]]
        assert ("/a", "/b", True) in mounted and len(mounted) > 3


@pytest.mark.parametrize("words", ["", "read-only", "--read-only", "read-only=true"])
def test_what_is_said_anyhow_stays(made, monkeypatch, words):
    monkeypatch.setenv("LAB_DOCKER_ARGS", words)
    assert made()["lab"]["read_only"] is True


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--privileged", "'--privileged' is no option that can be given"),
        ("--cap_add=SYS_PTRACE", "'--cap_add' is no option that can be given (did you mean cap-add?)"),
        ("cap-add", "cap-add cannot be empty"),
        ("cap-add=", "cap-add cannot be empty"),
        ("cap-add=sys ptrace", "cap-add cannot be sys"),
        ("pids-limit=0", "pids-limit cannot be 0"),
        ("pids-limit=many", "pids-limit cannot be many"),
        ("read-only=no", "read-only cannot be no"),
        ("volume=/a", "volume cannot be /a"),
        ("volume=data:/data", "volume cannot be data:/data"),
        ("shm-size=1tb", "shm-size cannot be 1tb"),
        ("env=1=2", "env cannot be 1=2"),
        ("env='A", "No closing quotation"),
        ("image", "'image' is no option"),
    ],
)
def test_what_is_no_exception_is_refused_at_the_door(monkeypatch, words, says):
    monkeypatch.setenv("LAB_DOCKER_ARGS", words)
    with pytest.raises(UserError) as refused:
        settings.current()
    assert f"LAB_DOCKER_ARGS: {says}" in str(refused.value) and "next: unset LAB_DOCKER_ARGS" in str(refused.value)


@pytest.mark.parametrize("option", docker_args.OPTIONS)
def test_each_option_is_one_that_docker_has(option):
    """Held against the real program's own help."""
    if not shutil.which("docker"):
        pytest.skip("docker is not installed")
    shown = subprocess.run(["docker", "run", "--help"], capture_output=True, text=True)
    assert f"--{option} " in shown.stdout

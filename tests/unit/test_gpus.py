"""How an engine hands over GPUs, and which engines cannot run our containers: from what the programs say.

A program of our own stands for docker and for nvidia-smi, and says what the real ones say in that state: no machine
has all of these engines. tests/containers/test_gpus.py has real ones.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import subprocess
import sys

import pytest

from labkit.base import paths, settings
from labkit.base.errors import UserError
from labkit.base.hardware import Gpu
from labkit.cli import prepare, stacks
from labkit.stacks import catalog, containers, doctor, engine, gpus, images, machine, native, runner, selection
from labkit.stacks.engine import Engine

ENGINE = {
    "ServerVersion": "27.3.1", "OperatingSystem": "Ubuntu 24.04.1 LTS", "KernelVersion": "6.8.0-48-generic",
    "DockerRootDir": "/var/lib/docker", "Runtimes": {"runc": {"path": "runc"}}, "Name": platform.node(),
    "Plugins": {"Log": ["json-file", "journald"]}, "SecurityOptions": ["name=seccomp,profile=builtin"],
    "CDISpecDirs": [], "ClientInfo": {"Context": "default"},
}  # fmt: skip
NVIDIA = {"Runtimes": {"runc": {}, "nvidia": {"path": "nvidia-container-runtime"}}}
DESKTOP = {"OperatingSystem": "Docker Desktop", "Name": "docker-desktop", "ClientInfo": {"Context": "desktop-linux"}}
WSL2 = {"KernelVersion": "5.15.167.4-microsoft-standard-WSL2"}
LINUXKIT = {"KernelVersion": "6.10.14-linuxkit"}
# What podman 4.3.1 answered by its socket, apart from what it has in common with docker.
PODMAN = {
    "ServerVersion": "4.3.1", "OperatingSystem": "debian", "Runtimes": {"crun": {}, "runc": {}}, "CDISpecDirs": None,
    "Plugins": {"Log": ["k8s-file", "none", "passthrough", "journald"]}, "ServerErrors": None,
}  # fmt: skip
SPECIFICATIONS = {
    "nvidia.yaml": 'cdiVersion: 0.5.0\ncontainerEdits:\n  deviceNodes: []\ndevices:\n- name: all\nkind: nvidia.com/gpu\n',
    "nvidia.json": json.dumps({"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [{"name": "all"}]}),
    "gpus.yaml": 'kind: "nvidia.com/gpu"\n',
}


def discovered(*names):
    return {"DiscoveredDevices": [{"Source": "cdi", "ID": name} for name in names]}


@pytest.fixture(autouse=True)
def nothing_of_this_machine(tmp_path, monkeypatch):
    """No toolkit, no context and no DOCKER_HOST of whoever runs the tests."""
    monkeypatch.setattr(gpus, "SERVICE_PATH", str(tmp_path / "service"))
    monkeypatch.setattr(engine, "USUAL_SOCKET", f"unix://{tmp_path}/no.sock")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def program(tmp_path):
    def make(name, script, folder=tmp_path):
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (folder / name).chmod(0o755)

    return make


@pytest.fixture
def docker(program, tmp_path):
    """A docker that tells this of its engine, and where its contexts lead."""

    def make(*told, contexts=None):
        info = {**ENGINE}
        for part in told:
            info.update(part)
        (tmp_path / "info.json").write_text(json.dumps(info))
        cases = "".join(f'*" {name}") echo {address};;\n' for name, address in (contexts or {}).items())
        program(
            "docker",
            f'echo "$@" >> "{tmp_path}/asked"\n[ "$1" = info ] && exec cat "{tmp_path}/info.json"\n'
            f'[ "$1" = context ] || exit 1\ncase "$*" in\n{cases}esac',
        )

    return make


# --- the client ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("about", "builder", "composes"),
    [
        ({"Version": "28.5.2", "Plugins": [{"Name": "buildx", "Version": "v0.29.1"}, {"Name": "compose", "Version": "v2.40.0"}]},
         "buildx", True),
        ({"Version": "28.5.2", "Plugins": [{"Name": "compose", "Version": "v2.40.0"}, None, "buildx"]}, "", True),
        ({"Version": "28.5.2", "Plugins": [{"Name": "buildx", "Err": "permission denied", "Version": "v0.29.1"}]}, "", False),
        ({"Version": "28.5.2", "Plugins": None}, "", False),
        ({"Version": "20.10.24", "Plugins": []}, "BuildKit", False),
    ],
)  # fmt: skip
def test_what_a_client_has_told_of_itself_is_not_asked_again(docker, tmp_path, monkeypatch, about, builder, composes):
    docker({"ClientInfo": {"Context": "default", **about}})
    monkeypatch.setattr(engine, "clients", lambda: [str(tmp_path / "docker")])
    found = engine.find()
    assert found.builder == builder
    assert found.compose == ((found.client, "compose") if composes else ())
    asked = (tmp_path / "asked").read_text().splitlines()
    assert [words for words in asked if "buildx" in words or "compose" in words or words.startswith("version")] == []


def test_a_client_that_tells_nothing_of_itself_is_asked(docker, tmp_path, monkeypatch):
    docker({"ClientInfo": {"Context": "default"}})
    monkeypatch.setattr(engine, "clients", lambda: [str(tmp_path / "docker")])
    assert engine.find().builder == ""
    asked = (tmp_path / "asked").read_text()
    assert "buildx version" in asked and "compose version --short" in asked and "version --format" in asked


# --- the way -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "way", "why"),
    [
        ([NVIDIA], "runtime", ""),
        ([], "", gpus.MISSING),
        ([{"Runtimes": ["nvidia"], "CDISpecDirs": 5}], "", gpus.MISSING),  # not what docker says
        ([{"CDISpecDirs": None}], "", gpus.MISSING),  # before Docker 25
        # Docker 28.2 and newer list the devices, so that nobody has to read the specifications.
        ([{"CDISpecDirs": ["/etc/cdi"]}, discovered("nvidia.com/gpu=0", "nvidia.com/gpu=all")], "CDI", ""),
        ([{"CDISpecDirs": ["/etc/cdi"]}, discovered("nvidia.com/gpu=0")], "", gpus.MISSING),
        ([{"CDISpecDirs": ["/etc/cdi"]}, discovered("docker.com/gpu=webgpu")], "", gpus.MISSING),
        ([{"CDISpecDirs": ["/etc/cdi"]}, {"DiscoveredDevices": ["nvidia.com/gpu=all"]}], "", gpus.MISSING),
        ([NVIDIA, {"CDISpecDirs": ["/etc/cdi"]}, discovered("nvidia.com/gpu=all")], "runtime", ""),
        # Docker Desktop lists NVIDIA's runtime on every machine.
        ([NVIDIA, DESKTOP, WSL2], "hook", ""),
        ([NVIDIA, DESKTOP, LINUXKIT], "", gpus.NOT_ON_DESKTOP),
    ],
)  # fmt: skip
def test_the_way_in_which_an_engine_hands_over_gpus(docker, told, way, why):
    docker(*told)
    found = engine.find()
    assert (found.gpu, found.no_gpu, found.problem) == (way, why, "")


@pytest.mark.parametrize("name", SPECIFICATIONS)
def test_specifications_are_read_where_the_engine_has_cdi_on_and_lists_no_devices(docker, tmp_path, name):
    folder = tmp_path / "cdi"
    docker({"CDISpecDirs": [str(folder), str(tmp_path / "missing")]})
    assert engine.find().gpu == ""
    folder.mkdir()
    (folder / "vendor.yaml").write_text("kind: vendor.com/device\n# not nvidia.com/gpu\n")
    (folder / "nvidia.yaml.bak").write_text(SPECIFICATIONS["nvidia.yaml"])
    (folder / "directory.yaml").mkdir()
    assert engine.find().gpu == ""
    (folder / name).write_text(SPECIFICATIONS[name])
    assert engine.find().gpu == "CDI"
    docker({"CDISpecDirs": [str(folder)]}, discovered())  # an engine that lists devices could not read it
    assert engine.find().gpu == ""
    docker({"CDISpecDirs": []})  # the same, with CDI off
    assert engine.find().gpu == ""


def test_a_toolkit_that_docker_does_not_use_is_not_called_missing(docker, program):
    docker()
    program("nvidia-ctk", "")
    found = engine.find()
    assert (found.gpu, found.no_gpu) == ("", gpus.APART) and "runtime configure" in gpus.REMEDIES[found.no_gpu]


def test_the_hook_is_looked_for_where_services_find_programs(docker, program, tmp_path):
    docker()
    program(gpus.HOOK, "", tmp_path / "service")
    assert engine.find().gpu == "hook"


def test_the_hook_is_looked_for_on_the_path_of_the_engine_itself(docker, program, tmp_path, monkeypatch):
    """A process that listens where docker would: the kernel says which it is, and the system with which PATH."""
    program(gpus.HOOK, "", tmp_path / "engine's")
    address = str(tmp_path / "docker.sock")
    code = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, address], env={**os.environ, "PATH": str(tmp_path / "engine's")},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        process.stdout.readline()
        docker()
        assert engine.find().gpu == ""
        monkeypatch.setenv("DOCKER_HOST", f"unix://{address}")
        assert engine.find().gpu == "hook"
        process.stdin.close()
    assert engine.find().gpu == ""  # nobody listens there any more


# --- engines that cannot run our containers ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "remote"),
    [
        ("", False),
        ("unix:///run/user/1000/docker.sock", False),
        ("ssh://me@gpu.example", True),
        ("tcp://192.168.1.5:2376", True),
        ("tcp://[2001:db8::1]:2375", True),
        ("tcp://localhost:2375", False),
        ("tcp://127.0.0.1:2375", False),
        ("tcp://[::1]:2375", False),
        ("tcp://127.0.0.1.example:2375", True),
        (f"tcp://{platform.node()}:2375", False),
        ("http://gpu.example/v1.24", True),
    ],
)
def test_an_engine_on_another_machine_is_recognised_by_its_address(docker, monkeypatch, tmp_path, address, remote):
    docker()
    monkeypatch.setenv("DOCKER_HOST", address)
    assert engine.find().problem == (f"{engine.REMOTE_HOST} ({address.replace('me@', '')})" if remote else "")
    assert (tmp_path / "asked").exists() != remote  # one that is far away, or gone, is not waited for


def test_a_port_of_ours_may_lead_to_another_machine(docker, monkeypatch):
    docker({"Name": "the-other-end-of-the-tunnel"})
    monkeypatch.setenv("DOCKER_HOST", "tcp://localhost:2375")
    assert engine.find().problem.startswith(engine.REMOTE_HOST)


@pytest.mark.parametrize("chosen", ["by a variable", "for good", "as the client says"])
@pytest.mark.parametrize("leads_to", ["ssh://me@far.example", "unix:///home/me/.docker/desktop/docker.sock"])
def test_a_context_that_leads_elsewhere_is_recognised(docker, monkeypatch, tmp_path, chosen, leads_to):
    docker({"ClientInfo": {"Context": "far" if chosen == "as the client says" else "default"}}, contexts={"far": leads_to})
    if chosen == "by a variable":
        monkeypatch.setenv("DOCKER_CONTEXT", "far")
    elif chosen == "for good":
        (tmp_path / "config").mkdir()
        (tmp_path / "config" / "config.json").write_text('{"currentContext": "far", "auths": {}}')
    found = engine.find()
    if leads_to.startswith("unix"):
        assert found.problem == ""
    else:
        assert found.problem == f"{engine.REMOTE_CONTEXT} (ssh://far.example)"
        assert engine.remedy(found.problem) == "docker context use default"


@pytest.mark.parametrize("content", ["", "[1]", '{"currentContext": 5}', "\x00", "[" * 100_000])
def test_a_configuration_of_docker_that_is_none_is_passed_over(docker, tmp_path, content):
    docker()
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.json").write_text(content)
    assert engine.find().problem == ""


def test_podman_is_recognised_behind_the_socket_that_it_has_for_docker(docker):
    docker(PODMAN)
    assert engine.find().problem == engine.PODMAN
    assert "--where venv" in engine.remedy(engine.PODMAN)


STUB = """
The command 'docker' could not be found in this WSL 2 distro.
We recommend to activate the WSL integration in Docker Desktop settings.

For details about using Docker Desktop with WSL 2, visit:
"""


@pytest.mark.parametrize("stream", ["", ">&2"])
def test_what_docker_desktop_puts_in_dockers_place_under_wsl_is_no_engine(program, stream):
    program("docker", f"cat {stream} <<'E'\n{STUB}E\nexit 1")
    found = engine.find()
    assert found.problem == engine.NOT_CONNECTED and "WSL integration" in engine.remedy(found.problem)


def folders(monkeypatch, root, data="/home/me/data", runs="/home/me/runs"):
    monkeypatch.setattr(paths, "ROOT", root)
    monkeypatch.setenv("LAB_DATA", data)
    monkeypatch.setenv("LAB_RUNS", runs)


SNAP = {"DockerRootDir": "/var/snap/docker/common/var-lib-docker"}


@pytest.mark.parametrize(
    ("told", "data", "unread"),
    [
        ([], "/mnt/data", ""),
        ([SNAP], "/home/me/data", ""),
        ([SNAP], "/home/me/labs/.data", ""),
        ([SNAP], "/home/me/.data/x", "/home/me/.data/x"),
        ([SNAP], "/mnt/data", "/mnt/data"),
        ([SNAP], "/srv/data", "/srv/data"),
        ([DESKTOP, LINUXKIT], "/home/me/.data", ""),
        ([DESKTOP, LINUXKIT], "/mnt/data", "/mnt/data"),
        ([DESKTOP, LINUXKIT], "/homes/data", "/homes/data"),
        ([DESKTOP, WSL2], "/mnt/data", ""),
    ],
)  # fmt: skip
def test_folders_that_an_engine_does_not_read_are_told_of_before_anything_is_built(docker, monkeypatch, told, data, unread):
    docker(*told, contexts={"desktop-linux": "unix:///home/me/.docker/desktop/docker.sock"})
    folders(monkeypatch, paths.Path("/home/me/labs"), data)
    found = engine.find()
    if not unread:
        assert runner.where("", False, found)[0] == runner.where("docker", False, found)[0] == "docker"
        return
    place, why = runner.where("", False, found)
    assert place == "venv" and why.endswith(f"not {unread}")
    with pytest.raises(UserError) as refused:
        runner.where("docker", False, found)
    assert refused.value.message.endswith(f"not {unread}") and "--where venv" in refused.value.next_command


@pytest.mark.parametrize(
    ("name", "content", "read"),
    [
        ("settings-store.json", '{"FilesharingDirectories": ["/home", "/mnt"]}', True),
        ("settings.json", '{"filesharingDirectories": ["/mnt/data"]}', True),
        ("settings-store.json", '{"FilesharingDirectories": ["/mnt/data/more"]}', False),
        ("settings-store.json", '{"FilesharingDirectories": 5}', False),
        ("settings-store.json", "[]", False),
        ("settings-store.json", "broken", False),
    ],
)
def test_docker_desktop_reads_what_its_settings_share(docker, monkeypatch, tmp_path, name, content, read):
    docker(DESKTOP, LINUXKIT)
    (tmp_path / "config" / "desktop").mkdir(parents=True)
    (tmp_path / "config" / "desktop" / name).write_text(content)
    assert (engine.unread(engine.find(), [paths.Path("/mnt/data")]) == "") == read


# --- what is said before -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("why", gpus.REMEDIES)
def test_a_gpu_that_cannot_be_handed_over_is_told_of_before_anything_is_built(why):
    found = Engine("docker", "27.3.1", no_gpu=why)
    assert runner.where("", False, found, use_gpu=True) == ("venv", f"the engine cannot hand over the GPU: {why}")
    with pytest.raises(UserError) as refused:
        runner.where("docker", False, found, use_gpu=True)
    assert why in refused.value.message and refused.value.next_command.startswith(gpus.REMEDIES[why])
    assert runner.where("docker", False, found)[0] == "docker"  # on the CPU


REFUSED = [
    # by the engine
    ('docker: Error response from daemon: could not select device driver "" with capabilities: [[gpu]].', "restart docker"),
    ('Error response from daemon: could not select device driver "nvidia" with capabilities: [[gpu]]', "nvidia-container-toolkit"),
    ('Error response from daemon: could not select device driver "cdi" with capabilities: [[gpu]]', "runtime configure"),
    ("Error response from daemon: CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=all", "cdi generate"),
    ('Error response from daemon: failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: error mounting "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.535.54.03" to rootfs at "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.535.54.03": no such file or directory: unknown', "cdi generate"),
    ("Error response from daemon: unknown or invalid runtime name: nvidia", "runtime configure"),
    ("docker: Error response from daemon: Unknown runtime specified nvidia.", "runtime configure"),
    ('failed to create task for container: failed to start shim: fork/exec /usr/bin/nvidia-container-runtime: no such file or directory: unknown', "--reinstall"),
    ('exec: "nvidia-smi": executable file not found in $PATH: unknown', "runtime configure"),
    # by NVIDIA's toolkit
    ("stderr: Auto-detected mode as 'legacy'\nnvidia-container-cli: initialization error: load library failed: libnvidia-ml.so.1: cannot open shared object file: no such file or directory: unknown", "modprobe nvidia"),
    ("nvidia-container-cli: initialization error: nvml error: driver not loaded: unknown.", "modprobe nvidia"),
    ("nvidia-container-cli: initialization error: nvml error: driver/library version mismatch: unknown.", "sudo reboot"),
    ("nvidia-container-cli: initialization error: WSL environment detected but no adapters were found: unknown", "wsl --update"),
    ("nvidia-container-cli: initialization error: cuda error: unknown error: unknown", "sudo reboot"),
    ("nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.6, please update your driver to a newer version", "upgrade the NVIDIA driver"),
    ("nvidia-container-cli: mount error: failed to add device rules: unable to find any existing device filters attached to the cgroup: bpf_prog_query(BPF_CGROUP_DEVICE) failed: operation not permitted: unknown.", "no-cgroups"),
    ("nvidia-container-cli: mount error: open failed: /sys/fs/cgroup/devices/user.slice/devices.allow: permission denied", "no-cgroups"),
    ("nvidia-container-cli: mount error: failed to add device rules: unable to replace original device filters program with new one: failed to call BPF_PROG_ATTACH (BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI): can't attach program: invalid argument: unknown", "--only-upgrade"),
    ("nvidia-container-cli: container error: cgroup subsystem devices not found: unknown.", "--only-upgrade"),
    ("nvidia-container-cli: ldcache error: open failed: /sbin/ldconfig.real: no such file or directory", "ldconfig=@/sbin/ldconfig"),
    ("invoking the NVIDIA Container Runtime Hook directly (e.g. specifying the docker --gpus flag) is not supported. Please use the NVIDIA Container Runtime (e.g. specify the --runtime=nvidia flag) instead", "runtime configure"),
    ("nvidia-container-cli: mount error: file creation failed: /var/lib/docker/overlay2/1/merged/etc/nvidia: read-only file system", "docker_args read-only=false"),
    # by nvidia-smi
    ("Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 550.54", "sudo reboot"),
    ("Failed to initialize NVML: GPU access blocked by the operating system\nFailed to properly shut down NVML: GPU access blocked by the operating system", "wsl --update"),
    ("Failed to initialize NVML: Unknown Error", "create-dev-char-symlinks"),
    ("Failed to initialize NVML: Insufficient Permissions", "/dev/nvidia"),
    ("NVIDIA-SMI couldn't find libnvidia-ml.so library in your system. Please make sure that the NVIDIA Display Driver is properly installed", "modprobe nvidia"),
    ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA driver is installed and running.", "modprobe nvidia"),
    ("No devices were found", "nvidia-smi"),
    # by nobody
    ("the dog ate it", "./inv doctor"),
    ("", "./inv doctor"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "type_next"), REFUSED)
def test_every_refusal_ends_in_a_next_command(said, type_next):
    why, remedy = gpus.explain(said, "./inv doctor")
    assert type_next in remedy and why and "\n" not in why and len(why) < 350
    assert gpus.explain(f"\x1b[31m{said}", "")[0].isprintable()


@pytest.mark.parametrize("smi", [said for said, _ in REFUSED if said.startswith(("Failed to init", "NVIDIA-SMI"))])
def test_a_driver_that_fails_on_the_machine_itself_is_heard_by_the_doctor_and_the_labs(program, docker, smi, capsys):
    docker()
    program("nvidia-smi", f"cat <<'E'\n{smi}\nE\nexit 18")
    remedy = gpus.explain(smi, "")[1]
    (finding,) = doctor.gpu(machine.probe(), catalog.load_facts(), selection.choose([], ""))
    assert (finding.id, finding.level, finding.next_command) == ("gpu", "note", remedy)
    prepare.choose(machine.probe(), "", "venv")
    assert f"next: {remedy}" in capsys.readouterr().err.replace("\n", " ").replace("  ", " ")


# --- one answer for all --------------------------------------------------------------------------------------------

A100 = [Gpu("NVIDIA A100", "8.0", 40960, ("0",))]


@pytest.fixture(scope="module")
def compose():
    """The pinned Compose, which only reads the files here."""
    return str(native.make_tools("compose", native.find_python(("3.12", "3.13", "3.11", "3.14"))) / "bin" / "docker-compose")


@pytest.mark.parametrize("way", ["runtime", "CDI", "hook", ""])
@pytest.mark.parametrize("service", ["lab", "notebook"])
def test_compose_asks_in_the_way_that_was_found_and_gives_no_gpu_otherwise(compose, monkeypatch, tmp_path, way, service):
    monkeypatch.setenv("PATH", os.defpath)
    monkeypatch.setenv("LAB_RUNS", str(tmp_path))
    choice = selection.choose(A100, "580.95.05")
    found = Engine("docker", "28.5.2", compose=(compose,), gpu=way)
    words = [*containers.compose(found, choice), "config", "--format", "json"]
    environment = settings.child_environment(containers.variables(found, choice))
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)["services"][service]
    asked = made.get("deploy", {}).get("resources", {}).get("reservations", {}).get("devices")
    assert made.get("runtime") == ("nvidia" if way == "runtime" else None)
    assert asked == {
        "CDI": [{"driver": "cdi", "device_ids": [gpus.DEVICE], "capabilities": ["gpu"]}],
        "hook": [{"driver": "nvidia", "count": -1, "capabilities": ["gpu"]}],
    }.get(way)
    assert made["environment"]["NVIDIA_VISIBLE_DEVICES"] == ("all" if way in ("runtime", "hook") else "void")


@pytest.fixture
def trial(program, tmp_path, monkeypatch):
    """An engine with an image of every stack, whose Compose says what it is told to, and notes what it was asked."""

    def make(said, status=0):
        program("docker-compose", f"echo \"$LAB_TAG $*\" >> '{tmp_path}/asked'\ncat <<'E'\n{said}\nE\nexit {status}")
        return Engine("docker", "28.5.2", "buildx", (str(tmp_path / "docker-compose"),), gpu="hook")

    monkeypatch.setenv("LAB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LAB_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(images, "ensure", lambda *asked: "there")
    monkeypatch.setattr(native, "ready", lambda *asked: True)
    return make


def test_the_trial_is_a_lab_of_the_chosen_stack_in_the_way_that_was_found(trial, tmp_path):
    choice = selection.choose(A100, "580.95.05")
    assert containers.try_gpu(trial("GPU 0: NVIDIA A100 (UUID: GPU-1)"), choice) == ""
    (asked,) = (tmp_path / "asked").read_text().splitlines()
    assert asked.startswith(images.tag(choice.stack, choice.build)) and asked.endswith("lab nvidia-smi -L")
    assert "compose.hardened.yaml" in asked and "compose.gpu-hook.yaml" in asked


@pytest.mark.parametrize("insisted", [True, False])
def test_where_the_trial_fails_the_lab_does_not_start_in_a_container(trial, capsys, insisted):
    choice = selection.choose(A100, "580.95.05")
    found = dataclasses.replace(machine.probe(), engine=trial("nvml error: driver/library version mismatch", 1))
    if insisted:
        with pytest.raises(UserError, match=r"a container does not see the GPU: .*the old one is still loaded") as refused:
            prepare.prepare("docker", "docker", choice, found)
        assert refused.value.next_command == "sudo reboot, or --where venv"
    else:
        assert prepare.prepare("docker", "", choice, found)[0] == "venv"
        assert "next: sudo reboot" in capsys.readouterr().err
    cpu = dataclasses.replace(choice, gpus=())
    assert prepare.prepare("docker", "docker", cpu, found)[0] == "docker"  # which needs no GPU


def test_the_doctor_tries_the_chosen_stack_and_no_other(trial, tmp_path):
    choice = selection.choose(A100, "580.95.05")
    notes = catalog.load("notes")
    found = dataclasses.replace(
        machine.probe(), engine=trial("no GPU", 1), gpus=tuple(A100), driver="580.95.05", images=(images.tag(notes, notes.build()),)
    )
    assert stacks.with_gpu_tried(found, choice).gpu_in_container == machine.UNKNOWN and not (tmp_path / "asked").exists()
    ready = dataclasses.replace(found, images=(*found.images, images.tag(choice.stack, choice.build)))
    assert stacks.with_gpu_tried(ready, choice).gpu_in_container == "no GPU"

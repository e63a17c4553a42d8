"""What the doctor says, from made-up probes: `diagnose` is a pure function, so no hardware is needed."""

from __future__ import annotations

import dataclasses
import http.server
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import textwrap
import threading
import time
from datetime import datetime, timezone

import pytest

from labkit.base import hardware, paths, ports
from labkit.base.hardware import Gpu
from labkit.stacks import catalog, doctor, engine, images, machine, native, sizes
from labkit.stacks.engine import NO_PERMISSION, NOT_INSTALLED, NOT_RUNNING, PODMAN, SILENT, Engine
from labkit.stacks.machine import Machine

DOCKER = Engine("/usr/bin/docker", "27.3.1", "buildx", ("/usr/bin/docker", "compose"), folder="/var/lib/docker")
CPU = catalog.load("cpu")
BUILDING_GB = sizes.of(CPU, CPU.build()).building / 1e9
GOOD = Machine(
    system="Linux", architecture="x86_64", wsl=False, cores=8, memory_gb=32, disk_free_gb=100, data_free_gb=100,
    driver="", gpus=(), engine=DOCKER, gui_libraries=True, tcmalloc="/usr/lib/libtcmalloc.so", shm_gb=8, index="",
    index_host="index.example", clock=datetime(2027, 1, 2, tzinfo=timezone.utc).timestamp(), clock_ahead_s=0.3,
    ports={"visdom": "", "tensorboard": "", "notebook": ""}, images=(images.tag(CPU, CPU.build()),), engine_free_gb=100,
)  # fmt: skip
A100 = {"gpus": (Gpu("A100", "8.0"),), "driver": "580.1"}
T4 = {"gpus": (Gpu("T4", "7.5"),), "driver": "418.67"}
RTX4090 = {"gpus": (Gpu("RTX 4090", "8.9"),), "driver": "580.65"}
WITH_TOOLKIT = dataclasses.replace(DOCKER, gpu="runtime")


def findings(asked="", **changes):
    groups = doctor.diagnose(dataclasses.replace(GOOD, **changes), asked)
    found = [finding for group in groups.values() for finding in group]
    assert len({finding.id for finding in found}) == len(found)
    return {finding.subject: finding for finding in found}


def test_a_good_machine_has_nothing_to_mend():
    assert {finding.level for finding in findings().values()} == {"ok"}


def test_a_good_machine_with_a_gpu_has_nothing_to_mend():
    found = findings(**A100, engine=WITH_TOOLKIT, gpu_in_container="")
    assert {finding.level for finding in found.values()} == {"ok"}
    assert "a container sees it" in found["GPU inside"].what


IDS = {
    "system": "system", "user": "user", "disk": "disk", "data folder": "data-folder", "shared memory": "shared-memory",
    "clock": "clock", "GPU": "gpu", "driver": "gpu-driver", "code for it": "gpu-code", "stack": "stack", "hashes": "hashes",
    "Python": "python",
    "package index": "package-index", "proxy": "proxy", "engine": "container-engine", "builder": "image-builder",
    "Compose": "compose", "image": "image", "GPU inside": "gpu-in-container", "allocator": "allocator",
    "OpenCV": "opencv", "detectron2": "detectron2", "ports": "ports", "visdom": "port-visdom",
    "tensorboard": "port-tensorboard", "notebook": "port-notebook",
}  # fmt: skip


def test_ids_stay():
    """Programs go by them: an id may be added, and neither renamed nor used for something else."""
    held = findings(**A100, engine=WITH_TOOLKIT, ports=dict.fromkeys(ports.SERVICES, "python (process 7)"))
    seen = {**findings(**A100, engine=WITH_TOOLKIT), **held}
    assert {subject: finding.id for subject, finding in seen.items()} == IDS


def test_as_json_the_findings_say_the_same():
    groups = doctor.diagnose(dataclasses.replace(GOOD, memory_gb=3, disk_free_gb=1))
    told = json.loads(doctor.as_json(groups))
    assert told["format"] == 1 and list(told) == ["format", "findings"]
    assert len(told["findings"]) == sum(map(len, groups.values()))
    assert told["findings"][2] == {
        "id": "disk", "group": "computer", "level": "problem", "subject": "disk",
        "what": groups["computer"][2].what, "next_command": "./inv clean",
    }  # fmt: skip


def test_in_json_too_commands_read_as_they_were_started(monkeypatch):
    monkeypatch.setenv("LAB_COMMAND", "invoke")
    told = json.loads(doctor.as_json(doctor.diagnose(dataclasses.replace(GOOD, disk_free_gb=1))))
    assert [row["next_command"] for row in told["findings"] if row["id"] == "disk"] == ["invoke clean"]


@pytest.mark.parametrize("login", ["me:secret", "me:sec@secret", "me:/secret/", "secret", "me%40here:secret"])
@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_no_password_is_shown(login, scheme):
    address = f"{scheme}://{login}@proxy.example:3128"
    groups = doctor.diagnose(
        dataclasses.replace(
            GOOD,
            proxies={"HTTPS_PROXY": address, "all_proxy": address.partition("//")[2]},
            index=f"error sending request through `{address}/`: refused",
            index_host=machine.host_of(f"{address}/simple"),
            engine=Engine(problem=f"cannot connect to {address}"),
        )
    )
    told = doctor.as_json(groups)
    assert "secret" not in told and "@" not in told and told.count("proxy.example:3128") == 4


def test_a_python_that_is_missing_is_told_of_before_anything_is_made(monkeypatch):
    (missing,) = [finding for group in doctor.diagnose(GOOD, "notes", python_for=lambda versions: "").values()
                  for finding in group if finding.id == "python"]  # fmt: skip
    assert missing.level == "note" and "stack notes needs Python 3.8, and none is installed" in missing.what
    assert "./inv config set mirror cn" in missing.next_command and "pyenv install 3.8" in missing.next_command
    monkeypatch.setenv("LAB_MIRROR", "cn")
    assert native.python_remedy(("3.8",)) == "install your distribution's python3.8, or pyenv install 3.8"


def without(**changes):
    return {"engine": dataclasses.replace(DOCKER, **changes)}


def proxied(address, **engine):
    return {"proxies": {"https_proxy": address}, **without(**engine)}


@pytest.mark.parametrize(
    ("changes", "subject", "level", "says", "type_next"),
    [
        ({"system": "Darwin"}, "system", "problem", "Linux on x86_64", "use WSL2"),
        ({"architecture": "aarch64"}, "system", "problem", "Linux on x86_64", "use WSL2"),
        ({"memory_gb": 3}, "system", "note", "little memory", ""),
        ({"root": True}, "user", "note", "as root too", "ordinary user"),
        ({"root": True, **without(rootless=True)}, "user", "ok", "root", ""),
        ({"disk_free_gb": 1}, "disk", "problem", "1 GB free", "./inv clean"),
        ({"data_free_gb": 0.5}, "data folder", "note", "too little", "./inv config set data "),
        ({"shm_gb": 0.064}, "shared memory", "note", "bus error", "--shm-size"),
        # each at its very threshold, and just beyond
        ({"shm_gb": 1.0}, "shared memory", "ok", "1.0 GB free", ""),
        ({"shm_gb": 0.99}, "shared memory", "note", "bus error", "--shm-size"),
        ({"memory_gb": 4}, "system", "ok", "4 GB memory", ""),
        ({"memory_gb": 3.99}, "system", "note", "little memory", ""),
        ({"data_free_gb": 1}, "data folder", "ok", "1 GB free", ""),
        ({"data_free_gb": 0.99}, "data folder", "note", "too little", "./inv config set data "),
        ({"disk_free_gb": CPU.build().disk_gb}, "disk", "ok", "GB free", ""),
        ({"disk_free_gb": CPU.build().disk_gb - 0.01}, "disk", "problem", f"cpu/cpu takes {CPU.build().disk_gb:g} GB", "./inv clean"),
        ({"images": (), "engine_free_gb": BUILDING_GB}, "image", "ok", "not built yet", ""),
        ({"images": (), "engine_free_gb": BUILDING_GB - 0.01}, "image", "problem", "and building takes", "prune"),
        ({"clock_ahead_s": -59.0}, "clock", "ok", "right to the minute", ""),
        ({"clock_ahead_s": 300.0}, "clock", "ok", "00:00 UTC", ""),
        ({"clock_ahead_s": 301.0}, "clock", "note", "5 minutes ahead", "set-ntp"),
        ({"clock_ahead_s": 24 * 3600.0}, "clock", "note", "1440 minutes ahead", "set-ntp"),
        ({"clock_ahead_s": -24 * 3600.0 - 1}, "clock", "problem", "1440 minutes behind", "set-ntp"),
        ({"clock": 0.0}, "clock", "problem", "1970-01-01 00:00 UTC lies before", "set-ntp"),
        ({"clock_ahead_s": -7200.0}, "clock", "note", "120 minutes behind", "set-ntp"),
        ({"clock_ahead_s": 90000.0}, "clock", "problem", "1500 minutes ahead", "set-ntp"),
        ({"clock_ahead_s": -7200.0, "wsl": True}, "clock", "note", "behind", "hwclock"),
        ({"clock_ahead_s": None}, "clock", "ok", "not compared", ""),
        ({"card": True}, "GPU", "note", "driver does not answer", "ubuntu-drivers"),
        ({"wsl": True}, "GPU", "ok", "is installed in Windows", ""),
        ({**A100, "driver": "530.1"}, "stack", "ok", "cu126/cu126", ""),
        (T4, "stack", "note", "--stack notes/cu101", "or upgrade the driver to 580"),
        ({}, "hashes", "ok", "every build but notes/cu101", ""),
        ({**A100, "driver": "418.1"}, "driver", "note", "older than the 418.39", "upgrade"),
        ({**A100, "wsl": True}, "driver", "ok", "580.1 (of Windows) runs CUDA 10.1, 10.2, 11.8, 12.6, 13.0", ""),
        ({**A100, "driver": "450.80.02"}, "driver", "ok", "450.80.02 runs CUDA 10.1, 10.2, 11.8", ""),
        ({"gpus": (Gpu("GTX 480", "2.0"),), "driver": "390.1"}, "code for it", "note", "no stack has code", "--stack cpu"),
        (A100, "code for it", "ok", "in stack cu130, cu126, cu118", ""),
        (A100, "GPU inside", "problem", "Toolkit is missing", "nvidia-ctk runtime configure"),
        (T4, "GPU inside", "note", "Toolkit is missing", "nvidia-ctk"),
        ({**A100, **without(gpu="CDI")}, "GPU inside", "ok", "by CDI (tested once", ""),
        ({**A100, **without(gpu="CDI"), "gpu_in_container": "no device"}, "GPU inside", "problem", "no device", "cdi generate"),
        ({**A100, "engine": WITH_TOOLKIT, "gpu_in_container": "x"}, "GPU inside", "problem", "does not see it", "--runtime=docker"),
        ({"index": "no answer"}, "package index", "problem", "index.example does not answer: no answer", "UV_DEFAULT_INDEX="),
        ({"index": "x", "mirror": ""}, "package index", "problem", "tuna.tsinghua.edu.cn does", "export UV_DEFAULT_INDEX=https://"),
        (proxied("http://127.0.0.1:7890"), "proxy", "note", "loopback", "--where venv"),
        (proxied("socks5://localhost:1080"), "proxy", "note", "loopback", "--where venv"),
        (proxied("http://me:secret@proxy:3128"), "proxy", "note", "proxy:3128: the engine itself has none", "systemctl"),
        (proxied("http://proxy:3128", proxy="http://proxy:3128"), "proxy", "ok", "proxy:3128", ""),
        (proxied("http://127.0.0.1:7890", problem=NOT_INSTALLED), "proxy", "ok", "127.0.0.1:7890", ""),
        (without(problem=NOT_INSTALLED), "engine", "ok", ".venv/", ""),
        (without(problem=engine.LATE), "engine", "note", "did not answer within 3 s", "systemctl restart docker"),
        (without(problem=NOT_RUNNING), "engine", "note", "not running", "systemctl start docker"),
        (without(problem=NO_PERMISSION), "engine", "note", "may not talk", "usermod -aG docker"),
        ({"inside": "notes/index"}, "engine", "ok", "this is the image of stack notes/index", ""),
        ({"inside": "notes/index", "index": machine.UNKNOWN}, "package index", "ok", "everything is installed", ""),
        ({"inside": "notes/index"}, "stack", "ok", "notes/index: The notes", ""),
        (without(builder=""), "builder", "note", "cannot be built", "docker-buildx"),
        (without(compose=()), "Compose", "ok", "pinned one is fetched", ""),
        ({"images": ()}, "image", "ok", "not built yet (the first run does it: 2.1 GB, with the cache of the builds 3.8 GB), 100 GB free", ""),
        ({"images": ("torch-labs/cpu:0123",)}, "image", "ok", "older than its definition", ""),
        ({"images": (), "engine_free_gb": 3.0}, "image", "problem", "3 GB free in /var/lib/docker, and building takes 3.8 GB", "prune"),
        ({"images": (), "engine_free_gb": None}, "image", "ok", "not built yet", ""),
        ({}, "allocator", "ok", "tcmalloc is in use", ""),
        ({"tcmalloc": ""}, "allocator", "note", "tcmalloc", "apt install"),
        ({"preload": "/lib/other.so"}, "allocator", "note", "LD_PRELOAD=/lib/other.so is kept", "unset"),
        ({**A100, "tcmalloc": ""}, "allocator", "ok", "with a GPU it hardly matters", ""),
        ({"gui_libraries": False}, "OpenCV", "note", "libGL", "apt install"),
        ({"ports": {"visdom": "python (process 7)"}}, "visdom", "note", "8097 is held by python (process 7)", "--port 8098"),
        ({"ports": {"notebook": ports.OURS}}, "notebook", "ok", "is running on port 8888", ""),
    ],
)  # fmt: skip
def test_each_finding_says_what_to_do(changes, subject, level, says, type_next):
    finding = findings(**changes)[subject]
    assert finding.level == level
    assert says in finding.what
    assert type_next in finding.next_command and "secret" not in finding.what
    assert level == "ok" or finding.next_command or subject == "system"


def test_notes_on_a_new_gpu_is_refused_with_two_offers():
    finding = findings("notes", **RTX4090)["stack"]
    assert finding.level == "note" and "has no code for RTX 4090 (8.9)" in finding.what
    assert "./inv setup --stack notes (on the CPU)" in finding.next_command
    assert "./inv setup --stack cu130/index (on the GPU)" in finding.next_command


def test_a_build_without_hashes_is_noted_when_asked_for():
    finding = findings("notes/cu101", **T4)["stack"]
    assert finding.level == "note" and finding.next_command == "python scripts/lock.py --complete notes"


def program(folder, name, script):
    path = folder / name
    path.write_text("#!/bin/sh\n" + textwrap.dedent(script))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def test_nvidia_smi_of_a_new_driver_is_read(path):
    # A fake nvidia-smi: the real one exists only with a driver, which the test machine has not.
    program(
        path,
        "nvidia-smi",
        'echo "580.65.06, 81559, 9.0, NVIDIA H100 80GB HBM3"\necho "580.65.06, 15360, 7.5, Tesla T4"',
    )
    assert hardware.find_gpus() == (
        "580.65.06",
        [Gpu("NVIDIA H100 80GB HBM3", "9.0", 81559, ("0",), "0"), Gpu("Tesla T4", "7.5", 15360, ("1",), "1")],
    )


def test_nvidia_smi_of_an_old_driver_does_not_know_compute_cap(path):
    program(path, "nvidia-smi", 'case "$*" in *compute_cap*) exit 6;; esac\necho "418.40.04, 11441, Tesla K80"')
    assert hardware.find_gpus() == ("418.40.04", [Gpu("Tesla K80", "", 11441, ("0",))])


def test_a_broken_nvidia_smi_is_no_gpu(path):
    program(path, "nvidia-smi", 'echo "NVIDIA-SMI has failed" >&2; exit 9')
    assert hardware.find_gpus() == ("", [])


def test_the_probe_of_this_machine_is_sane():
    found = machine.probe()
    assert found.cores >= 1 and found.memory_gb > 0.5 and found.disk_free_gb > 0 and found.index == machine.UNKNOWN


def test_an_old_driver_is_asked_for_the_compute_capability_itself(path, monkeypatch):
    """With a stand-in for NVIDIA's libcuda, since the real one comes with a driver only."""
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("no C compiler for the stand-in")
    source = """
        #include <string.h>
        int cuInit(unsigned flags) { return 0; }
        int cuDeviceGetCount(int *count) { *count = 2; return 0; }
        int cuDeviceGet(int *device, int index) { *device = 10 + index; return 0; }
        int cuDeviceGetName(char *name, int size, int device) { strcpy(name, device == 10 ? "Tesla K80" : "Tesla M40"); return 0; }
        int cuDeviceGetAttribute(int *value, int what, int device) {
            *value = what == 75 ? (device == 10 ? 3 : 5) : what == 76 ? (device == 10 ? 7 : 2) : -1; return 0; }
    """
    (path / "cuda.c").write_text(source)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", path / "libcuda.so.1", path / "cuda.c"], check=True)
    rows = "418.40.04, 11441, Tesla K80\\n418.40.04, 11441, Tesla M40\\n"
    program(path, "nvidia-smi", f'case "$*" in *compute_cap*) exit 6;; esac\nprintf "{rows}"')
    code = "from labkit.base import hardware; print([gpu.capability for gpu in hardware.find_gpus()[1]])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=paths.ROOT,
        env={**os.environ, "LD_LIBRARY_PATH": str(path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "['3.7', '5.2']", done.stderr


INFO = {
    "ServerVersion": "27.3.1",
    "SecurityOptions": ["name=rootless"],
    "Runtimes": {"nvidia": {}},
    "HttpProxy": "http://p",
}


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (f"echo '{json.dumps(INFO)}'", {"version": "27.3.1", "rootless": True, "gpu": "runtime", "proxy": "http://p"}),
        ("echo '{}'; echo 'permission denied while trying to connect' >&2; exit 1", {"problem": NO_PERMISSION}),
        ("echo '{}'; echo 'Cannot connect to the Docker daemon' >&2; exit 0", {"problem": NOT_RUNNING}),
        ("echo 'error: the daemon is too new' >&2; exit 1", {"problem": "error: the daemon is too new"}),
        # A client of 20.10 has status 0, and the reason in its JSON.
        (f"echo '{json.dumps({'ServerErrors': ['Cannot connect to the Docker daemon at unix:///x']})}'", {"problem": NOT_RUNNING}),
        (f"echo '{json.dumps({'ServerErrors': ['Got permission denied while trying to']})}'", {"problem": NO_PERMISSION}),
        (f"echo '{json.dumps({'ServerErrors': ['failed to connect to the docker API']})}'", {"problem": NOT_RUNNING}),
        (f"echo '{json.dumps({'ServerErrors': 7, 'ServerVersion': 5})}'", {"problem": SILENT}),
        # podman-docker
        ("""echo '{"host": {"arch": "amd64"}, "version": {}}'; echo 'Emulate Docker CLI using podman.' >&2""", {"problem": PODMAN}),
        ("echo 'Emulate Docker CLI using podman.' >&2; echo broken; exit 125", {"problem": PODMAN}),
        # what is not what it should be
        ("echo '[1]'", {"problem": SILENT}),
        ("printf '\\377'", {"problem": SILENT}),
        (f"echo '{json.dumps({**INFO, 'Runtimes': [], 'SecurityOptions': 3, 'DockerRootDir': 7, 'CDISpecDirs': [1], 'HttpProxy': []})}'",
         {"version": "27.3.1", "rootless": False, "gpu": "", "folder": "", "proxy": ""}),
        ("echo nonsense", {"problem": SILENT}),
        ("exit 3", {"problem": SILENT}),
    ],
)
def test_what_the_engine_says_is_understood(path, monkeypatch, script, expected):
    # A docker program of our own, since a real engine is in one of these states only.
    program(path, "docker", f'[ "$1" = info ] || exit 1\n{script}')
    monkeypatch.setenv("PATH", f"{path}:/bin")
    found = engine.find()
    assert {name: getattr(found, name) for name in expected} == expected


def test_without_docker_there_is_no_engine(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert engine.find().problem == NOT_INSTALLED


def test_the_holder_of_a_port_is_named():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert ports.holder(port).endswith(f"(process {os.getpid()})")
        assert ports.free_port(port) > port
    assert ports.holder(port) == ""


@pytest.fixture
def server():
    """A server on loopback whose clock is an hour ahead of ours and that has no packages."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(404)

        do_HEAD = do_GET

        def date_time_string(self, timestamp=None):
            return super().date_time_string(time.time() + 3600)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}/simple"
        running.shutdown()


def test_the_clock_is_compared_with_the_servers(server):
    assert machine.clock_ahead(server) == pytest.approx(-3600, abs=5)
    assert machine.clock_ahead("http://127.0.0.1:1/") is None
    assert machine.clock_ahead("") is None


@pytest.mark.parametrize(
    "answer",
    ["What? Who is there?\r\n\r\n", "HTTP/1.1 200 OK\r\nDate: yesterday\r\n\r\n", "HTTP/1.1 404 No\r\nDate: 1\r\n\r\n"],
)
def test_a_server_that_tells_no_time_is_no_clock(answer):
    def respond():
        connection, _ = server.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(answer.encode())

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=respond, daemon=True).start()
        assert machine.clock_ahead(f"http://127.0.0.1:{server.getsockname()[1]}/") is None


def test_a_package_index_that_fails_is_named_with_the_reason(server, monkeypatch):
    monkeypatch.setenv("UV_DEFAULT_INDEX", server)
    monkeypatch.setenv("COLUMNS", "60")  # of a narrow window
    said, address = machine.ask_package_index()
    assert "not found" in said and address.startswith(server)
    said, address = machine.ask_package_index("http://me:secret@127.0.0.1:1/simple")
    assert "refused" in said and machine.host_of(address) == "127.0.0.1:1"


def test_the_examination_of_this_machine_is_sane(monkeypatch):
    monkeypatch.setenv("UV_OFFLINE", "1")
    found = machine.examine()
    assert "network" in found.index.lower() and found.mirror
    assert found.shm_gb > 0 and found.clock > 1.7e9 and set(found.ports) == set(ports.SERVICES)
    groups = doctor.diagnose(found)
    assert list(groups) == ["computer", "GPU and stack", "network", "containers", "programs"] and all(groups.values())


def test_the_clock_is_only_called_right_where_it_is_right_to_the_minute():
    assert "right to the minute" not in findings(clock_ahead_s=60.0)["clock"].what


def test_where_a_gpu_is_left_out_it_is_named_with_the_reason_and_hidden_ones_are_told_of():
    both = (Gpu("T4", "7.5"), Gpu("GTX 1080 Ti", "6.1"))
    found = findings(gpus=both, driver="580.65.06", engine=WITH_TOOLKIT)
    assert "GTX 1080 Ti: torch 2.11.0" in found["left out"].what and "left out" not in findings(**A100, engine=WITH_TOOLKIT)
    assert findings(**A100, hidden=both)["hidden"].level == "ok"
    alone = findings(hidden=both)["hidden"]
    assert alone.level == "note" and "the labs run on the CPU" in alone.what and alone.next_command == "unset CUDA_VISIBLE_DEVICES"


def test_a_gpu_that_the_stack_does_not_use_is_no_problem_in_a_container():
    assert findings("cpu", **A100)["GPU inside"].level == "note" and findings(**A100)["GPU inside"].level == "problem"
    refused = {"engine": WITH_TOOLKIT, "gpu_in_container": "no device"}
    assert "runtime configure" in findings(**A100, **refused)["GPU inside"].next_command


def test_a_root_in_a_container_or_without_an_engine_is_no_matter():
    assert findings(root=True, inside="cpu/index")["user"].level == "ok"
    assert findings(root=True, **without(problem=NOT_INSTALLED))["user"].level == "ok"
    assert findings(root=True)["user"].level == "note"


def test_which_detectron2_is_there():
    assert "not made yet" in findings()["detectron2"].what
    there = findings(detectron2={"cpu": "0.6, compiled"})["detectron2"]
    assert (there.level, there.what) == ("ok", "0.6, compiled")
    missing = findings(detectron2={"cpu": ""})["detectron2"]
    assert (missing.level, missing.next_command) == ("note", "./inv setup --stack cpu")

"""A lab in a container: results, ownership, exit codes, signals."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import time

import pytest

from labkit.base import labs, paths
from labkit.stacks import containers, runner


def run_folder(tmp_path):
    (folder,) = (tmp_path / "runs" / "cifar10").iterdir()
    return folder


def status(folder):
    return json.loads((folder / "summary.json").read_text())["status"]


def test_the_smoke_run_learns(image, tmp_path):
    arguments = ("lab", "cifar10", "--smoke", "--where", "docker", "--stack", image.choice.stack.name)
    done = image.inv(*arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    folder = run_folder(tmp_path)
    assert status(folder) == "finished" and (folder / "report.html").stat().st_size > 10_000
    environment = json.loads((folder / "env.json").read_text())
    assert environment["stack"] == image.choice.label and environment["allocator"] == "tcmalloc"


def test_exit_codes_and_bad_input_pass_through(image, tmp_path):
    arguments = ("lab", "cifar10", "--smoke", "--where", "docker", "--stack", image.choice.stack.name)
    done = image.inv(*arguments, "--", "--epoch", "2", folder=tmp_path)
    assert done.returncode == 2 and "--epochs" in done.stderr


def test_an_image_from_a_folder_with_spaces_is_seen_inside(image, tmp_path):
    folder = tmp_path / "my images"
    folder.mkdir()
    (folder / "no image.jpg").write_text("not an image")
    arguments = ("lab", "cifar10", "--where", "docker", "--stack", image.choice.stack.name)
    done = image.inv(*arguments, "--", "--predict", str(folder / "no image.jpg"), folder=tmp_path)
    assert done.returncode == 2 and "no such file" not in done.stderr.lower()
    assert "no image.jpg" in done.stderr and "Traceback" not in done.stderr


def start(image, tmp_path, root=paths.ROOT):
    """A long smoke run, of the clone in `root`, in its own process group, once it has made its first steps."""
    command = [str(root / "inv"), "lab", "cifar10", "--smoke", "--where", "docker"]
    command += ["--stack", image.choice.stack.name, "--", "--epochs", "500"]
    environment = image.environment(tmp_path)
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        metrics = list((tmp_path / "runs").glob("cifar10/*/metrics.jsonl"))
        if metrics and list((tmp_path / "runs").glob("cifar10/*/tensorboard")):
            return process
        time.sleep(0.5)
    raise AssertionError(process.communicate()[1])


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_to_the_client_stops_the_training_and_it_saves(image, tmp_path, sent):
    process = start(image, tmp_path)
    process.send_signal(sent)
    said = process.communicate(timeout=90)[1]
    assert process.returncode == 130 and "--resume=" in said
    folder = run_folder(tmp_path)
    assert status(folder) == "stopped" and (folder / "checkpoints" / "last.pt").exists()
    assert containers.still_running(image.docker, "cifar10") == []


def test_after_sigkill_of_the_client_the_next_command_finds_the_container(image, tmp_path):
    process = start(image, tmp_path)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    time.sleep(2)
    arguments = ("lab", "cifar10", "--smoke", "--where", "docker", "--stack", image.choice.stack.name)
    done = image.inv(*arguments, folder=tmp_path)
    assert done.returncode == 2 and "is still running in container" in done.stderr
    assert "the command that started it has ended" in done.stderr
    (container,) = containers.still_running(image.docker, "cifar10")
    assert f"docker stop --time 60 {container}" in done.stderr
    subprocess.run([image.docker.client, "stop", "--time", "60", container], check=True, capture_output=True)
    assert status(run_folder(tmp_path)) == "stopped"
    assert containers.still_running(image.docker, "cifar10") == []


def test_files_belong_to_the_caller_who_is_not_root(image, tmp_path, this_machine, monkeypatch):
    """Compose started by an ordinary user that may talk to the engine, with the command that ./inv would give it."""
    if os.getuid() != 0:
        pytest.skip("changing the user takes root; as an ordinary user all other tests check the same")
    uid = 54321
    folders = [tmp_path / "data", tmp_path / "runs"]
    for folder in folders:
        folder.mkdir()
        os.chown(folder, uid, uid)
    for folder in [tmp_path, *tmp_path.parents][:3]:
        folder.chmod(0o755)
    monkeypatch.setattr(os, "getuid", lambda: uid)
    monkeypatch.setattr(os, "getgid", lambda: uid)
    monkeypatch.setenv("LAB_DATA", str(folders[0]))
    monkeypatch.setenv("LAB_RUNS", str(folders[1]))
    machine = dataclasses.replace(this_machine, engine=image.docker)
    containers.make_folders(image.docker)
    command = runner.lab_command(labs.find("cifar10"), ["--smoke"], image.choice, "docker", machine)
    done = subprocess.run(
        command.argv,
        env={**os.environ, **command.environment, "HOME": str(tmp_path)},
        user=uid,
        group=uid,
        extra_groups=[os.stat("/var/run/docker.sock").st_gid],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    ours = {containers.names(), *containers.names().iterdir()}  # made by this test, which is root
    written = [path for folder in folders for path in folder.rglob("*") if path not in ours]
    assert len(written) > 10 and {path.stat().st_uid for path in written} == {uid}

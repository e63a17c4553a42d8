"""A docker that never answers: only who needs an engine waits for it, and not for long.

A program that sleeps stands for it, since a real engine cannot be made to hang.
"""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from labkit.base import paths
from labkit.stacks import containers, engine, machine


@pytest.fixture
def hung(tmp_path, monkeypatch):
    """The file in which the docker that hangs writes down what it was asked."""
    asked, program = tmp_path / "asked", tmp_path / "docker"
    program.write_text(f'#!/bin/sh\necho "$@" >> "{asked}"\nexec sleep 60\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("LAB_RUNS", str(tmp_path / "runs"))
    return asked


def inv(*arguments):
    """What ./inv says, and how long it took."""
    began = time.monotonic()
    done = subprocess.run([str(paths.ROOT / "inv"), *arguments], capture_output=True, text=True, timeout=60)
    return done, time.monotonic() - began


def test_who_asks_for_a_native_environment_does_not_wait(hung):
    done, _ = inv("lab", "cifar10", "--where", "venv", "--dry")
    assert done.returncode == 0 and "where: venv (you asked for it)" in done.stderr and "lab.py" in done.stdout
    assert not hung.exists()


@pytest.mark.parametrize("name", ["visdom", "tensorboard", "notebook"])
def test_nor_does_who_asks_for_a_native_service(name, hung):
    done, _ = inv(name, "--status", "--where", "venv")
    assert done.returncode == 1 and "is not running" in done.stderr and not hung.exists()


def test_who_leaves_the_place_open_waits_a_little_and_is_told(hung):
    done, seconds = inv("lab", "cifar10", "--dry")
    assert "where: venv (docker did not answer within 3 s)" in done.stderr and done.returncode == 0
    assert seconds < 20 and hung.read_text().splitlines() == ["info --format {{json .}}"]


def test_who_insists_on_a_container_is_told_what_to_do(hung):
    done, _ = inv("lab", "cifar10", "--where", "docker", "--dry")
    assert done.returncode == 2 and "--where docker: docker did not answer within 3 s." in done.stderr
    assert "next: ./inv doctor" in done.stderr


def test_the_engine_is_looked_for_once_and_only_when_somebody_asks(hung, monkeypatch):
    monkeypatch.setattr(engine, "LIMIT_S", 0.3)
    began = time.monotonic()
    found = machine.probe()
    assert not hung.exists()
    assert found.engine.problem == engine.LATE and found.engine.version == ""
    assert time.monotonic() - began < 5
    assert len(hung.read_text().splitlines()) == 1


def test_an_engine_that_is_looked_for_later_can_be_given_a_compose(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(containers, "OUR_COMPOSE", tmp_path)
    given = containers.ensure_compose(machine.probe().engine)
    assert given == engine.Engine(problem=engine.NOT_INSTALLED, compose=(str(tmp_path),))

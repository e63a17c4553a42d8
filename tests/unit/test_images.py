"""Build and run commands of containers as data; no engine is needed."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from pathlib import Path

import msgspec
import pytest

from labkit.base.errors import UserError
from labkit.stacks import catalog, containers, engine, images, native, runner, selection
from labkit.stacks.engine import Engine
from labkit.stacks.images import Sources

DOCKER = Engine(client="/usr/bin/docker", version="27.3.1", builder="buildx", compose=("/usr/bin/docker", "compose"))
CPU = catalog.load("cpu")
CU118 = catalog.load("cu118")
NOTES = catalog.load("notes")


def command(**changes):
    sources = Sources(**changes)
    return images.build_command(DOCKER, CPU, CPU.build(), "ubuntu:24.04", sources, Path("/context"))


def test_the_build_gets_everything_as_arguments(monkeypatch, tmp_path):
    (tmp_path / "ca.pem").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("HTTPS_PROXY", "http://user:word@proxy:3128")
    words = command(index="https://pypi.tuna.tsinghua.edu.cn/simple", apt="https://mirrors.tuna.tsinghua.edu.cn")
    assert words[:4] == ["/usr/bin/docker", "buildx", "build", "--load"]
    for argument in (
        "BASE_IMAGE=ubuntu:24.04",
        "PYTHON=3.12",
        "INSTALL_OPTIONS=--require-hashes",
        "LAB_IMAGE=cpu/cpu",
    ):
        assert words[words.index(argument) - 1] == "--build-arg"
    assert "UV_DEFAULT_INDEX=https://pypi.tuna.tsinghua.edu.cn/simple" in words
    assert f"id=ca,src={tmp_path}/ca.pem" in words
    assert "HTTPS_PROXY" in words and not any("user:word" in word for word in words)  # docker reads the value itself


def test_a_pending_build_asks_for_no_hashes_and_names_its_index():
    build = NOTES.build("cu101")
    words = images.build_command(DOCKER, NOTES, build, "base", Sources(), Path("/context"))
    assert f"INSTALL_OPTIONS=--index {build.wheels} --index-strategy unsafe-best-match" in words


def test_bases_are_tried_in_order_by_digest():
    pinned, tagged = f"nvidia/cuda@{CU118.digest}", CU118.base
    assert images.base_sources(CU118, Sources()) == [pinned, f"nvcr.io/{pinned}", tagged, f"nvcr.io/{tagged}"]
    assert images.base_sources(CU118, Sources(registry="mirror.example.com/"))[0] == f"mirror.example.com/{pinned}"
    assert images.base_sources(CU118, Sources(base="mine:1")) == ["mine:1"]
    assert images.base_sources(CPU, Sources()) == [f"ubuntu@{CPU.digest}", "ubuntu:24.04"]


def test_a_mirror_of_docker_hub_is_asked_for_library_ubuntu_too():
    tried = images.base_sources(CPU, Sources(registry="mirror.example.com/"))
    both = ["mirror.example.com/library/ubuntu", "mirror.example.com/ubuntu", "ubuntu"]
    assert tried == [*(f"{name}@{CPU.digest}" for name in both), *(f"{name}:24.04" for name in both)]
    assert all(stack.digest != "pending" for stack in map(catalog.load, catalog.names()))


class Registry:
    """What the engine answers of the bases `there`; that it pulls nothing else is its own affair."""

    def __init__(self, monkeypatch, *there):
        self.pulled, self.there = [], there
        monkeypatch.setattr(images, "present", lambda engine, name: False)
        monkeypatch.setattr(images.subprocess, "run", self.pull)

    def pull(self, command, **_):
        self.pulled.append(command[-1])
        problem = "" if command[-1] in self.there else "Error response from daemon: manifest unknown"
        return images.subprocess.CompletedProcess(command, bool(problem), "", problem)


def test_the_tag_is_taken_with_a_warning_when_nobody_has_the_digest(monkeypatch, capsys):
    registry = Registry(monkeypatch, CPU.base)
    assert images.get_base(DOCKER, CPU, Sources()) == CPU.base
    assert registry.pulled == [f"ubuntu@{CPU.digest}", CPU.base]
    said = capsys.readouterr().err
    assert "no registry has ubuntu:24.04 as it was recorded" in said and "(manifest unknown)" in said
    Registry(monkeypatch, f"ubuntu@{CPU.digest}", CPU.base)
    assert images.get_base(DOCKER, CPU, Sources()) == f"ubuntu@{CPU.digest}"
    assert "as it was recorded" not in capsys.readouterr().err


def test_the_tag_follows_the_content(monkeypatch, tmp_path):
    before = images.tag(CPU, CPU.build())
    assert before == images.tag(CPU, CPU.build()) and before.startswith("torch-labs/cpu:")
    assert before != images.tag(catalog.load("cu130"), catalog.load("cu130").build())
    changed = tmp_path / "docker"
    changed.mkdir()
    for name in ("Dockerfile", *images.HELPERS):
        (changed / name).write_text((images.DOCKER / name).read_text() + "# changed\n")
    monkeypatch.setattr(images, "DOCKER", changed)
    assert images.tag(CPU, CPU.build()) != before


def with_lock(stack, tmp_path, change):
    """The stack with its first build's lock changed."""
    lock = tmp_path / "lock.txt"
    lock.write_text(change(stack.build().lock.read_text(encoding="utf-8")), encoding="utf-8")
    return msgspec.structs.replace(stack, builds=(msgspec.structs.replace(stack.build(), lock=lock),))


@pytest.mark.parametrize("mark", [images.tag, native.fingerprint])
def test_a_comment_changes_nothing_and_a_version_does(tmp_path, mark):
    commented = with_lock(CPU, tmp_path, lambda text: f"# a remark\n{text}    # via x\n")
    assert mark(commented, commented.build()) == mark(CPU, CPU.build())
    moved = with_lock(CPU, tmp_path, lambda text: text.replace("six==", "six==1", 1))
    assert mark(moved, moved.build()) != mark(CPU, CPU.build())


@pytest.mark.parametrize("stack", [catalog.load(name) for name in catalog.names()], ids=lambda stack: stack.name)
def test_the_layers_hold_each_package_once_and_pytorch_with_what_it_needs_first(stack):
    first, then = images.parts(stack, stack.build())
    names = [re.findall(r"^([\w.-]+)", text, re.MULTILINE) for text in (first, then)]
    assert {"torch", "torchvision", "numpy"} <= set(names[0]) and not set(names[0]) & set(names[1])
    assert sorted(names[0] + names[1]) == sorted(
        re.findall(r"^([\w.-]+)", native.requirements(stack, stack.build(), windows=True), re.MULTILINE)
    )
    assert len(names[1]) > len(names[0])


def test_the_image_of_the_notes_devcontainer_is_one_of_todays(monkeypatch):
    editor = NOTES.for_editor
    assert editor.base == "ubuntu:20.04" and images.tag(editor, NOTES.build()) != images.tag(NOTES, NOTES.build())
    listed = f"{images.tag(editor, NOTES.build())}\n{images.tag(NOTES, NOTES.build())}\ntorch-labs/notes:0123456789ab"
    monkeypatch.setattr(images, "output_of", lambda *command: listed)
    assert images.older(DOCKER, NOTES) == ["torch-labs/notes:0123456789ab"]


def test_where_prefers_a_container_and_says_why_not():
    assert runner.where("", False, DOCKER) == ("docker", "docker 27.3.1 answers")
    assert runner.where("", False, Engine(problem="the engine is not running")) == ("venv", "the engine is not running")
    place, why = runner.where("", False, DOCKER, use_gpu=True)
    assert place == "venv" and "NVIDIA Container Toolkit is missing" in why
    assert runner.where("", False, dataclasses.replace(DOCKER, gpu="CDI"), use_gpu=True)[0] == "docker"
    with pytest.raises(UserError, match="not in the group docker"):
        runner.where("docker", False, Engine(problem=engine.explain("permission denied while trying to connect")))


def test_the_run_command_mounts_the_users_image_read_only(tmp_path):
    image = tmp_path / "a b.jpg"
    choice = selection.choose([], "", asked="cpu")
    words = containers.python_command(DOCKER, choice, "cifar10", ["labs/cifar10/lab.py"], [image])
    assert words[words.index(f"{image}:{image}:ro") - 1] == "--volume"
    assert words[-3:] == ["lab", "python", "labs/cifar10/lab.py"]
    assert not any("compose.gpu" in word for word in words)


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("Got permission denied while trying to connect to the Docker daemon socket", "not in the group docker"),
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is it running?", "not running"),
        ("", "does not answer"),
    ],
)
def test_what_the_engine_complains_of_is_explained(message, says):
    assert says in engine.explain(message)


def test_a_full_disk_is_said_before_the_build_and_a_missing_builder_too(monkeypatch, tmp_path):
    """No engine is asked: `output_of` answers as an engine without the image whose folder is tmp_path."""
    monkeypatch.setattr(images, "output_of", lambda *command, **_: str(tmp_path) if "info" in command else "")
    monkeypatch.setattr(images, "free_gb", lambda folder: 3.0 if folder == tmp_path else 1e6)
    with pytest.raises(UserError, match=r"takes about 3\.8 GB and only 3\.0 GB are free"):
        images.ensure(DOCKER, CPU, CPU.build(), Sources())
    with pytest.raises(UserError, match="neither buildx nor BuildKit"):
        images.ensure(dataclasses.replace(DOCKER, builder=""), CPU, CPU.build(), Sources())


def test_bytecode_is_the_same_every_time_and_only_what_lacks_it_is_compiled(tmp_path):
    """In the Python of the notes the order of a set in bytecode follows the seed of the hashes, new in each process."""
    try:
        python = native.find_python(("3.8",))
    except UserError as error:
        pytest.skip(str(error))
    words = ", ".join(repr(f"word {number}") for number in range(50))
    (tmp_path / "sets.py").write_text(f"def known(word):\n    return word in {{{words}}}\n")
    (tmp_path / "template.py").write_text("{{ not Python }\n")
    seen = set()
    for _ in range(3):
        subprocess.run([python, str(images.DOCKER / "compile.py"), str(tmp_path)], check=True)
        (made,) = (tmp_path / "__pycache__").iterdir()
        seen.add(made.read_bytes())
        made.unlink()
    assert len(seen) == 1
    made.write_bytes(b"there already")
    subprocess.run([python, str(images.DOCKER / "compile.py"), str(tmp_path)], check=True)
    assert made.read_bytes() == b"there already"


# --- with a docker that is a program of ours, and notes what it is asked ---------------------------------------------


class Docker:
    """`there` are the images that it has; those `used` it does not remove."""

    def __init__(self, folder, there=(), used=(), builds=True):
        self.folder, self.program = folder, folder / "docker"
        (folder / "there").write_text("".join(f"{name}\n" for name in there))
        (folder / "used").write_text("".join(f"{name}\n" for name in used))
        self.program.write_text(f"""#!/bin/sh
cd '{folder}'
echo "BUILDKIT=$DOCKER_BUILDKIT $*" >> asked
for last; do :; done
case "$1 $2" in
"image ls") grep "^${{last%\\*}}" there; true;;
"image inspect") grep -qxF "$last" there && echo "{{}}";;
"image rm") if grep -qxF "$last" used; then echo 'conflict: container 0123 is using it' >&2; exit 1; fi
    grep -vxF "$last" there > left; mv left there;;
"buildx build") {"true" if builds else "false"};;
*) false;;
esac
""")
        self.program.chmod(0o755)

    def engine(self, **changes):
        return dataclasses.replace(DOCKER, client=str(self.program), **changes)

    def asked(self, *words):
        file = self.folder / "asked"
        rows = file.read_text().splitlines() if file.exists() else []
        return [row.partition(" ")[2] for row in rows if row.partition(" ")[2].startswith(" ".join(words))]


def test_pruning_removes_what_is_older_and_keeps_todays_and_what_is_in_use(tmp_path):
    todays = [images.tag(stack, build) for stack in (CPU, NOTES) for build in stack.builds]
    editors = [images.tag(NOTES.for_editor, NOTES.build()), images.editor_tag(NOTES, NOTES.build())]
    old, in_use = ["torch-labs/cpu:0123456789ab", "torch-labs/notes:devcontainer-0123456789ab"], "torch-labs/cpu:ffffffffffff"
    others = ["torch-labs-test/base:3.8", "ubuntu:24.04"]
    docker = Docker(tmp_path, [*todays, *editors, *old, in_use, *others], used=[in_use])
    assert images.prune(docker.engine()) == sorted(old)
    assert (tmp_path / "there").read_text().split() == [*todays, *editors, in_use, *others]
    assert docker.asked("image rm") == [f"image rm {name}" for name in sorted([*old, in_use])]  # none by force
    assert images.prune(docker.engine()) == []


def test_an_image_that_is_there_is_not_built_again(tmp_path):
    name = images.tag(CPU, CPU.build())
    docker = Docker(tmp_path, [name])
    assert images.ensure(docker.engine(builder=""), CPU, CPU.build(), Sources()) == name
    assert docker.asked() == [f"image inspect --format {{{{.Id}}}} {name}"]


@pytest.fixture
def context(tmp_path, monkeypatch):
    """What is fetched for a build, left out here."""
    monkeypatch.setattr(images, "make_context", lambda stack, build: (tmp_path / "context" / "x").mkdir(parents=True) or tmp_path / "context")
    return tmp_path / "context"


def test_a_build_is_by_buildkit_on_the_recorded_base_with_where_it_comes_from_and_leaves_no_context(context, tmp_path, capfd):
    base = f"ubuntu@{CPU.digest}"
    docker = Docker(tmp_path, [base, "torch-labs/cpu:0123456789ab"])
    assert images.ensure(docker.engine(), CPU, CPU.build("index"), Sources(apt="http://apt.example")) == images.tag(CPU, CPU.build("index"))
    assert "older than its definition: rebuilding it" in capfd.readouterr().err
    (built,) = docker.asked("buildx build")
    for words in (f"--build-arg BASE_IMAGE={base}", "--build-arg APT_MIRROR=http://apt.example", "--build-arg UV_DEFAULT_INDEX= ",
                  f"--label org.opencontainers.image.base.digest={CPU.digest}", "--label torch-labs.lock=modern-index.txt sha256:"):  # fmt: skip
        assert words in built
    assert built.endswith(str(context)) and not context.exists() and docker.asked("pull") == []
    assert "BUILDKIT=1 buildx build" in (tmp_path / "asked").read_text()


def test_a_build_that_fails_is_said_in_a_sentence(context, tmp_path):
    docker = Docker(tmp_path, [f"ubuntu@{CPU.digest}"], builds=False)
    with pytest.raises(UserError, match="building stack cpu failed"):
        images.ensure(docker.engine(), CPU, CPU.build("index"), Sources())


@pytest.mark.parametrize(("free_gb", "builds"), [(3.8, True), (3.79, False)])
def test_a_disk_that_has_just_room_enough_is_built_on(free_gb, builds, context, tmp_path, monkeypatch):
    docker = Docker(tmp_path, [f"ubuntu@{CPU.digest}"])
    answer = images.output_of
    monkeypatch.setattr(images, "output_of", lambda *words, **more: str(tmp_path) if "info" in words else answer(*words, **more))
    monkeypatch.setattr(images.sizes, "of", lambda *_: images.sizes.Size(1, False, 1, int(1e9), int(3.8e9)))
    monkeypatch.setattr(images, "free_gb", lambda folder: free_gb)
    if builds:
        images.ensure(docker.engine(), CPU, CPU.build("index"), Sources())
    else:
        with pytest.raises(UserError, match=r"takes about 3\.8 GB"):
            images.ensure(docker.engine(), CPU, CPU.build("index"), Sources())
    assert len(docker.asked("buildx build")) == builds


def test_an_older_client_builds_without_buildx_and_a_proxy_for_all_is_not_passed_on(monkeypatch):
    """BuildKit knows the names of the other proxies, and would keep the value of this one in the image."""
    for name in ("HTTPS_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://proxy:3128")
    engine_of_before = dataclasses.replace(DOCKER, builder="BuildKit")
    words = images.build_words(engine_of_before, "name", Path("/Dockerfile"), {"A": "1"}, Path("/context"))
    assert words[:2] == ["/usr/bin/docker", "build"] and "--load" not in words and words[-1] == "/context"
    passed = {words[place + 1] for place, word in enumerate(words) if word == "--build-arg"}
    assert {"A=1", "HTTPS_PROXY", "no_proxy"} <= passed and not passed & {"ALL_PROXY", "all_proxy"}


def test_the_mirrors_index_and_its_server_of_packages_are_each_in_their_place(monkeypatch):
    words = command(index="https://index.example/simple", apt="https://apt.example")
    assert "UV_DEFAULT_INDEX=https://index.example/simple" in words and "APT_MIRROR=https://apt.example" in words
    monkeypatch.setenv("LAB_MIRROR", "cn")
    row = images.mirrors.find("cn")
    assert Sources.of(images.settings.current()) == Sources("", "", row["index"], row["apt"])
    monkeypatch.setenv("LAB_APT_MIRROR", "http://mine.example")
    monkeypatch.setenv("LAB_REGISTRY", "mirror.example.com/")
    own = Sources.of(images.settings.current())
    assert (own.registry, own.index, own.apt) == ("mirror.example.com/", row["index"], "http://mine.example")
    monkeypatch.setenv("LAB_REGISTRY", "mirror.example.com")
    assert Sources.of(images.settings.current()).registry == "mirror.example.com/"


def test_what_an_image_was_built_from_is_told_by_digest_also_of_a_base_that_has_a_tag_alone(tmp_path, monkeypatch):
    digest = f"sha256:{'a' * 64}"
    answers = {"image": f'["ubuntu@{digest}"] sha256:{"b" * 64}', "rev-parse": "c" * 40, "status": " M README.md"}
    monkeypatch.setattr(images, "output_of", lambda *words, **_: next((said for key, said in answers.items() if key in words), ""))
    said = images.provenance(DOCKER, CPU.build("index"), "ubuntu:24.04")
    assert said["org.opencontainers.image.base.name"] == "ubuntu:24.04" and said["org.opencontainers.image.base.digest"] == digest
    assert said["org.opencontainers.image.revision"] == f"{'c' * 40}-dirty"
    answers["status"] = ""
    assert images.provenance(DOCKER, CPU.build("index"), "ubuntu:24.04")["org.opencontainers.image.revision"] == "c" * 40
    answers.clear()  # no git, and an engine that does not know the base
    bare = images.provenance(DOCKER, NOTES.build("cu101"), "mine:1")
    assert bare == {"org.opencontainers.image.base.name": "mine:1"}

"""A stack as a file for other installers: what it pins is what the lock pins, and where it takes it from."""

from __future__ import annotations

import re

import msgspec
import pytest

from labkit.base.errors import UserError
from labkit.stacks import catalog, export, native

LOCKED = [(stack, build) for stack in map(catalog.load, catalog.names()) for build in stack.builds if not build.pending]
CN = next(row for row in catalog.load_facts()["mirror"] if row["name"] == "cn")


def build_of(label):
    stack, _, build = label.partition("/")
    return catalog.load(stack), catalog.load(stack).build(build)


def names_and_versions(lock):
    return re.findall(r"^([a-z0-9][\w.-]*)==(\S+)", lock, re.MULTILINE | re.IGNORECASE)


def parsed(environment):
    """The subset of YAML that an environment.yml is: keys, and lists one level deeper."""
    name = re.search(r"^name: (\S+)$", environment, re.MULTILINE)[1]
    channels = re.findall(r"^  - (\S+)$", environment.partition("dependencies:")[0], re.MULTILINE)
    conda = re.findall(r"^  - (\S+)$", environment.partition("dependencies:")[2], re.MULTILINE)
    return name, channels, conda, re.findall(r"^      - (.+)$", environment, re.MULTILINE)


@pytest.mark.parametrize(("stack", "build"), LOCKED, ids=lambda part: part.name)
def test_every_form_pins_what_the_lock_pins(stack, build):
    pinned = [pin for pin in names_and_versions(build.lock.read_text()) if pin[0] != "opencv-python-headless"]
    assert len(pinned) > 50
    assert names_and_versions(export.render("pip", stack, build)) == pinned
    name, channels, conda, pip = parsed(export.render("conda", stack, build))
    assert (name, channels) == (f"torch-labs-{stack.name}", ["conda-forge", "nodefaults"])
    assert conda == [f"python={stack.python}", "pip", "pip:"]
    assert names_and_versions("\n".join(pip)) == pinned and len(pip) == len(pinned) + bool(build.wheels)


@pytest.mark.parametrize(("stack", "build"), LOCKED, ids=lambda part: part.name)
def test_requirements_hold_every_hash_and_the_address_of_pytorchs_wheels_alone(stack, build):
    text = export.render("pip", stack, build)
    hashes = re.findall(r"--hash=sha256:[0-9a-f]{64}", text)
    assert hashes == re.findall(r"--hash=sha256:[0-9a-f]{64}", native.requirements(stack, build, windows=True))
    assert len(hashes) > len(names_and_versions(text))
    assert re.findall(r"https://\S+", text) == [build.wheels] * bool(build.wheels)


def test_the_versions_in_the_two_files_are_those_of_the_stack():
    for form in ("pip", "conda"):
        text = export.render(form, *build_of("notes"))
        assert re.search(r"\btorch==1\.5\.0\b", text) and re.search(r"\btorchvision==0\.6\.0\b", text)
        assert "Python 3.8." in text and ("headless" not in text)
        assert '#   ./inv detectron2.install --stack notes --python "$(command -v python)"\n' in text


@pytest.mark.parametrize(
    ("label", "options"),
    [
        ("cpu/index", [f"--index-url {CN['index']}"]),
        ("notes/index", [f"--index-url {CN['index']}"]),
        ("cu126", [f"--index-url {CN['index']}", "--find-links https://mirrors.aliyun.com/pytorch-wheels/cu126/"]),
        ("cu118", [f"--index-url {CN['index']}", "--find-links https://mirrors.aliyun.com/pytorch-wheels/cu118/"]),
        ("notes/cu101", [f"--index-url {CN['index']}", "--extra-index-url https://download.pytorch.org/whl/cu101"]),
    ],
)
def test_in_china_everything_that_a_mirror_has_comes_from_it(label, options):
    stack, build = build_of(label)
    assert re.findall(r"^--.*$", export.render("pip", stack, build, "cn"), re.MULTILINE) == options
    _, channels, _, pip = parsed(export.render("conda", stack, build, "cn"))
    assert channels[0] == CN["conda"] and pip[: len(options)] == options


def test_a_build_without_hashes_is_exported_with_its_wheel_server_and_says_so(capsys):
    stack, build = build_of("notes/cu101")
    text = export.render("pip", stack, build)
    assert "--extra-index-url https://download.pytorch.org/whl/cu101\n" in text
    assert "\ntorch==1.5.0+cu101\ntorchvision==0.6.0+cu101\n" in text and "--hash" not in text
    assert "no recorded hashes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("form", "mirror", "says"), [("yaml", "", "known: conda, pip, pylock"), ("pip", "c", "did you mean cn")]
)
def test_what_does_not_exist_is_named(form, mirror, says):
    with pytest.raises(UserError, match=says):
        export.render(form, *build_of("cpu"), mirror)


ONE_FILE = 'name = "a"\nwheels = [{{ url = "https://files.example/a.whl", hashes = {{ sha256 = "{0}" }} }}]\n'
TWO_FILES = """\
name = "a"
wheels = [
    {{ url = "https://files.example/a-cp312.whl", hashes = {{ sha256 = "{0}" }} }},
    {{ url = "https://files.example/a-cp315.whl", hashes = {{ sha256 = "{1}" }} }},
]
"""


@pytest.fixture
def answering(tmp_path, monkeypatch):
    """A stack whose lock pins one file, and a package index that uv reports as given: uv itself is stood in for."""
    stack, build = build_of("cpu/index")
    lock = tmp_path / "lock.txt"
    lock.write_text(f"a==1 \\\n    --hash=sha256:{'0' * 64}\n")

    def render(answer, status=0):
        program = tmp_path / "uv"
        program.write_text(
            f"#!/bin/sh\ncat <<'END'\n{answer}END\n[ {status} = 0 ] || echo 'no such host' >&2\nexit {status}\n"
        )
        program.chmod(0o755)
        monkeypatch.setattr(export, "uv", lambda: str(program))
        return export.render("pylock", stack, msgspec.structs.replace(build, lock=lock))

    return render


def test_pylock_keeps_only_the_files_that_the_lock_knows(answering):
    text = answering(TWO_FILES.format("0" * 64, "1" * 64))
    assert "a-cp312.whl" in text and "a-cp315.whl" not in text and text.startswith("# Stack cpu/index of torch-labs")


def test_pylock_of_other_bytes_is_refused(answering):
    assert "a.whl" in answering(ONE_FILE.format("0" * 64))
    with pytest.raises(UserError, match="another file than the lock"):
        answering(ONE_FILE.format("1" * 64))


def test_pylock_without_an_index_says_what_else_there_is(answering):
    with pytest.raises(UserError, match=r"no such host.*\n  next: ./inv doctor, or --format pip"):
        answering("", status=1)

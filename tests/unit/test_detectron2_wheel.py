"""The wheel of detectron2: the same bytes every time, and no half-changed wheel. From the published sources themselves."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

from labkit.base import paths, settings
from labkit.base.errors import UserError
from labkit.base.programs import uv
from labkit.stacks import catalog, detectron2_wheel, images, native

FAMILIES = {"cpu": "0.6", "notes": "0.5"}
# Of the whole wheel. A change of make_wheel.py changes these.
SHA256 = {"cpu": "0bff626e7612039379732bc85725d1e1ecc4a5065ba379f233a8479f1fd1fa02", "notes": "416caccd104fa987d67bb9c5e9c8965fdfcd8215afc145526929616d0ce90cfb"}

spec = importlib.util.spec_from_file_location("make_wheel", detectron2_wheel.MAKER)
make_wheel = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_wheel)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_wheel_is_the_same_everywhere_and_records_every_file(name, tmp_path):
    stack = catalog.load(name)
    detectron2_wheel.make(stack, tmp_path)
    (wheel,) = tmp_path.iterdir()
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() == SHA256[name]
    with zipfile.ZipFile(wheel) as packed:
        members = set(packed.namelist())
        info = next(member.partition("/")[0] for member in members if ".dist-info/" in member)
        record = packed.read(f"{info}/RECORD").decode().splitlines()
        code = {member: packed.read(member).decode() for member in members if member.endswith(".py")}
    assert info == f"detectron2-{FAMILIES[name]}+python.dist-info"
    assert {line.split(",")[0] for line in record} == members and f"{info}/LICENSE" in members
    assert "detectron2/model_zoo/configs/COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml" in members
    assert "detectron2/projects/point_rend/__init__.py" in members
    for member, text in code.items():
        compile(text, member, "exec")
        assert not re.search(r"\bnp\.(int|float|bool|str)\b", text)


def test_a_source_that_is_not_as_expected_makes_no_wheel(tmp_path):
    source = detectron2_wheel.fetch_source(catalog.load("cpu"))
    with tarfile.open(source) as packed:
        packed.extractall(tmp_path / "source")
    (top,) = (tmp_path / "source").iterdir()
    zoo = top / "detectron2" / "model_zoo" / "model_zoo.py"
    zoo.write_text(zoo.read_text().replace("import pkg_resources", "import importlib"))
    with tarfile.open(tmp_path / "other.tar.gz", "w:gz") as packed:
        packed.add(top, top.name)
    with pytest.raises(SystemExit, match=r"'import pkg_resources\\n' is 0 times in .*model_zoo.py, expected 1"):
        make_wheel.main(tmp_path / "other.tar.gz", tmp_path / "out")
    with pytest.raises(SystemExit, match=r"holds no detectron2"):
        make_wheel.main(shutil.make_archive(str(tmp_path / "empty"), "gztar", tmp_path / "source" / top.name / "tools")
                        and tmp_path / "empty.tar.gz", tmp_path / "out")  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_another_detectron2_is_taken_when_asked_for(monkeypatch, tmp_path):
    stack = catalog.load("cpu")
    before = native.fingerprint(stack, stack.build()), images.fingerprint(stack, stack.build())
    assert detectron2_wheel.arguments("F") == ["--no-index", "--find-links", "F", "detectron2"]
    settings.use(detectron2="--find-links https://wheels.example/cu101 detectron2==0.3")
    assert detectron2_wheel.arguments("F")[-1] == "detectron2==0.3" and len(detectron2_wheel.arguments("F")) == 3
    assert before[0] != native.fingerprint(stack, stack.build()) and before[1] != images.fingerprint(stack, stack.build())
    wheel = tmp_path / "detectron2-0.6-cp312-cp312-linux_x86_64.whl"
    settings.use(detectron2=str(wheel))
    with pytest.raises(UserError, match="there is no such file"):
        detectron2_wheel.arguments("F")
    wheel.write_bytes(b"compiled")
    detectron2_wheel.make(stack, tmp_path / "context")
    assert (tmp_path / "context" / wheel.name).read_bytes() == b"compiled"
    assert detectron2_wheel.arguments(detectron2_wheel.IN_IMAGE) == [f"/context/detectron2/{wheel.name}"]


def test_what_is_installed_is_told(tmp_path):
    assert detectron2_wheel.installed(tmp_path) == ""
    (tmp_path / "detectron2-0.6+python.dist-info").mkdir()
    (tmp_path / "detectron2").mkdir()
    assert detectron2_wheel.installed(tmp_path).startswith("0.6, Python alone")
    (tmp_path / "detectron2" / "_C.cpython-312-x86_64-linux-gnu.so").touch()
    assert detectron2_wheel.installed(tmp_path) == "0.6, compiled"


def install(*options):
    command = [str(paths.ROOT / "inv"), "detectron2.install", *options]
    return subprocess.run(command, capture_output=True, text=True)


def test_it_goes_into_an_environment_of_ones_own(tmp_path):
    """Without PyTorch in it: nothing but detectron2 and what computes PQ is installed."""
    python = tmp_path / "own" / "bin" / "python"
    subprocess.run([uv(), "venv", "--python", sys.executable, str(tmp_path / "own")], check=True)
    done = install("--stack=cpu", f"--python={python}")
    assert done.returncode == 0 and "detectron2 is installed" in done.stderr, done.stderr
    (packages,) = (tmp_path / "own" / "lib").glob("python3*/site-packages")
    assert detectron2_wheel.installed(packages).startswith("0.6, Python alone") and (packages / "panopticapi").is_dir()
    done = install("--stack=cpu", f"--python={tmp_path / 'nothing'}")
    assert done.returncode == 2 and "is not a Python interpreter" in done.stderr

"""Nothing that lies in the user's folder or in their settings of Python, pip and uv is run or installed by in our place."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from labkit.base import installers, paths, programs, settings
from labkit.stacks import machine, native, runner, selection

TRAP = "import os\nos.write(2, b'TRAPPED')\nraise SystemExit(1)\n"
NAMES = ("random", "json", "torch", "rich", "invoke", "sysconfig", "runpy", "msgspec", "sitecustomize", "usercustomize")


@pytest.fixture
def trap(tmp_path):
    """A folder in which every module that we or Python might import is one that must not run."""
    folder = tmp_path / "trap"
    for package in ("labkit", "labs", "torch_", "datasets"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text(TRAP)
    for name in NAMES:
        (folder / f"{name}.py").write_text(TRAP)
    (folder / "uv.toml").write_text('this is not TOML [')
    (folder / "pyproject.toml").write_text('[tool.uv.pip]\ntarget = "elsewhere"\n')
    (folder / "tasks.py").write_text(TRAP)
    return folder


@pytest.mark.parametrize("more", [{}, {"PYTHONPATH": "."}, {"PYTHONHOME": "/nowhere"}, {"PYTHONSTARTUP": "random.py"}])
@pytest.mark.parametrize("words", [["--list"], ["runs"], ["lab", "cifar10", "--", "--help"]])
def test_the_folder_in_which_it_is_called_runs_no_code(words, more, trap):
    environment = {**os.environ, **more}
    done = subprocess.run([str(paths.ROOT / "inv"), *words], cwd=trap, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "TRAPPED" not in done.stderr, done.stderr


def test_a_new_clone_is_set_up_there_as_well(copy, trap):
    environment = {**os.environ, "PYTHONPATH": str(trap), "PIP_TARGET": str(trap / "here"), "PIP_USER": "1",
                   "PIP_DRY_RUN": "1", "PIP_PREFIX": str(trap), "PIP_CONFIG_FILE": str(trap / "pip.conf")}  # fmt: skip
    (trap / "pip.conf").write_bytes("# \u955c\u50cf\n[install]\nuser = true\ntarget = x\n".encode("gbk"))
    done = subprocess.run([str(copy / "inv"), "runs"], cwd=trap, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "TRAPPED" not in done.stderr, done.stderr
    assert not (trap / "here").exists()


def test_uv_reads_no_file_of_the_folder(trap, monkeypatch):
    monkeypatch.chdir(trap)
    monkeypatch.setenv("UV_PIP_TARGET", str(trap / "here"))
    environment = programs.uv_environment()
    assert "UV_PIP_TARGET" not in environment
    done = subprocess.run([programs.uv(), "python", "find"], env=environment, capture_output=True, text=True)
    assert "uv.toml" not in done.stderr and "TOML" not in done.stderr
    assert native.find_python((f"{sys.version_info.major}.{sys.version_info.minor}",))


def test_what_leads_through_the_network_is_kept_and_where_to_install_is_not():
    said = {
        "PIP_INDEX_URL": "https://i.example/", "PIP_PROXY": "http://p:1", "PIP_TARGET": "x", "PIP_ROOT": "/", "PIP_USER": "1",
        "UV_DEFAULT_INDEX": "https://u.example/", "UV_INDEX_MINE_PASSWORD": "s", "UV_SYSTEM_PYTHON": "1", "UV_OVERRIDE": "o",
        "HTTPS_PROXY": "http://p:1", "PYTHONHOME": "/nowhere", "PATH": "/bin",
    }  # fmt: skip
    assert installers.clean(said) == {
        "PIP_INDEX_URL": "https://i.example/", "PIP_PROXY": "http://p:1", "UV_DEFAULT_INDEX": "https://u.example/",
        "UV_INDEX_MINE_PASSWORD": "s", "HTTPS_PROXY": "http://p:1", "PATH": "/bin",
        "PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1",
    }  # fmt: skip


def test_what_pip_conf_says_of_the_network_reaches_pip(tmp_path):
    (tmp_path / "pip.conf").write_text("[global]\ntrusted-host = h.example\n[install]\nuser = true\nindex-url = https://c/\n")
    told = installers.for_pip({"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "PIP_TRUSTED_HOST": "first.example"})
    assert told["PIP_TRUSTED_HOST"] == "first.example" and told["PIP_INDEX_URL"] == "https://c/" and "PIP_USER" not in told


@pytest.mark.parametrize(
    "content, index",
    [
        ("# \u955c\u50cf\n[global]\nindex-url = https://c/\n".encode("gbk"), "https://c/"),
        ("[global]\nindex-url = https://c/\n".encode("utf-8-sig"), "https://c/"),
        (b"[global]\r\nindex-url = https://c/\r\n", "https://c/"),
        (b"[global]\nindex-url = https://b/\nindex-url = https://c/\n", "https://c/"),
        (b"[global]\n[global]\nindex-url = https://%(c)s/\n", "https://%(c)s/"),
        (b"index-url = https://c/\n", None),
        (b"[global\nindex-url", None),
        (b"[global]\nindex-url\n", None),
        (b"\x00\xff" * 100, None),
        ("[global]\nindex-url = https://c/\n".encode("utf-16"), None),
    ],
)  # fmt: skip
def test_whatever_pip_conf_holds_no_traceback_comes_of_it(content, index, tmp_path):
    (tmp_path / "pip.conf").write_bytes(content)
    told = installers.for_pip({"PIP_CONFIG_FILE": str(tmp_path / "pip.conf")})
    assert told.get("PIP_INDEX_URL") == index
    assert installers.for_pip({"PIP_CONFIG_FILE": str(tmp_path)})["PIP_CONFIG_FILE"] == os.devnull  # a folder


def test_a_learners_own_script_finds_its_own_modules(tmp_path):
    """In the shell of a stack, `python mine.py` is Python as everybody knows it."""
    (tmp_path / "helper.py").write_text("ANSWER = 42\n")
    (tmp_path / "mine.py").write_text("import helper, labkit; print(helper.ANSWER)\n")
    shell = runner.shell_command(selection.choose([], "", asked="cpu"), "venv", machine.probe())
    environment = settings.child_environment(shell.environment)
    done = subprocess.run([sys.executable, "mine.py"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout == "42\n", done.stderr

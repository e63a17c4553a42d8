"""Settings: where they come from, what they can be, and that nothing else reads the environment."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys

import pytest

from labkit.base import mirrors, paths, settings
from labkit.base.errors import UserError
from labkit.stacks import containers, images, native, selection
from labkit.stacks.engine import Engine

# What may read or write the environment beside the door, and why.
BESIDE_THE_DOOR = {
    "labkit/base/settings.py",  # the door
    "labkit/runs/compat.py",  # cuBLAS is told in this process how to compute
    "labkit/services/serve.py",  # becomes visdom, which takes its password from there
    "labkit/cli/program.py",  # looks for misspelt variables
    "tasks.py",  # becomes ./inv, which is told how it was called
}


def test_the_environment_is_read_at_one_door():
    files = [*(paths.ROOT / "labkit").rglob("*.py"), *(paths.ROOT / "labs").rglob("*.py"), paths.ROOT / "tasks.py"]
    readers = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            if name in ("environ", "environb", "getenv", "putenv"):
                readers.add(str(path.relative_to(paths.ROOT)))
    assert readers == BESIDE_THE_DOOR


def test_a_variable_comes_before_the_file_and_the_file_before_the_default(tmp_path):
    file = tmp_path / "settings.toml"
    assert settings.read({}, file) == settings.Settings()
    file.write_text('mirror = "cn"\ndata = "~/sets"\n', encoding="utf-8")
    kept = settings.read({}, file)
    assert (kept.mirror, kept.data) == ("cn", os.path.expanduser("~/sets"))
    said = settings.read({"LAB_MIRROR": "http://server/", "LAB_DATA": "here"}, file)
    assert (said.mirror, said.data) == ("http://server/", os.path.abspath("here"))
    handed = settings.read({"LAB_SETTINGS": '{"runs": "/r"}', "LAB_DEVICE": " cpu "}, file)
    assert (handed.mirror, handed.runs, handed.device) == ("", "/r", "cpu")  # in place of the file


def test_what_the_command_line_says_comes_first(monkeypatch):
    monkeypatch.setenv("LAB_MIRROR", "http://server/")
    assert settings.current().mirror == "http://server/"
    settings.use(mirror="cn")
    assert settings.current().mirror == "cn" and mirrors.package_index() == mirrors.find("cn")["index"]


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("LAB_DEVICE", "gpu", "LAB_DEVICE must be cuda or cpu, not gpu"),
        ("LAB_VISDOM_PORT", "70000", "a number from 1 to 65535"),
        ("LAB_VISDOM_PORT", "\u0661", "a number from 1 to 65535"),  # a digit, but not one of ours
        ("LAB_DATA", "a\x1b[2Jb", "LAB_DATA contains unprintable characters"),
        ("LAB_DETECTRON2", "x.whl", "./inv config set detectron2 x.whl"),
        ("LAB_BASE_IMAGE", "mine", "no variable can set it"),
        ("LAB_SETTINGS", "{", "not a JSON object"),
        ("LAB_SETTINGS", "[" * 100_000, "not a JSON object"),
        ("LAB_SETTINGS", '{"data": 1}', "not a JSON object"),
        ("LAB_SETTINGS", '{"device": "gpu"}', "must be cuda or cpu"),
    ],
)
def test_what_cannot_be_is_said_at_the_door(variable, value, sentence, tmp_path):
    with pytest.raises(UserError) as caught:
        settings.read({variable: value}, tmp_path / "none")
    assert sentence in str(caught.value) and "next: " in str(caught.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('mirorr = "cn"', "there is no setting 'mirorr' (did you mean mirror?)"),
        ("device = 1", "device must be text in quotes"),
        ('device = "gpu"', "settings.toml: device must be"),
        ("device = ", "settings cannot be read"),
        ("\udcff", "settings cannot be read"),
    ],
)
def test_a_file_that_cannot_be_is_said_at_the_door(content, sentence, tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(UserError) as caught:
        settings.read({}, file)
    assert sentence in str(caught.value)


def test_every_command_says_so_in_one_sentence(copy):
    (copy / "settings.toml").write_text('device = "gpu"\n', encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "LAB_SETTINGS"}
    command = [sys.executable, "-m", "labkit.cli.program", "--search-root", str(copy)]
    for words in (["runs"], ["lab", "cifar10", "--dry"], ["config"], ["doctor"]):
        done = subprocess.run([*command, *words], cwd=copy, env=environment, capture_output=True, text=True)
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
        assert (
            "settings.toml: device must be cuda or cpu, not gpu.\n  next: ./inv config unset device" in done.stderr
        )
    done = subprocess.run(
        [*command, "config", "unset", "device"], cwd=copy, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0 and "gpu" not in (copy / "settings.toml").read_text(encoding="utf-8")
    for words in (["set", "detectron2", "--find-links https://w.example d==1"], ["set", "mirror", "cn"]):
        assert subprocess.run([*command, "config", *words], cwd=copy, env=environment).returncode == 0
    done = subprocess.run([*command, "config"], cwd=copy, env=environment, capture_output=True, text=True)
    assert "--find-links" in done.stdout and done.stdout.count("settings.toml") == 2


def test_the_launcher_takes_the_mirror_before_there_is_an_environment(copy):
    code = "import sys; sys.path.insert(0, 'scripts'); import host_env; print(host_env.mirror_index())"

    def index(**more):
        environment = {**{name: value for name, value in os.environ.items() if name != "LAB_MIRROR"}, **more}
        done = subprocess.run([sys.executable, "-c", code], cwd=copy, env=environment, capture_output=True, text=True)
        return done.stdout.strip()

    cn = mirrors.find("cn")["index"]
    assert (index(), index(LAB_MIRROR="cn"), index(LAB_MIRROR="http://server/")) == ("", cn, "")
    (copy / "settings.toml").write_text('# kept\nmirror = "cn"\n', encoding="utf-8")
    assert (index(), index(LAB_MIRROR="x")) == (cn, "")


def test_one_setting_serves_a_user_in_mainland_china(monkeypatch):
    monkeypatch.setenv("LAB_MIRROR", "cn")
    row = mirrors.find("cn")
    told = mirrors.variables()
    assert told["UV_DEFAULT_INDEX"] == row["index"] and told["NPM_CONFIG_REGISTRY"] == row["npm"]
    assert told["UV_PYTHON_INSTALL_MIRROR"] == row["python"]
    sources = images.Sources.of(settings.current())
    assert (sources.index, sources.apt) == (row["index"], row["apt"])


@pytest.mark.parametrize(
    ("content", "index"),
    [
        ("[global]\nindex-url = https://one.example/simple\n", "https://one.example/simple"),
        ("\ufeff[global]\nindex-url = https://bom.example/\n", "https://bom.example/"),
        ("[global]\nindex-url = https://a.example/\nindex-url = https://b.example/\n", "https://b.example/"),
        ("index-url = https://no.example/section\n", ""),
        ("[install]\ntarget = /somewhere\n", ""),
    ],
)
def test_the_index_in_pips_own_file(content, index, tmp_path, monkeypatch):
    for variable in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL", "LAB_MIRROR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    (tmp_path / "pip.conf").write_text(content, encoding="utf-8")
    assert mirrors.package_index() == index or os.path.exists("/etc/pip.conf")
    (tmp_path / "pip.conf").write_bytes("# \u955c\u50cf\n".encode("gbk") + content.encode())
    assert mirrors.package_index() in (index, "") or os.path.exists("/etc/pip.conf")


def test_a_process_is_handed_everything_in_one_variable(monkeypatch):
    monkeypatch.setenv("LAB_DATA", "/it's here")
    monkeypatch.setenv("LAB_DEVICE", "cpu")
    cpu = selection.choose([], "", asked="cpu")
    variables = containers.variables(Engine("/usr/bin/docker", "27"), cpu, "visdom", "--gpus=2")
    assert "'" not in variables["LAB_SETTINGS_INSIDE"]  # it stands between them in docker/.env
    handed = settings.read({"LAB_SETTINGS": variables["LAB_SETTINGS_INSIDE"]}, paths.ROOT / "none")
    assert (handed.data, handed.device, handed.stack) == ("/it's here", "cpu", "cpu/cpu")
    assert (handed.visdom_server, handed.launch) == ("visdom", "--gpus=2")
    child = settings.child_environment({"LAB_SETTINGS": settings.handed_on(device="cuda")})
    assert "LAB_DEVICE" not in child and "PATH" in child and json.loads(child["LAB_SETTINGS"])["device"] == "cuda"


@pytest.mark.parametrize("value", ["two", "-1", "1e3", "9" * 20])
def test_a_number_of_the_launcher_that_is_none(value, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", value)
    with pytest.raises(UserError, match="WORLD_SIZE is"):
        settings.system()


@pytest.fixture
def config(copy):
    """`./inv config ...` in a clone of its own: (exit status, standard output, standard error)."""
    environment = {name: value for name, value in os.environ.items() if name != "LAB_SETTINGS"}

    def run(*words, **more):
        command = [sys.executable, "-m", "labkit.cli.program", "--search-root", str(copy), "config", *words]
        done = subprocess.run(command, cwd=copy, env={**environment, **more}, capture_output=True, text=True)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.mark.parametrize("value", ["/a [/red] b", "/it's [red] $HOME `x` \"q\"", "/图 片", "/a\\b"])
def test_any_folder_name_is_kept_and_shown_as_it_is(value, config):
    assert config("set", "data", value)[0] == 0
    assert config("show", "data")[1] == f"{value}\n"
    status, out, _ = config(COLUMNS="400")
    assert status == 0 and value in out


@pytest.mark.parametrize("value", ["   ", "a\nb", "~nobody-of-this-name/x", "\x1b[2J"])
def test_a_folder_that_cannot_be_is_refused(value, config):
    assert config("set", "data", value)[0] == 2


@pytest.mark.parametrize(
    ("value", "kept"),
    [("CN", "cn"), (" cn ", "cn"), ("http://s/d/", "http://s/d/"), ("file:///media/usb stick/", "file:///media/usb stick/"),
     ("zzz", ""), ("ftp://x/", ""), ("http://", ""), ("aliyuncs.com", "aliyuncs.com")],
)  # fmt: skip
def test_what_a_mirror_can_be(value, kept, config):
    status, _, _ = config("set", "mirror", value)
    assert (status, config("show", "mirror")[1].strip()) == (0 if kept else 2, kept)


@pytest.mark.parametrize("content", ["[a.b]\nc = 1\n", '"it\'s $(x)" = "y"\n', "x = 2020-01-01\n", 'mirror = ["cn"]\n'])
def test_a_file_with_other_things_in_it_is_not_made_worse(content, config, copy):
    file = copy / "settings.toml"
    file.write_text(content, encoding="utf-8")
    assert config("set", "device", "cpu")[0] == (0 if content.startswith("device") else 2)
    assert file.read_text(encoding="utf-8") == content


def test_a_file_from_windows_is_read(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_bytes(b'\xef\xbb\xbfmirror = " cn "\r\ndata = "sets"\r\n')
    kept = settings.read({}, file)
    assert (kept.mirror, kept.data) == ("cn", str(tmp_path / "sets"))  # from the file on, not from the current folder


def test_two_at_once_lose_nothing(copy):
    environment = {name: value for name, value in os.environ.items() if name != "LAB_SETTINGS"}
    command = [sys.executable, "-m", "labkit.cli.program", "--search-root", str(copy), "config", "set"]
    pairs = [("mirror", "cn"), ("device", "cpu"), ("registry", "r.example"), ("visdom_port", "9000")]
    several = [subprocess.Popen([*command, *pair], cwd=copy, env=environment, stderr=subprocess.DEVNULL) for pair in pairs]
    assert [process.wait() for process in several] == [0] * len(pairs)
    assert set(settings.in_file(copy / "settings.toml").items()) == set(pairs)


def test_what_comes_before_the_file_is_said(config):
    status, _, said = config("set", "mirror", "cn", LAB_MIRROR="http://s/")
    assert status == 0 and "LAB_MIRROR comes before it: mirror stays http://s/" in said
    status, _, said = config("set", "mirror", "cn", LAB_SETTINGS="{}")
    assert status == 0 and "LAB_SETTINGS comes before it" in said


def test_a_misspelt_variable_is_named():
    assert settings.misspelt({"LAB_MIROR": "cn", "LAB_MIRROR": "cn", "LAB_TESTS": "1", "PATH": ""}) == [
        "LAB_MIROR is ignored: did you mean LAB_MIRROR?"
    ]


def test_composes_file_holds_any_name_of_a_folder(monkeypatch, tmp_path):
    """Read back by the pinned Compose itself."""
    from labkit.stacks import editor

    monkeypatch.setenv("LAB_DATA", "/it's \"q\" $HOME ${X} #1/\\")
    line = editor.line("LAB_DATA", settings.current().data)
    (tmp_path / ".env").write_text(line, encoding="utf-8")
    (tmp_path / "compose.yaml").write_text("services:\n  a:\n    image: x\n    environment: {D: '${LAB_DATA}'}\n")
    compose = native.make_tools("compose", native.find_python(("3.12", "3.13", "3.11", "3.14"))) / "bin" / "docker-compose"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LAB_")}
    command = [str(compose), "--file", str(tmp_path / "compose.yaml"), "config", "--format", "json"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["services"]["a"]["environment"]["D"]
    assert found.replace("$$", "$") == settings.current().data


def test_settings_of_libraries_do_not_reach_what_we_start(monkeypatch):
    theirs = {"MPLBACKEND": "nonsense", "MATPLOTLIBRC": "/a", "JUPYTER_CONFIG_DIR": "/b", "VISDOM_PORT": "tcp://10.0.0.1:8097",
              "VISDOM_PORT_8097_TCP": "tcp://10.0.0.1:8097", "NOTEBOOK_ADDRESS": "0.0.0.0"}  # fmt: skip
    for name, value in theirs.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NO_COLOR", "1")
    given = settings.child_environment({"VISDOM_PORT": "8097"})
    assert given["VISDOM_PORT"] == "8097" and given["NO_COLOR"] == "1" and given["MATPLOTLIBRC"] == os.devnull
    assert not set(theirs) & set(given) - {"VISDOM_PORT", "MATPLOTLIBRC"}


@pytest.mark.parametrize(
    ("variable", "value", "name", "expected"),
    [
        ("LD_PRELOAD", "", "preload", ""), ("LD_PRELOAD", "/lib/libtcmalloc.so", "preload", "/lib/libtcmalloc.so"),
        ("SSL_CERT_FILE", "/ca.pem", "certificates", "/ca.pem"), ("COMPOSE_PROJECT_NAME", "mine", "compose_project", "mine"),
        ("DOCKER_HOST", "tcp://far", "docker_host", "tcp://far"), ("DOCKER_CONTEXT", "far", "docker_context", "far"),
        ("DOCKER_CONFIG", "/d", "docker_folder", paths.Path("/d")), ("PYENV_ROOT", "/p", "pyenv", paths.Path("/p")),
        ("XDG_CONFIG_HOME", "/c", "configuration", paths.Path("/c")), ("OMP_NUM_THREADS", "3", "threads", "3"),
        ("WORLD_SIZE", "4", "processes", 4), ("WORLD_SIZE", "", "processes", 1), ("RANK", "2", "rank", 2), ("LOCAL_RANK", "1", "local_rank", 1),
        ("CUDA_VISIBLE_DEVICES", "", "visible_gpus", ""), ("PATH", "/a:/b", "search_path", "/a:/b"),
        ("UV_PYTHON_INSTALL_MIRROR", "http://m", "python_mirror", "http://m"), ("PWD", "/typed/here", "folder", paths.Path("/typed/here")),
    ],
)  # fmt: skip
def test_what_others_say_in_the_environment_is_read_under_its_own_name(variable, value, name, expected, monkeypatch):
    monkeypatch.setenv(variable, value)
    assert getattr(settings.system(), name) == expected
    monkeypatch.delenv(variable)
    assert getattr(settings.system(), name) != expected or value == ""

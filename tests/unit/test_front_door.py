"""./inv and tasks.py as a user meets them: each test starts the real launcher in a process of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import sysconfig
import tempfile
import threading
from pathlib import Path

import pytest
from rich.cells import cell_len

from labkit.base import labs, paths
from labkit.cli.program import name_positionals
from labkit.data import registry

ROOT = paths.ROOT


def inv(*arguments, cwd=ROOT, **environment):
    settings = {**os.environ, "COLUMNS": "200", **environment}
    done = subprocess.run(
        [str(ROOT / "inv"), *arguments], cwd=cwd, env=settings, capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout, done.stderr


def test_the_list_reads_like_a_table_of_contents():
    status, out, _ = inv("--list")
    tasks = re.findall(r"^  ([\w.-]+) +\S", out, re.MULTILINE)
    assert status == 0
    assert tasks == sorted(tasks, key=lambda name: ("." in name, name)) and {"doctor", "lab", "setup", "test"} <= set(tasks)


@pytest.mark.parametrize(
    "task", ["clean", "data", "datasets", "doctor", "export", "labs", "lint", "report", "runs", "setup", "test"]
)
def test_every_task_has_help(task):
    status, out, _ = inv("--help", task)
    assert status == 0 and "Docstring:\n  " in out and "none\n" not in out.split("Docstring:")[1].split("Options:")[0]


def test_the_doctor_speaks_json_and_shows_no_password():
    address = "http://me:secret@127.0.0.1:1"
    settings = {"UV_DEFAULT_INDEX": f"{address}/simple", "https_proxy": address, "UV_HTTP_RETRIES": "0"}
    status, out, err = inv("doctor", "--json", **settings)
    told = json.loads(out)
    found = {row["id"]: row for row in told["findings"]}
    assert status == 1 and told["format"] == 1 and len(found) == len(told["findings"])
    assert set(found["package-index"]) == {"id", "group", "level", "subject", "what", "next_command"}
    assert found["package-index"]["level"] == "problem" and "127.0.0.1:1" in found["proxy"]["what"]
    assert "secret" not in out + err


def test_the_doctor_speaks_json_where_the_settings_are_broken(copy):
    (copy / "settings.toml").write_text("x = [")
    own = {name: value for name, value in os.environ.items() if not name.startswith("LAB_")}
    done = subprocess.run(["sh", str(copy / "inv"), "doctor", "--json"], env=own, capture_output=True, text=True)
    (found,) = json.loads(done.stdout)["findings"]
    assert done.returncode == 1 and found["id"] == "settings" and "cannot be read" in found["what"] and found["next_command"]


@pytest.mark.parametrize("arguments", [("lab", "--help"), ("--help", "lab"), ("lab", "cifar10", "--help")])
def test_help_of_lab_teaches_and_runs_nothing(arguments, tmp_path):
    status, out, _ = inv(*arguments, LAB_RUNS=str(tmp_path / "runs"))
    assert status == 0 and "./inv lab cifar10 -- --model resnet18" in out
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("lab", "cifra10"), "did you mean cifar10?"),
        (("lab", "cifar10", "--stack", "cu13"), "did you mean cu130?"),
        (("lab", "cifar10", "--resume="), "--resume= is empty"),
        (("lab", "cifar10", "--resume", ""), "is empty"),
        (("lab", "cifar10", "--smok"), "did you mean --smoke"),
        (("lab", "cifar10", "labs"), "'labs' is one word too many"),
        (("config", "set", "data", "/a", "b"), "a value with spaces needs quotes"),
        (("lab", "cifar10", "--where", "docker-ish"), "--where must be"),
        (("lab", "cifar10", "--", "--predict", "nothing.jpg"), "there is no file nothing.jpg"),
        (("lab", "cifar10", "--", "--dataset", "cifar11"), "--dataset: unknown value cifar11"),
        (("lab", "--nonsense"), "the lab's name comes first"),
        (("lab", "--epochs=2"), "the lab's name comes first, before --epochs=2.\n  next: ./inv lab NAME --epochs=2"),
        (("lab", "--smoke", "cifar10", "--epochs", "2"), "the lab's name comes first, before --smoke."),
        (("data", "cifr10"), "did you mean cifar10?"),
        (("data", "cifar10", "--unverified"), "--unverified goes with --import"),
        (("data", "cifar10", "--verify", "--delete"), "exclude each other"),
        (("report", "nothing"), "there is no run nothing"),
        (("setup", "--stack", "gpu"), "there is no stack 'gpu'"),
        (("lab", "cifar10", "--epochs", "2"), "next: ./inv lab cifar10 -- --epochs 2\n"),
        (("lab", "cifar10", "epochs", "2"), "next: ./inv lab cifar10 -- --epochs 2\n"),
        (
            ("lab", "cifar10", "--stack", "cpu", "--epochs=2", "--smoke", "--lr", "0.1", "--", "--width", "16"),
            "next: ./inv lab cifar10 --stack cpu --smoke -- --epochs=2 --lr 0.1 --width 16\n",
        ),
        (("data", "cifar10", "--urls", "--verify"), "exclude each other"),
        (("lab", "cifar10", "--stack", "CPUS"), "did you mean cpu?"),
        (("export", "--format", "condo"), "did you mean conda?"),
        (("export", "--mirror", "us"), "--mirror: there is no 'us' (known: cn)"),
        (("export", "--output", str(ROOT / "README.md")), "already exists"),
        (("export", "--output", "/proc/requirements.txt"), "cannot use /proc/requirements.txt"),
        (("lab",), "next: ./inv labs"),
        (("labz",), "did you mean lab"),
        (("runs", "--all"), "next: ./inv --help runs"),
        (("lab", "cifar10", "--stack"), "--stack needs a value"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(arguments, says, tmp_path):
    status, _, err = inv(*arguments, LAB_RUNS=str(tmp_path / "runs"), LAB_DATA=str(tmp_path / "data"))
    assert status == 2
    assert says in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["help"], ["-h"], ["--help"]])
def test_help_alone_lists_what_there_is_to_do(words):
    assert inv(*words)[:2] == (0, inv("--list")[1])
    assert inv("help", "lab")[1] == inv("--help", "lab")[1]


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("task", ["labs", "datasets"])
def test_a_narrow_terminal_cuts_nothing_off(task, width):
    """Letters of Chinese are two columns wide; what is folded reads on below."""
    known = labs.table() if task == "labs" else [registry.find(name) for name in registry.names()]
    lines = inv(task, COLUMNS=str(width))[1].splitlines()
    assert max(map(cell_len, lines)) <= width
    for one in known:
        (first,) = [place for place, line in enumerate(lines) if re.match(rf"(\d+ +)?{one.name} ", line)]
        following = next(place for place, line in enumerate(lines) if place > first and (line[:1].strip() or not line))
        block = "".join(" ".join(lines[first:following]).split())
        assert "…" not in block
        for text in [one.title_zh, one.title] if task == "labs" else [one.licence]:
            left = block
            for letter in text.replace(" ", ""):  # in order, with other columns between
                assert letter in left, (text, block)
                left = left[left.index(letter) + 1 :]


def test_names_are_found_in_any_case(tmp_path):
    folders = {"LAB_RUNS": str(tmp_path / "runs"), "LAB_DATA": str(tmp_path / "data")}
    status, out, _ = inv("lab", "CIFAR10", "--sample", "--dry", "--where", "venv", **folders)
    assert status == 0 and out.rstrip().endswith("labs/cifar10/lab.py --sample")
    assert inv("data", "Cifar10", "--urls", **folders)[1] == inv("data", "cifar10", "--urls", **folders)[1]


def test_the_addresses_of_a_data_set_are_there_to_be_copied():
    status, out, _ = inv("data", "cifar10", "--urls")
    (file,) = registry.find("cifar10").files
    name, *addresses = out.splitlines()
    assert status == 0 and name == f"{file.name}: 170.5 MB ({file.size_bytes:,} bytes), sha256 {file.sha256}"
    assert [address.strip() for address in addresses] == list(file.urls)
    assert "/val2017/NAME" in inv("data", "coco", "--urls", "--subset", "20")[1]


def test_a_damaged_import_says_what_to_compare_it_with(tmp_path):
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"cut short")
    status, _, said = inv("data", "cifar10", "--import", str(tmp_path / "cifar-10-python.tar.gz"), LAB_DATA=str(tmp_path))
    assert status == 2 and "is damaged or cut short" in said
    assert "next: ./inv data cifar10 --urls" in said


def test_what_follows_the_dashes_arrives_untouched(tmp_path):
    (tmp_path / "my photo.jpg").touch()
    status, out, _ = inv(
        "lab", "detectron2", "--smoke", "--dry", "--where", "venv", "--", "--input", "my photo.jpg", "A", "a  b", cwd=tmp_path
    )
    assert status == 0
    assert out.strip().endswith(f"lab.py --input '{tmp_path}/my photo.jpg' --smoke A 'a  b'")


def test_invoke_of_the_users_own_hands_over_to_the_pinned_one():
    """The same as ./inv, with another invoke on PATH: here the one of the development environment."""
    invoke = Path(sys.executable).with_name("invoke")
    done = subprocess.run([str(invoke), "--list"], cwd=ROOT, capture_output=True, text=True)
    ours = inv("--list")[1]
    assert done.returncode == 0 and len(done.stdout.split()) == len(ours.split()) and "./inv" not in done.stdout


@pytest.mark.parametrize("words", [["lab", "nosuch"], ["lab"], ["nosuch"], ["data", "cifar10", "--unverified"], ["data", "nosuch"]])
def test_a_message_names_the_command_as_it_was_started(words):
    """Whoever typed invoke reads invoke; whoever typed ./inv reads ./inv, since no invoke may be on PATH."""
    invoke = Path(sys.executable).with_name("invoke")
    said = [
        subprocess.run([command, *words], cwd=ROOT, capture_output=True, text=True)
        for command in (str(invoke), "./inv")
    ]
    assert [done.returncode for done in said] == [2, 2]
    theirs, ours = (done.stderr for done in said)
    assert "next: ./inv " in ours and "invoke " not in ours
    assert "next: invoke " in theirs and "./inv" not in theirs and theirs == ours.replace("./inv ", "invoke ")


def test_help_names_the_command_as_it_was_started():
    invoke = Path(sys.executable).with_name("invoke")
    theirs = subprocess.run([str(invoke), "--help", "lab"], cwd=ROOT, capture_output=True, text=True).stdout
    assert "invoke lab cifar10 --smoke" in theirs and "./inv" not in theirs
    assert "./inv lab cifar10 --smoke" in inv("--help", "lab")[1]


def test_nothing_on_the_way_to_a_task_imports_torch_or_numpy():
    modules = ", ".join(f"labkit.cli.{path.stem}" for path in (ROOT / "labkit" / "cli").glob("*.py"))
    code = f"import {modules}, labkit.testing, sys; print(sorted({{'torch', 'numpy', 'matplotlib'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout.strip() == "[]"
    code = "import sys, tasks; print([m for m in sys.modules if m.startswith('labkit') or m == 'rich'])"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout.strip() == "[]"


def test_the_launcher_makes_its_environment_and_repairs_a_half_made_one(copy):
    half_made = copy / ".venv" / "host" / "bin"
    half_made.mkdir(parents=True)
    (half_made / "python").write_text("what an interrupted run left")
    done = subprocess.run(["sh", str(copy / "inv"), "--list"], cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "making .venv/host" in done.stderr and "doctor" in done.stdout
    again = subprocess.run(["sh", str(copy / "inv"), "--list"], cwd="/", capture_output=True, text=True)
    assert again.returncode == 0 and "making" not in again.stderr


@pytest.mark.parametrize(
    ("variable", "address", "says", "does_not"),
    [
        ("ALL_PROXY", "socks5://me:secret@127.0.0.1:1", "does not know SOCKS, and ALL_PROXY is socks5://127.0.0.1:1", "mainland"),
        ("HTTPS_PROXY", "http://me:secret@127.0.0.1:1", "through the proxy http://127.0.0.1:1 of HTTPS_PROXY", "mainland"),
    ],
)
def test_a_proxy_that_is_in_the_way_is_named(variable, address, says, does_not, copy):
    settings = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    command = ["sh", str(copy / "inv"), "--list"]
    done = subprocess.run(command, env={**settings, variable: address, "PIP_RETRIES": "0"}, capture_output=True, text=True)
    last = done.stderr.partition("inv: pip could")[2]
    assert done.returncode == 2 and says in last and variable in last.partition("next: ")[2], done.stderr
    assert does_not not in last and "secret" not in last


def test_line_ends_of_windows_are_named(copy):
    """As in a zip made on Windows; `./inv` itself then ends in the kernel, which looks for a /bin/sh with a CR."""
    (copy / "inv").write_bytes((copy / "inv").read_bytes().replace(b"\n", b"\r\n"))
    for shell in ("sh", "bash"):
        done = subprocess.run([shell, "inv", "--list"], cwd=copy, capture_output=True, text=True)
        assert done.returncode == 2 and "the line ends of Windows" in done.stderr and done.stderr.count("\n") == 2
    mend = done.stderr.partition("or here: ")[2]
    subprocess.run(["sh", "-c", mend], cwd=copy, check=True)
    assert (copy / "inv").read_bytes() == (ROOT / "inv").read_bytes()
    assert (copy / "docs" / "report.png").read_bytes() == (ROOT / "docs" / "report.png").read_bytes()


def test_a_clone_with_autocrlf_has_the_same_bytes(copy, tmp_path):
    def git(*words, cwd):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=cwd, check=True, capture_output=True)

    git("init", cwd=copy)
    git("-c", "core.autocrlf=false", "add", "--all", cwd=copy)
    git("commit", "--message=a", cwd=copy)
    git("clone", "-c", "core.autocrlf=true", str(copy), str(tmp_path / "clone"), cwd=tmp_path)
    files = [path for path in (tmp_path / "clone").rglob("*") if path.is_file() and ".git" not in path.parts]
    assert len(files) > 400
    for path in files:
        assert path.read_bytes() == (copy / path.relative_to(tmp_path / "clone")).read_bytes(), path
    done = subprocess.run(["sh", str(tmp_path / "clone" / "inv"), "--list"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def only_on_path(folder, **programs):
    folder.mkdir()
    for name, target in {"dirname": shutil.which("dirname"), "cmp": shutil.which("cmp"), **programs}.items():
        (folder / name).symlink_to(target)
    return {"PATH": str(folder), "HOME": str(folder)}


def test_without_python_the_launcher_says_what_to_install(copy):
    done = subprocess.run(
        ["/bin/sh", str(copy / "inv"), "--list"], env=only_on_path(copy / "bin"), capture_output=True, text=True
    )
    assert done.returncode == 2 and "Python 3.9 or newer is needed" in done.stderr and "next:" in done.stderr


def test_without_venv_the_launcher_says_what_to_install(copy):
    """A real Python whose library lacks the venv module, as on a bare Debian or Ubuntu."""
    library = Path(sysconfig.get_path("stdlib"))
    bare = copy / "home" / "lib" / library.name
    bare.mkdir(parents=True)
    for entry in library.iterdir():
        if entry.name != "venv":
            (bare / entry.name).symlink_to(entry)
    python = bare.parent.parent / "bin" / "python3"  # a copy, which looks for its library beside itself
    python.parent.mkdir()
    shutil.copy(Path(sys.executable).resolve(), python)
    environment = only_on_path(copy / "bin", python3=python, sh="/bin/sh")
    done = subprocess.run(["/bin/sh", str(copy / "inv"), "--list"], env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and "cannot make a virtual environment" in done.stderr and "apt install" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["data", "--help"], ["bundle", "-h"], ["lab", "--help"], ["detectron2.install", "--help"]])
def test_help_may_come_after_the_task(words):
    status, said, _ = inv(*words)
    assert status == 0 and said == inv("--help", words[0])[1] and "Options:" in said
    assert said.startswith(f"Usage: ./inv [--core-opts] {words[0]} ")


@pytest.mark.parametrize(
    ("words", "sentence", "next_words"),
    [
        (["--help", "nosuch"], "there is no task 'nosuch'", "--list"),
        (["--list", "nosuch"], "there are no tasks 'nosuch.…'", "--list"),
        (["--nosuch"], "there is no option '--nosuch'", "--list"),
        (["data", "cifar10", "--subset"], "--subset needs a value", "--help data"),
        (["bundle"], "bundle needs", "--help bundle"),
        (["detectron2.install"], "detectron2.install needs a python", "--help detectron2.install"),
    ],
)
def test_a_mistake_is_one_sentence_and_a_command_that_works(words, sentence, next_words):
    status, _, said = inv(*words)
    assert status == 2 and sentence in said and said.rstrip().endswith(f"next: ./inv {next_words}")
    assert inv(*next_words.split())[0] == 0


def test_who_reads_only_the_beginning_ends_it_quietly():
    done = subprocess.run(
        ["bash", "-c", "set -o pipefail; ./inv --list | head -1"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stderr == "" and "tasks" in done.stdout


def test_a_connection_that_ends_early_is_a_reason_and_not_the_end():
    """A proxy that agrees and hangs up: the broken pipe is the network's, and the program lives to say so."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def hang_up():
            while True:
                try:
                    peer, _ = listening.accept()
                except OSError:
                    return
                peer.recv(4096)
                peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                peer.close()

        threading.Thread(target=hang_up, daemon=True).start()
        proxy = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with tempfile.TemporaryDirectory() as folder:
            settings = {**os.environ, "HTTPS_PROXY": proxy, "https_proxy": proxy, "LAB_DATA": folder, "no_proxy": ""}
            done = subprocess.run(["./inv", "data", "cmn_eng"], cwd=ROOT, env=settings, capture_output=True, text=True)
    assert done.returncode == 2 and "could not be fetched" in done.stderr and "next: " in done.stderr


def test_the_lab_of_a_notebook_is_a_word_of_its_own_and_a_port_is_none():
    valued = {"--port", "--stack"}
    assert name_positionals(["notebook", "tensors"], valued) == ["notebook", "--lab=tensors"]
    words = ["notebook", "--port", "8889", "tensors", "--stop"]
    assert name_positionals(words, valued) == ["notebook", "--port", "8889", "--lab=tensors", "--stop"]


def test_what_is_no_lesson_has_no_notebook():
    status, _, error = inv("notebook", "cifar10")
    assert status == 2 and "cifar10 is no lesson in steps; tensors" in error and "next: ./inv lab cifar10" in error


@pytest.mark.parametrize("moment", ["create_config", "load_collection", "parse_tasks", "execute"])
def test_ctrl_c_before_a_task_has_begun_has_the_status_of_ctrl_c(moment):
    stopped = f"""
import sys
sys.path.insert(0, sys.argv.pop(1))
from labkit.cli.program import LabProgram, main
def stopped(self):
    raise KeyboardInterrupt
LabProgram.{moment} = stopped
main()"""
    command = [str(ROOT / ".venv/host/bin/python"), "-I", "-c", stopped, str(ROOT), "--search-root", str(ROOT), "labs"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")

"""A run and its folder, with a toy lab in place of a real one."""

from __future__ import annotations

import base64
import contextlib
import errno
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from datetime import datetime, timezone

import pytest
import torch
import toys

from labkit.base import hardware, settings
from labkit.runs import live, provenance, records
from labkit.runs import start as start_module
from labkit.runs.run import Helper, Run


@pytest.fixture(autouse=True)
def runs_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("LAB_VISDOM_PORT", str(free_port()))
    return tmp_path / "runs"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def read(folder, name):
    return json.loads((folder / name).read_text(encoding="utf-8"))


@pytest.fixture
def run(tmp_path):
    """A run that no lab drives."""
    facts = {"lab": "toy", "title": "Toy", "title_zh": "", "seed": 0, "sample": False, "smoke": False, "preset": "", "options": {}}
    folder = tmp_path / "runs" / "toy" / "20260101-000000"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**facts, "started": "2026-01-01 00:00:00"}))
    made = Run(folder, facts)
    made.begin()
    yield made
    made.close()


def test_everything_about_a_run_is_in_its_folder(capfd):
    assert toys.run("--epochs", "2", "--seed", "7") == 0
    (folder,) = toys.folders()
    assert {path.name for path in folder.iterdir()} - {"code.diff"} == {
        "checkpoints", "code", "config.json", "env.json", "metrics.jsonl", "plots", "report.html", "report.json",
        "summary.json", "tables", "tensorboard", "timings.jsonl",
    }  # fmt: skip
    assert [path for path in folder.rglob("*") if path.suffix in (".new", ".partial")] == []
    assert (folder / "code" / "lab.py").read_bytes() == toys.LAB.read_bytes()

    config, env, summary = (read(folder, f"{name}.json") for name in ("config", "env", "summary"))
    assert config["options"] == {"epochs": 2, "lr": 0.1, "mode": "train"} and config["seed"] == env["seed"] == 7
    assert config["command"] == "./inv lab toy -- --epochs 2 --seed 7" or settings.current().stack
    assert env["torch"] == torch.__version__ and env["threads"] == torch.get_num_threads()
    assert env["device"] == "cpu" and env["device_reason"] and env["cpu"] and env["packages"]["torch"]
    assert summary["status"] == "finished" and summary["metrics"]["accuracy"] == 0.75 and summary["seconds"] >= 0

    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 17))
    assert set(rows[0]) == {"step", "train_loss", "lr"} and isinstance(rows[0]["train_loss"], float)
    assert "seconds" in (folder / "timings.jsonl").read_text()
    assert sorted(path.name for path in (folder / "plots" / "curves").iterdir()) == ["loss.png", "lr.png"]

    page = (folder / "report.html").read_text(encoding="utf-8")
    for text in ("A toy &lt;that&gt; learns a sign", "玩具 &amp; 符号", "A note &amp; more.", "&lt;one&gt;", "75.0\u00a0%"):
        assert text in page
    assert 'http-equiv="refresh"' not in page
    out, err = capfd.readouterr()
    assert out == ""
    assert "device: cpu (no CUDA device)" in err and "16/16 step" in err and "accuracy 0.7500" in err


def test_tensorboard_shows_what_was_logged():
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert toys.run("--epochs", "2") == 0
    (folder,) = toys.folders()
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    told = [(event.step, event.value) for event in events.Scalars("loss/train")]
    assert told == [(row["step"], pytest.approx(row["train_loss"], rel=1e-6)) for row in rows]
    assert "lr" in events.Tags()["scalars"]


def test_two_runs_in_one_second_get_two_folders(monkeypatch):
    class Frozen(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)

    monkeypatch.setattr(start_module, "datetime", Frozen)
    assert toys.run("--epochs", "1") == toys.run("--epochs", "1") == 0
    assert [folder.name for folder in toys.folders()] == ["20260102-030405", "20260102-030405-2"]


@pytest.mark.parametrize("arguments", [("--epocs", "3"), ("--lr", "x"), ("--mode", "trian"), ("--epochs", "0")])
def test_bad_input_makes_nothing(arguments, runs_folder, capsys):
    assert toys.run(*arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "next: ./inv lab toy -- --help" in said and "Traceback" not in said
    assert not runs_folder.exists()


def test_a_refusal_leaves_no_empty_folder_but_keeps_work(capsys):
    assert toys.run("--mode", "refuse") == 2
    assert "the toy refuses.\n  next: ./inv labs" in capsys.readouterr().err
    assert toys.folders() == []
    assert toys.run("--mode", "refuse-late", "--epochs", "1") == 2
    (folder,) = toys.folders()
    assert read(folder, "summary.json")["error"] == "the toy refuses, late."


def test_a_crash_keeps_its_traceback(capsys):
    assert toys.run("--mode", "crash", "--epochs", "1") == 1
    (folder,) = toys.folders()
    assert "RuntimeError: <the toy> broke" in capsys.readouterr().err
    summary = read(folder, "summary.json")
    assert summary["status"] == "failed" and "in main" in summary["traceback"]
    assert "RuntimeError: &lt;the toy&gt; broke" in (folder / "report.html").read_text(encoding="utf-8")


def test_a_smoke_run_must_learn(capsys):
    assert toys.run("--smoke") == 0
    config = read(toys.folders()[-1], "config.json")
    assert (config["smoke"], config["sample"], config["options"]["epochs"]) == (True, True, 2)
    assert "device: cpu (smoke runs use the CPU)" in capsys.readouterr().err
    assert toys.run("--smoke", "--mode", "weak") == 1
    assert "the smoke run did not learn: accuracy 0.1 < 0.5" in capsys.readouterr().err
    assert records.table()[0].status == "failed"


def test_a_smoke_run_must_reach_everything_that_its_lab_asks_for():
    asked = {"metric": "one", "min": 0.5, "also": [{"metric": "other", "max": 3.0}, {"metric": "third", "min": 1}]}
    reached = {"one": 0.5, "other": 3.0, "third": 1, "more": float("nan")}
    assert start_module._smoke_failure(asked, reached) == "" == start_module._smoke_failure({}, reached)
    for name, value, said in (("one", 0.4, "one 0.4 < 0.5"), ("other", 3.5, "other 3.5 > 3.0"), ("third", 0, "third 0 < 1"),
                              ("one", float("nan"), "one nan < 0.5"), ("other", float("nan"), "other nan > 3.0")):  # fmt: skip
        assert start_module._smoke_failure(asked, {**reached, name: value}) == f"the smoke run did not learn: {said}"


def test_the_device_that_was_asked_for(monkeypatch, capsys):
    monkeypatch.setenv("LAB_DEVICE", "cpu")
    assert toys.run("--smoke") == 0
    assert read(toys.folders()[-1], "env.json")["device_reason"] == "device=cpu"
    monkeypatch.setenv("LAB_DEVICE", "gpu")
    assert toys.run("--smoke") == 2
    assert "LAB_DEVICE must be cuda or cpu, not gpu.\n  next: unset LAB_DEVICE" in capsys.readouterr().err
    monkeypatch.setenv("LAB_DEVICE", "cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert toys.run("--smoke") == toys.run() == 2
    said = capsys.readouterr().err
    assert said.count("device is set to cuda, and there is no CUDA device.\n  next: ./inv config show device, or ./inv doctor") == 2
    assert len(toys.folders()) == 1
    monkeypatch.setattr(provenance, "_cuda_problem", lambda: "")
    assert provenance.choose_device(smoke=True) == (torch.device("cuda"), "device=cuda")


def test_what_is_not_a_number_is_null():
    assert toys.run("--mode", "nan", "--epochs", "1") == 0
    (folder,) = toys.folders()
    assert json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])["train_loss"] is None


def test_a_runs_folder_that_cannot_be(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LAB_RUNS", str(tmp_path / "file" / "runs"))
    assert toys.run() == 2
    assert "cannot use" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="mounting a small disk needs root")
def test_a_full_disk_ends_in_one_sentence(tmp_path, monkeypatch, capsys):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)], stderr=subprocess.PIPE)
    if mounted.returncode:
        pytest.skip("mounting a small disk is not allowed here")
    try:
        monkeypatch.setenv("LAB_RUNS", str(disk))
        assert toys.run("--save-every", "0", "--epochs", "100") == 2
        said = capsys.readouterr().err
        assert "the disk is full" in said and "Traceback" not in said
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_figures_tables_and_notes_keep_their_order_and_may_be_renewed(run):
    from labkit.runs import plots

    for caption in ("first", "renewed"):
        figure, axes = plots.figure()
        axes[0, 0].plot([1, 2], [3, 4])
        run.figure("image", figure, caption)
        run.note("a note")
        run.table("numbers", ["n"], [[1], [torch.tensor(2.5)]], "numbers")
    items = read(run.folder, "report.json")["items"]
    assert [(item["kind"], item["caption"]) for item in items] == [
        ("figure", "renewed"), ("note", "a note"), ("table", "numbers"),
    ]  # fmt: skip
    assert (run.folder / "plots" / "image.png").read_bytes()[:4] == b"\x89PNG"


def test_a_data_set_is_recorded_with_its_kind(run, monkeypatch, tmp_path, capsys):
    from labkit.data import samples, store

    state = store.State("cifar10", "unverified", tmp_path, 10, "/carried/in", "2026-01-01T00:00:00Z")
    monkeypatch.setattr(samples, "locate", lambda name, sample: state)
    assert run.dataset("cifar10") == tmp_path
    assert read(run.folder, "env.json")["data"]["cifar10"]["kind"] == "unverified"
    assert records.read(run.folder).data == "unverified"
    assert "cifar10 (unverified: not checked against published hashes)" in capsys.readouterr().err


def test_the_report_of_a_running_run_refreshes_itself(run, monkeypatch):
    monkeypatch.setattr(run, "_report_every_s", 0.0)
    run.log(1, train_loss=1.5)
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert 'http-equiv="refresh"' in page and "1.500" in page
    assert records.read(run.folder).status == "running"


def test_curves_of_one_kind_share_a_panel(run):
    run.log(1, train_loss=2.0, holdout_loss=2.5, test_loss=2.5, lr=0.1)
    run.record("stopped")
    assert sorted(path.name for path in (run.folder / "plots" / "curves").iterdir()) == ["loss.png", "lr.png"]
    assert records.read(run.folder).metrics["holdout_loss"] == 2.5


def test_a_forked_worker_leaves_ctrl_c_and_the_lock_to_the_run(run):
    lock = run._lock
    child = os.fork()
    if child == 0:
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
        with contextlib.suppress(OSError):
            os.fstat(lock)
            os._exit(2)
        os._exit(0 if handlers == [signal.SIG_IGN, signal.SIG_DFL, signal.SIG_DFL] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert records.read(run.folder).status == "running"


class Visdom(http.server.BaseHTTPRequestHandler):
    """Answers as visdom's server does, and keeps what it was sent."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.told.append(json.loads(body))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"window")

    do_GET = do_POST

    def log_message(self, *_):
        pass


def test_visdom_shows_the_curves_when_it_answers(run, monkeypatch, capfd):
    monkeypatch.setattr(live.Windows, "REDRAW_S", 0.05)
    monkeypatch.setattr(live.Windows, "RETRY_S", 0.05)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # a proxy must not come between
    monkeypatch.setenv("no_proxy", "example.org")
    run.log(1, train_loss=2.0, lr=0.1)
    time.sleep(0.3)  # nothing answers yet
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["LAB_VISDOM_PORT"])), Visdom)
    server.told = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    run.log(2, train_loss=1.0, test_loss=1.5)
    deadline = time.monotonic() + 60
    while not any(told.get("win") == "lr" for told in server.told) and time.monotonic() < deadline:
        run.log(3, lr=0.1)
        time.sleep(0.05)
    server.shutdown()
    server.server_close()
    run.log(4, train_loss=0.5)  # the server has gone again
    drawn = {told["win"]: told for told in server.told if "win" in told}
    assert set(drawn) == {"loss", "lr"}
    assert drawn["loss"]["eid"] == "toy_20260101-000000"
    assert [(line["name"], line["x"][:1], line["y"][:1]) for line in drawn["loss"]["data"]] == [
        ("train", [1.0], [2.0]), ("test", [2.0], [1.5]),
    ]  # fmt: skip
    assert "visdom" not in "".join(capfd.readouterr()).lower()


def test_a_figure_with_a_step_is_shown_live(run, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from labkit.runs import plots

    def told_images():
        shown = [told for told in server.told if told.get("win") == "made"]
        return [base64.b64decode(told["data"][0]["content"]["src"].split(",")[1]) for told in shown]

    monkeypatch.setattr(live.Windows, "REDRAW_S", 0.05)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["LAB_VISDOM_PORT"])), Visdom)
    server.told = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    drawn = []
    for step in (3, 4):
        figure, axes = plots.figure(width=2, height=1)
        axes[0, 0].plot([0, step])
        run.figure("made", figure, "What was <made>.", step=step)
        drawn.append((run.folder / "plots" / "made.png").read_bytes())
        deadline = time.monotonic() + 60
        while told_images() != drawn and time.monotonic() < deadline:
            run.log(step, train_loss=1.0)  # draws the curves again, and the image only where it is new
            time.sleep(0.02)
    figure, _ = plots.figure()
    run.figure("last", figure, "Not live.")
    assert told_images() == drawn and drawn[0] != drawn[1]
    live.replay(run.folder)
    assert told_images() == [*drawn, drawn[1]]
    server.shutdown()
    server.server_close()
    assert not [told for told in server.told if told.get("win") == "last"]
    run.record("finished")
    events = EventAccumulator(str(run.folder / "tensorboard"))
    events.Reload()
    assert [(image.step, image.encoded_image_string) for image in events.Images("made")] == list(zip((3, 4), drawn))
    assert "What was &lt;made&gt;." in (run.folder / "report.html").read_text(encoding="utf-8")


HOSTILE = [
    ["events", {"win": "w", "data": [{"type": "text", "content": "<h3>fine</h3><img src=x onerror=alert(1)><script>alert(2)</script>"}]}],
    ["events", {"win": "v", "data": [{"type": "text", "content": '<video controls autoplay>\n<source type="video/mp4" '
                                      'src="data:video/mp4;base64,AA==">no</video><video src=x onerror=alert(3)>'}]}],
    ["delete_env", {"eid": "main"}], ["events", 7], ["events", {"win": "n"}], ["events", {"data": ["text"]}], {"a": 1}, [], 7,
]  # fmt: skip


def test_windows_that_somebody_else_wrote_down_hold_no_scripts(run, tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["LAB_VISDOM_PORT"])), Visdom)
    server.told = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    record = run.folder / live.RECORD
    record.write_text("\n".join(["{", "[" * 5000, *map(json.dumps, HOSTILE)]) + "\n")
    live.replay(run.folder)
    windows = {told["win"]: told["data"][0]["content"] for told in server.told if told.get("win")}
    assert windows["w"] == "<h3>fine</h3>&lt;img src=x onerror=alert(1)>&lt;script>alert(2)&lt;/script>"
    assert windows["v"].count("<") == 3 and "<video controls autoplay>" in windows["v"] and "&lt;video src=x" in windows["v"]
    assert set(windows) == {"w", "v"} and not [told for told in server.told if told.get("eid") == "main"]
    record.unlink()
    (tmp_path / "mine.jsonl").write_text(json.dumps(HOSTILE[0]))
    record.symlink_to(tmp_path / "mine.jsonl")  # outside of the folder
    del server.told[:]
    live.replay(run.folder)
    assert not [told for told in server.told if told.get("win")] and not live.has_windows(run.folder)
    server.shutdown()
    server.server_close()


def test_a_server_that_never_answers_does_not_hold_the_run_up():
    with socket.create_server(("127.0.0.1", int(os.environ["LAB_VISDOM_PORT"]))):
        assert toys.run("--epochs", "1") == 0


def test_progress_counts_from_where_it_stood(capsys, monkeypatch):
    monkeypatch.setattr(live, "PLAIN_LINE_EVERY_S", 0.0)
    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr(live.time, "monotonic", lambda: next(clock))
    with live.Bar(1000, start=400, unit="img") as bar:
        bar.advance(300, "epoch 1/2", loss=0.5, test_accuracy=0.75)
        bar.advance(300)
    lines = capsys.readouterr().err.splitlines()
    assert "700/1,000 img" in lines[0] and "img/s" in lines[0] and "left" in lines[0] and "epoch 1/2  loss 0.5  test accuracy 0.75" in lines[0]
    assert "1,000/1,000 img" in lines[-1] and "left" not in lines[-1]


def test_what_was_changed_and_not_committed_is_kept(tmp_path, monkeypatch):
    def git(*words):
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True, stdout=subprocess.DEVNULL)

    for name in ("labs/lab.py", "labkit/big.py", "labs/image.png", "docs/text.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\0before" if name.endswith("png") else b"before\n")
    git("init")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    monkeypatch.setattr(provenance, "GIT", ("git", "-C", str(tmp_path)))
    kept = tmp_path / "code.diff"
    (tmp_path / "docs/text.md").write_text("after\n")
    provenance.keep_changes(kept)
    assert not kept.exists()
    (tmp_path / "labs/lab.py").write_text("after\n")
    (tmp_path / "labs/image.png").write_bytes(b"\0after" * 1000)
    provenance.keep_changes(kept)
    assert "-before\n+after\n" in kept.read_text() and "docs" not in kept.read_text() and len(kept.read_text()) < 1000
    (tmp_path / "labkit/big.py").write_text("x" * 79 + "\n" + "line\n" * 1_000_000)
    provenance.keep_changes(kept)
    assert 1_000_000 < kept.stat().st_size < 1_000_100 and kept.read_bytes().endswith(b"[cut off here]\n")
    kept.unlink()
    monkeypatch.setattr(provenance, "GIT", ("no-such-program",))
    provenance.keep_changes(kept)
    assert not kept.exists()


def test_only_the_first_process_keeps_the_changes(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(provenance, "keep_changes", asked.append)
    monkeypatch.setattr(provenance, "_commit", lambda: ("abc", True))
    assert toys.run("--epochs", "1") == 0
    (folder,) = toys.folders()
    assert asked == [folder / "code.diff"]
    monkeypatch.setenv("RANK", "1")
    facts = read(folder, "config.json")
    helper = Helper(facts)
    helper.begin()
    helper.close()
    assert len(asked) == 1


# --- threads ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_threads(monkeypatch):
    """PyTorch with two threads, as on a machine of two cores, whose user leaves the choice to us."""
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(hardware, "cores", lambda: 2)
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_where_cores_are_taken_fewer_threads_compute_and_a_resumed_run_keeps_their_number(monkeypatch, capfd):
    monkeypatch.setattr(hardware, "taken_cores", lambda: 1.4)
    assert toys.run("--mode", "refuse-late") == 2
    (folder,) = toys.folders()
    assert "threads: 1, since others keep 1.4 of 2 cores busy; OMP_NUM_THREADS=2" in capfd.readouterr().err
    assert read(folder, "env.json")["threads"] == 1

    torch.set_num_threads(2)
    monkeypatch.setattr(hardware, "taken_cores", lambda: 0.0)
    assert toys.run("--resume=latest") == 2
    assert torch.get_num_threads() == 1 and "other conditions" not in capfd.readouterr().err
    torch.set_num_threads(2)
    assert toys.run("--epochs", "1") == 0 and torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_the_users_own_number_of_threads_stays(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr(hardware, "taken_cores", lambda: 1.9)
    provenance.choose_threads(None)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("why", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_a_disk_that_refuses_is_one_sentence_wherever_it_does(why, monkeypatch, capfd):
    def refuses(*_):
        raise OSError(why, os.strerror(why), "/somewhere/metrics.jsonl")

    monkeypatch.setattr(start_module, "_run", refuses)
    assert toys.run("--epochs", "1") == 2
    assert "cannot use /somewhere/metrics.jsonl: " in capfd.readouterr().err

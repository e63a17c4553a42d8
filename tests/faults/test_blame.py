"""Who is to blame when a download fails: a host, the disk, or we ourselves; and a progress bar that tells the truth."""

from __future__ import annotations

import errno
import io
import time

import mirrors
import pytest
from mirrors import FAULTS, Mirror, hashes, refused_url
from rich.console import Console
from rich.progress import Progress

from labkit.data import addresses, download, many, partial, transfer

MB = 1 << 20
CONTENT = bytes(range(256)) * (3 * MB // 256)


@pytest.fixture
def mirror():
    with Mirror({"f": CONTENT, **{f"{number}.bin": b"x" * 3000 for number in range(40)}}) as running:
        yield running


@pytest.fixture
def at_once():
    """Fails where the test took as long as giving every host all its attempts takes."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 3


def broken(*_, **__):
    """A defect: what our own code raises by mistake."""
    raise KeyError("our own mistake")


def fetch(mirror, folder, **more):
    return download.fetch([mirror.url("f")], folder / "f", len(CONTENT), hashes(CONTENT), **more)


def fetch_many(hosts, folder, problem=lambda *_: ""):
    return many.fetch(hosts, {f"{number}.bin": folder / f"{number}.bin" for number in range(40)}, problem, "files")


# --- our own defects ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (addresses, "Source"),  # met by the thread that asks an address
        (addresses, "pause_s"),
        (transfer.Transfer, "_take"),  # by a connection, before it asks
        (transfer.Transfer, "_without"),
        (partial.Part, "finish"),  # by a connection, while it reads
        (partial.Part, "read"),  # by the thread that computes the hash
    ],
)
def test_a_defect_while_a_file_arrives_is_raised_as_what_it_is(owner, name, mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(owner, name, broken)
    monkeypatch.setattr(addresses, "ATTEMPTS", 2)
    monkeypatch.setattr(addresses, "PAUSE_S", 0.01)
    mirror.busy = int(name == "pause_s")
    mirror.cut_at = MB if name == "_without" else None
    with pytest.raises(KeyError, match="our own mistake"):
        fetch(mirror, tmp_path)


@pytest.mark.usefixtures("at_once")
def test_a_defect_in_asking_one_of_several_hosts_does_not_wait_for_the_others(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(addresses, "TOGETHER_BYTES", MB)
    monkeypatch.setattr(addresses, "Source", broken)
    with mirrors.Silent() as silent, pytest.raises(KeyError, match="our own mistake"):
        download.fetch([silent.url("f"), mirror.url("f")], tmp_path / "f", len(CONTENT), hashes(CONTENT))


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("owner", "name"), [(addresses, "open_url"), (many._Job, "_store"), (many._Job, "_read_once"), (many, "quote")]
)
def test_a_defect_while_many_files_arrive_is_raised_as_what_it_is(owner, name, mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(owner, name, broken)
    with pytest.raises(KeyError, match="our own mistake"):
        fetch_many([mirror.base], tmp_path)


@pytest.mark.usefixtures("at_once")
def test_a_defect_in_what_checks_the_files_is_not_the_hosts_fault(mirror, tmp_path):
    with pytest.raises(KeyError, match="our own mistake"):
        fetch_many([mirror.base, mirror.base.replace("127.0.0.1", "localhost")], tmp_path, broken)


@pytest.mark.usefixtures("at_once")
def test_a_defect_does_not_wait_for_a_connection_that_hangs(mirror, tmp_path, monkeypatch):
    def hang(request, content):
        return mirrors.stall(request, content) if request.path == "/1.bin" else content

    def check(name, _):
        time.sleep(1.0 if name == "2.bin" else 0.3)  # the first one hangs by now
        return "" if name == "2.bin" else broken()

    monkeypatch.setitem(FAULTS, "one hangs", hang)
    mirror.fault = "one hangs"
    with pytest.raises(KeyError, match="our own mistake"):
        fetch_many([mirror.base], tmp_path, check)
    time.sleep(1.2)
    assert not list(tmp_path.glob("*.bin"))  # nor is anything written after that


def test_a_disk_that_refuses_is_not_the_hosts_fault(mirror, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    for owner, name in ((partial.Part, "write"), (partial.Part, "finish"), (many._Job, "_store")):
        with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left") as refused:
            patched.setattr(owner, name, full)
            fetch_many([mirror.base], tmp_path) if owner is many._Job else fetch(mirror, tmp_path)
        assert refused.value.errno == errno.ENOSPC


# --- the hosts' faults -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://[half/f", "not a usable address: Invalid IPv6 URL"),
        ("nonsense", "not a usable address: unknown url type: 'nonsense'"),
        ("http://127.0.0.1:port/f", "not a usable address: nonnumeric port: 'port'"),
        ("http://127.0.0.1/a b", "not a usable address: URL can't contain control characters"),
        ("http://127.0.0.1/图", "not a usable address: 'ascii' codec"),
        ("http://a..b/f", "not a usable address: .*label"),
    ],
)
def test_what_is_no_address_is_named_and_the_next_one_has_its_turn(address, said, mirror, tmp_path):
    with pytest.raises(addresses.Unreachable, match=said):
        download.fetch([address], tmp_path / "f", len(CONTENT), hashes(CONTENT))
    download.fetch([address, mirror.url("f")], tmp_path / "f", len(CONTENT), hashes(CONTENT))
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_a_redirect_to_what_is_no_address_is_the_hosts_fault(mirror, tmp_path, monkeypatch):
    monkeypatch.setitem(FAULTS, "nowhere", mirrors.answer(302, Location="http://[half/f"))
    mirror.fault = "nowhere"
    with pytest.raises(addresses.Unreachable, match="not a usable address"):
        fetch(mirror, tmp_path)


@pytest.mark.parametrize("number", ["many", "²", "9" * 5000])
def test_a_host_that_writes_numbers_that_are_none(number, mirror, tmp_path, monkeypatch):
    """In the length of the file and in the time to wait."""

    def respond(request, _):
        request.send_response(200)
        request.send_header("Content-Length", number)
        request.end_headers()

    monkeypatch.setitem(FAULTS, "odd length", respond)
    monkeypatch.setattr(addresses, "PAUSE_S", 0.01)
    mirror.fault = "odd length"
    with pytest.raises(addresses.Unreachable, match="it does not say how long the file is"):
        download.fetch([mirror.url("f")], tmp_path / "f", 0, hashes(CONTENT))
    mirror.fault, mirror.busy, mirror.retry_after = "", 1, number
    fetch(mirror, tmp_path)


@pytest.mark.usefixtures("at_once")
def test_a_host_where_nobody_listens_is_asked_once(tmp_path):
    with pytest.raises(addresses.Unreachable, match="connection refused"):
        fetch_many([refused_url("").rstrip("/")], tmp_path)


# --- the bar -----------------------------------------------------------------------------------------------------------


class Shown(Progress):
    """A progress display that keeps what it showed."""

    def __init__(self):
        super().__init__(console=Console(file=io.StringIO()), auto_refresh=False)
        self.ever = []

    def update(self, task, **more):
        super().update(task, **more)
        self.ever.append(self.tasks[0].completed)

    def advance(self, task, amount=1):
        super().advance(task, amount)
        self.ever.append(self.tasks[0].completed)


def test_the_bar_counts_every_file_once(mirror, tmp_path, monkeypatch):
    shown = Shown()
    monkeypatch.setattr(many, "_progress", lambda: shown)
    for number in range(10):
        (tmp_path / f"{number}.bin").write_bytes(b"x" * 3000)
    mirror.bytes_per_s = 20_000
    fetch_many([mirror.base], tmp_path, lambda _, content: "" if content == b"x" * 3000 else "wrong")
    assert len(set(shown.ever)) > 2 and shown.ever == sorted(shown.ever)
    assert shown.ever[0] >= 10 and shown.ever[-1] == shown.tasks[0].total == 40


def test_the_bar_does_not_count_again_what_comes_again(mirror, tmp_path, monkeypatch):
    """A server without ranges breaks off and has to begin anew."""
    shown = break_off_once(mirror, monkeypatch)
    fetch(mirror, tmp_path)
    assert mirror.statuses == [200, 200, 200]
    assert max(shown.ever) == shown.ever[-1] == len(CONTENT)


def test_nor_does_the_bar_of_several_files(mirror, tmp_path, monkeypatch):
    """Before that server, another one had sent all of a file, and it was the wrong one."""
    shown = break_off_once(mirror, monkeypatch)
    with transfer.whole("all", len(CONTENT)) as progress, Mirror({"f": bytes(len(CONTENT))}) as liar:
        urls = [liar.url("f"), mirror.url("f")]
        download.fetch(urls, tmp_path / "f", len(CONTENT), hashes(CONTENT), progress=progress)
    assert mirror.statuses == [200, 200, 200]
    assert max(shown.ever) == shown.ever[-1] == len(CONTENT)


def break_off_once(mirror, monkeypatch):
    """Let the server send the first two thirds and no more, the first time; returns the progress display."""

    def respond(_, content):
        mirror.cut_at = 2 * MB if len(mirror.statuses) == 1 else None  # the first answer was the probe's
        return content

    shown = Shown()
    monkeypatch.setattr(addresses, "PAUSE_S", 0.3)
    monkeypatch.setattr(transfer, "bytes_progress", lambda: shown)
    monkeypatch.setitem(FAULTS, "breaks off once", respond)
    mirror.fault, mirror.ranges = "breaks off once", False
    return shown


def test_a_login_in_an_address_is_never_said(tmp_path, capfd):
    address = refused_url("f").replace("http://", "http://me:secret@", 1)
    with pytest.raises(download.Unreachable) as caught:
        download.fetch([address], tmp_path / "f", 10)
    assert "127.0.0.1" in str(caught.value) and "secret" not in str(caught.value) + capfd.readouterr().err

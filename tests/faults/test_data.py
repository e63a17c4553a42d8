"""How data get into the data folder: whole or not at all, whatever happens on the way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
from mirrors import Mirror, refused_url, tar_gz, write_registry

from labkit.base.errors import UserError
from labkit.base.paths import ROOT
from labkit.data import addresses, archives, download, importing, obtain, registry, samples, store

MEMBERS = {"tiny/part_1": b"one" * 1000, "tiny/part_2": b"two" * 1000, "tiny/meta": b"meta", "tiny/read.me": b"hi"}
ARCHIVE = tar_gz(MEMBERS)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """An empty data folder, and a registry with the data set "tiny" whose only host is dead."""
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("LAB_MIRROR", raising=False)
    monkeypatch.setattr(registry, "REGISTRY", tmp_path / "registry")
    write_registry(tmp_path / "registry", MEMBERS, ARCHIVE, [refused_url("tiny.tar.gz")])
    return tmp_path / "data"


@pytest.fixture
def mirror(monkeypatch):
    with Mirror({"tiny.tar.gz": ARCHIVE}) as running:
        monkeypatch.setenv("LAB_MIRROR", running.base)
        yield running


def visible(data):
    return sorted(path.name for path in data.iterdir() if not path.name.startswith(".")) if data.exists() else []


def whole(data):
    return all((data / "tiny" / name).read_bytes() == content for name, content in MEMBERS.items())


def test_what_nobody_publishes_is_imported_or_comes_from_a_mirror_of_ones_own(data, tmp_path, monkeypatch):
    path = registry.REGISTRY / "tiny" / "dataset.toml"
    urls = next(line for line in path.read_text().splitlines() if line.startswith("urls"))
    path.write_text(path.read_text().replace(urls, "").replace("[[file]]", 'import_only = "its owner lets nobody"\n[[file]]', 1))
    with pytest.raises(UserError, match="has no address: its owner lets nobody") as refused:
        obtain.ensure("tiny")
    assert refused.value.next_command == "./inv data tiny --import=FOLDER" and visible(data) == []
    assert obtain.by_hand("tiny").startswith("No address: its owner lets nobody.\ntiny.tar.gz")
    (tmp_path / "tiny.tar.gz").write_bytes(ARCHIVE)
    assert importing.import_("tiny", tmp_path / "tiny.tar.gz").kind == "verified" and whole(data)
    store.delete("tiny")
    with Mirror({"tiny.tar.gz": ARCHIVE}) as running:
        assert obtain.ensure("tiny", [running.base]).kind == "verified"


def test_download_verify_delete(data, mirror):
    state = obtain.ensure("tiny")
    assert state.kind == "verified" and state.source == mirror.base[7:] and state.path == data / "tiny"
    assert whole(data) and visible(data) == ["tiny"]
    assert (data / "tiny/tiny.tar.gz").read_bytes() == ARCHIVE
    assert state.size_bytes == len(ARCHIVE) + sum(map(len, MEMBERS.values()))
    assert store.verify("tiny") == state == store.state("tiny") == samples.locate("tiny")
    assert "verified" in str(state)

    answers = len(mirror.statuses)
    assert obtain.ensure("tiny") == state
    assert len(mirror.statuses) == answers

    assert store.delete("tiny").kind == "absent"
    assert visible(data) == []


def test_lab_mirror_as_a_folder(data, tmp_path, monkeypatch):
    (tmp_path / "usb stick").mkdir()
    (tmp_path / "usb stick/tiny.tar.gz").write_bytes(ARCHIVE)
    monkeypatch.setenv("LAB_MIRROR", (tmp_path / "usb stick").as_uri())
    assert obtain.ensure("tiny").kind == "verified"
    assert whole(data)


def test_a_mirror_is_named_by_address_or_by_part_of_a_host(data, mirror, monkeypatch):
    monkeypatch.delenv("LAB_MIRROR")
    with pytest.raises(UserError, match=r"'zenodo' is neither cn nor an address .* of one of the hosts 127\.0\.0\.1"):
        obtain.ensure("tiny", mirrors=["zenodo"])
    with pytest.raises(addresses.Unreachable):
        obtain.ensure("tiny", mirrors=["127.0"])
    assert obtain.ensure("tiny", mirrors=[mirror.base + "/"]).kind == "verified"


def test_mirrors_in_mainland_china_come_first(data, mirror, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(registry, "REGISTRY", ROOT / "datasets")
        cifar10 = registry.find("cifar10").files[0].urls
    urls = obtain.urls_of(registry.find("tiny"), "cifar-10-python.tar.gz", cifar10, ["cn"])
    assert urls[0] == "https://dataset.bj.bcebos.com/cifar/cifar-10-python.tar.gz" and "sjtu.edu.cn" in urls[1]
    assert urls[3] == f"{mirror.base}/cifar-10-python.tar.gz" and set(urls) == {*cifar10, urls[3]}
    monkeypatch.setenv("LAB_MIRROR", "cn")
    assert obtain.urls_of(registry.find("tiny"), "x", cifar10, [])[0] == urls[0]
    with pytest.raises(addresses.Unreachable):
        obtain.ensure("tiny")  # no host of its own is there: it says so and asks the others


def test_no_host_answers(data):
    with pytest.raises(addresses.Unreachable, match="connection refused") as caught:
        obtain.ensure("tiny")
    assert "./inv data tiny --import=PATH" in caught.value.next_command
    (file,) = registry.find("tiny").files
    size = f"({file.size_bytes:,} bytes), sha256 {file.sha256}"
    assert size in caught.value.text and f"\n  {file.urls[0]}\n" in caught.value.text
    assert visible(data) == [] and store.state("tiny").kind == "absent"
    with pytest.raises(UserError, match="Tiny is not in"):
        samples.locate("tiny")


def test_an_archive_that_was_dropped_in_is_used(data):
    (data / "tiny").mkdir(parents=True)
    (data / "tiny/tiny.tar.gz").write_bytes(ARCHIVE)
    assert obtain.ensure("tiny").kind == "verified"
    assert whole(data) and visible(data) == ["tiny"]


def test_a_folder_that_is_not_ours_is_kept_aside(data, mirror):
    (data / "tiny").mkdir(parents=True)
    (data / "tiny/thesis.txt").write_text("mine")
    assert obtain.ensure("tiny").kind == "verified"
    (aside,) = data.glob("tiny-before-*")
    assert (aside / "thesis.txt").read_text() == "mine"


def test_files_that_vanished_are_unpacked_again_without_the_network(data, mirror, monkeypatch):
    obtain.ensure("tiny")
    monkeypatch.delenv("LAB_MIRROR")
    (data / "tiny/tiny/part_2").unlink()
    assert store.state("tiny").kind == "absent"
    assert obtain.ensure("tiny").kind == "verified"
    assert whole(data) and visible(data) == ["tiny"]


def test_verify_names_the_file_that_changed(data, mirror):
    obtain.ensure("tiny")
    (data / "tiny/tiny/part_2").write_bytes(b"changed")
    with pytest.raises(UserError, match=r"part_2 has changed: sha256 expected .* got"):
        store.verify("tiny")


def test_killed_while_unpacking_then_again(data, mirror, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(archives, "_move", lambda *_: os._exit(9))
        if not os.fork():
            obtain.ensure("tiny")
            os._exit(0)
        assert os.wait()[1] != 0
    assert visible(data) == []
    served_bytes = mirror.served_bytes
    assert obtain.ensure("tiny").kind == "verified"
    assert whole(data) and mirror.served_bytes == served_bytes


def test_killed_between_the_two_renames(data, mirror, monkeypatch):
    before = obtain.ensure("tiny")
    (data / "tiny").rename(data / ".tiny.former")
    monkeypatch.delenv("LAB_MIRROR")
    assert obtain.ensure("tiny") == before
    assert whole(data)


def test_two_processes_at_once(data, mirror, tmp_path):
    mirror.busy, mirror.retry_after = 1, 2  # slow enough for the second to meet the first at work
    program = "import sys; from pathlib import Path; from labkit.data import obtain, registry; " \
              "registry.REGISTRY = Path(sys.argv[1]); print(obtain.ensure('tiny').kind)"  # fmt: skip
    command = [sys.executable, "-c", program, str(tmp_path / "registry")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(2)]
    ends = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert [out for out, _ in ends] == ["verified\n"] * 2
    assert sum("another process is working on Tiny; waiting for it" in err for _, err in ends) == 1
    assert mirror.served_bytes == len(ARCHIVE) + 1
    assert whole(data)


# --- import -----------------------------------------------------------------------------------------------------------


def put(folder, members):
    for name, content in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_import_of_the_published_archive_under_any_name(data, tmp_path):
    (tmp_path / "download(1)").write_bytes(ARCHIVE)
    state = importing.import_("tiny", tmp_path / "download(1)")
    assert state.kind == "verified" and state.source == str(tmp_path / "download(1)")
    assert whole(data) and (data / "tiny/tiny.tar.gz").exists() and (tmp_path / "download(1)").exists()


@pytest.mark.parametrize("place", [".", "tiny"])
def test_import_of_a_folder_or_its_parent(data, tmp_path, place):
    put(tmp_path / "carried", {**MEMBERS, "other/holiday.jpg": b"private"})
    assert importing.import_("tiny", tmp_path / "carried" / place).kind == "verified"
    assert sorted(os.listdir(data / "tiny/tiny")) == ["meta", "part_1", "part_2"]
    assert not (data / "tiny/other").exists()


def test_import_of_the_only_file_of_what_was_unpacked(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "data"))
    (tmp_path / "cal_housing.data").write_bytes(b"1,2,3\n")
    with pytest.raises(UserError, match=r"(?s)not California housing as published.*--unverified"):
        importing.import_("california", tmp_path / "cal_housing.data")
    state = importing.import_("california", tmp_path / "cal_housing.data", unverified=True)
    assert state.kind == "unverified"
    assert (tmp_path / "data/california/CaliforniaHousing/cal_housing.data").read_bytes() == b"1,2,3\n"


def test_import_of_a_folder_that_holds_the_archive(data, tmp_path):
    put(tmp_path / "Downloads", {"tiny.tar.gz": ARCHIVE, "song.mp3": b"la"})
    assert importing.import_("tiny", tmp_path / "Downloads").kind == "verified"
    assert whole(data)


@pytest.mark.parametrize("form", ["tar.xz", "zip", "folder"])
def test_what_is_not_as_published_is_refused_and_then_taken_as_unverified(data, tmp_path, form):
    folder = put(tmp_path / "carried", {**MEMBERS, "tiny/part_1": b"rebuilt"})
    path = folder if form == "folder" else tmp_path / f"rebuilt.{form}"
    if form == "tar.xz":
        with tarfile.open(path, "w:xz") as tar:
            tar.add(folder / "tiny", "tiny")
    if form == "zip":
        with zipfile.ZipFile(path, "w") as packed:
            for name in MEMBERS:
                packed.write(folder / name, name)

    with pytest.raises(UserError, match=r"tiny/part_1: md5 expected [0-9a-f]{32}, got [0-9a-f]{32}") as caught:
        importing.import_("tiny", path)
    assert caught.value.next_command.endswith("--unverified")
    assert visible(data) == []

    assert importing.import_("tiny", path, unverified=True).kind == "unverified"
    assert (data / "tiny/tiny/part_1").read_bytes() == b"rebuilt"
    assert store.verify("tiny").kind == "unverified"
    assert obtain.ensure("tiny").kind == "unverified"


def test_a_repacked_archive_with_the_published_members_is_verified(data, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        for name, content in MEMBERS.items():
            packed.writestr(name, content)
    assert importing.import_("tiny", tmp_path / "a.zip", unverified=True).kind == "verified"


def test_what_does_not_fit_the_layout_is_refused_even_as_unverified(data, tmp_path):
    members = {name: content for name, content in MEMBERS.items() if name != "tiny/part_2"}
    for unverified in (False, True):
        with pytest.raises(UserError, match=r"1 of 2 files tiny/part_\* are there"):
            importing.import_("tiny", put(tmp_path / "carried", members), unverified)
    assert visible(data) == []


def test_a_refused_import_leaves_what_was_there(data, mirror, tmp_path):
    before = obtain.ensure("tiny")
    (tmp_path / "cut.tar.gz").write_bytes(ARCHIVE[:100])
    with pytest.raises(UserError, match=r"cut\.tar\.gz is damaged or cut short"):
        importing.import_("tiny", tmp_path / "cut.tar.gz", unverified=True)
    assert store.verify("tiny") == before and whole(data)


def test_import_replaces_what_was_there(data, mirror, tmp_path):
    obtain.ensure("tiny")
    state = importing.import_("tiny", put(tmp_path / "c", {**MEMBERS, "tiny/part_2": b"2"}), unverified=True)
    assert state.source == str(tmp_path / "c") and (data / "tiny/tiny/part_2").read_bytes() == b"2"
    assert visible(data) == ["tiny"]


def test_import_of_nothing(data, tmp_path):
    with pytest.raises(UserError, match="nowhere does not exist"):
        importing.import_("tiny", tmp_path / "nowhere")


def test_a_hostile_archive_is_refused(data, tmp_path):
    (tmp_path / "evil.tar.gz").write_bytes(tar_gz({**MEMBERS, "../../evil": b"x"}))
    with pytest.raises(UserError, match=r"'\.\./\.\./evil' would land outside"):
        importing.import_("tiny", tmp_path / "evil.tar.gz", unverified=True)
    assert visible(data) == [] and not (tmp_path / "evil").exists()


# --- the disk refuses -------------------------------------------------------------------------------------------------


def test_import_to_a_disk_that_is_too_small(data, small_disk, tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_DATA", str(small_disk))
    carried = put(tmp_path / "carried", {**MEMBERS, "tiny/part_2": bytes(9 << 20)})
    with pytest.raises(UserError, match="the disk is full") as caught:
        importing.import_("tiny", carried, unverified=True)
    assert "./inv config set data" in caught.value.next_command
    assert os.listdir(small_disk) == [".tiny.lock"]


def test_unpacking_on_a_disk_that_fills_up(data, mirror, small_disk, monkeypatch):
    monkeypatch.setenv("LAB_DATA", str(small_disk))
    fetch = download.fetch

    def fetch_and_fill(*arguments):
        source = fetch(*arguments)
        free_bytes = shutil.disk_usage(small_disk).free
        (small_disk / "filler").write_bytes(bytes(free_bytes - 8192))
        return source

    monkeypatch.setattr(download, "fetch", fetch_and_fill)
    with pytest.raises(UserError, match="the disk is full"):
        obtain.ensure("tiny")
    assert visible(small_disk) == ["filler"]
    (small_disk / "filler").unlink()
    monkeypatch.setattr(download, "fetch", fetch)
    assert obtain.ensure("tiny").kind == "verified"


def test_a_folder_without_permission(data, monkeypatch):
    """As an unprivileged user in a child process, since root may write anywhere."""
    with tempfile.TemporaryDirectory() as public:  # pytest's own folder is closed to other users
        os.chmod(public, 0o555)
        monkeypatch.setenv("LAB_DATA", public)
        shutil.copytree(registry.REGISTRY, f"{public}/registry")
        monkeypatch.setattr(registry, "REGISTRY", Path(public, "registry"))
        receiver, sender = os.pipe()
        if not os.fork():
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            try:
                obtain.ensure("tiny")
            except UserError as error:
                os.write(sender, str(error).encode())
            finally:
                os._exit(0)
        os.close(sender)
        os.wait()
        with os.fdopen(receiver) as pipe:
            message = pipe.read()
        assert "cannot use" in message and "you have no permission" in message
        assert os.listdir(public) == ["registry"]


def test_a_file_where_the_data_folder_should_be(data):
    data.write_text("I am no folder")
    with pytest.raises(UserError, match="a file is in the way"):
        obtain.ensure("tiny")


def test_a_state_file_that_is_no_json_counts_as_absent(data, mirror):
    obtain.ensure("tiny")
    (data / "tiny/.state.json").write_text("{")
    assert store.state("tiny").kind == "absent"
    assert json.loads(obtain.ensure("tiny").path.joinpath(".state.json").read_text())["kind"] == "verified"

"""The download engine against mirrors that are dead, slow, lying, busy or cut short, and against kill -9."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import pytest
from mirrors import FAULTS, Mirror, Silent, hashes, refused_url, sha256

from labkit.base.errors import UserError
from labkit.base.files import writing
from labkit.base.paths import ROOT
from labkit.data import addresses, download, partial, transfer

MB = 1 << 20
pytestmark = pytest.mark.limit(60)  # one that waits for ever fails while somebody still watches


def some_bytes(count, seed=0):
    return random.Random(seed).getrandbits(8 * count).to_bytes(count, "little")


@pytest.fixture
def target(tmp_path):
    return tmp_path / "file.bin"


def leftovers(target):
    return sorted(path.name for path in target.parent.iterdir() if path != target)


def test_the_last_connection_to_a_busy_host_stays(target):
    """The others leave, and the file still arrives; here in no time, where a transfer that all have left would wait for ever."""
    part = partial.Part(target, 12 * MB, fresh=True)
    shared = transfer.Transfer([addresses.Source("http://busy.invalid/f", 12 * MB, True)], part, lambda: True, None)
    part.close()
    assert len(shared.threads) == 3 and [shared._leave() for _ in range(4)] == [True, True, False, False]


def test_a_slow_host_is_left_for_the_next_one_after_a_moment(target, monkeypatch):
    monkeypatch.setattr(addresses, "SLOW_AFTER_S", 0.5)
    content = some_bytes(100_000)
    with Mirror({"f": content}, bytes_per_s=20_000) as slow, Mirror({"f": content}) as good:
        assert download.fetch([slow.url("f"), good.url("f")], target, len(content), hashes(content)) == good.base[7:]
    assert slow.served_bytes < len(content) / 2


def test_several_connections_give_the_file_and_nothing_else(target):
    content = some_bytes(20 * MB + 12345)
    with Mirror({"file.bin": content}) as mirror:
        source = download.fetch([mirror.url("file.bin")], target, len(content), hashes(content))
    assert source == mirror.base[7:]
    assert target.read_bytes() == content
    assert leftovers(target) == []
    assert mirror.statuses.count(206) > 3
    assert mirror.served_bytes <= 1.05 * len(content)  # the probe, and what was on its way at a take-over


def test_a_file_that_is_there_is_not_fetched(target):
    target.write_bytes(b"known")
    assert download.fetch([refused_url("file.bin")], target, 5, hashes(b"known")) == ""


def test_dead_slow_and_lying_mirrors_before_the_good_one(target, monkeypatch):
    monkeypatch.setattr(addresses, "SLOW_AFTER_S", 1.0)
    monkeypatch.setattr(addresses, "PROBE_TIMEOUT_S", 1.0)
    content = some_bytes(9 * MB)
    lie = content[: 5 * MB] + b"lie" + content[5 * MB + 3 :]
    slow, lying, good = Mirror({"f": content}, bytes_per_s=10_000), Mirror({"f": lie}), Mirror({"f": content})
    with Silent() as dead, slow, lying, good:
        urls = [dead.url("f"), slow.url("f"), lying.url("f"), good.url("f")]
        assert download.fetch(urls, target, len(content), hashes(content)) == good.base[7:]
    assert target.read_bytes() == content
    assert leftovers(target) == []
    assert 0 < slow.served_bytes < MB


def test_a_slow_mirror_is_used_when_it_is_the_only_one_that_is_honest(target, monkeypatch):
    monkeypatch.setattr(addresses, "SLOW_AFTER_S", 0.5)
    content = some_bytes(60_000)
    with Mirror({"f": content}, bytes_per_s=40_000) as slow, Mirror({"f": b"x" * len(content)}) as lying:
        urls = [slow.url("f"), lying.url("f")]
        assert download.fetch(urls, target, len(content), hashes(content)) == slow.base[7:]
    assert target.read_bytes() == content


def test_the_lie_is_named_with_expected_and_got(target):
    content, lie = b"a" * 1000, b"b" * 1000
    with Mirror({"f": lie}) as lying, pytest.raises(addresses.Unreachable) as caught:
        download.fetch([lying.url("f")], target, 1000, hashes(content))
    (reason,) = caught.value.failures.values()
    assert sha256(content) in reason and sha256(lie) in reason
    assert lying.base[7:] in caught.value.message
    assert leftovers(target) == [] and not target.exists()


def dries_up(request, content):
    """Most of it at once, the rest drop by drop."""
    request.send_response(200)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content[:-20_000])
    for place in range(len(content) - 20_000, len(content), 500):
        time.sleep(0.1)
        request.wfile.write(content[place : place + 500])


def test_a_host_that_was_fast_and_dries_up_is_left_as_well(target, monkeypatch):
    monkeypatch.setattr(addresses, "SLOW_AFTER_S", 0.5)
    monkeypatch.setitem(FAULTS, "dries up", dries_up)
    content = some_bytes(200_000)
    with Mirror({"f": content}, fault="dries up") as first, Mirror({"f": content}) as good:
        assert download.fetch([first.url("f"), good.url("f")], target, len(content), hashes(content)) == good.base[7:]


def leave_half(target, content):
    """What a process leaves that was killed half-way through `content`."""
    part = partial.Part(target, len(content), fresh=True)
    half = len(content) // 2
    part.write(content[:half], 0)
    for block in range(half // partial.BLOCK_BYTES):
        part.finish(block)
    part.close()


def test_the_first_half_from_a_liar_does_not_harm_the_honest_mirror_after_it(target):
    content = some_bytes(2 * MB)
    leave_half(target, bytes(2 * MB))
    with Mirror({"f": content}) as good:
        download.fetch([good.url("f")], target, len(content), hashes(content))
    assert target.read_bytes() == content


def test_a_page_of_a_proxy_in_place_of_the_file_does_not_cost_what_has_arrived(target):
    content = some_bytes(2 * MB)
    leave_half(target, content)
    with Mirror({"f": b"<html>please log in</html>"}) as portal, Mirror({"f": content}) as good:
        download.fetch([portal.url("f"), good.url("f")], target, len(content), hashes(content))
    assert target.read_bytes() == content
    assert good.served_bytes <= MB + 1


def test_a_wrong_published_size_does_not_matter_where_there_is_a_hash(target):
    with Mirror({"f": b"12345"}) as mirror:
        download.fetch([mirror.url("f")], target, 77, hashes(b"12345"))
    assert target.read_bytes() == b"12345"


def test_without_a_hash_the_size_decides(target):
    with Mirror({"f": b"12345"}) as mirror:
        with pytest.raises(addresses.Unreachable, match="5 bytes, expected 77"):
            download.fetch([mirror.url("f")], target, 77)
        download.fetch([mirror.url("f")], target, 5)


def test_a_server_without_ranges(target):
    content = some_bytes(3 * MB + 1)
    with Mirror({"f": content}, ranges=False) as mirror:
        download.fetch([mirror.url("f")], target, len(content), hashes(content))
    assert target.read_bytes() == content


@pytest.mark.parametrize("ranges", [True, False])
def test_a_connection_that_is_cut_again_and_again_fails_in_a_sentence(target, monkeypatch, ranges):
    monkeypatch.setattr(addresses, "PAUSE_S", 0.01)
    content = some_bytes(3 * MB)
    with Mirror({"f": content}, ranges=ranges, cut_at=MB) as mirror, pytest.raises(
        addresses.Unreachable, match=r"the connection ended after 1.0 MB"
    ):
        download.fetch([mirror.url("f")], target, len(content), hashes(content))
    assert not target.exists()


def test_busy_at_first_then_willing(target, monkeypatch):
    monkeypatch.setattr(addresses, "PAUSE_S", 0.01)
    with Mirror({"f": b"12345"}, busy=2) as mirror:
        download.fetch([mirror.url("f")], target, 5, hashes(b"12345"))
    assert mirror.statuses[:3] == [503, 503, 206]


def test_a_host_that_allows_two_connections_gets_two(target):
    content = some_bytes(40 * MB)
    with Mirror({"f": content}, most_connections=2, bytes_per_s=20 * MB) as mirror:
        download.fetch([mirror.url("f")], target, len(content), hashes(content))
    assert target.read_bytes() == content
    assert 1 <= mirror.statuses.count(503) <= transfer.CONNECTIONS


def test_the_pause_that_a_busy_host_asks_for_is_kept(target):
    with Mirror({"f": b"12345"}, busy=1, retry_after=1) as mirror:
        began = time.monotonic()
        download.fetch([mirror.url("f")], target, 5, hashes(b"12345"))
    assert time.monotonic() - began >= 1


def test_no_host_answers(target, monkeypatch):
    monkeypatch.setattr(addresses, "PROBE_TIMEOUT_S", 1.0)
    with Silent() as silent, Mirror({}) as without:
        urls = [silent.url("f"), refused_url("f"), without.url("f"), "http://no.such.host.invalid/f"]
        with pytest.raises(addresses.Unreachable) as caught:
            download.fetch(urls, target, 5, hashes(b"12345"))
    reasons = list(caught.value.failures.values())
    assert reasons[:3] == ["no answer in time", "connection refused", "HTTP 404 Not Found"]
    assert len(reasons) == 4
    assert leftovers(target) == []


def test_a_look_up_that_hangs_does_not_hold_the_verdict(target, monkeypatch):
    monkeypatch.setattr(addresses, "VERDICT_S", 0.5)
    monkeypatch.setattr(addresses, "urlopen", lambda *_, **__: time.sleep(60))
    with pytest.raises(addresses.Unreachable, match=r"no answer within 0.5 s"):
        download.fetch(["http://somewhere.invalid/f"], target, 5, hashes(b"12345"))


def test_a_proxy_from_the_environment_is_used(target, monkeypatch):
    with Mirror({"f": b"12345"}) as proxy:
        monkeypatch.setattr(urllib.request, "_opener", None)  # urllib reads the environment once
        monkeypatch.setenv("http_proxy", proxy.base)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        download.fetch(["http://far.away.invalid/f"], target, 5, hashes(b"12345"))
    assert target.read_bytes() == b"12345"


def test_a_file_url(target, tmp_path):
    (tmp_path / "usb stick").mkdir()
    (tmp_path / "usb stick" / "f").write_bytes(b"12345")
    download.fetch([(tmp_path / "usb stick").as_uri() + "/f"], target, 5, hashes(b"12345"))
    assert target.read_bytes() == b"12345"


def test_kill_9_in_the_middle_then_resume(target):
    content = some_bytes(48 * MB)
    program = "import sys; from pathlib import Path; from labkit.data import download; _, url, target, size, sha256 = " \
              "sys.argv; download.fetch([url], Path(target), int(size), [('sha256', sha256)])"  # fmt: skip
    with Mirror({"f": content}, bytes_per_s=3 * MB) as mirror:
        command = [sys.executable, "-c", program, mirror.url("f"), str(target), str(len(content)), sha256(content)]
        for share in (0.3, 0.6):
            process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
            while mirror.served_bytes < share * len(content):
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert not target.exists()
        mirror.bytes_per_s = None
        subprocess.run(command, cwd=ROOT, stderr=subprocess.DEVNULL, check=True)
    assert target.read_bytes() == content
    assert leftovers(target) == []
    assert mirror.served_bytes <= 1.05 * len(content)


def test_a_disk_that_fills_up_ends_in_a_sentence_and_leaves_nothing(small_disk):
    content = some_bytes(5 * MB)
    with Mirror({"f": content}, bytes_per_s=2 * MB) as mirror:
        filler = threading.Thread(target=fill, args=(small_disk, mirror))
        filler.start()
        with pytest.raises(UserError, match="the disk is full"), writing(small_disk):
            download.fetch([mirror.url("f")], small_disk / "f", len(content), hashes(content))
        filler.join()
    assert os.listdir(small_disk) == ["filler"]


def fill(folder, mirror):
    while mirror.served_bytes < MB:
        time.sleep(0.01)
    (folder / "filler").write_bytes(bytes(5 * MB))


def test_a_disk_that_is_too_small_is_refused_before_the_first_byte(small_disk):
    with pytest.raises(UserError, match=r"9.0 MB are needed in .* free"):
        download.fetch([refused_url("f")], small_disk / "f", 9_000_000, hashes(b""))
    assert os.listdir(small_disk) == []


@pytest.fixture
def together(monkeypatch):
    """Several mirrors at once already for small files."""
    monkeypatch.setattr(addresses, "TOGETHER_BYTES", MB)
    monkeypatch.setattr(addresses, "PAUSE_S", 0.01)
    monkeypatch.setattr(addresses, "SLOW_AFTER_S", 1.0)
    monkeypatch.setattr(transfer, "TAKE_OVER_S", 0.5)


def test_a_large_file_comes_from_several_mirrors_at_once(target, together):
    content = some_bytes(30 * MB)
    with Mirror({"f": content}, bytes_per_s=5 * MB) as one, Mirror({"f": content}, bytes_per_s=5 * MB) as two:
        source = download.fetch([one.url("f"), two.url("f")], target, len(content), hashes(content))
    assert target.read_bytes() == content and leftovers(target) == []
    assert source == f"{one.base[7:]}, {two.base[7:]}"
    assert min(one.served_bytes, two.served_bytes) > 0.2 * len(content)


def test_of_several_one_that_breaks_off_or_crawls_is_left_behind(target, together, capfd):
    content = some_bytes(12 * MB)
    good, broken = Mirror({"f": content}), Mirror({"f": content}, cut_at=MB)
    crawling = Mirror({"f": content}, bytes_per_s=10_000)
    with good, broken, crawling:
        urls = [broken.url("f"), crawling.url("f"), good.url("f")]
        download.fetch(urls, target, len(content), hashes(content))
    assert target.read_bytes() == content
    assert crawling.served_bytes < MB


def test_of_several_a_lying_one_costs_a_second_download_and_nothing_else(target, together, capfd):
    content = some_bytes(8 * MB)
    with Mirror({"f": content}) as good, Mirror({"f": bytes(len(content))}) as lying:
        source = download.fetch([lying.url("f"), good.url("f")], target, len(content), hashes(content))
    assert target.read_bytes() == content and source == good.base[7:]
    assert "trying the addresses one at a time" in capfd.readouterr().err


def test_an_idle_connection_takes_over_half_of_what_a_slow_one_holds(target, together):
    """A mirror that is ten times slower does not hold up the end."""
    content = some_bytes(12 * MB)
    with Mirror({"f": content}, bytes_per_s=8 * MB) as fast, Mirror({"f": content}, bytes_per_s=150_000) as slow:
        began = time.monotonic()
        download.fetch([slow.url("f"), fast.url("f")], target, len(content), hashes(content))
        seconds = time.monotonic() - began
    assert target.read_bytes() == content
    assert seconds < 2 * MB / 150_000  # what the slow one alone would need for its first share


def test_a_part_of_a_hash_will_do_where_no_more_is_published(target):
    with Mirror({"f": b"12345"}) as mirror:
        digits = hashes(b"12345")[0][1][:6]
        download.fetch([mirror.url("f")], target, 0, [("sha256", digits)])
        with pytest.raises(addresses.Unreachable, match="sha256 expected 000000, got"):
            download.fetch([mirror.url("f")], target.with_name("other"), 0, [("sha256", "000000")])

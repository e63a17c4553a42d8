"""A first host that sends one byte at a time, or absurd numbers, does not hold a good second one."""

from __future__ import annotations

import ast
import time

import pytest
from mirrors import FAULTS, Mirror, hashes

from labkit.base import paths
from labkit.base.errors import UserError
from labkit.data import addresses, download, many

CONTENT = bytes(range(256)) * 4096
PATIENCE_S = 6.0
pytestmark = pytest.mark.limit(60)


def headers(request, _):
    """Headers that never end."""
    request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    drip(request)


def body(request, content):
    """A byte at a time, after proper headers."""
    request.send_response(200)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    drip(request)


def drip(request):
    while True:
        request.wfile.write(b"x")
        time.sleep(0.1)


def says(length):
    def respond(request, content):
        request.send_response(200)
        request.send_header("Content-Length", length)
        request.end_headers()
        request.wfile.write(content[:100])

    return respond


@pytest.fixture
def quick(monkeypatch):
    for name, value in (("DRIP_AFTER_S", 0.5), ("GRACE_S", 0.3), ("PAUSE_S", 0.01), ("PROBE_TIMEOUT_S", 1.0)):
        monkeypatch.setattr(addresses, name, value)
    began = time.monotonic()
    yield
    assert time.monotonic() - began < PATIENCE_S


def late(request, content):
    """The good one answers a moment after the first."""
    time.sleep(0.2)
    return content


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("published", [len(CONTENT), 0])
@pytest.mark.parametrize(
    "fault", [headers, body, *map(says, ["-5", "99999999999999999", "9" * 40, "\u00b2", "\u0663", "1e3", "0x10", ""])]
)
def test_the_second_host_has_its_turn(fault, published, tmp_path, monkeypatch):
    monkeypatch.setitem(FAULTS, "first", fault)
    monkeypatch.setitem(FAULTS, "late", late)
    with Mirror({"f": CONTENT}, fault="first") as first, Mirror({"f": CONTENT}, fault="late") as good:
        urls = [first.url("f"), good.url("f")]
        assert download.fetch(urls, tmp_path / "f", published, hashes(CONTENT)) == good.base[7:]
    assert (tmp_path / "f").read_bytes() == CONTENT


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("fault", [headers, body])
def test_nor_does_it_hold_many_small_files(fault, tmp_path, monkeypatch):
    monkeypatch.setitem(FAULTS, "first", fault)
    monkeypatch.setattr(addresses, "READ_TIMEOUT_S", 1.0)
    contents = {f"{number}.bin": b"x" * 3000 for number in range(20)}
    with Mirror(contents, fault="first") as first, Mirror(contents) as good:
        targets = {name: tmp_path / name for name in contents}
        many.fetch([first.base, good.base], targets, lambda *_: "", "files")
    assert all(path.read_bytes() == b"x" * 3000 for path in targets.values())


def test_a_file_of_unknown_length_still_says_that_the_disk_is_too_small(tmp_path, monkeypatch):
    monkeypatch.setitem(FAULTS, "absurd", says("99999999999999999"))
    with Mirror({"f": CONTENT}, fault="absurd") as only, pytest.raises(UserError, match="are needed"):
        download.fetch([only.url("f")], tmp_path / "f", 0, hashes(CONTENT))


def test_no_text_is_taken_for_a_number_by_what_unicode_calls_a_digit():
    """`"\u00b2".isdigit()` is true, and int() of it fails."""
    for source in [path for room in ("labkit", "labs", "scripts") for path in (paths.ROOT / room).rglob("*.py")]:
        names = {node.attr for node in ast.walk(ast.parse(source.read_bytes())) if isinstance(node, ast.Attribute)}
        assert not names & {"isdigit", "isdecimal", "isnumeric"}, source
    assert not addresses.is_number("\u00b2") and not addresses.is_number("\u0663") and addresses.is_number("12")

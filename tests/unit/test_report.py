"""report.html, rendered from run folders made by hand."""

from __future__ import annotations

import base64
import html.parser
import json
import os
import re

import pytest

from labkit.runs import records, report

PNG = base64.b64decode(  # one pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)
EVIL = "<script>alert('x')</script> & \"quoted\""
VOID = {"meta", "link", "img", "br", "hr"}


class Page(html.parser.HTMLParser):
    """Checks that every element is closed, and collects what the page would fetch."""

    def __init__(self, text):
        super().__init__()
        self.open, self.fetched, self.names = [], [], set()
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.names.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.fetched += [value for name, value in attributes if name in ("src", "href") and tag != "a"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def make(tmp_path):
    def make(status="finished", data="verified", **more):
        folder = tmp_path / "cifar10" / "20260101-000000"
        (folder / "plots" / "curves").mkdir(parents=True)
        (folder / "tables").mkdir()
        files = {
            "config": {
                "lab": "cifar10", "title": f"Title {EVIL}", "title_zh": "标题", "started": "2026-01-01 00:00:00",
                "options": {"batch_size": 128, "flip": True, "predict": "", "name": EVIL}, "command": f"invoke {EVIL}",
            },
            "env": {
                "device": "cpu", "device_reason": "no CUDA device", "cpu": "Processor", "threads": 2, "python": "3.12",
                "packages": {"torch": "2.11.0"}, "data": {"cifar10": {"kind": data, "source": EVIL, "when": "then"}},
                "commit": "abc", "dirty": True, "seed": 0,
            },
            "summary": {"status": status, "seconds": 200, "metrics": {"test_accuracy": 0.9312, "loss": None}, **more},
            "report": {
                "items": [
                    {"kind": "note", "name": "n", "caption": f"Note {EVIL}"},
                    {"kind": "figure", "name": "gallery", "caption": f"Gallery {EVIL}"},
                    {"kind": "table", "name": "classes", "caption": f"Table {EVIL}"},
                ]
            },
            "tables/classes": {"columns": ["class", "share", EVIL], "rows": [["cat", "12.5 %", 3], [EVIL, "1 %", 0.5]]},
        }  # fmt: skip
        for name, content in files.items():
            (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        (folder / "plots" / "gallery.png").write_bytes(PNG)
        (folder / "plots" / "curves" / "loss.png").write_bytes(PNG)
        return folder

    return make


def render(folder):
    path = report.render(folder)
    assert path == folder / "report.html"
    return path.read_text(encoding="utf-8")


def test_the_page_is_whole_and_needs_nothing_else(make):
    text = render(make())
    page = Page(text)
    assert page.fetched and all(address.startswith("data:") for address in page.fetched)
    assert "script" not in page.names
    assert re.findall(r"url\(|@import|https?://", text) == []
    assert text.count(base64.b64encode(PNG).decode()) == 2


def test_what_comes_from_outside_is_escaped(make):
    text = render(make(status="failed", data="unverified", error=EVIL, traceback=EVIL))
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 10


def test_the_reader_sees_result_options_environment_and_commands(make):
    text = render(make())
    for shown in (
        "标题", "0.9312", "test accuracy", "3 min 20 s", "--batch-size", "128", "finished", "verified data",
        "torch 2.11.0", "no CUDA device", "abc", "uncommitted changes",
    ):  # fmt: skip
        assert shown in text
    assert "--resume" not in text and "http-equiv" not in text
    assert "--predict" not in text  # nothing was given
    assert text.index("Note ") < text.index("Gallery ") < text.index("Table ")
    assert '<td class="number">12.5 %</td>' in text and "<td>cat</td>" in text


@pytest.mark.parametrize(
    "data, banner", [("sample", "Sample data, not the real"), ("unverified", "Unverified data"), ("verified", None)]
)
def test_the_kind_of_data_is_said_aloud(make, data, banner):
    text = render(make(data=data))
    assert ('class="banner' in text) == bool(banner)
    assert banner is None or banner in text


def test_a_stopped_run_says_how_to_go_on(make):
    assert "invoke lab cifar10 --resume=20260101-000000" in render(make(status="stopped"))


def test_running_refreshes_and_killed_does_not(make):
    folder = make(status="running")
    held = records.lock(folder)
    assert 'http-equiv="refresh"' in render(folder)
    os.close(held)
    text = render(folder)
    assert 'http-equiv="refresh"' not in text and "The process ended without a word" in text and "--resume=" in text


def test_a_run_that_has_hardly_begun(tmp_path):
    folder = tmp_path / "cifar10" / "20260101-000000"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"lab": "cifar10"}))
    Page(render(folder))


def test_durations():
    assert [report.duration(seconds) for seconds in (0.4, 48, 59.7, 200, 7500)] == [
        "0 s", "48 s", "1 min 00 s", "3 min 20 s", "2 h 05 min",
    ]  # fmt: skip


def test_of_very_many_files_only_the_first_are_listed(tmp_path):
    for number in range(report.MOST_FILES + 7):
        (tmp_path / f"{number:04}.png").touch()
    listed = report._files(tmp_path)
    assert listed.count("<a href=") == report.MOST_FILES and "and 7 more" in listed

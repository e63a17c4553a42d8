"""The report and the comparison on a phone, in the dark, on paper, with the keyboard, and for weak eyes."""

from __future__ import annotations

import json
import math
import urllib.parse
from pathlib import Path

import pytest
from conftest import shoot

from labkit.base import labs
from labkit.runs import comparison, course, report

CONTRAST = """() => {
    const channel = value => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
    const parse = colour => colour.match(/[\\d.]+/g).map(Number)
    const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b)
    const behind = element => {
        for (; element; element = element.parentElement) {
            const colour = parse(getComputedStyle(element).backgroundColor)
            if (colour.length < 4 || colour[3] > 0) return colour
        }
        return parse('rgb(255, 255, 255)')
    }
    const weak = []
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement
        if (!walker.currentNode.data.trim() || !element.offsetParent || element.closest('script, svg')) continue
        const pair = [light(parse(getComputedStyle(element).color)), light(behind(element))]
        const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05)
        if (ratio < 4.5) weak.push([walker.currentNode.data.trim(), ratio.toFixed(2)])
    }
    return weak
}"""


@pytest.fixture
def pages(tmp_path, monkeypatch):
    """The addresses of a report and of a comparison of three runs."""
    monkeypatch.setenv("LAB_RUNS", str(tmp_path))
    folders = []
    for number, (status, kind) in enumerate([("finished", "verified"), ("stopped", "sample"), ("failed", "unverified")]):
        folder = tmp_path / "cifar10" / f"20261123-17150{number}"
        (folder / "tables").mkdir(parents=True)
        command = "./inv lab cifar10 --stack=cpu/index -- --optimizer adam --schedule exponential --label-smoothing 0.1"
        files = {
            "config": {
                "lab": "cifar10", "title": "CIFAR-10: image classification", "title_zh": "CIFAR-10 图像分类",
                "started": f"2026-11-23 17:15:0{number}", "seed": number, "command": command, "preset": "", "smoke": False, "sample": kind == "sample",
                "options": {"lr": 0.1 * (number + 1), "label_smoothing": 0.2, "flip": number < 2},
            },
            "env": {
                "device": "cpu", "device_reason": "no CUDA device", "cpu": "A processor with a long name, 2.10 GHz",
                "threads": 2, "python": "3.12.7", "torch": "2.11.0", "commit": "b98e071" * 5, "seed": number,
                "packages": {"torch": ["2.11.0", "1.5.0", "2.11.0"][number], "numpy": "2.3.5"},
                "data": {"cifar10": {"kind": kind, "source": "carried in", "when": "2026-11-23T17:00:00Z"}},
            },
            "summary": {
                "status": status, "epoch_steps": 100, "seconds": 221 + 60 * number, "logging_share": 0.004, "error": "it broke" if number == 2 else "",
                "metrics": {"accuracy": [0.93, 0.91, 0.95][number], "holdout_accuracy": 0.9 - number / 100},
            },
            "tables/classes": {"columns": ["class", "precision", "recall", "F1", "images"], "rows": [["cat", "81.2%", "79.9%", "0.806", 1000]]},
            "report": {"items": [{"kind": "table", "name": "classes", "caption": "Precision and recall."}]},
        }  # fmt: skip
        for name, content in files.items():
            (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        rows = [
            {
                "step": step, "train_loss": 2 * math.exp(-step / (300 + 100 * number)) + 0.1, "lr": 0.1 - step / 20000,
                "train_accuracy": 1 - math.exp(-step / 500), "test_accuracy": 0.9 - 0.8 * math.exp(-step / (400 + 150 * number)),
            }
            for step in range(50, 1500, 50)
        ]  # fmt: skip
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        times = [{"step": step, "seconds": 0.12 * step} for step in range(50, 1500, 50)]
        (folder / "timings.jsonl").write_text("".join(json.dumps(row) + "\n" for row in times))
        report.render(folder)
        folders.append(folder)
    return {"report": (folders[1] / "report.html").as_uri(), "comparison": comparison.render(folders).as_uri()}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["report", "comparison"])
def test_readable_on_a_phone_and_on_a_screen(pages, page, name, scheme):
    page.emulate_media(color_scheme=scheme)
    page.goto(pages[name])
    for width in (360, 1280):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width
        assert page.evaluate(CONTRAST) == []
        shoot(page, f"{name}-{scheme}-{width}", full_page=True)
    assert page.evaluate("[...document.querySelectorAll('img:not([alt])')].length") == 0
    assert page.evaluate("document.querySelectorAll('main, h1').length") == 2


@pytest.mark.parametrize("name", ["report", "comparison"])
def test_on_paper_it_is_black_on_white(pages, page, name):
    page.emulate_media(media="print", color_scheme="dark")
    page.goto(pages[name])
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(CONTRAST) == []


def legend(chart):
    """What the legend of a chart says: label -> value."""
    rows = chart.locator(".u-series").all()
    return {row.locator("th").inner_text(): row.locator("td").inner_text() for row in rows}


@pytest.mark.parametrize("name", ["report", "comparison"])
def test_curves_answer_the_pointer(pages, page, name):
    page.goto(pages[name])
    chart = page.locator(".chart").first
    assert set(legend(chart).values()) == {"–"}
    over = chart.locator(".u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] - 1, middle)
    whole = legend(chart)
    assert whole["epoch"] == "14.5" and all(float(value) < 2.2 for label, value in whole.items() if label != "epoch")
    # a stretch enlarged: the same place is another epoch; a double click shows all again
    page.mouse.move(box["x"] + 0.2 * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], middle, steps=5)
    page.mouse.up()
    page.mouse.move(box["x"] + box["width"] - 1, middle)
    assert float(legend(chart)["epoch"]) < 9
    page.mouse.dblclick(box["x"] + box["width"] / 2, middle)
    page.mouse.move(box["x"] + box["width"] - 1, middle)
    assert legend(chart)["epoch"] == "14.5"
    page.locator("[data-unit=minutes]").click()
    page.mouse.move(box["x"] + box["width"] - 1, middle)
    assert legend(chart)["minutes"] == "2.9"
    shoot(page, f"{name}-minutes")


def test_a_button_copies_the_command(pages, page, context):
    page.goto(pages["report"])
    page.evaluate("navigator.clipboard.writeText = text => { window.copied = text; return Promise.resolve(); }")
    button = page.locator(".copy").first
    button.click()
    assert page.evaluate("window.copied") == page.locator(".command").first.inner_text()
    assert button.inner_text() == "copied"


def test_on_a_phone_sizes_and_figures_can_be_read(pages, page):
    page.set_viewport_size({"width": 360, "height": 800})
    page.goto(pages["report"])
    boxes = [cell.bounding_box() for cell in page.locator(".files td.number").all()]
    assert boxes and all(box["x"] + box["width"] <= 360 for box in boxes)


def test_on_paper_the_curves_are_those_of_the_image(pages, page):
    page.emulate_media(media="print")
    page.goto(pages["comparison"])
    assert page.locator(".chart svg").first.is_visible() and not page.locator(".uplot").first.is_visible()


def test_sorting_with_the_keyboard(pages, page):
    page.goto(pages["comparison"])
    order = "[...document.querySelectorAll('.sortable tbody tr')].map(row => row.cells[0].innerText[0]).join('')"
    assert page.evaluate(order) == "ABC"
    while page.evaluate("document.activeElement.innerText") != "accuracy":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate(order) == "BAC"
    page.keyboard.press("Enter")
    assert page.evaluate(order) == "CAB"
    assert page.locator("[aria-sort=descending]").inner_text().startswith("accuracy")


def test_what_scrolls_can_be_reached_with_the_keyboard(pages, page):
    page.set_viewport_size({"width": 390, "height": 844})
    for address in pages.values():
        page.goto(address)
        unreachable = """[...document.querySelectorAll('main *')].filter(box => box.scrollWidth > box.clientWidth + 1
            && /auto|scroll/.test(getComputedStyle(box).overflowX) && box.tabIndex < 0).length"""
        assert page.evaluate(unreachable) == 0


@pytest.mark.parametrize("name", ["report", "comparison"])
def test_a_script_that_is_not_ours_does_not_run(pages, page, context, name):
    file = Path(urllib.parse.urlsplit(pages[name]).path)
    attack = """<script>document.title = 'ran'</script><img src="data:," alt="" onerror="document.title = 'ran'">"""
    file.write_text(file.read_text(encoding="utf-8").replace("<footer>", attack + "<footer>"), encoding="utf-8")
    page.goto(pages[name])
    page.wait_for_timeout(500)
    assert page.title() != "ran"
    assert len(context.watch.complaints) == 2 and all("Content Security Policy" in each for each in context.watch.complaints)
    context.watch.complaints.clear()


@pytest.fixture
def course_page(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_RUNS", str(tmp_path))
    monkeypatch.setenv("LAB_LANG", "en")
    return course.render().as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_course_reads_well(course_page, page, width, scheme):
    page.set_viewport_size({"width": width, "height": 1000})
    page.emulate_media(color_scheme=scheme)
    page.goto(course_page)
    page.evaluate("document.querySelectorAll('.guide').forEach(guide => { guide.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) == []
    shoot(page, f"course-{width}-{scheme}")


def test_the_course_is_searched_and_changes_its_language(course_page, page):
    page.goto(course_page)
    assert page.locator("h1").inner_text() == "The course"
    page.keyboard.press("/")
    page.keyboard.type("wasserstein")
    assert page.locator("article:visible").count() == page.locator(".overview tbody tr:visible").count() == 1
    assert page.locator("article:visible .guide").get_attribute("open") is not None
    page.keyboard.press("Escape")
    assert page.locator("article:visible").count() == len(labs.table())
    page.locator("#language").click()
    assert page.locator("h1").inner_text() == "课程" and page.locator("html").get_attribute("lang") == "zh-CN"
    page.goto(course_page + "#dcgan")
    assert page.locator("h1").inner_text() == "课程"  # remembered
    assert page.locator("#dcgan .guide").get_attribute("open") is not None

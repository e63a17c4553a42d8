"""The page of the course, as it is made from labs, guides and runs."""

from __future__ import annotations

import json
import re

import pytest

from labkit.base import labs
from labkit.runs import course, records


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_RUNS", str(tmp_path))

    def make(lab, name, status="finished", metrics=None, **config):
        folder = tmp_path / lab / name
        folder.mkdir(parents=True)
        facts = {"lab": lab, "started": f"2026-11-27 {name[-2:]}:00:00", "preset": "", "smoke": False, "sample": False,
                 "seed": 0, "options": {}, **config}  # fmt: skip
        (folder / "config.json").write_text(json.dumps(facts))
        (folder / "summary.json").write_text(json.dumps({"status": status, "metrics": metrics or {}}))
        return folder

    return make


def done(name):
    return course.done(labs.find(name), records.table())


def test_a_unit_is_done_when_it_was_trained_and_its_exercises_are_solved(runs, monkeypatch):
    lab = labs.find("dcgan")
    assert not course.done(lab, records.table()).complete
    runs("dcgan", "run-01", smoke=True, metrics={"kid": 1.0})
    runs("dcgan", "run-02", status="stopped")
    assert len(done("dcgan").runs) == 1 and not done("dcgan").complete  # a smoke run proves that it works, no more
    runs("dcgan", "run-03", metrics={"kid": 0.1})
    assert done("dcgan").complete and [run.folder.name for run in done("dcgan").runs] == ["run-03", "run-01"]


def test_of_several_practices_the_best_counts_and_what_it_says_is_not_trusted(runs):
    lab = next(lab for lab in labs.table() if lab.has_practice)
    runs(lab.name, "run-01", status="stopped", metrics={"solved": 1}, practice=True)
    runs(lab.name, "run-02", status="stopped", metrics={"solved": 0}, practice=True)
    assert done(lab.name).solved == 1 and done(lab.name).practice.folder.name == "run-01" and not done(lab.name).runs
    runs(lab.name, "run-03", status="finished", metrics={"solved": 10**9}, practice=True)
    assert done(lab.name).solved == lab.exercises and not done(lab.name).complete
    runs(lab.name, "run-04", status="finished", metrics={"solved": "<b>"}, practice=True)
    assert done(lab.name).solved == lab.exercises


def test_the_page_has_every_unit_in_order_and_needs_nothing_else(runs, tmp_path):
    runs("cifar10", "run-01", metrics={"<script>alert(1)</script>": 0.5})
    page = course.render()
    text = page.read_text(encoding="utf-8")
    assert page == tmp_path / "course.html"
    places = [text.index(f'<article id="{lab.name}"') for lab in labs.table()]
    assert places == sorted(places)
    assert "<script>alert" not in text and 'href="cifar10/run-01/report.html"' in text
    loaded = re.findall(r'(?:src|<link[^>]*href)="([^"]*)"', text)
    assert all(address.startswith("data:") for address in loaded), loaded
    assert text.index("下一步：") < text.index("./inv lab")
    for lab in labs.table():
        assert lab.title in text or lab.title.replace("'", "&#39;") in text
        assert all(need in labs.names() for need in lab.needs), lab.name


def test_every_link_of_a_guide_leads_somewhere(runs, tmp_path):
    text = course.render().read_text(encoding="utf-8")
    ids = set(re.findall(r'id="([^"]+)"', text))
    for address in re.findall(r'href="([^"]+)"', text):
        if address.startswith("#"):
            assert address[1:] in ids, address
        elif not address.startswith(("http", "data:")) and "run-" not in address:
            assert (tmp_path / address.partition("#")[0]).resolve().exists(), address


def test_lines_of_chinese_are_joined_without_a_space():
    guide = course.guide(labs.find("dcgan"), "zh", labs.LABS)
    assert not re.search("[\u4e00-\u9fff]\n[\u4e00-\u9fff]", re.sub("<pre>.*?</pre>", "", guide, flags=re.S))

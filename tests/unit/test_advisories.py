"""Which advisories concern a pinned version: OSV's ranges, versions, aliases; reports of pip-audit."""

from __future__ import annotations

import json
import zipfile

import pytest

from labkit.base.errors import UserError
from labkit.stacks import advisories, catalog
from labkit.stacks.advisories import Pin

PILLOW, TORCH = Pin("pillow", "9.5.0", ("3.8",)), Pin("torch", "2.11.0+cpu", ("3.12",))


def entry(name="GHSA-1", package="pillow", *events, ecosystem="PyPI", kind="ECOSYSTEM", versions=(), **more):
    """An entry of OSV as it is published."""
    affected = {"package": {"ecosystem": ecosystem, "name": package, "purl": f"pkg:pypi/{package}"}, "versions": [*versions]}
    if events:
        affected["ranges"] = [{"type": kind, "events": [dict([event]) for event in events]}]
    return {"schema_version": "1.7.0", "id": name, "modified": "2026-11-01T00:00:00Z", "affected": [affected], **more}


@pytest.fixture
def read(tmp_path):
    """Read a database of one file with these entries, or with this content."""

    def reading(*entries, content=None, pins=(PILLOW, TORCH)):
        file = tmp_path / "advisories.json"
        file.write_text(json.dumps(list(entries)) if content is None else content)
        return advisories.read(file, list(pins))

    return reading


INTRODUCED, FIXED, LAST, LIMIT = "introduced", "fixed", "last_affected", "limit"


@pytest.mark.parametrize(
    ("events", "affects"),
    [
        ([(INTRODUCED, "0"), (FIXED, "10.0.1")], True),
        ([(INTRODUCED, "0"), (FIXED, "9.5.0")], False),
        ([(INTRODUCED, "0")], True),
        ([(INTRODUCED, "9.5"), (FIXED, "9.5.1")], True),  # 9.5 is 9.5.0
        ([(INTRODUCED, "9.10"), (FIXED, "10")], False),  # numbers, not text
        ([(INTRODUCED, "0"), (FIXED, "9.5.0rc1")], False),
        ([(INTRODUCED, "9.5.0.post1")], False),
        ([(INTRODUCED, "1"), (LAST, "9.5.0")], True),
        ([(INTRODUCED, "1"), (LAST, "9.4")], False),
        ([(INTRODUCED, "9.5.0"), (LAST, "9.5.0")], True),
        ([(FIXED, "3"), (INTRODUCED, "2"), (INTRODUCED, "9.1"), (FIXED, "9.6")], True),  # in any order
        ([(INTRODUCED, "2"), (FIXED, "3"), (INTRODUCED, "9.6")], False),
        ([(INTRODUCED, "9"), (FIXED, "9.5.0"), (INTRODUCED, "9.5.0"), (FIXED, "9.5.2")], True),  # mended, broken again
        ([(INTRODUCED, "0"), (LIMIT, "9")], False),
        ([(INTRODUCED, "0"), (LIMIT, "9"), (LIMIT, "10")], True),
        ([(INTRODUCED, "0"), (LIMIT, "*")], True),
    ],
)
@pytest.mark.parametrize("kind", ["ECOSYSTEM", "SEMVER"])
def test_a_range(read, events, affects, kind):
    database = read(entry("GHSA-1", "pillow", *events, kind=kind))
    assert [one.pin for one in database.found] == [PILLOW] * affects and database.malformed == 0


def test_a_build_of_a_version_is_that_version(read):
    for events in ([(INTRODUCED, "0"), (LAST, "2.11.0")], [(INTRODUCED, "2.11.0"), (FIXED, "2.12")]):
        assert [one.pin for one in read(entry("GHSA-1", "torch", *events)).found] == [TORCH]
    assert read(entry("GHSA-1", "torch", (INTRODUCED, "0"), (FIXED, "2.11.0"))).found == []
    assert [one.pin for one in read(entry("GHSA-1", "torch", versions=["2.11"])).found] == [TORCH]


def test_versions_are_listed_too_and_what_is_no_version_among_them_does_no_harm(read):
    assert read(entry(versions=["2004d", "9.5", "1" * 200])).found and not read(entry(versions=["9.5.1"])).found
    assert read(entry("GHSA-1", "pillow", (INTRODUCED, "10"), versions=["9.5.0"])).found, "one of the two is enough"


@pytest.mark.parametrize("name", ["Pillow", "PILLOW", "pil-low"])
def test_names_are_compared_as_pep_503_says(read, name):
    pin = Pin("pillow" if name != "pil-low" else "pil-low", "9.5.0", ("3.8",))
    assert read(entry("GHSA-1", name.replace("-", "_"), (INTRODUCED, "0")), pins=[pin]).found


def test_other_ecosystems_git_and_what_was_withdrawn_affect_nothing(read):
    about_us = entry("GHSA-9", "numpy", (INTRODUCED, "0"))
    others = [
        entry("GHSA-1", "pillow", (INTRODUCED, "0"), ecosystem="npm"),
        entry("GHSA-2", "pillow", (INTRODUCED, "a" * 40), kind="GIT"),
        entry("GHSA-3", "pillow", (INTRODUCED, "0"), withdrawn="2024-01-01T00:00:00Z"),
        entry("GHSA-4", "pillow-simd", (INTRODUCED, "0")),
        {"id": "GHSA-5", "modified": "2026-11-01T00:00:00Z"},
        entry("GHSA-6", "pillow") | {"affected": None, "aliases": None},
    ]
    database = read(about_us, *others)
    assert (database.found, database.malformed, database.withdrawn) == ([], 0, 1)
    with pytest.raises(UserError, match="holds no advisory about a package of Python"):
        read(others[0], others[4])


def test_what_several_entries_say_of_the_same_is_said_once(read):
    database = read(
        entry("PYSEC-2023-1", "pillow", (INTRODUCED, "0"), (FIXED, "10.0.1"), aliases=["CVE-2023-4863"], details="long\nlonger"),
        entry("GHSA-j7hp", "pillow", (INTRODUCED, "0"), (FIXED, "10.0.1"), aliases=["BIT-1"], summary="a heap overflow"),
        entry("OSV-3", "pillow", versions=["9.5.0"], aliases=["BIT-1", "CVE-2023-4863"]),  # joins the two
        entry("GHSA-other", "pillow", (INTRODUCED, "9"), (FIXED, "10.3"), (INTRODUCED, "2"), (FIXED, "3")),
        entry("GHSA-torch", "torch", (INTRODUCED, "0"), aliases=["CVE-2023-4863"]),  # another package
    )
    assert [(one.pin.name, one.ids, one.fixed, one.summary) for one in database.found] == [
        ("pillow", ("CVE-2023-4863", "BIT-1", "GHSA-j7hp", "OSV-3", "PYSEC-2023-1"), "10.0.1", "a heap overflow"),
        ("pillow", ("GHSA-other",), "10.3", ""),
        ("torch", ("CVE-2023-4863", "GHSA-torch"), "", ""),
    ]


@pytest.mark.parametrize(
    "broken",
    [
        {}, [], 3, None, "text", {"id": 3}, {"id": ""}, {"id": "GHSA 1"}, {"id": "GHSA-1", "aliases": "CVE-1"},
        entry("GHSA-1", "pillow", (INTRODUCED, "0"), withdrawn=True),
        entry("GHSA-1", "pillow", (INTRODUCED, "0"), (FIXED, "not a version")),
        entry("GHSA-1", "pillow", (INTRODUCED, "0"), (FIXED, "1" * 5000)),
        entry("GHSA-1", "pillow", (INTRODUCED, 0)),
        entry("GHSA-1", "pillow", (FIXED, "10")),
        entry("GHSA-1", "pillow", ("begun", "10")),
        entry("GHSA-1", "pillow", (INTRODUCED, "0"), versions=[9.5]),
        entry("GHSA-1", "pillow") | {"affected": [{"package": "pillow"}]},
        {"name": "pillow"}, {"name": "pillow", "version": "newest", "vulns": []},
    ],
    ids=lambda broken: json.dumps(broken)[:60],
)  # fmt: skip
def test_a_malformed_entry_is_counted_and_the_others_are_used(read, broken):
    database = read(broken, entry("GHSA-2", "pillow", (INTRODUCED, "0"), (FIXED, "10")))
    assert [one.ids for one in database.found] == [("GHSA-2",)] and database.malformed == 1
    assert "advisories.json: " in database.first_problem and "\n" not in database.first_problem


def report(*dependencies):
    return json.dumps({"dependencies": list(dependencies), "fixes": []})


def test_a_report_of_pip_audit(read):
    told = {"id": "PYSEC-2023-1", "fix_versions": ["10.0.1", "10.2", "9.1"], "aliases": ["CVE-2023-4863"], "description": "d"}
    pillow = {"name": "Pillow", "version": "9.5.0", "vulns": [told, {"id": None}]}
    skipped = {"name": "torch", "skip_reason": "not on the index"}
    database = read(content=report(pillow, skipped))
    (one,) = database.found
    assert (one.pin, one.ids, one.fixed, one.summary) == (PILLOW, ("CVE-2023-4863", "PYSEC-2023-1"), "10.0.1", "d")
    assert database.malformed == 1 and database.not_reported == [TORCH]
    other = read(content=json.dumps([{**pillow, "version": "9.4.0"}]))  # the form before pip-audit 2.5
    assert other.found == [] and other.not_reported == [PILLOW, TORCH]


def test_a_folder_holds_files_zips_and_other_things(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "one.json").write_text(json.dumps(entry("GHSA-1", "pillow", (INTRODUCED, "0"))))
    (tmp_path / "README.md").write_text("no JSON")
    (tmp_path / "broken.json").write_text("[" * 100_000)
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04")
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("GHSA-2.json", json.dumps(entry("GHSA-2", "torch", (INTRODUCED, "0"))))
        packed.writestr("bomb.json", b" " * (20 << 20))
        packed.writestr("LICENSE", "no JSON")
    database = advisories.read(tmp_path, [PILLOW, TORCH])
    assert [one.ids for one in database.found] == [("GHSA-1",), ("GHSA-2",)] and database.malformed == 3
    monkeypatch.setattr(advisories, "MOST_ZIP_BYTES", 100)
    with pytest.raises(UserError, match="more than any database"):
        advisories.read(tmp_path / "all.zip", [TORCH])


def test_the_pins_of_a_stack_are_those_of_its_pythons():
    for name in catalog.names():
        stack = catalog.load(name)
        for build in stack.builds:
            pins = advisories.pinned(stack, build)
            (torch,) = [pin for pin in pins if pin.name == "torch"]
            assert torch.version.startswith(stack.torch) and torch.pythons == stack.native_python
            assert "panopticapi-lite" in {pin.name for pin in pins} and len(pins) == len(set(pins))
    contourpy = {pin.version: pin.pythons for pin in pins_of("cpu") if pin.name == "contourpy"}
    assert len(contourpy) > 1 and sorted(sum(contourpy.values(), ())) == sorted(catalog.load("cpu").native_python)
    assert not {"colorama", "pywinpty"} & {pin.name for pin in pins_of("cpu")}, "of Windows"


def pins_of(name):
    stack = catalog.load(name)
    return advisories.pinned(stack, stack.build())

"""Files that appear whole or not at all, in folders that others may have written to."""

from __future__ import annotations

import pytest

from labkit.base import console, files
from labkit.base.errors import UserError


def test_a_link_in_the_way_is_removed_and_never_followed(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "report.html.new").symlink_to(precious)
    files.write_text(tmp_path / "report.html", "<p>")
    assert precious.read_text() == "mine"
    assert (tmp_path / "report.html").read_text() == "<p>" and not (tmp_path / "report.html").is_symlink()
    assert not (tmp_path / "report.html.new").exists()


def test_a_link_at_the_place_itself_is_replaced(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "summary.json").symlink_to(precious)
    files.write_json(tmp_path / "summary.json", {"a": 1})
    assert precious.read_text() == "mine" and not (tmp_path / "summary.json").is_symlink()


def test_a_folder_in_the_way_is_one_sentence(tmp_path):
    (tmp_path / "report.html.new").mkdir()
    with pytest.raises(UserError, match=r"folder is in the way|no permission"), files.writing(tmp_path):
        files.write_text(tmp_path / "report.html", "<p>")


def test_a_failed_block_leaves_the_old_file(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(ZeroDivisionError), files.replacing(tmp_path / "a") as stream:
        stream.write(b"half")
        raise ZeroDivisionError
    assert (tmp_path / "a").read_text() == "old"


def test_nothing_that_a_terminal_obeys():
    assert console.harmless("a\x1b]0;owned\x07b\u202e \ud800 语言 ✓\n") == "a?]0;owned?b? ? 语言 ✓\n"

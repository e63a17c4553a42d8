"""Text for networks: words, vocabularies, batches of one length, and files that are nearly right."""

from __future__ import annotations

import pytest
import torch

from labkit.base.errors import UserError
from labkit.runs import text
from labkit.runs.text import LengthBatches, Vocabulary


@pytest.mark.parametrize("sentence, words", [
    ("Leave Beijing on November 2nd", ["leave", "beijing", "on", "november", "2nd"]),
    ("十一月二日北京出发。", list("十一月二日北京出发。")),
    ("11月2日Beijing出发!", ["11", "月", "2", "日", "beijing", "出", "发", "!"]),
    ("I don't, really", ["i", "don't", ",", "really"]), (" \t\n", []), ("", []), ("snake_case", ["snake", "case"]),
])  # fmt: skip
def test_words(sentence, words):
    assert text.words(sentence) == words


def test_a_vocabulary_numbers_the_frequent_first_and_knows_what_it_does_not_know():
    made = Vocabulary.of([["b", "a", "b"], ["c", "a", "b"]], at_least=2)
    assert made.words == ["<unk>", "b", "a"] and len(made) == 3 and "c" not in made
    assert made.numbers(["a", "c", "b", "<unk>"]) == [2, 0, 1, 0]
    assert Vocabulary.from_state(made.state()).words == made.words
    for damaged in (None, {}, ["a"], ["<unk>", 3], ["<unk>", "a", "a"]):
        with pytest.raises(ValueError):
            Vocabulary.from_state(damaged)


def test_batches_have_one_length_and_every_sentence_once_in_an_epoch():
    lengths = [(k % 3, k % 2) for k in range(50)]
    batches = LengthBatches(lengths, 4, seed=0)
    for epoch in range(2):
        found = [batches[epoch * batches.in_epoch + k] for k in range(batches.in_epoch)]
        assert sorted(torch.cat(found).tolist()) == list(range(50))
        assert all(len({lengths[k] for k in batch.tolist()}) == 1 and 1 <= len(batch) <= 4 for batch in found)
    other = LengthBatches(lengths, 4, seed=0)
    assert torch.equal(other[batches.in_epoch + 3], batches[batches.in_epoch + 3])  # whenever it is asked for
    assert not torch.equal(torch.cat([LengthBatches(lengths, 50, 1)[k] for k in range(6)]),
                           torch.cat([LengthBatches(lengths, 50, 0)[k] for k in range(6)]))  # fmt: skip


def test_positions_by_length_in_order():
    assert text.by_length([2, 1, 2, 2, 1], 2) == [[0, 2], [3], [1, 4]] and text.by_length([], 3) == []


@pytest.mark.parametrize("content, lines", [
    (b"a\nb\n", ["a", "b"]), (b"\xef\xbb\xbfa\r\nb", ["a", "b"]), (b"a\rb\r", ["a", "b"]), (b"", []), (b"\n", [""]),
    ("北京\u2028a\n".encode(), ["北京\u2028a"]),
])  # fmt: skip
def test_lines_whatever_ends_them(tmp_path, content, lines):
    (tmp_path / "a").write_bytes(content)
    assert text.read_lines(tmp_path / "a") == lines


def test_what_is_no_text_is_one_sentence(tmp_path):
    path = tmp_path / "a"
    path.write_bytes("good\n北京\n".encode("gbk"))
    with pytest.raises(UserError, match="not text in UTF-8: line 2 has other bytes"):
        text.read_lines(path)
    path.write_bytes(b"a\0b")
    with pytest.raises(UserError, match="null"):
        text.read_lines(path)
    path.write_bytes(b"a" * (2 << 20))
    with pytest.raises(UserError, match="more than 1 MB"):
        text.read_lines(path, 1 << 20)
    with pytest.raises(UserError, match="cannot read"):
        text.read_lines(tmp_path / "none")

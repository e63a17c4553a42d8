"""What several labs measure and read with: the kernel inception distance and MNIST's files."""

from __future__ import annotations

import collections
import random
import struct

import numpy as np
import pytest

from labkit.base.errors import UserError
from labkit.data import idx
from labkit.runs import plots
from labkit.runs.measures import kid


def test_kid_is_the_sum_over_all_pairs():
    random = np.random.RandomState(0)
    a, b = random.randn(7, 5), random.randn(9, 5) + 0.3

    def kernel(x, y):
        return (sum(float(p) * float(q) for p, q in zip(x, y)) / 5 + 1) ** 3

    def mean(values):
        values = list(values)
        return sum(values) / len(values)

    expected = mean(kernel(a[i], a[j]) for i in range(7) for j in range(7) if i != j)
    expected += mean(kernel(b[i], b[j]) for i in range(9) for j in range(9) if i != j)
    expected -= 2 * mean(kernel(x, y) for x in a for y in b)
    assert kid(a, b) == pytest.approx(expected, rel=1e-12)
    assert kid(a.astype(np.float32), b) == pytest.approx(kid(b, a), rel=1e-5)


def test_kid_has_no_bias_and_sees_a_difference():
    random = np.random.RandomState(1)
    same = [kid(random.randn(40, 6), random.randn(60, 6)) for _ in range(300)]
    assert abs(np.mean(same)) < 4 * np.std(same) / 300**0.5 and min(same) < 0 < max(same)
    assert kid(random.randn(400, 6), 1.5 * random.randn(400, 6)) > 5 * np.std(same)


def header(*lengths, kind=8):
    return bytes([0, 0, kind, len(lengths)]) + struct.pack(f">{len(lengths)}I", *lengths)


def test_an_idx_file_comes_back(tmp_path):
    pixels = np.random.RandomState(0).randint(0, 256, (5, 4, 3)).astype(np.uint8)
    (tmp_path / "images").write_bytes(header(5, 4, 3) + pixels.tobytes())
    assert (idx.load(tmp_path / "images") == pixels).all()
    (tmp_path / "labels").write_bytes(header(2) + b"\x07\x09")
    assert idx.load(tmp_path / "labels").tolist() == [7, 9]


@pytest.mark.parametrize(
    "content",
    [header(0, 2**31, 2**31, 2**31), b"", b"\0\0", header(3), header(3) + b"ab", header(3) + b"abcd", header(3)[:6], b"<html>403 Forbidden</html>",
     header(3, kind=13) + b"abc", header(), header(2**31, 2**31, 2**31, 4) + b"x", header(*[1] * 200) + b"x"],
)  # fmt: skip
def test_a_damaged_idx_file_is_refused_by_name(tmp_path, content):
    (tmp_path / "train-images").write_bytes(content)
    with pytest.raises(UserError, match="train-images"):
        idx.load(tmp_path / "train-images")


def test_a_thousand_mutated_idx_files_are_read_or_refused(tmp_path):
    """Most changes hit the head, where they could do harm: each ends in an array of what is there, or in one sentence."""
    whole, path = header(5, 4, 3) + bytes(range(60)), tmp_path / "train-images"
    outcomes = collections.Counter()
    for seed in range(1000):
        rng = random.Random(seed)
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(16) if rng.random() < 0.8 else rng.randrange(len(data))
            change = rng.randrange(3)
            if change == 0:
                data[place % len(data)] = rng.choice((0, 1, 3, 127, 255))
            elif change == 1:
                data[place:place] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 4)))
            else:
                data = data[: max(place, 1)] if rng.random() < 0.2 else data[:place] + data[place + 1 :]
        path.write_bytes(bytes(data))
        try:
            array = idx.load(path)
            assert array.dtype == np.uint8 and array.size <= len(data)
            outcomes["read"] += 1
        except UserError as error:
            assert "\n" not in error.message.strip()
            outcomes["refused"] += 1
    assert outcomes["refused"] > 300 and outcomes["read"] > 10


def test_a_missing_idx_file_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*nothing"):
        idx.load(tmp_path / "nothing")


@pytest.mark.parametrize("colours", [(), (3,)])
def test_tiles_hold_every_image_at_its_place(colours):
    pixels = np.random.RandomState(0).randint(0, 255, (7, 5, 4, *colours)).astype(np.uint8)
    sheet = plots.tiles(pixels, columns=3)
    assert sheet.shape == (3 * 7 - 2, 3 * 6 - 2, *colours)
    for k in range(7):
        y, x = k // 3 * 7, k % 3 * 6
        assert (sheet[y : y + 5, x : x + 4] == pixels[k]).all()
    assert (sheet[-5:, 6:] == 255).all() and (sheet[5:7] == 255).all()  # empty places and gaps are white

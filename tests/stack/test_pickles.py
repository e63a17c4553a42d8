"""Pickles: what arrays need is read, the rest is refused."""

from __future__ import annotations

import collections
import os
import pickle
import random
import resource

import numpy as np
import pytest

from labkit.base.errors import UserError
from labkit.data import pickles


class Attack:
    """Calls `function` with `argument` when it is unpickled without care."""

    def __init__(self, function, argument):
        self.call = function, (argument,)

    def __reduce__(self):
        return self.call


def test_arrays_numbers_and_containers_come_back(tmp_path):
    content = {"data": np.arange(6, dtype=np.uint8).reshape(2, 3), "mean": np.float64(0.5), "labels": [1, 2],
               "names": ("a", "é"), "none": None}  # fmt: skip
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "p").write_bytes(pickle.dumps(content, protocol))
        got = pickles.load(tmp_path / "p")
        assert got.pop("data").tolist() == [[0, 1, 2], [3, 4, 5]]
        assert got == {key: value for key, value in content.items() if key != "data"}


def test_what_save_writes_names_no_numpy_2_module(tmp_path):
    pickles.save({"data": np.zeros(3, np.uint8)}, tmp_path / "p")
    assert b"numpy._core" not in (tmp_path / "p").read_bytes()
    assert pickles.load(tmp_path / "p")["data"].tolist() == [0, 0, 0]


def test_a_pickle_of_python_2_as_cifar_has_them(tmp_path):
    dtype = b"cnumpy\ndtype\n(S'u1'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\nt" + dtype
    array += b"I00\nS'\\xff\\x07'\ntb"
    (tmp_path / "p").write_bytes(b"(dS'data'\n" + array + b"sS'batch_label'\nS'training batch 1 of 5'\ns.")
    got = pickles.load(tmp_path / "p")
    assert got["batch_label"] == "training batch 1 of 5"
    assert got["data"].dtype == np.uint8 and got["data"].tolist() == [255, 7]


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("inside", ["alone", "in a dict", "in an array"])
def test_a_hostile_pickle_is_refused_and_runs_nothing(tmp_path, inside, protocol):
    attack = Attack(os.mkdir, str(tmp_path / "ran"))
    content = {"alone": attack, "in a dict": {"data": attack}, "in an array": np.array([attack], dtype=object)}[inside]
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(content, protocol))
    with pytest.raises(UserError, match=r"data_batch_1 is not read: it asks for posix\.mkdir"):
        pickles.load(tmp_path / "data_batch_1")
    assert not (tmp_path / "ran").exists()
    pickle.loads(pickle.dumps(content, protocol))
    assert (tmp_path / "ran").exists()  # the attack is a real one


@pytest.mark.parametrize("content", [Attack(eval, "1"), Attack(np.load, "file"), collections.OrderedDict(), Attack])
def test_other_names_are_refused_too(tmp_path, content):
    (tmp_path / "p").write_bytes(pickle.dumps(content))
    with pytest.raises(UserError, match="p is not read: it asks for"):
        pickles.load(tmp_path / "p")


def test_a_path_below_an_admitted_module_is_refused(tmp_path):
    (tmp_path / "p").write_bytes(b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.")
    with pytest.raises(UserError, match=r"numpy\.ndarray\.__class__"):
        pickles.load(tmp_path / "p")


@pytest.mark.parametrize("content", [b"", b"\x80\x02", b"not a pickle", b"\x80\x02}q\x00"])
def test_a_damaged_pickle_is_named(tmp_path, content):
    (tmp_path / "test_batch").write_bytes(content)
    with pytest.raises(UserError, match="test_batch is not a pickle that can be read"):
        pickles.load(tmp_path / "test_batch")


def test_the_number_of_a_remembered_object_takes_no_memory(tmp_path):
    (tmp_path / "p").write_bytes(b"\x80\x02]r\xff\xff\xff\xff.")  # remember the list as number 4294967295
    assert pickles.load(tmp_path / "p") == []
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4_000_000  # kB


def test_a_thousand_mutated_batches_are_read_or_refused(tmp_path):
    """No traceback, nothing run, no hang: each ends in a value or in one sentence."""
    batch = {"batch_label": "training batch 1 of 5", "labels": list(range(10)), "filenames": ["a.png"] * 10,
             "data": np.arange(300, dtype=np.uint8).reshape(10, 30)}  # fmt: skip
    wholes = [pickle.dumps(batch, protocol) for protocol in (0, 2, 4)]
    before = sorted(os.listdir(str(tmp_path)))
    outcomes = collections.Counter()
    for seed in range(1000):
        rng = random.Random(seed)
        data = bytearray(wholes[seed % 3])
        for _ in range(rng.randint(1, 6)):
            if not data:
                break
            place = rng.randrange(len(data))
            change = rng.randrange(4)
            if change == 0:
                data[place] = rng.randrange(256)
            elif change == 1:
                del data[place : place + rng.randint(1, 8)]
            elif change == 2:
                data[place:place] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 8)))
            else:
                data = data[: max(place, 1)]
        (tmp_path / "p").write_bytes(bytes(data))
        try:
            pickles.load(tmp_path / "p")
            outcomes["read"] += 1
        except UserError as error:
            assert "\n" not in error.message.strip()
            outcomes["refused"] += 1
    assert outcomes["refused"] > 300 and sorted(os.listdir(str(tmp_path))) == [*before, "p"]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere does not exist"):
        pickles.load(tmp_path / "nowhere")

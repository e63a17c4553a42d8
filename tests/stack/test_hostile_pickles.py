"""What a pickle may cost and ask for: attacks on memory, on NumPy and on the reader itself end in one sentence."""

from __future__ import annotations

import io
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest

from labkit.base.errors import UserError
from labkit.base.paths import ROOT
from labkit.data import cifar, pickles

DTYPE = b"cnumpy\ndtype\nX\x02\x00\x00\x00%s\x85R"
BLANK = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
ARRAY = b"cnumpy\nndarray\n((%st" + DTYPE + b"tR"  # of a shape and a dtype, which nobody has filled
LAUGHS = b"X\x01\x00\x00\x00a" + b"q\x00h\x00\x86" * 60  # doubled sixty times: each tuple holds the last one twice


def state(shape, dtype, content):
    """The array with this state."""
    size = struct.pack("<I", len(content))
    return BLANK + b"(K\x01(" + b"".join(b"K" + bytes([n]) for n in shape) + b"t" + DTYPE % dtype + b"\x89B" + size + content + b"tb"


ATTACKS = {
    "an object array over chosen addresses": ARRAY % (b"K\x01", b"O8") + state([8], b"u1", b"ABCDEFGH")[:0] + b"K\x00Ns",
    "three gigabytes in 56 bytes": ARRAY % (b"\x8a\x05" + (3 << 30).to_bytes(5, "little"), b"u1") + b"\x88K\x01s",
    "an array of text": state([1], b"U9", b"0" * 36),
    "an array of objects": state([1], b"O8", b"ABCDEFGH"),
    "an array of records": state([1], b"V8", b"ABCDEFGH"),
    "more numbers than bytes": state([9], b"f8", bytes(8)),
    "a negative length": BLANK + b"(K\x01J\xff\xff\xff\xff\x85" + DTYPE % b"u1" + b"\x89C\x01atb",
    "many empty axes": BLANK + b"(K\x01(" + b"K\x00" * 200 + b"t" + DTYPE % b"u1" + b"\x89C\x00tb",
    "an array set while it is read": state([2], b"u1", b"ab") + b"K\x00K\x07s",
    "an array with a second state": state([2], b"u1", b"ab") + b"(K\x01K\x02\x85" + DTYPE % b"u1" + b"\x89C\x02abtb",
    "an array that never got its bytes": BLANK,
    "a reconstructed matrix": BLANK.replace(b"ndarray", b"matrix"),
    "a text of 4 GB": b"X\xff\xff\xff\xffabc",
    "bytes of 2**63": b"\x8e" + b"\xff" * 8 + b"abc",
    "a number of 4 GB": b"\x8b\xff\xff\xff\x7f1",
    "a number of a megabyte of digits": b"I" + b"9" * (1 << 20) + b"\n",
    "a list that holds itself": b"]q\x00h\x00a",
    "tuples that double": LAUGHS,
    "tuples that double as a dtype": b"cnumpy\ndtype\n" + LAUGHS + b"\x85R",
    "a million lists in each other": b"]" * 10**6 + b"a" * (10**6 - 1),
    "a million tuples in each other": b")" + b"\x85" * 10**6,
    "a key that never ends": b"}" + b")" + b"\x85" * 10**5 + b"Ns",
    "marks without end": b"(" * (3 << 20),
    "dicts without end": b"}" * (3 << 20),
    "doubling a value": b"N" + b"2" * 100 + b"t",
    "the same bytes again and again": (b"(B" + struct.pack("<I", 60000) + b"x" * 60000 + b"q\x00" + DTYPE % b"u1" + b"q\x01"
                                       + (BLANK + b"(K\x01M\x60\xea\x85h\x01\x89h\x00tb") * 3000 + b"l"),
    "an extension": b"\x82\x01",
    "a class made anew": b"cnumpy\nndarray\n)\x81",
    "nothing on the stack": b"0",
}  # fmt: skip
PROGRAM = """
import resource, sys
from pathlib import Path
from labkit.base.errors import UserError
from labkit.data import pickles
import numpy
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    pickles.load(Path(sys.argv[1]))
    print("read")
except UserError as error:
    print(error.message)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_ends_in_one_sentence_and_takes_little(tmp_path, attack):
    (tmp_path / "test_batch").write_bytes(b"\x80\x03" + ATTACKS[attack] + b".")
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "test_batch")]
    done = subprocess.run(command, cwd=str(ROOT), timeout=60, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    sentence, taken_mb = done.stdout.splitlines()
    assert "test_batch is not" in sentence and int(taken_mb) < 300


def test_arrays_of_every_number_order_and_shape_come_back_and_may_be_written_to(tmp_path):
    content = {
        code: np.arange(6).reshape(2, 3).astype(code)
        for code in ("u1", "i1", "u2", "i2", "<u4", ">i4", "u8", "i8", "f2", "<f4", ">f8")
    }
    content["fortran"], content["empty"] = np.asfortranarray(content["u1"]), np.zeros((0, 4), np.float32)
    content["scalar"] = np.float32(0.5)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "p").write_bytes(pickle.dumps(content, protocol))
        got = pickles.load(tmp_path / "p")
        for name, array in content.items():
            assert np.array_equal(got[name], array) and got[name].dtype == array.dtype.newbyteorder("="), name
        got["u1"][0, 0] = 7


def test_weights_as_the_model_zoo_has_them(tmp_path):
    weights = {"conv.weight": np.ones((2, 3), np.float32), "num_batches_tracked": np.array(3, np.int64)}
    for content in ({"model": weights, "__author__": "somebody", "matching_heuristics": True}, {"conv_w": weights["conv.weight"]}):
        (tmp_path / "w.pkl").write_bytes(pickle.dumps(content, 2))
        got = pickles.load(tmp_path / "w.pkl")
        assert set(got) == set(content) and got.get("model", got).keys() == content.get("model", content).keys()


def batch(**changed):
    content = {"labels": [0, 9], "data": np.zeros((2, 3072), np.uint8)}
    return {**content, **changed}


def write(folder, content):
    (folder / "cifar-10-batches-py").mkdir(exist_ok=True)
    out = io.BytesIO()
    pickle.dump(content, out, 2)
    (folder / "cifar-10-batches-py" / "test_batch").write_bytes(out.getvalue())


def test_a_batch_with_the_keys_of_python_2_as_bytes(tmp_path):
    write(tmp_path, {name.encode(): value for name, value in batch().items()})
    images, labels = cifar.load(tmp_path, "cifar10", "test")
    assert images.shape == (2, 32, 32, 3) and labels.tolist() == [0, 9]


@pytest.mark.parametrize(
    "content",
    [
        [1], {}, batch(labels=[0, 10]), batch(labels=[0, -1]), batch(labels=[0, "1"]), batch(labels=[0]), batch(labels=[[], []]),
        batch(data=np.zeros((2, 3071), np.uint8)), batch(data=np.zeros((2, 3072), np.float32)), batch(data="text"),
        batch(labels=[], data=np.zeros((0, 3072), np.uint8)), batch(labels=(((0,),),) * 2),
    ],
    ids=range(12),
)  # fmt: skip
def test_what_is_no_batch_is_refused_before_anything_learns_from_it(tmp_path, content):
    write(tmp_path, content)
    with pytest.raises(UserError, match="test_batch does not hold"):
        cifar.load(tmp_path, "cifar10", "test")


@pytest.mark.parametrize("protocol", range(5))
def test_what_is_shown_again_is_what_it_was(protocol, tmp_path):
    """A large text before them does not move what the shorter ones are remembered by."""
    ship, frog = "".join(["sh", "ip"]), "".join(["fr", "og"])
    content = {"data": "x" * 70_000, "a": ship, "b": frog, "c": ship, "d": frog, "array": np.arange(40_000)}
    (tmp_path / "batch").write_bytes(pickle.dumps(content, protocol))
    read = pickles.load(tmp_path / "batch")
    assert [read[name] for name in "abcd"] == [ship, frog, ship, frog] and read["data"] == content["data"]
    assert (read["array"] == content["array"]).all()

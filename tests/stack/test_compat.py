"""labkit.runs.compat: the same behaviour from PyTorch 1.5 and from today's."""

from __future__ import annotations

import collections
import os
import pickle
import zipfile

import pytest
import torch

from labkit.base.errors import UserError
from labkit.base.hardware import Processor
from labkit.runs import compat


class Payload:
    """Runs a command when a careless reader unpickles it."""

    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return os.system, (f"touch {self.proof}",)


def test_what_is_saved_comes_back(tmp_path):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.randn(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    content = {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "weight": network[0].weight,
        "order": collections.OrderedDict(a=1),
        "counted": collections.Counter("aab"),
        "plain": [1, 2.5, "text", None, True, (1, 2), {"half": torch.ones(2).half(), "size": torch.ones(2, 3).shape}],
        "random": torch.get_rng_state(),
    }
    compat.save(content, tmp_path / "a.pt")
    loaded = compat.load(tmp_path / "a.pt")
    assert loaded["plain"][:6] == content["plain"][:6] and loaded["plain"][6]["size"] == (2, 3)
    assert loaded["counted"] == content["counted"] and loaded["order"] == content["order"]
    assert torch.equal(loaded["random"], content["random"])
    assert torch.equal(loaded["weight"], network[0].weight)
    torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).load_state_dict(loaded["network"])
    optimizer.load_state_dict(loaded["optimizer"])
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_a_malicious_checkpoint_is_refused_and_nothing_runs(tmp_path):
    proof, path = tmp_path / "it ran", tmp_path / "evil.pt"
    for write in (
        lambda: torch.save({"lab": "cifar10", "state": Payload(proof)}, str(path)),
        lambda: torch.save(Payload(proof), str(path), pickle_protocol=4),
        lambda: path.write_bytes(pickle.dumps(Payload(proof), protocol=2)),
    ):
        write()
        with pytest.raises(UserError, match=r"evil\.pt is not a checkpoint that can be loaded safely") as refused:
            compat.load(path)
        assert "\n" not in refused.value.message
        assert not proof.exists()


def test_more_than_tensors_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), str(tmp_path / "module.pt"))
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(tmp_path / "script.pt"))
    for name in ("module.pt", "script.pt"):
        with pytest.raises(UserError, match=r"cannot|not a checkpoint"):
            compat.load(tmp_path / name)


def test_damaged_files_end_in_one_sentence(tmp_path):
    path = tmp_path / "a.pt"
    compat.save({"x": torch.arange(1000)}, path)
    whole = path.read_bytes()
    for content in (b"", b"hello", b"PK\x03\x04 no", whole[: len(whole) // 2], whole[:-100], os.urandom(500)):
        path.write_bytes(content)
        with pytest.raises(UserError, match="not a checkpoint that can be loaded safely"):
            compat.load(path)
    with pytest.raises(UserError, match="cannot read"):
        compat.load(tmp_path / "absent.pt")
    with pytest.raises(UserError, match="cannot read"):
        compat.load(tmp_path)


def test_fast_dtype_follows_the_processor(monkeypatch):
    """bfloat16 where it was measured to be faster: AMX, and AVX-512 of AMD but not of Intel."""
    cpu = torch.device("cpu")
    for vendor, flags, fast in (
        ("GenuineIntel", {"avx512f", "avx512_bf16", "amx_bf16"}, True),
        ("GenuineIntel", {"avx512f", "avx512_bf16"}, False),
        ("AuthenticAMD", {"avx512f", "avx512_bf16"}, True),
        ("AuthenticAMD", {"avx2"}, False),
        ("", set(), False),
    ):
        found = Processor("a processor", vendor, frozenset(flags))
        monkeypatch.setattr(compat, "processor", lambda found=found: found)
        dtype, reason = compat.fast_dtype(cpu)
        assert dtype == (torch.bfloat16 if fast and compat.MODERN else torch.float32) and reason



@pytest.mark.parametrize("width, fast", [(0, True), (128, False), (255, False), (256, True), (512, True)])
def test_bfloat16_is_for_wide_transformers(width, fast, monkeypatch):
    amx = Processor("a processor", "GenuineIntel", frozenset({"avx512f", "amx_bf16"}))
    monkeypatch.setattr(compat, "processor", lambda: amx)
    dtype, reason = compat.fast_dtype(torch.device("cpu"), width)
    assert dtype == (torch.bfloat16 if fast and compat.MODERN else torch.float32) and reason


def test_autocast(monkeypatch):
    cpu = torch.device("cpu")
    layer, x = torch.nn.Linear(4, 4), torch.ones(2, 4)
    with compat.autocast(cpu, torch.float32):
        assert layer(x).dtype == torch.float32
    with compat.autocast(cpu, torch.bfloat16):
        assert layer(x).dtype == (torch.bfloat16 if compat.MODERN else torch.float32)


class Rebuilt:
    """Pickled as a tensor of `storage` with any place, size and steps."""

    def __init__(self, *place):
        self.place = place

    def __reduce__(self):
        return torch._utils._rebuild_tensor_v2, (torch.zeros(4).storage(), *self.place, False, collections.OrderedDict())


@pytest.mark.parametrize(
    "place",
    [(0, (1 << 33,), (1,)), (1 << 33, (1,), (1,)), (-1, (4,), (1,)), (0, (2,), (-5,)), (0, (2, 2), (1,)), (3, (2,), (1,))],
)
def test_a_tensor_that_is_not_in_its_storage_is_refused(tmp_path, place):
    old = {} if not compat.MODERN else {"_use_new_zipfile_serialization": False}
    torch.save({"x": Rebuilt(*place)}, str(tmp_path / "a.pt"), **old)
    with pytest.raises(UserError, match="not a checkpoint that can be loaded safely"):
        compat.load(tmp_path / "a.pt")


def old_file(tmp_path, content, change=lambda data: data):
    """`content` as PyTorch before 1.6 writes it, changed."""
    old = {} if not compat.MODERN else {"_use_new_zipfile_serialization": False}
    torch.save(content, str(tmp_path / "a.pt"), **old)
    (tmp_path / "a.pt").write_bytes(change((tmp_path / "a.pt").read_bytes()))
    return tmp_path / "a.pt"


def test_old_files_keep_what_tensors_share_and_their_dtypes(tmp_path):
    whole = torch.arange(12).float()
    content = {"whole": whole, "part": whole[2:8].view(2, 3), "turned": whole.view(3, 4).t(), "bool": whole > 5}
    for dtype in (torch.float64, torch.float16, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64):
        content[str(dtype)] = torch.arange(3).to(dtype)
    loaded = compat.load(old_file(tmp_path, content))
    assert all(loaded[name].dtype == value.dtype and loaded[name].tolist() == value.tolist() for name, value in content.items())
    loaded["whole"][2] = 100
    assert loaded["part"][0, 0] == 100


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"K\x04N", b"J\xff\xff\xff\x7fN", 1),  # a storage of 8 GB
        lambda data: data.replace((4).to_bytes(8, "little"), (1 << 40).to_bytes(8, "little")),  # so its own length says
        lambda data: data[:-1],
        lambda data: data.replace(b"X\x03\x00\x00\x00cpu", b"]" * 100_000 + b"a" * 99_999),
        lambda data: data.replace(b"}q", b"r\xff\xff\xff\xff}q", 1).replace(b"]q", b"2]q", 1),
    ],
    ids=["storage", "its length", "cut short", "nested", "steps"],
)
def test_old_files_that_state_what_they_do_not_hold_are_refused(tmp_path, change):
    path = old_file(tmp_path, {"x": torch.zeros(4)})
    assert change(path.read_bytes()) != path.read_bytes()
    with pytest.raises(UserError, match="not a checkpoint that can be loaded safely"):
        compat.load(old_file(tmp_path, {"x": torch.zeros(4)}, change))


class Called:
    """Pickled as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_a_small_file_does_not_take_much_memory(tmp_path):
    """PyTorch's own weights_only takes 4 GB for the first, and a tensor of 10**12 numbers for the last."""
    contents = [{"x": Called(bytearray, 4 * 10**9)}, {"x": torch.zeros(1).expand(10**6, 10**6)}]
    if compat.MODERN:
        contents.append({"x": Called(torch.UntypedStorage, 4 * 10**9)})
    for content in contents:
        for write in (lambda content: torch.save(content, str(tmp_path / "a.pt")), lambda content: old_file(tmp_path, content)):
            write(content)
            with pytest.raises(UserError, match="not a checkpoint that can be loaded safely"):
                compat.load(tmp_path / "a.pt")


@pytest.mark.skipif(not compat.MODERN, reason="PyTorch 1.5 writes no archives")
def test_what_is_written_today_is_read_to_the_bit(tmp_path):
    whole = torch.randn(3, 4)
    content = {"whole": whole, "turned": whole.t(), "half": whole.bfloat16(), "none": torch.zeros(0, 3), "one": torch.tensor(2.5),
               "bool": whole > 0, "grad": whole.clone().requires_grad_()}  # fmt: skip
    compat.save(content, tmp_path / "a.pt")
    ours, theirs = compat.load(tmp_path / "a.pt"), torch.load(str(tmp_path / "a.pt"), weights_only=True)
    for name, value in theirs.items():
        assert ours[name].dtype == value.dtype and torch.equal(ours[name], value), name
        assert ours[name].requires_grad == value.requires_grad and ours[name].stride() == value.stride(), name
    ours["whole"][0, 1] = 100
    assert ours["turned"][1, 0] == 100


@pytest.mark.skipif(not compat.MODERN, reason="PyTorch 1.5 writes no archives")
def test_an_archive_whose_members_do_not_fit_the_tensors(tmp_path):
    compat.save({"x": torch.zeros(4)}, tmp_path / "a.pt")
    with zipfile.ZipFile(str(tmp_path / "a.pt")) as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    (folder,) = {name.split("/")[0] for name in members}
    for name, content in (("data/0", b"short"), ("data/0", None), ("data.pkl", None), ("byteorder", b"big")):
        with zipfile.ZipFile(str(tmp_path / "b.pt"), "w") as spoiled:
            for member, text in {**members, f"{folder}/{name}": content}.items():
                if text is not None:
                    spoiled.writestr(member, text)
        with pytest.raises(UserError, match="not a checkpoint that can be loaded safely"):
            compat.load(tmp_path / "b.pt")


@pytest.mark.skipif(not compat.MODERN, reason="PyTorch 1.5 writes no archives")
def test_a_checkpoint_that_unpacks_to_more_than_it_is(tmp_path):
    compat.save({"x": torch.zeros(1_000_000)}, tmp_path / "a.pt")
    with zipfile.ZipFile(str(tmp_path / "a.pt")) as whole, zipfile.ZipFile(str(tmp_path / "b.pt"), "w", 8) as packed:
        for name in whole.namelist():
            packed.writestr(name, whole.read(name))
    with pytest.raises(UserError, match="unpacks to more than"):
        compat.load(tmp_path / "b.pt")

"""Samples: the layout of the real data, labels that mean something, and the same bytes on every stack."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from labkit import datasets, pickles

# Of all files, in the order of their names. A change of the drawing changes these, and every result on the sample.
SHA256 = {
    "cifar10": "8ad6a8bfd14db8214ee40c14b9d5fdd17f26474a33e9ed291e7eda26f9a72218",
    "cifar100": "174410c89fbe4553780b7589c731242df4a94b70ba649d98120d682e3f8eeb9a",
    "mnist": "d1612f70dec3c6d65c1ed06fc9659c1a08ffad254f5e1949f0ee3b873c04b539",
}


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """The samples of all data sets, made once: name -> State."""
    patch = pytest.MonkeyPatch()
    patch.setenv("LAB_DATA", str(tmp_path_factory.mktemp("data")))
    yield {name: datasets.locate(name, sample=True) for name in datasets.names()}
    patch.undo()


@pytest.mark.parametrize("name", datasets.names())
def test_the_bytes_are_the_same_everywhere(samples, name):
    state = samples[name]
    assert state.kind == "sample"
    total = hashlib.sha256()
    for path in sorted(path for path in state.path.rglob("*") if path.is_file() and path.name != ".state.json"):
        total.update(path.read_bytes())
    assert total.hexdigest() == SHA256[name]


@pytest.mark.parametrize("name", datasets.names())
def test_a_sample_is_made_once_and_is_not_the_real_thing(samples, name):
    made = samples[name].path.stat().st_mtime_ns
    assert datasets.locate(name, sample=True) == samples[name]
    assert samples[name].path.stat().st_mtime_ns == made
    assert datasets.state(name).kind == "absent"


def test_a_sample_from_an_older_program_is_made_again(samples):
    state_file = samples["mnist"].path / ".state.json"
    text = state_file.read_text(encoding="utf-8")
    state_file.write_text(text.replace("sample.py ", "sample.py 0"), encoding="utf-8")
    assert datasets.locate("mnist", sample=True).source == samples["mnist"].source


def test_cifar10(samples):
    folder = samples["cifar10"].path / "cifar-10-batches-py"
    names = pickles.load(folder / "batches.meta")["label_names"]
    assert len(names) == 10 and "airplane" not in names
    for batch in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        content = pickles.load(folder / batch)
        assert content["data"].shape == (1000, 3072) and content["data"].dtype == np.uint8
        assert np.bincount(content["labels"]).tolist() == [100] * 10
        assert all(names[label] in name for label, name in zip(content["labels"], content["filenames"]))


def test_cifar100(samples):
    folder = samples["cifar100"].path / "cifar-100-python"
    meta = pickles.load(folder / "meta")
    assert len(meta["fine_label_names"]) == 100 and len(meta["coarse_label_names"]) == 20
    coarse_of = {}
    for split, count in (("train", 5000), ("test", 1000)):
        content = pickles.load(folder / split)
        assert content["data"].shape == (count, 3072) and content["data"].dtype == np.uint8
        assert np.bincount(content["fine_labels"]).tolist() == [count // 100] * 100
        for fine, coarse in zip(content["fine_labels"], content["coarse_labels"]):
            assert coarse_of.setdefault(fine, coarse) == coarse
            assert meta["fine_label_names"][fine].split()[1] == meta["coarse_label_names"][coarse].split()[1]
    assert sorted(np.bincount(list(coarse_of.values()))) == [5] * 20


def test_mnist(samples):
    raw = samples["mnist"].path / "MNIST" / "raw"
    for split, count in (("train", 4000), ("t10k", 1000)):
        images = (raw / f"{split}-images-idx3-ubyte").read_bytes()
        labels = (raw / f"{split}-labels-idx1-ubyte").read_bytes()
        assert np.frombuffer(images, ">i4", 4).tolist() == [2051, count, 28, 28]
        assert np.frombuffer(labels, ">i4", 2).tolist() == [2049, count]
        pictures = np.frombuffer(images, np.uint8, offset=16).reshape(count, 28, 28)
        assert np.bincount(np.frombuffer(labels, np.uint8, offset=8)).tolist() == [count // 10] * 10
        assert 0.08 < pictures.mean() / 255 < 0.2  # ink is bright and covers about as much as in MNIST (0.13)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_pictures_differ_and_use_the_range(samples, name):
    file = {"cifar10": "cifar-10-batches-py/data_batch_1", "cifar100": "cifar-100-python/train"}[name]
    data = pickles.load(samples[name].path / file)["data"]
    assert len(np.unique(data[:500], axis=0)) == 500
    assert data.min() == 0 and data.max() == 255 and 40 < data.std() < 90

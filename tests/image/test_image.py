"""Run inside an image by `./inv image.test`: what is there is what the stack file and the lock say, and no more."""

from __future__ import annotations

import os
import re
import shutil
import sys
from importlib import metadata

import pytest

from labkit.stacks import catalog, detectron2_wheel, native, selftest

STACK = catalog.load(os.environ["LAB_STACK"].partition("/")[0])
BUILD = STACK.build(os.environ["LAB_STACK"].partition("/")[2])


def normal(name):
    """The name of a package as locks write it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_label_in_the_environment():
    assert os.environ["LAB_IMAGE"] == os.environ["LAB_STACK"]


def test_python_is_the_pinned_one_and_imports_nothing_from_the_current_folder():
    assert sys.version_info[:2] == catalog.version_key(STACK.python)
    assert os.environ["PYTHONSAFEPATH"] == "1"


def test_the_versions_and_a_training_step():
    assert selftest.check_versions(STACK) == []
    first, last, _ = selftest.train_a_little()
    assert last < 0.8 * first


@pytest.mark.skipif(BUILD.pending, reason="a pending build has no lock to compare with")
def test_no_package_beyond_the_lock_and_none_missing():
    installed = {(normal(d.metadata["Name"]), d.version) for d in metadata.distributions()}
    lock = native.requirements(STACK, BUILD, windows=True) + detectron2_wheel.PANOPTICAPI.read_text(encoding="utf-8")
    pinned = set(re.findall(r"^([a-z0-9.-]+)==([^ ;\\\\]+)", lock, re.MULTILINE))
    assert {name for name, _ in installed - pinned} == {"detectron2"}  # made from source, or what the user asked for
    needed = {"torch", "torchvision", "opencv-python", "visdom", "tensorboardx", "tensorboard", "invoke", "numpy"}
    assert needed <= {name for name, _ in installed}


def test_the_binaries_cover_the_gpus_that_the_facts_promise():
    import torch

    wheel = catalog.find_wheel(catalog.load_facts(), STACK.torch, BUILD.cuda)
    if not hasattr(torch._C, "_cuda_getArchFlags") or not BUILD.cuda:
        assert torch.version.cuda == (BUILD.cuda or None)  # torch 1.5 does not tell its architectures
        return
    built = re.findall(r"sm_(\d+)(\d)", torch._C._cuda_getArchFlags())
    assert [f"{major}.{minor}" for major, minor in built] == wheel["architectures"]


def test_detectron2_has_its_operators_and_the_model_zoo():
    import torch
    from detectron2 import model_zoo
    from detectron2.layers import ROIAlign, batched_nms
    from panopticapi.evaluation import pq_compute

    features, boxes = torch.arange(16.0).reshape(1, 1, 4, 4), torch.tensor([[0.0, 0.0, 0.0, 4.0, 4.0]])
    assert ROIAlign((1, 1), 1.0, 2)(features, boxes).item() == pytest.approx(7.5)
    assert batched_nms(boxes[:, 1:], torch.ones(1), torch.zeros(1), 0.5).tolist() == [0]
    assert model_zoo.get_config("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml").MODEL.MASK_ON
    assert callable(pq_compute)


def test_an_ordinary_user_with_a_home():
    assert os.getuid() != 0 and os.access(os.path.expanduser("~"), os.W_OK)
    assert not os.access("/opt/lab", os.W_OK)


def test_opencv_can_open_windows():
    import cv2

    assert re.search(r"GUI:\s+QT", cv2.getBuildInformation())


def test_shared_memory_is_large_enough_for_workers():
    assert shutil.disk_usage("/dev/shm").total >= 1 << 30


def test_tcmalloc_is_there():
    import ctypes

    ctypes.CDLL("libtcmalloc_minimal.so.4")

"""The lab torchvision: its steps, the loops beside torchvision's operations, one image in all forms."""

from __future__ import annotations

import json
import random
import warnings

import numpy as np
import pytest
import torch
import torchvision
from labruns import newest, run_here, summary
from PIL import Image
from torchvision import ops

from labkit.runs import steps
from labkit.runs import then_and_now as versions
from labs.torchvision import figures, forms, lab, loops, then_and_now
from labs.torchvision.steps import GROUPS, SETUP

STEPS = [one for group in GROUPS for one in group.steps]


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("one", STEPS, ids=lambda one: one.name)
def test_a_step_gives_what_it_must(one):
    steps.check(one, SETUP)


def test_names_of_steps_are_their_own():
    assert len({one.name for one in STEPS}) == len(STEPS) == 70
    assert all(isinstance(one.name, str) and " " not in one.name and one.text.en and one.text.zh for one in STEPS)


@pytest.mark.parametrize("row", versions.kept(then_and_now.FILE), ids=lambda row: row["call"])
def test_a_row_of_then_and_now_is_true_here(row):
    here = torchvision.__version__.partition("+")[0]
    assert set(row) == {"call", *then_and_now.VERSIONS} and row["0.6.0"] != row["0.26.0"]
    assert versions.given(row["call"], SETUP) == row[here]


def test_the_kept_rows_are_the_calls():
    assert [row["call"] for row in versions.kept(then_and_now.FILE)] == list(then_and_now.CALLS)
    assert len(then_and_now.CALLS) >= 40


def some_boxes(count, generator):
    corners = torch.rand(count, 2, generator=generator) * 12
    return torch.cat([corners, corners + 0.5 + torch.rand(count, 2, generator=generator) * 9], dim=1)


@pytest.mark.parametrize("seed", range(20))
def test_loops_give_what_torchvision_gives(seed):
    generator = torch.Generator().manual_seed(seed)
    boxes, scores = some_boxes(15, generator), torch.rand(15, generator=generator)
    threshold = float(torch.rand(1, generator=generator))
    assert loops.nms(boxes, scores, threshold) == ops.nms(boxes, scores, threshold).tolist()
    classes = torch.randint(0, 3, (15,), generator=generator)
    kept = ops.boxes.batched_nms(boxes, scores, classes, threshold).tolist()
    assert loops.batched_nms(boxes, scores, classes, threshold) == kept
    assert np.allclose(loops.box_iou(boxes[:4], boxes), ops.box_iou(boxes[:4], boxes), atol=1e-6)
    features = torch.randn(2, 2, 6, 7, generator=generator)
    regions = torch.cat([torch.randint(0, 2, (3, 1), generator=generator).float(), some_boxes(3, generator)], dim=1)
    for scale in (0.25, 0.5, 1.0):
        aligned = ops.roi_align(features, regions, (3, 3), scale, 2)
        assert torch.allclose(loops.roi_align(features, regions, 3, scale, 2), aligned, atol=1e-5)
        assert torch.equal(loops.roi_pool(features, regions, 3, scale), ops.roi_pool(features, regions, (3, 3), scale))
    offset = torch.randn(1, 18, 5, 6, generator=generator) * 3
    image, weight = torch.randn(1, 2, 5, 6, generator=generator), torch.randn(3, 2, 3, 3, generator=generator)
    made = loops.deform_conv2d(image, offset, weight, 1)
    assert torch.allclose(made, ops.deform_conv2d(image, offset, weight, padding=1), atol=1e-4)


def test_twenty_operations_in_all_forms():
    results = forms.in_all_forms(figures.drawn_image())
    assert len(results) >= 20
    if not forms.MODERN:
        assert all(isinstance(made["tensor"], str) and made["v2 pil"] == "ImportError" for made in results.values())
        assert sum(not isinstance(made["pil"], str) for made in results.values()) == 18
        return
    far = {name: forms.apart(made["pil"], made["tensor"]) for name, made in results.items()}
    assert all(forms.apart(made["pil"], made["v2 pil"]) == "0" for made in results.values())
    assert far["rotate by 30"] == far["invert"] == far["equalize"] == "0"
    assert far["resize to half"].endswith(", 1") and far["grey"].endswith(", 1")  # rounded once, or twice
    assert float(far["resize, nearest"].split(",")[0]) > 1  # another pixel of the four


def test_how_far_two_results_are_apart():
    one = np.zeros((2, 2, 3), int)
    assert forms.apart(one, one) == "0" and forms.apart(one, one + np.eye(2, dtype=int)[:, :, None] * 4) == "2.00, 4"
    assert forms.apart(one, "TypeError") == "TypeError" and forms.apart(one, one[:1]) == "2 x 2 / 1 x 2"


def test_the_whole_lab_and_its_report(tmp_path):
    status, said = run_here(lab, ["--smoke"], tmp_path, tmp_path)
    assert status == 0, said
    folder = newest(lab, tmp_path)
    found = summary(folder)["metrics"]
    assert found["steps"] == len(STEPS) and (found["differ"] > 5) == forms.MODERN
    tables = [json.loads(path.read_text()) for path in sorted((folder / "tables").glob("group-*.json"))]
    assert sum(len(table["rows"]) for table in tables) == len(STEPS)
    assert {path.stem for path in (folder / "plots").glob("*.png")} == {"transforms", "suppression", "regions"}


@pytest.mark.parametrize("mode, size", [("RGB", (300, 200)), ("L", (1, 1)), ("RGBA", (40, 3)), ("I;16", (20, 20)), ("P", (9, 9))])
@pytest.mark.slow
def test_an_image_of_the_users_own(mode, size, tmp_path):
    path = tmp_path / "own.png"
    Image.new(mode, size, 200 if mode in ("L", "I;16", "P") else None).save(path)
    status, said = run_here(lab, ["--input", str(path)], tmp_path, tmp_path / "runs")
    assert status == 0, said
    assert (newest(lab, tmp_path / "runs") / "plots" / "transforms.png").exists()


def test_what_is_no_image_is_one_sentence(tmp_path):
    path = tmp_path / "own.png"
    path.write_bytes(random.Random(0).getrandbits(800).to_bytes(100, "big"))
    status, said = run_here(lab, ["--input", str(path)], tmp_path, tmp_path / "runs")
    assert status == 2 and "own.png" in said and "Traceback" not in said

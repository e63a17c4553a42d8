"""Which weights of detectron2's model zoo a command needs is known on the host, and they are fetched there."""

from __future__ import annotations

import pytest

from labkit.base.errors import UserError
from labkit.data import obtain, registry
from labkit.runs import options
from labs.detectron2 import zoo
from labs.detectron2.config import Config

MASK = "mask_rcnn_R_50_FPN_3x"


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ({"task": "demo", "config": MASK}, MASK),
        ({"task": "eval", "config": f"COCO-InstanceSegmentation/{MASK}"}, MASK),
        ({"task": "demo", "weights": "retinanet_R_50_FPN_3x"}, "retinanet_R_50_FPN_3x"),
        ({"task": "demo"}, ""),  # tiny: of this lab
        ({"task": "eval", "config": MASK, "weights": "latest"}, ""),
        ({"task": "train", "config": "mask_rcnn_R_50_C4_1x"}, "R-50"),
        ({"task": "all", "config": "scratch_mask_rcnn_R_50_FPN_3x_gn"}, ""),
        ({"task": "train", "config": MASK, "overrides": "MODEL.WEIGHTS none"}, ""),
        (
            {"task": "train", "config": "x", "overrides": "SOLVER.MAX_ITER 2 MODEL.WEIGHTS detectron2://a/R-50.pkl"},
            "R-50",
        ),
        ({"task": "train"}, ""),
    ],
)
def test_what_a_command_needs_of_it(words, part, tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_RUNS", str(tmp_path))
    assert options.downloads(Config(**words)) == ({zoo.NAME: (part,)} if part else {})


def test_a_lab_takes_what_was_fetched_and_fetches_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "data"))
    with pytest.raises(UserError) as caught:
        zoo.path("R-50")
    assert caught.value.next_command == "./inv data detectron2_weights --split=R-50"
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "R-50.pkl").write_bytes(b"weights")
    monkeypatch.setenv("LAB_MIRROR", (tmp_path / "mirror").as_uri())
    ((name, parts),) = options.downloads(Config(task="train", config="mask_rcnn_R_50_C4_1x")).items()
    obtain.ensure(name, wanted=registry.Wanted(parts))
    assert zoo.path("R-50").read_bytes() == b"weights"

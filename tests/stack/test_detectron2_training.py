"""The lab detectron2: its training beside a plain loop, which annotations count, and what its pictures show."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from labruns import Desk, assert_same_weights, title_of
from PIL import Image

from labkit.data import samples
from labs.detectron2 import configs, data, drawing, evaluation, inside, lab, training

QUICK = ["SOLVER.IMS_PER_BATCH", "1", "INPUT.MIN_SIZE_TRAIN", "(64,)", "SOLVER.WARMUP_ITERS", "2", "SOLVER.MAX_ITER", "3",
         "SOLVER.LR_SCHEDULER_NAME", "WarmupMultiStepLR"]  # fmt: skip


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    """The sample of COCO."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_DATA", str(tmp_path_factory.mktemp("data")))
        return samples.locate("coco", sample=True).path


def prepared(coco, tmp_path, overrides=()):
    """The config of three steps on the sample, and the names of its data sets."""
    cfg = configs.load("tiny", [*QUICK, *overrides])
    names = data.register(coco, cfg, tmp_path / "work")
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (names.train,), (names.val,)
    configs.fit(cfg, names.things, names.stuff, "cpu")
    return cfg, names


# ---- the training ----


@pytest.mark.parametrize("optimizer", ["AdamW", "SGD"])
def test_three_steps_are_those_of_a_plain_loop(optimizer, coco, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "LOG_EVERY", 1)
    looks = []

    def look(run, cfg, model, records, name, caption, threshold=0.5):
        looks.append((name, model.training, len(records)))

    monkeypatch.setattr(drawing, "show_predictions", look)
    cfg, names = prepared(coco, tmp_path, ["SOLVER.OPTIMIZER", optimizer])
    desk = Desk(seed=2)
    torch.manual_seed(5)
    model, found = training.train(cfg, desk, names)

    torch.manual_seed(5)
    reference = build_model(cfg)
    factor, norms = cfg.SOLVER.WARMUP_FACTOR, {id(p) for module in reference.modules() if isinstance(
        module, torch.nn.modules.batchnorm._BatchNorm) for p in module.parameters(recurse=False)}  # fmt: skip
    groups = [{"params": [p], "weight_decay": cfg.SOLVER.WEIGHT_DECAY_NORM if id(p) in norms else cfg.SOLVER.WEIGHT_DECAY}
              for p in reference.parameters() if p.requires_grad]  # fmt: skip
    if optimizer == "SGD":
        stepper = torch.optim.SGD(groups, lr=1.0, momentum=cfg.SOLVER.MOMENTUM, nesterov=cfg.SOLVER.NESTEROV)
    else:
        stepper = torch.optim.AdamW(groups, lr=1.0)
    rows = []
    stream = data.Stream(DatasetCatalog.get(names.train), data.DatasetMapper(cfg, is_train=True), 2)
    for step in range(3):
        share = min(1.0, step / cfg.SOLVER.WARMUP_ITERS)
        lr = cfg.SOLVER.BASE_LR * (factor * (1 - share) + share if share < 1 else 1.0)
        for group in stepper.param_groups:
            group["lr"] = lr
        with EventStorage(0):
            losses = reference([stream[step]])
        stepper.zero_grad()
        sum(losses.values()).backward()
        stepper.step()
        rows.append({"step": step + 1, "train_loss": float(sum(losses.values())),
                     **{name: float(value) for name, value in losses.items()}})  # fmt: skip
    assert [{name: value for name, value in row.items() if name != "lr"} for row in desk.logged] == [
        pytest.approx(row, rel=1e-3) for row in rows]  # fmt: skip
    assert_same_weights(model, reference, atol=1e-4)
    assert looks == [(f"step_{k:06}", False, 3) for k in (1, 2, 3)] and model.training
    assert found["images_per_second"] > 0


def test_an_image_without_objects_trains_nobody(coco, tmp_path):
    cfg, names = prepared(coco, tmp_path)
    loader = training.data.train_loader(cfg, 0, 1)
    assert len(loader) == 2 and all(len(batch) == 1 and len(batch[0]["instances"]) for batch in loader)
    first = [batch[0]["image_id"] for batch in training.data.train_loader(cfg, 0, 0)]
    assert [batch[0]["image_id"] for batch in loader] == first[1:]  # from the step on where it was stopped
    assert set(first) <= {row["image_id"] for row in DatasetCatalog.get(names.train)}


# ---- which annotations count ----


def with_run_lengths(coco, tmp_path, crowd):
    """Only the training part, in which an image has its objects as run lengths, crowds or things."""
    folder = tmp_path / "coco"
    (folder / "annotations").mkdir(parents=True)
    (folder / "train2017").symlink_to(coco / "train2017")
    content = json.loads((coco / "annotations" / "instances_train2017.json").read_text())
    number = content["annotations"][0]["image_id"]
    image = next(each for each in content["images"] if each["id"] == number)
    mask = np.zeros((image["height"], image["width"]), np.uint8)
    mask[10:40, 10:50] = 1
    runs = data.rle.encode(np.asfortranarray(mask))
    for row in content["annotations"]:
        if row["image_id"] == number:
            row.update(iscrowd=int(crowd), segmentation={"size": runs["size"], "counts": str(runs["counts"], "ascii")},
                       bbox=[10, 10, 40, 30], area=1200)  # fmt: skip
    (folder / "annotations" / "instances_train2017.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("crowd", [True, False])
def test_run_lengths_of_a_thing_make_masks_of_bits_and_those_of_a_crowd_do_not(crowd, coco, tmp_path):
    cfg = configs.load("tiny", [])
    data.register(with_run_lengths(coco, tmp_path, crowd), cfg, tmp_path / "work")
    assert ("polygon" if crowd else "bitmask") == cfg.INPUT.MASK_FORMAT
    for name in ("lab_train", "lab_val"):
        for record in DatasetCatalog.get(name)[:3]:
            data.DatasetMapper(cfg, is_train=True)(record)  # which polygons of run lengths would not survive


def test_a_crowd_neither_counts_as_missed_nor_makes_a_pair():
    def instances(*corners):
        return Instances((40, 40), pred_boxes=Boxes(torch.tensor(corners).reshape(-1, 4)), scores=torch.full((len(corners),), 0.9),
                         pred_classes=torch.zeros(len(corners)).long())  # fmt: skip

    thing, crowd = {"bbox": [0, 0, 10, 10], "category_id": 0}, {"bbox": [20, 20, 10, 10], "category_id": 0, "iscrowd": 1}
    truth = {"height": 40, "width": 40, "annotations": [thing, crowd]}
    assert evaluation.instance_quality(truth, instances([0.0, 0, 10, 10])) == 1
    assert evaluation.instance_quality(truth, instances([0.0, 0, 10, 10], [20.0, 20, 30, 30])) == pytest.approx(1 / 1.5)
    assert evaluation.instance_quality({**truth, "annotations": [crowd]}, instances()) == 1
    assert evaluation.instance_quality({**truth, "annotations": [crowd]}, instances([0.0, 0, 10, 10])) == 0
    assert evaluation.instance_quality({**truth, "annotations": [{**thing, "category_id": 1}]}, instances([0.0, 0, 10, 10])) == 0


# ---- what is shown ----


def numbered(folder, count):
    """Images that are as bright as their number says, as a data set of detectron2's."""
    records = []
    for k in range(count):
        path = folder / f"{k}.png"
        cv2.imwrite(str(path), np.full((30, 40, 3), 20 * k, np.uint8))
        records.append({"file_name": str(path), "image_id": 100 + k, "height": 30, "width": 40, "annotations": []})
    return records


@pytest.fixture
def as_it_is(monkeypatch):
    """Nothing is found and nothing drawn: each image is shown as it was read."""
    monkeypatch.setattr(drawing, "predict", lambda cfg, model, image: {})
    monkeypatch.setattr(drawing, "draw", lambda image, found, meta, threshold: image[:, :, ::-1])


def brightness(axis):
    return int(np.asarray(axis.images[0].get_array()).mean() / 20 + 0.5)


def test_the_best_and_the_worst_images_stand_under_their_names_in_order(tmp_path, as_it_is):
    cfg, desk = configs.load("tiny", []), Desk()
    records = numbered(tmp_path, 7)
    if "extremes" not in DatasetCatalog.list():
        DatasetCatalog.register("extremes", lambda: records)
    cfg.DATASETS.TEST = ("extremes",)
    quality = dict(zip(range(100, 107), (0.5, 0.9, 0.1, 0.7, 0.3, 1.0, 0.2)))
    evaluation.show_extremes(desk, cfg, None, quality)
    for name, wanted in (("worst", (2, 6, 4)), ("best", (5, 1, 3))):
        axes = [axis for axis in desk.figures[name].axes if axis.images]
        assert [brightness(axis) for axis in axes] == list(wanted)
        assert [title_of(axis) for axis in axes] == [f"{k}.png: quality {quality[100 + k]:.2f}" for k in wanted]


def test_each_image_stands_under_its_own_name(tmp_path, as_it_is):
    cfg, desk = configs.load("tiny", []), Desk()
    cfg.DATASETS.TEST = ("of no data",)
    drawing.show_predictions(desk, cfg, None, numbered(tmp_path, 5), "found", "caption")
    axes = [axis for axis in desk.figures["found"].axes if axis.images]
    assert [(title_of(axis), brightness(axis)) for axis in axes] == [(f"{k}.png", k) for k in range(5)]


def test_the_tables_have_each_number_under_its_heading():
    desk = Desk()
    names = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR", "ARs", "ARm", "ARl")
    box = {**{name: 10.0 + k for k, name in enumerate(names)}, "AP-cat": 1.25, "AP-dog": float("nan")}
    mask = {**{name: 30.0 + k for k, name in enumerate(names)}, "AP-cat": 2.5, "AP-dog": -1.0}
    panoptic = {f"{name}{ending}": 50.0 + 10 * i + j for i, ending in enumerate(("", "_th", "_st")) for j, name in enumerate(("PQ", "SQ", "RQ"))}
    semantic = {"pACC": 1.0, "mACC": 2.0, "mIoU": 3.0, "fwIoU": 4.0, "IoU-sky": 5.0}
    evaluation.show_tables(desk, {"bbox": box, "segm": mask, "panoptic_seg": panoptic, "sem_seg": semantic})
    assert desk.tables["ap"] == [["box", *(f"{10 + k}.0" for k in range(10))], ["mask", *(f"{30 + k}.0" for k in range(10))]]
    assert desk.tables["ap_by_category"] == [["cat", "1.2", "2.5"], ["dog", "-", "-"]]
    assert desk.tables["pq"] == [["all", "50.0", "51.0", "52.0"], ["things", "60.0", "61.0", "62.0"], ["stuff", "70.0", "71.0", "72.0"]]
    assert desk.tables["semantic"] == [["pixel accuracy", "1.0"], ["mean accuracy", "2.0"], ["mean IoU", "3.0"],
                                       ["frequency weighted IoU", "4.0"], ["IoU of sky", "5.0"]]  # fmt: skip


def test_the_quality_of_a_semantic_image_is_the_share_of_judged_pixels(tmp_path, monkeypatch):
    truth = np.array([[0, 1, 2, 255], [1, 1, 2, 255]], np.uint8)
    Image.fromarray(truth).save(str(tmp_path / "ground.png"))
    guess = np.array([[0, 1, 1, 0], [1, 1, 2, 0]])
    monkeypatch.setattr(evaluation, "records", lambda cfg: [{"image_id": 4, "sem_seg_file_name": str(tmp_path / "ground.png")}])
    watch = evaluation.Watch(None, Desk())
    watch.process([{"image_id": 4}], [{"sem_seg": torch.from_numpy(np.eye(3)[guess].transpose(2, 0, 1))}])
    assert watch.quality == {4: pytest.approx(5 / 6)}


def test_the_stages_stand_in_their_order_with_their_boxes(monkeypatch):
    """Boxes from (x0, y0) to (x1, y1), the best first, in an image whose rows go down."""
    cfg, desk = configs.load("tiny", ["MODEL.DEVICE", "cpu"]), Desk()
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    image = np.full((60, 80, 3), 90, np.uint8)
    anchors = [torch.tensor([[0.0, 0, 10, 10], [35, 25, 45, 35]]), torch.tensor([[20.0, 10, 60, 50], [50.0, 40, 80, 60]])]
    proposals = torch.tensor([[0.0, 0, 20, 30], [1, 1, 20, 30], [40, 10, 70, 50]])
    found = Instances((60, 80), pred_boxes=Boxes(torch.tensor([[2.0, 3, 22, 33], [41, 11, 71, 51]])), scores=torch.tensor([0.9, 0.2]))
    stages = inside.Stages(image, anchors, proposals, torch.tensor([0.9, 0.8, 0.05]), torch.zeros(3), [0, 2], found)
    monkeypatch.setattr(inside, "stages", lambda cfg, model, image: stages)
    monkeypatch.setattr(drawing, "read", lambda path: image)
    inside.show(desk, cfg, model, "x.jpg", 0.5)
    axes = desk.figures["inside"].axes
    assert [title_of(axis) for axis in axes] == ["an anchor of each level", "the best 40 proposals", "what suppression leaves",
                                                   "found, score 0.5 or more"]  # fmt: skip
    drawn = [[(*patch.get_xy(), patch.get_width(), patch.get_height()) for patch in axis.patches] for axis in axes]
    assert drawn == [[(35, 25, 10, 10), (20, 10, 40, 40)], [(0, 0, 20, 30), (1, 1, 19, 29), (40, 10, 30, 40)],
                     [(0, 0, 20, 30), (40, 10, 30, 40)], [(2, 3, 20, 30)]]  # fmt: skip
    assert [patch.get_alpha() for patch in axes[1].patches] == pytest.approx([0.9, 0.8, 0.15])
    assert [row[1] for row in desk.tables["inside"]] == [4, 3, 2, 1]
    assert all(axis.yaxis_inverted() for axis in axes)


def test_what_is_drawn_goes_to_files_and_counts(tmp_path, monkeypatch):
    cfg, desk = configs.load("tiny", []), Desk()
    desk.folder = tmp_path / "run"
    desk.folder.mkdir()
    records = numbered(tmp_path, 3)
    scores = iter(([0.9, 0.6, 0.1], [0.2], [0.5]))
    monkeypatch.setattr(drawing, "predict", lambda cfg, model, image: {"instances": Instances((30, 40), scores=torch.tensor(next(scores)))})
    monkeypatch.setattr(drawing, "draw", lambda image, found, meta, threshold: np.stack([image[:, :, 0], image[:, :, 1] // 2, image[:, :, 2] // 4], 2))
    inputs = drawing.Inputs(",".join(record["file_name"] for record in records), 1)
    found = drawing.demo(desk, cfg, torch.nn.Identity(), MetadataCatalog.get("of no data"), inputs, 0.5)
    assert found == {"images": 3, "objects": 3, "skipped": 0}
    axes = [axis for axis in desk.figures["demo"].axes if axis.images]
    assert [title_of(axis) for axis in axes] == ["0.png: 2 found", "1.png: 0 found", "2.png: 1 found"]
    written = np.asarray(Image.open(str(desk.folder / "images" / "2.png")))
    assert written[0, 0].tolist() == [40, 20, 10]  # RGB, as it was drawn


def test_the_whole_lab_does_its_tasks_in_order():
    assert lab.Config().tasks == ("train", "eval", "demo") and lab.Config(task="eval").tasks == ("eval",)
    assert lab.Config(input="webcam").tasks == ("demo",)

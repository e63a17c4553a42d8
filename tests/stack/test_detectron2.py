"""The lab detectron2: whole runs as a user starts them, its measures against pycocotools, panopticapi and plain loops."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import torch
import torchvision
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import COCOPanopticEvaluator, SemSegEvaluator
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from PIL import Image
from pycocotools import mask as masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from labkit.base.errors import UserError
from labkit.base.paths import ROOT
from labkit.data import samples
from labkit.runs import compat
from labs.detectron2 import configs, data, drawing, evaluation, inside, lab, weights

QUICK = ["SOLVER.IMS_PER_BATCH", "1", "INPUT.MIN_SIZE_TRAIN", "(64,)", "SOLVER.WARMUP_ITERS", "1"]
STEPS = 10


def places(runs, folder):
    return {"PYTHONPATH": str(ROOT), "LAB_DATA": str(folder), "LAB_RUNS": str(runs), "LAB_VISDOM_PORT": "1"}


def launch(arguments, folder, runs):
    command = [sys.executable, str(ROOT / "labs" / "detectron2" / "lab.py"), *arguments]
    return subprocess.Popen(command, env={**os.environ, **places(runs, folder)}, stderr=subprocess.PIPE, text=True)


def run_here(arguments, folder, runs):
    """The lab in this process, which spares its start: (exit status, what it said)."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(said):
        for name, value in places(runs, folder).items():
            patch.setenv(name, value)
        with pytest.raises(SystemExit) as left:
            lab.start(lab.main, lab.Config, lab.PRESETS, list(arguments))
    return left.value.code, said.getvalue()


def newest(runs):
    return max((runs / "detectron2").glob("*"), default=runs / "none")


def table(folder, name):
    return json.loads((folder / "tables" / f"{name}.json").read_text())["rows"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The data folder of all runs, with the sample of COCO drawn; (LAB_DATA, the sample's folder)."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_DATA", str(folder))
        return folder, samples.locate("coco", sample=True).path


@pytest.fixture(scope="module")
def smoke(drawn, tmp_path_factory):
    """The folder of a smoke run: train, evaluate and demo."""
    runs = tmp_path_factory.mktemp("smoke")
    process = launch(["--smoke"], drawn[0], runs)
    _, said = process.communicate()
    assert process.returncode == 0, said
    return newest(runs)


# ---- whole runs ----


def test_the_smoke_run_learns_and_its_ap_is_pycocotools_own(smoke):
    for name in ("config.yaml", "eval.json", "report.html", "plots/best.png", "plots/worst.png", "plots/demo.png",
                 "plots/step_000040.png", "checkpoints/last.pt"):  # fmt: skip
        assert (smoke / name).stat().st_size > 0, name
    results = json.loads((smoke / "eval.json").read_text())
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(smoke / "data" / "val" / "instances.json"))
        found = truth.loadRes(str(smoke / "evaluation" / "coco_instances_results.json"))
        for kind in ("bbox", "segm"):
            judge = COCOeval(truth, found, kind)
            judge.evaluate()
            judge.accumulate()
            judge.summarize()
            assert [results[kind][key] for key in ("AP", "AP50", "AP75")] == pytest.approx((100 * judge.stats[:3]).tolist())
            sizes = [(results[kind][key], judge.stats[8 + k]) for k, key in enumerate(("AR", "ARs", "ARm", "ARl"))]
            assert all(ours is None if theirs < 0 else ours == 100 * theirs for ours, theirs in sizes), sizes
            for k, number in enumerate(judge.params.catIds):  # precision: (thresholds, recalls, categories, areas, limits)
                precision = judge.eval["precision"][:, :, k, 0, -1]
                name = truth.cats[number]["name"]
                assert results[kind][f"AP-{name}"] == pytest.approx(100 * precision[precision > -1].mean())
    assert results["segm"]["AP"] > 1
    assert [row[0] for row in table(smoke, "ap")] == ["box", "mask"]
    assert [row[0] for row in table(smoke, "ap_by_category")] == ["ball", "box", "tent"]


@pytest.mark.slow
def test_killed_and_resumed_it_ends_with_the_same_bits(drawn, tmp_path):
    arguments = ["--task", "train", "--sample", *QUICK, "SOLVER.MAX_ITER", str(STEPS)]
    status, said = run_here(arguments, drawn[0], tmp_path / "whole")
    assert status == 0, said
    process = launch([*arguments[:3], "--save-every", "0", *arguments[3:]], drawn[0], tmp_path / "killed")
    path, step = None, 0
    while process.poll() is None and step < 3:
        time.sleep(0.02)
        path = newest(tmp_path / "killed") / "checkpoints" / "last.pt"
        step = compat.load(path)["step"] if path.exists() else 0
    process.kill()
    process.communicate()
    assert 3 <= compat.load(path)["step"] < STEPS
    status, said = run_here(["--resume=latest"], drawn[0], tmp_path / "killed")
    assert status == 0 and "resumed:" in said, said
    whole, resumed = newest(tmp_path / "whole"), newest(tmp_path / "killed")
    assert (whole / "metrics.jsonl").read_bytes() == (resumed / "metrics.jsonl").read_bytes()
    one, other = (compat.load(folder / "checkpoints" / "last.pt")["state"]["model"] for folder in (whole, resumed))
    assert set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


def test_eval_repeats_the_numbers_and_demo_draws_images_of_the_users_own(smoke, drawn, tmp_path):
    status, said = run_here(["--task=eval", "--sample", f"--weights={smoke}"], drawn[0], tmp_path)
    assert status == 0, said
    assert json.loads((newest(tmp_path) / "eval.json").read_text()) == json.loads((smoke / "eval.json").read_text())
    mine = tmp_path / "my images"
    mine.mkdir()
    for name in ("000000000121.jpg", "000000000122.jpg"):
        (mine / name).write_bytes((drawn[1] / "val2017" / name).read_bytes())
    (mine / "broken.jpg").write_bytes(b"\xff\xd8 broken")
    film = cv2.VideoWriter(str(tmp_path / "film.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 5.0, (160, 120))
    for name in ("000000000121.jpg", "000000000122.jpg", "000000000121.jpg"):
        film.write(cv2.imread(str(drawn[1] / "val2017" / name)))
    film.release()
    for given, images, skipped in ((mine, 2, 1), (f"{mine / '000000000121.jpg'},{mine}", 3, 1), (tmp_path / "film.avi", 3, 0)):
        status, said = run_here([f"--input={given}", f"--weights={smoke}", "--threshold=0.1"], drawn[0], tmp_path)
        assert status == 0, said
        metrics = json.loads((newest(tmp_path) / "summary.json").read_text())["metrics"]
        assert (metrics["images"], metrics["skipped"]) == (images, skipped) and metrics["objects"] >= 2
        assert ("1 files are no images and were skipped: broken.jpg" in said) == bool(skipped)
        image = cv2.imread(str(next((newest(tmp_path) / "images").glob("*.png"))))
        assert min(image.shape[:2]) == 480
    assert (newest(tmp_path) / "images" / "demo.mp4").stat().st_size > 0


def test_every_input_has_a_drawing_of_its_own(smoke, drawn, tmp_path):
    mine = tmp_path / "mine"
    (mine / "sub").mkdir(parents=True)
    image = cv2.imread(str(drawn[1] / "val2017" / "000000000121.jpg"))
    for name in ("street.jpg", "street.png", "sub/street.jpg"):
        cv2.imwrite(str(mine / name), image)
    for name, side in (("a/film.avi", 160), ("b/film.avi", 120)):
        (tmp_path / name).parent.mkdir()
        film = cv2.VideoWriter(str(tmp_path / name), cv2.VideoWriter_fourcc(*"MJPG"), 5.0, (side, 120))
        film.write(cv2.resize(image, (side, 120)))
        film.release()
    given = ",".join(str(path) for path in (mine, mine / "sub", tmp_path / "a" / "film.avi", tmp_path / "b" / "film.avi"))
    status, said = run_here([f"--input={given}", f"--weights={smoke}", "--frames=3"], drawn[0], tmp_path)
    assert status == 0 and "demo: 5 images" in said, said
    made = newest(tmp_path) / "images"
    assert sorted(path.name for path in made.iterdir()) == [
        "a-film.avi-film-00000.png.png", "a-film.avi.mp4", "b-film.avi-film-00000.png.png", "b-film.avi.mp4",
        "mine-street.jpg.png", "street.png.png", "sub-street.jpg.png"]  # fmt: skip
    for name in ("a-film.avi.mp4", "b-film.avi.mp4"):
        assert cv2.VideoCapture(str(made / name)).read()[0], name


def test_images_and_a_task_that_would_not_look_at_them_are_refused(drawn, tmp_path):
    for task in ("all", "train", "eval"):
        status, said = run_here(["--sample", f"--task={task}", "--input=webcam"], drawn[0], tmp_path)
        assert status == 2 and f"{task} works with the data set and would not look at it" in said, said
        assert "next: ./inv detectron2.demo --input webcam" in said
    assert not list((tmp_path / "detectron2").glob("*"))


@pytest.mark.parametrize("config", ["tiny_panoptic", "tiny_semantic"])
def test_panoptic_and_semantic_runs_are_complete(config, drawn, tmp_path):
    nothing = ["MODEL.ROI_HEADS.SCORE_THRESH_TEST", "1.0"]  # no object is surer than that
    arguments = ["--sample", "--config", config, *QUICK, "SOLVER.MAX_ITER", "2", *nothing]
    status, said = run_here(arguments, drawn[0], tmp_path)
    assert status == 0, said
    folder = newest(tmp_path)
    semantic = dict(table(folder, "semantic"))
    assert {"pixel accuracy", "mean accuracy", "mean IoU", "frequency weighted IoU", "IoU of sky"} <= set(semantic)
    assert ("panoptic_seg" in json.loads((folder / "eval.json").read_text())) == (config == "tiny_panoptic")
    metrics = json.loads((folder / "summary.json").read_text())["metrics"]
    if config == "tiny_panoptic":
        assert metrics["box_AP"] == metrics["mask_AP"] == 0 and "finds nothing in the validation images" in said
    status, said = run_here(["--input", str(drawn[1] / "val2017" / "000000000121.jpg"), "--config", config], drawn[0], tmp_path)
    assert status == 0 and "trained on the sample" in said, said


# ---- data ----


def copy_of(source, target, change):
    """The sample with its instances changed, in COCO's layout; only the training part."""
    (target / "annotations").mkdir(parents=True)
    (target / "train2017").symlink_to(source / "train2017")
    content = json.loads((source / "annotations" / "instances_train2017.json").read_text())
    change(content)
    (target / "annotations" / "instances_train2017.json").write_text(json.dumps(content))
    return target


def test_one_split_alone_is_cut_and_its_images_are_never_in_both(drawn, tmp_path):
    folder = copy_of(drawn[1], tmp_path / "coco", lambda content: None)
    names = data.register(folder, configs.load("tiny", []), tmp_path / "work")
    train, val = ({row["file_name"] for row in DatasetCatalog.get(name)} for name in (names.train, names.val))
    assert (len(train), len(val), len(train & val)) == (96, 24, 0) and names.things == ["ball", "box", "tent"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: content["annotations"].clear(), "hold not one object"),
        (lambda content: content["images"][3].update(file_name="gone.jpg"), "name 1 images that are not in"),
        (lambda content: content["annotations"][0].update(image_id=10**9), "does not fit together: 1 annotations"),
        (lambda content: content.pop("categories"), "has no list of categories"),
    ],
)
def test_annotations_that_do_not_fit_are_refused(change, reason, drawn, tmp_path):
    folder = copy_of(drawn[1], tmp_path / "coco", change)
    with pytest.raises(UserError, match=reason):
        data.register(folder, configs.load("tiny", []), tmp_path / "work")


@pytest.mark.parametrize("common", [0, 3])
def test_instances_are_taken_from_panoptic_masks_where_some_images_have_no_others(common, drawn, tmp_path, capfd):
    def leave_few_and_one_that_is_elsewhere(content):
        there = sorted({row["image_id"] for row in content["annotations"]})[:common]
        content["images"][:] = [each for each in content["images"] if each["id"] in there] + [
            {**content["images"][0], "id": 10**6}]  # fmt: skip
        content["annotations"][:] = [row for row in content["annotations"] if row["image_id"] in there]

    folder = copy_of(drawn[1], tmp_path / "coco", leave_few_and_one_that_is_elsewhere)
    for name in ("annotations/panoptic_train2017.json", "panoptic_train2017"):
        (folder / name).symlink_to(drawn[1] / name)
    names = data.register(folder, configs.load("tiny_panoptic", []), tmp_path / "work")
    assert "the instances of all are taken from the masks" in capfd.readouterr().err
    assert names.things == ["ball", "box", "tent"]
    taken = [row for part in ("train", "val")
             for row in json.loads((tmp_path / "work" / part / "instances.json").read_text())["annotations"]]  # fmt: skip
    assert [masks.area(row["segmentation"]) for row in taken] == [row["area"] for row in taken]
    published = json.loads((drawn[1] / "annotations" / "instances_train2017.json").read_text())["annotations"]
    ours, theirs = (sorted((row["image_id"], row["category_id"], row["area"], row["bbox"]) for row in rows)
                    for rows in (taken, published))  # fmt: skip
    assert ours == theirs


def test_what_stands_at_a_position_follows_from_the_seed_alone():
    records = [{"number": k} for k in range(10)]

    def draw(record):
        return {**record, "chance": float(np.random.rand())}

    stream, again = (data.Stream(records, draw, seed=3) for _ in range(2))
    forward = [stream[position] for position in range(30)]
    assert [again[position] for position in (25, 3, 14)] == [forward[position] for position in (25, 3, 14)]
    for epoch in range(3):
        assert sorted(row["number"] for row in forward[10 * epoch : 10 * epoch + 10]) == list(range(10))
    assert [row["number"] for row in forward[:10]] != [row["number"] for row in forward[10:20]]


# ---- measures on constructed cases ----


def test_pq_is_its_definition(tmp_path):
    """Two things and two stuffs in an image of 10 x 10: sum of IoU / (TP + FP / 2 + FN / 2), class by class."""
    truth, guess = np.zeros((10, 10), int), np.zeros((10, 10), int)
    truth[:5], truth[5:], truth[1:4, 1:4], truth[1:4, 6:9] = 1, 2, 3, 4
    guess[:6], guess[6:], guess[1:4, 1:3], guess[7:9, 7:9] = 1, 2, 3, 4  # half of the first thing, the second elsewhere
    kinds = {1: 20, 2: 21, 3: 5, 4: 5}
    rgb = np.zeros((10, 10, 3), np.uint8)
    rgb[..., 0] = truth
    (tmp_path / "truth").mkdir()
    Image.fromarray(rgb).save(str(tmp_path / "truth" / "1.png"))
    segments = [{"id": k, "category_id": kinds[k], "iscrowd": 0, "area": int((truth == k).sum())} for k in kinds]
    categories = [{"id": k, "name": str(k), "isthing": int(k == 5)} for k in (5, 20, 21)]
    (tmp_path / "truth.json").write_text(json.dumps({"images": [{"id": 1}], "categories": categories, "annotations": [
        {"image_id": 1, "file_name": "1.png", "segments_info": segments}]}))  # fmt: skip
    MetadataCatalog.get("constructed").set(
        thing_dataset_id_to_contiguous_id={5: 0}, stuff_dataset_id_to_contiguous_id={0: 0, 20: 1, 21: 2},
        panoptic_json=str(tmp_path / "truth.json"), panoptic_root=str(tmp_path / "truth"),
    )  # fmt: skip
    judge = COCOPanopticEvaluator("constructed", str(tmp_path / "out"))
    judge.reset()
    infos = [{"id": k, "isthing": kinds[k] == 5, "category_id": {20: 1, 21: 2, 5: 0}[kinds[k]]} for k in kinds]
    judge.process([{"file_name": "1.jpg", "image_id": 1}], [{"panoptic_seg": (torch.from_numpy(guess.astype("int32")), infos)}])
    got = judge.evaluate()["panoptic_seg"]

    def iou(k):
        return ((truth == k) & (guess == k)).sum() / ((truth == k) | (guess == k)).sum()

    assert iou(1) > 0.5 and iou(2) > 0.5 and iou(3) > 0.5 and iou(4) == 0
    things = iou(3) / (1 + 0.5 + 0.5)
    assert got["PQ_th"] == pytest.approx(100 * things) and got["SQ_th"] == pytest.approx(100 * iou(3))
    assert got["RQ_th"] == pytest.approx(50)
    assert got["PQ_st"] == pytest.approx(50 * (iou(1) + iou(2)))
    assert got["PQ"] == pytest.approx(100 * (things + iou(1) + iou(2)) / 3)


def test_semantic_measures_are_their_definitions(tmp_path):
    random = np.random.RandomState(0)
    truth, guess = random.randint(0, 3, (2, 8, 9))
    truth[0] = 255  # not judged
    Image.fromarray(truth.astype(np.uint8)).save(str(tmp_path / "ground.png"))
    DatasetCatalog.register("ground", lambda: [{"file_name": "a.jpg", "sem_seg_file_name": str(tmp_path / "ground.png")}])
    MetadataCatalog.get("ground").set(stuff_classes=["things", "sky", "grass"], ignore_label=255)
    judge = SemSegEvaluator("ground", False, None)
    judge.reset()
    judge.process([{"file_name": "a.jpg"}], [{"sem_seg": torch.from_numpy(np.eye(3)[guess].transpose(2, 0, 1))}])
    got = judge.evaluate()["sem_seg"]
    judged = truth != 255
    hits = [((truth == k) & (guess == k)).sum() for k in range(3)]
    of_class = [(truth == k).sum() for k in range(3)]
    iou = [hit / ((truth == k) | ((guess == k) & judged)).sum() for k, hit in enumerate(hits)]
    assert got["pACC"] == pytest.approx(100 * sum(hits) / judged.sum())
    assert got["mACC"] == pytest.approx(100 * np.mean([hit / count for hit, count in zip(hits, of_class)]))
    assert got["mIoU"] == pytest.approx(100 * np.mean(iou))
    assert got["fwIoU"] == pytest.approx(100 * np.dot(iou, of_class) / judged.sum())


def test_the_quality_of_an_image_is_a_pq_of_its_instances():
    def square(x, side=10):
        mask = np.zeros((40, 40), bool)
        mask[5 : 5 + side, x : x + side] = True
        return mask

    def truth(*squares):
        encoded = [masks.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in squares]
        rows = [{"segmentation": each, "category_id": 0, "bbox": [0, 0, 1, 1]} for each in encoded]
        return {"height": 40, "width": 40, "annotations": rows}

    def found(squares, scores):
        return Instances((40, 40), pred_masks=torch.from_numpy(np.array(squares)), scores=torch.tensor(scores),
                         pred_classes=torch.zeros(len(scores), dtype=torch.long), pred_boxes=Boxes(torch.zeros(len(scores), 4)))  # fmt: skip

    assert evaluation.instance_quality(truth(square(0)), found([square(0)], [0.9])) == 1
    assert evaluation.instance_quality(truth(square(0), square(20)), found([square(0)], [0.9])) == pytest.approx(1 / 1.5)
    assert evaluation.instance_quality(truth(square(0)), found([square(0), square(0)], [0.9, 0.8])) == pytest.approx(1 / 1.5)
    assert evaluation.instance_quality(truth(square(0)), found([square(2)], [0.9])) == pytest.approx(8 / 12)
    assert evaluation.instance_quality(truth(square(0)), found([square(0)], [0.4])) == 0
    assert evaluation.instance_quality(truth(), found([square(0)], [0.4])) == 1


# ---- configs and weights ----


def test_the_learning_rate_follows_the_batch_unless_it_is_given():
    zoo = configs.load("mask_rcnn_R_50_FPN_1x", [])
    tiny = configs.load("tiny", ["SOLVER.IMS_PER_BATCH", "2"])
    assert zoo.SOLVER.IMS_PER_BATCH == tiny.SOLVER.IMS_PER_BATCH == 2
    assert pytest.approx([0.02 * 2 / 16, 0.0015 / 2]) == [zoo.SOLVER.BASE_LR, tiny.SOLVER.BASE_LR]
    given = configs.load("tiny", ["SOLVER.IMS_PER_BATCH", "2", "SOLVER.BASE_LR", "0.3"])
    assert (given.SOLVER.IMS_PER_BATCH, given.SOLVER.BASE_LR) == (2, 0.3)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--config=tinny"], "there is no tinny; did you mean tiny"),
        (["--config=xyz"], "there is no xyz; mask_rcnn_R_50_FPN_3x and the like, or tiny"),
        (["SOLVER.BASE_LRR", "1"], "detectron2 has no setting SOLVER.BASE_LRR; did you mean SOLVER.BASE_LR"),
        (["SOLVER.BASE_LR"], "KEY VALUE pairs, and SOLVER.BASE_LR has no value"),
        (["SOLVER.MAX_ITER", "many"], "SOLVER.MAX_ITER cannot be many"),
        (["--task=eval", "--weights=nothing"], "nothing is neither a file, nor a run, nor in the model zoo"),
        (["--task=eval", "--config=retinanet_R_101_FPN_3x"], "no network has been trained with --config retinanet_R_101_FPN_3x yet"),
        (["--input=nowhere.jpg"], "there is no file nowhere.jpg"),
        (["--config=Misc/mask_rcnn_R_50_FPN_1x_dconv_c3-c5", "MODEL.WEIGHTS", "x.pkl"], "of which no hash is known"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(arguments, reason, drawn, tmp_path):
    status, said = run_here(["--sample", *arguments], drawn[0], tmp_path)
    assert status == 2 and reason in said and "Traceback" not in said, said
    assert not list((tmp_path / "detectron2").glob("*"))


def test_too_little_memory_says_what_to_lower(drawn, tmp_path, monkeypatch):
    monkeypatch.setattr(lab.training, "train", lambda *arguments: torch.empty(10**15))
    status, said = run_here(["--sample", "--task=train"], drawn[0], tmp_path)
    assert status == 2 and "out of memory: lower SOLVER.IMS_PER_BATCH" in said and "Traceback" not in said, said


def test_weights_of_the_zoo_s_format_are_read_and_nothing_in_them_runs(smoke, drawn, tmp_path):
    state = compat.load(smoke / "checkpoints" / "last.pt")["state"]
    arrays = {name: value.numpy() for name, value in state["model"].items()}
    zoo, evil = tmp_path / "zoo.pkl", tmp_path / "evil.pkl"
    zoo.write_bytes(pickle.dumps({"model": arrays, "__author__": "somebody"}, protocol=2))
    cfg = weights.config_of(state)
    model = build_model(cfg)
    weights.load(model, zoo, whole=True)
    assert all(torch.equal(value, state["model"][name]) for name, value in model.state_dict().items())
    evil.write_bytes(pickle.dumps({"model": os.system, "__author__": "somebody"}))
    with pytest.raises(UserError, match=r"posix\.system"):
        weights.load(model, evil, whole=True)
    other = build_model(configs.load("tiny", ["MODEL.FPN.OUT_CHANNELS", "32", "MODEL.DEVICE", "cpu"]))
    with pytest.raises(UserError, match="of another architecture"):
        weights.load(other, zoo, whole=True)
    weights.load(other, zoo, whole=False)


MODELS = {
    "COCO-Detection/faster_rcnn_R_50_FPN_1x": [],
    "COCO-InstanceSegmentation/mask_rcnn_R_50_C4_1x": [],
    "COCO-Detection/retinanet_R_50_FPN_1x": [],
    "Misc/cascade_mask_rcnn_R_50_FPN_1x": [],
    "COCO-Keypoints/keypoint_rcnn_R_50_FPN_1x": [],
    "COCO-PanopticSegmentation/panoptic_fpn_R_50_1x": [],
}


@pytest.mark.parametrize("name", MODELS)
def test_models_of_the_zoo_find_something_in_an_image(name):
    """Built with all their operators; the weights are random, so only that there is an answer counts."""
    cfg = configs.load(name, ["MODEL.DEVICE", "cpu", "MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.0"])
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    with torch.no_grad():
        (found,) = model([{"image": torch.rand(3, 64, 64) * 255, "height": 64, "width": 64}])
    assert set(found) >= ({"panoptic_seg", "sem_seg"} if "panoptic" in name else {"instances"})


def test_what_is_not_compiled_says_so_in_one_sentence():
    from detectron2.structures import RotatedBoxes, pairwise_iou_rotated

    boxes = RotatedBoxes(torch.tensor([[5.0, 5.0, 4.0, 2.0, 30.0]]))
    with pytest.raises(NotImplementedError, match=r"\./inv config set detectron2 WHEEL"):
        pairwise_iou_rotated(boxes, boxes)


def test_what_our_own_wheel_mends_for_the_users_own_code():
    """Found by detectron2's own tests on this Python and this PyTorch."""
    from detectron2.data import MapDataset
    from detectron2.engine import hooks
    from detectron2.utils.collect_env import collect_env_info

    mapped = MapDataset([1, 2, 3], lambda number: number * 2 if number > 1 else None)
    assert mapped[1] == 4 and mapped[0] in (4, 6)
    assert "Python alone" in collect_env_info()  # with which default_setup of every training script begins
    layer = torch.nn.Linear(1, 1)
    scheduler = torch.optim.lr_scheduler.StepLR(torch.optim.SGD(layer.parameters(), 0.1), 3)
    assert hooks.LRScheduler(scheduler=scheduler).state_dict()["last_epoch"] == 0


@pytest.mark.parametrize("size", [(1, 400), (400, 1), (2, 3), (600, 800)])
def test_a_strip_is_not_drawn_larger_than_fits(size):
    image = np.full((*size, 3), 90, np.uint8)
    found = {"sem_seg": torch.zeros(2, *size)}
    drawn_one = drawing.draw(image, found, MetadataCatalog.get("of no data").set(stuff_classes=["a", "b"]), 0.5)
    assert max(drawn_one.shape) <= 1600


def test_a_checkpoint_of_somebody_elses_holds_whatever_it_likes():
    whole = {"cfg": configs.default().dump(), "things": ["a"], "stuff": []}
    assert weights.config_of(whole).MODEL.META_ARCHITECTURE
    for change in ({"cfg": "[1"}, {"cfg": 7}, {"cfg": "NO_SUCH: 1"}, {"cfg": "MODEL: text"}, {"things": 7}, {"stuff": [7]},
                   {"cfg": "!!python/object/apply:os.system ['true']"}):  # fmt: skip
        with pytest.raises(UserError, match="holds no config that can be used"):
            weights.config_of({**whole, **change})
    with pytest.raises(UserError, match="holds no config that can be used"):
        weights.config_of({})


@pytest.mark.parametrize("name", ["US$ $\\bad{$", "$x_{$", "plain"])
def test_names_of_classes_are_no_formulas(name):
    meta = MetadataCatalog.get(f"formulas {name}")
    meta.set(thing_classes=[name])
    found = Instances((64, 64), pred_boxes=Boxes(torch.tensor([[4.0, 4.0, 40.0, 40.0]])), scores=torch.tensor([0.9]),
                      pred_classes=torch.tensor([0]))  # fmt: skip
    assert drawing.draw(np.zeros((64, 64, 3), np.uint8), {"instances": found}, meta, 0.5).shape[2] == 3


def test_suppression_by_hand_is_torchvisions():
    for seed in range(20):
        torch.manual_seed(seed)
        corners = torch.rand(200, 2) * 50
        boxes = torch.cat([corners, corners + torch.rand(200, 2) * 30], dim=1)
        levels = torch.randint(0, 3, (200,))
        theirs = torchvision.ops.batched_nms(boxes, torch.arange(200, 0, -1).float(), levels, 0.5) if compat.MODERN else (
            torchvision.ops.nms(boxes + levels[:, None].float() * 1000, torch.arange(200, 0, -1).float(), 0.5)
        )
        assert inside.suppress(boxes, levels, 0.5) == theirs.tolist()


@pytest.mark.parametrize("config", ["tiny", "tiny_panoptic"])
def test_the_stages_are_those_of_the_model(config, drawn):
    cfg = configs.load(config, [])
    cfg.MODEL.DEVICE = "cpu"
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    image = drawing.read(str(drawn[1] / "val2017" / "000000000121.jpg"))
    seen = inside.stages(cfg, model, image)
    with torch.no_grad():
        batch = model.preprocess_image([{"image": drawing.resized(cfg, image)}])
        (theirs,), _ = model.proposal_generator(batch, model.backbone(batch.tensor), None)
    ours = seen.proposals[seen.kept]
    assert len(ours) == len(theirs) and torch.allclose(ours, theirs.proposal_boxes.tensor, atol=1e-3)
    assert torch.allclose(seen.objectness[seen.kept], theirs.objectness_logits.sigmoid(), atol=1e-5)

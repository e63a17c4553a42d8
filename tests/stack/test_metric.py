"""The lab metric: losses against pytorch-metric-learning and plain loops, measures against scikit-learn, and its runs."""

from __future__ import annotations

import importlib.util
import itertools
import json
import math

import numpy as np
import pytest
import torch
from labruns import assert_resumes_exactly, newest, run_here, summary
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.metrics import average_precision_score, roc_auc_score
from torch.nn import functional as F

from labkit.base.errors import UserError
from labkit.base.paths import ROOT
from labkit.runs import compat, ink
from labs.metric import collapse, data, lab, losses, measures, mining, training
from labs.metric.distances import distances, pairs
from labs.metric.network import Embedder

TINY = ["--sample", "--width=4", "--dimensions=8", "--images=3", "--steps=12", "--no-tsne"]
ORACLE = json.loads((ROOT / "tests" / "stack" / "metric_oracle.json").read_text())
spec = importlib.util.spec_from_file_location("metric_oracle", str(ROOT / "scripts" / "metric_oracle.py"))
recorded = importlib.util.module_from_spec(spec)
spec.loader.exec_module(recorded)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


def batch(seed=0, classes=4, images=3, dimensions=6, spread=0.8):
    """Embeddings of length 1, float64, and their classes."""
    random = np.random.RandomState(seed)
    labels = torch.arange(classes).repeat_interleave(images)
    x = random.randn(classes, dimensions)[labels.numpy()] + spread * random.randn(len(labels), dimensions)
    return F.normalize(torch.from_numpy(x), dim=1), labels


# ---- losses ----


@pytest.mark.parametrize("found", ORACLE["cases"], ids=lambda found: f"seed {found['case'][0]}")
def test_losses_and_gradients_are_those_of_pytorch_metric_learning(found):
    """As scripts/metric_oracle.py recorded them; the fifth case has two classes alone."""
    for name, (value, slope) in found["losses"].items():
        given = recorded.case(*found["case"])
        x = given["x"].requires_grad_()
        inner = F.normalize(x, dim=1)  # it normalises what it gets
        if name == "softmax":
            softmax = losses.NormalisedSoftmax(found["case"][1], found["case"][3], recorded.TEMPERATURE).double()
            softmax.centres.data = given["centres"]
            loss = softmax(inner, given["labels"])
        else:
            margin = recorded.FAR if name == "contrastive" else recorded.MARGIN
            loss, _ = losses.BY_DISTANCE[name](distances(inner), given["labels"], margin)
        loss.backward()
        assert float(loss.detach()) == pytest.approx(value, abs=1e-6), name
        assert float((x.grad * given["direction"]).sum()) == pytest.approx(slope, abs=1e-6), name


def loops(name, x, labels, margin):
    """Each loss as the papers write it, one term after the other; None where the nearest of none is asked for."""
    count = len(labels)
    d = [[math.sqrt(sum((x[i, k] - x[j, k]) ** 2 for k in range(x.shape[1]))) for j in range(count)] for i in range(count)]
    both = list(itertools.permutations(range(count), 2))
    positive = [(i, j) for i, j in both if labels[i] == labels[j]]
    negative = [(i, j) for i, j in both if labels[i] != labels[j]]

    def mean(values):
        values = [value for value in values if value > 0]
        return sum(values) / max(1, len(values))

    if name == "contrastive":
        return mean([d[i][j] ** 2 / 2 for i, j in positive]) + mean([max(0, margin - d[i][j]) ** 2 / 2 for i, j in negative])
    if name == "batch-all":
        return mean([max(0, d[a][p] - d[a][n] + margin) for a, p in positive for b, n in negative if a == b])
    if name == "batch-hard":
        hardest = [(max(d[a][p] for b, p in positive if b == a), min(d[a][n] for b, n in negative if b == a)) for a in range(count)]
        return mean([max(0, far - near + margin) for far, near in hardest])
    triplets = []
    for a, p in positive:
        farther = [(d[a][n], n) for b, n in negative if b == a and d[a][n] > d[a][p]]
        triplets += [(a, p, min(farther)[1])] if farther else []
    first = mean([max(0, d[a][p] - d[a][n] + margin) for a, p, n in triplets])
    if name == "semi-hard":
        return first
    second = []
    for a, p, _ in triplets:
        others = [(k, m) for k, m in negative if k < m and labels[a] not in (labels[k], labels[m])]
        farther = [d[k][m] for k, m in others if d[k][m] > d[a][p]]
        chosen = min(farther) if farther else max(d[k][m] for k, m in others)
        second.append(max(0, d[a][p] - chosen + margin / 2))
    return first + mean(second)


@pytest.mark.parametrize("name", list(losses.BY_DISTANCE))
@pytest.mark.parametrize("seed, classes, images, spread", [(0, 4, 3, 0.8), (1, 3, 2, 0.3), (2, 5, 2, 3.0), (3, 3, 4, 0.05)])
def test_losses_are_the_papers_term_by_term(name, seed, classes, images, spread):
    x, labels = batch(seed, classes, images, spread=spread)
    margin = 1.0 if name == "contrastive" else 0.3
    loss, active = losses.BY_DISTANCE[name](distances(x), labels, margin)
    assert float(loss) == pytest.approx(loops(name, x.numpy(), labels.numpy(), margin), abs=1e-9)
    assert 0 <= float(active) <= 1


def test_distances_have_a_slope_everywhere():
    x = torch.ones(3, 2, dtype=torch.float64, requires_grad=True)  # all in one place
    d = distances(x)
    d.sum().backward()
    assert d.detach().max() < 1e-5 and torch.isfinite(x.grad).all()
    x, _ = batch()
    assert torch.allclose(distances(x), (x[:, None] - x[None]).norm(dim=2), atol=1e-6)
    x = torch.zeros(2, 2, requires_grad=True)
    ((x[0] - x[1]) ** 2).sum().sqrt().backward()
    assert torch.isnan(x.grad).all()  # what the guide warns of


def test_pairs_have_no_image_twice():
    positive, negative = pairs(torch.tensor([0, 0, 1]))
    assert positive.tolist() == [[False, True, False], [True, False, False], [False, False, False]]
    assert negative.tolist() == [[False, False, True], [False, False, True], [True, True, False]]


def test_a_collapsed_network_has_the_margin_as_its_loss_and_semi_hard_begins_below_it():
    labels = torch.arange(4).repeat_interleave(3)
    together = F.normalize(torch.ones(12, 5) + 1e-4 * torch.randn(12, 5), dim=1)
    for name in ("batch-all", "batch-hard"):
        assert float(losses.BY_DISTANCE[name](distances(together), labels, 0.2)[0]) == pytest.approx(0.2, abs=2e-3)
    for seed in range(20):
        x, labels = batch(seed, spread=5.0)
        assert float(losses.BY_DISTANCE["semi-hard"](distances(x), labels, 0.2)[0]) < 0.2
        assert float(losses.BY_DISTANCE["batch-hard"](distances(x), labels, 0.2)[0]) > 0.2


# ---- mining ----


def test_miners_choose_what_they_say():
    x, labels = batch(5, 5, 4)
    d = distances(x)
    everything = set(zip(*(part.tolist() for part in mining.batch_all(d, labels))))
    assert len(everything) == 20 * 3 * 16
    for miner, most in ((mining.batch_hard, 20), (mining.semi_hard, 60)):
        found = set(zip(*(part.tolist() for part in miner(d, labels))))
        assert found <= everything and 0 < len(found) <= most
    a, p, n = mining.semi_hard(d, labels)
    assert bool((d[a, n] > d[a, p]).all())
    shares = mining.kinds(d, labels, 0.2)
    assert sum(shares.values()) == pytest.approx(1)
    gaps = [float(d[a, n] - d[a, p]) for a, p, n in everything]
    assert shares["hard"] == pytest.approx(np.mean([gap <= 0 for gap in gaps]))
    assert shares["easy"] == pytest.approx(np.mean([gap >= 0.2 for gap in gaps]))


def test_classes_without_a_pair_make_no_triplet():
    x, _ = batch(0, 3, 2)
    d = distances(x)
    lonely = torch.tensor([0, 0, 1, 2, 3, 4])
    assert set(mining.batch_hard(d, lonely)[0].tolist()) == {0, 1}
    for miner in (mining.batch_all, mining.batch_hard, mining.semi_hard):
        assert len(miner(d, torch.zeros(6).long())[0]) == 0 and len(miner(d, torch.arange(6))[0]) == 0
    for name, loss in losses.BY_DISTANCE.items():
        value, active = loss(d, torch.arange(6), 0.2)
        assert math.isfinite(float(value)) and 0 <= float(active) <= 1, name


# ---- measures ----


@pytest.mark.parametrize("found", ORACLE["cases"], ids=lambda found: f"seed {found['case'][0]}")
def test_retrieval_is_that_of_pytorch_metric_learning(found):
    given = recorded.case(*found["case"])
    mine = measures.retrieval(given["x"], given["labels"])
    expected = found["measures"]
    assert mine.recall_at_1 == pytest.approx(expected["recall"]) and mine.map_at_r == pytest.approx(expected["map"])
    assert mine.r_precision == pytest.approx(expected["r_precision"])


def test_retrieval_is_the_definition_as_a_loop_for_classes_of_any_size():
    random = np.random.RandomState(0)
    labels = np.array([0] * 2 + [1] * 5 + [2] * 9 + [3] * 3)
    x = random.randn(len(labels), 3) + labels[:, None]
    firsts, each, shares = [], [], []
    for query in range(len(labels)):
        order = sorted((k for k in range(len(labels)) if k != query), key=lambda k: ((x[k] - x[query]) ** 2).sum())
        right = [labels[k] == labels[query] for k in order]
        R = sum(right)
        firsts.append(right[0])
        each.append(sum(sum(right[: i + 1]) / (i + 1) for i in range(R) if right[i]) / R)
        shares.append(sum(right[:R]) / R)
    mine = measures.retrieval(torch.from_numpy(x), torch.from_numpy(labels))
    assert mine.recall_at_1 == pytest.approx(np.mean(firsts)) and mine.map_at_r == pytest.approx(np.mean(each))
    assert mine.r_precision == pytest.approx(np.mean(shares)) and np.allclose(mine.precisions, each)


def test_map_at_r_is_below_average_precision_and_1_where_all_is_found():
    x, labels = batch(1, 4, 6)
    mine = measures.retrieval(x, labels)
    d = distances(x).numpy()
    for query in range(len(labels)):
        others = np.arange(len(labels)) != query
        ap = average_precision_score((labels == labels[query]).numpy()[others], -d[query][others])
        assert mine.precisions[query] <= ap + 1e-9
    apart = torch.eye(4).repeat_interleave(3, dim=0) + 0.01 * torch.randn(12, 4)
    assert measures.retrieval(apart, torch.arange(4).repeat_interleave(3)).map_at_r == 1


@pytest.mark.parametrize("seed", range(5))
def test_verification_is_that_of_scikit_learn(seed):
    x, labels = batch(seed, 5, 5, spread=1.5)
    apart, same = measures.all_pairs(x, labels)
    assert len(apart) == 25 * 24 / 2 and same.sum() == 5 * 10
    apart = np.round(apart, 1)  # with ties
    curve = measures.verification(apart, same)
    assert curve.auc == pytest.approx(roc_auc_score(same, -apart))
    for alarms in (0.0, 0.05, 0.3, 1.0):
        found, threshold = measures.found_at(curve, alarms)
        assert (apart[~same] <= threshold).mean() <= alarms and found == pytest.approx((apart[same] <= threshold).mean())
        higher = apart[apart > threshold]
        assert len(higher) == 0 or (apart[~same] <= higher.min()).mean() > alarms
    crossing = np.argmin(np.abs(curve.false_alarms - (1 - curve.found)))
    assert curve.equal_error == pytest.approx((curve.false_alarms[crossing] + 1 - curve.found[crossing]) / 2)


def test_principal_axes_are_those_of_scikit_learn():
    x = np.random.RandomState(0).randn(60, 7) @ np.random.RandomState(1).randn(7, 7)
    mine, share = measures.principal(x)
    theirs = PCA(2).fit(x)
    assert np.allclose(np.abs(mine), np.abs(theirs.transform(x)))
    assert share == pytest.approx(theirs.explained_variance_ratio_.sum())


# ---- data and network ----


def digits(count=200, seed=0):
    random = np.random.RandomState(seed)
    return data.Digits(torch.from_numpy(random.randint(0, 256, (count, 28, 28)).astype(np.uint8)),
                       torch.from_numpy(random.permutation(np.arange(count) % 10)))  # fmt: skip


def test_each_form_of_a_digit_is_a_class_of_its_own():
    some = digits(40).only("38")
    found = data.in_forms(some, 8)
    assert len(found) == 8 * len(some) and set(found.labels.tolist()) == {*range(24, 32), *range(64, 72)}
    for k, image in enumerate(some.pixels.numpy()):
        for form in range(8):
            place = form * len(some) + k
            assert int(found.labels[place]) == int(some.labels[k]) * 8 + form
            expected = np.rot90(image[:, ::-1] if form >= 4 else image, form % 4)
            assert np.array_equal(found.pixels[place].numpy(), expected)
    assert len({image.numpy().tobytes() for image in found.pixels}) == len(found)
    assert data.form_name(3 * 8 + 6, 8) == "3 mirrored, 180°" and data.form_name(7, 1) == "7" and data.form_name(9, 4) == "2, 90°"
    assert data.unseen("02468") == "13579" and digits(100).only("3", 4).labels.tolist() == [3] * 4


def test_a_batch_has_p_classes_with_k_different_images_and_follows_from_its_number():
    some = data.in_forms(digits().only("01234"), 4)
    source, again = data.Source(some, 6, 5, 1, seed=3), data.Source(some, 6, 5, 1, seed=3)
    batches = [source[number] for number in (0, 1, 7)]
    for number, (pixels, labels) in zip((7, 1, 0), reversed(batches)):
        assert all(torch.equal(one, other) for one, other in zip(again[number], (pixels, labels)))
    assert not torch.equal(batches[0][0], batches[1][0])
    assert not torch.equal(batches[0][0], data.Source(some, 6, 5, 1, seed=4)[0][0])
    pixels, labels = batches[0]
    assert pixels.shape == (30, 28, 28) and pixels.dtype == torch.uint8
    assert len(labels.unique()) == 6 and labels.bincount().max() == 5
    still = data.Source(some, 6, 5, 0, seed=3)
    for image, label in zip(*still[2]):
        own_class = some.pixels[some.labels == still.names[label]]
        assert any(torch.equal(image, other) for other in own_class)
    for part in still[2][0].split(5):
        assert len({image.numpy().tobytes() for image in part}) == 5


@pytest.mark.parametrize("shift", [0, 1, 3])
def test_windows_are_what_a_loop_cuts_out(shift):
    pixels = digits(3).pixels
    padded = np.pad(pixels.numpy(), ((0, 0), (shift, shift), (shift, shift)))
    found = data.windows(pixels, shift)
    for y, x in itertools.product(range(2 * shift + 1), repeat=2):
        assert np.array_equal(found[:, y, x], padded[:, y : y + 28, x : x + 28])


@pytest.mark.parametrize("labels, classes, images, reason", [
    ([0] * 5 + [1] * 5, 3, 2, "--classes 3 is more than the 2 classes"),
    ([0] * 5 + [1] * 4, 2, 5, "--images 5 is more than a class has: the smallest has 4"),
    ([0] * 5 + [1], 2, 2, "a class has one training image alone"),
])  # fmt: skip
def test_batches_that_the_data_cannot_fill_are_refused(labels, classes, images, reason):
    some = data.Digits(torch.zeros(len(labels), 28, 28).byte(), torch.tensor(labels))
    with pytest.raises(UserError) as said:
        data.Source(some, classes, images, 1, 0)
    assert reason in said.value.message


def test_embeddings_lie_on_the_sphere_and_branches_share_one_network():
    torch.manual_seed(0)
    network = Embedder(4, 8).eval()
    one, other = torch.randn(2, 5, 1, 28, 28)
    together = network(torch.cat([one, other]))
    assert together.shape == (10, 8) and torch.allclose(together.norm(dim=1), torch.ones(10))
    assert torch.allclose(torch.cat([network(one), network(other)]), together, atol=1e-5)


def test_the_learning_rate_goes_up_for_a_fifth_and_down_to_nothing():
    rates = [training.learning_rate(0.01, step, 100) for step in range(100)]
    assert np.argmax(rates) == 19 and max(rates) <= 0.01 and min(rates) > 0 and rates[-1] < 0.0002
    assert training.learning_rate(0.01, 0, 1) == 0.01


# ---- whole runs ----


@pytest.fixture(scope="module")
def trained(shared, tmp_path_factory):
    runs = tmp_path_factory.mktemp("trained")
    status, said = run_here(lab, ["--smoke", "--steps=40"], shared, runs)
    assert status == 0, said
    return newest(lab, runs)


def test_the_smoke_run_learns_and_shows_everything(trained):
    found = summary(trained)["metrics"]
    assert found["gain"] > 0.05 and found["map"] > found["pixels_map"] and set(found) == {
        "map", "recall", "pixels_map", "pixels_recall", "gain"}  # fmt: skip
    assert {path.stem for path in (trained / "tables").glob("*.json")} == {"result", "verification", "kinds"}
    assert {path.stem for path in (trained / "plots").glob("*.png")} == {"batch", "maps", "neighbours", "verification"}
    rows = json.loads((trained / "tables" / "result.json").read_text())["rows"]
    assert [row[0]["en"] if isinstance(row[0], dict) else row[0] for row in rows] == [
        "plain pixels", "untrained network", "semi-hard", "softmax"]  # fmt: skip


def test_trainings_that_stopped_go_on_to_the_same_bits(shared, tmp_path):
    """Of three losses, stopped in the second; softmax has weights of its own."""
    folder = assert_resumes_exactly(lab, [*TINY, "--loss=batch-hard,quadruplet,softmax"], 17, shared, tmp_path)
    assert summary(folder)["metrics"]["map"] > 0


def test_halves_have_a_row_each_and_the_least_gain_counts(shared, tmp_path):
    status, said = run_here(lab, [*TINY, "--preset=halves"], shared, tmp_path)
    assert status == 0, said
    folder = newest(lab, tmp_path)
    rows = json.loads((folder / "tables" / "halves.json").read_text())["rows"]
    assert [row[1] for row in rows[:4]] == ["01234", "56789", "02468", "13579"] and len(rows) == 5
    found = summary(folder)["metrics"]
    assert found["gain"] == pytest.approx(min(float(row[7]) for row in rows[:4]), abs=1e-4)
    assert found["map"] == pytest.approx(np.mean([float(row[5]) for row in rows[:4]]), abs=1e-4)


def test_batch_hard_collapses_and_semi_hard_does_not(shared, tmp_path):
    arguments = ["--sample", "--preset=collapse", "--steps=50", "--width=4", "--images=4"]
    status, said = run_here(lab, arguments, shared, tmp_path)
    assert status == 0, said
    folder = newest(lab, tmp_path)
    found = summary(folder)["metrics"]
    assert found["collapsed_spread"] < 0.35 and found["spread"] > 1
    rows = json.loads((folder / "tables" / "collapse.json").read_text())["rows"]
    assert len(rows) == 1 + len(collapse.TITLES)
    assert float(rows[1][2]) == pytest.approx(0.2, abs=0.09) and float(rows[2][2]) == pytest.approx(1.0, abs=0.09)


@pytest.mark.parametrize("arguments, reason", [
    (["--classes=21"], "--classes 21 is more than the 20 classes"), (["--classes=1"], "--classes must be at least 2"),
    (["--images=401"], "--images 401 is more than a class has: the smallest has"),
    (["--seen=3"], "--seen names one class"), (["--seen=abc"], "neither digits"), (["--seen=012345678"], "fewer than two digits"),
    (["--loss=tripet"], "there is no tripet"), (["--loss=,"], "names no loss"), (["--margin=0"], "--margin must be more than 0"),
    (["--collapse", "--loss=softmax"], "--loss and halves do not go with it"),
])  # fmt: skip
def test_what_cannot_be_trained_is_refused_in_one_sentence(arguments, reason, shared, tmp_path):
    status, said = run_here(lab, ["--sample", *arguments], shared, tmp_path)
    assert status == 2 and reason in said and "Traceback" not in said, said
    assert not list(tmp_path.glob("metric/*"))


# ---- pictures of the user's own ----


def sign(kind, seed, size=(90, 70), dark=True):
    """A ring, a cross or a stroke on paper, uint8 (H, W, 3)."""
    random = np.random.RandomState(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    y, x = (rows - size[0] / 2 + random.uniform(-3, 3)) / size[0] * 3, (columns - size[1] / 2) / size[1] * 3
    shape = {"ring": np.abs(np.hypot(y, x) - 0.8) < 0.2, "cross": (np.minimum(np.abs(y - x), np.abs(y + x)) < 0.25)
             & (np.hypot(y, x) < 1.1), "stroke": (np.abs(x + 0.2 * y) < 0.2) & (np.abs(y) < 1)}[kind]  # fmt: skip
    image = np.where(shape, 40 if dark else 230, 225 if dark else 30) + random.randn(*size) * 4
    return np.clip(image, 0, 255).astype(np.uint8)[..., None].repeat(3, 2)


def folder_of_signs(folder, each=3):
    for kind in ("ring", "cross", "stroke"):
        (folder / kind).mkdir(parents=True)
        for seed in range(each):
            image = sign(kind, seed, (90, 70) if seed % 2 else (200, 160), dark=seed != 1)
            Image.fromarray(image).save(str(folder / kind / f"{seed}.png"))
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "empty").mkdir()
    return folder


def test_a_sign_becomes_one_as_mnist_has_them():
    for kind, dark, size in itertools.product(("ring", "cross", "stroke"), (True, False), ((90, 70), (30, 24), (700, 900))):
        found = ink.find(sign(kind, 0, size, dark)).digit
        rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
        assert 17 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 20, (kind, dark, size)
        mass = found.astype(float)
        centre = [(mass.sum(axis=1) @ np.arange(28)) / mass.sum(), (mass.sum(axis=0) @ np.arange(28)) / mass.sum()]
        assert np.abs(np.array(centre) - 13.5).max() <= 0.8, (kind, dark, size)
        assert found[0].max() == 0 and found.max() > 200


def test_classes_of_ones_own_are_searched(trained, shared, tmp_path):
    folder = folder_of_signs(tmp_path / "my signs")
    status, said = run_here(lab, [f"--search={folder}", f"--checkpoint={trained}"], shared, tmp_path / "runs")
    assert status == 0 and "trained on the sample" in said and said.count("recall@1") >= 2, said
    found = summary(newest(lab, tmp_path / "runs"))["metrics"]
    assert found["recall"] == 1
    assert (newest(lab, tmp_path / "runs") / "plots" / "neighbours.png").exists()


@pytest.mark.parametrize("change, reason", [
    (lambda folder: [path.unlink() for path in sorted((folder / "ring").iterdir())[1:]], "the class ring has one image"),
    (lambda folder: [path.unlink() for kind in ("ring", "cross") for path in (folder / kind).iterdir()], "has 1 folder with images"),
    (lambda folder: [path.unlink() for path in folder.glob("*/*")], "has no folders with images"),
    (lambda folder: Image.new("RGB", (7, 40)).save(str(folder / "ring" / "0.png")), "0.png has 7 x 40 pixels"),
    (lambda folder: Image.new("RGB", (40, 40), (200,) * 3).save(str(folder / "ring" / "0.png")), "the same everywhere"),
    (lambda folder: (folder / "ring" / "0.png").write_bytes(b"no image"), "0.png is not an image"),
    (lambda folder: [Image.new("L", (9, 9)).save(str(folder / "ring" / f"n{k}.png")) for k in range(3001)], "3,000 are compared"),
])  # fmt: skip
def test_pictures_that_cannot_be_searched_are_one_sentence(change, reason, trained, shared, tmp_path):
    folder = folder_of_signs(tmp_path / "signs")
    change(folder)
    status, said = run_here(lab, [f"--search={folder}", f"--checkpoint={trained}"], shared, tmp_path / "runs")
    assert status == 2 and reason in said and "Traceback" not in said, said
    assert not list((tmp_path / "runs").glob("metric/*"))


@pytest.mark.parametrize("change, reason", [
    (lambda saved: saved.update(lab="mnist"), "of the lab mnist"),
    (lambda saved: saved["state"].update(finished=[]), "is not finished, or of another version"),
    (lambda saved: saved["state"]["config"].update(width=8), "is not finished, or of another version"),
    (lambda saved: saved["state"]["finished"][0]["weights"].pop("1.head.bias"), "is not finished, or of another version"),
    (lambda saved: saved["state"].pop("config"), "is not finished, or of another version"),
])  # fmt: skip
def test_a_checkpoint_of_another_network_is_one_sentence(change, reason, trained, shared, tmp_path):
    saved = compat.load(trained / "checkpoints" / "last.pt")
    change(saved)
    compat.save(saved, tmp_path / "other.pt")
    words = [f"--search={folder_of_signs(tmp_path / 'signs')}", f"--checkpoint={tmp_path / 'other.pt'}"]
    status, said = run_here(lab, words, shared, tmp_path / "runs")
    assert status == 2 and reason in said and "Traceback" not in said, said


def test_without_a_network_there_is_nothing_to_search_with(shared, tmp_path):
    folder = folder_of_signs(tmp_path / "signs")
    status, said = run_here(lab, [f"--search={folder}"], shared, tmp_path / "runs")
    assert status == 2 and "no network has been trained yet" in said
    (tmp_path / "a.txt").write_text("no folder")
    status, said = run_here(lab, [f"--search={tmp_path / 'a.txt'}"], shared, tmp_path / "runs")
    assert status == 2 and "is no folder" in said

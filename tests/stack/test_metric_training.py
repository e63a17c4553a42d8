"""The lab metric: its training beside a plain reference, who judges, and what its pictures show."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from labruns import Adam, Desk, assert_same_weights, row_names, tiles, title_of
from torch.nn import functional as F

from labkit.runs import compat
from labs.metric import collapse, data, lab, losses, results, training
from labs.metric.distances import distances


def digits(count=120, seed=0):
    random = np.random.RandomState(seed)
    return data.Digits(torch.from_numpy(random.randint(0, 256, (count, 28, 28)).astype(np.uint8)),
                       torch.from_numpy(np.arange(count) % 10))  # fmt: skip


@pytest.mark.parametrize("loss", ["contrastive", "semi-hard", "batch-all", "softmax"])
def test_three_steps_are_those_of_the_reference(loss, monkeypatch):
    monkeypatch.setattr(compat, "fast_dtype", lambda device: (torch.float32, "tests"))
    some, desk = digits().only("0123"), Desk(seed=3)
    config = lab.Config(width=2, dimensions=4)
    plan = training.Training("line", loss, "0123", 1, 3, 4, 0.7, 0.004, 1, 3)
    model = training.prepare(config, some, desk, fresh=True)
    reference = copy.deepcopy(model)
    found = training.train(model, plan, some, desk, None, {"finished": []})

    torch.manual_seed(3)  # as `prepare` left the generator
    softmax = losses.NormalisedSoftmax(4, 4)
    source = data.Source(some, 3, 4, 1, 3)
    rows, weights = [], [*reference.parameters(), *softmax.parameters()]
    if loss != "softmax":
        weights = weights[:-1]
    optimizer = Adam(weights, decay=0.01)
    for step in range(3):
        pixels, labels = source[step]
        x = reference(pixels.unsqueeze(3))
        d = distances(x)
        same = labels[:, None] == labels
        positive, negative = same & ~torch.eye(12).bool(), ~same
        if loss == "softmax":
            cosines = x @ F.normalize(softmax.centres, dim=1).t()
            value, active = F.cross_entropy(cosines / 0.05, labels), None
        else:
            value, active = losses.BY_DISTANCE[loss](d, labels, 0.7)  # term by term in test_metric.py
        rise = max(1, int(0.2 * 3))
        optimizer.descend(value, 0.004 * min((step + 1) / rise, (3 - step) / (3 - rise + 1)))
        row = {"step": step + 1, "train_loss/line": value, "active/line": active, "within/line": d[positive].mean(),
               "between/line": d[negative].mean()}  # fmt: skip
        rows.append({name: float(value) for name, value in row.items() if value is not None})
    assert desk.logged == [pytest.approx(row, rel=1e-3, abs=1e-5) for row in rows]
    assert_same_weights(model, reference, atol=1e-4)
    assert found["curve"] == pytest.approx([row["train_loss/line"] for row in rows], rel=1e-3)
    assert found["spread"] == pytest.approx([row["between/line"] for row in rows], rel=1e-3)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in found["weights"].items())


def test_embeddings_are_made_in_evaluation_mode(monkeypatch):
    monkeypatch.setattr(compat, "fast_dtype", lambda device: (torch.float32, "tests"))
    model, pixels = training.build_model(2, 4), digits(501).pixels
    model[0].measure(pixels.unsqueeze(3))
    model(pixels[:40].unsqueeze(3))
    found = training.embed(model, pixels, torch.device("cpu"))
    assert model.training and len(found) == 501
    for k in (0, 250, 500):
        assert torch.allclose(training.embed(model, pixels[k : k + 1], torch.device("cpu"))[0], found[k], atol=1e-5)


def test_the_learning_rate_is_its_formula():
    assert [training.learning_rate(1.0, step, 10) for step in range(10)] == pytest.approx(
        [0.5, 8 / 9 * 9 / 8, 8 / 9, 7 / 9, 6 / 9, 5 / 9, 4 / 9, 3 / 9, 2 / 9, 1 / 9])  # fmt: skip


def test_digits_that_judge_are_never_trained_on_and_those_that_train_do_not_judge_the_unseen(monkeypatch, tmp_path):
    some, test = digits(200), digits(300, seed=1)
    seen = []

    def train_all(plan, given, config, run):
        for one in plan:
            own = data.in_forms(given.only(one.seen), one.forms)
            seen.append(({int(k) // one.forms for k in own.labels}, one))
        model = training.build_model(2, 4)
        model[0].measure(given.pixels.unsqueeze(3))
        return [{**one._asdict(), "seconds": 1.0, "rate": 1.0, "curve": [0.0], "spread": [1.0], "weights": model.state_dict()} for one in plan]

    monkeypatch.setattr(lab, "train_all", train_all)
    monkeypatch.setattr(data, "read", lambda folder: (some, test))
    monkeypatch.setattr(results, "show_maps", lambda *given: None)
    monkeypatch.setattr(lab, "JUDGED", 12)
    judged = []
    judge = results.judge
    monkeypatch.setattr(results, "judge", lambda name, x, labels: judged.append(set(labels.tolist())) or judge(name, x, labels))
    desk = Desk()
    desk.dataset = lambda name: tmp_path
    lab.main(lab.Config(width=2, dimensions=4, seen="0246", images=2, tsne=False), desk)
    ((trained, one),) = seen
    assert trained == {0, 2, 4, 6} and one.classes == 16
    unseen = {1, 3, 5, 7, 8, 9}
    assert set(map(frozenset, judged)) == {frozenset(unseen), frozenset(trained)}


def test_a_collapse_is_seen_in_its_curves_under_its_name():
    desk, finished = Desk(), []
    for k, label in enumerate(collapse.TITLES):
        finished.append({"label": label, "margin": 0.1 * (k + 1), "curve": [1.0 * k, 2.0, 3.0], "spread": [0.1 * k] * 3})
    some = digits(40)
    embedded = [F.normalize(torch.randn(40, 4, generator=torch.Generator().manual_seed(k)), dim=1) for k in range(6)]
    found = collapse.show(desk, finished, embedded, some)
    axes = np.array(desk.figures["collapse"].axes).reshape(2, 6)
    for (upper, lower), row, title in zip(axes.T, finished, collapse.TITLES.values()):
        assert title_of(upper).replace("\n", " ") == title.en and not upper.yaxis_inverted() and not lower.yaxis_inverted()
        assert list(upper.lines[0].get_ydata()) == row["curve"] and set(upper.lines[1].get_ydata()) == {row["margin"]}
        assert list(lower.lines[0].get_ydata()) == row["spread"]
    assert (axes[0, 0].get_ylabel(), axes[1, 0].get_ylabel()) == ("loss", "distance")
    assert found["collapsed_spread"] == 0 and found["spread"] == pytest.approx(0.5)
    last = results.judge("", embedded[-1], some.labels).retrieval
    assert found["map"] == last.map_at_r and desk.tables["collapse"][-1][4:] == [f"{last.recall_at_1:.4f}", f"{last.map_at_r:.4f}"]
    assert [row[1] for row in desk.tables["collapse"][1:]] == [f"{0.1 * (k + 1):g}" for k in range(6)]


def test_neighbours_are_framed_by_whether_they_are_of_the_querys_class():
    """Images of one brightness each, so that the sheet says which is which."""
    labels = torch.arange(12) % 3
    pixels = (20 * torch.arange(12)).byte()[:, None, None].expand(-1, 28, 28).contiguous()
    some, desk = data.Digits(pixels, labels), Desk()
    plain = results.of_pixels(some)
    learned = results.judge("learned", F.one_hot(labels, 3).float() + 0.01 * torch.arange(12)[:, None].float(), labels)
    results.show_neighbours(desk, some, plain, learned)
    found, names = tiles(desk.figures["neighbours"], 34), list(row_names(desk.figures["neighbours"], 34).values())
    change = learned.retrieval.precisions - plain.retrieval.precisions
    order = np.argsort(-change, kind="stable")
    queries = [*order[:4], *order[-4:]]
    for row, (name, line) in enumerate(zip(names, found)):
        each, query = (plain, learned)[row % 2], queries[row // 2]
        assert name == f"{('pixels', 'learned')[row % 2]} {each.retrieval.precisions[query]:.2f}"
        assert (line[0, 0, 0] == 120).all() and line[0, 17, 17, 0] == 20 * query
        for place, other in enumerate(each.retrieval.order[query][: len(line) - 1]):
            frame, inner = line[place + 1, 0, 0].tolist(), int(line[place + 1, 17, 17, 0])
            assert inner == 20 * other
            assert frame == [0, 114, 178] if labels[other] == labels[query] else frame == [213, 94, 0]


def test_the_first_batch_has_a_class_in_each_row():
    some, desk = data.in_forms(digits().only("38"), 4), Desk()
    source = data.Source(some, 5, 3, 1, seed=2)
    results.show_batch(desk, source, 4)
    pixels, places = source[0]
    assert np.array_equal(tiles(desk.figures["batch"], 28).reshape(15, 28, 28), pixels.numpy())
    assert list(row_names(desk.figures["batch"], 28).values()) == [
        data.form_name(int(source.names[place]), 4) for place in places[::3]]  # fmt: skip


def test_curves_go_up_with_the_false_alarms_and_the_table_is_of_the_first_and_the_last():
    some, desk = digits(60), Desk()
    judged = [results.of_pixels(some), results.judge("net", F.one_hot(some.labels, 10).float() + 0.1 * torch.randn(60, 10), some.labels)]
    results.show_verification(desk, judged, some.labels)
    left, right = desk.figures["verification"].axes
    assert [line.get_label() for line in left.lines] == ["plain pixels", "net"] and not left.yaxis_inverted()
    for line, each in zip(left.lines, judged):
        y = np.asarray(line.get_ydata())
        assert (np.diff(line.get_xdata()) >= 0).all() and (np.diff(y) >= 0).all() and y[-1] == 1
        assert set(y) <= set(each.verification.found)
    for row, alarms in zip(desk.tables["verification"], results.ALARMS):
        shares = [results.measures.found_at(each.verification, alarms)[0] for each in judged]
        assert row[0] == f"{alarms:.1%}" and row[2:4] == [f"{share:.1%}" for share in shares]
        assert row[4] == f"{1 - (1 - alarms) ** 1000:.1%}"
    assert {"pairs of one class", "pairs of two classes"} < {text.get_text() for text in right.get_legend().get_texts()}

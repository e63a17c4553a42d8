"""The lab housing: its training beside a plain reference, what each network is judged on, and what its pages show."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from labruns import Adam, Desk, assert_same_weights, title_of

from labs.housing import looking, results, splits, study, table
from labs.housing.config import Config
from labs.housing.data import BOSTON, Table
from labs.housing.folds import k_fold
from labs.housing.linear import Linear
from labs.housing.networks import Networks, Settings, predict, set_rate
from labs.housing.scores import Score
from labs.housing.training import Batches, Group, train


def some_table(count=60):
    """Rows of Boston's columns that were drawn."""
    random = np.random.RandomState(0)
    x = random.standard_normal((count, len(BOSTON))) + 3
    return Table(tuple(BOSTON), x, 20 + x @ np.linspace(-2, 3, len(BOSTON)) + random.standard_normal(count), "MEDV", 30.0)


# ---- the training ----


def test_the_rate_is_its_formula():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    for share in (0.0, 0.1, 0.29, 0.3, 0.5, 0.9):
        set_rate(optimizer, share, 0.2)
        rising = (share + 0.01) / 0.31
        falling = (1 + math.cos(math.pi * (share - 0.3) / 0.7)) / 2
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.2 * (rising if share < 0.3 else falling))


def test_two_epochs_are_those_of_the_reference():
    made, desk, looks = some_table(23), Desk(), []
    groups = [Group.of("boston", made.x, made.y, rows) for rows in (np.arange(20), np.arange(3, 23))]
    batches = Batches(groups, [made.x] * 2, made.y, [0, 1, 1], 8, 5, desk.device)
    networks = Networks(batches.inputs.shape[2], [Settings(4), Settings(3, l1=0.01), Settings(4, l2=0.1)], seed=1)
    reference = copy.deepcopy(networks)

    def look(loop, epochs):
        looks.append((epochs, loop.done))
        loop.log(**loop.means())

    loop = train(networks, batches, 2, 0.01, desk, None, look, {}, [])
    optimizer, rows = Adam(reference.parameters()), []
    for epoch in range(2):
        order, errors = batches.order(epoch), []
        for k in range(2):
            taken = order[:, 8 * k : 8 * k + 8]
            x = torch.stack([groups[g].inputs(made.x)[row] for g, row in zip((0, 1, 1), taken)])
            y = torch.stack([groups[g].targets(made.y)[row] for g, row in zip((0, 1, 1), taken)])
            each = ((reference(x) - y) ** 2).mean(dim=1)
            sizes = sum((weight.abs().sum(dim=(1, 2)) * torch.tensor([0, 0.01, 0])).sum() for weight in reference.weights)
            squares = sum(((weight**2).sum(dim=(1, 2)) * torch.tensor([0, 0, 0.1])).sum() for weight in reference.weights)
            share = (2 * epoch + k) / 4
            lr = 0.01 * ((share + 0.01) / 0.31 if share < 0.3 else (1 + math.cos(math.pi * (share - 0.3) / 0.7)) / 2)
            optimizer.descend(each.sum() + sizes + squares, lr)
            errors.append(float(each.mean()))
        rows.append({"step": 2 * epoch + 2, "train_loss": np.mean(errors)})
    assert desk.logged == [pytest.approx(row, rel=1e-4) for row in rows]
    assert_same_weights(networks, reference, atol=5e-5)
    assert looks == [(1, 2), (2, 4)] and loop.done == 4


def test_each_row_is_predicted_by_networks_that_did_not_see_it():
    """Each network says which group it is of."""
    made = some_table(30)
    folds = k_fold(30, 3, 0)
    ensembles = table.Ensembles([made.x, made.without("B").x[:, [*range(12), 0]]], made.y, folds, Config(members=2, width=3, batch_size=8), Desk())
    assert [sorted(group.rows.tolist()) for group in ensembles.groups] == [
        *[sorted(training.tolist()) for training, _ in folds] * 2, list(range(30))]  # fmt: skip
    assert ensembles.batches.of_network.flatten().tolist() == [group for group in range(7) for _ in range(2)]
    for parameter in (*ensembles.networks.weights, *ensembles.networks.biases):
        parameter.data.zero_()
    ensembles.networks.biases[2].data[:, 0, 0] = torch.arange(14).float()
    for view in (0, 1):
        found = ensembles.held_out(view)
        for fold, (_, held) in enumerate(folds):
            group = ensembles.groups[3 * view + fold]
            for member in (0, 1):
                wanted = (6 * view + 2 * fold + member) * group.deviation + group.mean
                assert np.allclose(found[member, held], wanted)
        rows = table.network_rows(ensembles, view, 4.0)
        assert np.allclose(rows["one"].predicted, found[0]) and np.allclose(rows["networks"].predicted, found.mean(axis=0))
        assert rows["networks"].seconds == 4.0 and np.isnan(rows["one"].seconds)


def test_the_study_trains_on_some_rows_chooses_by_others_and_is_judged_by_a_third(monkeypatch):
    monkeypatch.setattr(study, "REPEATS", 2)
    monkeypatch.setattr(study, "KINDS", {name: study.KINDS[name] for name in ("width 1", *study.SHOWN)})
    monkeypatch.setattr(study, "LOOKS", 3)
    made, desk, seen = some_table(45), Desk(seed=2), []
    real = study.train

    def spy(networks, batches, *rest):
        seen.append((networks, batches))
        return real(networks, batches, *rest)

    monkeypatch.setattr(study, "train", spy)
    finished, steps = study.study(made, Config(study=6), desk, None)
    found = study.result(finished)
    ((networks, _),) = seen
    assert found.epochs.tolist() == [2, 4, 6] and found.rmse.shape == (3, 3, 5, 2) and steps == 6
    random = np.random.RandomState(2)
    chosen = random.permutation(45)
    x, y = made.x[chosen], made.y[chosen]
    rest, test = study.hold_out(45, 1 / 3, 2)
    assert np.allclose(found.prices, y[test]) and len(test) == 15
    for k in range(2):
        order = random.permutation(rest)
        training, validation = order[:15], order[15:]
        group = Group.of("boston", x, y, np.sort(training))
        assert not set(training) & set(validation) and not (set(training) | set(validation)) & set(test)
        for kind in range(5):
            place = 2 * kind + k
            outputs = predict(networks, group.inputs(x))[place].numpy().astype(float) * group.deviation + group.mean
            for part, rows in zip(("training", "validation", "test"), (training, validation, test)):
                wanted = np.sqrt(((outputs[rows] - y[rows]) ** 2).mean())
                assert found.rmse[-1, study.SETS.index(part), kind, k] == pytest.approx(wanted, rel=1e-4)
            assert np.allclose(found.predictions[kind, k], outputs[test], rtol=1e-4)
    last = desk.logged[-1]
    for name in study.SHOWN:
        assert last[f"study_test_rmse/{name}"] == pytest.approx(found.at_end(name, "test").mean())
    assert [row["step"] for row in desk.logged] == [2, 4, 6]


# ---- what is shown ----


def test_a_study_is_drawn_with_errors_upwards_and_each_line_under_its_name(monkeypatch):
    random = np.random.RandomState(0)
    kinds = list(study.KINDS)
    rmse = 3 + random.rand(5, 3, len(kinds), study.REPEATS)
    predictions, prices = random.randn(len(kinds), study.REPEATS, 9), random.randn(9)
    found, desk = study.Study(np.array([10, 20, 30, 40, 50]), rmse, predictions, prices), Desk()
    study.show(found, desk)
    left, right = desk.figures["capacity"].axes
    for line, part in zip(left.lines, (0, 2)):
        assert line.get_label() == f"{study.SETS[part]} rows" and list(line.get_xdata()) == list(study.WIDTHS)
        assert np.allclose(line.get_ydata(), rmse[-1, part, : len(study.WIDTHS)].mean(axis=1))
    squared = [((predictions[k].mean(axis=0) - prices) ** 2).mean() for k in range(len(study.WIDTHS))]
    variance = [predictions[k].var(axis=0).mean() for k in range(len(study.WIDTHS))]
    lines = {line.get_label(): np.asarray(line.get_ydata()) for line in right.lines}
    assert np.allclose(sum(lines[name] for name in ("bias² + noise", "variance")), lines["sum: squared test error"])
    total = [((predictions[k] - prices) ** 2).mean() for k in range(len(study.WIDTHS))]
    assert np.allclose(lines["sum: squared test error"], total) or np.allclose(lines["bias² + noise"] - squared, variance - lines["variance"])
    assert not left.yaxis_inverted() and not right.yaxis_inverted()
    for axis, kind in zip(desk.figures["time"].axes, study.SHOWN):
        assert title_of(axis) == ("nothing" if kind == study.PLAIN else kind)
        k = kinds.index(kind)
        for line, part in zip(axis.lines, range(3)):
            assert line.get_label() == f"{study.SETS[part]} rows" and np.allclose(line.get_ydata(), rmse[:, part, k].mean(axis=1))
        best = rmse[:, 1, k].argmin(axis=0)
        assert [line.get_xdata()[0] for line in axis.lines[3:]] == found.epochs[best].tolist()
    for row, kind in zip(desk.tables["remedies"], study.SHOWN):
        k = kinds.index(kind)
        best = rmse[:, 1, k].argmin(axis=0)
        early = rmse[best, 2, k, np.arange(study.REPEATS)].mean()
        assert row[1:3] == [f"{rmse[-1, 0, k].mean():.2f}", f"{rmse[-1, 2, k].mean():.2f}"] and row[4] == f"{early:.2f}"


def some_rows(made):
    random = np.random.RandomState(1)
    names = ("mean", "linear", "trees", "networks")
    return {name: table.Row(name, made.y + (k + 1) * random.randn(len(made.y)), float(k)) for k, name in enumerate(names)}


def test_the_table_of_models_has_each_with_its_own_scores():
    made, desk = some_table(), Desk()
    rows, folds = some_rows(made), k_fold(60, 4, 0)
    scores = table.show(rows, made, folds, desk)
    for row, (key, each) in zip(desk.tables["models"], rows.items()):
        errors = each.predicted - made.y
        assert row[:2] == [key, f"{np.sqrt((errors**2).mean()):.3f}"] and row[3] == f"{np.abs(errors).mean():.3f}"
        assert row[4] == f"{1 - (errors**2).sum() / ((made.y - made.y.mean()) ** 2).sum():.4f}" and row[5] == f"{each.seconds:.1f}"
        assert np.allclose(scores[key].folds, [np.sqrt((errors[held] ** 2).mean()) for _, held in folds])
    table.show_without_b(rows, {key: table.Row(key, each.predicted + 1, 0.0) for key, each in rows.items()}, made, folds, desk)
    for row, each in zip(desk.tables["without-b"], rows.values()):
        with_b, without = (Score.of(made.y, each.predicted + more, [held for _, held in folds]) for more in (0, 1))
        assert row[1:3] == [f"{with_b.rmse:.3f}", f"{without.rmse:.3f}"]
        assert row[3].startswith(f"{(without.folds - with_b.folds).mean():+.2f}")


def test_predictions_stand_over_the_truth_and_residuals_over_the_predictions():
    made, desk = some_table(), Desk()
    rows = some_rows(made)
    results.truth(made, rows, desk)
    axes = desk.figures["truth"].axes
    shown = np.random.RandomState(0).permutation(60)
    assert [title_of(axis) for axis in axes] == ["line", "gradient boosting", "networks"]
    for axis, key in zip(axes, ("linear", "trees", "networks")):
        assert np.allclose(axis.lines[1].get_xdata(), made.y[shown]) and np.allclose(axis.lines[1].get_ydata(), rows[key].predicted[shown])
        assert np.allclose(axis.lines[0].get_xdata(), axis.lines[0].get_ydata()) and not axis.yaxis_inverted()
    results.residuals(made, rows, desk)
    left, right = desk.figures["residuals"].axes
    predicted = rows["networks"].predicted
    for line, some in zip(left.lines, (made.y < 30, made.y >= 30)):
        order = [k for k in shown if some[k]]
        assert np.allclose(line.get_xdata(), predicted[order]) and np.allclose(line.get_ydata(), (made.y - predicted)[order])
    assert [line.get_label() for line in left.lines[:2]] == ["below the cut", "cut off"] and not left.yaxis_inverted()
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["line", "networks"]


def test_weights_stand_beside_their_columns_from_top_to_bottom():
    made, desk = some_table(), Desk()
    results.weights(made, desk)
    axis = desk.figures["weights"].axes[0]
    assert [text.get_text() for text in axis.get_yticklabels()] == list(made.names) and axis.yaxis_inverted()
    points = axis.lines[0]
    slopes = np.linalg.lstsq(np.column_stack([np.ones(60), made.x]), made.y, rcond=None)[0][1:]
    assert np.allclose(points.get_xdata(), slopes * made.x.std(axis=0)) and list(points.get_ydata()) == list(range(13))
    for (low, high), value in zip(([part[0][0], part[1][0]] for part in axis.collections[0].get_segments()), points.get_xdata()):
        assert low < value < high


def test_the_data_are_shown_column_by_column():
    made, desk = some_table(), Desk()
    looking.look(made, desk)
    for row, name, values in zip(desk.tables["columns"], (*made.names, "MEDV"), (*made.x.T, made.y)):
        assert row[0] == name and row[2] == f"{values.min():.4g} (1)" and row[3] == f"{np.median(values):.4g}"
        assert row[4] == f"{values.max():.4g} (1)" and row[5] == int((np.abs(values - values.mean()) > 3 * values.std()).sum())
    axes = [axis for axis in desk.figures["distributions"].axes if title_of(axis)]
    assert [title_of(axis) for axis in axes] == [*made.names, "MEDV"]
    axis = desk.figures["correlations"].axes[0]
    together = np.corrcoef(np.column_stack([made.x, made.y]).T)
    assert np.allclose(axis.images[0].get_array(), together)
    names = [*made.names, "MEDV"]
    assert [text.get_text() for text in axis.get_xticklabels()] == names == [text.get_text() for text in axis.get_yticklabels()]
    for text in axis.texts:
        column, row = text.get_position()
        assert text.get_text() == f"{together[row, column]:.1f}"
    left, right = desk.figures["column-b"].axes
    b = made.x[:, made.names.index("B")]
    assert np.allclose(right.lines[0].get_xdata(), b) and np.allclose(right.lines[0].get_ydata(), made.y)
    share = np.asarray(left.lines[0].get_xdata())
    assert np.allclose(left.lines[0].get_ydata(), 1000 * (share - 0.63) ** 2)


def test_each_kind_of_split_stands_under_its_name(monkeypatch):
    monkeypatch.setattr(splits, "SHUFFLES", 3)
    made, desk = some_table(), Desk(seed=1)
    apart = splits.compare(made, desk)
    axis = desk.figures["splits"].axes[0]
    names = ["hold-out", "2-fold", "5-fold", "10-fold"]
    assert [text.get_text() for text in axis.get_yticklabels()] == names and axis.yaxis_inverted() and apart < 1e-6
    for place, (line, folds, row) in enumerate(zip(axis.lines, (1, 2, 5, 10), desk.tables["splits"])):
        found = splits.estimates(made, folds, range(1000, 1003))
        assert np.allclose(line.get_xdata(), found) and (np.abs(np.asarray(line.get_ydata()) - place) < 0.2).all()
        assert row[2:5] == [folds, f"{found.mean():.3f}", f"{found.std(ddof=1):.3f}"]
    left_out = [made.y[k] - Linear(np.delete(made.x, k, 0), np.delete(made.y, k))(made.x[k : k + 1])[0] for k in range(60)]
    assert desk.tables["splits"][4][3] == f"{np.sqrt(np.mean(np.square(left_out))):.3f}"
    assert axis.lines[4].get_xdata()[0] == pytest.approx(np.sqrt(np.mean(np.square(left_out))))

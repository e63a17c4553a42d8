"""The lab housing: its parts beside NumPy's, scikit-learn's and PyTorch's own, its runs, and rows of the user's own."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from labruns import assert_same_runs, newest, run_here, summary
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.linear_model import Ridge as TheirRidge
from sklearn.metrics import mean_absolute_error, r2_score
from torch import nn

from labkit.base.errors import UserError
from labkit.runs import compat
from labs.housing import features, lab, linear, polynomials, rows, splits, study, table
from labs.housing.config import Config
from labs.housing.data import BOSTON, Table, read
from labs.housing.folds import hold_out, k_fold
from labs.housing.networks import Networks, Settings, loss_of, make_optimizer, predict, set_rate
from labs.housing.scores import Score, r_squared
from labs.housing.training import Batches, Group

CPU = torch.device("cpu")
TINY = ["--sample", "--folds=3", "--members=2", "--epochs=5", "--width=8", "--study=3", "--dropout=0.1"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """One data folder for all runs, so that the samples are drawn once."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def boston(data):
    """The sample of Boston housing as a table."""
    with pytest.MonkeyPatch.context() as patch:
        from labkit.data import samples

        patch.setenv("LAB_DATA", str(data))
        return read(samples.locate("boston", sample=True).path, "boston")


@pytest.fixture(scope="module", autouse=True)
def fewer_trees():
    """Trees are scikit-learn's: what they take is not what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        made = table.trees

        def few(dataset, seed):
            return made(dataset, seed).set_params(**{"n_estimators" if dataset == "boston" else "max_iter": 10})

        patch.setattr(table, "trees", few)
        patch.setattr(splits, "SHUFFLES", 3)
        patch.setattr(polynomials, "SETS", 20)
        yield


@pytest.fixture
def unseen(monkeypatch):
    """Without the pictures, which a finished run has shown."""
    for module, name in ((lab.looking, "look"), (lab.results, "weights"), (lab.results, "truth"), (lab, "polynomials"),
                         (lab.results, "residuals"), (lab.splits, "leaks"), (lab.study, "show")):  # fmt: skip
        monkeypatch.setattr(module, name, lambda *_: None)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """The runs folder of a finished run on each data set."""
    runs = tmp_path_factory.mktemp("runs")
    for more in (["--dataset=boston"], ["--dataset=california", "--study=0"]):
        status, said = run_here(lab, [*TINY, *more], data, runs)
        assert status == 0, said
    return runs


def some_rows(count=60, columns=4, seed=0):
    random = np.random.RandomState(seed)
    x = random.standard_normal((count, columns)) * [1, 10, 0.1, 5][:columns] + [0, 50, 3, -2][:columns]
    return x, x @ np.arange(1, columns + 1) + random.standard_normal(count) + 20


# ---- splits, lines ----


@pytest.mark.parametrize("count, folds", [(506, 10), (506, 2), (13, 13), (11, 3)])
def test_every_row_is_held_out_once(count, folds):
    found = k_fold(count, folds, seed=3)
    assert sorted(np.concatenate([held for _, held in found])) == list(range(count))
    for training, held in found:
        assert sorted([*training, *held]) == list(range(count)) and len(held) in (count // folds, -(-count // folds))
    assert not np.array_equal(found[0][1], k_fold(count, folds, seed=4)[0][1]) and found[0][1].dtype == np.int64
    training, held = hold_out(count, 0.3, seed=1)
    assert sorted([*training, *held]) == list(range(count)) and len(held) == round(0.3 * count)


def test_the_normal_equation_gives_the_line_of_numpy_and_scikit_learn(boston):
    a = linear.with_ones(boston.x)
    least, *_ = np.linalg.lstsq(a, boston.y, rcond=None)
    assert np.allclose(linear.normal_equation(a, boston.y), least, rtol=1e-8, atol=1e-8)
    ours, theirs = linear.Linear(boston.x, boston.y), LinearRegression().fit(boston.x, boston.y)
    assert np.allclose(ours(boston.x), theirs.predict(boston.x), atol=1e-9)
    assert np.allclose(ours.slopes, theirs.coef_, atol=1e-9)


def test_a_column_of_one_value_does_no_harm():
    x, y = some_rows()
    with_constant = np.concatenate([x, np.full((60, 1), 7.0)], axis=1)
    assert np.allclose(linear.Linear(x, y)(x), linear.Linear(with_constant, y)(with_constant))


def test_leave_one_out_from_one_fit_is_leave_one_out_by_506_refits(boston):
    a = linear.with_ones((boston.x - boston.x.mean(axis=0)) / boston.x.std(axis=0))
    one, other = linear.leave_one_out(a, boston.y), linear.leave_one_out_by_refitting(a, boston.y)
    assert len(one) == 506 and np.abs(one - other).max() < 1e-9
    assert np.abs(one - (boston.y - a @ linear.normal_equation(a, boston.y))).max() > 0.1  # it is no residual
    hat = a @ np.linalg.pinv(a)
    assert np.allclose(linear.leverages(a), np.diag(hat)) and abs(linear.leverages(a).sum() - a.shape[1]) < 1e-9


@pytest.mark.parametrize("alpha", [0.01, 3.0, 1000.0])
def test_ridge_is_that_of_scikit_learn(alpha):
    x, y = some_rows()
    ours = linear.Ridge(x, y, alpha)
    theirs = TheirRidge(alpha).fit((x - x.mean(axis=0)) / x.std(axis=0), y)
    assert np.allclose(ours.weights, [theirs.intercept_, *theirs.coef_])


@pytest.mark.parametrize("seed", range(5))
def test_the_alpha_of_ridge_is_that_of_leave_one_out(seed):
    x, y = some_rows(25, seed=seed)
    y = y + 30 * np.random.RandomState(seed).standard_normal(25)
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    chosen = linear.Ridge(x, y).alpha
    assert chosen == RidgeCV(linear.ALPHAS).fit(scaled, y).alpha_
    errors = []
    for k in range(25):
        others = np.arange(25) != k
        errors.append(y[k] - TheirRidge(chosen).fit(scaled[others], y[others]).predict(scaled[k : k + 1])[0])
    a = linear.with_ones(scaled)
    assert linear.Ridge._left_out(a, y, chosen) == pytest.approx(np.mean(np.square(errors)))


def test_scores_are_those_of_scikit_learn():
    random = np.random.RandomState(0)
    y, predicted = random.standard_normal(30), random.standard_normal(30)
    held = [part for _, part in k_fold(30, 4, 0)]
    score = Score.of(y, predicted, held)
    assert score.r2 == pytest.approx(r2_score(y, predicted)) and score.mae == pytest.approx(
        mean_absolute_error(y, predicted)
    )
    assert score.rmse == pytest.approx(np.sqrt(((y - predicted) ** 2).mean())) and len(score.folds) == 4
    assert r_squared(y, y) == 1 and "±" in score.of_folds


def test_a_choice_that_saw_the_prices_finds_rules_in_noise(boston, tmp_path):
    class Silent:
        seed = 0

        def table(self, *_):
            pass

    found = splits.leaks(boston, Silent())
    leaked, honest = found["choosing"]
    assert honest < 0 < leaked
    assert found["scaling, line"][0] == pytest.approx(found["scaling, line"][1], abs=1e-9)


# ---- features ----


def test_what_networks_read_is_learned_from_training_rows_alone():
    x, _ = some_rows(200)
    standard = features.Standard(x[:100])
    assert np.allclose(standard(x[:100]).mean(axis=0), 0, atol=1e-9) and np.allclose(standard(x[:100]).std(axis=0), 1)
    assert not np.allclose(standard(x[100:]).mean(axis=0), 0, atol=1e-3)
    assert standard(1e9 * x).max() == features.FAR
    ranks = features.Ranks(x[:100], waves=2)
    read = ranks(x)
    assert read.shape == (200, 4 * 5) and np.abs(read).max() <= 1
    order = x[:100, 1].argsort()
    assert np.allclose(ranks(x[:100])[order, 1], (2 * np.arange(100) + 1) / 100 - 1)
    assert np.allclose(read[:, 4:8], np.sin(np.pi / 2 * read[:, :4]))


@pytest.mark.parametrize("made", [features.Standard, lambda x: features.Ranks(x, 3)])
def test_features_come_back_from_their_record(made, tmp_path):
    x, _ = some_rows(700)
    whole = made(x)
    compat.save(whole.record(), tmp_path / "record.pt")
    again = features.from_record(compat.load(tmp_path / "record.pt"))
    assert np.array_equal(whole(x), again(x)) and type(again) is type(whole)


def test_long_columns_have_few_knots_and_ties_one_rank():
    x = np.concatenate([np.zeros(5000), np.arange(5000)])[:, None]
    ranks = features.Ranks(x, waves=0)
    assert len(ranks.knots[0][0]) == features.MOST_KNOTS
    assert ranks(np.array([[0.0]]))[0, 0] == pytest.approx(-0.5, abs=1e-3)


# ---- networks ----


def alone(networks, k, width):
    """Network k as PyTorch's own layers, in its true width."""
    layers, sizes = [], [networks.weights[0].shape[1], width, width, 1]
    for layer, (fan_in, fan_out) in enumerate(zip(sizes[:-1], sizes[1:])):
        one = nn.Linear(fan_in, fan_out)
        with torch.no_grad():
            one.weight.copy_(networks.weights[layer][k, :fan_in, :fan_out].t())
            one.bias.copy_(networks.biases[layer][k, 0, :fan_out])
        layers += [one, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def test_each_of_many_networks_learns_as_it_would_alone():
    settings = [Settings(6), Settings(3, l1=0.01), Settings(6, l2=0.02), Settings(1)]
    networks = Networks(5, settings, seed=1)
    ours = make_optimizer(networks)
    single = [alone(networks, k, each.width) for k, each in enumerate(settings)]
    theirs = [torch.optim.Adam(each.parameters()) for each in single]
    torch.manual_seed(0)
    for step in range(30):
        x, y = torch.randn(4, 9, 5), torch.randn(4, 9)
        for optimizer in (ours, *theirs):
            set_rate(optimizer, step / 30, 0.01)
        loss, errors = loss_of(networks, networks(x), y)
        ours.zero_grad()
        loss.backward()
        ours.step()
        for k, (each, setting, optimizer) in enumerate(zip(single, settings, theirs)):
            error = nn.MSELoss()(each(x[k]).squeeze(1), y[k])
            assert error.item() == pytest.approx(errors[k].item(), rel=1e-3)
            weights = [layer.weight for layer in each if isinstance(layer, nn.Linear)]
            total = error + sum(setting.l1 * w.abs().sum() + setting.l2 * (w**2).sum() for w in weights)
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
    x = torch.randn(20, 5)
    found = predict(networks, x)
    for k, each in enumerate(single):
        assert torch.allclose(found[k], each(x).squeeze(1), atol=1e-4), k
    assert torch.allclose(predict(networks, x, slice(1, 3)), found[1:3], atol=1e-6)


def test_dropout_keeps_the_mean_and_leaves_prediction_alone():
    torch.manual_seed(0)
    networks = Networks(3, [Settings(64, dropout=0.5), Settings(64)], seed=0)
    with torch.no_grad():
        networks.biases[1] += 10  # every unit of the second layer is above 0: from there all is linear
    x = torch.randn(1, 3)
    outputs, without = networks(x.expand(2, 20000, 3)).detach(), predict(networks, x)
    assert outputs[0].std() > 1 and outputs[1].std() < 1e-4
    assert abs(without[0]) > 1 and abs(outputs[0].mean() - without[0]) < 0.2
    assert torch.equal(predict(networks, x), without)


def batches_of(x, y, groups, of_network, size=10, seed=0):
    return Batches(groups, [x] * len(groups), y, of_network, size, seed, CPU)


def test_each_network_goes_through_its_own_rows_in_its_own_order():
    x, y = some_rows()
    groups = [Group.of("boston", x, y, training) for training, _ in k_fold(60, 7, 0)]
    batches = batches_of(x, y, groups, [0, 0, 3, 6])
    order = batches.order(2)
    assert order.shape == (4, 50) and batches.steps == 5
    for k, group in enumerate([0, 0, 3, 6]):
        chosen = order[k].tolist()
        assert len(set(chosen)) == 50 and set(chosen) <= set(groups[group].rows.tolist())
    assert not torch.equal(order[0], order[1]) and not torch.equal(order, batches.order(3))
    assert torch.equal(order, batches_of(x, y, groups, [0, 0, 3, 6]).order(2))
    inputs, targets = batches.take(order[:, :10])
    assert torch.equal(inputs[2], groups[3].inputs(x)[order[2, :10]])
    assert torch.equal(targets[3], groups[6].targets(y)[order[3, :10]])
    assert np.allclose(groups[1].prices(groups[1].targets(y)), y, atol=1e-5)


class Quiet:
    """A run without a folder, for trainings in tests."""

    seed, device = 0, CPU

    def nothing(self, *_, **__):
        pass

    log = in_epochs = checkpoint = average = nothing

    def progress(self, *_, **__):
        from labkit.runs.live import Bar

        return Bar(1, 0, "row")


@pytest.mark.parametrize("dataset", ["boston", "california"])
def test_what_is_held_out_cannot_be_known(dataset):
    x, y = some_rows(120)
    folds = k_fold(120, 3, 0)
    config = Config(dataset=dataset, members=2, epochs=3, batch_size=20, width=8)

    def held_out(x, y):
        ensembles = table.Ensembles([x], y, folds, config, Quiet())
        table.train_networks(ensembles, config, Quiet(), None, {}, 0)
        return ensembles.held_out(0)

    before, held = held_out(x, y), folds[1][1]
    other = y.copy()
    other[held] = 1000 * np.random.RandomState(1).standard_normal(len(held))
    after = held_out(x, other)
    assert np.array_equal(before[:, held], after[:, held])
    assert not np.array_equal(before[:, folds[0][1]], after[:, folds[0][1]])  # where those rows are trained on
    moved = x.copy()
    moved[held] += 5.0  # what is measured on the inputs, too
    ensembles = table.Ensembles([moved], y, folds, config, Quiet())
    assert np.array_equal(ensembles.groups[1].inputs(x), Group.of(dataset, x, y, folds[1][0]).inputs(x))


def test_bias_and_variance_add_up_to_the_error():
    random = np.random.RandomState(0)
    predictions, prices = random.standard_normal((7, 50)) + 2, random.standard_normal(50)
    squared, variance = polynomials.bias_and_variance(predictions, prices)
    assert squared + variance == pytest.approx(((predictions - prices) ** 2).mean())
    assert variance == pytest.approx(1.0, abs=0.3)


def test_polynomials_under_and_overfit(boston):
    found = polynomials.measure(boston.x[:, 5], boston.y, 0)
    training, test, _, variance = found.T
    assert (np.diff(training) < 0).all() and variance[-1] > 3 * variance[0]
    assert test[-1] > 1.2 * test.min() and test.argmin() < 6


def test_early_stopping_goes_back_to_the_least_validation_error():
    validation = np.array([[5.0, 3.0], [2.0, 4.0], [3.0, 1.0], [2.0, 1.5]])
    assert study.early_stop(validation).tolist() == [1, 2]
    rmse = np.zeros((4, 3, len(study.KINDS), 2))
    rmse[:, 1, 0], rmse[:, 2, 0] = validation, validation + 10
    found = study.Study(np.arange(4), rmse, np.zeros(0), np.zeros(0))
    looks, errors = found.stopped_early("width 1")
    assert looks.tolist() == [1, 2] and errors.tolist() == [12.0, 11.0]


# ---- runs ----


def test_a_run_leaves_its_tables_and_figures(trained):
    folder = min((trained / "housing").glob("*"))
    found = summary(folder)["metrics"]
    assert found["rmse"] > 0 and found["refits_apart"] < 1e-9
    names = {path.stem for path in (folder / "tables").glob("*.json")}
    assert names == {"columns", "splits", "leaks", "remedies", "models", "without-b"}
    plots = {path.stem for path in (folder / "plots").glob("*.png")}
    assert plots == {"distributions", "correlations", "column-b", "weights", "splits", "polynomials", "capacity", "time",
                     "truth", "residuals"}  # fmt: skip
    models = json.loads((folder / "tables" / "models.json").read_text())["rows"]
    assert len(models) == 8  # by hand and scikit-learn's: the line, and ridge
    assert models[1][1:5] == models[2][1:5] and models[3][1:5] == models[4][1:5]


def test_smoke_learns(unseen, data, tmp_path):
    status, said = run_here(lab, ["--smoke"], data, tmp_path)
    assert status == 0, said
    assert summary(newest(lab, tmp_path))["metrics"]["r2"] > 0.8


def test_a_run_stopped_twice_goes_on_to_the_same_bits(unseen, trained, data, tmp_path):
    whole = min((trained / "housing").glob("*"))
    words = [*TINY, "--dataset=boston"]
    for stop_at in (7, 3 * 5 + 12, 0):  # in the study, which has 3 epochs of 5 steps; in the table; nowhere
        status, said = run_here(lab, words, data, tmp_path, stop_at)
        assert status == (130 if stop_at else 0), said
        words = ["--resume=latest"]
    assert "after step 27" in said
    assert_same_runs(whole, newest(lab, tmp_path))


def test_without_b_nothing_of_it_is_left(unseen, data, tmp_path):
    status, said = run_here(lab, [*TINY, "--without-b", "--study=0"], data, tmp_path)
    assert status == 0, said
    folder = newest(lab, tmp_path)
    assert not (folder / "tables" / "without-b.json").exists()
    state = compat.load(folder / "checkpoints" / "last.pt")["state"]
    assert state["names"] == [name for name in BOSTON if name != "B"]
    assert state["networks"]["weights.0"].shape[1] == 12


def test_a_column_that_is_left_out_plays_no_part(boston):
    config = Config(members=1, epochs=2, width=4)
    folds = k_fold(506, 3, 0)
    less = boston.without("B")
    assert less.names == tuple(name for name in boston.names if name != "B") and less.x.shape == (506, 12)
    other = boston.x.copy()
    other[:, boston.names.index("B")] = np.random.RandomState(0).uniform(0, 400, 506)
    found = []
    for x in (boston.x, other):
        views = [boston.x, lab.masked(x, boston.names, less.names)]
        ensembles = table.Ensembles(views, boston.y, folds, config, Quiet())
        table.train_networks(ensembles, config, Quiet(), None, {}, 0)
        found.append(ensembles.held_out(1))
    assert np.array_equal(*found)


@pytest.mark.parametrize("words, said_of", [
    (["--dropout=1"], "would leave nothing"),
    (["--dataset=california", "--without-b"], "has none like it"),
    (["--folds=1"], "at least 2"),
    (["--folds=200"], "fewer than four"),
])  # fmt: skip
def test_what_cannot_be_done_is_one_sentence(words, said_of, data, tmp_path):
    status, said = run_here(lab, ["--sample", *words], data, tmp_path)
    assert status == 2 and said_of in said and "Traceback" not in said


# ---- rows of the user's own ----

GOOD = "0.006,18,2.3,0,0.5,6.5,65,4,1,296,15,396,5"
HEAD = ",".join(BOSTON)


def predicted(content, trained, data, tmp_path, *more):
    path = tmp_path / "row.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    status, said = run_here(lab, ["--predict", str(path), *more], data, trained)
    assert "Traceback" not in said, said
    return status, said


def test_rows_of_the_users_own_are_predicted(trained, data, tmp_path):
    status, said = predicted(f"{HEAD}\n{GOOD}\n", trained, data, tmp_path)
    assert status == 0 and "row 2: " in said and "differ by" in said, said
    price = summary(newest(lab, trained))["metrics"]["price"]
    assert 0 < price < 100
    names = HEAD.split(",")
    turned = ",".join(reversed(names)).lower() + "\n" + ",".join(reversed(GOOD.split(",")))  # in another order
    for content in (f"{HEAD}\r\n{GOOD}\r\n", f"\ufeff{HEAD}\n{GOOD}", turned, f"{HEAD},id\n{GOOD},x7\n\n"):
        status, said = predicted(content, trained, data, tmp_path)
        assert status == 0, said
        assert summary(newest(lab, trained))["metrics"]["price"] == pytest.approx(price)
    assert "left out, since the network does not read them: id" in said


def test_a_known_price_is_compared_and_what_is_far_away_is_told_of(trained, data, tmp_path):
    far = GOOD.replace("6.5", "60")
    status, said = predicted(f"{HEAD},MEDV\n{GOOD},24\n{far},20\n", trained, data, tmp_path)
    assert status == 0 and "in truth 24.00" in said and "outside of what was trained on: " in said and "RM" in said
    assert summary(newest(lab, trained))["metrics"]["rmse"] > 0


def test_the_prediction_is_that_of_the_networks_in_the_checkpoint(trained, data, tmp_path):
    folder = min((trained / "housing").glob("*"))
    state = compat.load(folder / "checkpoints" / "last.pt")["state"]
    x = np.array([[float(text) for text in GOOD.split(",")]])
    scaled = torch.from_numpy(np.clip((x - state["prepare"]["mean"].numpy()) / state["prepare"]["deviation"].numpy(),
                                      -5, 5)).float()  # fmt: skip
    outputs = []
    for k in (-2, -1):  # of the group that saw all rows
        h = scaled
        for layer in range(3):
            h = h @ state["networks"][f"weights.{layer}"][k] + state["networks"][f"biases.{layer}"][k]
            h = torch.relu(h) if layer < 2 else h
        outputs.append(float(h) * state["deviation"] + state["mean"])
    status, said = predicted(f"{HEAD}\n{GOOD}\n", trained, data, tmp_path, "--checkpoint", str(folder))
    assert status == 0, said
    assert summary(newest(lab, trained))["metrics"]["price"] == pytest.approx(np.mean(outputs), rel=1e-5)


def test_a_district_of_california_is_predicted(trained, data, tmp_path):
    content = (
        "Longitude,Latitude,MedInc,HouseAge,AveRooms,AveBedrms,Population,AveOccup\n-122,37.9,8.3,41,7,1,322,2.5\n"
    )
    status, said = predicted(content, trained, data, tmp_path, "--dataset=california")
    assert status == 0, said


WITHOUT_RM = HEAD.replace(",RM", "") + "\n" + GOOD.replace(",6.5", "")


@pytest.mark.parametrize("content, said_of", [
    (b"", "is empty"),
    (b"\n \n", "is empty"),
    (HEAD, "names its columns and has no row"),
    (GOOD, "does not name the columns"),
    (WITHOUT_RM, "has no column RM."),
    (f"{HEAD.replace('RM', 'ROOMS')}\n{GOOD}", "has no column RM"),
    (f"{HEAD},RM\n{GOOD},5", "has the column RM twice"),
    (f"{HEAD}\n{GOOD},5", "row 2 has 14 fields, not 13"),
    (f"{HEAD}\n{GOOD.replace('6.5', 'six')}", "row 2, column RM: six is not a number"),
    (f"{HEAD}\n{GOOD}\n{GOOD.replace('6.5', 'NaN')}", "row 3, column RM: NaN is not a finite number"),
    (f"{HEAD}\n{GOOD.replace('6.5', '-inf')}", "-inf is not a finite number"),
    (f"{HEAD}\n{GOOD.replace('6.5', '')}", "column RM: there is no number"),
    (f"{HEAD}\n{GOOD.replace('6.5', '1e300')}", "1e300 is too large"),
    (f"{HEAD}\n{GOOD.replace('6.5', '1_000')}", "1_000 is not a number"),
    (f"{HEAD}\n{GOOD}".replace(",", ";"), "has semicolons between its fields"),
    (f"{HEAD}\n{GOOD}".replace(",", "\t"), "has tabs between its fields"),
    (f"{HEAD}\n{GOOD}".encode("utf-16"), "is not text in UTF-8"),
    (b"\x89PNG\r\n\x1a\n\0\0", "is not text in UTF-8"),
    (f'{HEAD}\n"{GOOD}', "is not a CSV file"),
    (f"{HEAD}\n".encode() + b"1" * (9 << 20), "has more than 8 MB"),
    (f"{HEAD}\n" + "1\n" * 60_000, "has more than 50,000 lines"),
])  # fmt: skip
def test_what_is_no_row_is_one_sentence(content, said_of, trained, data, tmp_path):
    before = list((trained / "housing").glob("*"))
    status, said = predicted(content, trained, data, tmp_path)
    assert status == 2 and said_of in said, said
    assert list((trained / "housing").glob("*")) == before


def test_what_no_network_fits_is_one_sentence(trained, data, tmp_path):
    status, said = predicted(f"{HEAD}\n{GOOD}", trained, data, tmp_path, "--without-b")
    assert status == 2 and "no network has been trained on boston yet" in said
    status, said = predicted(f"{HEAD}\n{GOOD}", tmp_path / "none", data, tmp_path)
    assert status == 2 and "no network has been trained" in said and "--dataset boston" in said
    broken = tmp_path / "broken.pt"
    saved = compat.load(max((min((trained / "housing").glob("*")) / "checkpoints").glob("*.pt")))
    for lost in ("names", "rmse", "prepare"):
        state = {name: value for name, value in saved["state"].items() if name != lost}
        compat.save({**saved, "state": state}, broken)
        status, said = predicted(f"{HEAD}\n{GOOD}", trained, data, tmp_path, "--checkpoint", str(broken))
        assert status == 2 and "was not trained to its end by this version" in said, said


# ---- data files ----


def boston_file(folder, text):
    path = folder / "boston" / "resources" / "boston_house_prices.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return folder


@pytest.mark.parametrize("text, said_of", [
    ("a,b\n1,2\n", "does not begin with CRIM"),
    (f"{HEAD},MEDV\n" + f"{GOOD},24\n" * 3, "does not hold 100 districts"),
    (f"{HEAD},MEDV\n" + f"{GOOD},x\n" * 200, "column MEDV: x is not a number"),
    (f"{HEAD},MEDV\n" + f"{GOOD},-1\n" * 200, "prices above 0"),
])  # fmt: skip
def test_a_strange_file_of_boston_is_refused(text, said_of, tmp_path):
    with pytest.raises(UserError, match=said_of):
        read(boston_file(tmp_path, text), "boston")


def test_a_strange_file_of_california_is_refused(tmp_path):
    path = tmp_path / "CaliforniaHousing" / "cal_housing.data"
    path.parent.mkdir()
    line = "-122.23,37.88,41.0,880.0,129.0,322.0,126.0,8.3252,452600.0\n"
    path.write_text(line.replace("126.0", "0.0") * 200)
    with pytest.raises(UserError, match="without households"):
        read(tmp_path, "california")
    path.write_text("".join(line.replace("452600", str(100000 + k)) for k in range(200)))
    found = read(tmp_path, "california")
    assert isinstance(found, Table) and found.x.shape == (200, 8) and found.y[3] == pytest.approx(100.003)
    assert found.x[0].tolist() == pytest.approx([8.3252, 41, 880 / 126, 129 / 126, 322, 322 / 126, 37.88, -122.23])


def test_numbers_are_read_as_they_are_written():
    for text, expected in (("1", 1), ("-.5", -0.5), ("1.", 1), ("+2e-3", 0.002), ("1E5", 1e5)):
        assert rows.number(text, "here") == expected
    for text in ("1,5", "0x10", "１", "1e", ".", "--1", "1e9999"):
        with pytest.raises(UserError, match="here"):
            rows.number(text, "here")

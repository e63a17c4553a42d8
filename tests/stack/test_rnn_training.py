"""The lab rnn: its training step beside a plain reference, what judges, and what its pictures show."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from labruns import Adam, Desk, assert_same_weights, title_of
from torch import nn
from torch.nn import functional as F

from labs.rnn import characters, corpus, gradients, networks, slots, training
from labs.rnn.config import Config
from labs.rnn.grammar import Sentence
from labs.rnn.training import NOTHING, Training


def tagger():
    return networks.Tagger("lstm", 9, 5, 4, 6, 1.0)


def words_and_tags(step):
    random = torch.Generator().manual_seed(step)
    tags = torch.randint(-1, 5, (4, 3), generator=random)
    return torch.randint(9, (4, 3), generator=random), tags


@pytest.mark.parametrize("sgd, falls, clip", [(False, True, 1.0), (False, True, 0.01), (True, False, 0.05)],
                         ids=["adam", "clipped", "sgd, constant"])  # fmt: skip
def test_a_training_is_that_of_the_reference(sgd, falls, clip):
    modes = []
    made = Training("slots/lstm", tagger, words_and_tags, 4, 0.01, clip, seed=2, sgd=sgd, falls=falls, looks=2,
                    look=lambda network: modes.append(network.training) or float(len(modes)))  # fmt: skip
    desk, reference = Desk(), made.network()
    found = training.train(desk, made, None, {"finished": []})
    weights, losses, lengths = list(reference.parameters()), [], []
    optimizer = Adam(weights)
    for step in range(4):
        words, tags = words_and_tags(step)
        logits = reference(words)
        asked = tags != NOTHING
        loss = -torch.log_softmax(logits[asked], dim=1)[torch.arange(int(asked.sum())), tags[asked]].mean()
        lr = 0.01 * (1 - step / 4 if falls else 1)
        gradients_ = torch.autograd.grad(loss, weights, retain_graph=True)
        length = float(torch.cat([gradient.flatten() for gradient in gradients_]).norm())
        if sgd:
            for weight, gradient in zip(weights, gradients_):
                weight.data -= lr * gradient * min(1.0, clip / length)
        else:
            optimizer.descend(loss, lr, clip=clip)
        losses.append(float(loss))
        lengths.append(length)
    assert found["losses"] == pytest.approx(losses, rel=1e-4) and found["lengths"] == pytest.approx(lengths, rel=1e-3)
    trained = made.restored(found)
    assert_same_weights(trained, reference, atol=1e-4)
    assert not trained.training and modes == [False, False] and (found["judged"], found["at"]) == ([1.0, 2.0], [2, 4])
    assert desk.logged == [{"step": k + 1, "slots_loss/lstm": pytest.approx(loss, rel=1e-4)} for k, loss in enumerate(losses)]
    assert clip > max(lengths) or clip < min(lengths)  # both sides of clipping were met, by the three together


def test_dropout_is_on_again_after_a_look():
    class Dropping(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))
            self.modes = []

        def forward(self, x):
            self.modes.append(self.training)
            return x * self.weight

    network = Dropping()
    made = Training("a/b", lambda: network, lambda step: (torch.ones(3), torch.zeros(3)), 4, 0.1, looks=4, look=lambda network: 0.0)
    training.train(Desk(), made, None, {"finished": []})
    assert network.modes == [True] * 4


def test_numbers_are_judged_by_their_squared_error_and_explosions_are_a_number():
    outputs, targets = torch.randn(5, 1), torch.randn(5)
    assert torch.allclose(training.loss_of(outputs, targets), ((outputs[:, 0] - targets) ** 2).mean())
    assert training.bounded(torch.tensor(float("inf"))) == training.bounded(torch.tensor(float("nan"))) == training.MOST
    assert training.bounded(torch.tensor(2.5)) == 2.5


def test_each_training_goes_on_where_the_one_before_it_ended():
    offsets = []
    desk = Desk()
    desk.checkpoint = lambda step, make_state, last=False: offsets.append((step, last))
    plan = [Training(f"slots/{name}", tagger, words_and_tags, 2, 0.01) for name in "ab"]
    rows = training.train_all(plan, desk, {})
    assert list(rows) == ["slots/a", "slots/b"] and offsets == [(1, False), (2, True), (3, False), (4, True), (4, True)]
    assert [sorted(row) for row in desk.logged] == [["slots_loss/a", "step"]] * 2 + [["slots_loss/b", "step"]] * 2


# ---- what judges ----


def test_held_out_text_is_behind_what_is_trained_on_and_its_loss_is_a_mean():
    numbers = torch.arange(2000) % 7
    play = characters.Play(list("abcdefg"), numbers)
    assert play.border == 1800
    seen = []
    made = characters.trainings(Config(part="characters", task_steps=5), play, 3)[0]
    for step in range(60):
        inputs, targets = made.batch(step)
        assert inputs.shape == targets.shape == (characters.T, characters.N) and torch.equal(inputs[1:], targets[:-1])
    windows = characters.windows
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(characters, "windows", lambda play, starts: seen.append(starts) or windows(play, starts))
        for step in range(200):
            made.batch(step)
        assert max(int(starts.max()) for starts in seen) + characters.T < play.border
        seen.clear()
        torch.manual_seed(0)
        author = characters.Author(7)
        found = characters.held_out(author, play)
    (starts,) = seen
    assert int(starts.min()) >= play.border and int(starts.max()) + characters.T < 2000
    inputs, targets = windows(play, starts)
    with torch.no_grad():
        assert found == pytest.approx(float(F.cross_entropy(author(inputs).reshape(-1, 7), targets.reshape(-1))), rel=1e-5)


def of_two_networks():
    """A corpus of a test of two kinds, and scores by hand."""
    text = corpus.text
    sentences = [Sentence(("to", "rome"), ("O", "B-to"), "after", "en"), Sentence(("rome", "from"), ("B-from", "O"), "before", "en"),
                 Sentence(("to", "bonn"), ("O", "B-to"), "far", "zh")]  # fmt: skip
    tags = ["O", "B-to", "B-from"]
    return corpus.Corpus(sentences, {"seen": sentences}, tags, text.Vocabulary.of(one.words for one in sentences))


class Knows(nn.Module):
    """Says B-to for every word but "to" and "from"."""

    def __init__(self, made):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.quiet = set(made.vocabulary.numbers(["to", "from"]))

    def forward(self, words):
        said = torch.tensor([[0 if int(word) in self.quiet else 1 for word in row] for row in words])
        return F.one_hot(said, 3).float()


def test_scores_are_of_the_sentences_of_a_test_a_kind_and_a_language():
    made = of_two_networks()
    found = slots.scored(Knows(made), made)
    assert found == pytest.approx({"seen": 2 * 2 / (3 + 3), "seen after": 1.0, "seen en": 0.5, "seen before": 0.0, "seen far": 1.0,
                                   "seen zh": 1.0})  # fmt: skip


def test_bars_of_the_kinds_stand_over_their_network():
    desk = Desk()
    scores = {"lstm": {"seen before": 0.9, "seen far": 0.8, "seen after": 0.5, "seen en": 0.7, "seen zh": 0.6},
              "bi-rnn": {"seen before": 0.95, "seen far": 0.85, "seen after": 0.75, "seen en": 0.65, "seen zh": 0.55}}  # fmt: skip
    slots.show_kinds(desk, scores)
    for axis, groups in zip(desk.figures["kinds"].axes, (("seen before", "seen far", "seen after"), ("seen en", "seen zh"))):
        assert [text.get_text() for text in axis.get_xticklabels()] == ["lstm", "bi-rnn"] and not axis.yaxis_inverted()
        for container, group in zip(axis.containers, groups):
            for place, (bar, name) in enumerate(zip(container, scores)):
                assert bar.get_height() == pytest.approx(100 * scores[name][group])
                assert abs(bar.get_x() + bar.get_width() / 2 - place) < 0.4
        assert len(axis.containers) == len(groups)
    labels = [[text.get_text() for text in axis.get_legend().get_texts()] for axis in desk.figures["kinds"].axes]
    assert labels == [["before the city", "far before it", "after it"], ["English", "Chinese"]]


def test_gates_are_those_of_the_cell_and_stand_under_their_names():
    torch.manual_seed(0)
    network, words = networks.Tagger("lstm", 9, 5, 4, 6, 1.0), [1, 5, 3]
    found, state = slots.gates_of(network, words)
    cell = network.encoder.layers[0][0]
    with torch.no_grad():
        h = c = torch.zeros(6)
        for t, word in enumerate(words):
            sums = cell.weight_ih @ network.embedding.weight[word] + cell.bias_ih + cell.weight_hh @ h + cell.bias_hh
            i, f, g, o = (part.tanh() if k == 2 else part.sigmoid() for k, part in enumerate(sums.chunk(4)))
            c = f * c + i * g
            h = o * c.tanh()
            for name, values in (("input gate i", i), ("forget gate f", f), ("output gate o", o)):
                assert torch.allclose(found[name][t], values, atol=1e-5), name
            assert torch.allclose(state[t], c, atol=1e-5)
    desk, made = Desk(), of_two_networks()
    torch.manual_seed(0)
    network = networks.Tagger("lstm", len(made.vocabulary), 5, 4, 6, 1.0)
    slots.show_gates(desk, made, {"rnn": None, "lstm": network})
    sentence = slots.read_sentence("leave from beijing and arrive in shanghai on november 2nd")
    gates, state = slots.gates_of(network, made.vocabulary.numbers(sentence.words))
    order = gates["forget gate f"].mean(dim=0).argsort()
    axes = [axis for axis in desk.figures["gates"].axes if title_of(axis)]
    for axis, (name, values) in zip(axes, [*gates.items(), ("cell state c", state)]):
        assert title_of(axis) == name and np.allclose(axis.images[0].get_array(), values[:, order].t())
        assert [text.get_text() for text in axis.get_xticklabels()] == list(sentence.words)


def test_each_step_of_a_task_has_a_batch_of_its_own_the_same_whenever_it_is_asked_for():
    for made in (*gradients.recalling(Config(part="gradients", length=4, task_steps=3), 0),
                 *gradients.adding_up(Config(part="adding", length=4, task_steps=3), 0)):  # fmt: skip
        one, other = made.batch(0), made.batch(1)
        assert not torch.equal(one[0], other[0]) and torch.equal(one[0], made.batch(0)[0])


# ---- what fades, and what explodes ----


def rows_of(names, **more):
    """Rows as `training.train` leaves them, no two alike."""
    return {name: {"name": name, "steps": 40, "seconds": 1.5 + k, "judged": [0.1 * (k + 1), 0.2 * (k + 1)], "at": [20, 40],
                   "losses": [1.0 + k, 2.0], "lengths": [3.0 + k, 4.0], **more} for k, name in enumerate(names)}  # fmt: skip


def test_what_a_cell_recalls_is_drawn_by_its_name():
    config, desk = Config(part="gradients", repeats=2, task_steps=40), Desk(seed=5)
    names = [f"recall/{name}, seed {5 + k}" for name in gradients.RECALLING for k in range(2)]
    rows = rows_of(names)
    rows[names[1]]["judged"] = [0.5, 0.995]
    gradients.show_recall(desk, config, rows)
    (axis,) = desk.figures["recall"].axes
    for line, name in zip(axis.lines, names):
        assert list(line.get_xdata()) == [20, 40] and line.get_ydata() == pytest.approx([100 * value for value in rows[name]["judged"]])
    assert [text.get_text() for text in axis.get_legend().get_texts()] == [gradients.CELLS[name].en for name in gradients.RECALLING]
    assert not axis.yaxis_inverted() and axis.lines[-1].get_ydata()[0] == 12.5
    first = desk.tables["recall"][0]
    assert first == [gradients.CELLS[gradients.RECALLING[0]].en, f"{100 * rows[names[0]]['judged'][-1]:.0f}, 100", "-, 40", "2.0"]
    assert gradients.final(rows, gradients.RECALLING[0], 6) == 0.995


def test_errors_of_adding_and_lengths_of_gradients_are_drawn_by_their_names():
    config, desk = Config(part="adding"), Desk()
    rows = rows_of([f"adding/{name}" for name in gradients.ADDERS] + ["exploding/clipped", "exploding/not clipped"])
    found = gradients.show_adding(desk, config, rows)
    (axis,) = desk.figures["adding"].axes
    for line, name, row in zip(axis.lines, gradients.ADDERS, desk.tables["adding"]):
        own = rows[f"adding/{name}"]
        assert line.get_label() == gradients.CELLS[name].en == row[0] and list(line.get_ydata()) == own["judged"]
        assert found[f"adding/{name}"] == own["judged"][-1] and row[1:] == [f"{own['judged'][-1]:.4f}", f"{own['seconds']:.1f}"]
    left, right = desk.figures["clipping"].axes
    assert (left.get_ylabel(), right.get_ylabel()) == ("length of the gradient", "loss")
    for axis, kind in ((left, "lengths"), (right, "losses")):
        assert {line.get_label(): list(line.get_ydata()) for line in axis.lines} == {
            name: rows[f"exploding/{name}"][kind] for name in ("clipped", "not clipped")}  # fmt: skip


def test_what_fades_is_drawn_by_its_name_before_and_after():
    desk = Desk()
    fades = {name: torch.logspace(0, -k - 1, 100) for k, name in enumerate(gradients.CELLS)}
    learned = {name: torch.logspace(0, -1 - k, 10) for k, name in enumerate(gradients.RECALLING)}
    gradients.show_fading(desk, fades, learned, 10)
    before, after = desk.figures["fading"].axes
    for axis, curves in ((before, fades), (after, learned)):
        assert not axis.yaxis_inverted()
        for line, (name, sizes) in zip(axis.lines, curves.items()):
            assert line.get_label() == gradients.CELLS[name].en and np.allclose(line.get_ydata(), sizes)
    assert after.lines[-1].get_xdata()[0] == 9 and (title_of(before), title_of(after)) == ("before training", "after the recall task")
    for row, (name, sizes) in zip(desk.tables["fading"], fades.items()):
        assert row == [gradients.CELLS[name].en, *(f"{float(sizes[far]):.0e}" for far in gradients.FAR)]

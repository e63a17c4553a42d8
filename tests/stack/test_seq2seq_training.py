"""The lab seq2seq: its training step beside a plain reference, its measures, and what its pictures show."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from labruns import Adam, Desk, assert_same_weights, title_of

from labkit.runs.bleu import bleu
from labkit.runs.pairs import MARK, Batches, Corpus, Pair, Question, numbered
from labkit.runs.text import Vocabulary
from labs.seq2seq import scores, shown, training
from labs.seq2seq.config import Kind, Sizes
from labs.seq2seq.decoding import Answer


def tiny():
    """Strings of two lengths and their reverses."""
    words = ["abc", "bca", "cab", "acb", "abca", "bcab", "cabc", "acba"]
    pairs = [Pair(tuple(word), tuple(reversed(word))) for word in words]
    return numbered("reversal", pairs[:-1], [Question(tuple("cba"), (tuple("abc"),)), Question(tuple("aab"), (tuple("baa"),))])


@pytest.mark.parametrize("kind, forcing, clip, smoothing", [
    (Kind("dot", "last"), 1.0, 100.0, 0.0), (Kind("additive", "projected"), 1.0, 0.05, 0.2), (Kind("fixed", "mean"), 0.0, 1.0, 0.0),
], ids=["dot", "additive, clipped, smoothed", "fixed, its own words"])  # fmt: skip
def test_a_training_is_that_of_the_reference(kind, forcing, clip, smoothing, monkeypatch):
    monkeypatch.setattr(scores, "quick", lambda network, made, count: float(network.training) + 0.25)
    made, desk = tiny(), Desk()
    plan = training.Training(made, "net", kind, Sizes(4, 3, 4, 6, 0.01, smoothing=smoothing), forcing, clip, 2)
    reference = plan.network()
    found = training.train(desk, plan, None, {"finished": []})
    batches, optimizer, rows = Batches(made, 3, 2), Adam(reference.parameters(), (0.9, 0.98)), []
    for step in range(4):
        source, given, wanted = batches(step)
        if not forcing:
            given = training.own_words(reference, source, given)
        logs = torch.log_softmax(reference((source, given)), dim=2)
        terms = [(1 - smoothing) * logs[t, n, wanted[t, n]] + smoothing * logs[t, n].mean()
                 for t in range(wanted.shape[0]) for n in range(wanted.shape[1]) if wanted[t, n] >= 0]  # fmt: skip
        loss = -sum(terms) / len(terms)
        optimizer.descend(loss, 0.01 * min((step + 1) / max(1, 0.05 * 4), (1 - step / 4) / 0.95), clip=clip)
        rows.append({"step": step + 1, "reversal_loss/net": float(loss)})
    losses = [row for row in desk.logged if "reversal_loss/net" in row]
    assert losses == [pytest.approx(row, rel=1e-3) for row in rows]
    assert_same_weights(plan.restored(found), reference, atol=1e-4)
    looks = [row for row in desk.logged if "reversal_right/net" in row]
    assert looks == [{"step": 4, "reversal_right/net": found["judged"][0]}] and found["at"] == [4]
    assert found["name"] == "reversal/net" and not plan.restored(found).training


@pytest.mark.parametrize("steps", [10, 200])
def test_the_learning_rate_is_its_formula(steps):
    for step in range(steps):
        rise = (step + 1) / max(1.0, steps / 20)
        assert training.rate(step, steps) == pytest.approx(min(rise, (steps - step) / (0.95 * steps)))


def test_dropout_is_on_in_every_step_and_off_in_every_look(monkeypatch):
    modes = []
    monkeypatch.setattr(training, "LOOKS", 2)
    forward = training.Seq2Seq.forward
    monkeypatch.setattr(training.Seq2Seq, "forward", lambda self, inputs: modes.append(self.training) or forward(self, inputs))
    looked = []
    answers = scores.answers
    monkeypatch.setattr(scores, "answers", lambda network, *rest: (answers(network, *rest), looked.append(network.training))[0])
    training.train(Desk(), training.Training(tiny(), "net", Kind("dot", "last"), Sizes(100, 3, 2, 4, 0.01), 1.0, 1.0, 0), None, {"finished": []})
    assert modes == [True] * 100 and looked == [False] * 2


# ---- measures ----


def questions(*lengths):
    return [Question(tuple("a" * n), (tuple("b" * n), tuple("c" * n))) for n in lengths]


def test_a_score_counts_whole_answers_and_any_right_one():
    asked = questions(3, 4, 5, 6)
    given = [Answer(tuple("bbb")), Answer(tuple("cccc")), Answer(tuple("bbbbx")), Answer(())]
    found = scores.score(asked, given)
    assert (found.asked, found.right) == (4, 0.5) and 0 < found.bleu < 100
    assert scores.score([], []) == (0, 0.0, bleu([], []))


def test_a_quick_look_asks_as_many_as_it_should_and_none_that_is_longer_than_the_training(monkeypatch):
    seen = []
    monkeypatch.setattr(scores, "answers", lambda network, sources, *rest: seen.extend(sources) or [Answer(tuple("b" * len(s))) for s in sources])
    vocabulary = Vocabulary([MARK, "b"])
    made = Corpus("reversal", [], questions(*([5] * 30 + [20] * 10 + [21] * 20)), Vocabulary(["a"]), vocabulary)
    assert scores.quick(None, made, 10) == 1.0
    assert len(seen) == 10 and max(map(len, seen)) == 20


def test_alignment_is_the_share_of_letters_that_look_at_themselves():
    asked = [Question(tuple("abc"), (tuple("cba"),)), Question(tuple("ab"), (tuple("ba"),)), Question(tuple("xy"), (tuple("yx"),))]
    looks = torch.tensor([[0.1, 0.2, 0.7], [0.1, 0.8, 0.1], [0.1, 0.5, 0.4], [1.0, 0, 0]])
    given = [Answer(tuple("cba"), looks), Answer(tuple("ba"), torch.tensor([[0.0, 1], [1, 0], [1, 0]])), Answer(tuple("xx"), None)]
    made = Corpus("reversal", [], asked, Vocabulary("abc"), Vocabulary([MARK, *"abc"]))
    assert shown.aligned(made, given) == pytest.approx(4 / 5)


# ---- what is shown ----


def lengths_corpus():
    return Corpus("reversal", [], questions(3, 4, 7, 7, 10, 22), Vocabulary("a"), Vocabulary([MARK, *"bc"]))


def test_lines_by_length_go_up_with_the_share_that_is_right_and_have_their_names():
    made, desk = lengths_corpus(), Desk()
    right = [Answer(one.answers[0]) for one in made.test]
    half = [*right[:3], *[Answer(())] * 3]
    shown.show_lengths(desk, made, {"dot": right, "none": half})
    axes = desk.figures["reversal_lengths"].axes
    assert [title_of(axis) for axis in axes] == ["whole answers right, %", "BLEU"] and not axes[0].yaxis_inverted()
    assert [line.get_label() for line in axes[0].lines] == ["dot", "none"]
    assert list(axes[0].lines[0].get_ydata()) == [100] * 4 and list(axes[0].lines[1].get_ydata()) == [100, 50, 0, 0]
    groups = ((3, 5), (6, 8), (9, 11), (21, 23))
    assert list(axes[1].lines[1].get_ydata()) == [scores.between(made, half, *group).bleu for group in groups]
    assert [text.get_text() for text in axes[0].get_xticklabels()] == ["3–5\nn 2", "6–8\nn 2", "9–11\nn 1", "21–23\nn 1"]


def test_the_table_of_scores_has_each_network_with_its_own_numbers():
    made, desk = lengths_corpus(), Desk()
    right = [Answer(one.answers[0]) for one in made.test]
    half = [*right[:3], *[Answer(())] * 3]
    trainings = [training.Training(made, name, Kind("none", "last"), Sizes(4, 3, 4, 6, 0.01), 1.0, 1.0, 0) for name in ("dot", "none")]
    rows = {one.key: {"weights": {"a": torch.zeros(3 + k), "b": torch.zeros(2)}, "steps": 10 + k, "seconds": 1.5 + k}
            for k, one in enumerate(trainings)}  # fmt: skip
    shown.show_scores(desk, made, trainings, rows, {"dot": right, "none": half})
    first, second = desk.tables["reversal_scores"]
    assert first == ["dot", 5, 10, "1.5", "100.0%", "100.0", "100%", "100%", "100%", "100%"]
    assert second[:5] == ["none", 6, 11, "2.5", "60.0%"] and second[6:] == ["100%", "50%", "0%", "0%"]  # of sources up to 20


def test_a_map_has_the_answer_from_top_to_bottom_and_the_source_from_left_to_right():
    _, axes = shown.plots.figure()
    weights = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.3, 0.5], [0.0, 1.0, 0.0]])
    shown.draw_map(axes[0, 0], ["i", "love", "you"], Answer(("我", "爱"), weights))
    axis = axes[0, 0]
    assert np.allclose(axis.images[0].get_array(), weights) and axis.yaxis_inverted()
    assert [text.get_text() for text in axis.get_xticklabels()] == ["i", "love", "you"]
    assert [text.get_text() for text in axis.get_yticklabels()] == ["我", "爱", "end"]


def test_answers_stand_beside_their_source_and_are_ticked_where_they_are_right():
    made, desk = lengths_corpus(), Desk()
    right = [Answer(one.answers[1]) for one in made.test]
    wrong = [Answer(tuple("b")) for _ in made.test]
    shown.show_answers(desk, made, {"dot": right, "none": wrong})
    for row in desk.tables["reversal_answers"]:
        n = len(row[0])
        assert row == ["a" * n, "b" * n, "✓ " + "c" * n, "b"]


def test_the_pairs_that_are_shown_are_pairs():
    made, desk = tiny(), Desk()
    shown.show_pairs(desk, made)
    assert desk.tables["reversal_pairs"] == [["".join(pair.source), "".join(pair.target)] for pair in made.train]

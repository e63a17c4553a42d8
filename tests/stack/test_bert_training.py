"""The lab bert: its training step beside a plain reference, what pre-training asks, its measures, and its pages."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from labruns import Adam, Desk, assert_same_weights
from torch import nn
from torch.nn import functional as F

from labs.bert import masking, network, pretraining, show, training, tuning
from labs.bert.config import Config
from labs.bert.corpus import Corpus
from labs.bert.words import CLS, FIRST, SEP, vocabulary

TINY = {"width": 8, "heads": 2, "layers": 1, "batch_size": 4, "hide": 0.5}


def made(pairs=True, groups=False):
    """A few documents of three sentences over nine words."""
    random = np.random.RandomState(0)
    documents = [[random.randint(FIRST, FIRST + 9, random.randint(2, 4)).tolist() for _ in range(3)] for _ in range(12)]
    known = vocabulary([[f"w{k}" for k in range(9)]])
    themes = [-1] * FIRST + [k % 2 if k < 6 else -1 for k in range(9)] if groups else None
    return Corpus(documents[:8], documents[8:], known, pairs, themes)


@pytest.mark.parametrize("pairs", [True, False])
def test_a_pre_training_is_that_of_the_reference(pairs):
    corpus, config, desk = made(pairs), Config(steps=40, **TINY), Desk(seed=3)
    plan = pretraining.training(corpus, config, 3, desk.device, looks=2)
    modes = []
    judge = plan.look
    plan = dataclasses.replace(plan, steps=4, look=lambda net: modes.append(net.training) or judge(net))
    torch.manual_seed(99)  # of no matter
    trainings = training.Trainings(desk, {})
    found = trainings.train(plan)

    reference, rows = training.first_weights(plan), []
    optimizer = Adam(reference.parameters(), (0.9, 0.98), decay=0.01)
    texts = masking.Texts(corpus.train, 4, 3, 0.5, len(corpus.vocabulary), pairs)
    for step in range(4):
        batch = texts(step)
        vectors = reference.encoder(batch.words, batch.segments)
        logits = reference.guesses(vectors)  # of every place
        flat = torch.log_softmax(logits, dim=2).flatten(0, 1)
        terms = {"mlm": -torch.stack([flat[place, word] for place, word in zip(batch.places, batch.hidden)]).mean()}
        if pairs:
            terms["nsp"] = F.cross_entropy(reference.follows(vectors[:, 0]), batch.follows)
        optimizer.descend(sum(terms.values()), config.lr * min((step + 1) / 1, (4 - step) / 3), clip=1.0)
        rows.append({"step": step + 1, **{f"{name}_loss/both ways": float(term) for name, term in terms.items()}})
    losses = [row for row in desk.logged if "mlm_loss/both ways" in row]
    assert losses == [pytest.approx(row, rel=1e-3) for row in rows]
    assert found["losses"] == pytest.approx([sum(value for name, value in row.items() if name != "step") for row in rows], rel=1e-3)
    trained = training.first_weights(plan)
    trained.load_state_dict(found["weights"])
    assert_same_weights(trained, reference, atol=3e-4, noise="attention.into.bias")  # keys have a bias of no effect
    looks = [row for row in desk.logged if "mlm/both ways" in row]
    assert modes == [False, False] and [row["step"] for row in looks] == [2, 4] == found["at"]
    assert found["seen"] == [value for row in looks for name, value in row.items() if name != "step"]
    assert pretraining.curve(found, corpus, "mlm") == [row["mlm/both ways"] for row in looks]
    if pairs:
        assert pretraining.curve(found, corpus, "nsp") == [row["nsp/both ways"] for row in looks]


def test_the_rate_is_its_formula():
    for steps in (1, 10, 200):
        warm = max(1, steps // 20)
        for step in range(steps):
            expected = min((step + 1) / warm, (steps - step) / max(1, steps - warm))
            assert training.rate(step, steps) == pytest.approx(expected)


def test_a_step_is_clipped_to_the_length_one_and_forgets_the_gradient_before_it():
    layer = nn.Linear(2, 1, bias=False)
    start, optimizer = layer.weight.detach().clone(), torch.optim.SGD(layer.parameters(), lr=1.0)
    training.train_step(layer, optimizer, (layer.weight * torch.tensor([[3.0, 4.0]])).sum())
    assert torch.allclose(start - layer.weight, torch.tensor([[0.6, 0.8]]), atol=1e-5)
    start = layer.weight.detach().clone()
    training.train_step(layer, optimizer, (layer.weight * torch.tensor([[0.3, -0.4]])).sum())
    assert torch.allclose(start - layer.weight, torch.tensor([[0.3, -0.4]]), atol=1e-5)


class Knows(nn.Module):
    """Guesses by what it was told, in the order of what is asked."""

    def __init__(self, words, follows, vocabulary):
        super().__init__()
        self.bias, self.vocabulary = nn.Parameter(torch.zeros(1)), vocabulary
        self.said, self.told = iter(words), iter(follows)

    def encoder(self, words, segments=None):
        return torch.zeros(*words.shape, 2)

    def guesses(self, vectors):
        return F.one_hot(torch.tensor([next(self.said) for _ in vectors]), self.vocabulary).float()

    def follows(self, vectors):
        return F.one_hot(torch.tensor([next(self.told) for _ in vectors]), 2).float()


def test_what_is_measured_are_shares_of_hidden_words_themes_and_pairs():
    corpus = made(groups=True)
    batches = pretraining.judge_texts(corpus, Config(**TINY))
    hidden, follows = (torch.cat([getattr(batch, name) for batch in batches]).tolist() for name in ("hidden", "follows"))
    groups = corpus.groups
    said = [word if k % 3 == 0 else (word - FIRST + 2) % 9 + FIRST for k, word in enumerate(hidden)]
    told = [one if k % 4 else 1 - one for k, one in enumerate(follows)]
    found = pretraining.judge(Knows(said, told, len(corpus.vocabulary)), batches, corpus)
    asked = [(groups[word], groups[guess]) for word, guess in zip(hidden, said) if groups[word] >= 0]
    assert found == pytest.approx({"mlm": np.mean([one == other for one, other in zip(hidden, said)]),
                                   "theme": np.mean([one == other for one, other in asked]),
                                   "nsp": np.mean([one == other for one, other in zip(follows, told)])})  # fmt: skip
    assert pretraining.names_of(corpus) == list(found) and 0.2 < found["mlm"] < 0.5 and found["theme"] > found["mlm"]


def test_what_judges_is_held_out_and_the_same_for_every_seed():
    corpus = made()
    one, other = (pretraining.judge_texts(corpus, Config(**{**TINY, "hide": share})) for share in (0.2, 0.9))
    assert all(torch.equal(a, b) for x, y in zip(one, other) for a, b in zip(x, y))
    sentences = {tuple(sentence) for document in corpus.held for sentence in document}
    for batch in one:
        whole = batch.words.flatten().index_copy(0, batch.places, batch.hidden).reshape(batch.words.shape)
        for row in whole.tolist():
            end = row.index(SEP)
            assert row[0] == CLS and row[-1] == SEP and {tuple(row[1:end]), tuple(row[end + 1 : -1])} <= sentences


def test_fine_tuning_is_judged_by_the_share_of_themes(monkeypatch):
    labelled = tuning.Labelled([("w0", "w1"), ("w2", "w3"), ("w4",)], [0, 1, 1])

    class Says(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, words):
            return F.one_hot((words[:, 1] - FIRST == 2).long(), 2).float(), None

    assert tuning.judge(Says(), made(), labelled) == {"accuracy": pytest.approx(2 / 3)}


def test_the_curves_of_pre_training_go_up_and_have_their_names():
    corpus, desk = made(groups=True), Desk()
    names = pretraining.names_of(corpus)
    rows = [{"name": f"pretrain/{name}", "seen": [0.1, 0.2, 0.6, 0.3, 0.4, 0.7] if k == 0 else [0.15, 0.25, 0.5, 0.2, 0.3, 0.55],
             "at": [5, 10], "steps": 10, "seconds": 1.0, "losses": [3.0, 2.0]} for k, name in enumerate(("both ways", "left to right"))]  # fmt: skip
    found = show.pretrained(desk, corpus, rows, 0.9)
    assert found["mlm"] == 0.3 and found["theme"] == 0.4 and found["nsp"] == 0.7
    axes = desk.figures["pretraining"].axes
    assert all(not axis.yaxis_inverted() for axis in axes)
    drawn = [np.asarray(line.get_ydata(), dtype=float) for axis in axes for line in axis.lines]
    for row in rows:
        for name in names:
            curve = pretraining.curve(row, corpus, name)
            scaled = [curve, [100 * value for value in curve]]
            assert any(len(y) == 2 and np.allclose(y, one) for y in drawn for one in scaled), (row["name"], name)


def test_a_network_has_its_first_weights_from_the_seed_alone():
    plan = training.Training("a/b", lambda: network.Bert(9, 8, 1, 2), lambda net, step: {}, 1, 0.1, 8, seed=5)
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    one = training.first_weights(plan)
    assert torch.equal(torch.rand(2), expected)
    assert_same_weights(one, training.first_weights(plan), atol=0)


def test_draws_stand_over_the_mean_of_their_way():
    desk, scores = Desk(), {"scratch": [0.2, 0.3], "frozen": [0.5, 0.6], "pre-trained": [0.9, 1.0]}
    assert show.tuned(desk, scores) == pytest.approx({"scratch": 0.25, "frozen": 0.55, "tuned": 0.95})
    (axis,) = desk.figures["tuned"].axes
    assert [text.get_text() for text in axis.get_xticklabels()] == [show.WAYS[way].en for way in scores]
    assert [bar.get_height() for bar in axis.patches] == pytest.approx([25, 55, 95]) and not axis.yaxis_inverted()
    for k, (points, own) in enumerate(zip(axis.collections, scores.values())):
        assert np.allclose(points.get_offsets(), [(k, 100 * score) for score in own])
    assert desk.tables["tuned"][1] == ["pre-trained features, frozen", "50.0", "60.0", "55.0"]


def test_texts_are_shown_with_what_is_asked_of_them():
    corpus, desk, config = made(), Desk(seed=2), Config(**TINY)
    show.texts(desk, config, corpus)
    batch = masking.Texts(corpus.train, 4, 2, 0.5, len(corpus.vocabulary), True)(0)
    words, length = corpus.vocabulary.words, batch.words.shape[1]
    for k, (seen, asked, follows) in enumerate(desk.tables["texts"]):
        own = [(int(place) % length, int(word)) for place, word in zip(batch.places, batch.hidden) if int(place) // length == k]
        assert asked == ", ".join(words[word] for _, word in own) and follows == ("yes" if batch.follows[k] else "no")
        for at, word in enumerate(seen.split()):
            chosen, there = at in dict(own), words[int(batch.words[k, at])]
            assert word == (f"‹{there}›" if chosen and there != "[MASK]" else there)


def test_the_commonest_word_is_that_of_the_training():
    corpus = Corpus([[[7, 8], [7, 9, 7]]], [[[8, 7, 8], [9, 9]]], made().vocabulary, True)
    assert show.commonest(corpus) == pytest.approx(1 / 5)


def test_the_second_pass_begins_behind_the_first_and_has_pairs_of_its_own():
    corpus = made()
    texts = masking.Texts(corpus.train, 4, 3, 0.5, len(corpus.vocabulary), True)
    first, second, third = (texts.epoch(k) for k in range(3))
    everything = [*first, *second, *third]
    assert [texts.rows(step) for step in range(len(everything))] == everything and sorted(first) != sorted(second)
    assert texts.rows(len(first)) == second[0] and texts.rows(0) == first[0]  # and back again

"""The judge by which labs measure what a generator draws."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from labkit.runs import judge


@pytest.fixture
def squares():
    """Images whose label is how bright they are: uint8 (300, 32, 32, 1) and int64 (300,), 3 classes."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(300) % 3
    noise = torch.randint(0, 60, (300, 32, 32, 1), generator=generator)
    return (noise + 90 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels


def test_every_step_follows_the_gradient_of_its_own_images_alone(squares, monkeypatch):
    """As autograd computes it anew before each step."""
    seen, steps = {}, []
    loss, step = judge.F.cross_entropy, torch.optim.Adam.step

    def noted(logits, labels):
        seen["labels"] = labels
        return loss(logits, labels)

    def checked(self, *rest, **named):
        weights = [weight for group in self.param_groups for weight in group["params"]]
        fresh = torch.autograd.grad(functional.nll_loss(seen["judge"](seen["pixels"])[1].log_softmax(1), seen["labels"]), weights)
        steps.append(all(torch.allclose(weight.grad, now, atol=1e-5) for weight, now in zip(weights, fresh)))
        return step(self, *rest, **named)

    forward = judge.Judge.forward

    def followed(self, pixels):
        seen.update(judge=self, pixels=pixels)
        return forward(self, pixels)

    monkeypatch.setattr(judge.F, "cross_entropy", noted)
    monkeypatch.setattr(torch.optim.Adam, "step", checked)
    monkeypatch.setattr(judge.Judge, "forward", followed)
    judge.train_judge(*squares, torch.device("cpu"), passes=1)
    assert steps == [True] * 3


def test_it_learns_is_the_same_for_every_seed_and_leaves_the_random_numbers_alone(squares):
    pixels, labels = squares
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = judge.train_judge(pixels, labels, torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    other = judge.train_judge(pixels, labels, torch.device("cpu"))
    assert all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))
    features, guesses = one.look(pixels)
    assert (guesses.argmax(1) == labels.numpy()).mean() > 0.95 and guesses.sum(1) == pytest.approx(1, abs=1e-5)
    assert (features**2).mean() == pytest.approx(1, rel=1e-3)  # of mean square 1 on real images


def test_the_entropy_of_classes_is_one_where_they_are_alike_and_zero_where_one_is_left():
    numpy = pytest.importorskip("numpy")
    assert judge.class_entropy(numpy.array([0, 1, 2, 3]), 4) == pytest.approx(1)
    assert judge.class_entropy(numpy.array([2, 2, 2]), 4) == 0
    assert judge.class_entropy(numpy.array([0, 1, 0, 1]), 4) == pytest.approx(0.5)

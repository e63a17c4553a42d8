"""What the answers of the lab's practice are compared with, and the inputs on which they are."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np
import torch

# ---- oracles: PyTorch where it can be asked, else the plain loop ----


def gradients(f: Any, gradient: Any, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
    """The gradients of the inputs that autograd finds for `f`, whose result has `gradient`."""
    leaves = [torch.tensor(each, requires_grad=True) for each in inputs]
    # Of a scalar: where it is given a gradient to begin with, PyTorch 2 first imports sympy, which takes half a second.
    found = torch.autograd.grad((f(*leaves) * torch.as_tensor(gradient)).sum(), leaves)
    return tuple(each.numpy().copy() for each in found)


def descended(a: np.ndarray, b: np.ndarray, rate: float, steps: int) -> np.ndarray:
    x = torch.zeros(len(b), dtype=torch.float64, requires_grad=True)
    for _ in range(steps):  # by hand: the first step of an optimizer imports half of PyTorch 2, which takes a second
        loss = 0.5 * x @ (torch.from_numpy(a) @ x) - torch.from_numpy(b) @ x
        (gradient,) = torch.autograd.grad(loss, x)
        with torch.no_grad():
            x -= rate * gradient
    return np.asarray(x.detach().numpy())


def summed_to(gradient: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return gradients(lambda x: x.expand(gradient.shape), gradient, np.zeros(shape))[0]


def depth_first(inputs: Sequence[Sequence[int]], last: int) -> list[int]:
    """Each node after its inputs, the first input first; of several ways to a node, the first counts."""
    order: list[int] = []
    seen, stack = {last}, [(last, iter(inputs[last]))]
    while stack:
        node, rest = stack[-1]
        source = next((each for each in rest if each not in seen), None)
        if source is None:
            order.append(node)
            stack.pop()
        else:
            seen.add(source)
            stack.append((source, iter(inputs[source])))
    return order


def back(inputs: Sequence[Sequence[tuple[int, float]]]) -> list[float]:
    """By autograd: leaf k stands for node k's own part, which is 0."""
    own = [torch.zeros((), dtype=torch.float64, requires_grad=True) for _ in inputs]
    nodes: list[torch.Tensor] = []
    for each, sources in zip(own, inputs):
        nodes.append(each + sum(local * nodes[source] for source, local in sources))
    found = torch.autograd.grad(nodes[-1], own, allow_unused=True)
    return [0.0 if each is None else each.item() for each in found]


def by_score(values: np.ndarray, draws: np.ndarray, mean: float) -> float:
    m = torch.tensor(float(mean), dtype=torch.float64, requires_grad=True)
    log_density = torch.distributions.Normal(m, 1.0).log_prob(torch.from_numpy(draws))
    (found,) = torch.autograd.grad((torch.from_numpy(values) * log_density).mean(), m)
    return found.item()


# ---- inputs ----


def shapes(random: np.random.RandomState, size: int) -> tuple[np.ndarray, tuple[int, ...]]:
    """A gradient and the shape of an array that broadcasts to it."""
    whole = tuple(random.randint(1, 4, size=random.randint(1, min(size + 2, 4))))
    shape = tuple(1 if random.rand() < 0.5 else int(n) for n in whole)[random.randint(len(whole)) :]
    return random.randn(*whole), shape


def product(random: np.random.RandomState, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    gradient, shape = shapes(random, size)
    return gradient, random.randn(*gradient.shape), random.randn(*shape)


def dag(random: np.random.RandomState, size: int) -> list[list[int]]:
    """The inputs of each node: up to three with smaller numbers, none twice, in any order."""
    return [[int(n) for n in random.permutation(k)[: random.randint(1, 4)]] for k in range(size)]


def numbered_anew(random: np.random.RandomState, size: int) -> tuple[list[list[int]], int]:
    """A graph whose numbers say nothing of its order, and its last node; a chain of 5,000 for the largest."""
    if size >= 8:
        return [[k - 1] if k else [] for k in range(5000)], 4999
    graph, name = dag(random, size), [int(k) for k in random.permutation(size)]
    inputs: list[list[int]] = [[] for _ in graph]
    for node, sources in enumerate(graph):
        inputs[name[node]] = [name[source] for source in sources]
    return inputs, name[-1]


def symmetric(random: np.random.RandomState, size: int) -> tuple[np.ndarray, np.ndarray, float, int]:
    half = random.randn(size, size)
    return half @ half.T / size + np.eye(size), random.randn(size), 0.1, size

"""Random graphs, built twice: of the engine's arrays and of PyTorch's tensors, by one and the same code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Iterator

import numpy as np
import torch

from labs.autograd.engine import Array

SHAPES = ((), (4,), (1,), (3, 4), (1, 4), (3, 1), (4, 3), (4, 2))
LARGE = 3.0  # a node with larger numbers is squeezed by tanh, so that errors stay those of rounding

Node = Any  # an Array or a Tensor: their methods have the same names
Step = Callable[[Node, Node], Node]


def proposals(a: Node, b: Node, random: np.random.RandomState) -> Iterator[tuple[str, Step]]:
    """Every operation that these two nodes admit, as its name and a function of them."""
    try:
        np.broadcast(np.empty(tuple(a.shape)), np.empty(tuple(b.shape)))
        yield "add", lambda a, b: a + b
        yield "subtract", lambda a, b: a - b
        yield "multiply", lambda a, b: a * b
        yield "divide", lambda a, b: a / (b * b + 1.0)
    except ValueError:  # these shapes do not broadcast
        pass
    if len(a.shape) == len(b.shape) == 2 and a.shape[1] == b.shape[0]:
        yield from [("matmul", lambda a, b: a @ b)] * 8  # it is seldom possible, so it is often taken
    yield "exp", lambda a, b: a.tanh().exp()
    yield "log", lambda a, b: (a * a + 1.0).log()
    yield "power", lambda a, b: a.tanh() ** 3
    yield "relu", lambda a, b: a.relu()
    yield "negative", lambda a, b: -a
    if len(a.shape) == 2:
        dim, keepdim = int(random.randint(2)), bool(random.randint(2))
        rows, columns = a.shape
        taken = [int(k) for k in random.randint(rows, size=4)]
        yield "transpose", lambda a, b: a.t()
        yield "reshape", lambda a, b: a.reshape(columns, rows)
        yield "sum", lambda a, b: a.sum(dim=dim, keepdim=keepdim)
        yield "max", lambda a, b: a.max(dim)[0]
        yield "rows by number", lambda a, b: a[taken]
        yield "slice", lambda a, b: a[:, : max(columns - 1, 1)]


@dataclass(frozen=True)
class Program:
    """Leaves and what is done with them, one after the other; `uses` are the numbers of the two nodes of a step."""

    leaves: tuple[np.ndarray, ...]
    learns: tuple[bool, ...]  # of each leaf, whether it requires a gradient
    steps: tuple[tuple[str, Step, tuple[int, int]], ...]

    def build(self, leaf: Callable[[np.ndarray, bool], Node]) -> tuple[list[Node], list[Node]]:
        """All nodes, the leaves first, and two results: the sum of all nodes, and one that shares half of them."""
        nodes = [leaf(data, learns) for data, learns in zip(self.leaves, self.learns)]
        for _, step, (one, other) in self.steps:
            nodes.append(step(nodes[one], nodes[other]))
        sums = [node.sum() for node in nodes]
        half = len(sums) // 2
        return nodes, [_total(sums), _total([total * total for total in sums[: half + 1]])]


def _total(scalars: list[Node]) -> Node:
    total = scalars[0]
    for scalar in scalars[1:]:
        total = total + scalar
    return total


def draw(random: np.random.RandomState) -> Program:
    """A program of 3 to 5 leaves and 6 to 20 steps; any node may be used again and again."""
    leaves = [random.randn(*SHAPES[random.randint(len(SHAPES))]) for _ in range(random.randint(3, 6))]
    leaves = [np.asarray(data) for data in leaves]
    learns = (True, *(bool(random.rand() < 0.8) for _ in leaves[1:]))
    nodes = [Array(data) for data in leaves]
    steps: list[tuple[str, Step, tuple[int, int]]] = []
    for _ in range(random.randint(6, 21)):
        uses = int(random.randint(len(nodes))), int(random.randint(len(nodes)))
        possible = list(proposals(nodes[uses[0]], nodes[uses[1]], random))
        name, step = possible[random.randint(len(possible))]
        made = step(nodes[uses[0]], nodes[uses[1]])
        steps.append((name, step, uses))
        nodes.append(made)
        if np.abs(made.data).max() > LARGE:
            steps.append(("tanh", lambda a, b: a.tanh(), (len(nodes) - 1, len(nodes) - 1)))
            nodes.append(made.tanh())
    return Program(tuple(leaves), learns, tuple(steps))


@dataclass(frozen=True)
class Apart:
    """The largest differences between the engine and PyTorch on one graph, as shares of max(1, number)."""

    value: float
    gradient: float  # after one backward call
    twice: float  # after a second one on the same graph
    shared: float  # after a third one, from another result of the same graph
    steps: tuple[str, ...]


def leaf_of_torch(data: np.ndarray, learns: bool) -> torch.Tensor:
    """A leaf whose `grad` has memory of its own.

    In PyTorch 1.5.0 the leaves x and y of one number each share it after (x.sum() + y.sum()).backward(), and a second
    call adds to it twice. These random graphs found that.
    """
    leaf = torch.tensor(data, requires_grad=learns)
    if learns:
        leaf.register_hook(torch.clone)
    return leaf


def compare(program: Program) -> Apart:
    """Build the program in both, differentiate three times, and compare after each."""
    ours, (first, second) = program.build(lambda data, learns: Array(data, requires_grad=learns))
    theirs, (expected, other) = program.build(leaf_of_torch)
    value = max(_apart(mine.data, node.detach().numpy()) for mine, node in zip(ours, theirs))
    gradients = []
    for mine, node in ((first, expected), (first, expected), (second, other)):
        mine.backward()
        node.backward(retain_graph=True)
        gradients.append(max(_grad_apart(a, b) for a, b in zip(ours[: len(program.leaves)], theirs)))
    once, twice, shared = gradients
    return Apart(value, once, twice, shared, tuple(name for name, _, _ in program.steps))


def _grad_apart(mine: Array, leaf: torch.Tensor) -> float:
    if leaf.grad is None or mine.grad is None:
        return 0.0 if leaf.grad is None and mine.grad is None else np.inf
    return _apart(mine.grad, leaf.grad.numpy())


def _apart(got: np.ndarray, expected: np.ndarray) -> float:
    if got.shape != expected.shape:
        return float(np.inf)
    return float((np.abs(got - expected) / np.maximum(1, np.abs(expected))).max())

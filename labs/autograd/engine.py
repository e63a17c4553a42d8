"""Reverse-mode differentiation on NumPy arrays of float64: what autograd does, with nothing hidden.

    x = Array([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    x.grad                                       # [2. 4.]

An operation returns a new Array that knows its inputs, each with a rule: from the gradient of the result to that of the
input. `backward` goes through them once. Methods are named as PyTorch names them, so one expression runs in both.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence

import numpy as np

Rule = Callable[[np.ndarray], np.ndarray]


class Array:
    """Numbers of any shape and how they came about; `grad` is None or of the same shape."""

    def __init__(self, data: Any, requires_grad: bool = False, inputs: Sequence[tuple[Array, Rule]] = ()) -> None:
        self.data = np.asarray(data, dtype=np.float64)
        self.shape = self.data.shape
        self.inputs = [(array, rule) for array, rule in inputs if array.requires_grad]
        self.requires_grad: bool = requires_grad or bool(self.inputs)
        self.keeps_grad = not self.inputs  # a leaf does
        self.grad: np.ndarray | None = None

    def retain_grad(self) -> None:
        self.keeps_grad = True

    def backward(self, gradient: Any = None) -> None:
        """Add to every leaf's `grad` the gradient of this array, weighted by `gradient` (of its shape; 1 for a scalar).

        Gradients on the way live in this call alone, so a second call adds the same again, as in PyTorch with
        retain_graph=True. Raises RuntimeError where a gradient is missing, has another shape, or is of nothing.
        """
        if not self.requires_grad:
            raise RuntimeError("nothing that this came from requires a gradient")
        if gradient is None and self.data.size != 1:
            raise RuntimeError("only for a scalar is it clear which gradient to begin with")
        begin = np.ones(self.shape) if gradient is None else np.asarray(gradient, dtype=np.float64)
        if begin.shape != self.shape:
            raise RuntimeError(f"a gradient of shape {begin.shape} for an array of shape {self.shape}")
        arrived = {id(self): begin}
        for array in reversed(in_order(self)):  # all that use an array come before it: its gradient is complete
            total = arrived.pop(id(array))
            if array.keeps_grad:
                array.grad = total.copy() if array.grad is None else array.grad + total
            for source, rule in array.inputs:
                part = rule(total)
                arrived[id(source)] = arrived[id(source)] + part if id(source) in arrived else part

    def __add__(self, other: Any) -> Array:
        b = wrap(other)
        rules = (lambda g: unbroadcast(g, self.shape)), (lambda g: unbroadcast(g, b.shape))
        return Array(self.data + b.data, inputs=[(self, rules[0]), (b, rules[1])])

    def __mul__(self, other: Any) -> Array:
        b = wrap(other)
        rules = (lambda g: unbroadcast(g * b.data, self.shape)), (lambda g: unbroadcast(g * self.data, b.shape))
        return Array(self.data * b.data, inputs=[(self, rules[0]), (b, rules[1])])

    def __matmul__(self, b: Array) -> Array:  # (n, k) @ (k, m)
        return Array(self.data @ b.data, inputs=[(self, lambda g: g @ b.data.T), (b, lambda g: self.data.T @ g)])

    def __pow__(self, power: float) -> Array:
        return Array(self.data**power, inputs=[(self, lambda g: g * power * self.data ** (power - 1))])

    def __neg__(self) -> Array:
        return self * -1.0

    def __sub__(self, other: Any) -> Array:
        return self + -wrap(other)

    def __truediv__(self, other: Any) -> Array:
        return self * wrap(other) ** -1

    __radd__, __rmul__ = __add__, __mul__

    def exp(self) -> Array:
        result = np.exp(self.data)
        return Array(result, inputs=[(self, lambda g: g * result)])

    def log(self) -> Array:
        return Array(np.log(self.data), inputs=[(self, lambda g: g / self.data)])

    def tanh(self) -> Array:
        result = np.tanh(self.data)
        return Array(result, inputs=[(self, lambda g: g * (1 - result**2))])

    def relu(self) -> Array:
        return Array(np.maximum(self.data, 0), inputs=[(self, lambda g: g * (self.data > 0))])

    def reshape(self, *shape: int) -> Array:
        return Array(self.data.reshape(shape), inputs=[(self, lambda g: g.reshape(self.shape))])

    def t(self) -> Array:
        return Array(self.data.T, inputs=[(self, lambda g: g.T)])

    def __getitem__(self, index: Any) -> Array:
        def rule(g: np.ndarray) -> np.ndarray:
            back = np.zeros(self.shape)
            np.add.at(back, index, g)  # what was taken twice gets both gradients
            return back

        return Array(self.data[index], inputs=[(self, rule)])

    def sum(self, dim: int | None = None, keepdim: bool = False) -> Array:
        def rule(g: np.ndarray) -> np.ndarray:
            return np.broadcast_to(g if dim is None or keepdim else np.expand_dims(g, dim), self.shape)

        return Array(self.data.sum(axis=dim, keepdims=keepdim), inputs=[(self, rule)])

    def max(self, dim: int) -> tuple[Array, np.ndarray]:
        """The largest along `dim` and where it is; of equal ones the first, and that one has the gradient."""
        where = np.expand_dims(self.data.argmax(axis=dim), dim)

        def rule(g: np.ndarray) -> np.ndarray:
            back = np.zeros(self.shape)
            np.put_along_axis(back, where, np.expand_dims(g, dim), dim)
            return back

        return Array(np.take_along_axis(self.data, where, dim).squeeze(dim), inputs=[(self, rule)]), where.squeeze(dim)


def wrap(value: Any) -> Array:
    return value if isinstance(value, Array) else Array(value)


def unbroadcast(gradient: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The sum of a gradient over what broadcasting repeated, so that it has `shape` again."""
    gradient = gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))
    return gradient.sum(axis=tuple(k for k, size in enumerate(shape) if size == 1), keepdims=True)


def in_order(last: Array) -> list[Array]:
    """`last` and all arrays that it came from, each after its inputs; without recursion, for graphs of any depth."""
    order: list[Array] = []
    seen, stack = set(), [(last, False)]
    while stack:
        array, is_done = stack.pop()
        if is_done:
            order.append(array)
        elif id(array) not in seen:
            seen.add(id(array))
            stack += [(array, True), *((source, False) for source, _ in array.inputs)]
    return order

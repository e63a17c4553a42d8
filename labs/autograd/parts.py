"""Exercises that build the parts of an engine such as the one in engine.py."""

from __future__ import annotations

import numpy as np
import torch

from labkit.base.language import both
from labkit.runs.practice.sheet import fill_in
from labs.autograd.oracles import back, dag, depth_first, gradients, numbered_anew, product, shapes, summed_to

PARTS = (
    fill_in(
        "unbroadcast",
        both(
            "Sum a gradient over everything that broadcasting repeated, so that it has `shape`.",
            "对广播时重复的部分求和，使梯度的形状变回 `shape`。",
        ),
        "def unbroadcast(gradient, shape):",
        oracle=summed_to,
        cases=shapes,
        tolerance=1e-9,
        solution="gradient = gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))\n"
        "ones = tuple(k for k, size in enumerate(shape) if size == 1)\nreturn gradient.sum(axis=ones, keepdims=True)",
        hint=both(
            "First the dimensions that shape lacks, on the left; then those of size 1, with keepdims.",
            "先处理 shape 左边缺少的维，再处理大小为 1 的维，后者用 keepdims。",
        ),
        wrong=(
            "return gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))",
            "return gradient.reshape(-1)[: int(np.prod(shape))].reshape(shape)",
            "return np.broadcast_to(gradient.mean(), shape)",
        ),
    ),
    fill_in(
        "multiply_back",
        both(
            "The gradients of a and b for a * b, which broadcast; `gradient` is that of the product.",
            "a * b（会广播）中 a、b 的梯度；`gradient` 是乘积的梯度。",
        ),
        "def multiply_back(gradient, a, b):",
        oracle=lambda g, a, b: gradients(lambda a, b: a * b, g, a, b),
        cases=product,
        tolerance=1e-9,
        without=("torch",),
        solution="return unbroadcast(gradient * b, a.shape), unbroadcast(gradient * a, b.shape)",
        hint=both(
            "Each gets the other's value; unbroadcast is there already.", "各自乘上对方的值；unbroadcast 已经写好了。"
        ),
        wrong=(
            "return unbroadcast(gradient * a, a.shape), unbroadcast(gradient * b, b.shape)",
            "return gradient * b, gradient * a",
            "return unbroadcast(b, a.shape), unbroadcast(a, b.shape)",
        ),
    ),
    fill_in(
        "matmul_back",
        both("The gradients of A (n, k) and B (k, m) for A @ B.", "A @ B 中 A (n, k) 与 B (k, m) 的梯度。"),
        "def matmul_back(gradient, a, b):",
        oracle=lambda g, a, b: gradients(lambda a, b: a @ b, g, a, b),
        without=("torch",),
        cases=lambda random, size: (
            random.randn(size, size + 2),
            random.randn(size, size + 1),
            random.randn(size + 1, size + 2),
        ),
        sizes=(1, 2, 3, 5),
        tolerance=1e-9,
        solution="return gradient @ b.T, a.T @ gradient",
        hint=both("Only one product of each pair has the right shape.", "形状能对上的乘法只有一种。"),
        wrong=(
            "return b.T @ gradient, gradient @ a.T",
            "return gradient * b, gradient * a",
            "return gradient @ b.T, (a.T @ gradient) / len(gradient)",
        ),
    ),
    fill_in(
        "exp_back",
        both("The gradient of x for exp(x), given the result alone.", "只给出结果 result = exp(x)，求 x 的梯度。"),
        "def exp_back(gradient, result):",
        oracle=lambda g, r: gradients(torch.exp, g, np.log(r))[0],
        without=("torch", "exp", "log"),
        cases=lambda random, size: (random.randn(size), np.exp(random.randn(size))),
        tolerance=1e-9,
        solution="return gradient * result",
        hint=both("Its derivative is itself.", "它的导数是它自己。"),
        wrong=("return result", "return gradient / result", "return gradient"),
    ),
    fill_in(
        "sum_back",
        both(
            "The gradient of x (shape) for x.sum(dim), without that dimension in the result.",
            "x.sum(dim)（结果中没有这一维）里 x 的梯度，x 的形状是 shape。",
        ),
        "def sum_back(gradient, shape, dim):",
        oracle=lambda g, shape, dim: gradients(lambda x: x.sum(dim), g, np.zeros(shape))[0],
        cases=lambda random, size: (random.randn(size + 1), ((size + 1,) * 2), size % 2),
        tolerance=1e-9,
        without=("torch",),
        solution="return np.broadcast_to(np.expand_dims(gradient, dim), shape)",
        hint=both(
            "Everything that was added gets the same; expand_dims puts the dimension back.",
            "相加的各项得到同样的梯度；expand_dims 把那一维补回来。",
        ),
        wrong=(
            "return np.broadcast_to(gradient, shape)",
            "return np.broadcast_to(np.expand_dims(gradient, dim), shape) / shape[dim]",
        ),
    ),
    fill_in(
        "max_back",
        both(
            "The gradient of x (n, m) for the largest of each row; of equal ones the first has it.",
            "每行最大值对 x (n, m) 的梯度；相等时归第一个。",
        ),
        "def max_back(gradient, x):",
        oracle=lambda g, x: gradients(lambda x: x.gather(1, x.max(1, True)[1]).squeeze(1), g, x)[0],
        without=("torch",),
        cases=lambda random, size: (random.randn(size), random.randn(size, size + 1)),
        sizes=(1, 2, 3, 5),
        tolerance=1e-9,
        solution="back = np.zeros(x.shape)\nback[np.arange(len(x)), x.argmax(1)] = gradient\nreturn back",
        hint=both("Zeros, but for one place in each row: argmax.", "全为零，每行只有一处例外：argmax。"),
        wrong=(
            "return np.broadcast_to(gradient[:, None], x.shape)",
            "back = np.zeros(x.shape)\nback[:, x.argmax(1)] = gradient\nreturn back",
            "return (x == x.max()) * gradient[:, None]",
        ),
    ),
    fill_in(
        "index_back",
        both(
            "The gradient of x (n) for x[index]; a place may be taken more than once.",
            "x[index] 对 x (n) 的梯度；同一位置可能取多次。",
        ),
        "def index_back(gradient, index, n):",
        oracle=lambda g, index, n: gradients(lambda x: x[torch.from_numpy(index)], g, np.zeros(n))[0],
        cases=lambda random, size: (random.randn(size + 1), random.randint(size, size=size + 1), size),
        sizes=(1, 2, 3, 5),
        tolerance=1e-9,
        without=("torch",),
        solution="back = np.zeros(n)\nnp.add.at(back, index, gradient)\nreturn back",
        hint=both(
            "back[index] += gradient adds only once to each place; np.add.at adds each time.",
            "back[index] += gradient 对同一位置只加一次；np.add.at 每次都加。",
        ),
        wrong=(
            "back = np.zeros(n)\nback[index] += gradient\nreturn back",
            "back = np.zeros(n)\nback[index] = gradient\nreturn back",
            "return gradient[index]",
        ),
    ),
    fill_in(
        "backward",
        both(
            "Reverse mode. Node k is a sum of its inputs: inputs[k] lists (node, local derivative), all smaller than "
            "k. Return the derivative of the last node with respect to each, as a list.",
            "反向模式。inputs[k] 列出节点 k 的输入 (节点, 局部导数)，编号都小于 k。返回最后一个节点对每个节点的导数（"
            "列表）。",
        ),
        "def backward(inputs):",
        oracle=back,
        sizes=(1, 1, 2, 3, 3, 4, 5, 6, 8, 12),
        tolerance=1e-9,
        without=("torch",),
        cases=lambda random, size: (
            [[(source, float(random.randn())) for source in sources] for sources in dag(random, size)],
        ),
        solution="grad = [0.0] * len(inputs)\ngrad[-1] = 1.0\nfor node in reversed(range(len(inputs))):\n"
        "    for source, local in inputs[node]:\n        grad[source] += local * grad[node]\nreturn grad",
        hint=both("Begin with 1 at the end, go back, and add.", "终点取 1，往回走，累加。"),
        wrong=(
            "grad = [0.0] * len(inputs)\ngrad[-1] = 1.0\nfor node in reversed(range(len(inputs))):\n"
            "    for source, local in inputs[node]:\n        grad[source] = local * grad[node]\nreturn grad",
            "grad = [0.0] * len(inputs)\ngrad[-1] = 1.0\nfor node in range(len(inputs)):\n"
            "    for source, local in inputs[node]:\n        grad[source] += local * grad[node]\nreturn grad",
            "grad = [1.0] * len(inputs)\nfor node in reversed(range(len(inputs))):\n"
            "    for source, local in inputs[node]:\n        grad[source] += local * grad[node]\nreturn grad",
        ),
    ),
    fill_in(
        "in_order",
        both(
            "All nodes that `last` came from and itself, each after its inputs: depth first, inputs[k] from left to "
            "right. Also for a chain of 5,000 nodes.",
            "列出 `last` 及其所有来源，每个节点都排在输入之后：深度优先，inputs[k] 从左到右。5000 个节点连成的链也要"
            "能处理。",
        ),
        "def in_order(inputs, last):",
        oracle=depth_first,
        cases=numbered_anew,
        sizes=(1, 2, 3, 3, 4, 5, 6, 7, 8),
        solution="order, done, stack = [], set(), [last]\nwhile stack:\n    node = stack[-1]\n"
        "    waiting = [each for each in inputs[node] if each not in done]\n    if waiting:\n        "
        "stack.append(waiting[0])\n"
        "    else:\n        stack.pop()\n        done.add(node)\n        order.append(node)\nreturn order",
        hint=both(
            "Python allows about 1,000 calls inside each other; keep a list of where you are instead.",
            "Python 的嵌套调用约以 1000 层为限；改用一个列表记住走到哪里。",
        ),
        wrong=(
            "order = []\ndef visit(node):\n    if node not in order:\n        for each in inputs[node]:\n        "
            "    visit(each)\n"
            "        order.append(node)\nvisit(last)\nreturn order",
            "return sorted(range(len(inputs)))",
            "order, stack = [], [last]\nwhile stack:\n    node = stack.pop()\n    if node not in order:\n        "
            "order.append(node)\n"
            "        stack += inputs[node]\nreturn order[::-1]",
        ),
    ),
)

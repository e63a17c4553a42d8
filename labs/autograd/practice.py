"""The exercises of the lab autograd: what a line gives, and the parts of an engine such as the one in engine.py."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np
import torch

from labkit.base.language import both
from labkit.runs.practice.sheet import fill_in, predict

SETUP = """
import math

import numpy as np
import torch
"""


# ---- oracles: PyTorch where it can be asked, else the plain loop ----


def gradients(f: Any, gradient: Any, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
    """The gradients of the inputs that autograd finds for `f`, whose result has `gradient`."""
    leaves = [torch.tensor(each, requires_grad=True) for each in inputs]
    found = torch.autograd.grad(f(*leaves), leaves, torch.as_tensor(gradient))
    return tuple(each.numpy().copy() for each in found)


def descended(a: np.ndarray, b: np.ndarray, rate: float, steps: int) -> np.ndarray:
    x = torch.zeros(len(b), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([x], lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        (0.5 * x @ (torch.from_numpy(a) @ x) - torch.from_numpy(b) @ x).backward()
        optimizer.step()
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
    whole = tuple(random.randint(1, size + 2, size=random.randint(1, 4)))
    shape = tuple(1 if random.rand() < 0.4 else int(n) for n in whole)[random.randint(len(whole)) :]
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


SHEET = (
    predict("slope", both("The slope of the secant of x² from 3 to 4.", "x² 从 3 到 4 的割线斜率。"),
            "f = lambda x: x**2\n(f(3.0 + 1.0) - f(3.0)) / 1.0",
            hint=both("Two heights, their difference, divided by the width.", "两个高度之差除以宽度。"),
            wrong={"6.0": both("That is the tangent at 3; the secant goes to 4.", "那是 3 处切线的斜率；割线到 4 为止。"),
                   "8.0": both("That is the tangent at 4.", "那是 4 处切线的斜率。"), "16.0": None}),
    predict("tiny_step", both("The slope with a step smaller than the last digit.", "步长比最后一位数字还小时的斜率。"),
            "(math.sin(1 + 1e-17) - math.sin(1)) / 1e-17",
            hint=both("What is 1 + 1e-17 in float64?", "float64 中 1 + 1e-17 是多少？"),
            wrong={"0.5403": both("That is the derivative; but 1 + 1e-17 is 1 in float64.", "那是导数；但在 float64 中 1 + 1e-17 就是 1。"),
                   "'error'": both("Nothing fails: that is what makes it dangerous.", "并不会报错：危险就在这里。"), "float('nan')": None}),
    fill_in("central", both("The slope of f at x from x - h to x + h. f is a function of NumPy.", "f 在 x 处从 x - h 到 x + h 的斜率。f 是 NumPy 的函数。"),
            "def central(f, x, h):", oracle=lambda f, x, h: (f(x + h) - f(x - h)) / (2 * h),
            cases=lambda random, size: ((np.sin, np.exp, np.tanh)[size % 3], float(random.randn()), 0.25), tolerance=1e-9,
            solution="return (f(x + h) - f(x - h)) / (2 * h)", hint=both("The way is 2 h long.", "这段路长 2 h。"),
            wrong=("return (f(x + h) - f(x)) / h", "return (f(x + h) - f(x - h)) / h", "return f(x + h) - f(x - h) / (2 * h)")),
    predict("direction", both("x² + 3 y at (1, 2), on the way to (4, 6): how steep is it?", "x² + 3 y 在 (1, 2) 处，朝 (4, 6) 走有多陡？"),
            "gradient = torch.tensor([2.0, 3.0])\nway = torch.tensor([4.0, 6.0]) - torch.tensor([1.0, 2.0])\n(gradient @ (way / way.norm())).item()",
            hint=both("The way is (3, 4), of length 5.", "方向是 (3, 4)，长度为 5。"),
            wrong={"18.0": both("Divide by the length of the way: a slope is for one step of length 1.", "要除以方向的长度：斜率指走一个单位长度。"),
                   "5.0": both("The partial derivatives are weighted by the direction, not just added.", "偏导数要按方向加权，不是直接相加。")}),
    fill_in("descend", both("`steps` steps of gradient descent on ½ xᵀ A x - bᵀ x, from 0; A (n, n) is symmetric.",
                            "从 0 出发，对 ½ xᵀ A x - bᵀ x 做 `steps` 步梯度下降；A (n, n) 对称。"),
            "def descend(a, b, rate, steps):", oracle=descended, cases=symmetric, sizes=(1, 2, 3, 4), tolerance=1e-9,
            solution="x = np.zeros(len(b))\nfor _ in range(steps):\n    x = x - rate * (a @ x - b)\nreturn x",
            hint=both("The gradient is A x - b.", "梯度是 A x - b。"),
            wrong=("x = np.zeros(len(b))\nfor _ in range(steps):\n    x = x + rate * (a @ x - b)\nreturn x",
                   "return np.linalg.solve(a, b)",
                   "x = np.zeros(len(b))\nfor _ in range(steps):\n    x = x - rate * (0.5 * a @ x - b)\nreturn x")),
    predict("frozen", both("Which of these weights have a gradient?", "下面哪些权重有梯度？"),
            "net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))\nnet[0].weight.requires_grad = False\n"
            "net(torch.ones(1, 2)).sum().backward()\n[weight.grad is not None for weight in net.parameters()]",
            hint=both("Four: weight and bias of the first, of the second.", "共四个：第一层的权重与偏置，第二层的权重与偏置。"),
            wrong={"[False, False, True, True]": both("Only the weight was frozen, not its bias.", "只冻结了权重，没有冻结偏置。"),
                   "[True, True, True, True]": both("What is frozen gets none.", "冻结的没有梯度。"),
                   "[False, True, False, True]": None}),
    predict("chain", both("The derivative of (3 x + 1)² at 1.", "(3 x + 1)² 在 1 处的导数。"),
            "x = torch.tensor(1.0, requires_grad=True)\n((3 * x + 1) ** 2).backward()\nx.grad.item()",
            hint=both("2 u times the derivative of u.", "2 u 乘以 u 的导数。"),
            wrong={"8.0": both("The inner function has a derivative, too: 3.", "内层函数也有导数：3。"),
                   "16.0": both("That is the value.", "那是函数值。"), "6.0": None}),
    predict("paths", both("x goes two ways.", "x 走了两条路。"),
            "x = torch.tensor(2.0, requires_grad=True)\n(x * x * x + 5 * x).backward()\nx.grad.item()",
            hint=both("Add what comes back on each way.", "把每条路传回来的相加。"),
            wrong={"12.0": both("And the way through 5 x?", "还有经过 5 x 的那条路呢？"), "5.0": None, "18.0": both("That is the value.", "那是函数值。")}),
    predict("leaves", both("Which of these are leaves?", "下面哪些是叶子？"),
            "x = torch.ones(2, requires_grad=True)\n[x.is_leaf, (x * 2).is_leaf, (torch.ones(2) * 2).is_leaf, x.detach().is_leaf]",
            hint=both("Whatever no graph leads to is a leaf.", "没有计算图通向它的，就是叶子。"),
            wrong={"[True, False, False, True]": both("A result that needs no gradient has no graph, so it is a leaf.", "不需要梯度的结果没有计算图，所以也是叶子。"),
                   "[True, False, False, False]": None, "[True, True, True, True]": None}),
    predict("operation", both("Which operation does the result remember?", "结果记住的是哪个运算？"),
            "x = torch.ones(1, requires_grad=True)\ntype((x * 2 + 1).grad_fn).__name__",
            hint=both("The last one; the others are behind it.", "最后一个；其余的在它后面。"),
            wrong={"'MulBackward0'": both("That is one step further back.", "那还要再往回一步。"), "'AccumulateGrad'": None, "None": None}),
    predict("adding_up", both("Two backward calls, two graphs.", "两次 backward，两个计算图。"),
            "x = torch.tensor(3.0, requires_grad=True)\n(x * x).backward()\n(x * x).backward()\nx.grad.item()",
            hint=both("Nobody zeroed it in between.", "中间没有归零。"),
            wrong={"6.0": both("grad is added to, not replaced.", "grad 是累加，不是替换。"),
                   "'error'": both("Each call has a graph of its own.", "每次调用都有自己的计算图。"), "9.0": None}),
    predict("same_graph", both("Two backward calls, one graph.", "两次 backward，同一个计算图。"),
            "x = torch.tensor(3.0, requires_grad=True)\ny = x * x\ny.backward()\ny.backward()\nx.grad.item()",
            hint=both("What did the first call do with what y had saved?", "第一次调用对 y 保存的中间值做了什么？"),
            wrong={"12.0": both("Only with retain_graph=True in the first call.", "只有第一次用 retain_graph=True 时才是。"), "6.0": None}),
    predict("inner", both("The gradient of something on the way.", "途中节点的梯度。"),
            "x = torch.tensor(2.0, requires_grad=True)\ny = 3 * x\n(y ** 2).backward()\ny.grad",
            hint=both("Only leaves keep it, unless asked to.", "只有叶子会保留，除非另作要求。"),
            wrong={"12.0": both("It was 12, and then forgotten: y.retain_grad() keeps it.", "曾经是 12，随后就丢掉了：y.retain_grad() 才会保留。"),
                   "0.0": None, "36.0": None}),
    predict("zeroed", both("What does zero_grad leave in this PyTorch?", "在这个版本的 PyTorch 中，zero_grad 留下什么？"),
            "layer = torch.nn.Linear(1, 1)\nlayer(torch.ones(1, 1)).sum().backward()\nlayer.zero_grad()\n"
            "None if layer.bias.grad is None else layer.bias.grad.tolist()",
            hint=both("It changed with PyTorch 2.0.", "PyTorch 2.0 起变了。"),
            wrong={"[1.0]": both("That was before zero_grad.", "那是 zero_grad 之前。"), "'error'": None}),
    predict("in_place", both("A step of descent as one would write it first.", "初学者最先想到的更新写法。"),
            "w = torch.ones(1, requires_grad=True)\n(2 * w).sum().backward()\nw -= 0.1 * w.grad\nw.item()",
            hint=both("w is a leaf, and no torch.no_grad() is in sight.", "w 是叶子，又没有 torch.no_grad()。"),
            wrong={"0.8": both("It would be, under torch.no_grad().", "放在 torch.no_grad() 之下才是。"), "1.0": None}),
    fill_in("unbroadcast", both("Sum a gradient over everything that broadcasting repeated, so that it has `shape`.",
                                "对广播时重复的部分求和，使梯度的形状变回 `shape`。"),
            "def unbroadcast(gradient, shape):", oracle=summed_to, cases=shapes, tolerance=1e-9,
            solution="gradient = gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))\n"
                     "ones = tuple(k for k, size in enumerate(shape) if size == 1)\nreturn gradient.sum(axis=ones, keepdims=True)",
            hint=both("First the dimensions that shape lacks, on the left; then those of size 1, with keepdims.",
                      "先处理 shape 左边缺少的维，再处理大小为 1 的维，后者用 keepdims。"),
            wrong=("return gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))",
                   "return gradient.reshape(-1)[: int(np.prod(shape))].reshape(shape)",
                   "return np.broadcast_to(gradient.mean(), shape)")),
    fill_in("multiply_back", both("The gradients of a and b for a * b, which broadcast; `gradient` is that of the product.",
                                  "a * b（会广播）中 a、b 的梯度；`gradient` 是乘积的梯度。"),
            "def multiply_back(gradient, a, b):", oracle=lambda g, a, b: gradients(lambda a, b: a * b, g, a, b), cases=product,
            tolerance=1e-9, without=("torch",), solution="return unbroadcast(gradient * b, a.shape), unbroadcast(gradient * a, b.shape)",
            hint=both("Each gets the other's value; unbroadcast is there already.", "各自乘上对方的值；unbroadcast 已经写好了。"),
            wrong=("return unbroadcast(gradient * a, a.shape), unbroadcast(gradient * b, b.shape)", "return gradient * b, gradient * a",
                   "return unbroadcast(b, a.shape), unbroadcast(a, b.shape)")),
    fill_in("matmul_back", both("The gradients of A (n, k) and B (k, m) for A @ B.", "A @ B 中 A (n, k) 与 B (k, m) 的梯度。"),
            "def matmul_back(gradient, a, b):", oracle=lambda g, a, b: gradients(lambda a, b: a @ b, g, a, b), without=("torch",),
            cases=lambda random, size: (random.randn(size, size + 2), random.randn(size, size + 1), random.randn(size + 1, size + 2)),
            tolerance=1e-9, solution="return gradient @ b.T, a.T @ gradient",
            hint=both("Only one product of each pair has the right shape.", "形状能对上的乘法只有一种。"),
            wrong=("return b.T @ gradient, gradient @ a.T", "return gradient * b, gradient * a",
                   "return gradient @ b.T, (a.T @ gradient) / len(gradient)")),
    fill_in("exp_back", both("The gradient of x for exp(x), given the result alone.", "只给出结果 result = exp(x)，求 x 的梯度。"),
            "def exp_back(gradient, result):", oracle=lambda g, r: gradients(torch.exp, g, np.log(r))[0], without=("torch", "exp", "log"),
            cases=lambda random, size: (random.randn(size), np.exp(random.randn(size))), tolerance=1e-9, solution="return gradient * result",
            hint=both("Its derivative is itself.", "它的导数是它自己。"), wrong=("return result", "return gradient / result", "return gradient")),
    fill_in("sum_back", both("The gradient of x (shape) for x.sum(dim), without that dimension in the result.",
                             "x.sum(dim)（结果中没有这一维）里 x 的梯度，x 的形状是 shape。"),
            "def sum_back(gradient, shape, dim):", oracle=lambda g, shape, dim: gradients(lambda x: x.sum(dim), g, np.zeros(shape))[0],
            cases=lambda random, size: (random.randn(size + 1), ((size + 1,) * 2), size % 2), tolerance=1e-9, without=("torch",),
            solution="return np.broadcast_to(np.expand_dims(gradient, dim), shape)",
            hint=both("Everything that was added gets the same; expand_dims puts the dimension back.", "相加的各项得到同样的梯度；expand_dims 把那一维补回来。"),
            wrong=("return np.broadcast_to(gradient, shape)", "return np.broadcast_to(np.expand_dims(gradient, dim), shape) / shape[dim]")),
    fill_in("max_back", both("The gradient of x (n, m) for the largest of each row; of equal ones the first has it.",
                             "每行最大值对 x (n, m) 的梯度；相等时归第一个。"),
            "def max_back(gradient, x):", oracle=lambda g, x: gradients(lambda x: x.gather(1, x.max(1, True)[1]).squeeze(1), g, x)[0], without=("torch",),
            cases=lambda random, size: (random.randn(size), random.randn(size, size + 1)), sizes=(1, 2, 3, 5), tolerance=1e-9,
            solution="back = np.zeros(x.shape)\nback[np.arange(len(x)), x.argmax(1)] = gradient\nreturn back",
            hint=both("Zeros, but for one place in each row: argmax.", "全为零，每行只有一处例外：argmax。"),
            wrong=("return np.broadcast_to(gradient[:, None], x.shape)", "back = np.zeros(x.shape)\nback[:, x.argmax(1)] = gradient\nreturn back",
                   "return (x == x.max()) * gradient[:, None]")),
    fill_in("index_back", both("The gradient of x (n) for x[index]; a place may be taken more than once.", "x[index] 对 x (n) 的梯度；同一位置可能取多次。"),
            "def index_back(gradient, index, n):", oracle=lambda g, index, n: gradients(lambda x: x[torch.from_numpy(index)], g, np.zeros(n))[0],
            cases=lambda random, size: (random.randn(size + 1), random.randint(size, size=size + 1), size), sizes=(1, 2, 3, 5), tolerance=1e-9,
            without=("torch",), solution="back = np.zeros(n)\nnp.add.at(back, index, gradient)\nreturn back",
            hint=both("back[index] += gradient adds only once to each place; np.add.at adds each time.", "back[index] += gradient 对同一位置只加一次；np.add.at 每次都加。"),
            wrong=("back = np.zeros(n)\nback[index] += gradient\nreturn back", "back = np.zeros(n)\nback[index] = gradient\nreturn back", "return gradient[index]")),
    fill_in("backward", both("Reverse mode. Node k is a sum of its inputs: inputs[k] lists (node, local derivative), all smaller than k. "
                             "Return the derivative of the last node with respect to each, as a list.",
                             "反向模式。inputs[k] 列出节点 k 的输入 (节点, 局部导数)，编号都小于 k。返回最后一个节点对每个节点的导数（列表）。"),
            "def backward(inputs):", oracle=back, sizes=(1, 1, 2, 3, 3, 4, 5, 6, 8, 12), tolerance=1e-9, without=("torch",),
            cases=lambda random, size: ([[(source, float(random.randn())) for source in sources] for sources in dag(random, size)],),
            solution="grad = [0.0] * len(inputs)\ngrad[-1] = 1.0\nfor node in reversed(range(len(inputs))):\n"
                     "    for source, local in inputs[node]:\n        grad[source] += local * grad[node]\nreturn grad",
            hint=both("Begin with 1 at the end, go back, and add.", "终点取 1，往回走，累加。"),
            wrong=("grad = [0.0] * len(inputs)\ngrad[-1] = 1.0\nfor node in reversed(range(len(inputs))):\n"
                   "    for source, local in inputs[node]:\n        grad[source] = local * grad[node]\nreturn grad",
                   "grad = [0.0] * len(inputs)\ngrad[-1] = 1.0\nfor node in range(len(inputs)):\n"
                   "    for source, local in inputs[node]:\n        grad[source] += local * grad[node]\nreturn grad",
                   "grad = [1.0] * len(inputs)\nfor node in reversed(range(len(inputs))):\n"
                   "    for source, local in inputs[node]:\n        grad[source] += local * grad[node]\nreturn grad")),
    fill_in("in_order", both("All nodes that `last` came from and itself, each after its inputs: depth first, inputs[k] from left to right. "
                             "Also for a chain of 5,000 nodes.",
                             "列出 `last` 及其所有来源，每个节点都排在输入之后：深度优先，inputs[k] 从左到右。5000 个节点连成的链也要能处理。"),
            "def in_order(inputs, last):", oracle=depth_first, cases=numbered_anew, sizes=(1, 2, 3, 3, 4, 5, 6, 7, 8),
            solution="order, done, stack = [], set(), [last]\nwhile stack:\n    node = stack[-1]\n"
                     "    waiting = [each for each in inputs[node] if each not in done]\n    if waiting:\n        stack.append(waiting[0])\n"
                     "    else:\n        stack.pop()\n        done.add(node)\n        order.append(node)\nreturn order",
            hint=both("Python allows about 1,000 calls inside each other; keep a list of where you are instead.",
                      "Python 的嵌套调用约以 1000 层为限；改用一个列表记住走到哪里。"),
            wrong=("order = []\ndef visit(node):\n    if node not in order:\n        for each in inputs[node]:\n            visit(each)\n"
                   "        order.append(node)\nvisit(last)\nreturn order", "return sorted(range(len(inputs)))",
                   "order, stack = [], [last]\nwhile stack:\n    node = stack.pop()\n    if node not in order:\n        order.append(node)\n"
                   "        stack += inputs[node]\nreturn order[::-1]")),
    fill_in("score_gradient", both("Estimate d/dm E f(x), x ~ N(m, 1), from draws x and the values f(x) alone: the mean of the estimates.",
                                   "仅由样本 x 与函数值 f(x) 估计 d/dm E f(x)，x ~ N(m, 1)：返回各估计的均值。"),
            "def score_gradient(values, draws, mean):", oracle=by_score, sizes=(1, 2, 3, 5), tolerance=1e-9, without=("torch",),
            cases=lambda random, size: (random.randn(size), random.randn(size) + 2, 2.0),
            solution="return (values * (draws - mean)).mean()",
            hint=both("d/dm of log q(x) is x - m.", "log q(x) 对 m 的导数是 x - m。"),
            wrong=("return values.mean()", "return (values * (mean - draws)).mean()", "return (values * draws).mean()")),
)  # fmt: skip

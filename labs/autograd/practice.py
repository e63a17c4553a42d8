"""The exercises of the lab autograd, in the order of the notes."""

from __future__ import annotations

import numpy as np

from labkit.base.language import both
from labkit.runs.practice.sheet import fill_in, predict
from labs.autograd.oracles import by_score, descended, symmetric
from labs.autograd.parts import PARTS

SETUP = """
import math
import warnings

import numpy as np
import torch

warnings.simplefilter("ignore")  # PyTorch warns of just what some of these lines ask about
"""

SHEET = (
    predict(
        "slope",
        both("The slope of the secant of x² from 3 to 4.", "x² 从 3 到 4 的割线斜率。"),
        "f = lambda x: x**2\n(f(3.0 + 1.0) - f(3.0)) / 1.0",
        hint=both("Two heights, their difference, divided by the width.", "两个高度之差除以宽度。"),
        wrong={
            "6.0": both("That is the tangent at 3; the secant goes to 4.", "那是 3 处切线的斜率；割线到 4 为止。"),
            "8.0": both("That is the tangent at 4.", "那是 4 处切线的斜率。"),
            "16.0": None,
        },
    ),
    predict(
        "tiny_step",
        both("The slope with a step smaller than the last digit.", "步长比最后一位数字还小时的斜率。"),
        "(math.sin(1 + 1e-17) - math.sin(1)) / 1e-17",
        hint=both("What is 1 + 1e-17 in float64?", "float64 中 1 + 1e-17 是多少？"),
        wrong={
            "0.5403": both(
                "That is the derivative; but 1 + 1e-17 is 1 in float64.", "那是导数；但在 float64 中 1 + 1e-17 就是 1。"
            ),
            "'error'": both("Nothing fails: that is what makes it dangerous.", "并不会报错：危险就在这里。"),
            "float('nan')": None,
        },
    ),
    fill_in(
        "central",
        both(
            "The slope of f at x from x - h to x + h. f is a function of NumPy.",
            "f 在 x 处从 x - h 到 x + h 的斜率。f 是 NumPy 的函数。",
        ),
        "def central(f, x, h):",
        oracle=lambda f, x, h: (f(x + h) - f(x - h)) / (2 * h),
        cases=lambda random, size: ((np.sin, np.exp, np.tanh)[size % 3], float(random.randn()), 0.25),
        tolerance=1e-9,
        solution="return (f(x + h) - f(x - h)) / (2 * h)",
        hint=both("The way is 2 h long.", "这段路长 2 h。"),
        wrong=(
            "return (f(x + h) - f(x)) / h",
            "return (f(x + h) - f(x - h)) / h",
            "return f(x + h) - f(x - h) / (2 * h)",
        ),
    ),
    predict(
        "direction",
        both(
            "x² + 3 y at (1, 2), on the way to (4, 6): how steep is it?", "x² + 3 y 在 (1, 2) 处，朝 (4, 6) 走有多陡？"
        ),
        "gradient = torch.tensor([2.0, 3.0])\nway = torch.tensor([4.0, 6.0]) - torch.tensor([1.0, "
        "2.0])\n(gradient @ (way / way.norm())).item()",
        hint=both("The way is (3, 4), of length 5.", "方向是 (3, 4)，长度为 5。"),
        wrong={
            "18.0": both(
                "Divide by the length of the way: a slope is for one step of length 1.",
                "要除以方向的长度：斜率指走一个单位长度。",
            ),
            "5.0": both(
                "The partial derivatives are weighted by the direction, not just added.",
                "偏导数要按方向加权，不是直接相加。",
            ),
        },
    ),
    fill_in(
        "descend",
        both(
            "`steps` steps of gradient descent on ½ xᵀ A x - bᵀ x, from 0; A (n, n) is symmetric.",
            "从 0 出发，对 ½ xᵀ A x - bᵀ x 做 `steps` 步梯度下降；A (n, n) 对称。",
        ),
        "def descend(a, b, rate, steps):",
        oracle=descended,
        cases=symmetric,
        sizes=(1, 2, 3, 4),
        tolerance=1e-9,
        solution="x = np.zeros(len(b))\nfor _ in range(steps):\n    x = x - rate * (a @ x - b)\nreturn x",
        hint=both("The gradient is A x - b.", "梯度是 A x - b。"),
        wrong=(
            "x = np.zeros(len(b))\nfor _ in range(steps):\n    x = x + rate * (a @ x - b)\nreturn x",
            "return np.linalg.solve(a, b)",
            "x = np.zeros(len(b))\nfor _ in range(steps):\n    x = x - rate * (0.5 * a @ x - b)\nreturn x",
        ),
    ),
    predict(
        "frozen",
        both("Which of these weights have a gradient?", "下面哪些权重有梯度？"),
        "net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))\nnet[0].weight.requires_grad = False\n"
        "net(torch.ones(1, 2)).sum().backward()\n[weight.grad is not None for weight in net.parameters()]",
        hint=both(
            "Four: weight and bias of the first, of the second.", "共四个：第一层的权重与偏置，第二层的权重与偏置。"
        ),
        wrong={
            "[False, False, True, True]": both(
                "Only the weight was frozen, not its bias.", "只冻结了权重，没有冻结偏置。"
            ),
            "[True, True, True, True]": both("What is frozen gets none.", "冻结的没有梯度。"),
            "[False, True, False, True]": None,
        },
    ),
    predict(
        "chain",
        both("The derivative of (3 x + 1)² at 1.", "(3 x + 1)² 在 1 处的导数。"),
        "x = torch.tensor(1.0, requires_grad=True)\n((3 * x + 1) ** 2).backward()\nx.grad.item()",
        hint=both("2 u times the derivative of u.", "2 u 乘以 u 的导数。"),
        wrong={
            "8.0": both("The inner function has a derivative, too: 3.", "内层函数也有导数：3。"),
            "16.0": both("That is the value.", "那是函数值。"),
            "6.0": None,
        },
    ),
    predict(
        "paths",
        both("x goes two ways.", "x 走了两条路。"),
        "x = torch.tensor(2.0, requires_grad=True)\n(x * x * x + 5 * x).backward()\nx.grad.item()",
        hint=both("Add what comes back on each way.", "把每条路传回来的相加。"),
        wrong={
            "12.0": both("And the way through 5 x?", "还有经过 5 x 的那条路呢？"),
            "5.0": None,
            "18.0": both("That is the value.", "那是函数值。"),
        },
    ),
    predict(
        "leaves",
        both("Which of these are leaves?", "下面哪些是叶子？"),
        "x = torch.ones(2, requires_grad=True)\n[x.is_leaf, (x * 2).is_leaf, (torch.ones(2) * 2).is_leaf, "
        "x.detach().is_leaf]",
        hint=both("Whatever no graph leads to is a leaf.", "没有计算图通向它的，就是叶子。"),
        wrong={
            "[True, False, False, True]": both(
                "A result that needs no gradient has no graph, so it is a leaf.",
                "不需要梯度的结果没有计算图，所以也是叶子。",
            ),
            "[True, False, False, False]": None,
            "[True, True, True, True]": None,
        },
    ),
    predict(
        "operation",
        both("Which operation does the result remember?", "结果记住的是哪个运算？"),
        "x = torch.ones(1, requires_grad=True)\ntype((x * 2 + 1).grad_fn).__name__",
        hint=both("The last one; the others are behind it.", "最后一个；其余的在它后面。"),
        wrong={
            "'MulBackward0'": both("That is one step further back.", "那还要再往回一步。"),
            "'AccumulateGrad'": None,
            "None": None,
        },
    ),
    predict(
        "adding_up",
        both("Two backward calls, two graphs.", "两次 backward，两个计算图。"),
        "x = torch.tensor(3.0, requires_grad=True)\n(x * x).backward()\n(x * x).backward()\nx.grad.item()",
        hint=both("Nobody zeroed it in between.", "中间没有归零。"),
        wrong={
            "6.0": both("grad is added to, not replaced.", "grad 是累加，不是替换。"),
            "'error'": both("Each call has a graph of its own.", "每次调用都有自己的计算图。"),
            "9.0": None,
        },
    ),
    predict(
        "same_graph",
        both("Two backward calls, one graph.", "两次 backward，同一个计算图。"),
        "x = torch.tensor(3.0, requires_grad=True)\ny = x * x\ny.backward()\ny.backward()\nx.grad.item()",
        hint=both("What did the first call do with what y had saved?", "第一次调用对 y 保存的中间值做了什么？"),
        wrong={
            "12.0": both("Only with retain_graph=True in the first call.", "只有第一次用 retain_graph=True 时才是。"),
            "6.0": None,
        },
    ),
    predict(
        "inner",
        both("The gradient of something on the way.", "途中节点的梯度。"),
        "x = torch.tensor(2.0, requires_grad=True)\ny = 3 * x\n(y ** 2).backward()\ny.grad",
        hint=both("Only leaves keep it, unless asked to.", "只有叶子会保留，除非另作要求。"),
        wrong={
            "12.0": both(
                "It was 12, and then forgotten: y.retain_grad() keeps it.",
                "曾经是 12，随后就丢掉了：y.retain_grad() 才会保留。",
            ),
            "0.0": None,
            "36.0": None,
        },
    ),
    predict(
        "zeroed",
        both("What does zero_grad leave in this PyTorch?", "在这个版本的 PyTorch 中，zero_grad 留下什么？"),
        "layer = torch.nn.Linear(1, 1)\nlayer(torch.ones(1, 1)).sum().backward()\nlayer.zero_grad()\n"
        "None if layer.bias.grad is None else layer.bias.grad.tolist()",
        hint=both("It changed with PyTorch 2.0.", "PyTorch 2.0 起变了。"),
        wrong={"[1.0]": both("That was before zero_grad.", "那是 zero_grad 之前。"), "'error'": None},
    ),
    predict(
        "in_place",
        both("A step of descent as one would write it first.", "初学者最先想到的更新写法。"),
        "w = torch.ones(1, requires_grad=True)\n(2 * w).sum().backward()\nw -= 0.1 * w.grad\nw.item()",
        hint=both("w is a leaf, and no torch.no_grad() is in sight.", "w 是叶子，又没有 torch.no_grad()。"),
        wrong={"0.8": both("It would be, under torch.no_grad().", "放在 torch.no_grad() 之下才是。"), "1.0": None},
    ),
    *PARTS,
    fill_in(
        "score_gradient",
        both(
            "Estimate d/dm E f(x), x ~ N(m, 1), from draws x and the values f(x) alone: the mean of the estimates.",
            "仅由样本 x 与函数值 f(x) 估计 d/dm E f(x)，x ~ N(m, 1)：返回各估计的均值。",
        ),
        "def score_gradient(values, draws, mean):",
        oracle=by_score,
        sizes=(1, 2, 3, 5),
        tolerance=1e-9,
        without=("torch",),
        cases=lambda random, size: (random.randn(size), random.randn(size) + 2, 2.0),
        solution="return (values * (draws - mean)).mean()",
        hint=both("d/dm of log q(x) is x - m.", "log q(x) 对 m 的导数是 x - m。"),
        wrong=("return values.mean()", "return (values * (mean - draws)).mean()", "return (values * draws).mean()"),
    ),
)

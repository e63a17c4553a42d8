"""How a gradient comes about: the chain rule node by node, the graph that autograd keeps, and what it keeps of it."""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from torch import nn

from labkit.base.language import both
from labkit.runs import plots
from labkit.runs.run import Run
from labs.autograd.checks import Checks

# ---- section 35: the chain rule ----


def chain_rule(run: Run, checks: Checks) -> None:
    """z = log(1 + sin(x²)) at x = 0.9, as three functions one in the other."""
    x = torch.tensor(0.9, dtype=torch.float64, requires_grad=True)
    squared = x**2
    wave = torch.sin(squared)
    z = torch.log(1 + wave)
    for node in (squared, wave, z):
        node.retain_grad()  # inner nodes forget their gradient otherwise
    z.backward()
    local = [2 * x.item(), math.cos(squared.item()), 1 / (1 + wave.item())]
    names = ["u = x²", "v = sin u", "z = log(1 + v)"]
    formulas = ["2 x", "cos u", "1 / (1 + v)"]
    from_the_end = [math.prod(local[k:]) for k in range(3)]
    kept = [float(node.grad) for node in (x, squared, wave)]
    rows = [
        [names[k], f"{node.item():.6f}", f"{formulas[k]} = {local[k]:.6f}", f"{from_the_end[k]:.6f}", f"{kept[k]:.6f}"]
        for k, node in enumerate((squared, wave, z))
    ]
    run.table(
        "chain",
        [
            both("node", "节点"),
            both("value", "值"),
            both("its own derivative", "局部导数"),
            both("product from here to the end", "从此处到终点的乘积"),
            both("grad of its input, by autograd", "autograd 给出的输入梯度"),
        ],
        rows,
        both(
            "The chain rule on z = log(1 + sin(x²)) at x = 0.9: derivatives of single steps, multiplied from the end "
            "to the beginning.",
            "链式法则：z = log(1 + sin(x²))，x = 0.9。每一步的局部导数，从终点往起点连乘。",
        ),
    )
    h = 1e-6
    f = lambda at: math.log(1 + math.sin(at**2))  # noqa: E731
    by_secant = (f(0.9 + h) - f(0.9 - h)) / (2 * h)
    checks.hold(
        "35",
        both(
            "The product of the local derivatives is the gradient, at every node.",
            "每个节点上，局部导数的乘积就是梯度。",
        ),
        all(abs(a - b) < 1e-14 for a, b in zip(from_the_end, kept)),
    )
    checks.hold("35", both("So is the slope of the secant.", "割线的斜率也与之一致。"), abs(by_secant - kept[0]) < 1e-9)

    a = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    (a * torch.exp(a)).backward()  # two ways from a to the end
    checks.hold(
        "35",
        both("Where two ways lead to the end, their products are added.", "有两条路通往终点时，两条路的乘积相加。"),
        abs(float(a.grad) - (math.exp(2) + 2 * math.exp(2))) < 1e-12,
    )


# ---- section 36: leaves, grad, grad_fn, and the graph ----


def _edges(last: Any) -> tuple[list[Any], list[tuple[int, int]]]:
    """The nodes of autograd's graph below `last`, each once, and the pairs (node, its input) as numbers of nodes."""
    nodes, edges = [last], []
    for node in nodes:  # which grows
        for source, _ in node.next_functions:
            if source is None:  # an input that needs no gradient
                continue
            if source not in nodes:
                nodes.append(source)
            edges.append((nodes.index(node), nodes.index(source)))
    return nodes, edges


def _layers(count: int, edges: list[tuple[int, int]]) -> list[int]:
    """How many steps each node is from the end, the longest way."""
    depth = [0] * count
    for _ in range(count):
        for node, source in edges:
            depth[source] = max(depth[source], depth[node] + 1)
    return depth


def graph(run: Run, checks: Checks) -> None:
    """loss = (w x + b - y)² as autograd keeps it, with the gradient that arrives at every node."""
    w, b = (torch.tensor(value, requires_grad=True) for value in (0.5, 1.0))
    x, y = torch.tensor(3.0), torch.tensor(1.0)
    product = w * x
    guess = product + b
    residual = guess - y
    loss = residual**2
    for node in (product, guess, residual, loss):
        node.retain_grad()
    nodes, edges = _edges(loss.grad_fn)
    loss.backward(retain_graph=True)
    of: dict[Any, tuple[str, Any]] = {
        loss.grad_fn: ("loss", loss),
        residual.grad_fn: ("r = guess - y", residual),
        guess.grad_fn: ("guess = p + b", guess),
        product.grad_fn: ("p = w x", product),
    }
    texts = []
    for node in nodes:
        if hasattr(node, "variable"):  # an AccumulateGrad
            name, tensor = ("w", w) if node.variable is w else ("b", b)
        else:
            name, tensor = of[node]
        texts.append(f"{name}\n{type(node).__name__}\nvalue {tensor.item():g}, grad {float(tensor.grad):g}")
    depth = _layers(len(nodes), edges)
    figure, axes = plots.figure(width=8.2, height=2.2)
    axis = axes[0, 0]
    places = []
    for number, text in enumerate(texts):
        same = [k for k in range(len(nodes)) if depth[k] == depth[number]]
        places.append((-depth[number], 0.5 * (len(same) - 1) - same.index(number)))
        axis.text(
            *places[-1],
            text,
            ha="center",
            va="center",
            fontsize=7,
            bbox={
                "boxstyle": "round",
                "facecolor": "#fff2d9" if "Accumulate" in text else "#e6f1fa",
                "edgecolor": "#999999",
            },
        )
    for node, source in edges:
        axis.annotate(
            "",
            places[source],
            places[node],
            arrowprops={"arrowstyle": "->", "color": "#777777", "shrinkA": 34, "shrinkB": 34},
        )
    axis.set_xlim(-max(depth) - 0.6, 0.6)
    axis.set_ylim(-0.85, 0.85)
    axis.axis("off")
    run.figure(
        "graph",
        figure,
        both(
            "The graph of loss = (w x + b - y)² with w = 0.5, x = 3, b = 1, y = 1, read from grad_fn.next_functions. "
            "The arrows are the way of backward; it ends at the leaves (yellow), where the gradient is added to "
            "grad. x and y are not in it: nobody asked for their gradient.",
            "loss = (w x + b - y)² 的计算图（w = 0.5，x = 3，b = 1，y = 1），由 grad_fn.next_functions 读出。箭头是反"
            "向传播的方向，终点是叶子（黄色），梯度在那里累加到 grad。x、y 不在图中：没有人要它们的梯度。",
        ),
    )
    checks.hold(
        "36",
        both(
            "The graph has a node for every operation and one for every leaf that requires a gradient.",
            "图中每个运算一个节点，每个需要梯度的叶子一个节点。",
        ),
        len(nodes) == 6 and sum("Accumulate" in text for text in texts) == 2,
    )
    checks.hold(
        "36",
        both("grad of w is 2 r x, and of b is 2 r.", "w 的梯度是 2 r x，b 的梯度是 2 r。"),
        float(w.grad) == 2 * residual.item() * 3 and float(b.grad) == 2 * residual.item(),
    )
    checks.hold(
        "36",
        both(
            "Leaves have no grad_fn; all results on the way have one, not only the last.",
            "叶子没有 grad_fn；途中的每个结果都有，不只是最后一个。",
        ),
        w.grad_fn is None and x.is_leaf and None not in (product.grad_fn, guess.grad_fn, loss.grad_fn),
    )


def accumulation(run: Run, checks: Checks) -> None:
    """What grad is after one call, two, and after zeroing in four ways."""
    made = torch.__version__.partition("+")[0]
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = (x**2).sum()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns of exactly this
        before, inner = x.grad, y.grad
        y.backward(retain_graph=True)
        once, inner_after = x.grad.clone(), y.grad
    y.backward()
    twice = x.grad.clone()
    layer = nn.Linear(1, 1)
    layer(torch.ones(1, 1)).sum().backward()
    layer.zero_grad()
    zeroed = layer.weight.grad
    rows = [
        [both("at first", "起初"), str(before)],
        [both("after backward", "一次 backward 后"), str(once.tolist())],
        [both("after a second one", "再来一次后"), str(twice.tolist())],
        [both("of the inner node y", "中间节点 y 的 grad"), str(inner_after)],
        [both("after zero_grad()", "zero_grad() 之后"), "None" if zeroed is None else str(zeroed.tolist())],
    ]
    run.table(
        "grad",
        [both("x.grad of y = x₁² + x₂² at (1, 2)", "y = x₁² + x₂² 在 (1, 2) 处的 x.grad"), f"PyTorch {made}"],
        rows,
        both(
            "backward adds to grad. Zero it before each step, as the notes say, unless the sum is what you want: "
            "several small batches for one step, for example. zero_grad left zeros up to PyTorch 1.13 and leaves "
            "None since 2.0.",
            "backward 只做累加。笔记说每次都要先归零；除非要的正是累加，例如几个小 batch 合成一步。zero_grad 在 1.13 "
            "及以前留下 0，2.0 起留下 None。",
        ),
    )
    checks.hold(
        "36",
        both(
            "grad is None at first, and a second backward doubles it.", "grad 起初为 None，第二次 backward 使它加倍。"
        ),
        before is None and inner is None and torch.equal(twice, 2 * once) and once.tolist() == [2, 4],
    )
    checks.hold("36", both("Inner nodes do not keep their gradient.", "中间节点不保留梯度。"), inner_after is None)
    major = int(made.partition(".")[0])
    checks.hold(
        "36",
        both("zero_grad leaves None since PyTorch 2.0, zeros before.", "zero_grad 从 2.0 起留下 None，之前留下 0。"),
        zeroed is None if major >= 2 else zeroed.tolist() == [[0.0]],
    )

    half = torch.randn(2, 8, 3, dtype=torch.float64)  # two halves of a batch of 16
    weight = torch.randn(3, dtype=torch.float64, requires_grad=True)
    (torch.cat(list(half)) @ weight).pow(2).mean().backward()
    whole, weight.grad = weight.grad, None
    for part in half:
        ((part @ weight).pow(2).mean() / 2).backward()
    checks.hold(
        "36",
        both(
            "Two halves of a batch, each loss divided by 2, add up to the gradient of the whole.",
            "把 batch 分成两半，各自的 loss 除以 2，梯度累加起来等于整个 batch 的梯度。",
        ),
        torch.allclose(weight.grad, whole, rtol=1e-12, atol=1e-14),
    )

    one, other = (torch.ones(1, requires_grad=True) for _ in range(2))
    for _ in range(2):
        (one.sum() + other.sum()).backward()
    shared = one.grad.data_ptr() == other.grad.data_ptr()
    run.note(
        both(
            f"PyTorch {made}: after two backward calls of x.sum() + y.sum(), both of one number, x.grad is "
            f"{float(one.grad):g}"
            + (
                ", where 2 is right: this version let both leaves share the memory of their grad. It was mended "
                "later; here the random graphs of this lab found it."
                if shared
                else ". In PyTorch 1.5.0 it is 3: there both leaves share the memory of their grad."
            ),
            f"PyTorch {made}：对 x.sum() + y.sum()（各只有一个数）调用两次 backward，x.grad 是 {float(one.grad):g}"
            + (
                "，而正确的是 2：这个版本让两个叶子的 grad 共用了内存，后来才修好。是本实验的随机计算图发现的。"
                if shared
                else "。在 PyTorch 1.5.0 中是 3：那里两个叶子的 grad 共用了内存。"
            ),
        )
    )
    checks.hold(
        "36",
        both("That grad is 2, or 3 where the two share memory.", "上面这个 grad 是 2；共用内存时是 3。"),
        float(one.grad) == (3 if shared else 2),
    )

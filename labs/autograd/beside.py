"""The engine beside PyTorch on the same random graphs, and an engine whose inner nodes keep their gradients."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch

from labkit.base.language import both
from labkit.runs.run import Run
from labs.autograd import graphs
from labs.autograd.checks import Checks
from labs.autograd.engine import Array, in_order

VALUES, GRADIENTS = 1e-12, 1e-10  # how far the two may be apart


def backward_that_leaves_gradients(last: Array) -> None:
    """As micrograd does it: every node adds to a gradient of its own, which stays there."""
    last.grad = np.ones(last.shape)
    for array in reversed(in_order(last)):
        for source, rule in array.inputs:
            part = rule(array.grad)
            source.grad = part if source.grad is None else source.grad + part


def engine(run: Run, checks: Checks, count: int) -> float:
    """Compare both on `count` random graphs. Returns the largest difference of a gradient."""
    random = np.random.RandomState(run.seed)
    found = [graphs.compare(graphs.draw(random)) for _ in range(count)]
    worst = {name: max(getattr(each, name) for each in found) for name in ("value", "gradient", "twice", "shared")}
    used = Counter(step for each in found for step in each.steps)
    run.table(
        "engine",
        [both("compared", "对照"), both("largest difference", "最大差别"), both("allowed", "允许")],
        [
            [both("values of all nodes", "所有节点的值"), f"{worst['value']:.1e}", f"{VALUES:.0e}"],
            [both("gradients", "梯度"), f"{worst['gradient']:.1e}", f"{GRADIENTS:.0e}"],
            [both("after a second backward", "第二次 backward 之后"), f"{worst['twice']:.1e}", f"{GRADIENTS:.0e}"],
            [
                both("after a third, from another result", "第三次，从另一个结果出发"),
                f"{worst['shared']:.1e}",
                f"{GRADIENTS:.0e}",
            ],
        ],
        both(
            f"{count} random graphs in the engine of this lab and in PyTorch, float64; differences as a share of the "
            "larger of 1 and the number.",
            f"{count} 个随机计算图，本实验的引擎与 PyTorch 对照，float64；差别按 max(1, 该数) 取相对值。",
        ),
    )
    run.table(
        "operations",
        [both("operation", "运算"), both("times", "次数")],
        [[name, times] for name, times in used.most_common()],
        both("What these graphs are made of.", "这些计算图由哪些运算组成。"),
    )
    names = {
        "value": both("Its values are PyTorch's.", "引擎的值与 PyTorch 相同。"),
        "gradient": both("Its gradients are PyTorch's.", "引擎的梯度与 PyTorch 相同。"),
        "twice": both("So they are after a second backward.", "第二次 backward 之后仍相同。"),
        "shared": both("And after a third, from another result.", "从另一个结果再来一次，仍相同。"),
    }
    for name, claim in names.items():
        checks.hold("+", claim, worst[name] <= (VALUES if name == "value" else GRADIENTS))

    x = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    z = (x * 3) ** 2
    ours, theirs = Array(2.0, requires_grad=True), Array(2.0, requires_grad=True)
    ours_z, theirs_z = (ours * 3) ** 2, (theirs * 3) ** 2
    rows = []
    for call in (1, 2, 3):
        z.backward(retain_graph=True)
        ours_z.backward()
        backward_that_leaves_gradients(theirs_z)
        rows.append([call, float(x.grad), float(ours.grad), float(theirs.grad)])  # type: ignore[arg-type]
    run.table(
        "twice",
        [
            both("calls of backward", "backward 次数"),
            "PyTorch",
            both("this engine", "本实验的引擎"),
            both("inner nodes keep theirs", "中间节点保留梯度"),
        ],
        rows,
        both(
            "x.grad of z = (3 x)² at x = 2. An engine whose inner nodes keep their gradient, as micrograd's do, "
            "passes the old ones on again: right once, wrong from the second call on.",
            "z = (3 x)² 在 x = 2 处的 x.grad。若中间节点保留自己的梯度（micrograd 就是这样），旧梯度会再传一遍：第一"
            "次对，从第二次起就错了。",
        ),
    )
    checks.hold(
        "+",
        both("Two calls give twice the gradient, in PyTorch and here.", "调用两次，梯度加倍：PyTorch 与本引擎都如此。"),
        rows[1][1] == rows[1][2] == 2 * rows[0][1],
    )
    checks.hold(
        "+",
        both("With gradients left in inner nodes they give three times it.", "中间节点保留梯度时，得到的是三倍。"),
        rows[1][3] == 3 * rows[0][3],
    )
    deep = Array(1.0, requires_grad=True)
    end = deep
    for _ in range(20_000):
        end = end + 0.0
    end.backward()
    checks.hold(
        "+",
        both("A chain of 20,000 operations is no trouble.", "两万个运算连成的链也没有问题。"),
        deep.grad is not None and float(deep.grad) == 1.0,
    )
    return max(worst["gradient"], worst["twice"], worst["shared"])

"""Operations of one's own, judged by gradcheck; and layers that are frozen, or seem to be."""

from __future__ import annotations

from typing import Any, Callable

import torch
from torch import nn

from labkit.base.language import both
from labkit.runs.run import Run
from labs.autograd.checks import Checks

# ---- section 37: torch.autograd.Function ----


class Exp(torch.autograd.Function):
    """e to the x. What is saved is the result: it is the derivative, too."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        result = torch.exp(x)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (result,) = ctx.saved_tensors
        return gradient * result


class Scale(torch.autograd.Function):
    """x times a number that is no tensor: backward answers None for it."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, factor: float) -> torch.Tensor:
        ctx.factor = factor
        return x * factor

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient * ctx.factor, None


class Clamp(torch.autograd.Function):
    """x cut off at -1 and 1; outside, its gradient is 0."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x.clamp(-1, 1)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        return gradient * (x.abs() < 1).to(x.dtype)


class ClampStraightThrough(torch.autograd.Function):
    """The same result, and a gradient that passes as if nothing had been cut: no derivative, and meant so.

    Source: Bengio et al., Estimating or Propagating Gradients Through Stochastic Neurons (2013).
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clamp(-1, 1)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


class WrongSquare(torch.autograd.Function):
    """x² with a backward that forgot the 2: nothing fails, and a training would merely be slower."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        return gradient * x


def passes(f: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> bool:
    """Whether gradcheck finds the gradient of `f` at `x` to be the slope of its secants."""
    return bool(torch.autograd.gradcheck(f, (x.clone().requires_grad_(True),), raise_exception=False))


def functions(run: Run, checks: Checks) -> None:
    x = torch.tensor(
        [-2.0, -0.6, 0.3, 1.7], dtype=torch.float64
    )  # no number at an edge of clamp, where there is no slope
    cases = [
        ("Exp", Exp.apply, True),
        ("Scale", lambda x: Scale.apply(x, 3.0), True),
        ("Clamp", Clamp.apply, True),
        ("ClampStraightThrough", ClampStraightThrough.apply, False),
        ("WrongSquare", WrongSquare.apply, False),
    ]
    rows = []
    for name, f, right in cases:
        leaf = x.clone().requires_grad_(True)
        f(leaf).sum().backward()
        found = passes(f, x)
        rows.append(
            [
                name,
                str([round(float(g), 4) for g in leaf.grad]),
                both("passes", "通过") if found else both("fails", "不通过"),
            ]
        )
        checks.hold(
            "37", both(f"gradcheck judges {name} as it should.", f"gradcheck 对 {name} 的判断正确。"), found == right
        )
    run.table(
        "functions",
        ["Function", both("gradient at -2, -0.6, 0.3, 1.7", "在 -2、-0.6、0.3、1.7 处的梯度"), "gradcheck"],
        rows,
        both(
            "gradcheck compares backward with secants, in float64. ClampStraightThrough fails by intention: its "
            "gradient is no derivative. WrongSquare forgot a factor of 2, which nothing else would tell.",
            "gradcheck 用 float64 把 backward 与差商对照。ClampStraightThrough 不通过是有意为之：它的梯度本来就不是导"
            "数。WrongSquare 漏了系数 2，除此之外没有任何提示。",
        ),
    )
    checks.hold(
        "37",
        both("Exp can be differentiated twice.", "Exp 可以求二阶导。"),
        torch.autograd.gradgradcheck(Exp.apply, (x.clone().requires_grad_(True),)),
    )
    single = x.float().requires_grad_(True)
    step = 1e-6
    with torch.no_grad():
        slope = (Exp.apply(single + step) - Exp.apply(single - step)) / (2 * step)
    checks.hold(
        "37",
        both(
            "In float32 the secants themselves are off by more than 1 %: gradcheck needs float64.",
            "在 float32 中差商本身的误差就超过 1%：gradcheck 必须用 float64。",
        ),
        ((slope - torch.exp(single)).abs() / torch.exp(single)).max() > 0.01,
    )
    leaf = torch.tensor([3.0], requires_grad=True)
    (given,) = torch.autograd.grad(WrongSquare.apply(leaf), leaf, torch.tensor([10.0]))
    checks.hold(
        "37",
        both(
            "backward receives the gradient of the scalar for the outputs (the notes have it the other way round), "
            "and returns that for the inputs.",
            "backward 收到的是标量对输出的梯度（笔记把方向写反了），返回的是标量对输入的梯度。",
        ),
        float(given) == 30.0,
    )
    checks.hold(
        "37",
        both("apply comes down from _FunctionBase.", "apply 来自 _FunctionBase。"),
        hasattr(torch._C._FunctionBase, "apply") and issubclass(torch.autograd.Function, torch._C._FunctionBase),
    )


# ---- section 34: Variable is Tensor; freezing ----

OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1),
    "SGD, momentum 0.9": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "SGD, weight decay 0.01": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.01),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "Adam, weight decay 0.01": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.01),
}


def moved(make: Callable[[Any], torch.optim.Optimizer], after: int, zero: str) -> float:
    """How far, at most, a weight of the first layer moves in 10 steps after it was frozen.

    `after` so many steps it is frozen. `zero` is what happens to gradients before each step: "zero_grad", the
    optimizer's own; "zeros"; or "none", which takes them away.
    """
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    inputs, targets = torch.randn(32, 4), torch.randn(32, 1)
    optimizer = make(network.parameters())
    begin = network[0].weight.detach().clone()
    for step in range(after + 10):
        if step == after:
            for weight in network[0].parameters():
                weight.requires_grad_(False)
            begin = network[0].weight.detach().clone()
        if zero == "zero_grad":
            optimizer.zero_grad()
        else:
            for weight in network.parameters():
                weight.grad = None if zero == "none" or weight.grad is None else torch.zeros_like(weight)
        nn.functional.mse_loss(network(inputs), targets).backward()
        optimizer.step()
    return float((network[0].weight - begin).abs().max())


def freezing(run: Run, checks: Checks) -> None:
    made = torch.__version__.partition("+")[0]
    ways = ((0, "zero_grad"), (10, "zero_grad"), (10, "zeros"), (10, "none"))
    found = {name: [moved(make, after, zero) for after, zero in ways] for name, make in OPTIMIZERS.items()}
    run.table(
        "freezing",
        [
            both("optimizer", "优化器"),
            both("from the start", "一开始就冻结"),
            both(f"zero_grad() of {made}", f"{made} 的 zero_grad()"),
            both("grad 0", "grad 置 0"),
            both("grad None", "grad 置 None"),
        ],
        [[name, *(f"{value:.2g}" for value in values)] for name, values in found.items()],
        both(
            "How far a weight of a frozen layer moves in 10 more steps: frozen from the start, or after 10 steps, "
            "with three ways to zero gradients. An optimizer passes over a weight whose grad is None; one whose grad "
            "is 0 still has momentum, or weight decay. Up to PyTorch 1.13 zero_grad leaves zeros, so a layer frozen "
            "in the middle of a training goes on moving there. Take its grad away, or give the optimizer only the "
            "rest.",
            "冻结之后再训练 10 步，权重移动了多少：一开始就冻结，或先训练 10 步再冻结并用三种方式归零。grad 为 None "
            "的权重会被优化器跳过；grad 为 0 的仍有动量或权重衰减在推它。PyTorch 1.13 及以前的 zero_grad 留下的是 0，"
            "所以训练中途冻结的层会继续移动。把它的 grad 设为 None，或者只把其余参数交给优化器。",
        ),
    )
    checks.hold(
        "34",
        both(
            "A layer frozen from the start keeps every bit, also with weight decay.",
            "一开始就冻结的层，一个比特都不变，有权重衰减也一样。",
        ),
        all(values[0] == 0 for values in found.values()),
    )
    checks.hold(
        "34",
        both(
            "Frozen in the middle, with gradients of None, it keeps every bit, too.",
            "中途冻结且梯度为 None，同样一个比特都不变。",
        ),
        all(values[3] == 0 for values in found.values()),
    )
    checks.hold(
        "34",
        both(
            "With gradients of 0 momentum, weight decay and Adam go on moving it.",
            "梯度为 0 时，动量、权重衰减和 Adam 会继续移动它。",
        ),
        found["SGD"][2] == 0 and all(values[2] > 1e-4 for name, values in found.items() if name != "SGD"),
    )
    same_as = 3 if int(made.partition(".")[0]) >= 2 else 2
    checks.hold(
        "34",
        both(
            "zero_grad of PyTorch 2 is as None, of older ones as 0.",
            "PyTorch 2 的 zero_grad 等同于置 None，更早的等同于置 0。",
        ),
        all(values[1] == values[same_as] for values in found.values()),
    )
    checks.hold(
        "34",
        both("Variable makes a Tensor, and nothing else.", "Variable 得到的就是 Tensor，别无其他。"),
        type(torch.autograd.Variable(torch.ones(1))) is torch.Tensor,
    )

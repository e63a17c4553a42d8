"""Two ways to the gradient of a mean over random draws, and how much each of them scatters."""

from __future__ import annotations

import math
from typing import Callable

import numpy as np
import torch
from torch.distributions import Normal

from labkit.base.language import both
from labkit.runs import plots
from labkit.runs.run import Run
from labs.autograd.checks import Checks

MEAN = 1.5  # of the distribution N(MEAN, 1); its derivative is looked for

Function = Callable[[torch.Tensor], torch.Tensor]


def estimates(f: Function, way: str, draws: int, baseline: float = 0.0) -> np.ndarray:
    """So many estimates of d/dm E f(x) with x ~ N(m, 1) at m = MEAN, each from one draw: float64 (draws,)."""
    means = torch.full((draws,), MEAN, dtype=torch.float64, requires_grad=True)  # a leaf of its own for each draw
    law = Normal(means, torch.ones_like(means))
    if way == "pathwise":
        value = f(law.rsample())  # x = m + noise: the gradient goes through f
    else:
        x = law.sample()  # a number; the gradient goes through its probability alone
        value = (f(x) - baseline) * law.log_prob(x)
    (found,) = torch.autograd.grad(value.sum(), means)
    return found.numpy()


def square(x: torch.Tensor) -> torch.Tensor:
    return x**2


def step(x: torch.Tensor) -> torch.Tensor:
    """1 where x > 0, else 0. Its derivative is 0 nearly everywhere, and so says autograd."""
    return (torch.sign(x) + 1) / 2


def estimators(run: Run, checks: Checks, draws: int) -> float:
    """Compare both, with the variances that pen and paper give for f(x) = x². Returns the ratio of the variances."""
    torch.manual_seed(run.seed)
    m = MEAN
    b = m**2 + 1  # the mean of f: the baseline
    # With x = m + e: E x⁴e² = m⁴ + 18 m² + 15 and E x²e² = m² + 3, from E e² = 1, E e⁴ = 3, E e⁶ = 15.
    second, first = m**4 + 18 * m**2 + 15, m**2 + 3
    by_hand = {
        "pathwise": 4.0,
        "score": second - (2 * m) ** 2,
        "score, with baseline": second - 2 * b * first + b**2 - (2 * m) ** 2,
    }
    found = {
        "pathwise": estimates(square, "pathwise", draws),
        "score": estimates(square, "score", draws),
        "score, with baseline": estimates(square, "score", draws, baseline=b),
    }
    steps = {"pathwise": estimates(step, "pathwise", draws), "score": estimates(step, "score", draws)}
    density = math.exp(-(m**2) / 2) / math.sqrt(2 * math.pi)  # the derivative of P(x > 0)
    zh = {"pathwise": "路径导数", "score": "得分函数", "score, with baseline": "得分函数，减去基线"}
    rows = [
        [
            both(name, zh[name]),
            "x²",
            f"{values.mean():.3f}",
            f"{2 * m:.3f}",
            f"{values.var():.2f}",
            f"{by_hand[name]:.2f}",
        ]
        for name, values in found.items()
    ]
    rows += [
        [
            both(name, zh[name]),
            both("1 if x > 0, else 0", "x > 0 时为 1，否则为 0"),
            f"{values.mean():.4f}",
            f"{density:.4f}",
            f"{values.var():.3f}",
            "–",
        ]
        for name, values in steps.items()
    ]
    run.table(
        "estimators",
        [
            both("estimator", "估计"),
            "f(x)",
            both("mean", "均值"),
            both("true gradient", "真实梯度"),
            both("variance", "方差"),
            both("variance by hand", "手算方差"),
        ],
        rows,
        both(
            f"d/dm E f(x), x ~ N(m, 1), m = {m}, {draws:,} draws. Both are right on average for x², and the score "
            "function scatters far more. For a step only it is right: no gradient goes through a step.",
            f"d/dm E f(x)，x ~ N(m, 1)，m = {m}，抽样 {draws:,} 次。对 x² 两种估计平均都对，但得分函数的方差大得多。对"
            "阶跃函数只有它是对的：梯度穿不过阶跃。",
        ),
    )
    figure, axes = plots.figure(width=6.5, height=3.2)
    for name, values in found.items():
        axes[0, 0].hist(values, bins=np.linspace(-6, 20, 105), density=True, histtype="step", linewidth=1.5, label=name)
    axes[0, 0].axvline(2 * m, color="#333333", linestyle="--", linewidth=1, label="true gradient")
    axes[0, 0].set_xlabel("estimate of the gradient from one draw")
    axes[0, 0].set_ylabel("density")
    axes[0, 0].legend(fontsize=8)
    run.figure(
        "estimators",
        figure,
        both(
            "The same gradient, estimated from one draw at a time, for f(x) = x².",
            "同一个梯度，每次只用一个样本估计，f(x) = x²。",
        ),
    )
    for name, values in found.items():
        off = abs(values.mean() - 2 * m) / (math.sqrt(by_hand[name] / draws))
        checks.hold(
            "19",
            both(
                f"{name}: right on average, within 5 standard errors.", f"{zh[name]}：平均正确，误差在 5 个标准误以内。"
            ),
            off < 5,
        )
        checks.hold(
            "19",
            both(f"{name}: its variance is the one by hand, within 20 %.", f"{zh[name]}：方差与手算相差不到 20%。"),
            abs(values.var() / by_hand[name] - 1) < 0.2,
        )
    checks.hold(
        "19",
        both("A baseline halves the variance, nearly.", "减去基线使方差减少近一半。"),
        found["score, with baseline"].var() < 0.65 * found["score"].var(),
    )
    checks.hold(
        "19",
        both(
            "Through a step the pathwise gradient is 0, always; the score function is right.",
            "穿过阶跃函数的路径导数恒为 0；得分函数仍然正确。",
        ),
        not steps["pathwise"].any() and abs(steps["score"].mean() - density) < 5 / math.sqrt(draws),
    )
    return float(found["score"].var() / found["pathwise"].var())

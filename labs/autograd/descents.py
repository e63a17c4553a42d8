"""The way down, section 33: gradient descent on the map of its loss, and how long a step may be."""

from __future__ import annotations

import numpy as np
import torch

from labkit.base.language import both
from labkit.runs import plots
from labkit.runs.run import Run
from labs.autograd.checks import Checks
from labs.autograd.slopes import contours

STEPS, START = 60, (-1.5, 2.4)


def data(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs (40, 2), a column of ones and x, and targets (40,) near 1 + 2 x."""
    random = np.random.RandomState(seed)
    x = random.uniform(-1, 2, 40)
    y = 1 + 2 * x + random.normal(0, 0.3, 40)
    return torch.from_numpy(np.stack([np.ones(40), x], axis=1)), torch.from_numpy(y)


def descend(inputs: torch.Tensor, targets: torch.Tensor, rate: float) -> torch.Tensor:
    """The weights on the way, (STEPS + 1, 2), from START."""
    w = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    path = [w.detach().clone()]
    for _ in range(STEPS):
        loss = ((inputs @ w - targets) ** 2).mean()
        (gradient,) = torch.autograd.grad(loss, w)
        with torch.no_grad():
            w -= rate * gradient
        path.append(w.detach().clone())
    return torch.stack(path)


def descents(run: Run, checks: Checks) -> None:
    inputs, targets = data(run.seed)
    best = np.linalg.solve((inputs.t() @ inputs).numpy(), (inputs.t() @ targets).numpy())  # the normal equation
    curvature = np.linalg.eigvalsh((2 / len(inputs) * inputs.t() @ inputs).numpy())
    limit = 2 / curvature[-1]  # where a step along the steepest axis leads as far beyond the floor as it began
    shares = {
        "a tenth of the limit": 0.1,
        "half of the limit": 0.5,
        "0.97 of the limit": 0.97,
        "1.02 of the limit": 1.02,
    }
    paths = {name: descend(inputs, targets, share * limit).numpy() for name, share in shares.items()}
    figure, axes = plots.figure(1, 2, width=8.4, height=3.8)
    left, right = axes[0]
    contours(left, lambda w: ((inputs @ w - targets.unsqueeze(1)) ** 2).mean(dim=0), (-2, 4), (-1, 5))
    for name, path in paths.items():
        left.plot(*path[:20].T, "o-", markersize=2.5, linewidth=1.1)
        right.semilogy(np.linalg.norm(path - best, axis=1) + 1e-17, label=name)
    left.plot(*best, "k+", markersize=11)
    left.set_xlabel("w0")
    left.set_ylabel("w1")
    right.set_xlabel("step")
    right.set_ylabel("distance to the optimum")
    right.legend(fontsize=7.5)
    figure.tight_layout()
    run.figure(
        "descent",
        figure,
        both(
            "Gradient descent on loss(w) = mean (w0 + w1 x - y)². Every step is at a right angle to the line it "
            f"begins on. The curvature sets the limit: rates above {limit:.3f} lead away (the cross is the solution "
            "of the normal equation).",
            "在 loss(w) = mean (w0 + w1 x - y)² 上做梯度下降。每一步都与出发处的等高线垂直。学习率的上限由曲率决定："
            f"超过 {limit:.3f} 就会越走越远（十字是正规方程的解）。",
        ),
    )
    rows = [
        [
            both(
                name,
                {0.1: "上限的十分之一", 0.5: "上限的一半", 0.97: "上限的 0.97 倍", 1.02: "上限的 1.02 倍"}[
                    shares[name]
                ],
            ),
            f"{shares[name] * limit:.3f}",
            f"{np.linalg.norm(path[-1] - best):.1e}",
        ]
        for name, path in paths.items()
    ]
    run.table(
        "descents",
        [both("rate", "学习率"), both("number", "数值"), both("distance after 60 steps", "60 步后的距离")],
        rows,
        both("How far from the optimum each of them ends.", "各学习率最终离最优解多远。"),
    )
    far = {shares[name]: np.linalg.norm(path - best, axis=1) for name, path in paths.items()}
    checks.hold(
        "33",
        both("Half of the limit finds the solution of the normal equation.", "取上限的一半，能找到正规方程的解。"),
        far[0.5][-1] < 1e-4,
    )
    checks.hold(
        "33",
        both(
            "Below the limit 2 / curvature every step comes nearer, above it the way leads off.",
            "学习率低于 2 / 曲率时越走越近，高于它则越走越远。",
        ),
        (np.diff(far[0.97]) < 0).all() and far[1.02][-1] > far[1.02][20],
    )
    checks.hold(
        "33",
        both("The gradient at the optimum is zero.", "最优解处梯度为零。"),
        np.abs((inputs.t() @ (inputs @ torch.from_numpy(best) - targets)).numpy()).max() < 1e-10,
    )

"""Slopes and descents: the derivative as a limit that a computer cannot take, all directions, the way down."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from labkit.base.language import both
from labkit.runs import plots
from labkit.runs.run import Run
from labs.autograd.checks import Checks

# ---- section 32: the derivative ----

WIDTHS = np.array([10.0**-k for k in range(13)])  # h from 1 to 1e-12
AT = 1.0


def secant_errors() -> dict[str, np.ndarray]:
    """How far three slopes of sin at 1 are from cos 1, for each h: one-sided in float64 and float32, two-sided."""
    found = {}
    for name, dtype, left in (("one-sided, float64", np.float64, 0), ("one-sided, float32", np.float32, 0),
                              ("two-sided, float64", np.float64, 1)):  # fmt: skip
        h, x = WIDTHS.astype(dtype), dtype(AT)
        slope = (np.sin(x + h) - np.sin(x - left * h)) / ((1 + left) * h)
        found[name] = np.abs(slope.astype(np.float64) - math.cos(AT))
    return found


def secants(run: Run, checks: Checks) -> None:
    errors = secant_errors()
    x = torch.tensor(AT, dtype=torch.float64, requires_grad=True)
    (exact,) = torch.autograd.grad(torch.sin(x), x)
    complex_step = (np.sin(AT + 1e-200j) / 1e-200).imag  # no difference, so nothing to round away
    one, two = errors["one-sided, float64"], errors["two-sided, float64"]
    best = {name: WIDTHS[error.argmin()] for name, error in errors.items()}
    figure, axes = plots.figure(width=6.5, height=3.6)
    for name, error in errors.items():
        axes[0, 0].loglog(WIDTHS, np.maximum(error, 1e-17), "o-", markersize=3.5, label=name)
    axes[0, 0].set_xlabel("h")
    axes[0, 0].set_ylabel("error of the slope")
    axes[0, 0].invert_xaxis()
    axes[0, 0].legend(fontsize=8)
    axes[0, 0].annotate("truncation", (0.7, 1e-6), fontsize=8)
    axes[0, 0].annotate("rounding", (3e-10, 3e-10), fontsize=8)
    run.figure("secant", figure, both(
        "The slope of the secant of sin at 1, against its derivative cos 1. A smaller h helps until the two values of "
        "sin agree in nearly all digits; from there the difference is mostly rounding, and dividing by h enlarges it.",
        "sin 在 1 处割线的斜率与导数 cos 1 之差。h 变小，误差先减小；等到两个函数值几乎所有数位都相同，差值里剩下的主要是舍入误差，"
        "再除以 h 就被放大。"))  # fmt: skip
    rows = [[f"{h:.0e}", *(f"{error[k]:.1e}" for error in errors.values())] for k, h in enumerate(WIDTHS)]
    run.table("secants", ["h", both("one-sided, float64", "单侧，float64"), both("one-sided, float32", "单侧，float32"),
                          both("two-sided, float64", "双侧，float64")], rows,
              both("The same as numbers. The derivative itself is 0.5403.", "同样的误差，以数字列出。导数本身是 0.5403。"))  # fmt: skip
    checks.hold("32", both("The error of the one-sided slope falls as h, of the two-sided one as h².",
                           "单侧差商的误差与 h 成正比，双侧的与 h² 成正比。"),
                8 < one[2] / one[3] < 12 and 80 < two[1] / two[2] < 120)  # fmt: skip
    checks.hold("32", both("Then rounding takes over: the best h is near the root of the rounding error for the one, "
                           "near its cube root for the other, and in float32 it is far larger.",
                           "再往后舍入误差占上风：单侧的最佳 h 约为机器精度的平方根，双侧约为立方根，float32 的则大得多。"),
                1e-9 <= best["one-sided, float64"] <= 1e-7 and 1e-7 <= best["two-sided, float64"] <= 1e-4
                and best["one-sided, float32"] >= 1e-4)  # fmt: skip
    checks.hold("32", both("With h = 1e-12 the slope is worse than with h = 1e-6.", "h = 1e-12 的结果比 h = 1e-6 差。"),
                one[12] > 10 * one[6])  # fmt: skip
    checks.hold("32", both("Autograd has no h: it is right to the last digits. So is a step along the imaginary axis.",
                           "autograd 不用 h，精确到最后几位；沿虚轴走一小步也是如此。"),
                abs(float(exact) - math.cos(AT)) < 1e-15 and abs(complex_step - math.cos(AT)) < 1e-15)  # fmt: skip


# ---- section 32: directions ----

POINT = (0.8, -0.5)


def hill(at: Any) -> Any:
    """A smooth function of the plane: `at` is (2,) or (2, N), a tensor."""
    x, y = at
    return torch.sin(2 * x) + x * y + 0.5 * y**2


def directions(run: Run, checks: Checks) -> None:
    point = torch.tensor(POINT, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(hill(point), point)
    degrees = torch.arange(360, dtype=torch.float64)
    angle = degrees * math.pi / 180
    unit = torch.stack([torch.cos(angle), torch.sin(angle)])  # (2, 360)
    start, h = point.detach().unsqueeze(1), 1e-5
    measured = (hill(start + h * unit) - hill(start - h * unit)) / (2 * h)  # (360,), without any gradient
    by_gradient = gradient @ unit
    _, by_jvp = torch.autograd.functional.jvp(hill, point.detach(), unit[:, 37].clone())
    steepest, of_gradient = int(measured.argmax()), math.degrees(math.atan2(gradient[1], gradient[0])) % 360
    partial = [measured[0], measured[90]]

    figure, axes = plots.figure(1, 2, width=8, height=3.6)
    left, right = axes[0]
    left.plot(degrees, measured)
    left.axvline(of_gradient, color=plots.COLOURS[1], linestyle="--", label="direction of the gradient")
    left.axhline(float(gradient.norm()), color="#888888", linewidth=0.9, label="its length")
    left.set_xlabel("direction, degrees")
    left.set_ylabel("slope")
    left.set_xticks(range(0, 361, 90))
    left.set_ylim(-1.05, 0.75)
    left.legend(fontsize=7.5, loc="lower left")
    _contours(right, hill, (-0.2, 1.8), (-1.5, 0.5))
    right.annotate("", (POINT[0] + float(gradient[0]) / 2, POINT[1] + float(gradient[1]) / 2), POINT,
                   arrowprops={"arrowstyle": "->", "color": plots.COLOURS[1], "linewidth": 2})  # fmt: skip
    right.plot(*POINT, "o", color=plots.COLOURS[1])
    figure.tight_layout()
    run.figure("directions", figure, both(
        "Left: the slope at one point in 360 directions. Right: the point on the map; the arrow is half the gradient, "
        "at a right angle to the line of equal height.",
        "左：同一点沿 360 个方向的斜率。右：该点在等高线图上的位置，箭头是梯度的一半，与等高线垂直。"))  # fmt: skip
    checks.hold("32", both("In each of 360 directions u the slope is gradient · u.", "360 个方向 u 上的斜率都等于 梯度 · u。"),
                (measured - by_gradient).abs().max() < 1e-9)  # fmt: skip
    checks.hold("32", both("autograd.functional.jvp gives it without the gradient.", "autograd.functional.jvp 不求梯度也能给出它。"),
                abs(by_jvp - by_gradient[37]) < 1e-12)  # fmt: skip
    checks.hold("32", both("The steepest of them is the gradient's, to the degree, and as steep as the gradient is long.",
                           "最陡的方向就是梯度的方向（精确到度），其斜率等于梯度的长度。"),
                abs(steepest - of_gradient) <= 0.5 and abs(measured.max() - gradient.norm()) < 1e-3)  # fmt: skip
    checks.hold("32", both("The partial derivatives are the slopes along the axes.", "偏导数就是沿坐标轴方向的斜率。"),
                all(abs(a - b) < 1e-9 for a, b in zip(partial, gradient)))  # fmt: skip
    checks.hold("32", both("At a right angle to the gradient it is level.", "与梯度垂直的方向上，斜率为零。"),
                abs(gradient @ torch.stack([-gradient[1], gradient[0]])) < 1e-12)  # fmt: skip


def _contours(axis: Any, f: Any, x: tuple[float, float], y: tuple[float, float]) -> None:
    """The lines of equal height of `f` in a rectangle, wider apart in height where it is high."""
    a, b = np.meshgrid(np.linspace(*x, 120), np.linspace(*y, 120))
    heights = f(torch.from_numpy(np.stack([a.ravel(), b.ravel()]))).reshape(a.shape).numpy()
    levels = heights.min() + (heights.max() - heights.min()) * np.linspace(0.04, 1, 20) ** 2
    axis.contour(a, b, heights, levels=levels, colors="#b0b0b0", linewidths=0.7)
    axis.set_xlim(*x)
    axis.set_ylim(*y)
    axis.set_aspect("equal")
    axis.grid(False)


# ---- section 33: the way down ----

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
    shares = {"a tenth of the limit": 0.1, "half of the limit": 0.5, "0.97 of the limit": 0.97, "1.02 of the limit": 1.02}
    paths = {name: descend(inputs, targets, share * limit).numpy() for name, share in shares.items()}
    figure, axes = plots.figure(1, 2, width=8.4, height=3.8)
    left, right = axes[0]
    _contours(left, lambda w: ((inputs @ w - targets.unsqueeze(1)) ** 2).mean(dim=0), (-2, 4), (-1, 5))
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
    run.figure("descent", figure, both(
        f"Gradient descent on loss(w) = mean (w0 + w1 x - y)². Every step is at a right angle to the line it begins on. "
        f"The curvature sets the limit: rates above {limit:.3f} lead away (the cross is the solution of the normal "
        "equation).",
        f"在 loss(w) = mean (w0 + w1 x - y)² 上做梯度下降。每一步都与出发处的等高线垂直。学习率的上限由曲率决定：超过 {limit:.3f} 就会"
        "越走越远（十字是正规方程的解）。"))  # fmt: skip
    rows = [[both(name, {0.1: "上限的十分之一", 0.5: "上限的一半", 0.97: "上限的 0.97 倍", 1.02: "上限的 1.02 倍"}[shares[name]]),
             f"{shares[name] * limit:.3f}", f"{np.linalg.norm(path[-1] - best):.1e}"] for name, path in paths.items()]  # fmt: skip
    run.table("descents", [both("rate", "学习率"), both("number", "数值"), both("distance after 60 steps", "60 步后的距离")], rows,
              both("How far from the optimum each of them ends.", "各学习率最终离最优解多远。"))  # fmt: skip
    far = {shares[name]: np.linalg.norm(path - best, axis=1) for name, path in paths.items()}
    checks.hold("33", both("Half of the limit finds the solution of the normal equation.", "取上限的一半，能找到正规方程的解。"),
                far[0.5][-1] < 1e-4)  # fmt: skip
    checks.hold("33", both("Below the limit 2 / curvature every step comes nearer, above it the way leads off.",
                           "学习率低于 2 / 曲率时越走越近，高于它则越走越远。"),
                (np.diff(far[0.97]) < 0).all() and far[1.02][-1] > far[1.02][20])  # fmt: skip
    checks.hold("33", both("The gradient at the optimum is zero.", "最优解处梯度为零。"),
                np.abs((inputs.t() @ (inputs @ torch.from_numpy(best) - targets)).numpy()).max() < 1e-10)  # fmt: skip

"""Slopes, section 32: the derivative as a limit that a computer cannot take, and the slopes in all directions."""

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
    for name, dtype, left in (
        ("one-sided, float64", np.float64, 0),
        ("one-sided, float32", np.float32, 0),
        ("two-sided, float64", np.float64, 1),
    ):
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
    run.figure(
        "secant",
        figure,
        both(
            "The slope of the secant of sin at 1, against its derivative cos 1. A smaller h helps until the two "
            "values of sin agree in nearly all digits; from there the difference is mostly rounding, and dividing by "
            "h enlarges it.",
            "sin 在 1 处割线的斜率与导数 cos 1 之差。h 变小，误差先减小；等到两个函数值几乎所有数位都相同，差值里剩下"
            "的主要是舍入误差，再除以 h 就被放大。",
        ),
    )
    rows = [[f"{h:.0e}", *(f"{error[k]:.1e}" for error in errors.values())] for k, h in enumerate(WIDTHS)]
    run.table(
        "secants",
        [
            "h",
            both("one-sided, float64", "单侧，float64"),
            both("one-sided, float32", "单侧，float32"),
            both("two-sided, float64", "双侧，float64"),
        ],
        rows,
        both("The same as numbers. The derivative itself is 0.5403.", "同样的误差，以数字列出。导数本身是 0.5403。"),
    )
    checks.hold(
        "32",
        both(
            "The error of the one-sided slope falls as h, of the two-sided one as h².",
            "单侧差商的误差与 h 成正比，双侧的与 h² 成正比。",
        ),
        8 < one[2] / one[3] < 12 and 80 < two[1] / two[2] < 120,
    )
    checks.hold(
        "32",
        both(
            "Then rounding takes over: the best h is near the root of the rounding error for the one, near its cube "
            "root for the other, and in float32 it is far larger.",
            "再往后舍入误差占上风：单侧的最佳 h 约为机器精度的平方根，双侧约为立方根，float32 的则大得多。",
        ),
        1e-9 <= best["one-sided, float64"] <= 1e-7
        and 1e-7 <= best["two-sided, float64"] <= 1e-4
        and best["one-sided, float32"] >= 1e-4,
    )
    checks.hold(
        "32",
        both("With h = 1e-12 the slope is worse than with h = 1e-6.", "h = 1e-12 的结果比 h = 1e-6 差。"),
        one[12] > 10 * one[6],
    )
    checks.hold(
        "32",
        both(
            "Autograd has no h: it is right to the last digits. So is a step along the imaginary axis.",
            "autograd 不用 h，精确到最后几位；沿虚轴走一小步也是如此。",
        ),
        abs(float(exact) - math.cos(AT)) < 1e-15 and abs(complex_step - math.cos(AT)) < 1e-15,
    )


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
    contours(right, hill, (-0.2, 1.8), (-1.5, 0.5))
    right.annotate(
        "",
        (POINT[0] + float(gradient[0]) / 2, POINT[1] + float(gradient[1]) / 2),
        POINT,
        arrowprops={"arrowstyle": "->", "color": plots.COLOURS[1], "linewidth": 2},
    )
    right.plot(*POINT, "o", color=plots.COLOURS[1])
    figure.tight_layout()
    run.figure(
        "directions",
        figure,
        both(
            "Left: the slope at one point in 360 directions. Right: the point on the map; the arrow is half the "
            "gradient, at a right angle to the line of equal height.",
            "左：同一点沿 360 个方向的斜率。右：该点在等高线图上的位置，箭头是梯度的一半，与等高线垂直。",
        ),
    )
    checks.hold(
        "32",
        both("In each of 360 directions u the slope is gradient · u.", "360 个方向 u 上的斜率都等于 梯度 · u。"),
        (measured - by_gradient).abs().max() < 1e-9,
    )
    checks.hold(
        "32",
        both("autograd.functional.jvp gives it without the gradient.", "autograd.functional.jvp 不求梯度也能给出它。"),
        abs(by_jvp - by_gradient[37]) < 1e-12,
    )
    checks.hold(
        "32",
        both(
            "The steepest of them is the gradient's, to the degree, and as steep as the gradient is long.",
            "最陡的方向就是梯度的方向（精确到度），其斜率等于梯度的长度。",
        ),
        abs(steepest - of_gradient) <= 0.5 and abs(measured.max() - gradient.norm()) < 1e-3,
    )
    checks.hold(
        "32",
        both("The partial derivatives are the slopes along the axes.", "偏导数就是沿坐标轴方向的斜率。"),
        all(abs(a - b) < 1e-9 for a, b in zip(partial, gradient)),
    )
    checks.hold(
        "32",
        both("At a right angle to the gradient it is level.", "与梯度垂直的方向上，斜率为零。"),
        abs(gradient @ torch.stack([-gradient[1], gradient[0]])) < 1e-12,
    )


def contours(axis: Any, f: Any, x: tuple[float, float], y: tuple[float, float]) -> None:
    """The lines of equal height of `f` in a rectangle, wider apart in height where it is high."""
    a, b = np.meshgrid(np.linspace(*x, 120), np.linspace(*y, 120))
    heights = f(torch.from_numpy(np.stack([a.ravel(), b.ravel()]))).reshape(a.shape).numpy()
    levels = heights.min() + (heights.max() - heights.min()) * np.linspace(0.04, 1, 20) ** 2
    axis.contour(a, b, heights, levels=levels, colors="#b0b0b0", linewidths=0.7)
    axis.set_xlim(*x)
    axis.set_ylim(*y)
    axis.set_aspect("equal")
    axis.grid(False)

"""The textbook's picture of under- and overfitting: polynomials of one column, fitted to a few rows."""

from __future__ import annotations

import numpy as np

from labkit.base.language import both
from labkit.runs import plots
from labkit.runs.run import Run
from labs.housing.data import Table
from labs.housing.splits import most_correlated

DEGREES = tuple(range(1, 13))
SHOWN = (1, 3, 12)
TRAINING, SETS = 30, 100
MOST_ROWS = 2000


class Polynomial:
    """The polynomial of one column with the least squared error on its training rows; no price lies beyond theirs."""

    def __init__(self, x: np.ndarray, y: np.ndarray, degree: int) -> None:
        """`x` and `y` (N)."""
        self.least, self.greatest, self.degree, self.prices = x.min(), x.max(), degree, (y.min(), y.max())
        self.weights, *_ = np.linalg.lstsq(self._powers(x), y, rcond=None)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Predictions (N)."""
        return np.clip(self._powers(x) @ self.weights, *self.prices)

    def _powers(self, x: np.ndarray) -> np.ndarray:
        """(N, 1 + degree): Chebyshev's polynomials of x in -1..1, which span the powers and are solved precisely."""
        scaled = 2 * (x - self.least) / max(self.greatest - self.least, 1e-12) - 1
        return np.polynomial.chebyshev.chebvander(np.clip(scaled, -1, 1), self.degree)


def bias_and_variance(predictions: np.ndarray, prices: np.ndarray) -> tuple[float, float]:
    """Squared bias (with the noise in the prices) and variance of `predictions` (repeats, N), which add up to the MSE.

    The mean of R predictions still has a variance, an R-th of each one's, which is taken off the squared bias.
    """
    variance = predictions.var(axis=0, ddof=1).mean()
    squared = ((predictions.mean(axis=0) - prices) ** 2).mean()
    return float(squared - variance / len(predictions)), float(variance)


def measure(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """For each degree (degrees, 4): mean squared error in training, on the test rows, squared bias, variance."""
    random = np.random.RandomState(seed)
    order = random.permutation(len(y))
    test, rest = order[: len(y) // 2], order[len(y) // 2 :]
    sets = [random.permutation(rest)[:TRAINING] for _ in range(SETS)]
    found = []
    for degree in DEGREES:
        fits = [Polynomial(x[rows], y[rows], degree) for rows in sets]
        predictions = np.stack([each(x[test]) for each in fits])
        training = np.mean([((each(x[rows]) - y[rows]) ** 2).mean() for each, rows in zip(fits, sets)])
        found.append([training, ((predictions - y[test]) ** 2).mean(), *bias_and_variance(predictions, y[test])])
    return np.array(found)


def polynomials(table: Table, run: Run) -> None:
    """Three fits to the same few rows, and the errors of each degree over many training sets."""
    chosen = np.random.RandomState(run.seed).permutation(len(table.y))[:MOST_ROWS]
    column = int(most_correlated(table.x, table.y, 1)[0])
    x, y, name = table.x[chosen, column], table.y[chosen], table.names[column]
    found = measure(x, y, run.seed)
    figure, axes = plots.figure(1, 3, width=10.2, height=3.1)
    left, middle, right = axes[0]
    few = slice(TRAINING)
    places = np.linspace(x[few].min(), x[few].max(), 300)
    left.plot(x[few], y[few], ".", color="#555555")
    for degree in SHOWN:
        left.plot(places, Polynomial(x[few], y[few], degree)(places), label=f"degree {degree}", linewidth=1.4)
    low, high = y[few].min(), y[few].max()
    left.set_ylim(low - 0.3 * (high - low), high + 0.3 * (high - low))
    left.set_xlabel(name)
    left.set_ylabel(f"{table.price}, 1,000 $")
    middle.plot(DEGREES, np.sqrt(found[:, 0]), "o-", markersize=4, label="training rows")
    middle.plot(DEGREES, np.sqrt(found[:, 1]), "o-", markersize=4, label="test rows")
    middle.set_ylabel("RMSE, 1,000 $")
    right.plot(DEGREES, found[:, 2], "s-", markersize=4, label="bias² + noise")
    right.plot(DEGREES, found[:, 3], "^-", markersize=4, label="variance")
    right.plot(DEGREES, found[:, 1], "o-", markersize=4, color=plots.COLOURS[6], label="sum: squared test error")
    right.set_ylabel("squared error, (1,000 $)²")
    for axis in (middle, right):
        axis.set_xlabel("degree of the polynomial")
        axis.set_xticks(DEGREES)
        axis.set_ylim(0, min(axis.get_ylim()[1], 4 * axis.lines[-1].get_ydata()[0]))
    for axis in axes[0]:
        axis.legend(fontsize=7.5)
    figure.tight_layout()
    best = DEGREES[int(found[:, 1].argmin())]
    run.figure("polynomials", figure, both(
        f"The picture in the books: polynomials of one column, {name}, fitted to {TRAINING} rows. With each degree "
        f"the training error falls. On other rows it is least at degree {best} and grows from there: the curve runs "
        f"after the few points. Prices are held to the range of those trained on. Right: over {SETS} training sets, "
        "bias is what their mean still gets wrong, and variance how far they differ; both add up to the test error.",
        f"教科书里的那张图：用 {name} 一列的多项式去拟合 {TRAINING} 行。次数越高，训练误差越小；而在其他行上，{best} 次"
        f"时误差最小，之后又上升：曲线追着那几个点跑了（预测限制在训练房价的范围内）。右：{SETS} 个训练集上，偏差是它们"
        "的平均仍然错的部分，方差是它们彼此相差的程度，两者之和就是测试误差。"))  # fmt: skip

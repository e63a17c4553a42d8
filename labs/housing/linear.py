"""Lines: the normal equation, ridge regression, and leave-one-out without refitting. NumPy, float64."""

from __future__ import annotations

import numpy as np

ALPHAS = np.logspace(-2, 4, 25)  # the strengths of ridge regression that are tried


def with_ones(x: np.ndarray) -> np.ndarray:
    """(N, F) -> (N, 1 + F): a column of ones in front, so that the first weight is the bias b of f(x) = wx + b."""
    return np.concatenate([np.ones((len(x), 1)), x], axis=1)


def normal_equation(a: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The weights (F) with the least squares ||a w - y||²: where the gradient 2 aᵀ(a w - y) is zero, aᵀa w = aᵀy."""
    return np.linalg.solve(a.T @ a, a.T @ y)


class Linear:
    """f(x) = wx + b with the least squared error on the training rows."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        """`x` (N, F), `y` (N). Columns are brought to one scale first: that moves no prediction, and rounds less."""
        self.mean, self.deviation = x.mean(axis=0), np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
        self.weights = normal_equation(self._inputs(x), y) if (x.std(axis=0) > 0).all() else self._least(x, y)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Predictions (N)."""
        return self._inputs(x) @ self.weights

    @property
    def slopes(self) -> np.ndarray:
        """The weight (F) of each column as it was given."""
        return self.weights[1:] / self.deviation

    def _inputs(self, x: np.ndarray) -> np.ndarray:
        return with_ones((x - self.mean) / self.deviation)

    def _least(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Of many best weights the smallest: a column of one value says what the ones say."""
        return np.linalg.pinv(self._inputs(x)) @ y


def leverages(a: np.ndarray, alpha: float = 0.0) -> np.ndarray:
    """The diagonal (N) of the hat matrix a (aᵀa + alpha D)⁻¹ aᵀ, which puts the hat on y: predictions = hat @ y.

    D is 1 for every weight but the first, the bias. A leverage says how much a row's own price moves its prediction.
    """
    penalty = alpha * np.eye(a.shape[1])
    penalty[0, 0] = 0
    return np.einsum("nf,fn->n", a, np.linalg.solve(a.T @ a + penalty, a.T))


def leave_one_out(a: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The error (N) on each row of the line fitted to all others, from one fit: residual / (1 - leverage)."""
    return (y - a @ normal_equation(a, y)) / (1 - leverages(a))


def leave_one_out_by_refitting(a: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The same as its definition says: as many fits as rows, each without one."""
    errors = np.empty(len(y))
    for n in range(len(y)):
        others = np.arange(len(y)) != n
        errors[n] = y[n] - a[n] @ normal_equation(a[others], y[others])
    return errors


class Ridge:
    """f(x) = wx + b, in which large weights cost: ||a w - y||² + alpha ||w||² (L2), on columns of one scale.

    `alpha` is the one of ALPHAS with the least leave-one-out error on the training rows, unless it is given.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, alpha: float | None = None) -> None:
        self.mean, self.deviation = x.mean(axis=0), np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
        a = self._inputs(x)
        self.alpha = min(ALPHAS, key=lambda each: self._left_out(a, y, each)) if alpha is None else alpha
        self.weights = self._fit(a, y, self.alpha)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Predictions (N)."""
        return self._inputs(x) @ self.weights

    def _inputs(self, x: np.ndarray) -> np.ndarray:
        return with_ones((x - self.mean) / self.deviation)

    @staticmethod
    def _fit(a: np.ndarray, y: np.ndarray, alpha: float) -> np.ndarray:
        penalty = alpha * np.eye(a.shape[1])
        penalty[0, 0] = 0  # the bias is free: prices are not near 0
        return np.linalg.solve(a.T @ a + penalty, a.T @ y)

    @classmethod
    def _left_out(cls, a: np.ndarray, y: np.ndarray, alpha: float) -> float:
        errors = (y - a @ cls._fit(a, y, alpha)) / (1 - leverages(a, alpha))
        return float((errors**2).mean())

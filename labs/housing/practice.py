"""The exercises of the lab housing: six lines to predict, then eleven functions to fill in."""

from __future__ import annotations

import numpy as np
import torch

from labkit.base.language import both
from labkit.runs.practice.sheet import fill_in, predict
from labs.housing import linear, scores

SETUP = """
import numpy as np
import torch
"""

LINES = (
    predict("mean_guess", both("R² of guessing the mean of these very prices.", "用这些房价自己的均值去猜，R² "
                                                                                "是多少？"),
            "y = np.array([1.0, 2.0, 3.0])\nguess = np.full(3, y.mean())\n"
            "float(1 - ((y - guess) ** 2).sum() / ((y - y.mean()) ** 2).sum())",
            hint=both("Numerator and denominator are the same.", "分子与分母相同。"),
            wrong={"1.0": both("That is a perfect prediction.", "那是完全正确的预测。"),
                   "0.5": both("Nothing is explained: 1 - 1.", "什么也没解释：1 − 1。")}),
    predict("worse_than_mean", both("Can R² be less than 0?", "R² 会小于 0 吗？"),
            "y, guess = np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0])\n"
            "float(1 - ((y - guess) ** 2).sum() / ((y - y.mean()) ** 2).sum())",
            hint=both("8 over 2, taken from 1.", "1 减去 8 / 2。"),
            wrong={"-1.0": both("It is no correlation: R² is 1 - 8 / 2.", "它不是相关系数：R² = 1 − 8 / 2。"),
                   "0.0": both("R² has no floor: worse than the mean is below 0.", "R² 没有下限：比均值还差就小于 "
                                                                                   "0。")}),
    predict("one_outlier", both("MAE, then RMSE, of errors 1, 1, 1, 9.", "误差为 1、1、1、9：先 MAE，再 RMSE。"),
            "e = np.array([1.0, 1.0, 1.0, 9.0])\n[float(np.abs(e).mean()), round(float(np.sqrt((e ** 2).mean())), 3)]",
            hint=both("12 / 4, and the root of 84 / 4.", "12 / 4，以及 84 / 4 的平方根。"),
            wrong={"[3.0, 3.0]": both("Squares weigh the 9 as much as 81 ones: 84 / 4 = 21.",
                                      "平方之后，9 相当于 81 个 1：84 / 4 = 21。"),
                   "[3.0, 21.0]": both("That is the MSE; its root is missing.", "那是 MSE，还要开方。")}),
    predict("gradient_of_mse", both("The gradient of nn.MSELoss for two errors, 1 and 10.",
                                    "误差为 1 和 10 时，nn.MSELoss 的梯度。"),
            "p = torch.tensor([1.0, 10.0], requires_grad=True)\n"
            "torch.nn.MSELoss()(p, torch.zeros(2)).backward()\np.grad.tolist()",
            hint=both("2 e / N, where N is 2.", "2 e / N，这里 N 为 2。"),
            wrong={"[2.0, 20.0]": both("MSELoss is a mean: divide by 2.", "MSELoss 取平均：还要除以 2。"),
                   "[0.5, 0.5]": both("So it is for L1Loss: every error pulls alike.", "那是 L1Loss：每个误差的拉力相"
                                                                                       "同。")}),
    predict("gradient_of_mae", both("And of nn.L1Loss?", "nn.L1Loss 的梯度呢？"),
            "p = torch.tensor([1.0, 10.0], requires_grad=True)\n"
            "torch.nn.L1Loss()(p, torch.zeros(2)).backward()\np.grad.tolist()",
            hint=both("Only the sign counts.", "只看正负号。"),
            wrong={"[1.0, 1.0]": both("L1Loss is a mean, too.", "L1Loss 也取平均。"),
                   "[1.0, 10.0]": both("So it is for MSELoss: the larger, the stronger.", "那是 MSELoss：误差越大拉力"
                                                                                          "越大。")}),
    predict("broadcast_trap", both("Predictions (3, 1), prices (3). Which shape has the difference?",
                                   "预测为 (3, 1)，房价为 (3)。两者之差的形状是？"),
            "list((torch.zeros(3, 1) - torch.zeros(3)).shape)",
            hint=both("Aligned from the right: (3, 1) and (1, 3).", "从右对齐：(3, 1) 与 (1, 3)。"),
            wrong={"[3]": both("Nothing is squeezed: each prediction meets each price. squeeze(1) first.",
                               "没有自动压缩：每个预测与每个房价都减了一次。先 squeeze(1)。"),
                   "[3, 1]": both("The 1 grows to 3, too.", "那个 1 也会扩成 3。")}),
)  # fmt: skip


def _table(random: np.random.RandomState, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (N, F), a column of ones first, and prices (N)."""
    rows = random.standard_normal((size + 4, 1 + size // 3))
    return linear.with_ones(rows), random.standard_normal(size + 4)


def _two_sets(random: np.random.RandomState, size: int) -> tuple[np.ndarray, np.ndarray]:
    return 3 + 2 * random.standard_normal((size + 2, 2)), random.standard_normal((size + 1, 2))


def _prices(random: np.random.RandomState, size: int) -> tuple[np.ndarray, np.ndarray]:
    return random.standard_normal(size + 2) + 5, random.standard_normal(size + 2)


def _errors(random: np.random.RandomState, size: int) -> tuple[np.ndarray]:
    return (np.append(random.standard_normal(size) * 2, 0.0),)


def _fold(random: np.random.RandomState, size: int) -> tuple[np.ndarray, int]:
    count = size + 3
    return random.permutation(count), int(random.randint(2, min(count, 5) + 1))


def _losses(random: np.random.RandomState, size: int) -> tuple[list[float], int]:
    return [each / 4 for each in random.randint(1, 6, size + 1).tolist()], int(random.randint(1, 4))  # with ties


def _weights(random: np.random.RandomState, size: int) -> tuple[np.ndarray, float, float]:
    return random.standard_normal(size + 1), 0.1 * random.randint(1, 9), 0.1 * random.randint(1, 9)


def _stop(losses: list[float], patience: int) -> list[int]:
    """Where a training stops, and the epoch whose weights are taken."""
    best = 0
    for epoch, loss in enumerate(losses):
        if loss < losses[best]:
            best = epoch
        if epoch - best == patience:
            return [epoch, best]
    return [len(losses) - 1, best]


def _ridge(a: np.ndarray, y: np.ndarray) -> np.ndarray:
    return linear.Ridge._fit(a, y, 2.0)


def _k_fold(order: np.ndarray, k: int) -> list[list[list[int]]]:
    parts = np.array_split(order, k)
    return [[np.concatenate(parts[:n] + parts[n + 1 :]).tolist(), parts[n].tolist()] for n in range(k)]


def _huber(e: np.ndarray) -> np.ndarray:
    return torch.nn.SmoothL1Loss(reduction="none")(torch.from_numpy(e), torch.zeros(len(e)).double()).numpy()


def _drop(x: np.ndarray, kept: np.ndarray, p: float) -> np.ndarray:
    return np.where(kept, x / (1 - p), 0.0)


def _dropped(random: np.random.RandomState, size: int) -> tuple[np.ndarray, np.ndarray, float]:
    p = 0.1 * random.randint(1, 8)
    return random.standard_normal(size + 1), random.uniform(size=size + 1) >= p, p


BODY = "s = x.std(axis=0)\nreturn (new - x.mean(axis=0)) / s"

FUNCTIONS = (
    fill_in("normal_equation", both("a (N, F) has a column of ones, y (N): the weights w (F) with the least squared "
                                    "error of a @ w.",
                                    "a (N, F) 含一列 1，y (N)：求使 a @ w 的平方误差最小的权重 w (F)。"),
            "def normal_equation(a, y):", oracle=lambda a, y: np.linalg.lstsq(a, y, rcond=None)[0], cases=_table,
            without=("lstsq", "pinv", "polyfit"),
            hint=both("aᵀa w = aᵀy; np.linalg.solve.", "解方程 aᵀa w = aᵀy；用 np.linalg.solve。"),
            solution="return np.linalg.solve(a.T @ a, a.T @ y)",
            wrong=("return a.T @ y", "return np.linalg.inv(a.T @ a) @ a.T @ (y - y.mean())",
                   "return np.linalg.solve(a.T @ a + np.eye(a.shape[1]), a.T @ y)")),
    fill_in("standardise", both("Bring the rows `new` (M, F) on the scale on which the training rows x (N, F) have "
                                "mean 0 and standard deviation 1.",
                                "把新行 new (M, F) 变换到训练行 x (N, F) 均值为 0、标准差为 1 的尺度上。"),
            "def standardise(x, new):", oracle=lambda x, new: (new - x.mean(axis=0)) / x.std(axis=0), cases=_two_sets,
            hint=both("Nothing may be measured on `new`.", "不得在 new 上测量任何量。"), solution=BODY,
            wrong=("return (new - new.mean(axis=0)) / new.std(axis=0)",
                   "both = np.concatenate([x, new])\nreturn (new - both.mean(axis=0)) / both.std(axis=0)",
                   "return (new - x.mean()) / x.std()")),
    fill_in("k_fold", both("Cut `order`, a shuffled array, into k parts as np.array_split does; for each part the "
                           "list [rows to train on, rows held out], in the order of `order`.",
                           "把打乱的数组 order 像 np.array_split 那样切成 k 份；每一份给出 [训练行, 留出行]，保持 "
                           "order 中的次序。"),
            "def k_fold(order, k):", oracle=_k_fold, cases=_fold,
            hint=both("parts = np.array_split(order, k); train on all parts but one.",
                      "parts = np.array_split(order, k)；用其余各份训练。"),
            solution="parts = np.array_split(order, k)\n"
                     "return [[np.concatenate(parts[:n] + parts[n + 1:]).tolist(), parts[n].tolist()] for n in "
                     "range(k)]",
            wrong=("parts = np.array_split(order, k)\nreturn [[order.tolist(), part.tolist()] for part in parts]",
                   "n = len(order) // k\nreturn [[np.delete(order, range(i * n, i * n + n)).tolist(), "
                   "order[i * n:i * n + n].tolist()] for i in range(k)]",
                   "parts = np.array_split(order, k)\nreturn [[parts[n].tolist(), "
                   "np.concatenate(parts[:n] + parts[n + 1:]).tolist()] for n in range(k)]")),
    fill_in("r_squared", both("R² of the predictions p (N) for the prices y (N).", "预测 p (N) 对房价 y (N) 的 R²。"),
            "def r_squared(y, p):", oracle=scores.r_squared, cases=_prices, without=("corrcoef",),
            hint=both("1 - squared errors / squared distances from the mean of y.", "1 − 平方误差 / y "
                                                                                    "到其均值的平方和。"),
            solution="return 1 - ((y - p) ** 2).sum() / ((y - y.mean()) ** 2).sum()",
            wrong=("return np.corrcoef(y, p)[0, 1] ** 2", "return 1 - ((y - p) ** 2).sum() / (y ** 2).sum()",
                   "return 1 - ((y - p) ** 2).sum() / ((p - p.mean()) ** 2).sum()")),
    fill_in("ridge", both("The weights that minimise ||a w - y||² + 2 ||w||², where the first weight, the bias, costs "
                          "nothing.", "求使 ||a w − y||² + 2 ||w||² 最小的权重，其中第一个权重（偏置）不受罚。"),
            "def ridge(a, y):", oracle=_ridge, cases=_table,
            hint=both("Add 2 to the diagonal of aᵀa, but for its first place.", "在 aᵀa 的对角线上加 2，"
                                                                                "第一个位置除外。"),
            solution="d = 2 * np.eye(a.shape[1])\nd[0, 0] = 0\nreturn np.linalg.solve(a.T @ a + d, a.T @ y)",
            wrong=("return np.linalg.solve(a.T @ a + 2 * np.eye(a.shape[1]), a.T @ y)",
                   "return np.linalg.solve(a.T @ a, a.T @ y)",
                   "d = 4 * np.eye(a.shape[1])\nd[0, 0] = 0\nreturn np.linalg.solve(a.T @ a + d, a.T @ y)")),
    fill_in("leverages", both("The diagonal (N) of the hat matrix a (aᵀa)⁻¹ aᵀ.", "帽子矩阵 a (aᵀa)⁻¹ aᵀ 的对角线 "
                                                                                  "(N)。"),
            "def leverages(a, y):", oracle=lambda a, y: linear.leverages(a), cases=_table,
            hint=both("y plays no part. np.diag of the whole matrix will do.", "y 不起作用。先算整个矩阵再取 "
                                                                               "np.diag 即可。"),
            solution="return np.diag(a @ np.linalg.solve(a.T @ a, a.T))",
            wrong=("return np.diag(a @ a.T)", "return a @ np.linalg.solve(a.T @ a, a.T @ y)",
                   "return np.diag(np.linalg.inv(a.T @ a))")),
    fill_in("leave_one_out", both("The error (N) on each row, y less prediction, of the line fitted to all other "
                                  "rows.",
                                  "每一行的误差 (N)：y 减去用其余各行拟合的直线给出的预测。"),
            "def leave_one_out(a, y):", oracle=linear.leave_one_out_by_refitting, cases=_table, without=("for",),
            hint=both("One fit is enough: residual / (1 - leverage).", "只需拟合一次：残差 / (1 − 杠杆值)。"),
            solution="hat = a @ np.linalg.solve(a.T @ a, a.T)\nreturn (y - hat @ y) / (1 - np.diag(hat))",
            wrong=("hat = a @ np.linalg.solve(a.T @ a, a.T)\nreturn y - hat @ y",
                   "hat = a @ np.linalg.solve(a.T @ a, a.T)\nreturn (y - hat @ y) / np.diag(hat)",
                   "hat = a @ np.linalg.solve(a.T @ a, a.T)\nreturn (y - hat @ y) / (1 - np.diag(hat)) ** 2")),
    fill_in("early_stopping", both("losses on the validation rows, one an epoch, and patience: stop as soon as so "
                                   "many epochs went by without a new least loss. Return [the epoch of "
                                   "stopping, the epoch whose weights are taken], counted from 0.",
                                   "losses 为每轮的验证损失，patience 为耐心：连续这么多轮没有新的最小值就停。"
                                   "返回 [停止的轮次, 取哪一轮的权重]，从 0 数起。"),
            "def early_stopping(losses, patience):", oracle=_stop, cases=_losses,
            hint=both("Keep the best epoch; stop where epoch - best == patience.",
                      "记住最好的一轮；epoch − best == patience 时停止。"),
            solution="best = 0\nfor epoch in range(len(losses)):\n    if losses[epoch] < losses[best]:\n"
                     "        best = epoch\n    if epoch - best == patience:\n        break\nreturn [epoch, best]",
            wrong=("return [len(losses) - 1, int(np.argmin(losses))]",
                   "best = 0\nfor epoch in range(len(losses)):\n    if losses[epoch] < losses[best]:\n"
                   "        best = epoch\n    if epoch - best == patience:\n        break\nreturn [epoch, epoch]",
                   "best = 0\nfor epoch in range(len(losses)):\n    if losses[epoch] <= losses[best]:\n"
                   "        best = epoch\n    if epoch - best == patience:\n        break\nreturn [epoch, best]")),
    fill_in("huber", both("Huber's loss of each error e (N): e² / 2 up to |e| = 1, and the straight line |e| - 1/2 "
                          "beyond.",
                          "每个误差 e (N) 的 Huber 损失：|e| ≤ 1 时为 e² / 2，之外为直线 |e| − 1/2。"),
            "def huber(e):", oracle=_huber, cases=_errors, without=("SmoothL1Loss", "HuberLoss", "smooth_l1_loss"),
            hint=both("np.where(np.abs(e) < 1, ..., ...)", "用 np.where(np.abs(e) < 1, ..., ...)"),
            solution="return np.where(np.abs(e) < 1, e ** 2 / 2, np.abs(e) - 0.5)",
            wrong=("return np.where(np.abs(e) < 1, e ** 2, np.abs(e))", "return e ** 2 / 2",
                   "return np.where(e < 1, e ** 2 / 2, e - 0.5)")),
    fill_in("penalty", both("What L1 and L2 add to the loss: l1 times the sum of |w| and l2 times that of w².",
                            "L1 与 L2 加到损失上的部分：l1 乘以 |w| 之和，加 l2 乘以 w² 之和。"),
            "def penalty(w, l1, l2):", oracle=lambda w, l1, l2: l1 * np.abs(w).sum() + l2 * (w**2).sum(),
            cases=_weights, hint=both("np.abs(w).sum(), (w ** 2).sum()", "用 np.abs(w).sum() 和 (w ** 2).sum()"),
            solution="return l1 * np.abs(w).sum() + l2 * (w ** 2).sum()",
            wrong=("return l1 * w.sum() + l2 * (w ** 2).sum()", "return l1 * np.abs(w).sum() + l2 * np.sqrt((w ** "
                                                                "2).sum())",
                   "return l1 * np.abs(w).mean() + l2 * (w ** 2).mean()")),
    fill_in("drop", both("Dropout in training: x (N), kept (N) is True with probability 1 - p. The mean must stay "
                         "as it would be without dropout.",
                         "训练时的 dropout：x (N)，kept (N) 以概率 1 − p 为 True。结果的均值应与不用 dropout "
                         "时相同。"),
            "def drop(x, kept, p):", oracle=_drop, cases=_dropped, without=("dropout",),
            hint=both("What is kept is divided by 1 - p.", "留下的要除以 1 − p。"),
            solution="return x * kept / (1 - p)",
            wrong=("return x * kept", "return x * kept / p", "return x * kept * (1 - p)")),
)  # fmt: skip

SHEET = (*LINES, *FUNCTIONS)

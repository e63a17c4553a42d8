"""The functions to fill in, in the order of the notes, and the random inputs that they are tried on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from labkit.base.language import both
from labkit.runs.practice.sheet import fill_in


def vector(random: np.random.RandomState, size: int) -> tuple[torch.Tensor]:
    return (torch.from_numpy(random.randn(size).astype(np.float32)),)


def matrix(random: np.random.RandomState, size: int) -> tuple[torch.Tensor]:
    """(N + 1, N + 2): neither empty nor square, so that rows and columns cannot be mistaken."""
    return (torch.from_numpy(random.randn(size + 1, size + 2).astype(np.float32)),)


def two_matrices(random: np.random.RandomState, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    return (*matrix(random, size), torch.from_numpy(random.randn(size + 2, 3).astype(np.float32)))


def picked(random: np.random.RandomState, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    (scores,) = matrix(random, size)
    return scores, torch.from_numpy(random.randint(0, size + 2, size + 1))


def numbers(random: np.random.RandomState, size: int) -> tuple[torch.Tensor, int]:
    return torch.from_numpy(random.randint(-9, 10, size)), int(random.randint(1, 6))


def shapes(random: np.random.RandomState, size: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two that broadcast, of different ranks."""
    full = random.randint(2, 5, size)
    one, other = (tuple(int(n) if random.rand() < 0.6 else 1 for n in full) for _ in range(2))
    one = tuple(1 if a != 1 and b != 1 and a != b else a for a, b in zip(one, other))
    return one, other[random.randint(0, size + 1) :]


def cloud(random: np.random.RandomState, size: int) -> tuple[torch.Tensor]:
    x = random.randn(size + 5, 3) * np.array([5.0, 2.0, 0.5]) + 10
    return (torch.from_numpy(x.astype(np.float32)),)


def by_numpy(function: Any) -> Any:
    """An oracle that answers in the dtype of its first argument."""

    def oracle(x: torch.Tensor, *rest: Any) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(function(x.numpy(), *rest))).to(x.dtype)

    return oracle


def first_component(x: torch.Tensor) -> torch.Tensor:
    """The variance along the first principal component."""
    return torch.tensor(np.linalg.eigvalsh(np.cov(x.numpy().T))[-1].astype(np.float32))


FUNCTIONS = (
    fill_in("outer",
            both("The table x[i] * y[j] of two vectors, (N) and (N), by broadcasting.",
                 "两个向量 (N)、(N) 的乘法表 x[i]·y[j]，用广播。"),
            "def outer(x, y):", oracle=lambda x, y: torch.from_numpy(np.outer(x.numpy(), y.numpy())),
            cases=lambda random, size: (*vector(random, size), *vector(random, size)),
            without=("outer", "ger", "einsum", "for", "@"),
            solution="return x[:, None] * y", hint=both("Make x a column.", "把 x 变成一列。"),
            wrong=("return x * y", "return x * y[:, None]")),
    fill_in("product", both("The matrix product of (N, K) and (K, M).", "矩阵乘积 (N, K)·(K, M)。"),
            "def product(a, b):",
            oracle=by_numpy(lambda a, b: a @ np.asarray(b)), cases=two_matrices,
            without=("mm", "matmul", "bmm", "einsum", "@", "for"),
            solution="return (a[:, :, None] * b).sum(dim=1)",
            hint=both("(N, K, 1) times (K, M), then add up over K.", "(N, K, 1) 乘以 (K, M)，再对 K 求和。"),
            wrong=("return (a[:, :, None] * b).sum(dim=2)", "return (a[:, :, None] * b).mean(dim=1)")),
    fill_in("broadcast",
            both("The shape to which two shapes broadcast; they do.", "两个形状广播后的形状（保证可以广播）。"),
            "def broadcast(one, other):",
            oracle=lambda one, other: np.broadcast(np.empty(one), np.empty(other)).shape, cases=shapes,
            sizes=(1, 1, 2, 2, 3, 3, 4, 5),
            without=("torch", "np"), hint=both("Fill the shorter one with 1 on the left.", "短的在左边补 1。"),
            solution="n = max(len(one), len(other))\none, other = (1,) * (n - len(one)) + one, (1,) * (n - "
                     "len(other)) + other\n"
                     "return tuple(max(a, b) for a, b in zip(one, other))",
            wrong=("return tuple(max(a, b) for a, b in zip(one, other))", "return one", "return max(one, other)")),
    fill_in("remainder",
            both("The remainder of whole numbers x (N) by k > 0, as Python's %.",
                 "整数 x (N) 除以 k > 0 的余数，同 Python 的 %。"),
            "def remainder(x, k):", oracle=by_numpy(lambda x, k: x % k), cases=numbers, without=("remainder", "for"),
            solution="r = torch.fmod(x, k)\nreturn torch.where(r < 0, r + k, r)",
            hint=both("fmod has the sign of x.", "fmod 的结果与 x 同号。"),
            wrong=("return torch.fmod(x, k)", "return torch.fmod(x, k).abs()")),
    fill_in("sigmoid", both("1 / (1 + e^-x), element by element.", "逐元素计算 1 / (1 + e^(−x))。"), "def sigmoid(x):",
            oracle=torch.sigmoid, cases=vector, without=("sigmoid", "tanh"), solution="return 1 / (1 + torch.exp(-x))",
            hint=both("Write the formula.", "照公式写。"),
            wrong=("return 1 / (1 + torch.exp(x))", "return torch.exp(x)")),
    fill_in("standardise",
            both("Each column of (N, D) with mean 0 and deviation 1, dividing by n.",
                 "把 (N, D) 的每列变为均值 0、标准差 1（除以 n）。"),
            "def standardise(x):", oracle=by_numpy(lambda x: (x - x.mean(axis=0)) / x.std(axis=0)), cases=cloud,
            tolerance=1e-3,
            solution="return (x - x.mean(dim=0)) / x.std(dim=0, unbiased=False)",
            hint=both("PyTorch divides by n - 1 unless told otherwise.", "PyTorch 默认除以 n − 1。"),
            wrong=("return (x - x.mean(dim=0)) / x.std(dim=0)", "return (x - x.mean()) / x.std(unbiased=False)",
                   "return x - x.mean(dim=0)")),
    fill_in("histogram",
            both("How often each number from 0 to 255 is in x (N), int64.", "x (N, int64) 中 0 到 255 各出现几次。"),
            "def histogram(x):",
            oracle=lambda x: torch.bincount(x, minlength=256), cases=lambda random,
            size: (torch.from_numpy(random.randint(0, 256, 3 * size)),),
            without=("bincount", "histc", "unique", "for"),
            solution="return (x == torch.arange(256)[:, None]).sum(dim=1)",
            hint=both("Compare x with a column of 256 numbers.", "把 x 与一列 256 个数比较。"),
            wrong=("return (x == torch.arange(256)[:, None]).any(dim=1).long()",
                   "return (x == torch.arange(255)[:, None]).sum(dim=1)")),
    fill_in("distances",
            both("All Euclidean distances between the rows of a (N, D) and b (M, D), shape (N, M).",
                 "a (N, D) 与 b (M, D) 各行之间的欧氏距离，形状 (N, M)。"),
            "def distances(a, b):", oracle=by_numpy(lambda a, b: np.sqrt(((a[:, None] - np.asarray(b)) ** 2).sum(-1))),
            cases=lambda random,
            size: (*matrix(random, size), torch.from_numpy(random.randn(2, size + 2).astype(np.float32))),
            without=("cdist", "dist", "for"), solution="return (a[:, None] - b).norm(dim=2)",
            hint=both("(N, 1, D) minus (M, D).", "(N, 1, D) 减 (M, D)。"),
            wrong=("return (a[:, None] - b).abs().sum(dim=2)", "return (a[:, None] - b).pow(2).sum(dim=2)")),
    fill_in("frobenius", both("The Frobenius norm of a matrix.", "矩阵的 Frobenius 范数。"), "def frobenius(m):",
            oracle=lambda m: torch.tensor(np.linalg.norm(m.numpy())), cases=matrix, without=("norm", "dist"),
            solution="return (m ** 2).sum().sqrt()", hint=both("The root of all squares.", "所有元素平方和的平方根。"),
            wrong=("return torch.svd(m)[1].max()", "return m.abs().sum()")),
    fill_in("component",
            both("The variance of points (N, 3) along their first principal component.",
                 "点集 (N, 3) 沿第一主成分的方差。"), "def component(x):",
            oracle=first_component, cases=cloud, tolerance=1e-3, without=("np", "pca_lowrank"),
            solution="x = x - x.mean(dim=0)\nreturn torch.svd(x)[1][0] ** 2 / (len(x) - 1)",
            hint=both("The singular values of the centred points, squared, by n - 1.",
                      "中心化后奇异值的平方除以 n − 1。"),
            wrong=("return torch.svd(x)[1][0] ** 2 / (len(x) - 1)",
                   "x = x - x.mean(dim=0)\nreturn torch.svd(x)[1][0] ** 2 / len(x)",
                   "return x.var(dim=0).max()")),
    fill_in("clip",
            both("A gradient g (N), no longer than 1, its direction kept.",
                 "把梯度 g (N) 的长度限制在 1 以内，方向不变。"), "def clip(g):",
            oracle=lambda g: g / max(1.0, float(np.linalg.norm(g.numpy()))), cases=vector,
            without=("clip_grad_norm_", "renorm"),
            solution="return g / g.norm().clamp(min=1)",
            hint=both("Divide by its length where that is more than 1.", "长度超过 1 时除以长度。"),
            wrong=("return g.clamp(-1, 1)", "return g / g.norm()", "return g")),
    fill_in("pick",
            both("From scores (N, C) the one of labels (N) in each row.",
                 "从得分 (N, C) 的每行取出标签 (N) 所指的那个。"), "def pick(scores, labels):",
            oracle=lambda scores, labels: torch.stack([row[label] for row, label in zip(scores, labels)]), cases=picked,
            without=("for",),
            solution="return scores.gather(1, labels[:, None])[:, 0]",
            hint=both("gather along dimension 1.", "沿第 1 维 gather。"),
            wrong=("return scores[:, labels]", "return scores.gather(1, labels[:, None])",
                   "return scores.max(dim=1)[0]")),
    fill_in("one_hot",
            both("Labels (N), 0 to 3, as float32 rows of one 1 and three 0.",
                 "标签 (N)（0 到 3）变成独热的 float32 行。"), "def one_hot(labels):",
            oracle=lambda labels: torch.from_numpy(np.eye(4, dtype=np.float32)[labels.numpy()]),
            cases=lambda random, size: (torch.from_numpy(random.randint(0, 4, size)),), without=("one_hot", "for"),
            solution="return torch.eye(4)[labels]", hint=both("Rows of the identity.", "单位矩阵的行。"),
            wrong=("return torch.eye(4)[:, labels]", "return torch.eye(4)[labels].long()")),
    fill_in("swap", both("Pictures H x W x C as C x H x W.", "图片由 H×W×C 变为 C×H×W。"), "def swap(picture):",
            oracle=by_numpy(lambda x: np.transpose(x, (2, 0, 1))),
            cases=lambda random, size: (torch.from_numpy(random.randn(size + 1, size + 2, 3)),),
            solution="return picture.permute(2, 0, 1)",
            hint=both("permute names the old places.", "permute 里写的是原来的维号。"),
            wrong=("return picture.transpose(0, 2)", "return picture.reshape(3, picture.shape[0], picture.shape[1])")),
    fill_in("quarter", both("A matrix turned by a quarter, against the clock.", "矩阵逆时针旋转 90°。"),
            "def quarter(x):",
            oracle=by_numpy(np.rot90), cases=matrix, without=("rot90", "for"), solution="return x.t().flip(0)",
            hint=both("Transpose, then flip.", "先转置，再翻转。"),
            wrong=("return x.t()", "return x.t().flip(1)", "return x.flip(0).t()")),
    fill_in("loudest",
            both("The frequency, in whole turns, of the loudest part of a signal (N), as int; 0 excluded.",
                 "信号 (N) 中最强成分的频率（整数周数，不计 0），返回 int。"),
            "def loudest(x):", oracle=lambda x: int(np.abs(np.fft.rfft(x.numpy()))[1:].argmax()) + 1,
            cases=lambda random, size: (torch.from_numpy(
                3 + np.sin(2 * np.pi * (size + 1) * np.arange(32) / 32 + random.rand()) + 0.1 * random.randn(32)),),
            without=("fft", "rfft", "np", "stft"),
            hint=both("Multiply by the cosine and the sine of each frequency.", "与每个频率的余弦、正弦相乘求和。"),
            solution="n = len(x)\nangle = 2 * math.pi * torch.arange(1, n // 2 + 1).double()[:, None] * "
                     "torch.arange(n).double() / n\n"
                     "power = (angle.cos() @ x) ** 2 + (angle.sin() @ x) ** 2\nreturn int(power.argmax()) + 1",
            wrong=("n = len(x)\nangle = 2 * math.pi * torch.arange(1, n // 2 + 1).double()[:, None] * "
                   "torch.arange(n).double() / n\n"
                   "return int(((angle.cos() @ x) ** 2 + (angle.sin() @ x) ** 2).argmax())", "return int(x.argmax())",
                   "return 1")),
)  # fmt: skip

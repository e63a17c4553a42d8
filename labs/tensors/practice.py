"""The exercises of the lab tensors: 26 lines to predict, 16 functions to fill in, in the order of the notes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from labkit.base.language import both
from labkit.runs.practice.sheet import fill_in, predict

SETUP = """
import math

import numpy as np
import torch
"""


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
    return one, other[random.randint(0, size + 1):]


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


SHEET = (
    # ---- 6 to 9 ----
    predict("rank", both("The rank of one colour picture.", "一张彩色图片的阶数。"), "torch.zeros(3, 32, 32).dim()",
            hint=both("How many indices pick one number?", "要几个下标才能取出一个数？"),
            wrong={"2": both("A grey picture has 2; colour adds one.", "灰度图是 2 阶，颜色通道再加一阶。"),
                   "4": both("A batch of pictures has 4.", "一批图片才是 4 阶。")}),
    predict("wrap", both("What does a byte hold?", "一个字节装得下吗？"),
            "(torch.tensor([250], dtype=torch.uint8) + torch.tensor([10], dtype=torch.uint8)).tolist()",
            hint=both("A byte counts from 0 to 255, and round.", "字节从 0 数到 255，然后绕回。"),
            wrong={"[260]": both("The type stays uint8: 260 does not fit.", "类型仍是 uint8，装不下 260。"),
                   "[255]": both("It does not stop at 255, it wraps.", "不会停在 255，而是绕回。")}),
    predict("cut", both("float to int64.", "浮点数转 int64。"), "torch.tensor([1.9, -1.9]).long().tolist()",
            hint=both("The fraction is cut off.", "小数部分直接去掉。"),
            wrong={"[2, -2]": both("It does not round.", "不会四舍五入。"),
                   "[1, -2]": both("Not down: towards zero.", "不是向下，而是向零。")}),
    predict("arange", both("Is the end in?", "含不含终点？"), "torch.arange(2, 8, 3).tolist()",
            hint=both("As Python's range.", "同 Python 的 range。"),
            wrong={"[2, 5, 8]": both("The end is left out.", "不含终点。"), "[2, 3, 4, 5, 6, 7]": None}),
    predict("strides", both("How far apart do neighbours lie in memory?", "相邻元素在内存中相隔几格？"), "torch.zeros(3, 4).t().stride()",
            hint=both("Nothing moves when a matrix is transposed.", "转置并不移动数据。"),
            wrong={"(4, 1)": both("So they are before transposing.", "那是转置之前的。"),
                   "(3, 1)": both("So they would be after a copy.", "那是复制之后才有的。")}),
    predict("duplicates", both("One coordinate twice, in a sparse tensor.", "稀疏张量里同一坐标出现两次。"),
            "torch.sparse_coo_tensor([[0, 0]], [2.0, 5.0], (2,)).to_dense().tolist()",
            hint=both("Neither value is lost.", "两个值都不会丢。"),
            wrong={"[5.0, 0.0]": both("The last does not win: they add up.", "不是后者覆盖，而是相加。"), "[2.0, 5.0]": None}),
    # ---- 10 to 14 ----
    predict("hadamard", both("The product of two matrices with *.", "两个矩阵用 * 相乘。"),
            "(torch.tensor([[1, 2], [3, 4]]) * torch.tensor([[1, 0], [0, 1]])).tolist()",
            hint=both("Element by element.", "对应元素相乘。"),
            wrong={"[[1, 2], [3, 4]]": both("That is the matrix product, @.", "那是矩阵乘法 @ 的结果。"), "[[1, 4], [9, 16]]": None}),
    predict("division", both("A whole number divided by a whole number. It depends on the version.", "整数除以整数：答案因版本而异。"),
            "(torch.tensor([7]) / 2).tolist()",
            hint=both("1.5.0 kept whole numbers; since 1.6 there are fractions.", "1.5.0 保持整数；之后的版本给出小数。"),
            wrong={"[4]": both("Nothing rounds up here.", "这里不会向上取整。"), "[2]": None}),
    predict("leading", both("The notes say that leading dimensions must agree. Do they?", "笔记说前面的维度必须一致，果真如此吗？"),
            "tuple((torch.zeros(5, 1, 2, 3) @ torch.zeros(4, 3, 6)).shape)",
            hint=both("All but the last two dimensions broadcast.", "除最后两维外，其余各维会广播。"),
            wrong={"'error'": both("They need not agree: (5, 1) and (4) broadcast.", "不必一致：(5, 1) 与 (4) 会广播。"),
                   "(5, 1, 2, 6)": both("The 1 grows to 4.", "其中的 1 会扩展为 4。")}),
    predict("right_aligned", both("The example of the notes.", "笔记中的例子。"), "tuple((torch.zeros(2, 1, 1) + torch.zeros(3)).shape)",
            hint=both("Line the shapes up on the right.", "把形状右对齐。"),
            wrong={"(2, 3, 1)": None, "(3, 1, 1)": None,
                   "'error'": both("3 stands under a 1: that is allowed.", "3 对着 1，可以广播。")}),
    predict("no_broadcast", both("Does this work?", "能广播吗？"), "tuple((torch.zeros(2, 3) + torch.zeros(2)).shape)",
            hint=both("2 stands under 3.", "右对齐之后 2 对着 3。"),
            wrong={"(2, 3)": both("Shapes are lined up on the right, not on the left.", "形状是右对齐，不是左对齐。"), "(2, 2)": None}),
    predict("in_place", both("Who sees the change?", "谁会看到变化？"), "x = torch.zeros(1)\ny = x\nx += 1\nx = x + 1\ny.item()",
            hint=both("One of the two lines makes a new tensor.", "两行中有一行产生了新张量。"),
            wrong={"0.0": both("+= is in place, and y is the same tensor.", "+= 是原位操作，y 就是同一个张量。"),
                   "2.0": both("x = x + 1 makes a new tensor; y stays.", "x = x + 1 产生新张量，y 不变。")}),
    predict("rounding", both("Where does a half go?", "0.5 会舍入到哪里？"), "torch.round(torch.tensor([0.5, 1.5, 2.5])).tolist()",
            hint=both("To the even neighbour.", "取偶数。"),
            wrong={"[1.0, 2.0, 3.0]": both("Not always up.", "并非总是进一。"), "[0.0, 1.0, 2.0]": both("Not always down.", "并非总是舍去。")}),
    predict("remainders", both("Two remainders of -7 by 3.", "−7 除以 3 的两种余数。"),
            "x = torch.tensor([-7.0])\n[torch.fmod(x, 3).item(), torch.remainder(x, 3).item()]",
            hint=both("One has the sign of -7, the other that of 3.", "一个与 −7 同号，另一个与 3 同号。"),
            wrong={"[2.0, -1.0]": both("The other way round.", "两者反了。"), "[-1.0, -1.0]": None, "[2.0, 2.0]": None}),
    # ---- 15 to 21 ----
    predict("kth", both("The second of these, counted how?", "第 2 个：从哪头数？"), "torch.tensor([9.0, 1.0, 5.0, 3.0]).kthvalue(2)[0].item()",
            hint=both("The smallest is number 1.", "最小的是第 1 个。"),
            wrong={"5.0": both("Number 2 from below, counted from 1.", "从小到大、从 1 数起的第 2 个。"), "1.0": None}),
    predict("nan", both("Is nan nan?", "nan 等于 nan 吗？"), "x = torch.tensor([math.nan, math.inf])\n(x == x).tolist()",
            hint=both("One of the two is equal to nothing.", "其中一个不等于任何东西。"),
            wrong={"[True, True]": both("nan is not equal to itself.", "nan 不等于自己。"), "[False, False]": both("Infinity is itself.", "无穷等于自身。")}),
    predict("median", both("Of an even count.", "偶数个数的中位数。"), "torch.tensor([1.0, 2.0, 3.0, 10.0]).median().item()",
            hint=both("PyTorch takes one of the numbers.", "PyTorch 取其中的一个数。"),
            wrong={"2.5": both("So NumPy does; PyTorch takes the lower one.", "NumPy 才取平均；PyTorch 取较小者。"), "3.0": None}),
    predict("variance", both("Divided by what?", "除以几？"), "torch.tensor([1.0, 3.0]).var().item()",
            hint=both("n - 1, unless told otherwise.", "默认除以 n − 1。"),
            wrong={"1.0": both("That divides by n, as NumPy does.", "那是除以 n（NumPy 的默认）。"), "4.0": None}),
    predict("matrix_norm", both("Which norm of a matrix is this?", "这是矩阵的哪种范数？"), "torch.norm(torch.diag(torch.tensor([3.0, 4.0])), 2).item()",
            hint=both("As if the matrix were a long vector.", "把矩阵当作一个长向量。"),
            wrong={"4.0": both("That is the spectral norm: torch.norm gives Frobenius.", "那是谱范数；torch.norm 给出的是 Frobenius 范数。"),
                   "7.0": both("That is the nuclear norm.", "那是核范数。")}),
    predict("norm_zero", both("The 0-norm.", "0 范数。"), "torch.norm(torch.tensor([5.0, 0.0, -2.0]), 0).item()",
            hint=both("It counts.", "它在数个数。"), wrong={"7.0": both("That is the 1-norm.", "那是 1 范数。"), "3.0": None}),
    # ---- 24 to 31 ----
    predict("clamp", both("As in the notes.", "笔记中的用法。"), "torch.tensor([0, 5, 20]).clamp(2, 10).tolist()",
            hint=both("What is outside goes to the edge.", "超出范围的取边界。"),
            wrong={"[5]": both("Nothing is thrown away.", "元素不会被丢弃。"), "[0, 5, 0]": None}),
    predict("gather", both("In each row, which?", "每行取哪个？"),
            "torch.tensor([[1, 2], [3, 4]]).gather(1, torch.tensor([[1, 1], [0, 1]])).tolist()",
            hint=both("out[i][j] is x[i][index[i][j]].", "第 i 行第 j 个是 x[i][index[i][j]]。"),
            wrong={"[[3, 4], [1, 4]]": both("That is along dimension 0.", "那是沿第 0 维取。"), "[[1, 1], [3, 4]]": None}),
    predict("chunks", both("How many parts come?", "得到几份？"), "[len(part) for part in torch.arange(6).chunk(4)]",
            hint=both("All parts but the last have the size ceil(6 / 4).", "除最后一份外，每份 ⌈6/4⌉ 个。"),
            wrong={"[2, 2, 1, 1]": both("All parts have the size 2, so there are only 3.", "每份都是 2，所以只有 3 份。"), "[1, 1, 1, 3]": None}),
    predict("stacked", both("cat, or stack?", "cat 还是 stack？"), "tuple(torch.stack([torch.zeros(3, 4)] * 2, dim=1).shape)",
            hint=both("A new dimension in second place.", "在第 1 维处新增一维。"),
            wrong={"(3, 8)": both("So cat does.", "那是 cat 的结果。"), "(2, 3, 4)": both("So with dim=0.", "那是 dim=0 的结果。")}),
    predict("transposed_view", both("Does this work?", "能运行吗？"), "torch.arange(6).view(2, 3).t().view(6).tolist()",
            hint=both("view never copies.", "view 从不复制数据。"),
            wrong={"[0, 3, 1, 4, 2, 5]": both("So reshape does; view fails.", "reshape 才会这样；view 会出错。"), "[0, 1, 2, 3, 4, 5]": None}),
    predict("shared", both("Who shares memory?", "谁共享内存？"),
            "a = np.zeros(1)\nx, y = torch.from_numpy(a), torch.tensor(a)\na[0] = 5\n[x.item(), y.item()]",
            hint=both("torch.tensor copies.", "torch.tensor 会复制。"),
            wrong={"[5.0, 5.0]": both("torch.tensor has made a copy.", "torch.tensor 已经复制。"),
                   "[0.0, 0.0]": both("from_numpy shares the memory.", "from_numpy 共享内存。")}),
    # ---- functions ----
    fill_in("outer", both("The table x[i] * y[j] of two vectors, (N) and (N), by broadcasting.", "两个向量 (N)、(N) 的乘法表 x[i]·y[j]，用广播。"),
            "def outer(x, y):", oracle=lambda x, y: torch.from_numpy(np.outer(x.numpy(), y.numpy())),
            cases=lambda random, size: (*vector(random, size), *vector(random, size)), without=("outer", "ger", "einsum", "for", "@"),
            solution="return x[:, None] * y", hint=both("Make x a column.", "把 x 变成一列。"),
            wrong=("return x * y", "return x * y[:, None]")),
    fill_in("product", both("The matrix product of (N, K) and (K, M).", "矩阵乘积 (N, K)·(K, M)。"), "def product(a, b):",
            oracle=by_numpy(lambda a, b: a @ np.asarray(b)), cases=two_matrices, without=("mm", "matmul", "bmm", "einsum", "@", "for"),
            solution="return (a[:, :, None] * b).sum(dim=1)", hint=both("(N, K, 1) times (K, M), then add up over K.", "(N, K, 1) 乘以 (K, M)，再对 K 求和。"),
            wrong=("return (a[:, :, None] * b).sum(dim=2)", "return (a[:, :, None] * b).mean(dim=1)")),
    fill_in("broadcast", both("The shape to which two shapes broadcast; they do.", "两个形状广播后的形状（保证可以广播）。"), "def broadcast(one, other):",
            oracle=lambda one, other: np.broadcast(np.empty(one), np.empty(other)).shape, cases=shapes, sizes=(1, 1, 2, 2, 3, 3, 4, 5),
            without=("torch", "np"), hint=both("Fill the shorter one with 1 on the left.", "短的在左边补 1。"),
            solution="n = max(len(one), len(other))\none, other = (1,) * (n - len(one)) + one, (1,) * (n - len(other)) + other\n"
                     "return tuple(max(a, b) for a, b in zip(one, other))",
            wrong=("return tuple(max(a, b) for a, b in zip(one, other))", "return one", "return max(one, other)")),
    fill_in("remainder", both("The remainder of whole numbers x (N) by k > 0, as Python's %.", "整数 x (N) 除以 k > 0 的余数，同 Python 的 %。"),
            "def remainder(x, k):", oracle=by_numpy(lambda x, k: x % k), cases=numbers, without=("remainder", "for"),
            solution="r = torch.fmod(x, k)\nreturn torch.where(r < 0, r + k, r)", hint=both("fmod has the sign of x.", "fmod 的结果与 x 同号。"),
            wrong=("return torch.fmod(x, k)", "return torch.fmod(x, k).abs()")),
    fill_in("sigmoid", both("1 / (1 + e^-x), element by element.", "逐元素计算 1 / (1 + e^(−x))。"), "def sigmoid(x):",
            oracle=torch.sigmoid, cases=vector, without=("sigmoid", "tanh"), solution="return 1 / (1 + torch.exp(-x))",
            hint=both("Write the formula.", "照公式写。"), wrong=("return 1 / (1 + torch.exp(x))", "return torch.exp(x)")),
    fill_in("standardise", both("Each column of (N, D) with mean 0 and deviation 1, dividing by n.", "把 (N, D) 的每列变为均值 0、标准差 1（除以 n）。"),
            "def standardise(x):", oracle=by_numpy(lambda x: (x - x.mean(axis=0)) / x.std(axis=0)), cases=cloud, tolerance=1e-3,
            solution="return (x - x.mean(dim=0)) / x.std(dim=0, unbiased=False)", hint=both("PyTorch divides by n - 1 unless told otherwise.", "PyTorch 默认除以 n − 1。"),
            wrong=("return (x - x.mean(dim=0)) / x.std(dim=0)", "return (x - x.mean()) / x.std(unbiased=False)", "return x - x.mean(dim=0)")),
    fill_in("histogram", both("How often each number from 0 to 255 is in x (N), int64.", "x (N, int64) 中 0 到 255 各出现几次。"), "def histogram(x):",
            oracle=lambda x: torch.bincount(x, minlength=256), cases=lambda random, size: (torch.from_numpy(random.randint(0, 256, 3 * size)),),
            without=("bincount", "histc", "unique", "for"), solution="return (x == torch.arange(256)[:, None]).sum(dim=1)",
            hint=both("Compare x with a column of 256 numbers.", "把 x 与一列 256 个数比较。"),
            wrong=("return (x == torch.arange(256)[:, None]).any(dim=1).long()", "return (x == torch.arange(255)[:, None]).sum(dim=1)")),
    fill_in("distances", both("All Euclidean distances between the rows of a (N, D) and b (M, D), shape (N, M).", "a (N, D) 与 b (M, D) 各行之间的欧氏距离，形状 (N, M)。"),
            "def distances(a, b):", oracle=by_numpy(lambda a, b: np.sqrt(((a[:, None] - np.asarray(b)) ** 2).sum(-1))),
            cases=lambda random, size: (*matrix(random, size), torch.from_numpy(random.randn(2, size + 2).astype(np.float32))),
            without=("cdist", "dist", "for"), solution="return (a[:, None] - b).norm(dim=2)", hint=both("(N, 1, D) minus (M, D).", "(N, 1, D) 减 (M, D)。"),
            wrong=("return (a[:, None] - b).abs().sum(dim=2)", "return (a[:, None] - b).pow(2).sum(dim=2)")),
    fill_in("frobenius", both("The Frobenius norm of a matrix.", "矩阵的 Frobenius 范数。"), "def frobenius(m):",
            oracle=lambda m: torch.tensor(np.linalg.norm(m.numpy())), cases=matrix, without=("norm", "dist"),
            solution="return (m ** 2).sum().sqrt()", hint=both("The root of all squares.", "所有元素平方和的平方根。"),
            wrong=("return torch.svd(m)[1].max()", "return m.abs().sum()")),
    fill_in("component", both("The variance of points (N, 3) along their first principal component.", "点集 (N, 3) 沿第一主成分的方差。"), "def component(x):",
            oracle=first_component, cases=cloud, tolerance=1e-3, without=("np", "pca_lowrank"),
            solution="x = x - x.mean(dim=0)\nreturn torch.svd(x)[1][0] ** 2 / (len(x) - 1)",
            hint=both("The singular values of the centred points, squared, by n - 1.", "中心化后奇异值的平方除以 n − 1。"),
            wrong=("return torch.svd(x)[1][0] ** 2 / (len(x) - 1)", "x = x - x.mean(dim=0)\nreturn torch.svd(x)[1][0] ** 2 / len(x)",
                   "return x.var(dim=0).max()")),
    fill_in("clip", both("A gradient g (N), no longer than 1, its direction kept.", "把梯度 g (N) 的长度限制在 1 以内，方向不变。"), "def clip(g):",
            oracle=lambda g: g / max(1.0, float(np.linalg.norm(g.numpy()))), cases=vector, without=("clip_grad_norm_", "renorm"),
            solution="return g / g.norm().clamp(min=1)", hint=both("Divide by its length where that is more than 1.", "长度超过 1 时除以长度。"),
            wrong=("return g.clamp(-1, 1)", "return g / g.norm()", "return g")),
    fill_in("pick", both("From scores (N, C) the one of labels (N) in each row.", "从得分 (N, C) 的每行取出标签 (N) 所指的那个。"), "def pick(scores, labels):",
            oracle=lambda scores, labels: torch.stack([row[label] for row, label in zip(scores, labels)]), cases=picked, without=("for",),
            solution="return scores.gather(1, labels[:, None])[:, 0]", hint=both("gather along dimension 1.", "沿第 1 维 gather。"),
            wrong=("return scores[:, labels]", "return scores.gather(1, labels[:, None])", "return scores.max(dim=1)[0]")),
    fill_in("one_hot", both("Labels (N), 0 to 3, as float32 rows of one 1 and three 0.", "标签 (N)（0 到 3）变成独热的 float32 行。"), "def one_hot(labels):",
            oracle=lambda labels: torch.from_numpy(np.eye(4, dtype=np.float32)[labels.numpy()]),
            cases=lambda random, size: (torch.from_numpy(random.randint(0, 4, size)),), without=("one_hot", "for"),
            solution="return torch.eye(4)[labels]", hint=both("Rows of the identity.", "单位矩阵的行。"),
            wrong=("return torch.eye(4)[:, labels]", "return torch.eye(4)[labels].long()")),
    fill_in("swap", both("Pictures H x W x C as C x H x W.", "图片由 H×W×C 变为 C×H×W。"), "def swap(picture):",
            oracle=by_numpy(lambda x: np.transpose(x, (2, 0, 1))),
            cases=lambda random, size: (torch.from_numpy(random.randn(size + 1, size + 2, 3)),),
            solution="return picture.permute(2, 0, 1)", hint=both("permute names the old places.", "permute 里写的是原来的维号。"),
            wrong=("return picture.transpose(0, 2)", "return picture.reshape(3, picture.shape[0], picture.shape[1])")),
    fill_in("quarter", both("A matrix turned by a quarter, against the clock.", "矩阵逆时针旋转 90°。"), "def quarter(x):",
            oracle=by_numpy(np.rot90), cases=matrix, without=("rot90", "for"), solution="return x.t().flip(0)",
            hint=both("Transpose, then flip.", "先转置，再翻转。"), wrong=("return x.t()", "return x.t().flip(1)", "return x.flip(0).t()")),
    fill_in("loudest", both("The frequency, in whole turns, of the loudest part of a signal (N), as int; 0 excluded.", "信号 (N) 中最强成分的频率（整数周数，不计 0），返回 int。"),
            "def loudest(x):", oracle=lambda x: int(np.abs(np.fft.rfft(x.numpy()))[1:].argmax()) + 1,
            cases=lambda random, size: (torch.from_numpy(
                3 + np.sin(2 * np.pi * (size + 1) * np.arange(32) / 32 + random.rand()) + 0.1 * random.randn(32)),),
            without=("fft", "rfft", "np", "stft"), hint=both("Multiply by the cosine and the sine of each frequency.", "与每个频率的余弦、正弦相乘求和。"),
            solution="n = len(x)\nangle = 2 * math.pi * torch.arange(1, n // 2 + 1).double()[:, None] * torch.arange(n).double() / n\n"
                     "power = (angle.cos() @ x) ** 2 + (angle.sin() @ x) ** 2\nreturn int(power.argmax()) + 1",
            wrong=("n = len(x)\nangle = 2 * math.pi * torch.arange(1, n // 2 + 1).double()[:, None] * torch.arange(n).double() / n\n"
                   "return int(((angle.cos() @ x) ** 2 + (angle.sin() @ x) ** 2).argmax())", "return int(x.argmax())", "return 1")),
)  # fmt: skip

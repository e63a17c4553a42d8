"""The exercises of the lab mnist: eight lines to predict and twelve functions to fill in."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from labkit.base.language import both
from labkit.runs.practice.sheet import fill_in, predict

SETUP = """
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
"""


def _logits(random: np.random.RandomState, size: int) -> tuple[torch.Tensor]:
    return (torch.from_numpy(random.randn(size + 1, 3 + size % 3) * 3).float(),)


def _large(random: np.random.RandomState, size: int) -> tuple[torch.Tensor]:
    (logits,) = _logits(random, size)
    return (logits + (1000 if size > 2 else 0),)


def _labelled(random: np.random.RandomState, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    (logits,) = _logits(random, size)
    return logits, torch.from_numpy(random.randint(0, logits.shape[1], len(logits))).long()


def _smoothing(random: np.random.RandomState, size: int) -> tuple[torch.Tensor, int, float]:
    classes = 2 + size % 4
    return torch.from_numpy(random.randint(0, classes, size + 1)).long(), classes, float(random.choice([0.1, 0.2, 0.5]))


def _smooth(labels: torch.Tensor, classes: int, share: float) -> torch.Tensor:
    return (1 - share) * F.one_hot(labels, classes).float() + share / classes


def _pairs(random: np.random.RandomState, size: int) -> tuple[np.ndarray, np.ndarray, int]:
    classes = 2 + size % 3
    return random.randint(0, classes, size + 1), random.randint(0, classes, size + 1), classes


def _confusion(labels: np.ndarray, guessed: np.ndarray, classes: int) -> np.ndarray:
    return np.array([[int(((labels == row) & (guessed == column)).sum()) for column in range(classes)]
                     for row in range(classes)])  # fmt: skip


def _sure(random: np.random.RandomState, size: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Confidences in (0, 1), none on the border of two bins."""
    return random.rand(3 * size + 2) * 0.98 + 0.01, random.rand(3 * size + 2) < 0.7, 5


def _ece(confidence: np.ndarray, right: np.ndarray, count: int) -> float:
    total = 0.0
    for k in range(count):
        own = (confidence > k / count) & (confidence <= (k + 1) / count)
        if own.any():
            total += own.mean() * abs(right[own].mean() - confidence[own].mean())
    return float(total)


def _levels(random: np.random.RandomState, size: int) -> tuple[np.ndarray]:
    """Two groups of grey levels, without an empty stretch in which many thresholds would be equally good."""
    dark, light = random.randint(0, 120, (3 + size, 40)), random.randint(100, 256, (1 + size, 40))
    return (np.concatenate([dark, light]).astype(np.uint8),)


def _moved(random: np.random.RandomState, size: int) -> tuple[np.ndarray, int, int]:
    image = random.randint(1, 256, (size + 3, size + 4)).astype(np.uint8)
    return image, int(random.randint(-2, 3)), int(random.randint(-2, 3))


def _shifted(x: np.ndarray, down: int, right: int) -> np.ndarray:
    height, width = x.shape
    padded = np.pad(x, 2)
    return padded[2 - down : 2 - down + height, 2 - right : 2 - right + width]


def _ink(random: np.random.RandomState, size: int) -> tuple[np.ndarray]:
    return (random.randint(0, 256, (size + 2, size + 3)).astype(np.float64),)


def _layer(random: np.random.RandomState, size: int) -> tuple[int, int, int, int]:
    kernel = int(random.randint(1, 6))
    return kernel + int(random.randint(0, 25)), kernel, int(random.randint(1, 4)), int(random.randint(0, 3))


def _side(side: int, kernel: int, stride: int, padding: int) -> int:
    return int(nn.Conv2d(1, 1, kernel, stride, padding)(torch.zeros(1, 1, side, side)).shape[2])


def _shares(random: np.random.RandomState, size: int) -> tuple[np.ndarray]:
    """A distribution; every second one has an outcome that never comes."""
    p = random.rand(size + 2)
    p[0] *= size % 2
    return (p / p.sum(),)


def _two_shares(random: np.random.RandomState, size: int) -> tuple[np.ndarray, np.ndarray]:
    p, q = random.rand(2, size + 2) + 0.01
    return p / p.sum(), q / q.sum()


def _entropy(p: np.ndarray) -> float:
    return float(-sum(share * np.log(share) for share in p if share > 0))


def _centre(x: np.ndarray) -> tuple[float, float]:
    found = cv2.moments(x)
    return found["m01"] / found["m00"], found["m10"] / found["m00"]


def _otsu(x: np.ndarray) -> Any:
    return int(cv2.threshold(x, 0, 255, cv2.THRESH_OTSU)[0])


SHEET = (
    predict("large", both("Two equal logits, too large for exp.", "两个相等的 logits，大到 exp 会溢出。"),
            "torch.softmax(torch.tensor([1000.0, 1000.0]), dim=0).tolist()",
            hint=both("Adding a number to all logits changes nothing: subtract the largest.",
                      "所有 logits 加同一个数，结果不变：先减去最大值。"),
            wrong={"[float('nan'), float('nan')]": both("So it would be by the formula; softmax subtracts the largest "
                                                        "first.",
                                                        "直接套公式才会这样；softmax 会先减去最大值。"),
                   "[1.0, 1.0]": both("They must add up to 1.", "它们的和必须是 1。")}),
    fill_in("softmax", both("logits (N, K) to probabilities (N, K), for large logits too.",
                            "logits (N, K) 变为概率 (N, K)，logits 很大时也要对。"),
            "def softmax(logits):", without=("softmax", "log_softmax"), oracle=lambda x: torch.softmax(x, dim=1),
            cases=_large, hint=both("Subtract the largest of each row first.", "先减去每行的最大值。"),
            solution="p = (logits - logits.max(dim=1, keepdim=True)[0]).exp()\nreturn p / p.sum(dim=1, keepdim=True)",
            wrong=("p = logits.exp()\nreturn p / p.sum(dim=1, keepdim=True)",
                   "p = (logits - logits.max(dim=1, keepdim=True)[0]).exp()\nreturn p / p.sum()")),
    predict("one_hot", both("Labels as distributions.", "把标签写成分布。"),
            "F.one_hot(torch.tensor([2, 0]), 3).tolist()",
            hint=both("One row for each label, 1 at its place, counted from 0.", "每个标签一行，在它的位置写 1，从 0 "
                                                                                 "数起。"),
            wrong={"[[0, 1, 0], [1, 0, 0]]": both("Counting begins at 0: label 2 is the third place.",
                                                  "从 0 数起：标签 2 在第三个位置。"),
                   "[2, 0]": None}),
    fill_in("entropy", both("The entropy of p (K,) in nats; outcomes with probability 0 count nothing.",
                            "分布 p (K,) 的熵，单位 nat；概率为 0 的结果不计。"),
            "def entropy(p):", oracle=_entropy, cases=_shares,
            hint=both("Keep only what is above 0 before you take the logarithm.", "取对数之前只保留大于 0 的部分。"),
            solution="p = p[p > 0]\nreturn float(-(p * np.log(p)).sum())",
            wrong=("return float(-(p * np.log(p)).sum())", "p = p[p > 0]\nreturn float(-(p * np.log2(p)).sum())",
                   "p = p[p > 0]\nreturn float(-np.log(p).sum())")),
    predict("know_nothing", both("The loss of a network that knows nothing of ten digits.", "对十个数字一无所知的网络，"
                                                                                            "损失是多少？"),
            "F.cross_entropy(torch.zeros(1, 10), torch.tensor([3])).item()",
            hint=both("Each digit has probability 1/10.", "每个数字的概率都是 1/10。"),
            wrong={"0.0": both("Logits of 0 are no certainty: they make all digits equally likely.",
                               "logits 为 0 不是确信，而是所有数字等可能。"),
                   "0.1": both("That is q of the label; the loss is -log q.", "那是标签的 q；损失是 −log q。"),
                   "1.0": both("PyTorch takes the natural logarithm: log 10.", "PyTorch 取自然对数：log 10。")}),
    fill_in("cross_entropy", both("The mean cross-entropy of logits (N, K) and labels int64 (N,).",
                                  "logits (N, K) 与标签 int64 (N,) 的平均交叉熵。"),
            "def cross_entropy(logits, labels):", without=("cross_entropy", "nll_loss", "CrossEntropyLoss"),
            oracle=F.cross_entropy, cases=_labelled,
            hint=both("F.log_softmax, then the entry of the label in each row.", "先 F.log_softmax，"
                                                                                 "再取每行标签处的值。"),
            solution="log_q = F.log_softmax(logits, dim=1)\nreturn -log_q[torch.arange(len(labels)), labels].mean()",
            wrong=("return -F.log_softmax(logits, dim=1).mean()",
                   "log_q = F.log_softmax(logits, dim=1)\nreturn -log_q[torch.arange(len(labels)), labels].sum()",
                   "log_q = F.log_softmax(logits, dim=0)\nreturn -log_q[torch.arange(len(labels)), labels].mean()")),
    predict("twice", both("A network that is sure and right, and its softmax handed to the loss.",
                          "网络确信且正确，却把 softmax 之后的结果交给损失。"),
            "round(F.cross_entropy(torch.softmax(torch.tensor([[50.0, 0.0]]), dim=1), torch.tensor([0])).item(), 3)",
            hint=both("cross_entropy takes logits: it applies softmax itself, here to 1 and 0.",
                      "cross_entropy 接受 logits，会自己做 softmax：这里是对 1 和 0 做。"),
            wrong={"0.0": both("Softmax is taken twice, so the best it can reach is log(1 + 1/e).",
                               "softmax 做了两次，最低只能到 log(1 + 1/e)。"),
                   "0.693": both("That would be two equal logits; here they are 1 and 0.",
                                 "那是两个相等的 logits；这里是 1 和 0。")}),
    predict("no_such_class", both("Three classes, and the label 3.", "三个类别，标签却是 3。"),
            "F.cross_entropy(torch.zeros(1, 3), torch.tensor([3])).item()",
            hint=both("The classes are 0, 1 and 2.", "类别是 0、1、2。"),
            wrong={"1.0986": both("The last class is 2.", "最后一个类别是 2。"), "0.0": None}),
    fill_in("smooth", both("Targets (N, classes): 1 - share for the label, and share spread over all classes.",
                           "目标 (N, classes)：标签得 1 − share，share 平摊给所有类别。"),
            "def smooth(labels, classes, share):", oracle=_smooth, cases=_smoothing,
            hint=both("The label gets its part of what is spread, too.", "标签自己也分到平摊的一份。"),
            solution="return (1 - share) * F.one_hot(labels, classes).float() + share / classes",
            wrong=("hot = F.one_hot(labels, classes).float()\nreturn (1 - share) * hot + share / (classes - 1) * (1 - "
                   "hot)",
                   "return F.one_hot(labels, classes).float() + share / classes",
                   "return (1 - share) * F.one_hot(labels, classes).float()")),
    fill_in("accuracy", both("The share of rows of logits (N, K) whose largest is at the label.",
                             "logits (N, K) 中，最大值位于标签处的行所占比例。"),
            "def accuracy(logits, labels):",
            oracle=lambda logits, labels: float((logits.argmax(dim=1) == labels).double().mean()), cases=_labelled,
            hint=both("argmax along the classes.", "沿类别维取 argmax。"),
            solution="return (logits.argmax(dim=1) == labels).double().mean().item()",
            wrong=("return (logits.argmax(dim=1) == labels).sum().item()",
                   "return (logits.argmax(dim=1) != labels).double().mean().item()")),
    fill_in("confusion", both("How many of each true class (row) got each guess (column): labels, guessed (N,).",
                              "每个真实类别（行）得到每种判断（列）的个数：labels、guessed (N,)。"),
            "def confusion(labels, guessed, classes):", without=("confusion_matrix",), oracle=_confusion, cases=_pairs,
            hint=both("np.add.at counts repeated places, too.", "np.add.at 会把重复的位置也计数。"),
            solution="m = np.zeros((classes, classes), int)\nnp.add.at(m, (labels, guessed), 1)\nreturn m",
            wrong=("m = np.zeros((classes, classes), int)\nnp.add.at(m, (guessed, labels), 1)\nreturn m",
                   "m = np.zeros((classes, classes), int)\nm[labels, guessed] += 1\nreturn m")),
    predict("recall", both("Rows are true classes. Which share of the second class was found?",
                           "每行是一个真实类别。第二类被找出来的比例是？"),
            "m = np.array([[8, 2], [1, 3]])\nfloat(m[1, 1] / m[1].sum())",
            hint=both("Divide by the row: what is of that class.", "除以该行之和：属于这一类的总数。"),
            wrong={"0.6": both("That is the column, and so the precision: of what was called so, how much is.",
                               "那是除以列，即精度：被判为该类的里面有多少是对的。"),
                   "0.214": both("That is of all images.", "那是占全部图片的比例。")}),
    fill_in("ece", both("The expected calibration error: confidence and right (N,), bins (k/count, (k+1)/count].",
                        "期望校准误差：confidence、right (N,)，区间为 (k/count, (k+1)/count]。"),
            "def ece(confidence, right, count):", oracle=_ece, cases=_sure,
            hint=both("In each bin |accuracy - confidence|, weighted by its share of the images.",
                      "每个区间内 |准确率 − 平均置信度|，按图片所占比例加权。"),
            solution="total = 0.0\nfor k in range(count):\n"
                     "    own = (confidence > k / count) & (confidence <= (k + 1) / count)\n    if own.any():\n"
                     "        total += own.mean() * abs(right[own].mean() - confidence[own].mean())\nreturn "
                     "float(total)",
            wrong=("return float(abs(right.mean() - confidence.mean()))",
                   "total = 0.0\nfor k in range(count):\n"
                   "    own = (confidence > k / count) & (confidence <= (k + 1) / count)\n    if own.any():\n"
                   "        total += abs(right[own].mean() - confidence[own].mean()) / count\nreturn float(total)",
                   "return float(abs(right - confidence).mean())")),
    predict("first_layer", both("The first layer of this lab: what comes out?", "本实验的第一层：输出的形状是？"),
            "tuple(nn.Conv2d(1, 16, 5, stride=3, padding=1)(torch.zeros(1, 1, 24, 24)).shape)",
            hint=both("(24 + 2 - 5) / 3 steps, and the place where it begins.", "(24 + 2 − 5) / 3 步，再加上起点。"),
            wrong={"(1, 16, 24, 24)": both("It moves in steps of three.", "它每次移动三个像素。"),
                   "(1, 16, 7, 7)": both("Padding is on both sides: 26 pixels.", "两边都有填充：26 像素。")}),
    fill_in("output_side", both("The side of the output of a convolution.", "卷积输出的边长。"),
            "def output_side(side, kernel, stride, padding):", without=("Conv2d", "conv2d", "unfold"), oracle=_side,
            cases=_layer, hint=both("How many steps fit, and the place where it begins.", "能走多少步，再加上起点。"),
            solution="return (side + 2 * padding - kernel) // stride + 1",
            wrong=("return (side + padding - kernel) // stride + 1", "return (side + 2 * padding - kernel) / stride + "
                                                                     "1",
                   "return (side + 2 * padding) // stride", "return (side + 2 * padding - kernel) // stride")),
    predict("weights", both("How many numbers does this layer learn?", "这一层要学多少个数？"),
            "sum(p.numel() for p in nn.Conv2d(16, 32, 3).parameters())",
            hint=both("3 x 3 for each pair of an input and an output channel, and a bias for each output.",
                      "每对输入、输出通道有 3 × 3 个，每个输出再加一个偏置。"),
            wrong={"4608": both("And 32 biases.", "还有 32 个偏置。"),
                   "320": both("Each output sees all 16 inputs.", "每个输出都看全部 16 个输入。")}),
    fill_in("shifted", both("x (H, W) moved down and right by up to 2 pixels (below 0: up, left); what comes in is 0.",
                            "x (H, W) 向下、向右移动至多 2 像素（负数为向上、向左），移入处补 0。"),
            "def shifted(x, down, right):", without=("roll", "shift", "warpAffine"), oracle=_shifted, cases=_moved,
            hint=both("Pad by 2 on all sides and cut out a window. Down means that the window begins higher.",
                      "四周补 2，再截一个窗口。向下移等于窗口的起点更高。"),
            solution="h, w = x.shape\np = np.pad(x, 2)\nreturn p[2 - down:2 - down + h, 2 - right:2 - right + w]",
            wrong=("h, w = x.shape\np = np.pad(x, 2)\nreturn p[2 + down:2 + down + h, 2 + right:2 + right + w]",
                   "h, w = x.shape\np = np.pad(x, 2, mode='edge')\n"
                   "return p[2 - down:2 - down + h, 2 - right:2 - right + w]",
                   "h, w = x.shape\np = np.pad(x, 2, mode='wrap')\n"
                   "return p[2 - down:2 - down + h, 2 - right:2 - right + w]")),
    fill_in("otsu", both("Otsu's threshold of x, uint8 (H, W): the t for which the classes x <= t and x > t vary "
                         "least.",
                         "x（uint8，(H, W)）的 Otsu 阈值：使 x <= t 与 x > t 两类内部方差最小的 t。"),
            "def otsu(x):", without=("threshold", "threshold_otsu"), oracle=_otsu, cases=_levels,
            hint=both("The variance within is smallest where share * share * (difference of means)² is largest.",
                      "类内方差最小，就是 两类占比之积 ×（均值之差）² 最大。"),
            solution="def between(t):\n    a, b = x[x <= t], x[x > t]\n"
                     "    return len(a) * len(b) * (a.mean() - b.mean()) ** 2 if len(a) and len(b) else 0\n"
                     "return max(range(256), key=between)",
            wrong=("return int(x.mean())", "return int((int(x.min()) + int(x.max())) // 2)",
                   "def between(t):\n    a, b = x[x <= t], x[x > t]\n"
                   "    return (a.mean() - b.mean()) ** 2 if len(a) and len(b) else 0\nreturn max(range(256), "
                   "key=between)")),
    fill_in("centre", both("The centre of mass of x (H, W): (row, column), pixel centres at whole numbers.",
                           "x (H, W) 的质心：(行, 列)，像素中心位于整数坐标。"),
            "def centre(x):", without=("moments", "center_of_mass"), oracle=_centre, cases=_ink,
            hint=both("The mean of the row numbers, each weighted by the ink of its row.", "行号按各行墨量加权平均。"),
            solution="return ((x.sum(axis=1) @ np.arange(len(x))) / x.sum(), "
                     "(x.sum(axis=0) @ np.arange(x.shape[1])) / x.sum())",
            wrong=("return ((x.sum(axis=0) @ np.arange(x.shape[1])) / x.sum(), "
                   "(x.sum(axis=1) @ np.arange(len(x))) / x.sum())",
                   "return ((len(x) - 1) / 2, (x.shape[1] - 1) / 2)")),
    fill_in("kl", both("The KL divergence of q from p, both (K,) and above 0: Σ p log(p / q).",
                       "p 相对于 q 的 KL 散度，二者均为 (K,) 且大于 0：Σ p log(p / q)。"),
            "def kl(p, q):", oracle=lambda p, q: float((p * np.log(p / q)).sum()), cases=_two_shares,
            hint=both("Cross-entropy less entropy; their order matters.", "交叉熵减去熵；p 与 q 的次序有区别。"),
            solution="return float((p * np.log(p / q)).sum())",
            wrong=("return float((q * np.log(q / p)).sum())", "return float(-(p * np.log(q)).sum())",
                   "return float(np.abs(p - q).sum())")),
)  # fmt: skip

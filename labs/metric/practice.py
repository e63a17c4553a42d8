"""The exercises of the lab metric: eight lines to predict and ten functions to fill in."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from labkit.base.language import both
from labkit.runs.practice.sheet import fill_in, predict
from labs.metric import measures, mining
from labs.metric.distances import distances, pairs

SETUP = """
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
"""


def _rows(random: np.random.RandomState, size: int) -> tuple[torch.Tensor]:
    return (torch.from_numpy(random.randn(size + 1, 2 + size % 3)),)


def _labelled(random: np.random.RandomState, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings of two classes or more, two images or more each, and their labels in any order."""
    labels = random.permutation(np.repeat(np.arange(2 + size % 3), 2 + size % 2))
    return torch.from_numpy(random.randn(len(labels), 3)), torch.from_numpy(labels)


def _apart(random: np.random.RandomState, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    x, labels = _labelled(random, size)
    return torch.cdist(x, x), labels


def _apart_margin(random: np.random.RandomState, size: int) -> tuple[torch.Tensor, torch.Tensor, float]:
    return (*_apart(random, size), float(random.choice([1.0, 2.5])))


def _two(random: np.random.RandomState, size: int) -> tuple[torch.Tensor, torch.Tensor, float]:
    near, far = torch.from_numpy(random.rand(2, size + 1))
    return near, far, 0.2 if size else 2.0


def _negatives(random: np.random.RandomState, size: int) -> tuple[torch.Tensor, float]:
    """Distances to negatives, and that to the positive, which in every third case is the largest."""
    return torch.from_numpy(random.rand(size + 2)), 1.5 if size % 3 == 2 else float(random.rand() / 2)


def _ranked(random: np.random.RandomState, size: int) -> tuple[np.ndarray]:
    """Which of the others, nearest first, are of the query's class: one at least."""
    right = random.rand(size + 2) < 0.5
    right[random.randint(len(right))] = True
    return (right,)


def _both_kinds(random: np.random.RandomState, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances of pairs of one class and of two, with ties."""
    return random.randint(0, 6, size + 1) / 5.0, random.randint(1, 8, size + 2) / 5.0


def _cosine(random: np.random.RandomState, size: int) -> tuple[torch.Tensor, torch.Tensor, float]:
    return torch.from_numpy(random.randn(size + 1, 3)), torch.from_numpy(random.randn(2 + size % 3, 3)), 0.05


def _contrastive(d: torch.Tensor, labels: torch.Tensor, margin: float) -> torch.Tensor:
    positive, negative = pairs(labels)
    return torch.cat([d[positive] ** 2 / 2, F.relu(margin - d[negative]) ** 2 / 2]).mean()


def _triplet(near: torch.Tensor, far: torch.Tensor, margin: float) -> torch.Tensor:
    values = F.relu(near - far + margin)
    return values.sum() / (values > 0).sum().clamp(min=1)


def _hardest(d: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    anchors, farthest, nearest = mining.batch_hard(d, labels)
    return d[anchors, farthest], d[anchors, nearest]


def _semi_hard(negatives: torch.Tensor, positive: float) -> int:
    farther = [(value, k) for k, value in enumerate(negatives.tolist()) if value > positive]
    return min(farther)[1] if farther else -1


def _map_at_r(right: np.ndarray) -> float:
    wanted = int(right.sum())
    return float(sum(right[: k + 1].mean() for k in range(wanted) if right[k]) / wanted)


def _auc(same: np.ndarray, different: np.ndarray) -> float:
    return float(np.mean([(one < other) + 0.5 * (one == other) for one in same for other in different]))


def _logits(x: torch.Tensor, centres: torch.Tensor, temperature: float) -> torch.Tensor:
    return F.normalize(x, dim=1) @ F.normalize(centres, dim=1).t() / temperature


def _recall(x: torch.Tensor, labels: torch.Tensor) -> Any:
    return measures.retrieval(x, labels).recall_at_1


SHEET = (
    predict("sphere", both("Two embeddings of length 1 at a right angle: how far apart?",
                           "两个长度为 1、互相垂直的嵌入，相距多远？"),
            "torch.dist(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])).item()",
            hint=both("|a - b|² = |a|² + |b|² - 2 a·b.", "用公式 |a − b|² = |a|² + |b|² − 2 a·b。"),
            wrong={"2.0": both("So far are opposite ones; or it is the "
                               "square.", "那是方向相反时的距离，或是距离的平方。"),
                   "1.0": both("That is 1 - cosine, the cosine distance.", "那是 1 − cos，即余弦距离。")}),
    fill_in("pairwise", both("Euclidean distances between all rows of x (N, D): (N, N).",
                             "x (N, D) 各行两两之间的欧氏距离：(N, N)。"),
            "def pairwise(x):", without=("cdist", "for", "pdist", "pairwise_distance"),
            oracle=lambda x: distances(x), cases=_rows, tolerance=1e-4,
            hint=both("x[:, None] - x has the shape (N, N, D).", "x[:, None] - x 的形状是 (N, N, D)。"),
            solution="return ((x[:, None] - x) ** 2).sum(dim=2).sqrt()",
            wrong=("return ((x[:, None] - x) ** 2).sum(dim=2)", "return (x[:, None] - x).abs().sum(dim=2)",
                   "return x @ x.t()")),
    predict("slope", both("The distance of two images in one place, and its "
                          "slope.", "两张图落在同一点，距离对 x 的导数是？"),
            "x = torch.zeros(2, requires_grad=True)\n(x ** 2).sum().sqrt().backward()\nx.grad[0].item()",
            hint=both("The slope of the root at 0 is infinite, that of the square is 0; the chain rule multiplies "
                      "them.",
                      "根号在 0 处的导数无穷大，平方的导数是 0；链式法则把两者相乘。"),
            wrong={"0.0": both("Infinite times 0 is no number: that is why the lab takes the root of TINY at least.",
                               "无穷大乘 0 不是数：所以本实验开根号前先限制最小值 TINY。"),
                   "float('inf')": both("It is multiplied by the slope of the square, which is 0.",
                                        "它还要乘以平方的导数 0。")}),
    fill_in("positives", both("Which pairs are of one class, none an image with itself: labels (N,) -> bool (N, N).",
                              "哪些图片对同类（不含与自己配对）：labels (N,) -> bool (N, N)。"),
            "def positives(labels):", without=("for",), oracle=lambda labels: pairs(labels)[0],
            cases=lambda random, size: (torch.from_numpy(random.randint(0, 3, size + 1)),),
            hint=both("Compare a column with a row, then take the diagonal out.", "列与行相比较，再去掉对角线。"),
            solution="return (labels[:, None] == labels) & ~torch.eye(len(labels)).bool()",
            wrong=("return labels[:, None] == labels",
                   "return ((labels[:, None] == labels) & ~torch.eye(len(labels)).bool()).float()",
                   "return (labels[:, None] == labels).triu(1) if len(labels) else labels[:, None] == labels")),
    predict("count", both("Three classes with two images each: how many "
                          "triplets?", "三个类别，每类两张图，共有多少个三元组？"),
            "y = [0, 0, 1, 1, 2, 2]\nlen([1 for a in range(6) for p in range(6) for n in range(6)\n"
            "     if a != p and y[a] == y[p] and y[a] != y[n]])",
            hint=both("Each image as an anchor: its positives times its "
                      "negatives.", "每张图作锚点：正样本数乘以负样本数。"),
            wrong={"12": both("(a, p) and (p, a) are two: each image is an "
                              "anchor.", "(a, p) 与 (p, a) 是两个：每张图都作锚点。"),
                   "120": both("That is any three images.", "那是任取三张图的排列数。")}),
    fill_in("contrastive", both("The mean over all ordered pairs i ≠ j: d²/2 in a class, max(0, margin - d)²/2 "
                                "between two.",
                                "对所有 i ≠ j 的有序对取平均：同类为 d²/2，异类为 max(0, margin − d)²/2。"),
            "def contrastive(d, labels, margin):", oracle=_contrastive, cases=_apart_margin,
            hint=both("torch.where over the mask of positives, then leave the diagonal out of the mean.",
                      "用 torch.where 按正样本掩码选择，再把对角线排除在平均之外。"),
            solution="same = labels[:, None] == labels\n"
                     "values = torch.where(same, d ** 2 / 2, F.relu(margin - d) ** 2 / 2)\n"
                     "return values[~torch.eye(len(d)).bool()].mean()",
            wrong=("same = labels[:, None] == labels\n"
                   "return torch.where(same, d ** 2 / 2, F.relu(margin - d) ** 2 / 2).mean()",
                   "same = labels[:, None] == labels\n"
                   "values = torch.where(same, d ** 2 / 2, F.relu(margin - d ** 2) / 2)\n"
                   "return values[~torch.eye(len(d)).bool()].mean()",
                   "same = labels[:, None] == labels\n"
                   "values = torch.where(same, F.relu(margin - d) ** 2 / 2, d ** 2 / 2)\n"
                   "return values[~torch.eye(len(d)).bool()].mean()")),
    predict("collapsed", both("A network that gives the same embedding to everything: its triplet loss?",
                              "网络对所有图片给出同一个嵌入，三元组损失是？"),
            "x = torch.ones(5, 8)\nF.triplet_margin_loss(x, x, x, margin=0.2).item()",
            hint=both("Both distances are the same.", "两个距离相等。"),
            wrong={"0.0": both("Nothing is farther than anything by the margin.", "负样本并没有比正样本远出一个间隔。"),
                   "1.0": both("1 is the default margin; here it is 0.2.", "1 是默认间隔，这里是 0.2。")}),
    fill_in("triplet", both("max(0, near - far + margin) of each triplet, and of that the mean of those above 0 (0 "
                            "for none).",
                            "各三元组的 max(0, near − far + margin)，只对大于 0 的取平均（没有则为 0）。"),
            "def triplet(near, far, margin):", oracle=_triplet, cases=_two,
            hint=both("Divide the sum by how many are above 0, and by 1 at "
                      "least.", "总和除以大于 0 的个数，除数至少为 1。"),
            solution="values = F.relu(near - far + margin)\nreturn values.sum() / max(1, int((values > 0).sum()))",
            wrong=("return F.relu(near - far + margin).mean()",
                   "values = F.relu(far - near + margin)\nreturn values.sum() / max(1, int((values > 0).sum()))",
                   "values = near - far + margin\nreturn values.sum() / max(1, int((values > 0).sum()))")),
    predict("soft", both("The soft margin, log(1 + exp(near - far)), of a network that has collapsed.",
                         "软间隔损失 log(1 + exp(near − far))，网络坍缩时等于？"),
            "F.softplus(torch.tensor(0.0)).item()",
            hint=both("near = far.", "此时 near = far。"),
            wrong={"0.0": both("exp(0) is 1.", "exp(0) 等于 1。"),
                   "1.0": both("Natural logarithm: log 2.", "自然对数：log 2。")}),
    fill_in("hardest", both("For each anchor the distance of its farthest positive and of its nearest negative: two "
                            "tensors (N,).",
                            "每个锚点最远的正样本与最近的负样本的距离：两个 (N,) 张量。"),
            "def hardest(d, labels):", without=("for",), oracle=_hardest, cases=_apart,
            hint=both("Cover what does not count with -1 or with infinity, then max and min along the row.",
                      "用 −1 或无穷大盖住不算的，再沿行取 max 和 min。"),
            solution="same = labels[:, None] == labels\nfar = d.masked_fill(~same, -1).max(dim=1)[0]\n"
                     "return far, d.masked_fill(same, float('inf')).min(dim=1)[0]",
            wrong=("same = labels[:, None] == labels\nfar = d.masked_fill(~same, float('inf')).min(dim=1)[0]\n"
                   "return far, d.masked_fill(same, -1).max(dim=1)[0]",
                   "same = labels[:, None] == labels\nfar = d.masked_fill(~same, -1).max(dim=1)[0]\n"
                   "return far, (d * ~same).min(dim=1)[0]",
                   "return d.max(dim=1)[0], d.min(dim=1)[0]")),
    fill_in("semi_hard", both("The place of the nearest negative that is farther than the positive; -1 where there "
                              "is none.",
                              "比正样本远的负样本中，最近那个的位置；没有则为 −1。"),
            "def semi_hard(negatives, positive):", oracle=_semi_hard, cases=_negatives,
            hint=both("Cover the nearer ones with infinity.", "用无穷大盖住更近的。"),
            solution="covered = negatives.masked_fill(negatives <= positive, float('inf'))\n"
                     "return int(covered.argmin()) if (negatives > positive).any() else -1",
            wrong=("return int(negatives.argmin())",
                   "covered = negatives.masked_fill(negatives <= positive, float('inf'))\nreturn int(covered.argmin())",
                   "covered = negatives.masked_fill(negatives <= positive, -1)\n"
                   "return int(covered.argmax()) if (negatives > positive).any() else -1")),
    predict("itself", both("Which image is nearest to each?", "离每张图最近的是哪一张？"),
            "x = torch.tensor([[0.0], [1.0], [5.0]])\ntorch.cdist(x, x).argmin(dim=1).tolist()",
            hint=both("Look at the diagonal.", "看对角线。"),
            wrong={"[1, 0, 1]": both("Each is nearest to itself: fill the diagonal with infinity before you search.",
                                     "离自己最近的是自己：检索前要把对角线填成无穷大。"),
                   "[1, 2, 0]": None}),
    fill_in("recall", both("recall@1: how often the nearest other image is of the same class; x (N, D), labels (N,).",
                           "recall@1：最近的另一张图与自己同类的比例；x (N, D)，labels (N,)。"),
            "def recall(x, labels):", oracle=_recall, cases=_labelled,
            hint=both("Infinity on the diagonal, then argmin.", "对角线填无穷大，再取 argmin。"),
            solution="d = torch.cdist(x, x)\nd.fill_diagonal_(float('inf'))\n"
                     "return (labels[d.argmin(dim=1)] == labels).double().mean().item()",
            wrong=("return (labels[torch.cdist(x, x).argmin(dim=1)] == labels).double().mean().item()",
                   "d = torch.cdist(x, x)\nreturn (labels[d.argmax(dim=1)] == labels).double().mean().item()",
                   "d = torch.cdist(x, x)\nd.fill_diagonal_(float('inf'))\n"
                   "return (labels[d.argmin(dim=1)] == labels).sum().item()")),
    predict("at_r", both("Two others are of the query's class (R = 2); they are found at ranks 1 and 3. Its MAP@R?",
                         "另有两张同类图（R = 2），排在第 1 和第 3 名。它的 MAP@R 是？"),
            "right = np.array([1, 0, 1])[:2]\nfloat((right * right.cumsum() / np.array([1, 2])).sum() / 2)",
            hint=both("Only the first R ranks count.", "只看前 R 名。"),
            wrong={"0.833": both("That is average precision, which looks at all "
                                 "ranks.", "那是平均精度，它看所有名次。"),
                   "1.0": both("What was not found counts in the denominator: divide by "
                               "R.", "没找到的也在分母里：要除以 R。")}),
    fill_in("map_at_r", both("MAP@R of one query: right (N,) says of the others, nearest first, which are of its "
                             "class.",
                             "一个查询的 MAP@R：right (N,) 按距离从近到远，表示其余各图是否同类。"),
            "def map_at_r(right):", oracle=_map_at_r, cases=_ranked,
            hint=both("R = right.sum(); the precision at each of the first R ranks that is right; divide by R.",
                      "R = right.sum()；前 R 名中每个正确名次处的精确率之和，除以 R。"),
            solution="R = int(right.sum())\nfirst = right[:R]\n"
                     "return float((first.cumsum() / np.arange(1, R + 1) * first).sum() / R)",
            wrong=("R = int(right.sum())\nreturn float(right[:R].mean())",
                   "R = int(right.sum())\nreturn float((right.cumsum() / np.arange(1, len(right) + 1) * right).sum() "
                   "/ R)",
                   "R = int(right.sum())\nfirst = right[:R]\n"
                   "return float((first.cumsum() / np.arange(1, R + 1)).sum() / R)")),
    fill_in("auc", both("How often a pair of one class is nearer than a pair of two, over all choices of both; a tie "
                        "is half.",
                        "任取一对同类和一对异类，同类更近的概率；相等算一半。"),
            "def auc(same, different):", oracle=_auc, cases=_both_kinds,
            hint=both("same[:, None] < different compares every one with every "
                      "other.", "same[:, None] < different 会把每一个与每一个相比。"),
            solution="return float(((same[:, None] < different) + 0.5 * (same[:, None] == different)).mean())",
            wrong=("return float((same[:, None] < different).mean())",
                   "return float(((same[:, None] > different) + 0.5 * (same[:, None] == different)).mean())",
                   "return float(same.mean() < different.mean())")),
    fill_in("cosine_logits", both("Logits of the normalised softmax: cosines of x (N, D) and centres (C, D), by the "
                                  "temperature.",
                                  "归一化 softmax 的 logits：x (N, D) 与 centres (C, D) 的余弦，除以温度。"),
            "def cosine_logits(x, centres, temperature):", oracle=_logits, cases=_cosine,
            hint=both("F.normalize along dim=1, both of them.", "两者都沿 dim=1 做 F.normalize。"),
            solution="return F.normalize(x, dim=1) @ F.normalize(centres, dim=1).t() / temperature",
            wrong=("return x @ centres.t() / temperature",
                   "return F.normalize(x, dim=1) @ F.normalize(centres, dim=1).t() * temperature",
                   "return F.normalize(x, dim=0) @ F.normalize(centres, dim=0).t() / temperature")),
    predict("stranger", both("One false alarm in 1,000 comparisons, and a list of 1,000: how likely is a stranger on "
                             "it?",
                             "每 1,000 次比对误报一次，名单有 1,000 人：一个陌生人被误认的概率？"),
            "round(1 - (1 - 0.001) ** 1000, 3)",
            hint=both("1 minus the chance that all 1,000 comparisons go well.", "1 减去 1,000 次比对都正确的概率。"),
            wrong={"0.001": both("That is one comparison.", "那只是一次比对。"),
                   "1.0": both("On average there is one alarm, but they sometimes come together.",
                               "平均有一次误报，但误报有时会扎堆。")}),
)  # fmt: skip

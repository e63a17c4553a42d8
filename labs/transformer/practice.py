"""The exercises of the lab transformer: six lines to predict and twelve functions to fill in."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from labkit.base.language import both
from labkit.runs.practice.sheet import fill_in, predict
from labs.transformer import attention, positions

SETUP = """
import math

import torch
from torch import nn
from torch.nn import functional as F
"""


def _tensor(random: np.random.RandomState, *shape: int) -> torch.Tensor:
    return torch.from_numpy(random.randn(*shape))


def _asked(random: np.random.RandomState, size: int) -> Any:
    """Queries, keys, values, and who may see whom: everyone sees someone."""
    t, d = size + 2, 2 + 2 * (size % 2)
    allowed = torch.from_numpy(random.rand(t, t) < 0.6) | torch.eye(t, dtype=torch.bool)
    return _tensor(random, t, d) * 2, _tensor(random, t, d) * 2, _tensor(random, t, 3), allowed


def _lengths(random: np.random.RandomState, size: int) -> Any:
    return size + 1, int(random.randint(3))


def _allowed(random: np.random.RandomState, size: int) -> Any:
    return (torch.from_numpy(random.rand(size + 1, size + 2) < 0.5),)


def _added(allowed: torch.Tensor) -> torch.Tensor:
    return torch.zeros(allowed.shape).masked_fill(~allowed, -math.inf)


def _of_heads(random: np.random.RandomState, size: int) -> Any:
    return (_tensor(random, 1 + size % 3, size + 1, 2),)


def _joined(x: torch.Tensor) -> torch.Tensor:
    return x.permute(1, 0, 2).reshape(x.shape[1], -1)


def _table(random: np.random.RandomState, size: int) -> Any:
    return size + 1, 2 + 2 * (size % 4)


def _sinusoidal(t: int, size: int) -> torch.Tensor:
    return positions.sinusoidal(torch.arange(t), size).float()


def _turns(random: np.random.RandomState, size: int) -> Any:
    return int(random.randint(-5, 6)), float(random.rand() + 0.1)


def _rotation(k: int, w: float) -> torch.Tensor:
    return torch.tensor([[math.cos(k * w), math.sin(k * w)], [-math.sin(k * w), math.cos(k * w)]])


def _pairs(random: np.random.RandomState, size: int) -> Any:
    return _tensor(random, 2 + 2 * (size % 3)), _tensor(random, 1 + size % 3) * 3


def _turned(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    return positions.turned(x, (angles.cos(), angles.sin()))


def _distances(t: int, most: int) -> torch.Tensor:
    return torch.tensor([[min(max(i - j, 0), most) for j in range(t)] for i in range(t)])


def _far(random: np.random.RandomState, size: int) -> Any:
    return size + 1, int(random.randint(1, 5))


def _drawn(random: np.random.RandomState, size: int) -> Any:
    return torch.from_numpy(random.rand(size + 4)), 1 + int(random.randint(size + 4))


def _places(keys: torch.Tensor, t: int) -> torch.Tensor:
    return torch.tensor(sorted(keys.argsort().tolist()[:t]))


def _rows(random: np.random.RandomState, size: int) -> Any:
    return (_tensor(random, size + 1, 3 + size % 3) * 4 + 1,)


def _normed(x: torch.Tensor) -> torch.Tensor:
    return x / x.square().mean(dim=1, keepdim=True).sqrt()


def _read(random: np.random.RandomState, size: int) -> Any:
    d = 2 + 2 * (size % 2)
    return (_tensor(random, d) * 2, _tensor(random, d) * 2, _tensor(random, 3), _tensor(random, size, d) * 2,
            _tensor(random, size, 3))  # fmt: skip


def _step(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return attention.attend(q[None], torch.cat([keys, k[None]]), torch.cat([values, v[None]]))[0]


def _matrix(random: np.random.RandomState, size: int) -> Any:
    return (_tensor(random, size + 2, size + 4) / 4,)


def _newton(x: torch.Tensor) -> torch.Tensor:
    u, s, v = torch.svd(x)
    return u @ torch.diag(3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5) @ v.t()


SHEET = (
    predict("root", both("A score of 16 ones with 16 ones: as it is, and divided by the root of the width.",
                         "16 个 1 与 16 个 1 的得分：原样，以及除以宽度的平方根。"),
            "q = torch.ones(16)\n[(q @ q).item(), (q @ q / 16 ** 0.5).item()]",
            hint=both("A sum of 16 ones; √16 is 4.", "16 个 1 之和；√16 是 4。"),
            wrong={"[16.0, 1.0]": both("That would be divided by the width itself.", "那是除以宽度本身。"),
                   "[1.0, 4.0]": both("q @ q is a sum, not a mean.", "q @ q 是和，不是平均。")}),
    predict("saturated", both("What is left of a softmax whose scores are 100 apart, and of its gradient?",
                              "得分相差 100 时，softmax 与它的梯度还剩什么？"),
            "scores = torch.tensor([0.0, 100.0], requires_grad=True)\nweights = torch.softmax(scores, dim=0)\n"
            "weights[1].backward()\n[round(weights[1].item(), 6), round(scores.grad[1].item(), 6)]",
            hint=both("The gradient of a weight w by its own score is w (1 - w).", "权重 w 对自己得分的梯度是 w(1 − "
                                                                                   "w)。"),
            wrong={"[1.0, 1.0]": both("w (1 - w) with w = 1.", "代入 w = 1 到 w(1 − w)。"),
                   "[0.99, 0.01]": both("e^-100 is far less than a hundredth.", "e^−100 远小于百分之一。")}),
    predict("sees", both("Three words are kept. How many does a new one see?", "已保存三个词，新来的一个能看见几个？"),
            "torch.ones(1, 4, dtype=torch.bool).tril(3).sum().item()",
            hint=both("The three, and itself.", "那三个，加上它自己。"),
            wrong={"1": both("Without the 3, the diagonal would begin at the first column.", "不写 3 时，"
                                                                                             "对角线从第一列开始。"),
                   "3": both("It sees itself too.", "它也看得见自己。")}),
    predict("shape", both("Two sequences of 5 words, 12 numbers each, for 3 heads.",
                          "两个序列，各 5 个词、每词 12 个数，分给 3 个头。"),
            "list(torch.zeros(2, 5, 12).reshape(2, 5, 3, 4).transpose(1, 2).shape)",
            hint=both("(N, H, T, D / H).", "应为 (N, H, T, D / H)。"),
            wrong={"[2, 5, 3, 4]": both("transpose exchanges words and heads.", "transpose 交换了词与头两个轴。"),
                   "[3, 2, 5, 4]": both("The sequences stay in front.", "序列的轴仍在最前。")}),
    predict("decoder_weights", both("How many numbers does a decoder layer learn?", "一个解码器层要学多少个数？"),
            "sum(weight.numel() for weight in nn.TransformerDecoderLayer(8, 2, 32).parameters())",
            hint=both("Twice attention: four times 8 x 8 + 8. 8 to 32 and back with biases. Three norms.",
                      "两次注意力：各四份 8 × 8 + 8；8 到 32 再回来，带偏置；三个 LayerNorm。"),
            wrong={"872": both("That is an encoder layer's: there is attention to the source besides, and a third "
                               "norm.", "这是编码器层的；解码器层还有对原文的注意力和第三个 LayerNorm。"),
                   "1128": both("The three norms have 16 each.", "三个 LayerNorm 各有 16 个。")}),
    predict("hidden", both("What a word looks at where all scores are equal, and the mask, as nn.MultiheadAttention "
                           "reads it, is True at the last two.",
                           "得分全相等，掩码在后两个词处为 True，且按 nn.MultiheadAttention 的读法：一个词看谁？"),
            "mask = torch.tensor([False, True, True])\n"
            "torch.softmax(torch.zeros(3).masked_fill(mask, -math.inf), dim=0).tolist()",
            hint=both("In nn.MultiheadAttention True hides.", "在 nn.MultiheadAttention 里，True 表示遮住。"),
            wrong={"[0.0, 0.5, 0.5]": both("That is F.scaled_dot_product_attention's meaning, where True lets see.",
                                           "那是 F.scaled_dot_product_attention 的含义（True 表示可见）。"),
                   "[0.333, 0.333, 0.333]": both("Two of three are hidden.", "三个里有两个被遮住。")}),
    fill_in("attend", both("Attention: q, k (T, d), v (T, e), and allowed, bool (T, T), True where a row may see "
                           "another.",
                           "注意力：q、k (T, d)，v (T, e)；allowed 为布尔 (T, T)，True 表示可见。"),
            "def attend(q, k, v, allowed):", without=("scaled_dot_product_attention",), oracle=attention.attend,
            cases=_asked,
            hint=both("masked_fill with -math.inf where it is not allowed, before the softmax.",
                      "softmax 之前，在不可见处 masked_fill 为 -math.inf。"),
            solution="scores = (q @ k.t() / math.sqrt(q.shape[1])).masked_fill(~allowed, -math.inf)\n"
                     "return torch.softmax(scores, dim=1) @ v",
            wrong=("scores = (q @ k.t() / math.sqrt(q.shape[1])).masked_fill(allowed, -1e9)\n"
                   "return torch.softmax(scores, dim=1) @ v",
                   "scores = (q @ k.t() / math.sqrt(q.shape[1])).masked_fill(~allowed, 0)\n"
                   "return torch.softmax(scores, dim=1) @ v",
                   "scores = (q @ k.t()).masked_fill(~allowed, -math.inf)\nreturn torch.softmax(scores, dim=1) @ v",
                   "return (torch.softmax(q @ k.t() / math.sqrt(q.shape[1]), dim=1) * allowed) @ v")),
    fill_in("past", both("Who sees whom among t words that follow `before` kept ones: bool (t, before + t), no word "
                         "sees a later one.",
                         "t 个词前面已保存 before 个词，各能看见谁：布尔 (t, before + t)，谁也看不见后面的词。"),
            "def past(t, before):", without=("tril", "triu"), oracle=attention.past, cases=_lengths,
            hint=both("Row i is place before + i, and sees column j where j <= before + i.",
                      "第 i 行的位置是 before + i，看得见 j <= before + i 的列。"),
            solution="rows, columns = torch.arange(t) + before, torch.arange(before + t)\n"
                     "return columns[None] <= rows[:, None]",
            wrong=("rows, columns = torch.arange(t), torch.arange(before + t)\nreturn columns[None] <= rows[:, None]",
                   "rows, columns = torch.arange(t) + before, torch.arange(before + t)\n"
                   "return columns[None] < rows[:, None]",
                   "return torch.ones(t, before + t, dtype=torch.bool)")),
    fill_in("added", both("A mask that is True where one may see (bool) as one that is added to the scores (float32).",
                          "把“True 表示可见”的布尔掩码变成加到得分上的掩码（float32）。"),
            "def added(allowed):", oracle=_added, cases=_allowed,
            hint=both("0 where it may see, -math.inf where not.", "可见处为 0，不可见处为 -math.inf。"),
            solution="return torch.zeros(allowed.shape).masked_fill(~allowed, -math.inf)",
            wrong=("return torch.zeros(allowed.shape).masked_fill(allowed, -math.inf)", "return allowed.float()",
                   "return (~allowed).float() * -math.inf")),
    fill_in("join_heads", both("What the heads have found, x (H, T, d), side by side for each word: (T, H d).",
                               "各头的结果 x (H, T, d)，按词并排：(T, H d)。"),
            "def join_heads(x):", oracle=_joined, cases=_of_heads,
            hint=both("Bring the words to the front before the reshape.", "先把词的轴换到最前，再 reshape。"),
            solution="return x.transpose(0, 1).reshape(x.shape[1], -1)",
            wrong=("return x.reshape(x.shape[1], -1)", "return x.permute(1, 2, 0).reshape(x.shape[1], -1)",
                   "return x.sum(dim=0)")),
    fill_in("sinusoidal", both("sin and cos in turn for places 0 to t - 1: (t, size), frequencies 10000^(-2 i / size).",
                               "位置 0 到 t − 1 的正弦、余弦交替编码：(t, size)，频率 10000^(−2i / size)。"),
            "def sinusoidal(t, size):", oracle=_sinusoidal, cases=_table,
            hint=both("Even columns are sin(p w), odd ones cos(p w) of the same w.",
                      "偶数列是 sin(p w)，奇数列是同一个 w 的 cos(p w)。"),
            solution="w = 10000 ** (-torch.arange(0, size, 2).float() / size)\n"
                     "angles = torch.arange(t).float()[:, None] * w\nmade = torch.zeros(t, size)\n"
                     "made[:, 0::2], made[:, 1::2] = angles.sin(), angles.cos()\nreturn made",
            wrong=("w = 10000 ** (-torch.arange(0, size, 2).float() / size)\n"
                   "angles = torch.arange(t).float()[:, None] * w\nreturn torch.cat([angles.sin(), angles.cos()], "
                   "dim=1)",
                   "w = 10000 ** (-torch.arange(size).float() / size)\nangles = torch.arange(t).float()[:, None] * w\n"
                   "made = angles.sin()\nmade[:, 1::2] = angles.cos()[:, 1::2]\nreturn made",
                   "w = 10000 ** (-torch.arange(0, size, 2).float() / size)\n"
                   "angles = torch.arange(t).float()[:, None] * w\nmade = torch.zeros(t, size)\n"
                   "made[:, 0::2], made[:, 1::2] = angles.cos(), angles.sin()\nreturn made")),
    fill_in("rotation", both("The matrix R with [sin((p + k) w), cos((p + k) w)] = R [sin(p w), cos(p w)] for every p.",
                             "求矩阵 R，使得对任意 p 有 [sin((p + k) w), cos((p + k) w)] = R [sin(p w), cos(p w)]。"),
            "def rotation(k, w):", oracle=_rotation, cases=_turns,
            hint=both("sin(a + b) = sin a cos b + cos a sin b; cos(a + b) = cos a cos b - sin a sin b.",
                      "和角公式：sin(a + b) = sin a cos b + cos a sin b；cos(a + b) = cos a cos b − sin a sin b。"),
            solution="c, s = math.cos(k * w), math.sin(k * w)\nreturn torch.tensor([[c, s], [-s, c]])",
            wrong=("c, s = math.cos(k * w), math.sin(k * w)\nreturn torch.tensor([[c, -s], [s, c]])",
                   "c, s = math.cos(k), math.sin(k)\nreturn torch.tensor([[c, s], [-s, c]])",
                   "return torch.eye(2)")),
    fill_in("turn", both("Rotary: the pairs (x[k], x[d/2 + k]) of x (d,) turned by angles (d/2,), counter-clockwise.",
                         "旋转位置：把 x (d,) 的各对 (x[k], x[d/2 + k]) 按 angles (d/2,) 逆时针旋转。"),
            "def turn(x, angles):", oracle=_turned, cases=_pairs,
            hint=both("(a, b) becomes (a cos - b sin, a sin + b cos).", "(a, b) 变成 (a cos − b sin, a sin + b cos)。"),
            solution="a, b = x.chunk(2)\n"
                     "return torch.cat([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()])",
            wrong=("a, b = x.chunk(2)\n"
                   "return torch.cat([a * angles.cos() + b * angles.sin(), b * angles.cos() - a * angles.sin()])",
                   "a, b = x.chunk(2)\nreturn torch.cat([a * angles.cos() - b * angles.sin(), "
                   "a * angles.cos() + b * angles.sin()])",
                   "return torch.cat([x.chunk(2)[0] + angles, x.chunk(2)[1] + angles])")),
    fill_in("distances", both("How far back each of t words looks at each: row minus column, at least 0 and at most "
                              "`most`: int64 (t, t).",
                              "t 个词中各看向多远之前：行减列，最小 0、最大 most，int64 (t, t)。"),
            "def distances(t, most):", oracle=_distances, cases=_far,
            hint=both("clamp.", "用 clamp。"),
            solution="k = torch.arange(t)\nreturn (k[:, None] - k).clamp(0, most)",
            wrong=("k = torch.arange(t)\nreturn (k[:, None] - k).abs().clamp(0, most)",
                   "k = torch.arange(t)\nreturn (k - k[:, None]).clamp(0, most)",
                   "k = torch.arange(t)\nreturn (k[:, None] - k).clamp(0)")),
    fill_in("places", both("Randomised places for t words: the places of the t smallest keys, in order.",
                           "t 个词的随机化位置：keys 中最小的 t 个数所在的位置，从小到大。"),
            "def places(keys, t):", oracle=_places, cases=_drawn,
            hint=both("argsort, cut, sort.", "argsort，截取，再 sort。"),
            solution="return keys.argsort()[:t].sort()[0]",
            wrong=("return keys.argsort()[:t]", "return torch.arange(t)", "return keys.argsort().sort()[0][:t]")),
    fill_in("normed", both("RMS norm: each row of x (N, D) to a mean square of 1 (no eps).",
                           "RMSNorm：把 x (N, D) 的每一行变成均方为 1（不加 eps）。"),
            "def normed(x):", without=("rms_norm", "RMSNorm", "normalize"), oracle=_normed, cases=_rows,
            hint=both("No mean is subtracted.", "不减均值。"),
            solution="return x / x.square().mean(dim=1, keepdim=True).sqrt()",
            wrong=("return x / x.norm(dim=1, keepdim=True)",
                   "return (x - x.mean(dim=1, keepdim=True)) / x.square().mean(dim=1, keepdim=True).sqrt()",
                   "return x / x.square().mean(dim=0, keepdim=True).sqrt()")),
    fill_in("step", both("One new word with q, k (d,) and v (e,) after kept keys (S, d) and values (S, e): what its "
                         "attention finds, (e,).",
                         "新词的 q、k (d,) 与 v (e,)，已保存 keys (S, d)、values (S, e)：它的注意力结果 (e,)。"),
            "def step(q, k, v, keys, values):", oracle=_step, cases=_read,
            hint=both("It sees what is kept, and itself; nothing must be masked.", "它看得见保存的词与它自己，"
                                                                                   "不需要掩码。"),
            solution="keys, values = torch.cat([keys, k[None]]), torch.cat([values, v[None]])\n"
                     "return torch.softmax(keys @ q / math.sqrt(len(q)), dim=0) @ values",
            wrong=("return torch.softmax(keys @ q / math.sqrt(len(q)), dim=0) @ values",
                   "keys, values = torch.cat([keys, k[None]]), torch.cat([values, v[None]])\n"
                   "return torch.softmax(keys @ q, dim=0) @ values",
                   "keys, values = torch.cat([k[None], keys]), torch.cat([values, v[None]])\n"
                   "return torch.softmax(keys @ q / math.sqrt(len(q)), dim=0) @ values")),
    fill_in("newton", both("Muon's iteration: x (m, n) with singular values s becomes the matrix with 3.4445 s - "
                           "4.7750 s³ + 2.0315 s⁵, by products alone.",
                           "Muon 的一次迭代：把奇异值 s 变成 3.4445 s − 4.7750 s³ + 2.0315 s⁵，只用矩阵乘法，x 为 "
                           "(m, n)。"),
            "def newton(x):", without=("svd",), oracle=_newton, cases=_matrix,
            hint=both("x xᵀ x has the singular values s³.", "x xᵀ x 的奇异值是 s³。"),
            solution="gram = x @ x.t()\nreturn 3.4445 * x + (-4.7750 * gram + 2.0315 * (gram @ gram)) @ x",
            wrong=("return 3.4445 * x - 4.7750 * x ** 3 + 2.0315 * x ** 5",
                   "gram = x @ x.t()\nreturn 3.4445 * x + (-4.7750 * gram + 2.0315 * gram ** 2) @ x",
                   "gram = x @ x.t()\nreturn 3.4445 * x - 4.7750 * gram @ x")),
)  # fmt: skip

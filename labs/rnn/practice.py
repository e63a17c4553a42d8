"""The exercises of the lab rnn: six lines to predict and ten functions to fill in."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from labkit.base.language import both
from labkit.runs import iob, text
from labkit.runs.practice.sheet import fill_in, predict

SETUP = """
import math

import torch
from torch import nn
from torch.nn import functional as F
"""


def _tensor(random: np.random.RandomState, *shape: int) -> torch.Tensor:
    return torch.from_numpy(random.randn(*shape))


def _step(random: np.random.RandomState, size: int) -> Any:
    n, i, h = size + 1, 2 + size % 2, 2 + size % 3
    return (
        _tensor(random, n, i),
        _tensor(random, n, h),
        _tensor(random, h, i),
        _tensor(random, h, h),
        _tensor(random, h),
    )


def _rnn_step(x: torch.Tensor, h: torch.Tensor, w: torch.Tensor, u: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return _loaded(nn.RNNCell, x, h, w, u, b, torch.zeros_like(b))(x, h)


def _loaded(kind: Any, x: torch.Tensor, h: torch.Tensor, *weights: torch.Tensor) -> Any:
    """A cell of torch.nn with these weights: W, U and the two biases."""
    cell = kind(x.shape[1], h.shape[1]).double()
    for name, value in zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), weights):
        setattr(cell, name, nn.Parameter(value.clone(), requires_grad=False))
    return cell


def _sequence(random: np.random.RandomState, size: int) -> Any:
    i, h = 2 + size % 2, 2 + size % 3
    return _tensor(random, size + 1, i), _tensor(random, h, i), _tensor(random, h, h), _tensor(random, h)


def _rnn(xs: torch.Tensor, w: torch.Tensor, u: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    layer = nn.RNN(xs.shape[1], len(b)).double()
    for name, value in (
        ("weight_ih_l0", w),
        ("weight_hh_l0", u),
        ("bias_ih_l0", b),
        ("bias_hh_l0", torch.zeros_like(b)),
    ):
        setattr(layer, name, nn.Parameter(value.clone(), requires_grad=False))
    return layer(xs[:, None])[0][:, 0]


def _gates(random: np.random.RandomState, size: int) -> Any:
    n, h = size + 1, 2 + size % 3
    return _tensor(random, n, 4 * h), _tensor(random, n, h)


def _lstm_from_gates(gates: torch.Tensor, c: torch.Tensor) -> Any:
    """By torch.nn.LSTMCell with weights that hand the gates through."""
    h = c.shape[1]
    cell = _loaded(nn.LSTMCell, gates, c, torch.eye(4 * h).double(), torch.zeros(4 * h, h).double(),
                   torch.zeros(4 * h).double(), torch.zeros(4 * h).double())  # fmt: skip
    return tuple(cell(gates, (torch.zeros_like(c), c)))


def _gru(random: np.random.RandomState, size: int) -> Any:
    n, h = size + 1, 2 + size % 3
    return _tensor(random, n, 3 * h), _tensor(random, n, h), _tensor(random, 3 * h, h)


def _gru_step(x: torch.Tensor, h: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    zeros = torch.zeros(x.shape[1]).double()
    return _loaded(nn.GRUCell, x, h, torch.eye(x.shape[1]).double(), u, zeros, zeros)(x, h)


def _back(random: np.random.RandomState, size: int) -> Any:
    n, h = size + 1, 2 + size % 3
    return _tensor(random, n, h), torch.tanh(_tensor(random, n, h)), _tensor(random, h, h)


def _through_step(arriving: torch.Tensor, new: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """By autograd, at an input for which the new state is `new`."""
    h = torch.zeros_like(new, requires_grad=True)
    made = torch.tanh(torch.log((1 + new) / (1 - new)) / 2 + h @ u.t())
    (gradient,) = torch.autograd.grad(made, h, arriving)
    return gradient


def _biases(random: np.random.RandomState, size: int) -> Any:
    return _tensor(random, 4 * (size + 1)), float(random.randint(1, 4))


def _forgetful(bias: torch.Tensor, value: float) -> torch.Tensor:
    i, f, g, o = bias.chunk(4)
    return torch.cat([i, f + value, g, o])


def _clipping(random: np.random.RandomState, size: int) -> Any:
    scale = float(random.choice([0.01, 5]))
    return [_tensor(random, size + 1, 2) * scale, _tensor(random, 3) * scale], 1.0


def _clipped(gradients: list[torch.Tensor], most: float) -> list[torch.Tensor]:
    weights = [nn.Parameter(torch.zeros_like(gradient)) for gradient in gradients]
    for weight, gradient in zip(weights, gradients):
        weight.grad = gradient.clone()
    nn.utils.clip_grad_norm_(weights, most)
    return [weight.grad for weight in weights]


def _tags(random: np.random.RandomState, size: int) -> Any:
    """IOB tags in which every I- goes on with what is before it."""
    tags: list[str] = []
    while len(tags) < 2 * size:
        name = str(random.choice(["to", "from", "date"]))
        tags += ["O"] * random.randint(3) + [f"B-{name}"] + [f"I-{name}"] * random.randint(3)
    return (tags[: 2 * size],)


def _spans(tags: list[str]) -> list[tuple[str, int, int]]:
    return sorted((tuple(span) for span in iob.spans(tags)), key=lambda span: span[1])  # type: ignore[misc]


def _lengths(random: np.random.RandomState, size: int) -> Any:
    return random.randint(1, 4, 2 * size).tolist(), 2


def _logits(random: np.random.RandomState, size: int) -> Any:
    return _tensor(random, size + 2) * 3, float(random.choice([0.3, 0.7, 2.0]))


SHEET = (
    predict("shapes", both("Two layers in both directions: outputs, h and c.", "两层双向：输出、h 和 c 的形状。"),
            "out, (h, c) = nn.LSTM(5, 7, num_layers=2, bidirectional=True)(torch.zeros(3, 4, 5))\n"
            "[list(part.shape) for part in (out, h, c)]",
            hint=both("The outputs have both directions side by side; h has a row for each layer and direction.",
                      "输出把两个方向并排放；h 的每一行是一层的一个方向。"),
            wrong={"[[3, 4, 7], [4, 4, 7], [4, 4, 7]]": both("Both directions stand side by side.", "两个方向并排："
                                                                                                    "14。"),
                   "[[3, 4, 14], [2, 4, 7], [2, 4, 7]]": both("Two layers times two directions.", "两层乘两个方向："
                                                                                                  "4。")}),
    predict("last_states", both("Is the last output the last state, of the direction forwards and of that backwards?",
                                "最后一个输出是不是最后的状态？正向与反向各如何？"),
            "torch.manual_seed(0)\nout, h = nn.GRU(5, 7, bidirectional=True)(torch.randn(3, 4, 5))\n"
            "[torch.equal(out[-1, :, :7], h[0]), torch.equal(out[-1, :, 7:], h[1])]",
            hint=both("Where does the one that reads backwards end?", "从后往前读的那个，终点在哪里？"),
            wrong={"[True, True]": both("Backwards ends at the first word: out[0, :, 7:] is h[1].",
                                        "反向的终点是第一个词：out[0, :, 7:] 才是 h[1]。"),
                   "[False, False]": both("Forwards ends at the last word.", "正向的终点就是最后一个词。")}),
    predict("lstm_weights", both("How many numbers does it learn?", "它学多少个数？"),
            "sum(weight.numel() for weight in nn.LSTM(10, 20).parameters())",
            hint=both("Four blocks, each W (20 x 10), U (20 x 20) and two biases.",
                      "四块，每块有 W（20 × 10）、U（20 × 20）和两个偏置。"),
            wrong={"2480": both("PyTorch keeps two biases, one too many.", "PyTorch 保留两个偏置（其实多余一个）。"),
                   "640": both("That is a simple RNN: an LSTM has four blocks.", "那是 simple RNN；LSTM 有四块。")}),
    predict("after_ten", both("What ten steps leave of c with the forget gate at its default, and nothing new.",
                              "遗忘门取默认值、没有新信息时，十步之后 c 还剩多少？"),
            "c = torch.tensor(1.0)\nfor _ in range(10):\n    c = torch.sigmoid(torch.tensor(0.0)) * "
            "c\nround(c.item(), 5)",
            hint=both("sigmoid(0) is a half.", "sigmoid(0) 等于二分之一。"),
            wrong={"0.5": both("It is multiplied at each step.", "每一步都要乘一次。"),
                   "1.0": both("That would be a gate that stays open.", "那是门一直开着的情况。"),
                   "0.34868": both("That would be a gate of 0.9.", "那是门为 0.9 的情况。")}),
    predict("uncounted", both("A loss of which half the targets are not counted.", "一半目标不计入的损失。"),
            "round(F.cross_entropy(torch.zeros(6, 9), torch.tensor([0, 1, 2, -1, -1, -1]), ignore_index=-1).item(), 3)",
            hint=both("The mean is over what is counted.", "平均只对计入的目标取。"),
            wrong={"1.099": both("The mean is taken over three targets, not six.", "平均是对三个目标取，不是六个。"),
                   "6.592": both("It is a mean, not a sum.", "是平均，不是求和。")}),
    predict("clipped_to", both("A gradient after clipping.", "裁剪之后的梯度。"),
            "w = nn.Parameter(torch.zeros(2))\nw.grad = torch.tensor([6.0, 8.0])\nnn.utils.clip_grad_norm_([w], 5.0)\n"
            "[round(value, 3) for value in w.grad.tolist()]",
            hint=both("Its length is 10; the direction stays.", "长度是 10；方向不变。"),
            wrong={"[5.0, 5.0]": both("The length is clipped, not every number.", "裁剪的是长度，不是每个数。"),
                   "[0.6, 0.8]": both("To the length 5, not 1.", "裁到长度 5，不是 1。")}),
    fill_in("rnn_step", both("A step of a simple RNN: x (N, I), h (N, H), W (H, I), U (H, H), b (H).",
                             "simple RNN 的一步：x (N, I)、h (N, H)、W (H, I)、U (H, H)、b (H)。"),
            "def rnn_step(x, h, W, U, b):", without=("RNNCell", "RNN"), oracle=_rnn_step, cases=_step,
            hint=both("tanh(W x + U h + b), with batches in rows.", "tanh(W x + U h + b)，batch 排在行里。"),
            solution="return torch.tanh(x @ W.t() + h @ U.t() + b)",
            wrong=("return x @ W.t() + h @ U.t() + b", "return torch.tanh(x @ W.t() + h @ U + b)",
                   "return torch.sigmoid(x @ W.t() + h @ U.t() + b)")),
    fill_in("rnn", both("All states (T, H) of a simple RNN over xs (T, I), from h = 0.",
                        "simple RNN 读完 xs (T, I) 的所有状态 (T, H)，从 h = 0 开始。"),
            "def rnn(xs, W, U, b):", without=("RNNCell", "RNN"), oracle=_rnn, cases=_sequence,
            hint=both("A loop that keeps every h; torch.stack in the end.", "循环并保存每个 h，最后 torch.stack。"),
            solution="h, states = torch.zeros_like(b), []\nfor x in xs:\n    h = torch.tanh(W @ x + U @ h + b)\n"
                     "    states.append(h)\nreturn torch.stack(states)",
            wrong=("return torch.tanh(xs @ W.t() + b)",
                   "h, states = torch.zeros_like(b), []\nfor x in xs:\n    states.append(h)\n"
                   "    h = torch.tanh(W @ x + U @ h + b)\nreturn torch.stack(states)")),
    fill_in("lstm_step", both("From the sums gates (N, 4 H) in PyTorch's order i, f, g, o and c (N, H): the new h and "
                              "c.",
                              "由四个和 gates (N, 4 H)（PyTorch 的顺序 i、f、g、o）与 c (N, H) 求新的 h 和 c。"),
            "def lstm_step(gates, c):", without=("LSTMCell", "LSTM"), oracle=_lstm_from_gates, cases=_gates,
            hint=both("Three sigmoids, and tanh for g. Then c = f c + i g.", "三个 sigmoid，g 用 tanh；然后 c = f c + "
                                                                             "i g。"),
            solution="i, f, g, o = gates.chunk(4, dim=1)\n"
                     "c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)\n"
                     "return torch.sigmoid(o) * torch.tanh(c), c",
            wrong=("i, f, g, o = gates.chunk(4, dim=1)\nc = torch.sigmoid(i) * c + torch.sigmoid(f) * torch.tanh(g)\n"
                   "return torch.sigmoid(o) * torch.tanh(c), c",
                   "i, f, g, o = gates.chunk(4, dim=1)\nc = torch.sigmoid(f) * c + torch.sigmoid(i) * "
                   "torch.sigmoid(g)\n"
                   "return torch.sigmoid(o) * torch.tanh(c), c",
                   "i, f, g, o = gates.chunk(4, dim=1)\nc = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)\n"
                   "return torch.sigmoid(o) * c, c")),
    fill_in("gru_step", both("A step of a GRU from x (N, 3 H), the inputs' part of r, z and n, h (N, H) and U (3 H, "
                             "H).",
                             "GRU 的一步：x (N, 3 H) 为输入对 r、z、n 的贡献，另有 h (N, H) 和 U (3 H, H)。"),
            "def gru_step(x, h, U):", without=("GRUCell", "GRU"), oracle=_gru_step, cases=_gru,
            hint=both("n = tanh(x_n + r U_n h), and z keeps the old h.", "n = tanh(x_n + r U_n h)；z 保留旧的 h。"),
            solution="x_r, x_z, x_n = x.chunk(3, dim=1)\nh_r, h_z, h_n = (h @ U.t()).chunk(3, dim=1)\n"
                     "r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)\nn = torch.tanh(x_n + r * h_n)\n"
                     "return z * h + (1 - z) * n",
            wrong=("x_r, x_z, x_n = x.chunk(3, dim=1)\nh_r, h_z, h_n = (h @ U.t()).chunk(3, dim=1)\n"
                   "r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)\nn = torch.tanh(x_n + r * h_n)\n"
                   "return (1 - z) * h + z * n",
                   "x_r, x_z, x_n = x.chunk(3, dim=1)\nh_r, h_z, h_n = (h @ U.t()).chunk(3, dim=1)\n"
                   "z = torch.sigmoid(x_z + h_z)\nreturn z * h + (1 - z) * torch.tanh(x_n + h_n)")),
    fill_in("through_step", both("Backward through one step h' = tanh(... + U h): from the gradient that arrives for "
                                 "h', and h' itself, the gradient for h.",
                                 "反向穿过一步 h' = tanh(… + U h)：由 h' 的梯度 arriving 和 h' 本身，求 h 的梯度。"),
            "def through_step(arriving, new, U):", without=("grad", "backward"), oracle=_through_step, cases=_back,
            hint=both("tanh' is 1 - h'²; then U, transposed for a column, as it is for rows.",
                      "tanh' 等于 1 − h'²；再乘 U：列向量时要转置，行向量时不用。"),
            solution="return (arriving * (1 - new ** 2)) @ U",
            wrong=("return arriving @ U", "return (arriving * (1 - new ** 2)) @ U.t()",
                   "return (arriving @ U) * (1 - new ** 2)")),
    fill_in("open_forget_gate", both("A copy of an LSTM's bias (4 H) with value added to the forget gate's part.",
                                     "LSTM 偏置 (4 H) 的副本，遗忘门那一段加上 value。"),
            "def open_forget_gate(bias, value):", oracle=_forgetful, cases=_biases,
            hint=both("PyTorch's order is i, f, g, o.", "PyTorch 的顺序是 i、f、g、o。"),
            solution="bias, H = bias.clone(), len(bias) // 4\nbias[H : 2 * H] += value\nreturn bias",
            wrong=("bias, H = bias.clone(), len(bias) // 4\nbias[:H] += value\nreturn bias", "return bias + value",
                   "bias, H = bias.clone(), len(bias) // 4\nbias[H : 2 * H] = value\nreturn bias")),
    fill_in("clip", both("Gradients (a list), scaled so that the length of all together is at most `most`.",
                         "把一列梯度按同一比例缩小，使它们合起来的长度不超过 most。"),
            "def clip(gradients, "
            "most):", without=("clip_grad_norm_", "clip_grad_norm"), oracle=_clipped, cases=_clipping,
            tolerance=1e-4, hint=both("One length for all of them; the short ones stay as they are.",
                                      "所有梯度合算一个长度；不超过的保持不变。"),
            solution="length = math.sqrt(sum(float((g ** 2).sum()) for g in gradients))\n"
                     "return [g * min(1.0, most / length) for g in gradients]",
            wrong=("return [g * min(1.0, most / float(g.norm())) for g in gradients]",
                   "length = math.sqrt(sum(float((g ** 2).sum()) for g in gradients))\n"
                   "return [g * (most / length) for g in gradients]",
                   "return [g.clamp(-most, most) for g in gradients]")),
    fill_in("spans", both("The slots of IOB tags as a list of (name, first word, word behind the last), in order.",
                          "IOB 标签中的槽：列表 (名字, 第一个词, 末词之后的位置)，按顺序。"),
            "def spans(tags):", oracle=_spans, cases=_tags,
            hint=both("B- begins one; it goes on while the next tag is I-.", "B- 开始一个槽，后面是 I- 就继续。"),
            solution="found = []\nfor k, tag in enumerate(tags):\n    if tag.startswith('B-'):\n"
                     "        end = k + 1\n        while end < len(tags) and tags[end].startswith('I-'):\n"
                     "            end += 1\n        found.append((tag[2:], k, end))\nreturn found",
            wrong=("return [(tag[2:], k, k + 1) for k, tag in enumerate(tags) if tag != 'O']",
                   "return [(tag[2:], k, k + 1) for k, tag in enumerate(tags) if tag.startswith('B-')]")),
    fill_in("by_length", both("The positions of equal lengths together, at most size in a group, in order of first "
                              "sight.",
                              "长度相同的位置放在一组，每组至多 size 个，按首次出现的顺序。"),
            "def by_length(lengths, size):", oracle=text.by_length, cases=_lengths,
            hint=both("A dict from length to positions; then cut each list.", "先用字典把长度映射到位置，再逐个切分。"),
            solution="same = {}\nfor k, length in enumerate(lengths):\n    same.setdefault(length, []).append(k)\n"
                     "return [own[k:k + size] for own in same.values() for k in range(0, len(own), size)]",
            wrong=("return [list(range(k, min(k + size, len(lengths)))) for k in range(0, len(lengths), size)]",
                   "same = {}\nfor k, length in enumerate(lengths):\n    same.setdefault(length, []).append(k)\n"
                   "return list(same.values())")),
    fill_in("with_temperature", both("The probabilities of logits (K,) at a temperature.", "logits (K,) 在给定温度下的"
                                                                                           "概率。"),
            "def with_temperature(logits, temperature):", oracle=lambda logits, t: torch.softmax(logits / t, dim=0),
            cases=_logits, hint=both("Divide before the softmax.", "在 softmax 之前除。"),
            solution="return torch.softmax(logits / temperature, dim=0)",
            wrong=("return torch.softmax(logits, dim=0) / temperature", "return torch.softmax(logits * temperature, "
                                                                        "dim=0)")),
)  # fmt: skip

"""The exercises of the lab modules."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from labkit.base.language import both
from labkit.runs.practice.sheet import fill_in, predict

SETUP = """
import copy

import torch
from torch import nn
from torch.nn import functional as F
"""


def _tensor(random: np.random.RandomState, *shape: int) -> torch.Tensor:
    return torch.from_numpy(random.randn(*shape))


def _parts(random: np.random.RandomState, size: int) -> Any:
    """Input (size, 2), weight (3, 2) and bias (3)."""
    return _tensor(random, size, 2), _tensor(random, 3, 2), _tensor(random, 3)


def _conv(random: np.random.RandomState, size: int) -> Any:
    kernel, stride, padding = (int(random.randint(low, high)) for low, high in ((1, 4), (1, 4), (0, 3)))
    return size + 3, kernel, stride, padding


def _conv_size(side: int, kernel: int, stride: int, padding: int) -> int:
    return nn.Conv2d(1, 1, kernel, stride, padding)(torch.zeros(1, 1, side, side)).shape[-1]


def _shapes(random: np.random.RandomState, size: int) -> Any:
    return ([int(random.randint(1, 5)) for _ in range(size + 2)],)


def _count(widths: list[int]) -> int:
    layers = [nn.Linear(a, b) for a, b in zip(widths, widths[1:])]
    return sum(p.numel() for p in nn.Sequential(*layers).parameters())


def _norm(random: np.random.RandomState, size: int) -> Any:
    return (_tensor(random, size, 3), _tensor(random, 3), torch.from_numpy(random.rand(3) + 0.5), _tensor(random, 3),
            _tensor(random, 3))  # fmt: skip


def _norm_in_eval(x: torch.Tensor, mean: torch.Tensor, var: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor
                  ) -> torch.Tensor:  # fmt: skip
    return F.batch_norm(x, mean, var, scale, shift, training=False) if len(x) else x


def _keep(random: np.random.RandomState, size: int) -> Any:
    return _tensor(random, size), torch.from_numpy(random.rand(size) < 0.75), 0.25


def _model(random: np.random.RandomState, size: int) -> Any:
    torch.manual_seed(size)
    return (nn.Sequential(*[nn.Linear(2, 2) for _ in range(size)]),)


def _frozen(model: nn.Module) -> list[bool]:
    """Which parameters still learn when the first layer is frozen."""
    return [not name.startswith("0.") for name, _ in model.named_parameters()]


def _prefixed(random: np.random.RandomState, size: int) -> Any:
    return ({f"module.{k}.weight" if random.rand() < 0.7 else f"module_{k}": k for k in range(size)},)


def _stripped(state: dict[str, int]) -> dict[str, int]:
    return {name[len("module.") :] if name.startswith("module.") else name: value for name, value in state.items()}


SHEET = (
    predict("linear_count", both("How many parameters has this layer?", "这一层有多少个参数？"),
            "sum(p.numel() for p in nn.Linear(3, 2).parameters())",
            hint=both("A weight for each pair, and a bias for each output.",
                      "每对输入输出一个权重，每个输出一个偏置。"),
            wrong={"6": both("The biases count too.", "偏置也算。"),
                   "9": both("One bias for each output, and there are two.", "每个输出一个偏置，共两个。")}),
    predict("conv_count", both("And this one?", "这一层呢？"),
            "sum(p.numel() for p in nn.Conv2d(3, 8, 5).parameters())",
            hint=both("A kernel reads all channels that come in.", "一个卷积核读取所有输入通道。"),
            wrong={"208": both("Each of the 8 kernels reads 3 channels, not one.",
                               "8 个卷积核各读 3 个通道，而不是 1 个。"),
                   "600": both("The biases count too.", "偏置也算。")}),
    predict("weight_shape", both("In which order is a weight stored?", "权重按什么次序存放？"),
            "tuple(nn.Linear(3, 2).weight.shape)",
            hint=both("It computes x W^T + b.", "它计算 x Wᵀ + b。"),
            wrong={"(3, 2)": both("Outputs come first: the layer computes x W^T.",
                                  "输出在前：该层计算 x Wᵀ。"), "(6,)": None}),
    predict("plain_list", both("How many parameters does the module find?", "模块能找到几个参数？"),
            "m = nn.Module()\nm.layers = [nn.Linear(2, 2), nn.Linear(2, 2)]\nlen(list(m.parameters()))",
            hint=both("A module looks at what is assigned to it, not into lists.",
                      "模块只看赋给它的属性，不会看列表里面。"),
            wrong={"4": both("It does not look into a plain list: nn.ModuleList would be found.",
                             "它不看普通列表里面；nn.ModuleList 才能被找到。"), "2": None}),
    predict("integers", both("What does this line give?", "这一行给出什么？"),
            "nn.Parameter(torch.tensor([1, 2])).requires_grad",
            hint=both("What slope has a whole number?", "整数有斜率吗？"),
            wrong={"True": both("Only floating point numbers have a gradient; here it fails.",
                                "只有浮点数有梯度；这里会出错。"),
                   "False": both("It is not made without one: it fails.", "它不会悄悄关掉梯度，而是出错。")}),
    predict("sequential_names", both("What are the parameters called?", "参数叫什么名字？"),
            "m = nn.Sequential(nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 1, bias=False))\n"
            "[name for name, _ in m.named_parameters()]",
            hint=both("Numbers are places in the Sequential; ReLU has a place too.",
                      "数字是在 Sequential 中的位置；ReLU 也占一个。"),
            wrong={"['0.weight', '0.bias', '1.weight']": both("ReLU stands at place 1.", "ReLU 占了位置 1。"),
                   "['0.weight', '0.bias', '2.weight', '2.bias']": both("The last layer has no bias.",
                                                                        "最后一层没有偏置。")}),
    predict("tied", both("The same layer stands at two places. How many parameters?",
                         "同一层放在两处，共有多少个参数？"),
            "m = nn.Linear(3, 3)\nsum(p.numel() for p in nn.Sequential(m, m).parameters())",
            hint=both("parameters() names each tensor once.", "parameters() 对每个张量只列一次。"),
            wrong={"24": both("It is one tensor, counted once.", "它是同一个张量，只算一次。"), "9": None}),
    predict("state_keys", both("How many entries has its state?", "它的状态有多少项？"),
            "len(nn.BatchNorm1d(3).state_dict())",
            hint=both("What it learns, what it measures, and how often it did.", "学到的、测到的，以及测了多少次。"),
            wrong={"2": both("The buffers are saved too.", "buffer 也会保存。"),
                   "4": both("The number of batches is kept as well.", "批次数也会保存。")}),
    predict("functional_dropout", both("After eval(): does the function still leave out? (the sum of 1000 ones is ...)",
                                       "调用 eval() 之后，函数还会丢弃吗？（1000 个 1 的和是否为 1000）"),
            "class Net(nn.Module):\n    def forward(self, x):\n        return F.dropout(x, 0.9)\n\n"
            "bool((Net().eval()(torch.ones(1000)) == 1).all())",
            hint=both("What does F.dropout know of the module that calls it?", "F.dropout 知道是哪个模块在调用它吗？"),
            wrong={"True": both("eval() sets a flag of modules; the function has its own, training=True.",
                                "eval() 设的是模块的标志；函数有自己的 training=True。"), "0": None}),
    predict("alias", both("What is left of the copy?", "“副本”里还剩什么？"),
            "m = nn.Linear(1, 1, bias=False)\nnn.init.ones_(m.weight)\nbest = m.state_dict()\n"
            "nn.init.zeros_(m.weight)\n"
            "best['weight'].item()",
            hint=both("Is it a copy?", "它是副本吗？"),
            wrong={"1.0": both("state_dict() is no copy: copy.deepcopy makes one.",
                               "state_dict() 不是副本；copy.deepcopy 才是。"),
                   "'error'": None}),
    predict("missing", both("What does this line give?", "这一行给出什么？"),
            "m = nn.Linear(2, 1)\nm.load_state_dict({'weight': torch.zeros(1, 2)})\nm.bias.shape",
            hint=both("strict=True is the default.", "默认 strict=True。"),
            wrong={"(1,)": both("A missing key is an error, unless strict=False.",
                                "缺少键会报错，除非 strict=False。"), "None": None}),
    fill_in("linear", both("x (N, 2), weight (3, 2), bias (3): what nn.Linear gives.",
                           "x (N, 2)、weight (3, 2)、bias (3)：nn.Linear 的输出。"),
            "def linear(x, weight, bias):", oracle=F.linear, cases=_parts, without=("linear", "Linear"),
            hint=both("The weight is (out, in): transpose it.", "权重是（输出, 输入），要转置。"),
            solution="return x @ weight.t() + bias", wrong=("return x @ weight.t()",
            "return x @ weight[:2].t() + bias[:2]")),
    fill_in("conv_side", both("The side of the map that a convolution gives, from side, kernel, stride and padding.",
                              "由边长、卷积核、步长与填充求卷积输出的边长。"),
            "def conv_side(side, kernel, stride, padding):", oracle=_conv_size, cases=_conv, without=("Conv2d",
            "conv2d"),
            hint=both("In how many places does the kernel fit?", "卷积核能放下几个位置？"),
            solution="return (side + 2 * padding - kernel) // stride + 1",
            wrong=("return (side + padding - kernel) // stride + 1",
            "return (side + 2 * padding - kernel) / stride + 1",
                   "return (side + 2 * padding) // stride")),
    fill_in("count", both("widths, as [3, 4, 2]: how many parameters has a chain of Linear layers 3 -> 4 -> 2?",
                          "widths 如 [3, 4, 2]：全连接链 3→4→2 共有多少个参数？"),
            "def count(widths):", oracle=_count, cases=_shapes, without=("Linear", "parameters"),
            hint=both("zip(widths, widths[1:])", "zip(widths, widths[1:])：相邻两层配对"),
            solution="return sum(a * b + b for a, b in zip(widths, widths[1:]))",
            wrong=("return sum(a * b for a, b in zip(widths, widths[1:]))",
                   "return sum(a * b + a for a, b in zip(widths, widths[1:]))")),
    fill_in("norm_in_eval",
    both("BatchNorm in eval: x (N, 3) with the measured mean and var, then scale and shift. eps is 1e-5.",
                                 "评估时的 BatchNorm：x (N, 3)，按测得的 mean、var 归一化，"
                                  "再乘 scale 加 shift。eps 为 1e-5。"),
            "def norm_in_eval(x, mean, var, scale, shift):", oracle=_norm_in_eval, cases=_norm, without=("batch_norm",
            "BatchNorm1d"),
            hint=both("eps stands below the root.", "eps 在根号里面。"),
            solution="return (x - mean) / (var + 1e-5).sqrt() * scale + shift",
            wrong=("return (x - x.mean(0)) / (x.var(0) + 1e-5).sqrt() * scale + shift",
                   "return (x - mean) / (var + 1e-5) * scale + shift",
                   "return (x - mean) / (var + 1e-5).sqrt() + shift")),
    fill_in("dropped",
    both("Dropout in training: of x keep where keep is True (bool), and make up for the share p that is left out.",
                            "训练时的 Dropout：保留 keep 为 True 处的 x，并为丢弃的比例 p 作补偿。"),
            "def dropped(x, keep, p):", oracle=lambda x, keep, p: x * keep.to(x.dtype) / (1 - p), cases=_keep,
            without=("dropout", "Dropout"),
            hint=both("The mean must stay the same.", "均值必须不变。"),
            solution="return torch.where(keep, x / (1 - p), torch.zeros_like(x))",
            wrong=("return torch.where(keep, x, torch.zeros_like(x))",
            "return torch.where(keep, x / p, torch.zeros_like(x))",
                   "return x[keep] / (1 - p)")),
    fill_in("freeze",
    both("Freeze the layer called \"0\" of the model; return requires_grad of every parameter, in order.",
                           "冻结模型中名为 \"0\" 的层；按次序返回各参数的 requires_grad。"),
            "def freeze(model):", oracle=_frozen, cases=_model,
            hint=both("named_parameters() says to which layer a parameter belongs.",
                      "named_parameters() 说明参数属于哪一层。"),
            solution="for name, p in model.named_parameters():\n    p.requires_grad = not name.startswith('0.')\n"
                     "return [p.requires_grad for p in model.parameters()]",
            wrong=("return [p.requires_grad for p in model.parameters()]",
                   "for p in model.parameters():\n    p.requires_grad = False\n"
                   "return [p.requires_grad for p in model.parameters()]")),
    fill_in("strip",
    both("A state saved from DataParallel has \"module.\" before every name. Take it away, only in front.",
                          "DataParallel 保存的状态在每个名字前有 \"module.\"。请去掉（只去掉开头的）。"),
            "def strip(state):", oracle=_stripped, cases=_prefixed,
            hint=both("Only where the name starts with it.", "只在名字以它开头时。"),
            solution="return {k[7:] if k.startswith('module.') else k: v for k, v in state.items()}",
            wrong=("return {k[7:]: v for k, v in state.items()}",
                   "return {k.replace('module', ''): v for k, v in state.items()}")),
)  # fmt: skip

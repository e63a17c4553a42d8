"""The functions to fill in, PyTorch's own or a formula's other form as their oracles, and what to try them on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from labkit.base.language import both
from labkit.runs.practice.sheet import fill_in


def _tensor(random: np.random.RandomState, *shape: int) -> torch.Tensor:
    return torch.from_numpy(random.randn(*shape))


def _sizes(random: np.random.RandomState, size: int) -> Any:
    kernel, stride, padding, dilation = (int(random.randint(*between)) for between in ((1, 5), (1, 4), (0, 3), (1, 4)))
    return dilation * (kernel - 1) + 1 + size, kernel, stride, padding, dilation


def _out(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return nn.Conv2d(1, 1, kernel, stride, padding, dilation)(torch.zeros(1, 1, size, size)).shape[2]


def _layers(random: np.random.RandomState, size: int) -> Any:
    return ([(int(random.randint(1, 6)), int(random.randint(1, 4))) for _ in range(size)],)


def _field(layers: list[tuple[int, int]]) -> int:
    """By what it means: how many inputs a chain of windows needs for one output."""
    needed = 1
    for kernel, stride in reversed(layers):
        needed = (needed - 1) * stride + kernel
    return needed


def _convolution(random: np.random.RandomState, size: int) -> Any:
    channels, outputs = random.randint(1, 4, 2)
    return _tensor(random, 2, channels, size + 3, size + 4), _tensor(random, outputs, channels, 3, 3)


def _depthwise(random: np.random.RandomState, size: int) -> Any:
    channels = size + 1
    return _tensor(random, 2, channels, 4, 5), _tensor(random, channels, 1, 3, 3), _tensor(random, 3, channels, 1, 1)


def _stamps(random: np.random.RandomState, size: int) -> Any:
    return _tensor(random, size + 1, size + 2), _tensor(random, 3, 3), int(random.randint(1, 4))


def _stamped(x: torch.Tensor, kernel: torch.Tensor, stride: int) -> torch.Tensor:
    return F.conv_transpose2d(x[None, None], kernel[None, None], stride=stride)[0, 0]


def _counts(random: np.random.RandomState, size: int) -> Any:
    return int(random.randint(1, 9)) * 2, int(random.randint(1, 9)) * 2, int(random.choice([1, 3, 5]))


def _separable(inputs: int, outputs: int, kernel: int) -> int:
    layers = nn.Conv2d(inputs, inputs, kernel, groups=inputs, bias=False), nn.Conv2d(inputs, outputs, 1, bias=False)
    return sum(layer.weight.numel() for layer in layers)


def _work(random: np.random.RandomState, size: int) -> Any:
    return (*_counts(random, size), size + 1, size + 2, int(random.choice([1, 2])))


def _macs(inputs: int, outputs: int, kernel: int, height: int, width: int, groups: int) -> int:
    """By counting: what comes out where all that goes in is 1, of weights of one, added up."""
    x = torch.ones(1, inputs, height + kernel - 1, width + kernel - 1)
    weight = torch.ones(outputs, inputs // groups, kernel, kernel)
    return int(F.conv2d(x, weight, groups=groups).double().sum())


def _maps(random: np.random.RandomState, size: int) -> Any:
    return (_tensor(random, 3, size + 1, 3, 2) * 3 + 1,)


def _shuffling(random: np.random.RandomState, size: int) -> Any:
    groups = int(random.randint(1, 4))
    return _tensor(random, 2, groups * (size + 1), 2, 2), groups


def _shuffled(x: torch.Tensor, groups: int) -> torch.Tensor:
    each = x.shape[1] // groups
    return x[:, [group * each + k for k in range(each) for group in range(groups)]]


def _pooling(random: np.random.RandomState, size: int) -> Any:
    return _tensor(random, size + 3, size + 4), int(random.randint(2, 4)), int(random.randint(1, 4))


def _holes(random: np.random.RandomState, size: int) -> Any:
    return _tensor(random, size + 1, size + 1), int(random.randint(1, 4))


def _with_holes(kernel: torch.Tensor, dilation: int) -> torch.Tensor:
    side = dilation * (len(kernel) - 1) + 1
    made = kernel.new_zeros(side, side)
    made[::dilation, ::dilation] = kernel
    return made


def _classes(random: np.random.RandomState, size: int) -> Any:
    target = torch.from_numpy(random.randint(0, 4, size + 1))
    return _tensor(random, size + 1, 4) * 3, target, float(random.choice([0, 1, 2]))


def _focal(logits: torch.Tensor, target: torch.Tensor, gamma: float) -> torch.Tensor:
    each = F.cross_entropy(logits, target, reduction="none")
    return ((1 - torch.exp(-each)) ** gamma * each).mean()


def _head(random: np.random.RandomState, size: int) -> Any:
    return _tensor(random, 2, size + 1, 3, 4), _tensor(random, 5, size + 1), _tensor(random, 5)


def _distances(random: np.random.RandomState, size: int) -> Any:
    return _tensor(random, size + 1) * 3, _tensor(random, size + 1)


SHAPE = "n, c, h, w = x.shape\n"
COLUMNS = SHAPE + "cols = F.unfold(x, 3)\n"
MEAN = "mean = x.mean(dim=(0, 2, 3), keepdim=True)\n"

FUNCTIONS = (
    fill_in("out_size", both("How many places has a window along `size` pixels?", "窗口沿 size 个像素有多少个位置？"),
            "def out_size(size, kernel, stride, padding, dilation):", oracle=_out, cases=_sizes,
            without=("conv2d", "Conv2d", "unfold"),
            hint=both("The window spans dilation x (kernel - 1) + 1 pixels.",
                      "窗口跨 dilation x (kernel - 1) + 1 个像素。"),
            solution="return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1",
            wrong=("return (size + 2 * padding - kernel) // stride + 1",
                   "return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride",
                   "return (size + padding - dilation * (kernel - 1) - 1) // stride + 1")),
    fill_in("field", both("The receptive field of layers [(kernel, stride), ...], the first reading the image.",
                          "若干层 [(kernel, stride), ...] 的感受野，第一层读图像。"),
            "def field(layers):", oracle=_field, cases=_layers,
            hint=both("Each layer adds (kernel - 1) steps, as long as all strides before it.",
                      "每层增加 (kernel - 1) 步，步长是前面所有步幅之积。"),
            solution="size, step = 1, 1\nfor kernel, stride in layers:\n    size += (kernel - 1) * step\n"
                     "    step *= stride\nreturn size",
            wrong=("return 1 + sum(kernel - 1 for kernel, _ in layers)",
                   "size, step = 1, 1\nfor kernel, stride in layers:\n    step *= stride\n"
                   "    size += (kernel - 1) * step\nreturn size", "return sum(kernel for kernel, _ in layers)")),
    fill_in("convolve", both("x (N, C, H, W) with kernels of 3 x 3, weight (K, C, 3, 3), no padding: by F.unfold.",
                             "x (N, C, H, W) 与 3 x 3 的核 weight (K, C, 3, 3) 卷积，不填充：用 F.unfold 实现。"),
            "def convolve(x, weight):", oracle=F.conv2d, cases=_convolution, without=("conv2d", "Conv2d"),
            hint=both("The weight as a matrix (K, 9 C) times the columns (N, 9 C, places).",
                      "权重变成矩阵 (K, 9 C)，乘以列 (N, 9 C, 位置数)。"),
            solution=COLUMNS + "return (weight.flatten(1) @ cols).reshape(n, len(weight), h - 2, w - 2)",
            wrong=(COLUMNS + "return (weight.flip([2, 3]).flatten(1) @ cols).reshape(n, len(weight), h - 2, w - 2)",
                   COLUMNS + "return (weight.flatten(1) @ cols).reshape(n, len(weight), w - 2, h - 2)",
                   COLUMNS + "return weight.flatten(1) @ cols")),
    fill_in("separable", both("One ordinary kernel (K, C, 3, 3) that does what depthwise filters (C, 1, 3, 3) and then "
                              "mix (K, C, 1, 1) do to x: give its result on x.",
                              "先逐通道 filters (C, 1, 3, 3)、再 mix (K, C, 1, 1)，合成一个普通卷积核 (K, C, 3, 3)，返"
                              "回它作用于 x 的结果。"),
            "def separable(x, filters, mix):", cases=_depthwise, without=("groups",),
            oracle=lambda x, filters, mix: F.conv2d(F.conv2d(x, filters, groups=x.shape[1]), mix),
            hint=both("weight[k, c] = mix[k, c] x filters[c]", "weight[k, c] = mix[k, c] x filters[c]（逐通道相乘）"),
            solution="return F.conv2d(x, mix * filters.reshape(1, -1, 3, 3))",
            wrong=("return F.conv2d(x, mix + filters.reshape(1, -1, 3, 3))",
                   "return F.conv2d(x, mix * filters.mean(dim=0, keepdim=True))")),
    fill_in("stamp", both("A transposed convolution of x (H, W) with a kernel (3, 3): every input stamps the kernel.",
                          "x (H, W) 与核 (3, 3) 的转置卷积：每个输入把核盖到输出上。"),
            "def stamp(x, kernel, stride):", oracle=_stamped, cases=_stamps,
            without=("conv_transpose2d", "ConvTranspose2d", "fold"),
            hint=both("The result has (H - 1) stride + 3 rows; stamps that overlap add up.",
                      "结果有 (H - 1) stride + 3 行；重叠处相加。"),
            solution="h, w = x.shape\ny = x.new_zeros((h - 1) * stride + 3, (w - 1) * stride + 3)\nfor i in range(h):\n"
                     "    for j in range(w):\n"
                     "        y[i * stride:i * stride + 3, j * stride:j * stride + 3] += x[i, j] * kernel\nreturn y",
            wrong=("h, w = x.shape\ny = x.new_zeros((h - 1) * stride + 3, (w - 1) * stride + 3)\nfor i in range(h):\n"
                   "    for j in range(w):\n"
                   "        y[i * stride:i * stride + 3, j * stride:j * stride + 3] = x[i, j] * kernel\nreturn y",
                   "h, w = x.shape\ny = x.new_zeros(h * stride + 3, w * stride + 3)\nfor i in range(h):\n"
                   "    for j in range(w):\n"
                   "        y[i * stride:i * stride + 3, j * stride:j * stride + 3] += x[i, j] * kernel\nreturn y")),
    fill_in("light", both("How many weights has a depthwise separable convolution, without biases?",
                          "一个深度可分离卷积有多少权重（不含偏置）？"),
            "def light(inputs, outputs, kernel):", oracle=_separable, cases=_counts, without=("Conv2d",),
            hint=both("A filter for each input, then 1 x 1 from inputs to outputs.",
                      "每个输入一个滤波器，再用 1 x 1 从输入混合到输出。"),
            solution="return inputs * kernel ** 2 + inputs * outputs",
            wrong=("return inputs * outputs * kernel ** 2", "return outputs * kernel ** 2 + inputs * outputs + 1",
                   "return inputs * kernel ** 2 + outputs")),
    fill_in("macs", both("How many MACs takes a convolution that gives maps of height x width?",
                         "输出为 height x width 的卷积需要多少次 MAC？"),
            "def macs(inputs, outputs, kernel, height, width, groups):", oracle=_macs, cases=_work,
            without=("conv2d", "Conv2d"),
            hint=both("Each number that comes out takes one for each weight that makes it.",
                      "每个输出数，用到几个权重就是几次。"),
            solution="return outputs * height * width * (inputs // groups) * kernel ** 2",
            wrong=("return 2 * outputs * height * width * (inputs // groups) * kernel ** 2",
                   "return outputs * height * width * inputs * kernel ** 2",
                   "return outputs * (inputs // groups) * kernel ** 2")),
    fill_in("norm", both("Batch normalisation of x (N, C, H, W) in training, without scale and shift, eps 1e-5.",
                         "训练模式下对 x (N, C, H, W) 做 BN，不含缩放与平移，eps 为 1e-5。"),
            "def norm(x):", oracle=lambda x: F.batch_norm(x, None, None, training=True), cases=_maps,
            without=("batch_norm", "BatchNorm2d"),
            hint=both("Statistics over N, H and W; the variance divided by their number.",
                      "在 N、H、W 上统计；方差除以个数。"),
            solution=MEAN + "var = ((x - mean) ** 2).mean(dim=(0, 2, 3), keepdim=True)\n"
                            "return (x - mean) / (var + 1e-5).sqrt()",
            wrong=(MEAN + "var = ((x - mean) ** 2).mean(dim=(0, 2, 3), keepdim=True)\nreturn (x - mean) / (var + 1e-5)",
                   "mean = x.mean(dim=(2, 3), keepdim=True)\nvar = ((x - mean) ** 2).mean(dim=(2, 3), keepdim=True)\n"
                   "return (x - mean) / (var + 1e-5).sqrt()",
                   MEAN + "n = x[:, 0].numel()\nvar = ((x - mean) ** 2).sum(dim=(0, 2, 3), keepdim=True) / (n - 1)\n"
                          "return (x - mean) / (var + 1e-5).sqrt()")),
    fill_in("shuffle", both("Channel shuffle of x (N, C, H, W): with 2 groups a b c d e f becomes a d b e c f.",
                            "x (N, C, H, W) 的通道 shuffle：两组时 a b c d e f 变成 a d b e c f。"),
            "def shuffle(x, groups):", oracle=_shuffled, cases=_shuffling,
            hint=both("Channels as (groups, C / groups), transposed.", "把通道看作 (groups, C / groups)，转置。"),
            solution=SHAPE + "return x.reshape(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)",
            wrong=(SHAPE + "return x.reshape(n, c // groups, groups, h, w).transpose(1, 2).reshape(n, c, h, w)",
                   "return x", "return x.flip(1)")),
    fill_in("largest", both("Max pooling of x (H, W), by loops.", "用循环对 x (H, W) 做最大池化。"),
            "def largest(x, kernel, stride):", cases=_pooling, without=("max_pool2d", "MaxPool2d", "unfold"),
            oracle=lambda x, kernel, stride: F.max_pool2d(x[None, None], kernel, stride)[0, 0],
            hint=both("(H - kernel) // stride + 1 rows.", "共 (H - kernel) // stride + 1 行。"),
            solution="rows, cols = ((size - kernel) // stride + 1 for size in x.shape)\n"
                     "y = x.new_zeros(rows, cols)\nfor i in range(rows):\n    for j in range(cols):\n"
                     "        y[i, j] = x[i * stride:i * stride + kernel, j * stride:j * stride + kernel].max()\n"
                     "return y",
            wrong=("rows, cols = ((size - kernel) // stride + 1 for size in x.shape)\n"
                   "y = x.new_zeros(rows, cols)\nfor i in range(rows):\n    for j in range(cols):\n"
                   "        y[i, j] = x[i:i + kernel, j:j + kernel].max()\nreturn y",
                   "rows, cols = ((size - kernel) // stride + 1 for size in x.shape)\n"
                   "y = x.new_zeros(rows, cols)\nfor i in range(rows):\n    for j in range(cols):\n"
                   "        y[i, j] = x[i * stride:i * stride + kernel, j * stride:j * stride + kernel].mean()\n"
                   "return y",
                   "rows, cols = (size // stride for size in x.shape)\n"
                   "y = x.new_zeros(rows, cols)\nfor i in range(rows):\n    for j in range(cols):\n"
                   "        y[i, j] = x[i * stride:i * stride + kernel, j * stride:j * stride + kernel].max()\nreturn "
                   "y")),
    fill_in("spread", both("The kernel (k, k) that does without dilation what `kernel` does with it.",
                           "不用 dilation 而效果相同的卷积核：把 kernel (k, k) 展开。"),
            "def spread(kernel, dilation):", oracle=_with_holes, cases=_holes,
            hint=both("Zeros between the taps, none after the last.", "抽头之间填零，最后一个之后不填。"),
            solution="k = len(kernel)\nside = dilation * (k - 1) + 1\ny = kernel.new_zeros(side, side)\n"
                     "for i in range(k):\n    for j in range(k):\n        y[dilation * i, dilation * j] = kernel[i, "
                     "j]\nreturn y",
            wrong=("return kernel.repeat_interleave(dilation, 0).repeat_interleave(dilation, 1)",
                   "k = len(kernel)\ny = kernel.new_zeros(dilation * k, dilation * k)\n"
                   "y[::dilation, ::dilation] = kernel\nreturn y")),
    fill_in("focal", both("The focal loss of logits (N, K): cross-entropy times (1 - p)^gamma, p of the right class; "
                          "the mean.",
                          "logits (N, K) 的 focal loss：交叉熵乘以 (1 - p)^gamma，p 为正确类的概率；取平均。"),
            "def focal(logits, target, gamma):", oracle=_focal, cases=_classes,
            hint=both("log_softmax, gather at the target, and p is its exp.",
                      "log_softmax，在 target 处 gather，取 exp 得 p。"),
            solution="log_p = F.log_softmax(logits, dim=1)[torch.arange(len(target)), target]\n"
                     "return (-(1 - log_p.exp()) ** gamma * log_p).mean()",
            wrong=("return F.cross_entropy(logits, target)",
                   "log_p = F.log_softmax(logits, dim=1)[torch.arange(len(target)), target]\n"
                   "return (-log_p.exp() ** gamma * log_p).mean()",
                   "log_p = F.log_softmax(logits, dim=1)[torch.arange(len(target)), target]\n"
                   "return (-(1 - log_p.exp()) ** gamma * log_p).sum()")),
    fill_in("head", both("Class maps by 1 x 1 (weight (K, C), bias (K)) of x (N, C, H, W), then the mean over all "
                         "places: the same without any map of classes.",
                         "先用 1 x 1 卷积（weight (K, C)、bias (K)）得到类别图，再全局平均；请不经过类别图得到同样的结"
                         "果。"),
            "def head(x, weight, bias):", cases=_head, without=("conv2d", "Conv2d"),
            oracle=lambda x, weight, bias: F.conv2d(x, weight[:, :, None, None], bias).mean(dim=(2, 3)),
            hint=both("The mean first: both are linear.", "先求平均：两步都是线性的。"),
            solution="return F.linear(x.mean(dim=(2, 3)), weight, bias)",
            wrong=("return F.linear(x.sum(dim=(2, 3)), weight, bias)", "return F.linear(x.mean(dim=(2, 3)), weight)",
                   "return F.linear(x.flatten(2).max(dim=2)[0], weight, bias)")),
    fill_in("smooth_l1", both("SmoothL1Loss of two vectors: half the square within 1, the distance less a half "
                              "beyond; the mean.",
                              "两个向量的 SmoothL1Loss：1 以内为平方的一半，以外为距离减一半；取平均。"),
            "def smooth_l1(x, target):", oracle=F.smooth_l1_loss, cases=_distances,
            without=("smooth_l1_loss", "SmoothL1Loss", "huber_loss", "HuberLoss"),
            hint=both("torch.where", "用 torch.where 分段"),
            solution="d = (x - target).abs()\nreturn torch.where(d < 1, d ** 2 / 2, d - 0.5).mean()",
            wrong=("d = (x - target).abs()\nreturn torch.where(d < 1, d ** 2, d - 0.5).mean()",
                   "return (x - target).abs().mean()",
                   "d = (x - target).abs()\nreturn torch.where(d < 1, d ** 2 / 2, d).mean()")),
)  # fmt: skip

"""Sections 52 and 56 in steps: convolutions, each by hand and by PyTorch, and what the networks made of them."""

from __future__ import annotations

from labkit.base.language import both
from labkit.runs.steps import Group, step

SETUP = """
import warnings

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torchvision import ops

from labs.convnets import byhand, counting, fields, ways

warnings.simplefilter("ignore")  # of PyTorch 1.5 about what upsampling used to do
torch.set_printoptions(precision=2, sci_mode=False, threshold=12, edgeitems=1, linewidth=60)
torch.manual_seed(0)
x = torch.randn(2, 4, 6, 7)  # maps (N, C, H, W)
weight = torch.randn(6, 4, 3, 3)  # (outputs, inputs, height, width) of a kernel


def deformed(x, offset, weight, padding):
    layer = ops.DeformConv2d(weight.shape[1], len(weight), 3, padding=padding, bias=False)
    layer.weight.data = weight
    return layer(x, offset).detach()


def first_by_last(*between):
    # of 20 convolutions and ReLUs, with `between` in the middle: the first one's gradient by the last one's
    parts = [nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), *(make() for make in between), nn.ReLU()) for _ in range(20)]
    (nn.Sequential(*parts)(torch.randn(8, 8, 8, 8)) ** 2).mean().backward()
    return (parts[0][0].weight.grad.norm() / parts[-1][0].weight.grad.norm()).item()
"""

CONVOLUTION = Group("52", both("Convolution", "卷积"), (
    step("one-place", both("One output: the window times the kernel, all added up. The notes call it an inner product.",
                           "一个输出：窗口与卷积核逐个相乘再求和，即笔记所说的内积。"),
         "F.conv2d(x, weight)[0, 5, 2, 3].item()", "(x[0, :, 2:5, 3:6] * weight[5]).sum().item()"),
    step("loops", both("All of them, by loops.", "全部输出，用循环算。"),
         "F.conv2d(x, weight, stride=2, padding=1)", "byhand.conv2d(x, weight, stride=2, padding=1)"),
    step("unfold", both("As one matrix product: each window a column. That is how libraries do it.",
                        "写成一次矩阵乘法：每个窗口摊成一列。各种库正是这样做的。"),
         "F.conv2d(x, weight, padding=1)", "byhand.conv2d_matrix(x, weight, padding=1)"),
    step("columns", both("The columns: 4 x 3 x 3 numbers for each of 4 x 5 places. Each pixel is copied up to nine "
                         "times.",
                         "摊开后的列：4 x 5 个位置，每个 4 x 3 x 3 个数；每个像素最多被复制九次。"),
         "F.unfold(x, 3).shape", "torch.Size([2, 4 * 3 * 3, 4 * 5])"),
    step("size", both("How large the result is: (size + 2 padding - dilation (kernel - 1) - 1) // stride + 1.",
                      "输出的尺寸：(size + 2 padding - dilation (kernel - 1) - 1) // stride + 1。"),
         "list(F.conv2d(x, weight, stride=2, padding=1).shape[2:])",
         "[byhand.out_size(6, 3, 2, 1), byhand.out_size(7, 3, 2, 1)]"),
    step("lost", both("With stride 2 and an even size the last column is read by nobody.",
                      "步幅为 2 而尺寸为偶数时，最后一列谁也没有读到。"),
         "image = torch.zeros(1, 1, 6, 6, requires_grad=True)\n"
         "F.conv2d(image, torch.ones(1, 1, 3, 3), stride=2).sum().backward()\nimage.grad[0, 0, 0].tolist()",
         "[1.0, 1.0, 2.0, 1.0, 1.0, 0.0]"),
    step("not-turned", both("The kernel is not turned over: mathematics calls this a correlation.",
                            "卷积核没有翻转：数学上这叫互相关。"),
         "F.conv2d(torch.tensor([[[[0.0, 0, 1, 0, 0]]]]), torch.tensor([[[[1.0, 2, 3]]]])).flatten()",
         "[3, 2, 1]"),
    step("linear", both("A linear layer whose weights repeat: of its matrix's 576 numbers only 9 differ.",
                        "卷积是权重重复的线性层：矩阵有 576 个数，其中不同的只有 9 个（其余为零）。"),
         "image, kernel = torch.randn(1, 1, 6, 6), torch.randn(1, 1, 3, 3)\n"
         "matrix = F.conv2d(torch.eye(36).reshape(36, 1, 6, 6), kernel).reshape(36, 16)\n"
         "image.reshape(1, 36) @ matrix", "byhand.conv2d(image, kernel).reshape(1, 16)"),
    step("shifted", both("Shift the image and the result shifts with it; that is what the repeated weights are for.",
                         "图像平移，结果也随之平移：重复使用权重正是为此。"),
         "F.conv2d(torch.roll(x, 1, dims=3), weight)[..., 1:]", "F.conv2d(x, weight)[..., :-1]"),
    step("one-by-one", both("1 x 1: at every place the same linear layer over the channels.",
                            "1 x 1：在每个位置对各通道做同一个线性层。"),
         "F.conv2d(x, weight[:, :, :1, :1])",
         "(x.permute(0, 2, 3, 1) @ weight[:, :, 0, 0].t()).permute(0, 3, 1, 2)"),
))  # fmt: skip

KINDS = Group("52", both("Kinds of convolution", "各种卷积"), (
    step("grouped", both("groups=2: the first half of the outputs reads the first half of the channels, and no other.",
                         "groups=2：前一半输出只读前一半通道，后一半输出只读后一半。"),
         "F.conv2d(x, weight[:, :2], groups=2)", "byhand.conv2d(x, weight[:, :2], groups=2)"),
    step("two-of-them", both("Two convolutions side by side give the same.", "与两个并排的卷积结果相同。"),
         "F.conv2d(x, weight[:, :2], groups=2)",
         "torch.cat([F.conv2d(x[:, :2], weight[:3, :2]), F.conv2d(x[:, 2:], weight[3:, :2])], dim=1)"),
    step("fewer", both("With g groups a g-th of the weights.", "分成 g 组，权重只剩 g 分之一。"),
         "[nn.Conv2d(64, 64, 3, groups=g, bias=False).weight.numel() for g in (1, 2, 4, 64)]",
         "[36864, 18432, 9216, 576]"),
    step("indivisible", both("Both numbers of channels must be divisible.", "输入、输出通道数都必须能被整除。"),
         "nn.Conv2d(4, 6, 3, groups=4)", "'ValueError'"),
    step("shuffle", both("The shuffle, which lets the groups hear of each other: a a b b becomes a b a b.",
                         "通道 shuffle 让各组互通：a a b b 变成 a b a b。"),
         "ways.Shuffle(2)(torch.arange(6.0).reshape(1, 6, 1, 1)).flatten()", "[0, 3, 1, 4, 2, 5]"),
    step("unheard", both("Two grouped 1 x 1 without a shuffle: half of the outputs never depend on half of the inputs.",
                         "两个分组 1 x 1 之间没有 shuffle：一半输出永远与一半输入无关。"),
         "image = torch.ones(1, 4, 1, 1, requires_grad=True)\n"
         "two = nn.Sequential(nn.Conv2d(4, 4, 1, groups=2), nn.Conv2d(4, 4, 1, groups=2))\n"
         "two(image)[0, 0].sum().backward()\n(image.grad != 0).flatten().tolist()", "[True, True, False, False]"),
    step("heard", both("With a shuffle between, each output depends on all.",
                       "中间加上 shuffle，每个输出都与全部输入有关。"),
         "image = torch.ones(1, 4, 1, 1, requires_grad=True)\n"
         "two = nn.Sequential(nn.Conv2d(4, 4, 1, groups=2), ways.Shuffle(2), nn.Conv2d(4, 4, 1, groups=2))\n"
         "two(image)[0, 0].sum().backward()\n(image.grad != 0).flatten().tolist()", "[True, True, True, True]"),
    step("dilated", both("dilation=2: the taps stand two pixels apart; 3 x 3 weights span 5 x 5 pixels.",
                         "dilation=2：抽头相隔两个像素，3 x 3 个权重跨 5 x 5 个像素。"),
         "F.conv2d(x, weight, dilation=2)", "byhand.conv2d(x, weight, dilation=2)"),
    step("with-holes", both("The same as a 5 x 5 kernel with zeros between.", "等于中间填零的 5 x 5 卷积核。"),
         "holes = torch.zeros(6, 4, 5, 5)\nholes[:, :, ::2, ::2] = weight\nF.conv2d(x, weight, dilation=2)",
         "F.conv2d(x, holes)"),
    step("gridding", both("A trap: dilation 2 twice leaves every second pixel out, however many layers follow.",
                          "陷阱：连续两次 dilation=2，每隔一个像素就读不到一个，再多几层也一样（网格效应）。"),
         "image = torch.zeros(1, 1, 1, 9, requires_grad=True)\n"
         "taps = torch.ones(1, 1, 1, 3)\nF.conv2d(F.conv2d(image, taps, dilation=2), taps, dilation=2).backward()\n"
         "image.grad.flatten().tolist()", "[1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 2.0, 0.0, 1.0]"),
    step("depthwise", both("groups = channels: each channel has a filter of its own.",
                           "groups 等于通道数：每个通道各有一个滤波器。"),
         "F.conv2d(x, weight[:4, :1], padding=1, groups=4)",
         "torch.cat([F.conv2d(x[:, c:c + 1], weight[c:c + 1, :1], padding=1) for c in range(4)], dim=1)"),
    step("separable", both("Depthwise, then 1 x 1: a convolution whose kernels are products, weight[o, c] = mix[o, c] "
                           "filter[c].",
                           "先逐通道、再 1 x 1：等于核为乘积 weight[o, c] = mix[o, c] filter[c] 的普通卷积。"),
         "filters, mix = torch.randn(4, 1, 3, 3), torch.randn(6, 4, 1, 1)\n"
         "F.conv2d(F.conv2d(x, filters, groups=4), mix)", "F.conv2d(x, mix * filters.reshape(1, 4, 3, 3))"),
    step("separable-cost", both("What it saves: 1 / outputs + 1 / k² of the weights and MACs are left.",
                                "节省多少：权重与 MAC 只剩 1 / 输出通道数 + 1 / k²。"),
         "(256 * 9 + 256 * 256) / (256 * 256 * 9)", "1 / 256 + 1 / 9"),
    step("transposed", both("A transposed convolution: each input stamps the kernel onto the output.",
                            "转置卷积：每个输入把卷积核“盖章”到输出上。"),
         "F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)",
         "byhand.conv_transpose2d(x, weight.transpose(0, 1), stride=2)"),
    step("transposed-padding", both("Its padding takes a rim away.", "它的 padding 是裁掉边缘。"),
         "F.conv_transpose2d(x, weight.transpose(0, 1), stride=2, padding=1)",
         "F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)[:, :, 1:-1, 1:-1]"),
    step("zeros-between", both("The same: zeros between the inputs, then a convolution with the kernel turned over.",
                               "等价做法：在输入之间插零，再用翻转的核做卷积。"),
         "wide = torch.zeros(2, 4, 11, 13)\nwide[:, :, ::2, ::2] = x\n"
         "F.conv2d(wide, weight.flip([2, 3]), padding=2)", "F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)"),
    step("gradient", both("It is what a convolution does to gradients on the way back.",
                          "它就是卷积在反向传播时对梯度做的事。"),
         "image = x.clone().requires_grad_()\ng = torch.randn(2, 6, 4, 5)\nF.conv2d(image, weight).backward(g)\n"
         "image.grad",
         "F.conv_transpose2d(g, weight)"),
    step("no-inverse", both("A trap in a name: “deconvolution” does not undo a convolution. Shapes come back, numbers "
                            "do not.",
                            "名字的陷阱：所谓“反卷积”并不能还原卷积，恢复的只是形状，不是数值。"),
         "back = F.conv_transpose2d(F.conv2d(x, weight), weight)\n"
         "[back.shape == x.shape, bool(torch.allclose(back, x, atol=0.1))]", "[True, False]"),
    step("overlap", both("Kernel 3, stride 2: outputs get 1 or 2 stamps in turn. That is the checkerboard.",
                         "核 3、步幅 2：输出交替收到 1 次和 2 次盖章，棋盘格由此而来。"),
         "F.conv_transpose1d(torch.ones(1, 1, 5), torch.ones(1, 1, 3), stride=2).flatten()",
         "[1, 1, 2, 1, 2, 1, 2, 1, 2, 1, 1]"),
    step("even", both("Kernel 4, stride 2: two stamps each, but for the rim.", "核 4、步幅 2：除边缘外都是两次。"),
         "F.conv_transpose1d(torch.ones(1, 1, 5), torch.ones(1, 1, 4), stride=2).flatten()",
         "[1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1]"),
    step("deformable", both("A deformable convolution: each tap reads beside its place, between the pixels.",
                            "可变形卷积：每个抽头在原位置旁边、像素之间取值。"),
         "offset = torch.randn(2, 18, 6, 7)\ndeformed(x, offset, weight, 1)",
         "byhand.deform_conv2d(x, offset, weight, 1)"),
    step("undeformed", both("With offsets of 0 it is a convolution.", "偏移全为 0 时就是普通卷积。"),
         "deformed(x, torch.zeros(2, 18, 6, 7), weight, 1)", "F.conv2d(x, weight, padding=1)"),
    step("as-dilated", both("With the right offsets it is the dilated one: the kernel's own places, once more.",
                            "偏移取卷积核自身的坐标，就成了空洞卷积。"),
         "places = torch.tensor([[u - 1.0, v - 1.0] for u in range(3) for v in range(3)]).reshape(1, 18, 1, 1)\n"
         "deformed(x, places.expand(2, 18, 6, 7).contiguous(), weight, 1)",
         "F.conv2d(x, weight, padding=2, dilation=2)"),
))  # fmt: skip

NETWORKS = Group("56", both("What the networks added", "各网络新增了什么"), (
    step("stacked", both("VGG: 3 x 3 twice sees as far as 5 x 5, with 18 weights in place of 25.",
                         "VGG：两个 3 x 3 与一个 5 x 5 看得一样远，权重是 18 对 25。"),
         "twice = nn.Sequential(nn.Conv2d(1, 1, 3, bias=False), nn.Conv2d(1, 1, 3, bias=False))\n"
         "[fields.window(twice).size, counting.by_hand(twice, torch.zeros(1, 1, 5, 5)).parameters]", "[5, 18]"),
    step("added", both("ResNet: a block whose convolutions are 0 hands its input on; more layers cannot hurt for want "
                       "of that.",
                       "ResNet：卷积全为 0 的块原样传递输入；加深网络至少不会因为学不会恒等映射而变差。"),
         "block = ways.Sum(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.Identity())\n"
         "nn.init.zeros_(block.ways[0].weight)\nblock(x).detach()", "x"),
    step("vanishing", both("The notes: ResNet against vanishing gradients. In a plain series of 20 layers they do "
                           "vanish …",
                           "笔记：ResNet 防止梯度消失。普通的 20 层串联网络里，梯度确实会消失……"),
         "first_by_last() < 1e-6", "True"),
    step("kept", both("… but batch normalisation alone keeps them. ResNet is against something else: deeper plain "
                      "networks had a higher training error with it, too.",
                      "……但只要加上 BN 就不会。ResNet 针对的是另一回事：有了 BN，更深的普通网络训练误差仍然更高（退"
                      "化）。"),
         "0.1 < first_by_last(lambda: nn.BatchNorm2d(8)) < 100", "True"),
))  # fmt: skip

"""Sections 6 to 9: what a tensor is, where tensors come from, dtype, device, layout, sparse tensors."""

from __future__ import annotations

from labkit.base.language import both
from labkit.runs.steps import Group, step

SETUP = """
import io
import math
import statistics

import numpy as np
import torch

torch.manual_seed(0)
"""  # before each step of this lab

GROUPS = (
    Group("6", both("Rank: how many indices a number needs", "阶数：取出一个数需要几个下标"), (
        step("scalar", both("A scalar has rank 0 and an empty shape.", "标量：0 阶，形状为空。"),
             "x = torch.tensor(5)\n(x.dim(), tuple(x.shape), x.item())", "(0, (), 5)"),
        step("vector", both("A vector has rank 1.", "向量：1 阶。"),
             "x = torch.tensor([1, 2, 3])\n(x.dim(), tuple(x.shape))", "(np.ndim([1, 2, 3]), (3,))"),
        step("matrix", both("A matrix has rank 2.", "矩阵：2 阶。"),
             "x = torch.tensor([[1, 2, 3], [4, 5, 6]])\n(x.dim(), tuple(x.shape))", "(2, (2, 3))"),
        step("picture",
             both("A colour picture has rank 3. PyTorch puts channels first: C x H x W (the notes: W x H x C).",
                             "彩色图片：3 阶。PyTorch 的次序是通道在前 C×H×W（笔记写成“宽×高×通道”）。"),
             "picture = np.zeros((4, 6, 3))  # as files are read: H x W x C\n"
             "x = torch.from_numpy(picture).permute(2, 0, 1)\ntuple(x.shape)", "(3, 4, 6)"),
        step("batch", both("A batch of pictures has rank 4: N x C x H x W.", "一批图片：4 阶，N×C×H×W。"),
             "x = torch.zeros(8, 3, 4, 6)\n(x.dim(), x.numel())", "(4, 8 * 3 * 4 * 6)"),
        step("variable", both("A Variable is a tensor since 0.4; only its flag says that it learns.",
                              "自 0.4 起 Variable 就是 Tensor，只有 requires_grad 表明它参与学习。"),
             "x = torch.autograd.Variable(torch.ones(2), requires_grad=True)\n"
             "(isinstance(x, torch.Tensor), x.requires_grad)", "(True, True)"),
        step("module", both("nn.Module: a function with parameters of its own.", "nn.Module：自带参数的函数。"),
             "layer = torch.nn.Linear(3, 2)\nx = torch.rand(4, 3)\nlayer(x).detach()",
             "x.numpy() @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()"),
    )),
    Group("7", both("Types, and where tensors come from", "Tensor 的类型与创建"), (
        step("types", both("The default types: whole numbers int64, others float32; NumPy's are float64.",
                           "默认类型：整数 int64，小数 float32；NumPy 的小数是 float64。"),
             "(torch.tensor(1).dtype, torch.tensor(1.0).dtype, torch.tensor(True).dtype)",
             "(torch.int64, torch.float32, torch.bool)"),
        step("bytes", both("How many bytes a number of each type takes.", "各种类型的一个数占几个字节。"),
             "kinds = [torch.uint8, torch.int16, torch.int32, torch.int64, torch.float16, torch.float32, "
             "torch.float64]\n"
             "[torch.zeros(1, dtype=kind).element_size() for kind in kinds]",
             "[np.dtype(t).itemsize for t in ('u1', 'i2', 'i4', 'i8', 'f2', 'f4', 'f8')]"),
        step("convert", both("Another type: a cut towards zero, no rounding.", "类型转换：向零截断，不是四舍五入。"),
             "torch.tensor([1.9, -1.9]).long()", "np.array([1.9, -1.9]).astype(int)"),
        step("wrap", both("A uint8 wraps round: 200 + 100 is 44.", "uint8 会绕回：200 + 100 得 44。"),
             "torch.tensor([200], dtype=torch.uint8) + torch.tensor([100], dtype=torch.uint8)", "[(200 + 100) % 256]"),
        step("promotion", both("int64 and float32 together make float32.", "int64 与 float32 相加得 float32。"),
             "(torch.ones(2, dtype=torch.int64) + torch.ones(2)).dtype", "torch.float32"),
        step("by-size", both("By size: memory as it is found, so only the shape is known.",
                             "按尺寸定义：内存里有什么就是什么，只有形状是确定的。"),
             "tuple(torch.Tensor(2, 3).shape)", "np.empty((2, 3)).shape"),
        step("by-value", both("From a list: torch.tensor copies.", "由列表创建：torch.tensor 总是复制。"),
             "torch.tensor([[1, 2], [3, 4]])", "np.array([[1, 2], [3, 4]])"),
        step("ones", both("All 1, all 0.", "全 1 与全 0。"),
             "(torch.ones(2, 2), torch.zeros(2, 2))", "(np.ones((2, 2)), np.zeros((2, 2)))"),
        step("eye", both("The identity.", "单位矩阵。"), "torch.eye(3)", "np.eye(3)"),
        step("arange", both("Steps: the end is left out.", "切片式：不含终点。"),
             "torch.arange(0, 10, 3)", "list(range(0, 10, 3))"),
        step("linspace", both("Equal parts: the end is included.", "等分：包含终点。"),
             "torch.linspace(0, 1, 5)", "np.linspace(0, 1, 5)"),
        step("like", both("As another one: shape, type and device are its own.", "*_like：形状、类型、设备都照原样。"),
             "x = torch.ones(2, 3, dtype=torch.float64)\ny = torch.zeros_like(x)\n(y.dtype, y)",
             "(torch.float64, np.zeros((2, 3)))"),
        step("rand",
             both("Uniform in [0, 1): the mean of many is near 1/2.", "[0, 1) 均匀分布：大量样本的均值接近 1/2。"),
             "x = torch.rand(100000)\n(bool((x >= 0).all()), bool((x < 1).all()), abs(float(x.mean()) - 0.5) < 0.005)",
             "(True, True, True)"),
        step("randn", both("Standard normal: mean 0, deviation 1.", "标准正态分布：均值 0，标准差 1。"),
             "x = torch.randn(100000)\n(abs(float(x.mean())) < 0.02, abs(float(x.std()) - 1) < 0.02)", "(True, True)"),
        step("normal", both("Normal with a mean and a deviation for each.", "每个元素各有均值与标准差的正态分布。"),
             "x = torch.normal(mean=torch.tensor([0.0, 100.0]), std=torch.tensor([1e-6, 1e-6]))\nx", "[0.0, 100.0]"),
        step("uniform", both("Uniform over any interval, in place.", "任意区间上的均匀分布，原位填充。"),
             "x = torch.empty(1000).uniform_(-1, 3)\n(bool((x >= -1).all()), bool((x <= 3).all()))", "(True, True)"),
        step("randperm", both("A permutation: every number once.", "随机排列：每个数恰好出现一次。"),
             "torch.randperm(6).sort()[0]", "list(range(6))"),
    )),
    Group("9", both("Attributes: dtype, device, layout; sparse tensors", "属性：dtype、device、layout；稀疏张量"), (
        step("attributes", both("Every tensor has the three.", "每个张量都有这三种属性。"),
             "x = torch.ones(2)\n(str(x.dtype), str(x.device), str(x.layout))",
             "('torch.float32', 'cpu', 'torch.strided')"),
        step("stride", both("A dense tensor is one block; strides say how far apart neighbours are.",
                            "稠密张量是一整块内存；stride 说明相邻元素相隔几格。"),
             "x = torch.arange(12).view(3, 4)\nx.stride()", "tuple(s // 8 for s in x.numpy().strides)"),
        step("place", both("Where (i, j) lies in the block: i * 4 + j * 1.", "(i, j) 在内存块中的位置：i·4 + j·1。"),
             "x = torch.arange(12).view(3, 4)\n[int(x[i, j]) for i in range(3) for j in range(4)]",
             "[i * x.stride(0) + j * x.stride(1) for i in range(3) for j in range(4)]"),
        step("coo",
             both("Sparse: the coordinates of what is not 0, and the values.", "稀疏张量：记下非零元素的坐标和值。"),
             "x = torch.sparse_coo_tensor([[0, 1, 2], [1, 0, 2]], [3.0, 4.0, 5.0], (3, 3))\nx.to_dense()",
             "np.array([[0, 3, 0], [4, 0, 0], [0, 0, 5]])"),
        step("coalesce", both("The same coordinates twice: the values add up.", "坐标重复时，值相加。"),
             "x = torch.sparse_coo_tensor([[0, 0], [1, 1]], [2.0, 5.0], (1, 2)).coalesce()\n"
             "(x._nnz(), x.to_dense())", "(1, [[0.0, 2.0 + 5.0]])"),
        step("to-sparse", both("There and back.", "稠密与稀疏互相转换。"),
             "x = torch.eye(3)\nx.to_sparse().to_dense()", "x"),
        step("sparse-mm",
             both("Sparse times dense gives what dense times dense gives.", "稀疏乘稠密，与稠密乘稠密结果相同。"),
             "a = torch.tensor([[0.0, 2.0], [0.0, 0.0]])\nb = torch.tensor([[1.0, 2.0], [3.0, 4.0]])\n"
             "torch.sparse.mm(a.to_sparse(), b)", "a.numpy() @ b.numpy()"),
        step("sparse-bytes", both("The saving: an n x n identity takes n * (2 * 8 + 4) bytes, dense n * n * 4.",
                                  "节省内存：n×n 单位矩阵稀疏存储 n·(2·8+4) 字节，稠密 n·n·4 字节。"),
             "n = 1000\nx = torch.eye(n).to_sparse().coalesce()\n"
             "(x.indices().numel() * 8 + x.values().numel() * 4, torch.eye(n).numel() * 4)",
             "(n * (2 * 8 + 4), n * n * 4)"),
        step("sparse-dear", both("Half full, sparse costs more: the notes' saving needs many zeros.",
                                 "若有一半非零，稀疏反而更费内存：笔记所说的“节省”要零足够多才成立。"),
             "x = (torch.arange(100) % 2).float().view(10, 10).to_sparse().coalesce()\n"
             "(x.indices().numel() * 8 + x.values().numel() * 4, 100 * 4)", "(50 * 20, 400)"),
    )),
)  # fmt: skip

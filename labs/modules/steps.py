"""Section 38 of the notes, line by line: as it is typed there, what happens, and what is right."""

from __future__ import annotations

from labkit.base.language import both
from labkit.runs.steps import Group, step

# The same state {"weight": [[0.5, -1]], "bias": [2]}, as torch.save of either version wrote it in the older form.
SAVED_BY_1_5 = (
    "gAKKCmz8nEb5IGqoUBkugAJN6QMugAJ9cQAoWBAAAABwcm90b2NvbF92ZXJzaW9ucQFN6QNYDQAAAGxpdHRsZV9lbmRpYW5xAohYCgAAAHR5cGVf"
    "c2l6ZXNxA31xBChYBQAAAHNob3J0cQVLAlgDAAAAaW50cQZLBFgEAAAAbG9uZ3EHSwR1dS6AAn1xAChYBgAAAHdlaWdodHEBY3RvcmNoLl91dGls"
    "cwpfcmVidWlsZF90ZW5zb3JfdjIKcQIoKFgHAAAAc3RvcmFnZXEDY3RvcmNoCkZsb2F0U3RvcmFnZQpxBFgOAAAAOTQ4MzMzMzc5OTc0MjRxBVgD"
    "AAAAY3B1cQZLAk50cQdRSwBLAUsChnEISwJLAYZxCYljY29sbGVjdGlvbnMKT3JkZXJlZERpY3QKcQopUnELdHEMUnENWAQAAABiaWFzcQ5oAigo"
    "aANoBFgOAAAAOTQ4MzMzMDgyMTEyODBxD2gGSwFOdHEQUUsASwGFcRFLAYVxEoloCilScRN0cRRScRV1LoACXXEAKFgOAAAAOTQ4MzMzMDgyMTEy"
    "ODBxAVgOAAAAOTQ4MzMzMzc5OTc0MjRxAmUuAQAAAAAAAAAAAABAAgAAAAAAAAAAAAA/AACAvw=="
)
SAVED_BY_2_11 = (
    "gAKKCmz8nEb5IGqoUBkugAJN6QMugAJ9cQAoWBAAAABwcm90b2NvbF92ZXJzaW9ucQFN6QNYDQAAAGxpdHRsZV9lbmRpYW5xAohYCgAAAHR5cGVf"
    "c2l6ZXNxA31xBChYBQAAAHNob3J0cQVLAlgDAAAAaW50cQZLBFgEAAAAbG9uZ3EHSwR1dS6AAn1xAChYBgAAAHdlaWdodHEBY3RvcmNoLl91dGls"
    "cwpfcmVidWlsZF90ZW5zb3JfdjIKcQIoKFgHAAAAc3RvcmFnZXEDY3RvcmNoCkZsb2F0U3RvcmFnZQpxBFgOAAAAOTQ1MDA1MTEyMjkwODhxBVgD"
    "AAAAY3B1cQZLAk50cQdRSwBLAUsChnEISwJLAYZxCYljY29sbGVjdGlvbnMKT3JkZXJlZERpY3QKcQopUnELdHEMUnENWAQAAABiaWFzcQ5oAigo"
    "aANoBFgOAAAAOTQ1MDA0MDg2NTY5MTJxD2gGSwFOdHEQUUsASwGFcRFLAYVxEoloCilScRN0cRRScRV1LoACXXEAKFgOAAAAOTQ1MDA0MDg2NTY5"
    "MTJxAVgOAAAAOTQ1MDA1MTEyMjkwODhxAmUuAQAAAAAAAAAAAABAAgAAAAAAAAAAAAA/AACAvw=="
)

SETUP = f"""
import base64
import collections
import copy
import io

import torch
from torch import nn
from torch.nn import functional as F

torch.manual_seed(0)
saved_by_1_5 = base64.b64decode("{SAVED_BY_1_5}")
saved_by_2_11 = base64.b64decode("{SAVED_BY_2_11}")


def layer():
    return nn.Linear(2, 3)


def names(module):
    return [name for name, _ in module.named_parameters()]
"""

PARAMETERS = Group("38", both("nn.Parameter: a tensor that a module finds by itself",
                              "nn.Parameter：能被模块自动找到的张量"), (
    step("parameter", both("A Parameter is a tensor that learns.", "Parameter 就是参与学习的张量。"),
         "p = nn.Parameter(torch.randn(1))\n(isinstance(p, torch.Tensor), p.requires_grad, p.is_leaf)",
         "(True, True, True)"),
    step("as-attribute", both("Made an attribute of a module, it is found.", "赋给模块的属性，模块就能找到它。"),
         "m = nn.Module()\nm.my_param = nn.Parameter(torch.randn(1))\nnames(m)", "['my_param']"),
    step("plain-tensor", both("A plain tensor is not, even one that requires a gradient.",
                              "普通张量则不会被找到，即使它需要梯度。"),
         "m = nn.Module()\nm.my_param = torch.randn(1, requires_grad=True)\nnames(m)", "[]"),
    step("before-init", both("Before super().__init__() a module has no place for it.",
                             "在 super().__init__() 之前，模块还没有地方存放它。"),
         "class Net(nn.Module):\n    def __init__(self):\n        self.w = nn.Parameter(torch.ones(1))\n"
         "        super().__init__()\n\nNet()", "'AttributeError'"),
    step("whole-numbers", both("Whole numbers cannot have a gradient, so they cannot be a Parameter.",
                               "整数没有梯度，因此不能做 Parameter。"),
         "nn.Parameter(torch.tensor([1, 2]))", "'RuntimeError'"),
    step("frozen", both("requires_grad=False freezes it; it stays among the parameters.",
                        "requires_grad=False 使它冻结，但它仍属于 parameters()。"),
         "m = layer()\nm.weight.requires_grad = False\n([p.requires_grad for p in m.parameters()], len(names(m)))",
         "([False, True], 2)"),
    step("notes-register", both("As the notes type it: one text where a name and a tensor belong.",
                                "笔记的写法：把名字和张量写进了同一个字符串。"),
         "nn.Module().register_parameter(\"param, param\")", "'TypeError'"),
    step("notes-register-two", both("With a tensor beside it, that text is the name, comma included.",
                                    "补上张量后，这整个字符串（连逗号）成了名字。"),
         "m = nn.Module()\nm.register_parameter(\"param, param\", nn.Parameter(torch.randn(1)))\nnames(m)",
         "['param, param']"),
    step("register", both("Right: a name, and a Parameter.", "正确写法：名字，加一个 Parameter。"),
         "m = nn.Module()\nm.register_parameter(\"param\", nn.Parameter(torch.randn(1)))\nnames(m)", "['param']"),
    step("register-tensor", both("A plain tensor is refused here, and not overlooked.",
                                 "这里给普通张量会报错，而不是被忽略。"),
         "nn.Module().register_parameter(\"param\", torch.ones(1))", "'TypeError'"),
    step("register-dot", both("A dot separates module and parameter, so no name has one.",
                              "点号用来分隔模块与参数，名字里不能有。"),
         "nn.Module().register_parameter(\"a.b\", nn.Parameter(torch.ones(1)))", "'KeyError'"),
    step("register-none", both("None keeps the place: a layer without a bias.",
                               "None 占住位置：没有偏置的层就是这样。"),
         "m = nn.Linear(2, 3, bias=False)\n(m.bias is None, names(m))", "(True, ['weight'])"),
    step("list", both("A list of Parameters is overlooked.", "把 Parameter 放进列表，会被忽略。"),
         "m = nn.Module()\nm.ws = [nn.Parameter(torch.ones(1)) for _ in range(3)]\nnames(m)", "[]"),
    step("parameter-list", both("ParameterList: numbered.", "ParameterList：按序号命名。"),
         "m = nn.Module()\nm.ws = nn.ParameterList([nn.Parameter(torch.ones(1)) for _ in range(3)])\nnames(m)",
         "['ws.0', 'ws.1', 'ws.2']"),
    step("parameter-dict", both("ParameterDict: named.", "ParameterDict：按键命名。"),
         "m = nn.Module()\nm.ws = nn.ParameterDict({'up': nn.Parameter(torch.ones(1))})\nnames(m)", "['ws.up']"),
    step("shared", both("One tensor under two names is one parameter: tied weights.",
                        "一个张量挂两个名字仍是一个参数：权重共享。"),
         "m = nn.Module()\nm.a = m.b = nn.Parameter(torch.ones(5))\nsum(p.numel() for p in m.parameters())", "5"),
))  # fmt: skip

LAYERS = Group("38", both("nn.Linear and nn.Conv2d", "nn.Linear 与 nn.Conv2d"), (
    step("notes-conv", both("As the notes type it: without the comma, 61 is called like a function.",
                            "笔记的写法：少了逗号，61 被当作函数调用。"),
         "nn.Conv2d(1, 61 (5, 5))", "'TypeError'"),
    step("conv", both("Right: 61 kernels of 5 x 5 over one channel.", "正确写法：1 个输入通道，61 个 5×5 卷积核。"),
         "m = nn.Conv2d(1, 61, (5, 5))\n(m.weight.shape, m(torch.zeros(2, 1, 28, 28)).shape)",
         "((61, 1, 5, 5), (2, 61, 24, 24))"),
    step("linear-by-hand", both("Linear is x W^T + b: the weight is stored as (out, in).",
                                "Linear 即 x Wᵀ + b，权重按 (输出, 输入) 存放。"),
         "m, x = layer(), torch.randn(4, 2)\nm(x).detach()", "(x @ m.weight.t() + m.bias).detach()"),
    step("conv-by-hand", both("A convolution is a Linear layer on each patch.", "卷积就是对每个小块做一次 Linear。"),
         "m, x = nn.Conv2d(2, 3, 3), torch.randn(1, 2, 5, 5)\nm(x).detach()",
         "(m.weight.flatten(1) @ F.unfold(x, 3) + m.bias[:, None]).reshape(1, 3, 3, 3).detach()"),
    step("count", both("Parameters of a convolution: out x in x height x width + out.",
                       "卷积的参数量：输出×输入×高×宽 + 输出。"),
         "sum(p.numel() for p in nn.Conv2d(3, 8, 5).parameters())", "8 * 3 * 5 * 5 + 8"),
    step("assign", both("The notes' weights by hand: a new Parameter in place of the old.",
                        "笔记里手工设定权重：换上新的 Parameter。"),
         "m = nn.Linear(1, 1)\nm.weight = nn.Parameter(torch.FloatTensor([[0]]))\n"
         "m.bias = nn.Parameter(torch.FloatTensor([0]))\nm(torch.ones(1, 1)).item()", "0.0"),
    step("assign-tensor", both("A plain tensor is refused where a Parameter was.",
                               "原来是 Parameter 的地方不接受普通张量。"),
         "m = nn.Linear(1, 1)\nsetattr(m, 'weight', torch.zeros(1, 1))", "'TypeError'"),
    step("assign-shape",
         both("No one checks the shape until it is used: here an optimizer would go on with another size.",
                              "形状在使用之前没有人检查：换上别的尺寸也不会报错。"),
         "m = layer()\nm.weight = nn.Parameter(torch.zeros(7, 2))\nm.out_features, m.weight.shape[0]", "(3, 7)"),
    step("stale", both("The optimizer keeps the old one: what replaces a Parameter afterwards never learns.",
                       "优化器记着旧的：之后换上的 Parameter 不会被训练。"),
         "m = layer()\noptimizer = torch.optim.SGD(m.parameters(), lr=1.0)\n"
         "m.weight = nn.Parameter(torch.zeros(3, 2))\n"
         "m(torch.ones(1, 2)).sum().backward()\noptimizer.step()\nfloat(m.weight.detach().abs().sum())", "0.0"),
    step("in-place", both("copy_ without gradients changes the same Parameter, so the optimizer sees it.",
                          "在 no_grad 下用 copy_ 改的是同一个 Parameter，优化器看得到。"),
         "m = layer()\nbefore = m.weight\nwith torch.no_grad():\n    m.weight.copy_(torch.zeros(3, 2))\n"
         "(m.weight is before, float(m.weight.sum()))", "(True, 0.0)"),
    step("init", both("How layers begin: within 1 / sqrt(inputs) of 0.", "层的初始值：在 ±1/√输入数 之内。"),
         "float(nn.Linear(100, 500).weight.abs().max()) <= 0.1", "True"),
))  # fmt: skip

FUNCTIONS = Group("38", both("nn.functional beside nn", "nn.functional 与 nn 的对照"), (
    step("relu", both("The same function, in two clothes.", "同一个函数，两种外衣。"),
         "x = torch.randn(5)\nF.relu(x)", "nn.ReLU()(x)"),
    step("functional-linear", both("The function takes the weights, the module keeps them.",
                                   "函数要你给权重，模块自己保管权重。"),
         "m, x = layer(), torch.randn(4, 2)\nF.linear(x, m.weight, m.bias).detach()", "m(x).detach()"),
    step("losses", both("Losses too.", "损失函数也是如此。"),
         "x, y = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])\nfloat(F.cross_entropy(x, y))",
         "float(nn.CrossEntropyLoss()(x, y))"),
    step("in-sequential", both("Sequential takes modules, and no functions.", "Sequential 只接受模块，不接受函数。"),
         "nn.Sequential(nn.Linear(2, 2), F.relu)", "'TypeError'"),
    step("dropout-train", both("Dropout leaves out, and makes up for it: the mean stays.",
                               "Dropout 丢弃一部分并放大其余，均值不变。"),
         "x = F.dropout(torch.ones(100000), p=0.25)\nsorted({round(v, 4) for v in x.unique().tolist()})",
         "[0.0, round(1 / 0.75, 4)]"),
    step("dropout-mean", both("The mean of many is near 1.", "大量样本的均值接近 1。"),
         "abs(float(F.dropout(torch.ones(100000), p=0.25).mean()) - 1) < 0.01", "True"),
    step("dropout-eval", both("A trap: F.dropout goes on after eval(), since its own training=True is the default.",
                              "陷阱：调用 eval() 之后 F.dropout 仍在丢弃，因为它自己的 training 默认为 True。"),
         "class Net(nn.Module):\n    def forward(self, x):\n        return F.dropout(x)\n\n"
         "0.0 in Net().eval()(torch.ones(1000)).tolist()", "True"),
    step("dropout-told", both("Right: tell it, training=self.training ...",
                              "正确写法：告诉它 training=self.training……"),
         "class Net(nn.Module):\n    def forward(self, x):\n        return F.dropout(x, training=self.training)\n\n"
         "Net().eval()(torch.ones(1000)).mean().item()", "1.0"),
    step("dropout-module", both("... or nn.Dropout, which eval() reaches.", "……或用 nn.Dropout，eval() 管得到它。"),
         "m = nn.Sequential(nn.Dropout())\nm.eval()(torch.ones(1000)).mean().item()", "1.0"),
))  # fmt: skip

CONTAINERS = Group("38", both("nn.Sequential, nn.ModuleList, nn.ModuleDict",
                              "nn.Sequential、nn.ModuleList、nn.ModuleDict"), (
    step("sequential", both("Sequential calls one after the other.", "Sequential 依次调用。"),
         "a, b, x = layer(), nn.Linear(3, 1), torch.randn(4, 2)\nnn.Sequential(a, nn.ReLU(), b)(x).detach()",
         "b(torch.relu(a(x))).detach()"),
    step("names", both("Its layers are numbered ...", "各层按序号命名……"),
         "names(nn.Sequential(layer(), nn.ReLU(), nn.Linear(3, 1)))", "['0.weight', '0.bias', '2.weight', '2.bias']"),
    step("ordered", both("... or named.", "……也可以自己起名。"),
         "names(nn.Sequential(collections.OrderedDict(first=layer())))", "['first.weight', 'first.bias']"),
    step("slice", both("A slice is a Sequential again: a network without its head.",
                       "切片仍是 Sequential：去掉头部的网络。"),
         "m = nn.Sequential(layer(), nn.ReLU(), nn.Linear(3, 1))\nh = m[:-1]\n(type(h).__name__, len(h), h[0] is m[0])",
         "('Sequential', 2, True)"),
    step("list-of-layers",
         both("A trap: the layers of a plain list have no parameters for the module, and never learn.",
                                "陷阱：普通列表里的层不算模块的参数，永远学不到东西。"),
         "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
         "        self.layers = [layer(), nn.Linear(3, 1)]\n\nlen(names(Net()))", "0"),
    step("optimizer-empty", both("At least the optimizer says so.", "好在优化器会报错。"),
         "m = nn.Module()\nm.layers = [layer()]\ntorch.optim.SGD(m.parameters(), lr=0.1)", "'ValueError'"),
    step("module-list", both("ModuleList is a list that is found.", "ModuleList 是能被找到的列表。"),
         "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
         "        self.layers = nn.ModuleList([layer(), nn.Linear(3, 1)])\n\nlen(names(Net()))", "4"),
    step("module-list-call", both("It cannot be called: in which order is for your forward to say.",
                                  "它不能直接调用：顺序由你的 forward 决定。"),
         "nn.ModuleList([layer()])(torch.ones(1, 2))",
         "'NotImplementedError' if hasattr(torch, 'linalg') else 'TypeError'"),
    step("module-dict", both("ModuleDict: choose by name.", "ModuleDict：按名字选取。"),
         "m = nn.ModuleDict({'relu': nn.ReLU(), 'tanh': nn.Tanh()})\nm['tanh'](torch.tensor(1.0)).item()",
         "torch.tanh(torch.tensor(1.0)).item()"),
    step("same-twice", both("One layer at two places is one set of weights.", "同一层放在两处，权重只有一份。"),
         "m = nn.Linear(3, 3)\nsum(p.numel() for p in nn.Sequential(m, nn.ReLU(), m).parameters())", "3 * 3 + 3"),
))  # fmt: skip

STATE = Group("38", both("Parameters and buffers", "参数（parameter）与缓冲区（buffer）"), (
    step("buffer", both("A buffer is kept and does not learn.", "buffer 会被保存，但不参与学习。"),
         "m = nn.Module()\nm.register_buffer('my_buffer', torch.randn(1))\n"
         "(names(m), [n for n, _ in m.named_buffers()], list(m.state_dict()))",
         "([], ['my_buffer'], ['my_buffer'])"),
    step("buffer-moves", both("It follows the module to another dtype or device; a plain attribute does not.",
                              "它随模块一起换类型、换设备；普通属性不会。"),
         "m = nn.Module()\nm.register_buffer('kept', torch.ones(1))\nm.plain = torch.ones(1)\nm.double()\n"
         "(m.kept.dtype, m.plain.dtype)",
         "(torch.float64, torch.float32)"),
    step("buffer-parameter", both("A Parameter as a buffer is taken, and is no parameter any more: it never learns.",
                                  "把 Parameter 注册为 buffer 不会报错，但它不再是参数，学不到东西。"),
         "m = nn.Module()\nm.register_buffer('b', nn.Parameter(torch.ones(1)))\n(names(m), list(m.state_dict()))",
         "([], ['b'])"),
    step("batch-norm", both("BatchNorm has both: scale and shift learn, mean and variance are measured.",
                            "BatchNorm 两者都有：缩放与平移是学的，均值与方差是测的。"),
         "m = nn.BatchNorm2d(3)\n(names(m), [n for n, _ in m.named_buffers()])",
         "(['weight', 'bias'], ['running_mean', 'running_var', 'num_batches_tracked'])"),
    step("measured", both("Its mean moves by a tenth with every batch in training, and not at all in eval.",
                          "训练时每个批次把均值移动十分之一，评估时完全不动。"),
         "m = nn.BatchNorm1d(1)\nm(torch.full((4, 1), 5.0))\nfirst = m.running_mean.item()\n"
         "m.eval()(torch.full((4, 1), 9.0))\n(first, m.running_mean.item())", "(0.5, 0.5)"),
    step("untouched", both("An optimizer never touches a buffer.", "优化器从不改动 buffer。"),
         "m = nn.BatchNorm1d(1).eval()\nbefore = m.running_mean.clone()\n"
         "optimizer = torch.optim.SGD(m.parameters(), lr=1.0)\n"
         "m(torch.ones(4, 1)).sum().backward()\noptimizer.step()\ntorch.equal(before, m.running_mean)", "True"),
))  # fmt: skip

MODULES = Group("38", both("nn.Module itself", "nn.Module 本身"), (
    step("modules", both("modules() goes through all, itself first; children() only one level down.",
                         "modules() 遍历全部（先是自己），children() 只看下一层。"),
         "m = nn.Sequential(nn.Sequential(layer()), nn.ReLU())\n(len(list(m.modules())), len(list(m.children())))",
         "(4, 2)"),
    step("paths", both("A name is the way to it.", "名字就是路径。"),
         "m = nn.Sequential(nn.Sequential(layer()), nn.ReLU())\n[name for name, _ in m.named_modules()]",
         "['', '0', '0.0', '1']"),
    step("train-eval", both("train() and eval() reach everything below; no gradient is switched off by that.",
                            "train() 与 eval() 影响下面所有模块；但它们并不关掉梯度。"),
         "m = nn.Sequential(nn.Dropout(), layer()).eval()\n"
         "([k.training for k in m.modules()], m(torch.ones(1, 2)).requires_grad)",
         "([False, False, False], True)"),
    step("apply", both("apply() calls a function on every module: for a start of your own.",
                       "apply() 对每个模块调用函数：用于自定义初始化。"),
         "def zero(module):\n    if isinstance(module, nn.Linear):\n        nn.init.zeros_(module.weight)\n\n"
         "m = nn.Sequential(layer(), nn.ReLU()).apply(zero)\nfloat(m[0].weight.detach().abs().sum())", "0.0"),
    step("hook", both("A hook sees what a layer is given and gives; m.forward(x) would pass it by.",
                      "钩子（hook）能看到层的输入与输出；直接调用 m.forward(x) 会绕过它。"),
         "seen = []\nm = layer()\n"
         "m.register_forward_hook(lambda module, given, result: seen.append(tuple(result.shape)))\n"
         "m(torch.ones(4, 2))\nm.forward(torch.ones(5, 2))\nseen", "[(4, 3)]"),
    step("hook-removed", both("What registered it can remove it.", "注册时返回的句柄可以撤销它。"),
         "seen = []\nm = layer()\nhandle = m.register_forward_hook(lambda *_: seen.append(1))\nm(torch.ones(4, 2))\n"
         "handle.remove()\n"
         "m(torch.ones(4, 2))\nlen(seen)", "1"),
    step("pre-hook", both("A hook before forward may change what goes in.", "forward 之前的钩子可以改动输入。"),
         "m = nn.ReLU()\nm.register_forward_pre_hook(lambda module, given: (-given[0],))\n"
         "m(torch.tensor([1.0, -2.0]))", "[0.0, 2.0]"),
    step("gradient-hook", both("A hook on a tensor sees its gradient as it comes by.",
                               "张量上的钩子能看到经过的梯度。"),
         "seen = []\nm = layer()\nresult = m(torch.ones(1, 2))\n"
         "result.register_hook(lambda g: seen.append(g.tolist()))\n"
         "(2 * result).sum().backward()\nseen", "[[[2.0, 2.0, 2.0]]]"),
    step("zero-grad",
         both("zero_grad(): zeros in 1.5.0, None since 2.0; code that asks whether grad is None must know.",
                           "zero_grad()：1.5.0 置零，2.0 起置为 None；依赖 grad is None 的代码要当心。"),
         "m = layer()\nm(torch.ones(1, 2)).sum().backward()\nm.zero_grad()\nm.weight.grad is None",
         "hasattr(torch, 'linalg')"),
    step("to", both("to() changes a module in place, and returns it; of a tensor it returns another.",
                    "模块的 to() 就地修改并返回自己；张量的 to() 返回新的。"),
         "m, x = layer(), torch.ones(1)\n(m.to(torch.float64) is m, x.to(torch.float64) is x)", "(True, False)"),
))  # fmt: skip

FILES = Group("38", both("state_dict and load_state_dict", "state_dict 与 load_state_dict"), (
    step("notes-load", both("As the notes type it: without quotes, models is a name that nobody defined.",
                            "笔记的写法：没有引号，models 成了未定义的变量名。"),
         "torch.load(models/net.pth)", "'NameError'"),
    step("keys", both("The state: every parameter and buffer by its way.", "状态：按路径列出全部参数与 buffer。"),
         "list(nn.Sequential(layer(), nn.BatchNorm1d(3)).state_dict())",
         "['0.weight', '0.bias', '1.weight', '1.bias', '1.running_mean', '1.running_var', '1.num_batches_tracked']"),
    step("round-trip", both("Saved and loaded, every bit is as it was.", "保存再加载，每一位都不变。"),
         "m, n, file = layer(), layer(), io.BytesIO()\ntorch.save(m.state_dict(), file)\nfile.seek(0)\n"
         "n.load_state_dict(torch.load(file))\n"
         "all(torch.equal(a, b) for a, b in zip(m.parameters(), n.parameters()))", "True"),
    step("from-1.5", both("A file that PyTorch 1.5.0 wrote, read here.", "PyTorch 1.5.0 写的文件，在这里读取。"),
         "m = nn.Linear(2, 1)\nm.load_state_dict(torch.load(io.BytesIO(saved_by_1_5)))\n"
         "[m.weight.tolist(), m.bias.tolist()]", "[[[0.5, -1.0]], [2.0]]"),
    step("from-2.11",
         both("One that 2.11.0 wrote in the old form (_use_new_zipfile_serialization=False), which 1.5.0 reads.",
                           "2.11.0 以旧格式（_use_new_zipfile_serialization=False）写的文件，1.5.0 也能读。"),
         "m = nn.Linear(2, 1)\nm.load_state_dict(torch.load(io.BytesIO(saved_by_2_11)))\n"
         "[m.weight.tolist(), m.bias.tolist()]", "[[[0.5, -1.0]], [2.0]]"),
    step("missing", both("What is missing, too much or of another shape is refused, and named.",
                         "缺少、多余或形状不符都会报错并指名。"),
         "layer().load_state_dict({'weight': torch.zeros(3, 2)})", "'RuntimeError'"),
    step("not-strict", both("strict=False takes what fits and returns the rest: look at it.",
                            "strict=False 只取相符的，并返回其余，一定要看返回值。"),
         "told = layer().load_state_dict({'weight': torch.zeros(3, 2), 'scale': torch.ones(1)}, strict=False)\n"
         "(told.missing_keys, told.unexpected_keys)", "(['bias'], ['scale'])"),
    step("alias", both("A trap: state_dict() is no copy. The \"best\" weights go on changing.",
                       "陷阱：state_dict() 不是副本，“最佳权重”会继续变化。"),
         "m = layer()\nbest = m.state_dict()\nwith torch.no_grad():\n    m.weight.zero_()\n"
         "float(best['weight'].abs().sum())", "0.0"),
    step("copied", both("Right: a deep copy.", "正确写法：深拷贝。"),
         "m = layer()\nbest = copy.deepcopy(m.state_dict())\nwith torch.no_grad():\n    m.weight.zero_()\n"
         "float(best['weight'].abs().sum()) > 0", "True"),
    step("loads-into", both("load_state_dict copies into the Parameters that are there: the optimizer stays right.",
                            "load_state_dict 把数值拷入已有的 Parameter：优化器无需重建。"),
         "m = layer()\nbefore = m.weight\nm.load_state_dict(layer().state_dict())\nm.weight is before", "True"),
))  # fmt: skip

GROUPS = (PARAMETERS, LAYERS, FUNCTIONS, CONTAINERS, STATE, MODULES, FILES)

"""The lines to predict, in the order of the notes."""

from __future__ import annotations

from labkit.base.language import both
from labkit.runs.practice.sheet import predict

LINES = (
    predict("stride_two", both("How large is the result?", "输出有多大？"),
            "list(nn.Conv2d(3, 8, 3, stride=2, padding=1)(torch.zeros(1, 3, 32, 33)).shape)",
            hint=both("(size + 2 padding - kernel) // stride + 1, for each side.",
                      "每一边都是 (size + 2 padding - kernel) // stride + 1。"),
            wrong={"[1, 8, 16, 16]": both("33 + 2 - 3 is 32, and 32 // 2 + 1 is 17.",
                                          "宽 33：33 + 2 - 3 = 32，32 // 2 + 1 = 17。"),
                   "[1, 8, 15, 16]": both("The padding is added on both sides.", "两侧都要填充。")}),
    predict("dilated_size", both("Without padding, dilation 3.", "没有填充，dilation 为 3。"),
            "nn.Conv2d(1, 1, 3, dilation=3)(torch.zeros(1, 1, 20, 20)).shape[2]",
            hint=both("From the first tap to the last one are how many pixels?",
                      "第一个抽头到最后一个抽头跨几个像素？"),
            wrong={"18": both("That is with dilation 1.", "那是 dilation 为 1 的结果。"),
                   "12": both("The taps span 7 pixels, not 9.", "抽头跨 7 个像素，不是 9 个。")}),
    predict("transposed_size", both("A transposed convolution.", "转置卷积。"),
            "nn.ConvTranspose2d(1, 1, 4, stride=2, padding=1)(torch.zeros(1, 1, 7, 7)).shape[2]",
            hint=both("(7 - 1) x 2 + 4, and padding cuts from both sides.",
                      "(7 - 1) x 2 + 4，再从两侧各裁掉 padding。"),
            wrong={"16": both("The padding takes a rim away.", "padding 会裁掉边缘。"),
                   "15": both("Each side loses one.", "两侧各少一个。"), "3": both("It enlarges.", "它是放大。")}),
    predict("grouped_weight", both("The shape of a grouped convolution's weight.", "分组卷积的权重形状。"),
            "list(nn.Conv2d(8, 12, 3, groups=4).weight.shape)",
            hint=both("Each output reads the channels of its own group only.", "每个输出只读自己那一组的通道。"),
            wrong={"[12, 8, 3, 3]": both("That is without groups.", "那是不分组的情况。"),
                   "[3, 2, 3, 3]": both("There are 12 outputs all the same.", "输出仍是 12 个。")}),
    predict("gradient_of_max", both("What gradient do the four inputs of a max pooling get?",
                                    "最大池化的四个输入各得到多少梯度？"),
            "x = torch.tensor([[[[1.0, 5.0], [2.0, 3.0]]]], requires_grad=True)\n"
            "(2 * F.max_pool2d(x, 2)).sum().backward()\nx.grad.flatten().tolist()",
            hint=both("All of it to one.", "全部给其中一个。"),
            wrong={"[0.5, 0.5, 0.5, 0.5]": both("So would an average.", "平均池化才这样。"),
                   "[0.0, 1.0, 0.0, 0.0]": both("The result is doubled before the sum.", "求和前乘了 2。")}),
    predict("norm_of_two", both("Batch normalisation in training, of two values.", "训练模式下，对两个值做 BN。"),
            "[round(v, 2) for v in nn.BatchNorm1d(1)(torch.tensor([[10.0], [30.0]])).flatten().tolist()]",
            hint=both("The deviation of 10 and 30 around 20 is 10, divided by N.",
                      "10 与 30 围绕 20 的标准差（除以 N）是 10。"),
            wrong={"[-0.71, 0.71]": both("The variance is divided by 2 here, not by 1.",
                                         "这里方差除以 2，不是除以 1。"),
                   "[0.0, 1.0]": both("Mean 0 and variance 1, not a range of 0 to 1.",
                                      "是均值 0、方差 1，不是缩放到 0 到 1。")}),
    predict("dropped", both("Which values come out of a dropout of ones?", "全 1 经过 dropout 会出现哪些值？"),
            "sorted(set(nn.Dropout(0.75)(torch.ones(1000)).tolist()))",
            hint=both("The mean stays.", "均值不变。"),
            wrong={"[0.0, 1.0]": both("What is left grows, so that the mean stays.", "留下的会放大，使均值不变。"),
                   "[0.0, 0.25]": both("It grows by 1 / (1 - p).", "应放大 1 / (1 - p) 倍。")}),
    predict("double_softmax", both("The loss of a network that is quite sure and right, with a softmax of its own "
                                   "before.",
                                   "网络十分确定且正确，但自己先做了 softmax，此时的损失。"),
            "p = F.softmax(torch.tensor([[100.0, 0.0]]), dim=1)\n"
            "round(F.cross_entropy(p, torch.tensor([0])).item(), 2)",
            hint=both("cross_entropy takes [1, 0] for logits: -log(e / (e + 1)).",
                      "cross_entropy 把 [1, 0] 当作 logits：-log(e / (e + 1))。"),
            wrong={"0.0": both("It makes a softmax of the probabilities again.", "它会对概率再做一次 softmax。"),
                   "0.69": both("That is for two equal ones.", "那是两者相等时的损失。")}),
)  # fmt: skip

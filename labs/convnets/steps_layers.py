"""Sections 54 and 55 in steps: pooling, upsampling, activations, normalisation, linear layers, dropout, losses."""

from __future__ import annotations

from labkit.base.language import both
from labkit.runs.steps import Group, step

POOLING = Group("54", both("Pooling and upsampling", "池化与上采样"), (
    step("max-pool", both("Max pooling: the largest of each window, in each channel by itself.",
                          "最大池化：每个窗口取最大值，各通道互不相干。"),
         "F.max_pool2d(x, 2)", "byhand.max_pool2d(x, 2, 2)"),
    step("overlapping", both("Windows may overlap: kernel 3, stride 2, as in AlexNet.",
                             "窗口可以重叠：核 3、步幅 2，如 AlexNet。"),
         "F.max_pool2d(x, 3, 2)", "byhand.max_pool2d(x, 3, 2)"),
    step("winner", both("Backwards, the whole gradient goes to the winner, and nothing to the others.",
                        "反向传播时，梯度全部给最大者，其他位置为零。"),
         "image = torch.tensor([[[[1.0, 4.0], [3.0, 2.0]]]], requires_grad=True)\nF.max_pool2d(image, 2).backward()\n"
         "image.grad.flatten().tolist()", "[0.0, 1.0, 0.0, 0.0]"),
    step("avg-pool", both("Average pooling is a depthwise convolution with equal weights.",
                          "平均池化就是权重相等的逐通道卷积。"),
         "F.avg_pool2d(x, 2)", "byhand.avg_pool2d(x, 2, 2)"),
    step("padding-counts", both("A trap: padding is counted as zeros unless you say otherwise.",
                                "陷阱：填充的零默认也参与平均。"),
         "ones = torch.ones(1, 1, 2, 2)\n[F.avg_pool2d(ones, 2, 2, 1)[0, 0, 0, 0].item(), "
         "F.avg_pool2d(ones, 2, 2, 1, count_include_pad=False)[0, 0, 0, 0].item()]", "[1 / 4, 1.0]"),
    step("rest", both("What does not fill a window is dropped; ceil_mode=True keeps it.",
                      "凑不满一个窗口的部分会被丢掉；ceil_mode=True 则保留。"),
         "[F.max_pool2d(x, 2).shape[3], F.max_pool2d(x, 2, ceil_mode=True).shape[3]]", "[7 // 2, -(-7 // 2)]"),
    step("adaptive", both("Adaptive pooling asks for the size of the result; of 1 it is the mean over all places.",
                          "自适应池化指定的是输出尺寸；取 1 就是全局平均。"),
         "F.adaptive_avg_pool2d(x, 1)", "x.mean(dim=(2, 3), keepdim=True)"),
    step("shift", both("Pooling forgives a shift within its window only: this one changes all of the result.",
                       "池化只容忍窗口内的平移：下面移动一格，结果全变了。"),
         "image = torch.tensor([[[0.0, 1, 1, 0, 0, 1, 1, 0]]])\n"
         "[F.max_pool1d(image, 2).tolist()[0][0], F.max_pool1d(torch.roll(image, 1, 2), 2).tolist()[0][0]]",
         "[[1.0, 1.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]]"),
    step("no-weights", both("Pooling has no weights at all.", "池化没有任何权重。"),
         "len(list(nn.MaxPool2d(2).parameters()))", "0"),
    step("nearest", both("Nearest neighbour: every pixel becomes 2 x 2 of the same.",
                         "最近邻：每个像素变成 2 x 2 个同样的像素。"),
         "F.interpolate(x, scale_factor=2, mode='nearest')", "byhand.nearest(x, 2)"),
    step("bilinear", both("Bilinear: between the middles of the pixels.", "双线性：在像素中心之间插值。"),
         "F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)", "byhand.bilinear(x, 2)"),
    step("corners", both("align_corners=True puts the corners on the corners, and every step between has another "
                         "weight.",
                         "align_corners=True 让四角对齐四角，中间各处的权重随之不同。"),
         "row = torch.tensor([[[0.0, 3.0]]])\n"
         "[F.interpolate(row, size=4, mode='linear', align_corners=c).flatten().tolist() for c in (False, True)]",
         "[[0.0, 0.75, 2.25, 3.0], [0.0, 1.0, 2.0, 3.0]]"),
    step("as-transposed", both("Bilinear upsampling is a transposed convolution with fixed weights, but for the rim.",
                               "除边缘外，双线性上采样就是权重固定的转置卷积。"),
         "tent = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4\nkernel = (tent[:, None] * tent).expand(4, 1, 4, 4)\n"
         "F.conv_transpose2d(x, kernel, stride=2, padding=1, groups=4)[:, :, 1:-1, 1:-1]",
         "F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)[:, :, 1:-1, 1:-1]"),
    step("unpool", both("Max-unpooling puts each value back where it came from; the rest is 0.",
                        "反池化把每个值放回原处，其余为零。"),
         "image = torch.tensor([[[[1.0, 4.0], [3.0, 2.0]]]])\nvalue, place = F.max_pool2d(image, 2, "
         "return_indices=True)\n"
         "F.max_unpool2d(value, place, 2).flatten().tolist()", "[0.0, 4.0, 0.0, 0.0]"),
))  # fmt: skip

ACTIVATIONS = Group("55", both("Activations", "激活层"), (
    step("relu", both("ReLU: what is below 0 becomes 0.", "ReLU：负数变为 0。"), "F.relu(x)", "x.clamp(min=0)"),
    step("notes-relu", both("The notes have torch.nn.ReLu. The name is ReLU.",
                            "笔记写作 torch.nn.ReLu，正确的名字是 ReLU。"),
         "nn.ReLu(inplace=True)", "'AttributeError'"),
    step("leaky", both("Leaky ReLU: what is below 0 is made small.", "Leaky ReLU：负数乘以小系数。"),
         "F.leaky_relu(x, 0.1)", "torch.where(x > 0, x, 0.1 * x)"),
    step("elu", both("ELU: below 0 the curve e^x - 1, which goes to -1.", "ELU：负数部分为 e^x - 1，趋于 -1。"),
         "F.elu(x)", "torch.where(x > 0, x, x.exp() - 1)"),
    step("sigmoid", both("Sigmoid, 0..1: its slope is at most 1/4, so ten in a row pass on a millionth.",
                         "Sigmoid，0..1：斜率至多 1/4，连乘十层只剩百万分之一。"),
         "zero = torch.zeros(1, requires_grad=True)\ntorch.sigmoid(zero).backward()\nzero.grad.item() ** 10",
         "0.25 ** 10"),
    step("relu6", both("ReLU6, of MobileNet V2, stops at 6.", "ReLU6（MobileNet V2）到 6 为止。"),
         "F.relu6(3 * x)", "(3 * x).clamp(0, 6)"),
    step("hard-swish", both("Hard swish, of MobileNet V3: near x sigmoid(x), of straight lines and one product.",
                            "Hard swish（MobileNet V3）：近似 x sigmoid(x)，只用折线和一次乘法。"),
         "bool(((ways.HardSwish()(x) - x * torch.sigmoid(x)).abs() < 0.2).all())", "True"),
    step("without", both("Without activations two convolutions are one: that is what they are for.",
                         "没有激活，两层卷积等于一层：这正是激活层的意义。"),
         "a, b = torch.randn(5, 4, 1, 1), torch.randn(3, 5, 1, 1)\nF.conv2d(F.conv2d(x, a), b)",
         "F.conv2d(x, (b[:, :, 0, 0] @ a[:, :, 0, 0])[:, :, None, None])"),
    step("not-after-each", both("The notes put one behind every convolution. MobileNet V2 narrows without one, on "
                                "purpose.",
                                "笔记说每个卷积层后都配激活层；MobileNet V2 变窄的那一层特意不加。"),
         "from labs.convnets.light import inverted\n[type(layer).__name__ for layer in inverted(8, 48, 12)[-1]]",
         "['Conv2d', 'BatchNorm2d']"),
    step("inplace", both("inplace=True overwrites its input, and a layer that needs it for its gradient fails.",
                         "inplace=True 会改写输入；若前一层求梯度要用到它，就会出错。"),
         "a = torch.ones(2, requires_grad=True)\nb = torch.sigmoid(a)\n"
         "nn.ReLU(inplace=True)(b)\nb.sum().backward()", "'RuntimeError'"),
))  # fmt: skip

NORMALISATION = Group("55", both("Batch normalisation", "BatchNorm 层"), (
    step("batch-norm", both("In training: less the channel's mean over batch and places, by its deviation.",
                            "训练时：减去该通道在整个 batch 与所有位置上的均值，再除以标准差。"),
         "nn.BatchNorm2d(4)(x).detach()", "byhand.batch_norm(x, torch.ones(4), torch.zeros(4))"),
    step("variance-one", both("The notes say “mean 0, variance 0”. The variance becomes 1.",
                              "笔记写“均值为0方差为0”，实际方差变为 1。"),
         "y = nn.BatchNorm2d(4)(x).detach()\n[round(y[:, 0].mean().item() + 0.0, 3) + 0.0, "
         "round(y[:, 0].var(unbiased=False).item(), 3)]", "[0.0, 1.0]"),
    step("not-normal", both("Nor does it become a normal distribution: the shape stays. Coins stay coins.",
                            "也不会变成正态分布：分布的形状不变，硬币还是硬币。"),
         "coins = (torch.arange(64).reshape(1, 1, 8, 8) % 2).float()\n"
         "sorted(set(np.round(nn.BatchNorm2d(1)(coins).detach().flatten().numpy(), 2).tolist()))", "[-1.0, 1.0]"),
    step("learned", both("Scale and shift are learned, so the layer may undo it all.",
                         "缩放和平移是学来的，必要时可以完全还原。"),
         "byhand.batch_norm(x, (x.var(dim=(0, 2, 3), unbiased=False) + 1e-5).sqrt(), x.mean(dim=(0, 2, 3)))", "x"),
    step("running", both("Meanwhile it keeps running statistics: 0.9 of the old and 0.1 of the batch's, whose "
                         "variance is divided by one less.",
                         "同时更新滑动统计量：旧值的 0.9 加本 batch 的 0.1；这里的方差按 n - 1 计算。"),
         "norm = nn.BatchNorm2d(4)\nnorm(x)\ntorch.stack([norm.running_mean, norm.running_var])",
         "torch.stack([0.1 * x.mean(dim=(0, 2, 3)), 0.9 + 0.1 * x.transpose(0, 1).reshape(4, -1).var(dim=1)])"),
    step("eval", both("In eval the running ones are used, and an image's result no longer depends on its batch.",
                      "eval 时改用滑动统计量，图像的结果不再取决于同批的其他图像。"),
         "norm = nn.BatchNorm2d(4)\nnorm(x)\nnorm.eval()\nnorm(x[:1]).detach()", "norm(x).detach()[:1]"),
    step("neighbours", both("In training it does: the same image beside another one gives something else.",
                            "训练时则取决于同批的图像：换一个同伴，同一张图的结果就变了。"),
         "norm = nn.BatchNorm2d(4)\n"
         "bool(torch.allclose(norm(x)[0], norm(torch.cat([x[:1], 5 * x[1:]]))[0], atol=0.1))", "False"),
    step("single", both("One value a channel has no deviation: a batch of one fails behind the last pooling.",
                        "每通道只有一个值就没有标准差：batch 为 1 时，最后池化之后的 BN 会出错。"),
         "nn.BatchNorm2d(4)(torch.randn(1, 4, 1, 1))", "'ValueError'"),
    step("small-batch", both("Small batches: two values always become -1 and 1, whatever they were.",
                             "小 batch：只有两个值时，无论原来多大，总变成 -1 和 1。"),
         "nn.BatchNorm2d(1)(torch.tensor([3.0, 700.0]).reshape(2, 1, 1, 1)).detach().flatten()", "[-1.0, 1.0]"),
    step("brightness", both("Where it does not suit: brightness is gone. Image-to-image needs it, classification does "
                            "not.",
                            "不适用之处：整体明暗被抹掉。分类不需要它，图到图的任务却需要。"),
         "norm = nn.BatchNorm2d(4)\nnorm(10 * x + 100).detach()", "norm(x).detach()"),
    step("folded", both("In eval it is a scale and a shift, which fold into the convolution before it: deployed "
                        "networks have none.",
                        "eval 时它只是缩放和平移，可并入前面的卷积：部署时的网络里没有 BN。"),
         "pair = ways.conv(4, 6, activation=None)\npair(x)\npair.eval()\nlayer, norm = pair\n"
         "by = norm.weight / (norm.running_var + 1e-5).sqrt()\n"
         "F.conv2d(x, layer.weight * by[:, None, None, None], norm.bias - by * norm.running_mean, padding=1).detach()",
         "pair(x).detach()"),
    step("bias", both("A bias before it is taken away with the mean: bias=False.",
                      "BN 前面的偏置会随均值一起被减掉，所以用 bias=False。"),
         "nn.BatchNorm2d(4)(x + torch.randn(4, 1, 1)).detach()", "nn.BatchNorm2d(4)(x).detach()"),
    step("group-norm", both("GroupNorm takes the statistics of each image by itself: it suits small batches.",
                            "GroupNorm 只用单张图的统计量，适合小 batch。"),
         "nn.GroupNorm(2, 4)(x).detach()[:1]", "nn.GroupNorm(2, 4)(x[:1]).detach()"),
))  # fmt: skip

LINEAR = Group("55", both("Linear layers and dropout", "全连接层与 Dropout"), (
    step("as-convolution", both("A linear layer over all maps is a convolution as large as the maps.",
                                "对整张特征图的全连接层，就是与特征图同样大的卷积。"),
         "layer = nn.Linear(4 * 6 * 7, 5)\nlayer(x.flatten(1)).detach()",
         "F.conv2d(x, layer.weight.reshape(5, 4, 6, 7), layer.bias).detach().flatten(1)"),
    step("size-matters", both("It fits one size of image only.", "它只适合一种图像尺寸。"),
         "nn.Linear(4 * 6 * 7, 5)(torch.randn(2, 4, 7, 7).flatten(1))", "'RuntimeError'"),
    step("instead", both("1 x 1 convolution and the mean over all places, as the notes advise: any size fits.",
                         "笔记的建议：1 x 1 卷积加全局平均池化，什么尺寸都行。"),
         "F.conv2d(x, weight[:, :, :1, :1]).mean(dim=(2, 3))", "F.linear(x.mean(dim=(2, 3)), weight[:, :, 0, 0])"),
    step("how-many", both("How many weights that saves at 512 maps of 7 x 7 and 4,096 outputs: VGG16's first linear "
                          "layer.",
                          "省下多少权重：512 张 7 x 7 特征图接 4096 个输出，即 VGG16 的第一个全连接层。"),
         "[512 * 7 * 7 * 4096, 512 * 4096]", "[102760448, 2097152]"),
    step("dropout", both("Dropout: some numbers are 0, the rest grow by 1 / (1 - p).",
                         "Dropout：一部分置零，其余放大 1 / (1 - p) 倍。"),
         "sorted(set(nn.Dropout(0.2)(torch.ones(1000)).tolist()))", "[0.0, 1 / 0.8]"),
    step("by-hand", both("By hand, with the same chances.", "手写一遍，用同样的随机数。"),
         "torch.manual_seed(1)\nkept = byhand.dropout(torch.ones(100000), 0.2)\n"
         "[round(kept.mean().item(), 1), round((kept == 0).float().mean().item(), 1)]", "[1.0, 0.2]"),
    step("notes-dropout", both("The notes have nn.dropout(). The layer is nn.Dropout.",
                               "笔记写作 nn.dropout()，层的名字是 nn.Dropout。"),
         "nn.dropout()", "'AttributeError'"),
    step("off", both("In eval it does nothing.", "eval 时什么也不做。"), "nn.Dropout(0.5).eval()(x)", "x"),
    step("whole-maps", both("Neighbours in a map are alike, so Dropout2d drops whole maps.",
                            "特征图中相邻的值很相似，所以 Dropout2d 整张丢弃。"),
         "dropped = nn.Dropout2d(0.5)(torch.ones(1, 50, 3, 3))\n"
         "sorted(set(dropped.sum(dim=(2, 3)).flatten().tolist()))", "[0.0, 18.0]"),
))  # fmt: skip

LOSSES = Group("55", both("Losses", "损失层"), (
    step("bce", both("BCELoss, of probabilities.", "BCELoss，输入是概率。"),
         "p, t = torch.rand(8), (torch.rand(8) > 0.5).float()\nnn.BCELoss()(p, t)", "byhand.bce(p, t)"),
    step("bce-outside", both("It refuses what is no probability.", "不是概率就拒绝。"),
         "nn.BCELoss()(torch.tensor([1.5]), torch.ones(1))", "'RuntimeError'"),
    step("bce-logits", both("From logits, and exact where the sigmoid is 1 in float32.",
                            "从 logits 直接算，sigmoid 在 float32 中已等于 1 时仍然精确。"),
         "z = torch.tensor([30.0])\n[nn.BCEWithLogitsLoss()(z, torch.zeros(1)).item(), torch.sigmoid(z).item()]",
         "[30.0, 1.0]"),
    step("cross-entropy", both("CrossEntropyLoss, of logits: the softmax is inside.",
                               "CrossEntropyLoss，输入是 logits，softmax 在里面。"),
         "z, k = torch.randn(5, 3), torch.tensor([0, 2, 1, 1, 0])\nnn.CrossEntropyLoss()(z, k)",
         "byhand.cross_entropy(z, k)"),
    step("twice", both("A trap: after a softmax of your own it cannot fall below 0.55 for three classes.",
                       "陷阱：自己先做了 softmax，三类时损失再也降不到 0.55 以下。"),
         "sure = F.softmax(torch.tensor([[100.0, 0.0, 0.0]]), dim=1)\n"
         "nn.CrossEntropyLoss()(sure, torch.tensor([0])).item()", "float(np.log(1 + 2 * np.exp(-1)))"),
    step("start", both("A network that knows nothing should begin with ln 10 for ten classes.",
                       "什么都不知道的网络，十类时损失应从 ln 10 开始。"),
         "nn.CrossEntropyLoss()(torch.zeros(4, 10), torch.tensor([0, 3, 5, 9])).item()", "float(np.log(10))"),
    step("log-softmax", both("It is LogSoftmax and NLLLoss in one.", "它等于 LogSoftmax 加 NLLLoss。"),
         "z, k = torch.randn(5, 3), torch.tensor([0, 2, 1, 1, 0])\nF.nll_loss(F.log_softmax(z, dim=1), k)",
         "F.cross_entropy(z, k)"),
    step("l1", both("L1Loss: the mean distance.", "L1Loss：平均绝对误差。"),
         "y = torch.randn(2, 4, 6, 7)\nnn.L1Loss()(x, y)", "byhand.l1(x, y)"),
    step("mse", both("MSELoss: the mean square.", "MSELoss：均方误差。"),
         "y = torch.randn(2, 4, 6, 7)\nnn.MSELoss()(x, y)", "byhand.mse(x, y)"),
    step("smooth-l1", both("SmoothL1Loss: square within 1, straight beyond.",
                           "SmoothL1Loss：误差 1 以内为平方，以外为直线。"),
         "y = 2 * torch.randn(2, 4, 6, 7)\nnn.SmoothL1Loss()(x, y)", "byhand.smooth_l1(x, y)"),
    step("outlier", both("One outlier of 100: what it pulls with, as the gradient, in the three of them.",
                         "一个误差为 100 的离群点，在三种损失中的梯度。"),
         "found = []\nfor loss in (nn.L1Loss(), nn.MSELoss(), nn.SmoothL1Loss()):\n"
         "    far = torch.tensor([100.0], requires_grad=True)\n    loss(far, torch.zeros(1)).backward()\n"
         "    found.append(far.grad.item())\nfound", "[1.0, 200.0, 1.0]"),
    step("broadcast", both("A trap: (N, 1) and (N) are broadcast to N x N, with a warning at best.",
                           "陷阱：(N, 1) 与 (N) 会广播成 N x N，最多给个警告。"),
         "p = torch.tensor([[1.0], [2.0]])\nnn.MSELoss()(p, torch.tensor([1.0, 2.0])).item()", "(0 + 1 + 1 + 0) / 4"),
    step("focal", both("The focal loss with gamma 0 is cross-entropy.", "gamma 为 0 的 focal loss 就是交叉熵。"),
         "z, k = torch.randn(5, 3), torch.tensor([0, 2, 1, 1, 0])\nbyhand.focal(z, k, 0)", "F.cross_entropy(z, k)"),
))  # fmt: skip

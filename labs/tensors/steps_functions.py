"""Sections 15 to 20: comparison, functions of one number, statistics, distributions, seeds."""

from __future__ import annotations

from labkit.base.language import both
from labs.tensors.steps import Group, step

A_B = "a, b = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([3.0, 2.0, 1.0])\n"
X = "x = torch.tensor([3.0, 1.0, 2.0, 5.0])\n"
ANGLES = "x = torch.linspace(-3, 3, 50)\n"

GROUPS = (
    Group("15", both("Comparison, order, finite or not", "比较、排序、有界性"), (
        *(step(name, both(f"Is a {sign} b, element by element?", f"逐元素判断 a {sign} b。"),
               f"{A_B}[torch.{name}(a, b), a {sign} b]", f"[a.numpy() {sign} b.numpy()] * 2")
          for name, sign in (("eq", "=="), ("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"), ("ne", "!="))),
        step("equal", both("One answer for the whole tensor, also where shapes differ.", "equal：整个张量只给一个答案，形状不同也不报错。"),
             A_B + "(torch.equal(a, a.clone()), torch.equal(a, b), torch.equal(a, a[:2]))", "(True, False, False)"),
        step("allclose", both("0.1 + 0.2 is not 0.3, but close.", "0.1 + 0.2 不等于 0.3，但很接近。"),
             "a = torch.tensor(0.1, dtype=torch.float64) + 0.2\nb = torch.tensor(0.3, dtype=torch.float64)\n"
             "(bool(a == b), torch.allclose(a, b))", "(0.1 + 0.2 == 0.3, math.isclose(0.1 + 0.2, 0.3))"),
        step("sort", both("In order, and where each came from.", "排序，并给出原来的位置。"),
             X + "values, places = x.sort()\n(values, x[places])", "(sorted(x.tolist()), values)"),
        step("sort-down", both("From the largest.", "从大到小。"),
             X + "x.sort(descending=True)[0]", "sorted(x.tolist(), reverse=True)"),
        step("topk", both("The k largest.", "最大的 k 个。"),
             X + "values, places = x.topk(2)\n(values, places)", "(sorted(x.tolist())[:-3:-1], [3, 0])"),
        step("kthvalue", both("The k-th smallest; k counts from 1.", "第 k 小，k 从 1 数起。"),
             X + "x.kthvalue(2)[0]", "sorted(x.tolist())[2 - 1]"),
        step("argsort", both("Only the places.", "只要位置。"), X + "x.argsort()", "np.argsort(x.numpy())"),
        step("isfinite", both("A mask of what is a number and not infinite.", "有限数的掩码。"),
             "torch.isfinite(torch.tensor([1.0, math.inf, math.nan]))", "np.isfinite([1, np.inf, np.nan])"),
        step("isinf", both("A mask of the infinite, of both signs.", "无穷（正负）的掩码。"),
             "torch.isinf(torch.tensor([-math.inf, 0.0, math.nan]))", "np.isinf([-np.inf, 0, np.nan])"),
        step("isnan", both("nan is not even itself.", "nan 连自己都不等于。"),
             "x = torch.tensor([1.0, math.nan])\n(torch.isnan(x), x != x)", "([False, True], [False, True])"),
    )),
    Group("16", both("Trigonometry", "三角函数"), (
        *(step(name, both(f"{name}, as in Python.", f"{name}，与 Python 的 math 一致。"),
               f"{ANGLES}{start}torch.{name}(x)", f"[math.{name}(v) for v in x.tolist()]")
          for name, start in (("sin", ""), ("cos", ""), ("tan", ""), ("asin", "x = x / 3\n"), ("atan", ""))),
        step("pythagoras", both("sin² + cos² is 1 everywhere.", "sin² + cos² 恒为 1。"),
             ANGLES + "x.sin() ** 2 + x.cos() ** 2", "np.ones(50)"),
        step("atan2", both("The angle of a point, in the right quadrant.", "atan2：点的方位角，象限正确。"),
             "torch.atan2(torch.tensor([1.0, -1.0]), torch.tensor([-1.0, -1.0]))", "[3 * math.pi / 4, -3 * math.pi / 4]"),
    )),
    Group("17", both("Other functions", "其他数学函数"), (
        step("abs", both("Without its sign.", "绝对值。"), "torch.tensor([-2.0, 3.0]).abs()", "[2.0, 3.0]"),
        step("sign", both("Only its sign: -1, 0 or 1.", "符号函数：-1、0、1。"),
             "torch.tensor([-2.0, 0.0, 3.0]).sign()", "np.sign([-2.0, 0, 3])"),
        step("sigmoid", both("Near 0 far on the left, near 1 far on the right, 1/2 at 0.",
                             "x 趋于 −∞ 时趋近 0（笔记写作“无限小”），趋于 +∞ 时趋近 1，在 0 处为 1/2。"),
             "x = torch.tensor([-20.0, 0.0, 20.0, 1.0])\nx.sigmoid()", "[0.0, 0.5, 1.0, 1 / (1 + math.exp(-1))]"),
        step("smooth-sign", both("A steep 2 sigmoid - 1 is a smooth sign.", "很陡的 2·sigmoid − 1 就是光滑的 sign。"),
             "x = torch.tensor([-1.0, -0.5, 0.5, 1.0])\n2 * torch.sigmoid(100 * x) - 1", "x.sign()"),
        step("sigmoid-slope", both("Its slope is s (1 - s).", "其导数为 s(1 − s)。"),
             "x = torch.tensor([0.5], requires_grad=True)\ns = x.sigmoid()\ns.backward()\nx.grad",
             "(s * (1 - s)).detach()"),
        step("tanh", both("tanh x is 2 sigmoid(2x) - 1.", "tanh x = 2·sigmoid(2x) − 1。"),
             ANGLES + "x.tanh()", "2 * torch.sigmoid(2 * x) - 1"),
    )),
    Group("18", both("Statistics", "统计函数"), (
        step("mean", both("The mean of all, or along a dimension, which disappears.", "均值；沿某一维求均值时该维消失。"),
             "x = torch.rand(2, 3)\n(x.mean(), x.mean(dim=0))", "(x.numpy().mean(), x.numpy().mean(axis=0))"),
        step("keepdim", both("It stays, with size 1, so that the result broadcasts back.", "keepdim 保留大小为 1 的维，便于再广播回去。"),
             "x = torch.rand(2, 3)\n(x - x.mean(dim=1, keepdim=True)).mean(dim=1)", "[0.0, 0.0]"),
        step("sum-prod", both("Sum and product.", "求和与求积。"), X + "(x.sum(), x.prod())", "(3 + 1 + 2 + 5.0, 3 * 1 * 2 * 5.0)"),
        step("max-min", both("Largest and smallest, and where.", "最大、最小及其位置。"),
             X + "(x.max(), int(x.argmax()), x.min(), int(x.argmin()))", "(5.0, 3, 1.0, 1)"),
        step("var", both("Divided by n - 1, where NumPy divides by n.", "方差：PyTorch 除以 n − 1，NumPy 默认除以 n。"),
             X + "(x.var(), x.var(unbiased=False))", "(statistics.variance(x.tolist()), np.var(x.numpy()))"),
        step("std", both("The root of it.", "标准差。"), X + "x.std()", "statistics.stdev(x.tolist())"),
        step("median", both("Of an even count the lower of the middle two; NumPy takes their mean.",
                            "偶数个时取中间两个的较小者；NumPy 取平均。"),
             X + "(x.median(), np.median(x.numpy()))", "(statistics.median_low(x.tolist()), 2.5)"),
        step("mode", both("The most frequent.", "众数。"),
             "torch.tensor([2, 7, 7, 1, 2, 7]).mode()[0]", "statistics.mode([2, 7, 7, 1, 2, 7])"),
        step("cumsum", both("Running sums.", "累积和。"), X + "x.cumsum(0)", "np.cumsum(x.numpy())"),
        step("histc", both("How many fall into each of 4 parts; the last takes both its ends.", "直方图：落在 4 个区间里的各有几个；末区间两端都含。"),
             "x = torch.tensor([0.0, 1.0, 1.5, 2.0, 4.0])\ntorch.histc(x, bins=4, min=0, max=4)",
             "np.histogram(x.numpy(), 4, (0, 4))[0]"),
        step("grey-histogram", both("The grey histogram of a picture: 256 counts that add up to its pixels.",
                                    "灰度直方图：256 个计数，总和为像素数。"),
             "picture = torch.arange(64).view(8, 8) * 4  # a ramp from 0 to 252\n"
             "counts = torch.bincount(picture.flatten(), minlength=256)\n(counts, int(counts.sum()))",
             "(np.histogram(picture.numpy(), 256, (0, 256))[0], 64)"),
        step("unique", both("Each value once, and how often it came.", "不重复的值及其出现次数。"),
             "x = torch.tensor([3, 1, 3])\nlist(torch.unique(x, return_counts=True))",
             "list(np.unique(x.numpy(), return_counts=True))"),
    )),
    Group("19", both("torch.distributions", "概率分布"), (
        step("log-prob", both("The logarithm of the density, as its formula says.", "对数密度，与公式一致。"),
             "torch.distributions.Normal(1.0, 2.0).log_prob(torch.tensor(3.0))",
             "-((3 - 1) / 2) ** 2 / 2 - math.log(2 * math.sqrt(2 * math.pi))"),
        step("score", both("Score function: x² times the slope of log p; its mean is d/dmu E x² = 2 mu.",
                           "得分函数：x² 乘以 log p 的导数，均值为 d/dμ E x² = 2μ。"),
             "mu = 1.5\nx = mu + torch.randn(400000)\nscore = x ** 2 * (x - mu)\nabs(float(score.mean()) - 2 * mu) < 0.05",
             "True"),
        step("pathwise", both("Pathwise: differentiate x = mu + noise itself.", "pathwise derivative：直接对 x = μ + 噪声求导（重新参数化）。"),
             "mu = torch.tensor(1.5, requires_grad=True)\nx = torch.distributions.Normal(mu, 1.0).rsample((400000,))\n"
             "(x ** 2).mean().backward()\nabs(float(mu.grad) - 2 * 1.5) < 0.02", "True"),
        step("estimator-spread", both("Both are right on average, but the score function scatters far more.",
                             "两者均值相同，但得分函数的方差大得多。"),
             "mu, noise = 1.5, torch.randn(400000)\nx = mu + noise\n"
             "round(float((x ** 2 * noise).var() / (2 * x).var()))", "round((mu ** 4 + 14 * mu ** 2 + 15) / 4)"),
        step("kl", both("The KL of N(1, 1) from N(0, 1) is 1/2.", "N(1,1) 到 N(0,1) 的 KL 散度为 1/2。"),
             "N = torch.distributions.Normal\n"
             "torch.distributions.kl_divergence(N(torch.tensor(1.0), 1.0), N(torch.tensor(0.0), 1.0))", "0.5"),
        step("bernoulli", both("A coin that falls on 1 in 3 of 10: its mean and variance.", "概率 0.3 的硬币：均值与方差。"),
             "coin = torch.distributions.Bernoulli(torch.tensor(0.3))\n(coin.mean, coin.variance)", "(0.3, 0.3 * 0.7)"),
        step("categorical", both("Entropy of a fair die: log 6.", "公平骰子的熵：log 6。"),
             "torch.distributions.Categorical(torch.ones(6) / 6).entropy()", "math.log(6)"),
    )),
    Group("20", both("Random draws and seeds", "随机抽样与随机种子"), (
        step("seed", both("The same seed, the same numbers.", "种子相同，随机数就相同。"),
             "torch.manual_seed(7)\na = torch.rand(3)\ntorch.manual_seed(7)\nb = torch.rand(3)\na", "b"),
        step("seed-moves", both("The next draw is another.", "下一次抽样就不同了。"),
             "torch.manual_seed(7)\na, b = torch.rand(3), torch.rand(3)\ntorch.equal(a, b)", "False"),
        step("generator", both("A generator of its own leaves the global one alone.", "单独的 Generator 不影响全局状态。"),
             "torch.manual_seed(7)\na = torch.rand(2)\ntorch.manual_seed(7)\n"
             "torch.rand(5, generator=torch.Generator().manual_seed(1))\nb = torch.rand(2)\na", "b"),
        step("state", both("The state can be kept and put back.", "随机状态可以保存与恢复。"),
             "state = torch.get_rng_state()\na = torch.rand(2)\ntorch.set_rng_state(state)\ntorch.rand(2)", "a"),
        step("randint", both("Whole numbers: the upper end is left out.", "随机整数：不含上界。"),
             "sorted(set(torch.randint(2, 5, (200,)).tolist()))", "[2, 3, 4]"),
        step("bernoulli-draw", both("Coins: with probability 0 and 1 there is no chance left.", "伯努利抽样：概率为 0 或 1 时结果确定。"),
             "torch.bernoulli(torch.tensor([0.0, 1.0, 1.0]))", "[0.0, 1.0, 1.0]"),
        step("multinomial", both("Without replacement, each number at most once.", "不放回抽样：每个下标至多一次。"),
             "sorted(torch.multinomial(torch.ones(4), 4).tolist())", "[0, 1, 2, 3]"),
    )),
)  # fmt: skip

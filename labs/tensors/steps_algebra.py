"""Sections 21 to 24: norms, decompositions, PCA, LDA, clamping."""

from __future__ import annotations

from labkit.base.language import both
from labkit.runs.steps import Group, step

X = "x = torch.tensor([3.0, 0.0, -4.0])\n"
M = "m = torch.tensor([[3.0, 0.0], [4.0, 5.0]])\n"
SYMMETRIC = "a = torch.tensor([[4.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 2.0]])\n"
TALL = "a = torch.randn(5, 3)\n"
CLOUD = """\
x = torch.randn(200, 3) @ torch.tensor([[3.0, 1.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.2]])
x = x - x.mean(dim=0)
"""
CLASSES = """\
shape = torch.tensor([[3.0, 1.0], [0.0, 0.4]])  # long and thin, so the way between the classes is not along it
x = torch.cat([torch.randn(100, 2) @ shape + torch.tensor([0.0, 1.0 * k]) for k in range(3)])
means = x.view(3, 100, 2).mean(dim=1)
within = (x.view(3, 100, 2) - means[:, None]).reshape(300, 2)
between = (means - x.mean(dim=0)) * 10  # each stands for 100 points
s_w, s_b = within.t() @ within, between.t() @ between
"""
EIGEN = CLOUD + "values, vectors = torch.linalg.eigh(x.t() @ x / 199)\n"
EIGEN_THEN = CLOUD + "values, vectors = torch.symeig(x.t() @ x / 199, eigenvectors=True)\n"
# The spread within the classes made round by its eigenvalues; then the SVD of the means finds the way that is left.
LDA = (
    CLASSES
    + """\
values, vectors = torch.linalg.eigh(s_w)
whiten = vectors / values.sqrt()
v = torch.svd(between @ whiten)[2]
w = whiten @ v[:, 0]
"""
)
LDA_THEN = LDA.replace("torch.linalg.eigh(s_w)", "torch.symeig(s_w, eigenvectors=True)")

GROUPS = (
    Group("21", both("Norms", "范数"), (
        step("norm-0", both("0: how many are not 0.", "0 范数：非零元素的个数。"), X + "torch.norm(x, 0)",
             "np.linalg.norm(x.numpy(), 0)"),
        step("norm-1", both("1: the sum of absolute values.", "1 范数：绝对值之和。"), X + "torch.norm(x, 1)",
             "3 + 0 + 4.0"),
        step("norm-2", both("2: the length.", "2 范数：长度（模长）。"), X + "torch.norm(x)",
             "math.sqrt(3 ** 2 + 4 ** 2)"),
        step("norm-p", both("p: the p-th root of the sum of p-th powers.", "p 范数：p 次方之和再开 p 次方。"),
             X + "torch.norm(x, 3)", "(3 ** 3 + 4 ** 3) ** (1 / 3)"),
        step("norm-inf", both("Infinity: the largest.", "∞ 范数：绝对值最大者。"), X + "torch.norm(x, math.inf)",
             "4.0"),
        step("nuclear", both("Nuclear: the sum of the singular values.", "核范数：奇异值之和。"),
             M + "torch.norm(m, 'nuc')", "np.linalg.svd(m.numpy(), compute_uv=False).sum()"),
        step("frobenius", both(
            "The notes call torch.norm(M, 2) the 2-norm. For a matrix it is the Frobenius norm: the root of all "
            "squares.",
            "笔记说 torch.norm() 计算 2 范数；但对矩阵，torch.norm(M, 2) 得到的是 Frobenius 范数："
            "所有元素平方和再开方。"),
             M + "torch.norm(m, 2)", "math.sqrt(3 ** 2 + 4 ** 2 + 5 ** 2)"),
        step("spectral", both("The matrix 2-norm is the largest singular value, and it is another number.",
                              "矩阵的 2 范数是最大奇异值，与上一行不同。"),
             M + "torch.linalg.norm(m, 2)", "np.linalg.norm(m.numpy(), 2)",
             then=M + "torch.svd(m)[1].max()"),
        step("dist", both("The norm of the difference.", "两点之差的范数。"),
             "a, b = torch.tensor([1.0, 2.0]), torch.tensor([4.0, 6.0])\n[torch.dist(a, b, p=2), torch.dist(a, b, "
             "p=1)]",
             "[math.hypot(3, 4), 3 + 4.0]"),
        step("not-negative",
             both("First axiom: never negative, 0 for 0 alone.", "公理一，非负性：只有零向量的范数为 0。"),
             "x = torch.randn(100, 5)\n(bool((x.norm(dim=1) > 0).all()), torch.zeros(5).norm())", "(True, 0.0)"),
        step("scales", both("Second: twice as long, twice the norm.", "公理二，齐次性：‖cx‖ = |c|‖x‖。"),
             "x = torch.randn(100, 5)\n(-2 * x).norm(dim=1)", "2 * x.norm(dim=1)"),
        step("triangle", both("Third: the way round is never shorter. With p = 1/2 it is: no norm.",
                              "公理三，三角不等式；p = 1/2 时不成立，所以它不是范数。"),
             "x, y = torch.randn(100, 5), torch.randn(100, 5)\n"
             "def holds(p):\n    n = lambda v: v.norm(p=p, dim=1)\n    return bool((n(x + y) <= n(x) + n(y) + "
             "1e-4).all())\n"
             "[holds(p) for p in (1, 2, 3, 0.5)]", "[True, True, True, False]"),
        step("weight-decay", both("As part of a loss: the gradient of half the squared norm is w itself.",
                                  "作为参数约束加入 loss：½‖w‖² 的梯度就是 w。"),
             "w = torch.randn(4, requires_grad=True)\n(0.5 * w.norm() ** 2).backward()\nw.grad", "w.detach()"),
    )),
    Group("22, 23", both("Decompositions", "矩阵分解"), (
        step("lu", both("LU: rows in another order, a lower and an upper triangle.", "LU 分解：换行、下三角、上三角。"),
             "a = torch.randn(3, 3)\np, l, u = torch.linalg.lu(a)\np @ l @ u", "a",
             then="a = torch.randn(3, 3)\np, l, u = torch.lu_unpack(*torch.lu(a))\np @ l @ u"),
        step("qr", both("QR: columns at right angles, times an upper triangle.", "QR 分解：正交列乘上三角。"),
             TALL + "q, r = torch.linalg.qr(a)\n[q @ r, q.t() @ q, r.tril(-1)]", "[a, np.eye(3), np.zeros((3, 3))]",
             then=TALL + "q, r = torch.qr(a)\n[q @ r, q.t() @ q, r.tril(-1)]"),
        step("evd", both("A v = lambda v, for every eigenvector.", "特征值分解：Av = λv，对每个特征向量成立。"),
             SYMMETRIC + "values, vectors = torch.linalg.eigh(a)\na @ vectors", "vectors * values",
             then=SYMMETRIC + "values, vectors = torch.symeig(a, eigenvectors=True)\na @ vectors"),
        step("evd-back", both("A = Q E Q⁻¹; where A is symmetric, Q⁻¹ is Q'.", "A = QEQ⁻¹；A 对称时 Q⁻¹ = Qᵀ。"),
             SYMMETRIC + "values, q = torch.linalg.eigh(a)\nq @ torch.diag(values) @ q.t()", "a",
             then=SYMMETRIC + "values, q = torch.symeig(a, eigenvectors=True)\nq @ torch.diag(values) @ q.t()"),
        step("trace",
             both("The eigenvalues add up to the trace, and multiply to the determinant.",
                  "特征值之和为迹，之积为行列式。"),
             SYMMETRIC + "values = torch.linalg.eigvalsh(a)\n(values.sum(), values.prod())",
             "(np.trace(a.numpy()), np.linalg.det(a.numpy()))",
             then=SYMMETRIC + "values = torch.symeig(a)[0]\n(values.sum(), values.prod())"),
        step("evd-square", both("Square matrices only.", "特征值分解只对方阵有定义。"),
             "torch.linalg.eigh(torch.ones(2, 3))", "'RuntimeError'", then="torch.symeig(torch.ones(2, 3))"),
        step("svd", both("SVD: A = U S V', for any shape. torch.svd gives V, not V'.",
                         "奇异值分解：A = UΣVᵀ，任意形状都行。torch.svd 返回的是 V 而不是 Vᵀ。"),
             TALL + "u, s, v = torch.svd(a)\nu @ torch.diag(s) @ v.t()", "a"),
        step("svd-shapes",
             both("Whole, as in the notes: U is m x m, V is n x n.", "完整形式（笔记的写法）：U 为 m×m，V 为 n×n。"),
             TALL + "u, s, v = torch.svd(a, some=False)\n[tuple(u.shape), tuple(s.shape), tuple(v.shape)]",
             "[(5, 5), (3,), (3, 3)]"),
        step("svd-evd",
             both("Singular values are the roots of the eigenvalues of A'A.", "奇异值是 AᵀA 特征值的平方根。"),
             TALL + "torch.svd(a)[1]", "np.sqrt(np.linalg.eigvalsh((a.t() @ a).double().numpy())[::-1])"),
        step("svd-special", both(
            "Here the notes err: EVD is the special case. Where A is symmetric with no negative eigenvalue, SVD and "
            "EVD agree.",
            "笔记此处写反了：特征值分解才是特例。A 对称且特征值非负时，两者一致。"),
             SYMMETRIC + "torch.svd(a)[1]", "np.linalg.eigvalsh(a.numpy())[::-1]"),
        step("low-rank",
             both("The k largest singular values give the nearest matrix of rank k; what is lost is the rest.",
                              "保留最大的 k 个奇异值，就是最好的秩 k 近似；误差由其余奇异值给出。"),
             TALL + "u, s, v = torch.svd(a)\nnear = u[:, :2] @ torch.diag(s[:2]) @ v[:, :2].t()\n(a - near).norm()",
             "s[2]"),
        step("pca-variance",
             both("PCA: the variance along a component is its eigenvalue.", "PCA：主成分方向上的方差等于特征值。"),
             EIGEN + "(x @ vectors).var(dim=0)", "values", then=EIGEN_THEN + "(x @ vectors).var(dim=0)"),
        step("pca-uncorrelated",
             both("Different components have no covariance: it is a diagonal.",
                  "不同主成分互不相关：协方差矩阵为对角阵。"),
             EIGEN + "y = x @ vectors\ny.t() @ y / 199", "torch.diag(values)",
             then=EIGEN_THEN + "y = x @ vectors\ny.t() @ y / 199"),
        step("pca-svd",
             both("PCA by SVD of the data: no covariance matrix is needed.",
                  "直接对数据做 SVD 也得到 PCA，不必算协方差矩阵。"),
             EIGEN + "torch.svd(x)[1] ** 2 / 199", "values.numpy()[::-1]",
             then=EIGEN_THEN + "torch.svd(x)[1] ** 2 / 199"),
        step("pca-best",
             both("No other direction has more variance: 1000 tried.", "没有哪个方向的方差更大：试了 1000 个。"),
             EIGEN + "d = torch.randn(3, 1000)\nd = d / d.norm(dim=0)\nbool(((x @ d).var(dim=0) <= values[-1] * "
                     "1.0001).all())",
             "True", then=EIGEN_THEN + "d = torch.randn(3, 1000)\nd = d / d.norm(dim=0)\n"
             "bool(((x @ d).var(dim=0) <= values[-1] * 1.0001).all())"),
        step("scatter-sum",
             both("LDA: scatter within plus between the classes is the whole.", "LDA：类内散度 + 类间散度 = 总散度。"),
             CLASSES + "centred = x - x.mean(dim=0)\n(s_w + s_b) / 300", "centred.t() @ centred / 300"),
        step("lda",
             both("LDA by SVD: make the spread within round, then the way in which the means differ most. 1000 "
                  "others are no better.",
                         "用 SVD 做 LDA：先白化类内散度，再取各类均值差异最大的方向。另外 1000 "
                         "个方向的“类间/类内”都不更大。"),
             LDA + "ratio = lambda d: ((between @ d) ** 2).sum(dim=0) / ((within @ d) ** 2).sum(dim=0)\n"
             "bool((ratio(torch.randn(2, 1000)) <= ratio(w[:, None]) * 1.0001).all())", "True",
             then=LDA_THEN + "ratio = lambda d: ((between @ d) ** 2).sum(dim=0) / ((within @ d) ** 2).sum(dim=0)\n"
             "bool((ratio(torch.randn(2, 1000)) <= ratio(w[:, None]) * 1.0001).all())"),
        step("lda-eigen",
             both("The same direction from the eigenvectors of inv(Sw) Sb.", "与 Sw⁻¹Sb 的特征向量方向相同。"),
             LDA + "w / w.norm() * torch.sign(w[1])",
             "(lambda e: (lambda v: v / np.linalg.norm(v) * np.sign(v[1]))(e[1][:, e[0].argmax()].real))"
             "(np.linalg.eig(np.linalg.inv(s_w.double().numpy()) @ s_b.double().numpy()))",
             then=LDA_THEN + "w / w.norm() * torch.sign(w[1])"),
    )),
    Group("24", both("Clamping and gradient clipping", "裁剪与梯度裁剪"), (
        step("clamp",
             both("As in the notes, a.clamp(2, 10): what is outside goes to the edge.",
                  "笔记的 a.clamp(2, 10)：超出范围的取边界值。"),
             "a = torch.tensor([0.0, 5.0, 20.0])\na.clamp(2, 10)", "np.clip(a.numpy(), 2, 10)"),
        step("clamp-one", both("Only one side.", "只限一侧。"),
             "torch.tensor([-1.0, 5.0]).clamp(min=0)", "[0.0, 5.0]"),
        step("clamp-gradient", both("Outside there is no gradient.", "范围之外没有梯度。"),
             "a = torch.tensor([0.0, 5.0, 20.0], requires_grad=True)\na.clamp(2, 10).sum().backward()\na.grad",
             "[0.0, 1.0, 0.0]"),
        step("clip-norm",
             both("A gradient that explodes: made shorter, its direction kept.", "梯度爆炸：缩短长度，方向不变。"),
             "w = torch.zeros(2, requires_grad=True)\n(w * torch.tensor([30.0, 40.0])).sum().backward()\n"
             "before = torch.nn.utils.clip_grad_norm_([w], max_norm=1.0)\n(before, w.grad)", "(50.0, [0.6, 0.8])"),
        step("clip-value", both("Each number for itself: the direction changes.", "逐元素裁剪：方向会变。"),
             "w = torch.zeros(2, requires_grad=True)\n(w * torch.tensor([0.5, 40.0])).sum().backward()\n"
             "torch.nn.utils.clip_grad_value_([w], 1.0)\nw.grad", "[0.5, 1.0]"),
    )),
)  # fmt: skip

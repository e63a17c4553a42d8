"""The functions to fill in, in the order of the notes, OpenCV's own as their oracles, and the images to try them on."""

from __future__ import annotations

import cv2
import numpy as np

from labkit.base.language import both
from labkit.runs.practice.sheet import fill_in


def _colours(random: np.random.RandomState, size: int) -> tuple[np.ndarray]:
    return (random.randint(0, 256, (size + 1, size + 2, 3)).astype(np.uint8),)


def _grey(random: np.random.RandomState, size: int) -> tuple[np.ndarray]:
    return (random.randint(0, 256, (size + 2, size + 3)).astype(np.uint8),)


def _real(random: np.random.RandomState, size: int) -> tuple[np.ndarray]:
    return (random.randn(size + 2, size + 3),)


def _dull(random: np.random.RandomState, size: int) -> tuple[np.ndarray]:
    """Few levels, none of them the same in every pixel."""
    image = random.randint(90, 100, (size + 2, size + 3)).astype(np.uint8)
    image[0, :2] = 90, 99
    return (image,)


def _brighter(random: np.random.RandomState, size: int) -> tuple[np.ndarray, int]:
    return (*_grey(random, size), int(random.randint(20, 200)))


def _chains(random: np.random.RandomState, size: int) -> tuple[np.ndarray, np.ndarray]:
    weak = random.rand(size + 2, size + 3) < 0.5
    return weak, weak & (random.rand(*weak.shape) < 0.2)


def _search(random: np.random.RandomState, size: int) -> tuple[np.ndarray, np.ndarray]:
    (image,) = _grey(random, size + 2)
    y, x = random.randint(0, image.shape[0] - 1), random.randint(0, image.shape[1] - 2)
    return image, image[y : y + 2, x : x + 3].copy()


def _held(weak: np.ndarray, strong: np.ndarray) -> np.ndarray:
    """The connected parts of `weak` that have something strong."""
    _, parts = cv2.connectedComponents(weak.astype(np.uint8), connectivity=8)
    return np.isin(parts, parts[strong]) & weak


PAD = "p = np.pad(x, 1, mode='reflect')\nh, w = x.shape\n"
NINE = PAD + "nine = [p[i:i + h, j:j + w] for i in range(3) for j in range(3)]\n"
TENSOR = "t = torch.from_numpy(x)[None, None].float()\n"
COUNTS = "n = np.bincount(x.ravel(), minlength=256)\n"

FUNCTIONS = (
    fill_in("to_rgb", both("x (H, W, 3) from imread; give it as RGB.", "x (H, W, 3) 来自 imread，转成 RGB。"),
            "def to_rgb(x):", oracle=lambda x: cv2.cvtColor(x, cv2.COLOR_BGR2RGB), cases=_colours,
            without=("cvtColor",), hint=both("Which axis has the colours?", "颜色在哪一维？"),
            solution="return x[..., ::-1]",
            wrong=("return x[::-1]", "return x", "return x.transpose(2, 0, 1)")),
    fill_in("brighten", both("Add `by` to every pixel of x (uint8), and stop at 255.",
                             "x（uint8）每个像素加 by，到 255 为止。"),
            "def brighten(x, by):", oracle=lambda x, by: cv2.add(x, np.full_like(x, by)), cases=_brighter,
            without=("add",),
            hint=both("Leave uint8 before you add, and come back after clip.",
                      "先换成更宽的类型再加，clip 之后再换回。"),
            solution="return np.clip(x.astype(int) + by, 0, 255).astype(np.uint8)",
            wrong=("return x + np.uint8(by)", "return np.clip(x + np.uint8(by), 0, 255)",
                   "return np.clip(x.astype(int) + by, 0, 255)")),
    fill_in("grey", both("Grey of x (H, W, 3) BGR, rounded: uint8 (H, W).",
                         "BGR 图像 x (H, W, 3) 的灰度，四舍五入：uint8 (H, W)。"),
            "def grey(x):", oracle=lambda x: cv2.cvtColor(x, cv2.COLOR_BGR2GRAY), cases=_colours, without=("cvtColor",),
            hint=both("0.299, 0.587 and 0.114: in which order?", "0.299、0.587、0.114：什么次序？"),
            solution="return np.rint(x @ [0.114, 0.587, 0.299]).astype(np.uint8)",
            wrong=("return np.rint(x @ [0.299, 0.587, 0.114]).astype(np.uint8)",
                   "return x.mean(axis=2).astype(np.uint8)",
                   "return (x @ [0.114, 0.587, 0.299]).astype(np.uint8)")),
    fill_in("box", both("The mean of 3 x 3 pixels of x (H, W); beyond the border as OpenCV has it.",
                        "x (H, W) 的 3 x 3 均值；边界按 OpenCV 的默认方式。"),
            "def box(x):", oracle=lambda x: cv2.blur(x, (3, 3)), cases=_real, without=("blur", "boxFilter", "filter2D"),
            hint=both("np.pad(x, 1, mode='reflect'), then nine shifted views.",
                      "np.pad(x, 1, mode='reflect')，再取九个平移的视图。"),
            solution=NINE + "return sum(nine) / 9",
            wrong=(NINE.replace("reflect", "edge") + "return sum(nine) / 9",
                   NINE.replace("reflect", "constant") + "return sum(nine) / 9", NINE + "return sum(nine)")),
    fill_in("median", both("The middle one of 3 x 3 pixels of x (uint8); beyond the border stands the last pixel.",
                           "x（uint8）3 x 3 邻域的中值；边界外重复最外一个像素。"),
            "def median(x):", oracle=lambda x: cv2.medianBlur(x, 3), cases=_grey, without=("medianBlur",),
            hint=both("mode='edge', and np.median over nine views.", "mode='edge'，对九个视图取 np.median。"),
            solution=NINE.replace("reflect", "edge") + "return np.median(nine, axis=0).astype(np.uint8)",
            wrong=(NINE + "return np.median(nine, axis=0).astype(np.uint8)",
                   NINE.replace("reflect", "edge") + "return np.mean(nine, axis=0).astype(np.uint8)")),
    fill_in("sobel_x", both("The slope along x of x (H, W), weights 1 2 1: positive where it grows to the right.",
                            "x (H, W) 沿 x 方向的 Sobel 梯度（权重 1 2 1）：向右变亮为正。"),
            "def sobel_x(x):", oracle=lambda x: cv2.Sobel(x, cv2.CV_64F, 1, 0), cases=_real,
            without=("Sobel", "Scharr", "filter2D", "sepFilter2D"),
            hint=both("Right minus left, then 1 2 1 downwards.", "右减左，再沿竖直方向用 1 2 1 加权。"),
            solution=PAD + "d = p[:, 2:] - p[:, :-2]\nreturn d[:-2] + 2 * d[1:-1] + d[2:]",
            wrong=(PAD + "d = p[:, :-2] - p[:, 2:]\nreturn d[:-2] + 2 * d[1:-1] + d[2:]",
                   PAD + "d = p[:, 2:] - p[:, :-2]\nreturn d[:-2] + d[1:-1] + d[2:]",
                   PAD + "d = p[2:] - p[:-2]\nreturn d[:, :-2] + 2 * d[:, 1:-1] + d[:, 2:]")),
    fill_in("hysteresis", both("weak and strong, bool (H, W), strong within weak: keep the weak pixels that hang "
                               "together with a strong one, also by corners and through others.",
                               "weak、strong 为 bool (H, W)，strong 含于 weak："
                               "保留与某个强像素相连的弱像素（八邻域，可经过其他弱像素）。"),
            "def hysteresis(weak, strong):", oracle=_held, cases=_chains, without=("connectedComponents",),
            hint=both("Grow by one pixel within weak, until nothing is new.",
                      "在 weak 之内每次长一个像素，直到不再变化。"),
            solution="while True:\n    grown = (cv2.dilate(strong.astype(np.uint8), np.ones((3, 3))) > 0) & weak\n"
                     "    if (grown == strong).all():\n        return strong\n    strong = grown",
            wrong=("return strong", "return weak",
                   "return (cv2.dilate(strong.astype(np.uint8), np.ones((3, 3))) > 0) & weak")),
    fill_in("equalize", both("Equalise the histogram of x (uint8, at least two levels): the darkest level becomes 0, "
                             "the brightest 255.",
                             "均衡 x（uint8，至少两个灰度级）的直方图：最暗的变为 0，最亮的变为 255。"),
            "def equalize(x):", oracle=cv2.equalizeHist, cases=_dull, without=("equalizeHist",),
            hint=both("The sum of np.bincount(x.ravel(), minlength=256), less the count of the darkest, is the table.",
                      "np.bincount(x.ravel(), minlength=256) 的累积和，减去最暗一级的个数，就是查找表。"),
            solution=COUNTS + "first = n[x.min()]\n"
                     "return np.rint(255 * (n.cumsum() - first) / (x.size - first)).clip(0).astype(np.uint8)[x]",
            wrong=(COUNTS + "return np.rint(255 * n.cumsum() / x.size).astype(np.uint8)[x]",
                   "return np.rint(255.0 * (x - x.min()) / (x.max() - x.min())).astype(np.uint8)")),
    fill_in("dilate", both("The largest of 3 x 3 pixels of x (uint8).",
                           "x（uint8）3 x 3 邻域的最大值。"), "def dilate(x):",
            oracle=lambda x: cv2.dilate(x, np.ones((3, 3))), cases=_grey, without=("dilate", "erode", "morphologyEx"),
            hint=both("F.max_pool2d with a stride of 1 wants (N, C, H, W) of floats.",
                      "F.max_pool2d，stride 为 1，输入是浮点的 (N, C, H, W)。"),
            solution=TENSOR + "return F.max_pool2d(t, 3, 1, 1)[0, 0].byte().numpy()",
            wrong=(TENSOR + "return (-F.max_pool2d(-t, 3, 1, 1))[0, 0].byte().numpy()",
                   TENSOR + "return F.max_pool2d(t, 3)[0, 0].byte().numpy()",
                   TENSOR + "return F.avg_pool2d(t, 3, 1, 1)[0, 0].byte().numpy()")),
    fill_in("find", both("Where in x is the template t (both uint8)? The upper left corner as (x, y), by the smallest "
                         "sum of squares.", "模板 t 在 x 中的位置（均为 uint8）：用平方和最小，返回左上角 (x, y)。"),
            "def find(x, t):", cases=_search, without=("matchTemplate",),
            oracle=lambda x, t: cv2.minMaxLoc(cv2.matchTemplate(x, t, cv2.TM_SQDIFF))[2],
            hint=both("Two loops; leave uint8 before you subtract; x comes before y.",
                      "两重循环；相减前先换掉 uint8；先 x 后 y。"),
            solution="h, w = t.shape\nx, t = x.astype(int), t.astype(int)\n"
                     "return min(((c, r) for r in range(x.shape[0] - h + 1) for c in range(x.shape[1] - w + 1)),\n"
                     "           key=lambda p: ((x[p[1]:p[1] + h, p[0]:p[0] + w] - t) ** 2).sum())",
            wrong=("h, w = t.shape\nx, t = x.astype(int), t.astype(int)\n"
                   "return min(((r, c) for r in range(x.shape[0] - h + 1) for c in range(x.shape[1] - w + 1)),\n"
                   "           key=lambda p: ((x[p[0]:p[0] + h, p[1]:p[1] + w] - t) ** 2).sum())",
                   "h, w = t.shape\nx, t = x.astype(int), t.astype(int)\n"
                   "return max(((c, r) for r in range(x.shape[0] - h + 1) for c in range(x.shape[1] - w + 1)),\n"
                   "           key=lambda p: (x[p[1]:p[1] + h, p[0]:p[0] + w] * t).sum())")),
)  # fmt: skip

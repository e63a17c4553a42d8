"""The exercises of the lab torchvision."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torchvision import ops, transforms

from labkit.base.language import both
from labkit.runs.practice.sheet import fill_in, predict

SETUP = """
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import ops, transforms, utils
"""


def _boxes(random: np.random.RandomState, count: int, spread: float = 20) -> torch.Tensor:
    """Boxes (count, 4) with a size, in 30 x 30 pixels."""
    corners = torch.from_numpy(random.rand(count, 2) * spread).float()
    return torch.cat([corners, corners + 1 + torch.from_numpy(random.rand(count, 2) * 9).float()], dim=1)


def _pixels(random: np.random.RandomState, size: int) -> Any:
    return (random.randint(0, 256, (size + 1, size + 2, 3)).astype(np.uint8),)


def _scored(random: np.random.RandomState, size: int) -> Any:
    return _boxes(random, size, 4), torch.from_numpy(random.permutation(size).astype(np.float32)), 0.3


def _normal(random: np.random.RandomState, size: int) -> Any:
    mean, std = random.rand(3).astype(np.float32), (random.rand(3) + 0.5).astype(np.float32)
    return torch.from_numpy(random.rand(3, size + 1, 2)).float(), torch.from_numpy(mean), torch.from_numpy(std)


def _normalized(x: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    return transforms.Normalize(mean.tolist(), std.tolist())(x)


# Parts of intersection over union, right and wrong.
SHARED = """low = torch.max(ones[:, None, :2], others[:, :2])
high = torch.min(ones[:, None, 2:], others[:, 2:])
sides = high - low
"""
AREAS = "areas = (ones[:, 2:] - ones[:, :2]).prod(1)[:, None] + (others[:, 2:] - others[:, :2]).prod(1)\n"

SHEET = (
    predict("axes", both("Which axis comes first?", "哪个轴在最前？"),
            'tuple(transforms.ToTensor()(Image.new("RGB", (60, 40))).shape)',
            hint=both("PIL says width, height; a tensor has channels, rows, columns.",
                      "PIL 说的是宽、高；张量是通道、行、列。"),
            wrong={"(3, 60, 40)": both("PIL's size is width, height; rows come before columns.",
                                       "PIL 的 size 是宽、高；行在列之前。"),
                   "(40, 60, 3)": both("That is NumPy's order; ToTensor puts channels first.",
                                       "这是 NumPy 的次序；ToTensor 把通道放到最前。")}),
    predict("white", both("White as a tensor.", "白色变成张量。"),
            'transforms.ToTensor()(Image.new("L", (1, 1), 255)).item()',
            hint=both("uint8 is scaled.", "uint8 会缩放。"),
            wrong={"255.0": both("An image of uint8 is divided by 255.", "uint8 图像会除以 255。"), "256.0": None}),
    predict("floats", both("The same of an array of floats.", "换成浮点数组。"),
            "transforms.ToTensor()(np.full((1, 1, 1), 255.0, np.float32)).item()",
            hint=both("What is already a float is left alone.", "已是浮点数就不再处理。"),
            wrong={"1.0": both("Only uint8 is scaled.", "只有 uint8 才缩放。"), "0.0": None}),
    predict("shorter", both("One number for the size.", "只给一个尺寸。"),
            'transforms.Resize(20)(Image.new("RGB", (60, 40))).size',
            hint=both("It is the shorter side's.", "那是短边的长度。"),
            wrong={"(20, 20)": both("The proportions are kept.", "比例保持不变。"),
                   "(20, 13)": both("20 is the shorter side, not the longer.", "20 是短边，不是长边。")}),
    predict("darkest", both("Black after this.", "黑色经过它之后。"),
            "transforms.Normalize([0.5], [0.5])(torch.zeros(1, 1, 1)).item()",
            hint=both("(x - mean) / std", "公式是 (x - mean) / std"),
            wrong={"0.0": both("0 is what grey becomes.", "变成 0 的是中灰。"),
                   "-0.5": both("It is divided by the deviation, too.", "还要除以标准差。")}),
    predict("class_of_9", both("The number of class '9' among folders '9', '10', '2'.",
                               "文件夹 '9'、'10'、'2' 中，类 '9' 的编号。"),
            'sorted(["9", "10", "2"]).index("9")',
            hint=both("Names of folders are text.", "文件夹名是文本。"),
            wrong={"0": both("Not as they were given: ImageFolder sorts.", "不是给出的次序：ImageFolder 会排序。"),
                   "1": both("As text '10' comes before '2', and both before '9'.",
                             "按文本 '10' 在 '2' 前，两者都在 '9' 前。")}),
    predict("last_batch", both("How many are in the last batch?", "最后一批有几个？"),
            "len(list(DataLoader(range(10), batch_size=4))[-1])",
            hint=both("drop_last is off.", "drop_last 默认关闭。"),
            wrong={"4": both("10 is no multiple of 4.", "10 不是 4 的倍数。"), "0": None}),
    predict("grid_width", both("A gap of 2 pixels around each.", "每张四周间隔 2 像素。"),
            "utils.make_grid(torch.zeros(5, 3, 8, 6), nrow=3).shape[-1]",
            hint=both("Three images, four gaps.", "三张图，四个间隔。"),
            wrong={"18": both("There are gaps, too.", "还有间隔。"),
                   "22": both("Also at both ends.", "两端也有间隔。")}),
    predict("overlap", both("Two squares that share a quarter of each.", "两个方框，各有四分之一重合。"),
            "round(ops.box_iou(torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[1.0, 1, 3, 3]])).item(), 3)",
            hint=both("The union is 4 + 4 less what is counted twice.", "并集是 4 + 4 减去重复的部分。"),
            wrong={"0.25": both("That is a share of one of them, not of both together.",
                                "这是占其中一个的比例，不是并集。"),
                   "0.125": both("The union counts the shared square once.", "并集中重合部分只算一次。")}),
    predict("stays", both("Which boxes stay?", "留下哪些框？"),
            "boxes = torch.tensor([[0.0, 0, 10, 10], [1.0, 0, 11, 10], [20.0, 0, 30, 10]])\n"
            "ops.nms(boxes, torch.tensor([0.6, 0.9, 0.3]), 0.5).tolist()",
            hint=both("The best first; it removes its neighbour.", "先留最好的，它去掉邻居。"),
            wrong={"[0, 2]": both("The better of the two stays.", "两者中得分高的留下。"),
                   "[2, 1]": both("The order is that of the scores, the best first.", "按得分排序，高的在前。")}),
    fill_in("area", both("Areas of boxes (N, 4): x1, y1, x2, y2.", "框 (N, 4) 的面积：x1, y1, x2, y2。"),
            "def area(boxes):",
            hint=both("Columns of the tensor.", "取张量的列。"), without=("box_area",),
            solution="return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])",
            oracle=lambda boxes: ops.boxes.box_area(boxes), cases=lambda random, size: (_boxes(random, size),),
            wrong=("return boxes[:, 2] * boxes[:, 3]",
                   "return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 2] - boxes[:, 0])")),
    fill_in("iou", both("Intersection over union of each with each: (N, 4) and (M, 4) to (N, M).",
                        "两两求交并比：(N, 4) 与 (M, 4) 得 (N, M)。"),
            "def iou(ones, others):", without=("box_iou", "for"),
            hint=both("Broadcast ones[:, None] against others; a width below 0 is none.",
                      "用 ones[:, None] 与 others 广播；负的宽度算 0。"),
            solution=f"{SHARED}shared = sides.clamp(min=0).prod(2)\n{AREAS}return shared / (areas - shared)",
            oracle=lambda ones, others: ops.box_iou(ones, others),
            cases=lambda random, size: (_boxes(random, size), _boxes(random, size + 1)),
            wrong=(f"{SHARED}shared = sides.prod(2)\n{AREAS}return shared / (areas - shared)",
                   f"{SHARED}shared = sides.clamp(min=0).prod(2)\n{AREAS}return shared / areas")),
    fill_in("suppress", both("Non-maximum suppression: the numbers of the boxes that stay, best first.",
                             "非极大值抑制：留下的框的编号，得分高的在前。"), "def suppress(boxes, scores, threshold):",
            without=("nms", "batched_nms"),
            hint=both("ops.box_iou, and a loop over the order of the scores.", "用 ops.box_iou，并按得分次序循环。"),
            solution="overlap, kept = ops.box_iou(boxes, boxes), []\nfor k in "
                     "scores.argsort(descending=True).tolist():\n"
            "    if all(overlap[k, other] <= threshold for other in kept):\n        kept.append(k)\n"
            "return torch.tensor(kept, dtype=torch.long)",
            oracle=lambda boxes, scores, threshold: ops.nms(boxes, scores, threshold), cases=_scored,
            wrong=("return scores.argsort(descending=True)",
                   "overlap, kept = ops.box_iou(boxes, boxes), []\nfor k in range(len(boxes)):\n"
                   "    if all(overlap[k, other] <= threshold for other in kept):\n        kept.append(k)\n"
                   "return torch.tensor(kept, dtype=torch.long)")),
    fill_in("to_tensor", both("ToTensor by hand: pixels uint8 (H, W, 3) to floats (3, H, W), 0..1.",
                              "手写 ToTensor：uint8 (H, W, 3) 变为浮点 (3, H, W)，0..1。"), "def to_tensor(pixels):",
            without=("ToTensor", "to_tensor"), hint=both("permute, float, over 255.", "permute、float、除以 255。"),
            solution="return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255",
            oracle=lambda pixels: transforms.ToTensor()(pixels), cases=_pixels,
            wrong=("return torch.from_numpy(pixels).permute(2, 1, 0).float() / 255",
                   "return torch.from_numpy(pixels).permute(2, 0, 1).float()",
                   "return torch.from_numpy(pixels).reshape(3, *pixels.shape[:2]).float() / 255")),
    fill_in("normalize", both("Normalize by hand: x (3, H, W), mean (3), std (3).",
                              "手写 Normalize：x (3, H, W)、mean (3)、std (3)。"), "def normalize(x, mean, std):",
            without=("Normalize", "for"), hint=both("mean[:, None, None]", "用 mean[:, None, None] 对齐通道"),
            solution="return (x - mean[:, None, None]) / std[:, None, None]",
            oracle=_normalized, cases=_normal,
            wrong=("return x - mean[:, None, None] / std[:, None, None]",
                   "return (x - mean[:, None, None]) / std[:, None, None] ** 2")),
)  # fmt: skip

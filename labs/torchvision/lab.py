"""Torchvision: data sets, networks, transforms, files and boxes, each package by steps that are checked.

    ./inv lab torchvision                          all steps, about ten seconds
    ./inv lab torchvision -- --input photo.jpg     an image of yours through the transforms
    ./inv practice torchvision                     the exercises, which check themselves

You learn what the packages of torchvision hold (section 41 of the notes), what its operations on boxes do, written out
as loops, why one transform gives other pixels on an image than on a tensor, and what moved between 0.6.0 and 0.26.0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from labkit.base.language import both
from labkit.data import image_files
from labkit.runs import steps
from labkit.runs import then_and_now as versions
from labkit.runs.run import Run
from labkit.runs.start import start
from labs.torchvision import figures, forms, then_and_now
from labs.torchvision.config import PRESETS, Config
from labs.torchvision.steps import GROUPS, SETUP


def own_image(path: str) -> np.ndarray:
    """The user's image, as large as the lab's own: uint8 RGB (96, 128, 3)."""
    image = Image.fromarray(image_files.read_image(Path(path)))
    return np.asarray(image.resize((figures.WIDTH, figures.HEIGHT), Image.BILINEAR))


def show_forms(run: Run, image: np.ndarray) -> int:
    """Put one image through all operations in all forms; returns how many differ between an image and a tensor."""
    results = forms.in_all_forms(image)
    run.figure("transforms", figures.transforms(results, image),
               both("One image through each operation.", "同一张图经过每种操作。"))  # fmt: skip
    rows = []
    for name, made in results.items():
        between = [forms.apart(made["pil"], made["tensor"]), forms.apart(made["pil"], made["v2 pil"]),
                   forms.apart(made["tensor"], made["v2 tensor"])]  # fmt: skip
        rows.append([f"`{name}`", *between])
    heads = [both("operation", "操作"), both("image and tensor", "图像与张量"),
             both("v1 and v2, image", "v1 与 v2，图像"),
             both("v1 and v2, tensor", "v1 与 v2，张量")]  # fmt: skip
    run.table("forms", heads, rows, both(
        "How far two forms of an operation are apart, in grey levels: the mean and the largest difference, 0 where "
        "every pixel is the same, or the error of a form that this version does not have.",
        "同一操作两种形式相差多少灰度级：平均差与最大差；0 表示每个像素相同；若此版本没有该形式，则写出错误名"
        "。"))  # fmt: skip
    return sum(not same(made) for made in results.values())


def same(made: dict[str, Any]) -> bool:
    """Whether an image and a tensor became the same, as far as both became anything."""
    return forms.apart(made["pil"], made["tensor"]) in ("0", "TypeError", "AttributeError", "AssertionError")


def main(config: Config, run: Run) -> dict[str, float]:
    """Run every step, put an image through the transforms, and show what moved between two versions."""
    held = 0
    for number, group in enumerate(GROUPS, start=1):
        held += steps.table(run, f"group-{number}", group, SETUP)
        run.log(number, held=held)
    run.figure("suppression", figures.suppression(), both(
        "Non-maximum suppression: the lower the threshold, the fewer boxes stay. Strong colours are high scores.",
        "非极大值抑制：阈值越低，留下的框越少。颜色越深，得分越高。"))  # fmt: skip
    run.figure("regions", figures.regions(), both(
        "The same region (orange) on a grid of features. RoIPool reads whole pixels, those within the dashed line; "
        "RoIAlign reads between them, at the green points.",
        "同一区域（橙色）落在特征网格上。RoIPool 读取虚线内的整像素；RoIAlign 在绿点处、像素之间取值。"))  # fmt: skip
    differ = show_forms(run, own_image(config.input) if config.input else figures.drawn_image())
    count = len(then_and_now.CALLS)
    versions.table(run, then_and_now.FILE, then_and_now.VERSIONS,
                   both(f"Then and now: {count} calls, each run on both.",
                        f"今昔对照：{count} 个调用，在两个版本上实际运行所得。"))  # fmt: skip
    return {"steps": held, "differ": differ}


if __name__ == "__main__":
    start(main, Config, PRESETS)

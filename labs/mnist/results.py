"""What the report of the lab mnist shows: the images as the network gets them, results, layers, and a photo read."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch

from labkit.base.language import both
from labkit.runs import classified, plots
from labkit.runs.ink import Reading
from labkit.runs.run import Run
from labs.mnist import data
from labs.mnist.config import Config
from labs.mnist.models import DIGITS, layers

NAMES = [str(digit) for digit in range(DIGITS)]


def show_images(run: Run, digits: data.Digits, config: Config) -> None:
    """Ten training images, each four times as the network gets it."""
    shown = digits[:10]
    source = data.Source(shown, config.side, config.shift, config.warp, digits.pixels.device)
    rows = [data.middle(shown.pixels, config.side).float()]
    for epoch in range(4):
        plan = data.plan_epoch(len(shown), config.shift, run.seed, epoch, config.warp > 0)
        pixels, _ = source.batch(plan, slice(None))
        rows.append(pixels[plan.order.argsort()].float())
    sheet = torch.cat(rows).round().clamp(0, 255).byte().numpy()
    names = ["as stored", *(f"epoch {epoch}" for epoch in range(1, 5))]
    run.figure("training_images", plots.gallery(sheet, len(shown), names, [NAMES[k] for k in shown.labels]), both(
        f"Training images, of which the network sees the middle {config.side} x {config.side} pixels; and the same in "
        "four epochs, each time shifted" + (", turned, stretched and slanted" if config.warp else "") + " by chance.",
        f"训练图：网络只看中央的 {config.side} × {config.side} 像素；下面是同样的图在四轮中的样子，每次随机平移"
        + ("、旋转、伸缩、倾斜" if config.warp else "") + "。"))  # fmt: skip


def show_layers(run: Run, model: torch.nn.Module, example: torch.Tensor) -> None:
    """A row for each layer: the size of its output, its parameters, its multiply-adds; `example` is one image."""
    found = layers(model, example)
    rows: list[list[Any]] = [[f"`{each.name}`", each.kind, " x ".join(map(str, each.output)), each.parameters,
                              each.macs] for each in found]  # fmt: skip
    everything = sum(p.numel() for p in model.parameters())
    rows.append([both("batch norms", "批归一化层"), "", "", everything - sum(each.parameters for each in found), ""])
    rows.append([both("together", "合计"), "", "", everything, sum(each.macs for each in found)])
    run.table("layers", [both("layer", "层"), both("kind", "类型"), both("output for an image", "每幅图的输出"),
                         both("parameters", "参数"), both("multiply-adds", "乘加次数")], rows, both(
        "A convolution has k x k x inputs x outputs weights, and uses each of them once at every place of its output: "
        "that is why the first layer moves in steps.",
        "卷积层有 k × k × 输入通道 × 输出通道 个权重，在输出的每个位置各用一次：所以第一层要跨步移动。"))  # fmt: skip


def show_result(run: Run, row: dict[str, Any], metrics: dict[str, float], images: int, config: Config) -> None:
    """The numbers of the run."""
    names = {
        "accuracy": both("accuracy, each test image looked at once", "准确率，每幅测试图看一次"),
        "views_accuracy": both("with four shifted views of each test image (five times the work)",
                               "每幅测试图再加四个平移视图（五倍计算量）"),
        "holdout_accuracy": both("accuracy on the held-out training images", "留出的训练图上的准确率"),
    }  # fmt: skip
    rows: list[list[Any]] = [[name, f"{metrics[key]:.2%}"] for key, name in names.items() if key in metrics]
    rows += [[both("training images", "训练图片数"), images],
             [both("epochs", "轮数"), config.epochs],
             [both("seconds of training", "训练秒数"), f"{row['seconds']:.1f}"],
             [both("images per second of training", "每秒训练图片数"), f"{row['rate']:,.0f}"]]  # fmt: skip
    run.table("result", [both("what", "项目"), both("value", "值")], rows, both(
        "The result. Seconds are of the training steps alone, without reading, checks and this report.",
        "结果。秒数只计训练步骤，不含读取、检查和本报告。"))  # fmt: skip


def show_test(run: Run, test: data.Digits, probabilities: np.ndarray) -> None:
    """Which digit is taken for which, and the wrong cases; `probabilities` (N, 10)."""
    labels = test.labels.numpy()
    classified.show_confusion(run, labels, probabilities.argmax(axis=1), NAMES)
    classified.show_mistakes(run, test.pixels.numpy(), labels, probabilities, NAMES)


def show_folds(run: Run, rows: list[dict[str, Any]]) -> dict[str, float]:
    """The accuracy of each fold on the images that it did not train on; returns their mean and deviation."""
    found = np.array([row["accuracy"] for row in rows])
    mean, deviation = float(found.mean()), float(found.std(ddof=1))
    table: list[list[Any]] = [[row["label"], row["images"], row["judged"], f"{row['accuracy']:.2%}",
                               f"{row['seconds']:.1f}"] for row in rows]  # fmt: skip
    table.append([both("mean ± deviation", "均值 ± 标准差"), "", "", f"{mean:.2%} ± {deviation:.2%}",
                  f"{sum(row['seconds'] for row in rows):.1f}"])  # fmt: skip
    run.table("folds", [both("fold", "折"), both("trained on", "训练图片"), both("judged on", "评判图片"),
                        both("accuracy", "准确率"), both("seconds of training", "训练秒数")], table, both(
        f"{len(rows)}-fold cross-validation: each training image is judged once, by the network that never saw it. No "
        "test image was looked at, so choices may rest on this.",
        f"{len(rows)} 折交叉验证：每幅训练图由没见过它的网络评判一次。没有用到测试图，可以据此做选择。"))  # fmt: skip
    return {"fold_accuracy": mean, "fold_deviation": deviation}


# ---- a photo ----


def show_reading(run: Run, reading: Reading, probabilities: np.ndarray) -> None:
    """Every step from the photo to the 28 x 28 pixels, and what the network says of them; `probabilities` (10,)."""
    figure, axes = plots.figure(2, 4, width=11, height=2.9)
    x, y, width, height = reading.box
    boxed = reading.photo.copy()
    cv2.rectangle(boxed, (x, y), (x + width, y + height), (213, 94, 0), max(2, max(boxed.shape) // 150))
    outline = 255 - reading.ink
    images = [
        ("the photo", reading.photo), ("1. grey", reading.grey), ("2. its paper, by a wide median", reading.paper),
        (f"3. {'darker' if reading.dark_ink else 'lighter'} than the paper", reading.difference),
        ("5. ink: more than that", outline), ("6. its box in the photo", boxed),
        ("7. 20 x 20 in 28 x 28", reading.digit),
    ]  # fmt: skip
    places = [axes[0, 0], axes[0, 1], axes[0, 2], axes[0, 3], axes[1, 1], axes[1, 2], axes[1, 3]]
    for axis, (title, image) in zip(places, images):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255)
        axis.set_title(title, fontsize=9)
        axis.axis("off")
    places[-1].axis("on")
    places[-1].set_xticks([4, 14, 24])
    places[-1].set_yticks([4, 14, 24])
    places[-1].grid(False)
    places[-1].plot([13.5], [13.5], "+", color=plots.COLOURS[1], markersize=9)
    histogram = axes[1, 0]
    histogram.hist(reading.difference.ravel(), bins=64, range=(0, 256), color="#999999", log=True)
    histogram.axvline(reading.threshold, color=plots.COLOURS[1])
    histogram.set_title(f"4. Otsu's threshold: {reading.threshold}", fontsize=9)
    histogram.set_xlabel("grey levels from the paper")
    histogram.set_ylabel("pixels")
    figure.tight_layout()
    run.figure("reading", figure, both(
        "From the photo to what the network sees: grey; the paper with its light and shadow; the distance from it; "
        "Otsu's threshold, which divides the histogram so that both parts vary least; the ink; its box; and the digit "
        "as MNIST's authors made theirs, 20 pixels at most, its centre of mass (+) in the middle.",
        "从照片到网络看到的图：灰度；带光影的纸面；与纸面之差；Otsu 阈值，它把直方图分成两部分，使各自内部方差最小；"
        "墨迹；外接框；最后按 MNIST 作者的做法，最长边 20 像素，质心（+）放在正中。"))  # fmt: skip
    chances, made = plots.figure(width=6, height=2.4)
    bars = made[0, 0]
    bars.bar(range(DIGITS), probabilities)
    bars.set_xticks(range(DIGITS))
    bars.set_xlabel("digit")
    bars.set_ylabel("probability")
    bars.set_ylim(0, 1)
    run.figure("prediction", chances, both("What the network takes it for.", "网络的判断。"))

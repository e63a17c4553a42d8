"""Whether a network that says 90 % is right nine times in ten, and one number that mends it.

Source: Guo et al., On Calibration of Modern Neural Networks (2017).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from labkit.base.language import both
from labkit.runs import plots
from labkit.runs.run import Run
from labs.mnist.entropy import softmax

BINS = 15
COLDEST, HOTTEST = 0.05, 20.0  # the temperatures between which the best is looked for
GOLDEN = (5**0.5 - 1) / 2


class Bin(NamedTuple):
    """The images whose likeliest digit has a probability in one part of 0..1."""

    images: int
    confidence: float  # the mean of these probabilities
    accuracy: float  # how many of the images are right


def bins(probabilities: np.ndarray, labels: np.ndarray, count: int = BINS) -> list[Bin]:
    """The bins that are not empty, of equal width, of `probabilities` (N, K) and `labels` (N,).

    A confidence on the border of two bins belongs to the lower one.
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * count).astype(int) - 1, 0, count - 1)
    chosen = [place == k for k in range(count)]
    return [Bin(int(own.sum()), float(confidence[own].mean()), float(right[own].mean())) for own in chosen if own.any()]


def ece(probabilities: np.ndarray, labels: np.ndarray, count: int = BINS) -> float:
    """The expected calibration error: how far confidence and accuracy are apart, in the mean over all images."""
    found = bins(probabilities, labels, count)
    return sum(each.images * abs(each.accuracy - each.confidence) for each in found) / len(labels)


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray) -> float:
    """The mean of -log q of the label, in nats: `logits` (N, K), `labels` (N,)."""
    z = logits.astype(np.float64)
    z = z - z.max(axis=1, keepdims=True)
    return float((np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(labels)), labels]).mean())


def best_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The T for which the softmax of `logits` / T (N, K) makes the `labels` (N,) likeliest.

    Dividing changes no likeliest digit and so no accuracy: above 1 the network was too sure, below 1 not sure enough.
    The loss is convex in 1 / T, so it falls and then rises along T, and golden section closes in on the lowest place:
    of two places inside, what lies beyond the higher one is cut off.
    """

    def height(x: float) -> float:
        return negative_log_likelihood(logits / np.exp(x), labels)

    low, high = np.log(COLDEST), np.log(HOTTEST)
    while high - low > 1e-3:
        one, other = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        low, high = (low, other) if height(one) <= height(other) else (one, high)
    return float(np.exp((low + high) / 2))


def show(run: Run, logits: np.ndarray, labels: np.ndarray, chosen: tuple[np.ndarray, np.ndarray] | None,
         smoothing: float) -> dict[str, float]:  # fmt: skip
    """The reliability of a network before and after its temperature; returns both ECEs and the temperature.

    `chosen` are the held-out logits and labels by which the temperature is taken; where nothing was held out, every
    second test image does that, and the others judge.
    """
    if chosen is None:
        chosen, logits, labels = (logits[::2], labels[::2]), logits[1::2], labels[1::2]
        whence = both("chosen on every second test image and judged on the others", "在一半测试图上选取，"
                                                                                    "在另一半上评判")
    else:
        whence = both("chosen on the held-out images", "在留出的图片上选取")
    temperature = best_temperature(*chosen)
    ways = [("T = 1", softmax(logits.astype(np.float64))),
            (f"T = {temperature:.2f}", softmax(logits.astype(np.float64) / temperature))]  # fmt: skip
    if (chosen[0].argmax(axis=1) == chosen[1]).all():
        run.note(both("Every image that the temperature was chosen by was right, so the smallest one that was tried "
                      "won: it says "
                      "nothing.", "选取温度所用的图片全部答对，最小值获胜：这个温度没有意义。"))  # fmt: skip
    errors = [ece(q, labels) for _, q in ways]
    rows = [[name, f"{ece_:.2%}", f"{q.max(axis=1).mean():.2%}", f"{(q.argmax(axis=1) == labels).mean():.2%}",
             f"{negative_log_likelihood(logits / t, labels):.4f}"]
            for (name, q), ece_, t in zip(ways, errors, (1.0, temperature))]  # fmt: skip
    run.figure("calibration", reliability([(name, q, labels) for name, q in ways]), both(
        "Reliability: each dot is the images of one bin, how sure the network was against how often it was right; the "
        "larger, the more images. Below the diagonal it was too sure, above it not sure enough.",
        "可靠性图：每个点代表一个区间里的图片，横轴是网络有多确信，纵轴是实际答对的比例，点越大图片越多。对角线以下是"
        "过于自信，以上是信心不足。"))  # fmt: skip
    run.table("calibration", [both("temperature", "温度"), "ECE", both("mean confidence", "平均置信度"),
                              both("accuracy", "准确率"), both("-log q, nats", "−log q（nat）")], rows, both(
        f"The temperature was {whence.en}. This network learned with label smoothing {smoothing:g}, which forbids it "
        "to be as sure as it is right: a T below 1 gives that back.",
        f"温度是{whence.zh}的。这个网络训练时的标签平滑为 {smoothing:g}，它不允许网络像答对率那样确信：小于 1 的 T "
        "把信心还给它。"
    ) if smoothing else both(
        f"The temperature was {whence.en}. This network learned without label smoothing.",
        f"温度是{whence.zh}的。这个网络训练时没有标签平滑。"))  # fmt: skip
    return {"ece": errors[0], "ece_scaled": errors[1], "temperature": temperature}


def reliability(ways: list[tuple[str, np.ndarray, np.ndarray]]) -> plots.Figure:
    """A diagram for each (name, probabilities (N, K), labels (N,)), side by side."""
    figure, axes = plots.figure(columns=len(ways), width=4.2 * len(ways), height=3.8)
    for axis, (name, q, labels) in zip(axes[0], ways):
        found = bins(q, labels)
        axis.plot([0, 1], [0, 1], "--", color="#999999", linewidth=1)
        sizes = [15 + 300 * each.images / len(labels) for each in found]
        axis.scatter([each.confidence for each in found], [each.accuracy for each in found], s=sizes, alpha=0.75)
        for number, each in enumerate(found):
            axis.annotate(f"{each.images}", (each.confidence, each.accuracy), (0, 10 if number % 2 else -16),
                          textcoords="offset points", ha="center", fontsize=6.5)  # fmt: skip
        axis.set_title(f"{name}: ECE {ece(q, labels):.2%}")
        axis.set_xlabel("confidence")
        axis.set_ylabel("accuracy")
        axis.set_xlim(0, 1.05)
        axis.set_ylim(-0.08, 1.12)
    figure.tight_layout()
    return figure

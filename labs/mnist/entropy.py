"""The loss of this lab from its beginning: surprise, entropy, cross-entropy, and what label smoothing does to them.

Everything is in nats, since PyTorch takes the natural logarithm; one bit is log 2 = 0.693 nats.
Source: Shannon, A Mathematical Theory of Communication (1948); section 44 of the notes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from labkit.base.language import both
from labkit.runs import plots
from labkit.runs.run import Run

# ---- by hand: p and q are distributions over the same outcomes, (K,) ----


def entropy(p: np.ndarray) -> float:
    """Σ p log (1 / p), the mean surprise of who knows p. An outcome that never comes surprises nobody: 0 log 0 is 0."""
    return sum(float(share) * np.log(1 / share) for share in p if share > 0)


def cross_entropy(p: np.ndarray, q: np.ndarray) -> float:
    """-Σ p log q, the mean surprise of who believes q while p is true: infinite where q rules out what happens."""
    with np.errstate(divide="ignore"):
        return -sum(float(share) * np.log(believed) for share, believed in zip(p, q) if share > 0)


def kl(p: np.ndarray, q: np.ndarray) -> float:
    """Σ p log (p / q), what believing q costs beyond the entropy of p: never below 0, and 0 for q = p alone."""
    return cross_entropy(p, q) - entropy(p)


def softmax(logits: np.ndarray) -> np.ndarray:
    """(..., K) -> (..., K): positive, with the sum 1. Less the largest first, since exp(1000) is too large to write."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def smoothed(label: int, classes: int, share: float) -> np.ndarray:
    """The target: 1 at the label, of which `share` is spread over all classes (K,)."""
    target = np.full(classes, share / classes)
    target[label] += 1 - share
    return target


# ---- the loss of the training ----


def loss(logits: torch.Tensor, labels: torch.Tensor, smoothing: float) -> torch.Tensor:
    """The mean cross-entropy of the softmax of `logits` (N, K) against the smoothed `labels` int64 (N,), in float32.

    With the target of `smoothed`, -Σ p log q is (1 - s) times the label's surprise plus s times the mean surprise of
    all classes. Source: Szegedy et al., Rethinking the Inception Architecture (2016), section 7.
    """
    log_q = F.log_softmax(logits.float(), dim=1)  # (N, K)
    of_label = log_q.gather(1, labels.unsqueeze(1)).mean()
    return -(1 - smoothing) * of_label - smoothing * log_q.mean()


# ---- the lesson in the report ----


def show(run: Run, pixels: np.ndarray, label: int, logits: np.ndarray, smoothing: float) -> None:
    """One test image, uint8 (28, 28), from its `logits` (10,) to its loss, each step by hand."""
    q = softmax(logits.astype(np.float64))
    hard, target = smoothed(label, len(q), 0.0), smoothed(label, len(q), smoothing)
    run.figure("entropy", _figure(pixels, label, q, target), both(
        "Left: the entropy of a coin is largest when nobody can know. Then a test image of which the network was "
        "unsure, its target and what the network believes; and the surprise -log q of what happens: to be sure and "
        "wrong costs without limit.",
        "左：硬币的熵在最无法预料时最大。其后是一幅让网络拿不准的测试图、它的目标分布和网络的判断；最右是发生之事的意"
        "外程度 −log q：自信而错，代价没有上限。"))  # fmt: skip
    rows = [
        [both("logits z, what the last layer gives", "logits z，最后一层的输出"), _numbers(logits)],
        ["q = exp(z) / Σ exp(z)", _numbers(q)],
        [both("target p: one-hot", "目标 p：one-hot"), _numbers(hard)],
        [both("its entropy H(p)", "它的熵 H(p)"), f"{entropy(hard):.4f}"],
        [both("cross-entropy H(p, q) = -log q of the label", "交叉熵 H(p, q)，即标签的 −log q"),
         f"{cross_entropy(hard, q):.4f}"],
        ["F.cross_entropy", f"{_by_torch(logits, label):.4f}"],
        [both(f"target p with label smoothing {smoothing:g}", f"标签平滑 {smoothing:g} 后的目标 p"), _numbers(target)],
        ["H(p)", f"{entropy(target):.4f}"],
        ["KL(p ‖ q)", f"{kl(target, q):.4f}"],
        ["H(p, q) = H(p) + KL(p ‖ q)", f"{cross_entropy(target, q):.4f}"],
        [both("the loss of this lab", "本实验的损失"), f"{_by_lab(logits, label, smoothing):.4f}"],
    ]  # fmt: skip
    run.table("entropy", [both("of this image, in nats", "这幅图，单位 nat"), both("value", "值")], rows, both(
        "H(p) does not depend on the network, so lowering the cross-entropy is lowering the KL divergence. With a "
        "one-hot target H(p) is 0 and the best possible loss is 0; with label smoothing the best possible loss is "
        "H(p).",
        "H(p) 与网络无关，所以降低交叉熵就是降低 KL 散度。目标是 one-hot 时 H(p) 为 0，损失最低可到 0；有标签平滑时，"
        "损失最低只能到 H(p)。"))  # fmt: skip


def _numbers(values: np.ndarray) -> str:
    return "  ".join(f"{value:.3g}" for value in np.round(values, 4))


def _by_torch(logits: np.ndarray, label: int) -> float:
    return float(F.cross_entropy(torch.from_numpy(logits[None]).float(), torch.tensor([label])))


def _by_lab(logits: np.ndarray, label: int, smoothing: float) -> float:
    return float(loss(torch.from_numpy(logits[None]), torch.tensor([label]), smoothing))


def _figure(pixels: np.ndarray, label: int, q: np.ndarray, target: np.ndarray) -> plots.Figure:
    figure, axes = plots.figure(columns=4, width=11, height=2.7)
    coin, image, bars, surprise = axes[0]
    p = np.linspace(0, 1, 201)
    coin.plot(p, [entropy(np.array([share, 1 - share])) for share in p])
    coin.plot([0.5], [np.log(2)], "o", color=plots.COLOURS[1])
    coin.annotate("log 2", (0.5, np.log(2)), (0.38, 0.55), fontsize=9)
    coin.set_title("entropy of a coin")
    coin.set_xlabel("probability of heads")
    coin.set_ylabel("nats")
    image.imshow(pixels, cmap="gray_r", vmin=0, vmax=255)
    image.set_title(f"a test image: {label}")
    image.axis("off")
    digits = np.arange(len(q))
    bars.bar(digits - 0.2, target, 0.4, label="target p")
    bars.bar(digits + 0.2, q, 0.4, label="network q")
    bars.set_title("target and belief")
    bars.set_xticks(digits)
    bars.set_xlabel("digit")
    bars.legend(fontsize=8)
    x = np.linspace(0.005, 1, 300)
    surprise.plot(x, -np.log(x))
    surprise.plot([max(q[label], 0.005)], [-np.log(max(q[label], 0.005))], "o", color=plots.COLOURS[1])
    surprise.set_title("surprise, -log q")
    surprise.set_xlabel("q of the label")
    surprise.set_ylabel("nats")
    figure.tight_layout()
    return figure

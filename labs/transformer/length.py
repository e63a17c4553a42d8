"""The part length: a string is copied, by each way to tell places apart, up to twice the length of the training."""

from __future__ import annotations

from typing import Any, Mapping

import torch
from torch.nn import functional as F

from labkit.base.console import say
from labkit.base.language import Both, both
from labkit.runs import plots
from labkit.runs.run import Run
from labs.transformer import positions
from labs.transformer.config import Config, Sizes
from labs.transformer.networks import GRUReader, LeftToRight, write
from labs.transformer.training import MUON, Training

SIGNS = "0123456789="
SYMBOLS, EQUALS = 10, 10  # digits, and the number of the sign between a string and its copy
SHORTEST, LONGEST = 2, 12  # of the strings that are learned
JUDGED = (6, 9, 12, 14, 16, 18, 20, 22, 24)  # lengths
STRINGS = 200  # of each
NOTHING = -1
LOOKED_AT = 50  # strings at each look, of the longest kind

NAMES: dict[str, Both] = {
    "none": both("no places", "无位置"),
    "sinusoidal": both("sin and cos", "正弦余弦"),
    "learned": both("learned table", "学习的位置表"),
    "rotary": both("rotary", "旋转位置"),
    "relative": both("relative", "相对位置"),
    "offset": both("sin and cos from a drawn beginning", "正弦余弦，随机起点"),
    "randomised": both("sin and cos of randomised places", "正弦余弦，随机化位置"),
    "gru": both("GRU, no attention", "GRU，无注意力"),
}


def build(scheme: str, sizes: Sizes, shared: bool = False) -> Any:
    if scheme == "gru":
        return GRUReader(SYMBOLS + 1, 2 * sizes.width)
    return LeftToRight(SYMBOLS + 1, sizes, scheme, shared)


def strings(count: int, length: int, random: torch.Generator) -> torch.Tensor:
    """Drawn digits, int64 (count, length)."""
    return torch.randint(SYMBOLS, (count, length), generator=random)


def asked(drawn: torch.Tensor) -> torch.Tensor:
    """Strings (N, n) as they are given: the string and the sign behind it, (N, n + 1)."""
    return torch.cat([drawn, torch.full_like(drawn[:, :1], EQUALS)], dim=1)


def copied(drawn: torch.Tensor) -> torch.Tensor:
    """Strings (N, n) as a network reads them in training: "1 2 3 = 1 2", (N, 2 n); the last digit is only said."""
    return torch.cat([asked(drawn), drawn[:, :-1]], dim=1)


def loss_of(network: Any, drawn: torch.Tensor, scheme: str, random: torch.Generator) -> torch.Tensor:
    """The mean loss of the digits behind the sign; in front of it there is nothing to guess."""
    words = copied(drawn)
    places = positions.drawn(scheme, len(words), words.shape[1], random)
    device = next(network.parameters()).device
    logits = network(words.to(device), places.to(device))[:, drawn.shape[1] :]
    return F.cross_entropy(logits.reshape(-1, logits.shape[2]), drawn.to(device).flatten())


def training(config: Config, scheme: str, seed: int, looks: int = 5) -> Training:
    """Batches of one length each: nothing is padded and nothing but the future is masked."""
    sizes = config.sizes("length", scheme)

    def loss(network: Any, step: int) -> torch.Tensor:
        random = torch.Generator().manual_seed(1_000_003 * (seed + 1) + step)
        length = int(torch.randint(SHORTEST, LONGEST + 1, (1,), generator=random))
        return loss_of(network, strings(sizes.batch, length, random), scheme, random)

    return Training(f"length/{scheme}", lambda: build(scheme, sizes, config.shared), loss, sizes.steps, sizes.lr,
                    0.0 if scheme == "gru" else MUON, seed, min(looks, sizes.steps),
                    lambda network: judge(network, scheme, 2 * LONGEST, LOOKED_AT)[0], "right")  # fmt: skip


def trainings(config: Config, seed: int) -> list[Training]:
    return [training(config, scheme, seed) for scheme in config.chosen]


def judge(network: Any, scheme: str, length: int, count: int = STRINGS) -> tuple[float, float]:
    """Of drawn strings that no training saw: the share of symbols that are right, and of whole strings."""
    drawn = strings(count, length, torch.Generator().manual_seed(2**31 + length))
    device = next(network.parameters()).device
    places = positions.judged(scheme, 2 * length).to(device)
    right = write(network, asked(drawn).to(device), length, places).cpu() == drawn
    return float(right.double().mean()), float(right.all(dim=1).double().mean())


def show(run: Run, config: Config, rows: Mapping[str, dict[str, Any]]) -> dict[str, float]:
    """The table and the curves of all schemes; the shares at twice the trained length."""
    networks = {one.name.partition("/")[2]: one.restored(rows[one.name]) for one in trainings(config, run.seed)}
    found = {scheme: [judge(network, scheme, length) for length in JUDGED] for scheme, network in networks.items()}
    table = []
    for scheme, shares in found.items():
        row = rows[f"length/{scheme}"]
        table.append([NAMES[scheme], f"{row['steps']:,}", f"{row['seconds']:.1f}",
                      *(f"{100 * symbols:.0f} ({100 * whole:.0f})" for symbols, whole in shares)])  # fmt: skip
    heads: list[Any] = [both("places", "位置"), both("steps", "步"), both("seconds", "秒"), *map(str, JUDGED)]
    run.table("lengths", heads, table, both(
        "Strings of 10 digits copied: symbols right, and in brackets whole strings right, in %, by length. Trained on "
        f"lengths {SHORTEST} to {LONGEST}. {STRINGS} strings of each length, each digit after what was said itself. "
        "Guessing gives 10 %.",
        f"复制 10 种数字组成的串：正确的符号（括号内为整串正确），%，按长度。训练长度 {SHORTEST} 到 {LONGEST}。每个长"
        f"度 {STRINGS} 串，逐个接着自己说出的数字。瞎猜为 10 %。"))  # fmt: skip
    draw(run, found)
    examples(run, networks)
    best = max(found, key=lambda scheme: found[scheme][-1][0])
    at_trained = found[best][JUDGED.index(LONGEST)]
    say(f"twice the trained length: best is {best}, {found[best][-1][0]:.1%} of the symbols, "
        f"{found[best][-1][1]:.1%} of the strings")  # fmt: skip
    return {"copied": found[best][-1][0], "copied_whole": found[best][-1][1], "copied_trained": at_trained[0],
            **{f"copied/{scheme}": shares[-1][0] for scheme, shares in found.items()}}  # fmt: skip


def draw(run: Run, found: Mapping[str, list[tuple[float, float]]]) -> None:
    figure, axes = plots.figure(1, 2, width=10, height=3.4)
    marks = "osv^DP*X"
    for k, (scheme, shares) in enumerate(found.items()):
        colour = plots.COLOURS[k % len(plots.COLOURS)]
        line = "--" if scheme == "gru" else "-"
        for axis, part in zip(axes[0], (0, 1)):
            axis.plot(JUDGED, [100 * share[part] for share in shares], line, color=colour, marker=marks[k % len(marks)],
                      markersize=4, label=scheme)  # fmt: skip
    for axis, title in zip(axes[0], ("symbols right, %", "whole strings right, %")):
        axis.axvspan(LONGEST + 0.5, JUDGED[-1] + 0.5, color="#f0f0f0", zorder=0)
        axis.set_title(title)
        axis.set_xlabel("digits in the string")
        axis.set_ylim(-3, 103)
        axis.set_xticks(JUDGED)
    axes[0, 0].text(LONGEST + 0.8, 2, "longer than in training", fontsize=8)
    axes[0, 1].legend(fontsize=8)
    figure.tight_layout()
    run.figure("lengths", figure, both(
        "The two failures that the notes name: a string is copied, and what is longer than in training. Grey: longer.",
        "笔记说的两个缺点：复制字符串，以及比训练时更长的序列。灰色：比训练时长。"))  # fmt: skip


@torch.no_grad()
def examples(run: Run, networks: Mapping[str, Any]) -> None:
    """What each network makes of a string of a trained length, and of one of twice as many digits; ˣ marks mistakes."""
    heads: list[Any] = [both("places", "位置")]
    rows: list[list[Any]] = [[NAMES[scheme]] for scheme in networks]
    for length in (LONGEST, 2 * LONGEST):
        drawn = strings(1, length, torch.Generator().manual_seed(length))
        heads.append("".join(map(str, drawn[0].tolist())))
        for row, (scheme, network) in zip(rows, networks.items()):
            said = write(network, asked(drawn), length, positions.judged(scheme, 2 * length))
            row.append("".join(str(digit) if digit == right else f"{SIGNS[digit]}ˣ"
                               for digit, right in zip(said[0].tolist(), drawn[0].tolist())))  # fmt: skip
    run.table("copies", heads, rows, both(
        "The strings on top as each network copies them; ˣ stands behind what is wrong.",
        "最上面一行的串，各网络复制的结果；ˣ 表示前一个符号有错。"))  # fmt: skip

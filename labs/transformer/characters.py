"""The part characters: a decoder alone that learns to write a text on, in two recipes."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any, Mapping, NamedTuple

import torch
from torch.nn import functional as F

from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.base.language import Both, both
from labkit.base.paths import shown
from labkit.runs import plots, text
from labkit.runs.run import Run
from labs.transformer.config import Config, Sizes
from labs.transformer.networks import LeftToRight
from labs.transformer.training import MUON, Training

T = 64  # characters that are seen at once
HELD = 0.1  # the last part of the text, which judges
LEAST = 40 * T  # characters
MOST_LETTERS = 5000  # different ones: enough for Chinese
MOST_BYTES = 8 << 20
CHARACTERS_A_SECOND = 8000  # that a core trains on, about
JUDGED = 480  # windows
LOOKS = 6
TEMPERATURES = (0.3, 0.7, 1.0, 1.5)
WRITTEN = 240  # characters at each temperature

NAMES: dict[str, Both] = {
    "modern": both("rotary, QK norm, ReLU², RMS norm, Muon", "旋转位置、QK 归一化、ReLU²、RMSNorm、Muon"),
    "plain": both("learned places, GELU, LayerNorm, AdamW", "学习的位置、GELU、LayerNorm、AdamW"),
}


class Play(NamedTuple):
    """The letters that occur, and the text as their numbers, int64 (count,)."""

    letters: list[str]
    numbers: torch.Tensor

    @property
    def border(self) -> int:
        return int(len(self.numbers) * (1 - HELD))


def read(config: Config, run: Run) -> Play:
    """A text of the user's, or Tiny Shakespeare."""
    if config.text:
        return of_text(Path(config.text), "./inv lab transformer -- --text FILE")
    return of_text(run.dataset("shakespeare") / "input.txt", "./inv data shakespeare --verify")


def of_text(path: Path, again: str) -> Play:
    """A text as numbers. Raises UserError for one that is too short or too long, or written in too many letters."""
    size = path.stat().st_size
    if size > MOST_BYTES:
        hours = size / CHARACTERS_A_SECOND / 3600
        raise UserError(f"{shown(path)} has {size >> 20:,} MB, of which one epoch takes about {hours:.0f} hours of a "
                        f"processor's core; {MOST_BYTES >> 20} MB are the most", again)  # fmt: skip
    content = "\n".join(text.read_lines(path, MOST_BYTES))
    letters = sorted(set(content))
    if len(content) < LEAST:
        raise UserError(f"{shown(path)} has {len(content):,} characters, and {LEAST:,} are the least: a training sees "
                        f"{T} at once", again)  # fmt: skip
    if len(letters) > MOST_LETTERS:
        raise UserError(f"{shown(path)} has {len(letters):,} different characters, and {MOST_LETTERS:,} are the most",
                        again)  # fmt: skip
    numbers = {letter: number for number, letter in enumerate(letters)}
    return Play(letters, torch.tensor([numbers[letter] for letter in content]))


def build(letters: int, sizes: Sizes, recipe: str) -> LeftToRight:
    return LeftToRight(letters, sizes, "rotary" if recipe == "modern" else "learned", recipe=recipe, places=T)


def windows(play: Play, starts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Pieces of the text from `starts` (N,), and the same one letter further: (N, T) each."""
    places = starts[:, None] + torch.arange(T)
    return play.numbers[places], play.numbers[places + 1]


def loss_of(network: LeftToRight, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Nats a letter, a mean over all places of all windows."""
    device = network.output.weight.device
    return F.cross_entropy(network(inputs.to(device)).flatten(0, 1), targets.to(device).flatten())


def trainings(config: Config, play: Play, seed: int) -> list[Training]:
    sizes = config.sizes("characters")

    def loss(network: LeftToRight, step: int) -> torch.Tensor:
        random = torch.Generator().manual_seed(1_000_003 * (seed + 1) + step)
        return loss_of(network, *windows(play, torch.randint(play.border - T - 1, (sizes.batch,), generator=random)))

    return [Training(f"characters/{recipe}", functools.partial(build, len(play.letters), sizes, recipe), loss,
                     sizes.steps, sizes.lr, MUON if recipe == "modern" else 0.0, seed, min(LOOKS, sizes.steps),
                     lambda network: held_out(network, play), "held_out") for recipe in config.recipes]  # fmt: skip


@torch.no_grad()
def held_out(network: LeftToRight, play: Play) -> float:
    """The loss on windows of the last part of the text, nats a letter."""
    room = len(play.numbers) - play.border - T - 1
    count = min(JUDGED, room)
    inputs, targets = windows(play, play.border + torch.arange(count) * (room // count))
    losses = [float(loss_of(network, *batch)) * len(batch[0]) for batch in zip(inputs.split(80), targets.split(80))]
    return sum(losses) / count


@torch.no_grad()
def write(network: LeftToRight, first: torch.Tensor, count: int, temperature: float, seed: int) -> list[int]:
    """`count` letters that follow `first` (T,): drawn from softmax(logits / temperature), one by one.

    What was read is kept, until it is as long as a window: then its second half is read anew, from place 0 on.
    """
    random = torch.Generator().manual_seed(seed)
    told, cache = first.tolist(), network.empty()
    device = network.output.weight.device
    logits = network(first[-T:][None].to(device), cache=cache)[0, -1]
    for _ in range(count):
        chances = torch.softmax(logits.double().cpu() / temperature, dim=0)
        told.append(int(torch.multinomial(chances, 1, generator=random)))
        read = told[-1:]
        if cache[0][0].shape[2] >= T:
            cache, read = network.empty(), told[-T // 2 :]
        logits = network(torch.tensor([read], device=device), cache=cache)[0, -1]
    return told[len(first) :]


def show(run: Run, config: Config, play: Play, rows: Mapping[str, dict[str, Any]]) -> dict[str, float]:
    """What each recipe has learned and what the best writes. Returns the held-out losses, nats a letter."""
    networks = {one.name.partition("/")[2]: one.restored(rows[one.name]) for one in trainings(config, play, run.seed)}
    losses = {recipe: held_out(network, play) for recipe, network in networks.items()}
    table: list[list[Any]] = []
    figure, axes = plots.figure(1, 1, width=6.4, height=3.0)
    for recipe, network in networks.items():
        row = rows[f"characters/{recipe}"]
        table.append([NAMES[recipe], sum(weight.numel() for weight in network.parameters()), row["steps"],
                      f"{row['seconds']:.1f}", f"{losses[recipe]:.3f}", f"{math.exp(losses[recipe]):.1f}"])  # fmt: skip
        axes[0, 0].plot(row["at"], row["judged"], "o-", label=recipe)
    heads: list[Any] = [both("recipe", "做法"), both("weights", "权重数"), both("steps", "步"), both("seconds", "秒"),
                        both("held-out loss, nats a letter", "留出文本上的损失，nat/字符"),
                        both("equally likely letters", "相当于几个等可能的字符")]  # fmt: skip
    run.table("characters", heads, table, both(
        f"Learned from windows of {T} of {play.border:,} characters, {len(play.letters)} different ones; judged by the "
        f"last tenth of the text. Knowing nothing: {math.log(len(play.letters)):.3f}.",
        f"从 {play.border:,} 个字符（{len(play.letters)} 种）中每次取 {T} 个学习，用文本的最后十分之一评判。一无所知"
        f"时为 {math.log(len(play.letters)):.3f}。"))  # fmt: skip
    axes[0, 0].set_xlabel("step")
    axes[0, 0].set_ylabel("nats a letter")
    axes[0, 0].set_title("loss on held-out text")
    axes[0, 0].legend()
    figure.tight_layout()
    run.figure("characters", figure, both("Text that no training has seen.", "训练未见过的文本。"))
    best = min(losses, key=losses.__getitem__)
    first = play.numbers[play.border : play.border + 40]
    written = [[f"{temperature:g}", "".join(play.letters[k] for k in write(networks[best], first, WRITTEN, temperature,
                                                                           run.seed))]
               for temperature in TEMPERATURES]  # fmt: skip
    run.table("written", [both("temperature", "温度"), both("what it writes", "它写的内容")], written, both(
        f"By {best}, after the same 40 letters. Below 1 the likely becomes likelier: it repeats itself; above 1 "
        "everything comes within reach.",
        f"{best} 所写，都接在同样的 40 个字符之后。温度低于 1，可能的更可能，文字重复；高于 1，"
        "什么都可能出现。"))  # fmt: skip
    say(f"loss {losses[best]:.3f} nats a letter on text it has not seen")
    return {"characters_loss": losses[best], **{f"characters_loss/{name}": loss for name, loss in losses.items()}}

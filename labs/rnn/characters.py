"""A network that writes: one character after the other, each drawn from what it finds likely after those before."""

from __future__ import annotations

import math
from typing import Any, Mapping, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from labkit.base.console import say
from labkit.base.errors import UserError
from labkit.base.language import both
from labkit.runs import text
from labkit.runs.run import Run
from labs.rnn.cells import LSTM
from labs.rnn.config import Config
from labs.rnn.training import Training

T, N, HIDDEN = 64, 32, 128
HELD = 0.1  # the last part of the text, which judges
MOST_LETTERS = 200  # different ones
TEMPERATURES = (0.3, 0.7, 1.0, 1.5)
WRITTEN = 240  # characters at each temperature


class Play(NamedTuple):
    """The letters that occur, and the text as their numbers, int64 (count,)."""

    letters: list[str]
    numbers: torch.Tensor

    @property
    def border(self) -> int:
        return int(len(self.numbers) * (1 - HELD))


def read(run: Run) -> Play:
    """Tiny Shakespeare. Raises UserError for what is too short, or written in too many letters."""
    path = run.dataset("shakespeare") / "input.txt"
    content = "\n".join(text.read_lines(path, 8 << 20))
    letters = sorted(set(content))
    if len(content) < 40 * T or len(letters) > MOST_LETTERS:
        raise UserError(f"{path.name} has {len(content):,} characters, {len(letters)} different ones; at least "
                        f"{40 * T:,} and at most {MOST_LETTERS} are "
                        "needed", "./inv data shakespeare --verify")  # fmt: skip
    numbers = {letter: number for number, letter in enumerate(letters)}
    return Play(letters, torch.tensor([numbers[letter] for letter in content]))


class Author(nn.Module):
    """Letters int64 (T, N) to logits of the next ones (T, N, letters)."""

    def __init__(self, letters: int) -> None:
        super().__init__()
        self.embedding, self.cell = nn.Embedding(letters, HIDDEN // 2), LSTM(HIDDEN // 2, HIDDEN, forget_bias=1.0)
        self.output = nn.Linear(HIDDEN, letters)

    def forward(self, letters: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.output(self.cell(self.embedding(letters))[0])
        return logits

    @torch.no_grad()
    def write(self, first: torch.Tensor, count: int, temperature: float, seed: int) -> list[int]:
        """`count` letters that follow `first`, int64 (T,): drawn from softmax(logits / temperature)."""
        random = torch.Generator().manual_seed(seed)
        outputs, state = self.cell(self.embedding(first.reshape(-1, 1)))
        written = []
        for _ in range(count):
            chances = torch.softmax(self.output(outputs[-1, 0]).double() / temperature, dim=0).cpu()
            letter = torch.multinomial(chances, 1, generator=random)
            written.append(int(letter))
            outputs, state = self.cell(self.embedding(letter.to(first.device).reshape(1, 1)), state)
        return written


def windows(play: Play, starts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Pieces of the text from `starts` (N,), and the same one letter further: (T, N) each."""
    places = torch.arange(T)[:, None] + starts
    return play.numbers[places], play.numbers[places + 1]


def trainings(config: Config, play: Play, seed: int) -> list[Training]:
    """The one network."""

    def batch(step: int) -> tuple[Any, torch.Tensor]:
        random = torch.Generator().manual_seed(1_000_003 * (seed + 1) + step)
        return windows(play, torch.randint(play.border - T - 1, (N,), generator=random))

    return [Training("characters/lstm", lambda: Author(len(play.letters)), batch, config.task_steps, 0.005, config.clip,
                     seed,
                     looks=10, look=lambda network: held_out(network, play))]  # fmt: skip


@torch.no_grad()
def held_out(network: nn.Module, play: Play) -> float:
    """The loss on the last part of the text, nats for a letter."""
    room = len(play.numbers) - play.border - T - 1
    inputs, targets = windows(play, play.border + torch.arange(min(200, room)) * (room // min(200, room)))
    device = next(network.parameters()).device
    return float(F.cross_entropy(network(inputs.to(device)).flatten(0, 1), targets.to(device).flatten()))


def show(run: Run, config: Config, play: Play, rows: Mapping[str, dict[str, Any]]) -> dict[str, float]:
    """What it has learned and what it writes. Returns the held-out loss, nats for a letter."""
    row = rows["characters/lstm"]
    (training,) = trainings(config, play, run.seed)
    author: Any = training.restored(row)
    loss, at_first = held_out(author, play), row["losses"][0]
    say(f"loss {loss:.3f} nats a letter on text it has not seen, {math.exp(loss):.1f} equally likely letters")
    shown: list[list[Any]] = [[both("letters that occur", "出现的不同字符"), len(play.letters)],
             [both("log of that: knowing nothing", "其对数：一无所知时的损失"), f"{math.log(len(play.letters)):.3f}"],
             [both("loss at the first step", "第一步的损失"), f"{at_first:.3f}"],
             [both("held-out loss, nats a letter", "留出文本上的损失，nat/字符"), f"{loss:.3f}"],
             [both("seconds of training", "训练秒数"), f"{row['seconds']:.1f}"]]  # fmt: skip
    run.table(
        "characters",
        [both("what", "项目"), both("value", "值")],
        shown,
        both("The network that writes.", "会写的网络。"),
    )
    first = play.numbers[play.border : play.border + 40]
    table = [[f"{temperature:g}", "".join(play.letters[k] for k in author.write(first, WRITTEN, temperature, run.seed))]
             for temperature in TEMPERATURES]  # fmt: skip
    run.table("written", [both("temperature", "温度"), both("what it writes", "它写的内容")], table, both(
        "After the same 40 letters. Below 1 the likely becomes likelier: it repeats itself; above 1 everything comes "
        "within reach.",
        "都接在同样的 40 个字符之后。温度低于 1，可能的更可能，文字重复；高于 1，什么都可能出现。"))  # fmt: skip
    return {"characters_loss": loss}

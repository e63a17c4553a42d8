"""The part speed: the same pre-training step as tutorials write it, and with one waste after the other taken out."""

from __future__ import annotations

import time
from typing import Any, NamedTuple, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from labkit.base.console import say
from labkit.base.language import Both, both
from labkit.runs import compat, text
from labkit.runs.run import Run
from labs.bert import attention
from labs.bert.network import Bert
from labs.bert.training import train_step
from labs.bert.words import FIRST, MASK

VOCABULARY, WIDTH, LAYERS, HEADS = 8000, 128, 3, 4
BATCH, PADDED_TO, POOL = 64, 64, 4096
ROUNDS = 4  # the first is not counted


class Way(NamedTuple):
    """How a step is made: what a text is padded to, where there are logits, and whose attention."""

    name: Both
    padded_to: int  # 0: the longest of the batch; -1: nothing, since all have one length
    everywhere: bool
    fused: bool


WAYS = (
    Way(both("as tutorials do: padded to 64, logits everywhere, softmax by hand",
             "教程写法：填充到 64，处处算 logits，手写 softmax"), PADDED_TO, True, False),
    Way(both("+ logits at the hidden words alone", "+ 只在被遮处算 logits"), PADDED_TO, False, False),
    Way(both("+ fused attention", "+ 融合的注意力"), PADDED_TO, False, True),
    Way(both("+ padded to the longest of the batch only", "+ 只填充到本批最长"), 0, False, True),
    Way(both("+ texts of one length, no mask", "+ 等长批，无掩码"), -1, False, True),
)  # fmt: skip


def lengths_of(random: np.random.RandomState, count: int) -> list[int]:
    """Words of pairs of lines of a play: 18 in the mean, 36 at most."""
    found: list[int] = np.clip(np.round(random.normal(18, 6, count)), 6, 36).astype(int).tolist()
    return found


def batch(way: Way, lengths: Sequence[int], random: torch.Generator) -> tuple[Any, Any, torch.Tensor, torch.Tensor]:
    """Words (N, T), what may be seen, places of the hidden words in the flat words, and what is hidden there."""
    longest = max(lengths)
    t = {0: longest, -1: longest}.get(way.padded_to, way.padded_to)
    words = torch.randint(FIRST, VOCABULARY, (len(lengths), t), generator=random)
    real = torch.arange(t) < torch.tensor(lengths)[:, None]
    words = words.masked_fill(~real, 0)
    places = ((torch.rand(words.shape, generator=random) < 0.15) & real).flatten().nonzero().flatten()
    hidden = words.flatten()[places]
    words = words.flatten().index_fill(0, places, MASK).reshape(words.shape)
    return words, None if way.padded_to < 0 else real[:, None, None], places, hidden


def loss_of(network: Bert, way: Way, words: Any, allowed: Any, places: torch.Tensor,
            hidden: torch.Tensor) -> torch.Tensor:  # fmt: skip
    vectors = network.encoder(words, allowed=allowed).flatten(0, 1)
    if not way.everywhere:
        return F.cross_entropy(network.guesses(vectors[places]), hidden)
    targets = torch.full((len(vectors),), -1, dtype=torch.int64, device=vectors.device)
    targets[places] = hidden
    return F.cross_entropy(network.guesses(vectors), targets, ignore_index=-1)


def network_for(way: Way) -> Bert:
    torch.manual_seed(0)
    made = Bert(VOCABULARY, WIDTH, LAYERS, HEADS)
    for layer in made.encoder.layers:
        layer.attention.attend = attention.attend_fast if way.fused else attention.attend
    return made


def rate(way: Way, network: nn.Module, optimizer: Any, lengths: Sequence[int], device: torch.device,
         seed: int) -> tuple[int, float]:  # fmt: skip
    """Real words of one step, and the seconds of the processor, all its threads, that it took."""
    made = batch(way, lengths, torch.Generator().manual_seed(seed))
    moved = [part if part is None else part.to(device) for part in made]
    began = time.process_time() if device.type == "cpu" else time.perf_counter()
    train_step(network, optimizer, loss_of(network, way, *moved))
    if device.type == "cuda":
        torch.cuda.synchronize()
    return sum(lengths), (time.process_time() if device.type == "cpu" else time.perf_counter()) - began


def show(run: Run) -> dict[str, float]:
    """Real words a second of each way, in turn in the same process; how many times the last is as fast as the first."""
    random = np.random.RandomState(run.seed)
    lengths = lengths_of(random, POOL)
    mixed = [lengths[k * BATCH : (k + 1) * BATCH] for k in range(ROUNDS)]
    equal = [[lengths[k] for k in own] for own in text.by_length(lengths, BATCH) if len(own) == BATCH]
    equal = [equal[k] for k in random.permutation(len(equal))]
    networks = [network_for(way).to(run.device) for way in WAYS]
    optimizers = [torch.optim.AdamW(made.parameters(), lr=1e-4, **compat.FUSED) for made in networks]
    words, seconds = [0] * len(WAYS), [0.0] * len(WAYS)
    for turn in range(ROUNDS):
        for k, way in enumerate(WAYS):
            # Batches of one length are of many lengths, so more of them are needed for a mean.
            chosen = equal[turn * 8 : turn * 8 + 8] if way.padded_to < 0 else [mixed[turn]]
            for own in chosen:
                count, taken = rate(way, networks[k], optimizers[k], own, run.device, turn)
                if turn:
                    words[k], seconds[k] = words[k] + count, seconds[k] + taken
    rates = [count / taken for count, taken in zip(words, seconds)]
    unit = both("words a core-second", "词/核秒") if run.device.type == "cpu" else both("words a second", "词/秒")
    rows = [[way.name, f"{rate:,.0f}", f"{rate / rates[0]:.2f}"] for way, rate in zip(WAYS, rates)]
    note = both("", "") if attention.FUSED else both(
        " This PyTorch has no fused attention: its line is the three lines once more.",
        "此 PyTorch 没有融合的注意力：该行仍是那三行代码。")  # fmt: skip
    run.table("speed", [both("step", "一步的写法"), unit, both("times", "倍数")], rows, both(
        f"A step of pre-training, width {WIDTH}, {LAYERS} layers, vocabulary {VOCABULARY:,}, {BATCH} texts of 18 words "
        f"in the mean, float32; words that are no padding.{note.en}",
        f"预训练的一步：宽 {WIDTH}，{LAYERS} 层，词表 {VOCABULARY:,}，每批 {BATCH} 条、平均 18 词，float32；填充不计"
        f"入。{note.zh}"))  # fmt: skip
    say(f"{rates[-1] / rates[0]:.1f} times as many words as the tutorials' step")
    return {"times_faster": rates[-1] / rates[0]}

"""The part cells: each cell against torch.nn, what it has and what it costs."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import nn

from labkit.base.language import both
from labkit.runs import claims
from labkit.runs.run import Run
from labs.rnn.cells import GRU, LSTM, Clockwork, GridLSTM, SimpleRNN
from labs.rnn.oracles import CLAIMS

T, N, H = 30, 32, 128  # of the times
FORMULAS = {
    "rnn": "h' = tanh(W x + U h + b)",
    "gru": "h' = z h + (1 - z) n",
    "lstm": "c' = f c + i g, h' = o tanh(c')",
    "clockwork": "h' of some units, by their period",
    "grid": "an LSTM through time and one through depth",
}


def show(run: Run) -> dict[str, float]:
    """The table of claims and the table of costs; how many claims hold."""
    held = claims.show(run, CLAIMS)
    costs(run)
    return {"cells": held}


def seconds(module: nn.Module, x: torch.Tensor) -> float:
    """Of one forward and backward, the shortest of three."""
    taken = []
    for _ in range(3):
        began = time.process_time()
        module(x)[0].sum().backward()
        taken.append(time.process_time() - began)
    return min(taken)


def costs(run: Run) -> None:
    """Weights, and seconds of the processor, by hand and by torch.nn."""
    x = torch.randn(T, N, H)
    made: dict[str, tuple[nn.Module, Any]] = {
        "rnn": (SimpleRNN(H, H), nn.RNN(H, H)), "gru": (GRU(H, H), nn.GRU(H, H)), "lstm": (LSTM(H, H), nn.LSTM(H, H)),
        "clockwork": (Clockwork(H, H), None), "grid": (GridLSTM(H, H), None)}  # fmt: skip
    rows: list[list[Any]] = []
    for name, (ours, theirs) in made.items():
        own = seconds(ours, x)
        other = seconds(theirs, x) if theirs is not None else 0.0
        rows.append([name, FORMULAS[name], sum(weight.numel() for weight in ours.parameters()), f"{1000 * own:.1f}",
                     f"{1000 * other:.1f}" if other else "", f"{own / other:.1f}" if other else ""])  # fmt: skip
    heads = [both("cell", "单元"), both("a step", "一步"), both("weights", "权重数"), both("ms by hand", "手写，毫秒"),
             both("ms of torch.nn", "torch.nn，毫秒"), both("ratio", "比")]  # fmt: skip
    run.table("costs", heads, rows, both(
        f"Forward and backward over {T} steps of {N} sentences, {H} inputs and units, float32: time of the processor "
        "(all its threads), the shortest of three.",
        f"{T} 步、{N} 句、{H} 个输入与单元，float32 的一次前向与反向：处理器时间（所有线程），三次取最短"
        f"。"))  # fmt: skip

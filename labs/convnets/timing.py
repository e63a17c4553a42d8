"""How long a step of a network takes on this machine, in each dtype that it has instructions for."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Callable

import torch
from torch import nn
from torch.nn import functional as F

from labkit.base.hardware import processor
from labkit.runs import compat


@dataclass(frozen=True)
class Times:
    """Seconds of one step, in training."""

    dtype: torch.dtype
    forward: float
    backward: float

    @property
    def step(self) -> float:
        return self.forward + self.backward


def dtypes(device: torch.device) -> list[torch.dtype]:
    """float32, and bfloat16 where there are instructions for it; without them it is computed many times slower."""
    if not compat.MODERN:
        return [torch.float32]
    if device.type == "cuda":
        able = torch.cuda.get_device_capability(device)[0] >= 8
    else:
        able = bool(processor().flags & {"amx_bf16", "avx512_bf16"})
    return [torch.float32, torch.bfloat16] if able else [torch.float32]


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """How long `work` takes; a GPU computes behind our back, so it is waited for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def measure(network: nn.Module, images: torch.Tensor, dtype: torch.dtype, repeats: int) -> Times:
    """The shortest of `repeats` steps on `images` (N, 3, H, W), after one that counts for nothing."""
    device = images.device
    labels = torch.zeros(len(images), dtype=torch.long, device=device)
    network.train()
    best = [float("inf"), float("inf")]
    loss = torch.zeros(())

    def forward() -> None:
        nonlocal loss
        with compat.autocast(device, dtype):
            loss = F.cross_entropy(network(images).float(), labels)

    for k in range(repeats + 1):
        network.zero_grad()
        found = seconds(forward, device), seconds(lambda: loss.backward(), device)  # the loss that forward has set
        if k:
            best = [min(pair) for pair in zip(best, found)]
    return Times(dtype, *best)


def fastest(network: nn.Module, images: torch.Tensor, repeats: int) -> list[Times]:
    """The times in every dtype, the fastest first."""
    return sorted((measure(network, images, dtype, repeats) for dtype in dtypes(images.device)), key=lambda t: t.step)

"""Measure one training step of the lab cyclegan against the authors' own, on the same images in one run.

    LAB_STACK=cpu/index .venv/cpu/bin/python scripts/bench/cyclegan.py --authors PATH [--size 256] [--repeats 5]

PATH is a checkout of junyanz/pytorch-CycleGAN-and-pix2pix, whose CycleGANModel takes its own step with its own defaults
(two ResNet generators of 64 channels, two 70 x 70 discriminators, identity loss, pool of 50, batch 1). The steps are
taken in turn, one of each per round; what is printed are the medians of seconds, and the ratios of them.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Callable

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from labkit.runs import compat  # noqa: E402
from labs.cyclegan import lab  # noqa: E402


def authors_step(folder: Path, size: int, device: torch.device) -> Callable[[torch.Tensor, torch.Tensor], None]:
    """One step of the CycleGANModel found in `folder`."""
    sys.path.insert(0, str(folder))
    from models.cycle_gan_model import CycleGANModel  # type: ignore[import-not-found]

    options = argparse.Namespace(
        isTrain=True, gpu_ids=[device.index or 0] if device.type == "cuda" else [], device=device, direction="AtoB",
        checkpoints_dir="", name="", preprocess="resize_and_crop", input_nc=3, output_nc=3, ngf=64, ndf=64,
        netG="resnet_9blocks" if size >= 256 else "resnet_6blocks", netD="basic", n_layers_D=3, norm="instance",
        no_dropout=True, init_type="normal", init_gain=0.02, gan_mode="lsgan", pool_size=50, lr=0.0002, beta1=0.5,
        lambda_A=10.0, lambda_B=10.0, lambda_identity=0.5,
    )  # fmt: skip
    model = CycleGANModel(options)

    def step(a: torch.Tensor, b: torch.Tensor) -> None:
        model.set_input({"A": a, "B": b, "A_paths": "", "B_paths": ""})
        model.optimize_parameters()

    return step


def our_step(size: int, device: torch.device, dtype: torch.dtype) -> Callable[[torch.Tensor, torch.Tensor], None]:
    """One step of the lab with the networks of the paper."""
    values: dict[str, Any] = {**lab.PRESETS["paper"], "size": size, "blocks": 9 if size >= 256 else 6}
    trainer = lab.Trainer(lab.Config(**values), device, dtype)
    random = np.random.RandomState(0)

    def step(a: torch.Tensor, b: torch.Tensor) -> None:
        trainer.step(a.to(device), b.to(device), random)

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--authors", type=Path, help="a checkout of the authors' repository")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype, reason = compat.fast_dtype(device)
    steps = {"ours, float32": our_step(given.size, device, torch.float32)}
    if dtype != torch.float32:
        steps["ours, bfloat16"] = our_step(given.size, device, dtype)
    if given.authors:
        steps = {"authors', float32": authors_step(given.authors, given.size, device), **steps}
    a, b = (torch.rand(1, 3, given.size, given.size) * 2 - 1 for _ in range(2))
    print(f"PyTorch {torch.__version__}, {platform.machine()}, {torch.get_num_threads()} threads, {device}; {reason}")
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for repeat in range(given.repeats + 1):
        for name, step in steps.items():
            began = time.perf_counter()
            step(a, b)
            if device.type == "cuda":
                torch.cuda.synchronize()
            if repeat:  # the first round warms up
                taken[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    base = next(iter(medians.values()))
    for name, median in medians.items():
        print(f"{name:20} {median:8.3f} s  best {min(taken[name]):8.3f} s  x{base / median:.2f}  n={given.repeats}")


if __name__ == "__main__":
    main()

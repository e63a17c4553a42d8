"""Proof that a stack works: its versions are the pinned ones and a small network learns on its device.

Run inside the stack by `./inv setup`, which says in the settings what stack and build it is. Exit status 1 where
something is not as pinned.
"""

from __future__ import annotations

import sys
import sysconfig
import time
from pathlib import Path

from labkit.base import settings
from labkit.base.console import say, warn
from labkit.stacks import catalog, detectron2_wheel


def check_versions(stack: catalog.Stack) -> list[str]:
    """Where the installed packages differ from what the stack pins, one sentence each."""
    import cv2
    import torch
    import torchvision

    wrong = []
    pinned = ((torch.__version__, stack.torch, "torch"), (torchvision.__version__, stack.torchvision, "torchvision"))
    for found, wanted, name in pinned:
        if found.partition("+")[0] != wanted:
            wrong.append(f"{name} is {found}, the stack pins {wanted}")
    say(f"torch {torch.__version__}, torchvision {torchvision.__version__}, OpenCV {cv2.__version__}")
    if stack.detectron2:
        say(f"detectron2 {detectron2_wheel.installed(Path(sysconfig.get_paths()['purelib'])) or 'is missing'}")
    return wrong


def train_a_little(steps: int = 20) -> tuple[float, float, str]:
    """First and last loss of a small convolutional network on random images (64, 3, 32, 32), and the device."""
    import torch
    from torch import nn

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    images = torch.randn(64, 3, 32, 32, device=device)
    labels = torch.randint(10, (64,), device=device)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU(), nn.Flatten(),
        nn.Linear(32 * 7 * 7, 10),
    ).to(device)  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(steps):
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    return losses[0], losses[-1], name


def main() -> int:
    stack = catalog.load((settings.current().stack or "cpu").partition("/")[0])
    started = time.monotonic()
    wrong = check_versions(stack)
    first, last, device = train_a_little()
    say(f"20 training steps on {device}: loss {first:.2f} -> {last:.2f}, {time.monotonic() - started:.1f} s in all")
    if not last < 0.8 * first:
        wrong.append(f"the network did not learn: loss {first:.2f} -> {last:.2f}")
    for sentence in wrong:
        warn(sentence)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

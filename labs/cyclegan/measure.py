"""How good translations are, in numbers: a classifier that never saw them says what they show, and how far they are."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from labkit.base.errors import UserError
from labkit.base.paths import shown
from labkit.runs import compat
from labkit.runs.run import Run
from labs.cyclegan.data import resize

# Shapes: N images uint8 (N, 3, H, W) RGB, of any size; the judge looks at them at SIDE x SIDE.

SIDE, FEATURES = 64, 64
STEPS, BATCH = 200, 32


class Judge(nn.Module):
    """A small classifier of the two domains: images float (N, 3, SIDE, SIDE) in, logits of being B (N) out."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels, wider in ((3, 16), (16, 32), (32, FEATURES)):  # halves H and W each time
            layers += [nn.Conv2d(channels, wider, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(wider), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(FEATURES, 1)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """What the head decides by, (N, FEATURES)."""
        return self.layers(x).mean(dim=(2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x)).squeeze(1)  # (N)


def shrink(pixels: torch.Tensor) -> torch.Tensor:
    """Images uint8 (N, 3, H, W) as the judge reads them: float -1..1 (N, 3, SIDE, SIDE), on the CPU."""
    if pixels.shape[2:] != (SIDE, SIDE):
        small = [resize(image.permute(1, 2, 0).contiguous().numpy(), SIDE, SIDE) for image in pixels]
        pixels = torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2)
    return pixels.float() / 127.5 - 1


def get_judge(run: Run, a: torch.Tensor, b: torch.Tensor) -> Judge:
    """The judge of this run, trained on the real training images `a` and `b` in seconds, on the CPU.

    Its seed is always the same and it is kept in judge.pt, so it judges a resumed run, and other runs on the same data,
    alike.
    """
    path = run.folder / "judge.pt"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        judge = Judge()
        if path.exists():
            try:
                judge.load_state_dict(compat.load(path))
            except (RuntimeError, TypeError, AttributeError):
                raise UserError(f"{shown(path)} is no judge of this lab", f"rm {shown(path)}") from None
        else:
            _train(judge, shrink(a), shrink(b))
            compat.save(judge.state_dict(), path)
    return judge.eval()


def _train(judge: Judge, a: torch.Tensor, b: torch.Tensor) -> None:
    optimizer = torch.optim.Adam(judge.parameters())
    random = np.random.RandomState(0)
    labels = torch.cat([torch.zeros(BATCH // 2), torch.ones(BATCH // 2)])
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = 0.002 * (1 - step / STEPS)
        x = torch.cat([domain[random.randint(0, len(domain), BATCH // 2)] for domain in (a, b)])
        if random.randint(0, 2):
            x = x.flip(3)
        loss = F.binary_cross_entropy_with_logits(judge(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def judge_images(judge: Judge, pixels: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Whether the judge calls each of `pixels` a B, bool (N), and its features, float32 (N, FEATURES)."""
    features = torch.cat([judge.features(shrink(part)) for part in pixels.split(100)])
    return (judge.head(features).squeeze(1) > 0).numpy(), features.numpy()


def spread(pixels: torch.Tensor) -> float:
    """How different N images (N, 3, H, W) are from each other in colour, on the scale 0..255.

    Each image is reduced to its mean red, green and blue; the result is the standard deviation of these over the
    images, averaged over the three channels. Grey images of 0, 100 and 200 have a spread of 81.6, copies of one
    image a spread of 0: there it falls when a generator makes the same of everything (mode collapse).
    """
    return float(pixels.float().mean(dim=(2, 3)).std(dim=0, unbiased=False).mean())



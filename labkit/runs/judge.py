"""The judge: a small classifier of the same data, by whose features and guesses labs measure what a generator draws."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

# Images are uint8 0..255 (N, 32, 32, C) here, real and generated alike.


class Judge(nn.Module):
    """Two convolutions and two layers above them."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),  # (N, 16, 16, 16)
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),  # (N, 32, 8, 8)
            nn.Flatten(), nn.Linear(32 * 64, 64), nn.ReLU(),  # (N, 64)
        )  # fmt: skip
        self.head = nn.Linear(64, classes)
        self.register_buffer("scale", torch.ones(()))

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (N, 64) and logits (N, classes)."""
        features = self.layers(pixels.permute(0, 3, 1, 2).float() / 127.5 - 1)
        return features, self.head(features)

    @torch.no_grad()
    def look(self, pixels: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Features float32 (N, 64), of mean square 1 on real images, and the probabilities (N, classes) of each."""
        device = self.head.weight.device
        parts = [self(part.to(device)) for part in pixels.split(500)]
        features, logits = torch.cat([f for f, _ in parts]), torch.cat([x for _, x in parts])
        return (features / self.scale).cpu().numpy(), F.softmax(logits, dim=1).cpu().numpy()


def train_judge(pixels: torch.Tensor, labels: torch.Tensor, device: torch.device, passes: int = 3) -> Judge:
    """A judge that is the same for every --seed: it learns the first 10,000 images in the same order always."""
    pixels, labels = pixels[:10_000], labels[:10_000]
    with torch.random.fork_rng(devices=[]):  # the generator's own random numbers stay what they are
        torch.default_generator.manual_seed(0)
        judge = Judge(pixels.shape[3], int(labels.max()) + 1)
    judge.to(device)
    optimizer = torch.optim.Adam(judge.parameters(), lr=0.002)
    generator = torch.Generator().manual_seed(0)
    for _ in range(passes):
        for part in torch.randperm(len(labels), generator=generator).split(100):
            loss = F.cross_entropy(judge(pixels[part].to(device))[1], labels[part].to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    judge.scale.fill_(float((judge.look(pixels[:1000])[0] ** 2).mean() ** 0.5))
    return judge


def class_entropy(guesses: np.ndarray, classes: int) -> float:
    """How evenly the classes appear among int `guesses` (N,): 1 for all alike, 0 where only one is left."""
    shares = np.bincount(guesses, minlength=classes) / len(guesses)
    shares = shares[shares > 0]
    return float((shares * np.log(1 / shares)).sum() / np.log(classes))

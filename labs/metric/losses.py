"""The losses: contrastive, triplet and quadruplet, of distances; and the normalised softmax, which knows no pairs.

Shapes: `d` (N, N) are the distances between the N embeddings of a batch, `labels` (N,) their classes. Each loss that
goes by distances returns two numbers: the loss, and the share of its terms that are not 0 yet, which says more.
"""

from __future__ import annotations

from typing import Callable, Tuple

import torch
from torch import nn
from torch.nn import functional as F

from labs.metric import mining
from labs.metric.distances import pairs

Found = Tuple[torch.Tensor, torch.Tensor]
Miner = Callable[[torch.Tensor, torch.Tensor], mining.Triplets]


def mean_of_active(values: torch.Tensor) -> torch.Tensor:
    """The mean of those above 0; 0 where there are none. A mean over all would sink as most terms become 0."""
    return values.sum() / (values > 0).sum().clamp(min=1)


def active(values: torch.Tensor) -> torch.Tensor:
    """The share above 0."""
    return (values > 0).double().sum() / max(1, len(values))


def contrastive(d: torch.Tensor, labels: torch.Tensor, margin: float) -> Found:
    """Pairs of one class together, pairs of two classes at least `margin` apart: the Siamese network's.

    D² / 2 and max(0, margin - D)² / 2. Few pairs are positive, so each kind has its own mean. The share is that of the
    negative pairs within the margin.
    Source: Hadsell, Chopra, LeCun, Dimensionality Reduction by Learning an Invariant Mapping (2006), equation 4.
    """
    positive, negative = pairs(labels)
    together, within = d[positive] ** 2 / 2, F.relu(margin - d[negative]) ** 2 / 2
    return mean_of_active(together) + mean_of_active(within), active(within)


def triplet(d: torch.Tensor, triplets: mining.Triplets, margin: float) -> torch.Tensor:
    """max(0, d(a, p) - d(a, n) + margin) of each triplet: (T,). FaceNet (2015), equation 3, squares its distances."""
    anchors, positives, negatives = triplets
    return F.relu(d[anchors, positives] - d[anchors, negatives] + margin)


def mined(miner: Miner) -> Callable[[torch.Tensor, torch.Tensor, float], Found]:
    """The triplet loss over what `miner` chooses."""

    def loss(d: torch.Tensor, labels: torch.Tensor, margin: float) -> Found:
        values = triplet(d, miner(d, labels), margin)
        return mean_of_active(values), active(values)

    return loss


def quadruplet(d: torch.Tensor, labels: torch.Tensor, margin: float) -> Found:
    """The triplet loss, and max(0, d(a, p) - d(k, l) + margin / 2) with k and l of two classes that are not a's.

    The second term compares pairs that share no image, so that one threshold can divide all same from all different.
    Its pairs are mined as the triplets are, semi-hard: the hardest, with which the paper begins, do not learn here.
    Source: Chen, Chen, Zhang, Huang, Beyond Triplet Loss (2017); there of squared distances.
    """
    triplets = mining.semi_hard(d, labels)
    first = triplet(d, triplets, margin)
    if len(labels.unique()) < 3 or len(first) == 0:
        return mean_of_active(first), active(first)
    second = F.relu(d[triplets[0], triplets[1]] - d[mining.second_pairs(d, labels, triplets)] + margin / 2)
    return mean_of_active(first) + mean_of_active(second), active(torch.cat([first, second]))


class NormalisedSoftmax(nn.Module):
    """Cross-entropy of cosines: every class has a centre on the sphere, and images go to theirs.

    A classifier in all but two things: weights and features have length 1, and there is a temperature instead of a
    length. It needs no pairs and no mining, and a row of weights for each class.
    Source: Zhai and Wu, Classification is a Strong Baseline for Deep Metric Learning (2018), section 3.
    """

    def __init__(self, classes: int, dimensions: int, temperature: float = 0.05) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(classes, dimensions) / dimensions**0.5)
        self.temperature = temperature

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss of embeddings x (N, D) of length 1 and their classes int64 (N,)."""
        cosines = x @ F.normalize(self.centres, dim=1).t()
        return F.cross_entropy(cosines / self.temperature, labels)


BY_DISTANCE = {
    "contrastive": contrastive,
    "batch-all": mined(mining.batch_all),
    "batch-hard": mined(mining.batch_hard),
    "semi-hard": mined(mining.semi_hard),
    "quadruplet": quadruplet,
}

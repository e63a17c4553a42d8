"""Which triplets of a batch the loss is taken of: all, the hardest, or those that are hard but not too hard.

A triplet is an anchor, a positive of its class and a negative of another one, as three indices into the batch. Each
miner returns the three as int64 (T,). Nothing here has a gradient: what is chosen is chosen.
"""

from __future__ import annotations

from typing import Tuple

import torch

from labs.metric.distances import pairs

Triplets = Tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def batch_all(d: torch.Tensor, labels: torch.Tensor) -> Triplets:
    """Every triplet that the batch has; `d` (N, N) is not looked at.

    Of P classes with K images each they are PK (K - 1) (P - 1) K. Source: Hermans, Beyer, Leibe, In Defense of the
    Triplet Loss (2017), equation 6.
    """
    positive, negative = pairs(labels)
    return (positive.unsqueeze(2) & negative.unsqueeze(1)).nonzero(as_tuple=True)


def batch_hard(d: torch.Tensor, labels: torch.Tensor) -> Triplets:
    """For each anchor its farthest positive and its nearest negative: at most N triplets.

    Source: Hermans, Beyer, Leibe (2017), equation 5.
    """
    positive, negative = pairs(labels)
    farthest = d.detach().masked_fill(~positive, -1).argmax(dim=1)
    nearest = d.detach().masked_fill(~negative, float("inf")).argmin(dim=1)
    anchors = (positive.any(dim=1) & negative.any(dim=1)).nonzero(as_tuple=True)[0]
    return anchors, farthest[anchors], nearest[anchors]


def semi_hard(d: torch.Tensor, labels: torch.Tensor) -> Triplets:
    """For each positive pair the nearest negative that is farther from the anchor than the positive.

    A pair that has none, since all negatives are nearer, is left out. Source: Schroff, Kalenichenko, Philbin, FaceNet
    (2015), section 3.2.
    """
    positive, negative = pairs(labels)
    anchors, positives = positive.nonzero(as_tuple=True)
    if len(anchors) == 0:  # PyTorch 1.5 has no smallest of no rows
        return anchors, positives, anchors
    apart = d.detach()[anchors]  # (pairs, N)
    farther = negative[anchors] & (apart > d.detach()[anchors, positives].unsqueeze(1))
    nearest = apart.masked_fill(~farther, float("inf")).argmin(dim=1)
    kept = farther.any(dim=1)
    return anchors[kept], positives[kept], nearest[kept]


def second_pairs(d: torch.Tensor, labels: torch.Tensor, triplets: Triplets) -> tuple[torch.Tensor, torch.Tensor]:
    """For each triplet a pair (k, l) of two other classes, which makes it a quadruplet: semi-hard as well.

    It is the nearest such pair that is farther apart than anchor and positive; where all are nearer, the farthest. For
    batches of three classes or more.
    """
    fixed, (anchors, positives, _) = d.detach(), triplets
    first, second = torch.triu(pairs(labels)[1].long()).nonzero(as_tuple=True)  # each pair once
    apart = fixed[first, second]
    chosen = torch.zeros_like(anchors)
    for label in labels[anchors].unique():
        mine = (labels[anchors] == label).nonzero(as_tuple=True)[0]
        others = ((labels[first] != label) & (labels[second] != label)).nonzero(as_tuple=True)[0]
        own = fixed[anchors[mine], positives[mine]].unsqueeze(1)  # (mine, 1)
        farther = apart[others] > own
        nearest = apart[others].expand(len(mine), -1).masked_fill(~farther, float("inf")).argmin(dim=1)
        chosen[mine] = others[torch.where(farther.any(dim=1), nearest, apart[others].argmax().expand(len(mine)))]
    return first[chosen], second[chosen]


def kinds(d: torch.Tensor, labels: torch.Tensor, margin: float) -> dict[str, float]:
    """The shares of all triplets that are hard (negative nearer than positive), semi-hard and easy (loss 0)."""
    anchors, positives, negatives = batch_all(d, labels)
    gap = d[anchors, negatives] - d[anchors, positives]
    hard, easy = (gap <= 0).double().mean(), (gap >= margin).double().mean()
    return {"hard": float(hard), "semi-hard": float(1 - hard - easy), "easy": float(easy)}

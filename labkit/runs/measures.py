"""Measures of generated images that no kept library has: how far one set of images is from another."""

from __future__ import annotations

import numpy as np


def kid(features_a: np.ndarray, features_b: np.ndarray) -> float:
    """The kernel inception distance between two sets of features, (N, d) and (M, d): 0 for the same distribution.

    The unbiased estimate of the squared maximum mean discrepancy with the kernel (x·y / d + 1)³, so it may come out a
    little below 0. Each set needs two rows or more. Its size depends on the network that made the features: compare
    only what one network judged. Source: Binkowski et al., Demystifying MMD GANs (2018), section 4.
    """
    a, b = np.asarray(features_a, dtype=np.float64), np.asarray(features_b, dtype=np.float64)
    n, m, d = len(a), len(b), a.shape[1]

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ y.T / d + 1) ** 3

    within_a, within_b = kernel(a, a), kernel(b, b)
    own_a = (within_a.sum() - np.trace(within_a)) / (n * (n - 1))  # no pair of an image with itself
    own_b = (within_b.sum() - np.trace(within_b)) / (m * (m - 1))
    return float(own_a + own_b - 2 * kernel(a, b).mean())

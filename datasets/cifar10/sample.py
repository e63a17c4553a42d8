"""A stand-in for CIFAR-10 in its layout: synthetic images of ten shapes, under their own names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from labkit.data import pickles
from labkit.data.shapes import SHAPES, draw

BATCH = 1000


def make(folder: Path, seed: int = 0) -> None:
    """Write cifar-10-batches-py below `folder`: five batches to train on and one to test, 1,000 images each."""
    rng = np.random.RandomState(seed)
    batches = folder / "cifar-10-batches-py"
    batches.mkdir()
    for number in range(1, 6):
        pickles.save(_batch(rng, f"training batch {number} of 5"), batches / f"data_batch_{number}")
    pickles.save(_batch(rng, "testing batch 1 of 1"), batches / "test_batch")
    meta = {"num_cases_per_batch": BATCH, "label_names": list(SHAPES), "num_vis": 3072}
    pickles.save(meta, batches / "batches.meta")


def _batch(rng: Any, title: str) -> dict[str, Any]:
    labels = rng.permutation(np.arange(BATCH) % len(SHAPES))
    images = draw(rng, labels)  # (N, 32, 32, 3)
    return {
        "batch_label": title,
        "labels": labels.tolist(),
        "data": np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(BATCH, -1),  # (N, 3072): all R, G, B
        "filenames": [f"{SHAPES[label]}_{title.split()[0]}_{index:04}.png" for index, label in enumerate(labels)],
    }

"""Which images each batch of a training holds."""

from __future__ import annotations

import torch


class Batches:
    """Batches of `size` of `count` images in random order: every image once in each epoch, then in another order.

    Any batch can be asked for by its number, and follows from the seed alone: that is how a resumed run goes on with
    the same images. The few left over at the end of an epoch, less than a batch, are others in every epoch.
    """

    def __init__(self, count: int, size: int, seed: int) -> None:
        self.count, self.size, self.seed = count, size, seed
        self._epoch, self._order = -1, torch.zeros(0)

    def __getitem__(self, number: int) -> torch.Tensor:
        """The indices in batch `number`, counted from the start of training: int64 (size,)."""
        epoch, position = divmod(number, self.count // self.size)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(1_000_003 * (self.seed + 1) + epoch)
            self._epoch, self._order = epoch, torch.randperm(self.count, generator=generator)
        return self._order[position * self.size : (position + 1) * self.size]

"""One training in several processes: which of them this is, and what they tell each other.

torch.distributed's own launcher starts them (labkit/runs/launch.py) and says in the environment who each one is.
The first, rank 0, writes the run; the others only compute. Alone, everything here does nothing.
"""

from __future__ import annotations

from typing import Any, Iterable

from labkit.base import settings
from labkit.base.errors import UserError

_gpus: Any = None  # the group that talks from GPU to GPU; everything else goes through gloo, over the network


def count() -> int:
    """How many processes train together."""
    return settings.system().processes


def rank() -> int:
    """Which of them this is, the first being 0."""
    return settings.system().rank


def local_rank() -> int:
    """Which of those on this machine this is; it computes on the GPU of this number."""
    return settings.system().local_rank


def join() -> None:
    """Wait until all processes are there."""
    if count() > 1:
        import torch.distributed as dist

        dist.init_process_group("gloo")


def use_gpus() -> None:
    """From now on, let the GPUs tell each other what `average` averages."""
    global _gpus
    if count() > 1:
        import torch.distributed as dist

        _gpus = dist.new_group(backend="nccl")


def leave() -> None:
    """Wait until all processes are done: the launcher ends those that are left when the first one goes."""
    if count() > 1:
        import torch.distributed as dist

        dist.barrier()
        dist.destroy_process_group()


def share(content: bytes) -> bytes:
    """The bytes that rank 0 has, at every process."""
    if count() == 1:
        return content
    import numpy
    import torch
    import torch.distributed as dist

    size = torch.tensor([len(content)])
    dist.broadcast(size, 0)
    data = torch.zeros(int(size), dtype=torch.uint8)
    if rank() == 0 and content:
        data = torch.from_numpy(numpy.frombuffer(content, dtype=numpy.uint8).copy())
    if len(data):
        dist.broadcast(data, 0)
    return data.numpy().tobytes()


def any_of(mine: bool) -> bool:
    """Whether it is so at any of the processes."""
    if count() == 1:
        return mine
    import torch
    import torch.distributed as dist

    votes = torch.tensor([int(mine)])
    dist.all_reduce(votes)
    return bool(votes)


def average(tensors: Iterable[Any]) -> None:
    """Replace each tensor by its mean over the processes, all of one dtype together in one message."""
    if count() == 1:
        return
    import torch
    import torch.distributed as dist

    together: dict[Any, list[torch.Tensor]] = {}
    for tensor in tensors:
        together.setdefault(tensor.dtype, []).append(tensor)
    for several in together.values():
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in several])
        dist.all_reduce(flat, **({"group": _gpus} if flat.is_cuda else {}))
        flat /= count()
        for tensor, mean in zip(several, flat.split([tensor.numel() for tensor in several])):
            tensor.detach().copy_(mean.view(tensor.shape))


def part_of(batch: slice) -> slice:
    """This process's part of the positions `batch`. All parts have one size: the mean of their means is the mean."""
    size = batch.stop - batch.start
    if size % count():
        raise UserError(f"a batch of {size} cannot be split evenly over {count()} processes")
    each = size // count()
    return slice(batch.start + rank() * each, batch.start + (rank() + 1) * each)

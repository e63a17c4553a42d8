"""What tests/stack/test_processes.py runs in several processes: they must agree, and share a batch without a trace."""

import torch
from torch import nn
from torch.nn import functional

from labkit.runs import processes
from labs.cifar10 import lab

processes.join()
torch.manual_seed(0)
labels = torch.randint(5, (12,))
plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Flatten(), nn.Linear(4 * 36, 5)), torch.randn(12, 3, 8, 8)
# In eval mode batch normalisation does not look at the batch, of which each process on a CPU sees only its part.
fast = lab.build_model(lab.Config(width=4), 5).eval(), torch.randint(256, (12, 32, 32, 3), dtype=torch.uint8)
part = processes.part_of(slice(0, 12))
assert part.stop - part.start == 12 // processes.count()


def gradients(network, images, chosen):
    """What the step on the images `chosen` would follow."""
    network.zero_grad()
    functional.cross_entropy(network(images[chosen]), labels[chosen]).backward()
    return [parameter.grad.clone() for parameter in network.parameters() if parameter.requires_grad]


for network, images in (plain, fast):
    whole, mine = gradients(network, images, slice(0, 12)), gradients(network, images, part)
    averaged = [gradient.clone() for gradient in mine]
    processes.average(averaged)
    for alone, half, both in zip(whole, mine, averaged):
        scale = alone.abs().max()
        assert (alone - both).abs().max() < 1e-4 * scale < (alone - half).abs().max()

assert processes.share(b"from the first" if processes.rank() == 0 else b"") == b"from the first"
assert processes.share(b"") == b""
assert processes.any_of(processes.rank() == 1) and not processes.any_of(False)
processes.leave()
print("agreed", processes.rank(), flush=True)

"""What tests/stack/test_processes.py runs in several processes: they must agree, and share a batch without a trace."""

import torch
from torch import nn
from torch.nn import functional

from labkit import processes

processes.join()
torch.manual_seed(0)
network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Flatten(), nn.Linear(4 * 36, 5))
pictures, labels = torch.randn(12, 3, 8, 8), torch.randint(5, (12,))
functional.cross_entropy(network(pictures), labels).backward()
alone = [parameter.grad.clone() for parameter in network.parameters()]

part = processes.part_of(slice(0, 12))
assert part.stop - part.start == 12 // processes.count()
network.zero_grad()
functional.cross_entropy(network(pictures[part]), labels[part]).backward()
mine = [parameter.grad.clone() for parameter in network.parameters()]
processes.average(parameter.grad for parameter in network.parameters())
for whole, half, parameter in zip(alone, mine, network.parameters()):
    assert torch.allclose(whole, parameter.grad, atol=1e-6) and not torch.allclose(whole, half, atol=1e-3)

assert processes.share(b"from the first" if processes.rank() == 0 else b"") == b"from the first"
assert processes.share(b"") == b""
assert processes.any_of(processes.rank() == 1) and not processes.any_of(False)
processes.leave()
print("agreed", processes.rank(), flush=True)

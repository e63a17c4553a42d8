"""What a call gives in PyTorch 1.5.0, which the notes use, and what it gives in 2.11.0.

    python labs/tensors/then_and_now.py     run every call again with the PyTorch of this python, and keep what it gives

Run it once with each of the two. The file then_and_now.json is what they gave; a test runs every row again.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from labkit.runs.then_and_now import renew
from labs.tensors.steps_basics import SETUP

VERSIONS = ("1.5.0", "2.11.0")
FILE = Path(__file__).with_name("then_and_now.json")

X = "x = torch.tensor([1.0, 2.0, 3.0, 4.0]); "
S = "a = torch.tensor([[2.0, 1.0], [1.0, 3.0]]); "
N = "a = torch.tensor([7, -7]); "
SPARSE = "a = torch.sparse_coo_tensor([[0, 1], [1, 0]], [1.0, 2.0], (2, 2)); "

CALLS = (
    # Spectra and complex numbers (30)
    X + "torch.rfft(x, 1)",
    X + "torch.fft(x.view(2, 2), 1)",
    X + "torch.fft.fft(x)",
    X + "torch.fft.rfft(x)",
    X + "torch.irfft(torch.rfft(x, 1), 1, signal_sizes=(4,))",
    "torch.stft(torch.ones(16), 8).shape",
    "torch.stft(torch.ones(16), 8, window=torch.ones(8), return_complex=True).shape",
    "torch.istft(torch.stft(torch.ones(16), 8, window=torch.ones(8), return_complex=True), 8, window=torch.ones(8))",
    "torch.view_as_complex(torch.ones(1, 2))",
    "torch.tensor(1 + 2j)",
    # Linear algebra (21 to 23)
    S + "torch.symeig(a)[0]",
    S + "torch.eig(a)[0]",
    S + "torch.linalg.eigh(a)[0]",
    S + "torch.linalg.svd(a)[1]",
    S + "torch.linalg.qr(a)[1].diag()",
    S + "torch.linalg.lu(a)[2]",
    S + "torch.solve(torch.ones(2, 1), a)[0]",
    S + "torch.linalg.solve(a, torch.ones(2, 1))",
    S + "torch.lstsq(torch.ones(2, 1), a)[0]",
    S + "torch.linalg.lstsq(a, torch.ones(2, 1))[0]",
    S + "torch.linalg.cholesky(a)",
    S + "torch.matrix_rank(a)",
    S + "torch.linalg.matrix_rank(a)",
    S + "torch.linalg.norm(a, 2)",
    "torch.linalg.vector_norm(torch.tensor([3.0, 4.0]))",
    "torch.inverse(torch.zeros(2, 2))",
    "torch.outer(torch.ones(2), torch.ones(2))",
    "torch.zeros(2, 3, 4).mT.shape",
    # Whole numbers (10, 14, 16)
    N + "a / 2",
    N + "torch.div(a, 2)",
    N + "torch.div(a, 2, rounding_mode='floor')",
    N + "a // 2",
    N + "torch.floor_divide(a, 2)",
    N + "a /= 2; a",
    "torch.sqrt(torch.tensor([4, 9]))",
    "torch.exp(torch.tensor([0, 1]))",
    "torch.sin(torch.tensor([0, 1]))",
    "torch.sigmoid(torch.tensor([0, 1]))",
    "torch.mean(torch.tensor([1, 2]))",
    "torch.ones(2, 2).mm(torch.ones(2, 2).double())",
    "torch.round(torch.tensor([1.234]), decimals=2)",
    "torch.fix(torch.tensor([-1.7]))",
    # Comparison and statistics (15, 18)
    X + "torch.clip(x, 2, 3)",
    X + "torch.amax(x.view(2, 2), dim=1)",
    X + "torch.quantile(x, 0.5)",
    "torch.nanmean(torch.tensor([1.0, math.nan]))",
    X + "torch.var(x, correction=0)",
    X + "torch.histogram(x, bins=2)[0]",
    "torch.cov(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]))",
    "torch.nan_to_num(torch.tensor([math.nan, 1.0]))",
    "torch.sort(torch.tensor([1, 0, 1]), stable=True)[1]",
    "torch.sort(torch.tensor([True, False]))[0]",
    X + "torch.searchsorted(x, torch.tensor([2.5]))",
    "torch.logaddexp(torch.zeros(1), torch.zeros(1))",
    "torch.hypot(torch.tensor(3.0), torch.tensor(4.0))",
    "torch.deg2rad(torch.tensor(180.0))",
    # Picking, joining, shapes (25 to 29)
    "torch.masked_select(torch.tensor([1, 2]), torch.tensor([1, 0], dtype=torch.uint8))",
    X + "torch.where(x > 2, x, 0.0)",
    X + "torch.where(x > 2, x, torch.zeros(4, dtype=torch.int64))",
    X + "x[torch.tensor([0], dtype=torch.int32)]",
    X + "torch.take_along_dim(x, torch.tensor([2]))",
    X + "torch.fliplr(x.view(2, 2))",
    X + "torch.tensor_split(x, 3)",
    "torch.cat([torch.tensor([1]), torch.tensor([1.5])])",
    "torch.vstack([torch.ones(2), torch.ones(2)]).shape",
    "torch.movedim(torch.zeros(2, 3, 4), 0, -1).shape",
    "torch.tile(torch.tensor([1, 2]), (2,))",
    "torch.zeros(6).unflatten(0, (2, 3)).shape",
    "torch.zeros(1, 2, 1).squeeze((0, 2)).shape",
    "torch.broadcast_shapes((2, 1, 1), (3,))",
    "torch.full((2,), 7)",
    "torch.full((2,), True)",
    "torch.linspace(0, 1).shape",
    # Types, devices, sparse tensors (7, 9)
    "torch.from_numpy(np.zeros(1, dtype=np.uint16)).dtype",
    "torch.ones(1, requires_grad=True).numpy(force=True)",
    "bool(torch.ones(2))",
    "torch.ones(2).half() + torch.ones(2).half()",
    "torch.ones(2, device='meta').shape",
    SPARSE + "torch.sparse.mm(a, a).to_dense()",
    # Distributions, seeds, gradients (19, 20, 24)
    "torch.distributions.Normal(0.0, -1.0)",
    "torch.distributions.Bernoulli(torch.tensor(0.5)).log_prob(torch.tensor(0.5))",
    "x = torch.ones(3, requires_grad=True); x.max().backward(); x.grad",
    # Saving, threads (31)
    "f = io.BytesIO(); torch.save(torch.ones(1), f); f.getvalue()[:2]",
    "f = io.BytesIO(); torch.save(torch.ones(1), f); f.seek(0); torch.load(f, weights_only=True)",
    "f = io.BytesIO(); torch.save(torch.nn.Linear(1, 1), f); f.seek(0); type(torch.load(f)).__name__",
    "torch.use_deterministic_algorithms(False)",
    "torch.ones(2, 3) @ torch.ones(2, 3)",
)


if __name__ == "__main__":
    renew(FILE, CALLS, SETUP, torch.__version__.partition("+")[0])

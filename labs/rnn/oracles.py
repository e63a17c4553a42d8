"""What the hand-written cells are held against: torch.nn, autograd, and each other. All in float64."""

from __future__ import annotations

from typing import Any, Callable

import torch
from torch import nn

from labkit.base.language import both
from labkit.runs.claims import Claim, apart
from labs.rnn import cells, networks
from labs.rnn.cells import GRU, LSTM, Clockwork, GridLSTM, SimpleRNN, with_weights_of

T, N, INPUTS, H = 12, 4, 5, 7


def inputs() -> torch.Tensor:
    return torch.randn(
        T, N, INPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True
    )


def outcome(module: nn.Module, x: torch.Tensor, weights: list[torch.Tensor]) -> list[torch.Tensor]:
    """The outputs, the last states, and the gradients of a sum that weighs all of them differently."""
    outputs, state = module(x)
    states = [part.reshape(-1, N, H)[-1] for part in (state if isinstance(state, tuple) else (state,))]
    kept = [outputs, *states]
    loss = sum(
        (part * torch.arange(1, part.numel() + 1, dtype=part.dtype).reshape(part.shape).cos()).sum() for part in kept
    )
    return [*kept, *torch.autograd.grad(loss, [x, *weights])]


def cell(by_hand: Any, layer: Any) -> Callable[[], float]:
    """Outputs, states and all gradients of a cell by hand and of the layer of torch.nn that has the same weights."""

    def difference() -> float:
        torch.manual_seed(1)
        theirs = layer(INPUTS, H).double()
        ours = with_weights_of(by_hand(INPUTS, H), theirs)
        own = [getattr(ours, name) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        other = [getattr(theirs, f"{name}_l0") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        return apart(outcome(ours, inputs(), own), outcome(theirs, inputs(), other))

    return difference


def stacked() -> float:
    """Two layers in both directions against nn.LSTM(num_layers=2, bidirectional=True)."""
    torch.manual_seed(2)
    theirs = nn.LSTM(INPUTS, H, num_layers=2, bidirectional=True).double()
    ours = networks.Layers("bi-lstm-2", INPUTS, H, 0.0).double()
    with torch.no_grad():
        for number, layer in enumerate(ours.layers):
            for way, ending in zip(layer, ("", "_reverse")):
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                    getattr(way, name).copy_(getattr(theirs, f"{name}_l{number}{ending}"))
    return apart([ours(inputs())], [theirs(inputs())[0]])


def by_hand_backwards() -> float:
    """Backward through time, written out, against autograd."""
    torch.manual_seed(3)
    ours, x = SimpleRNN(INPUTS, H).double(), inputs()
    outputs, _ = ours(x)
    arriving = torch.randn(outputs.shape, dtype=torch.float64)
    wanted = torch.autograd.grad(outputs, [x, *ours.parameters()], arriving)
    found = cells.backward_through_time(x.detach(), ours, arriving)
    return apart([found["x"], *(found[name] for name, _ in ours.named_parameters())], wanted)


def jacobians() -> float:
    """d h_T / d h_0 as the product of the steps' Jacobians, diag(1 - h²) U, against autograd."""
    torch.manual_seed(4)
    ours, x = SimpleRNN(INPUTS, H).double(), inputs()[:, :1].detach()
    start = torch.zeros(1, H, dtype=torch.float64, requires_grad=True)
    outputs, _ = ours(x, (start,))
    wanted = torch.stack([torch.autograd.grad(outputs[-1, 0, k], start, retain_graph=True)[0][0] for k in range(H)])
    product = torch.eye(H, dtype=torch.float64)
    for h in outputs[:, 0]:
        product = torch.diag(1 - h.detach() ** 2) @ ours.weight_hh.detach() @ product
    return apart([product], [wanted])


def clockwork() -> float:
    """A Clockwork RNN with the one period 1 against the simple RNN with the same weights."""
    torch.manual_seed(5)
    ours, simple = Clockwork(INPUTS, H, (1,)).double(), SimpleRNN(INPUTS, H).double()
    simple.load_state_dict(
        {name: weight for name, weight in ours.state_dict().items() if name not in ("period", "reads")}
    )
    return apart([ours(inputs())[0]], [simple(inputs())[0]])


def grid() -> float:
    """A Grid LSTM against a plain loop over two nn.LSTMCells, one for time and one for depth."""
    torch.manual_seed(6)
    ours, x = GridLSTM(INPUTS, H, depth=3).double(), inputs()
    time, deep = nn.LSTMCell(H, H).double(), nn.LSTMCell(H, H).double()
    time.load_state_dict(ours.time.state_dict())
    deep.load_state_dict(ours.deep.state_dict())
    zeros = torch.zeros(N, H, dtype=torch.float64)
    rows, tops = [(zeros, zeros)] * 3, []
    for t in range(T):
        column = (ours.enter(x[t]), zeros)
        for layer in range(3):
            before = rows[layer]
            rows[layer], column = time(column[0], before), deep(before[0], column)
        tops.append(column[0])
    return apart([ours(x)[0]], [torch.stack(tops)])


def secants() -> float:
    """Autograd's gradient of the GRU against secants; 0 where gradcheck is content."""
    torch.manual_seed(7)
    ours = GRU(2, 3).double()
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    return 0.0 if torch.autograd.gradcheck(lambda x: ours(x)[0], (x,)) else 1.0


CLAIMS = (
    Claim("rnn", both("simple RNN by hand = `nn.RNN`, values and gradients", "手写 simple RNN = `nn.RNN`，值与梯度"),
          cell(SimpleRNN, nn.RNN)),
    Claim("gru", both("GRU by hand = `nn.GRU`, values and gradients", "手写 GRU = `nn.GRU`，值与梯度"),
          cell(GRU, nn.GRU)),
    Claim("lstm", both("LSTM by hand = `nn.LSTM`, values and gradients", "手写 LSTM = `nn.LSTM`，值与梯度"),
          cell(LSTM, nn.LSTM)),
    Claim("bi-lstm-2", both("two layers in both directions = `nn.LSTM(num_layers=2, bidirectional=True)`",
                            "两层双向 = `nn.LSTM(num_layers=2, bidirectional=True)`"), stacked),
    Claim("through time", both("backward through time without autograd = autograd",
                               "不用 autograd 的反向传播（BPTT）= autograd"), by_hand_backwards),
    Claim("jacobians", both("d h_T / d h_0 = product of diag(1 - h²) U over the steps",
                            "d h_T / d h_0 = 各步 diag(1 − h²) U 的乘积"), jacobians),
    Claim("clockwork", both("Clockwork RNN with the one period 1 = simple RNN", "只有周期 1 的 Clockwork RNN = simple "
                                                                                "RNN"),
          clockwork),
    Claim("grid", both("Grid LSTM = a loop over two `nn.LSTMCell`", "Grid LSTM = 用两个 `nn.LSTMCell` 写的循环"), grid),
    Claim("secants", both("GRU: gradient = secants (gradcheck)", "GRU：梯度 = 差商（gradcheck）"), secants),
)  # fmt: skip

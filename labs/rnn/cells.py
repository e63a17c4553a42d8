"""Recurrent cells by hand: simple RNN, GRU, LSTM, Clockwork RNN, Grid LSTM. The lab trains with these.

Shapes: T steps, N sentences, I inputs, H hidden units. Everything is (T, N, ...), time first, as torch.nn has it. The
first three have the parameters of torch.nn.RNN, GRU and LSTM under the same names, and give the same numbers.
"""

from __future__ import annotations

import math
from typing import Any, Sequence

import torch
from torch import nn
from torch.nn import functional as F

State = Any  # a tuple of tensors (N, H), of which the first is h


class Recurrent(nn.Module):
    """What all cells share: weights, and the loop over time.

    What the inputs contribute does not depend on the states, so it is computed for all times at once.
    """

    gates = 1  # blocks of H numbers that a step computes
    states = 1

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.weight_ih = nn.Parameter(torch.empty(self.gates * hidden, inputs))
        self.weight_hh = nn.Parameter(torch.empty(self.gates * hidden, hidden))
        self.bias_ih = nn.Parameter(torch.empty(self.gates * hidden))
        self.bias_hh = nn.Parameter(torch.empty(self.gates * hidden))
        for weight in self.parameters():
            nn.init.uniform_(weight, -1 / math.sqrt(hidden), 1 / math.sqrt(hidden))  # as PyTorch does

    def begin(self, x: torch.Tensor) -> State:
        """The states before the first step: zeros."""
        return (x.new_zeros(x.shape[1], self.hidden),) * self.states

    def forward(self, x: torch.Tensor, state: State = None) -> tuple[torch.Tensor, State]:
        """Inputs (T, N, I) to the h of every step (T, N, H) and the states after the last."""
        state = state or self.begin(x)
        projected, outputs = F.linear(x, self.weight_ih, self.bias_ih), []
        for t in range(len(x)):
            state = self.step(projected[t], state, t)
            outputs.append(state[0])
        return torch.stack(outputs), state

    def step(self, projected: torch.Tensor, state: State, t: int) -> State:
        """From the states before step `t` to those after it; `projected` (N, gates H) is W x + b of its input."""
        raise NotImplementedError

    def recurrent(self, h: torch.Tensor) -> torch.Tensor:
        """U h + b: (N, gates H)."""
        return torch.addmm(self.bias_hh, h, self.weight_hh.t())


class SimpleRNN(Recurrent):
    """h' = tanh(W x + U h + b). Source: Elman, Finding Structure in Time (1990); section 95 of the notes."""

    def step(self, projected: torch.Tensor, state: State, t: int) -> State:
        return (torch.tanh(projected + self.recurrent(state[0])),)


class GRU(Recurrent):
    """Two gates, no cell: h' = z h + (1 - z) n. Source: Cho et al., arXiv:1406.1078 (2014), as PyTorch has it."""

    gates = 3

    def step(self, projected: torch.Tensor, state: State, t: int) -> State:
        (h,) = state
        x_r, x_z, x_n = projected.chunk(3, dim=1)
        h_r, h_z, h_n = self.recurrent(h).chunk(3, dim=1)
        reset, update = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        new = torch.tanh(x_n + reset * h_n)
        return (new + update * (h - new),)


class LSTM(Recurrent):
    """c' = f c + i g, h' = o tanh(c'): c goes through time with a factor f and a sum, and no tanh.

    Sources: Hochreiter and Schmidhuber, Long Short-Term Memory (1997); the forget gate from Gers, Schmidhuber and
    Cummins, Learning to Forget (2000), who begin with it open. PyTorch begins with a bias near 0, which is f = 0.5:
    half of c is gone after one step. `forget_bias` is added to it (section 97 of the notes, Jozefowicz et al. 2015).
    """

    gates, states = 4, 2

    def __init__(self, inputs: int, hidden: int, forget_bias: float = 0.0) -> None:
        super().__init__(inputs, hidden)
        with torch.no_grad():
            self.bias_ih[hidden : 2 * hidden] += forget_bias

    def look(self, projected: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The input gate, the forget gate, the candidate and the output gate, (N, H) each."""
        i, f, g, o = (projected + self.recurrent(h)).chunk(4, dim=1)
        return torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)

    def step(self, projected: torch.Tensor, state: State, t: int) -> State:
        h, c = state
        i, f, g, o = self.look(projected, h)
        c = f * c + i * g
        return o * torch.tanh(c), c


class Clockwork(Recurrent):
    """A simple RNN whose units move at their own periods, and read only units that are as slow or slower.

    Source: Koutnik, Greff, Gomez and Schmidhuber, A Clockwork RNN (2014). With the one period 1: SimpleRNN.
    """

    def __init__(self, inputs: int, hidden: int, periods: Sequence[int] = (1, 2, 4, 8)) -> None:
        super().__init__(inputs, hidden)
        periods_of_units = [periods[k * len(periods) // hidden] for k in range(hidden)]  # fast ones first
        period = torch.tensor(periods_of_units)
        self.register_buffer("period", period)
        self.register_buffer("reads", (period[:, None] <= period[None, :]).to(self.weight_hh.dtype))

    def recurrent(self, h: torch.Tensor) -> torch.Tensor:
        return torch.addmm(self.bias_hh, h, (self.weight_hh * self.reads).t())

    def step(self, projected: torch.Tensor, state: State, t: int) -> State:
        (h,) = state
        return (
            torch.where(
                torch.full_like(self.period, t) % self.period == 0, torch.tanh(projected + self.recurrent(h)), h
            ),
        )


class GridLSTM(nn.Module):
    """Two directions, time and depth, each with an LSTM of its own; both read the h of both.

    Source: Kalchbrenner, Danihelka and Graves, Grid Long Short-Term Memory (2015), arXiv:1507.01526, in two
    dimensions. A layer is a step in depth: along depth there is a c as well, so many layers do not lose the gradient.
    """

    def __init__(self, inputs: int, hidden: int, depth: int = 2, forget_bias: float = 0.0) -> None:
        super().__init__()
        self.enter, self.depth, self.hidden = nn.Linear(inputs, hidden), depth, hidden
        self.time, self.deep = (LSTM(hidden, hidden, forget_bias) for _ in range(2))  # the same for every layer

    def forward(self, x: torch.Tensor, state: State = None) -> tuple[torch.Tensor, State]:
        """Inputs (T, N, I) to the h along depth that leaves the last layer (T, N, H), and the states along time."""
        zeros = x.new_zeros(x.shape[1], self.hidden)
        along_time = list(state or ((zeros, zeros),) * self.depth)
        outputs = []
        for entering in self.enter(x).unbind(0):
            h, c = entering, zeros
            for layer in range(self.depth):
                before = along_time[layer]
                along_time[layer] = self.time.step(F.linear(h, self.time.weight_ih, self.time.bias_ih), before, 0)
                h, c = self.deep.step(F.linear(before[0], self.deep.weight_ih, self.deep.bias_ih), (h, c), 0)
            outputs.append(h)
        return torch.stack(outputs), tuple(along_time)


def with_weights_of(cell: Recurrent, layer: nn.Module) -> Recurrent:
    """`cell` with the weights of one layer of torch.nn.RNN, GRU or LSTM."""
    cell = cell.to(layer.weight_ih_l0.dtype)
    with torch.no_grad():
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(cell, name).copy_(getattr(layer, f"{name}_l0"))
    return cell


def backward_through_time(x: torch.Tensor, cell: SimpleRNN, arriving: torch.Tensor) -> dict[str, torch.Tensor]:
    """Forward and backward through time of a simple RNN, written out without autograd (section 95 of the notes).

    `arriving` (T, N, H) is the gradient of the loss for every output. Returns the gradients by name: of the four
    parameters and of `x`. All of them pass through tanh' = 1 - h², and from step to step through U transposed: that
    product over the steps is what vanishes or explodes.
    """
    with torch.no_grad():
        h = [x.new_zeros(x.shape[1], cell.hidden)]
        for t in range(len(x)):  # forward: keep every h
            h.append(torch.tanh(x[t] @ cell.weight_ih.t() + cell.bias_ih + h[t] @ cell.weight_hh.t() + cell.bias_hh))
        gradients = {name: torch.zeros_like(weight) for name, weight in cell.named_parameters()}
        gradients["x"] = torch.zeros_like(x)
        from_later = torch.zeros_like(h[0])
        for t in reversed(range(len(x))):  # backward: the last step first
            of_sum = (arriving[t] + from_later) * (1 - h[t + 1] ** 2)  # before the tanh
            gradients["weight_ih"] += of_sum.t() @ x[t]
            gradients["weight_hh"] += of_sum.t() @ h[t]
            gradients["bias_ih"] += of_sum.sum(dim=0)
            gradients["bias_hh"] += of_sum.sum(dim=0)
            gradients["x"][t] = of_sum @ cell.weight_ih
            from_later = of_sum @ cell.weight_hh
    return gradients
